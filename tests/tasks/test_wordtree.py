"""WordTree beside a tree worked by hand, and its laws."""

import math
from itertools import pairwise

import pytest
import torch

from striate.errors import InputError
from striate.tasks.wordtree import WordTree, read_tree, tree_of_hypernyms

ANIMALS = "animal\ndog animal\ncat animal\nterrier dog\npoodle dog\nthing\n"
ANIMAL, DOG, TERRIER, POODLE, CAT, THING = range(6)  # each is followed by what is below it


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "animals.txt").write_text(ANIMALS)
    return read_tree(tmp_path / "animals.txt")


def logits_of(*probabilities):
    """Logits whose softmax over siblings is the given probability of each node given its parent."""
    return torch.tensor([probabilities]).log()


# given the parent:     animal dog  terrier poodle cat thing
UNSURE_BREED = logits_of(0.9, 0.8, 0.55, 0.45, 0.2, 0.1)


def test_probability_of_a_node_is_the_product_along_its_path(tree):
    expected = torch.tensor([[0.9, 0.72, 0.396, 0.324, 0.18, 0.1]])
    torch.testing.assert_close(tree.log_probs(UNSURE_BREED).exp(), expected)


def test_probabilities_of_children_sum_to_their_parents_and_of_roots_to_one():
    generator = torch.Generator().manual_seed(0)
    parents = [-1, -1, *[int(torch.randint(node, (1,), generator=generator)) for node in range(2, 60)]]
    tree = WordTree([f"n{node}" for node in range(60)], parents)
    logits = 30 * torch.randn(8, 60, generator=generator)  # far apart: sums must not underflow
    probs = tree.log_probs(logits).double().exp()
    torch.testing.assert_close(probs[:, :2].sum(1), torch.ones(8, dtype=torch.float64))
    for node in range(60):
        children = [child for child, parent in enumerate(parents) if parent == node]
        if children:
            torch.testing.assert_close(probs[:, children].sum(1), probs[:, node], rtol=1e-4, atol=1e-30)


def test_prediction_stops_at_dog_when_the_breed_is_unsure(tree):
    nodes, probs = tree.predict(UNSURE_BREED)
    assert nodes.tolist() == [DOG]
    assert probs.tolist() == pytest.approx([0.72])
    sure = logits_of(0.99, 0.9, 0.05, 0.95, 0.1, 0.01)
    assert tree.predict(sure)[0].tolist() == [POODLE]
    assert tree.scores(UNSURE_BREED).nonzero().tolist() == [[0, DOG]]


def test_prediction_follows_the_best_child_and_falls_back_to_the_best_root():
    # b1 is more probable than any child of a, but a is the better root
    tree = WordTree(["a", "b", "a1", "a2", "a3", "b1"], [-1, -1, 0, 0, 0, 1], threshold=0.3)
    nodes, _ = tree.predict(logits_of(0.55, 0.45, 0.4, 0.3, 0.3, 1.0))
    assert nodes.tolist() == [0]
    shy = WordTree(["a", "b", "c"], [-1, -1, -1], threshold=0.9)
    assert shy.predict(logits_of(0.2, 0.5, 0.3))[0].tolist() == [1]


def test_a_lower_threshold_never_stops_earlier(tree):
    logits = torch.randn(200, 6, generator=torch.Generator().manual_seed(1))
    depths = []
    for threshold in (0.0, 0.3, 0.6, 0.9):
        nodes = WordTree(tree.names, tree.parents, threshold).predict(logits)[0]
        depths.append(tree.depths[nodes])
    assert all((low >= high).all() for low, high in pairwise(depths))
    assert (depths[0] > depths[-1]).any()


def test_loss_of_an_inner_label_trains_the_path_down_to_it_only(tree):
    logits = torch.randn(1, 6, generator=torch.Generator().manual_seed(2)).requires_grad_()
    loss = tree.losses(logits, torch.tensor([DOG]))
    expected = -logits.log_softmax(1).new_zeros(1)
    expected = (
        expected - logits[0, [ANIMAL, THING]].log_softmax(0)[0] - logits[0, [DOG, CAT]].log_softmax(0)[0]
    )
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert gradient[0, [TERRIER, POODLE]].tolist() == [0, 0]
    assert (gradient[0, [ANIMAL, THING, DOG, CAT]] != 0).all()


def test_kin_are_all_above_and_below(tree):
    assert tree.kin(DOG).tolist() == [True, True, True, True, False, False]
    assert tree.kin(CAT).nonzero()[:, 0].tolist() == [ANIMAL, CAT]


def test_loss_is_minus_the_log_probability_and_of_a_flat_tree_the_cross_entropy(tree):
    logits = torch.randn(12, 6, generator=torch.Generator().manual_seed(3))
    labels = torch.arange(12) % 6
    expected = -tree.log_probs(logits).gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(tree.losses(logits, labels), expected)
    flat = WordTree(list("abcdef"), [-1] * 6)
    each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(flat.losses(logits, labels), each)


def test_learns_breeds_from_some_pictures_and_dogs_from_others(tree):
    generator = torch.Generator().manual_seed(0)
    kinds = torch.tensor([CAT, TERRIER, POODLE, THING])[torch.randint(4, (400,), generator=generator)]
    points = torch.randn(6, 8, generator=generator)[kinds] * 3 + torch.randn(400, 8, generator=generator)
    coarse = (torch.rand(400, generator=generator) < 0.5) & ((kinds == TERRIER) | (kinds == POODLE))
    labels = torch.where(coarse, DOG, kinds)
    layer = torch.nn.Linear(8, 6)
    torch.nn.init.zeros_(layer.weight)
    optimizer = torch.optim.Adam(layer.parameters(), 0.1)
    for _ in range(100):
        optimizer.zero_grad()
        tree.losses(layer(points), labels).mean().backward()
        optimizer.step()
    assert (tree.predict(layer(points))[0] == kinds).float().mean() > 0.95


def test_loss_of_a_mixed_picture_lies_between_those_of_its_labels(tree):
    logits = torch.randn(1, 6, generator=torch.Generator().manual_seed(4))
    dog, poodle = (tree.losses(logits, torch.tensor([node])) for node in (DOG, POODLE))
    shares = torch.zeros(1, 6)
    shares[0, [DOG, POODLE]] = torch.tensor([0.3, 0.7])
    torch.testing.assert_close(tree.losses(logits, shares), 0.3 * dog + 0.7 * poodle)


def test_both_forms_of_a_file_give_the_same_tree(tmp_path, tree):
    (tmp_path / "darknet.tree").write_text("animal -1\ndog 0\ncat 0\nterrier 1\npoodle 1\nthing -1\n")
    (tmp_path / "tabs.txt").write_text(
        "animal\ndog\tanimal\ncat\tanimal\nterrier\tdog\npoodle\tdog\nthing\n\n"
    )
    for name in ("darknet.tree", "tabs.txt"):
        read = read_tree(tmp_path / name)
        assert (read.names, read.parents) == (tree.names, tree.parents)
    (tmp_path / "upside_down.txt").write_text("german shepherd\tdog\ndog")
    read = read_tree(tmp_path / "upside_down.txt")
    assert (read.names, read.parents) == (("dog", "german shepherd"), (-1, 0))


def test_of_a_file_only_what_leads_to_the_classes_is_taken(tmp_path, tree):
    part = read_tree(tmp_path / "animals.txt", classes=["cat", "dog"])
    assert (part.names, part.parents) == (("animal", "cat", "dog"), (-1, 0, 0))
    with pytest.raises(InputError, match="class 'wolf' is not in the tree") as told:
        read_tree(tmp_path / "animals.txt", classes=["dog", "wolf"])
    assert told.value.what_to_do == "add a line: wolf PARENT"


def test_a_file_may_be_a_graph_in_which_nodes_have_several_parents(tmp_path):
    # WordNet ids: a poodle is a dog; a dog is a canine and a domestic animal; a wolf is a canine
    (tmp_path / "is_a.txt").write_text("n1\nn2 n1\nn3 n1\nn4 n2\nn4 n3\nn5 n4\nn6 n2\n")
    tree = read_tree(tmp_path / "is_a.txt", classes=["n5", "n6"])
    assert (tree.names, tree.parents) == (("n1", "n2", "n4", "n5", "n6"), (-1, 0, 1, 2, 1))


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("", "t.txt", "no nodes"),
        ("a\na", "t.txt, line 2", "twice"),
        ("a\nb a\nb a", "t.txt, line 3", "twice"),
        ("a\nb a\na b", "t.txt, line 3", "twice"),
        ("a b\nb a", "t.txt", "below itself"),
        ("a\nb c", "t.txt, line 2", "'c' has no line"),
        ("a\nb a x", "t.txt, line 2", "not a name"),
        ("a\n\nb a", "t.txt, line 2", "not a name"),
        ("a -1\nb 7", "t.txt, line 2", "no node"),
        ("a 0", "t.txt", "below itself"),
    ],
)
def test_faults_of_a_file_are_told_with_their_place(tmp_path, text, place, what):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(InputError, match=what) as told:
        read_tree(tmp_path / "t.txt")
    assert told.value.where.endswith(place)


def test_a_file_that_is_no_text_is_told(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-16 text"):
        read_tree(tmp_path / "t.txt")


def test_of_several_ways_up_a_class_takes_the_one_that_adds_the_fewest_nodes():
    hypernyms = {
        "poodle": ["dog"],
        "dog": ["canine", "pet"],  # canine, carnivore and animal are in the tree by the wolf
        "pet": ["animal"],
        "wolf": ["canine"],
        "canine": ["carnivore"],
        "carnivore": ["animal"],
    }
    tree = tree_of_hypernyms(["poodle", "wolf"], hypernyms)
    parents = {
        name: tree.names[parent] for name, parent in zip(tree.names, tree.parents, strict=True) if parent >= 0
    }
    assert parents == {
        "wolf": "canine",
        "canine": "carnivore",
        "carnivore": "animal",
        "poodle": "dog",
        "dog": "canine",
    }
    alone = tree_of_hypernyms(["poodle"], hypernyms)
    assert set(alone.names) == {"poodle", "dog", "pet", "animal"}  # the shorter way
    with pytest.raises(InputError, match="below itself"):
        tree_of_hypernyms(["a"], {"a": ["b"], "b": ["a"]})


def test_half_precision_logits_are_read_in_single(tree):
    probs = tree.log_probs(UNSURE_BREED.bfloat16())
    assert probs.dtype == torch.float32
    assert math.isclose(float(probs[0, [ANIMAL, THING]].exp().sum()), 1, abs_tol=1e-6)
