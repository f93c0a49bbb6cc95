"""The loss of mixed pictures is linear in their labels, whatever its corrections; and mixing helps."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.data.augment import Augment
from striate.data.builtin import load_digits
from striate.data.loader import Loader, MemoryPictures
from striate.data.mixing import Mixer
from striate.errors import InputError
from striate.models.catalog import create_model
from striate.ops.capsule_losses import margin_losses
from striate.recipe import AugmentSettings
from striate.samples import Frame
from striate.tasks.classification import ClassificationTask, check_mixing

LN2 = math.log(2)
CLASSES = [f"class {k}" for k in range(6)]
WEIGHTS = torch.tensor([0.0, 0.2, 0.5, 1.0, 1.5, 3.0])
CORRECTIONS: list[dict[str, Any]] = [
    {},
    {"label_smoothing": 0.2},
    {"class_weights": WEIGHTS},
    {"label_smoothing": 0.1, "class_weights": WEIGHTS},
    {"kind": "margin"},
    {"kind": "margin", "class_weights": WEIGHTS},
]


def random_case(count: int = 40) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
    """Outputs of a head and two auxiliary ones, two labels of each picture, and the share of the first."""
    generator = torch.Generator().manual_seed(4)
    heads = ("logits", "auxiliary1", "auxiliary2")
    outputs = {name: 2 * torch.randn(count, 6, generator=generator) for name in heads}
    first, second = torch.randint(0, 6, (2, count), generator=generator)
    return outputs, first, second, torch.rand(count, generator=generator)


def mixed_labels(first: Tensor, second: Tensor, shares: Tensor) -> Tensor:
    return shares[:, None] * F.one_hot(first, 6) + (1 - shares[:, None]) * F.one_hot(second, 6)


# The law ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corrections", CORRECTIONS, ids=str)
def test_the_loss_of_a_mixed_label_is_the_mean_of_the_losses_of_both(corrections: dict[str, Any]) -> None:
    task = ClassificationTask(CLASSES, **corrections)
    outputs, first, second, shares = random_case()
    terms = task.loss(outputs, mixed_labels(first, second, shares))
    expected = dict.fromkeys(terms, 0.0)
    for n, share in enumerate(shares.tolist()):
        row = {name: logits[n : n + 1] for name, logits in outputs.items()}
        ours, theirs = (task.loss(row, labels[n : n + 1]) for labels in (first, second))
        for name in terms:
            expected[name] += (share * ours[name] + (1 - share) * theirs[name]).item() / len(shares)
    assert set(terms) == {"loss", "auxiliary"}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("corrections", CORRECTIONS, ids=str)
def test_a_certain_label_costs_as_much_as_its_class(corrections: dict[str, Any]) -> None:
    task = ClassificationTask(CLASSES, **corrections)
    outputs, labels, _, _ = random_case()
    soft, hard = task.loss(outputs, F.one_hot(labels, 6).float()), task.loss(outputs, labels)
    for name, term in hard.items():
        torch.testing.assert_close(soft[name], term)


@pytest.mark.parametrize("corrections", CORRECTIONS, ids=str)
def test_the_loss_does_not_depend_on_how_a_batch_is_divided(corrections: dict[str, Any]) -> None:
    task = ClassificationTask(CLASSES, **corrections)
    outputs, first, second, shares = random_case()
    probs = mixed_labels(first, second, shares)
    parts = [
        task.loss({name: logits[rows] for name, logits in outputs.items()}, probs[rows])["loss"]
        for rows in (slice(0, 10), slice(10, 40))
    ]
    torch.testing.assert_close(task.loss(outputs, probs)["loss"], parts[0] / 4 + parts[1] * 3 / 4)


# Against torch and by hand ------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_the_loss_equals_torchs_and_its_formula(smoothing: float, weights: Tensor | None) -> None:
    outputs, first, second, shares = random_case()
    logits, probs = outputs["logits"], mixed_labels(first, second, shares)
    ours = ClassificationTask(CLASSES, smoothing, weights).loss({"logits": logits}, probs)["loss"]
    theirs = F.cross_entropy(logits, probs, weights, label_smoothing=smoothing)  # divides by N alone here
    torch.testing.assert_close(ours, theirs)
    goals = (1 - smoothing) * probs.double() + smoothing / 6
    scale = torch.ones(6) if weights is None else weights
    expected = -(scale * goals * logits.double().log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=0)


def test_a_mixed_loss_worked_by_hand() -> None:
    # Probabilities 1/2, 1/4, 1/4; three quarters of class 0 and a quarter of class 2; weights 1 and 2.
    outputs = {"logits": torch.tensor([[LN2, 0, 0]])}
    probs = torch.tensor([[0.75, 0.0, 0.25]])
    task = ClassificationTask(CLASSES[:3])
    assert task.loss(outputs, probs)["loss"].item() == pytest.approx(0.75 * LN2 + 0.25 * 2 * LN2)
    weighted = ClassificationTask(CLASSES[:3], class_weights=torch.tensor([1.0, 7, 2]))
    assert weighted.loss(outputs, probs)["loss"].item() == pytest.approx(0.75 * LN2 + 0.25 * 2 * 2 * LN2)


def test_a_mixed_margin_loss_worked_by_hand() -> None:
    # Present: 0.4^2, 0.7^2, 0.85^2; absent: half of 0.4^2, 0.1^2, 0.
    lengths = torch.tensor([[0.5, 0.2, 0.05]])
    probs = torch.tensor([[0.75, 0.25, 0.0]])
    expected = 0.75 * 0.4**2 + 0.25 * 0.5 * 0.4**2 + 0.25 * 0.7**2 + 0.75 * 0.5 * 0.1**2
    assert margin_losses(lengths, probs).item() == pytest.approx(expected)
    weighted = ClassificationTask(CLASSES[:3], class_weights=torch.tensor([2.0, 0.5, 1]), kind="margin")
    of_first, of_second = 0.4**2 + 0.5 * 0.1**2, 0.7**2 + 0.5 * 0.4**2
    loss = weighted.loss({"logits": lengths.logit()}, probs)["loss"].item()
    assert loss == pytest.approx(0.75 * 2 * of_first + 0.25 * 0.5 * of_second)


def test_the_best_prediction_is_the_mixed_label() -> None:
    probs = torch.tensor([[0.05, 0.15, 0.2, 0.1, 0.4, 0.1]])
    logits = probs.log().requires_grad_()
    loss = ClassificationTask(CLASSES).loss({"logits": logits}, probs)["loss"]
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(gradient, torch.zeros(1, 6), atol=1e-6, rtol=0)


def test_the_accuracy_of_mixed_pictures_is_that_of_their_dominant_class() -> None:
    logits = torch.tensor([[2.0, 1, 0], [0, 1, 2], [0, 2, 1], [1, 0, 0]])
    probs = torch.tensor([[0.6, 0.4, 0], [0, 0.3, 0.7], [0.55, 0.45, 0], [0.5, 0.1, 0.4]])
    scores = ClassificationTask(CLASSES[:3]).scores({"logits": logits}, probs)
    assert {name: score.item() for name, score in scores.items()} == {"accuracy": 0.75}


# Reconstructions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"mixup": 0.2}, {"cutmix": 1.0}], ids=str)
def test_mixing_is_refused_where_pictures_are_reconstructed(settings: dict[str, float]) -> None:
    with pytest.raises(InputError, match="reconstruction") as caught:
        check_mixing(create_model("capsnet", width=0.0625), AugmentSettings(**settings))
    assert "decoder=false" in caught.value.what_to_do
    check_mixing(create_model("capsnet", width=0.0625, decoder=False), AugmentSettings(**settings))
    check_mixing(create_model("lenet5"), AugmentSettings(**settings))
    check_mixing(create_model("capsnet", width=0.0625), AugmentSettings(erase=0.5))


# Learning -----------------------------------------------------------------------------------------------


def noisy_digits(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """600 digits, three of ten with a wrong label, and the rest with their own."""
    (pool,) = load_digits().splits.values()
    images, labels = torch.stack([pool[i][0] for i in range(len(pool))]), pool.targets
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    train, test = order[:600], order[600:]
    wrong = (labels[train] + torch.randint(1, 10, (600,), generator=generator)) % 10
    noisy = torch.where(torch.rand(600, generator=generator) < 0.3, wrong, labels[train])
    return images[train], noisy, images[test], labels[test]


def accuracy(seed: int, settings: AugmentSettings, epochs: int = 40) -> float:
    """Of a network wide enough to learn the wrong labels by heart, on right ones."""
    images, labels, test_images, test_labels = noisy_digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    names = [str(i) for i in range(len(labels))]
    pictures = MemoryPictures(images, [Frame(8, 8)] * len(labels), names, labels)
    mixer, augment = Mixer(settings, seed, 10), Augment(settings, seed)
    loader = Loader(pictures, 60, seed, partners=mixer.partners if mixer.is_on else None)
    task = ClassificationTask([str(k) for k in range(10)])
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)
    for epoch in range(epochs):
        for batch in loader.batches(epoch):
            seen, targets = augment(batch.images, epoch, batch.keys), batch.targets
            if partners := batch.partners:
                others = augment(partners.images, epoch, partners.keys)
                seen, targets = mixer(seen, targets, others, partners.targets, epoch, batch.keys)
            optimizer.zero_grad()
            task.loss({"logits": model(seen / 255)}, targets)["loss"].backward()
            optimizer.step()
    return (model(test_images / 255).argmax(1) == test_labels).double().mean().item()


def test_mixing_keeps_wrong_labels_from_being_learned_by_heart() -> None:
    for seed in range(3):
        plain, blended, pasted = (
            accuracy(seed, AugmentSettings(shift=0.0, **mix)) for mix in ({}, {"mixup": 8.0}, {"cutmix": 1.0})
        )
        assert blended > plain + 0.03
        assert pasted > plain + 0.03
