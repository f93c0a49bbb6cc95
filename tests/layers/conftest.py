import os

import pytest
import torch

os.environ["KERAS_BACKEND"] = "torch"  # read once, when a test module imports Keras


@pytest.fixture(autouse=True)
def _same_random_numbers_on_every_run():
    torch.manual_seed(0)
