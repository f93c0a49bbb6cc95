"""Numbers that judge predictions: update with a batch, compute, reset."""

from striate.metrics.classification import ClassificationMetric, ClassScore
from striate.metrics.metric import Metric

__all__ = ["ClassScore", "ClassificationMetric", "Metric"]
