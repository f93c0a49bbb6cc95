"""The model card: read whole by the hub's own parser, quoted safely, true to the numbers."""

import re
from dataclasses import replace

import pytest
import torch
import yaml
from huggingface_hub import ModelCard

from striate.model_card import model_card, write_model_card
from striate.report import ReportFacts

NASTY = 'a: "b"\n---\n# {c} | `d` *e* <script> [f](g) \\ ~h~'


def make_facts(num_classes: int = 3, **changes) -> ReportFacts:
    facts = ReportFacts(
        title="lenet on digits",
        task="classification",
        model="lenet",
        params=61_706,
        classes=tuple(f"class {index}" for index in range(num_classes)),
        history=[{"epoch": 1, "step": 10, "lr": 0.1, "train": {"loss": 1.0}}],
        results={
            "val": {"accuracy": 0.75, "macro_f1": 0.7},
            "test": {"accuracy": 0.8, "macro_f1": 0.65, "calibration_error": 0.0625, "log_loss": 0.5},
        },
        results_split="test",
        confusion=torch.tensor([[5, 0, 0], [1, 4, 0], [0, 3, 7]]),
        per_class=[(0.9, 0.8, 0.85, 5), (0.5, 0.25, 0.3125, 5)] + [(0.9, 0.8, 0.95, 10)] * (num_classes - 2),
        reliability=[],
        mistakes=[],
        settings={"optimizer": {"name": "sgd", "lr": 0.1, "betas": [0.9, 0.99]}, "note": None},
        data={
            "name": "digits",
            "format": "idx",
            "splits": {"train": 1200, "test": 20},
            "fingerprint": "ab12",
        },
        faults=[("a.png", "bad"), ("b.png", "bad")],
        seconds=75.0,
        versions={"torch": "2.13.0"},
        precision="fp32",
        seed=7,
        command="striate train digits --model lenet",
    )
    return replace(facts, **changes)


def front_matter(card: str) -> dict:
    return yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))


def table_under(card: str, heading: str) -> list[list[str]]:
    section = card.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_hub_reads_the_card_and_finds_every_measured_result(tmp_path):
    path = tmp_path / "README.md"
    write_model_card(path, make_facts())
    data = ModelCard.load(path).data
    assert (data.library_name, data.pipeline_tag) == ("striate", "image-classification")
    measured = {
        (result.dataset_split, result.metric_type): result.metric_value for result in data.eval_results
    }
    assert measured == {
        ("validation", "accuracy"): 0.75,
        ("validation", "f1"): 0.7,
        ("test", "accuracy"): 0.8,
        ("test", "f1"): 0.65,
        ("test", "calibration_error"): 0.0625,
        ("test", "log_loss"): 0.5,
    }
    assert {result.dataset_name for result in data.eval_results} == {"digits"}
    assert list(tmp_path.iterdir()) == [path]


def test_names_that_users_chose_cannot_break_out_of_the_yaml(tmp_path):
    facts = make_facts(title=NASTY, model=NASTY, data={"name": NASTY})
    path = tmp_path / "README.md"
    write_model_card(path, facts)
    index = ModelCard.load(path).data.to_dict()["model-index"]
    assert index[0]["name"] == NASTY
    assert {entry["dataset"]["name"] for entry in index[0]["results"]} == {NASTY}
    parsed = front_matter(model_card(facts))
    assert set(parsed) == {"library_name", "pipeline_tag", "tags", "model-index"}
    assert parsed["tags"][-1] == NASTY


def test_names_that_users_chose_cannot_break_out_of_the_markdown():
    facts = make_facts(
        title=NASTY,
        classes=(NASTY, "_x_", "snake_case"),
        settings={NASTY: NASTY},
        versions={NASTY: NASTY},
        data={"name": NASTY, "splits": {NASTY: 3}},
    )
    body = model_card(facts).split("\n---\n", 1)[1]
    assert "<script>" not in body
    for heading in ("Results per class", "Data", "Training", "Versions"):
        assert len({len(line) for line in table_under(body, heading)}) == 1, heading
    assert table_under(body, "Results per class")[3][0] == r"\_x\_"
    assert table_under(body, "Results per class")[4][0] == "snake_case"
    headings = re.findall(r"^#+ .*$", body, re.MULTILINE)
    assert len(headings) == 9  # the title and eight sections
    assert "\\[f\\](g)" in headings[0]


def test_a_command_with_backticks_stays_in_its_block():
    body = model_card(make_facts(command="echo ```` and ```"))
    assert "`````bash\necho ```` and ```\n`````" in body


def test_the_tables_hold_the_measured_numbers():
    card = model_card(make_facts())
    assert table_under(card, "Results")[2:] == [
        ["Accuracy", "75.00%", "80.00%"],
        ["Macro F1", "70.00%", "65.00%"],
        ["Calibration error", "–", "6.25%"],
        ["Log loss", "–", "0.5000"],
    ]
    assert table_under(card, "Results per class")[3] == ["class 1", "50.00%", "25.00%", "31.25%", "5"]
    assert ["Training pictures", "1,200"] in table_under(card, "Data")
    assert ["optimizer.betas", "0.9, 0.99"] in table_under(card, "Training")
    assert ["wall time", "1 min 15 s"] in table_under(card, "Training")
    assert table_under(card, "Versions")[2:] == [["torch", "2.13.0"]]


def test_the_limits_name_the_weakest_class_the_commonest_mistake_and_what_was_skipped():
    limits = model_card(make_facts()).split("## Limits\n")[1].split("\n## ")[0]
    assert "class 1: F1 31.25%, precision 50.00%, recall 25.00% on 5 pictures" in limits
    assert "class 2 taken for class 1: 30.00% of the pictures of class 2" in limits
    assert "differ by 6.25%" in limits
    assert "measured on 20 pictures: its 95% interval reaches from 58.40% to 91.93%" in limits
    assert "2 pictures could not be read and were skipped" in limits


def test_a_class_without_pictures_is_not_called_the_weakest():
    card = model_card(make_facts(per_class=[(0.0, 0.0, 0.0, 0), (0.5, 0.5, 0.5, 5), (0.9, 0.9, 0.9, 5)]))
    assert "The weakest class on the test split is class 1" in card
    assert table_under(card, "Results per class")[2] == ["class 0", "–", "–", "–", "0"]


@pytest.mark.parametrize(("split", "warned"), [("val", True), ("test", False)])
def test_results_on_validation_pictures_are_called_optimistic(split, warned):
    assert (
        "weights were chosen on these validation pictures" in model_card(make_facts(results_split=split))
    ) == warned


def test_many_classes_are_left_to_the_other_files():
    names = tuple(f"class {index}" for index in range(101))
    card = model_card(make_facts(101, classes=names, confusion=None))
    assert "class 100" not in card
    assert "101 classes; `config.json` names them" in card
    assert "`report.html` has precision, recall and F1 of all 101 classes" in card


def test_the_folder_the_pictures_lay_in_is_not_published():
    source = "/home/somebody/secret/birds"
    card = model_card(make_facts(data={"source": source}, settings={"data": {"source": source, "val": 0.1}}))
    assert "secret" not in card
    assert front_matter(card)["model-index"][0]["results"][0]["dataset"]["name"] == "birds"
    assert ["data.val", "0.1"] in table_under(card, "Training")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"name": "xception", "pretrained": True, "weights": ""}, "the published weights of xception"),
        ({"name": "resnet20", "pretrained": False, "weights": "/somebody/birds"}, "the weights of birds"),
        ({"name": "resnet20", "pretrained": False, "weights": ""}, "random weights"),
    ],
)  # fmt: skip
def test_the_card_tells_what_the_run_started_from_and_its_phases(model, words):
    phases = [{"epochs": 2, "freeze": "backbone", "lr": None}, {"epochs": 3, "freeze": "none", "lr": 0.01}]
    card = model_card(make_facts(settings={"model": model, "train": {"phases": phases}}))
    rows = table_under(card, "Training")
    assert ["started from", words] in rows
    phased = "epochs 2, freeze backbone, lr none; epochs 3, freeze none, lr 0.01"
    assert ["train.phases", phased] in rows
    assert "somebody" not in card


def test_a_run_without_results_has_a_card_without_an_index(tmp_path):
    path = tmp_path / "README.md"
    write_model_card(path, make_facts(results={}, per_class=[], confusion=None, data={}, faults=[]))
    card = ModelCard.load(path)
    assert card.data.eval_results is None
    assert "## Results" not in card.text
    assert "It knows its 3 classes and nothing else" in card.text
