"""From the weights of one run to another: classes, channels and sizes may differ, what is frozen may not."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small_data import draw_shapes, write_digits

import striate
from striate.data.load import load_data
from striate.errors import InputError
from striate.feed import HeadOnly, phase_feed
from striate.files import read_tensors
from striate.network import build
from striate.prepared import prepare_data
from striate.recipe import load_recipe
from striate.run import Run
from striate.run_folder import read_config
from striate.start import find_start
from striate.train.checkpoint import TrainingState
from striate.train.transfer import enter_phase

pytestmark = pytest.mark.xdist_group("transfer runs")  # one process trains what they start from
SLIM = {"model.name": "resnet20", "model.arguments": {"width": 0.25}, "train.precision": "fp32"}


@pytest.fixture(scope="module")
def colour_start(tmp_path_factory):
    """A colour network of discs and squares at 24 pixels, hardly trained."""
    folder = draw_shapes(tmp_path_factory.mktemp("data") / "shapes", 20)
    settings = SLIM | {"train.epochs": 1, "input.size": 24, "train.batch_size": 8}
    return striate.train(folder, out=tmp_path_factory.mktemp("runs") / "colour", settings=settings)


@pytest.fixture(scope="module")
def grey_start(tmp_path_factory):
    """A grey network of five digits at 16 pixels, hardly trained."""
    settings = SLIM | {"train.epochs": 1, "input.size": 16, "data.classes": ["0", "1", "2", "3", "4"]}
    return striate.train("digits", out=tmp_path_factory.mktemp("runs") / "grey", settings=settings)


def go_on(start: Run, data, out: Path, **settings) -> Run:
    """Train from the weights of a run, three epochs in batches of 8 unless told otherwise."""
    changes = {"model.weights": str(start.path), "train.precision": "fp32", "train.batch_size": 8}
    changes |= {"train.epochs": 3} | {key.replace("__", "."): value for key, value in settings.items()}
    return striate.train(data, out=out, settings=changes)


def weights(run: Run) -> dict[str, torch.Tensor]:
    return read_tensors(run.path / "model.safetensors")[0]


def first_layer(run: Run) -> str:
    """The name of its weights."""
    return next(name for name, value in weights(run).items() if "stem" in name and value.ndim == 4)


def differing(run: Run, other: Run) -> set[str]:
    """Names of the tensors that are not bit-identical, without what comes after the first two words."""
    ours, theirs = weights(run), weights(other)
    assert ours.keys() == theirs.keys()
    return {
        name.split(".")[1]
        for name in ours
        if ours[name].shape != theirs[name].shape or not torch.equal(ours[name], theirs[name])
    }


def history(run: Run) -> list[dict]:
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("settings", [{}, {"augment__flip": True}, {"train__ema_decay": 0.9}])
def test_frozen_means_bit_identical_buffers_included(colour_start, tmp_path, settings):
    phases = [{"epochs": 3, "freeze": "backbone", "augment": "augment__flip" in settings}]
    data = draw_shapes(tmp_path / "shapes", 15, seed=1)
    run = go_on(colour_start, data, tmp_path / "run", train__epochs=3, train__phases=phases, **settings)
    assert differing(run, colour_start) == {"head"}


def test_the_first_phase_leaves_the_backbone_alone_and_the_second_moves_it(colour_start, tmp_path):
    data = draw_shapes(tmp_path / "shapes", 15, seed=1)
    run = go_on(colour_start, data, tmp_path / "run", train__epochs=4)
    phases = read_config(run.path).recipe.train.phases
    assert [(p.epochs, p.freeze, p.lr, p.augment) for p in phases] == [
        (1, "backbone", 2e-3, False),
        (3, "none", pytest.approx(2e-4), True),
    ]
    assert [row["phase"] for row in history(run)] == [1, 2, 2, 2]
    peaks = [max(row["lr"] for row in history(run) if row["phase"] == phase) for phase in (1, 2)]
    assert peaks[1] <= 2e-4 < peaks[0] <= 2e-3
    assert differing(run, colour_start) == {"stem", "stages", "head"}


def test_a_stage_name_freezes_all_up_to_it(colour_start, tmp_path):
    run = go_on(colour_start, draw_shapes(tmp_path / "shapes", 15), tmp_path / "run", train__freeze="stage2")
    ours, theirs = weights(run), weights(colour_start)
    moved = {name for name in ours if not torch.equal(ours[name], theirs[name])}
    assert {name for name in moved if "stem" in name or "stage1" in name or "stage2" in name} == set()
    assert any("stage3" in name for name in moved)
    assert len(history(run)) == 3


def test_other_classes_get_a_fresh_head_and_the_same_keep_theirs(colour_start, tmp_path):
    same = draw_shapes(tmp_path / "same", 15, seed=1)
    other = draw_shapes(tmp_path / "other", 15, seed=1)
    (other / "disc").rename(other / "ball")  # as many classes, and others
    slow = {"optimizer__lr": 1e-12, "optimizer__weight_decay": 0.0, "train__epochs": 1}
    kept = go_on(colour_start, same, tmp_path / "kept", **slow)
    fresh = go_on(colour_start, other, tmp_path / "fresh", **slow)
    start = weights(colour_start)["backbone.head.weight"]
    assert torch.allclose(weights(kept)["backbone.head.weight"], start, atol=1e-6)
    assert not torch.allclose(weights(fresh)["backbone.head.weight"], start, atol=1e-3)
    first = first_layer(fresh)
    assert torch.allclose(weights(fresh)[first], weights(colour_start)[first], atol=1e-6)


def test_the_pictures_are_prepared_as_the_start_has_learned(colour_start, tmp_path):
    data = draw_shapes(tmp_path / "shapes", 15, side=40, seed=3)
    run = go_on(colour_start, data, tmp_path / "run", train__epochs=1)
    assert run.preprocessing == colour_start.preprocessing
    larger = go_on(colour_start, data, tmp_path / "larger", train__epochs=1, input__size=[32, 32])
    assert larger.preprocessing.size == (32, 32)
    assert larger.preprocessing.mean == colour_start.preprocessing.mean


def test_grey_pictures_reach_a_colour_network_as_three_equal_channels(colour_start, tmp_path):
    write_digits(tmp_path / "digits", range(150))
    run = go_on(colour_start, tmp_path / "digits", tmp_path / "run", train__epochs=1)
    assert load_data(tmp_path / "digits").channels == 1
    assert run.preprocessing.channels == 3
    assert len(run.predict(tmp_path / "digits" / "0" / "0.png")) == 5


def test_colour_pictures_reach_a_grey_network_through_a_widened_first_layer(grey_start, tmp_path):
    data = draw_shapes(tmp_path / "shapes", 15)
    run = go_on(grey_start, data, tmp_path / "run", train__epochs=1, train__freeze="backbone")
    first = first_layer(run)
    grey, colour = weights(grey_start)[first], weights(run)[first]
    assert torch.equal(colour, grey.expand_as(colour) / 3)
    grey_picture = torch.randint(0, 256, (1, 1, 16, 16), dtype=torch.uint8)
    maps = [
        r.model.backbone.features(r.preprocessing.normalize(picture))["stage3"]
        for r, picture in ((grey_start, grey_picture), (run, grey_picture.expand(1, 3, 16, 16)))
    ]
    assert torch.allclose(maps[0], maps[1], atol=1e-4)


def test_features_computed_once_train_the_same_head_as_features_computed_each_time(
    colour_start, tmp_path, monkeypatch
):
    data = draw_shapes(tmp_path / "shapes", 15, seed=1)
    used = []
    monkeypatch.setattr("striate.feed.HeadOnly", lambda classifier: used.append(1) or HeadOnly(classifier))
    phases = [{"epochs": 3, "freeze": "backbone", "augment": False}]
    once = go_on(colour_start, data, tmp_path / "once", train__phases=phases)
    assert used == [1]
    each = go_on(colour_start, data, tmp_path / "each", train__phases=phases, data__memory_mb=0)
    assert used == [1]  # they do not fit
    for name, value in weights(once).items():
        assert torch.allclose(value, weights(each)[name], atol=1e-5), name


def test_features_are_not_kept_for_heads_on_earlier_maps_nor_do_those_change(tmp_path):
    data = draw_shapes(tmp_path / "shapes", 8)
    googlenet = {"model.name": "googlenet", "model.arguments": {"width": 0.1, "auxiliary": True}}
    phases = [{"epochs": 1, "freeze": "backbone", "augment": False}]
    recipe = load_recipe(None, googlenet | {"input.size": 32, "train.phases": phases})
    model, task = build(recipe, ("disc", "square"), 3, (32, 32))
    state = TrainingState(model, torch.optim.SGD(model.parameters()))
    enter_phase(state, recipe.train.phases[0], recipe.optimizer)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    phase_feed(state, task, recipe, prepare_data(load_data(data), recipe), "fp32")
    assert state.network is None
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_features_are_computed_in_parts_where_memory_runs_out(colour_start, tmp_path, monkeypatch):
    data = draw_shapes(tmp_path / "shapes", 15, seed=1)
    phases = [{"epochs": 3, "freeze": "backbone", "augment": False}]
    plenty = go_on(colour_start, data, tmp_path / "plenty", train__phases=phases)
    compute = type(colour_start.model.backbone).features

    def features(backbone, images):
        if len(images) > 5 and not backbone.training:
            raise torch.OutOfMemoryError("no memory left")
        return compute(backbone, images)

    monkeypatch.setattr(type(colour_start.model.backbone), "features", features)
    scarce = go_on(colour_start, data, tmp_path / "scarce", train__phases=phases)
    for name, value in weights(plenty).items():
        assert torch.allclose(value, weights(scarce)[name], atol=1e-5), name


def test_augmented_pictures_go_through_the_backbone_each_time(colour_start, tmp_path):
    data = draw_shapes(tmp_path / "shapes", 15, seed=1)
    run = go_on(colour_start, data, tmp_path / "run", train__freeze="backbone", train__epochs=1)
    prepared = striate.api.prepare_data(load_data(data), run.config.recipe)
    state = TrainingState(run.model, torch.optim.SGD(run.model.parameters()))
    state.frozen = [run.model.backbone.stem, *run.model.backbone.stages.values()]
    watch = lambda split, count: lambda read: None  # noqa: E731
    phase_feed(state, run.task, run.config.recipe, prepared, "fp32", watch)
    assert state.network is None


def test_the_file_of_a_run_is_the_run(colour_start, tmp_path):
    data = draw_shapes(tmp_path / "shapes", 15, side=40, seed=1)
    of_run = go_on(colour_start, data, tmp_path / "run", train__epochs=1)
    file = str(colour_start.path / "model.safetensors")
    of_file = go_on(colour_start, data, tmp_path / "file", train__epochs=1, model__weights=file)
    assert of_file.config == of_run.config
    assert differing(of_run, of_file) == set()


def test_a_run_goes_on_without_what_it_started_from(colour_start, tmp_path):
    """Also where the first weights lay in a folder that was named from elsewhere."""
    data = draw_shapes(tmp_path / "shapes", 15, seed=1)
    shutil.copytree(colour_start.path, tmp_path / "start")

    def stop(state, loss):
        if state.step == 6:
            raise KeyboardInterrupt

    watcher = SimpleNamespace(start=lambda *_: None, phase=lambda *_: None, step=stop, epoch=lambda row: None)
    settings = {"model.weights": str(tmp_path / "start"), "train.epochs": 4, "train.batch_size": 8}
    with pytest.raises(KeyboardInterrupt):
        striate.train(data, out=tmp_path / "run", settings=settings, watchers=[watcher])
    shutil.rmtree(tmp_path / "start")
    run = striate.api.resume(tmp_path / "run")
    assert [row["phase"] for row in history(run)] == [1, 2, 2, 2]
    assert "the weights of start" in (run.path / "README.md").read_text()
    assert str(tmp_path / "start") not in (run.path / "README.md").read_text()


@pytest.mark.parametrize(
    ("fault", "what"), [("missing", "no such file of weights"), ("altered", "changed|altered|damaged")]
)
def test_a_start_whose_weights_are_not_there_or_not_its_own_is_refused(colour_start, tmp_path, fault, what):
    start = tmp_path / "start"
    shutil.copytree(colour_start.path, start)
    content = bytearray((start / "model.safetensors").read_bytes())
    (start / "model.safetensors").unlink()
    if fault == "altered":
        content[-1] ^= 1
        (start / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=what):
        striate.train("digits", out=tmp_path / "run", settings={"model.weights": str(start)})
    assert not (tmp_path / "run").exists()


def test_the_same_classes_in_another_order_get_a_fresh_head(colour_start):
    recipe = load_recipe(None, SLIM | {"model.weights": str(colour_start.path)})
    start = find_start(recipe)
    heads = [
        build(recipe, classes, 3, (32, 32), start=start)[0].backbone.head.weight
        for classes in (colour_start.classes, colour_start.classes[::-1])
    ]
    own = weights(colour_start)["backbone.head.weight"]
    assert torch.equal(heads[0], own)
    assert not torch.allclose(heads[1], own, atol=1e-3)
    assert not torch.allclose(heads[1], own.flip(0), atol=1e-3)


def test_the_network_is_that_of_the_run_unless_another_is_named(colour_start, tmp_path):
    data = draw_shapes(tmp_path / "shapes", 15, seed=1)
    run = go_on(colour_start, data, tmp_path / "run", train__epochs=1)
    assert (run.config.model, run.config.arguments) == ("resnet20", {"width": 0.25})
    with pytest.raises(InputError, match=r"the run is a resnet20, width=0\.25, the recipe wants a lenet5"):
        go_on(colour_start, data, tmp_path / "other", model__name="lenet5")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"model.weights": "nowhere"}, "there is no such run or file of weights"),
        ({"model.name": "resnet20", "model.pretrained": True}, "no weights of resnet20 are published"),
        ({"model.name": "resnet20", "train.freeze": "stage7"}, "the network has no stage called 'stage7'"),
    ],
)
def test_what_cannot_be_started_from_is_refused_before_a_picture_is_read(tmp_path, settings, what):
    def reading(split, count):
        raise AssertionError("pictures are read")

    with pytest.raises(InputError, match=what):
        striate.train("digits", out=tmp_path / "run", settings=settings, reading=reading)
    assert not (tmp_path / "run").exists()


def test_a_run_repeated_from_its_own_recipe_is_the_same(colour_start, tmp_path):
    data = draw_shapes(tmp_path / "shapes", 15, seed=1)
    first = go_on(colour_start, data, tmp_path / "first", train__epochs=2)
    again = striate.train(config=first.path / "recipe.toml", out=tmp_path / "again")
    assert differing(first, again) == set()
    assert history(first) == history(again)


def test_patience_ends_a_phase_and_not_the_run(colour_start, tmp_path):
    data = draw_shapes(tmp_path / "shapes", 15, seed=1)
    phases = [{"epochs": 9, "freeze": "backbone", "lr": 1e-12}, {"epochs": 1}]
    run = go_on(colour_start, data, tmp_path / "run", train__epochs=10, train__phases=phases,
                train__patience=2, optimizer__weight_decay=0.0)  # fmt: skip
    numbers = [row["phase"] for row in history(run)]
    assert numbers[-1] == 2
    assert numbers.count(1) < 9
    assert numbers.count(2) == 1
