"""A trained network, ready to use: ``load_run`` builds it from its run folder alone."""

import json
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor, nn

from striate.data.catalog import CATALOG
from striate.data.dataset import Dataset, Fault, Split, join_splits
from striate.data.images import IMAGE_SUFFIXES
from striate.data.load import load_data
from striate.data.loader import Loader, Pictures, prepare_pictures
from striate.data.preprocessing import Preprocessing
from striate.data.shards.index import is_address
from striate.data.split import (
    choose_classes,
    choose_per_class,
    relabel,
    rename_classes,
    split_dataset,
)
from striate.device import choose_device, place_model
from striate.errors import InputError
from striate.files import read_tensors
from striate.metrics.average_precision import AveragePrecision
from striate.metrics.verdicts import LIMIT
from striate.network import build, check_size, word_tree
from striate.predictor import LabelScore, Picture, PictureList, Predictor
from striate.recipe import Recipe, load_recipe
from striate.run_folder import CONFIG, RESULTS, WEIGHTS, RunConfig, read_config, resume_command
from striate.tasks.task import Task
from striate.train.loop import evaluate


@dataclass(frozen=True)
class Run:
    """A trained network, ready to use: ``predict`` pictures, ``evaluate`` data."""

    path: Path
    config: RunConfig
    model: nn.Module
    task: Task
    preprocessing: Preprocessing
    device: torch.device

    @property
    def classes(self) -> tuple[str, ...]:
        """The K class names, in the order of the network's outputs."""
        return self.config.classes

    @property
    def results(self) -> dict[str, dict[str, float]]:
        """Metrics by split, as measured at the end of training."""
        file = self.path / RESULTS
        if not file.is_file():
            raise InputError("the run is not finished", file, resume_command(self.path))
        results: dict[str, dict[str, float]] = json.loads(file.read_text(encoding="utf-8"))["results"]
        return results

    @property
    def predictor(self) -> Predictor:
        """What predicts with it; ``dataclasses.replace`` changes how."""
        settings = self.config.recipe.evaluate
        return Predictor(
            self.model,
            self.task,
            self.preprocessing,
            self.device,
            self.classes,
            settings.batch_size,
            settings.mirror,
            tree=word_tree(self.config.recipe),
        )

    @overload
    def predict(self, picture: Picture, count: int = 5) -> list[LabelScore]: ...

    @overload
    def predict(self, picture: PictureList, count: int = 5) -> list[list[LabelScore]]: ...

    def predict(self, picture: Picture | PictureList, count: int = 5) -> Any:
        """What is in a picture, best first, or in each of a list; as ``Predictor.predict``."""
        return self.predictor.predict(picture, count)

    def predict_all(self, pictures: Iterable[Picture], count: int = 5) -> list[list[LabelScore]]:
        """``predict`` for several pictures, computed in batches; they may be of different sizes."""
        return self.predictor.predict_all(pictures, count)

    def evaluate(
        self,
        data: str | Path | Dataset | None = None,
        split: str | None = None,
        workers: int | None = None,
        tell: Callable[[str], None] = lambda note: None,
        format: str | None = None,
        *,
        iou_thresholds: Sequence[float] = (),
        max_detections: int | None = None,
    ) -> dict[str, Any]:
        """Metrics on a split: {"split", "num_samples", "metrics"}, and where boxes are found "classes", with
        ap, ap_50 and the numbers of objects and detections of each class; None where it has no objects.

        Args:
            data: what ``load_data`` takes; None: the data of the training run, which must not have changed.
            split: "train", "val", "test", or "all"; None: the test split, else the validation split, or
                all where data have neither.
            workers: processes that decode pictures; None: as many as in training.
            tell: is told what a person should know of the pictures, one sentence at a time.
            format: how ``data`` are read, as for ``load_data``.
            iou_thresholds: of overlap, that average precision is the mean over; none: 0.50, 0.55, .. 0.95.
            max_detections: how many detections of a picture and class count; None: 100. A detector then keeps
                as many boxes of a picture at least.

        Raises:
            InputError: there is no such split, the classes are not this run's, or pictures cannot be read
                (but those that training left out are left out here too).
        """
        name, chosen = self.choose_split(data, split, format)
        pictures, faults = self.pictures(chosen, workers)
        self._check_faults(faults)
        for note in pictures.notes:
            tell(note)
        metric = self.task.metrics()
        boxes, predictor = metric.average_precision(), self.predictor
        if iou_thresholds or max_detections is not None:
            limit = LIMIT if max_detections is None else max_detections
            _measure_at(boxes, iou_thresholds, limit)
            predictor = replace(predictor, task=self.task.keeping(limit))
        metrics = evaluate(predictor.predicted(self.batches(pictures)), self.task, metric)
        result = {"split": name, "num_samples": len(pictures), "metrics": metrics}
        return result | {"classes": _of_classes(boxes)} if boxes else result

    def choose_split(
        self, data: str | Path | Dataset | None, split: str | None, format: str | None = None
    ) -> tuple[str, Split]:
        """The split to evaluate, its class ids turned into this run's."""
        if data is None:
            dataset = self.training_data()
        else:
            dataset = data if isinstance(data, Dataset) else load_data(data, format)
            if dataset.fingerprint() == self.config.data.fingerprint:
                dataset = self.split(dataset)
        self._check_faults(
            [fault for fault in dataset.faults if Path(fault.name).suffix.lower() in IMAGE_SUFFIXES]
        )
        splits = dict(dataset.splits)
        if split is None:
            split = next((name for name in ("test", "val") if name in splits), "all")
        if split == "all":
            splits["all"] = join_splits(list(splits.values()))
        if split not in splits:
            known = ", ".join(dict.fromkeys([*splits, "all"]))
            raise InputError(f"the data have no split called {split!r}", dataset.source, f"--split {known}")
        return split, self._with_own_labels(splits[split], dataset)

    def training_data(self) -> Dataset:
        """The data of the training run, split as they were then.

        Raises:
            InputError: they are gone, or not the same any more.
        """
        command = f"{shlex.join(['striate', 'evaluate', str(self.path)])} NEWPATH"
        dataset = load_again(self.config.data.source, self.config.recipe.data.format, command)
        if dataset.fingerprint() != self.config.data.fingerprint:
            raise InputError(
                "the data changed since this run was trained, so its split cannot be told any more",
                dataset.source,
                f"name the data to evaluate: {shlex.join(['striate', 'evaluate', str(self.path)])} DATA",
            )
        return self.split(dataset)

    def split(self, dataset: Dataset) -> Dataset:
        """``dataset`` split as this run's recipe says."""
        return apply_split(dataset, self.config.recipe)

    def pictures(self, split: Split, workers: int | None = None) -> tuple[Pictures, list[Fault]]:
        """The pictures of a split as network input, and the faults of those that cannot be read.

        Args:
            workers: processes that decode; None: as many as in training.
        """
        settings = self.config.recipe.data
        return prepare_pictures(
            split,
            self.preprocessing,
            settings.memory_mb * 2**20,
            settings.workers if workers is None else workers,
            cache_bytes=settings.cache_mb * 2**20,
            timeout=settings.worker_timeout,
        )

    def batches(self, pictures: Pictures) -> Any:
        """The pictures in their own order, in batches for evaluation."""
        return Loader(pictures, self.config.recipe.evaluate.batch_size).batches()

    def predicted(self, batches: Any) -> Any:
        """Batch, outputs and predictions for each batch; exact fp32."""
        return self.predictor.predicted(batches)

    def _check_faults(self, faults: Sequence[Fault]) -> None:
        """Raise InputError for the first fault that training has not met and told."""
        new = [fault for fault in faults if (fault.name, fault.what) not in self.config.data.faults]
        if new:
            more = f", and {len(new) - 1} more" if len(new) > 1 else ""
            raise InputError(f"{new[0].what}{more}", new[0].name, "mend or remove what cannot be read")

    def _with_own_labels(self, split: Split, dataset: Dataset) -> Split:
        if dataset.classes == self.classes:
            return split
        if unknown := [name for name in dataset.classes if name not in self.classes]:
            raise InputError(
                f"the data have classes that the run does not know: {', '.join(unknown[:5])}",
                dataset.source,
                f"the run knows {', '.join(self.classes[:10])}",
            )
        return relabel(split, dataset.classes, self.classes)


def _measure_at(boxes: AveragePrecision | None, iou_thresholds: Sequence[float], limit: int) -> None:
    """Change what average precision is measured at.

    Raises:
        InputError: there is none, or these are no thresholds and no number of detections.
    """
    if boxes is None:
        raise InputError(
            "thresholds of overlap and a number of detections are for networks that find objects",
            "--iou, --max-detections",
            "leave them out",
        )
    try:
        boxes.measure_at(iou_thresholds, limit)
    except ValueError as error:
        raise InputError(str(error), "--iou, --max-detections", "--iou 0.5 --max-detections 300") from None


def _of_classes(boxes: AveragePrecision) -> dict[str, dict[str, Any]]:
    kept = ("ap", "ap_50", "objects", "detections")
    return {row.name: {key: getattr(row, key) for key in kept} for row in boxes.per_class()}


def apply_split(dataset: Dataset, recipe: Recipe) -> Dataset:
    """Train, val and test as the recipe's data section says, of the classes that it names; where these are
    nodes of a tree, all its nodes are classes.

    Raises:
        InputError: a class that the data do not have, or a split without pictures.
    """
    settings = recipe.data
    dataset = split_dataset(dataset, settings.fractions, settings.seed, settings.val_fraction)
    if settings.classes:
        dataset = choose_classes(dataset, settings.classes)
    if settings.per_class is not None:
        train = choose_per_class(dataset.splits["train"], settings.per_class, settings.seed)
        dataset = replace(dataset, splits={**dataset.splits, "train": train})
    return rename_classes(dataset, [name for name, _ in recipe.tree.nodes]) if recipe.tree.nodes else dataset


def load_again(source: str, format: str | None, command: str) -> Dataset:
    """The data of a run, from where they were.

    Args:
        source, format: as for ``load_data``.
        command: what a person can say to name another place.

    Raises:
        InputError: there is nothing any more, or it cannot be loaded.
    """
    if not (source in CATALOG or is_address(source) or Path(source).exists()):
        raise InputError(
            "the data of the run are no longer there", source, f"where they are now, say with: {command}"
        )
    return load_data(source, format)


def load_run(path: str | Path, device: str = "auto") -> Run:
    """A trained network from its run folder.

    Raises:
        InputError: a file is missing, foreign or altered.
    """
    path = Path(path)
    config = read_config(path)
    try:
        network = {"model.name": config.model, "model.arguments": config.arguments, "task": config.task}
        recipe = load_recipe(config.recipe, network)
        check_size(recipe, config.input.size, config.input.margin)
        model, task = build(recipe, config.classes, config.input.channels, config.input.size)
    except InputError as error:
        raise InputError(
            f"config.json is not a run's: {error.what}", path / CONFIG, "restore the file"
        ) from None
    tensors, _ = read_tensors(path / WEIGHTS)
    load_weights(model, tensors, path / WEIGHTS)
    place = choose_device(device)
    preprocessing = Preprocessing(**dict(config.input))
    return Run(path, config, place_model(model, place).eval(), task, preprocessing, place)


def load_weights(model: nn.Module, tensors: dict[str, Tensor], where: Path) -> None:
    """Give ``model`` the values of ``tensors``, which must be exactly its own.

    Raises:
        InputError: naming the first tensor that is missing, foreign or of another shape.
    """
    own = model.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        if name not in tensors:
            fault = f"the weights lack {name}"
        elif name not in own:
            fault = f"the weights hold {name}, which the network does not have"
        elif tensors[name].shape != own[name].shape:
            fault = f"{name} is {tuple(tensors[name].shape)}, the network's is {tuple(own[name].shape)}"
        else:
            continue
        raise InputError(fault, where, "restore config.json and model.safetensors of the same run")
    model.load_state_dict(tensors)
