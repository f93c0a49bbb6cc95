"""Striate: deep computer vision with convolutional networks.

The names below are imported when they are first used, so that ``import striate`` is quick.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate.api import resume, train
    from striate.data.load import load_data
    from striate.errors import InputError
    from striate.models.catalog import create_model
    from striate.run import load_run

__version__ = "0.1.0"
__all__ = ["InputError", "__version__", "create_model", "load_data", "load_run", "resume", "train"]

_HOMES = {
    "InputError": "striate.errors",
    "create_model": "striate.models.catalog",
    "load_data": "striate.data.load",
    "load_run": "striate.run",
    "resume": "striate.api",
    "train": "striate.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'striate' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """``striate.train`` stays the function when the package of that name has been imported."""

    @property
    def train(self) -> Any:
        return importlib.import_module("striate.api").train

    @train.setter
    def train(self, package: ModuleType) -> None:
        """The import system binds the package here; ``from striate.train.fit import fit`` goes without."""


sys.modules[__name__].__class__ = _Package
