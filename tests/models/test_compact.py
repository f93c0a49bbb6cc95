"""CompactCNN against its drawing, written out in torch's own functions."""

import pytest
import torch
import torch.nn.functional as F
from parity import assert_close, randomize
from torch import Tensor

from striate.models.catalog import create_model
from striate.models.compact import CompactCNN


def written_out(model: CompactCNN, x: Tensor) -> Tensor:
    """In training: each normalization takes the mean and variance of the batch, after any pooling."""
    weights = model.state_dict()

    def normalize(name: str, x: Tensor) -> Tensor:
        scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return F.batch_norm(x, None, None, scale, shift, training=True).relu()

    def convolve(name: str, x: Tensor) -> Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], padding=1)

    x = normalize("stem.norm", convolve("stem.conv", x))
    for name in ("stages.stage1", "stages.stage2", "stages.stage3"):
        x = normalize(f"{name}.norm", F.max_pool2d(convolve(f"{name}.widen", x), 2))
        x = x + normalize(f"{name}.residual.norm", convolve(f"{name}.residual.conv", x))
    return F.linear(x.amax((2, 3)), weights["head.weight"], weights["head.bias"])


@pytest.mark.parametrize(("name", "shape"), [("compact_cnn", (1, 28, 28)), ("compact_cifar", (3, 32, 32))])
def test_it_computes_what_its_drawing_says(name: str, shape: tuple[int, int, int]) -> None:
    model = create_model(name, width=0.5)
    assert isinstance(model, CompactCNN)
    randomize(model)
    pictures = torch.randn(4, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert_close(model.train()(pictures), written_out(model, pictures))
