"""Classes that are too small, and labels that a trained network disputes."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from striate.audit.findings import Finding
from striate.audit.inventory import Entry
from striate.data.dataset import Dataset
from striate.errors import InputError
from striate.report.wording import counted
from striate.run import Run

IMBALANCE = 5.0  # the largest class to a smaller one
FEW = {"train": 20, "all": 20, "val": 5, "test": 5}  # pictures of a class that a split should have

SURE = 0.5  # the least probability of another class
DOUBTED = 0.1  # the largest probability of the label
WEAK = 0.2  # the share of disputed labels from which on it is the network that is doubted


def class_findings(classes: Sequence[str], counts: dict[str, list[int]]) -> list[Finding]:
    """Classes of very different size, and classes with few pictures.

    Args:
        classes: the K class names.
        counts: pictures of each class that can be used: split -> K numbers.
    """
    found = []
    learned = counts.get("train") or counts.get("all")
    if learned:
        largest = max(learned)
        rare = [k for k, count in enumerate(learned) if 0 < count * IMBALANCE < largest]
        if rare:
            least = min(rare, key=lambda k: learned[k])
            most = learned.index(largest)
            detail = (
                f"{counted(learned[least], 'picture')} of {classes[least]}, {largest:,} of {classes[most]}; "
                f"{len(rare)} of {len(classes)} classes {'has' if len(rare) == 1 else 'have'} "
                "less than a fifth of the largest"
            )
            found.append(Finding("imbalance", detail=detail, classes=tuple(classes[k] for k in rare)))
    for split, numbers in counts.items():
        for name, count in zip(classes, numbers, strict=True):
            if count < FEW.get(split, 0):
                pictures = "1 picture" if count == 1 else f"{count or 'no'} pictures"
                found.append(Finding("few", detail=f"{name} has {pictures} in {split}", classes=(name,)))
    return found


def label_findings(
    run: Run,
    dataset: Dataset,
    entries: Sequence[Entry],
    trained_on: bool,
    progress: Callable[[int], None] = lambda count: None,
) -> tuple[list[Finding], list[str]]:
    """Pictures whose label a trained network confidently disputes.

    A picture is suspected if the network gives its label at most ``DOUBTED`` and another class at least
    ``SURE``, and no less than it gives that class on average where it is the label: what the network calls
    confident depends on the class (Northcutt, Jiang and Chuang 2021, confident learning). The averages
    are of pictures that it was not trained on, as far as there are any.

    Args:
        run: of a classifier.
        dataset: the pictures, split as in the run if ``trained_on``.
        entries: of the inventory, where findings are told.
        trained_on: whether the network was trained on the train split of these data.

    Returns:
        The findings, those on pictures held out from training first, then the most confident; and notes.

    Raises:
        InputError: the run knows none of the classes.
    """
    own, notes = own_classes(run, dataset)
    place = {(entry.split, entry.name): i for i, entry in enumerate(entries)}
    probs, labels, indices = _predict(run, dataset, own, place, progress)
    if not indices:
        return [], notes
    trained = torch.tensor([trained_on and entries[i].split == "train" for i in indices])
    guesses = suspects(probs, labels, trained)
    found = []
    for i in (guesses >= 0).nonzero()[:, 0].tolist():
        guess, label = int(guesses[i]), int(labels[i])
        detail = (
            f"the network sees {run.classes[guess]} ({100 * float(probs[i, guess]):.1f} %), "
            f"not {run.classes[label]} ({100 * float(probs[i, label]):.1f} %)"
        )
        if trained[i]:
            detail += ", although it was trained on this picture"
        finding = Finding("label", (indices[i],), detail, float(probs[i, guess]), (run.classes[guess],))
        found.append((bool(trained[i]), -float(probs[i, guess]), i, finding))
    if len(found) > WEAK * len(indices):
        notes.append(
            f"the network disputes {len(found) / len(indices):.0%} of the labels it looked at: "
            "it has learned too little to be trusted, or has learned other pictures"
        )
    return [finding for *_, finding in sorted(found, key=lambda one: one[:3])], notes


def own_classes(run: Run, dataset: Dataset) -> tuple[Tensor, list[str]]:
    """The run's class id of each class of the data, int64 (K,), -1 where it has none; and notes on these."""
    known = {name: k for k, name in enumerate(run.classes)}
    own = torch.tensor([known.get(name, -1) for name in dataset.classes])
    unknown = [name for name in dataset.classes if name not in known]
    if len(unknown) == len(dataset.classes):
        raise InputError(
            f"the run knows none of the classes of the data: {', '.join(unknown[:5])}",
            run.path,
            f"it knows {', '.join(run.classes[:10])}",
        )
    names = ", ".join(unknown)
    return own, [f"the network does not know {names}: their labels were not checked"] if unknown else []


def suspects(probs: Tensor, labels: Tensor, trained: Tensor) -> Tensor:
    """The class that each picture probably has instead of its label; -1 where the label is not disputed.

    Args:
        probs: of the network, float32 (n, K).
        labels: int64 (n,).
        trained: whether the network was trained on the picture, bool (n,).
    """
    trusted = ~trained if bool((~trained).any()) else ~torch.zeros_like(trained)
    given = probs.gather(1, labels[:, None])[:, 0]
    sums = torch.zeros(probs.shape[1]).index_add(0, labels[trusted], given[trusted])
    counts = labels[trusted].bincount(minlength=probs.shape[1])
    usual = (sums / counts.clamp_min(1)).clamp_min(SURE)  # of a class, where it is the label
    score, guess = probs.max(1)
    doubted = (guess != labels) & (given <= DOUBTED) & (score >= usual[guess])
    return guess.where(doubted, torch.tensor(-1))


def _predict(
    run: Run,
    dataset: Dataset,
    own: Tensor,
    place: dict[tuple[str, str], int],
    progress: Callable[[int], None],
) -> tuple[Tensor, Tensor, list[int]]:
    """Probabilities (n, K), labels (n,) and entries of all pictures whose class the run knows.

    In a tree of classes what lies above or below the label does not dispute it, and has no probability here.
    """
    tree = run.predictor.tree
    probs: list[Tensor] = []
    labels: list[int] = []
    indices: list[int] = []
    for name, split in dataset.splits.items():
        pictures, _ = run.pictures(split)
        for batch, _, predictions in run.predicted(run.batches(pictures)):
            for picture, target, prediction in zip(
                batch.names, own[batch.targets].tolist(), predictions, strict=True
            ):
                if target >= 0:
                    given = prediction.probs.float().cpu()
                    probs.append(_against(given, target, tree.kin(target)) if tree else given)
                    labels.append(target)
                    indices.append(place[name, picture])
            progress(len(predictions))
    return torch.stack(probs) if probs else torch.empty(0), torch.tensor(labels), indices


def _against(probs: Tensor, label: int, kin: Tensor) -> Tensor:
    """``probs`` (K,) of the label and of what excludes it."""
    only = probs.masked_fill(kin, 0.0)
    only[label] = probs[label]
    return only
