"""CapsNet against the paper's figures, numbers worked by hand, and its procedure 1 in literal loops."""

import math

import pytest
import torch
from torch import Tensor, nn

from striate.errors import InputError
from striate.models.capsnet import (
    CapsNet,
    ClassCapsules,
    capsnet,
    log_odds,
    route,
    squash,
)
from striate.models.catalog import create_model

# Figures 1 and 2 of the paper: name, output (without the batch), parameters.
LAYERS = [
    ("ReLU conv1, 9x9", (256, 20, 20), 20_992),
    ("primary capsules, 9x9 / 2", (256, 6, 6), 5_308_672),
    ("digit capsules", (10, 16), 1_474_560),
    ("decoder, ReLU", (10, 512), 82_432),  # drawn for each of ten classes
    ("decoder, ReLU", (10, 1024), 525_312),
    ("decoder, sigmoid", (10, 784), 803_600),
]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small(**options: object) -> CapsNet:
    torch.manual_seed(0)
    return capsnet(width=0.0625, **options).eval()


# The drawing


def test_it_has_the_layers_of_the_papers_figures() -> None:
    model, pictures = capsnet(), random(2, 1, 28, 28)
    parts = [model.stem, model.stages["stage1"], model.head, *model.decoder[::2]]
    shapes: dict[nn.Module, tuple[int, ...]] = {}
    for part in parts:
        part.register_forward_hook(lambda layer, _, output: shapes.update({layer: tuple(output.shape[1:])}))
    model.auxiliary(pictures, model.features(pictures))
    found = [(shapes[part], sum(p.numel() for p in part.parameters())) for part in parts]
    assert found == [(shape, params) for _, shape, params in LAYERS]


@pytest.mark.parametrize(("decoder", "params"), [(True, 8_215_568), (False, 6_804_224)])
def test_parameters_with_and_without_decoder_are_those_of_the_reference(decoder: bool, params: int) -> None:
    with torch.device("meta"):
        model = create_model("capsnet", decoder=decoder)
    assert sum(p.numel() for p in model.parameters()) == params


def test_there_are_32_primary_capsules_of_8_numbers_at_each_of_36_places() -> None:
    with torch.device("meta"):
        model = capsnet()
    assert model.head.weight.shape == (32 * 6 * 6, 8, 10 * 16)


def test_the_first_maps_are_rectified_primary_capsules_are_not_and_routing_takes_3_iterations() -> None:
    # Section 4: ReLU belongs to conv1; a primary capsule's numbers may be negative. Section 5: 3 iterations.
    model = small()
    features = model.features(random(2, 1, 28, 28))
    assert features["stem"].min() == 0
    assert features["stage1"].min() < 0
    assert model.head.iterations == 3


def test_without_a_decoder_there_is_nothing_for_training_only() -> None:
    model, pictures = small(decoder=False), random(2, 1, 28, 28)
    assert model.auxiliary(pictures, model.features(pictures)) == {}


def test_routing_without_an_iteration_is_refused() -> None:
    with pytest.raises(InputError, match="iterations=0"):
        create_model("capsnet", iterations=0)


# Squashing


def test_squashing_worked_by_hand() -> None:
    # |(3, 4)| = 5: the direction (0.6, 0.8), the length 25 / 26.
    squashed = squash(torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, -1.0]]))
    expected = torch.tensor([[0.6 * 25 / 26, 0.8 * 25 / 26], [0.0, 0.0], [0.0, -0.5]])
    torch.testing.assert_close(squashed, expected)


def test_squashing_keeps_the_direction_and_grows_with_the_length_below_1() -> None:
    direction = nn.functional.normalize(random(16), dim=0)
    lengths = torch.tensor([1e-3, 0.1, 0.5, 1, 2, 10, 100])
    squashed = squash(lengths[:, None] * direction)
    found = squashed @ direction
    torch.testing.assert_close(squashed, found[:, None] * direction)
    assert (found.diff() > 0).all()
    assert found[0].item() == pytest.approx(1e-6, rel=1e-3)  # short ones shrink to nearly nothing
    assert 0.9998 < found[-1] < 1


def test_a_capsule_of_zeros_has_a_finite_gradient_and_a_finite_logit() -> None:
    zeros = torch.zeros(3, 8, requires_grad=True)
    logits = log_odds(zeros)
    (squash(zeros).sum() + logits.sum()).backward()
    assert zeros.grad is not None
    assert zeros.grad.isfinite().all()
    assert logits.isfinite().all()
    assert (logits.sigmoid() < 1e-9).all()


def test_the_sigmoid_of_the_log_odds_is_the_length_after_squashing() -> None:
    inputs = random(9, 16) * torch.logspace(-3, 3, 9)[:, None]
    torch.testing.assert_close(log_odds(inputs).sigmoid(), squash(inputs).norm(dim=1))


# Routing


def test_routing_two_capsules_worked_by_hand() -> None:
    # Both vote 1 for the first class; for the second one votes 1 and the other -1, which cancels out.
    # Votes (N, K, I, D) = (1, 2, 2, 1).
    votes = torch.tensor([[[[1.0], [1.0]], [[1.0], [-1.0]]]])
    # 1: couplings 1/2, inputs 1 and 0, squashed 1/2 and 0; agreements with the first class rise to 1/2.
    inputs, couplings = route(votes, 1)
    assert inputs.flatten().tolist() == [1, 0]
    assert couplings.flatten().tolist() == [0.5] * 4
    # 2: couplings e^0.5 / (e^0.5 + 1) = 0.62246, the first input is twice that.
    inputs, couplings = route(votes, 2)
    second = math.exp(0.5) / (math.exp(0.5) + 1)
    assert couplings.flatten().tolist() == pytest.approx([second, second, 1 - second, 1 - second])
    assert inputs.flatten().tolist() == pytest.approx([1.244919, 0], abs=1e-6)
    # 3: 1.244919 squashes to 1.549823 / 2.549823 = 0.607816; agreements are 1.107816, couplings 0.751722.
    inputs, couplings = route(votes, 3)
    assert couplings[0, 0].tolist() == pytest.approx([0.751722] * 2, abs=1e-6)
    assert inputs.flatten().tolist() == pytest.approx([1.503443, 0], abs=1e-6)


def literal_route(votes: Tensor, iterations: int) -> Tensor:
    """Procedure 1 for one picture, (K, I, D) -> (K, D), one number at a time."""
    num_classes, num_capsules, size = votes.shape
    b = [[0.0] * num_classes for _ in range(num_capsules)]
    for _ in range(iterations):
        c = [[math.exp(x) / sum(math.exp(y) for y in row) for x in row] for row in b]
        s = [
            [sum(c[i][j] * votes[j, i, d].item() for i in range(num_capsules)) for d in range(size)]
            for j in range(num_classes)
        ]
        norms = [math.sqrt(sum(x * x for x in row)) for row in s]
        v = [[n * n / (1 + n * n) * x / n for x in row] for row, n in zip(s, norms, strict=True)]
        for i in range(num_capsules):
            for j in range(num_classes):
                b[i][j] += sum(votes[j, i, d].item() * v[j][d] for d in range(size))
    return torch.tensor(v)


@pytest.mark.parametrize("iterations", [1, 2, 3, 5])
def test_routing_is_the_procedure_of_the_paper(iterations: int) -> None:
    votes = random(2, 3, 5, 4)
    expected = torch.stack([literal_route(picture, iterations) for picture in votes])
    torch.testing.assert_close(squash(route(votes, iterations)[0]), expected)


def test_equal_votes_leave_nothing_to_choose() -> None:
    vote = random(4)
    inputs, couplings = route(vote.expand(1, 3, 7, 4), 4)
    torch.testing.assert_close(couplings, torch.full((1, 3, 7), 1 / 3))
    torch.testing.assert_close(inputs, (7 / 3 * vote).expand(1, 3, 4))


def test_what_a_capsule_gives_away_sums_to_one() -> None:
    _, couplings = route(3 * random(4, 5, 20, 16), 3)
    torch.testing.assert_close(couplings.sum(dim=1), torch.ones(4, 20))
    assert couplings.min() >= 0
    assert couplings.max() > 0.5  # it did choose


def test_more_iterations_sharpen_agreement() -> None:
    # 20 capsules agree on the first of four classes and disagree on the others.
    votes = 0.5 * random(1, 4, 20, 8)
    votes[:, 0] = 0.5 * random(8, seed=1)
    shares = [route(votes, iterations)[1][0, 0].mean().item() for iterations in (1, 2, 3, 4)]
    assert shares[0] == pytest.approx(0.25)
    assert shares == sorted(set(shares))
    assert shares[-1] > 0.5


def test_the_order_of_capsules_does_not_matter_and_that_of_classes_is_kept() -> None:
    votes = random(2, 4, 9, 5)
    inputs, _ = route(votes, 3)
    torch.testing.assert_close(route(votes.flip(2), 3)[0], inputs)
    torch.testing.assert_close(route(votes.flip(1), 3)[0], inputs.flip(1))


# From maps to class capsules


def test_each_capsule_votes_with_its_own_matrix_for_each_class() -> None:
    torch.manual_seed(0)
    layer, capsules = ClassCapsules(3, num_classes=2, iterations=1), random(4, 3, 8)
    inputs = layer(capsules)
    for k in range(2):  # with one iteration every coupling is 1/2
        matrices = layer.weight[:, :, 16 * k : 16 * (k + 1)]
        votes = [capsules[:, i] @ matrices[i] for i in range(3)]
        torch.testing.assert_close(inputs[:, k], sum(votes) / 2)


def primary_capsules(model: CapsNet, maps: Tensor) -> Tensor:
    """What reaches the class capsules."""
    seen: list[Tensor] = []
    hook = model.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.class_inputs({"stage1": maps})
    hook.remove()
    return seen[0]


def test_a_primary_capsule_is_eight_maps_at_one_place() -> None:
    maps = random(2, 16, 6, 6)  # two kinds of capsules
    capsules = primary_capsules(small(), maps)
    assert capsules.shape == (2, 2 * 36, 8)
    for kind, row, column in ((0, 0, 0), (0, 2, 5), (1, 5, 3)):
        expected = squash(maps[:, 8 * kind : 8 * (kind + 1), row, column])
        torch.testing.assert_close(capsules[:, kind * 36 + row * 6 + column], expected)


def test_larger_maps_are_averaged_to_the_grid() -> None:
    maps = random(2, 16, 6, 6)
    larger = maps.repeat_interleave(2, 2).repeat_interleave(3, 3)
    model = small()
    torch.testing.assert_close(primary_capsules(model, larger), primary_capsules(model, maps))


def test_logits_are_the_log_odds_of_the_lengths_of_the_class_capsules() -> None:
    model, pictures = small(), random(3, 1, 28, 28)
    features = model.features(pictures)
    lengths = squash(model.class_inputs(features)).norm(dim=2)
    torch.testing.assert_close(model(pictures).sigmoid(), lengths)


def test_no_class_seems_to_be_there_before_training() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        lengths = capsnet(decoder=False)(random(4, 1, 28, 28)).sigmoid()
    assert 0 < lengths.min() < lengths.max() < 0.5


# The decoder


def test_a_class_is_drawn_from_its_own_capsule_with_all_others_masked() -> None:
    model, pictures = small(num_classes=4), random(3, 1, 28, 28)
    features = model.features(pictures)
    drawn = model.auxiliary(pictures, features)["reconstructions"]
    assert drawn.shape == (3, 4, 784)
    assert drawn.min() > 0
    assert drawn.max() < 1
    capsules = squash(model.class_inputs(features))
    for k in range(4):
        masked = torch.zeros(3, 4, 16)
        masked[:, k] = capsules[:, k]
        torch.testing.assert_close(drawn[:, k], model.decoder(masked.flatten(1)))


def test_the_pictures_to_draw_are_the_input_itself_at_its_own_size_and_averages_of_larger_ones() -> None:
    model = small(in_channels=3)
    pictures = random(2, 3, 28, 28)
    extra = model.auxiliary(pictures, model.features(pictures))
    assert torch.equal(extra["pictures"], pictures.flatten(1))
    larger = pictures.repeat_interleave(2, 2).repeat_interleave(2, 3)
    extra = model.auxiliary(larger, model.features(larger))
    torch.testing.assert_close(extra["pictures"], pictures.flatten(1))
    assert extra["reconstructions"].shape == (2, 10, 3 * 784)


def test_logits_that_come_with_the_drawings_are_those_of_classification() -> None:
    model, pictures = small(), random(3, 1, 28, 28)
    features = model.features(pictures)
    assert torch.equal(model.auxiliary(pictures, features)["logits"], model.classify(features))
