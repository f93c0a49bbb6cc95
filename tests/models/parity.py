"""The same numbers from a network and its peer, with the peer's weights brought over by a key map."""

import torch
from torch import Tensor, nn

from striate.models.backbone import Backbone
from striate.models.key_maps.renaming import KeyMap, convert

RELATIVE = 1e-4  # of the largest output


def randomize(peer: nn.Module, seed: int = 0) -> None:
    """Weights and statistics of a trained look: no mean of 0, no variance of 1, lively signals."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in peer.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if tensor.ndim > 1:
                fan_in = tensor[0].numel()
                tensor.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
            elif name.endswith("running_var") or name.endswith("weight"):
                tensor.uniform_(0.7, 1.3, generator=generator)
            else:
                tensor.normal_(0, 0.1, generator=generator)


def assert_same_outputs(
    ours: Backbone, peer: nn.Module, key_map: KeyMap, size: int, count: int = 2, channels: int = 3
) -> None:
    """Give ``peer`` random weights, bring them over, and compare logits on random pictures."""
    randomize(peer)
    ours.load_state_dict(convert(ours, peer.state_dict(), key_map), assign=True)
    pictures = torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = peer.eval()(pictures)
        logits = ours.eval()(pictures)
    assert_close(logits, expected)


def assert_close(logits: Tensor, expected: Tensor) -> None:
    """Equal within 1e-4 of the largest, and different from picture to picture, so that it means something."""
    size = expected.abs().max().item()
    assert (expected[0] - expected[1]).abs().max() > 1e-2 * size
    torch.testing.assert_close(logits, expected, rtol=0, atol=RELATIVE * size)
