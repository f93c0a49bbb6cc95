"""Counts and receptive fields: hand-worked numbers, the literature's, PyTorch's own counter, and laws."""

import math
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from striate.cost import measure_cost
from striate.cost.network import gather, trace_prediction
from striate.cost.results import RULES, Results, tensors_in
from striate.errors import InputError
from striate.layers import (
    Conv2d,
    ConvTranspose2d,
    LocalResponseNorm,
    PartiallyConnectedConv2d,
    SeparableConv2d,
    SqueezeExcitation,
)
from striate.models.catalog import CATALOG, create_model
from striate.models.lenet import connection_table


def on_meta(name: str, **arguments: object) -> nn.Module:
    with torch.device("meta"):
        return create_model(name, **arguments)  # type: ignore[arg-type]


def sequence(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


# The numbers of the literature


def test_a_convolution_has_few_parameters_but_much_arithmetic_and_memory():
    cost = measure_cost(Conv2d(3, 200, 5, padding="same"), (3, 100, 150))
    assert (cost.params, cost.macs) == (15_200, 225_000_000)
    (layer,) = cost.layers
    assert layer.output == (200, 100, 150)
    assert (layer.activation, 100 * layer.activation) == (12_000_000, 1_200_000_000)  # 12 MB, 1.2 GB


def test_one_dense_map_has_more_weights_than_200_convolutional_ones():
    with torch.device("meta"):
        model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 100 * 150, 100 * 150, bias=False))
    cost = measure_cost(model, (3, 100, 150))
    assert cost.params == cost.macs == 150**2 * 100**2 * 3 == 675_000_000


def test_a_grey_picture_into_1000_dense_units():
    with torch.device("meta"):
        model = nn.Sequential(nn.Flatten(), nn.Linear(100 * 100, 1000))
    assert measure_cost(model, (1, 100, 100)).params == 10_001_000


@pytest.fixture
def three_convolutions() -> nn.Sequential:
    return sequence(
        first=nn.Conv2d(3, 100, 3, stride=2, padding=1),
        second=nn.Conv2d(100, 200, 3, stride=2, padding=1),
        third=nn.Conv2d(200, 400, 3, stride=2, padding=1),
    )


def test_three_convolutions_of_the_reference(three_convolutions):
    cost = measure_cost(three_convolutions, (3, 200, 300))
    assert cost.params == 903_400
    assert [layer.activation for layer in cost.layers] == [6_000_000, 3_000_000, 1_520_000]
    training = cost.memory_train(50, "sgd")
    assert training.activations == 526_000_000
    assert training.pictures == 36_000_000
    assert training.weights == training.gradients == 4 * 903_400


def test_a_prediction_needs_two_consecutive_layers_and_the_parameters(three_convolutions):
    cost = measure_cost(three_convolutions, (3, 200, 300))
    picture, weights, pair = 4 * 3 * 200 * 300, 4 * 903_400, 6_000_000 + 3_000_000
    workspace = 4 * 100 * 200 * 3 * 3  # the second convolution's weight once more
    assert cost.memory_predict() == picture + weights + pair + workspace


def test_a_dense_network_with_batch_normalization():
    model = nn.Sequential(
        *(nn.Flatten(), nn.BatchNorm1d(784)),
        *(nn.Linear(784, 300), nn.BatchNorm1d(300), nn.ELU()),
        *(nn.Linear(300, 100), nn.BatchNorm1d(100), nn.ELU()),
        nn.Linear(100, 10),
    )
    cost = measure_cost(model, (1, 28, 28))
    assert (cost.values, cost.trainable, cost.non_trainable) == (271_346, 268_978, 2_368)
    assert cost.params == 268_978


def test_resnet34_with_ten_classes():
    cost = measure_cost(on_meta("resnet34", num_classes=10), (3, 224, 224))
    assert (cost.values, cost.trainable, cost.non_trainable) == (21_306_826, 21_289_802, 17_024)


def test_a_bottleneck_saves_nine_tenths_of_the_arithmetic():
    naive = measure_cost(Conv2d(192, 32, 5, padding="same"), (192, 28, 28))
    narrowed = measure_cost(
        sequence(reduce=Conv2d(192, 16, 1), convolve=Conv2d(16, 32, 5, padding="same")), (192, 28, 28)
    )
    assert naive.macs == 120_422_400
    assert [layer.macs for layer in narrowed.layers] == [2_408_448, 10_035_200]
    assert narrowed.macs == 12_443_648


def test_the_activations_of_vgg16_are_those_of_the_literature():
    cost = measure_cost(on_meta("vgg16"), (3, 224, 224))
    kinds = ("Conv2d", "MaxPool2d", "Linear")
    floats = sum(layer.activation for layer in cost.layers if layer.kind in kinds) // 4
    assert floats + 3 * 224 * 224 == 15_237_608


# Parameters and arithmetic


@pytest.mark.parametrize("name", CATALOG)
def test_every_network_of_the_catalogue(name):
    facts = CATALOG[name]
    model = on_meta(name)
    work, _ = trace_prediction(model, facts.input, "fp32")
    modules = gather(model, work)
    assert sum(module.trainable for module in modules) == facts.params
    assert sum(module.macs for module in modules) == facts.macs
    by_name = {module.name: module for module in modules}
    for info in model.feature_info:
        stage = by_name.get(f"stages.{info.name}") or by_name[info.name]
        assert stage.output[0] == info.channels
        assert stage.stride == (info.stride, info.stride)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (lambda: create_model("resnet18"), (3, 64, 64)),
        (lambda: create_model("mobilenet_v2"), (3, 64, 64)),
        (lambda: create_model("googlenet_2014"), (3, 64, 64)),
        (lambda: create_model("lenet5_1998"), (1, 32, 32)),
        (lambda: create_model("capsnet"), (1, 28, 28)),
        (lambda: nn.Conv2d(8, 12, (3, 5), stride=2, dilation=2, groups=4), (8, 30, 31)),
        (lambda: ConvTranspose2d(4, 6, 4, stride=2, padding="same"), (4, 9, 9)),
        (lambda: SqueezeExcitation(32), (32, 7, 7)),
    ],
)
def test_flops_are_those_that_pytorch_counts(model, shape):
    with torch.device("meta"):
        network = model().eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, *shape))
    assert measure_cost(network, shape).flops == counter.get_total_flops()


def test_attention_in_bf16_runs_as_one_operation_and_counts_as_in_fp32():
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    whole, half = (measure_cost(layer, (10, 16), precision) for precision in ("fp32", "bf16"))
    assert half.flops == whole.flops == 2 * (whole.macs + 2 * 10 * 10 * 16)
    for cost in (whole, half):
        attention = next(module for module in cost.modules if module.name == "self_attn")
        assert attention.receptive_field == (math.inf,)


def test_a_recurrent_layer_multiplies_its_first_state_too_and_takes_no_memory_for_pictures_that_are_not():
    cost = measure_cost(nn.LSTM(8, 16, batch_first=True), (10, 8))
    assert cost.macs == 10 * 4 * 16 * (8 + 16)
    assert cost.memory_predict(2) - cost.memory_predict(1) < 10_000
    assert cost.memory_train(2).peak < 10**6


def test_a_flop_is_half_a_multiply_accumulate_where_only_weights_multiply():
    cost = measure_cost(on_meta("resnet18"), (3, 224, 224))
    assert cost.flops == 2 * cost.macs == 2 * 1_814_073_344


def test_sums_over_neighbours_are_flops_but_no_multiply_accumulates_of_weights():
    cost = measure_cost(LocalResponseNorm(), (96, 55, 55))
    assert cost.macs == 0
    assert cost.flops == 2 * 96 * 96 * 55 * 55


def test_a_partial_connection_counts_its_own_weights_though_it_runs_as_a_full_one():
    cost = measure_cost(PartiallyConnectedConv2d(connection_table(), 5), (6, 14, 14))
    assert cost.params == 1_516
    assert cost.macs == 60 * 25 * 10 * 10
    assert cost.flops == 2 * 16 * 6 * 25 * 10 * 10


def test_a_separable_convolution_is_cheaper_than_a_full_one_by_its_law():
    cost = measure_cost(SeparableConv2d(64, 128, 3, padding="same"), (64, 14, 14))
    assert cost.macs == 14 * 14 * 64 * (9 + 128)


def test_frozen_parameters_are_parameters_but_not_trained():
    model = sequence(body=nn.Linear(10, 20), head=nn.Linear(20, 3))
    model.body.requires_grad_(False)
    cost = measure_cost(model, (10,))
    assert (cost.params, cost.trainable, cost.non_trainable) == (283, 63, 220)
    assert cost.memory_train().gradients == 4 * 63
    assert cost.memory_train(1, "adam").optimizer == 2 * 4 * 63


def test_a_network_without_anything_to_train_has_the_memory_of_its_forward_pass():
    model = nn.Linear(10, 20).requires_grad_(False)
    assert measure_cost(model, (10,)).memory_train().gradients == 0


def test_shared_weights_are_counted_once_and_used_twice():
    model = sequence(first=nn.Linear(10, 10, bias=False), second=nn.Linear(10, 10, bias=False))
    model.second.weight = model.first.weight
    cost = measure_cost(model, (10,))
    assert (cost.params, cost.macs) == (100, 200)


def test_a_module_that_is_called_twice_works_twice():
    layer = nn.Linear(10, 10, bias=False)
    cost = measure_cost(nn.Sequential(layer, layer), (10,))
    assert (cost.params, cost.macs, len(cost.layers)) == (100, 200, 1)


def test_parameters_that_a_prediction_does_not_reach_are_counted():
    model = create_model("googlenet", auxiliary=True)
    assert measure_cost(model, (3, 64, 64)).params == sum(p.numel() for p in model.parameters())


# Layers


def test_work_between_the_layers_of_a_block_is_the_blocks_own():
    cost = measure_cost(on_meta("se_resnet18"), (3, 224, 224))
    unit = next(layer for layer in cost.layers if layer.name == "stages.stage1.0")
    assert (unit.kind, unit.params, unit.macs) == ("SEBasicUnit", 0, 0)
    assert unit.activation == 4 * 64 * 56 * 56  # the sum with the shortcut


def test_only_new_memory_counts_as_activation():
    cost = measure_cost(
        sequence(
            conv=nn.Conv2d(3, 4, 3), inplace=nn.ReLU(inplace=True), outside=nn.ReLU(), view=nn.Flatten()
        ),
        (3, 10, 10),
    )
    size = 4 * 4 * 8 * 8
    assert [layer.activation for layer in cost.layers] == [size, 0, size, size]  # from channels_last: a copy
    assert measure_cost(nn.Flatten(), (3, 10, 10)).layers[0].activation == 4 * 3 * 10 * 10  # as pictures are
    pooled = measure_cost(sequence(pool=nn.AdaptiveAvgPool2d(1), view=nn.Flatten()), (3, 10, 10))
    assert [layer.activation for layer in pooled.layers] == [12, 0]


def test_activations_take_half_the_memory_in_bf16():
    model = Conv2d(3, 8, 3, bias=False)
    whole, half = (measure_cost(model, (3, 10, 10), precision) for precision in ("fp32", "bf16"))
    assert whole.layers[0].activation == 2 * half.layers[0].activation == 4 * 8 * 8 * 8
    assert (whole.params, whole.macs) == (half.params, half.macs)


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 9])
def test_folding_keeps_the_sums(depth):
    cost = measure_cost(on_meta("resnet18"), (3, 64, 64))
    folded = cost.folded(depth)
    for count in ("params", "trainable", "values", "macs", "flops", "activation"):
        assert sum(getattr(layer, count) for layer in folded) == sum(
            getattr(layer, count) for layer in cost.layers
        )
    assert all(len(layer.name.split(".")) <= max(depth, 1) for layer in folded)


def test_folding_names_the_parts_and_shows_their_outputs():
    cost = measure_cost(on_meta("resnet18"), (3, 224, 224))
    (network,) = cost.folded(0)
    assert (network.kind, network.output) == ("ResNet", (1000,))
    stem, stages, head = cost.folded(1)
    assert (stem.name, stem.kind, stem.output) == ("stem", "Sequential", (64, 56, 56))
    assert (stages.name, stages.output) == ("stages", (512, 7, 7))
    assert (head.name, head.output, head.macs) == ("head", (1000,), 512_000)
    assert cost.folded(9) == cost.layers


# Receptive fields


@pytest.mark.parametrize(
    ("name", "last", "size"),
    [  # Araujo et al. 2019, table "Receptive field parameters"; ResNets differ there by where they stride
        ("alexnet", "stages.stage4", 195),
        ("vgg16", "stages.stage5", 212),
        ("mobilenet", "stages.stage5", 315),
        ("inception_v3", "stages.mixed7c", 1311),
        ("inception_v4", "stages.inception_c3", 2071),
    ],
)
def test_receptive_fields_are_those_of_the_literature(name, last, size):
    work, _ = trace_prediction(on_meta(name), CATALOG[name].input, "fp32")
    assert work.finished[last].seen.size == (size, size)
    assert work.finished[last].seen.stride == (32, 32)


def test_receptive_fields_of_vgg16_by_hand():
    layers = measure_cost(on_meta("vgg16"), (3, 224, 224)).layers
    sizes = [
        layer.receptive_field[0] for layer in layers if layer.kind in ("Conv2d", "MaxPool2d")
    ]  # r + 2 j for a convolution, r + j for a pooling, which doubles j
    assert sizes == [3, 5, 6, 10, 14, 16, 24, 32, 40, 44, 60, 76, 92, 100, 132, 164, 196, 212]


def test_receptive_fields_of_resnet18_by_hand():
    cost = measure_cost(on_meta("resnet18"), (3, 224, 224))
    by_name = {module.name: module for module in cost.modules}
    # 7; pool +2*2; then two convolutions of +2j in each unit, the first of a stage at the stride before
    sizes = {"stem.0": 7, "stem": 11, "stages.stage1": 11 + 4 * 8}
    sizes["stages.stage2"] = 43 + 8 + 3 * 16
    sizes["stages.stage3"] = 99 + 16 + 3 * 32
    sizes["stages.stage4"] = 211 + 32 + 3 * 64
    assert {name: by_name[name].receptive_field[0] for name in sizes} == sizes
    assert sizes["stages.stage4"] == 435
    assert by_name["head"].receptive_field == (math.inf, math.inf)


def seen_pixels(model: nn.Module, side: int) -> tuple[int, int]:
    """The largest extent (height, width) of pixels that move one of the middle outputs of ``model``."""
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    x = torch.ones(1, 1, side, side, requires_grad=True)
    y = model(x)
    extents = []
    middle = [range(size // 2, min(size // 2 + 4, size)) for size in y.shape[2:]]
    for row in middle[0]:
        for column in middle[1]:
            (gradient,) = torch.autograd.grad(y[0, 0, row, column], x, retain_graph=True)
            rows, columns = gradient[0, 0].nonzero().unbind(1)
            extents.append((int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1))
    return max(extents)


class Branches(nn.Module):
    """A wide and a narrow way, joined."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(1, 1, (7, 3), padding=(3, 1))
        self.narrow = nn.Conv2d(1, 1, (1, 5), padding=(0, 2))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.wide(x), self.narrow(x)], dim=1)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 5, stride=3), nn.AvgPool2d(2)],
        [nn.Conv2d(1, 1, (1, 7), dilation=(1, 2)), nn.Conv2d(1, 1, (5, 1), stride=(2, 1))],
        [nn.AvgPool2d(3, stride=2, padding=1), nn.Conv2d(1, 1, 3, padding=1), nn.AvgPool2d(3, stride=1)],
        [nn.Conv2d(1, 1, 3, stride=2), nn.ConvTranspose2d(1, 1, 4, stride=2), nn.Conv2d(1, 1, 3)],
        [nn.Conv2d(1, 1, 3, stride=4), nn.UpsamplingNearest2d(scale_factor=4)],
        [nn.Conv2d(1, 1, 3, stride=4), nn.UpsamplingBilinear2d(scale_factor=3)],
        [nn.Conv2d(1, 1, 3), nn.AdaptiveAvgPool2d(13)],
        [Branches(), nn.Conv2d(2, 1, 3, stride=2)],
    ],
    ids=["stack", "axes", "pooling", "transposed", "nearest", "bilinear", "adaptive", "branches"],
)
def test_receptive_fields_are_the_pixels_that_have_a_gradient(layers):
    model = nn.Sequential(*layers)
    side = 54
    field = measure_cost(model, (1, side, side)).modules[-1]
    assert field.receptive_field == seen_pixels(model, side)


@pytest.mark.parametrize(
    ("layer", "seen"),
    [
        (nn.Upsample(scale_factor=2, mode="nearest-exact"), 3),
        (nn.Upsample(scale_factor=2, mode="bilinear"), 5),
        (nn.Upsample(scale_factor=2, mode="bicubic"), 9),
        (nn.PixelShuffle(2), 3),
    ],
)
def test_all_enlargements_halve_the_stride(layer, seen):
    field = measure_cost(nn.Sequential(nn.Conv2d(4, 4, 3, stride=2), layer), (4, 21, 21)).modules[-1]
    assert (field.stride, field.receptive_field) == ((1, 1), (seen, seen))


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "linear", "trilinear"])
def test_enlargements_along_one_or_three_axes_halve_the_stride(mode):
    shapes = (
        [(2, 8)] if mode == "linear" else [(2, 4, 4, 4)] if mode == "trilinear" else [(2, 8), (2, 4, 4, 4)]
    )
    for shape in shapes:
        field = measure_cost(nn.Upsample(scale_factor=2, mode=mode), shape).modules[-1]
        assert set(field.stride) == {0.5}


def test_receptive_fields_along_one_axis():
    model = nn.Sequential(
        nn.Conv1d(4, 6, 3, dilation=2, stride=2), nn.MaxPool1d(2), nn.AvgPool1d(3, 1), nn.AdaptiveAvgPool1d(1)
    )
    cost = measure_cost(model, (4, 40))
    assert [layer.receptive_field for layer in cost.layers] == [(5,), (7,), (15,), (math.inf,)]
    assert [layer.stride for layer in cost.layers] == [(2,), (4,), (4,), (4,)]


def test_strides_multiply_and_enlargements_divide_them():
    cost = measure_cost(
        nn.Sequential(
            nn.Conv2d(1, 1, 3, stride=(4, 2)), nn.MaxPool2d(2), nn.ConvTranspose2d(1, 1, 4, stride=16)
        ),
        (1, 64, 64),
    )
    assert [layer.stride for layer in cost.layers] == [(4, 2), (8, 4), (0.5, 0.25)]


@pytest.mark.parametrize(
    "layers",
    [
        [nn.AdaptiveAvgPool2d(1)],
        [nn.AdaptiveMaxPool2d(1)],
        [nn.Flatten(), nn.Linear(3 * 10 * 10, 5)],
        [SqueezeExcitation(3, reduction=3), nn.Conv2d(3, 3, 3)],
    ],
)
def test_pooling_all_and_dense_layers_see_the_whole_picture(layers):
    cost = measure_cost(nn.Sequential(*layers), (3, 10, 10))
    assert cost.layers[-1].receptive_field == (math.inf, math.inf)


def test_a_dilated_maximum_sees_as_far_as_its_window_spans():
    cost = measure_cost(nn.MaxPool2d(3, stride=1, dilation=4), (1, 20, 20))
    assert cost.layers[0].receptive_field == (9, 9)


# What measuring needs and leaves


def test_a_network_on_the_meta_device_costs_what_it_costs_in_memory():
    assert measure_cost(on_meta("lenet5"), (1, 32, 32)) == measure_cost(create_model("lenet5"), (1, 32, 32))


def test_measuring_leaves_the_network_as_it_was():
    model = create_model("resnet18", width=0.25)
    model.stages["stage1"].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    measure_cost(model, (3, 64, 64))
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(p.grad is None and p.device.type == "cpu" for p in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_constants_made_in_a_forward_pass_are_no_hindrance():
    class Shifted(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.arange(self.out_features)

    assert measure_cost(Shifted(4, 3), (4,)).macs == 12


def test_outputs_may_be_nested():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 3), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> dict[str, list[Tensor]]:
            return {"logits": [self.first(x), F.relu(self.second(x))]}

    cost = measure_cost(Two(), (4,))
    assert (cost.macs, cost.memory_train().gradients) == (20, 4 * (15 + 10))


def test_a_network_may_give_one_number_for_each_picture_or_do_nothing():
    model = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
    assert measure_cost(model, (4,)).memory_train().gradients == 4 * 5
    nothing = measure_cost(nn.Identity(), (3, 8, 8))
    assert (nothing.layers, nothing.params) == ((), 0)
    assert nothing.memory_predict(2) == nothing.memory_train(2).pictures == 2 * 4 * 3 * 8 * 8


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("resnet18", {"convolution", "native_batch_norm_backward", "relu_", "add", "mean", "addmm", "mm"}),
        ("mobilenet_v2", {"hardtanh_", "hardtanh_backward"}),
        ("se_googlenet", {"sigmoid_backward", "mul", "div", "sum"}),
        ("darknet19", {"leaky_relu_", "leaky_relu_backward"}),
        ("lenet5_1998", {"tanh", "tanh_backward", "sub", "_log_softmax_backward_data"}),
        ("capsnet", {"bmm", "_softmax", "_softmax_backward_data"}),
    ],
)
def test_own_rules_give_the_shapes_that_pytorch_gives(name, seen, monkeypatch):
    answered = set()

    class Compared(Results):
        def of(self, function, args, kwargs):
            result = super().of(function, args, kwargs)
            if function.overloadpacket in RULES:
                expected = function(*args, **kwargs)
                assert forms(result) == forms(expected), function
                answered.add(function.overloadpacket.__name__)
            return result

    def forms(tree: object) -> list[tuple[torch.Size, torch.dtype]]:
        return [(tensor.shape, tensor.dtype) for tensor in tensors_in(tree)]

    monkeypatch.setattr("striate.cost.operations.Results", Compared)
    measure_cost(on_meta(name), CATALOG[name].input)
    assert answered >= seen


@pytest.mark.parametrize(
    "model",
    [
        nn.Conv2d(4, 5, 3),
        nn.Conv2d(3, 5, 20),
        nn.Sequential(nn.Flatten(), nn.Linear(9, 2)),
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(5)),
    ],
)
def test_layers_that_do_not_fit_are_an_input_error(model):
    with pytest.raises(InputError, match="does not take pictures of 3x10x10"):
        measure_cost(model, (3, 10, 10))


@pytest.mark.parametrize("operation", [torch.add, torch.mul, Tensor.add_, torch.bmm, torch.mm])
def test_shapes_that_do_not_fit_are_an_input_error(operation):
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return operation(x.clone(), x.new_ones(3, 7))

    with pytest.raises(InputError):
        measure_cost(Odd(), (5,))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "forward",
    [
        lambda x: x if x.sum() > 0 else -x,
        lambda x: x * x.max().item(),
        lambda x: x[x > 0],
        lambda x: x[0].tolist(),  # of a whole batch it takes PyTorch most of a minute
        lambda x: torch.from_numpy(x.detach().numpy()),
    ],
    ids=["if", "item", "mask", "list", "numpy"],
)
def test_a_network_whose_path_depends_on_values_is_an_input_error(forward, precision):
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> object:
            return forward(x)

    with pytest.raises(InputError, match="depends on the values of its pictures"):
        measure_cost(Odd(), (5,), precision)


def test_a_network_that_checks_its_input_itself_is_an_input_error():
    class Strict(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.shape[1:] != (3, 8, 8):
                raise AssertionError
            return x

    with pytest.raises(InputError, match="does not take pictures of 3x10x10: AssertionError"):
        measure_cost(Strict(), (3, 10, 10))
    with pytest.raises(InputError, match="Dimension out of range"):
        measure_cost(nn.Flatten(5), (3, 10, 10))


def test_a_network_whose_outputs_hold_no_tensors_is_an_input_error():
    class Silent(nn.Linear):
        def forward(self, x: Tensor) -> object:  # type: ignore[override]
            return {super().forward(x)}

    with pytest.raises(InputError, match="gives no tensors, but a set"):
        measure_cost(Silent(4, 3), (4,))


@pytest.mark.parametrize("units", [10_007, 21_841, 65_536])
def test_no_usual_width_is_taken_for_a_number_of_pictures(units):
    cost = measure_cost(nn.Linear(4, units), (4,))
    assert cost.memory_train(1).weights == 4 * 5 * units
    assert cost.layers[0].output == (units,)


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 1, 1)])
def test_pictures_that_do_not_fit_are_an_input_error(shape):
    with pytest.raises(InputError, match="does not take pictures of"):
        measure_cost(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)), shape)
