"""The three dense layers that ended the networks of 2012 to 2014."""

from torch import nn

from striate.ops.arguments import check_number
from striate.ops.padding import check_counts


def dense_head(in_features: int, units: int, num_classes: int, dropout: float) -> nn.Sequential:
    """Two dense layers with ReLU and dropout, and one for the classes: (N, in_features) -> (N, K).

    Source: Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks",
    section 3.5.

    Raises:
        ValueError: a number below 1, or ``dropout`` is no share in 0..1.
    """
    check_counts(in_features=in_features, units=units, num_classes=num_classes)
    check_number("dropout", dropout, 0, 1)
    return nn.Sequential(
        nn.Linear(in_features, units),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(units, units),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(units, num_classes),
    )
