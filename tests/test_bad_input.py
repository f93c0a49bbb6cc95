"""Whatever is wrong with what a user gives: exit code 2, three lines that name fault, place and mend,
nothing left behind, and the user's own files as they were."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from faulty_pictures import encode, faulty_headers, faulty_pixels, good_pictures, smooth_pixels, write_files
from PIL import Image
from safetensors.torch import load_file, save_file
from small_data import contents, draw_shapes, write_digits

from striate.errors import InputError
from striate.files import read_tensors, write_tensors
from striate.models.catalog import create_model
from striate.run import load_run

QUICK = ("--model", "lenet5", "--epochs", "1", "--precision", "fp32")


@pytest.fixture
def refused(run_cli, tmp_path, monkeypatch):
    """Runs a command in ``tmp_path`` that must be refused; gives what the error says."""
    monkeypatch.chdir(tmp_path)

    def check(*arguments: object, names: str) -> str:
        before = contents(tmp_path)
        outcome = run_cli(*arguments)
        assert outcome.code == 2, outcome
        assert outcome.out == ""
        lines = outcome.err.splitlines()
        assert [line.split(": ")[0] for line in lines] == ["error", "  in", "  try"], outcome.err
        assert names in outcome.err
        assert contents(tmp_path) == before
        return outcome.err

    return check


# What is no data set


def an_empty_folder(root):
    root.mkdir()


def an_empty_class_folder(root):
    (root / "rose").mkdir(parents=True)


def no_folder(root):
    pass


def pictures_without_classes(root):
    write_files(root, {"0.png": good_pictures()["colour.png"]})


def one_class(root):
    shutil.rmtree(draw_shapes(root, 9) / "disc")


def a_class_without_pictures(root):
    (draw_shapes(root, 9) / "rose").mkdir()


def a_class_without_readable_pictures(root):
    write_files(draw_shapes(root, 9), {"rose/0.png": b"", "rose/1.png": b"a rose is a rose"})


def a_split_without_pictures(root):
    draw_shapes(root / "train", 9)
    (root / "val").mkdir()


def a_picture_per_class(root):
    draw_shapes(root, 1)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (an_empty_folder, "no pictures"),
        (an_empty_class_folder, "no pictures"),
        (no_folder, "no such folder"),
        (pictures_without_classes, "no class folders"),
        (one_class, "only one class, square"),
        (a_class_without_pictures, "rose has no readable picture"),
        (a_class_without_readable_pictures, "rose has no readable picture"),
        (a_split_without_pictures, "no pictures for val"),
        (a_picture_per_class, "too few"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_folders_that_are_no_data_set(refused, tmp_path, make, names):
    make(tmp_path / "data")
    assert str(tmp_path / "data") in refused("train", tmp_path / "data", *QUICK, "--out", "run", names=names)


@pytest.mark.parametrize(
    ("file", "content", "names"),
    [
        ("data.zip", b"", "zip"),
        ("data.zip", b"PK\x03\x04 and nothing more", "zip"),
        ("data.tar.gz", b"\x1f\x8b and nothing more", "archive cannot be read"),
        ("one.png", encode(smooth_pixels(8, 8), "PNG"), "one picture is no data set"),
        ("notes.txt", b"roses are red", "no kind of file"),
    ],
)
def test_files_that_are_no_data_set(refused, tmp_path, file, content, names):
    (tmp_path / file).write_bytes(content)
    assert file in refused("train", file, *QUICK, "--out", "run", names=names)


# Bad pictures among good ones


@pytest.fixture(scope="module")
def faulty_folder(tmp_path_factory):
    """Good pictures of every kind, and every kind of faulty ones, in two classes."""
    root = draw_shapes(tmp_path_factory.mktemp("faulty") / "data", 12)
    for name, content in {**good_pictures(), **faulty_headers(), **faulty_pixels()}.items():
        (root / "disc" / name).write_bytes(content)
    sixteen_bits = np.linspace(0, 65535, 40 * 48).reshape(40, 48).astype(np.uint16)
    (root / "square" / "sixteen_bits.png").write_bytes(encode(sixteen_bits, "PNG"))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    (root / "square" / "on_its_side.jpg").write_bytes(encode(smooth_pixels(30, 60), "JPEG", exif=exif))
    return root


def test_bad_pictures_are_skipped_named_and_counted_and_the_others_used(run_cli, faulty_folder, tmp_path):
    bad = {f"disc/{name}" for name in {**faulty_headers(), **faulty_pixels()}}
    good = 24 + len(good_pictures()) + 2
    assert len(bad) > 15
    before = contents(faulty_folder)
    outcome = run_cli("train", faulty_folder, *QUICK, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert {name for name, _ in config["data"]["faults"]} == bad
    assert sum(config["data"]["splits"].values()) == good
    skipped = [line for line in outcome.out.splitlines() if line.startswith("skipped ")]
    assert len(skipped) == 11  # ten by name, and how many more
    assert all(line.split()[1].rstrip(":") in bad for line in skipped[:10])
    assert skipped[10].startswith(f"skipped {len(bad) - 10} more")
    report = (tmp_path / "run" / "report.html").read_text()
    assert all(name.removeprefix("disc/") in report for name in bad)
    assert contents(faulty_folder) == before


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_of_which_nothing_can_be_read_is_refused_before_training(refused, tmp_path, split):
    for name in ("train", "val", "test"):
        draw_shapes(tmp_path / "data" / name, 6)
    for path in (tmp_path / "data" / split).rglob("*.png"):
        path.write_bytes(path.read_bytes()[:-1])  # each has a header, so that only training finds it out
    told = f"too few pictures can be read for the {split} split"
    refused("train", tmp_path / "data", *QUICK, "--out", "run", names=told)


@pytest.mark.parametrize("name", ["empty.jpg", "animated.gif", "200_megapixels.png", "cut_colour.jpg"])
def test_strict_stops_at_a_bad_picture_and_names_it(refused, tmp_path, name):
    root = draw_shapes(tmp_path / "data", 12)
    (root / "disc" / name).write_bytes((faulty_headers() | faulty_pixels())[name])
    refused("train", root, *QUICK, "--strict", "--out", "run", names=f"disc/{name}")


def test_names_that_are_not_text_are_shown_on_one_line(run_cli, tmp_path):
    root = draw_shapes(tmp_path / "data", 12)
    for name in (b"caf\xe9.png", b"two\nlines.png"):
        Path(os.fsdecode(os.fsencode(root) + b"/disc/" + name)).write_bytes(b"")
    outcome = run_cli("train", root, *QUICK, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    skipped = [line for line in outcome.out.splitlines() if line.startswith("skipped ")]
    assert skipped == [
        "skipped disc/caf\N{REPLACEMENT CHARACTER}.png: the file is empty",
        "skipped disc/two\N{REPLACEMENT CHARACTER}lines.png: the file is empty",
    ]


def test_a_class_whose_name_is_not_text_is_refused(refused, tmp_path):
    root = draw_shapes(tmp_path / "data", 12)
    (root / "disc").rename(os.fsdecode(os.fsencode(root) + b"/caf\xe9"))
    refused("train", root, *QUICK, "--out", "run", names="caf\N{REPLACEMENT CHARACTER}")


# Places that cannot be written


@pytest.mark.parametrize("command", ["train", "predict"])
@pytest.mark.parametrize("place", ["file/run", "file/deeper/run", "/proc/striate", "n" * 300])
def test_a_folder_that_cannot_be_made_is_refused(refused, digits_run, tmp_path, command, place):
    (tmp_path / "file").write_text("of the user")
    if command == "train":
        refused("train", "digits", *QUICK, "--out", place, names=place)
    else:
        (picture,) = write_digits(tmp_path / "digits", range(1))
        refused("predict", digits_run.path, picture, "--draw", place, names=place)


def test_a_file_in_the_place_of_the_run_folder_is_refused(refused, tmp_path):
    (tmp_path / "run").write_text("of the user")
    refused("train", "digits", *QUICK, "--out", "run", names="run")


def test_another_folder_than_an_empty_one_is_refused(refused, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("of the user")
    refused("train", "digits", *QUICK, "--out", "run", names="not empty")


@pytest.mark.skipif(sys.platform == "win32", reason="sets a limit of POSIX")
@pytest.mark.parametrize(
    ("limit", "left"), [(1000, None), (100_000, {"config.json", "recipe.toml"})], ids=["at once", "later"]
)
def test_a_full_disk_leaves_nothing_half_written(run_cli, tmp_path, limit, left):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        outcome = run_cli("train", "digits", *QUICK, "--out", tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert outcome.code == 2
    fault, place, mend = outcome.err.splitlines()[-3:]
    assert fault.startswith("error: cannot write ")
    assert str(tmp_path) in place
    assert "space" in mend
    assert "Traceback" not in outcome.err
    if left is None:
        assert list(tmp_path.iterdir()) == []
    else:
        assert {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()} == left


def test_a_disk_that_fills_while_drawing_leaves_nothing_half_written(
    run_cli, digits_run, tmp_path, monkeypatch
):
    (picture,) = write_digits(tmp_path / "digits", range(1))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    outcome = run_cli("predict", digits_run.path, picture, "--draw", tmp_path / "drawn")
    assert outcome.code == 2
    assert "No space left on device" in outcome.err
    assert list((tmp_path / "drawn").iterdir()) == []


# Run folders that are none


@pytest.fixture
def folder(digits_run, tmp_path):
    """A copy of a run folder, to be spoiled."""
    return shutil.copytree(digits_run.path, tmp_path / "spoiled")


def change_config(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda c: c.update(model="lenet6"), "lenet6"),
        (lambda c: c["classes"].pop(), "is (9,)"),
        (lambda c: c["classes"].append("10"), "is (11,)"),
        (lambda c: c.update(classes=["0"]), "at least 2 classes"),
        (lambda c: c.update(classes=[]), "at least 2 classes"),
        (lambda c: c.pop("classes"), "classes: Field required"),
        (lambda c: c.update(task="poetry"), "task"),
        (lambda c: c.update(format_version=2), "format_version"),
        (lambda c: c.update(format="another"), "format"),
        (lambda c: c.update(surprise=1), "surprise"),
        (lambda c: c.update(arguments={"width": 3}), "width"),
        (lambda c: c.update(arguments={"num_classes": 3}), "num_classes"),
        (lambda c: c.update(arguments={"weights": "other.pth"}), "weights"),
        (lambda c: c.update(arguments={"pretrained": True}), "pretrained"),
        (lambda c: c["input"].update(resize=27), "resize must not be smaller"),
        (lambda c: c["input"].update(interpolation="lanczos"), "input.interpolation"),
        (lambda c: c["input"].update(size=[16, 16]), "at least 32 pixels"),
        (lambda c: c["input"].update(size=[0, 0]), "input.size"),
        (lambda c: c["input"].update(margin=16), "margin"),
        (lambda c: c["input"].update(channels=3), "mean and std"),
        (lambda c: c["input"].update(channels=3, mean=[0.5] * 3, std=[0.5] * 3), "(6, 3, 5, 5)"),
        (lambda c: c["input"].update(mean=[]), "mean and std"),
        (lambda c: c["input"].update(std=[0.0]), "input.std"),
        (lambda c: c["input"].update(mean=[float("nan")]), "input.mean"),
        (lambda c: c["input"].update(fit="squash"), "input.fit"),
        (lambda c: c["data"].pop("fingerprint"), "fingerprint"),
        (lambda c: c["recipe"]["evaluate"].update(batch_size=0), "batch_size"),
    ],
)
def test_an_altered_config_is_found_out(refused, folder, change, names):
    change_config(folder, change)
    assert str(folder) in refused("evaluate", folder, names=names)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"run"'])
def test_a_config_that_is_none_is_found_out(refused, folder, content):
    (folder / "config.json").write_bytes(content)
    refused("evaluate", folder, names=str(folder / "config.json"))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("instead", ["nothing", "a folder"])
def test_a_missing_file_is_found_out(refused, folder, name, instead):
    (folder / name).unlink()
    if instead == "a folder":
        (folder / name).mkdir()
    assert name in refused("evaluate", folder, names=str(folder))


def other_network(path, tensors):
    weights = create_model("fashion_cnn").state_dict()
    write_tensors(path, {f"backbone.{name}": tensor for name, tensor in weights.items()}, {})


def missing_tensor(path, tensors):
    write_tensors(path, dict(list(tensors.items())[1:]), {})


def further_tensor(path, tensors):
    write_tensors(path, tensors | {"backbone.more": torch.zeros(1)}, {})


def wrong_shape(path, tensors):
    name, tensor = next(iter(tensors.items()))
    write_tensors(path, tensors | {name: torch.zeros(*tensor.shape, 1)}, {})


def foreign(path, tensors):
    save_file(tensors, path)


def random_bytes(path, tensors):
    path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size))


def cut(path, tensors):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path, tensors):
    path.write_bytes(b"")


SPOILERS = [other_network, missing_tensor, further_tensor, wrong_shape, foreign, random_bytes, cut, empty]


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_weights_of_something_else_are_found_out(refused, folder, spoil):
    path = folder / "model.safetensors"
    spoil(path, load_file(path))
    refused("evaluate", folder, names=str(path))


def test_every_flipped_byte_of_the_weights_is_found_out_or_harmless(folder):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    tensors, facts = read_tensors(path)
    header = 8 + int.from_bytes(content[:8], "little")
    harmless = 0
    for place in [*range(0, header, 7), header, len(content) // 2, len(content) - 1]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            changed, changed_facts = read_tensors(path)
        except InputError:
            continue
        harmless += 1
        assert place < header  # such as a blank that became another
        assert changed_facts == facts
        assert all(torch.equal(changed[name], tensors[name]) for name in tensors)
    assert harmless < 5


def test_a_folder_of_something_else_is_no_run(refused, tmp_path):
    (tmp_path / "photos").mkdir()
    refused("evaluate", "photos", names="photos")
    refused("evaluate", "nothing", names="nothing")
    refused("predict", "photos", "a.png", names="photos")


# --resume


def test_what_cannot_be_resumed(refused, digits_run, tmp_path, folder):
    (tmp_path / "photos").mkdir()
    refused("train", "--resume", folder, names="finished")
    refused("train", "--resume", "photos", names="photos")
    refused("train", "--resume", "nothing", names="nothing")
    refused("train", "--resume", folder, "--epochs", "3", names="keeps its settings")
    refused("train", "digits", "--resume", folder, names="finished")
    state = folder / "checkpoint" / "state.safetensors"
    shutil.copy(folder / "model.safetensors", state)
    refused("train", "--resume", folder, names=str(state))
    state.write_bytes(state.read_bytes()[:1000])
    refused("train", "--resume", folder, names=str(state))


def test_a_run_whose_data_are_gone_cannot_be_resumed(refused, run_cli, tmp_path):
    data = draw_shapes(tmp_path / "data", 12)
    assert run_cli("train", data, *QUICK, "--out", tmp_path / "run").code == 0
    shutil.rmtree(tmp_path / "run" / "checkpoint")
    (tmp_path / "run" / "results.json").unlink()
    data.rename(tmp_path / "gone")
    refused("train", "--resume", tmp_path / "run", names=str(data))
    refused("evaluate", tmp_path / "run", names=str(data))


# Settings


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("--model lenet6", "did you mean lenet5"),
        ("--device tpu", "'tpu'"),
        ("--device meta", "'meta'"),
        ("--device cuda:99", "cuda:99"),
        ("--image-size 16", "at least 32"),
        ("--image-size 0", "input.size"),
        ("--set input.margin=16", "margin"),
        ("--set input.mean=[0.1,0.2]", "input.mean"),
        ("--set input.std=[0.0]", "input.std"),
        ("--epochs 0", "train.epochs"),
        ("--epochs -1", "train.epochs"),
        ("--batch-size 0", "train.batch_size"),
        ("--lr 0", "optimizer.lr"),
        ("--lr nan", "optimizer.lr"),
        ("--lr inf", "optimizer.lr"),
        ("--workers -1", "data.workers"),
        ("--seed -1", "train.seed"),
        ("--precision fp8", "train.precision"),
        ("--set nonsense", "'nonsense'"),
        ("--set nonsense.key=1", "nonsense"),
        ("--set train.nonsense=1", "train.nonsense"),
        ("--set train.epochs.more=1", "epochs"),
        ("--set train.epochs=many", "train.epochs"),
        ("--set model.arguments.nonsense=1", "nonsense"),
        ("--set model.arguments.num_classes=3", "num_classes"),
        ("--set model.arguments=3", "model.arguments"),
        ("--set optimizer.name=sdg", "optimizer.name"),
        ("--set optimizer.betas=[1.0,0.9]", "optimizer.betas"),
        ("--set loss.class_weights=[1,2]", "2 weights for 10 classes"),
        ("--set loss.class_weights=[0,0,0,0,0,0,0,0,0,0]", "all weights are zero"),
        ("--set loss.class_weights=heavy", "loss.class_weights"),
        ("--set data.fractions=[0.5,0.5,0.5]", "fractions"),
        ("--set data.fractions=[0.5,0.5]", "fractions"),
        ("--set data.fractions=[0,0.5,0.5]", "train"),
        ("--set augment.crop=[2,1]", "crop"),
        ("--config missing.toml", "missing.toml"),
        ("--config .", "cannot read the recipe"),
        ("--config poem.toml", "not TOML"),
        ("--config bytes.toml", "bytes.toml"),
        ("--config strange.toml", "train.epoch"),
    ],
)
def test_settings_that_make_no_sense(refused, tmp_path, arguments, names):
    (tmp_path / "poem.toml").write_text("Roses are red, violets are blue")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "strange.toml").write_text("[train]\nepoch = 3\n")
    refused("train", "digits", *QUICK[:4], *arguments.split(), "--out", "run", names=names)


def test_without_tensorboard_it_is_said_before_anything_is_done(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    refused(
        "train", "digits", *QUICK, "--set", "train.tensorboard=true", "--out", "run", names="striate[logging]"
    )


def test_no_data_at_all(refused):
    refused("train", names="striate train DATA")


@pytest.mark.parametrize("name", ["digts", "Digits", "mnits"])
def test_a_misspelt_data_set_is_guessed(refused, name):
    assert "did you mean" in refused("train", name, *QUICK, names=name)


# Channels


def test_colour_data_for_a_grey_network(refused, run_cli, digits_run, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    write_files(
        tmp_path / "data", {f"{k}/{i}.png": encode(pixels, "PNG") for k in range(2) for i in range(3)}
    )
    refused("predict", digits_run.path, tmp_path / "data" / "0" / "0.png", names="grey")
    refused("evaluate", digits_run.path, tmp_path / "data", names="colour")
    assert load_run(digits_run.path).classes == tuple("0123456789")
