"""The recipe: every setting of a training run, checked, in named sections.

A recipe is a TOML file. Whatever it leaves out has the default written here, so this page is also the
reference of all settings. ``--set section.key=value`` changes one of them from the command line.
"""

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

import tomli_w
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from striate.errors import InputError
from striate.text_files import read_text

SHOW_ALL = "`striate train --print-config` shows all settings"

Fraction = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Size = Annotated[  # height, width; one number means a square
    tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]],
    BeforeValidator(lambda value: (value, value) if isinstance(value, int) else value),
]


class Section(BaseModel):
    """Unknown keys are errors, values do not change after the check, and infinity is not a setting."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelSettings(Section):
    """Which network."""

    name: str = "compact_cnn"  # or yolo_light, for detection
    arguments: dict[str, Any] = {}  # passed to the builder beside num_classes and in_channels
    pretrained: bool = False  # start from the published weights
    weights: str = ""  # start from these: a run folder, or a file of weights

    @model_validator(mode="after")
    def _check_start(self) -> Self:
        if self.pretrained and self.weights:
            raise ValueError("weights are either published (pretrained) or given (weights)")
        return self


class TreeSettings(Section):
    """Classes in a hierarchy (WordTree), for classification and YOLO; without a file there is none."""

    file: str = ""  # a line for each node: its name and its parent's; becomes ``nodes`` when a run begins
    nodes: tuple[tuple[str, str], ...] = ()  # name and parent of each node; a root's parent is ""
    threshold: BelowOne = 0.5  # a prediction stops above nodes that are not more probable

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if self.file and self.nodes:
            raise ValueError("the tree is either in a file or here (nodes)")
        return self


class DataSettings(Section):
    """Which pictures, how they are split, and how they are read."""

    source: str = ""  # folder, archive or catalogue name
    format: str = ""  # how they are to be read, such as coco; empty: as the files tell
    fractions: tuple[Fraction, Fraction, Fraction] = (
        0.75,
        0.15,
        0.10,
    )  # train, val, test where none are given
    val_fraction: Fraction = 0.1  # of train, where a set has train and test only; 0: no validation
    seed: Annotated[int, Field(ge=0, lt=2**32)] = (
        0  # of the split; not the run's, so that runs share a test set
    )
    workers: Annotated[int, Field(ge=0)] = 0  # processes that decode
    memory_mb: NonNegative = 2048  # a split below this is decoded once and kept in memory
    cache_mb: NonNegative = 16_384  # on disk, for pictures that do not fit in memory; 0: decode each time
    worker_timeout: Positive = 25.0  # seconds after which a worker that gives nothing has hung
    classes: tuple[str, ...] = ()  # only these; none named: all
    per_class: Annotated[int, Field(ge=1)] | None = None  # at most so many training pictures of each class
    sampling: Literal["each", "balanced"] = "each"  # balanced: each class equally often in an epoch


class InputSettings(Section):
    """How a picture becomes network input; part of the model for ever after."""

    size: Size | None = None  # None: what the network was drawn for
    fit: Literal["crop", "stretch", "letterbox"] = "crop"  # detection: letterbox, which loses nothing
    margin: Annotated[int, Field(ge=0)] = 0  # pixels of black border inside the size (LeNet-5: 28 in 32)
    mean: tuple[float, ...] | None = None  # per channel, of pixels in 0..1; None: measured on train
    std: tuple[Positive, ...] | None = None
    white: Positive | None = None  # of more than 8 bits: the value that becomes 255; None: the largest


class AugmentSettings(Section):
    """Random changes to training pictures; a small shift by default, because it suits all pictures."""

    shift: Fraction = 0.07  # largest shift, as a fraction of width and height
    crop: tuple[Positive, Positive] | None = None  # area of a random crop, as fractions of the picture
    flip: bool = False  # left-right, every other picture
    vertical_flip: bool = False
    rotate: NonNegative = 0.0  # largest angle, degrees
    rescale: NonNegative = 0.0  # zoom between 1 / (1 + s) and 1 + s
    shear: Annotated[float, Field(ge=0, lt=90)] = 0.0  # largest angle, degrees
    brightness: Fraction = 0.0  # factor between 1 - b and 1 + b
    contrast: Fraction = 0.0
    lighting: NonNegative = 0.0  # standard deviation of the PCA colour noise
    fill: Literal["zero", "reflect", "edge"] = "zero"  # what enters at the border
    erase: Fraction = 0.0  # probability that a rectangle is blotted out
    mixup: NonNegative = 0.0  # strength (alpha) of blending a picture with another, labels too
    cutmix: NonNegative = 0.0  # strength (alpha) of pasting a part of another picture, labels too
    box_crop: bool = False  # detection: crops that keep a random part of some box (SSD's)
    expand: Annotated[float, Field(ge=1)] = (
        1.0  # detection: the picture on a background so many times as wide
    )
    mosaic: Fraction = 0.0  # detection: probability that four pictures are put together
    sizes: tuple[Size, ...] = ()  # detection: network inputs of these sizes in turn, by chance

    @model_validator(mode="after")
    def _check_crop(self) -> Self:
        if self.crop and not self.crop[0] <= self.crop[1] <= 1:
            raise ValueError("crop must be two fractions, the smaller first, neither above 1")
        return self


class LossSettings(Section):
    """Cross-entropy and its corrections, what capsule networks are trained with, and the box's share."""

    kind: Literal["cross_entropy", "margin"] = "cross_entropy"
    label_smoothing: Fraction = 0.0  # cross_entropy
    class_weights: Literal["none", "balanced"] | tuple[NonNegative, ...] = "none"
    box: Literal["mse", "iou", "giou", "diou", "ciou"] = "giou"  # localization: beside mse, all but mse
    box_weight: Positive = 2.0  # localization: against the cross-entropy
    objectness: bool = False  # localization: pictures may show no object, and it learns to tell

    @model_validator(mode="after")
    def _check_smoothing(self) -> Self:
        if self.kind == "margin" and self.label_smoothing:
            raise ValueError("the margin loss has no label_smoothing: its margins are what keeps it modest")
        return self


class OptimizerSettings(Section):
    """How a gradient becomes a step."""

    name: Literal["sgd", "adam", "adamw", "nadam", "rmsprop"] = "adamw"
    lr: Positive = 2e-3  # the peak of the schedule
    momentum: Fraction = 0.9  # sgd, rmsprop
    nesterov: bool = True  # sgd
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)  # adam, adamw, nadam
    smoothing: BelowOne = 0.99  # rmsprop
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.01
    l1: NonNegative = 0.0  # beside weight_decay: l1 * sign(weight) is added to the gradient
    decay_all: bool = False  # both also of normalization weights and biases


class ScheduleSettings(Section):
    """The learning rate over the run, as a factor of ``optimizer.lr``."""

    name: Literal["constant", "step", "exponential", "cosine", "one_cycle"] = "cosine"
    warmup_epochs: NonNegative = 1.0  # linear, from zero
    step_epochs: Positive = 10.0  # step: epochs between drops; exponential: epochs per factor
    factor: Annotated[float, Field(gt=0, le=1)] = 0.1  # step, exponential
    peak: Fraction = 0.25  # one_cycle: where in the run the peak lies
    final: Fraction = 0.0  # cosine, one_cycle: the factor at the end
    momentum: tuple[BelowOne, BelowOne] | None = None  # one_cycle: at the peak, and at both ends

    @model_validator(mode="after")
    def _check_momentum(self) -> Self:
        if self.momentum and self.name != "one_cycle":
            raise ValueError("momentum moves in one_cycle only")
        if self.momentum and not 0 < self.momentum[0] <= self.momentum[1]:
            raise ValueError("momentum must be that at the peak and that at both ends, which is no less")
        return self


class PhaseSettings(Section):
    """A stretch of training: what is held still, and how fast the rest moves."""

    epochs: Annotated[int, Field(ge=1)]
    freeze: str = "none"  # "backbone", or the last stage that is held still, or "none"
    lr: Positive | None = None  # the peak of its schedule; None: optimizer.lr
    stage_decay: Annotated[float, Field(gt=0, le=1)] = 1.0  # factor of lr per stage away from the head
    augment: bool = True  # without it the features of a frozen backbone are computed once


class TrainSettings(Section):
    """The loop."""

    epochs: Annotated[int, Field(ge=1)] = 20
    phases: tuple[PhaseSettings, ...] = ()  # none: chosen by where the weights come from
    freeze: str | None = None  # one phase with this held still; None: as ``phases`` say
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = 64  # auto: the largest that memory holds
    accumulate: Annotated[int, Field(ge=1)] = 1  # micro-batches of batch_size / accumulate per step
    clip_value: Positive | None = None
    clip_norm: Positive | None = None
    ema_decay: BelowOne | None = None
    patience: Annotated[int, Field(ge=1)] | None = None  # epochs without a better validation result
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: str = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    deterministic: bool = True  # also on accelerators, where it costs speed
    checkpoint_minutes: NonNegative = 5.0  # beside the one at each epoch's end
    strict: bool = False  # a bad picture stops the run
    tensorboard: bool = False
    sync_batch_norm: bool = False  # processes share the statistics of a batch
    shard: bool = False  # processes share out the parameters, for networks that do not fit in one

    @model_validator(mode="before")
    @classmethod
    def _sum_epochs(cls, values: Any) -> Any:
        """Phases say how many epochs there are; another number beside them is a mistake."""
        phases = values.get("phases") if isinstance(values, dict) else None
        if not phases:
            return values
        if values.get("freeze") is not None:
            raise ValueError("freeze and phases exclude one another: each phase has its own freeze")
        if all(isinstance(phase, dict) and isinstance(phase.get("epochs"), int) for phase in phases):
            total = sum(phase["epochs"] for phase in phases)
            if values.get("epochs", total) != total:
                raise ValueError(f"the phases have {total} epochs together, epochs is {values['epochs']}")
            return {**values, "epochs": total}
        return values


class EvaluateSettings(Section):
    """How a picture is judged."""

    batch_size: Annotated[int, Field(ge=1)] = 256
    mirror: bool = False  # average a picture's prediction with its mirror image's
    score: Fraction = 0.01  # detection: boxes below are left aside
    iou: Fraction = 0.5  # detection: of two boxes of a class that overlap by more, the surer one stays
    most: Annotated[int, Field(ge=1)] = 100  # detection: boxes of a picture, the surest
    across_classes: bool = False  # detection: boxes of different classes suppress each other too


class Recipe(Section):
    """All settings of one training run."""

    task: Literal["classification", "localization", "detection"] | None = None  # None: what the data are for
    model: ModelSettings = ModelSettings()
    tree: TreeSettings = TreeSettings()
    data: DataSettings = DataSettings()
    input: InputSettings = InputSettings()
    augment: AugmentSettings = AugmentSettings()
    loss: LossSettings = LossSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()

    @model_validator(mode="after")
    def _check_balance(self) -> Self:
        if self.data.sampling == "balanced" and self.loss.class_weights != "none":
            raise ValueError("data.sampling and loss.class_weights mend the same thing: choose one of them")
        return self

    @model_validator(mode="after")
    def _check_momentum(self) -> Self:
        if (
            self.schedule.momentum
            and self.optimizer.name in ("sgd", "rmsprop")
            and not self.optimizer.momentum
        ):
            raise ValueError("schedule.momentum moves what optimizer.momentum = 0 switches off")
        return self

    def to_toml(self) -> str:
        """This recipe as TOML; a key that is None is left out, because TOML has no null."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def load_recipe(source: "Path | Recipe | None" = None, overrides: dict[str, Any] | None = None) -> Recipe:
    """A recipe from a TOML file or another recipe, with ``overrides`` by dotted name applied on top.

    Raises:
        InputError: no such file, not TOML, an unknown key, or a value out of its range.
    """
    # What was left unset stays so: what a run starts from may have another wish for it.
    given = source.model_dump(mode="json", exclude_unset=True) if isinstance(source, Recipe) else None
    values = _read_toml(source) if given is None else given  # type: ignore[arg-type]
    for key, value in (overrides or {}).items():
        *sections, name = key.split(".")
        target = values
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise InputError(f"{section} is a value, not a section", f"setting {key}", SHOW_ALL)
        target[name] = value
    return check_recipe(values, where=str(source) if isinstance(source, Path) else "the settings given")


def check_recipe(values: dict[str, Any], where: str) -> Recipe:
    """``values`` as a recipe.

    Raises:
        InputError: naming the first setting that is unknown or out of range.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        faults = error.errors()
        for unknown in (fault["loc"] for fault in faults if fault["type"] == "extra_forbidden"):
            raise _unknown_setting(unknown, where) from None  # its name may be meant for one that is missing
        fault = faults[0]
        setting = ".".join(str(part) for part in fault["loc"] if _is_setting(part))  # not which of a union
        wish = fault["msg"].removeprefix("Value error, ")
        got = "" if isinstance(fault["input"], dict) else f", got {fault['input']!r}"  # not a whole section
        raise InputError(f"{setting}: {wish}{got}".removeprefix(": "), where, SHOW_ALL) from None


def parse_override(text: str) -> tuple[str, Any]:
    """``"train.epochs=3"`` as ``("train.epochs", 3)``: the value is TOML, or else a plain word.

    Raises:
        InputError: there is no ``=``, or no section before the key.
    """
    key, equals, value = text.partition("=")
    if not equals or "." not in key:
        raise InputError(f"cannot read the setting {text!r}", "--set", "write it as section.key=value")
    key, value = key.strip(), value.strip()
    if value == "none":
        return key, None
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value


def _read_toml(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(read_text(path))
    except FileNotFoundError:
        raise InputError("there is no such recipe", path, "check the path, or leave --config out") from None
    except OSError as error:
        raise InputError(f"cannot read the recipe: {error.strerror}", path, "name a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"the recipe is not TOML: {error}", path, SHOW_ALL) from None


def _is_setting(part: int | str) -> bool:
    return isinstance(part, int) or not {"[", "-"} & set(part)


def _unknown_setting(location: tuple[int | str, ...], where: str) -> InputError:
    known = list(_section_at(location[:-1]).model_fields)
    close = get_close_matches(str(location[-1]), known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    setting = ".".join(map(str, location))
    return InputError(f"unknown setting {setting}", where, f"{hint}one of: {', '.join(known)}")


def _section_at(location: tuple[int | str, ...]) -> type[Section]:
    section: type[Section] = Recipe
    for name in location:
        if isinstance(name, str):  # a number says which of several sections
            annotation: Any = section.model_fields[name].annotation
            section = get_args(annotation)[0] if get_origin(annotation) is tuple else annotation
    return section
