import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from label_cases import a_set, box, outlined, picture
from PIL import Image

from striate.data.annotations import RunLengths
from striate.data.images import decode_image
from striate.data.label_checks import check, cut_at_edges, fix, require_trainable, with_sizes
from striate.data.outlines import turn_upright
from striate.errors import InputError
from striate.ops.masks import mask_to_runs, runs_to_mask


def sizes(path):
    return (200, 100)


def mended(*annotations, **facts):
    """The objects of a picture after fixing."""
    return [
        a.box_xyxy for a in fix(a_set(picture("a.png", *annotations, **facts)), sizes).pictures[0].annotations
    ]


def faults(*annotations, **facts):
    """(Fault, mend) of each problem of a picture's labels."""
    return [(p.what, p.mend) for p in check(a_set(picture("a.png", *annotations, **facts)), sizes)]


GOOD = box("dog", 1.0, 2.0, 200.0, 100.0)


def test_good_labels_have_no_problems_and_stay_as_they_are():
    labels = a_set(picture("a.png", GOOD, box("dog", 0.0, 0.0, 0.5, 0.5)))
    assert check(labels, sizes) == []
    assert fix(labels, sizes) == labels
    assert require_trainable(labels, sizes, "folder") == []


@pytest.mark.parametrize(
    ("corners", "fault", "mend", "after"),
    [
        ((-5, -1, 250, 100), "reaches beyond the picture of 200 x 100", "cut at the edge", (0, 0, 200, 100)),
        ((10, 10, 200.21, 50), "reaches beyond", "cut at the edge", (10, 10, 200, 50)),
        ((10, 10, 200.005, 50), None, None, (10, 10, 200.005, 50)),
        ((30, 40, 10, 20), "wrong order", "swapped", (10, 20, 30, 40)),
        ((30, 20, 10, 40), "wrong order", "swapped", (10, 20, 30, 40)),
        ((10, 20, 10, 40), "no area", "removed", None),
        ((200, 20, 220, 40), "outside the picture", "removed", None),
        ((200.0, 20, 200.005, 40), "outside the picture", "removed", None),
        ((-20, -20, -10, -10), "outside the picture", "removed", None),
        ((1e9, 0, -1e9, 50), "wrong order", "swapped", (0, 0, 200, 50)),
    ],
)
def test_boxes_are_named_and_mended(corners, fault, mend, after):
    wrong = box("dog", *corners)
    assert mended(wrong, GOOD) == ([after] if after else []) + [GOOD.box_xyxy]
    problems = check(a_set(picture("a.png", wrong, GOOD)), sizes)
    if fault is None:
        assert problems == []
        return
    assert fault in problems[0].what
    assert mend in problems[0].mend
    assert problems[0].place == wrong.place
    assert all(problem.blocks_training for problem in problems)


def test_boxes_beyond_by_rounding_are_cut_told_once_and_trained_on():
    """A thousandth of the side: 0.2 pixels of 200, 0.1 of 100."""
    hair = [box("dog", -0.19, 0.0, 9.0, 9.0), box("dog", 10.0, 10.0, 200.2, 100.09)]
    labels = a_set(picture("a.png", *hair, GOOD))
    (problem,) = require_trainable(labels, sizes, "folder")
    assert problem.place == hair[0].place
    assert "thousandth" in problem.what
    assert problem.what.endswith(": 2")
    expected = [(0, 0, 9, 9), (10, 10, 200, 100), GOOD.box_xyxy]
    for after in (fix(labels, sizes), cut_at_edges(labels, sizes)):
        assert [a.box_xyxy for a in after.pictures[0].annotations] == expected
    with pytest.raises(InputError, match="reaches beyond the picture"):
        require_trainable(a_set(picture("a.png", box("dog", 0.0, 0.0, 9.0, 100.11))), sizes, "folder")


def test_what_fix_leaves_has_nothing_more_to_mend():
    rng = np.random.default_rng(0)
    corners = rng.integers(-60, 260, (500, 4)).astype(float).tolist()
    labels = a_set(picture("a.png", *(box("dog", *four) for four in corners), GOOD))
    after = fix(labels, sizes)
    assert len(after.pictures[0].annotations) > 100
    assert check(after, sizes) == []


def test_check_changes_nothing_and_announces_all_that_fix_changes():
    labels = a_set(picture("a.png", box("dog", -5.0, 0.0, 9.0, 9.0)), picture("b.png", GOOD))
    before = repr(labels)
    places = {problem.place for problem in check(labels, sizes)}
    assert repr(labels) == before
    changed = {
        a.place
        for old, new in zip(labels.pictures, fix(labels, sizes).pictures, strict=True)
        for a, b in zip(old.annotations, new.annotations, strict=True)
        if a != b
    }
    assert changed == places == {"here, dog"}


def test_the_same_object_twice_counts_once():
    twin = replace(GOOD, place="there")
    ((what, mend),) = faults(GOOD, twin, replace(GOOD, label="traffic light"))
    assert "already: here, dog" in what
    assert "removed" in mend
    assert len(mended(GOOD, twin, replace(GOOD, label="traffic light"))) == 2
    assert (
        len(mended(box("dog", 0.0, 0.0, 300.0, 100.0), box("dog", 0.0, 0.0, 200.0, 100.0))) == 1
    )  # once cut


@pytest.mark.parametrize(("label", "fault"), [("", "no class name"), ("elk", "'elk' is none of the classes")])
def test_an_object_needs_one_of_the_classes(label, fault):
    wrong = replace(GOOD, label=label)
    ((what, mend),) = faults(wrong)
    assert fault in what
    assert mend == ""
    assert mended(wrong) == [GOOD.box_xyxy]  # nobody can tell its class, so that it stays


def test_names_that_differ_by_case_and_spaces_become_the_most_frequent():
    names = ["Red Cell", "red cell", "red cell", "redcell ", "white cell"]
    labels = a_set(
        picture("a.png", *(box(name, float(i), 0.0, 9.0 + i, 9.0) for i, name in enumerate(names))),
        classes=("Red Cell", "red cell", "redcell ", "white cell"),
    )
    (problem,) = check(labels, sizes)
    assert "'Red Cell' (1 objects), 'red cell' (2 objects), 'redcell ' (1 objects)" in problem.what
    assert "'red cell'" in problem.mend
    after = fix(labels, sizes)
    assert after.classes == ("red cell", "white cell")
    assert [a.label for a in after.pictures[0].annotations] == ["red cell"] * 4 + ["white cell"]


def test_pictures_without_a_file_are_left_out_and_do_not_keep_others_from_training():
    labels = a_set(picture("a.png", GOOD), picture("lost.png", GOOD))
    problems = require_trainable(labels, lambda path: (200, 100) if path == "a.png" else None, "folder")
    assert "no readable picture 'lost.png'" in problems[0].what
    after = fix(labels, lambda path: (200, 100) if path == "a.png" else None)
    assert [p.path for p in after.pictures] == ["a.png"]


def test_pictures_without_objects_are_counted_and_stay():
    labels = a_set(picture("a.png", GOOD), picture("b.png"), picture("c.png"))
    (problem,) = check(labels, sizes)
    assert problem.what.startswith("2 pictures have no objects")
    assert fix(labels, sizes) == labels


def test_a_size_that_is_another_is_named_and_nothing_is_scaled():
    ((what, mend),) = faults(box("dog", 0.0, 0.0, 100.0, 50.0), width=400)
    assert what == "the labels say 400 x 100 pixels, the picture has 200 x 100"
    assert mend == ""
    assert mended(box("dog", 0.0, 0.0, 100.0, 50.0), width=400) == [(0, 0, 100, 50)]
    assert mended(box("dog", 0.0, 0.0, 50.0, 50.0), width=100, height=200) == [(0, 0, 50, 50)]  # no EXIF


def photo(orientation):
    """(Bytes of a JPEG of 32 x 16 pixels with something white in the dark, its box as it lies there)."""
    pixels = np.zeros((16, 32, 3), dtype=np.uint8)
    pixels[2:6, 4:16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=100, subsampling=0, exif=exif)
    return stream.getvalue(), (4.0, 2.0, 16.0, 6.0)


def bright(content):
    """(The box around what is bright in a picture, (width, height))."""
    image = decode_image(content)
    ys, xs = torch.nonzero(image[0] > 128, as_tuple=True)
    found = (xs.min().item(), ys.min().item(), xs.max().item() + 1, ys.max().item() + 1)
    return found, (image.shape[2], image.shape[1])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_boxes_is_what_decoding_does_to_pixels(orientation):
    content, corners = photo(orientation)
    outline = (4.0, 2.0, 16.0, 2.0, 16.0, 6.0, 4.0, 6.0)
    pixels = torch.zeros(16, 32, dtype=torch.bool)
    pixels[2:6, 4:16] = True
    thing = box("dog", *corners, polygons=(outline,), mask=RunLengths(16, 32, mask_to_runs(pixels)))
    turned = turn_upright(thing, orientation, 32, 16)
    expected, (width, height) = bright(content)
    assert turned.box_xyxy == expected
    xs, ys = turned.polygons[0][0::2], turned.polygons[0][1::2]
    assert (min(xs), min(ys), max(xs), max(ys)) == expected
    assert (turned.mask.width, turned.mask.height) == (width, height)
    mask = runs_to_mask(turned.mask.counts, height, width)
    x1, y1, x2, y2 = map(int, expected)
    assert mask[y1:y2, x1:x2].all()
    assert mask.sum() == 48


@pytest.mark.parametrize("orientation", range(5, 9))
def test_labels_of_the_unturned_picture_are_turned_with_it(orientation):
    content, corners = photo(orientation)
    expected, size = bright(content)
    labels = a_set(picture("a.jpg", box("dog", *corners), width=32, height=16))
    (problem,) = check(labels, lambda path: size, lambda path: orientation)
    assert "EXIF turns it" in problem.what
    assert problem.mend == "the boxes are turned with the picture"
    after = fix(labels, lambda path: size, lambda path: orientation)
    assert after.pictures[0].annotations[0].box_xyxy == expected
    assert (after.pictures[0].width, after.pictures[0].height) == size
    assert check(after, lambda path: size, lambda path: orientation) == []


def test_outlines_are_cut_at_the_edge_with_their_box():
    diamond = outlined("dog", -10.0, 50.0, 20.0, 20.0, 50.0, 50.0, 20.0, 80.0)
    labels = fix(a_set(picture("a.png", diamond)), sizes)
    (found,) = labels.pictures[0].annotations
    assert found.box_xyxy == (0, 20, 50, 80)
    xs, ys = np.array(found.polygons[0][0::2]), np.array(found.polygons[0][1::2])
    area = abs(np.dot(xs, np.roll(ys, 1)) - np.dot(ys, np.roll(xs, 1))) / 2
    assert area == pytest.approx(60 * 60 / 2 - 10 * 20 / 2)  # without the corner that sticks out
    assert check(labels, sizes) == []


def test_training_names_the_first_faults_their_number_and_the_mend():
    wrong = [replace(box("dog", float(i), 9.0, float(i), 9.0), place=f"a.xml, line {i}") for i in range(5)]
    labels = a_set(picture("a.png", *wrong))
    with pytest.raises(InputError) as error:
        require_trainable(labels, sizes, "my folder")
    assert error.value.what.startswith(
        "5 labels cannot be trained on: a.xml, line 0: the box 0, 9, 0, 9 has no area; "
    )
    assert error.value.what.endswith("; and 2 more")
    assert error.value.what_to_do == "striate data convert 'my folder' OUT --fix mends them in a copy"
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("wrong", "mend"),
    [
        ([replace(GOOD, label="")], "in the label files"),
        (
            [replace(GOOD, label=""), box("dog", 5.0, 5.0, 4.0, 4.0)],
            "mends 1 of them in a copy; mend the others",
        ),
    ],
)
def test_what_only_a_person_can_mend_is_said(wrong, mend):
    with pytest.raises(InputError) as error:
        require_trainable(a_set(picture("a.png", *wrong)), sizes, "folder")
    assert mend in error.value.what_to_do


def test_sizes_are_filled_in_where_labels_do_not_say_them():
    labels = a_set(picture("a.png", width=None, height=None), picture("b.png", width=7, height=8))
    assert [(p.width, p.height) for p in with_sizes(labels, sizes).pictures] == [(200, 100), (7, 8)]
    assert with_sizes(labels, lambda path: None) == labels
