"""Which picture a label file means, and what becomes of pictures whose labels are not complete."""

import unicodedata
from pathlib import Path

import pytest

from striate.data.annotations import AnnotatedPicture, Annotation, Problem
from striate.data.label_files import LabelFiles
from striate.data.label_pictures import PictureFinder, annotation_set, doubtful

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
