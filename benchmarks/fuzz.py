"""Damaged and disguised files: readers return what is in them, or name the file.

    python benchmarks/fuzz.py                           # a minute on two cores
    python benchmarks/fuzz.py --idx 2000 --images 500   # seconds

Three kinds of files, each read by skdigits.datasets:

- IDX files, plain and gzipped, in which bytes are flipped, cut off, added, doubled or
  replaced by the sizes of a bomb. The oracle inflates the whole of a file by
  `gzip.decompress` and reads its header byte by byte.
- Pictures in every format and mode that Pillow can write, under every suffix that
  `read_image_folder` reads. The oracle is the picture that was written.
- Pictures with mutated bytes: an array of uint8, or an error.

A file passes if its array is the oracle's, or if a ValueError names it where the
oracle has none. The script prints the counts, how much the process's memory grew beyond
what it had before, and the processes that were started (none). A picture may state
hundreds of megabytes, up to Pillow's limit; the most that was stated is printed, too.
"""

import argparse
import gzip
import io
import math
import resource
import struct
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from skdigits.datasets import read_idx, read_image_folder
from skdigits.datasets._image_file import SUFFIXES

DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
READABLE = {
    *("AVIF", "BMP", "DIB", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP"),
}
LOSSY = {"AVIF": 24, "JPEG": 24, "MPO": 24, "WEBP": 24}
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "F")
MODES8 = {"L", "P", "RGB", "RGBA"}
STARTED = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn")


class Picture(NamedTuple):
    """A picture as written: its file's bytes, and its grey values (height, width)."""

    format: str
    mode: str
    content: bytes
    grey: np.ndarray


def watch() -> list[str]:
    """Return a list that every start of a process from now on enters."""
    seen: list[str] = []

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith(STARTED):
            seen.append(f"{event} {arguments}")

    sys.addaudithook(hook)
    return seen


def encoded(array: np.ndarray) -> bytes:
    """Return an array as an IDX file."""
    code = next(code for code, name in DTYPES.items() if array.dtype == name)
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, code, array.ndim]) + shape + array.tobytes()


def decoded(content: bytes) -> np.ndarray | None:
    """Return the array of an IDX file, None if it is none: the oracle."""
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except Exception:
            return None

    if len(content) < 4 or content[0] or content[1] or content[2] not in DTYPES:
        return None
    start = 4 + 4 * content[3]
    if len(content) < start:
        return None

    places = range(4, start, 4)
    shape = [int.from_bytes(content[n : n + 4], "big") for n in places]
    dtype = np.dtype(DTYPES[content[2]])
    if len(content) - start != math.prod(shape) * dtype.itemsize:
        return None
    try:
        return np.frombuffer(content[start:], dtype).reshape(shape)
    except ValueError:
        # More axes or longer ones than NumPy has.
        return None


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a file's bytes with up to four changes."""
    changed = bytearray(content)
    for _ in range(rng.integers(0, 5)):
        place = int(rng.integers(len(changed) + 1))
        length = int(rng.integers(1, 9))
        kind = rng.integers(6)
        if kind == 0:
            changed[place : place + 1] = rng.bytes(1)
        elif kind == 1:
            del changed[place:]
        elif kind == 2:
            changed[place:place] = rng.bytes(length)
        elif kind == 3:
            del changed[place : place + length]
        elif kind == 4:
            changed += changed[place : place + length]
        else:
            # Where sizes stand, this states gigabytes.
            place = int(rng.integers(min(20, len(changed) + 1)))
            changed[place : place + length] = b"\xff" * length
    return bytes(changed)


def idx_files(n: int, rng: np.random.Generator) -> Iterator[bytes]:
    """Yield mutated IDX files: small arrays, gzipped before or after the changes."""
    shapes = [(), (3,), (2, 3, 4), (0, 5), (4, 7, 7), (10,)]
    for _ in range(n):
        dtype = DTYPES[int(rng.choice(list(DTYPES)))]
        shape = shapes[rng.integers(len(shapes))]
        content = encoded(np.asarray(100 * rng.normal(size=shape)).astype(dtype))

        kind = rng.integers(4)
        if kind == 0:
            yield gzip.compress(mutated(content, rng), mtime=0)
        elif kind == 1:
            yield mutated(gzip.compress(content, int(rng.integers(10)), mtime=0), rng)
        else:
            yield mutated(content, rng)


def check_idx(path: Path, content: bytes) -> str:
    """Read an IDX file; return what came of it.

    Raises
    ------
    AssertionError
        If it is neither the right array nor an error that names the file.
    """
    # A file that is written over waits for the disk; a new one does not.
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    expected = decoded(content)
    message = ""
    try:
        found = read_idx(path)
    except ValueError as error:
        message = str(error)
    if message:
        assert expected is None, f"refused a good file: {message}"
        assert str(path) in message, f"does not name the file: {message}"
        return "errors"

    assert expected is not None, f"took a bad file for {found}"
    assert found.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, expected)
    return "arrays"


def drawn() -> np.ndarray:
    """Return a picture of 20 x 16 pixels: a grey stroke on white."""
    grey = np.full((20, 16), 255, np.uint8)
    grey[4:16, 6:10] = 40
    return grey


def pictures() -> Iterator[Picture]:
    """Yield the picture in every format and mode that Pillow can write."""
    Image.init()
    grey = drawn()
    for name in sorted(Image.SAVE):
        for mode in MODES:
            seen = np.where(grey > 99, 255, 0).astype(np.uint8) if mode == "1" else grey
            with io.BytesIO() as file:
                # Not every format has every mode; some cut 16 bits off at 255.
                try:
                    in_mode(seen, mode).save(file, name)
                    cut_off = mode in ("F", "I;16") and Image.open(file).mode in MODES8
                except Exception:
                    continue
                if not cut_off:
                    yield Picture(name, mode, file.getvalue(), seen)


def in_mode(grey: np.ndarray, mode: str) -> Image.Image:
    """Return grey values as an image of a mode."""
    if mode == "I;16":
        return Image.fromarray(grey.astype(np.uint16) * 257)
    image = Image.fromarray(grey)
    if mode == "P":
        return image.quantize(256)
    if mode == "PA":
        return image.convert("RGBA").convert("PA")
    if mode == "LAB":
        from PIL import ImageCms

        to_lab = ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
        )
        return ImageCms.applyTransform(image.convert("RGB"), to_lab)
    if mode in ("CMYK", "YCbCr"):
        return image.convert("RGB").convert(mode)
    return image.convert(mode)


def check_picture(folder: Path, suffix: str, picture: Picture) -> str:
    """Read a picture under a suffix; return what came of it.

    Raises
    ------
    AssertionError
        If it is neither the picture nor an error that names the file.
    """
    read = read_alone(folder, suffix, picture.content)
    if read is None:
        # Refused are formats that start programs or that nobody scans digits to, and
        # values of no known scale.
        plain = picture.format in READABLE and picture.mode != "F"
        assert not plain, f"refused {picture.mode} as {picture.format}"
        return "errors"

    allowed = LOSSY.get(picture.format, 2)
    assert read.shape == picture.grey.shape
    difference = np.abs(read.astype(int) - picture.grey).max()
    assert difference <= allowed, f"{picture.format}, {picture.mode}: {difference}"
    return "arrays"


def read_alone(folder: Path, suffix: str, content: bytes) -> np.ndarray | None:
    """Return the grey values of a file that is alone in a folder, None for an error."""
    (folder / "0").mkdir(exist_ok=True)
    file = folder / "0" / f"picture{suffix}"
    file.write_bytes(content)
    message = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            images = read_image_folder(folder)
    except ValueError as error:
        message = str(error)
    file.unlink()

    if message:
        assert str(file) in message, f"does not name the file: {message}"
        return None
    assert images.data.dtype == np.uint8
    return images.data.reshape(images.image_shape)


def stated_bytes(content: bytes) -> int:
    """Return the bytes of memory that an image file states for its pixels."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return 4 * image.width * image.height
    except Exception:
        return 0


def peak() -> int:
    """Return the most memory that this process has had, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--idx", type=int, default=100_000, help="mutated IDX files")
    parser.add_argument("--images", type=int, default=20_000, help="mutated pictures")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)

    written = list(pictures())
    warnings.simplefilter("ignore")
    started = watch()
    before = peak()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "mutated"
        counts = Counter(
            check_idx(file, content) for content in idx_files(arguments.idx, rng)
        )
        grown = peak() - before
        print(
            f"IDX files, mutated: {dict(counts)}, {grown / 2**20:.0f} MiB more memory"
        )

        counts = Counter(
            check_picture(folder, suffix, picture)
            for picture in written
            for suffix in sorted(SUFFIXES)
        )
        grown = peak() - before
        kinds = len({picture.format for picture in written})
        print(
            f"Pictures in {kinds} formats under {len(SUFFIXES)} suffixes: "
            f"{dict(counts)}, {grown / 2**20:.0f} MiB more memory"
        )

        check_mutated_pictures(folder, written, arguments.images, rng)
    print(f"Processes started: {len(started)} {started}")


def check_mutated_pictures(
    folder: Path, written: list[Picture], n: int, rng: np.random.Generator
) -> None:
    """Read mutated pictures, and print the counts and memory."""
    readable = [picture for picture in written if picture.format in READABLE]
    counts: Counter[str] = Counter()
    before = peak()
    stated = 0
    for _ in range(n):
        content = mutated(readable[rng.integers(len(readable))].content, rng)
        stated = max(stated, stated_bytes(content))
        read = read_alone(folder, ".png", content)
        counts["errors" if read is None else "arrays"] += 1

    print(
        f"Pictures, mutated: {dict(counts)}, {(peak() - before) / 2**20:.0f} MiB more "
        f"memory, with up to {stated / 2**20:.0f} MiB stated"
    )


if __name__ == "__main__":
    main()
