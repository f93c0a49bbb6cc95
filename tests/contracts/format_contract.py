"""What every data format keeps: a new one says what its files look like and inherits these tests."""

import pickle
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import torch

from striate.data.dataset import Dataset
from striate.data.load import load_data

Files = dict[str, bytes]  # relative path -> content


class FormatContract(ABC):
    """The tests of one format; the data set is small and in order.

    Attributes:
        format: what ``Dataset.format`` says.
        name: what ``Dataset.name`` says of data in a folder or archive called "pictures".
        num_classes: of the data set.
        counts: pictures in each split.
        task: what can be learned from it.
    """

    task: ClassVar[str] = "classification"
    format: ClassVar[str]
    name: ClassVar[str] = "pictures"
    num_classes: ClassVar[int]
    counts: ClassVar[dict[str, int]]

    @abstractmethod
    def files(self) -> Files:
        """The files of the data set; the last byte of the first one is a pixel."""

    @abstractmethod
    def relabelled(self) -> Files:
        """The same with another label for one picture."""

    def pack(self, folder: Path, files: Files) -> Path:
        """Write the files below ``folder``, which exists; what ``load_data`` is given."""
        for name, content in files.items():
            path = folder / "pictures" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder / "pictures"

    def load(self, folder: Path, files: Files | None = None) -> Dataset:
        folder.mkdir(exist_ok=True)
        return load_data(self.pack(folder, self.files() if files is None else files))

    def test_the_format_is_found_and_the_reason_told(self, tmp_path: Path) -> None:
        dataset = self.load(tmp_path)
        assert dataset.format == self.format
        assert dataset.why
        assert dataset.name == self.name
        assert dataset.task == self.task
        assert dataset.faults == ()

    def test_splits_have_their_pictures(self, tmp_path: Path) -> None:
        dataset = self.load(tmp_path)
        assert {name: len(split) for name, split in dataset.splits.items()} == self.counts
        assert all(len(split.images) == len(split.targets) for split in dataset.splits.values())

    def test_names_are_unique_in_a_split(self, tmp_path: Path) -> None:
        for split in self.load(tmp_path).splits.values():
            assert len(set(split.names)) == len(split)
            assert all(split.names)

    def test_targets_are_class_ids_and_every_class_is_trained_on(self, tmp_path: Path) -> None:
        dataset = self.load(tmp_path)
        assert len(set(dataset.classes)) == len(dataset.classes) == self.num_classes
        for split in dataset.splits.values():
            assert split.targets.dtype == torch.int64
            assert split.targets.min() >= 0
            assert split.targets.max() < self.num_classes
        first = dataset.splits.get("train") or next(iter(dataset.splits.values()))
        assert set(first.targets.tolist()) == set(range(self.num_classes))

    def test_pictures_are_uint8_with_the_channels_and_sizes_stated(self, tmp_path: Path) -> None:
        dataset = self.load(tmp_path)
        for split in dataset.splits.values():
            for index in range(len(split)):
                image, target = split[index]
                facts = split.images.facts(index)
                assert image.dtype == torch.uint8
                assert image.shape == (facts.channels, facts.height, facts.width)
                assert facts.channels == dataset.channels
                assert target == split.targets[index]

    def test_loading_and_reading_twice_give_the_same(self, tmp_path: Path) -> None:
        path = self.pack(tmp_path, self.files())
        assert_same_data(load_data(path), load_data(path))
        dataset = load_data(path)
        assert_same_data(dataset, dataset)

    def test_selecting_keeps_pictures_names_and_targets_together(self, tmp_path: Path) -> None:
        for split in self.load(tmp_path).splits.values():
            indices = torch.arange(len(split)).flip(0)[: len(split) - 1]
            chosen = split.select(indices).select(torch.arange(len(indices)))
            assert chosen.names == [split.names[i] for i in indices.tolist()]
            for position, index in enumerate(indices.tolist()):
                assert torch.equal(chosen[position][0], split[index][0])
                assert chosen[position][1] == split[index][1]

    def test_pictures_cross_to_another_process(self, tmp_path: Path) -> None:
        for split in self.load(tmp_path).splits.values():
            split.images.read(0)  # whatever is open by then must not be in the way
            images = pickle.loads(pickle.dumps(split.images))
            assert len(images) == len(split)
            for index in range(len(split)):
                assert torch.equal(images.read(index), split.images.read(index))
                assert images.name(index) == split.images.name(index)

    def test_nothing_is_written_where_the_data_lie(self, tmp_path: Path) -> None:
        path = self.pack(tmp_path, self.files())

        def state() -> dict[str, tuple[int, bytes]]:
            files = (file for file in tmp_path.rglob("*") if file.is_file())
            return {str(file): (file.stat().st_mtime_ns, file.read_bytes()) for file in files}

        before = state()
        dataset = load_data(path)
        dataset.fingerprint()
        for split in dataset.splits.values():
            split.images.read(0)
        assert state() == before

    def test_the_fingerprint_is_that_of_the_data_wherever_they_lie(self, tmp_path: Path) -> None:
        dataset = self.load(tmp_path / "here")
        again, elsewhere = self.load(tmp_path / "here"), self.load(tmp_path / "there")
        assert (
            dataset.fingerprint() == dataset.fingerprint() == again.fingerprint() == elsewhere.fingerprint()
        )

    def test_the_fingerprint_changes_with_one_pixel_and_with_one_label(self, tmp_path: Path) -> None:
        files = self.files()
        name, content = next(iter(files.items()))
        pixel = files | {name: content[:-1] + bytes([content[-1] ^ 1])}
        datasets = {
            "as it was": self.load(tmp_path / "a", files),
            "pixel": self.load(tmp_path / "b", pixel),
            "label": self.load(tmp_path / "c", self.relabelled()),
        }
        assert len({dataset.fingerprint() for dataset in datasets.values()}) == 3
        assert {name: len(split) for name, split in datasets["pixel"].splits.items()} == self.counts


def assert_same_data(found: Dataset, expected: Dataset) -> None:
    """The same classes, splits, names, targets and pixels."""
    assert found.classes == expected.classes
    assert found.splits.keys() == expected.splits.keys()
    for name, split in expected.splits.items():
        assert found.splits[name].names == split.names
        assert torch.equal(found.splits[name].targets, split.targets)
        objects, others = found.splits[name].objects, split.objects
        assert (objects is None) == (others is None)
        if objects is not None and others is not None:
            for part in ("boxes_xyxy", "labels", "counts", "crowd", "difficult"):
                assert torch.equal(getattr(objects, part), getattr(others, part)), part
        for index in range(len(split)):
            assert torch.equal(found.splits[name][index][0], split[index][0])
            assert found.splits[name].images.content(index) == split.images.content(index)
