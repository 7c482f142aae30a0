"""Labelled drawings as PNG files, in one folder for each class."""

import os
import re
import reprlib
import struct
import unicodedata
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skdigits._files import check_writable

# Signs that some file system does not allow in a name, and names of devices.
FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]|^[.\s]|[.\s]$|^$')
DEVICES = re.compile(
    r"(con|conin\$|conout\$|prn|aux|nul|(com|lpt)[\d¹²³])\s*(\..*)?", re.IGNORECASE
)
LONGEST = 255  # bytes


class Drawings:
    """A folder of drawings, as `skdigits.datasets.read_image_folder` reads it.

    Parameters
    ----------
    folder : str or path-like
        The folder, which is made with the first drawing.
    labels : sequence of str
        The classes, whose names become those of folders.

    Raises
    ------
    ValueError
        If a label cannot be the name of a folder, two are the same but for case, or
        ``folder`` is a file.
    OSError
        If the folder could not be made, or nothing may be written into it.
    """

    def __init__(self, folder: str | os.PathLike[str], labels: Sequence[str]):
        self.folder = Path(folder).expanduser()
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"--save {self.folder} is no folder: pass another path.")
        there = [one for one in (self.folder, *self.folder.parents) if one.exists()]
        check_writable(there[0], f"--save {self.folder}")
        self.labels = list(labels)
        _check_labels(self.labels)

    def add(self, number: int, picture: np.ndarray) -> Path:
        """Write a picture of a class by its number; return the new file.

        Raises
        ------
        ValueError
            If there is no such class, or its folder is a link to elsewhere.
        """
        if not 0 <= number < len(self.labels):
            raise ValueError(
                f"class {number} is none of the {len(self.labels)} classes, which "
                "count from 0."
            )
        folder = self.folder / self.labels[number]
        folder.mkdir(parents=True, exist_ok=True)
        if folder.resolve().parent != self.folder.resolve():
            raise ValueError(f"{folder} leads out of {self.folder}: remove the link.")

        content = png(picture)
        while True:
            file = folder / f"{_next_number(folder)}.png"
            try:
                _write_new(file, content)
            except FileExistsError:
                continue
            return file


def _folded(label: str) -> str:
    """Return what file systems that ignore case, or the form of accents, see."""
    return unicodedata.normalize("NFC", label.casefold())


def _write_new(file: Path, content: bytes) -> None:
    """Write a file as a whole, or not at all."""
    try:
        # "x" neither overwrites a file nor follows a link.
        with file.open("xb") as stream:
            stream.write(content)
    except FileExistsError:
        raise
    except OSError:
        file.unlink(missing_ok=True)
        raise


def _check_labels(labels: list[str]) -> None:
    known: dict[str, str] = {}
    for label in labels:
        if not _may_name_a_folder(label):
            raise ValueError(
                "--save files drawings in folders named by the classes, but "
                f"{reprlib.repr(label)} cannot name one: fit the model to other labels."
            )
        other = known.setdefault(_folded(label), label)
        if other != label:
            raise ValueError(
                "--save files drawings in folders named by the classes, but "
                f"{other!r} and {label!r} are the same to some file systems: fit the "
                "model to other labels."
            )


def _may_name_a_folder(label: str) -> bool:
    if FORBIDDEN.search(label) or DEVICES.fullmatch(label):
        return False
    try:
        return len(os.fsencode(label)) <= LONGEST
    except UnicodeEncodeError:
        return False


def _next_number(folder: Path) -> int:
    """Return one more than the largest number that names a file."""
    stems = [file.stem for file in folder.iterdir()]
    return max((int(stem) for stem in stems if stem.isdecimal()), default=0) + 1


def png(picture: np.ndarray) -> bytes:
    """Return a PNG file of grey values (h, w) in uint8."""
    height, width = picture.shape
    # A byte before each row names its filter: 0 is none.
    rows = np.zeros((height, width + 1), np.uint8)
    rows[:, 1:] = picture
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)

    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9))]
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in [*chunks, (b"IEND", b"")]:
        content += struct.pack(">I", len(data)) + kind + data
        content += struct.pack(">I", zlib.crc32(kind + data))
    return content
