"""The rules for results on meta tensors against what PyTorch computes from real tensors of that layout."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from striate.cost.results import RULES, Results, storage_key, tensors_in

aten = torch.ops.aten
LAST = torch.channels_last


def last(*shape: int) -> Tensor:
    return torch.rand(shape).contiguous(memory_format=LAST)


MAPS = {  # (2, 8, 6, 5) in every order of memory that a network may meet
    "first": torch.rand(2, 8, 6, 5),
    "last": last(2, 8, 6, 5),
    "half of the channels": torch.rand(2, 16, 6, 5)[:, :8],
    "half of the channels, last": last(2, 16, 6, 5)[:, :8],
    "some rows": torch.rand(2, 8, 9, 5)[:, :, 2:8],
    "some rows, last": last(2, 8, 9, 5)[:, :, 2:8],
    "every other pixel": torch.rand(2, 8, 12, 10)[:, :, ::2, ::2],
    "every other pixel, last": last(2, 8, 12, 10)[:, :, ::2, ::2],
    "turned": torch.rand(2, 8, 5, 6).transpose(2, 3),
    "turned, last": last(2, 8, 5, 6).transpose(2, 3),
    "pictures second": torch.rand(8, 2, 6, 5).transpose(0, 1),
    "one pixel spread": torch.rand(2, 8, 1, 1).expand(2, 8, 6, 5),
    "one pixel spread, pictures second": torch.rand(8, 2, 1, 1).transpose(0, 1).expand(2, 8, 6, 5),
    "one row spread": torch.rand(2, 8, 1, 5).expand(2, 8, 6, 5),
    "one picture spread": last(1, 8, 6, 5).expand(2, 8, 6, 5),
    "one number spread": torch.rand(1, 1, 1, 1).expand(2, 8, 6, 5),
    "double": torch.rand(2, 8, 6, 5, dtype=torch.float64),
    "bf16": last(2, 8, 6, 5).bfloat16(),
    "whole numbers": torch.ones(2, 8, 6, 5, dtype=torch.int64),
}
OTHERS = {
    "one channel": torch.rand(2, 1, 6, 5),
    "means": torch.rand(2, 8, 1, 1),
    "means, last": last(2, 8, 1, 1),
    "no pictures": torch.rand(0, 8, 6, 5),
    "volume": torch.rand(2, 3, 4, 5, 6),
    "line": torch.rand(2, 3, 4),
    "line turned": torch.rand(2, 4, 3).transpose(1, 2),
    "matrix": torch.rand(6, 8),
    "matrix turned": torch.rand(8, 6).t(),
    "columns": torch.rand(6, 16)[:, :8],
    "row spread": torch.rand(1, 8).expand(6, 8),
    "column spread": torch.rand(6, 1).expand(6, 8),
    "number spread": torch.rand(1, 1).expand(6, 8),
    "lines spread": torch.rand(2, 3, 1).expand(2, 3, 4),
    "lines spread, pictures second": torch.rand(3, 2, 1).transpose(0, 1).expand(2, 3, 4),
    "vector": torch.rand(5),
    "number": torch.rand(()),
}
FORMS = MAPS | OTHERS
ONE = [
    *(aten.relu, aten.sigmoid, aten.tanh, aten.hardtanh, aten.leaky_relu),
    *(aten.relu_, aten.hardtanh_, aten.leaky_relu_),
]
TWO = [aten.add, aten.sub, aten.mul, aten.div, aten.add_]
BACKWARD = [  # with a second tensor of the same shape
    (aten.threshold_backward, (0,)),
    (aten.hardtanh_backward, (0, 6)),
    (aten.leaky_relu_backward, (0.1, False)),
    (aten.sigmoid_backward, ()),
    (aten.tanh_backward, ()),
]
Call = tuple[Any, tuple[Any, ...]]


def elementwise() -> Iterator[Call]:
    for x in FORMS.values():
        yield from ((operation, (x,)) for operation in ONE)
        yield from ((operation, (x, 2.0)) for operation in TWO)
        for y in FORMS.values():
            yield from ((operation, (x, y)) for operation in TWO)
            if x.shape == y.shape:
                yield from ((operation, (x, y, *rest)) for operation, rest in BACKWARD)


def reductions() -> Iterator[Call]:
    for x in FORMS.values():
        yield from ((operation, (x,)) for operation in (aten.mean, aten.sum))
        dims = ([2, 3], [-1], [0], [1], [2, 2], [], [7], None)
        for operation, dim, keepdim in itertools.product((aten.mean, aten.sum), dims, (False, True)):
            yield operation, (x, dim, keepdim)
        for dim in range(x.ndim):
            yield aten._softmax, (x, dim, False)
            yield aten._log_softmax, (x, dim, False)
            yield aten._softmax_backward_data, (x, x, dim, x.dtype)
            yield aten._log_softmax_backward_data, (x, x, dim, x.dtype)


def products() -> Iterator[Call]:
    for x, y in itertools.product(FORMS.values(), repeat=2):
        for right in (y, y.mT) if y.ndim > 1 else (y,):
            yield aten.mm, (x, right)
            yield aten.bmm, (x, right)
            for bias in (torch.rand(6), torch.rand(8), torch.rand(6, 6)):
                yield aten.addmm, (bias, x, right)


def windows() -> Iterator[Call]:
    geometry = [  # kernel, stride, padding, dilation
        ((3, 3), (1, 1), (1, 1), (1, 1)),
        ((3, 2), (2, 3), (1, 0), (1, 2)),
        ((1, 1), (2, 2), (0, 0), (1, 1)),
        ((5, 5), (1, 1), (0, 0), (2, 2)),  # larger than the map
    ]
    layouts = ("last", "half of the channels, last", "some rows, last", "every other pixel, last")
    for layout, (kernel, stride, padding, dilation) in itertools.product(layouts, geometry):
        x = FORMS[layout]
        yield aten.max_pool2d_with_indices, (x, kernel, stride, padding, dilation)
        yield aten.max_pool2d_with_indices, (x, kernel, stride, padding, dilation, True)
        yield aten.max_pool2d_with_indices, (x, kernel)
        for groups, channels in ((1, 8), (2, 4), (8, 1), (1, 3)):
            weight, bias = last(16, channels, *kernel), torch.rand(16)
            where = (stride, padding, dilation, False, (0, 0), groups)
            yield aten.convolution, (x, weight, bias, *where)
            yield aten.convolution, (x, weight, None, *where)
            yield aten.convolution, (x.double(), weight, None, *where)
            try:
                y = aten.convolution(x, weight, None, *where)
            except RuntimeError:
                continue
            for wanted in ((True, True, True), (True, True, False), (False, True, True)):
                yield aten.convolution_backward, (y, x, weight, [16], *where, wanted)
    x = FORMS["last"]
    y, indices = aten.max_pool2d_with_indices(x, (2, 2))
    yield (
        aten.max_pool2d_with_indices_backward,
        (y, x, (2, 2), (2, 2), (0, 0), (1, 1), False, indices),
    )


def normalizations() -> Iterator[Call]:
    for layout in ("first", "last", "double", "bf16"):
        x, weight, bias = FORMS[layout], torch.ones(8), torch.zeros(8)
        mean, variance = torch.zeros(8), torch.ones(8)
        numbers = weight, bias, mean, variance
        yield aten.native_batch_norm, (x, *numbers, True, 0.1, 1e-5)
        yield aten._native_batch_norm_legit, (x, *numbers, True, 0.1, 1e-5)
        statistics = (mean, variance, mean, variance, True, 1e-5)
        for wanted in ((True, True, True), (False, True, True)):
            yield aten.native_batch_norm_backward, (x, x, weight, *statistics, wanted)


def on_meta(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")


def form(tensor: Tensor) -> tuple[object, ...]:
    """Shape, type, bytes, and the order of those axes that have one."""
    strides = [stride for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]
    dense = tensor.numel() and tensor.untyped_storage().nbytes()
    return tuple(tensor.shape), tensor.dtype, dense, strides if tensor.numel() else []


def computed(operation: Any, args: tuple[Any, ...]) -> list[Tensor] | None:
    """What PyTorch gives; None if it refuses. An operation in place is given a copy of its tensor."""
    if operation.__name__.endswith("_"):
        x = torch.empty_strided(args[0].shape, args[0].stride(), dtype=args[0].dtype)
        args = (x, *args[1:])
    try:
        return tensors_in(operation(*args))
    except (RuntimeError, IndexError):
        return None


@pytest.mark.parametrize("calls", [elementwise, reductions, products, windows, normalizations])
def test_a_rule_gives_what_pytorch_computes_or_nothing(calls: Callable[[], Iterator[Call]]):
    answered = set()
    for operation, args in calls():
        guess = RULES[operation](*map(on_meta, args))
        if guess is None:
            continue
        result = computed(operation, args)
        assert result is not None, f"{operation} refuses what its rule takes"
        given = [form(arg) for arg in args if isinstance(arg, Tensor)]
        assert list(map(form, tensors_in(guess))) == list(map(form, result)), (operation, given)
        answered.add(operation)
    assert answered == {operation for operation, _ in calls()}


def test_all_rules_are_compared():
    kinds = (elementwise, reductions, products, windows, normalizations)
    assert {operation for kind in kinds for operation, _ in kind()} == set(RULES)


def test_results_that_share_memory_unknown_to_their_schema_are_not_remembered():
    results = Results()
    x = torch.empty(6, 8, device="meta")
    for _ in range(2):
        first, second = results.of(aten.unsafe_split.Tensor, (x, 4, 1), {})
        assert storage_key(first) == storage_key(second) == storage_key(x)
