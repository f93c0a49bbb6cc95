"""``striate summary``: what it prints for people and for programs, and what it refuses."""

import json
import re
import sys

import pytest
from test_start_up import HEAVY, modules_after

from striate.cost import measure_cost
from striate.models.catalog import CATALOG, create_model


@pytest.fixture
def summarize(run_cli):
    """The parsed JSON of ``striate summary`` with these words."""

    def run(*words: object) -> dict:
        outcome = run_cli("summary", *words, "--json")
        assert (outcome.code, outcome.err) == (0, "")
        return json.loads(outcome.out)

    return run


def test_the_json_holds_the_counts_of_the_literature(summarize):
    found = summarize("resnet34", "--classes", 10)
    assert (found["params"], found["values"]) == (21_289_802, 21_306_826)
    assert (found["trainable"], found["non_trainable"]) == (21_289_802, 17_024)
    assert found["flops"] == 2 * found["macs"]
    assert found["input"] == [3, 224, 224]
    for count in ("params", "trainable", "macs", "flops"):
        assert sum(layer[count] for layer in found["layers"]) == found[count]


def test_detectors_have_the_counts_of_the_literature(summarize, run_cli):
    assert summarize("yolov2")["params"] == 50_655_389
    assert summarize("yolov3", "--classes", 80)["params"] == 61_949_149
    found = summarize("ssd300", "--classes", 20)  # and the background
    assert found["params"] == 26_285_486
    assert found["input"] == [3, 300, 300]
    assert sum(layer["macs"] for layer in found["layers"]) == found["macs"] > 30e9
    for words, fault in {
        ("faster_rcnn",): "depends on what it finds",
        ("yolo_light", "--input", "3x100x160"): "in steps of 32",
    }.items():
        outcome = run_cli("summary", *words)
        assert outcome.code == 2
        assert fault in outcome.err


def test_classes_and_input_are_the_catalogues_unless_given(summarize):
    assert summarize("lenet5")["macs"] == CATALOG["lenet5"].macs
    found = summarize("resnet18", "--input", "1x64x96", "--classes", 5)
    assert found["input"] == [1, 64, 96]
    first, last = found["layers"][0], found["layers"][-1]
    assert first["params"] == 64 * 1 * 7 * 7
    assert first["output_shape"] == [1, 64, 32, 48]
    assert last["output_shape"] == [1, 5]


def test_memory_is_in_bytes_and_grows_with_the_batch(summarize):
    cost = measure_cost(create_model("lenet5"), (1, 32, 32))
    one, many = summarize("lenet5"), summarize("lenet5", "--batch", 64, "--optimizer", "momentum")
    assert one["memory_predict"] == cost.memory_predict(1)
    assert one["memory_train"] == cost.memory_train(1, "adamw").peak
    assert many["memory_predict"] == cost.memory_predict(64)
    assert many["memory_train"] == cost.memory_train(64, "momentum").peak
    assert many["memory_train_parts"]["optimizer"] == 4 * 61_706
    assert many["layers"][0]["activation_memory"] == 64 * 6 * 28 * 28 * 4
    assert many["layers"][0]["output_shape"] == [64, 6, 28, 28]
    assert one["macs"] == many["macs"]


def test_the_largest_batch_fits_the_memory_given(summarize):
    found = summarize("lenet5", "--memory", "64MB", "--optimizer", "adam")
    cost = measure_cost(create_model("lenet5"), (1, 32, 32))
    assert found["memory_available"] == 64_000_000
    assert found["largest_batch_predict"] == cost.largest_batch(64_000_000)
    assert found["largest_batch_train"] == cost.largest_batch(64_000_000, "adam")
    assert cost.memory_train(found["largest_batch_train"] + 1, "adam").peak > 64_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1000000", 10**6), ("1.5GB", 15 * 10**8), ("8gb", 8 * 10**9), ("2 GiB", 2**31), ("512MiB", 2**29)],
)
def test_amounts_of_memory(summarize, text, expected):
    assert summarize("lenet5", "--memory", text)["memory_available"] == expected


def test_half_precision_saves_memory(summarize):
    words = ("resnet18", "--batch", 64, "--precision")
    whole, half = summarize(*words, "fp32"), summarize(*words, "bf16")
    assert half["precision"] == "bf16"
    assert half["memory_train_parts"]["activations"] < whole["memory_train_parts"]["activations"]
    assert half["memory_train_parts"]["weights"] == whole["memory_train_parts"]["weights"]


def test_receptive_fields_are_null_for_the_whole_picture(summarize):
    layers = {layer["name"]: layer for layer in summarize("resnet18")["layers"]}
    assert layers["stages.stage4.1.activation"]["receptive_field"] == [435, 435]
    assert layers["stages.stage4.1.activation"]["stride"] == [32, 32]
    assert layers["head"]["receptive_field"] is None


def test_a_depth_sums_up_what_lies_below(summarize, run_cli):
    found = summarize("resnet18", "--depth", 1)
    assert [layer["name"] for layer in found["layers"]] == ["stem", "stages", "head"]
    (network,) = summarize("resnet18", "--depth", 0)["layers"]
    assert (network["params"], network["kind"]) == (11_689_512, "ResNet")
    assert "(network)" in run_cli("summary", "resnet18", "--depth", 0).out


def test_the_table_has_a_line_for_each_layer_then_the_sums(run_cli):
    out = run_cli("summary", "resnet18", "--memory", "8GB", "--batch", 8).out
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["layer", "kind", "output", "params", "MMAC", "field", "stride", "MB"]
    assert lines[1] == ["stem.0.conv", "Conv2d", "64x112x112", "9,408", "118.0", "7", "2", "25.69"]
    assert ["stages.stage4.1.activation", "ReLU", "512x7x7", "0", "0", "435", "32", "0"] in lines
    assert ["head", "Linear", "1000", "513,000", "0.5", "all", "32", "0.03"] in lines
    text = " ".join(out.split())
    assert "parameters 11,689,512, of which 11,689,512 are trained" in text
    assert "with statistics 11,699,112, of which 9,600 are not" in text
    assert "multiply-accumulates 1,814.1 million" in text
    assert "FLOPs 3,628.1 million" in text
    assert "(batch 8, fp32, adamw)" in text
    assert re.search(r"largest batch [\d,]+ to predict, [\d,]+ to train, in 8,000.0 MB", text)


def test_a_few_are_not_shown_as_none(run_cli):
    lines = [line.split() for line in run_cli("summary", "lenet5", "--batch", 1).out.splitlines()]
    assert ["head.2", "Linear", "10", "850", "<0.1", "all", "4", "<0.01"] in lines
    assert ["head.1", "Tanh", "84", "0", "0", "all", "4", "<0.01"] in lines
    assert ["pictures", "<0.1", "MB"] in lines


@pytest.mark.parametrize("name", ["resnet152", "inception_v4", "capsnet"])
def test_80_columns_are_enough(run_cli, monkeypatch, name):
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    out = re.sub("\x1b\\[[0-9;]*m", "", run_cli("summary", name, "--memory", "8GB").out)
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    with_all_columns = [line.split() for line in lines[1 : lines.index("")]]
    assert all(len(words) == 8 for words in with_all_columns)


@pytest.mark.parametrize(
    ("words", "fault", "place"),
    [
        ("resnet19", "no network called 'resnet19'", "did you mean"),
        ("resnet18 --input 224", "'224' is not a size of pictures", "--input"),
        ("resnet18 --input 3x0x64", "'3x0x64' is not a size of pictures", "--input"),
        ("resnet18 --input 3x16x64", "at least 32x32 pixels", "--input 3x224x224"),
        ("resnet18 --input 224x224x3", "at least 32x32 pixels", "channels, then height and width"),
        ("resnet18 --memory lots", "'lots' is not an amount of memory", "--memory"),
        ("resnet18 --memory 8TB", "'8TB' is not an amount of memory", "--memory"),
        ("resnet18 --optimizer lion", "unknown optimizer 'lion'", "--optimizer"),
        ("resnet18 --precision fp8", "unknown precision 'fp8'", "--precision"),
        ("resnet18 --classes 1", "at least 2 classes", "resnet18"),
        ("resnet18 --batch 0", "--batch", "Invalid value"),
    ],
)
def test_what_a_user_can_mend_is_told_in_a_few_lines(run_cli, words, fault, place):
    outcome = run_cli("summary", *words.split())
    assert (outcome.code, outcome.out) == (2, "")
    assert fault in outcome.err
    assert place in outcome.err
    assert "Traceback" not in outcome.err


def test_help_imports_nothing_heavy():
    output, modules = modules_after("-m", "striate", "summary", "--help")
    assert "Usage" in output
    assert not modules & HEAVY


@pytest.mark.parametrize(
    ("freeze", "trainable"),
    [("none", 11_689_512), ("stem", 11_689_512 - 9_536), ("backbone", 513_000)],
)
def test_what_is_held_still_is_not_counted_as_trained(run_cli, freeze, trainable):
    whole, part = (
        json.loads(run_cli("summary", "resnet18", "--freeze", what, "--batch", "8", "--json").out)
        for what in ("none", freeze)
    )
    assert part["trainable"] == trainable
    assert (part["params"], part["macs"]) == (whole["params"], whole["macs"])
    assert (part["memory_train"] < whole["memory_train"]) == (freeze != "none")


def test_a_stage_that_is_not_there_is_refused(run_cli):
    outcome = run_cli("summary", "resnet18", "--freeze", "stage9")
    assert outcome.code == 2
    assert "one of none, backbone, stem, stage1, stage2, stage3, stage4" in outcome.err
