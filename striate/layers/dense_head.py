"""The three dense layers that ended the networks of 2012 to 2014."""

from torch import nn


def dense_head(in_features: int, units: int, num_classes: int, dropout: float) -> nn.Sequential:
    """Two dense layers with ReLU and dropout, and one for the classes: (N, in_features) -> (N, K).

    Source: Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks",
    section 3.5.
    """
    return nn.Sequential(
        nn.Linear(in_features, units),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(units, units),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(units, num_classes),
    )
