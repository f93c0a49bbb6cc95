"""The report: whole, self-contained, escaped, readable, and true to the numbers it was given."""

import base64
import io
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest

from striate.report import Mistake, ReportFacts, write_report
from striate.report.charts import CSS_VARIABLES, curve_chart, heat_map, learning_rate_chart, reliability_chart
from striate.report.confusion import accuracy_interval, largest_of_blocks, most_confused, row_shares
from striate.report.page import report_page
from striate.report.sections import mistakes, results
from striate.report.style import CSS, DARK, LIGHT
from striate.report.tables import class_table, confusion_table
from striate.report.wording import CAVEATS, counted, duration, percent, short_count

NASTY = "<script>alert('x')</script>&amp;\"$_{"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A page taken apart: every element with its attributes and text, and whether tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []  # (innermost element, text)
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if self.open:
            self.texts.append((self.open[-1], data))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self) -> str:
        return "".join(text for tag, text in self.texts if tag != "style")


def make_facts(num_classes: int = 3, **changes) -> ReportFacts:
    generator = torch.Generator().manual_seed(num_classes)
    confusion = torch.randint(0, 4, (num_classes, num_classes), generator=generator)
    confusion += torch.diag(torch.full((num_classes,), 20))
    support = confusion.sum(1).tolist()
    names = tuple(f"class {index}" for index in range(num_classes))
    tiny = torch.randint(0, 256, (1, 28, 28), dtype=torch.uint8, generator=generator)
    facts = ReportFacts(
        title="lenet on digits",
        task="classification",
        model="lenet",
        params=61_706,
        classes=names,
        history=[
            {
                "epoch": epoch,
                "step": 10 * epoch,
                "lr": 0.1 / epoch,
                "train": {"loss": 1 / epoch, "accuracy": 1 - 0.5 / epoch},
                "val": {"loss": 1.5 / epoch, "accuracy": 1 - 0.75 / epoch**2},
            }
            for epoch in range(1, 6)
        ],
        results={
            "val": {"accuracy": 0.75, "log_loss": 0.8},
            "test": {"accuracy": 0.725, "macro_f1": 0.5, "calibration_error": 0.03125},
        },
        results_split="test",
        confusion=confusion,
        per_class=[
            (0.9 - index / 2000, 0.8, 0.85 - index / 2000, count) for index, count in enumerate(support)
        ],
        reliability=[(0.0, 0.0, 0), (0.5, 0.25, 4), (0.9, 0.75, 12)],
        mistakes=[Mistake(tiny, f"test/{index}.png", names[0], names[1], 0.9) for index in range(3)],
        settings={"optimizer": {"name": "sgd", "lr": 0.1}, "train": {"epochs": 5}, "note": "plain"},
        data={
            "name": "digits",
            "source": "digits",
            "splits": {"train": 100, "test": 20},
            "fingerprint": "ab12",
        },
        faults=[("a.png", "the file ends early")],
        seconds=192.0,
        versions={"torch": "2.13.0"},
        precision="fp32",
        seed=7,
        command="striate train digits --model lenet",
    )
    return replace(facts, **changes)


def test_the_page_is_one_well_formed_document_that_asks_for_nothing_else():
    html = report_page(make_facts())
    page = Page(html)
    for tag, attributes in page.elements:
        assert tag not in {"script", "link", "iframe", "object"}
        for name in ("src", "href", "xlink:href", "srcset", "poster"):
            target = attributes.get(name)
            assert target is None or target.startswith(("#", "data:image/")), (tag, target)
    assert "://" not in html
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    policy = next(meta["content"] for meta in page.of("meta") if meta.get("http-equiv"))
    assert "default-src 'none'" in policy


def test_ids_are_unique_and_every_reference_has_its_target():
    html = report_page(make_facts(40))
    page = Page(html)
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert [name for name, count in ids.items() if count > 1] == []
    assert set(re.findall(r'(?:href="|url\()#([\w-]+)', html)) <= set(ids)


def test_a_reader_who_cannot_see_gets_alternatives_headings_in_order_and_named_tables():
    page = Page(report_page(make_facts()))
    assert [tag for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)] == ["h1"] + ["h2"] * 7
    assert all(image["alt"] for image in page.of("img"))
    drawings = page.of("svg")
    assert len(drawings) == 4
    assert all(drawing["role"] == "img" for drawing in drawings)
    assert len([text for tag, text in page.texts if tag == "title" and text.strip()]) == 1 + len(drawings)
    assert all(cell["scope"] in {"col", "row"} for cell in page.of("th"))


def test_names_that_users_chose_are_shown_and_never_become_markup():
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    facts = make_facts(
        title=NASTY,
        task=NASTY,
        model=NASTY,
        classes=(NASTY, f"b {NASTY}", f"c {NASTY}"),
        mistakes=[Mistake(image, f"file {NASTY}", f"truth {NASTY}", f"guess {NASTY}", 0.5)],
        settings={NASTY: {NASTY: NASTY}, f"x{NASTY}": [NASTY]},
        data={"source": f"source {NASTY}", NASTY: NASTY, "splits": {NASTY: 3}},
        faults=[(f"skipped {NASTY}", f"fault {NASTY}")],
        versions={NASTY: NASTY},
        precision=NASTY,
        command=f"command {NASTY}",
        results={NASTY: {NASTY: 0.5}, "test": {"accuracy": 0.5}},
    )
    page = Page(report_page(facts))
    assert page.of("script") == []
    text = page.text()
    for place in ("file", "truth", "guess", "skipped", "fault", "command", "b", "c"):
        assert f"{place} {NASTY}" in text
    assert f"file {NASTY}: taken for guess {NASTY} (50.00%), is truth {NASTY}" in page.of("img")[0]["alt"]


def test_a_file_name_in_a_foreign_encoding_is_shown_with_its_bytes_escaped(tmp_path):
    facts = make_facts(faults=[(b"caf\xe9.png".decode("utf-8", "surrogateescape"), "no picture")])
    write_report(tmp_path / "report.html", facts)
    assert "caf\\udce9.png" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_writing_replaces_the_old_report_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(path, make_facts())
    assert path.read_text(encoding="utf-8").endswith("</html>\n")
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_not_measured_has_no_section():
    bare = make_facts(
        history=[], results={}, confusion=None, per_class=[], reliability=[], mistakes=[], data={}, faults=[]
    )
    headings = [text for tag, text in Page(report_page(bare)).texts if tag == "h2"]
    assert headings == ["Settings"]


def test_the_headline_and_the_tables_repeat_the_measured_numbers():
    text = " ".join(Page(report_page(make_facts())).text().split())
    for number in ("72.50%", "75.00%", "50.00%", "3.12%", "0.8000", "61,706", "3 min 12 s", "5 epochs"):
        assert number in text
    assert "1 picture could not be used." in text


def test_results_that_no_held_out_picture_proves_say_so():
    assert "chosen on these validation pictures" in results(make_facts(results_split="val"))
    assert "pictures that the model learned from" in results(make_facts(results_split="train"))
    assert not any(caveat in results(make_facts(results_split="test")) for caveat in CAVEATS.values())


@pytest.mark.parametrize("num_classes", [2, 15, 16, 30])
def test_the_confusion_table_holds_every_count_in_its_place(num_classes):
    facts = make_facts(num_classes)
    html = confusion_table(facts.classes, facts.confusion)
    body = re.search(r'<table class="confusion.*?<tbody>(.*?)</tbody>', html, re.DOTALL).group(1)
    cells = [re.findall(r"<td[^>]*>(\d+)</td>", line) for line in body.split("</tr>")[:-1]]
    assert torch.equal(torch.tensor([[int(cell) for cell in line] for line in cells]), facts.confusion)
    kinds = [re.findall(r'<td class="(\w+)"', line) for line in body.split("</tr>")[:-1]]
    for truth, line in enumerate(kinds):
        for guess, kind in enumerate(line):
            count = int(facts.confusion[truth, guess])
            assert kind == ("hit" if truth == guess else "miss" if count else "none")


def pixels_of(svg: str) -> np.ndarray:
    content = re.search(r"data:image/png;base64,([^\"]+)", svg).group(1)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGBA"))


def test_the_heat_map_shows_each_cell_right_in_blue_wrong_in_orange_and_the_rest_clear():
    confusion = torch.zeros(40, 40, dtype=torch.int64)
    confusion[torch.arange(40), torch.arange(40)] = 9
    confusion[3, 17] = 1
    confusion[38, 0] = 30
    pixels = pixels_of(heat_map(confusion))
    assert pixels.shape == (40, 40, 4)
    assert np.array_equal(pixels[..., 3] > 0, confusion.numpy() > 0)
    red, blue = pixels[..., 0].astype(int), pixels[..., 2].astype(int)
    assert (blue > red)[np.arange(40), np.arange(40)].all()
    assert red[3, 17] > blue[3, 17]
    assert pixels[38, 0, 3] > pixels[3, 17, 3]


def test_a_single_mistake_among_a_thousand_classes_is_still_seen():
    confusion = torch.eye(1000, dtype=torch.int64) * 50
    confusion[999, 4] = 1
    pixels = pixels_of(heat_map(confusion))
    assert pixels.shape[:2] == (200, 200)
    assert pixels[199, 0, 3] > 0
    assert (pixels[..., 3] > 0).sum() == 201


def test_a_block_keeps_its_largest_share_also_at_the_ragged_edge():
    shares = torch.arange(25.0).reshape(5, 5).double()
    assert largest_of_blocks(shares, 3).tolist() == [[6, 8, 9], [16, 18, 19], [21, 23, 24]]
    assert torch.equal(largest_of_blocks(shares, 5), shares)


def test_the_most_confused_pairs_by_hand():
    confusion = torch.tensor([[5, 3, 0], [2, 8, 0], [0, 3, 0]])
    pairs = most_confused(confusion, 10)
    assert [(pair.truth, pair.guess, pair.pictures) for pair in pairs] == [(0, 1, 3), (2, 1, 3), (1, 0, 2)]
    assert [pair.share for pair in pairs] == [3 / 8, 1.0, 0.2]
    assert len(most_confused(confusion, 2)) == 2
    assert row_shares(torch.zeros(2, 2, dtype=torch.int64)).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(("correct", "total"), [(0, 10), (10, 10), (1, 1), (9312, 10_000), (37, 50)])
def test_the_accuracy_interval_is_wilsons(correct, total):
    expected = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    assert accuracy_interval(correct, total) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_classes_are_sorted_by_f1_and_none_is_dropped():
    facts = make_facts(120)
    names = re.findall(r'<th scope="row">(.*?)</th>', class_table(facts.classes, facts.per_class))
    scores = {name: row[2] for name, row in zip(facts.classes, facts.per_class, strict=True)}
    assert names == sorted(facts.classes, key=lambda name: scores[name])
    assert len(names) == 120


def test_a_class_without_pictures_has_no_score():
    scores = [(0.0, 0.0, 0.0, 0), (0.5, 0.6, 0.7, 9), (0.5, 0.6, 0.8, 9)]
    tables = class_table(["class 0", "class 1", "class 2"], scores)
    assert re.findall(r'<th scope="row">(.*?)</th>', tables) == ["class 1", "class 2", "class 0"]
    assert tables.count("<td>–</td>") == 3


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 20), (1, 64, 3)])
def test_a_tiny_picture_is_embedded_pixel_for_pixel(shape):
    image = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    page = Page(mistakes(make_facts(mistakes=[Mistake(image, "a", "b", "c", 0.5)])))
    (shown,) = page.of("img")
    assert shown["class"] == "tiny"
    content = base64.b64decode(shown["src"].removeprefix("data:image/png;base64,"))
    pixels = torch.from_numpy(np.array(Image.open(io.BytesIO(content))))
    assert torch.equal(pixels, image[0] if shape[0] == 1 else image.permute(1, 2, 0))


def test_large_photographs_keep_their_shape_and_the_page_stays_under_a_megabyte():
    noise = torch.randint(0, 256, (3, 600, 900), dtype=torch.uint8)
    facts = make_facts(10, mistakes=[Mistake(noise, f"{index}.jpg", "a", "b", 0.5) for index in range(24)])
    html = report_page(facts)
    shown = Page(html).of("img")
    assert len(shown) == 24
    picture = Image.open(io.BytesIO(base64.b64decode(shown[0]["src"].split(",")[1])))
    assert picture.size == (192, 128)
    assert len(html.encode()) < 1_000_000


def test_every_mistake_and_every_skipped_picture_is_shown():
    facts = make_facts(faults=[(f"skipped-{index}.png", "bad") for index in range(100)])
    html = report_page(facts)
    assert all(f"skipped-{index}.png" in html for index in range(100))
    assert html.count("<li>") == len(facts.mistakes)
    assert "100 pictures could not be used." in html


CHARTS = {
    "loss": lambda: curve_chart(make_facts().history, "loss"),
    "accuracy": lambda: curve_chart(make_facts().history, "accuracy"),
    "one epoch": lambda: curve_chart(make_facts().history[:1], "loss"),
    "learning rate": lambda: learning_rate_chart(make_facts().history),
    "reliability": lambda: reliability_chart(make_facts().reliability),
    "heat map": lambda: heat_map(torch.eye(31, dtype=torch.int64)),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_valid_svg_in_the_colours_and_the_font_of_the_page(name):
    svg = CHARTS[name]()
    ElementTree.fromstring(svg)
    assert "<text" in svg  # text stays text
    assert "svg text { font-family: inherit !important; }" in CSS
    assert "<style" not in svg  # it would reach the whole page
    assert re.findall(r"(?:fill|stroke): (#\w+)", svg) == []
    assert not any(colour in svg for colour in CSS_VARIABLES)


def test_a_curve_passes_through_its_points():
    facts = make_facts()
    root = ElementTree.fromstring(curve_chart(facts.history, "loss"))
    lines = [path.get("d") for path in root.iter("path") if "stroke: var(--blue)" in path.get("style", "")]
    curve = max(lines, key=len)
    points = np.array([[float(x) for x in point] for point in re.findall(r"[ML] ([\d.]+) ([\d.]+)", curve)])
    expected = np.array([[row["epoch"], row["val"]["loss"]] for row in facts.history])
    assert points.shape == expected.shape
    for axis in (0, 1):  # drawn coordinates are a linear map of the values
        assert abs(np.corrcoef(points[:, axis], expected[:, axis])[0, 1]) == pytest.approx(1, abs=1e-9)


def test_curves_without_validation_and_without_any_row():
    history = [{"epoch": 1, "step": 1, "train": {"loss": 0.5}}]
    assert "training ends at 0.5" in curve_chart(history, "loss")
    assert "validation" not in curve_chart(history, "loss")
    assert curve_chart(history, "accuracy") == ""
    assert learning_rate_chart(history) == ""


def test_charts_ignore_the_users_style_and_give_it_back():
    plain = CHARTS["loss"]()
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "pink", "text.usetex": True}):
        before = dict(matplotlib.rcParams)
        assert CHARTS["loss"]() == plain
        assert dict(matplotlib.rcParams) == before


def test_the_report_never_loads_pyplot():
    code = "import sys, striate.report; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def luminance(colour: np.ndarray) -> float:
    """Relative luminance of an sRGB colour in 0-1 (WCAG 2.2)."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("mode", [LIGHT, DARK], ids=["light", "dark"])
def test_text_keeps_a_contrast_of_4_5_on_every_ground_in_both_modes(mode):
    colours = {
        name: np.array([int(value[i : i + 2], 16) for i in (0, 2, 4)]) / 255
        for name, value in re.findall(r"--(\w+): #(\w{6})", mode)
    }
    shades = {
        name: np.array([int(part) for part in value.split()]) / 255
        for name, value in re.findall(r"--(hit|miss): ([\d ]+);", mode)
    }
    pairs = [
        (text, colours[ground]) for text in ("ink", "soft", "blue", "orange") for ground in ("paper", "wash")
    ]
    for shade in shades.values():
        for share in (0.1, 0.5, 1.0):  # a cell is its shade over paper
            pairs.append(("ink", share * shade + (1 - share) * colours["paper"]))
    for text, ground in pairs:
        light, dark = sorted((luminance(colours[text]), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


def test_numbers_are_worded_without_flattery():
    assert percent(0.99999) == "99.99%"
    assert percent(1.0) == "100.00%"
    assert percent(float("nan")) == "–"
    assert [duration(s) for s in (0.25, 59.9, 192, 3720)] == ["0.2 s", "59.9 s", "3 min 12 s", "1 h 02 min"]
    assert [counted(n, "class") for n in (0, 1, 1000)] == ["0 classes", "1 class", "1,000 classes"]
    assert [short_count(n) for n in (61_706, 138_357_544, 2 * 10**9)] == ["61,706", "138.4 M", "2.00 G"]
