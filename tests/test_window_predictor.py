"""Looking through windows from Python: what is found, how far it has come, and what is refused."""

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rounding import assert_same_detections
from torch import Tensor

from striate.data.images import save_image
from striate.data.preprocessing import Preprocessing
from striate.errors import InputError
from striate.models.catalog import create_model
from striate.predictor import FoundBox, Predictor
from striate.samples import Detections
from striate.tasks.classification import ClassificationTask
from striate.tasks.detection.rules import Choice
from striate.tasks.detection.sliding_window import SlidingWindow, find_objects
from striate.tasks.localization.sparse import SparseLocalizationTask
from striate.tasks.localization.task import LocalizationTask
from striate.tasks.task import Task
from striate.window_predictor import WindowPredictor, through_windows

CLASSES = ("ant", "bee", "cricket", "dragonfly")
LOOK = Preprocessing((32, 32), 3, "letterbox", 0, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


def predictor(name: str = "lenet5", task: type[Task] = SparseLocalizationTask) -> Predictor:
    """Fresh weights: it is not sure of anything, and its boxes depend on what it sees."""
    torch.manual_seed(0)
    of_task: Any = task(CLASSES) if task is ClassificationTask else task(CLASSES, LOOK.size)
    model = of_task.build(create_model(name, num_classes=4, in_channels=3), CLASSES).eval()
    return Predictor(model, of_task, LOOK, torch.device("cpu"), CLASSES, score=0.3)


def photograph(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (3, height, width), generator=torch.Generator().manual_seed(1)).byte()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_image(photograph(71, 90), tmp_path / "photograph.png")
    return tmp_path / "photograph.png"


def assert_same(found: Detections, expected: Detections) -> None:
    assert len(expected) > 3
    assert_same_detections(found, expected)


def test_the_picture_is_normalized_only_and_searched(file: Path) -> None:
    whole = predictor()
    (found,) = through_windows(whole, [32, 50]).predictions([file])
    images = LOOK.normalize(photograph(71, 90)[None])
    scanner = SlidingWindow(whole.model, (32, 32), stride=8)
    (expected,) = find_objects(scanner, images, [32, 50], Choice(0.3, 0.6, 10_000))
    assert_same(found, expected)


def test_one_pass_finds_the_same_where_the_network_does_not_pad(file: Path) -> None:
    whole = predictor()
    (found,) = through_windows(whole, [32, 50], one_pass=True).predictions([file])
    scanner = SlidingWindow(whole.model, (32, 32), stride=4)  # the network's own
    images = LOOK.normalize(photograph(71, 90)[None])
    (expected,) = find_objects(scanner, images, [32, 50], Choice(0.3, 0.6, 10_000))
    assert_same(found, expected)


def test_boxes_have_names_and_are_drawn(file: Path, tmp_path: Path) -> None:
    looking = through_windows(predictor(), [32])
    (found,) = looking.predictions([file])
    named = looking.predict(file)
    assert [box.score for box in named] == found.scores.tolist()
    assert all(isinstance(box, FoundBox) and box.label in CLASSES for box in named)
    looking.draw_all([file], tmp_path / "drawn", [found])
    assert (tmp_path / "drawn" / "photograph.png").is_file()
    assert replace(looking, score=1.0).predict(file) == []


def test_arrays_pillow_images_and_bytes_are_searched_too(file: Path) -> None:
    looking = through_windows(predictor(), [32])
    expected = looking.predict(file)
    assert len(expected) > 3
    for picture in (np.array(Image.open(file)), Image.open(file), file.read_bytes()):
        assert looking.predict(picture) == expected
        assert looking.predict([picture, file]) == [expected, expected]
    with pytest.raises(InputError) as caught:
        looking.predict([file, np.zeros((20, 40, 3), np.float64), np.zeros((20, 20), np.uint8)])
    assert caught.value.where == "picture 2 of the list"


@pytest.mark.parametrize("one_pass", [False, True])
def test_it_tells_how_many_windows_there_are_and_each_that_it_has_looked_through(
    file: Path, one_pass: bool
) -> None:
    told: list[tuple[str, int]] = []
    done: list[int] = []

    def watch(picture: str, count: int) -> Any:
        told.append((picture, count))
        return done.append

    looking = replace(through_windows(predictor(), [32, 50], one_pass), watch=watch)
    looking.predict_all([file, photograph(50, 50)])
    assert [name for name, _ in told] == ["photograph.png", "picture 1 of the list"]
    assert sum(count for _, count in told) == sum(done)
    if not one_pass:  # 8 pixels apart: 71x90 are 6x9 windows of 32, as 45x58 3x5; 50x50 4x4, as 32x32 one
        assert [count for _, count in told] == [6 * 9 + 3 * 5, 4 * 4 + 1]


def test_the_places_of_windows_are_not_all_in_memory_at_once() -> None:
    def network(windows: Tensor) -> dict[str, Tensor]:
        raise KeyboardInterrupt

    picture = torch.zeros(1, 1, 1500, 1500)
    tracemalloc.start()
    with pytest.raises(KeyboardInterrupt):
        SlidingWindow(network, (4, 4), stride=1)(picture)  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20  # the two million places would take a hundred times as much


# Refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "what"),
    [
        (ClassificationTask, "windows are for localizers, this network is for classification"),
        (LocalizationTask, "finds an object wherever it looks"),
    ],
)
def test_a_network_that_does_not_know_what_nothing_is_is_refused(task: type[Task], what: str) -> None:
    with pytest.raises(InputError, match=what):
        through_windows(predictor(task=task), [32])


def test_a_localizer_without_objectness_is_told_how_to_get_it() -> None:
    with pytest.raises(InputError) as caught:
        through_windows(predictor(task=LocalizationTask), [32])
    assert "--set loss.objectness=true" in caught.value.what_to_do


@pytest.mark.parametrize("sizes", [[], [0], [32, -4]])
def test_windows_have_pixels(sizes: list[int]) -> None:
    with pytest.raises(InputError, match="at least 1 pixel high"):
        through_windows(predictor(), sizes)


def test_a_margin_is_refused() -> None:
    with pytest.raises(InputError, match="a margin of 2 pixels"):
        through_windows(replace(predictor(), preprocessing=replace(LOOK, margin=2)), [32])


def test_a_network_without_a_form_of_one_pass_is_refused_at_once() -> None:
    torch.manual_seed(0)
    task = SparseLocalizationTask(CLASSES, (28, 28))
    model = task.build(create_model("capsnet", num_classes=4, in_channels=3, width=0.0625), CLASSES).eval()
    look = replace(LOOK, size=(28, 28))
    capsules = Predictor(model, task, look, torch.device("cpu"), CLASSES)
    with pytest.raises(InputError, match="CapsNet is no dense layer") as caught:
        through_windows(capsules, [28], one_pass=True)
    assert caught.value.where == "--one-pass"
    assert isinstance(through_windows(capsules, [28]), WindowPredictor)


def test_windows_are_no_larger_than_the_pictures(file: Path) -> None:
    looking = through_windows(predictor(), [32, 91])
    with pytest.raises(
        InputError, match="a window of 91 pixels is larger than the picture, which has 90x71"
    ) as caught:
        looking.predict_all([photograph(100, 100), file])
    assert (caught.value.where, caught.value.what_to_do) == (str(file), "--windows 90 at most")
    replace(looking, sizes=(32, 90)).check(file)


def test_windows_for_which_a_picture_would_be_enlarged_beyond_measure_are_refused() -> None:
    looking = through_windows(predictor(), [2])
    with pytest.raises(InputError, match="enlarged to 16,000x12,800") as caught:
        looking.check(photograph(800, 1000))
    assert caught.value.what_to_do == "--windows 3 at least"
    replace(looking, sizes=(3,)).check(photograph(800, 1000))


def test_every_picture_is_checked_before_the_first_is_searched(file: Path, tmp_path: Path) -> None:
    looking = replace(through_windows(predictor(), [32]), watch=lambda picture, count: pytest.fail("begun"))
    with pytest.raises(InputError):
        list(looking.predictions([file, tmp_path / "missing.png"]))
    grey = photograph(40, 40)[:1]
    with pytest.raises(InputError, match="the picture has 1 channels, the model expects 3"):
        list(looking.predictions([file, grey]))
