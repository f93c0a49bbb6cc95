"""LeNet-5 against the tables, counts and formulas of LeCun et al. 1998."""

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import euclidean_distances
from torch import Tensor

from striate.models.lenet import Distances, ScaledTanh, class_codes, connection_table, lenet5, lenet5_1998

# Table I, as printed: a row for each S2 map, a column for each C3 map.
TABLE_I = [
    "X...XXX..XXXX.XX",
    "XX...XXX..XXXX.X",
    "XXX...XXX..X.XXX",
    ".XXX..XXXX..X.XX",
    "..XXX..XXXX.XX.X",
    "...XXX..XXXX.XXX",
]

# Section II.B: trainable parameters, connections, maps and their size (of both sides).
LAYERS = {
    "C1": (156, 122_304, 6, 28),
    "S2": (12, 5_880, 6, 14),
    "C3": (1_516, 151_600, 16, 10),
    "S4": (32, 2_000, 16, 5),
    "C5": (48_120, 48_120, 120, 1),
}
NAMES = {
    "C1": "stem",
    "S2": "stages.stage1",
    "C3": "stages.stage2",
    "S4": "stages.stage3",
    "C5": "stages.stage4",
}


def trainable(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_have_the_parameters_and_shapes_of_the_paper(layer: str) -> None:
    model = lenet5_1998()
    params, _, channels, side = LAYERS[layer]
    assert trainable(model.get_submodule(NAMES[layer])) == params
    maps = model.features(torch.zeros(2, 1, 32, 32))[NAMES[layer].removeprefix("stages.")]
    assert maps.shape == (2, channels, side, side)


def test_the_parameters_of_the_paper_add_up() -> None:
    model = lenet5_1998()
    assert trainable(model.head) == 10_164  # F6; the codes of the output layer are fixed
    assert trainable(model) == sum(params for params, *_ in LAYERS.values()) + 10_164 == 60_000
    assert trainable(lenet5()) == 61_706


def test_the_connections_of_the_paper_follow_from_the_layers() -> None:
    # A unit has a connection to each pixel of its windows and one to its bias.
    model = lenet5_1998()
    for layer in ("C1", "C3", "C5"):
        params, connections, _, side = LAYERS[layer]
        assert trainable(model.get_submodule(NAMES[layer])) == params
        assert params * side * side == connections
    for layer in ("S2", "S4"):
        _, connections, channels, side = LAYERS[layer]
        assert channels * side * side * (2 * 2 + 1) == connections


def test_c3_is_connected_as_table_i_says() -> None:
    table = np.array(connection_table())
    assert np.array_equal(table.T, [[cell == "X" for cell in row] for row in TABLE_I])
    assert sorted(table.sum(axis=1)) == [3] * 6 + [4] * 9 + [6]
    assert table.sum(axis=0).tolist() == [10] * 6  # every S2 map feeds ten C3 maps


def test_a_c3_map_ignores_the_s2_maps_that_it_is_not_connected_to() -> None:
    third = lenet5_1998().get_submodule("stages.stage2")
    torch.manual_seed(0)
    maps = torch.randn(1, 6, 14, 14)
    before = third(maps)
    for s2 in range(6):
        changed = maps.clone()
        changed[:, s2] += 1
        moved = (third(changed) != before).any(dim=(0, 2, 3))
        assert moved.tolist() == [cell == "X" for cell in TABLE_I[s2]]


def test_the_digits_are_drawn_in_plus_and_minus_one_and_far_apart() -> None:
    codes = class_codes(10)
    assert codes.shape == (10, 84)
    assert set(codes.flatten().tolist()) == {-1.0, 1.0}
    distances = (codes[:, None] != codes).sum(dim=2) + 84 * torch.eye(10)
    assert distances.min() > 10


def test_the_drawings_look_like_digits() -> None:
    # Facts that anyone would tell from the pictures, on the 7x12 pixels of each.
    pictures = class_codes(10).view(10, 12, 7) > 0
    mirrored = [bool((picture == picture.flip(1)).all()) for picture in pictures]
    assert [digit for digit in range(10) if mirrored[digit]] == [0, 8]
    upright = [bool((picture == picture.flip(0)).all()) for picture in pictures]
    assert [digit for digit in range(10) if upright[digit]] == [0]
    holes = [background_regions(picture) - 1 for picture in pictures]
    assert holes == [1, 0, 0, 0, 1, 0, 1, 0, 2, 1]
    assert pictures[1, :, 3:5].all()  # a one is an upright stroke
    assert pictures[7, 0].all()  # a seven hangs from its bar
    assert pictures[2, -1].all()  # a two stands on its foot


def background_regions(picture: Tensor) -> int:
    """Connected regions (4 neighbours) of what is not drawn, the surroundings being one of them."""
    free = {(y, x) for y in range(-1, 13) for x in range(-1, 8)}
    free -= {(y, x) for y, x in picture.nonzero().tolist()}
    regions = 0
    while free:
        regions += 1
        border = [free.pop()]
        while border:
            y, x = border.pop()
            for place in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if place in free:
                    free.remove(place)
                    border.append(place)
    return regions


def test_up_to_ten_classes_have_the_drawings_and_more_have_fixed_codes() -> None:
    assert torch.equal(class_codes(3), class_codes(10)[:3])
    torch.manual_seed(1)
    codes = class_codes(100)
    torch.manual_seed(2)
    assert torch.equal(class_codes(100), codes)
    assert set(codes.flatten().tolist()) == {-1.0, 1.0}
    assert len(codes.unique(dim=0)) == 100


def test_logits_are_minus_the_squared_distances_by_hand() -> None:
    output, codes = Distances(10), class_codes(10)
    of_three = output(codes[3:4])[0]
    assert of_three[3] == 0
    assert of_three.tolist() == (-4.0 * (codes != codes[3]).sum(dim=1)).tolist()  # (1 + 1)^2 per pixel
    assert output(torch.zeros(1, 84)).tolist() == [[-84.0] * 10]  # 1 from every pixel
    drawn = (codes > 0).sum(dim=1)  # 0.5 is 0.5 from what is drawn and 1.5 from what is not
    assert output(torch.full((1, 84), 0.5))[0].tolist() == (-0.25 * drawn - 2.25 * (84 - drawn)).tolist()


def test_distances_stay_exact_under_bf16_autocast() -> None:
    # They are sums of 84 squares up to 4: bf16, with its 8 bits, would tell 336 from 338 at best.
    torch.manual_seed(0)
    output, x = Distances(10), torch.rand(16, 84).mul(2).sub(1).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        logits = output(x)
    assert logits.dtype == torch.float32
    expected = -euclidean_distances(x.double().numpy(), class_codes(10).double().numpy(), squared=True)
    torch.testing.assert_close(logits.double(), torch.from_numpy(expected), rtol=1e-5, atol=1e-4)


def test_the_codes_are_saved_but_are_no_parameter() -> None:
    model = lenet5_1998()
    saved = model.state_dict()["head.2.basis.weight"]
    assert torch.equal(saved, class_codes(10))
    assert saved.data_ptr() not in {p.data_ptr() for p in model.parameters()}


def test_the_scaled_tanh_passes_through_plus_and_minus_one() -> None:
    y = ScaledTanh()(torch.tensor([-100.0, -1, 0, 1, 100]))
    torch.testing.assert_close(y, torch.tensor([-1.7159, -1, 0, 1, 1.7159]), atol=1e-4, rtol=0)


def test_larger_pictures_are_seen_at_several_places() -> None:
    # 36 is one step of four more: 2x2 places, and the head sees the mean of their 120 maps.
    torch.manual_seed(0)
    model, x = lenet5().eval(), torch.randn(2, 1, 36, 36)
    places = [model.features(x[..., y : y + 32, z : z + 32])["stage4"] for y in (0, 4) for z in (0, 4)]
    torch.testing.assert_close(model(x), model.head(torch.stack(places).mean(dim=0).flatten(1)))
