"""Features of boxes, all brought to one size, for the heads that look at each box."""

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.ops.arguments import (
    check_above_zero,
    check_finite,
    check_ids,
    check_lengths,
    check_shape,
    check_size,
    check_whole,
)


def roi_align(
    features: Tensor,
    boxes_xyxy: Tensor,
    pictures: Tensor,
    size: tuple[int, int],
    scale: float = 1.0,
    sampling_ratio: int = 2,
    aligned: bool = False,
) -> Tensor:
    """The mean of bilinear samples in each of h x w equal bins of each box.

    Samples up to one feature outside the map take the value at its border; those farther outside count as 0.

    Args:
        features: (N, C, H, W), any floating type; nothing has to be copied in channels_last memory. Its
            gradient is there; boxes get none.
        boxes_xyxy: (M, 4), finite, in pixels of the network input.
        pictures: int64 (M,), which picture each box is of, in 0..N - 1.
        size: h, w of the result.
        scale: features per pixel: 1 / stride of the map.
        sampling_ratio: samples along each side of a bin, at least 1: torchvision's 0, as many as a box has
            features, is not offered.
        aligned: whether the first feature's centre lies at half a feature, as pixels do; otherwise at 0, half
            a feature off, and boxes count as at least one feature wide and high: what detectors were trained
            with before this was found.

    Returns:
        (M, C, h, w) in channels_last memory and the type of ``features``; computed in float32 at least.

    Raises:
        ValueError: other shapes, lengths or types, or a number outside its range; on a processor also boxes
            that are not finite and pictures that there are not, which on an accelerator give NaN and an error
            of its own.

    Source: He et al., "Mask R-CNN", 2017, section 3; torchvision's ``roi_align``.
    """
    _check(features, boxes_xyxy, pictures)
    check_size("size", size)
    check_above_zero("scale", scale)
    check_whole("sampling_ratio", sampling_ratio, 1)
    (height, width), (h, w) = features.shape[2:], size
    x1, y1, x2, y2 = (_real(boxes_xyxy.detach()) * scale - (0.5 if aligned else 0)).unbind(1)
    rows, row_shares = _shares(y1, y2, height, h, sampling_ratio, aligned)  # (M, h, 2 * ratio)
    columns, column_shares = _shares(x1, x2, width, w, sampling_ratio, aligned)  # (M, w, 2 * ratio)
    places = pictures[:, None, None] * height + rows
    places = places[:, :, None, :, None] * width + columns[:, None, :, None, :]  # (M, h, w, rows, columns)
    shares = row_shares[:, :, None, :, None] * column_shares[:, None, :, None, :]
    sums = _weighted_sums(_rows(features, places.numel()), places, shares)
    return sums.view(-1, h, w, features.shape[1]).permute(0, 3, 1, 2).to(features.dtype)


def _check(features: Tensor, boxes_xyxy: Tensor, pictures: Tensor) -> None:
    check_shape("features", features, ("N", "C", "H", "W"), "float")
    check_shape("boxes_xyxy", boxes_xyxy, ("M", 4))
    check_shape("pictures", pictures, ("M",), "ids")
    check_lengths(boxes_xyxy=boxes_xyxy, pictures=pictures)
    check_whole("the number of channels of features", features.shape[1], 1)
    check_size("the height and width of features", features.shape[2:])
    check_finite("boxes_xyxy", boxes_xyxy)
    check_ids("pictures", pictures, len(features))


def _rows(features: Tensor, number_read: int) -> Tensor:
    """A row of C channels for each place (N * H * W, C), in at least single precision.

    In contiguous memory a row is strewn over the map, so maps are copied, unless fewer rows of a single one
    are read than it has. As matrices that are transposed they and their gradients are copied several times
    quicker than ``permute`` would have it.
    """
    count, channels = features.shape[:2]
    by_place = features.permute(0, 2, 3, 1)
    if by_place.is_contiguous():
        return _real(by_place.reshape(-1, channels))
    maps = [_real(one.t()) for one in features.reshape(count * channels, -1).split(channels)]
    return maps[0] if count == 1 and number_read < len(maps[0]) else torch.cat(maps).contiguous()


def _real(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _weighted_sums(rows: Tensor, places: Tensor, shares: Tensor) -> Tensor:
    """For each bin of ``places`` and ``shares`` (M, h, w, a, b) the sum of ``rows``, (M * h * w, C), which
    nothing between reads or writes."""
    bag = places.shape[3] * places.shape[4]
    shares = shares.reshape(-1, bag).to(rows.dtype)
    return F.embedding_bag(places.reshape(-1, bag), rows, mode="sum", per_sample_weights=shares)


def _shares(
    start: Tensor, end: Tensor, length: int, count: int, ratio: int, aligned: bool
) -> tuple[Tensor, Tensor]:
    """Along one axis of ``length`` features, what the ``count`` bins of boxes (M,) are made of.

    Returns:
        int64 (M, count, 2 * ratio): the features before and after each sample; and their shares in the bin.
    """
    side = end - start
    side = side if aligned else side.clamp(min=1)
    steps = (torch.arange(count * ratio, dtype=side.dtype, device=side.device) + 0.5) / (count * ratio)
    samples = (start[:, None] + side[:, None] * steps).view(-1, count, ratio)
    inside = (samples >= -1) & (samples <= length)
    samples = samples.clamp(0, length - 1)
    before = samples.floor()
    after = samples - before  # the share of the feature after; 0 at the last, which has none
    shares = torch.cat([1 - after, after], dim=2) * inside.repeat(1, 1, 2) / ratio
    first = before.long()
    return torch.cat([first, (first + 1).clamp(max=length - 1)], dim=2), shares
