"""``striate data convert`` and ``striate data split`` as a user meets them."""

import json

import pytest
from faulty_pictures import faulty_pixels, write_files
from small_data import contents, draw_shapes, write_digits

from striate.data.load import load_data


@pytest.fixture
def shapes(tmp_path):
    return draw_shapes(tmp_path / "shapes", 10)


def counts(dataset):
    return {name: len(split) for name, split in dataset.splits.items()}


@pytest.mark.parametrize("to", ["image-folder", "tar-shards"])
def test_convert_writes_a_set_that_is_loaded_again_and_says_what_it_wrote(run_cli, shapes, tmp_path, to):
    before = contents(shapes)
    outcome = run_cli("data", "convert", shapes, tmp_path / "out", "--to", to)
    assert (outcome.code, outcome.err) == (0, "")
    assert f"{tmp_path / 'out'}: {to}\n20 pictures; 2 classes, " in outcome.out
    assert outcome.out.splitlines()[-1] == f"striate train {tmp_path / 'out'}"
    assert counts(load_data(tmp_path / "out")) == {"all": 20}
    assert contents(shapes) == before


def test_convert_to_idx_goes_by_a_split_that_has_no_val(run_cli, tmp_path):
    write_digits(tmp_path / "digits", range(60))
    refused = run_cli("data", "convert", tmp_path / "digits", tmp_path / "out", "--to", "idx")
    assert refused.code == 2
    assert len(refused.err.splitlines()) == 3
    words = refused.err.split("try: striate ")[1].split()
    assert words[:4] == ["data", "split", "DATA", "OUT"]
    done = run_cli("data", "split", tmp_path / "digits", tmp_path / "out", *words[4:], "--json")
    assert done.code == 0
    facts = json.loads(done.out)
    assert facts["format"] == "idx"
    assert set(facts["splits"]) == {"train", "test"}
    assert counts(load_data(tmp_path / "out")) == facts["splits"]
    assert sum(facts["splits"].values()) == 60


def test_convert_says_in_json_what_it_left_out(run_cli, shapes, tmp_path):
    write_files(shapes, {f"disc/bad{i}.jpg": faulty_pixels()["cut_colour.jpg"] for i in range(7)})
    done = run_cli("data", "convert", shapes, tmp_path / "out", "--to", "tar-shards", "--json")
    facts = json.loads(done.out)
    assert facts["splits"] == {"all": 20}
    assert {name for name, _ in facts["left_out"]} == {f"disc/bad{i}.jpg" for i in range(7)}
    assert facts["files"] == len(list((tmp_path / "out").iterdir()))
    plain = run_cli("data", "convert", shapes, tmp_path / "plain", "--to", "tar-shards").out
    assert "left out, because they cannot be read: 7\n" in plain
    assert plain.count("disc/bad") == 5
    strict = run_cli("data", "convert", shapes, tmp_path / "strict", "--to", "image-folder", "--strict")
    assert strict.code == 2
    assert "disc/bad" in strict.err
    assert not (tmp_path / "strict").exists()


def test_convert_makes_shards_of_the_size_asked_and_one_split_alone(run_cli, tmp_path):
    draw_shapes(tmp_path / "in" / "train", 4, side=700)
    draw_shapes(tmp_path / "in" / "test", 2)
    arguments = ("--to", "tar-shards", "--shard-mb", 1)
    assert (
        run_cli("data", "convert", tmp_path / "in", tmp_path / "test", "--split", "test", *arguments).code
        == 0
    )
    assert counts(load_data(tmp_path / "test")) == {"all": 4}
    outcome = run_cli("data", "convert", tmp_path / "in", tmp_path / "none", "--split", "val", *arguments)
    assert outcome.code == 2
    assert "they have train, test" in outcome.err


def test_split_makes_what_training_makes_and_training_takes_it(run_cli, shapes, tmp_path):
    outcome = run_cli("data", "split", shapes, tmp_path / "out", "--fractions", "0.6,0.2,0.2", "--seed", 3)
    assert outcome.code == 0
    assert "12 train, 4 val, 4 test; 2 classes" in outcome.out
    train = ("train", "--model", "lenet5", "--epochs", 1, "--set", "data.fractions=[0.6, 0.2, 0.2]")
    for name, data in (("a", shapes), ("b", tmp_path / "out")):
        arguments = (data, "--out", tmp_path / name, "--set", "data.seed=3", "--precision", "fp32")
        assert run_cli(*train, *arguments).code == 0
    rows = [(tmp_path / name / "metrics.jsonl").read_text() for name in "ab"]
    assert rows[0] == rows[1]  # the same pictures, in the same order
    splits = [json.loads((tmp_path / name / "config.json").read_text())["data"]["splits"] for name in "ab"]
    assert splits[0] == splits[1] == counts(load_data(tmp_path / "out"))


def test_split_links_instead_of_copying(run_cli, shapes, tmp_path):
    assert run_cli("data", "split", shapes, tmp_path / "out", "--link").code == 0
    made = list((tmp_path / "out").rglob("*.png"))
    assert len(made) == 20
    for path in made:
        assert path.samefile(shapes / path.parent.name / path.name)


@pytest.mark.parametrize(
    "text", ["0.5,0.5", "a,b,c", "nan,0.5,0.5", "0.9,0.2,-0.1", "0.5,0.1,0.1", "0,0.5,0.5"]
)
def test_fractions_that_are_none_are_refused(run_cli, shapes, tmp_path, text):
    outcome = run_cli("data", "split", shapes, tmp_path / "out", "--fractions", text)
    assert outcome.code == 2
    assert "fraction" in outcome.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [("convert", "--to", "image-folder"), ("split",)])
def test_a_folder_that_is_not_empty_is_refused(run_cli, shapes, tmp_path, command):
    write_files(tmp_path, {"out/mine.txt": b"mine"})
    outcome = run_cli("data", command[0], shapes, tmp_path / "out", *command[1:])
    assert outcome.code == 2
    assert "there is something already" in outcome.err
    assert contents(tmp_path / "out").keys() == {str(tmp_path / "out"), str(tmp_path / "out" / "mine.txt")}


def test_a_set_without_splits_has_no_split_to_convert_and_is_told_how_to_get_one(run_cli, shapes, tmp_path):
    arguments = ("data", "convert", shapes, tmp_path / "out", "--to", "image-folder", "--split", "val")
    outcome = run_cli(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.splitlines()[-1] == "  try: striate data split gives them splits"


def test_one_split_alone_is_not_proposed_for_training(run_cli, shapes, tmp_path):
    assert (
        run_cli("data", "split", shapes, tmp_path / "split").out.splitlines()[-1].startswith("striate train")
    )
    out = tmp_path / "test"
    outcome = run_cli("data", "convert", tmp_path / "split", out, "--to", "image-folder", "--split", "test")
    assert outcome.code == 0
    assert "striate train" not in outcome.out
