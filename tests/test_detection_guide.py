"""The guide to detection: every command in it runs, in its order, on the files of two labelling tools."""

import json
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image
from small_data import contents

from striate.data import builtin
from striate.data.scenes import make_scenes

GUIDE = (Path(__file__).parents[1] / "docs" / "detection.md").read_text(encoding="utf-8")
CLASSES = ("white", "platelet", "red", "red", "platelet", "red", "white", "platelet", "white", "white")
SMALL = "--epochs 1 --image-size 64"
NARROW = f"{SMALL} --set model.arguments.arguments.width=0.25"
OWN = {
    "--task localization": SMALL,
    "scenes-windows": f"{SMALL} --set model.arguments.width=0.25",
    "augment.sizes": f"{NARROW} --set augment.sizes=[64,96]",
}

RUNS = {
    *("cells-yolo_light", "large-objects", "two-stages", "augmented"),
    *("nuclei-compact_cnn", "scenes-windows-compact_cnn", "scenes-yolo_light", "cells-tree"),
}

Box = tuple[int, int, int, int]
Labelled = dict[str, list[tuple[str, Box]]]


def take_pictures(folder: Path, count: int, seed: int, most: int = 3) -> Labelled:
    """JPEG files of generated scenes with one to ``most`` objects, and what is where in them."""
    pixels, objects, _ = make_scenes(count, size=112, objects=(1, most), seed=seed)
    folder.mkdir()
    labelled: Labelled = {}
    for i in range(count):
        name = f"IMG_{i:04d}.jpg"
        Image.fromarray(pixels[i].permute(1, 2, 0).numpy()).save(folder / name, quality=92)
        mine = objects.pictures == i
        boxes = [tuple(map(int, box)) for box in objects.boxes_xyxy[mine].tolist()]
        labels = [CLASSES[digit] for digit in objects.labels[mine].tolist()]
        labelled[name] = list(zip(labels, boxes, strict=True))
    return labelled


def label_with_labelimg(folder: Path, labelled: Labelled) -> None:
    """An XML file beside each picture, with the folder that it had where it was labelled."""
    for name, objects in labelled.items():
        parts = [
            f"<object><name>{label}</name><pose>Unspecified</pose><truncated>0</truncated>"
            f"<difficult>0</difficult><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin>"
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
            for label, (x1, y1, x2, y2) in objects
        ]
        (folder / name).with_suffix(".xml").write_text(
            f"<annotation><folder>elsewhere</folder><filename>{name}</filename><path>C:\\elsewhere\\{name}"
            "</path><size><width>112</width><height>112</height><depth>3</depth></size>"
            f"<segmented>0</segmented>{''.join(parts)}</annotation>"
        )


def label_with_via(folder: Path, labelled: Labelled) -> None:
    """One JSON file, as VIA exports it."""
    entries = {}
    for name, objects in labelled.items():
        regions = [
            {
                "shape_attributes": {"name": "rect", "x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1},
                "region_attributes": {"class": label},
            }
            for label, (x1, y1, x2, y2) in objects
        ]
        size = (folder / name).stat().st_size
        entries[f"{name}{size}"] = {
            "filename": name, "size": size, "regions": regions, "file_attributes": {}
        }  # fmt: skip
    (folder / "via_export.json").write_text(json.dumps(entries))


def make_faults(labelled: Labelled) -> None:
    """What hands do: a box beyond the edge, one without area, one drawn twice, a class with a capital."""
    (first, *_), (second, *_), (third, *_), (fourth, *_) = list(labelled.values())[:4]
    names = list(labelled)
    labelled[names[0]].append((first[0], (90, 90, 130, 100)))
    labelled[names[1]].append((second[0], (20, 20, 20, 40)))
    labelled[names[2]].append(third)
    labelled[names[3]].append((fourth[0].capitalize(), (1, 1, 20, 20)))


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with everything that the guide takes for granted, and few generated scenes."""
    monkeypatch.chdir(tmp_path)
    for split, count in {"count_train": 16, "count_val": 4, "count_test": 4}.items():
        monkeypatch.setitem(builtin.SCENES, split, count)
    label_with_labelimg(Path("cells"), take_pictures(Path("cells"), 64, seed=1))
    label_with_labelimg(Path("nuclei"), take_pictures(Path("nuclei"), 40, seed=2, most=1))
    more = take_pictures(Path("cells-via"), 16, seed=3)
    make_faults(more)
    label_with_via(Path("cells-via"), more)
    take_pictures(Path("new"), 1, seed=4)
    Path("new/IMG_0000.jpg").rename("new.jpg")
    (tree,) = re.findall(r"```\n(blood\n.*?)```", GUIDE, re.DOTALL)
    Path("cells.tree").write_text(tree)
    return tmp_path


def commands() -> list[str]:
    """The lines of the guide's blocks that begin with striate."""
    blocks = GUIDE.split("```")[1::2]
    return [line for block in blocks for line in block.splitlines() if line.startswith("striate ")]


def made_small(command: str) -> list[str]:
    """A command's arguments; training is made short, of small pictures and a narrow network."""
    arguments = shlex.split(command)[1:]
    if arguments[0] != "train":
        return arguments
    own = next((small for mark, small in OWN.items() if mark in command), NARROW)
    return arguments + shlex.split(own)


def test_every_command_of_the_guide_runs_in_its_order(run_cli, desk):
    before = contents(Path("cells"), Path("cells-via"), Path("nuclei"))
    said = {}
    assert len(commands()) >= 12
    for command in commands():
        outcome = run_cli(*made_small(command))
        assert outcome.code == 0, f"{command}\n{outcome.err}"
        said[command] = outcome.out
    assert contents(Path("cells"), Path("cells-via"), Path("nuclei")) == before
    (mended,) = [out for command, out in said.items() if "--fix" in command]
    assert "wrong in the labels: 4" in mended
    assert all(word in mended for word in ("cut at the edge", "no area", "is removed", "become"))
    (printed,) = [out for command, out in said.items() if "--json" in command]
    assert [entry["file"] for entry in json.loads(printed)] == ["new.jpg"]
    assert list(Path("drawn").iterdir())
    assert list(Path("drawn-one").iterdir())
    assert list(Path("drawn-windows").iterdir())
    assert Path("audit.html").is_file()
    assert {path.name for path in Path("runs").iterdir()} == RUNS
    for code in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL):
        exec(code, {})


def test_labels_that_cannot_be_trained_on_are_named_with_their_file_as_the_guide_says(run_cli, desk):
    outcome = run_cli("data", "info", "cells-via")
    assert outcome.code == 2
    assert "2 labels cannot be trained on" in outcome.err
    assert "via_export.json" in outcome.err
    assert "--fix" in outcome.err


def test_every_setting_the_guide_names_is_one_of_the_recipe():
    from striate.recipe import load_recipe, parse_override

    settings = set(re.findall(r"`(?:--set )?((?:augment|loss|evaluate)\.\w+=[^`]+)`", GUIDE))
    assert len(settings) > 3
    for setting in settings:
        load_recipe(None, dict([parse_override(setting)]))


def test_every_detector_of_the_catalogue_is_in_the_guides_table():
    from striate.tasks.detection.catalog import DETECTORS

    rows = "\n".join(line for line in GUIDE.splitlines() if line.startswith("| `"))
    assert {name for name in DETECTORS if f"`{name}`" in rows} == set(DETECTORS)


def test_every_format_of_boxes_is_in_the_guides_table():
    from striate.data.convert_boxes import BOX_FORMATS

    rows = [line.split("`")[1] for line in GUIDE.splitlines() if line.startswith("| `")]
    assert set(BOX_FORMATS) <= set(rows)


def test_every_file_the_guide_names_is_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", GUIDE):
        assert (Path(__file__).parents[1] / "docs" / target).exists(), target
