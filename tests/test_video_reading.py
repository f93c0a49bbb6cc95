"""Frames of videos and folders: which pixels, when, which way up, and what is damaged."""

import struct
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from small_videos import moving_digit, read_video, write_frames, write_video
from torch import Tensor

from striate import video_reading
from striate.errors import InputError
from striate.video_reading import TimedPicture, open_footage

FRAMES = 30


def read(path: Path, **options: float) -> list[TimedPicture]:
    return list(open_footage(path, 3, **options).read())


def images(pictures: list[TimedPicture]) -> Tensor:
    return torch.stack([picture.image for picture in pictures])


def read_until_fault(path: Path) -> tuple[list[TimedPicture], InputError]:
    pictures: list[TimedPicture] = []
    with pytest.raises(InputError) as caught:
        pictures.extend(open_footage(path, 3).read())  # which keeps what came before the error
    return pictures, caught.value


# What is read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.webm", "libvpx"),
        ("a.avi", "mpeg4"),
        ("a.ts", "libx264"),
    ],
)
def test_frames_are_those_of_pyav_at_their_times(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(tmp_path / name, moving_digit(FRAMES), codec=codec)
    footage = open_footage(path, 3)
    assert (footage.height, footage.width, footage.rate, footage.aspect) == (48, 64, 25, 1)
    pictures = list(footage.read())
    pixels, times = read_video(path)
    assert len(pictures) == FRAMES
    assert torch.equal(images(pictures), pixels)
    assert [picture.time for picture in pictures] == pytest.approx(
        [time - times[0] for time in times], abs=1e-6
    )
    assert pictures[-1].time == pytest.approx((FRAMES - 1) / 25, abs=0.001)
    assert footage.count in (None, FRAMES)
    assert images(pictures).float().sub(moving_digit(FRAMES)).abs().mean() < 12  # it is that video at all


def test_times_stay_where_the_rate_varies(tmp_path: Path) -> None:
    times = [0, 40, 90, 91, 400, 1000, 1033]
    path = write_video(tmp_path / "a.mkv", moving_digit(7), times)
    assert [picture.time for picture in read(path)] == [time / 1000 for time in times]


def test_time_begins_with_the_first_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", moving_digit(3), [5000, 5040, 5120])
    assert [picture.time for picture in read(path)] == [0, 0.04, 0.12]


def test_a_time_that_is_missing_or_goes_back_is_one_frame_after_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mkv", moving_digit(6))
    decoded = video_reading._decoded

    def with_other_times(*arguments: object) -> object:
        for frame, time in zip(decoded(*arguments), [100, 140, None, 150, 300, 340], strict=True):
            frame.pts = time
            yield frame

    monkeypatch.setattr(video_reading, "_decoded", with_other_times)
    assert [picture.time for picture in read(path)] == [0, 0.04, 0.08, 0.12, 0.2, 0.24]


@pytest.mark.parametrize(("tag", "matrix"), [(1, "ITU709"), (6, "ITU601")])
def test_colours_are_those_of_the_files_matrix(tmp_path: Path, tag: int, matrix: str) -> None:
    colour = torch.tensor([200, 30, 60], dtype=torch.uint8)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.codec_context.colorspace = stream.codec_context.color_primaries = tag
        frame = av.VideoFrame.from_ndarray(colour.repeat(32, 32, 1).numpy(), format="rgb24")
        container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=matrix)))
        container.mux(stream.encode(None))
    (picture,) = read(tmp_path / "a.mp4")
    assert picture.image.float().mean((1, 2)).tolist() == pytest.approx(colour.tolist(), abs=4)


def turned(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """The MP4 file with another matrix in its track's header (ISO/IEC 14496-12, section 8.3.2)."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44
    assert content[place : place + 36] == struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    content[place : place + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    result = path.with_name("turned.mp4")
    result.write_bytes(content)
    return result


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((1, 0, 0, 1), lambda p: p),
        ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),  # x goes down, y goes left: clockwise
        ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
        ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda p: np.rot90(p, 2).swapaxes(0, 1)),
    ],
)
def test_frames_are_turned_as_the_phone_was_held(
    tmp_path: Path, matrix: tuple[int, int, int, int], upright: object
) -> None:
    path = write_video(tmp_path / "a.mp4", moving_digit(2), aspect=Fraction(4, 3))
    plain, _ = read_video(path)
    footage = open_footage(turned(path, *matrix), 3)
    (first, _) = footage.read()
    assert np.array_equal(first.image.permute(1, 2, 0), upright(plain[0].permute(1, 2, 0).numpy()))
    assert (3, footage.height, footage.width) == first.image.shape
    assert footage.aspect == (Fraction(4, 3) if footage.width == 64 else Fraction(3, 4))


def test_a_grey_network_gets_grey_frames_of_a_grey_video_only(tmp_path: Path) -> None:
    grey = moving_digit(3).float().mean(1, keepdim=True).byte().repeat(1, 3, 1, 1)
    path = write_video(tmp_path / "grey.mp4", grey)
    (first, *_) = open_footage(path, 1).read()
    assert first.image.shape == (1, 48, 64)
    assert (first.image.float() - grey[0, :1]).abs().mean() < 4
    coloured = write_video(tmp_path / "colour.mp4", moving_digit(3))
    with pytest.raises(InputError, match="grey") as caught:
        open_footage(coloured, 1)
    assert "frame 0" in str(caught.value)


# Folders ----------------------------------------------------------------------------------------------------


def test_a_folder_is_read_in_natural_order_at_its_rate(tmp_path: Path) -> None:
    frames = moving_digit(12)
    files = write_frames(tmp_path / "frames", frames)
    (tmp_path / "frames" / "times.txt").write_text("0 1 2")
    (tmp_path / "frames" / ".hidden").write_text("")
    footage = open_footage(tmp_path / "frames", 3, rate=10)
    pictures = list(footage.read())
    assert torch.equal(images(pictures), frames)
    assert [picture.file for picture in pictures] == [file.name for file in files]  # 2.png before 10.png
    assert [picture.time for picture in pictures] == [i / 10 for i in range(12)]
    assert (footage.rate, footage.count, footage.left_aside) == (10, 12, ("times.txt",))
    assert open_footage(tmp_path / "frames", 3).rate == 25


@pytest.mark.parametrize("fault", ["damaged", "another size"])
def test_a_folder_ends_before_a_frame_that_does_not_belong_to_it(tmp_path: Path, fault: str) -> None:
    files = write_frames(tmp_path / "frames", moving_digit(5))
    if fault == "damaged":
        files[3].write_bytes(files[3].read_bytes()[:-20])
    else:
        files[3].unlink()
        write_frames(tmp_path / "others", moving_digit(1, 40, 64))[0].rename(files[3])
    pictures, error = read_until_fault(tmp_path / "frames")
    assert len(pictures) == 3
    assert str(files[3]) in str(error)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InputError, match="no pictures"):
        open_footage(tmp_path, 3)


# Damage -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"movflags": "faststart"}),
        ("a.mkv", "libx264", {}),  # says nothing of its end, but in its header
        ("a.webm", "libvpx", {}),
        ("a.avi", "mjpeg", {}),
        ("a.flv", "libx264", {}),
    ],
)
@pytest.mark.parametrize("kept", [0.5, 0.7])
def test_of_a_cut_video_the_frames_before_the_cut_are_read(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], kept: float
) -> None:
    path = write_video(tmp_path / name, moving_digit(60), codec=codec, **options)
    whole = {picture.time: picture.image for picture in read(path)}
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    pictures, error = read_until_fault(path)
    assert 15 < len(pictures) < 45
    assert all(torch.equal(picture.image, whole[picture.time]) for picture in pictures)
    assert f"frame {len(pictures)} " in str(error)
    assert str(path) in str(error)


@pytest.mark.parametrize("last", range(20, 32))
def test_of_a_cut_video_all_frames_are_read_that_are_shown_before_what_was_lost(
    tmp_path: Path, last: int
) -> None:
    path = write_video(tmp_path / "a.mp4", moving_digit(40), movflags="faststart")
    whole = images(read(path))
    with av.open(str(path)) as container:
        packets = list(container.demux(video=0))
    cut = packets[last]  # in the order of decoding, in which later frames come before earlier ones
    path.write_bytes(path.read_bytes()[: cut.pos + cut.size // 2])
    pictures, _ = read_until_fault(path)
    assert len(pictures) == sum(packet.pts < cut.dts for packet in packets[:last])
    assert torch.equal(images(pictures), whole[: len(pictures)])


@pytest.mark.parametrize("damage", ["noise", "a length that cannot be"])
def test_before_damage_in_the_middle_frames_are_as_they_were(tmp_path: Path, damage: str) -> None:
    path = write_video(tmp_path / "a.mp4", moving_digit(60), movflags="faststart")
    whole = images(read(path))
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    key = next(packet for packet in packets[30:] if packet.is_keyframe)
    content = bytearray(path.read_bytes())
    if damage == "noise":
        content[key.pos + 20 : key.pos + 220] = np.random.default_rng(0).bytes(200)
    else:
        content[key.pos : key.pos + 4] = b"\xff" * 4
    path.write_bytes(content)
    before = sum(packet.pts < key.pts for packet in packets)
    pictures, error = read_until_fault(path)
    assert before - 2 <= len(pictures) <= before  # two frames may wait for one that is shown after them
    assert torch.equal(images(pictures), whole[: len(pictures)])
    assert f"frame {len(pictures)} " in str(error)


@pytest.mark.parametrize("fault", ["missing", "empty", "text", "no end", "only sound", "a list"])
def test_what_is_no_video_is_refused(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "a.mp4"
    if fault == "empty":
        path.touch()
    elif fault == "text":
        path.write_text("no video at all\n" * 100)
    elif fault == "no end":  # where an MP4 file has its table of contents
        content = write_video(path, moving_digit(30)).read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif fault == "only sound":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=8000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    elif fault == "a list":  # would have FFmpeg open other files
        write_video(tmp_path / "other.mp4", moving_digit(3))
        path.write_text("ffconcat version 1.0\nfile other.mp4\n")
    with pytest.raises(InputError) as caught:
        open_footage(path, 3)
    assert str(path) in str(caught.value)


def test_a_video_in_an_unknown_code_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving_digit(2))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz1"))
    with pytest.raises(InputError, match="does not know") as caught:
        open_footage(path, 3)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.ts", "mpeg2video")],
)
def test_whatever_is_in_a_file_it_is_frames_or_a_clear_error(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(tmp_path / name, moving_digit(6), codec=codec)
    content, random = path.read_bytes(), np.random.default_rng(0)
    told: list[bool] = []
    for attempt in range(40):
        mutated = bytearray(content)
        for _ in range(random.integers(1, 6)):
            count, reach = random.integers(1, 20), len(content) if attempt % 2 else 1500
            place = random.integers(0, reach)
            mutated[place : place + count] = random.bytes(count)
        path.write_bytes(mutated)
        try:
            assert all(picture.image.shape[0] == 3 for picture in open_footage(path, 3).read())
        except InputError as error:
            told.append(str(path) in str(error))
    assert told
    assert all(told)


def test_a_video_has_its_own_rate(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--fps"):
        open_footage(write_video(tmp_path / "a.mp4", moving_digit(2)), 3, rate=10)


def test_without_pyav_it_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", moving_digit(2))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"pip install 'striate\[video\]'"):
        open_footage(path, 3)
