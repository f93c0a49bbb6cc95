"""WordTree: classes in a hierarchy, as fine as one is sure (Redmon and Farhadi 2016, "YOLO9000",
arXiv:1612.08242, section 4).

    animal ─┬─ cat
            └─ dog ─┬─ poodle     P(poodle) = P(poodle | dog) * P(dog | animal) * P(animal)
                    └─ terrier    P(poodle | dog): softmax over the children of dog

Every node has a logit. A picture labelled "dog" teaches what leads to dog, and nothing about breeds. A
prediction goes down from the best root to the best child of each node, and stops where the probability
would fall to the threshold: "dog", when the breed is unsure.

A file has a line for each node: its name and its parent's, a root its name alone, in any order; a tab, or
white space where the line has no tab, between them. Darknet's .tree files have the parent's line, counted
from 0, instead of its name, and -1 for a root. In a graph such as WordNet's a node may have several parents,
and as many lines.

Shapes: N pictures or boxes, V nodes, D depth of the deepest node plus 1.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from striate.errors import InputError
from striate.text_files import read_text


class WordTree:
    """Classes in a hierarchy, and how logits of its nodes are learned and read.

    Args:
        names: of the V nodes.
        parents: the id of each node's parent, -1 for a root.
        threshold: a prediction stops above nodes that are not more probable than this.

    Raises:
        InputError: a name is there twice, there is no such parent, or a node is its own ancestor.
    """

    def __init__(self, names: Sequence[str], parents: Sequence[int], threshold: float = 0.5) -> None:
        self.names = tuple(names)
        self.parents = tuple(parents)
        self.threshold = threshold
        paths = _paths(self.names, self.parents)
        self.depths = torch.tensor([len(path) - 1 for path in paths])  # int64 (V,), 0 for roots
        longest = max(map(len, paths))
        none = len(paths)  # stands after the last node
        rows = [path + [none] * (longest - len(path)) for path in paths]
        self.paths = torch.tensor(rows)  # int64 (V, D): from the root down to each node itself, then V
        self.siblings = torch.tensor(parents).unique(return_inverse=True)[1]  # int64 (V,): groups

    def __len__(self) -> int:
        return len(self.names)

    def log_probs(self, logits: Tensor) -> Tensor:
        """Float (..., V) logits -> float32 (..., V), the logarithms of the nodes' probabilities.

        Those of a node's children sum to its own, those of all roots to 1.
        """
        given_parent, _ = self._given_parent(logits)
        return _after(given_parent, 0.0)[..., self.paths.to(logits.device)].sum(-1)

    def path(self, node: int) -> Tensor:
        """int64 (d,): the node ids from the root down to a node."""
        return self.paths[node, : int(self.depths[node]) + 1]

    def kin(self, node: int) -> Tensor:
        """bool (V,): the nodes on the path to a node and those below it; itself is both."""
        on_path = torch.zeros(len(self), dtype=torch.bool).index_fill(0, self.path(node), True)
        return on_path | (self.paths == node).any(1)

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Minus the logarithm of the probability of each label, at any level, float32 (N,).

        Nodes below a label, and children of nodes that are not above it, get no gradient.

        Args:
            logits: float (N, V).
            labels: int64 (N,) nodes, or of mixed pictures float (N, V), their shares.
        """
        if labels.is_floating_point():
            return -(labels * self.log_probs(logits)).sum(1)
        given_parent, _ = self._given_parent(logits)
        return -_after(given_parent, 0.0).gather(1, self.paths.to(labels.device)[labels]).sum(1)

    def predict(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The deepest node on the way of best children that is more probable than the threshold.

        Args:
            logits: float (N, V).

        Returns:
            int64 (N,) nodes and float32 (N,) their probabilities; the best root where even that is unsure.
        """
        given_parent, best = self._given_parent(logits)
        paths, depths = self.paths.to(logits.device), self.depths.to(logits.device)
        probs = _after(given_parent, 0.0)[..., paths].sum(-1).exp()
        on_way = _after(best, True)[..., paths].all(-1)
        reached = on_way & ((probs > self.threshold) | (depths == 0))
        nodes = torch.where(reached, depths, -1).argmax(1)
        return nodes, probs.gather(1, nodes[:, None])[:, 0]

    def scores(self, logits: Tensor) -> Tensor:
        """Float (N, V) -> (N, V): the probability of the predicted node, 0 for all others."""
        nodes, probs = self.predict(logits)
        return torch.zeros(logits.shape, device=logits.device).scatter_(1, nodes[:, None], probs[:, None])

    def _given_parent(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The logarithm of each node's probability given its parent, and whether it is the best child."""
        logits, groups = logits.float(), self.siblings.to(logits.device)
        empty = logits.new_full((*logits.shape[:-1], int(self.siblings.max()) + 1), -torch.inf)
        most = empty.scatter_reduce(-1, groups.expand_as(logits), logits.detach(), "amax")[..., groups]
        sums = torch.zeros_like(empty).index_add(-1, groups, (logits - most).exp())
        return logits - most - sums.log()[..., groups], logits.detach() == most


def _after(values: Tensor, last: float | bool) -> Tensor:
    """(..., V) -> (..., V + 1): ``last`` is what the end of a short path refers to."""
    return torch.cat([values, torch.full_like(values[..., :1], last)], -1)


def _paths(names: Sequence[str], parents: Sequence[int]) -> list[list[int]]:
    """Node ids from the root down to each node."""
    if not names:
        raise InputError("the tree has no nodes", "tree", "give one line for each class: NAME PARENT")
    if len(set(names)) < len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise InputError(f"{twice!r} is in the tree twice", "tree", "a node has one parent")
    paths = []
    for node, name in enumerate(names):
        path = [node]
        while (parent := parents[path[-1]]) != -1:
            if not 0 <= parent < len(names):
                raise InputError(f"the parent of {names[path[-1]]!r}, {parent}, is no node", "tree")
            if len(path) > len(names):
                raise InputError(f"{name!r} is below itself", "tree", "a way up must end at a root")
            path.append(parent)
        paths.append(path[::-1])
    return paths


def read_tree(path: Path, threshold: float = 0.5, classes: Sequence[str] = ()) -> WordTree:
    """The tree of a file, or, where nodes have several parents, of its graph; as ``tree_of_hypernyms``.

    Args:
        classes: what the tree leads to, other branches are left out; none named: all the nodes of the file.

    Raises:
        InputError: the file cannot be read, is no tree, or a class is not in it.
    """
    parents = read_parents(path)
    if missing := [name for name in classes if name not in parents]:
        raise InputError(f"class {missing[0]!r} is not in the tree", path, f"add a line: {missing[0]} PARENT")
    try:
        return tree_of_hypernyms(classes or list(parents), parents, threshold)
    except InputError as error:
        raise InputError(error.what, path, error.what_to_do) from error


def read_parents(path: Path) -> dict[str, list[str]]:
    """The parents of each node of a file, the usual one first; a root has none.

    The file is Darknet's if every line has two words of which the second is a whole number.

    Raises:
        InputError: the file cannot be read, a line is no node's or is there twice, or a parent has none.
    """
    try:
        lines = read_text(path).rstrip().splitlines()
    except OSError as error:
        raise InputError(f"the tree cannot be read: {error.strerror}", path, "name a text file") from error
    rows = [_words(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]
    if all(len(words) == 2 and words[1].removeprefix("-").isdecimal() for words in rows):
        rows = _with_names(rows, path)
    nodes = {name for name, *_ in rows}
    parents: dict[str, list[str]] = {}
    for number, (name, *above) in enumerate(rows, 1):
        place = f"{path}, line {number}"
        if not nodes.issuperset(above):
            raise InputError(f"parent {above[0]!r} has no line", place, f"add a line: {above[0]}")
        if name in parents and (not above or not parents[name] or above[0] in parents[name]):
            raise InputError(f"{name!r} is in the tree twice", place, "a node has a line for each parent")
        parents.setdefault(name, []).extend(above)
    return parents


def _with_names(rows: list[list[str]], path: Path) -> list[list[str]]:
    """Darknet's lines, with the names of parents instead of their lines."""
    named = []
    for number, (name, line) in enumerate(rows, 1):
        if not -1 <= int(line) < len(rows):
            raise InputError(f"the parent, line {line}, is no node", f"{path}, line {number}", "count from 0")
        named.append([name] if int(line) == -1 else [name, rows[int(line)][0]])
    return named


def _words(line: str, place: str) -> list[str]:
    """A name, or a name and a parent."""
    words = [word.strip() for word in line.split("\t")] if "\t" in line.strip() else line.split()
    if len(words) not in (1, 2) or not all(words):
        raise InputError(
            f"{line.strip()!r} is not a name, or a name and a parent",
            place,
            "where names have spaces, put a tab between name and parent",
        )
    return words


def tree_of_hypernyms(
    classes: Sequence[str], hypernyms: Mapping[str, Sequence[str]], threshold: float = 0.5
) -> WordTree:
    """The tree of a graph such as WordNet's, where a concept may have several parents.

    Classes with one way up are put in first; of several ways each later class takes the one that adds the
    fewest nodes to the tree, of equal ones the first (YOLO9000, section 4). Each node is followed by what is
    below it, in the order of ``classes``.

    Args:
        classes: names or WordNet ids, each to be a node of the tree.
        hypernyms: the parents of each concept, the usual one first; roots may be left out.
        threshold: as in ``WordTree``.

    Raises:
        InputError: a concept is its own ancestor.
    """
    ways = {name: _ways_up(name, hypernyms, ()) for name in classes}
    parents: dict[str, str] = {}  # of the nodes in the tree; "" of a root

    def added(way: list[str]) -> int:
        """How many nodes of a way are not in the tree; what is above the first that is stays as it is."""
        return next((index for index, node in enumerate(way) if node in parents), len(way))

    for name in sorted(classes, key=lambda name: len(ways[name]) > 1):
        way = min(ways[name], key=added)
        for node, parent in list(zip(way, [*way[1:], ""], strict=True))[: added(way)]:
            parents[node] = parent
    names = _downwards(parents, classes)
    ids = {name: node for node, name in enumerate(names)} | {"": -1}
    return WordTree(names, [ids[parents[name]] for name in names], threshold)


def _downwards(parents: Mapping[str, str], classes: Sequence[str]) -> list[str]:
    """All nodes, each followed by those below it, in the order of the classes that they lead to."""
    children: dict[str, list[str]] = {}
    met = {""}
    for node in classes:
        while node not in met:
            met.add(node)
            children.setdefault(parents[node], []).append(node)
            node = parents[node]
    ordered, waiting = [], children.get("", [])[::-1]
    while waiting:
        ordered.append(waiting.pop())
        waiting += children.get(ordered[-1], [])[::-1]
    return ordered


def _ways_up(name: str, hypernyms: Mapping[str, Sequence[str]], below: tuple[str, ...]) -> list[list[str]]:
    """Every way from a concept to a root, itself first."""
    if name in below:
        raise InputError(f"{name!r} is below itself", "hypernyms", "a way up must end at a root")
    parents = hypernyms.get(name, ())
    ways = [way for parent in parents for way in _ways_up(parent, hypernyms, (*below, name))]
    return [[name, *way] for way in ways or [[]]]
