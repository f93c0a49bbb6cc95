"""One pass over a large picture, in bands of rows: the memory of a network's maps stays bounded.

    picture ─ a band, and as much above and below it as a window is high ─ network ─ the band's own rows

What lies above and below is looked at so that a network with padding sees the picture go on, and not zeros.
Where its padding reaches no further than that, the outputs are those of the whole picture but for rounding.

Shapes: N pictures, C channels, H and W their height and width; rows x columns window positions.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from striate.tasks.detection.sliding_window import Scanner
from striate.tasks.task import Outputs

PIXELS = 2**20  # of a band


class Bands(nn.Module):
    """A scanner that gives another one a band of the pictures at a time.

    Args:
        scanner: of pictures of any height; its outputs have the rows as their last axis but one.
        pixels: of a band at most, unless not even a row of windows with what is around it has so few.
        watch: is told after each band how many windows it had.
    """

    def __init__(
        self, scanner: Scanner, pixels: int = PIXELS, watch: Callable[[int], None] = lambda done: None
    ) -> None:
        super().__init__()
        self.scanner = scanner
        self.window = scanner.window
        self.stride = scanner.stride
        self.pixels = pixels
        self.watch = watch

    def forward(self, pictures: Tensor) -> Outputs:
        """As ``Scanner``; H is the window's height and multiples of the stride more."""
        height, stride = self.window[0], self.stride
        rows = (pictures.shape[2] - height) // stride + 1
        around = -(-height // stride)  # rows of windows
        fitting = self.pixels // (len(pictures) * pictures.shape[3])  # rows of pixels
        per_band = max(1, (fitting - height) // stride + 1 - 2 * around)
        bands = []
        for first in range(0, rows, per_band):
            last = min(first + per_band, rows)
            begin, end = max(0, first - around), min(last + around, rows)
            outputs = self.scanner(pictures[:, :, begin * stride : (end - 1) * stride + height])
            own = slice(first - begin, last - begin)
            bands.append({name: value[..., own, :].clone() for name, value in outputs.items()})
            self.watch(bands[-1]["logits"][:, 0].numel())
        return {name: torch.cat([band[name] for band in bands], dim=-2) for name in bands[0]}
