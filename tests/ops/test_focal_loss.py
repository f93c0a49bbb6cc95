import math

import pytest
import torch
from peers import declare_torchvision_operators

from striate.ops.focal_loss import focal_losses

declare_torchvision_operators()

from torchvision.ops import sigmoid_focal_loss  # noqa: E402


@pytest.mark.parametrize("alpha", [0.25, 0.9, None])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_it_equals_torchvisions_with_its_gradient(alpha, gamma):
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(50, 7, generator=generator)
    for targets in (torch.rand(50, 7, generator=generator), (torch.rand(50, 7, generator=generator) < 0.2)):
        mine, theirs = (logits.clone().requires_grad_() for _ in range(2))
        found = focal_losses(mine, targets, alpha, gamma)
        expected = sigmoid_focal_loss(theirs, targets.float(), -1 if alpha is None else alpha, gamma)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
        found.sum().backward()
        expected.sum().backward()
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-5)


def test_what_is_right_with_nine_tenths_counts_a_hundredth():
    logits = torch.tensor([0.9, 0.9]).logit() * torch.tensor([1, -1])
    losses = focal_losses(logits, torch.tensor([1, 0]), alpha=None)
    assert losses.tolist() == pytest.approx([-(0.1**2) * math.log(0.9)] * 2, rel=1e-4)


def test_bf16_logits_are_computed_in_float32():
    logits = torch.tensor([8.0, -8.0]).bfloat16()
    losses = focal_losses(logits, torch.tensor([1.0, 0.0]).bfloat16(), alpha=None, gamma=0.0)
    assert losses.tolist() == pytest.approx(
        [math.log1p(math.exp(-8))] * 2, rel=2e-3
    )  # bf16 has steps of 4e-3


def test_what_cannot_be_is_named():
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="targets"):
        focal_losses(x, torch.zeros(2))
    with pytest.raises(ValueError, match="alpha"):
        focal_losses(x, x, alpha=1.5)
    with pytest.raises(ValueError, match="gamma"):
        focal_losses(x, x, gamma=-1.0)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_what_is_surely_right_has_a_finite_gradient_and_its_digits(gamma):
    logits = torch.tensor([-1e38, -200.0, -20, 20, 200, 1e38], requires_grad=True)
    targets = (logits > 0).float()
    losses = focal_losses(logits, targets, None, gamma)
    losses.sum().backward()
    assert logits.grad.isfinite().all()
    wrong = 1 / (1 + math.exp(20))  # what is given to the other answer
    assert float(losses[3]) == pytest.approx(-math.log1p(-wrong) * wrong**gamma, rel=1e-4, abs=0)
