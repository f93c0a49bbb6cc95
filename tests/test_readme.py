"""What the README says is true: its example runs, its tables are the catalogue's and the recipes'."""

import re
import tomllib
from pathlib import Path

import pytest

from striate.models.catalog import CATALOG
from striate.recipe import load_recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))


def test_the_example_runs_and_learns(tmp_path, monkeypatch, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) == 5
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    accuracy, guess = capsys.readouterr().out.strip().splitlines()
    assert float(accuracy) > 0.9
    assert guess.startswith("LabelScore(label='0'")  # the first of the digits is a zero


def test_the_table_of_networks_is_what_the_command_prints(run_cli):
    (table,) = re.findall(r"<!-- networks.*?-->\n(.*?)<!-- end of networks -->", README, re.DOTALL)
    assert run_cli("models", "--markdown").out == table, "`make readme` writes it anew"
    assert table.count("\n") == 2 + len(CATALOG)


def test_every_picture_and_page_it_names_is_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_loads_and_its_header_states_command_time_and_accuracy(path):
    load_recipe(path)
    text = path.read_text(encoding="utf-8")
    header = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    assert f"striate train --config recipes/{path.name}" in header
    assert re.search(r"\d+ seeds", header)
    assert re.search(r"\d\d\.\d\d ?(%|\+-)", header)
    assert re.search(r"minutes", header)
    assert tomllib.loads(text)["data"]["source"]
