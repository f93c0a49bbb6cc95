import torch
from sklearn.metrics.pairwise import euclidean_distances

from striate.layers import RadialBasis


def test_distances_by_hand():
    layer = RadialBasis(2, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 0], [3, 4], [-1, 1]]))
    assert layer(torch.tensor([[0.0, 0], [3, 4]])).tolist() == [[0, 25, 2], [25, 0, 25]]


def test_distances_equal_scikit_learns():
    x, layer = torch.randn(5, 84, dtype=torch.float64), RadialBasis(84, 10).double()
    expected = euclidean_distances(x.numpy(), layer.weight.detach().numpy(), squared=True)
    torch.testing.assert_close(layer(x).detach(), torch.from_numpy(expected))


def test_small_distances_of_large_vectors_keep_their_digits():
    layer = RadialBasis(4, 1)
    with torch.no_grad():
        layer.weight.fill_(1024)
    x = torch.full((1, 4), 1024 + 2**-10)
    assert layer(x).item() == 4 * 2**-20


def test_vectors_start_as_plus_and_minus_one():
    weight = RadialBasis(84, 10).weight
    assert set(weight.flatten().tolist()) == {-1.0, 1.0}


def test_fixed_vectors_are_saved_but_not_trained():
    layer = RadialBasis(84, 10, trainable=False)
    assert list(layer.parameters()) == []
    assert list(layer.state_dict()) == list(RadialBasis(84, 10).state_dict()) == ["weight"]


def test_the_gradient_at_a_vector_is_zero():
    layer = RadialBasis(3, 1)
    x = layer.weight.detach().clone().requires_grad_()
    layer(x).sum().backward()
    assert x.grad.tolist() == [[0, 0, 0]]
