"""Mosaics: pixels against Pillow, boxes against pixels, and the laws of partners and keys."""

import numpy as np
import torch
from PIL import Image

from striate.data.mosaic import LEAST_SCALE, Mosaic, draw_mosaic, mosaic
from striate.data.scenes import make_scenes
from striate.samples import Objects

HEIGHT, WIDTH = 48, 64


def noise(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def no_objects(count: int) -> Objects:
    none = torch.zeros(count, dtype=torch.int64)
    return Objects.of(torch.empty(0, 4), torch.empty(0, dtype=torch.int64), none)


def test_each_quarter_is_what_pillow_samples_from_its_picture() -> None:
    images, keys = noise(5, 4, 1, HEIGHT, WIDTH), torch.arange(5)
    pixels, _ = mosaic(images, no_objects(20), 3, 1, keys)
    matrices, quarters = draw_mosaic(3, 1, keys, HEIGHT, WIDTH)
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (5, 1, HEIGHT, WIDTH)
    for n in range(5):
        for k in range(4):
            x1, y1, x2, y2 = (int(v) for v in quarters[n, k].tolist())
            picture = Image.fromarray(images[n, k, 0].numpy())
            rows = matrices[n, k].flatten().tolist()
            whole = picture.transform(
                (WIDTH, HEIGHT), Image.Transform.AFFINE, rows, Image.Resampling.BILINEAR
            )
            expected = np.asarray(whole, dtype=int)[y1:y2, x1:x2]
            assert np.abs(pixels[n, 0, y1:y2, x1:x2].numpy().astype(int) - expected).max() <= 1


def test_quarters_tile_the_mosaic_and_show_only_their_pictures() -> None:
    matrices, quarters = draw_mosaic(3, 1, torch.arange(300), HEIGHT, WIDTH)
    areas = (quarters[:, :, 2:] - quarters[:, :, :2]).prod(dim=2)
    assert (areas.sum(dim=1) == HEIGHT * WIDTH).all()
    assert (quarters == quarters.round()).all()
    begin = (matrices[..., :2] * quarters[:, :, None, :2]).sum(dim=3) + matrices[..., 2]
    end = (matrices[..., :2] * quarters[:, :, None, 2:]).sum(dim=3) + matrices[..., 2]
    assert (begin >= -1e-9).all()
    assert (end <= torch.tensor([WIDTH, HEIGHT]) + 1e-9).all()
    scale = 1 / matrices[..., 0, 0]
    assert torch.equal(matrices[..., 0, 0], matrices[..., 1, 1])  # not stretched
    assert (scale >= LEAST_SCALE - 1e-9).all()
    assert (scale <= 1 + 1e-9).all()
    assert scale.std() > 0.05
    centres = quarters[:, 0, 2:] / torch.tensor([WIDTH, HEIGHT])
    assert centres.min() < 0.3
    assert centres.max() > 0.7


def test_boxes_in_a_mosaic_follow_their_pixels_to_half_a_pixel() -> None:
    generator = torch.Generator().manual_seed(2)
    count = 60
    sides = torch.randint(10, 25, (4 * count, 2), generator=generator)
    corner = (torch.rand(4 * count, 2, generator=generator) * (torch.tensor([WIDTH, HEIGHT]) - sides)).long()
    boxes = torch.cat([corner, corner + sides], dim=1)
    images = torch.zeros(4 * count, 1, HEIGHT, WIDTH, dtype=torch.uint8)
    for image, (x1, y1, x2, y2) in zip(images, boxes.tolist(), strict=True):
        image[:, y1:y2, x1:x2] = 255
    ones = torch.ones(4 * count, dtype=torch.int64)
    objects = Objects.of(boxes, torch.arange(4 * count), ones)
    pixels, moved = mosaic(images.view(count, 4, 1, HEIGHT, WIDTH), objects, 5, 0, torch.arange(count))
    _, quarters = draw_mosaic(5, 0, torch.arange(count), HEIGHT, WIDTH)
    found = dict(zip(moved.labels.tolist(), moved.boxes_xyxy, strict=True))
    compared = 0
    for number in range(4 * count):
        n, k = divmod(number, 4)
        x1, y1, x2, y2 = (int(v) for v in quarters[n, k].tolist())
        rows, columns = (pixels[n, 0, y1:y2, x1:x2] >= 127.5).nonzero(as_tuple=True)
        if len(rows) and min(rows.max() - rows.min(), columns.max() - columns.min()) >= 2:  # not a sliver
            seen = [columns.min() + x1, rows.min() + y1, columns.max() + 1 + x1, rows.max() + 1 + y1]
            assert (found[number] - torch.tensor(seen)).abs().max() <= 0.501
            compared += 1
    assert compared > 2 * count
    assert moved.pictures.tolist() == [label // 4 for label in moved.labels.tolist()]
    assert moved.crowd.any()
    assert len(moved.labels) < 4 * count  # some are not seen


def test_a_mosaic_depends_on_its_key_alone() -> None:
    made = make_scenes(16, 64)
    images, keys = made.pixels.unflatten(0, (4, 4)), torch.tensor([7, 1, 9, 4])
    pixels, objects = mosaic(images, made.objects, 1, 2, keys)
    alone, its = mosaic(images[2, None], made.objects[8:12], 1, 2, keys[2, None])
    assert torch.equal(pixels[2], alone[0])
    assert torch.equal(objects[2].boxes_xyxy, its.boxes_xyxy)
    assert not torch.equal(pixels, mosaic(images, made.objects, 1, 3, keys)[0])


def test_chosen_pictures_become_mosaics_and_the_others_stay() -> None:
    made, partners = make_scenes(40, 64), make_scenes(120, 64, seed=1)
    keys = torch.arange(40)
    before = made.pixels.clone()
    pixels, objects = Mosaic(0.5, 3)(made.pixels, made.objects, partners.pixels, partners.objects, 1, keys)
    assert torch.equal(made.pixels, before)
    stayed = (pixels == before).flatten(1).all(dim=1)
    assert 8 < stayed.sum() < 32
    for n in range(40):
        if stayed[n]:
            assert torch.equal(objects[n].boxes_xyxy, made.objects[n].boxes_xyxy)
        else:
            four = torch.cat([made.pixels[n, None], partners.pixels[3 * n : 3 * n + 3]])
            theirs = Objects.join([made.objects[n], partners.objects[3 * n : 3 * n + 3]])
            expected, its = mosaic(four[None], theirs, 3, 1, keys[n, None])
            assert torch.equal(pixels[n], expected[0])
            assert torch.equal(objects[n].boxes_xyxy, its.boxes_xyxy)
            assert torch.equal(objects[n].labels, its.labels)


def test_no_mosaic_and_nothing_but_mosaics() -> None:
    made, partners = make_scenes(3, 64), make_scenes(9, 64, seed=1)
    parts = made.pixels, made.objects, partners.pixels, partners.objects, 1, torch.arange(3)
    assert torch.equal(Mosaic(0.0, 3)(*parts)[0], made.pixels)
    assert not Mosaic(0.0, 3).is_on
    changed = Mosaic(1.0, 3)(*parts)[0] != made.pixels
    assert changed.flatten(1).any(dim=1).all()


def test_all_partners_are_equally_likely() -> None:
    keys = torch.arange(50) * 3
    seen = torch.cat([Mosaic(1.0, 1).partners(epoch, keys) for epoch in range(200)])
    assert seen.shape == (10_000, 3)
    assert set(seen.flatten().tolist()) == set(keys.tolist())
    frequencies = seen.flatten().bincount()[::3].double()
    assert (frequencies - 600).abs().max() < 4.5 * 600**0.5
    assert not torch.equal(seen[:, 0], seen[:, 1])
