"""From picture to network input: against Pillow, and by the place that each pixel states by its value."""

import itertools
import types
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from faulty_pictures import smooth_pixels
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import declare_torchvision_operators
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor

from striate.data.preprocessing import Preprocessing
from striate.errors import InputError

FITS = ("crop", "stretch", "letterbox")
SHAPES = {"landscape": (40, 90), "portrait": (90, 40), "square": (60, 60), "exact": (32, 48), "tiny": (3, 5)}
every_fit = pytest.mark.parametrize("fit", FITS)
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def preprocessing(
    size: tuple[int, int] = (32, 48),
    fit: str = "crop",
    margin: int = 0,
    mean: tuple[float, ...] = (0.5, 0.4, 0.3),
    std: tuple[float, ...] = (0.2, 0.25, 0.3),
) -> Preprocessing:
    return Preprocessing(size, len(mean), fit, margin, mean, std)


def grey(size: tuple[int, int] = (32, 48), fit: str = "crop", margin: int = 0) -> Preprocessing:
    return preprocessing(size, fit, margin, (0.5,), (0.2,))


def picture(height: int, width: int) -> Tensor:
    """Smooth RGB pixels uint8 (3, height, width)."""
    return torch.from_numpy(smooth_pixels(height, width)).permute(2, 0, 1).contiguous()


@every_fit
@every_shape
@pytest.mark.parametrize("size", [(32, 48), (48, 32), (31, 17), (8, 8)])
@pytest.mark.parametrize("margin", [0, 3])
def test_the_result_has_the_size_of_the_input(
    fit: str, shape: tuple[int, int], size: tuple[int, int], margin: int
) -> None:
    placed, frame = preprocessing(size, fit, margin).place(picture(*shape))
    assert placed.shape == (3, *size)
    assert placed.dtype == torch.uint8
    assert (frame.height, frame.width) == shape


def pillow(image: Tensor, height: int, width: int) -> Tensor:
    """Resized by Pillow, antialiased bilinear; int (3, height, width)."""
    source = Image.fromarray(image.permute(1, 2, 0).numpy())
    resized = np.array(source.resize((width, height), Image.Resampling.BILINEAR))
    return torch.from_numpy(resized).permute(2, 0, 1).int()


def assert_equals_pillow(placed: Tensor, expected: Tensor) -> None:
    """Equal but for rounding: both are within one grey level of the exact value."""
    difference = (placed.int() - expected).abs()
    assert difference.max() <= 2
    assert (difference > 1).double().mean() < 0.001


@every_shape
def test_crop_is_pillows_resize_of_the_shorter_side_and_its_middle(shape: tuple[int, int]) -> None:
    image = picture(*shape)
    placed, _ = preprocessing((32, 48)).place(image)
    scale = max(32 / shape[0], 48 / shape[1])
    height, width = round(shape[0] * scale), round(shape[1] * scale)
    assert (height == 32 and width >= 48) or (width == 48 and height >= 32)
    top, left = (height - 32 + 1) // 2, (width - 48 + 1) // 2
    expected = pillow(image, height, width)[:, top : top + 32, left : left + 48]
    assert_equals_pillow(placed, expected)


@every_shape
def test_stretch_is_pillows_resize(shape: tuple[int, int]) -> None:
    image = picture(*shape)
    placed, frame = preprocessing((32, 48), "stretch").place(image)
    assert_equals_pillow(placed, pillow(image, 32, 48))
    assert (frame.scale_y, frame.scale_x) == (32 / shape[0], 48 / shape[1])
    assert (frame.offset_y, frame.offset_x) == (0, 0)


@every_shape
def test_letterbox_is_pillows_resize_of_the_longer_side_on_black(shape: tuple[int, int]) -> None:
    image = picture(*shape)
    placed, _ = preprocessing((32, 48), "letterbox").place(image)
    scale = min(32 / shape[0], 48 / shape[1])
    height, width = round(shape[0] * scale), round(shape[1] * scale)
    assert (height == 32 and width <= 48) or (width == 48 and height <= 32)
    top, left = (32 - height) // 2, (48 - width) // 2
    expected = torch.zeros(3, 32, 48, dtype=torch.int32)
    expected[:, top : top + height, left : left + width] = pillow(image, height, width)
    assert_equals_pillow(placed, expected)


@every_fit
@every_shape
@pytest.mark.parametrize("margin", [0, 5])
def test_every_pixel_lies_where_the_frame_says(fit: str, shape: tuple[int, int], margin: int) -> None:
    # The grey value of a ramp tells the place it came from; resampling keeps a ramp, but for its ends.
    height, width = shape
    size = (32, 48)
    for axis, length in enumerate(shape):
        step = 250 // (length - 1)
        ramp = (torch.arange(length) * step).byte()
        image = (ramp[:, None] if axis == 0 else ramp[None, :]).expand(1, height, width)
        placed, frame = grey(size, fit, margin).place(image)
        scale = (frame.scale_y, frame.scale_x)[axis]
        offset = (frame.offset_y, frame.offset_x)[axis]
        line = placed[0, :, size[1] // 2] if axis == 0 else placed[0, size[0] // 2, :]
        centres = torch.arange(size[axis]) + 0.5
        places = (centres - offset) / scale - 0.5  # in the picture's own pixels, 0 for the first one's centre
        reach = 0 if scale >= 1 else 1 / scale  # how far a pixel of the input looks around
        inside = (places >= reach) & (places <= length - 1 - reach)
        inside &= (centres > margin) & (centres < size[axis] - margin)
        assert inside.any()
        assert (line[inside] - step * places[inside]).abs().max() <= 1


@every_fit
def test_corners_of_the_picture_land_where_the_frame_says(fit: str) -> None:
    # A white corner block of an even magnification, and black around it.
    image = torch.zeros(1, 8, 12, dtype=torch.uint8)
    image[0, 0, 0], image[0, 7, 11], image[0, 4, 6] = 255, 200, 150
    placed, frame = grey((32, 48), fit, margin=4).place(image)
    for (y, x), value in {(0, 0): 255, (7, 11): 200, (4, 6): 150}.items():
        centre_y = (y + 0.5) * frame.scale_y + frame.offset_y
        centre_x = (x + 0.5) * frame.scale_x + frame.offset_x
        if 4 < centre_y < 28 and 4 < centre_x < 44:
            around = placed[
                0, int(centre_y - 0.5) : int(centre_y + 1), int(centre_x - 0.5) : int(centre_x + 1)
            ]
            assert around.max() >= 0.6 * value
        else:
            assert fit == "crop"


@every_fit
@given(
    shape=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    size=st.tuples(st.integers(5, 40), st.integers(5, 40)),
    margin=st.integers(0, 2),
)
@settings(max_examples=60, deadline=None)
def test_frames_keep_the_aspect_and_the_picture_in_the_middle(
    fit: str, shape: tuple[int, int], size: tuple[int, int], margin: int
) -> None:
    frame = grey(size, fit, margin).frame(*shape)
    spans = []
    scales, offsets = (frame.scale_y, frame.scale_x), (frame.offset_y, frame.offset_x)
    for length, inner, scale, offset in zip(shape, size, scales, offsets, strict=True):
        before = offset - margin
        after = inner - margin - (offset + length * scale)
        spans.append(length * scale)
        assert abs(before - after) <= 1 + 1e-6  # in the middle, the odd pixel after it
        if fit == "crop":
            assert before <= 0
            assert after <= 1e-6
        else:
            assert before >= 0
            assert after >= -1e-6
    if fit != "stretch":
        # Both sides are scaled alike, up to rounding to whole pixels, of which there is at least one.
        exact = (max if fit == "crop" else min)(
            (inner - 2 * margin) / length for inner, length in zip(size, shape, strict=True)
        )
        for span, length in zip(spans, shape, strict=True):
            assert abs(span - max(1, length * exact)) <= 0.5 + 1e-6
    placed, same = grey(size, fit, margin).place(torch.full((1, *shape), 77, dtype=torch.uint8))
    assert same == frame
    covered = min(size[0], round(spans[0])) * min(size[1], round(spans[1]))
    if fit == "crop":
        covered = (size[0] - 2 * margin) * (size[1] - 2 * margin)
    assert (placed == 77).sum() == covered
    assert (placed == 0).sum() == size[0] * size[1] - covered


def test_lenets_margin_is_zeros_around_the_untouched_digit() -> None:
    digit = torch.randint(0, 256, (1, 28, 28), generator=torch.Generator().manual_seed(0)).byte()
    for fit in FITS:
        placed, frame = grey((32, 32), fit, margin=2).place(digit)
        assert torch.equal(placed, torch.nn.functional.pad(digit, (2, 2, 2, 2)))
        assert (frame.scale_y, frame.scale_x, frame.offset_y, frame.offset_x) == (1, 1, 2, 2)


@every_fit
def test_a_picture_of_the_right_size_is_not_touched(fit: str) -> None:
    image = picture(32, 48)
    placed, frame = preprocessing((32, 48), fit).place(image)
    assert torch.equal(placed, image)
    assert (frame.scale_y, frame.scale_x, frame.offset_y, frame.offset_x) == (1, 1, 0, 0)


@every_fit
def test_many_pictures_at_once_are_each_by_itself(fit: str) -> None:
    images = torch.stack([picture(20, 30), picture(20, 30).flip(1), picture(20, 30).flip(2)])
    together, frame = preprocessing((32, 48), fit, 2).place(images)
    for image, placed in zip(images, together, strict=True):
        alone, same = preprocessing((32, 48), fit, 2).place(image)
        assert torch.equal(alone, placed)
        assert same == frame


@every_fit
@pytest.mark.parametrize("shape", [(20, 30), (32, 48)])
def test_the_picture_given_is_not_changed(fit: str, shape: tuple[int, int]) -> None:
    image = picture(*shape)
    before = image.clone()
    preprocessing((32, 48), fit, 2).place(image)
    assert torch.equal(image, before)


@every_fit
@pytest.mark.parametrize("shape", [(1, 400), (400, 1), (2, 999), (3000, 7), (1, 1)])
def test_extreme_shapes_work(fit: str, shape: tuple[int, int]) -> None:
    placed, frame = preprocessing((32, 48), fit).place(torch.full((3, *shape), 200, dtype=torch.uint8))
    assert placed.shape == (3, 32, 48)
    assert (placed == 200).any()
    if fit != "letterbox":
        assert (placed == 200).all()
    assert frame.scale_y > 0
    assert frame.scale_x > 0


@pytest.mark.parametrize("shape", [(2, 60_000), (60_000, 2)])
def test_a_crop_that_would_first_take_gigabytes_is_refused(shape: tuple[int, int]) -> None:
    image = torch.zeros(3, *shape, dtype=torch.uint8)
    with pytest.raises(InputError, match="long and thin") as caught:
        preprocessing((224, 224)).place(image)
    assert "letterbox" in caught.value.what_to_do
    for fit in ("stretch", "letterbox"):
        assert preprocessing((224, 224), fit).place(image)[0].shape == (3, 224, 224)


@pytest.mark.parametrize(("channels", "expected", "advice"), [(1, 3, "RGB"), (3, 1, "grey"), (4, 3, "RGB")])
def test_another_number_of_channels_is_an_input_error(channels: int, expected: int, advice: str) -> None:
    image = torch.zeros(channels, 8, 8, dtype=torch.uint8)
    chosen = preprocessing() if expected == 3 else grey()
    with pytest.raises(InputError, match=f"{channels} channels, the model expects {expected}") as caught:
        chosen.place(image)
    assert advice in caught.value.what_to_do


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalize_is_the_formula(dtype: torch.dtype) -> None:
    images = torch.randint(0, 256, (2, 3, 5, 7), generator=torch.Generator().manual_seed(0)).to(dtype)
    mean, std = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.25, 0.3])
    expected = (images.numpy().astype(np.float64) / 255 - mean[:, None, None]) / std[:, None, None]
    found = preprocessing().normalize(images)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=2e-6)


def test_normalized_pictures_have_mean_zero_and_deviation_one() -> None:
    images = picture(64, 64)[None]
    values = images.double() / 255
    mean = tuple(values.mean((0, 2, 3)).tolist())
    std = tuple(values.std((0, 2, 3), correction=0).tolist())
    found = preprocessing(mean=mean, std=std).normalize(images).double()
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std((0, 2, 3), correction=0), torch.ones(3).double(), atol=1e-5, rtol=0)


def test_normalize_keeps_the_pictures_it_was_given_and_the_memory_format() -> None:
    for fmt, fractional in itertools.product((torch.contiguous_format, torch.channels_last), (False, True)):
        images = torch.randint(0, 256, (2, 3, 5, 7), generator=torch.Generator().manual_seed(0)).byte()
        images = (images.float() if fractional else images).contiguous(memory_format=fmt)
        before = images.clone()
        assert preprocessing().normalize(images).is_contiguous(memory_format=fmt)
        assert torch.equal(images, before)


@pytest.fixture(scope="module")
def torchvision_transforms() -> types.ModuleType:
    declare_torchvision_operators()
    from torchvision.transforms import v2  # type: ignore[import-untyped]

    return v2


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("size", "resize"), [(224, 256), (299, 342), (224, 224), (257, 288)])
def test_resize_then_crop_is_torchvisions(
    torchvision_transforms: Any, size: int, resize: int, interpolation: str, turned: bool
) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    theirs = torchvision_transforms.Compose(
        [
            torchvision_transforms.Resize(
                resize, interpolation=getattr(Image.Resampling, interpolation.upper())
            ),
            torchvision_transforms.CenterCrop(size),
        ]
    )
    ours = Preprocessing((size, size), 3, "crop", 0, mean, std, resize, interpolation)
    for photograph in load_sample_images().images:
        pixels = np.array(photograph.swapaxes(0, 1) if turned else photograph)
        expected = torch.from_numpy(np.array(theirs(Image.fromarray(pixels)))).permute(2, 0, 1)
        placed, _ = ours.place(torch.from_numpy(pixels).permute(2, 0, 1))
        difference = (placed.int() - expected.int()).abs()
        assert difference.max() <= 1
        assert (difference > 0).double().mean() < 0.03
        normalize = torchvision_transforms.Normalize(mean, std)
        torch.testing.assert_close(
            ours.normalize(placed[None])[0], normalize(placed / 255), rtol=0, atol=1e-5
        )


@given(
    shape=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    resize=st.integers(8, 60),
    margin=st.integers(0, 7),
)
@settings(max_examples=100, deadline=None)
def test_resize_then_crop_cuts_out_the_very_pixels_that_torchvision_does(
    torchvision_transforms: Any, shape: tuple[int, int], resize: int, margin: int
) -> None:
    functional, size = torchvision_transforms.functional, resize - margin
    scaled = functional.resize(torch.zeros(1, *shape, dtype=torch.uint8), resize, antialias=True)
    height, width = scaled.shape[1:]
    first = functional.center_crop(torch.arange(height * width).view(1, height, width), size)[0, 0, 0]
    ours = Preprocessing((size, size), 1, "crop", 0, (0.5,), (0.2,), resize)
    placed, frame = ours.place(torch.full((1, *shape), 255, dtype=torch.uint8))
    assert (placed == 255).all()
    assert (round(frame.scale_y * shape[0]), round(frame.scale_x * shape[1])) == (height, width)
    assert (-frame.offset_y, -frame.offset_x) == divmod(int(first), width)


@every_shape
def test_bicubic_is_pillows(shape: tuple[int, int]) -> None:
    image = picture(*shape)
    placed, _ = Preprocessing(
        (32, 48), 3, "stretch", 0, (0.5,) * 3, (0.2,) * 3, interpolation="bicubic"
    ).place(image)
    source = Image.fromarray(image.permute(1, 2, 0).numpy())
    expected = np.array(source.resize((48, 32), Image.Resampling.BICUBIC))
    assert_equals_pillow(placed, torch.from_numpy(expected).permute(2, 0, 1).int())


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
def test_only_crop_looks_at_resize(fit: str) -> None:
    image = picture(40, 90)
    plain = preprocessing((32, 48), fit)
    placed, frame = replace(plain, resize=64).place(image)
    assert torch.equal(placed, plain.place(image)[0])
    assert frame == plain.frame(40, 90)
