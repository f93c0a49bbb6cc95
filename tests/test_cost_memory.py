"""Predicted memory against what PyTorch's memory profiler records of real predictions and training steps."""

from collections.abc import Callable, Iterable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from striate.cost import OPTIMIZERS, measure_cost
from striate.errors import InputError
from striate.models.catalog import create_model
from striate.recipe import OptimizerSettings
from striate.samples import Objects
from striate.tasks.detection.catalog import create_detector
from striate.train.optimizer import build_optimizer

SETTINGS = {  # of `striate train`, for each of OPTIMIZERS
    "sgd": OptimizerSettings(name="sgd", momentum=0.0),
    "momentum": OptimizerSettings(name="sgd"),
    "adam": OptimizerSettings(name="adam"),
    "adamw": OptimizerSettings(name="adamw"),
    "nadam": OptimizerSettings(name="nadam"),
    "rmsprop": OptimizerSettings(name="rmsprop"),
}


def recorded_peak(run: Callable[[], object]) -> int:
    """The largest sum of the bytes that ``run`` allocates and has not freed."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    alive = peak = 0
    for _, change in changes:
        alive += change
        peak = max(peak, alive)
    return peak


def bytes_of(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def in_memory(model: nn.Module) -> nn.Module:
    """A network of the meta device with all weights zero: none is drawn, which takes long for VGG-16."""
    model = model.to_empty(device="cpu").to(memory_format=torch.channels_last)
    for tensor in [*model.parameters(), *model.buffers()]:
        tensor.detach().zero_()
    return model


def recorded(model: nn.Module, pictures: Tensor, optimizer: str, precision: str) -> tuple[int, int]:
    """Bytes in use at the peak of (a prediction, a training step), what they keep included."""
    bf16 = partial(torch.autocast, "cpu", torch.bfloat16, enabled=precision == "bf16")
    held = bytes_of([*model.parameters(), *model.buffers(), pictures])

    @torch.inference_mode()
    def predict() -> None:
        with bf16():
            model(pictures)

    model.eval()
    predict()  # the first time, libraries build their kernels
    prediction = held + recorded_peak(predict)
    targets = torch.zeros(len(pictures), dtype=torch.long)
    updates = build_optimizer(model.train(), SETTINGS[optimizer])

    def step() -> None:
        with bf16():
            logits = model(pictures)
        F.cross_entropy(logits.float(), targets).backward()
        updates.step()
        updates.zero_grad(set_to_none=True)

    step()  # from the second step on there is a state
    state = bytes_of(v for values in updates.state.values() for v in values.values() if isinstance(v, Tensor))
    return prediction, held + state + recorded_peak(step)


def test_the_memory_of_a_detector_is_known_although_its_loss_is_another():
    side, count = 96, 8
    model, rules = create_detector("yolo_light", 3, 3, arguments={"width": 0.5})
    pictures = torch.zeros(count, 3, side, side).contiguous(memory_format=torch.channels_last)
    boxes = torch.tensor([[10.0, 10, 40, 50]]).repeat(count, 1)
    objects = Objects.of(boxes, torch.zeros(count).long(), torch.ones(count).long())
    updates = build_optimizer(model.to(memory_format=torch.channels_last).train(), SETTINGS["adamw"])
    held = bytes_of([*model.parameters(), *model.buffers(), pictures])

    def step() -> None:
        rules.loss(model(pictures), objects)["loss"].backward()
        updates.step()
        updates.zero_grad(set_to_none=True)

    step()
    state = bytes_of(v for values in updates.state.values() for v in values.values() if isinstance(v, Tensor))
    found = held + state + recorded_peak(step)
    expected = measure_cost(model, (3, side, side)).memory_train(count, "adamw").peak
    assert expected == pytest.approx(found, rel=0.1)


@pytest.mark.parametrize(
    ("name", "side", "optimizer", "precision"),
    [
        ("resnet18", 96, "momentum", "fp32"),
        ("resnet18", 96, "adamw", "bf16"),
        ("vgg16", 64, "sgd", "fp32"),
        ("mobilenet_v2", 96, "adamw", "fp32"),
        ("googlenet", 96, "rmsprop", "fp32"),
    ],
)
def test_predicted_memory_is_what_is_recorded(name, side, optimizer, precision):
    with torch.device("meta"):
        model = create_model(name)
    cost = measure_cost(model, (3, side, side), precision)
    model = in_memory(model)
    for batch in (2, 8):
        pictures = torch.zeros(batch, 3, side, side).contiguous(memory_format=torch.channels_last)
        prediction, step = recorded(model, pictures, optimizer, precision)
        assert cost.memory_predict(batch) == pytest.approx(prediction, rel=0.1)
        assert cost.memory_train(batch, optimizer).peak == pytest.approx(step, rel=0.1)


def two_layers() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(300, 1000), nn.ReLU(), nn.Linear(1000, 10))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_keeps_and_takes_what_the_table_says(name):
    model = two_layers()
    optimizer = build_optimizer(model, SETTINGS[name])
    values = bytes_of(model.parameters())

    def step() -> None:
        optimizer.step()

    model(torch.zeros(2, 300)).sum().backward()
    step()
    kept = bytes_of(
        v for values in optimizer.state.values() for v in values.values() if isinstance(v, Tensor) and v.ndim
    )
    assert kept == OPTIMIZERS[name].state * values
    assert recorded_peak(step) == pytest.approx(OPTIMIZERS[name].temporary * values, abs=0.05 * values)


def test_an_activation_in_place_saves_a_map_in_a_prediction():
    pictures = torch.zeros(4, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    predicted, measured = [], []
    for inplace in (True, False):
        model = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU(inplace), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        predicted.append(measure_cost(model, (3, 64, 64)).memory_predict(4))
        measured.append(recorded(model.to(memory_format=torch.channels_last), pictures, "sgd", "fp32")[0])
    assert predicted[1] - predicted[0] == pytest.approx(4 * 4 * 16 * 64 * 64, rel=0.01)
    assert predicted == pytest.approx(measured, rel=0.1)


class Halves(nn.Module):
    """One half of the channels passes, the other is convolved: views of maps, and a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return torch.cat([F.silu(self.norm(self.conv(first))), second * torch.sigmoid(second)], dim=1)


def test_views_of_maps_take_the_memory_that_is_recorded():
    model = nn.Sequential(nn.Conv2d(3, 16, 1), Halves(), Halves(), nn.Flatten(), nn.Linear(16 * 48 * 48, 5))
    cost = measure_cost(model, (3, 48, 48))
    pictures = torch.zeros(16, 3, 48, 48).contiguous(memory_format=torch.channels_last)
    prediction, step = recorded(model.to(memory_format=torch.channels_last), pictures, "sgd", "fp32")
    assert cost.memory_predict(16) == pytest.approx(prediction, rel=0.1)
    assert cost.memory_train(16, "sgd").peak == pytest.approx(step, rel=0.1)


def test_dropout_takes_memory_in_training_and_none_in_a_prediction():
    layers = [nn.Linear(300, 1000), nn.Dropout(0.5), nn.Linear(1000, 10)]
    without, with_dropout = (measure_cost(nn.Sequential(*chosen), (300,)) for chosen in (layers[::2], layers))
    assert with_dropout.memory_predict(8) == without.memory_predict(8)
    kept = with_dropout.memory_train(8).activations - without.memory_train(8).activations
    assert kept >= 8 * 1000 * 4  # its output, and which units it keeps


def test_the_gradient_of_a_large_weight_takes_four_times_its_memory():
    conv = nn.Conv2d(512, 512, 3, padding=1, bias=False)  # itself, its gradient, and that twice meanwhile
    pictures, maps = 4 * 512 * 6 * 6, 4 * 512 * 6 * 6
    peak = measure_cost(conv, (512, 6, 6)).memory_train(1, "sgd").peak
    assert peak == pytest.approx(4 * conv.weight.nbytes + pictures + 2 * maps, rel=0.01)


@pytest.mark.parametrize(("groups", "padded"), [(256, 256 * 16 * 16 * 25), (8, 8 * 32 * 32 * 25), (1, 0)])
def test_small_groups_are_filled_up_with_zeros_to_sixteen_channels(groups, padded):
    conv = nn.Conv2d(256, 256, 5, padding=2, groups=groups, bias=False)
    maps = 4 * 256 * 8 * 8
    peak = measure_cost(conv, (256, 8, 8)).memory_train(1, "sgd").peak
    assert peak == pytest.approx(4 * conv.weight.nbytes + 4 * padded + 3 * maps, rel=0.01)


def test_depthwise_windows_of_3x3_have_a_kernel_of_their_own_and_are_not_filled_up():
    conv = nn.Conv2d(256, 256, 3, padding=1, groups=256, bias=False)
    assert measure_cost(conv, (256, 8, 8)).memory_train(1, "sgd").peak < 4 * 256 * 16 * 16 * 9 // 4


@pytest.mark.parametrize("optimizer", [None, *OPTIMIZERS])
@pytest.mark.parametrize("memory", [10**6, 10**8, 10**10])
def test_the_largest_batch_fits_and_one_picture_more_does_not(optimizer, memory):
    cost = measure_cost(create_model("lenet5"), (1, 32, 32))
    batch = cost.largest_batch(memory, optimizer)

    def needed(pictures: int) -> int:
        if optimizer is None:
            return cost.memory_predict(pictures)
        return cost.memory_train(pictures, optimizer).peak

    assert batch == 0 or needed(batch) <= memory
    assert needed(batch + 1) > memory


def test_no_batch_fits_where_the_network_does_not():
    cost = measure_cost(create_model("lenet5"), (1, 32, 32))
    assert cost.largest_batch(200_000) == cost.largest_batch(200_000, "sgd") == 0


def test_an_unknown_optimizer_is_an_input_error():
    cost = measure_cost(create_model("lenet5"), (1, 32, 32))
    for ask in (cost.memory_train, cost.largest_batch):
        with pytest.raises(InputError, match="unknown optimizer 'lion'"):
            ask(1, "lion")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_measuring_takes_no_memory(precision):
    with torch.device("meta"):
        model = create_model("vgg16")  # 553 MB
    assert recorded_peak(lambda: measure_cost(model, (3, 224, 224), precision)) < 10**5
