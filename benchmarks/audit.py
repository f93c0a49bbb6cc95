"""How many of 1,000 faults planted into a real set does the audit find, and what does it say of a clean one?

    python benchmarks/audit.py [FLOWERS.zip] [SEED]

The flowers (by default of the folder that STRIATE_DATA names) are unpacked into a temporary folder, split
75 / 15 / 10, and audited: what is found there is compared with ``flowers_copies.txt``, the copies that are
really in it. Then the faults are planted, and the audit runs again.
"""

import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from itertools import chain, combinations
from pathlib import Path

import numpy as np
from PIL import Image

from striate.audit import Audit, audit
from striate.data.load import load_data
from striate.data.split import split_dataset

KNOWN = Path(__file__).with_name("flowers_copies.txt")
PAGE = b"<!doctype html><html><head><title>404 Not Found</title></head><body>Not found</body></html>\n"

COPIES = {"duplicate", "near-duplicate", "mirrored", "leak", "conflict"}
UNREADABLE = {"unreadable", "truncated"}

Planted = tuple[str, set[str], tuple[str, ...]]  # kind of fault, kinds of finding that tell it, names


class Planter:
    """Plants faults into the folder ``root``, each from a picture that is used for no other."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.rng = np.random.default_rng(seed)
        names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
        self.left = [names[i] for i in self.rng.permutation(len(names))]

    def take(self, split: str = "train") -> str:
        """A picture of a split that was not used yet."""
        name = next(name for name in self.left if name.startswith(split + "/"))
        self.left.remove(name)
        return name

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def write(self, name: str, content: bytes) -> str:
        path = self.root / name
        assert not path.exists()
        path.write_bytes(content)
        return name

    def truncated(self) -> Planted:
        name = self.take()
        content = self.read(name)
        cut = content[: self.rng.integers(1, len(content))]
        (self.root / name).write_bytes(cut)
        return "truncated anywhere", UNREADABLE, (name,)

    def foreign(self) -> Planted:
        name = self.take()
        size = int(self.rng.integers(1, 5000))
        contents = (b"", PAGE, b"no picture\n" * 50, bytes(size), self.rng.bytes(size))
        (self.root / name).write_bytes(contents[self.rng.integers(len(contents))])
        return "other content", UNREADABLE, (name,)

    def misnamed(self) -> Planted:
        name = self.take()
        if self.rng.random() < 0.5:
            (self.root / name).write_bytes(encoded(opened(self.read(name)), "PNG"))
        else:
            other = str(Path(name).with_suffix(str(self.rng.choice([".png", ".webp", ".bmp"]))))
            name = (self.root / name).rename(self.root / other).relative_to(self.root).as_posix()
        return "wrong extension", {"wrong-suffix"}, (name,)

    def copied_file(self) -> Planted:
        name = self.take()
        return "exact copy, same file", COPIES, (name, self.write(beside(name), self.read(name)))

    def copied_pixels(self) -> Planted:
        name = self.take()
        copy = self.write(beside(name, ".png"), encoded(opened(self.read(name)), "PNG"))
        return "exact copy, stored as PNG", COPIES, (name, copy)

    def encoded_again(self) -> Planted:
        name = self.take()
        quality = int(self.rng.integers(30, 96))
        copy = self.write(beside(name), encoded(opened(self.read(name)), "JPEG", quality=quality))
        return "near copy, JPEG 30-95", COPIES, (name, copy)

    def resized(self) -> Planted:
        name = self.take()
        return "near copy, 50-150 %", COPIES, (name, self.write(beside(name), self._resize(name, 90)))

    def resized_and_encoded(self) -> Planted:
        name = self.take()
        content = self._resize(name, int(self.rng.integers(30, 96)))
        return "near copy, both", COPIES, (name, self.write(beside(name), content))

    def leaked_file(self) -> Planted:
        name = self.take("test")
        copy = self.write(beside(name.replace("test/", "train/", 1)), self.read(name))
        return "test picture in train, exact", {"leak"}, (name, copy)

    def leaked_near(self) -> Planted:
        name = self.take("test")
        content = self._resize(name, int(self.rng.integers(30, 96)))
        copy = self.write(beside(name.replace("test/", "train/", 1)), content)
        return "test picture in train, near", {"leak"}, (name, copy)

    def _resize(self, name: str, quality: int) -> bytes:
        image = opened(self.read(name))
        scale = self.rng.uniform(0.5, 1.5)
        size = (round(image.width * scale), round(image.height * scale))
        return encoded(image.resize(size, Image.Resampling.BICUBIC), "JPEG", quality=quality)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def beside(name: str, suffix: str = "") -> str:
    path = Path(name)
    return path.with_name(f"{path.stem}_copy{suffix or path.suffix}").as_posix()


def plant(root: Path, seed: int) -> list[Planted]:
    """1,000 faults."""
    planter = Planter(root, seed)
    plan: list[tuple[Callable[[], Planted], int]] = [
        (planter.truncated, 150),
        (planter.foreign, 50),
        (planter.misnamed, 150),
        (planter.copied_file, 100),
        (planter.copied_pixels, 50),
        (planter.encoded_again, 100),
        (planter.resized, 100),
        (planter.resized_and_encoded, 100),
        (planter.leaked_file, 100),
        (planter.leaked_near, 100),
    ]
    return [fault() for fault, count in plan for _ in range(count)]


def unpack(flowers: Path, root: Path) -> None:
    """The pictures as train, val and test folders of class folders."""
    dataset = split_dataset(load_data(flowers))
    with zipfile.ZipFile(flowers) as archive:
        contents = {name.split("/", 1)[1]: name for name in archive.namelist()}
        for split_name, split in dataset.splits.items():
            for name in split.names:
                path = root / split_name / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(contents[name]))


def original(name: str) -> str:
    """The picture that a file was made from: its name without folders, suffix and what planting adds."""
    return Path(name).stem.removesuffix("_copy")


def known_copies() -> set[frozenset[str]]:
    """Pairs of pictures that are copies in the set as it is published."""
    lines = [line for line in KNOWN.read_text().splitlines() if line and line[0] != "#"]
    groups = [[original(name) for name in line.split()] for line in lines]
    return {frozenset(pair) for group in groups for pair in combinations(group, 2)}


def told(result: Audit) -> Iterator[tuple[str, tuple[str, ...]]]:
    for finding in result.findings:
        yield finding.kind, tuple(result.entries[i].name for i in finding.entries)


def false_alarms(result: Audit, planted: set[str]) -> set[str]:
    """Pictures in a finding that is neither a planted fault nor a known copy."""
    known, wrong = known_copies(), set()
    for kind, names in told(result):
        pairs = combinations(names, 2) if kind in COPIES else ()
        genuine = [pair for pair in pairs if frozenset(map(original, pair)) in known]
        wrong |= set(names) - planted - set(chain(*genuine))
    return wrong


def main() -> None:
    default = Path(os.environ.get("STRIATE_DATA", "data")) / "flowers.zip"
    flowers = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "flowers"
        unpack(flowers, root)
        clean = audit(root)
        flagged = {name for _, names in told(clean) for name in names}
        wrong = false_alarms(clean, set())
        print(
            f"clean: {len(clean.entries):,} pictures, {len(flagged)} in findings, "
            f"{len(wrong)} of them wrongly ({100 * len(wrong) / len(clean.entries):.2f} %)"
        )
        faults = plant(root, seed)
        result = audit(root)
        findings = list(told(result))
        found: dict[str, list[bool]] = {}
        for fault, kinds, names in faults:
            hit = any(kind in kinds and set(names) <= set(seen) for kind, seen in findings)
            found.setdefault(fault, []).append(hit)
            if not hit:
                print(f"  missed: {fault}: {' '.join(names)}")
        print(f"\n{'fault':32}{'planted':>8}{'found':>8}{'recall':>10}")
        for fault, hits in found.items():
            print(f"{fault:32}{len(hits):8}{sum(hits):8}{100 * sum(hits) / len(hits):8.1f} %")
        wrong = false_alarms(result, {name for _, _, names in faults for name in names})
        print(f"\nfalse alarms among {len(result.entries):,}: {len(wrong)} {sorted(wrong)[:10]}")


if __name__ == "__main__":
    main()
