"""Pictures and labels: from files to batches."""

from striate.data.dataset import Dataset
from striate.data.images import decode_image
from striate.data.load import load_data

__all__ = ["Dataset", "decode_image", "load_data"]
