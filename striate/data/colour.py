"""Changing the colours of training pictures: one gain and offset per channel, applied in one pass.

    brightness ─ contrast ─ lighting ─ clamp

Shapes: N pictures, C channels, H and W height and width, J components of the colour noise.
"""

import torch
from torch import Tensor

from striate.data.keyed_random import keyed_normal, keyed_uniform
from striate.data.streams import Stream
from striate.recipe import AugmentSettings

# Columns: eigenvector times eigenvalue of the covariance of ImageNet's colours on the scale 0..1
# (Krizhevsky et al. 2012, section 4.1; the values in use since the Torch7 implementations of AlexNet).
IMAGENET_COLOURS = torch.tensor(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]], dtype=torch.float64
) * torch.tensor([0.2175, 0.0188, 0.0045], dtype=torch.float64)

# What that noise does to the mean of the three channels, for pictures without colour: 0.1256.
INTENSITY = IMAGENET_COLOURS.mean(dim=0).norm().view(1, 1)


def changes_colour(settings: AugmentSettings) -> bool:
    """Whether values change."""
    return bool(settings.brightness or settings.contrast or settings.lighting)


# Drawing ------------------------------------------------------------------------------------------------


def draw_light(settings: AugmentSettings, seed: int, epoch: int, indices: Tensor) -> tuple[Tensor, Tensor]:
    """The factors of brightness and of contrast, each float64 (N,), uniform over 1 +- the setting."""
    ones = torch.ones(len(indices), dtype=torch.float64)
    factors = [
        1 + setting * (2 * keyed_uniform(seed, epoch, indices, 1, stream)[:, 0] - 1) if setting else ones
        for setting, stream in (
            (settings.brightness, Stream.BRIGHTNESS),
            (settings.contrast, Stream.CONTRAST),
        )
    ]
    return factors[0], factors[1]


def draw_lighting(
    settings: AugmentSettings, seed: int, epoch: int, indices: Tensor, components: Tensor
) -> Tensor:
    """AlexNet's colour noise: what is added to every pixel of a picture, float64 (N, C) on 0..255.

    255 * sum_j a_j * components[:, j] with a_j normal of standard deviation ``settings.lighting``
    (Krizhevsky et al. 2012, section 4.1). ``components``: float64 (C, J).
    """
    channels, count = components.shape
    if not settings.lighting:
        return torch.zeros(len(indices), channels, dtype=torch.float64)
    alphas = settings.lighting * keyed_normal(seed, epoch, indices, count, Stream.LIGHTING)
    return 255 * (alphas[:, None, :] * components).sum(dim=2)


# Applying -----------------------------------------------------------------------------------------------


def mean_values(images: Tensor) -> Tensor:
    """float64 (N,): the mean over channels and pixels of uint8 (N, C, H, W), from exact sums; on the CPU."""
    row_sums = images.float().sum(dim=3)  # exact: whole numbers below 2^24
    return row_sums.cpu().double().sum(dim=(1, 2)) / images.shape[1:].numel()


def recolour(images: Tensor, brightness: Tensor, contrast: Tensor, means: Tensor, noise: Tensor) -> Tensor:
    """Brightness, then contrast, then lighting: clamp((b x - b m) c + b m + noise, 0, 255).

    Args:
        images: x, (N, C, H, W) in 0..255, uint8 or float32.
        brightness: b, float64 (N,) factors.
        contrast: c, float64 (N,) factors of the distance from the picture's mean.
        means: m, float64 (N,) or (1,) on 0..255; without effect where c is 1.
        noise: float64 (N, C) on 0..255.

    Returns:
        float32 (N, C, H, W) in 0..255.
    """
    gain = (brightness * contrast)[:, None]
    offset = (brightness * (1 - contrast) * means)[:, None] + noise
    gain, offset = (values.float().to(images.device)[:, :, None, None] for values in (gain, offset))
    return (images * gain).add_(offset).clamp_(0, 255)


def colour_components(images: Tensor) -> Tensor:
    """Eigenvectors of the covariance of pixel colours on 0..1, each times its eigenvalue.

    Args:
        images: uint8 (N, C, H, W), the training set or a sample of it.

    Returns:
        float64 (C, C), one component per column, ascending.
    """
    colours = images.transpose(0, 1).flatten(1).double() / 255  # (C, N * H * W)
    values, vectors = torch.linalg.eigh(torch.cov(colours).view(len(colours), -1))
    components: Tensor = vectors * values
    return components
