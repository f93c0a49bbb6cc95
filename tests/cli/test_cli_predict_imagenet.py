"""``striate predict resnet18 picture.jpg``: a network by name, with weights from a file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peers import declare_torchvision_operators
from PIL import Image
from sklearn.datasets import load_sample_images
from small_data import contents
from torch import nn

from striate.models.imagenet import imagenet_classes
from striate.models.published import WEIGHTS


@pytest.fixture(scope="module")
def torchvision() -> Any:
    declare_torchvision_operators()
    import torchvision as library  # type: ignore[import-untyped]

    return library


@pytest.fixture(scope="module")
def peer(torchvision: Any) -> nn.Module:
    """Random, and sure of what it sees."""
    torch.manual_seed(0)
    model = torchvision.models.mobilenet_v2().eval()
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
        model.classifier[1].weight.normal_(0, 0.2)
    return model


@pytest.fixture(scope="module")
def weights(peer: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(peer.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two PNG files of 640x427 pixels."""
    folder = tmp_path_factory.mktemp("photographs")
    paths = [folder / "china.png", folder / "flower.png"]
    for path, pixels in zip(paths, load_sample_images().images, strict=True):
        Image.fromarray(pixels).save(path)
    return paths


@pytest.fixture(autouse=True)
def nothing_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Neither cache nor network, and an empty folder to work in."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STRIATE_OFFLINE", "1")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "cache"


def expected(peer: nn.Module, pictures: Any) -> torch.Tensor:
    with torch.no_grad():
        return peer(torch.stack(pictures)).softmax(1)


def assert_top_five(outcome: Any, probs: torch.Tensor, files: list[Path]) -> None:
    assert (outcome.code, outcome.err) == (0, "")
    classes = imagenet_classes()
    result = json.loads(outcome.out)
    assert [entry["file"] for entry in result] == [str(file) for file in files]
    for entry, row in zip(result, probs, strict=True):
        best = row.topk(5)
        scores = [guess["score"] for guess in entry["predictions"]]
        assert scores == pytest.approx(best.values.tolist(), abs=0.02)
        first = classes[int(best.indices[0])]
        assert best.values[0] > best.values[1] + 0.05  # so that the first is the first
        assert list(entry["predictions"][0]) == ["wnid", "class", "score"]
        assert (entry["predictions"][0]["wnid"], entry["predictions"][0]["class"]) == (first.wnid, first.name)


def test_it_says_what_the_peer_says_of_the_picture_prepared_by_the_peer(
    run_cli: Any, torchvision: Any, peer: nn.Module, weights: Path, photographs: list[Path]
) -> None:
    outcome = run_cli("predict", "mobilenet_v2", *photographs, "--weights", weights, "--json")
    prepare = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1.transforms()
    with_pillow = [prepare(Image.open(path)) for path in photographs]
    assert_top_five(outcome, expected(peer, with_pillow), photographs)


def normalized(images: list[np.ndarray]) -> list[torch.Tensor]:
    mean, std = np.array(WEIGHTS["mobilenet_v2"].mean), np.array(WEIGHTS["mobilenet_v2"].std)
    return [
        torch.from_numpy(((pixels / 255 - mean) / std).astype(np.float32)).permute(2, 0, 1)
        for pixels in images
    ]


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
def test_a_picture_may_be_stretched_or_framed(
    run_cli: Any, peer: nn.Module, weights: Path, photographs: list[Path], fit: str
) -> None:
    outcome = run_cli("predict", "mobilenet_v2", *photographs, "--weights", weights, "--json", "--fit", fit)
    images = []
    for path in photographs:
        sheet = Image.new("RGB", (224, 224))
        height = 224 if fit == "stretch" else round(427 * 224 / 640)
        picture = Image.open(path).resize((224, height), Image.Resampling.BILINEAR)
        sheet.paste(picture, (0, (224 - height) // 2))
        images.append(np.array(sheet))
    assert_top_five(outcome, expected(peer, normalized(images)), photographs)


def test_crop_looks_at_one_box(run_cli: Any, peer: nn.Module, weights: Path, photographs: list[Path]) -> None:
    # A box that falls on every pixel of 224x224: nothing is interpolated.
    top, left = 100, 300
    box = [top / 426, left / 639, (top + 223) / 426, (left + 223) / 639]
    outcome = run_cli("predict", "mobilenet_v2", *photographs, "--weights", weights, "--json", "--crop", *box)
    images = [np.array(Image.open(path))[top : top + 224, left : left + 224] for path in photographs]
    assert_top_five(outcome, expected(peer, normalized(images)), photographs)


def test_the_table_has_five_lines_for_each_picture(
    run_cli: Any, weights: Path, photographs: list[Path]
) -> None:
    arguments = ("predict", "mobilenet_v2", *photographs, "--weights", weights)
    heading, *lines = run_cli(*arguments).out.splitlines()
    assert heading.split() == ["picture", "wnid", "score", "class"]
    assert len(lines) == 10
    guesses = [
        (entry["file"], guess)
        for entry in json.loads(run_cli(*arguments, "--json").out)
        for guess in entry["predictions"]
    ]
    for line, (file, guess) in zip(lines, guesses, strict=True):
        assert line.strip().split(maxsplit=4) == [
            file,
            guess["wnid"],
            f"{100 * guess['score']:.2f}",
            "%",
            guess["class"],
        ]


def test_pictures_are_drawn_with_the_names(
    run_cli: Any, weights: Path, photographs: list[Path], tmp_path: Path
) -> None:
    before = contents(photographs[0].parent)
    outcome = run_cli(
        "predict", "mobilenet_v2", *photographs, "--weights", weights, "--draw", tmp_path / "drawn"
    )
    assert outcome.code == 0, outcome.err
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["china.png", "flower.png"]
    assert contents(photographs[0].parent) == before


def test_without_weights_offline_it_says_where_to_put_which_file(
    run_cli: Any, photographs: list[Path], nothing_at_hand: Path
) -> None:
    outcome = run_cli("predict", "mobilenet_v2", photographs[0])
    assert (outcome.code, outcome.out) == (2, "")
    card = WEIGHTS["mobilenet_v2"]
    assert str(nothing_at_hand / "weights" / card.file_name) in outcome.err
    assert card.url in outcome.err
    assert len(outcome.err.splitlines()) <= 3


def test_a_folder_of_the_networks_name_wins(run_cli: Any, digits_run: Any, photographs: list[Path]) -> None:
    Path("resnet18").symlink_to(digits_run.path, target_is_directory=True)
    outcome = run_cli("predict", "resnet18", photographs[0])
    assert outcome.code == 2
    assert "grey" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["resnet5", "PICTURE"], "no such run folder"),
        (["lenet5", "PICTURE"], "no weights of lenet5 are published"),
        (["RUN", "PICTURE", "--fit", "crop"], "--fit"),
        (["RUN", "PICTURE", "--weights", "WEIGHTS"], "--weights"),
        (["resnet18", "PICTURE", "--weights", "WEIGHTS"], "which this network does not have"),
        (["mobilenet_v2", "PICTURE", "--weights", "none.pth"], "no such file"),
        (["mobilenet_v2", "PICTURE", "--weights", "WEIGHTS", "--crop", *"0010"], "not inside the picture"),
        (["mobilenet_v2", "PICTURE", "--weights", "WEIGHTS", "--crop", "0", "0", "1", "1.1"], "--crop"),
    ],
)
def test_what_makes_no_sense_is_refused(
    run_cli: Any, digits_run: Any, weights: Path, photographs: list[Path], arguments: list[str], told: str
) -> None:
    meant = {"RUN": digits_run.path, "WEIGHTS": weights, "PICTURE": photographs[0]}
    outcome = run_cli("predict", *(meant.get(word, word) for word in arguments))
    assert (outcome.code, outcome.out) == (2, "")
    assert told in outcome.err
    assert len(outcome.err.splitlines()) <= 3


def test_a_picture_that_cannot_be_cut_is_named(run_cli: Any, weights: Path, tmp_path: Path) -> None:
    thin = tmp_path / "thin.png"
    Image.new("RGB", (30_000, 2)).save(thin)
    outcome = run_cli("predict", "mobilenet_v2", thin, "--weights", weights)
    assert (outcome.code, outcome.out) == (2, "")
    assert str(thin) in outcome.err
    assert "letterbox" in outcome.err
    assert run_cli("predict", "mobilenet_v2", thin, "--weights", weights, "--fit", "letterbox").code == 0


def test_a_run_looks_at_one_box_too(run_cli: Any, digits_run: Any, tmp_path: Path) -> None:
    digits = np.random.default_rng(0).integers(0, 256, (57, 57), dtype=np.uint8)
    Image.fromarray(digits).save(tmp_path / "sheet.png")
    Image.fromarray(digits[:28, 28:56]).save(tmp_path / "corner.png")
    box = [0, 28 / 56, 27 / 56, 55 / 56]
    whole = run_cli("predict", digits_run.path, tmp_path / "sheet.png", "--json", "--crop", *box)
    corner = run_cli("predict", digits_run.path, tmp_path / "corner.png", "--json")
    found, wanted = (json.loads(outcome.out)[0]["predictions"] for outcome in (whole, corner))
    assert [guess["class"] for guess in found] == [guess["class"] for guess in wanted]
    assert [guess["score"] for guess in found] == pytest.approx(
        [guess["score"] for guess in wanted], abs=1e-5
    )
