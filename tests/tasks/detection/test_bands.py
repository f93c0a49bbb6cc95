"""A picture in bands: the same outputs as in one piece, and no band larger than asked for."""

import pytest
import torch
from torch import Tensor

from striate.models.catalog import create_model
from striate.tasks.detection.bands import Bands
from striate.tasks.detection.fully_convolutional import FullyConvolutional, fully_convolutional
from striate.tasks.localization.task import Localizer
from striate.tasks.task import Outputs

WINDOW = (32, 32)


def network(name: str) -> FullyConvolutional:
    torch.manual_seed(0)
    backbone = create_model(name, num_classes=4, in_channels=3)
    return fully_convolutional(Localizer(backbone, objectness=True), WINDOW)


class Watched:
    """A scanner that remembers what it was given."""

    def __init__(self, scanner: FullyConvolutional) -> None:
        self.scanner, self.window, self.stride = scanner, scanner.window, scanner.stride
        self.heights: list[int] = []

    def __call__(self, pictures: Tensor) -> Outputs:
        self.heights.append(pictures.shape[2])
        return self.scanner(pictures)


@pytest.mark.parametrize("name", ["lenet5", "compact_cnn"])  # the second pads, by less than a window
@pytest.mark.parametrize("height", [32, 200])
@torch.no_grad()
def test_bands_give_what_the_whole_picture_gives(name: str, height: int) -> None:
    whole = network(name)
    pictures = torch.randn(2, 3, height, 72)
    seen: list[int] = []
    found = Bands(whole, pixels=2 * 72 * 120, watch=seen.append)(pictures)
    for key, value in whole(pictures).items():
        torch.testing.assert_close(found[key], value, atol=1e-5, rtol=1e-4)
    assert sum(seen) == found["objectness_logits"].numel()
    assert (len(seen) > 1) == (height > 120)


@torch.no_grad()
def test_no_band_has_more_pixels_than_asked_for_but_one_row_of_windows_has_what_is_around_it() -> None:
    watched = Watched(network("lenet5"))
    picture = torch.randn(1, 3, 400, 40)
    Bands(watched, pixels=130 * 40)(picture)
    assert len(watched.heights) > 3
    assert 100 < max(watched.heights) <= 130
    watched.heights.clear()
    Bands(watched, pixels=1)(picture)
    assert len(watched.heights) == (400 - 32) // 4 + 1
    assert max(watched.heights) == 3 * 32
