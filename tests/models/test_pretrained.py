"""Weights that others published: their cards, how they come here, and what happens if something is wrong."""

import hashlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import h5py
import keras
import keras_parity
import numpy as np
import pytest
import timm
import torch
import torchvision  # type: ignore[import-untyped]
from keras.src.applications import mobilenet as keras_mobilenet
from keras.src.applications import xception as keras_xception
from loopback import Site, serving
from parity import assert_close, randomize
from safetensors.torch import save_file
from small_data import draw_shapes
from timm.data import ImageNetInfo
from torch import nn

from striate.download import download
from striate.errors import InputError
from striate.files import read_tensors, write_tensors
from striate.models import pretrained
from striate.models.catalog import CATALOG, create_model
from striate.models.imagenet import imagenet_classes
from striate.models.key_maps.renaming import convert
from striate.models.published import WEIGHTS
from striate.run_folder import read_config

TORCHVISION = [name for name, card in WEIGHTS.items() if "download.pytorch.org" in card.url]
TIMM = {
    "inception_v4": "inception_v4",
    "se_resnet18": "legacy_seresnet18",
    "se_resnet34": "legacy_seresnet34",
    "se_resnet50": "legacy_seresnet50",
    "se_resnet101": "legacy_seresnet101",
    "se_resnet152": "legacy_seresnet152",
    "senet154": "legacy_senet154",
}
KERAS = ["xception", "mobilenet"]
REPORTED = {  # top-1, top-5, from the reference's list
    "alexnet": (56.5, 79.1),
    "vgg16": (71.6, 90.4),
    "vgg19": (72.4, 90.9),
    "googlenet": (69.8, 89.5),
    "inception_v3": (77.3, 93.5),
    "resnet34": (73.3, 91.4),
    "resnet50": (76.1, 92.9),
    "resnet101": (77.4, 93.5),
    "resnet152": (78.3, 94.0),
    "mobilenet_v2": (71.9, 90.3),
    "inception_v4": (80.1, 95.0),
    "se_resnet50": (77.7, 93.7),
    "senet154": (81.3, 95.5),
    "xception": (79.0, 94.5),
    "mobilenet": (70.4, 89.5),
}
NAME = "mobilenet_v2"  # small, for what holds for all


def test_the_cards_are_of_three_libraries_and_of_networks_of_the_catalogue() -> None:
    assert sorted(WEIGHTS) == sorted([*TORCHVISION, *TIMM, *KERAS])
    assert WEIGHTS.keys() <= CATALOG.keys()
    for name, card in WEIGHTS.items():
        assert card.url.startswith("https://")
        assert card.checksum is None or re.fullmatch("sha256:[0-9a-f]{8}|md5:[0-9a-f]{32}", card.checksum)
        assert (card.channels, card.fit, card.classes, card.num_classes) == (
            "RGB",
            "crop",
            "ImageNet-1k",
            1000,
        )
        assert card.license in ("BSD-3-Clause", "Apache-2.0", "MIT")
        assert CATALOG[name].minimum <= card.size <= card.resize
    assert len({card.file_name for card in WEIGHTS.values()}) == len(WEIGHTS)


@pytest.mark.parametrize("name", REPORTED)
def test_accuracies_are_those_reported(name: str) -> None:
    assert (WEIGHTS[name].top1, WEIGHTS[name].top5) == REPORTED[name]


@pytest.mark.parametrize("name", TORCHVISION)
def test_a_card_says_what_torchvision_says(name: str) -> None:
    card, theirs = WEIGHTS[name], torchvision.models.get_model_weights(name).IMAGENET1K_V1
    assert card.url == theirs.url
    assert theirs.url.endswith(f"-{card.checksum.removeprefix('sha256:')}.pth")
    reported = theirs.meta["_metrics"]["ImageNet-1K"]
    assert card.top1 == pytest.approx(reported["acc@1"], abs=0.0501)
    assert card.top5 == pytest.approx(reported["acc@5"], abs=0.0501)
    steps = theirs.transforms()
    assert ([card.size], [card.resize], card.interpolation) == (
        steps.crop_size,
        steps.resize_size,
        steps.interpolation.value,
    )
    if name in ("googlenet", "inception_v3"):
        # Built for these weights, torchvision's network first undoes what its preprocessing did.
        peer = build_peer(name, transform_input=True)
        pixels = torch.rand(1, 3, 4, 4)
        normalized = torchvision.transforms.functional.normalize(pixels, steps.mean, steps.std)
        seen = peer._transform_input(normalized)
    else:
        seen = pixels = torch.rand(1, 3, 4, 4)
        seen = torchvision.transforms.functional.normalize(pixels, steps.mean, steps.std)
    ours = torchvision.transforms.functional.normalize(pixels, card.mean, card.std)
    torch.testing.assert_close(ours, seen)


@pytest.mark.parametrize(("name", "theirs"), TIMM.items())
def test_a_card_says_what_timm_says(name: str, theirs: str) -> None:
    card = WEIGHTS[name]
    cfg = timm.get_pretrained_cfg(theirs)
    if cfg.hf_hub_id:
        assert card.url == f"https://huggingface.co/{cfg.hf_hub_id}/resolve/main/model.safetensors"
        assert card.checksum is None
    else:
        assert card.url == cfg.url
        assert cfg.url.endswith(f"-{card.checksum.removeprefix('sha256:')}.pth")
    assert (3, card.size, card.size) == cfg.input_size
    assert card.resize == int(card.size / cfg.crop_pct)
    assert (card.interpolation, card.mean, card.std) == (cfg.interpolation, cfg.mean, cfg.std)
    assert card.license.lower() == cfg.license


def test_the_cards_say_what_keras_says() -> None:
    card = WEIGHTS["xception"]
    assert card.url == keras_xception.WEIGHTS_PATH
    assert f'file_hash="{card.checksum.removeprefix("md5:")}"' in inspect.getsource(keras_xception)
    card = WEIGHTS["mobilenet"]
    assert card.url == keras_mobilenet.BASE_WEIGHT_PATH + "mobilenet_1_0_224_tf.h5"
    pixels = np.random.default_rng(0).integers(0, 256, (2, 2, 3)).astype("float32")
    for name, source in {"xception": keras_xception, "mobilenet": keras_mobilenet}.items():
        ours = (pixels / 255 - WEIGHTS[name].mean) / WEIGHTS[name].std
        np.testing.assert_allclose(source.preprocess_input(pixels.copy()), ours, atol=1e-6)


def test_the_classes_are_in_the_order_of_other_libraries() -> None:
    classes = imagenet_classes()
    assert [entry.wnid for entry in classes] == ImageNetInfo("imagenet-1k").label_names()
    theirs = torchvision.models.ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
    same = [words in entry.name for entry, words in zip(classes, theirs, strict=True)]
    assert sum(same) > 970  # they tell two cranes apart, for one
    assert (classes[0].name, classes[134].name, classes[517].name) == ("tench, Tinca tinca", "crane", "crane")


def build_peer(name: str, **options: Any) -> nn.Module:
    if name in TIMM:
        return timm.create_model(TIMM[name])
    if name in ("googlenet", "inception_v3"):
        options |= {"init_weights": False, "aux_logits": True}
    return getattr(torchvision.models, name)(**options)


@pytest.mark.parametrize("name", [*TORCHVISION, *(name for name in TIMM if name in WEIGHTS)])
def test_every_tensor_of_a_published_network_has_its_place(name: str) -> None:
    card = WEIGHTS[name]
    with torch.device("meta"):
        peer, model = build_peer(name), CATALOG[name].build(num_classes=1000, **card.arguments)
        theirs = {key: torch.zeros_like(value, device="cpu") for key, value in peer.state_dict().items()}
    assert convert(model, theirs, card.key_map).keys() == model.state_dict().keys()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache: the folder where weights are kept."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STRIATE_OFFLINE", raising=False)
    return tmp_path / "cache" / "weights"


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as opened:
        yield opened


def random_peer(name: str) -> nn.Module:
    with torch.device("meta"):
        peer = build_peer(name)
    peer = peer.to_empty(device="cpu").eval()
    for layer in peer.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.num_batches_tracked.zero_()
    randomize(peer)
    return peer


@pytest.fixture(scope="module")
def peer() -> nn.Module:
    return random_peer(NAME)


def pth(state: Any) -> bytes:
    buffer = BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.fixture
def publish(site: Site, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Serve bytes as the published file of a network, whose checksum they have unless another is given."""

    def serve(name: str, content: bytes, suffix: str, checksum: str | None = "true", prefix: str = "") -> str:
        true = hashlib.sha256(content).hexdigest()[:8]
        file_name = f"{prefix}{name}-{true}{suffix}"
        site.files[file_name] = content
        card = replace(
            WEIGHTS[name],
            url=f"{site.address}/{file_name}",
            file_name=file_name,
            checksum=f"sha256:{true}" if checksum == "true" else checksum,
        )
        monkeypatch.setitem(WEIGHTS, name, card)
        return file_name

    return serve


def assert_same(model: nn.Module, peer: nn.Module, size: int = 64) -> None:
    pictures = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert_close(model.eval()(pictures), peer.eval()(pictures))


def test_a_network_comes_with_its_published_weights_downloaded_once(
    peer: nn.Module, publish: Any, site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = pth(peer.state_dict())
    file_name = publish(NAME, content, ".pth")
    assert_same(create_model(NAME, pretrained=True), peer)
    assert [path.name for path in cache.iterdir()] == [f"{NAME}.safetensors"]
    facts = read_tensors(cache / f"{NAME}.safetensors")[1]
    assert facts["checksum"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert facts["url"] == f"{site.address}/{file_name}"
    site.files.clear()
    monkeypatch.setenv("STRIATE_OFFLINE", "1")
    first, second = (create_model(NAME, pretrained=True) for _ in range(2))
    assert_same(first, peer)
    assert site.asked == [file_name]
    places = {tensor.data_ptr() for tensor in first.state_dict().values()}
    assert not any(tensor.data_ptr() in places for tensor in second.state_dict().values())


def test_it_trains_like_any_other(peer: nn.Module, publish: Any, cache: Path) -> None:
    publish(NAME, pth(peer.state_dict()), ".pth")
    model = create_model(NAME, 3, pretrained=True).train()
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("auxiliary", [False, True])
def test_auxiliary_heads_are_kept_where_they_are_wanted(publish: Any, cache: Path, auxiliary: bool) -> None:
    peer = random_peer("googlenet")
    publish("googlenet", pth(peer.state_dict()), ".pth")
    model = create_model("googlenet", pretrained=True, auxiliary=auxiliary)
    assert_same(model, peer)
    x = torch.randn(2, 3, 64, 64)
    peer.training = True  # of the network alone, not of its layers: it gives all logits
    with torch.no_grad():
        theirs = peer(x)
        heads = model.auxiliary(x, model.features(x))
    assert list(heads) == (["auxiliary1", "auxiliary2"] if auxiliary else [])
    for name, logits in heads.items():
        assert_close(logits, getattr(theirs, name.replace("auxiliary", "aux_logits")))


def test_the_hub_says_what_a_file_must_be_and_the_commit_is_kept(
    peer: nn.Module, publish: Any, site: Site, cache: Path, tmp_path: Path
) -> None:
    save_file(peer.state_dict(), tmp_path / "model.safetensors")
    content = (tmp_path / "model.safetensors").read_bytes()
    file_name = publish(NAME, content, ".safetensors", checksum=None)
    site.files["blob"] = site.files.pop(file_name)
    stated = {"X-Linked-Etag": f'"{"0" * 64}"', "X-Repo-Commit": "c0ffee"}
    site.redirects[file_name] = ("blob", stated)
    with pytest.raises(InputError, match="has the checksum"):
        create_model(NAME, pretrained=True)
    assert list(cache.iterdir()) == []
    stated["X-Linked-Etag"] = f'"{hashlib.sha256(content).hexdigest()}"'
    assert_same(create_model(NAME, pretrained=True), peer)
    assert read_tensors(cache / f"{NAME}.safetensors")[1]["commit"] == "c0ffee"


# Keras's files


def write_h5(model: keras.Model, path: Path, top: str = "", parts: int = 1, words: Any = str) -> Path:
    """As Keras 1 and 2 wrote weights: a group per layer, names of layers and weights as attributes."""
    with h5py.File(path, "w") as file:
        root = file.create_group(top) if top else file
        names = [layer.name.encode() for layer in model.layers]
        for part in range(parts):  # long lists are cut, because attributes are short
            key = f"layer_names{part}" if parts > 1 else "layer_names"
            root.attrs[key] = names[part * len(names) // parts : (part + 1) * len(names) // parts]
        for layer in model.layers:
            group = root.create_group(layer.name)
            group.attrs["weight_names"] = []
        weights: dict[str, list[bytes]] = {}
        for layer, word, values in keras_parity.weights(model):
            name = words(f"{layer.name}/{word}") + ":0"
            root[layer.name].create_dataset(name, data=values.numpy())
            weights.setdefault(layer.name, []).append(name.encode())
        for name, written in weights.items():
            root[name].attrs["weight_names"] = written
    return path


def assert_same_as_keras(model: nn.Module, peer: keras.Model) -> None:
    height, width, channels = peer.input_shape[1:]
    pictures = torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert_close(model.eval()(pictures), peer(pictures.permute(0, 2, 3, 1), training=False))


@pytest.fixture(scope="module")
def keras_peer() -> keras.Model:
    model = keras.applications.MobileNet((64, 64, 3), weights=None, classifier_activation=None)
    keras_parity.randomize(model)
    return model


@pytest.mark.parametrize(("top", "parts"), [("", 1), ("model_weights", 3)])
def test_the_h5_of_mobilenet_is_read_from_the_layout_of_older_keras(
    keras_peer: keras.Model, publish: Any, cache: Path, tmp_path: Path, top: str, parts: int
) -> None:
    content = write_h5(keras_peer, tmp_path / "a.h5", top, parts).read_bytes()
    publish("mobilenet", content, ".h5", checksum=None)
    assert_same_as_keras(create_model("mobilenet", pretrained=True), keras_peer)
    facts = read_tensors(cache / "mobilenet.safetensors")[1]
    assert facts["checksum"] == f"sha256:{hashlib.sha256(content).hexdigest()}"


def in_words_of_keras_1(name: str) -> str:
    layer, word = name.split("/")
    words = {"kernel": "W", "bias": "b", "moving_mean": "running_mean", "moving_variance": "running_std"}
    return f"{layer}_{words.get(word, word)}"


def test_the_h5_of_xception_is_read_in_the_words_of_keras_1(tmp_path: Path) -> None:
    keras.utils.clear_session()
    peer = keras.applications.Xception(weights=None, input_shape=(71, 71, 3), classifier_activation=None)
    keras_parity.randomize(peer)
    path = write_h5(peer, tmp_path / "a.h5", words=in_words_of_keras_1)
    assert_same_as_keras(create_model("xception", weights=path), peer)


def test_an_h5_that_points_elsewhere_is_refused(keras_peer: keras.Model, tmp_path: Path) -> None:
    path, other = write_h5(keras_peer, tmp_path / "a.h5"), tmp_path / "other.h5"
    with h5py.File(path, "r+") as file, h5py.File(other, "w") as elsewhere:
        elsewhere["kernel"] = file["conv1/conv1/kernel:0"][()]
        del file["conv1/conv1/kernel:0"]
        file["conv1/conv1/kernel:0"] = h5py.ExternalLink(other.name, "kernel")
    with pytest.raises(InputError, match="conv1/conv1/kernel:0 is a link"):
        create_model("mobilenet", weights=path)
    with h5py.File(path, "r+") as file:
        del file["conv1/conv1/kernel:0"]
        raw = [(str(tmp_path / "raw"), 0, h5py.h5f.UNLIMITED)]
        file["conv1"].create_dataset("conv1/kernel:0", (3, 3, 3, 32), "float32", external=raw)
    with pytest.raises(InputError, match="conv1/conv1/kernel:0 lies in another file"):
        create_model("mobilenet", weights=path)


def test_an_h5_with_a_link_anywhere_is_refused(keras_peer: keras.Model, tmp_path: Path) -> None:
    path, other = tmp_path / "a.h5", write_h5(keras_peer, tmp_path / "other.h5", "model_weights")
    with h5py.File(path, "w") as file:
        file["model_weights"] = h5py.ExternalLink(other.name, "model_weights")
    with pytest.raises(InputError, match="model_weights is a link"):
        create_model("mobilenet", weights=path)
    create_model("mobilenet", weights=other)


def test_an_h5_that_claims_more_than_it_holds_is_refused(keras_peer: keras.Model, tmp_path: Path) -> None:
    path = write_h5(keras_peer, tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        del file["conv1/conv1/kernel:0"]
        file["conv1"].create_dataset("conv1/kernel:0", (2**20, 2**20), "float32", chunks=(1024, 1024))
    with pytest.raises(InputError, match="conv1/conv1/kernel:0 is larger than its file"):
        create_model("mobilenet", weights=path)


@pytest.mark.parametrize("fault", ["no layers", "a word", "a missing weight"])
def test_an_h5_of_another_layout_is_refused(keras_peer: keras.Model, tmp_path: Path, fault: str) -> None:
    path = write_h5(keras_peer, tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        if fault == "no layers":
            del file.attrs["layer_names"]
        elif fault == "a word":
            file["conv1/conv1/colonel:0"] = file["conv1/conv1/kernel:0"][()]
            file["conv1"].attrs["weight_names"] = [b"conv1/colonel:0"]
        else:
            del file["conv1/conv1/kernel:0"]
    with pytest.raises(InputError) as caught:
        create_model("mobilenet", weights=path)
    told = {"no layers": "layer_names", "a word": "conv1/conv1/colonel:0", "a missing weight": "kernel:0"}
    assert told[fault] in caught.value.what
    assert caught.value.where == str(path)


# Local files


@pytest.mark.parametrize("kind", [".pth", ".pt", ".safetensors", "folder", "ours"])
def test_a_local_file_or_folder_does_as_well(peer: nn.Module, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"weights{kind}"
    if kind == "ours":
        own = create_model(NAME)
        own.load_state_dict(convert(own, peer.state_dict(), WEIGHTS[NAME].key_map))
        path = tmp_path / "weights.safetensors"
        save_file(own.state_dict(), path)
    elif kind == "folder":
        path.mkdir()
        save_file(peer.state_dict(), path / "model.safetensors")
    elif kind == ".safetensors":
        save_file(peer.state_dict(), path)
    else:
        torch.save(peer.state_dict(), path)
    assert_same(create_model(NAME, weights=path), peer)


def test_the_weights_of_a_run_are_its_backbones(digits_run: Any) -> None:
    found = create_model("lenet5", weights=digits_run.path).state_dict()
    expected = digits_run.model.backbone.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_weights_in_half_precision_become_single(peer: nn.Module, tmp_path: Path) -> None:
    half = {k: v.half() if v.is_floating_point() else v for k, v in peer.state_dict().items()}
    torch.save(half, tmp_path / "half.pth")
    model = create_model(NAME, weights=tmp_path / "half.pth")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model.head[1].weight, half["classifier.1.weight"].float())


@pytest.mark.parametrize("kind", ["published", "theirs", "ours"])
def test_with_other_classes_only_the_last_layer_is_fresh(
    peer: nn.Module, publish: Any, cache: Path, tmp_path: Path, kind: str
) -> None:
    if kind == "published":
        publish(NAME, pth(peer.state_dict()), ".pth")
        make = partial(create_model, NAME, pretrained=True)
    elif kind == "theirs":
        torch.save(peer.state_dict(), tmp_path / "weights.pth")
        make = partial(create_model, NAME, weights=tmp_path / "weights.pth")
    else:
        save_file(create_model(NAME).state_dict(), tmp_path / "weights.safetensors")
        make = partial(create_model, NAME, weights=tmp_path / "weights.safetensors")
    whole, first, second = (
        make().state_dict(),
        make(num_classes=7).state_dict(),
        make(num_classes=7).state_dict(),
    )
    assert first.keys() == whole.keys()
    fresh = {name for name, tensor in first.items() if not torch.equal(tensor, second[name])}
    assert fresh == {"head.1.weight", "head.1.bias"}
    assert all(torch.equal(first[name], whole[name]) for name in first.keys() - fresh)
    assert first["head.1.weight"].shape == (7, 1280)
    assert 0 < first["head.1.weight"].abs().max() < 1
    same = make(num_classes=1000).state_dict()
    assert all(torch.equal(same[name], whole[name]) for name in whole)


def test_weights_of_the_classes_asked_for_are_all_kept(tmp_path: Path) -> None:
    peer = torchvision.models.mobilenet_v2(num_classes=7)
    torch.save(peer.state_dict(), tmp_path / "seven.pth")
    assert_same(create_model(NAME, 7, weights=tmp_path / "seven.pth"), peer)
    with pytest.raises(InputError, match=r"classifier.1.\w+ is \(7,.* of this network \(1000,"):
        create_model(NAME, weights=tmp_path / "seven.pth")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("vgg11", {"width": 0.05}),
        ("googlenet", {"width": 0.1, "auxiliary": True}),
        ("xception", {"width": 0.05}),
        ("resnet20", {"width": 0.25}),
        ("capsnet", {"width": 0.05}),  # its classes lie behind capsules, in head and decoder
        ("capsnet", {"width": 0.05, "decoder": False}),
    ],
)
def test_any_network_goes_on_with_its_own_weights_and_with_other_classes(
    tmp_path: Path, name: str, arguments: dict[str, Any]
) -> None:
    file = tmp_path / "weights.safetensors"
    own = create_model(name, 4, **arguments).state_dict()
    save_file(own, file)
    same = create_model(name, 4, weights=file, **arguments).state_dict()
    assert all(torch.equal(same[key], value) for key, value in own.items())
    for classes in (2, 4, 9):
        fresh = create_model(name, classes, weights=file, fresh_head=True, **arguments).state_dict()
        kept = {key for key, value in own.items() if torch.equal(fresh[key], value)}
        assert all("head" in key or key == "decoder.0.weight" for key in own.keys() - kept)
        assert own.keys() - kept, "the head is new"


# What is wrong with files


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.path,)


def spoiled(peer: nn.Module, fault: str, tmp_path: Path) -> bytes:
    state = dict(peer.state_dict())
    if fault == "another network's":
        return pth(torchvision.models.squeezenet1_1().state_dict())
    if fault == "of another shape":
        state["features.3.conv.1.0.weight"] = torch.zeros(144, 1, 5, 5)
    elif fault == "a tensor short":
        del state["features.3.conv.1.0.weight"]
    elif fault == "code":
        state["features.3.conv.1.0.weight"] = Bomb(tmp_path / "boom")  # type: ignore[assignment]
    elif fault == "a whole module":
        return pth(nn.Linear(2, 2))
    elif fault == "a list":
        return pth([torch.zeros(1)])
    content = pth(state)
    if fault == "cut off":
        return content[: len(content) // 2]
    if fault == "text":
        return b"<html>404</html>"
    return b"" if fault == "empty" else content


FAULTS = {
    "another network's": "which this network does not have",
    "of another shape": r"features.3.conv.1.0.weight is \(144, 1, 5, 5\)",
    "a tensor short": r"lack stages.stage2.1.residual.1.conv.weight",
    "code": "cannot read the tensors",
    "a whole module": "cannot read the tensors",
    "a list": "more than tensors by name",
    "cut off": "cannot read the tensors",
    "text": "cannot read the tensors",
    "empty": "cannot read the tensors",
}


@pytest.mark.parametrize(("fault", "told"), FAULTS.items())
def test_a_local_file_that_is_wrong_is_an_input_error(
    peer: nn.Module, tmp_path: Path, fault: str, told: str
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(spoiled(peer, fault, tmp_path))
    with pytest.raises(InputError, match=told) as caught:
        create_model(NAME, weights=path)
    assert caught.value.where == str(path)
    assert caught.value.what_to_do
    assert [file.name for file in tmp_path.iterdir()] == ["weights.pth"]  # nothing went off


@pytest.mark.parametrize(
    "kind", ["sparse", "complex", "meta", "boolean", "whole", "nan", "too large", "vast"]
)
def test_values_that_are_no_weights_are_refused_by_name(peer: nn.Module, tmp_path: Path, kind: str) -> None:
    name = "features.0.0.weight"
    values = peer.state_dict()[name]
    values, told = {
        "sparse": (values.to_sparse(), "no dense tensor of numbers: float32, sparse_coo"),
        "complex": (values.to(torch.complex64), "no dense tensor of numbers: complex64"),
        "meta": (values.to("meta"), "no dense tensor of numbers: float32, meta"),
        "boolean": (values.bool(), "no dense tensor of numbers: bool"),
        "whole": (values.long(), "holds torch.int64"),
        "nan": (values.index_fill(0, torch.tensor([31]), torch.nan), "not all finite"),
        "too large": (values.double() + 1e300, "not all finite"),  # for single precision
        "vast": (torch.zeros(1, dtype=torch.float16).expand(2**50), r"is \(1125899906842624,\)"),
    }[kind]
    torch.save(peer.state_dict() | {name: values}, tmp_path / "weights.pth")
    with pytest.raises(InputError, match=f"({name}|of stem.conv.weight) .*{told}") as caught:
        create_model(NAME, weights=tmp_path / "weights.pth")
    assert caught.value.where == str(tmp_path / "weights.pth")


def test_a_pth_that_unpacks_to_more_than_it_is_is_refused_unread(peer: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    state = peer.state_dict() | {"classifier.1.weight": torch.zeros(1000, 1280)}
    with ZipFile(BytesIO(pth(state))) as plain, ZipFile(path, "w", ZIP_DEFLATED) as packed:
        for entry in plain.namelist():
            packed.writestr(entry, plain.read(entry))
    with pytest.raises(InputError, match="cannot read the tensors"):
        create_model(NAME, weights=path)


def test_a_file_in_the_cache_that_striate_made_of_something_else_is_replaced(
    peer: nn.Module, publish: Any, cache: Path
) -> None:
    publish(NAME, pth(peer.state_dict()), ".pth")
    cache.mkdir(parents=True)
    write_tensors(cache / f"{NAME}.safetensors", {"head.weight": torch.zeros(1)}, {})
    assert_same(create_model(NAME, pretrained=True), peer)


def test_another_process_that_downloads_the_same_is_not_disturbed(
    peer: nn.Module, publish: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_name = publish(NAME, pth(peer.state_dict()), ".pth")

    def meanwhile(*arguments: Any, **options: Any) -> str:
        commit = download(*arguments, **options)
        (cache / file_name).unlink(missing_ok=True)  # the other has converted its own, and cleans up
        return commit

    monkeypatch.setattr(pretrained, "download", meanwhile)
    assert_same(create_model(NAME, pretrained=True), peer)
    assert [path.name for path in cache.iterdir()] == [f"{NAME}.safetensors"]


@pytest.mark.parametrize(("fault", "told"), FAULTS.items())
def test_a_published_file_that_is_wrong_leaves_nothing_behind(
    peer: nn.Module, publish: Any, cache: Path, tmp_path: Path, fault: str, told: str
) -> None:
    publish(NAME, spoiled(peer, fault, tmp_path), ".pth")
    with pytest.raises(InputError, match=told):
        create_model(NAME, pretrained=True)
    assert list(cache.iterdir()) == []
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("fault", ["short", "altered"])
def test_a_published_file_that_changed_on_the_way_leaves_nothing_behind(
    peer: nn.Module, publish: Any, site: Site, cache: Path, fault: str
) -> None:
    content = pth(peer.state_dict())
    file_name = publish(NAME, content, ".pth", prefix="short" if fault == "short" else "")
    if fault == "altered":
        site.files[file_name] = content[:-100_000] + bytes([content[-100_000] ^ 1]) + content[-99_999:]
    with pytest.raises(InputError, match=r"has the checksum|broke off|IncompleteRead"):
        create_model(NAME, pretrained=True)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("suffix", [".safetensors", ".h5"])
def test_other_formats_cut_off_are_an_input_error(
    peer: nn.Module, keras_peer: keras.Model, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    if suffix == ".h5":
        write_h5(keras_peer, path)
    else:
        save_file(peer.state_dict(), path)
    content = path.read_bytes()
    for length in (0, 5, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match="cannot read the tensors") as caught:
            create_model("mobilenet" if suffix == ".h5" else NAME, weights=path)
        assert caught.value.where == str(path)


def test_a_file_altered_in_the_cache_or_under_its_published_name_is_found_out(
    peer: nn.Module, publish: Any, cache: Path, tmp_path: Path
) -> None:
    content = pth(peer.state_dict())
    file_name = publish(NAME, content, ".pth")
    create_model(NAME, pretrained=True)
    cached = cache / f"{NAME}.safetensors"
    for path, kept in ((cached, cached.read_bytes()), (tmp_path / file_name, content)):
        path.write_bytes(kept[:-100_000] + bytes([kept[-100_000] ^ 1]) + kept[-99_999:])
        with pytest.raises(InputError, match=r"altered|not what was downloaded or published") as caught:
            create_model(NAME, pretrained=True, weights=None if path == cached else path)
        assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("file", "told"), [("none.pth", "no such file"), ("weights.onnx", "not read from .onnx")]
)
def test_files_that_are_not_there_or_of_another_kind(tmp_path: Path, file: str, told: str) -> None:
    (tmp_path / "weights.onnx").touch()
    with pytest.raises(InputError, match=told):
        create_model(NAME, weights=tmp_path / file)
    with pytest.raises(InputError, match="no such file") as caught:
        create_model(NAME, weights=tmp_path)
    assert caught.value.where == str(tmp_path / "model.safetensors")


# What cannot be asked for


def test_offline_says_which_file_is_wanted_where_and_takes_it_from_there(
    peer: nn.Module, publish: Any, site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = pth(peer.state_dict())
    file_name = publish(NAME, content, ".pth")
    monkeypatch.setenv("STRIATE_OFFLINE", "1")
    with pytest.raises(InputError, match="STRIATE_OFFLINE") as caught:
        create_model(NAME, pretrained=True)
    assert caught.value.where == str(cache / file_name)
    assert f"{site.address}/{file_name}" in caught.value.what_to_do
    assert not cache.exists()
    cache.mkdir(parents=True)
    (cache / file_name).write_bytes(content[:-1])
    with pytest.raises(InputError, match="not what was downloaded or published"):
        create_model(NAME, pretrained=True)
    (cache / file_name).write_bytes(content)
    for _ in range(2):
        assert_same(create_model(NAME, pretrained=True), peer)
    assert sorted(path.name for path in cache.iterdir()) == [file_name, f"{NAME}.safetensors"]
    assert site.asked == []


def test_weights_of_another_address_replace_those_in_the_cache(
    peer: nn.Module, publish: Any, site: Site, cache: Path
) -> None:
    newer = random_peer(NAME)
    randomize(newer, seed=5)
    for published in (peer, newer):
        publish(NAME, pth(published.state_dict()), ".pth")
        assert_same(create_model(NAME, pretrained=True), published)
    assert len(site.asked) == 2
    assert len(list(cache.iterdir())) == 1


def test_published_weights_want_colour_pictures(cache: Path) -> None:
    with pytest.raises(InputError, match="pictures of 3 channels") as caught:
        create_model(NAME, in_channels=1, pretrained=True)
    assert caught.value.where == "in_channels = 1"


def test_published_weights_want_the_network_as_it_was_published(
    peer: nn.Module, publish: Any, cache: Path
) -> None:
    publish(NAME, pth(peer.state_dict()), ".pth")
    with pytest.raises(InputError, match=r"stem.conv.weight is \(32, .* of this network \(16, "):
        create_model(NAME, pretrained=True, width=0.5)
    assert_same(create_model(NAME, pretrained=True), peer)  # and the cache is as it was


def test_nothing_is_published_of_most_networks_of_this_catalogue() -> None:
    with pytest.raises(InputError, match="no weights of lenet5 are published") as caught:
        create_model("lenet5", pretrained=True)
    assert "resnet50" in caught.value.what_to_do


def test_one_command_goes_from_published_weights_to_a_trained_run(
    publish: Any, site: Site, cache: Path, run_cli: Any, tmp_path: Path
) -> None:
    """Download, checksum, conversion, another head, two phases."""
    keras.utils.clear_session()  # it numbers the unnamed shortcuts from the start of the session
    keras.utils.set_random_seed(0)
    peer = keras.applications.Xception(weights=None)
    content = write_h5(peer, tmp_path / "a.h5").read_bytes()
    true = hashlib.md5(content, usedforsecurity=False).hexdigest()
    file_name = publish("xception", content, ".h5", checksum=f"md5:{true}")
    data = draw_shapes(tmp_path / "shapes", 8, side=80)
    arguments = ("train", data, "--model", "xception", "--pretrained", "--image-size", 75, "--epochs", 3)
    outcome = run_cli(*arguments, "--out", tmp_path / "run", "--set", "train.clip_norm=1")
    assert outcome.code == 0, outcome.err
    assert site.asked == [file_name]
    lines = outcome.err.splitlines()
    assert [line.partition(",")[0] for line in lines if line.startswith("phase")] == [
        "phase 1 of 2: 1 epoch",
        "phase 2 of 2: 2 epochs",
    ]
    config = read_config(tmp_path / "run")
    assert config.classes == ("disc", "square")
    look = config.input  # the card's: 299 of 342 pixels, bicubic, by halves
    assert (look.size, look.resize, look.interpolation) == ((75, 75), round(342 * 75 / 299), "bicubic")
    assert (look.mean, look.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    tensors, _ = read_tensors(tmp_path / "run" / "model.safetensors")
    assert tensors["backbone.head.1.weight"].shape == (2, 2048)
    start = create_model("xception", pretrained=True).state_dict()
    stem = next(name for name, value in start.items() if value.ndim == 4)
    last, _ = read_tensors(tmp_path / "run" / "checkpoint" / "state.safetensors")
    moved = (last[f"model/backbone.{stem}"] - start[stem]).abs().max()
    assert 0 < moved < 0.1  # the second phase went on from there


def test_a_published_file_that_was_altered_starts_no_run(
    publish: Any, cache: Path, run_cli: Any, tmp_path: Path
) -> None:
    publish("mobilenet_v2", b"something else", ".pth", checksum="sha256:00000000")
    outcome = run_cli("train", "digits", "--model", "mobilenet_v2", "--pretrained", "--out", tmp_path / "run")
    assert outcome.code == 2
    assert "checksum" in outcome.err
    assert not (tmp_path / "run").exists()
