"""Predictions of a part of each picture: boxes are told in pixels of the whole one."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from small_videos import write_frames
from torch import Tensor, nn

from striate.data.images import save_image
from striate.data.preprocessing import Preprocessing
from striate.models.catalog import create_model
from striate.predictor import Predictor
from striate.samples import Detections, Localization, Objects
from striate.tasks.detection.catalog import create_detector
from striate.tasks.detection.rules import Choice, DetectionRules
from striate.tasks.detection.task import DetectionTask
from striate.tasks.localization.task import LocalizationTask
from striate.tasks.task import Task
from striate.video import predict_video
from striate.video_reading import open_footage

SIDE = 64
CLASSES = ("a", "b", "c")


def predictor_of(model: nn.Module, task: Task, fit: str = "letterbox") -> Predictor:
    look = Preprocessing((SIDE, SIDE), 3, fit, 0, (0.0,) * 3, (1.0,) * 3)
    return Predictor(model.eval(), task, look, torch.device("cpu"), CLASSES, score=0.0)


def detector() -> Predictor:
    torch.manual_seed(0)
    model, rules = create_detector("yolo_light", 3, 3, backbone="compact_cnn", arguments={"width": 0.25})
    return predictor_of(model, DetectionTask(CLASSES, rules, (SIDE, SIDE), Choice(0.0, 0.5, 10)))


def localizer() -> Predictor:
    torch.manual_seed(0)
    task = LocalizationTask(CLASSES, (SIDE, SIDE))
    backbone = create_model("compact_cnn", num_classes=3, in_channels=3, width=0.25)
    return predictor_of(task.build(backbone, CLASSES), task, fit="stretch")


class Bright(nn.Module):
    """What it is shown."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"images": images}


class BrightRules(DetectionRules):
    """The one object is all that is brighter than a half."""

    def loss(self, outputs: dict[str, Tensor], objects: Objects) -> dict[str, Tensor]:
        raise NotImplementedError

    def decode(self, outputs: dict[str, Tensor], choice: Choice) -> list[Detections]:
        found = []
        for image in outputs["images"]:
            rows, columns = (image.mean(0) > 0.5).nonzero(as_tuple=True)
            corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else []
            boxes = torch.tensor(corners).reshape(-1, 4).float()
            found.append(Detections(boxes, torch.ones(len(boxes)), torch.zeros(len(boxes)).long()))
        return found


def by_rule() -> Predictor:
    return predictor_of(Bright(), DetectionTask(CLASSES, BrightRules(), (SIDE, SIDE), Choice()))


def picture(height: int = 90, width: int = 150) -> Tensor:
    return torch.randint(0, 256, (3, height, width), generator=torch.Generator().manual_seed(1)).byte()


def boxes_of(prediction: Detections | Localization) -> Tensor:
    return prediction.boxes_xyxy if isinstance(prediction, Detections) else prediction.box_xyxy[None]


def surely(prediction: Detections | Localization) -> Tensor:
    return prediction.scores if isinstance(prediction, Detections) else prediction.probs


@pytest.mark.parametrize("make", [detector, localizer])
def test_the_crop_of_a_whole_picture_is_no_crop(make: Any) -> None:
    plain, image = make(), picture()
    assert plain.predict(image)
    assert replace(plain, box_norm=(0.0, 0.0, 1.0, 1.0)).predict(image) == plain.predict(image)


@pytest.mark.parametrize("make", [detector, localizer])
def test_a_crop_is_what_is_cut_out_by_hand_with_boxes_moved_to_their_place(make: Any) -> None:
    plain, image = make(), picture()
    top, left, bottom, right = 17, 31, 83, 141
    cropped = replace(plain, box_norm=(top / 90, left / 150, bottom / 90, right / 150))
    (found,) = cropped.predictions([image])
    (wanted,) = plain.predictions([image[:, top:bottom, left:right]])
    assert len(boxes_of(wanted)) > 0
    assert torch.equal(boxes_of(found), boxes_of(wanted) + torch.tensor([left, top, left, top]))
    assert torch.equal(surely(found), surely(wanted))
    assert not torch.equal(surely(found), surely(next(plain.predictions([image]))))


def squares() -> Tensor:
    """Dark, with a bright box 20, 40, 30, 60 on the left and another one 150, 30, 180, 70 on the right."""
    image = torch.zeros(3, 100, 200, dtype=torch.uint8)
    image[:, 40:60, 20:30] = 255
    image[:, 30:70, 150:180] = 255
    return image


@pytest.mark.parametrize(
    ("box_norm", "box"),
    [
        (None, (20, 30, 180, 70)),  # both are one to it
        ((0.0, 0.0, 1.0, 0.5), (20, 40, 30, 60)),
        ((0.2, 0.5, 0.84, 1.0), (150, 30, 180, 70)),
        ((0.0, 0.5, 0.5, 0.8), (150, 30, 160, 50)),  # the part of it that is seen
        ((0.0, 0.2, 1.0, 0.7), None),  # between them
    ],
)
def test_an_object_in_the_crop_is_found_where_it_is_and_none_outside(box_norm: Any, box: Any) -> None:
    found = replace(by_rule(), box_norm=box_norm).predict(squares())
    assert [entry.box_xyxy for entry in found] == ([] if box is None else [pytest.approx(box, abs=2.0)])


def test_what_is_drawn_is_the_whole_picture_dark_where_it_was_not_looked_at() -> None:
    image = torch.full((3, 600, 900), 90, dtype=torch.uint8)
    cropped = replace(by_rule(), box_norm=(0.0, 0.5, 0.5, 1.0))
    drawn = cropped.draw(image, next(cropped.predictions([image])))
    assert drawn.size == (900, 600)
    assert [drawn.getpixel(place)[0] for place in ((450, 0), (899, 299))] == [90, 90]
    assert [drawn.getpixel(place)[0] for place in ((449, 0), (899, 300))] == [30, 30]
    assert (image == 90).all()


def test_files_and_videos_are_cropped_the_same_way(tmp_path: Any) -> None:
    cropped = replace(by_rule(), box_norm=(0.0, 0.5, 1.0, 1.0))
    frames = [squares(), squares().roll(10, 2)]
    save_image(frames[0], tmp_path / "squares.png")
    assert cropped.predict(tmp_path / "squares.png") == cropped.predict(frames[0])
    write_frames(tmp_path / "frames", torch.stack(frames))
    made = predict_video(cropped, open_footage(tmp_path / "frames", 3), tmp_path / "drawn", "r")
    record = json.loads(made.record.read_text())
    assert record["looked_at_xyxy"] == [100, 0, 200, 100]
    for shift, frame in zip((0, 10), record["frames"], strict=True):
        (entry,) = frame["objects"]
        assert entry["box_xyxy"] == pytest.approx([150 + shift, 30, 180 + shift, 70], abs=2)
