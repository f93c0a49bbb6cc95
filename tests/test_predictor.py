"""What ``predict`` takes: files, their content, Pillow images, arrays, tensors, alone or in a list."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_data import write_digits
from torch import Tensor

from striate.data.images import decode_image
from striate.errors import InputError
from striate.predictor import Asked, LabelScore
from striate.run import Run


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photograph.png")
    return tmp_path / "photograph.png"


def as_array(path: Path) -> Any:
    return np.array(Image.open(path))


FORMS: dict[str, Callable[[Path], Any]] = {
    "a name": str,
    "bytes": Path.read_bytes,
    "Pillow": Image.open,
    "an array": as_array,
    "an array of uint16": lambda path: as_array(path).astype(np.uint16) * 257,
    "an array of floats": lambda path: as_array(path) / 255,
    "an array turned round": lambda path: as_array(path)[:, ::-1][:, ::-1],
    "a tensor": lambda path: torch.from_numpy(as_array(path)).permute(2, 0, 1),
}


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_form_of_a_picture_gives_the_same(shapes_run: Run, photograph: Path, form: str) -> None:
    expected = shapes_run.predict(photograph)
    picture = FORMS[form](photograph)
    assert shapes_run.predict(picture) == expected
    assert shapes_run.predictor.predict([picture]) == [expected]
    assert shapes_run.predict((picture, photograph)) == shapes_run.predict([photograph, photograph])


def test_grey_arrays_are_for_grey_networks_and_for_colour_ones(
    digits_run: Run, shapes_run: Run, tmp_path: Path
) -> None:
    (file,) = write_digits(tmp_path, range(1))
    grey = as_array(file)
    assert grey.ndim == 2
    assert digits_run.predict(grey) == digits_run.predict(grey[:, :, None]) == digits_run.predict(file)
    assert shapes_run.predict(grey) == shapes_run.predict(file)


def test_one_picture_gives_one_answer_and_a_list_a_list(digits_run: Run, tmp_path: Path) -> None:
    files = write_digits(tmp_path, range(3))
    one, several = digits_run.predict(files[0], count=2), digits_run.predict(list(files), count=2)
    assert [type(guess) for guess in one] == [LabelScore, LabelScore]
    assert [guess.label for guess in several[0]] == [guess.label for guess in one]
    assert len(several) == 3
    assert digits_run.predict([]) == []


@pytest.mark.parametrize(
    ("bad", "where"),
    [
        (np.zeros((4, 4, 4, 3), np.uint8), "picture 1 of the list"),
        (np.full((4, 4, 3), np.nan), "picture 1 of the list"),
        (torch.zeros(4, 4, dtype=torch.uint8), "picture 1 of the list"),
        (torch.zeros(4, 4, 4, dtype=torch.uint8), "picture 1 of the list"),
        (b"no picture", "picture 1 of the list"),
        (None, "picture 1 of the list"),
        ("none.png", "none.png"),
    ],
)
def test_what_is_no_picture_is_named_by_its_place(
    shapes_run: Run, photograph: Path, bad: Any, where: str
) -> None:
    with pytest.raises(InputError) as caught:
        shapes_run.predict([photograph, bad])
    assert caught.value.where == where
    with pytest.raises(InputError):
        shapes_run.predict(bad)


def test_colour_for_a_grey_network_is_refused_in_every_form(digits_run: Run, photograph: Path) -> None:
    for picture in (photograph, *(make(photograph) for make in FORMS.values())):
        with pytest.raises(InputError, match=r"grey|expects 1"):
            digits_run.predict(picture)


def test_attempts_go_on_after_a_bad_picture_and_keep_no_more_than_a_batch(digits_run: Run) -> None:
    predictor = replace(digits_run.predictor, batch_size=3)
    begun: list[int] = []

    def read(index: int) -> Tensor:
        begun.append(index)
        if index in (1, 4, 5):
            raise InputError(f"fault {index}")
        return torch.full((1, 8, 8), index, dtype=torch.uint8)

    asked: Iterator[Asked] = (Asked(f"picture {i}", partial(read, i)) for i in range(8))
    for i, seen in enumerate(predictor.attempts(asked, keep=True)):
        assert len(begun) == min(8, (i // 3 + 1) * 3)
        if i in (1, 4, 5):
            assert isinstance(seen, InputError)
            assert (seen.what, seen.where) == (f"fault {i}", f"picture {i}")
        else:
            assert not isinstance(seen, InputError)
            assert seen.pixels is not None
            assert (seen.pixels == i).all()
            assert seen.prediction.probs.shape == (10,)


def test_pixels_that_are_kept_make_batches_smaller(digits_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.predictor.KEPT_BYTES", 2 * 64)
    picture = Asked("digit", lambda: torch.zeros(1, 8, 8, dtype=torch.uint8))
    ahead: list[int] = []
    for keep in (True, False):
        pictures = iter([picture] * 9)
        next(digits_run.predictor.attempts(pictures, keep))
        ahead.append(9 - len(list(pictures)))
    assert ahead == [2, 9]


def test_a_file_is_decoded_once(digits_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = write_digits(tmp_path, range(1))
    decoded: list[Path] = []

    def watched(path: Path, name: str, channels: int | None, white: float | None) -> Tensor:
        decoded.append(path)
        return decode_image(path, name, channels, white)

    monkeypatch.setattr("striate.data.images.decode_image", watched)
    digits_run.predict(file)
    assert decoded == [file]
