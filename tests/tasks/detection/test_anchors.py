"""Anchors found by k-means, beside a literal loop, scikit-learn and laws."""

import pytest
import torch
from sklearn.cluster import KMeans

from striate.errors import InputError
from striate.ops.boxes import box_iou
from striate.tasks.detection.anchors import find_anchors, mean_best_iou, shape_iou, spread_start


def random_sizes(count=600, seed=0):
    """Boxes of many shapes, as in a data set: log-normal around a few kinds."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.tensor([[12.0, 30.0], [60.0, 20.0], [90.0, 140.0], [250.0, 200.0]])
    chosen = kinds[torch.randint(4, (count,), generator=generator)]
    return chosen * torch.exp(0.4 * torch.randn(count, 2, generator=generator))


def literal_kmeans(sizes, anchors):
    """The definition, box by box, until nothing changes."""

    def iou(a, b):
        common = min(a[0], b[0]) * min(a[1], b[1])
        return common / (a[0] * a[1] + b[0] * b[1] - common)

    rounds = []
    while True:
        overlaps = [[iou(size, anchor) for anchor in anchors] for size in sizes]
        rounds.append((sum(map(max, overlaps)) / len(sizes), anchors))
        nearest = [row.index(max(row)) for row in overlaps]
        moved = []
        for index, anchor in enumerate(anchors):
            own = [size for size, near in zip(sizes, nearest, strict=True) if near == index]
            moved.append([sum(s[i] for s in own) / len(own) for i in (0, 1)] if own else anchor)
        if all(
            abs(a - b) < 1e-12 for m, o in zip(moved, anchors, strict=True) for a, b in zip(m, o, strict=True)
        ):
            return sorted(max(rounds)[1], key=lambda a: a[0] * a[1])
        anchors = moved


@pytest.mark.parametrize("count", [1, 3, 5])
def test_anchors_equal_a_literal_loop_from_the_same_start(count):
    sizes = random_sizes(150)
    start = spread_start(sizes.double(), count, seed=0)
    expected = torch.tensor(literal_kmeans(sizes.double().tolist(), start.tolist()))
    torch.testing.assert_close(find_anchors(sizes, count), expected, rtol=1e-5, atol=1e-4)


def test_shape_iou_is_the_iou_of_centred_boxes():
    sizes, anchors = random_sizes(20), random_sizes(7, seed=1)
    centred = [torch.cat([-s / 2, s / 2], 1) for s in (sizes, anchors)]
    torch.testing.assert_close(shape_iou(sizes, anchors), box_iou(*centred))


@pytest.mark.parametrize("count", [3, 5, 9])
def test_anchors_suit_boxes_better_than_euclidean_clusters(count):
    sizes = random_sizes()
    euclidean = KMeans(count, n_init=10, random_state=0).fit(sizes.numpy()).cluster_centers_
    ours = mean_best_iou(sizes, find_anchors(sizes, count))
    assert ours > mean_best_iou(sizes, torch.from_numpy(euclidean)) - 0.005


def test_planted_shapes_are_found_by_ascending_area():
    planted = torch.tensor([[10.0, 20.0], [60.0, 15.0], [50.0, 100.0], [200.0, 160.0]])
    noise = 1 + 0.02 * torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    sizes = planted.repeat(100, 1) * noise
    torch.testing.assert_close(find_anchors(sizes, 4), planted, rtol=0.01, atol=0)


def test_more_anchors_suit_better_and_as_many_as_boxes_suit_perfectly():
    sizes = random_sizes(40)
    quality = [mean_best_iou(sizes, find_anchors(sizes, count)) for count in (1, 2, 4, 8, 40)]
    assert quality == sorted(quality)
    assert quality[-1] == pytest.approx(1, abs=1e-6)


def test_anchors_grow_with_the_boxes_and_the_order_of_equal_arguments_repeats():
    sizes = random_sizes(200)
    anchors = find_anchors(sizes, 5)
    assert torch.equal(anchors, find_anchors(sizes, 5))
    torch.testing.assert_close(find_anchors(sizes * 4, 5), anchors * 4)
    areas = anchors.prod(1)
    assert torch.equal(areas, areas.sort().values)


def test_a_draw_of_very_many_boxes_suits_all_of_them():
    sizes = random_sizes(60_000)
    few, every = sizes[:20_000], sizes
    assert mean_best_iou(sizes, find_anchors(every, 5)) == pytest.approx(
        mean_best_iou(sizes, find_anchors(few, 5)), abs=0.005
    )


def test_fewer_distinct_sizes_than_anchors_repeat_the_largest():
    sizes = torch.tensor([[8.0, 8.0], [30.0, 10.0], [8.0, 8.0], [0.0, 5.0]])
    expected = torch.tensor([[8.0, 8.0], [30.0, 10.0], [30.0, 10.0], [30.0, 10.0]])
    assert torch.equal(find_anchors(sizes, 4), expected)


@pytest.mark.parametrize("sizes", [torch.empty(0, 2), torch.tensor([[0.0, 4.0]])])
def test_no_box_with_an_area_is_told(sizes):
    with pytest.raises(InputError, match="no box has an area"):
        find_anchors(sizes, 3)
