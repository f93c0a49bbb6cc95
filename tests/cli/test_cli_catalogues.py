"""``striate models``, ``data info``, ``doctor``, ``--help``: what is there, and how to ask for it."""

import json
import re
import shlex
import sys

import pytest
import torch
import typer
from small_data import contents, write_digits

import striate
from striate.cli.main import app
from striate.tasks.detection.catalog import DETECTORS, create_detector

ROOT = typer.main.get_command(app)


def leaves(command, path=()):
    """(Words on the command line, click command) of every command below ``command``."""
    if not hasattr(command, "commands"):
        return [(path, command)]
    return [leaf for name, below in command.commands.items() for leaf in leaves(below, (*path, name))]


COMMANDS = dict(leaves(ROOT))


def test_the_commands_are_those_of_the_design():
    expected = "train", "evaluate", "predict", "models", "data info", "doctor"
    assert set(COMMANDS) >= {tuple(words.split()) for words in expected}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_help_of_every_command_has_an_example(run_cli, path, flag):
    outcome = run_cli(*path, flag)
    assert (outcome.code, outcome.err) == (0, "")
    assert f"Example: striate {' '.join(path)}" in " ".join(outcome.out.split())
    assert all(len(line) <= 80 for line in outcome.out.splitlines())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_example_of_a_help_is_accepted_by_the_command(path):
    example = re.search(r"Example: striate (.*)", COMMANDS[path].help).group(1)
    words = shlex.split(example)
    assert tuple(words[: len(path)]) == path
    context = COMMANDS[path].make_context("striate", words[len(path) :])  # raises what the user would see
    assert context.params


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_that_prints_results_has_a_json_form(path):
    assert "--json" in {name for parameter in COMMANDS[path].params for name in parameter.opts}


def test_the_first_help_says_where_to_start_and_how_to_find_a_fault(run_cli):
    words = " ".join(run_cli("--help").out.split())
    assert "striate train digits" in words
    assert "--debug" in words


@pytest.mark.parametrize(
    "words", ["frobnicate", "train --frobnicate", "evaluate", "predict run", "train --epochs many"]
)
def test_wrong_usage_exits_with_2_and_names_the_help(run_cli, words):
    outcome = run_cli(*words.split())
    assert (outcome.code, outcome.out) == (2, "")
    assert "-h" in outcome.err
    assert "Traceback" not in outcome.err


def test_models_as_json(run_cli):
    outcome = run_cli("models", "--json")
    entries = {entry["name"]: entry for entry in json.loads(outcome.out)}
    assert {name for name in entries if entries[name]["task"] == "detection"} == set(DETECTORS)
    models = {name: entry for name, entry in entries.items() if entry["task"] == "classification"}
    facts = {"name": "lenet5", "params": 61706, "macs": 416520, "input": [1, 32, 32]}
    assert facts.items() <= models["lenet5"].items()
    assert models["lenet5"]["weights"] is models["lenet5"]["top1"] is None
    assert models["resnet50"]["weights"] == "https://download.pytorch.org/models/resnet50-0676ba61.pth"
    assert (models["resnet50"]["top1"], models["resnet50"]["top5"]) == (76.1, 92.9)
    assert models["lenet5_1998"]["params"] == 60000
    assert {"fashion_cnn", "compact_cnn"} <= models.keys()
    for entry in entries.values():
        assert list(entry) == list(entries["lenet5"])
        assert list(entry)[:4] == ["name", "params", "macs", "input"]
        assert entry["params"] > 0
        assert entry["year"] > 1980
        assert (entry["macs"] is None) == (entry["name"] in DETECTORS and DETECTORS[entry["name"]].depends)
    assert entries["ssd300"]["weights"].startswith("https://download.pytorch.org/models/ssd300")
    assert (entries["ssd300"]["map"], entries["resnet50"]["map"]) == (25.1, None)


@pytest.mark.parametrize("name", DETECTORS)
def test_the_counts_of_a_detector_are_those_of_its_summary(run_cli, name):
    (entry,) = json.loads(run_cli("models", name, "--json").out)[-1:]
    assert entry["name"] == name
    if entry["macs"] is None:  # it depends on what is found; the parameters do not
        with torch.device("meta"):
            network = create_detector(name, entry["classes"], 3)[0]
        assert entry["params"] == sum(p.numel() for p in network.parameters())
        return
    counted = json.loads(run_cli("summary", name, "--json", "--memory", "8GB").out)
    assert counted["input"] == entry["input"]
    assert {key: counted[key] for key in ("params", "macs")} == {
        key: entry[key] for key in ("params", "macs")
    }


def test_the_version_is_told_by_an_option_and_by_doctor(run_cli):
    outcome = run_cli("--version")
    assert (outcome.code, outcome.out) == (0, f"striate {striate.__version__}\n")
    assert json.loads(run_cli("doctor", "--json").out)["versions"]["striate"] == striate.__version__


def test_models_by_a_pattern(run_cli):
    outcome = run_cli("models", "lenet*", "--json")
    assert [entry["name"] for entry in json.loads(outcome.out)] == ["lenet5_1998", "lenet5"]
    _, *lines = run_cli("models", "lenet*").out.splitlines()
    assert [line.split()[:4] for line in lines] == [
        ["lenet5_1998", "1998", "60,000", "0.3"],
        ["lenet5", "1998", "61,706", "0.4"],
    ]
    assert run_cli("models", "nothing*").code == 2
    assert run_cli("models", "nothing").code == 2
    part = [entry["name"] for entry in json.loads(run_cli("models", "yolo", "--json").out)]
    assert part == ["yolo_light", "yolo_shared", "yolov2", "yolov3"]


def test_data_info_without_a_name_lists_the_catalogue(run_cli):
    entries = json.loads(run_cli("data", "info", "--json").out)
    assert [entry["name"] for entry in entries][:2] == ["digits", "photographs"]
    assert {"mnist", "fashion-mnist", "cifar10", "flowers"} <= {entry["name"] for entry in entries}
    lines = run_cli("data", "info").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [entry["name"] for entry in entries]


def test_data_info_of_the_digits(run_cli):
    facts = json.loads(run_cli("data", "info", "digits", "--json").out)
    assert (facts["format"], facts["channels"], facts["classes"]) == ("built-in", 1, list("0123456789"))
    assert facts["splits"]["all"]["pictures"] == 1797
    assert facts["splits"]["all"]["per_class"] == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert facts["sizes"] == {"width": [8, 8], "height": [8, 8], "most_frequent": [[8, 8, 1797]]}
    table = run_cli("data", "info", "digits").out
    assert "grey pictures, 8 wide, 8 high" in table
    assert ["total", "1,797"] in [line.split() for line in table.splitlines()]


def test_data_info_names_faults_and_changes_nothing(run_cli, tmp_path):
    write_digits(tmp_path / "digits", range(20))
    (tmp_path / "digits" / "3" / "bad.png").write_bytes(b"")
    before = contents(tmp_path)
    facts = json.loads(run_cli("data", "info", tmp_path / "digits", "--json").out)
    assert facts["faults"] == [["3/bad.png", "the file is empty"]]
    assert facts["splits"]["all"]["pictures"] == 20
    assert "left out 3/bad.png: the file is empty" in run_cli("data", "info", tmp_path / "digits").out
    assert contents(tmp_path) == before


def test_data_info_looks_at_2000_pictures_of_a_large_split_at_most(monkeypatch, shapes_folder):
    from striate.data import describe
    from striate.data.load import load_data

    monkeypatch.setattr(describe, "MEASURED", 13)  # of 24 pictures
    facts = describe.describe(load_data(shapes_folder))
    assert sum(count for _, _, count in facts["sizes"]["most_frequent"]) == 12


def test_doctor_tells_the_same_to_people_and_programs(run_cli):
    outcome = run_cli("doctor", "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["versions"]["python"] == sys.version.split()[0]
    assert sys.version.split()[0] in run_cli("doctor").out
