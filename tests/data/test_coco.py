"""COCO files: hand-worked cases, pycocotools on what is written, faults with their entry, hostile files."""

import contextlib
import io
import json

import numpy as np
import pytest
from box_sets import random_set, write_set
from faulty_pictures import encode, smooth_pixels, write_files
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from striate.data.annotations import RunLengths
from striate.data.formats import coco
from striate.data.label_files import LabelFiles
from striate.errors import InputError
from striate.ops.masks import runs_to_mask

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools

PNG = encode(smooth_pixels(30, 40), "PNG")
CATEGORIES = [
    {"id": 18, "name": "dog", "supercategory": "animal"},
    {"id": 3, "name": "car", "supercategory": "vehicle"},
    {"id": 90, "name": "cup"},
]


def document(annotations=(), images=None, categories=CATEGORIES, **further):
    images = images or [{"id": 7, "file_name": "a.png", "width": 40, "height": 30}]
    objects = [
        {"id": k, "image_id": 7, "category_id": 18, "iscrowd": 0} | a for k, a in enumerate(annotations)
    ]
    return {"images": images, "annotations": objects, "categories": categories, "info": {}} | further


def read(folder, documents, pictures=("a.png",)):
    texts = {name: json.dumps(value).encode() for name, value in documents.items()}
    write_files(folder, texts | dict.fromkeys(pictures, PNG))
    return coco.read(LabelFiles.open(folder))


def read_one(folder, *annotations, **further):
    return read(folder, {"annotations.json": document(annotations, **further)})


# --- what is read --------------------------------------------------------------------------------------


def test_classes_are_categories_by_name_in_the_order_of_ids(tmp_path):
    found = read_one(tmp_path, {"bbox": [1, 2, 10, 20]}, {"bbox": [0, 0, 1, 1], "category_id": 3})
    assert found.classes == ("car", "dog", "cup")
    first, second = found.pictures[0].annotations
    assert (first.label, first.box_xyxy) == ("dog", (1, 2, 11, 22))
    assert (second.label, second.box_xyxy) == ("car", (0, 0, 1, 1))
    assert first.place == "annotations.json, annotations[0]"
    assert found.problems == ()


def test_sums_of_decimal_fractions_are_what_a_person_expects(tmp_path):
    found = read_one(tmp_path, {"bbox": [0.1, 0.1, 0.2, 39.9]})
    assert found.pictures[0].annotations[0].box_xyxy == (0.1, 0.1, 0.3, 40.0)


def test_area_supercategory_and_other_keys_are_attributes(tmp_path):
    extra = {"area": 7.5, "score": 0.5, "note": None, "attributes": {"pose": "left", "occluded": True}}
    found = read_one(tmp_path, {"bbox": [1, 2, 3, 4], "truncated": 1} | extra)
    annotation = found.pictures[0].annotations[0]
    assert annotation.attributes == {"area": 7.5, "score": 0.5, "pose": "left", "supercategory": "animal"}
    assert (annotation.occluded, annotation.truncated, annotation.difficult) == (True, True, None)


def test_outlines_runs_and_compressed_runs(tmp_path):
    triangle = [1, 1, 9, 1, 9, 9]
    counts = [100, 5, 30 * 40 - 105]
    text = coco_mask.frPyObjects({"size": [30, 40], "counts": counts}, 30, 40)["counts"].decode()
    segmentations = [
        [triangle, triangle],
        {"size": [30, 40], "counts": counts},
        {"size": [30, 40], "counts": text},
    ]
    found = read_one(
        tmp_path, *({"bbox": [1, 1, 8, 8], "segmentation": s, "iscrowd": 1} for s in segmentations)
    )
    outlined, plain, compressed = found.pictures[0].annotations
    assert outlined.polygons == (tuple(triangle), tuple(triangle))
    assert plain.mask == compressed.mask == RunLengths(30, 40, tuple(counts))
    assert all(annotation.crowd for annotation in found.pictures[0].annotations)
    assert found.problems == ()


def test_a_box_that_is_missing_is_that_around_the_segmentation(tmp_path):
    runs = {"size": [30, 40], "counts": [62, 3, 27, 3, 30 * 40 - 95]}  # rows 2..4 of columns 2 and 3
    found = read_one(tmp_path, {"segmentation": [[1, 2, 9, 3, 5, 8.5]]}, {"segmentation": runs})
    assert [a.box_xyxy for a in found.pictures[0].annotations] == [(1, 2, 9, 8.5), (2, 2, 4, 5)]


def test_splits_and_pictures_of_coco_2017_and_of_roboflow(tmp_path):
    for split in ("train", "val"):
        image = [{"id": 7, "file_name": "a.png"}]
        documents = {f"annotations/instances_{split}2017.json": document(images=image)}
        read(tmp_path / "coco", documents, [f"{split}2017/a.png"])
        read(
            tmp_path / "roboflow",
            {f"{split}/_annotations.coco.json": document(images=image)},
            [f"{split}/a.png"],
        )
    for name, suffix in (("coco", "2017"), ("roboflow", "")):
        found = coco.read(LabelFiles.open(tmp_path / name))
        assert [(p.split, p.path) for p in found.pictures] == [
            ("train", f"train{suffix}/a.png"),
            ("val", f"val{suffix}/a.png"),
        ]
        assert found.problems == ()


def test_instances_are_read_and_other_files_of_coco_are_not(tmp_path):
    texts = {f"annotations/{kind}_val2017.json": document() for kind in ("instances", "captions")}
    assert [p.place for p in read(tmp_path, texts).pictures] == [
        "annotations/instances_val2017.json, images[0]"
    ]


def test_one_file_can_be_named_whatever_its_name(tmp_path):
    read(tmp_path, {"annotations.json": document(), "mine.json": document([{"bbox": [1, 1, 2, 2]}])})
    found = coco.read(LabelFiles.open(tmp_path / "mine.json"))
    assert len(found.pictures[0].annotations) == 1


# --- faults --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"bbox": [1, 2, 3]}, "the bbox is not"),
        ({"bbox": [1, 2, "3", 4]}, "the bbox is not"),
        ({"bbox": None}, "the bbox is not"),
        ({"category_id": 1}, "'1' is that of no category"),
        ({"category_id": None}, "is that of no category"),
        ({"image_id": 8}, "'8' is that of no picture"),
        ({"image_id": [7]}, "has no image_id"),
        ({"iscrowd": 2}, "iscrowd is '2'"),
    ],
)
def test_an_object_that_cannot_be_used_is_a_problem_with_its_entry(tmp_path, fault, message):
    good = {"bbox": [1, 2, 3, 4]}
    found = read_one(tmp_path, good, good | fault, good)
    assert len(found.pictures[0].annotations) == 2
    [problem] = found.problems
    assert message in problem.what
    assert (problem.place, problem.left_out) == ("annotations.json, annotations[1]", 1)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 2, 3, 4, 5]], "5 numbers"),
        ([1, 2, 3, 4, 5, 6], "no list of numbers"),
        ("text", "neither outlines nor runs"),
        ({"size": [30, 40], "counts": [1, 2]}, "the runs of a mask have 3 pixels"),
        ({"size": [30, 40], "counts": "~"}, "compressed run lengths"),
        ({"size": [30], "counts": [1200]}, "not height and width"),
        ({"size": [10**6, 10**6], "counts": [10**12]}, "more than"),
    ],
)
def test_a_segmentation_that_is_none_leaves_the_box(tmp_path, segmentation, message):
    found = read_one(tmp_path, {"bbox": [1, 2, 3, 4], "segmentation": segmentation})
    assert found.pictures[0].annotations[0].box_xyxy == (1, 2, 4, 6)
    [problem] = found.problems
    assert message in problem.what
    assert problem.place == "annotations.json, annotations[0]"


def test_what_is_not_kept_is_told(tmp_path):
    found = read_one(tmp_path, {"bbox": [1, 2, 3, 4], "keypoints": [1, 2, 2]}, segment_info=[])
    assert [problem.what for problem in found.problems] == [
        "'segment_info' is not kept",
        "keypoints of 1 entries is no string, number or boolean, and is not kept",
    ]


def test_two_categories_of_one_name_are_one_class_and_told(tmp_path):
    categories = [{"id": k, "name": name} for k, name in enumerate(["fish", "fish", "crab"])]
    found = read_one(tmp_path, {"bbox": [1, 2, 3, 4], "category_id": 1}, categories=categories)
    assert found.classes == ("fish", "crab")
    assert "several categories are named 'fish'" in found.problems[0].what


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        ({"images": None}, "annotations.json", 'no list "images"'),
        ({"annotations": {}}, "annotations.json", 'no list "annotations"'),
        ({"categories": [{"id": 1}]}, "categories[0]", "no name"),
        ({"categories": CATEGORIES + CATEGORIES[:1]}, "categories[3]", "'18' is there twice"),
        ({"images": [{"id": 7}]}, "images[0]", "no file_name"),
        ({"images": [{"id": 7, "file_name": "a.png"}] * 2}, "images[1]", "'7' is there twice"),
    ],
)
def test_lists_and_ids_that_cannot_be_joined_are_refused(tmp_path, change, where, message):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, {"annotations.json": document() | change})
    assert where in caught.value.where


@pytest.mark.parametrize(
    "name", ["../../secret.png", "/etc/secret.png", "C:\\secret.png", "x/../../secret.png"]
)
def test_names_of_pictures_never_lead_out(tmp_path, name):
    write_files(tmp_path, {"secret.png": PNG})
    images = [{"id": 7, "file_name": name}]
    found = read(tmp_path / "data", {"annotations.json": document(images=images)})
    assert [picture.path for picture in found.pictures] == [
        "secret.png"
    ]  # one inside the data, were it there
    assert "leads out of the data" in found.problems[0].what


# --- what is written -----------------------------------------------------------------------------------


def test_pycocotools_reads_what_is_written_with_the_same_masks(tmp_path):
    annotations, contents = random_set(3)
    write_set("coco", annotations, contents, tmp_path / "out")
    for split in ("train", "val", "test"):
        with contextlib.redirect_stdout(io.StringIO()):
            api = COCO(str(tmp_path / f"out/annotations/instances_{split}.json"))
        pictures = [picture for picture in annotations.pictures if picture.split == split]
        assert len(api.imgs) == len(pictures)
        objects = [annotation for picture in pictures for annotation in picture.annotations]
        for entry, annotation in zip(api.loadAnns(sorted(api.anns)), objects, strict=True):
            x, y, width, height = entry["bbox"]
            assert np.allclose((x, y, x + width, y + height), annotation.box_xyxy, atol=1e-5)
            assert api.cats[entry["category_id"]]["name"] == annotation.label
            assert entry["iscrowd"] == annotation.crowd
            if annotation.mask:
                mask = annotation.mask
                expected = runs_to_mask(mask.counts, mask.height, mask.width).numpy()
                assert np.array_equal(api.annToMask(entry), expected)
                assert entry["area"] == expected.sum()


def test_areas_without_a_segmentation_are_those_of_boxes_and_else_of_outlines(tmp_path):
    annotations, contents = random_set(4, rich=False)
    write_set("coco", annotations, contents, tmp_path / "out")
    for path in (tmp_path / "out/annotations").iterdir():
        for entry in json.loads(path.read_text())["annotations"]:
            assert entry["area"] == pytest.approx(entry["bbox"][2] * entry["bbox"][3], abs=1e-3)
    from striate.data.write.coco import _enclosed

    assert _enclosed((0, 0, 4, 0, 4, 3)) == 6
    assert _enclosed((0, 0, 4, 3, 4, 0)) == 6
