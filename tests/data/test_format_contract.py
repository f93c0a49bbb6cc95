"""Every data format keeps the contract."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import webdataset
from contracts.format_contract import Files, FormatContract
from faulty_pictures import encode, smooth_pixels

from striate.data.convert import convert
from striate.data.dataset import POOL
from striate.data.load import load_data


class TestImageFolder(FormatContract):
    format = "image-folder"
    num_classes = 3
    counts: ClassVar[dict[str, int]] = {POOL: 8}

    def files(self) -> Files:
        names = ["rose/1.ppm", "rose/2.ppm", "daisy/1.ppm", "daisy/deep/1.ppm", "tulip/1.ppm"]
        files = {name: encode(smooth_pixels(9, 12, seed=i), "PPM") for i, name in enumerate(names)}
        files["tulip/grey.png"] = encode(smooth_pixels(7, 8, channels=1), "PNG")
        files["tulip/photo.jpg"] = encode(smooth_pixels(16, 10), "JPEG")
        files["tulip/ö 3.PNG"] = encode(smooth_pixels(5, 5), "PNG")
        return files

    def relabelled(self) -> Files:
        files = self.files()
        return files | {"daisy/2.ppm": files.pop("rose/2.ppm")}


class TestImageFolderWithSplits(TestImageFolder):
    counts: ClassVar[dict[str, int]] = {"train": 8, "val": 2, "test": 3}

    def files(self) -> Files:
        train = {f"train/{name}": content for name, content in super().files().items()}
        held_out = [f"valid/{label}/9.ppm" for label in ("rose", "daisy")]
        held_out += [f"test/{name}.ppm" for name in ("rose/8", "rose/9", "tulip/9")]
        return train | {name: encode(smooth_pixels(6, 6, seed=i), "PPM") for i, name in enumerate(held_out)}

    def relabelled(self) -> Files:
        files = self.files()
        return files | {"test/daisy/9.ppm": files.pop("test/rose/9.ppm")}


class TestGreyImageFolder(TestImageFolder):
    """All pictures grey: one channel."""

    def files(self) -> Files:
        names = [f"{label}/{k}.pgm" for label in "abc" for k in range(3)][:8]
        return {name: encode(smooth_pixels(9, 12, 1, seed=i), "PPM") for i, name in enumerate(names)}

    def relabelled(self) -> Files:
        files = self.files()
        return files | {"c/0b.pgm": files.pop("b/0.pgm")}


def write_zip(folder: Path, files: Files) -> Path:
    with zipfile.ZipFile(folder / "pictures.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"pictures/{name}", content)
    return folder / "pictures.zip"


class TestZip(TestImageFolder):
    def pack(self, folder: Path, files: Files) -> Path:
        return write_zip(folder, files)


class TestTar(TestImageFolder):
    suffix = ".tar"
    mode = "w"

    def pack(self, folder: Path, files: Files) -> Path:
        path = folder / f"pictures{self.suffix}"
        with tarfile.open(path, self.mode) as archive:  # type: ignore[call-overload]
            for name, content in files.items():
                info = tarfile.TarInfo(f"pictures/{name}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path


class TestCompressedTar(TestTar):
    suffix = ".tar.gz"
    mode = "w:gz"


def idx(values: np.ndarray) -> bytes:
    """The bytes of an IDX file."""
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()


class TestIdx(FormatContract):
    format = "idx"
    num_classes = 4
    counts: ClassVar[dict[str, int]] = {"train": 9, "test": 5}

    def files(self) -> Files:
        rng = np.random.default_rng(0)
        files = {}
        for part, count in (("train", 9), ("t10k", 5)):
            files[f"{part}-images-idx3-ubyte"] = idx(rng.integers(0, 256, (count, 6, 5), dtype=np.uint8))
            files[f"{part}-labels-idx1-ubyte"] = idx((np.arange(count) % 4).astype(np.uint8))
        return files

    def relabelled(self) -> Files:
        files = self.files()
        labels = files["t10k-labels-idx1-ubyte"]
        return files | {"t10k-labels-idx1-ubyte": labels[:-1] + bytes([3])}


class TestCompressedIdx(TestIdx):
    def pack(self, folder: Path, files: Files) -> Path:
        compressed = {f"{name}.gz": gzip.compress(content) for name, content in files.items()}
        return super().pack(folder, compressed)


class TestZippedIdx(TestIdx):
    def pack(self, folder: Path, files: Files) -> Path:
        return write_zip(folder, files)


class TestCifarBinary(FormatContract):
    format = "cifar-binary"
    name = "cifar10"
    num_classes = 10
    counts: ClassVar[dict[str, int]] = {"train": 10, "test": 3}

    def files(self) -> Files:
        rng = np.random.default_rng(0)
        records = [bytes([i % 10]) + rng.bytes(3072) for i in range(13)]
        train = {f"data_batch_{i + 1}.bin": records[2 * i] + records[2 * i + 1] for i in range(5)}
        return train | {"test_batch.bin": b"".join(records[10:])}

    def relabelled(self) -> Files:
        files = self.files()
        return files | {"test_batch.bin": bytes([9]) + files["test_batch.bin"][1:]}


class TestTarShards(TestImageFolderWithSplits):
    """As striate writes them, with an index."""

    format = "tar-shards"

    def pack(self, folder: Path, files: Files) -> Path:
        if not (folder / "pictures").exists():
            source = super().pack(folder / "source", files)
            convert(load_data(source), folder / "pictures", "tar-shards")
        return folder / "pictures"


class TestTarShardsWithoutIndex(FormatContract):
    """As WebDataset's own writer makes them."""

    format = "tar-shards"
    num_classes = 3
    counts: ClassVar[dict[str, int]] = {"train": 6, "test": 3}

    def files(self) -> Files:
        """Paths are shard/class id/key.suffix."""
        names = [f"set-train-{k % 2}.tar/{k % 3}/{k}.ppm" for k in range(5)] + ["set-train-1.tar/1/photo.jpg"]
        names += [f"set-test-0.tar/{k}/{k}.ppm" for k in range(3)]
        kinds = {".ppm": "PPM", ".jpg": "JPEG"}
        return {name: encode(smooth_pixels(9, 7, seed=i), kinds[name[-4:]]) for i, name in enumerate(names)}

    def relabelled(self) -> Files:
        files = self.files()
        return files | {"set-test-0.tar/1/0.ppm": files.pop("set-test-0.tar/0/0.ppm")}

    def pack(self, folder: Path, files: Files) -> Path:
        (folder / "pictures").mkdir(exist_ok=True)
        for shard in sorted({name.split("/")[0] for name in files}):
            with webdataset.TarWriter(str(folder / "pictures" / shard), mtime=0) as writer:
                for name in sorted(files):
                    key, suffix = name.split("/")[-1].split(".")
                    if name.startswith(shard):
                        label = name.split("/")[1]
                        writer.write({"__key__": key, suffix: files[name], "cls": label})
        return folder / "pictures"
