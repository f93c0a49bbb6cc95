"""The run folder: whole, portable, free of pickle, and all that it takes to use the network again."""

import json
import pickle
import shutil

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, log_loss
from small_data import contents, draw_shapes, write_digits

from striate.api import resume, train
from striate.data.builtin import load_digits
from striate.data.images import decode_image
from striate.errors import InputError
from striate.run import load_run
from striate.run_folder import read_config

FILES = {
    "config.json", "model.safetensors", "recipe.toml", "README.md", "metrics.jsonl", "report.html",
    "results.json", "checkpoint/state.safetensors",
}  # fmt: skip
QUICK = {"train.epochs": 1, "train.precision": "fp32"}


def test_the_folder_holds_what_the_design_says_and_nothing_else(digits_run):
    whole = digits_run.path
    files = {path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()}
    assert files == FILES


def test_config_and_weights_are_enough_anywhere(digits_run, tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(digits_run.path / name, tmp_path / name)
    moved = load_run(tmp_path)
    image, _ = load_digits().splits["all"][0]
    assert moved.predict(image) == digits_run.predict(image)
    assert moved.evaluate() == digits_run.evaluate()
    assert moved.classes == tuple("0123456789")


def test_a_config_from_before_resize_and_interpolation_means_neither(digits_run, tmp_path):
    shutil.copy(digits_run.path / "model.safetensors", tmp_path / "model.safetensors")
    config = json.loads((digits_run.path / "config.json").read_text())
    assert config["input"].pop("resize") is None
    assert config["input"].pop("interpolation") == "bilinear"
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_run(tmp_path).preprocessing == digits_run.preprocessing


def test_nothing_is_a_pickle_and_nothing_is_unpickled(digits_run, monkeypatch):
    def refuse(*arguments, **options):
        pytest.fail("a pickle was loaded")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    load_run(digits_run.path).evaluate()
    for name, content in contents(digits_run.path).items():
        if name.endswith(".safetensors"):
            header = content[8 : 8 + int.from_bytes(content[:8], "little")]
            assert json.loads(header)
        else:
            assert content.decode("utf-8")  # text, or "a folder"


def test_the_files_are_readable_by_others(digits_run):
    assert digits_run.path.stat().st_mode & 0o777 == 0o755
    for name in FILES:
        assert (digits_run.path / name).stat().st_mode & 0o444 == 0o444


def test_config_tells_what_the_run_was(digits_run):
    config = read_config(digits_run.path)
    assert (config.format, config.format_version, config.task, config.model) == (
        "striate-run", 1, "classification", "lenet5",
    )  # fmt: skip
    assert config.data.splits == {"train": 1348, "val": 269, "test": 180}
    assert config.data.fingerprint == load_digits().fingerprint()
    assert config.versions["torch"] == torch.__version__
    pixels = (
        torch.cat([digits_run.predictor.place(image)[0] for image in images_of(digits_run, "train")]).double()
        / 255
    )
    assert config.input.mean == pytest.approx([float(pixels.mean())], abs=1e-6)
    assert config.input.std == pytest.approx([float(pixels.std(correction=0))], abs=1e-6)


def images_of(run, split):
    chosen = run.choose_split(None, split)[1]
    return [chosen[i][0] for i in range(len(chosen))]


def test_preprocessing_comes_from_the_folder_alone(digits_run, tmp_path):
    """Resized, framed and normalized by hand, as config.json says, pictures get the same probabilities."""
    paths = write_digits(tmp_path, range(20))
    loaded = load_run(digits_run.path)
    config = json.loads((digits_run.path / "config.json").read_text())["input"]
    assert (config["size"], config["margin"]) == ([32, 32], 2)
    for path in paths:
        scaled = F.interpolate(decode_image(path)[None], size=(28, 28), mode="bilinear", antialias=True)
        framed = torch.zeros(1, 1, 32, 32)
        framed[:, :, 2:30, 2:30] = scaled.float()
        pixels = (framed / 255 - config["mean"][0]) / config["std"][0]
        with torch.inference_mode():
            probs = loaded.model(pixels)["logits"].softmax(1)[0]
        guesses = {p.label: p.score for p in loaded.predict(path, count=10)}
        assert [guesses[name] for name in loaded.classes] == pytest.approx(probs.tolist(), abs=1e-5)


def test_pictures_of_many_sizes_can_be_predicted_together(shapes_run):
    sizes = [(24, 24), (100, 30), (30, 100), (1, 1), (32, 32), (2, 300)]
    pictures = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes]
    together = shapes_run.predict_all(pictures)
    for picture, scores in zip(pictures, together, strict=True):
        alone = shapes_run.predict(picture)
        assert [p.label for p in scores] == [p.label for p in alone]
        assert [p.score for p in scores] == pytest.approx([p.score for p in alone], abs=1e-6)


def test_mirror_evaluation_averages_the_logits_of_a_picture_and_its_mirror_image(digits_run, tmp_path):
    folder = shutil.copytree(digits_run.path, tmp_path / "mirror")
    config = json.loads((folder / "config.json").read_text())
    config["recipe"]["evaluate"]["mirror"] = True
    (folder / "config.json").write_text(json.dumps(config))
    run = load_run(folder)
    split = run.choose_split(None, "test")[1]
    images = torch.stack([run.predictor.place(split[i][0])[0] for i in range(len(split))])
    pixels = run.preprocessing.normalize(images)
    with torch.inference_mode():
        logits = (run.model(pixels)["logits"] + run.model(pixels.flip(3))["logits"]) / 2
    probs = logits.double().softmax(1).numpy()
    metrics = run.evaluate(split="test")["metrics"]
    assert metrics["accuracy"] == pytest.approx(accuracy_score(split.targets, probs.argmax(1)))
    assert metrics["log_loss"] == pytest.approx(log_loss(split.targets, probs, labels=range(10)), rel=1e-5)
    assert metrics["log_loss"] != pytest.approx(digits_run.results["test"]["log_loss"], rel=1e-3)
    best = run.predict(split[0][0])[0]
    assert best.score == pytest.approx(probs[0].max(), abs=1e-5)


def test_a_grey_picture_is_shown_to_a_colour_network(shapes_run, tmp_path):
    (path,) = write_digits(tmp_path, range(1))
    assert len(shapes_run.predict(path)) == 2


@pytest.fixture
def small_run(tmp_path):
    """A run on pictures that the test may change, and their folder."""
    folder = draw_shapes(tmp_path / "shapes", 12)
    return train(folder, model="lenet5", out=tmp_path / "run", settings=QUICK), folder


def test_changed_data_are_found_out(small_run):
    run, folder = small_run
    assert run.evaluate()["num_samples"] == 2
    moved = folder / "disc" / "3.png"
    moved.rename(folder / "square" / "33.png")  # another label, nothing else
    with pytest.raises(InputError, match="data changed") as caught:
        load_run(run.path).evaluate()
    assert caught.value.where == str(folder)
    (folder / "square" / "33.png").rename(moved)
    assert load_run(run.path).evaluate()["num_samples"] == 2


def test_a_run_goes_on_only_with_the_data_that_it_began_with(small_run):
    run, folder = small_run
    shutil.rmtree(run.path / "checkpoint")  # as if it had been killed before its first checkpoint
    (run.path / "results.json").unlink()
    picture = folder / "disc" / "0.png"
    content = picture.read_bytes()
    picture.write_bytes((folder / "disc" / "1.png").read_bytes())
    before = contents(run.path)
    with pytest.raises(InputError, match="data changed"):
        resume(run.path)
    assert contents(run.path) == before
    picture.write_bytes(content)
    assert resume(run.path).results["test"]


@pytest.mark.parametrize("kept", ["whole", "without its checkpoint"])
def test_a_finished_run_is_not_resumed(small_run, kept):
    run, _ = small_run
    if kept != "whole":
        shutil.rmtree(run.path / "checkpoint")
    before = contents(run.path)
    with pytest.raises(InputError, match="finished"):
        resume(run.path)
    assert contents(run.path) == before


def test_what_training_left_out_is_left_out_again(tmp_path):
    folder = draw_shapes(tmp_path / "shapes", 30)
    for i in range(0, 30, 3):
        picture = folder / "disc" / f"{i}.png"
        picture.write_bytes(picture.read_bytes()[:-30])  # a good header, and pixels that are cut off
    run = train(folder, model="lenet5", out=tmp_path / "run", settings=QUICK)
    assert {name for name, _ in run.config.data.faults} == {f"disc/{i}.png" for i in range(0, 30, 3)}
    assert sum(run.config.data.splits.values()) == 50
    result = load_run(run.path).evaluate(split="all")
    assert result["num_samples"] == 50
    assert load_run(run.path).evaluate(split="test")["metrics"] == run.results["test"]


def test_results_of_a_run_that_is_not_finished_say_so(digits_run, tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(digits_run.path / name, tmp_path / name)
    with pytest.raises(InputError, match="not finished"):
        _ = load_run(tmp_path).results
