"""The head that says where the one object of a picture is.

Shapes: N pictures, C channels, h and w the size of the last feature map.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers.convolution import Conv2d
from striate.layers.initialization import he_normal_, initialize
from striate.ops.padding import check_counts

GRID = 7  # the dense layer sees 7x7 positions
WIDTH = 64  # maps at each of them
UNITS = 256  # of that layer


class BoxHead(nn.Module):
    """Numbers that depend on where things are: feature map (N, C, h, w) -> float32 (N, numbers).

    Maps of other sizes than 7x7 are pooled, or spread, to that, so that any network and picture size will do.

    Args:
        channels: C.
        numbers: 4 of a box, and what else is to be known.

    Raises:
        ValueError: ``channels`` is below 1 or ``numbers`` below 4.
    """

    def __init__(self, channels: int, numbers: int) -> None:
        super().__init__()
        check_counts(channels=channels, numbers=numbers)
        if numbers < 4:
            raise ValueError(f"numbers must be at least the 4 of a box, not {numbers}")
        self.reduce = nn.Sequential(Conv2d(channels, WIDTH, 1), nn.ReLU(inplace=True))
        self.dense = nn.Sequential(nn.Linear(WIDTH * GRID * GRID, UNITS), nn.ReLU(inplace=True))
        self.numbers = nn.Linear(UNITS, numbers)
        initialize(self, he_normal_)  # keeps the signal's size through ReLUs
        nn.init.normal_(self.numbers.weight, std=0.01)
        with torch.no_grad():  # it begins with a box in the middle that fills half of the picture
            self.numbers.bias[:4] = torch.tensor([0.5, 0.5, 0.5**0.25, 0.5**0.25])

    def forward(self, last_map: Tensor) -> Tensor:
        grid = F.adaptive_avg_pool2d(self.reduce(last_map), GRID)  # (N, C, h, w) -> (N, 64, 7, 7)
        hidden = self.dense(grid.flatten(1))  # -> (N, 3136) -> (N, 256)
        with exactly(hidden.device.type):  # bf16 has steps of 1/256 of the picture
            numbers: Tensor = self.numbers(hidden.float())
        return numbers


def exactly(device_type: str) -> AbstractContextManager[None]:
    """Where autocast may be on, off; a meta device has none."""
    if torch.amp.is_autocast_available(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def name_numbers(numbers: Tensor) -> dict[str, Tensor]:
    """The box head's numbers (N, 4 or 5, ...) by name: {"boxes_norm": (N, 4, ...)} and, if it is there,
    {"objectness_logits": (N, ...)}."""
    if numbers.shape[1] == 4:
        return {"boxes_norm": numbers}
    return {"boxes_norm": numbers[:, :4], "objectness_logits": numbers[:, 4]}
