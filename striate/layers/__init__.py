"""The layers that two or more networks share."""

from striate.layers.branches import Branches, convolutions, fork, halving
from striate.layers.convolution import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvNormAct,
    DepthwiseConv2d,
    PartiallyConnectedConv2d,
    SeparableConv2d,
)
from striate.layers.dense_head import dense_head
from striate.layers.initialization import (
    bilinear_,
    fans,
    glorot_normal_,
    glorot_uniform_,
    he_normal_,
    he_uniform_,
    initialize,
    lecun_normal_,
    lecun_uniform_,
)
from striate.layers.normalization import LocalResponseNorm, set_batch_norm_eps
from striate.layers.pooling import (
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    ChannelAvgPool,
    ChannelMaxPool,
    GlobalAvgPool2d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    ScaledAvgPool2d,
    global_average_pool,
)
from striate.layers.radial_basis import RadialBasis
from striate.layers.squeeze_excitation import SqueezeExcitation
from striate.layers.upsampling import ConvTranspose2d

__all__ = [
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "Branches",
    "ChannelAvgPool",
    "ChannelMaxPool",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvNormAct",
    "ConvTranspose2d",
    "DepthwiseConv2d",
    "GlobalAvgPool2d",
    "LocalResponseNorm",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "PartiallyConnectedConv2d",
    "RadialBasis",
    "ScaledAvgPool2d",
    "SeparableConv2d",
    "SqueezeExcitation",
    "bilinear_",
    "convolutions",
    "dense_head",
    "fans",
    "fork",
    "global_average_pool",
    "glorot_normal_",
    "glorot_uniform_",
    "halving",
    "he_normal_",
    "he_uniform_",
    "initialize",
    "lecun_normal_",
    "lecun_uniform_",
    "set_batch_norm_eps",
]
