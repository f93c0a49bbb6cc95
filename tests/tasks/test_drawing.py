"""Drawn boxes: where they are, how they look, and where their labels go."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from striate.samples import Detections, Objects
from striate.tasks.drawing import (
    Area,
    Label,
    choose_place,
    colour_of,
    draw_boxes,
    ink_on,
    met,
    shorten,
    write_labels,
)

CLASSES = ["ant", "bee", "cicada"]
NOTHING = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
FONT = ImageFont.load_default(size=14)


def found(*boxes_xyxy: list[float], labels: list[int] | None = None) -> Detections:
    scores = torch.linspace(0.9, 0.5, len(boxes_xyxy))
    return Detections(torch.tensor(boxes_xyxy), scores, torch.tensor(labels or [0] * len(boxes_xyxy)))


def true(*boxes_xyxy: list[float], labels: list[int] | None = None) -> Objects:
    return Objects.of(torch.tensor(boxes_xyxy), torch.tensor(labels or [0] * len(boxes_xyxy)))


def grey(*shape: int) -> Tensor:
    return torch.full(shape, 100, dtype=torch.uint8)


# Boxes --------------------------------------------------------------------------------------------------


def test_a_solid_outline_lies_on_the_outermost_pixels_of_the_box() -> None:
    drawn = np.asarray(draw_boxes(grey(3, 512, 512), found([100, 200, 300, 260], labels=[1]), CLASSES))
    colour = np.array(colour_of(1))
    is_drawn = (drawn == colour).all(axis=-1)
    assert is_drawn[200, 100:300].all()
    assert is_drawn[259, 100:300].all()
    assert is_drawn[200:260, 100].all()
    assert is_drawn[200:260, 299].all()
    assert (drawn[202:258, 102:298] == 100).all()  # two pixels thick, nothing within
    assert (drawn[260:] == 100).all()
    assert (drawn[:, 300:] == 100).all()
    assert (drawn[:, :100] == 100).all()


def test_the_true_outline_is_black_and_white_in_turn_and_thinner() -> None:
    drawn = np.asarray(draw_boxes(grey(3, 512, 512), NOTHING, ["ant"], true([100, 200, 300, 260])))
    edge = drawn[259, 100:300]
    assert {tuple(pixel) for pixel in edge.tolist()} == {(0, 0, 0), (255, 255, 255)}
    changes = (np.diff(edge[:, 0].astype(int)) != 0).sum()
    assert changes >= 10
    assert (drawn[201:259, 101:299] == 100).all()


def test_small_pictures_are_magnified_by_a_whole_number_and_boxes_with_them() -> None:
    image = torch.arange(32 * 48, dtype=torch.int64).remainder(251).byte().view(1, 32, 48)
    drawn = draw_boxes(image, found([10, 20, 30, 28]), CLASSES)
    assert drawn.size == (48 * 11, 32 * 11)
    pixels = np.asarray(drawn)
    assert (pixels[220, 110:330] == colour_of(0)).all()
    np.testing.assert_array_equal(pixels[:100, :, 0], image[0].numpy().repeat(11, 0).repeat(11, 1)[:100])


def test_large_pictures_keep_their_size_and_get_thicker_lines_and_larger_text() -> None:
    small = np.asarray(draw_boxes(grey(3, 600, 600), found([200, 200, 400, 400]), CLASSES))
    large = np.asarray(draw_boxes(grey(3, 2400, 2400), found([800, 800, 1600, 1600]), CLASSES))
    assert large.shape == (2400, 2400, 3)
    assert (large != 100).any(axis=-1).sum() > 10 * (small != 100).any(axis=-1).sum()


def test_a_box_without_area_and_one_at_the_border_are_drawn() -> None:
    boxes = found([0, 0, 512, 512], [5, 5, 5, 5], [500, 500, 512, 512])
    assert draw_boxes(grey(3, 512, 512), boxes, CLASSES).size == (512, 512)


def test_a_picture_without_boxes_is_the_picture() -> None:
    image = torch.randint(0, 256, (3, 300, 600), generator=torch.Generator().manual_seed(0)).byte()
    drawn = np.asarray(draw_boxes(image, NOTHING, CLASSES))
    np.testing.assert_array_equal(drawn, image.permute(1, 2, 0).numpy())


def test_only_true_objects_that_were_not_found_as_what_they_are_have_a_label() -> None:
    objects = true([0, 0, 10, 10], [50, 50, 60, 60], [80, 80, 90, 90], labels=[0, 1, 2])
    boxes = found([0, 0, 10, 8], [50, 50, 60, 60], [80, 80, 90, 84], labels=[0, 2, 2])
    assert met(objects, boxes) == [True, False, False]
    assert met(objects, NOTHING) == [False] * 3


# Colours ------------------------------------------------------------------------------------------------


def test_the_colours_of_sixteen_classes_differ_clearly() -> None:
    colours = np.array([colour_of(label) for label in range(16)], dtype=float)
    assert min(np.linalg.norm(one - other) for one, other in combinations(colours, 2)) > 50


@pytest.mark.parametrize("label", range(40))
def test_text_is_readable_on_every_colour(label: int) -> None:
    """The contrast of W3C's guidelines, written anew: at least 4.5."""

    def luminance(colour: tuple[int, int, int]) -> float:
        c = np.array(colour) / 255
        return float(
            np.where(c <= 0.03928, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
        )

    dark, bright = sorted([luminance(colour_of(label)), luminance(ink_on(colour_of(label)))])
    assert (bright + 0.05) / (dark + 0.05) >= 4.5


# Labels -------------------------------------------------------------------------------------------------


def test_a_label_goes_over_its_box_or_under_it_where_there_is_no_room() -> None:
    sheet = (400, 300)
    assert choose_place(Area(50, 60, 150, 160), (70, 20), sheet, []) == Area(50, 40, 120, 60)
    assert choose_place(Area(50, 10, 150, 110), (70, 20), sheet, []) == Area(50, 110, 120, 130)
    taken = [Area(50, 40, 120, 60)]
    assert choose_place(Area(50, 60, 150, 160), (70, 20), sheet, taken) == Area(50, 160, 120, 180)


def test_a_box_as_large_as_the_sheet_has_its_label_within() -> None:
    assert choose_place(Area(0, 0, 400, 300), (70, 20), (400, 300), []) == Area(0, 0, 70, 20)


corner = st.integers(-50, 450)
areas = st.builds(
    lambda x, y, w, h: Area(x, y, x + w, y + h), corner, corner, st.integers(1, 400), st.integers(1, 400)
)


@settings(max_examples=200, deadline=None)
@given(st.lists(areas, max_size=12), st.integers(20, 200), st.integers(10, 60))
def test_labels_never_leave_the_sheet(boxes: list[Area], width: int, height: int) -> None:
    taken: list[Area] = []
    for box in boxes:
        place = choose_place(box, (width, height), (400, 300), taken)
        assert (place.right - place.left, place.bottom - place.top) == (width, height)
        assert place.left >= 0
        assert place.top >= 0
        assert place.right <= 400
        assert place.bottom <= 300
        taken.append(place)


def test_labels_of_eight_boxes_in_one_place_do_not_cover_each_other() -> None:
    sheet = Image.new("RGB", (640, 480))
    box = Area(200, 150, 420, 330)
    labels = [Label("ant 50%", box, (0, 0, 0), (255, 255, 255))] * 8
    taken = write_labels(ImageDraw.Draw(sheet), labels, FONT, sheet.size)
    assert all(one.overlap(other) == 0 for one, other in combinations(taken, 2))


def test_the_label_covers_its_text() -> None:
    sheet = Image.new("RGB", (300, 100), (9, 9, 9))
    label = Label("Égypte gjpq 87%", Area(50, 50, 90, 90), (255, 0, 0), (0, 0, 255))
    (area,) = write_labels(ImageDraw.Draw(sheet), [label], FONT, sheet.size)
    pixels = np.asarray(sheet).copy()
    assert (pixels[area.top : area.bottom, area.left : area.right, 0] > 200).any()
    pixels[area.top : area.bottom, area.left : area.right] = 9
    assert (pixels == 9).all()


def test_long_names_are_cut_to_the_sheet() -> None:
    text = shorten("Indian rhinoceros hornbill 99%", FONT, 90)
    assert text.endswith("…")
    assert FONT.getlength(text) <= 90 < FONT.getlength("Indian rhinoceros hornbill 99%")
    assert shorten("ant", FONT, 90) == "ant"
