"""The definitions of the layers as plain loops over numpy arrays: slow, and nothing to get wrong."""

import itertools
import math

import numpy as np


def same_zeros(size, kernel_size, stride, dilation=1):
    """TensorFlow's SAME as its documentation writes it, from the remainder of size / stride."""
    extent = (kernel_size - 1) * dilation + 1
    total = max(extent - (size % stride or stride), 0)
    return total // 2, total - total // 2


def zeros_around(padding, sizes, kernel_size, stride, dilation):
    if padding == "valid":
        return [(0, 0)] * len(sizes)
    return [same_zeros(*numbers) for numbers in zip(sizes, kernel_size, stride, dilation, strict=True)]


def windows(x, kernel_size, stride, dilation, padding, fill):
    """Yield each output position with its window (N, C, *kernel) of the padded input."""
    axes = range(len(kernel_size))
    around = zeros_around(padding, x.shape[2:], kernel_size, stride, dilation)
    padded = np.pad(x, [(0, 0), (0, 0), *around], constant_values=fill)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel_size, dilation, strict=True)]
    counts = [(padded.shape[a + 2] - extents[a]) // stride[a] + 1 for a in axes]
    for position in itertools.product(*map(range, counts)):
        starts = [position[a] * stride[a] for a in axes]
        window = tuple(slice(starts[a], starts[a] + extents[a], dilation[a]) for a in axes)
        yield position, counts, padded[(..., *window)]


def convolve(x, weight, bias, stride, dilation, padding):
    """Cross-correlation: x (N, C, *axes), weight (K, C, *kernel) -> (N, K, *axes)."""
    out = None
    for position, counts, window in windows(x, weight.shape[2:], stride, dilation, padding, 0.0):
        if out is None:
            out = np.empty((x.shape[0], weight.shape[0], *counts))
        for k in range(weight.shape[0]):
            out[(slice(None), k, *position)] = (window * weight[k]).reshape(len(x), -1).sum(1) + bias[k]
    return out


def pool(x, kernel_size, stride, padding, reduce):
    """``reduce`` (np.nanmax, np.nanmean) of the pixels of each window that lie in the picture."""
    out = None
    for position, counts, window in windows(x, kernel_size, stride, (1,) * len(kernel_size), padding, np.nan):
        if out is None:
            out = np.empty((*x.shape[:2], *counts))
        out[(..., *position)] = reduce(window.reshape(*x.shape[:2], -1), axis=-1)
    return out


def convolve_transposed(x, weight, bias, stride, padding):
    """Stamp x (N, C, H, W) times weight (C, K, kh, kw) on the output of a convolution's input size."""
    (height, width), (kh, kw), (sh, sw) = x.shape[2:], weight.shape[2:], stride
    full = np.zeros(
        (x.shape[0], weight.shape[1], (height - 1) * sh + max(kh, sh), (width - 1) * sw + max(kw, sw))
    )
    for i, j in itertools.product(range(height), range(width)):
        stamp = np.einsum("nc,ckuv->nkuv", x[:, :, i, j], weight)
        full[:, :, i * sh : i * sh + kh, j * sw : j * sw + kw] += stamp
    if padding == "same":  # what the SAME convolution of an input of size * stride put around it is cut off
        top, _ = same_zeros(height * sh, kh, sh)
        left, _ = same_zeros(width * sw, kw, sw)
        full = full[:, :, top : top + height * sh, left : left + width * sw]
    return full + bias[:, None, None]


def local_response_norm(x, depth_radius, alpha, beta, k):
    out = np.empty_like(x)
    maps = x.shape[1]
    for n, i, y, z in itertools.product(*map(range, x.shape)):
        neighbours = range(max(0, i - depth_radius), min(i + depth_radius, maps - 1) + 1)
        squares = math.fsum(x[n, j, y, z] ** 2 for j in neighbours)
        out[n, i, y, z] = x[n, i, y, z] * (k + alpha * squares) ** -beta
    return out
