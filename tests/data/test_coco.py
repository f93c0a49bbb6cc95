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
from striate.data.load import load_data
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


@pytest.mark.parametrize("crowd", [None, 0, 0.0, "0", "0.0", False, "false", "False", ""])
def test_what_is_no_crowd_may_be_written_in_any_way(tmp_path, crowd):
    found = read_one(tmp_path, {"bbox": [1, 2, 3, 4], "iscrowd": crowd})
    assert [annotation.crowd for annotation in found.pictures[0].annotations] == [False]
    assert found.problems == ()


@pytest.mark.parametrize("crowd", [1, 1.0, "1", True, "true", "1.0"])
def test_so_may_a_crowd(tmp_path, crowd):
    found = read_one(tmp_path, {"bbox": [1, 2, 3, 4], "iscrowd": crowd})
    assert [annotation.crowd for annotation in found.pictures[0].annotations] == [True]


@pytest.mark.parametrize("of_picture", [7, 7.0, "7"])
@pytest.mark.parametrize("of_class", [18, 18.0, "18"])
def test_ids_and_numbers_are_the_same_however_they_are_written(tmp_path, of_picture, of_class):
    images = [{"id": of_picture, "file_name": "a.png", "width": "40", "height": 30.0}]
    categories = [{"id": of_class, "name": "dog"}, {"id": 0, "name": 5}]
    written = [{"image_id": i, "category_id": c} for i in (7, 7.0, "7") for c in (18, 18.0, "18")]
    objects = [entry | {"bbox": ["1", 2, " 3.5", "4"]} for entry in written]
    found = read_one(tmp_path, *objects, images=images, categories=categories)
    (one,) = found.pictures
    assert found.problems == ()
    assert (one.width, one.height) == (40, 30)
    assert [(a.label, a.box_xyxy) for a in one.annotations] == [("dog", (1, 2, 4.5, 6))] * 9
    assert found.classes == ("5", "dog")


def test_ids_of_text_stay_apart_where_they_are_names(tmp_path):
    images = [{"id": name, "file_name": f"{name}.png"} for name in ("007", "7")]
    documents = {"annotations.json": document([{"bbox": [1, 2, 3, 4], "image_id": 7}], images=images)}
    found = read(tmp_path, documents, ("007.png", "7.png"))
    assert {p.path: len(p.annotations) for p in found.pictures} == {"007.png": 0, "7.png": 1}


def test_an_outline_may_be_a_plain_list_and_an_empty_one_is_none(tmp_path):
    segmentations = [[1, 2, 9, 3, 5, 8.5], ["1", "2", "9", "3", "5", "8.5"], [[]], []]
    found = read_one(tmp_path, *({"bbox": [1, 2, 8, 6.5], "segmentation": s} for s in segmentations))
    triangle = (1, 2, 9, 3, 5, 8.5)
    assert [a.polygons for a in found.pictures[0].annotations] == [(triangle,), (triangle,), (), ()]
    assert found.problems == ()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("deep\\a b.png", "deep/a b.png"),
        ("deep/a%20b.png", "deep/a b.png"),
        ("data/set/deep/a b.png", "deep/a b.png"),
        (None, "deep/a b.png"),
    ],
)
def test_pictures_are_found_by_name_or_address(tmp_path, name, path):
    image = {"id": 7, "file_name": name, "coco_url": "http://host/deep/a%20b.png"}
    documents = {"annotations.json": document([{"bbox": [1, 2, 3, 4]}], images=[image])}
    found = read(tmp_path, documents, [path])
    assert [(p.path, len(p.annotations)) for p in found.pictures] == [(path, 1)]


def test_pictures_of_another_suffix_are_named_and_not_taken(tmp_path):
    documents = {"annotations.json": document([{"bbox": [1, 2, 3, 4]}])}
    write_files(tmp_path, {"annotations.json": json.dumps(documents["annotations.json"]).encode()})
    write_files(tmp_path, {"images/a.jpg": PNG})
    with pytest.raises(InputError, match=r"there is no a\.png \(there is images/a\.jpg\)"):
        load_data(tmp_path)


def test_pictures_that_may_lack_objects_are_no_negatives(tmp_path):
    """An annotation of no picture may be that of any picture without objects."""
    images = [{"id": k, "file_name": f"{k}.png"} for k in (7, 8, 9)]
    objects = [{"bbox": [1, 2, 3, 4]}, {"bbox": [1, 2, 3, 4], "image_id": 10}]
    pictures = ["7.png", "8.png", "9.png"]
    found = read(tmp_path / "a", {"annotations.json": document(objects, images=images)}, pictures)
    assert set(found.unread) == {"8.png", "9.png"}
    dataset = load_data(tmp_path / "a")
    assert [fault.name for fault in dataset.faults] == ["8.png", "9.png"]
    assert sum(map(len, dataset.splits.values())) == 1
    clean = read(tmp_path / "b", {"annotations.json": document(objects[:1], images=images)}, pictures)
    assert clean.unread == {}
    assert len(clean.pictures) == 3


def test_pictures_of_a_file_without_annotations_are_unlabelled(tmp_path):
    test = {key: value for key, value in document().items() if key != "annotations"}
    documents = {"instances_test.json": test, "instances_train.json": document([{"bbox": [1, 2, 3, 4]}])}
    found = read(tmp_path, documents, ("train/a.png", "test/a.png"))
    assert [picture.path for picture in found.pictures] == ["train/a.png"]
    assert any("1 pictures count as unlabelled" in problem.what for problem in found.problems)
    with pytest.raises(InputError, match="no COCO file has annotations"):
        read(tmp_path / "alone", {"instances_test.json": test})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_any_encoding_of_unicode_is_recognized_and_read(tmp_path, encoding):
    categories = [{"id": 18, "name": "été"}]
    text = json.dumps(document([{"bbox": [1, 2, 3, 4]}], categories=categories), ensure_ascii=False)
    write_files(tmp_path, {"annotations.json": text.encode(encoding), "a.png": PNG})
    dataset = load_data(tmp_path)
    assert (dataset.format, dataset.classes) == ("coco", ("été",))


# --- faults --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"bbox": [1, 2, 3]}, "the bbox is not"),
        ({"bbox": [1, 2, "3 px", 4]}, "the bbox is not"),
        ({"bbox": None, "segmentation": {"size": [30, 40], "counts": [1200]}}, "the mask has no pixels"),
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
    assert problem.picture == ("" if "image_id" in fault else "a.png")


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 2, 3, 4, 5]], "5 numbers"),
        ([1, 2, 3, 4, 5], "5 numbers"),
        ([[1, 2, 3, 4, "x", 6]], "no list of numbers"),
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


@pytest.mark.parametrize("bbox", [[0, 0, 0, 0], [0.0, 0.0, 0.0, 0.0]])
def test_zeros_in_place_of_a_box_are_none_where_there_is_an_outline(tmp_path, bbox):
    annotations = read_one(tmp_path, {"bbox": bbox, "segmentation": [[1, 2, 11, 2, 11, 22]]})
    ((found,),) = [one.annotations for one in annotations.pictures]
    assert found.box_xyxy == (1, 2, 11, 22)


def test_the_mask_of_a_picture_of_another_size_gives_no_box(tmp_path):
    turned = {"size": [40, 30], "counts": [0, 5, 1195]}  # of 30 x 40 pixels, the picture has 40 x 30
    annotations = read_one(tmp_path, {"bbox": None, "segmentation": turned})
    assert set(annotations.unread) == {"a.png"}
    assert "30 x 40 pixels, the picture 40 x 30" in annotations.problems[0].what
    with_box = read_one(tmp_path / "box", {"bbox": [1, 2, 3, 4], "segmentation": turned})
    ((found,),) = [one.annotations for one in with_box.pictures]
    assert (found.box_xyxy, found.mask) == ((1, 2, 4, 6), None)
