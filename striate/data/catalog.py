"""Data sets by name: what they are, and where their files are published.

Checksums are those that the publishers, torchvision or TensorFlow Datasets print; files that somebody
put in place by hand are not compared with them, since the same data may be compressed differently.
"""

import fnmatch
from dataclasses import dataclass

from striate.data.formats import cifar_binary
from striate.download import RemoteFile

_DIGITS = tuple("0123456789")
_GOOGLE = "https://storage.googleapis.com"


@dataclass(frozen=True)
class CatalogEntry:
    """A data set's facts.

    Attributes:
        title: what it is, in one line.
        kind: "built-in", or "download".
        format: which reader takes it.
        task: what can be learned from it.
        classes: names by class id.
        counts: pictures per split, as published.
        picture: size and colour of its pictures.
        licence: as its authors state it.
        homepage: where it is described.
        files: what to download.
    """

    title: str
    kind: str
    format: str
    task: str
    classes: tuple[str, ...]
    counts: dict[str, int]
    picture: str
    licence: str
    homepage: str
    files: tuple[RemoteFile, ...] = ()


def list_datasets(pattern: str = "*") -> list[str]:
    """The names of the catalogue that match ``pattern`` (with * and ?), in the catalogue's order."""
    return [name for name in CATALOG if fnmatch.fnmatchcase(name, pattern)]


def _idx_files(bases: tuple[str, ...], facts: dict[str, tuple[str, int]]) -> tuple[RemoteFile, ...]:
    """MNIST's four files below each of ``bases``; ``facts`` are SHA-256 and size by name."""
    return tuple(
        RemoteFile(f"{name}.gz", tuple(f"{base}/{name}.gz" for base in bases), f"sha256:{sha256}", size)
        for name, (sha256, size) in facts.items()
    )


CATALOG: dict[str, CatalogEntry] = {
    "digits": CatalogEntry(
        title="Handwritten digits of the UCI repository, within scikit-learn",
        kind="built-in",
        format="built-in",
        task="classification",
        classes=_DIGITS,
        counts={"all": 1797},
        picture="8x8 grey",
        licence="CC BY 4.0",
        homepage="https://archive.ics.uci.edu/dataset/80",
    ),
    "photographs": CatalogEntry(
        title="Two photographs to look at layers with, within scikit-learn",
        kind="built-in",
        format="built-in",
        task="classification",
        classes=("china", "flower"),
        counts={"all": 2},
        picture="640x427 RGB",
        licence="CC BY 2.0",
        homepage="https://scikit-learn.org/stable/datasets/loading_other_datasets.html",
    ),
    "scenes": CatalogEntry(
        title="Generated pictures of three to eight handwritten digits, with exact boxes",
        kind="built-in",
        format="built-in",
        task="detection",
        classes=_DIGITS,
        counts={"train": 2000, "val": 250, "test": 250},
        picture="160x160 RGB",
        licence="CC BY 4.0",
        homepage="https://archive.ics.uci.edu/dataset/80",
    ),
    "scenes-one": CatalogEntry(
        title="Generated pictures of one handwritten digit, with its exact box",
        kind="built-in",
        format="built-in",
        task="localization",
        classes=_DIGITS,
        counts={"train": 2000, "val": 250, "test": 250},
        picture="160x160 RGB",
        licence="CC BY 4.0",
        homepage="https://archive.ics.uci.edu/dataset/80",
    ),
    "scenes-windows": CatalogEntry(
        title="Windows of generated pictures: a handwritten digit with its box, or none",
        kind="built-in",
        format="built-in",
        task="localization",
        classes=_DIGITS,
        counts={"train": 8000, "val": 1000, "test": 1000},
        picture="64x64 RGB",
        licence="CC BY 4.0",
        homepage="https://archive.ics.uci.edu/dataset/80",
    ),
    "mnist": CatalogEntry(
        title="MNIST, handwritten digits",
        kind="download",
        format="idx",
        task="classification",
        classes=_DIGITS,
        counts={"train": 60_000, "test": 10_000},
        picture="28x28 grey",
        licence="CC BY-SA 3.0",
        homepage="http://yann.lecun.com/exdb/mnist/",
        files=_idx_files(
            ("https://ossci-datasets.s3.amazonaws.com/mnist", f"{_GOOGLE}/cvdf-datasets/mnist"),
            {
                "train-images-idx3-ubyte": (
                    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                    9_912_422,
                ),
                "train-labels-idx1-ubyte": (
                    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                    28_881,
                ),
                "t10k-images-idx3-ubyte": (
                    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                    1_648_877,
                ),
                "t10k-labels-idx1-ubyte": (
                    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                    4_542,
                ),
            },
        ),
    ),
    "fashion-mnist": CatalogEntry(
        title="Fashion-MNIST, articles of clothing",
        kind="download",
        format="idx",
        task="classification",
        classes=(
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
            "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
        ),
        counts={"train": 60_000, "test": 10_000},
        picture="28x28 grey",
        licence="MIT",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        files=_idx_files(
            (
                "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            ),
            {
                "train-images-idx3-ubyte": (
                    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                    26_421_880,
                ),
                "train-labels-idx1-ubyte": (
                    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                    29_515,
                ),
                "t10k-images-idx3-ubyte": (
                    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                    4_422_102,
                ),
                "t10k-labels-idx1-ubyte": (
                    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                    5_148,
                ),
            },
        ),
    ),
    "cifar10": CatalogEntry(
        title="CIFAR-10, small photographs of things and animals",
        kind="download",
        format="cifar-binary",
        task="classification",
        classes=cifar_binary.CLASSES,
        counts={"train": 50_000, "test": 10_000},
        picture="32x32 RGB",
        licence="none stated; its authors ask to be cited",
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        files=(
            RemoteFile(
                "cifar-10-binary.tar.gz",
                ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
                "md5:c32a1d4ab5d03f1284b67883e8d87530",
                170_052_171,
            ),
        ),
    ),
    "flowers": CatalogEntry(
        title="TensorFlow's flower photographs",
        kind="download",
        format="image-folder",
        task="classification",
        classes=("daisy", "dandelion", "roses", "sunflowers", "tulips"),
        counts={"all": 3670},
        picture="RGB of many sizes, about 320x240",
        licence="CC BY 2.0",
        homepage="https://www.tensorflow.org/datasets/catalog/tf_flowers",
        files=(
            RemoteFile(
                "flower_photos.tgz",
                (
                    f"{_GOOGLE}/download.tensorflow.org/example_images/flower_photos.tgz",
                    "http://download.tensorflow.org/example_images/flower_photos.tgz",
                ),
                "sha256:4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",
                228_813_984,
            ),
        ),
    ),
    "bccd": CatalogEntry(
        title="Blood cells under a microscope, with boxes",
        kind="download",
        format="voc",
        task="detection",
        classes=("Platelets", "RBC", "WBC"),
        counts={"train": 205, "val": 87, "test": 72},
        picture="640x480 RGB",
        licence="MIT",
        homepage="https://github.com/Shenggan/BCCD_Dataset",
        files=(  # an archive that is made anew when it is asked for: nobody publishes its checksum
            RemoteFile(
                "master.zip", ("https://github.com/Shenggan/BCCD_Dataset/archive/refs/heads/master.zip",)
            ),
        ),
    ),
}  # fmt: skip
