"""Which folders are splits and which are classes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.data.dataset import POOL
from striate.data.formats.image_folder import load
from striate.data.load import load_data
from striate.data.split_names import SPLIT_FOLDERS, split_name
from striate.errors import InputError

SPELLINGS = {
    "train": (
        "train", "Training", "training_set", "train_set", "trainset", "training-set", "training set",
        "TRAIN_DATA", "training_data", "traindata", "train2017", "train-images",
    ),
    "val": (
        "val", "valid", "validation", "dev", "devel", "development", "validate", "validating", "val_set",
        "valset", "validation_set", "valid_set", "validation_data", "val_data", "val2017", "Dev Set",
    ),
    "test": (
        "test", "testing", "test_set", "testset", "test_data", "testing_set", "testdata", "eval",
        "evaluation", "Test-Set", "test2014",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("split", "name"), [(split, name) for split in SPELLINGS for name in SPELLINGS[split]]
)
def test_the_names_that_people_give_to_splits(split, name):
    assert split_name(name) == split


@pytest.mark.parametrize(
    "name",
    [
        "trainer",
        "a_train",
        "testament",
        "devil",
        "device",
        "value",
        "evaluator",
        "contest",
        "",
        "2017",
        "set",
    ],
)
def test_other_words_are_no_splits(name):
    assert split_name(name) is None


@given(st.sampled_from(sorted(SPLIT_FOLDERS)), st.sampled_from(["", "_", "-", " ", "."]), st.booleans())
def test_case_and_separators_do_not_count(word, separator, upper):
    name = f"{word}{separator}set"
    assert split_name(name.upper() if upper else name) == SPLIT_FOLDERS[word]


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("training_set", "test_set"), {"train": 2, "test": 2}),
        (("train", "dev"), {"train": 2, "val": 2}),
        (("train", "validate"), {"train": 2, "val": 2}),
        (("train2017", "val2017"), {"train": 2, "val": 2}),
        (("Training Set", "Dev", "eval"), {"train": 2, "val": 2, "test": 2}),
        (("training_set/training_set", "test_set/test_set"), {"train": 2, "test": 2}),
        (("wrapper/training_set",), {"train": 2}),
    ],
)
def test_splits_of_other_names_are_splits(make_classes, folders, expected):
    dataset = load(make_classes({f"{folder}/{label}": 1 for folder in folders for label in ("cat", "dog")}))
    assert dataset.classes == ("cat", "dog")
    assert {split: len(samples) for split, samples in dataset.splits.items()} == expected


@pytest.mark.parametrize(
    "folders",
    [
        ("dev", "prod", "test"), ("bus", "car", "train"), ("eval", "play"), ("test 1", "test 2"),
        ("bus/a", "train/a"), ("train/steam", "train/electric", "bus/old", "bus/new"),
        ("dog/2019", "cat/2019"),
    ],
)  # fmt: skip
def test_classes_that_are_called_like_splits_stay_classes(make_classes, folders):
    dataset = load(make_classes(dict.fromkeys(folders, 1)))
    assert list(dataset.splits) == [POOL]
    assert set(dataset.classes) == {folder.split("/")[0] for folder in folders}


@pytest.mark.parametrize(
    ("tops", "named"),
    [
        (("train", "extra"), ("train", "extra")),
        (("fold1", "fold2", "fold3", "fold4", "fold5"), ("fold1", "fold2")),
        (("a_train", "a_test"), ("a_train", "a_test")),
        (("amazon", "webcam"), ("amazon", "webcam")),
        (("train1", "train2"), ("train1", "train2")),
        (("val", "holdout"), ("val", "holdout")),
    ],
)
def test_folders_that_hold_the_same_classes_are_never_classes(make_classes, tops, named):
    folder = make_classes({f"{top}/{label}": 1 for top in tops for label in ("cat", "dog", "fox")})
    with pytest.raises(InputError) as caught:
        load(folder)
    assert caught.value.where == str(folder)
    assert all(name in caught.value.what for name in named)
    if "train1" not in tops:
        assert "--from image-folder" in caught.value.what_to_do
        assert load_data(folder, "image-folder").classes == tuple(sorted(tops))


def test_nearly_the_same_classes_are_enough(make_classes):
    with pytest.raises(InputError, match="cat, dog"):
        load(make_classes({"one/cat": 1, "one/dog": 1, "one/fox": 1, "two/dog": 1, "two/cat": 1}))


def test_splits_inside_classes_are_told(make_classes):
    folder = make_classes({f"{label}/{split}": 1 for label in ("cat", "dog") for split in ("train", "test")})
    with pytest.raises(InputError, match="folders of classes hold the splits") as caught:
        load(folder)
    assert "train/cat" in caught.value.what_to_do


def test_a_folder_of_classes_beside_a_flat_one_is_not_taken_for_two_classes(make_classes):
    with pytest.raises(InputError, match="holdout"):
        load(make_classes({"train/cat": 1, "train/dog": 1, "holdout": 2}))


def test_folders_around_the_same_classes_are_no_classes_though_each_holds_another(make_classes):
    counts = {
        f"seg_{split}/seg_{split}/{label}": 2 for split in ("train", "test") for label in ("sea", "street")
    }
    folder = make_classes(counts)
    with pytest.raises(InputError, match="seg_test, seg_train hold sea, street") as caught:
        load_data(folder)
    assert "train" in caught.value.what_to_do
    for split in ("train", "test"):  # what the error advises
        (folder / f"seg_{split}").rename(folder / split)
    dataset = load_data(folder)
    assert dataset.classes == ("sea", "street")
    assert {split: len(held.images) for split, held in dataset.splits.items()} == {"train": 4, "test": 4}


def test_classes_with_one_folder_each_are_classes(make_classes):
    assert load_data(make_classes({"cat/cat": 2, "dog/dog": 1})).classes == ("cat", "dog")
