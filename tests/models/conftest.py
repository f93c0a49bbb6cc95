"""The peers of the networks become importable before the tests that compare with them are read."""

import os

from peers import declare_torchvision_operators

os.environ["KERAS_BACKEND"] = "torch"
declare_torchvision_operators()
