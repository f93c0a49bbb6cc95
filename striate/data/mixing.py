"""Mixup and CutMix: a training picture and another one become a picture between them, and so do their labels.

Mixup blends the two (Zhang et al. 2017, arXiv:1710.09412); CutMix pastes a box of the other (Yun et al. 2019,
arXiv:1905.04899). The other picture is another one of the same epoch, whichever batch it comes in: who is
mixed with whom, how and how much depends on the settings, the seed, the epoch and the sample's key alone.

    x = own * picture + (1 - own) * partner       own: one share for all pixels, or 0 in a box and 1 elsewhere
    y = share * label + (1 - share) * label'      share: the mean of own

Shapes: N pictures, C channels, H and W height and width, K classes.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.data.erase import inside
from striate.data.keyed_random import keyed_uniform
from striate.data.streams import Stream
from striate.recipe import AugmentSettings


class Mixer:
    """Mixes augmented pictures, and their labels; where both ways are on, every other picture takes each.

    Args:
        settings: ``mixup`` and ``cutmix`` are the alpha of a share ~ Beta(alpha, alpha); 0: off.
        seed: of the run.
        num_classes: K.
    """

    def __init__(self, settings: AugmentSettings, seed: int, num_classes: int) -> None:
        self.settings = settings
        self.seed = seed
        self.num_classes = num_classes

    @property
    def is_on(self) -> bool:
        """Whether pictures need partners."""
        return bool(self.settings.mixup or self.settings.cutmix)

    def partners(self, epoch: int, keys: Tensor) -> Tensor:
        """For each sample of an epoch, the one that it is mixed with; all are equally likely.

        Args:
            epoch: the pass over the data.
            keys: int64 (n,) of all samples of the epoch, in its order.

        Returns:
            int64 (n,), some of ``keys``.
        """
        draws = keyed_uniform(self.seed, epoch, keys, 1, Stream.PARTNER)[:, 0]
        return keys[(draws * len(keys)).long()]

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        partner_images: Tensor,
        partner_targets: Tensor,
        epoch: int,
        keys: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The pictures and labels between those of samples and their partners.

        Normalization may come afterwards: it is affine and the shares sum to one, so the two commute.

        Args:
            images: (N, C, H, W) in 0..255, uint8 or float32, augmented; not changed.
            targets: int64 (N,) class ids.
            partner_images, partner_targets: the same of the partners, augmented by their own keys.
            epoch: the pass over the data.
            keys: int64 (N,) of the samples.

        Returns:
            (N, C, H, W) in 0..255, uint8 where CutMix alone meets uint8 pictures, else float32; and the
            probabilities of the classes, float32 (N, K); both on the device of ``images``.
        """
        height, width = images.shape[-2:]
        own, shares = self.draw(epoch, keys, height, width, images.device)
        if own.dtype == torch.bool:
            mixed = torch.where(own, images, partner_images)  # one pass, which keeps bytes
        else:
            mixed = (images * own).add_(partner_images * (1 - own))
        ours, theirs = (F.one_hot(ids.cpu(), self.num_classes) for ids in (targets, partner_targets))
        probs = shares[:, None] * ours + (1 - shares[:, None]) * theirs
        return mixed, probs.float().to(images.device)

    def draw(
        self, epoch: int, keys: Tensor, height: int, width: int, device: torch.device | None = None
    ) -> tuple[Tensor, Tensor]:
        """How much of each pixel is the sample's own, and how much of the whole picture.

        Returns:
            (N, 1, H, W) on ``device``, bool with CutMix alone, else float32, and (N, 1, 1, 1) with mixup
            alone; and its mean, float64 (N,), on the CPU.
        """
        mixup, cutmix = self.settings.mixup, self.settings.cutmix
        shares = draw_shares(mixup or cutmix, self.seed, epoch, keys)
        even = shares.float().to(device).view(-1, 1, 1, 1)
        if not cutmix:
            return even, shares
        rows, columns = draw_boxes(cutmix, self.seed, epoch, keys, height, width)
        around = 1 - (rows.sum(dim=1) * columns.sum(dim=1)).double() / (height * width)
        outside = ~(rows.to(device)[:, None, :, None] & columns.to(device)[:, None, None, :])
        if not mixup:
            return outside, around
        blend = keyed_uniform(self.seed, epoch, keys, 1, Stream.MIX_KIND)[:, 0] < 0.5
        own = torch.where(blend.to(device).view(-1, 1, 1, 1), even, outside.float())
        return own, torch.where(blend, shares, around)


def draw_shares(alpha: float, seed: int, epoch: int, keys: Tensor) -> Tensor:
    """Shares ~ Beta(alpha, alpha), float64 (N,) in 0..1.

    A number of Student's t distribution with 2 alpha degrees of freedom is the radius and the cosine of a
    point of the plane, drawn from two uniform numbers (Bailey 1994, "Polar generation of random variates with
    the t-distribution"); t / sqrt(2 alpha + t^2) is then symmetric beta on -1..1. The functions of another
    platform may differ in the last bit.
    """
    draws = keyed_uniform(seed, epoch, keys, 2, Stream.MIX_SHARE)
    cosine = torch.cos(2 * math.pi * draws[:, 1])
    radius = torch.expm1(-torch.log1p(-draws[:, 0]) / alpha)  # squared, over 2 alpha; may be infinite
    square = radius * cosine.square()  # t^2 / (2 alpha)
    return 0.5 + 0.5 * cosine.sign() / torch.sqrt(1 + 1 / square)


def draw_boxes(
    alpha: float, seed: int, epoch: int, keys: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """The rows and the columns of the pixels that the partner fills: bool (N, H) and (N, W).

    A box with the picture's aspect and 1 - share of its area, about a centre uniform over the picture; what
    sticks out is cut off (CutMix, equation 2). The pixels are those whose centre lies in it.
    """
    half = (1 - draw_shares(alpha, seed, epoch, keys)).sqrt()[:, None] / 2
    x, y = keyed_uniform(seed, epoch, keys, 2, Stream.MIX_CENTRE)[:, :, None].unbind(dim=1)  # each (N, 1)
    return inside(y - half, y + half, height), inside(x - half, x + half, width)
