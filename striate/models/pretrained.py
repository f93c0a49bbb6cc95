"""Networks with weights that somebody published, or that lie in a file.

    address ─► download, verify ─► names and layouts become ours ─► cache ─► network
               file of a user ───► the same ───────────────────────────────► network

``WEIGHTS`` says of each published file what a model card says. Converted weights are kept as safetensors in
the cache, with the checksum of what they were made from; the second time only they are read.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from striate.download import cache_folder, checksum_of, download, is_offline, missing_offline, verify
from striate.errors import InputError
from striate.files import UnwrittenError, read_tensors, write_tensors
from striate.models.key_maps.renaming import KeyMap, convert, rename
from striate.models.published import WEIGHTS
from striate.models.weight_files import read_weights

Network = TypeVar("Network", bound=nn.Module)
Build = Callable[..., Network]  # takes num_classes

OWN: KeyMap = (("", ""),)  # the names in a file that Striate wrote
AUXILIARY = "auxiliary"  # how the names of heads begin that only training needs


class Card(Protocol):
    """What a card of published weights says at least; ``striate.models.published.Weights`` says more."""

    @property
    def url(self) -> str: ...
    @property
    def file_name(self) -> str: ...
    @property
    def checksum(self) -> str | None: ...
    @property
    def license(self) -> str: ...
    @property
    def key_map(self) -> KeyMap: ...
    @property
    def arguments(self) -> dict[str, Any]: ...
    @property
    def num_classes(self) -> int: ...


def with_published_weights(
    name: str,
    build: Build[Network],
    num_classes: int | None,
    standard: Build[Network],
    fresh_head: bool = False,
    cards: Mapping[str, Card] = WEIGHTS,
) -> Network:
    """A network with its published weights, downloaded if need be.

    Args:
        name: in the catalogue.
        build: builds it; takes ``num_classes``.
        num_classes: K; None takes the classes of the weights. With another number than theirs the last layer
            is fresh.
        standard: builds it as it was published; takes ``num_classes`` and options of the family.
        fresh_head: the last layer is fresh with the same number too: the classes are others.
        cards: of what is published, by name.

    Raises:
        InputError: nothing is published, the network is built otherwise, or the file cannot be had.
    """
    if name not in cards:
        raise InputError(
            f"no weights of {name} are published",
            "",
            f"give a file of weights, or take one of {', '.join(cards)}",
        )
    tensors = published_tensors(name, standard, cards)
    try:
        foreign = Foreign(tensors, OWN, cards[name].num_classes)
        return _filled(build, foreign, num_classes, fresh_head, on_meta=True)
    except InputError as error:
        raise InputError(error.what, name, "build it as it was published, without options") from None


def with_weights_of_file(
    name: str,
    build: Build[Network],
    num_classes: int | None,
    default_classes: int,
    path: Path,
    fresh_head: bool = False,
    cards: Mapping[str, Card] = WEIGHTS,
) -> Network:
    """A network with the weights of a local file or folder, in Striate's names or its peer's.

    Arguments as in ``with_published_weights``; ``default_classes`` is K where ``num_classes`` is None.

    Raises:
        InputError: the file is damaged, altered, or another network's; the first wrong tensor is named.
    """
    weights = cards.get(name)
    if weights and weights.checksum and path.name == weights.file_name and path.is_file():
        verify(path, weights.checksum)
    tensors = read_weights(path)
    with torch.device("meta"):
        own_names = build(num_classes=default_classes).state_dict().keys()
    is_ours = 2 * len(own_names & tensors.keys()) > len(tensors)
    key_map = weights.key_map if weights and not is_ours else OWN
    try:
        foreign = Foreign(tensors, key_map, default_classes)
        return _filled(build, foreign, num_classes, fresh_head, on_meta=weights is not None)
    except InputError as error:
        mend = error.what_to_do or f"give weights of {name}, built with the same options"
        raise InputError(error.what, path, mend) from None


def published_tensors(
    name: str, standard: Build[Any], cards: Mapping[str, Card] = WEIGHTS
) -> dict[str, Tensor]:
    """The published weights under our names: from the cache, or downloaded and converted into it.

    Raises:
        InputError: the file cannot be had, is not the one published, or does not fit; nothing of it stays.
    """
    weights = cards[name]
    folder = cache_folder() / "weights"
    cached, source = folder / f"{name}.safetensors", folder / weights.file_name
    if cached.exists():
        try:
            tensors, facts = read_tensors(cached)
        except InputError as error:
            raise InputError(error.what, cached, "remove the file, and it is made anew") from None
        if facts.get("url") == weights.url:
            return tensors
    facts = {"url": weights.url, "license": weights.license, "commit": ""}
    put_by_hand = source.exists()
    if put_by_hand and weights.checksum:
        verify(source, weights.checksum)
    elif not put_by_hand:
        if is_offline():
            raise missing_offline(source, weights.url)
        source = folder / f"{os.getpid()}.{weights.file_name}"  # no other process may take or remove it
    try:
        if not put_by_hand:
            facts["commit"] = download(weights.url, source, checksum=weights.checksum)
        facts["checksum"] = checksum_of(source, "sha256")
        with torch.device("meta"):
            model = standard(num_classes=weights.num_classes, **weights.arguments)
        tensors = _converted(model, source, weights.key_map)
        write_tensors(cached, tensors, facts)
    except UnwrittenError as error:
        mend = "free some space, or set STRIATE_CACHE to another folder"
        raise UnwrittenError(error.what, cached, mend) from error
    finally:
        if not put_by_hand:
            source.unlink(missing_ok=True)
    return tensors


def _converted(model: nn.Module, source: Path, key_map: KeyMap) -> dict[str, Tensor]:
    foreign = read_weights(source)
    try:
        return _fitting(model, foreign, key_map)
    except InputError as error:
        raise InputError(error.what, source, "it is not the file that was published: get it anew") from None


def _fitting(model: nn.Module, foreign: Mapping[str, Tensor], key_map: KeyMap) -> dict[str, Tensor]:
    """``convert``, which sees names and shapes, and a look at the values."""
    tensors = convert(model, foreign, key_map)
    for name, tensor in tensors.items():
        if not torch.stack(tensor.aminmax()).isfinite().all():
            raise InputError(
                f"the values of {name} are not all finite", "", "get the file anew, or train again"
            )
    return tensors


@dataclass(frozen=True)
class Foreign:
    """Weights as they were found, under foreign names; ``default_classes`` is K where nobody gives it."""

    tensors: Mapping[str, Tensor]
    key_map: KeyMap
    default_classes: int


def _filled(
    build: Build[Network], foreign: Foreign, num_classes: int | None, fresh_head: bool, on_meta: bool
) -> Network:
    """The network of K classes with the values of ``foreign``; see ``with_published_weights`` for K.

    ``on_meta`` builds it without values first, which saves the time of random ones. Every tensor that its
    class makes outside its state would stay without values, so it is for those that are known to have none.
    """
    wanted = num_classes or foreign.default_classes
    with torch.device("meta" if on_meta else "cpu"):
        model = build(num_classes=wanted)
    own, key_map = model.state_dict(), foreign.key_map
    kept = {
        name: _for_colour(tensor, own.get(ours))
        for name, tensor in foreign.tensors.items()
        if (ours := rename(name, key_map)) in own or not ours.startswith(AUXILIARY)
    }
    last = _last_layer(own, build, wanted) if num_classes is not None else {}
    shapes = {rename(name, key_map): tensor.shape for name, tensor in kept.items()}
    classes = _count_classes(shapes, own, last, wanted)
    fresh = set(last) if classes != wanted or fresh_head else set()
    with torch.device("meta"):
        described = build(num_classes=classes) if fresh else model
    tensors = _fitting(described, kept, key_map)
    chosen = {name: tensor for name, tensor in tensors.items() if name not in fresh}
    model.load_state_dict(chosen, strict=False, assign=True)
    for layer in model.modules():
        if any(parameter.is_meta for parameter in layer.parameters(recurse=False)):
            layer.to_empty(device="cpu", recurse=False)
            layer.reset_parameters()  # type: ignore[operator]
    return model


def _for_colour(tensor: Tensor, own: Tensor | None) -> Tensor:
    """The first layer of a grey network, for colour: three equal channels give what one gave."""
    if own is None or own.ndim != 4 or tensor.shape != (own.shape[0], 1, *own.shape[2:]) or own.shape[1] != 3:
        return tensor
    return tensor.expand_as(own) / 3


def _last_layer(own: Mapping[str, Tensor], build: Build[Any], num_classes: int) -> dict[str, list[int]]:
    """The tensors whose shape depends on the number of classes, and by how much one more lengthens each axis.

    Those of auxiliary heads are among them.
    """
    with torch.device("meta"):
        other = build(num_classes=num_classes + 1).state_dict()
    growths = {
        name: [b - a for a, b in zip(t.shape, other[name].shape, strict=True)] for name, t in own.items()
    }
    return {name: growth for name, growth in growths.items() if any(growth)}


def _count_classes(
    shapes: Mapping[str, torch.Size], own: Mapping[str, Tensor], last: Mapping[str, list[int]], wanted: int
) -> int:
    """The number of classes of foreign weights of these ``shapes``, told by the first layer that shows it."""
    for name in (name for name in last if name in shapes):
        for found, length, growth in zip(shapes[name], own[name].shape, last[name], strict=False):
            if growth:
                return max(1, wanted + (found - length) // growth)
    return wanted
