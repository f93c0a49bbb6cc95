"""Libraries that Striate is compared with, made importable beside the CPU build of torch.

torchvision has no build for it: its compiled operators do not load, and its Python modules fail to import
because they register kernels for them. Declaring the operators' schemas first is enough for its
transforms and models.
"""

import importlib.util
from pathlib import Path

import torch

BOX = "Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width"
SCHEMAS = [
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    f"roi_align({BOX}, int sampling_ratio, bool aligned) -> Tensor",
    f"qroi_align({BOX}, int sampling_ratio, bool aligned) -> Tensor",
    f"ps_roi_align({BOX}, int sampling_ratio) -> (Tensor, Tensor)",
    f"roi_pool({BOX}) -> (Tensor, Tensor)",
    f"ps_roi_pool({BOX}) -> (Tensor, Tensor)",
    "_roi_align_backward(Tensor grad) -> Tensor",
    "_ps_roi_align_backward(Tensor grad) -> Tensor",
    "_roi_pool_backward(Tensor grad) -> Tensor",
    "_ps_roi_pool_backward(Tensor grad) -> Tensor",
    "deform_conv2d(Tensor input) -> Tensor",
    "_deform_conv2d_backward(Tensor grad) -> Tensor",
]

_library = torch.library.Library("torchvision", "FRAGMENT")


def declare_torchvision_operators() -> None:
    """Call before ``import torchvision``; does nothing where its own operators load."""
    if hasattr(torch.ops.torchvision, "nms") or load_torchvision_operators():
        return
    for schema in SCHEMAS:
        _library.define(schema)


def load_torchvision_operators() -> bool:
    """Whether torchvision's compiled operators load: they need the torch that they were built for."""
    spec = importlib.util.find_spec("torchvision")
    for folder in spec.submodule_search_locations or () if spec else ():
        for library in Path(folder).glob("_C*.so"):
            try:
                torch.ops.load_library(library)
            except OSError:
                return False
            return True
    return False
