"""The audit of whole data sets: copies across splits and classes, refused sets, nothing changed."""

import io
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from faulty_pictures import encode, smooth_pixels, write_files
from PIL import Image
from small_data import contents, write_digits

from striate.audit import audit
from striate.audit.inventory import list_dataset
from striate.audit.labels import class_findings, label_findings, suspects
from striate.data.dataset import Split
from striate.data.formats.idx import write_idx
from striate.errors import InputError


def pictures(folders, count=6):
    """Distinct pictures for each folder, by name."""
    files, seed = {}, 0
    for folder in folders:
        for i in range(count):
            files[f"{folder}/{i}.png"] = encode(smooth_pixels(48, 64, seed=seed), "PNG")
            seed += 1
    return files


def encoded_again(content):
    image = Image.open(io.BytesIO(content))
    return encode(image.resize((50, 40), Image.Resampling.BICUBIC), "JPEG", quality=60)


def found(result, *kinds):
    """(kind, names) of the findings of these kinds, or of all but the small classes."""
    return sorted(
        (finding.kind, tuple(result.entries[i].name for i in finding.entries))
        for finding in result.findings
        if (finding.kind in kinds if kinds else finding.kind != "few")
    )


@pytest.fixture
def splits(tmp_path):
    """A clean set with two splits and two classes."""
    root = tmp_path / "data"
    write_files(root, pictures(["train/cat", "train/dog", "test/cat", "test/dog"]))
    return root


def test_a_clean_set_has_no_findings_but_small_classes(splits):
    result = audit(splits)
    assert found(result) == []
    assert result.counts == {"train": [6, 6], "test": [6, 6]}
    assert [finding.detail for finding in result.findings] == [
        "cat has 6 pictures in train",
        "dog has 6 pictures in train",
    ]


def test_where_copies_lie_decides_their_kind(splits):
    def copy(name, to, change=bytes):
        (splits / to).write_bytes(change((splits / name).read_bytes()))

    copy("train/cat/0.png", "train/cat/same.png")
    copy("train/cat/1.png", "train/cat/near.jpg", encoded_again)
    copy("train/cat/2.png", "train/dog/other_class.png")
    copy("train/dog/0.png", "test/dog/leaked.png")
    copy("test/cat/0.png", "train/cat/leaked.jpg", encoded_again)
    copy("train/dog/1.png", "test/cat/both.jpg", encoded_again)
    assert found(audit(splits)) == [
        ("conflict", ("train/cat/2.png", "train/dog/other_class.png")),
        ("conflict", ("train/dog/1.png", "test/cat/both.jpg")),
        ("duplicate", ("train/cat/0.png", "train/cat/same.png")),
        ("leak", ("train/cat/leaked.jpg", "test/cat/0.png")),
        ("leak", ("train/dog/0.png", "test/dog/leaked.png")),
        ("leak", ("train/dog/1.png", "test/cat/both.jpg")),
        ("near-duplicate", ("train/cat/1.png", "train/cat/near.jpg")),
    ]


def test_a_near_copy_of_one_is_a_near_copy_of_all_its_exact_copies(splits):
    original = (splits / "train/cat/0.png").read_bytes()
    (splits / "train/cat/same.png").write_bytes(original)
    (splits / "test/cat/near.jpg").write_bytes(encoded_again(original))
    assert found(audit(splits)) == [
        ("duplicate", ("train/cat/0.png", "train/cat/same.png")),
        ("leak", ("train/cat/0.png", "test/cat/near.jpg", "train/cat/same.png")),
    ]


def test_a_mirror_image_is_a_kind_of_its_own(splits):
    pixels = smooth_pixels(48, 64, seed=0)  # of train/cat/0.png
    (splits / "train/cat/mirror.png").write_bytes(encode(np.ascontiguousarray(pixels[:, ::-1]), "PNG"))
    assert found(audit(splits)) == [("mirrored", ("train/cat/0.png", "train/cat/mirror.png"))]


def test_exact_copies_only_are_found_if_near_ones_are_not_wanted(splits):
    original = (splits / "train/cat/0.png").read_bytes()
    (splits / "train/cat/same.png").write_bytes(original)
    (splits / "train/cat/near.jpg").write_bytes(encoded_again(original))
    assert found(audit(splits, near=1)) == [("duplicate", ("train/cat/0.png", "train/cat/same.png"))]


def test_blank_pictures_are_no_near_copies_of_each_other(splits):
    for i, value in enumerate((0, 128, 255)):
        (splits / f"train/cat/blank{i}.png").write_bytes(encode(np.full((48, 64), value, np.uint8), "PNG"))
    assert {kind for kind, _ in found(audit(splits))} == {"blank"}


def test_every_bad_file_is_told_and_nothing_is_changed(splits):
    good = (splits / "train/cat/0.png").read_bytes()
    write_files(
        splits,
        {
            "train/cat/cut.png": good[:-30],
            "train/cat/text.jpg": b"no picture",
            "train/dog/empty.png": b"",
            "train/dog/scan.pdf": b"%PDF",
            "test/dog/photograph": encode(smooth_pixels(40, 60, seed=99), "JPEG"),
            "test/stray.png": encode(smooth_pixels(40, 60, seed=98), "PNG"),
            "readme.txt": b"about",
        },
    )
    before = contents(splits)
    result = audit(splits, workers=2)
    assert contents(splits) == before
    assert found(result) == [
        ("left-out", ("test/stray.png",)),
        ("left-out", ("train/dog/scan.pdf",)),
        ("truncated", ("train/cat/cut.png",)),
        ("unreadable", ("train/cat/text.jpg",)),
        ("unreadable", ("train/dog/empty.png",)),
        ("wrong-suffix", ("test/dog/photograph",)),
    ]
    (cut,) = (entry for entry in result.entries if entry.name == "train/cat/cut.png")
    assert (cut.split, cut.label) == ("train", "cat")
    assert result.counts["train"] == [6, 6]


@pytest.mark.parametrize("packed", [False, True])
def test_a_set_that_loading_refuses_is_looked_at_all_the_same(packed, tmp_path):
    files = pictures(["flowers/rose", "flowers/tulip"]) | {"flowers/daisy/1.jpg": b"no picture"}
    files["flowers/tulip/again.png"] = files["flowers/rose/0.png"]
    write_files(tmp_path / "set", files)
    source = tmp_path / "set"
    if packed:
        source = shutil.make_archive(tmp_path / "packed", "zip", source)
    result = audit(source)
    assert found(result) == [
        ("conflict", ("rose/0.png", "tulip/again.png")),
        ("refused", ()),
        ("unreadable", ("daisy/1.jpg",)),
    ]
    assert result.inventory.classes == ("daisy", "rose", "tulip")
    assert "daisy has no readable picture" in result.findings[0].detail
    assert result.counts == {"all": [0, 6, 7]}


def test_a_class_that_only_test_has_and_a_single_class_are_told(tmp_path):
    write_files(tmp_path / "a", pictures(["train/cat", "train/dog", "test/cow"]))
    write_files(tmp_path / "b", pictures(["wrapped/cat"]))
    for folder, split, classes in (("a", "test", ("cat", "cow", "dog")), ("b", "all", ("cat",))):
        result = audit(tmp_path / folder)
        assert [kind for kind, _ in found(result)] == ["refused"]
        assert result.inventory.classes == classes
        assert split in result.counts


def test_without_any_picture_there_is_nothing_to_audit(tmp_path):
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", tmp_path / "missing", "no-such-name"):
        with pytest.raises(InputError):
            audit(source)


def test_arrays_and_their_leaks_are_audited(tmp_path):
    rng = np.random.default_rng(0)
    rough = rng.integers(0, 256, (40, 7, 7), dtype=np.uint8)
    stored = np.stack([np.array(Image.fromarray(one).resize((28, 28), 3)) for one in rough])
    stored[35] = stored[2]
    stored[36] = stored[3] // 2 + 40
    for part, chosen in (("train", slice(0, 30)), ("t10k", slice(30, 40))):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", stored[chosen])
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", (np.arange(40) % 2).astype(np.uint8)[chosen])
    result = audit(tmp_path)
    assert found(result) == [
        ("conflict", ("train/00002", "test/00005")),
        ("conflict", ("train/00003", "test/00006")),
        ("leak", ("train/00002", "test/00005")),
        ("leak", ("train/00003", "test/00006")),
    ]


def test_rare_and_small_classes_are_told():
    findings = class_findings(["a", "b", "c"], {"train": [100, 20, 19], "test": [9, 0, 4]})
    assert [(finding.kind, finding.classes) for finding in findings] == [
        ("imbalance", ("c",)),
        ("few", ("c",)),
        ("few", ("b",)),
        ("few", ("c",)),
    ]
    assert "19 pictures of c, 100 of a" in findings[0].detail
    assert findings[2].detail == "b has no pictures in test"


def test_a_label_is_disputed_only_against_what_is_usual_for_the_other_class():
    probs = torch.tensor(
        [
            [0.95, 0.05, 0.00],  # 0: right, and usual for class 0
            [0.85, 0.10, 0.05],  # 0: right
            [0.02, 0.96, 0.02],  # 1: right
            [0.02, 0.90, 0.08],  # 1: right
            [0.93, 0.04, 0.03],  # labelled 1: at least the usual 0.90 of class 0
            [0.80, 0.05, 0.15],  # labelled 1: less than usual for class 0
            [0.05, 0.15, 0.80],  # labelled 1: the label is not doubted enough
            [0.01, 0.01, 0.98],  # trained on, labelled 0
        ]
    )
    labels = torch.tensor([0, 0, 1, 1, 1, 1, 1, 0])
    trained = torch.tensor([False] * 7 + [True])
    assert suspects(probs, labels, trained).tolist() == [-1, -1, -1, -1, 0, -1, -1, 2]


def test_pictures_in_the_wrong_folder_are_disputed_by_a_trained_network(digits_run, tmp_path):
    paths = write_digits(tmp_path / "digits", range(300))
    sure = [path for path in paths if digits_run.predict(path)[0].score > 0.99 and path.parent.name != "7"]
    wrong = [path for path in sure if digits_run.predict(path)[0].label == path.parent.name][:5]
    for path in wrong:
        path.rename(tmp_path / "digits" / "7" / path.name)
    result = audit(tmp_path / "digits", digits_run)
    disputed = {
        names[0]: finding
        for finding in result.findings
        if finding.kind == "label"
        for names in [[result.entries[i].name for i in finding.entries]]
    }
    assert {f"7/{path.name}" for path in wrong} <= disputed.keys()
    assert len(disputed) <= 12
    assert disputed[f"7/{wrong[0].name}"].classes == (wrong[0].parent.name,)


def test_held_out_pictures_are_told_before_those_that_were_trained_on(digits_run):
    dataset = digits_run.training_data()
    splits = dict(dataset.splits)
    for name in ("train", "test"):
        targets = splits[name].targets.clone()
        targets[:40] = (targets[:40] + 1) % 10
        splits[name] = Split(splits[name].images, targets)
    dataset = replace(dataset, splits=splits)
    entries = list_dataset(dataset).entries
    findings, notes = label_findings(digits_run, dataset, entries, trained_on=True)
    trained = [entries[finding.entries[0]].split == "train" for finding in findings]
    assert notes == []
    assert 20 < sum(trained) <= 42
    assert 20 < len(trained) - sum(trained) <= 42
    assert trained == sorted(trained)
    assert trained == ["trained on this picture" in finding.detail for finding in findings]
    scores = [finding.score for finding in findings if entries[finding.entries[0]].split != "train"]
    assert scores == sorted(scores, reverse=True)


def test_data_that_a_run_was_trained_on_are_split_as_they_were(shapes_run, shapes_folder):
    result = audit(shapes_folder, shapes_run)
    assert list(result.counts) == ["train", "val", "test"]
    assert sum(map(sum, result.counts.values())) == 24
    for name in ("train", "val", "test"):
        names = {entry.name for entry in result.entries if entry.split == name}
        assert names == set(shapes_run.training_data().splits[name].names)


def test_a_run_of_other_classes_cannot_judge_labels(digits_run, shapes_folder):
    with pytest.raises(InputError, match="none of the classes"):
        audit(shapes_folder, digits_run)


def test_classes_that_the_run_does_not_know_are_noted(digits_run, tmp_path):
    write_digits(tmp_path / "digits", range(60))
    write_files(tmp_path / "digits", {"cat/1.png": encode(smooth_pixels(8, 8, channels=1), "PNG")})
    assert audit(tmp_path / "digits", digits_run).notes == (
        "the network does not know cat: their labels were not checked",
    )
