"""Moving training pictures: one affine matrix per picture, drawn first, applied in one pass over pixels.

    crop ─ flip ─ shear ─ zoom ─ rotate ─ shift

Drawing is separate from applying: ``draw_affine`` gives the matrices alone, for boxes and masks to
follow. A matrix maps a point (x, y) of the output to the point of the input that is seen there. Points
are measured in pixels from the outer corner of the top left pixel, x to the right and y down, as in
``striate.samples.Frame``; the centre of the first pixel is (0.5, 0.5).

Shapes: N pictures, C channels, H and W height and width.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.data.keyed_random import keyed_uniform
from striate.data.streams import Stream
from striate.recipe import AugmentSettings

Fill = Literal["zero", "reflect", "edge"]

ASPECT = (3 / 4, 4 / 3)  # of a crop, relative to the picture's own (Szegedy et al. 2014, section 6)

_PADDING_MODES = {"zero": "zeros", "reflect": "reflection", "edge": "border"}  # the words of grid_sample


@dataclass(frozen=True)
class Geometry:
    """How pictures are moved, one value of each for every picture; all float64, pairs are (x, y)."""

    crop_corner: Tensor  # (N, 2) top left corner of the part that fills the frame, as a fraction of W, H
    crop_size: Tensor  # (N, 2) its size, as a fraction of W, H
    mirror: Tensor  # (N, 2) -1 where the picture is mirrored along the axis, else 1
    shear: Tensor  # (N,) radians; positive moves the lower half to the right, about the centre
    zoom: Tensor  # (N,) factor about the centre; above 1 magnifies
    angle: Tensor  # (N,) radians about the centre; positive turns counter-clockwise
    shift: Tensor  # (N, 2) pixels; positive moves the picture to the right and down

    def matrices(self, height: int, width: int) -> Tensor:
        """float64 (N, 2, 3), from output points to input points, for pictures of this size in pixels."""
        size = torch.tensor([width, height], dtype=torch.float64)
        sine, cosine, slope = self.angle.sin(), self.angle.cos(), self.shear.tan()
        # The inverses, last change first: turn back, shrink back, shear back, mirror back.
        rows = [cosine - slope * sine, -sine - slope * cosine, sine, cosine]
        linear = torch.stack(rows, dim=1).view(-1, 2, 2) / self.zoom[:, None, None]
        linear = linear * (self.mirror * self.crop_size)[:, :, None]
        centre = size / 2
        seen_at_centre = (self.crop_corner + self.crop_size / 2) * size  # before the shift
        moved_back = (linear * (centre + self.shift)[:, None, :]).sum(dim=2)
        return torch.cat([linear, (seen_at_centre - moved_back)[:, :, None]], dim=2)


def changes_geometry(settings: AugmentSettings) -> bool:
    """Whether pixels move."""
    return bool(settings.shift or settings.flip or settings.vertical_flip) or not moves_whole_pixels(settings)


def moves_whole_pixels(settings: AugmentSettings) -> bool:
    """Whether shift and flips are the only moves, so that pixels need no interpolation."""
    return not (settings.crop or settings.rotate or settings.rescale or settings.shear)


def looks_outside(settings: AugmentSettings) -> bool:
    """Whether a move can show what lies outside the picture; crops and flips cannot."""
    return bool(settings.shift or settings.rotate or settings.rescale or settings.shear)


# Drawing ------------------------------------------------------------------------------------------------


def draw_affine(
    settings: AugmentSettings, seed: int, epoch: int, indices: Tensor, height: int, width: int
) -> Tensor:
    """The matrices that ``Augment`` moves these pictures with.

    Args:
        settings, seed: as in ``Augment``.
        epoch, indices: as in its call.
        height, width: of the pictures, in pixels.

    Returns:
        float64 (N, 2, 3) on the CPU: output points (x, y, 1) to input points, in pixels from the outer
        corner.
    """
    return draw_geometry(settings, seed, epoch, indices, height, width).matrices(height, width)


def draw_geometry(
    settings: AugmentSettings, seed: int, epoch: int, indices: Tensor, height: int, width: int
) -> Geometry:
    """The moves behind ``draw_affine``, each by its own name; same arguments."""

    def symmetric(stream: Stream, count: int = 1) -> Tensor:  # float64 (N, count) in [-1, 1)
        return 2 * keyed_uniform(seed, epoch, indices, count, stream) - 1

    ones = torch.ones(len(indices), dtype=torch.float64)
    corner, size = _draw_crop(settings, seed, epoch, indices)
    mirror = [
        torch.where(symmetric(stream)[:, 0] < 0, -ones, ones) if on else ones
        for on, stream in ((settings.flip, Stream.FLIP), (settings.vertical_flip, Stream.VERTICAL_FLIP))
    ]
    shift = torch.zeros(len(indices), 2, dtype=torch.float64)
    if settings.shift:
        largest = settings.shift * torch.tensor([width, height], dtype=torch.float64)
        shift = symmetric(Stream.SHIFT, 2)
        if moves_whole_pixels(settings):  # each of -k..k equally often
            largest = (largest + 1e-9).floor()  # 0.29 of 100 pixels is 29, not 28.999...
            shift = (shift * (largest + 0.5) + 0.5).floor()
        else:
            shift = shift * largest
    return Geometry(
        crop_corner=corner,
        crop_size=size,
        mirror=torch.stack(mirror, dim=1),
        shear=symmetric(Stream.SHEAR)[:, 0] * math.radians(settings.shear) if settings.shear else 0 * ones,
        zoom=(1 + settings.rescale) ** symmetric(Stream.RESCALE)[:, 0] if settings.rescale else ones,
        angle=symmetric(Stream.ROTATE)[:, 0] * math.radians(settings.rotate) if settings.rotate else 0 * ones,
        shift=shift,
    )


def _draw_crop(settings: AugmentSettings, seed: int, epoch: int, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Corner and size of the crops, each float64 (N, 2), as fractions of width and height."""
    if settings.crop is None:
        zeros = torch.zeros(len(indices), 2, dtype=torch.float64)
        return zeros, zeros + 1
    return crops_of(keyed_uniform(seed, epoch, indices, 4, Stream.CROP), settings.crop, ASPECT)


def crops_of(
    draws: Tensor, areas: tuple[float, float], aspects: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Corner and size of crops, each (..., 2), as fractions of width and height, from uniform draws (..., 4).

    Uniform area, log-uniform aspect out of those that fit, uniform position.
    """
    smallest, largest = areas
    area = smallest + (largest - smallest) * draws[..., 0]
    low = area.clamp(min=aspects[0]).log()  # width sqrt(area * aspect) and height sqrt(area / aspect) fit
    high = (1 / area).clamp(max=aspects[1]).log()  # into the picture for aspects from area to 1 / area
    aspect = (low + (high - low) * draws[..., 1]).exp()
    size = torch.stack([area * aspect, area / aspect], dim=-1).sqrt().clamp(max=1)  # 1 + 1e-16 is not inside
    return draws[..., 2:] * (1 - size), size


# Applying -----------------------------------------------------------------------------------------------


def move_whole_pixels(images: Tensor, mirror: Tensor, shift: Tensor, fill: Fill) -> Tensor:
    """Mirror pictures and move them by whole pixels, exactly and in their own dtype.

    Args:
        images: (N, C, H, W) of any dtype.
        mirror: (N, 2) for x and y, -1 where a picture is mirrored along the axis, else 1.
        shift: (N, 2) whole numbers of pixels to the right and down, after mirroring.
        fill: what enters at the border: zeros, the picture mirrored about its outer edge (... 1 0 0 1 ...),
            or its outermost pixels.
    """
    for axis, turned in ((3, mirror[:, 0] < 0), (2, mirror[:, 1] < 0)):
        if turned.any():
            images = torch.where(turned.to(images.device)[:, None, None, None], images.flip(axis), images)
    right, down = shift.long().unbind(dim=1)
    reach_x, reach_y = int(right.abs().max()), int(down.abs().max())
    if not reach_x and not reach_y:
        return images
    height, width = images.shape[-2:]
    bordered = _add_border(_add_border(images, 3, reach_x, fill), 2, reach_y, fill)
    # Every place of the frame on the bordered picture is a view; choosing one per picture is the only copy.
    windows = bordered.unfold(2, height, 1).unfold(3, width, 1).permute(0, 2, 3, 1, 4, 5)
    chosen = (torch.arange(len(images)), reach_y - down, reach_x - right)
    if images.device.type == "cpu":  # NumPy copies whole rows where torch copies single pixels
        return torch.from_numpy(windows.numpy()[tuple(index.numpy() for index in chosen)])
    return windows[tuple(index.to(images.device) for index in chosen)]


def _add_border(images: Tensor, axis: int, reach: int, fill: Fill) -> Tensor:
    """``reach`` more pixels on both sides of an axis of (N, C, H, W)."""
    size = images.shape[axis]
    if fill == "zero":
        return F.pad(images, (reach, reach) if axis == 3 else (0, 0, reach, reach))
    positions = torch.arange(-reach, size + reach, device=images.device)
    positions = _mirror_inside(positions, size) if fill == "reflect" else positions.clamp(0, size - 1)
    return images.index_select(axis, positions)


def resample(images: Tensor, matrices: Tensor, fill: Fill) -> Tensor:
    """Move pictures by any affine matrices, with bilinear interpolation.

    Args:
        images: (N, C, H, W) in 0..255, uint8 or float32.
        matrices: float64 (N, 2, 3), output points to input points.
        fill: as in ``move_whole_pixels``; with "zero" a picture fades out over the half pixel on either
            side of its outer edge.

    Returns:
        float32 (N, C, H, W) in 0..255.
    """
    height, width = images.shape[-2:]
    at_columns, at_rows = _separate(matrices, height, width)
    half_size = torch.tensor([[width], [height]], dtype=torch.float64) / 2
    at_rows = at_rows + matrices[:, :, 2:] - half_size
    at_columns, at_rows = at_columns / half_size, at_rows / half_size  # grid_sample wants -1..1
    device = images.device  # whole planes of x and of y, because interleaved they are slow to write
    planes = at_rows.float().to(device)[:, :, :, None] + at_columns.float().to(device)[:, :, None, :]
    grid = planes.permute(0, 2, 3, 1)  # (N, 2, H, W) -> (N, H, W, 2)
    mode = _PADDING_MODES[fill]
    return F.grid_sample(images.float(), grid, padding_mode=mode, align_corners=False).clamp_(0, 255)


def _separate(matrices: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The linear part of the input point (x, y) of an output pixel's centre, as one term of its column
    and one of its row: float64 (N, 2, W) and (N, 2, H)."""
    columns = torch.arange(width, dtype=torch.float64) + 0.5
    rows = torch.arange(height, dtype=torch.float64) + 0.5
    return matrices[:, :, 0:1] * columns, matrices[:, :, 1:2] * rows


def _mirror_inside(positions: Tensor, size: int) -> Tensor:
    """Positions on an endless line of a picture and its mirror images, as positions in the picture."""
    positions = positions % (2 * size)
    return torch.minimum(positions, 2 * size - 1 - positions)
