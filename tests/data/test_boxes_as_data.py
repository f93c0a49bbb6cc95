"""Pictures with boxes as data sets: every format keeps the contract, and the same labels come out of each."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from contracts.format_contract import Files, FormatContract, assert_same_data
from faulty_pictures import encode, smooth_pixels

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet
from striate.data.convert_boxes import PATHS, WRITERS
from striate.data.dataset import dominant_labels
from striate.data.load import load_data
from striate.errors import InputError
from striate.samples import Objects

CLASSES = ("cat", "dog", "hen")
BOXES = {  # picture -> its objects
    "train/a.ppm": [("cat", (1, 2, 11, 9)), ("dog", (0, 0, 4, 12))],
    "train/b.ppm": [("hen", (3, 3, 16, 12)), ("cat", (2.5, 0.25, 5.75, 6)), ("dog", (0, 6, 9, 12))],
    "train/c.ppm": [("dog", (0, 0, 16, 12))],
    "val/d.ppm": [("hen", (1, 1, 9, 9))],
    "test/e.ppm": [("cat", (5, 5, 6, 6)), ("hen", (0, 0, 3, 3))],
}


def labels(relabel: bool = False) -> AnnotationSet:
    pictures = []
    for path, boxes in BOXES.items():
        objects = [Annotation(label, tuple(map(float, box)), path) for label, box in boxes]
        if relabel and path == "train/b.ppm":
            objects[1] = Annotation("dog", objects[1].box_xyxy, path)
        split = path.split("/")[0]
        pictures.append(AnnotatedPicture(path, tuple(objects), path, 16, 12, split))
    return AnnotationSet(CLASSES, tuple(sorted(pictures, key=lambda picture: (picture.split, picture.path))))


def written(name: str, folder: Path, annotations: AnnotationSet) -> Files:
    """The files of a data set in the format ``name``, pictures first."""
    folder.mkdir()
    pictures: Files = {}
    for k, (picture, path) in enumerate(zip(annotations.pictures, PATHS[name](annotations), strict=True)):
        pictures[path] = encode(smooth_pixels(12, 16, seed=k), "PPM")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(pictures[path])
        assert picture.width == 16
    WRITERS[name](annotations, folder)
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    shutil.rmtree(folder)
    return pictures | files


class BoxFormatContract(FormatContract):
    task = "detection"
    num_classes = 3
    counts: ClassVar[dict[str, int]] = {"train": 3, "val": 1, "test": 1}

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "to write in"

    def files(self) -> Files:
        return written(self.format, self.folder, labels())

    def relabelled(self) -> Files:
        return written(self.format, self.folder, labels(relabel=True))

    def test_boxes_and_labels_are_those_that_were_written(self, tmp_path: Path) -> None:
        dataset = self.load(tmp_path)
        assert dataset.classes == CLASSES
        assert dataset.remarks == ()
        for split, count in self.counts.items():
            objects = dataset.splits[split].objects
            expected = [boxes for path, boxes in BOXES.items() if path.startswith(split)]
            assert objects is not None
            assert objects.counts.tolist() == [len(boxes) for boxes in expected]
            assert len(objects) == count
            flat = [box for boxes in expected for box in boxes]
            assert [CLASSES[label] for label in objects.labels.tolist()] == [label for label, _ in flat]
            wanted = torch.tensor([box for _, box in flat], dtype=torch.float32)
            torch.testing.assert_close(objects.boxes_xyxy, wanted, atol=0.01, rtol=0)

    def test_an_archive_holds_the_same(self, tmp_path: Path) -> None:
        folder = self.pack(tmp_path, self.files())
        with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
            for path in folder.rglob("*"):
                archive.write(path, path.relative_to(folder))
        assert_same_data(load_data(tmp_path / "pictures.zip"), load_data(folder))


class TestVoc(BoxFormatContract):
    format = "voc"


class TestCoco(BoxFormatContract):
    format = "coco"


class TestYolo(BoxFormatContract):
    format = "yolo"


class TestVia(BoxFormatContract):
    format = "via"


class TestLabelStudio(BoxFormatContract):
    format = "label-studio"


class TestLabelMe(BoxFormatContract):
    format = "labelme"


class TestCvat(BoxFormatContract):
    format = "cvat"


class TestCsv(BoxFormatContract):
    format = "csv"


def a_folder(tmp_path: Path, name: str = "voc") -> Path:
    files = written(name, tmp_path / "to write in", labels())
    for path, content in files.items():
        (tmp_path / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / path).write_bytes(content)
    return tmp_path / "data"


def test_a_picture_that_is_missing_is_left_out_by_name(tmp_path):
    folder = a_folder(tmp_path)
    (picture,) = folder.rglob("b.ppm")
    picture.unlink()
    dataset = load_data(folder)
    (fault,) = dataset.faults
    assert fault.name.endswith("b.ppm")
    assert fault.what == "there is no such file"
    assert len(dataset.splits["train"]) == 2


def test_a_label_that_cannot_be_trained_on_is_refused_with_file_line_and_mend(tmp_path):
    folder = a_folder(tmp_path)
    (file,) = folder.rglob("c.xml")
    file.write_text(file.read_text().replace("<xmax>16</xmax>", "<xmax>0</xmax>"))
    with pytest.raises(InputError) as caught:
        load_data(folder)
    assert "c.xml, line " in caught.value.what
    assert "striate data convert" in caught.value.what_to_do
    assert "--fix" in caught.value.what_to_do


def test_a_label_file_stands_for_its_data_set(tmp_path):
    folder = a_folder(tmp_path, "csv")
    assert_same_data(load_data(folder / "annotations.csv"), load_data(folder))


def test_pictures_in_no_split_beside_splits_are_left_out_by_name(tmp_path):
    folder = a_folder(tmp_path)
    (listed,) = folder.rglob("ImageSets/Main/train.txt")
    listed.with_name("trainval.txt").unlink()
    lines = listed.read_text().splitlines()
    listed.write_text("\n".join(lines[1:]) + "\n")
    dataset = load_data(folder)
    assert [fault.what for fault in dataset.faults] == ["it is in no split, while others are"]
    assert Path(dataset.faults[0].name).stem == Path(lines[0]).name
    assert len(dataset.splits["train"]) == 2
    assert dataset.remarks


def test_a_picture_counts_for_its_largest_object():
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 3, 2], [5, 5, 6, 6]])
    objects = Objects.of(boxes, torch.tensor([4, 1, 2]), torch.tensor([2, 0, 1]))
    assert dominant_labels(objects, 7).tolist() == [1, 7, 2]


def test_areas_are_those_that_a_coco_file_says(tmp_path):
    categories = [{"id": 1, "name": "dog"}]
    sizes = {"width": 40, "height": 30}
    images = [{"id": n, "file_name": f"{n}.png"} | sizes for n in (1, 2)]
    said = [12.5, 0, None, "4", -3, True, float(2**26)]
    one = {"category_id": 1, "iscrowd": 0}
    boxes = [one | {"id": n, "image_id": 1 + n % 2, "bbox": [n, 0, 4, 4]} for n in range(len(said))]
    for box, area in zip(boxes, said, strict=True):
        box |= {} if area is None else {"area": area}
    for n in (1, 2):
        (tmp_path / f"{n}.png").write_bytes(encode(smooth_pixels(30, 40), "PNG"))
    text = {"images": images, "categories": categories, "annotations": boxes}
    (tmp_path / "annotations.json").write_text(json.dumps(text))
    (split,) = load_data(tmp_path).splits.values()
    corners, areas = split.objects.boxes_xyxy[:, 0].tolist(), split.objects.areas
    found = {n: area for n, area in zip(corners, areas.tolist(), strict=True) if area == area}  # not NaN
    assert found == {0: 12.5, 1: 0, 6: 2**26}
    for box in boxes:
        box.pop("area", None)
    (tmp_path / "annotations.json").write_text(json.dumps(text))
    (without,) = load_data(tmp_path).splits.values()
    assert without.objects.areas is None
