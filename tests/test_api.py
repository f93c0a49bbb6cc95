"""``import striate``: the names that a program needs, from pictures to predictions."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from small_data import draw_shapes, write_digits

import striate
from striate.data.images import decode_image
from striate.errors import InputError

QUICK = {"train.epochs": 1, "train.precision": "fp32"}


def test_all_names_are_there_and_no_others():
    assert dir(striate) == striate.__all__
    for name in striate.__all__:
        assert getattr(striate, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = striate.no_such_name


def test_train_stays_a_function_when_the_package_of_that_name_is_imported():
    program = (
        "import striate; first = striate.train\n"
        "import striate.run; from striate.train.fit import fit\n"
        "assert striate.train is first is __import__('striate.api').api.train\n"
        "assert callable(striate.load_run)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[1], timeout=120)


def test_the_parts_fit_together(tmp_path):
    dataset = striate.load_data("digits")
    network = striate.create_model("lenet5", num_classes=len(dataset.classes))
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 10)
    run = striate.train(dataset, model="lenet5", out=tmp_path / "run", settings=QUICK)
    loaded = striate.load_run(tmp_path / "run")
    image, _ = loaded.training_data().splits["test"][0]
    scores = loaded.predict(image)
    assert scores == run.predict(image)
    assert len(scores) == 5
    assert scores == sorted(scores, key=lambda p: -p.score)
    assert {p.label for p in loaded.predict(image, count=10)} == set(dataset.classes)
    assert loaded.evaluate(dataset) == run.evaluate()


def test_evaluate_equals_what_the_end_of_training_measured(digits_run):
    loaded = striate.load_run(digits_run.path)
    for split in ("val", "test"):
        assert loaded.evaluate(split=split)["metrics"] == digits_run.results[split]


def test_a_network_in_bf16_is_measured_in_fp32(tmp_path):
    settings = QUICK | {"train.precision": "bf16"}
    run = striate.train("digits", model="lenet5", out=tmp_path / "run", settings=settings)
    assert run.config.precision == "bf16"
    assert striate.load_run(run.path).evaluate()["metrics"] == run.results["test"]


def test_a_picture_is_the_same_as_file_path_text_and_tensor(digits_run, tmp_path):
    (path,) = write_digits(tmp_path, range(5, 6))
    results = [digits_run.predict(picture) for picture in (path, str(path), decode_image(path))]
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize(
    "picture",
    [torch.zeros(2, 8, 8, dtype=torch.uint8), torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(1, 8, 8),
     torch.zeros(8, 8, dtype=torch.uint8), torch.zeros(1, 1, 8, 8, dtype=torch.uint8)],
    ids=["two channels", "colour", "floating point", "no channels", "a batch"],
)  # fmt: skip
def test_a_tensor_that_is_no_picture_of_the_network_is_an_input_error(digits_run, picture):
    with pytest.raises(InputError) as caught:
        digits_run.predict(picture)
    assert caught.value.what_to_do


def test_a_path_means_the_folder_and_a_text_the_data_set_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw_shapes(tmp_path / "digits", 12)
    by_text = striate.train("digits", model="lenet5", out=tmp_path / "text", settings=QUICK)
    by_path = striate.train(Path("digits"), model="lenet5", out=tmp_path / "path", settings=QUICK)
    assert (by_text.config.data.source, len(by_text.classes)) == ("digits", 10)
    assert (by_path.config.data.source, by_path.classes) == (str(tmp_path / "digits"), ("disc", "square"))


def test_training_learns_discs_and_squares_from_an_archive(tmp_path):
    folder = draw_shapes(tmp_path / "shapes", 150)
    with zipfile.ZipFile(tmp_path / "shapes.zip", "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, path.relative_to(tmp_path))
    settings = {"train.epochs": 8, "train.batch_size": 32, "input.size": 16, "train.precision": "fp32"}
    run = striate.train(tmp_path / "shapes.zip", out=tmp_path / "run", settings=settings)
    assert run.config.data.splits == {"train": 225, "val": 45, "test": 30}
    held_out = [run.results[split]["accuracy"] for split in ("val", "test")]
    assert (45 * held_out[0] + 30 * held_out[1]) / 75 >= 0.93


def test_nothing_held_out_is_measured_on_train(tmp_path):
    settings = QUICK | {"data.fractions": [1, 0, 0]}
    run = striate.train("digits", model="lenet5", out=tmp_path / "run", settings=settings)
    assert run.results.keys() == {"train"}
    assert run.evaluate(split="train")["metrics"] == run.results["train"]
    assert run.evaluate()["split"] == "all"


def test_class_weights_are_checked_and_reach_the_loss(tmp_path):
    run = striate.train(
        "digits", model="lenet5", out=tmp_path / "run", settings=QUICK | {"loss.class_weights": [1] + [0] * 9}
    )
    predicted = {run.predict(run.training_data().splits["test"][i][0])[0].label for i in range(0, 180, 9)}
    assert predicted == {"0"}  # no other class has a weight


def test_a_watcher_is_told_of_every_step_and_epoch(tmp_path):
    told = []

    class Watcher:
        def start(self, state, epochs, steps_per_epoch, note):
            told.append(("start", epochs, steps_per_epoch))

        def step(self, state, loss):
            told.append(("step", state.step))

        def epoch(self, row):
            told.append(("epoch", row["epoch"]))

    read = []

    def reading(split, count):
        return lambda n: read.append((split, n))

    striate.train(
        "digits", model="lenet5", out=tmp_path / "run", settings=QUICK | {"train.batch_size": 500},
        watchers=[Watcher()], reading=reading,
    )  # fmt: skip
    assert told == [("start", 1, 3), ("step", 1), ("step", 2), ("step", 3), ("epoch", 1)]
    assert read == [("train", 1348), ("val", 269), ("test", 180)]
