"""Features of boxes, all brought to one size, for the heads that look at each box."""

import torch
import torch.nn.functional as F
from torch import Tensor


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
        features: (N, C, H, W), any floating type; quickest in channels_last memory. Its gradient is there;
            boxes get none.
        boxes_xyxy: (M, 4), in pixels of the network input.
        pictures: int64 (M,), which picture each box is of.
        size: h, w of the result.
        scale: features per pixel: 1 / stride of the map.
        sampling_ratio: samples along each side of a bin, at least 1.
        aligned: whether the first feature's centre lies at half a feature, as pixels do; otherwise at 0, half
            a feature off, and boxes count as at least one feature wide and high: what detectors were trained
            with before this was found.

    Returns:
        (M, C, h, w) in channels_last memory and the type of ``features``; computed in float32 at least.

    Source: He et al., "Mask R-CNN", 2017, section 3; torchvision's ``roi_align``.
    """
    (height, width), (h, w) = features.shape[2:], size
    boxes = boxes_xyxy.detach() if boxes_xyxy.dtype == torch.float64 else boxes_xyxy.detach().float()
    x1, y1, x2, y2 = (boxes * scale - (0.5 if aligned else 0)).unbind(1)
    rows, row_shares = _shares(y1, y2, height, h, sampling_ratio, aligned)  # (M, h, 2 * ratio)
    columns, column_shares = _shares(x1, x2, width, w, sampling_ratio, aligned)  # (M, w, 2 * ratio)
    places = pictures[:, None, None] * height + rows
    places = places[:, :, None, :, None] * width + columns[:, None, :, None, :]  # (M, h, w, rows, columns)
    shares = row_shares[:, :, None, :, None] * column_shares[:, None, :, None, :]
    table = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])  # a row of channels for each place
    table = table if table.dtype == torch.float64 else table.float()
    bag = places.shape[3] * places.shape[4]
    # A weighted sum of rows for each bin, which nothing between reads or writes.
    sums = F.embedding_bag(
        places.reshape(-1, bag), table, mode="sum", per_sample_weights=shares.reshape(-1, bag).to(table.dtype)
    )
    return sums.view(-1, h, w, features.shape[1]).permute(0, 3, 1, 2).to(features.dtype)


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
