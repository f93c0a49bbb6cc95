"""Numbers that judge predictions: update with a batch, compute, reset."""

from striate.metrics.average_precision import AveragePrecision, ClassDetections
from striate.metrics.classification import ClassificationMetric, ClassScore
from striate.metrics.conventions import Convention
from striate.metrics.detection_errors import DetectionErrors, ErrorKind
from striate.metrics.localization import LocalizationMetric
from striate.metrics.metric import Metric
from striate.metrics.precision_recall import Curve
from striate.metrics.sparse_localization import SparseLocalizationMetric

__all__ = [
    "AveragePrecision",
    "ClassDetections",
    "ClassScore",
    "ClassificationMetric",
    "Convention",
    "Curve",
    "DetectionErrors",
    "ErrorKind",
    "LocalizationMetric",
    "Metric",
    "SparseLocalizationMetric",
]
