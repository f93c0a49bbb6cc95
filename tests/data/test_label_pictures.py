"""Which picture a label file means, and what becomes of pictures whose labels are not complete."""

import unicodedata
from pathlib import Path

import pytest

from striate.data.annotations import AnnotatedPicture, Annotation, Problem
from striate.data.label_files import LabelFiles
from striate.data.label_pictures import PictureFinder, annotation_set, doubtful, split_of

NFC, NFD = (unicodedata.normalize(form, "images/été.jpg") for form in ("NFC", "NFD"))


def files_of(*paths: str) -> LabelFiles:
    return LabelFiles(Path("data"), tuple(sorted(paths)), lambda path: b"")


def find(written: str, label: str, *pictures: str) -> tuple[str | None, str]:
    return PictureFinder(files_of(*pictures)).find(written, label)


@pytest.mark.parametrize(
    ("label", "pictures", "meant"),
    [
        ("annotations/cam2/f0.xml", ("frames/cam1/f0.jpg", "frames/cam2/f0.jpg"), "frames/cam2/f0.jpg"),
        ("annotations/val/f0.xml", ("images/train/f0.jpg", "images/val/f0.jpg"), "images/val/f0.jpg"),
        ("annotations/valid/f0.xml", ("images/train/f0.jpg", "images/val/f0.jpg"), "images/val/f0.jpg"),
        ("val/labels/f0.xml", ("train/images/f0.jpg", "val/images/f0.jpg"), "val/images/f0.jpg"),
        ("a/b/xml/f0.xml", ("a/c/jpg/f0.jpg", "a/b/jpg/f0.jpg"), "a/b/jpg/f0.jpg"),
        ("labels/day/1/f0.xml", ("day/2/f0.jpg", "day/1/f0.jpg", "night/1/f0.jpg"), "day/1/f0.jpg"),
        ("xml/f0.xml", ("images/set1/f0.jpg",), "images/set1/f0.jpg"),
    ],
)
def test_the_picture_in_the_folders_most_like_those_of_the_labels_is_meant(label, pictures, meant):
    assert find("f0.jpg", label, *pictures) == (meant, "")
    assert PictureFinder(files_of(*pictures)).with_stem("f0", label) == [meant]


@pytest.mark.parametrize(
    ("label", "pictures"),
    [
        ("annotations/f0.xml", ("frames/cam1/f0.jpg", "frames/cam2/f0.jpg")),
        ("annotations/cam3/f0.xml", ("frames/cam1/f0.jpg", "frames/cam2/f0.jpg")),
        ("annotations/cam2/f0.xml", ("frames/cam1/f0.jpg",)),
    ],
)
def test_labels_never_go_onto_a_picture_that_only_may_be_meant(label, pictures):
    path, fault = find("f0.jpg", label, *pictures)
    assert path not in pictures
    assert pictures[0] in fault
    assert doubtful(PictureFinder(files_of(*pictures)).with_stem("f0", label), "f0", label)


def test_a_path_with_folders_says_itself_which_picture_is_meant():
    assert find("cam1/f0.jpg", "annotations/cam2/f0.xml", "frames/cam1/f0.jpg") == ("frames/cam1/f0.jpg", "")


@pytest.mark.parametrize(("disk", "written"), [(NFD, NFC), (NFC, NFD)])
@pytest.mark.parametrize("name", [str, lambda path: path.split("/")[-1], str.upper])
def test_a_name_is_found_in_either_form_of_its_accents(disk, written, name):
    assert find(name(written), "labels.csv", disk)[0] == disk
    assert PictureFinder(files_of(disk)).with_stem(Path(written).stem, "labels.csv") == [disk]
    assert files_of(disk).named(written) == disk


def test_of_two_files_that_differ_by_the_form_of_accents_the_one_written_is_meant():
    assert find(NFC, "labels.csv", NFC, NFD)[0] == NFC
    assert find(NFD, "labels.csv", NFC, NFD)[0] == NFD


def thing(label: str = "a", right: float = 2) -> Annotation:
    return Annotation(label, (0, 0, right, 2), "labels.csv, line 2")


def test_class_names_with_accents_apart_and_composed_are_one_class():
    forms = [unicodedata.normalize(form, "été") for form in ("NFC", "NFD")]
    pictures = [AnnotatedPicture(f"{k}.jpg", (thing(name),), "labels.csv") for k, name in enumerate(forms)]
    read = annotation_set(pictures, [], [forms[1]])
    assert read.classes == ("été",)
    assert {annotation.label for one in read.pictures for annotation in one.annotations} == {"été"}


def test_a_picture_with_other_labels_in_another_place_is_left_out_and_one_with_the_same_is_not():
    places = [AnnotatedPicture("p.jpg", (thing(right=right),), f"{right}.xml") for right in (2, 2, 3)]
    same, other = annotation_set(places[:2], []), annotation_set(places[1:], [])
    assert (len(same.problems), same.unread) == (1, {})
    assert set(other.unread) == {"p.jpg"}
    assert other.without(other.unread).pictures == ()


def test_the_first_reason_is_told_of_a_picture_whose_labels_cannot_be_read():
    problems = [Problem(f"labels.csv, line {k}", "no number", picture="p.jpg") for k in (2, 3)]
    read = annotation_set([AnnotatedPicture("p.jpg", (thing(),), "labels.csv")], problems)
    assert read.unread["p.jpg"].place == "labels.csv, line 2"


@pytest.mark.parametrize(
    ("written", "pictures", "meant"),
    [
        ("frame_000000", ("images/frame_000000.PNG",), "images/frame_000000.PNG"),
        ("FRAME_0", ("images/frame_0.png",), "images/frame_0.png"),
        ("a.v2", ("images/a.v2.png",), "images/a.v2.png"),
        ("C:\\x\\cam2\\f0.jpg", ("cam1/f0.jpg", "cam2/f0.jpg"), "cam2/f0.jpg"),
        ("../../cam2/f0.jpg", ("cam1/f0.jpg", "cam2/f0.jpg"), "cam2/f0.jpg"),
        ("data/images/f0.jpg", ("images/f0.jpg", "vis/f0.jpg"), "images/f0.jpg"),
        ("f0.jpg", ("images/f0.jpg", "visual/f0.jpg"), "images/f0.jpg"),
        ("f0.jpg", ("JPEGImages/f0.jpg", "images/f0.jpg"), "JPEGImages/f0.jpg"),
        ("f0.jpg", ("images/train/f0.jpg", "masks/train/f0.jpg"), "images/train/f0.jpg"),
    ],
)
def test_names_without_suffix_and_paths_of_other_machines_mean_one_picture(written, pictures, meant):
    assert find(written, "labels.csv", *pictures)[0] == meant


@pytest.mark.parametrize(
    ("written", "pictures"),
    [
        ("f0", ("images/f0.jpg", "images/f0.png")),
        ("f0.jpg", ("one/f0.jpg", "two/f0.jpg")),
        ("f0.jpg", ("images/train/f0.jpg", "images/val/f0.jpg")),
        ("train/f0.jpg", ("val/f0.jpg",)),
        ("cam1/f0.jpg", ("cam1/f1.jpg", "cam2/f0.jpg")),
        ("f0.png", ("images/f0.jpg",)),
    ],
)
def test_a_name_that_only_may_mean_a_picture_means_none_and_says_why(written, pictures):
    path, fault = find(written, "labels.csv", *pictures)
    assert path == written
    assert pictures[-1] in fault or pictures[0] in fault


def test_labels_in_annotations_are_of_pictures_in_jpegimages_and_of_no_others():
    finder = PictureFinder(
        files_of("V/JPEGImages/b.jpg", "V/Annotations/vis/a.jpg", "V/SegmentationClass/a.png")
    )
    assert finder.with_stem("a", "V/Annotations/a.xml") == []
    assert finder.find("a.jpg", "V/Annotations/a.xml")[0] == "a.jpg"
    assert finder.with_stem("b", "V/Annotations/b.xml") == ["V/JPEGImages/b.jpg"]


def test_folders_beside_those_of_the_pictures_are_told_once():
    pictures = [f"{folder}/{k}.jpg" for folder in ("images", "vis") for k in range(3)]
    finder = PictureFinder(files_of(*pictures))
    found = [finder.find(f"{k}.jpg", "labels.csv")[0] for k in range(3)]
    read = annotation_set([AnnotatedPicture(str(path), (), "labels.csv") for path in found], [], (), finder)
    assert [problem.place for problem in read.problems] == ["vis"]
    assert read.problems[0].what.startswith("3 pictures")


@pytest.mark.parametrize("names", [("cam1/a.jpg", "cam2/a.jpg"), ("cam2/a.jpg", "a.jpg", "cam1/a.jpg")])
def test_two_names_that_would_mean_one_picture_leave_it_out(names):
    finder = PictureFinder(files_of("a.jpg"))
    assert {finder.take(name, "labels.csv")[0] for name in names} == {"a.jpg"}
    read = annotation_set([AnnotatedPicture("a.jpg", (thing(),), "labels.csv")], [], (), finder)
    assert set(read.unread) == {"a.jpg"}


def test_two_ways_to_write_one_path_are_one_name():
    finder = PictureFinder(files_of("images/a.jpg"))
    for name in ("images/a.jpg", "a.jpg", "./images/a.jpg", "C:\\data\\images\\a.jpg"):
        assert finder.take(name, "labels.csv")[0] == "images/a.jpg"
    read = annotation_set([AnnotatedPicture("images/a.jpg", (thing(),), "labels.csv")], [], (), finder)
    assert read.unread == {}


def test_a_picture_that_an_unclear_name_may_mean_lacks_labels_and_is_left_out():
    finder = PictureFinder(files_of("one/a.jpg", "two/a.jpg", "one/b.jpg"))
    finder.take("a.jpg", "labels.csv")
    pictures = [AnnotatedPicture(path, (thing(),), "labels.csv") for path in ("one/a.jpg", "one/b.jpg")]
    assert set(annotation_set(pictures, [], (), finder).unread) == {"one/a.jpg"}


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("images/val2017/a.jpg", "val"),
        ("training_set/a.jpg", "train"),
        ("dev/a.jpg", "val"),
        ("instances_train2017.json", "train"),
        ("dev.csv", "val"),
        ("my_dev_export.csv", None),
        ("dev/train/a.jpg", "train"),
        ("train/val/a.jpg", None),
        ("devices/a.jpg", None),
        ("train.jpg", None),
    ],
)
def test_folders_and_label_files_name_splits(path, split):
    assert split_of(path) == split
