"""What several processes do in test_distributed.py: started by torchrun, or with its environment variables.

    torchrun --nproc-per-node 4 distributed_job.py laws FOLDER       writes FOLDER/laws.json
    torchrun --nproc-per-node 2 distributed_job.py elastic FOLDER    dies once, writes FOLDER/elastic.json
    torchrun --nproc-per-node 2 distributed_job.py fault FOLDER      process 1 has an error, process 0 waits

The laws are tried with all the processes, then with ever fewer of them.
"""

import copy
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from striate.errors import InputError, ReportedError
from striate.files import read_tensors, write_tensors
from striate.layers.synchronized_batch_norm import synchronize_batch_norm
from striate.recipe import OptimizerSettings, PhaseSettings
from striate.samples import Batch, Detections, Frame, Objects
from striate.tasks.detection.rules import Choice, DetectionRules
from striate.tasks.detection.task import DetectionTask
from striate.train.checkpoint import TrainingState
from striate.train.distributed import Processes, join_processes, restarted, seed_step
from striate.train.ema import ExponentialMovingAverage
from striate.train.loop import evaluate, predict_batches
from striate.train.optimizer import build_optimizer, clip_gradients
from striate.train.replicas import gather_whole, gradients_summed, like, replicate, shard, unfuse
from striate.train.transfer import next_phase

BATCH = 13  # not divisible by 2, 3 or 4
ALONE = Processes()
CPU = torch.device("cpu")
generator = torch.Generator().manual_seed(1)
PICTURES = torch.randn(10 * BATCH, 1, 6, 6, generator=generator)
TARGETS = torch.randint(0, 5, (10 * BATCH,), generator=generator)


class Network(nn.Module):
    """A stem, two stages and a head, as all networks have them; with or without batch normalization."""

    def __init__(self, norm: bool = True, dropout: float = 0.0) -> None:
        super().__init__()

        def unit(in_channels: int, out_channels: int) -> nn.Sequential:
            between = [nn.BatchNorm2d(out_channels)] if norm else []
            conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=not norm)
            return nn.Sequential(conv, *between, nn.SiLU())  # smooth: rounding may flip a ReLU

        self.stem = unit(1, 4)
        self.stages = nn.ModuleDict({"stage1": unit(4, 7), "stage2": unit(7, 8)})
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Flatten(), nn.Linear(8 * 36, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages.values():
            x = stage(x)
        return self.head(x)


def from_the_first(tensors: dict[str, Tensor], processes: Processes) -> dict[str, Tensor]:
    """The first process's tensors on all: here they lie in memory, where training reads one file."""
    kinds = {name: (str(t.dtype).removeprefix("torch."), list(t.shape)) for name, t in tensors.items()}
    received = {}
    for name, (dtype, shape) in processes.broadcast(kinds).items():
        empty = torch.empty(shape, dtype=getattr(torch, dtype))
        received[name] = tensors[name].detach().contiguous() if processes.is_first else empty
        processes.align([received[name]])
    return received


class Training:
    """A few steps of a small network, written as the loop is, from the first step or from a saved state."""

    def __init__(
        self,
        processes: Processes,
        *,
        norm: bool = True,
        dropout: float = 0.0,
        optimizer: str = "adamw",
        accumulate: int = 1,
        synchronized: bool = False,
        sharded: bool = False,
        averaged: bool = False,
        saved: dict[str, Tensor] | None = None,
    ) -> None:
        self.options = {k: v for k, v in locals().items() if k not in ("self", "processes", "saved")}
        self.processes, self.accumulate, self.sharded, self.steps = processes, accumulate, sharded, 0
        torch.manual_seed(0)
        self.model: nn.Module = Network(norm, dropout)
        if synchronized:
            synchronize_batch_norm(self.model)
        # Before it is sharded: shards cannot be copied.
        self.ema = ExponentialMovingAverage(self.model, 0.9) if averaged else None
        if sharded:
            shard(self.model, processes, CPU)
            if self.ema:
                shard(self.ema.model, processes, CPU)
        else:
            self.model.to(memory_format=torch.channels_last)
        self.settings = OptimizerSettings(name=optimizer, lr=0.01)
        self.optimizer = build_optimizer(self.model, self.settings)
        if saved is not None:
            self.load(from_the_first(saved, processes))
        if sharded:
            unfuse(self.optimizer)
        self.network = self.model if sharded else replicate(self.model, processes)

    def step(self, clip_norm: float = 1.0) -> float:
        """One step; returns the gradient's norm."""
        seed_step(0, self.steps, self.processes.rank)
        batch = torch.arange(BATCH) + BATCH * self.steps
        part = self.processes.part(batch)
        parts = part.tensor_split(min(self.accumulate, BATCH // self.processes.size))
        for number, indices in enumerate(parts, start=1):
            with gradients_summed(self.network, last=number == len(parts)):
                images = PICTURES[indices].contiguous(memory_format=torch.channels_last)
                loss = F.cross_entropy(self.network(images), TARGETS[indices])
                (loss * (self.processes.size * len(indices) / BATCH)).backward()
        norm = clip_gradients(self.model.parameters(), None, clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        if self.ema:
            self.ema.update(self.model, self.steps)
        return float(norm)

    def run(self, steps: int) -> "Training":
        for _ in range(steps):
            self.step()
        return self

    def save(self) -> dict[str, Tensor]:
        """All that the next step depends on, on the first process; nothing on the others."""
        tensors = {"steps": torch.tensor(self.steps)}
        for prefix, module in self.modules().items():
            tensors |= {f"{prefix}/{name}": t for name, t in module.state_dict().items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{slot}": t for slot, t in slots.items() if t is not None}
        return {name: t.clone() for name, t in gather_whole(tensors, self.processes).items()}

    def modules(self) -> dict[str, nn.Module]:
        return {"model": self.model, "ema": self.ema.model} if self.ema else {"model": self.model}

    def load(self, tensors: dict[str, Tensor]) -> None:
        self.steps = int(tensors["steps"])
        for prefix, module in self.modules().items():
            own = module.state_dict()
            module.load_state_dict({name: like(tensors[f"{prefix}/{name}"], own[name]) for name in own})
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        slots: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer/"):
                _, index, slot = name.split("/")
                own = parameters[int(index)]
                value = like(tensor, own) if tensor.shape == own.shape else tensor
                slots.setdefault(int(index), {})[slot] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": slots, "param_groups": groups})

    def rebuilt(self) -> "Training":
        """As after a kill: everything new, from what the first process had saved."""
        return Training(self.processes, **self.options, saved=self.save())


def distance(ours: dict[str, Tensor], others: dict[str, Tensor]) -> float:
    """The largest difference between two states' weights and averages, statistics included."""
    names = [name for name in ours if name.startswith(("model", "ema"))]
    return max(float((ours[name].double() - others[name].double()).abs().max()) for name in names)


def number_unlike(ours: dict[str, Tensor], others: dict[str, Tensor]) -> int:
    """Tensors that differ in any bit."""
    return sum(not torch.equal(ours[name], others[name]) for name in ours)


# What holds for any number of processes.


def unlike_after_being_rebuilt(processes: Processes, **options: Any) -> int:
    """Tensors unlike after any of three steps, between a run never killed and one killed at every step."""
    steady, killed, count = Training(processes, **options), Training(processes, **options), 0
    for _ in range(3):
        killed = killed.rebuilt()
        steady.step()
        killed.step()
        count += number_unlike(steady.save(), killed.save())
    return count


def distances_from_one_process(processes: Processes) -> dict[str, float]:
    """How far the weights are, after ten steps, from those of one process with the same batches."""
    found = {}
    for optimizer in ("sgd", "adamw"):
        for name, options in {
            "plain": {"norm": False, "averaged": True, "accumulate": 3},
            "synchronized": {"synchronized": True, "averaged": True},
            "sharded": {"norm": False, "sharded": True, "averaged": True, "accumulate": 3},
            "sharded, synchronized": {"synchronized": True, "sharded": True},
        }.items():
            together = Training(processes, optimizer=optimizer, **options).run(10).save()
            same = {option: options[option] for option in ("norm", "averaged") if option in options}
            alone = Training(ALONE, optimizer=optimizer, **same).run(10).save()
            if processes.is_first:
                found[f"{optimizer}, {name}"] = distance(together, alone)
    for way, sharded in (("plain", False), ("sharded", True)):
        together, alone = after_freezing(processes, sharded), after_freezing(ALONE)
        if processes.is_first:
            found[f"freezing, {way}"] = distance(together, alone)
    return found


def distance_from_parts(processes: Processes) -> float:
    """Unsynchronized batch normalization: each process's part is what a micro-batch is to one process."""
    together = Training(processes).run(5).save()
    alone = Training(ALONE, accumulate=processes.size).run(5).save()
    weights = {name: t for name, t in together.items() if "running" not in name and "tracked" not in name}
    return distance(weights, alone) if processes.is_first else 0.0


def disagreement(processes: Processes, **options: Any) -> float:
    """The spread over processes of each weight after three steps; 0: they are equal to the last bit."""
    training = Training(processes, dropout=0.3, accumulate=2, **options).run(3)
    weights = torch.cat([p.detach().reshape(-1) for p in training.model.parameters()])
    every = processes.gather_rows(weights[None])
    return float((every.amax(0) - every.amin(0)).max())


def buffers_apart(processes: Processes) -> dict[str, float]:
    """The largest difference of running statistics between processes, before and after a phase's border."""
    training = Training(processes).run(2)
    state = TrainingState(training.model, training.optimizer, processes=processes)

    def spread() -> float:
        values = torch.cat([b.double().reshape(-1) for b in training.model.buffers()])
        every = processes.gather_rows(values[None])
        return float((every.amax(0) - every.amin(0)).max())

    before = spread()
    next_phase(state, [PhaseSettings(epochs=1), PhaseSettings(epochs=1, freeze="stage1")], training.settings)
    return {"before": before, "after": spread()}


def after_freezing(processes: Processes, sharded: bool = False) -> dict[str, Tensor]:
    """The state where the stem and a stage are held still for two steps, between others."""
    training = Training(processes, norm=False, sharded=sharded, optimizer="sgd").run(2)
    for moves in (False, True):
        training.model.stem.requires_grad_(moves)
        training.model.stages["stage1"].requires_grad_(moves)
        training.network = training.model  # lets go of the replica
        if not sharded:
            training.network = replicate(training.model, processes)
        training.run(2)
    return training.save()


def batch_norm_distances(processes: Processes) -> dict[str, float]:
    """Of the synchronized layer on this process's rows from the plain one on all of them."""
    worst: dict[str, float] = {}
    for offset, layout in ((0.0, torch.channels_last), (30.0, torch.contiguous_format)):
        torch.manual_seed(0)
        x = (torch.randn(7, 5, 4, 3) * 2 + offset).contiguous(memory_format=layout)
        dy = torch.randn_like(x)
        plain = nn.BatchNorm2d(5, eps=1e-3, momentum=0.2)
        nn.init.normal_(plain.weight)
        nn.init.normal_(plain.bias)
        ours = copy.deepcopy(plain)
        synchronize_batch_norm(ours)
        rows = processes.part(torch.arange(len(x)))
        whole, part = x.clone().requires_grad_(), x[rows].contiguous(memory_format=layout).requires_grad_()
        expected, y = plain(whole), ours(part)
        expected.backward(dy)
        y.backward(dy[rows])
        assert whole.grad is not None
        assert part.grad is not None
        pairs = {"outputs": (y, expected[rows]), "input gradient": (part.grad, whole.grad[rows])}
        for name, parameter in ours.named_parameters():
            total = processes.gather_rows(parameter.grad[None]).sum(0)
            pairs[f"{name} gradient"] = (total.detach(), plain.get_parameter(name).grad)
        pairs |= {name: (t, plain.get_buffer(name)) for name, t in ours.named_buffers()}
        pairs["evaluation"] = (ours.eval()(part), plain.eval()(whole)[rows])
        for name, (got, wanted) in pairs.items():
            got, wanted = got.detach().double(), wanted.detach().double()
            difference = float(((got - wanted).abs() / (1 + wanted.abs())).max())
            worst[name] = max(worst.get(name, 0.0), difference)
    every = processes.gather(list(worst.values())).amax(0)
    return dict(zip(worst, every.tolist(), strict=True))


def messages(processes: Processes) -> dict[str, Any]:
    """What one process sends to all, and all to all."""
    rank, size = processes.rank, processes.size
    tensors = {"a": torch.arange(6.0).view(2, 3).T, "b": torch.tensor(7), "c": torch.ones(2).bfloat16()}
    got = from_the_first(tensors if processes.is_first else {}, processes)
    own = torch.full((2, 3, 2, 2), float(rank)).contiguous(memory_format=torch.channels_last)
    processes.align([own])
    return {
        "json": processes.broadcast({"Ä": [1, 2.5, None]} if processes.is_first else "not looked at"),
        "tensors": all(
            torch.equal(got[name], t) and got[name].dtype == t.dtype for name, t in tensors.items()
        ),
        "aligned": bool((own == 0).all()) and own.is_contiguous(memory_format=torch.channels_last),
        "gathered": processes.gather([rank, 10.0 * rank]).tolist(),
        "rows": processes.gather_rows(torch.full((rank, 2), rank)).tolist(),
        "parts": processes.gather_rows(processes.part(torch.arange(BATCH))).tolist() == list(range(BATCH)),
        "size": size,
    }


class Told(nn.Module):
    """A detector that is told in its pictures what it finds: rows of x1, y1, x2, y2, score and class."""

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        return {"rows": pictures[:, 0]}


class ToldRules(DetectionRules):
    """The rows are the boxes; the loss is the mean score."""

    def loss(self, outputs: dict[str, Tensor], objects: Objects) -> dict[str, Tensor]:
        return {"loss": outputs["rows"][..., 4].mean()}

    def decode(self, outputs: dict[str, Tensor], choice: Choice) -> list[Detections]:
        return [Detections(rows[:, :4], rows[:, 4], rows[:, 5].long()) for rows in outputs["rows"]]


def average_precisions(processes: Processes) -> list[dict[str, float]]:
    """Loss and metrics of a detector's evaluation by the processes together, and by each alone.

    Eleven pictures with three objects each, found more or less where they are, in batches of 4, 4 and 3.
    """
    generator = torch.Generator().manual_seed(2)
    corners = torch.rand(11, 3, 2, generator=generator) * 20
    true = torch.cat([corners, corners + 10], dim=2)
    found = true + torch.randn(11, 3, 4, generator=generator)
    scores = torch.rand(11, 3, 1, generator=generator).sort(dim=1, descending=True).values
    labels = torch.arange(3.0).expand(11, 3)[..., None]
    pictures = torch.cat([found, scores, labels], dim=2)[:, None]  # (11, 1, 3, 6)
    objects = Objects.of(true.flatten(0, 1), labels.flatten().long(), torch.full((11,), 3))
    batches = [
        Batch(pictures[rows], objects[rows], rows, [""] * len(rows), [Frame(32, 32)] * len(rows))
        for rows in torch.arange(11).split(4)
    ]
    task = DetectionTask("abc", ToldRules(), (32, 32), Choice())
    return [
        evaluate(
            predict_batches(Told(), task, batches, lambda batch: batch.images, "fp32", processes=number),
            task,
            task.metrics(),
        )
        for number in (processes, ALONE)
    ]


def shares(processes: Processes) -> dict[str, Any]:
    """Of parameters and optimizer state that each process holds, and the norm of the gradient."""
    training, alone = Training(processes, norm=False, sharded=True), Training(ALONE, norm=False)
    norms = [training.step(clip_norm=0.1), alone.step(clip_norm=0.1)]
    slots = [t for state in training.optimizer.state.values() for t in state.values() if t.ndim]
    held = sum(t.to_local().numel() for t in [*training.model.parameters(), *slots])
    assert all(isinstance(t, DTensor) for t in slots)
    everything = sum(t.numel() for t in [*training.model.parameters(), *slots])
    return {"norms": norms, "held": processes.gather([held / everything])[:, 0].tolist()}


def hand_on(processes: Processes, path: Path) -> None:
    """Load what more processes have saved, take a step, and save it for fewer."""
    saved = read_tensors(path)[0] if path.exists() and processes.is_first else {}
    first = not processes.broadcast(path.exists())
    training = Training(processes, norm=False, sharded=True, saved=None if first else saved)
    tensors = training.run(1).save()
    if processes.is_first:
        write_tensors(path, tensors, {})


def laws(folder: Path) -> None:
    found: dict[str, dict[str, Any]] = {}
    for size in range(int(os.environ["WORLD_SIZE"]), 1, -1):
        if int(os.environ["RANK"]) >= size:
            return
        os.environ["WORLD_SIZE"] = str(size)
        with join_processes() as processes:
            found[str(size)] = answers = {
                "messages": messages(processes),
                "batch norm": batch_norm_distances(processes),
                "disagreement": disagreement(processes),
                "distance from parts": distance_from_parts(processes),
                "buffers apart": buffers_apart(processes),
                "average precisions": average_precisions(processes),
            }
            ways = {"plain": {}, "synchronized": {"synchronized": True}, "sharded": {"sharded": True}}
            for way, options in ways.items():
                unlike = unlike_after_being_rebuilt(processes, dropout=0.3, accumulate=2, **options)
                answers[f"unlike, {way}"] = unlike
            hand_on(processes, folder / "handed-on.safetensors")
            if size == 2:
                answers["distances"] = distances_from_one_process(processes)
                answers["shares"] = shares(processes)
    if os.environ["RANK"] == "0":
        (folder / "laws.json").write_text(json.dumps(found))


def elastic(folder: Path) -> None:
    """Five steps, each saved; the first time the process that saves dies before the third."""
    options: dict[str, Any] = {"dropout": 0.3, "synchronized": True}
    attempt, path = int(os.environ["TORCHELASTIC_RESTART_COUNT"]), folder / "state.safetensors"
    with join_processes() as processes:
        (folder / f"pid.{attempt}.{processes.rank}").write_text(str(os.getpid()))
        if not restarted():
            training = Training(processes, **options)
        else:
            saved = read_tensors(path)[0] if processes.is_first else {}
            training = Training(processes, **options, saved=saved)
        began = training.steps
        while training.steps < 5:
            if attempt == 0 and processes.is_first and training.steps == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            training.step()
            tensors = training.save()
            if processes.is_first:
                write_tensors(path, tensors, {})
        unlike = number_unlike(Training(processes, **options).run(5).save(), training.save())
        if processes.is_first:
            answer = {"began": began, "unlike": unlike, "restarted": restarted()}
            (folder / "elastic.json").write_text(json.dumps(answer))


def fault(folder: Path) -> None:
    with join_processes() as processes:
        if processes.rank == 1:
            raise InputError("a picture is missing", "cat.png", "put it back")
        processes.wait()


if __name__ == "__main__":
    torch.set_num_threads(1)
    try:
        {"laws": laws, "elastic": elastic, "fault": fault}[sys.argv[1]](Path(sys.argv[2]))
    except ReportedError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
