"""The feature pyramid against torchvision's, and by hand."""

import pytest
import torch
from torchvision_detectors import torchvision

from striate.tasks.detection.feature_pyramid import FeaturePyramid


@pytest.mark.parametrize("side", [64, 50], ids=["halved exactly", "halved and rounded up"])
def test_its_maps_are_those_of_torchvision(side: int) -> None:
    peer = torchvision.ops.FeaturePyramidNetwork(
        [4, 6, 8], 5, extra_blocks=torchvision.ops.feature_pyramid_network.LastLevelMaxPool()
    )
    pyramid = FeaturePyramid([4, 6, 8], 5)
    pyramid.load_state_dict(dict(zip(pyramid.state_dict(), peer.state_dict().values(), strict=True)))
    maps = [torch.randn(2, channels, -(-side // 2**i), side) for i, channels in enumerate((4, 6, 8))]
    expected = peer({str(level): x for level, x in enumerate(maps)})
    for ours, theirs in zip(pyramid(maps), expected.values(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_what_only_the_coarsest_map_holds_reaches_the_finest() -> None:
    pyramid = FeaturePyramid([1, 1], 1)
    with torch.no_grad():
        for layer in [*pyramid.laterals, *pyramid.outputs]:
            layer.weight.zero_()
            layer.weight[0, 0, layer.kernel_size[0] // 2, layer.kernel_size[1] // 2] = 1
    coarse = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    fine, same, half = pyramid([torch.zeros(1, 1, 4, 4), coarse])
    assert fine[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    assert torch.equal(same, coarse)
    assert half.tolist() == [[[[1.0]]]]
