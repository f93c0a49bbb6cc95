"""The sections of a report that only boxes have, as HTML; each is empty when there is nothing to say."""

from collections.abc import Sequence
from html import escape

from striate.metrics.average_precision import ClassDetections
from striate.report.box_charts import DRAWN_CLASSES, precision_recall_chart, size_chart
from striate.report.facts import BoxFacts, BoxPicture, ReportFacts
from striate.report.pictures import drawing_uri
from striate.report.tables import long_table, row, table
from striate.report.wording import (
    CAVEATS,
    counted,
    metric_name,
    objectness_in_words,
    percent,
    split_name,
    three_decimals,
)

ERRORS = {
    "classification": "A box fits an object (IoU of 0.5 or more), but is given another class",
    "localization": "The class is right, but the box fits badly (IoU of 0.1 to 0.5)",
    "both": "The class is wrong and the box fits badly",
    "duplicate": "The object was found already, by a surer box",
    "background": "There is nothing (IoU below 0.1 with every object)",
    "missed": "An object has no box at all",
}


def found_in_all(facts: ReportFacts) -> str:
    """In words, how many objects a detector finds, and how many of its boxes are right."""
    boxes = facts.boxes
    assert boxes
    split = escape(split_name(facts.results_split))
    caveat = CAVEATS.get(facts.results_split, "")
    there = f"The {split} split has {counted(boxes.objects, 'object')} to be found."
    if not boxes.balance:
        return f"<p>{there} No box that the model drew is right.</p><p>{caveat}</p>{_told_apart(facts)}"
    f1, threshold, precision, recall = boxes.balance
    return (
        f"<p>{there} With boxes of a score of {threshold:.3f} or more the model finds "
        f"<b>{percent(recall)}</b> of them, and <b>{percent(precision)}</b> of these boxes are right: the "
        f"class fits, and the IoU is 0.5 or more. No other score balances both better (F1 {percent(f1)}).</p>"
        "<p>mAP needs no such choice: it is the area under the curve of precision over recall, mean over "
        f"the classes and over ten IoU from 0.50 to 0.95. {caveat}</p>{_told_apart(facts)}"
    )


def _told_apart(facts: ReportFacts) -> str:
    """In words, how well a localizer with objectness tells pictures with an object from those without."""
    measured = facts.results.get(facts.results_split, {})
    if "objectness_accuracy" not in measured:
        return ""
    return f"<p>{objectness_in_words(measured)}</p>"


def conventions(facts: ReportFacts) -> str:
    """Why the numbers for the same boxes differ, behind a click."""
    if not facts.boxes or not facts.boxes.conventions:
        return ""
    rows = [
        f'<tr><th scope="row">{metric_name(step.name)}</th><td class="word">{escape(step.sentence)}.</td>'
        f"<td>{three_decimals(step.before)}</td><td>{three_decimals(step.after)}</td>"
        f"<td>{step.change:+.3f}</td></tr>"
        for step in facts.boxes.conventions
    ]
    caption = (
        "Each convention alone. The first seven lead from mAP by VOC 2007 to mAP, each from where the one "
        "before ended; the others change mAP alone."
    )
    numbers = table(("Convention", "What it does", "Without", "With", "Change"), rows, caption, "reasons")
    return f"<details><summary>Why these numbers differ</summary>{numbers}</details>"


def classes(facts: ReportFacts) -> str:
    """How well each class is found, or placed."""
    boxes = facts.boxes
    if not boxes:
        return ""
    if boxes.places:
        return _places_table(facts.classes, boxes.places)
    objects = [scores.objects for scores in boxes.per_class]
    if not any(objects):
        return ""
    seen = sum(count > 0 for count in objects)
    which = "every class" if seen <= DRAWN_CLASSES else f"the {DRAWN_CLASSES} classes with most objects"
    lines = f"Thin: {which}. Bold: the mean of {counted(seen, 'class')}." if seen > 1 else ""
    figure = (
        f'<div class="pair"><figure>'
        f"{precision_recall_chart(boxes.curves, objects)}<figcaption>Precision over recall at an IoU "
        f"of 0.5, each the highest at this recall or more. {lines} The area under "
        f"{'the bold' if seen > 1 else 'this'} curve is mAP@0.5.</figcaption></figure>"
        "<div><p>A curve begins with the surest boxes. Where it begins low, even these are wrong; where it "
        "falls to nothing before 100%, the objects beyond are found at no score.</p></div></div>"
    )
    return figure + _detections_table(boxes.per_class)


def _detections_table(per_class: Sequence[ClassDetections]) -> str:
    """What each class reached, the weakest first; classes without objects last."""
    order = sorted(per_class, key=lambda scores: (scores.ap is None, scores.ap or 0.0))
    rows = [
        f'<tr><th scope="row">{escape(scores.name)}</th>'
        + "".join(_bar(value, three_decimals(value)) for value in (scores.ap, scores.ap_50))
        + _bar(scores.f1, "–" if scores.f1 is None else percent(scores.f1))
        + f"<td>{three_decimals(scores.threshold)}</td><td>{scores.objects:,}</td>"
        f"<td>{scores.detections:,}</td></tr>"
        for scores in order
    ]
    head = ("Class", "AP", "AP@0.5", "Best F1", "at score", "Objects", "Detections")
    caption = (
        "Average precision of each class, the weakest first, and the score that balances its precision and "
        "recall best at an IoU of 0.5."
    )
    return long_table(head, rows, caption, "bars narrow")


def _places_table(names: Sequence[str], places: Sequence[tuple[float, float, int]]) -> str:
    """How well the boxes of each class fit, the worst first; classes without pictures last."""
    order = sorted(range(len(places)), key=lambda label: (places[label][2] == 0, places[label][0]))
    rows = []
    for label in order:
        iou, localized, pictures = places[label]
        bars = (
            _bar(iou, three_decimals(iou)) + _bar(localized, percent(localized))
            if pictures
            else "<td>–</td><td>–</td>"
        )
        rows.append(f'<tr><th scope="row">{escape(names[label])}</th>{bars}<td>{pictures:,}</td></tr>')
    caption = (
        "How well the boxes of each class fit, the worst first. Localized: the class is right and the IoU is "
        "0.5 or more."
    )
    return long_table(("Class", "Mean IoU", "Localized", "Pictures"), rows, caption, "bars two")


def _bar(share: float | None, words: str) -> str:
    return "<td>–</td>" if share is None else f'<td class="bar" style="--w:{share:.4f}">{words}</td>'


def errors(facts: ReportFacts) -> str:
    """What is wrong, by kind, and what mending each would gain, the most first."""
    if not facts.boxes or not facts.boxes.errors:
        return ""
    rows = [
        f'<tr><th scope="row">{kind.kind.capitalize()}</th><td class="word">{ERRORS[kind.kind]}</td>'
        f"<td>{kind.number:,}</td><td>{kind.gain:+.3f}</td></tr>"
        for kind in sorted(facts.boxes.errors.kinds, key=lambda kind: -kind.gain)
    ]
    caption = (
        f"Errors by kind. Gain: how much larger mAP@0.5, {three_decimals(facts.boxes.errors.map_50)}, would "
        "be if this kind alone were mended. Gains do not add up, because one error hides another."
    )
    return table(("Error", "What it is", "Errors", "Gain"), rows, caption, "reasons")


def pictures(facts: ReportFacts) -> str:
    """The pictures with the worst and the best boxes."""
    boxes = facts.boxes
    if not boxes or not (boxes.worst or boxes.best):
        return ""
    legend = "Solid: what was found, with its class and score. Dashed: what is true."
    if boxes.balance:
        legend += (
            f" Shown are boxes with a score of {boxes.balance.threshold:.3f} or more. The pictures are "
            "ordered by their F1 at an IoU of 0.5."
        )
    elif boxes.places:
        legend += " The pictures are ordered by the IoU, those given a wrong class before all others."
    parts = [f"<p>{legend}</p>"]
    for heading, chosen in (("Worst first", boxes.worst), ("Best first", boxes.best)):
        if chosen:
            cards = "".join(map(_card, chosen))
            parts.append(f'<p class="row">{heading}</p><ol class="mistakes drawn">{cards}</ol>')
    return "".join(parts)


def _card(picture: BoxPicture) -> str:
    return (
        f'<li><img src="{drawing_uri(picture.drawing)}" alt="{escape(f"{picture.name}: {picture.verdict}")}">'
        f'<p>{escape(picture.verdict)}</p><p class="note">{escape(picture.name)}</p></li>'
    )


def sizes(facts: ReportFacts) -> str:
    """The sizes of the training boxes, and whether the anchors suit them."""
    boxes = facts.boxes
    if not boxes or not len(boxes.sizes.sizes):
        return ""
    return (
        f'<div class="pair"><figure>{size_chart(boxes.sizes)}<figcaption>Widths and heights of '
        f"{counted(len(boxes.sizes.sizes), 'training box')}, in pixels of the network input."
        f"{' Orange crosses: the anchors.' if boxes.sizes.anchors else ''}</figcaption></figure>"
        f"<div>{_anchors(boxes)}</div></div>"
    )


def _anchors(boxes: BoxFacts) -> str:
    facts = boxes.sizes
    if not facts.anchors:
        return ""
    rows = [row(str(number), (f"{w:g}", f"{h:g}")) for number, (w, h) in enumerate(facts.anchors, start=1)]
    fit = (
        f"<p>A training box and the anchor that fits it best, laid on one centre, have an IoU of "
        f"{three_decimals(facts.fit)} on average.</p>"
    )
    return fit + table(("Anchor", "Width", "Height"), rows, "The anchors, in pixels of the network input.")
