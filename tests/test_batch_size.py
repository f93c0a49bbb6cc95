"""The batch size that memory holds: predicted, bounded, tried, and no trace left."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from striate import batch_size
from striate.batch_size import FALLBACK, choose_batch_size, free_memory, sensible
from striate.cost import measure_cost
from striate.errors import RunError
from striate.recipe import OptimizerSettings
from striate.tasks.classification import ClassificationTask

CLASSES = ("ant", "bee", "cat")
SHAPE = (1, 12, 12)
CPU = torch.device("cpu")
MEBI = 2**20


class Network(nn.Module):
    """Statistics, dropout and a head: all that a step changes. ``limit`` pictures are the most it bears."""

    def __init__(self, limit: int = 10_000, failure: Exception | None = None) -> None:
        super().__init__()
        self.limit, self.failure, self.sizes = limit, failure, []
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(800, 3)
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        logits = self.body(x)
        if not x.is_meta:
            self.sizes.append(len(x))
            if len(x) > self.limit:
                raise self.failure or torch.OutOfMemoryError("CUDA out of memory")
        return {"logits": logits}


def choose(model: nn.Module, pictures: int = 100_000, name: str = "adamw", **others):
    settings = OptimizerSettings(name=name, **others)
    return choose_batch_size(model, ClassificationTask(CLASSES), settings, SHAPE, "fp32", pictures, CPU)


@pytest.fixture
def plenty(monkeypatch):
    monkeypatch.setattr(batch_size, "free_memory", lambda device: 2**40)


@pytest.mark.parametrize(
    ("most", "pictures", "expected"),
    [(512, 10**6, 512), (300, 10**6, 256), (512, 1347, 128), (512, 5120, 512), (512, 5119, 256), (512, 85, 8),
     (512, 30, 2), (512, 2, 2), (3, 10**6, 2), (0, 10**6, 2)],
)  # fmt: skip
def test_a_sensible_size_is_a_power_of_two_within_its_bounds(most, pictures, expected):
    assert sensible(most, pictures) == expected


def test_with_plenty_of_memory_the_bounds_decide_and_one_trial_does(plenty):
    network = Network()
    choice = choose(network)
    assert (choice.size, choice.trials, network.sizes) == (512, (512,), [512])
    assert choose(Network(), pictures=1000).size == 64


@pytest.mark.parametrize(
    ("name", "others", "counted"),
    [("adamw", {}, "adamw"), ("sgd", {"momentum": 0.9}, "momentum"), ("sgd", {"momentum": 0.0}, "sgd"),
     ("rmsprop", {}, "rmsprop"), ("nadam", {}, "nadam"), ("adam", {}, "adam")],
)  # fmt: skip
def test_the_size_is_the_largest_whose_predicted_memory_is_there(monkeypatch, name, others, counted):
    network = Network()
    cost = measure_cost(network, SHAPE)
    held = cost.memory_train(1, counted).weights
    monkeypatch.setattr(
        batch_size, "free_memory", lambda device: (cost.memory_train(100, counted).peak - held) / 0.7
    )
    choice = choose(network, name=name, **others)
    assert choice.size == 64
    assert choice.predicted == cost.memory_train(64, counted).peak <= choice.available
    assert cost.memory_train(128, counted).peak > choice.available


@pytest.mark.parametrize("failure", [None, MemoryError("std::bad_alloc")])
@pytest.mark.parametrize(("limit", "trials"), [(300, (512, 256)), (100, (512, 256, 128, 64))])
def test_a_trial_that_runs_out_of_memory_is_tried_with_half(plenty, limit, trials, failure):
    choice = choose(Network(limit, failure))
    assert choice.trials == trials
    assert choice.size == trials[-1]


def test_without_memory_for_two_pictures_the_run_ends(plenty):
    with pytest.raises(RunError, match="not enough memory"):
        choose(Network(limit=1))


def test_another_error_passes_through(plenty):
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        choose(Network(1, RuntimeError("mat1 and mat2 shapes cannot be multiplied")))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("limit", [10_000, 20])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "nadam", "rmsprop"])
def test_a_trial_leaves_no_trace(plenty, name, limit, training):
    network = Network(limit).train(training)
    network.body[1].eval()  # a part of its own mode
    network.body[0].bias.requires_grad_(False)
    before, modes = copy.deepcopy(network.state_dict()), [m.training for m in network.modules()]
    layouts = [p.stride() for p in network.parameters()]
    random_state = torch.get_rng_state()
    choose(network, name=name)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert [m.training for m in network.modules()] == modes
    assert [p.stride() for p in network.parameters()] == layouts
    assert all(p.grad is None for p in network.parameters())
    assert network.state_dict().keys() == before.keys()
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_the_trial_is_a_whole_step(plenty, monkeypatch):
    """The weights have moved, and the optimizer had its state before the pass that needs most."""
    steps = []
    build = batch_size.build_optimizer

    def watched(model, settings):
        optimizer = build(model, settings)
        step = optimizer.step
        optimizer.step = lambda: (step(), steps.append(len(optimizer.state)))
        return optimizer

    monkeypatch.setattr(batch_size, "build_optimizer", watched)
    network = Network()
    choose(network)
    assert steps == [len(list(network.parameters()))] * 2


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = {"proc/meminfo": f"MemTotal: {64 * 1024} kB\nMemFree: 1 kB\nMemAvailable: {32 * 1024} kB\n"}


def test_free_memory_is_what_the_system_could_give(tmp_path):
    assert free_memory(CPU, plant(tmp_path, MEMINFO)) == 32 * MEBI


def test_a_control_group_of_version_2_leaves_its_limit_less_its_use_but_for_cached_files(tmp_path):
    group = "sys/fs/cgroup/box"
    files = {
        "proc/self/cgroup": "0::/box\n",
        f"{group}/memory.max": f"{20 * MEBI}\n",
        f"{group}/memory.current": f"{9 * MEBI}\n",
        f"{group}/memory.stat": f"anon 1\ninactive_file {2 * MEBI}\nactive_file 7\n",
    }
    assert free_memory(CPU, plant(tmp_path, MEMINFO | files)) == 13 * MEBI


def test_a_control_group_of_version_1_likewise(tmp_path):
    group = "sys/fs/cgroup/memory/box"
    files = {
        "proc/self/cgroup": "4:memory:/box\n",
        f"{group}/memory.limit_in_bytes": f"{20 * MEBI}\n",
        f"{group}/memory.usage_in_bytes": f"{9 * MEBI}\n",
        f"{group}/memory.stat": f"inactive_file 5\ntotal_inactive_file {2 * MEBI}\n",
    }
    assert free_memory(CPU, plant(tmp_path, MEMINFO | files)) == 13 * MEBI


@pytest.mark.parametrize(
    "limits",
    [{"memory.max": "max\n", "memory.current": "5\n"}, {"memory.max": f"{2**62}\n", "memory.current": "5\n"}],
)
def test_a_control_group_without_a_limit_changes_nothing(tmp_path, limits):
    files = {f"sys/fs/cgroup/box/{name}": text for name, text in limits.items()}
    root = plant(tmp_path, MEMINFO | {"proc/self/cgroup": "0::/box\n"} | files)
    assert free_memory(CPU, root) == 32 * MEBI


def test_a_group_above_its_limit_has_nothing_left(tmp_path):
    files = {"sys/fs/cgroup/box/memory.max": "10\n", "sys/fs/cgroup/box/memory.current": "11\n"}
    root = plant(tmp_path, MEMINFO | {"proc/self/cgroup": "0::/box\n"} | files)
    assert free_memory(CPU, root) == 0


def test_where_nobody_says_there_is_a_fallback(tmp_path):
    assert free_memory(CPU, tmp_path) == FALLBACK
    assert free_memory(torch.device("meta")) == FALLBACK
