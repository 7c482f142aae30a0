"""Reader of folders of image files."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import Bunch

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".tif", ".tiff", ".webp"}


def read_image_folder(path: str | os.PathLike[str]) -> Bunch:
    """Read a folder that has one folder of image files for each class.

    This is the layout of MNIST's PNG editions: ``path/0/*.png`` to ``path/9/*.png``.
    Colours become grey values, 16 bits become 8, and transparent pixels become white.

    Parameters
    ----------
    path : str or path-like
        The folder. The names of its sub-folders are the labels. Names that begin with a
        dot are skipped, and so are files without the suffix of an image.

    Returns
    -------
    sklearn.utils.Bunch
        With these members:

        - data : uint8 ndarray of shape (n_images, height * width). Grey values, row by
          row.
        - target : ndarray of shape (n_images,). Labels: int64 if every folder's name is
          an integer in its usual form (such as 7, but not 07), else str.
        - image_shape : tuple (height, width).
        - filenames : list of str. The file of each sample, sorted by folder and file.
        - target_names : ndarray of shape (n_classes,). The labels, sorted.

    Raises
    ------
    ValueError
        If there is no image, or if one cannot be read, is animated, has more than 16
        bits or differs in size from the others. The message names the file and says
        what was expected and found.
    FileNotFoundError
        If the folder does not exist.
    ImportError
        If Pillow is not installed.

    See Also
    --------
    skdigits.preprocessing.DigitNormalizer : Turns images into digits like MNIST's.
    read_idx : Reads all images from one file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> from skdigits.datasets import read_image_folder
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for digit in "07":
    ...     (folder / digit).mkdir()
    ...     Image.new("L", (4, 6), 255).save(folder / digit / "first.png")
    >>> images = read_image_folder(folder)
    >>> images.data.shape, images.image_shape, images.target
    ((2, 24), (6, 4), array([0, 7]))
    """
    files = _image_files(Path(path))
    images = [_grey(file) for file in files]

    for file, image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            raise ValueError(
                f"{file}: expected an image of {_size(images[0])}, the size of "
                f"{files[0]}, but found {_size(image)}. Bring all images to one size "
                "first."
            )

    target = _labels([file.parent.name for file in files])
    return Bunch(
        data=np.stack(images).reshape(len(images), -1),
        target=target,
        image_shape=images[0].shape,
        filenames=[str(file) for file in files],
        target_names=np.unique(target),
    )


def _image_files(path: Path) -> list[Path]:
    """Return the image files of all classes, sorted by folder and file."""
    files: list[Path] = []
    for folder in _visible(path):
        if folder.is_dir():
            files += [f for f in _visible(folder) if f.suffix.lower() in SUFFIXES]

    if not files:
        suffixes = ", ".join(sorted(SUFFIXES))
        raise ValueError(
            f"{path}: expected a folder for each class with image files in it "
            f"({suffixes}), but found no image. Pass the folder that contains the "
            "folders of the classes."
        )
    return files


def _visible(folder: Path) -> list[Path]:
    """Return the sorted entries of a folder whose names do not begin with a dot."""
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]


def _grey(file: Path) -> np.ndarray:
    """Return the grey values (height, width) of an image file, in uint8."""
    # Imported here, as only this function needs the optional dependency.
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ImportError(
            "read_image_folder needs Pillow: pip install 'skdigits[images]'."
        ) from error

    try:
        with Image.open(file) as image:
            return _as_grey(file, image)
    except (
        OSError,
        SyntaxError,
        UnidentifiedImageError,
        Image.DecompressionBombError,
    ) as error:
        raise ValueError(
            f"{file}: expected an image that Pillow can read, but found {error}. "
            "Replace it, or move it out of the folder."
        ) from error


def _as_grey(file: Path, image: "Image.Image") -> np.ndarray:
    """Return the grey values (height, width) of an open image, in uint8."""
    from PIL import Image

    frames = getattr(image, "n_frames", 1)
    # Pillow opens 16-bit PGM files in mode "I", of 32 bits.
    if image.mode == "I" and np.max(np.asarray(image)) < 2**16:
        image = Image.fromarray(np.asarray(image).astype(np.uint16))
    if frames > 1 or image.mode in ("I", "F"):
        raise ValueError(
            f"{file}: expected one picture of 8 or 16 bits a channel, but found "
            f"{frames} of mode {image.mode!r}. Convert it first."
        )

    # 257 = 65535 / 255; Pillow's own conversion cuts values off at 255.
    if image.mode.startswith("I;16"):
        return (np.asarray(image) / 257).round().astype(np.uint8)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("L"))


def _size(image: np.ndarray) -> str:
    """Return the size of an image in words, the width first as image viewers do."""
    return f"{image.shape[1]} x {image.shape[0]} pixels"


def _labels(names: list[str]) -> np.ndarray:
    """Return names as integers if all are written in their usual form, else as str."""
    written = np.array(names)
    try:
        numbers = written.astype(np.int64)
    except (ValueError, OverflowError):
        return written

    # Otherwise "1" and "01" would become one class.
    return numbers if np.array_equal(numbers.astype(str), written) else written
