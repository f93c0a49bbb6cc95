"""SE-Inception: what the blocks add to the plain networks, and where they sit."""

import copy
from collections.abc import Callable

import pytest
import torch
from parity import assert_close, randomize
from torch import Tensor, nn

from striate.layers import SqueezeExcitation
from striate.models.catalog import create_model
from striate.models.googlenet import GoogLeNet, googlenet
from striate.models.inception_v3 import InceptionV3, inception_v3
from striate.models.se_inception import add_squeeze_excitation

Builder = Callable[..., GoogLeNet | InceptionV3]
PLAIN = [googlenet, inception_v3]


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


# A block on C maps has weights of C/16 x C and C x C/16, and biases C/16 and C.
# GoogLeNet: maps 256, 480, 3 x 512, 528, 2 x 832, 1024. Squares / 8: 8,192 + 28,800 + 3 x 32,768 + 34,848
# + 2 x 86,528 + 131,072 = 474,272. Maps: 5,488, and 343 in the middle.
# Inception-v3: maps 256, 2 x 288, 5 x 768, 1280, 2 x 2048. Squares / 8: 8,192 + 2 x 10,368 + 5 x 73,728
# + 204,800 + 2 x 524,288 = 1,650,944. Maps: 10,048, and 628 in the middle.
ADDED = [
    ("googlenet", 9, 474_272 + 343 + 5_488, 480_103),
    ("inception_v3", 11, 1_650_944 + 628 + 10_048, 1_661_620),
]


@pytest.mark.parametrize(("name", "blocks", "worked", "added"), ADDED)
@pytest.mark.parametrize("auxiliary", [False, True])
def test_blocks_add_the_parameters_worked_by_hand(
    name: str, blocks: int, worked: int, added: int, auxiliary: bool
) -> None:
    with torch.device("meta"):
        plain, recalibrated = (create_model(n, auxiliary=auxiliary) for n in (name, f"se_{name}"))
    assert sum(isinstance(layer, SqueezeExcitation) for layer in recalibrated.modules()) == blocks
    assert parameters(recalibrated) - parameters(plain) == worked == added


# Module, output, parameters of the plain module (as torchvision's of that name have), of the block after it.
SE_GOOGLENET = [
    ("inception3a", (256, 28, 28), 155_872, 8_464),
    ("inception3b", (480, 28, 28), 340_224, 29_310),
    ("inception4a", (512, 14, 14), 364_512, 33_312),
    ("inception4b", (512, 14, 14), 425_232, 33_312),
    ("inception4c", (512, 14, 14), 486_192, 33_312),
    ("inception4d", (528, 14, 14), 573_312, 35_409),
    ("inception4e", (832, 14, 14), 803_840, 87_412),
    ("inception5a", (832, 7, 7), 978_944, 87_412),
    ("inception5b", (1024, 7, 7), 1_347_040, 132_160),
]
SE_INCEPTION_V3 = [
    ("mixed5b", (256, 35, 35), 255_904, 8_464),
    ("mixed5c", (288, 35, 35), 277_472, 10_674),
    ("mixed5d", (288, 35, 35), 285_152, 10_674),
    ("mixed6a", (768, 17, 17), 1_153_280, 74_544),
    ("mixed6b", (768, 17, 17), 1_297_408, 74_544),
    ("mixed6c", (768, 17, 17), 1_691_008, 74_544),
    ("mixed6d", (768, 17, 17), 1_691_008, 74_544),
    ("mixed6e", (768, 17, 17), 2_141_952, 74_544),
    ("mixed7a", (1280, 8, 8), 1_698_304, 206_160),
    ("mixed7b", (2048, 8, 8), 5_044_608, 526_464),
    ("mixed7c", (2048, 8, 8), 6_076_800, 526_464),
]


@pytest.mark.parametrize(
    ("name", "side", "table"),
    [("se_googlenet", 224, SE_GOOGLENET), ("se_inception_v3", 299, SE_INCEPTION_V3)],
)
def test_it_has_the_layers_of_the_table(
    name: str, side: int, table: list[tuple[str, tuple[int, ...], int, int]]
) -> None:
    with torch.device("meta"):
        model = create_model(name).eval()
        maps = model.features(torch.empty(1, 3, side, side))
    found = [
        (stage, tuple(maps[stage].shape[1:]), *(parameters(part) for part in layers))
        for stage, layers in model.stages.items()
    ]
    assert found == table


@pytest.mark.parametrize("build", PLAIN)
def test_where_all_scales_are_1_it_is_the_plain_network(build: Builder) -> None:
    torch.manual_seed(0)
    plain = build(width=0.25, num_classes=7, auxiliary=True).eval()
    randomize(plain)
    recalibrated = add_squeeze_excitation(copy.deepcopy(plain))
    pictures = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = plain(pictures)
        different = recalibrated(pictures)
        for block in recalibrated.modules():
            if isinstance(block, SqueezeExcitation):
                block.expand.weight.zero_()
                block.expand.bias.fill_(40.0)  # a sigmoid of 1
        logits, features = recalibrated(pictures), recalibrated.features(pictures)
        heads = recalibrated.auxiliary(pictures, features)
        plain_heads = plain.auxiliary(pictures, plain.features(pictures))
    assert_close(logits, expected)  # and the pictures' logits differ
    torch.testing.assert_close(logits, expected, rtol=1e-6, atol=1e-6)
    assert (different - expected).abs().max() > 0.1 * expected.abs().max()
    assert heads.keys() == plain_heads.keys() != set()
    for name, head in heads.items():
        torch.testing.assert_close(head, plain_heads[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("build", PLAIN)
def test_each_module_is_followed_by_the_scales_of_its_own_maps(build: Builder) -> None:
    torch.manual_seed(0)
    model = add_squeeze_excitation(build(width=0.25)).eval()
    pictures = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    x: Tensor = model.stem(pictures)
    features = model.features(pictures)
    for name, stage in model.stages.items():
        assert isinstance(stage, nn.Sequential)
        module, block = stage
        assert isinstance(block, SqueezeExcitation)
        joined = module(x)
        means = joined.mean(dim=(2, 3))
        assert block.reduce.out_features == means.shape[1] // 16
        scales = block.expand(block.reduce(means).relu()).sigmoid()
        x = joined * scales[:, :, None, None]
        torch.testing.assert_close(features[name], x)
