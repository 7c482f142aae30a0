"""Reader of a single image file."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skdigits._pictures import grey_values
from skdigits.datasets._files import check_regular

if TYPE_CHECKING:
    from PIL import Image

# Pillow detects a format by the contents of a file, whatever its name, and starts other
# programs for some formats. It may try only these. HEIF needs pillow-heif.
FORMATS = ("AVIF", "BMP", "DIB", "GIF", "HEIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

SUFFIXES = {
    *(".avif", ".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm"),
    *(".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
}
HEIF = {".heic", ".heif", ".hif"}
OTHER_PICTURES = {
    *(".arw", ".cr2", ".cr3", ".dng", ".emf", ".eps", ".ico", ".j2k", ".jp2", ".jxl"),
    *(".nef", ".pcx", ".psd", ".raw", ".svg", ".tga", ".wmf", ".xcf"),
}

# Tags of TIFF files.
BITS_PER_SAMPLE = 258
PHOTOMETRIC = 262


def is_image(file: Path) -> bool:
    """Return whether a file is an image to read, by its suffix."""
    return file.suffix.lower() in SUFFIXES | HEIF


def check_readable(file: Path) -> None:
    """Raise an error for a picture whose suffix shows that it cannot be read.

    Raises
    ------
    ValueError
        If the picture has another format. A file that is no picture passes.
    """
    suffix = file.suffix.lower()
    if suffix in HEIF and "HEIF" not in _formats():
        raise ValueError(
            f"{file}: expected an image that Pillow can read, but found {suffix}, for "
            "which Pillow needs an extension: pip install pillow-heif, and call "
            "pillow_heif.register_heif_opener() first. Or convert the file to PNG."
        )
    if suffix in OTHER_PICTURES:
        raise ValueError(
            f"{file}: expected an image in one of the formats "
            f"{', '.join(sorted(SUFFIXES))}, but found {suffix}. Convert it to PNG, or "
            "move it out of the folder."
        )


def read_image(file: Path) -> np.ndarray:
    """Return the grey values (height, width) of an image file, in uint8.

    Raises
    ------
    ValueError
        If it cannot be read, has several pictures, or more than 16 bits per channel.
    ImportError
        If Pillow is not installed.
    """
    formats = _formats()
    from PIL import Image

    check_regular(file)
    # Pillow's parsers raise errors of all kinds where a file is damaged.
    try:
        with Image.open(file, formats=formats) as image:
            # The other pictures of a phone's MPO are variants of the first.
            frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            values = grey_values(image)
            found = f"{frames} of mode {image.mode!r}"
            # Pillow opens 16-bit PGM files in mode "I", of 32 bits.
            if image.mode == "I" and image.format == "PPM":
                values = values.astype(np.uint16)
            is_plain = _is_plain(image)
    except Exception as error:
        raise ValueError(
            f"{file}: expected an image that Pillow can read, but found an error "
            f"({type(error).__name__}: {error}). Replace it, or move it out of the "
            "folder."
        ) from error

    if frames > 1 or not is_plain or values.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"{file}: expected one picture of 8 or 16 bits a channel, but found "
            f"{found}. Convert it first."
        )
    return values if values.dtype == np.uint8 else _eight_bits(file, values)


def _is_plain(image: "Image.Image") -> bool:
    """Return whether 16 bits range from black to white.

    Unlike 8-bit values, Pillow returns 12-bit values, and those of TIFF files in which
    0 is white, unchanged.
    """
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(BITS_PER_SAMPLE, (16,))
    black_is_zero = tags.get(PHOTOMETRIC, 1) == 1
    return not image.mode.startswith("I;16") or (bits == (16,) and black_is_zero)


def _eight_bits(file: Path, values: np.ndarray) -> np.ndarray:
    """Return values of 16 bits in 8, rounded."""
    largest = values.max()
    if 0 < largest < 256:
        warnings.warn(
            f"{file}: expected values of 16 bits, up to 65,535, but found none above "
            f"{largest}: the image is nearly black. If its values have 8 bits, save it "
            "with 8 bits.",
            UserWarning,
            stacklevel=4,
        )

    # 257 = 65535 / 255; Pillow's own conversion cuts values off at 255.
    quotient, rest = np.divmod(values, np.uint16(257))
    return (quotient + (rest > 128)).astype(np.uint8)


def _formats() -> list[str]:
    """Return those of `FORMATS` that this Pillow can read.

    Raises
    ------
    ImportError
        If Pillow is not installed.
    """
    # Imported here, as only this module needs the optional dependency.
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "read_image_folder needs Pillow, which is not installed: pip install pillow"
        ) from error

    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]
