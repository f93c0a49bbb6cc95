"""The kinds of findings: how grave each is, what it is called, and what to do about it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Attributes:
        name: one word, as in JSON.
        severity: "error": measured results would be wrong, or pictures are lost; "warning": most likely a
            fault; "notice": look at it.
        title: what it is, for a heading.
        advice: what to do about it, in one sentence without a full stop.
    """

    name: str
    severity: str
    title: str
    advice: str


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "refused",
            "error",
            "the data set cannot be loaded as it is",
            "mend this first; training refuses the set until then",
        ),
        Kind(
            "invalid-label",
            "error",
            "labels that cannot be trained on",
            "striate data convert DATA OUT --fix mends in a copy what it can",
        ),
        Kind(
            "unreadable",
            "error",
            "files that are no readable picture",
            "save them as JPEG or PNG, or remove them; training leaves them out",
        ),
        Kind(
            "truncated",
            "error",
            "pictures whose end is missing, or damaged on the way",
            "copy or download them again",
        ),
        Kind(
            "leak",
            "error",
            "the same picture in two splits",
            "keep it in one split only: results on the other are too good",
        ),
        Kind(
            "conflict",
            "error",
            "the same picture under two classes",
            "find out which class is right and remove the others",
        ),
        Kind(
            "relabelled",
            "error",
            "the same picture with different boxes",
            "find out which boxes are right and remove the other copies",
        ),
        Kind(
            "left-out",
            "warning",
            "files that loading leaves out",
            "convert, rename or move what is meant to be a picture of a class",
        ),
        Kind(
            "wrong-suffix",
            "warning",
            "names that tell another format than the content",
            "rename them; other programs may refuse them",
        ),
        Kind("blank", "warning", "pictures that show nothing", "remove them, or take them again"),
        Kind(
            "narrow-range",
            "warning",
            "pictures that use only the lowest part of their range",
            "tell which value is white, as --set input.white=4095 for 12 bits",
        ),
        Kind("tiny", "warning", "pictures much smaller than the network sees", "find larger versions"),
        Kind(
            "extreme-aspect",
            "warning",
            "pictures far longer than the others",
            "crop them, or train with --set input.fit=letterbox",
        ),
        Kind(
            "duplicate",
            "warning",
            "exact copies within a split and class",
            "keep one of each group: copies weigh double",
        ),
        Kind(
            "near-duplicate",
            "warning",
            "near copies within a split and class",
            "keep one of each group; copies of one photograph weigh double",
        ),
        Kind(
            "mirrored",
            "notice",
            "mirror images within a split and class",
            "keep one of each pair; training can mirror pictures by itself",
        ),
        Kind(
            "label",
            "warning",
            "pictures whose class a trained network disputes",
            "look at each; move it to the right folder if the network is right",
        ),
        Kind(
            "odd-label",
            "warning",
            "labels that are odd, but can be trained on",
            "look at each; striate data convert --fix mends some of them in a copy",
        ),
        Kind(
            "other-class",
            "warning",
            "objects that a trained network takes for another class",
            "look at each; change the class if the network is right",
        ),
        Kind(
            "forgotten",
            "warning",
            "places where a trained network sees an object that has no label",
            "look at each; label it if it is there",
        ),
        Kind(
            "not-seen",
            "notice",
            "objects near which a trained network sees nothing at all",
            "look at each; remove the label if nothing is there",
        ),
        Kind(
            "tiny-object",
            "warning",
            "objects of too few pixels where a detector looks at them",
            "raise --image-size, or cut the pictures into parts",
        ),
        Kind(
            "no-object",
            "notice",
            "pictures without any object",
            "make sure that nothing was forgotten; they teach what nothing looks like",
        ),
        Kind(
            "absent-class",
            "warning",
            "classes without objects in a split",
            "label pictures that show them, or remove the class",
        ),
        Kind(
            "rare-class",
            "warning",
            "classes with far fewer objects than others",
            "label more pictures that show them",
        ),
        Kind("few-objects", "notice", "classes with few objects", "label more of these classes"),
        Kind(
            "imbalance",
            "warning",
            "classes of very different size",
            "train with --class-weights balanced or --sampling balanced",
        ),
        Kind("few", "notice", "classes with few pictures", "collect more of these classes"),
    )
}
