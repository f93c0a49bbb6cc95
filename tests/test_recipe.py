"""The recipe: what may be set, how it is written down, and how a mistake is told."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from striate.errors import InputError
from striate.recipe import Recipe, check_recipe, load_recipe, parse_override

FRACTION = st.floats(0, 1)
BELOW_ONE = st.floats(0, 1, exclude_max=True)
POSITIVE = st.floats(1e-300, 1e300)
NOT_NEGATIVE = st.floats(0, 1e300)
NAME = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def settings(**values) -> st.SearchStrategy:
    return st.fixed_dictionaries({}, optional=values)


RECIPES = settings(
    model=settings(
        name=NAME,
        arguments=st.dictionaries(NAME, st.integers(-(2**63), 2**63 - 1) | NAME | st.booleans() | FRACTION),
    ),
    data=settings(
        source=NAME,
        fractions=st.tuples(FRACTION, FRACTION, FRACTION),
        val_fraction=FRACTION,
        seed=st.integers(0, 2**32 - 1),
        workers=st.integers(0, 64),
        memory_mb=NOT_NEGATIVE,
    ),
    input=settings(
        size=st.none() | st.integers(1, 4096) | st.tuples(st.integers(1, 4096), st.integers(1, 4096)),
        fit=st.sampled_from(["crop", "stretch", "letterbox"]),
        margin=st.integers(0, 100),
        mean=st.none() | st.lists(st.floats(-10, 10), max_size=3).map(tuple),
        std=st.none() | st.lists(POSITIVE, max_size=3).map(tuple),
    ),
    augment=settings(
        crop=st.none() | st.lists(st.floats(0.01, 1), min_size=2, max_size=2).map(sorted).map(tuple),
        flip=st.booleans(),
        shear=st.floats(0, 90, exclude_max=True),
        rotate=NOT_NEGATIVE,
    ),
    loss=settings(
        label_smoothing=FRACTION,
        class_weights=st.sampled_from(["none", "balanced"]) | st.lists(NOT_NEGATIVE, max_size=4).map(tuple),
    ),
    optimizer=settings(
        name=st.sampled_from(["sgd", "adam", "adamw", "nadam", "rmsprop"]),
        lr=POSITIVE,
        betas=st.tuples(BELOW_ONE, BELOW_ONE),
        eps=POSITIVE,
    ),
    schedule=settings(
        name=st.sampled_from(["constant", "step", "exponential", "cosine", "one_cycle"]),
        warmup_epochs=NOT_NEGATIVE,
        factor=st.floats(1e-300, 1),
    ),
    train=settings(
        epochs=st.integers(1, 10**9),
        clip_norm=st.none() | POSITIVE,
        ema_decay=st.none() | BELOW_ONE,
        patience=st.none() | st.integers(1, 100),
        seed=st.integers(0, 2**63 - 1),
        device=NAME,
    ),
    evaluate=settings(mirror=st.booleans()),
)


@given(values=RECIPES)
def test_a_recipe_written_as_toml_is_read_back_the_same(tmp_path_factory, values):
    recipe = Recipe.model_validate(values)
    path = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    path.write_text(recipe.to_toml(), encoding="utf-8")
    assert load_recipe(path) == recipe


@given(values=RECIPES)
def test_a_recipe_in_json_is_read_back_the_same(values):
    recipe = Recipe.model_validate(values)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_nothing_given_is_the_defaults():
    assert load_recipe() == Recipe() == load_recipe(Recipe()) == load_recipe(None, {})
    settled = Recipe(task="detection")  # before that it is what the data are for, and is left out
    assert tomllib.loads(settled.to_toml()).keys() == set(Recipe.model_fields)


def test_overrides_change_what_they_name_and_nothing_else(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('[train]\nepochs = 7\nseed = 3\n[model]\nname = "lenet5"\n')
    overrides = {
        "train.epochs": 9,
        "input.size": [24, 32],
        "model.arguments.width": 4,
        "train.patience": None,
    }
    recipe = load_recipe(path, overrides)
    expected = Recipe.model_validate(
        {
            "train": {"epochs": 9, "seed": 3},
            "model": {"name": "lenet5", "arguments": {"width": 4}},
            "input": {"size": (24, 32)},
        }
    )
    assert recipe == expected
    assert load_recipe(recipe, {"train.epochs": 7}).train.epochs == 7
    assert recipe.train.epochs == 9


def test_one_number_is_a_square_size():
    assert load_recipe(None, {"input.size": 28}).input.size == (28, 28)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.epochs=3", ("train.epochs", 3)),
        ("optimizer.lr=1e-3", ("optimizer.lr", 1e-3)),
        ("augment.flip=true", ("augment.flip", True)),
        ("data.fractions=[0.8, 0.1, 0.1]", ("data.fractions", [0.8, 0.1, 0.1])),
        ("optimizer.name=sgd", ("optimizer.name", "sgd")),
        ('optimizer.name="sgd"', ("optimizer.name", "sgd")),
        ("data.source=/a b/c=d", ("data.source", "/a b/c=d")),
        ("data.source=", ("data.source", "")),
        ("train.patience=none", ("train.patience", None)),
        (" train.patience = none ", ("train.patience", None)),
        (" train.epochs = 3 ", ("train.epochs", 3)),
        (" optimizer.name = sgd ", ("optimizer.name", "sgd")),
        ("model.arguments.width=4", ("model.arguments.width", 4)),
    ],
)
def test_overrides_on_the_command_line_are_toml_or_words(text, expected):
    assert parse_override(text) == expected


@pytest.mark.parametrize("text", ["", "train.epochs", "epochs=3", "=3"])
def test_an_override_that_names_nothing_is_refused(text):
    with pytest.raises(InputError, match="cannot read the setting") as caught:
        parse_override(text)
    assert "section.key=value" in caught.value.what_to_do


@pytest.mark.parametrize(
    ("values", "setting", "known"),
    [
        ({"trian": {}}, "trian", ["model", "data", "train", "evaluate"]),
        ({"train": {"epoch": 3}}, "train.epoch", ["epochs", "batch_size", "seed"]),
        ({"optimizer": {"learning_rate": 3}}, "optimizer.learning_rate", ["lr", "momentum"]),
        ({"model": {"width": 3}}, "model.width", ["name", "arguments"]),
        ({"augment": {"": 3}}, "augment.", ["flip", "rotate"]),
        ({"train": {"phases": [{"epoch": 3}]}}, "train.phases.0.epoch", ["epochs", "freeze", "lr"]),
        (
            {"train": {"phases": [{"epochs": 1}, {"epochs": 1, "stage-decay": 0.7}]}},
            "train.phases.1.stage-decay",
            ["epochs", "stage_decay"],
        ),
    ],
)
def test_an_unknown_key_is_named_with_those_there_are(values, setting, known):
    with pytest.raises(InputError) as caught:
        check_recipe(values, where="recipe.toml")
    assert caught.value.what == f"unknown setting {setting}"
    assert caught.value.where == "recipe.toml"
    names = caught.value.what_to_do.partition("one of: ")[2].split(", ")
    assert set(known) <= set(names)


@pytest.mark.parametrize(
    ("values", "meant"),
    [
        ({"trian": {}}, "train"),
        ({"train": {"epoch": 3}}, "epochs"),
        ({"train": {"phases": [{"epochs": 1, "stage-decay": 0.7}]}}, "stage_decay"),
    ],
)
def test_a_misspelt_key_is_told_what_it_may_be(values, meant):
    with pytest.raises(InputError) as caught:
        check_recipe(values, where="recipe.toml")
    assert caught.value.what_to_do.startswith(f"did you mean {meant}? one of: ")


NAN, INFINITY = float("nan"), float("inf")

OUT_OF_RANGE = [
    ("task", "painting"),
    ("model", 3),
    ("model.name", 3),
    ("data.fractions", [0.5, 0.5]),
    ("data.fractions", [0.5, 0.5, 1.5]),
    ("data.seed", 2**32),
    ("data.seed", -1),
    ("data.workers", -1),
    ("data.memory_mb", -1),
    ("data.memory_mb", INFINITY),
    ("input.size", 0),
    ("input.size", [28]),
    ("input.size", [28, 28, 3]),
    ("input.size", "big"),
    ("input.fit", "squeeze"),
    ("input.margin", -1),
    ("input.mean", [NAN]),
    ("input.std", [0.0]),
    ("augment", {"crop": [0.5, 0.2]}),
    ("augment", {"crop": [0.5, 1.2]}),
    ("augment.crop", [0.0, 0.2]),
    ("augment.shear", 90),
    ("augment.shift", 1.1),
    ("augment.fill", "grey"),
    ("loss.label_smoothing", -0.1),
    ("loss.class_weights", "some"),
    ("loss.class_weights", [1.0, -1.0]),
    ("optimizer.name", "adagrad"),
    ("optimizer.lr", 0),
    ("optimizer.lr", NAN),
    ("optimizer.momentum", 1.5),
    ("optimizer.betas", [1.0, 0.999]),
    ("optimizer.betas", [0.9, 1.0]),
    ("optimizer.smoothing", 1.0),
    ("optimizer.eps", 0),
    ("schedule.name", "linear"),
    ("schedule.step_epochs", 0),
    ("schedule.factor", 0),
    ("schedule.factor", 1.5),
    ("schedule.warmup_epochs", -1),
    ("train.epochs", 0),
    ("train.epochs", 2.5),
    ("train.batch_size", 0),
    ("train.accumulate", 0),
    ("train.clip_norm", 0),
    ("train.ema_decay", 1.0),
    ("train.patience", 0),
    ("train.precision", "fp16"),
    ("train.seed", 2**63),
    ("train.checkpoint_minutes", -1),
    ("evaluate.batch_size", 0),
]


@pytest.mark.parametrize(("setting", "value"), OUT_OF_RANGE)
def test_a_value_out_of_its_range_is_told_with_its_name(setting, value):
    with pytest.raises(InputError) as caught:
        load_recipe(None, {setting: value})
    assert caught.value.what.startswith(setting)
    assert caught.value.where == "the settings given"
    assert len(str(caught.value).splitlines()) <= 3


def test_an_override_below_a_value_is_refused(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("[train]\nepochs = 7\n")
    with pytest.raises(InputError, match="epochs is a value, not a section"):
        load_recipe(path, {"train.epochs.first": 3})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"train = [", "the recipe is not TOML"),
        (b"[train]\nepochs = 3\nepochs = 4\n", "the recipe is not TOML"),
        (b"\xff\xfe\x00", "not UTF-16 text"),
        (b"[train]\nepochs = 0\n", "train.epochs"),
        (b"epochs = 3\n", "unknown setting epochs"),
        (b"train = 3\n", "train: "),
    ],
)
def test_a_faulty_file_is_named(tmp_path, content, said):
    path = tmp_path / "recipe.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        load_recipe(path)
    assert caught.value.where.startswith(str(path))


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(InputError, match="no such recipe"):
        load_recipe(tmp_path / "gone.toml")
    with pytest.raises(InputError, match="cannot read the recipe"):
        load_recipe(tmp_path)


def test_a_recipe_does_not_change_after_the_check():
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().train.epochs = 3
