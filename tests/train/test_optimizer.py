"""Optimizers against their formulas in float64 and against Keras; gradient clipping against its numbers."""

import os

import numpy as np
import pytest
import torch
from torch import nn

from striate.recipe import OptimizerSettings
from striate.train.optimizer import add_l1, build_optimizer, clip_gradients, set_learning_rate, set_momentum

os.environ["KERAS_BACKEND"] = "torch"  # read once, when Keras is imported

LR, DECAY, EPS, STEPS = 0.05, 0.1, 1e-3, 6  # a large eps, so that its place in the formula matters

KINDS = {
    "plain sgd": {"name": "sgd", "momentum": 0.0, "nesterov": False},
    "momentum": {"name": "sgd", "momentum": 0.8, "nesterov": False},
    "nesterov": {"name": "sgd", "momentum": 0.8, "nesterov": True},
    "adam": {"name": "adam", "betas": (0.8, 0.95)},
    "adamw": {"name": "adamw", "betas": (0.8, 0.95)},
    "nadam": {"name": "nadam", "betas": (0.8, 0.95)},
    "rmsprop": {"name": "rmsprop", "momentum": 0.7, "smoothing": 0.9},
}


def make_settings(kind: str, **changes) -> OptimizerSettings:
    return OptimizerSettings(**{"lr": LR, "weight_decay": DECAY, "eps": EPS, **KINDS[kind], **changes})


def make_network(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2)).to(dtype)


def gradient(shape: tuple[int, ...], step: int, index: int) -> np.ndarray:
    return np.random.default_rng([step, index]).normal(size=shape)


def take_steps(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int = STEPS) -> None:
    for step in range(steps):
        for index, parameter in enumerate(network.parameters()):
            grad = torch.from_numpy(gradient(tuple(parameter.shape), step, index))
            parameter.grad = torch.empty_like(parameter).copy_(grad)  # in the memory layout of the parameter
        optimizer.step()


def sgd(w, grads, decay, momentum, nesterov):
    velocity = np.zeros_like(w)
    for g in grads:
        g = g + decay * w
        velocity = momentum * velocity + g
        w = w - LR * (g + momentum * velocity if nesterov else velocity)
    return w


def adam(w, grads, decay, beta1, beta2, decoupled):
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(grads, start=1):
        if decoupled:
            w = w - LR * decay * w
        else:
            g = g + decay * w
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        w = w - LR * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + EPS)
    return w


def nadam(w, grads, decay, beta1, beta2):
    """Dozat 2016, algorithm 2, with the momentum schedule that he gives and decoupled decay."""
    m, v, product = np.zeros_like(w), np.zeros_like(w), 1.0
    for t, g in enumerate(grads, start=1):
        w = w - LR * decay * w
        now = beta1 * (1 - 0.5 * 0.96 ** (t * 0.004))
        following = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * 0.004))
        product *= now
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        mean = following * m / (1 - product * following) + (1 - now) * g / (1 - product)
        w = w - LR * mean / (np.sqrt(v / (1 - beta2**t)) + EPS)
    return w


def rmsprop(w, grads, decay, smoothing, momentum):
    v, velocity = np.zeros_like(w), np.zeros_like(w)
    for g in grads:
        g = g + decay * w
        v = smoothing * v + (1 - smoothing) * g**2
        velocity = momentum * velocity + g / (np.sqrt(v) + EPS)
        w = w - LR * velocity
    return w


FORMULAS = {
    "plain sgd": lambda w, grads, decay: sgd(w, grads, decay, 0.0, False),
    "momentum": lambda w, grads, decay: sgd(w, grads, decay, 0.8, False),
    "nesterov": lambda w, grads, decay: sgd(w, grads, decay, 0.8, True),
    "adam": lambda w, grads, decay: adam(w, grads, decay, 0.8, 0.95, False),
    "adamw": lambda w, grads, decay: adam(w, grads, decay, 0.8, 0.95, True),
    "nadam": lambda w, grads, decay: nadam(w, grads, decay, 0.8, 0.95),
    "rmsprop": lambda w, grads, decay: rmsprop(w, grads, decay, 0.9, 0.7),
}


@pytest.mark.parametrize("kind", KINDS)
def test_steps_follow_the_formula(kind):
    network = make_network(torch.float64)
    before = [parameter.detach().numpy().copy() for parameter in network.parameters()]
    take_steps(network, build_optimizer(network, make_settings(kind)))
    for index, (start, parameter) in enumerate(zip(before, network.parameters(), strict=True)):
        grads = [gradient(start.shape, step, index) for step in range(STEPS)]
        decay = DECAY if start.ndim >= 2 else 0.0
        expected = FORMULAS[kind](start, grads, decay)
        # torch keeps Nadam's product of momenta in float32.
        rtol = 1e-6 if kind == "nadam" else 1e-10
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("kind", ["plain sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop"])
def test_steps_equal_keras_where_both_mean_the_same(kind):
    """With a vanishing eps, whose place differs, and without the decay that Keras has in AdamW only."""
    keras = pytest.importorskip("keras")
    decay = DECAY if kind == "adamw" else 0.0
    reference = {
        "plain sgd": lambda: keras.optimizers.SGD(LR),
        "momentum": lambda: keras.optimizers.SGD(LR, momentum=0.8),
        "nesterov": lambda: keras.optimizers.SGD(LR, momentum=0.8, nesterov=True),
        "adam": lambda: keras.optimizers.Adam(LR, beta_1=0.8, beta_2=0.95, epsilon=1e-12),
        "adamw": lambda: keras.optimizers.AdamW(
            LR, weight_decay=decay, beta_1=0.8, beta_2=0.95, epsilon=1e-12
        ),
        "rmsprop": lambda: keras.optimizers.RMSprop(LR, rho=0.9, momentum=0.7, epsilon=1e-12),
    }[kind]()
    network = make_network()
    variables = [keras.Variable(parameter.detach().numpy()) for parameter in network.parameters()]
    for step in range(STEPS):
        grads = [
            torch.from_numpy(gradient(tuple(variable.shape), step, index)).float()
            for index, variable in enumerate(variables)
        ]
        reference.apply(grads, variables)
    settings = make_settings(kind, weight_decay=decay, decay_all=True, eps=1e-12)
    take_steps(network, build_optimizer(network, settings))
    for variable, parameter in zip(variables, network.parameters(), strict=True):
        expected = keras.ops.convert_to_numpy(variable)
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_fast_kernel_equals_the_plain_one(kind, layout):
    networks = [make_network().to(memory_format=layout) for _ in range(2)]
    optimizers = [build_optimizer(network, make_settings(kind)) for network in networks]
    for group in optimizers[1].param_groups:
        group["fused"] = group["foreach"] = False
    for network, optimizer in zip(networks, optimizers, strict=True):
        take_steps(network, optimizer)
    fast = any(optimizers[0].param_groups[0].get(name) for name in ("fused", "foreach"))
    assert fast
    for a, b in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_gradients_lie_in_memory_as_their_parameters_do():
    """Fused steps do not look at the layout of gradients; they take it for granted."""
    network = make_network().to(memory_format=torch.channels_last)
    network(torch.randn(5, 2, 4, 4)).sum().backward()
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    for parameter in network.parameters():
        assert parameter.grad.stride() == parameter.stride()


@pytest.mark.parametrize("kind", KINDS)
def test_decay_leaves_out_biases_and_normalization(kind):
    network = make_network()
    optimizer = build_optimizer(network, make_settings(kind))
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    named = {name: decays[id(parameter)] for name, parameter in network.named_parameters()}
    assert named == {
        "0.weight": DECAY,
        "0.bias": 0,
        "1.weight": 0,
        "1.bias": 0,
        "3.weight": DECAY,
        "3.bias": 0,
    }
    optimizer = build_optimizer(network, make_settings(kind, decay_all=True))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [DECAY]
    assert len(optimizer.param_groups[0]["params"]) == 6


def test_frozen_parameters_are_not_optimized():
    network = make_network()
    network[0].requires_grad_(False)
    optimizer = build_optimizer(network, make_settings("adamw"))
    chosen = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert chosen == {id(p) for p in [*network[1].parameters(), *network[3].parameters()]}


def test_a_network_without_decayed_parameters_has_one_group():
    optimizer = build_optimizer(nn.BatchNorm2d(3), make_settings("adamw"))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0]


def test_the_learning_rate_is_set_in_every_group():
    network = make_network()
    optimizer = build_optimizer(network, make_settings("plain sgd", weight_decay=0.0))
    before = [parameter.clone() for parameter in network.parameters()]
    set_learning_rate(optimizer, 0.5)
    take_steps(network, optimizer, steps=1)
    for index, (start, parameter) in enumerate(zip(before, network.parameters(), strict=True)):
        step = torch.from_numpy(gradient(tuple(start.shape), 0, index)).float()
        torch.testing.assert_close(parameter, start - 0.5 * step)


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adam", "adamw", "nadam"])
def test_the_momentum_is_set_in_every_group_as_torchs_one_cycle_sets_it(name):
    network = make_network()
    optimizer = build_optimizer(network, OptimizerSettings(name=name, betas=(0.8, 0.97)))
    set_momentum(optimizer, 0.85)
    assert len(optimizer.param_groups) == 2
    for group in optimizer.param_groups:
        found = group["betas"] if "betas" in group else group["momentum"]
        assert found == ((0.85, 0.97) if "betas" in group else 0.85)


@pytest.mark.parametrize("decay_all", [False, True])
def test_l1_is_the_gradient_of_the_sum_of_sizes_of_what_weight_decay_shrinks(decay_all):
    network, peer = make_network(), make_network()
    peer.load_state_dict(network.state_dict())
    settings = OptimizerSettings(name="sgd", lr=0.1, weight_decay=0.0, l1=0.03, decay_all=decay_all)
    optimizer = build_optimizer(network, settings)
    plain = build_optimizer(peer, settings.model_copy(update={"l1": 0.0}))
    for _ in range(3):
        of_ours, of_theirs = (sum(p.square().sum() for p in one.parameters()) for one in (network, peer))
        sizes = sum(p.abs().sum() for p in peer.parameters() if decay_all or p.ndim >= 2)
        of_ours.backward()
        (of_theirs + 0.03 * sizes).backward()
        add_l1(optimizer)
        for one in (optimizer, plain):
            one.step()
            one.zero_grad()
    for ours, theirs in zip(network.parameters(), peer.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_l1_leaves_out_what_has_no_gradient_and_states_that_know_none():
    parameter = nn.Parameter(torch.ones(2, 2))
    optimizer = torch.optim.SGD([parameter], lr=1.0)  # as one that was saved before there was any
    add_l1(optimizer)
    optimizer.param_groups[0]["l1"] = 0.5
    add_l1(optimizer)
    assert parameter.grad is None


def parameters_with_gradients(*gradients: list[float]) -> list[nn.Parameter]:
    parameters = []
    for values in gradients:
        parameter = nn.Parameter(torch.zeros(len(values)))
        parameter.grad = torch.tensor(values)
        parameters.append(parameter)
    return parameters


def test_clipping_by_value_turns_the_gradient():
    parameters = parameters_with_gradients([0.9, 100.0], [-7.0, -0.5])
    norm = clip_gradients(parameters, clip_value=1.0, clip_norm=None)
    assert parameters[0].grad.tolist() == pytest.approx([0.9, 1.0])
    assert parameters[1].grad.tolist() == [-1.0, -0.5]
    assert norm.item() == pytest.approx((0.9**2 + 100**2 + 7**2 + 0.5**2) ** 0.5)


@pytest.mark.parametrize("split", [False, True])
def test_clipping_by_norm_keeps_the_direction(split):
    parameters = parameters_with_gradients(*([[0.9], [100.0]] if split else [[0.9, 100.0]]))
    norm = clip_gradients(parameters, clip_value=None, clip_norm=1.0)
    clipped = torch.cat([parameter.grad for parameter in parameters])
    # To the digits given: 0.9 / 100.00405 = 0.0089996, 100 / 100.00405 = 0.9999595.
    assert clipped.tolist() == pytest.approx([0.008999, 0.99996], rel=1e-4)
    assert clipped.tolist() == pytest.approx([0.9 / norm.item(), 100 / norm.item()])
    assert clipped.norm().item() == pytest.approx(1)
    assert norm.item() == pytest.approx(100.00405)


def test_a_short_gradient_is_not_stretched():
    parameters = parameters_with_gradients([0.3, 0.4])
    assert clip_gradients(parameters, None, clip_norm=1.0).item() == pytest.approx(0.5)
    assert torch.equal(parameters[0].grad, torch.tensor([0.3, 0.4]))


def test_by_value_comes_before_by_norm():
    parameters = parameters_with_gradients([3.0, 400.0])
    norm = clip_gradients(parameters, clip_value=4.0, clip_norm=1.0)
    assert parameters[0].grad.tolist() == pytest.approx([0.6, 0.8])
    assert norm.item() == pytest.approx((9 + 160000) ** 0.5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("clip_value", "clip_norm"), [(None, None), (1.0, None), (None, 1.0), (1.0, 1.0)])
def test_one_element_that_is_not_finite_shows_in_the_norm(value, clip_value, clip_norm):
    parameters = parameters_with_gradients([1.0, 2.0], [value])
    assert not torch.isfinite(clip_gradients(parameters, clip_value, clip_norm))


def test_parameters_without_a_gradient_are_passed_over():
    parameters = [nn.Parameter(torch.zeros(2)), *parameters_with_gradients([3.0, 4.0])]
    assert clip_gradients(parameters, 10.0, 1.0).item() == pytest.approx(5)
    assert parameters[0].grad is None
