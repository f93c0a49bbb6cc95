"""Pictures that are in a data set more than once: exactly, nearly or mirrored; where copies do most harm.

A group in which any two are linked, if only through others, is one finding:

| its pictures lie in      | kind                                              |
| ------------------------ | ------------------------------------------------- |
| several splits           | leak                                              |
| several classes          | conflict (and leak, if several splits as well)    |
| one split and one class  | duplicate, near-duplicate or mirrored             |

Where objects are labelled, near copies have nearly the same objects, too: frames of a fixed camera have not.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch

from striate.audit.findings import Finding
from striate.audit.inventory import Entry
from striate.audit.likeness import Progress, find_alike
from striate.audit.pictures import BLANK, Looks
from striate.audit.same_objects import in_halves, with_same_objects
from striate.samples import Objects

Link = tuple[int, int, float]  # item, item, likeness

EXACTLY = 1.0  # the likeness from which on only exact copies are looked for


def duplicate_findings(
    entries: Sequence[Entry],
    looks: Looks,
    near: float,
    progress: Progress = lambda rows: None,
    objects: Objects | None = None,
) -> list[Finding]:
    """All groups of copies.

    Exact copies have the same pixels; of each group of these one picture is compared with the others, and
    what is found of it holds for all. Pictures that show nothing are compared by their pixels only.

    Args:
        entries: all n entries.
        looks: what was seen of them.
        near: the least likeness of near copies, 0..1; from 1 on only exact copies are looked for.
        progress: told how many of 2n rows were just done.
        objects: of the entries, in their own pixels; None where they have a class.
    """
    same: dict[bytes, list[int]] = defaultdict(list)
    for i, look in enumerate(looks.each):
        if not look.fault:
            same[look.pixels].append(i)
    found = []
    for group in same.values():
        if len(group) > 1:
            files = {looks.each[i].stored for i in group}
            detail = "the same file" if len(files) == 1 else "the same pixels, stored in different ways"
            found += _findings(entries, group, "duplicate", detail, 1.0)
    if near >= EXACTLY:
        return found
    unique = [group[0] for group in same.values() if looks.spread[group[0]] >= BLANK]
    if objects is not None:  # what the files left out hold is not known
        unique = [i for i in unique if not entries[i].fault]
    if len(unique) < 2:
        return found
    near_links, mirror_links = _near_links(unique, looks, near, progress, objects)
    for links, kind, words in (
        (near_links, "near-duplicate", "likeness"),
        (mirror_links, "mirrored", "mirrored, likeness"),
    ):
        for members, likeness in linked_groups(links, len(unique)):
            group = sorted(i for member in members for i in same[looks.each[unique[member]].pixels])
            found += _findings(entries, group, kind, f"{words} {likeness:.3f}", likeness)
    return found


def _near_links(
    unique: Sequence[int], looks: Looks, near: float, progress: Progress, objects: Objects | None
) -> tuple[list[Link], list[Link]]:
    """The links between near copies among ``unique`` entries, and between mirror images that are none."""
    chosen = torch.tensor(unique)
    copies = looks.grey[chosen]
    near_links = find_alike(copies, near, progress=progress)
    mirror_links = find_alike(copies, near, mirrored=True, progress=progress)
    if objects is not None:
        sizes = torch.tensor([(looks.each[i].width, looks.each[i].height) for i in unique])
        places = in_halves(objects[chosen], sizes)
        near_links = with_same_objects(near_links, copies, places)
        mirror_links = with_same_objects(mirror_links, copies, places, mirrored=True)
    group = connect(near_links, len(unique))
    return list(near_links), [link for link in mirror_links if group[link[0]] != group[link[1]]]


def linked_groups(links: Sequence[Link], count: int) -> list[tuple[list[int], float]]:
    """The groups of linked items, each with the likeness of its weakest link, the most alike first.

    Args:
        links: (item, item, likeness).
        count: how many items there are.
    """
    group_of = connect(links, count)
    members: dict[int, set[int]] = defaultdict(set)
    weakest: dict[int, float] = defaultdict(lambda: 1.0)
    for a, b, likeness in links:
        group = group_of[a]
        members[group] |= {a, b}
        weakest[group] = min(weakest[group], likeness)
    order = sorted(members, key=lambda group: -weakest[group])
    return [(sorted(members[group]), weakest[group]) for group in order]


def connect(links: Iterable[Link], count: int) -> list[int]:
    """For each of ``count`` items the first item of its group: union-find with path halving (Tarjan 1984)."""
    parent = list(range(count))

    def first(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for a, b, _ in links:
        low, high = sorted((first(a), first(b)))
        parent[high] = low
    return [first(item) for item in range(count)]


def _findings(
    entries: Sequence[Entry], group: Sequence[int], kind: str, detail: str, score: float
) -> list[Finding]:
    splits = {entries[i].split for i in group}
    labels = {entries[i].label for i in group} - {""}
    kinds = [name for name, several in (("leak", splits), ("conflict", labels)) if len(several) > 1]
    first = {(entries[i].split, entries[i].label): i for i in reversed(group)}  # those that must be seen
    ordered = sorted(group, key=lambda i: i not in first.values())
    return [Finding(name, tuple(ordered), detail, score) for name in kinds or [kind]]
