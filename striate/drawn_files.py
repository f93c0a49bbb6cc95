"""Pictures with predictions drawn into them, as files: what they are called, and in which format.

| source                                                   | drawing                    |
| -------------------------------------------------------- | -------------------------- |
| JPEG                                                     | JPEG, called the same      |
| PNG                                                      | PNG, called the same       |
| of another format that is lossy as a rule: WebP, AVIF    | JPEG, with the suffix .jpg |
| of any other                                             | PNG, with the suffix .png  |
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from PIL import Image

from striate.errors import InputError
from striate.files import UnwrittenError, write_atomically
from striate.run_folder import unwritable

QUALITY = 90  # of JPEG, 1 to 95
COMPRESSION = 3  # of PNG, 0 to 9: three times as quick as the usual 6, and a tenth larger

_JPEG = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
_LOSSY = frozenset({".webp", ".avif", ".heic", ".heif"})


def drawing_names(places: Sequence[str], folder: Path) -> list[str]:
    """What the drawings of pictures are called, below ``folder``.

    Args:
        places: of the pictures, as relative paths with "/". Where another picture has the name already that
            one would get with a new suffix, it keeps its own before that: "a.bmp.png" beside "a.png".
        folder: where they are to go.

    Raises:
        InputError: two pictures have the same place, or a file of that name is there already.
    """
    taken = {place for place in places if _drawn_name(place) == place}
    names: dict[str, None] = {}
    for place in places:
        name = _drawn_name(place)
        if name != place and (name in taken or name in names):
            name = f"{place}{PurePosixPath(name).suffix}"
        if name in names:
            raise InputError(f"two pictures would both be drawn as {name}", folder, "draw them apart")
        names[name] = None
    if folder.exists() and (there := [name for name in names if (folder / name).exists()]):
        raise InputError("the file exists already", folder / there[0], "choose another folder with --draw")
    return list(names)


def save_drawing(drawing: Image.Image, folder: Path, name: str) -> None:
    """Write a drawing to its place below ``folder``, whole or not at all; folders are made where absent.

    Raises:
        InputError: it cannot be written.
    """
    path = folder / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error, "--draw") from None
    is_jpeg = path.suffix.lower() in _JPEG
    kind, options = ("JPEG", {"quality": QUALITY}) if is_jpeg else ("PNG", {"compress_level": COMPRESSION})
    try:
        write_atomically(path, lambda temporary: drawing.save(temporary, kind, **options))
    except UnwrittenError as error:
        mend = "free some space, or choose another folder with --draw"
        raise UnwrittenError(error.what, error.where, mend) from error


def _drawn_name(place: str) -> str:
    path = PurePosixPath(place)
    suffix = path.suffix.lower()
    if suffix == ".png" or suffix in _JPEG:
        return place
    return str(path.with_suffix(".jpg" if suffix in _LOSSY else ".png"))
