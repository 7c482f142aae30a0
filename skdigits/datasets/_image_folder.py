"""Reader of folders of image files."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from skdigits.datasets._files import expanded
from skdigits.datasets._image_file import (
    SUFFIXES,
    check_readable,
    is_image,
    read_image,
)


def read_image_folder(path: str | os.PathLike[str], *, as_list: bool = False) -> Bunch:
    """Read a folder that has one sub-folder of image files for each class.

    This is the layout of MNIST's PNG editions: ``path/0/*.png`` to ``path/9/*.png``.
    Colours become grey values, 16 bits become 8, and images are rotated as their EXIF
    orientation says.

    Transparent pixels become white, like paper. If the median of the opaque pixels is
    above 191, transparent pixels become black, because white ink would be lost on
    white. If the opaque pixels cover more than half of the image and differ by more
    than a third of the range, they are a page with its ink. Transparent pixels then
    become the median of the opaque pixels.

    Parameters
    ----------
    path : str or path-like
        Path of the folder; ``~`` stands for the home folder. The names of its
        sub-folders are the labels. Names that begin with a dot are skipped, and so are
        files without the suffix of an image. The contents of a file decide its format:
        BMP, GIF, JPEG (.jpg, .jpeg, .jpe, .jfif), PNG, PBM, PGM, PPM, TIFF, WebP or
        AVIF, or HEIC if pillow-heif is registered.
    as_list : bool, default=False
        Whether images may differ in size, such as photographs, and become a list for a
        `skdigits.preprocessing.DigitNormalizer`. By default, they become rows.

    Returns
    -------
    sklearn.utils.Bunch
        With these members:

        - data : uint8 ndarray of shape (n_images, height * width). Grey values, row by
          row. With ``as_list=True``, a list of uint8 ndarrays of shape (height, width).
        - target : ndarray of shape (n_images,). Labels: int64 if the name of every
          sub-folder is an integer in its usual form (such as 7, but not 07), otherwise
          str.
        - image_shape : tuple (height, width). Shape of the images; None if the images
          of a list differ in size.
        - filenames : list of str. The file of each sample, sorted by folder and file.
        - target_names : ndarray of shape (n_classes,). The labels, sorted.

    Raises
    ------
    ValueError
        If there is no image, or if an image cannot be read, is in another format (such
        as HEIC or SVG), is animated, has more than 16 bits or, without
        ``as_list=True``, differs in size from the others. The message names the file,
        what was expected and what was found. If the images are one folder deeper, as in
        ``training/`` and ``testing/``, the message names the folder to pass.
    FileNotFoundError
        If the folder does not exist.
    ImportError
        If Pillow is not installed.

    Warns
    -----
    UserWarning
        If a sub-folder contains no image, if images beside or below the sub-folders are
        left out, or if an image of 16 bits is nearly black, with no value above 255.

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

    Photographs of several sizes are a list, which a DigitNormalizer brings to one size:

    >>> Image.new("L", (40, 30), 255).save(folder / "7" / "second.png")
    >>> images = read_image_folder(folder, as_list=True)
    >>> [image.shape for image in images.data]
    [(6, 4), (6, 4), (30, 40)]
    """
    files = _image_files(expanded(path))
    images = list(map(read_image, files))
    if not as_list:
        _check_sizes(files, images)

    shapes = {image.shape for image in images}
    target = _labels([file.parent.name for file in files])
    return Bunch(
        data=images if as_list else np.stack(images).reshape(len(images), -1),
        target=target,
        image_shape=shapes.pop() if len(shapes) == 1 else None,
        filenames=[str(file) for file in files],
        target_names=np.unique(target),
    )


def _check_sizes(files: list[Path], images: list[np.ndarray]) -> None:
    """Refuse an image that differs in size from the first."""
    for file, image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            raise ValueError(
                f"{file}: expected an image of {_size(images[0])}, the size of "
                f"{files[0]}, but found {_size(image)}. Pass as_list=True to get a "
                "list, whose images DigitNormalizer brings to one size, or bring them "
                "to one size first."
            )


def _image_files(path: Path) -> list[Path]:
    """Return the image files of all classes, sorted by folder and file."""
    found = {folder: _images_in(folder) for folder in _visible_folders(path)}
    files = [file for images in found.values() for file in images]
    if not files:
        suffixes = ", ".join(sorted(SUFFIXES))
        raise ValueError(
            f"{path}: expected a folder for each class with image files in it "
            f"({suffixes}), but {_whereabouts(path)}"
        )

    empty = [folder for folder, images in found.items() if not images]
    beside = [file for file in _visible(path) if is_image(file)]
    below = [inner for folder in found for inner in _folders_of_images(folder)]
    left_out = empty + beside + below
    if left_out:
        warnings.warn(
            f"{_listed(left_out)}: expected only folders in {path}, and in each of "
            "them images of one class and no folders. What is named is left out.",
            UserWarning,
            stacklevel=3,
        )
    return files


def _visible(folder: Path) -> list[Path]:
    """Return the sorted entries of a folder whose names do not begin with a dot."""
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]


def _visible_folders(folder: Path) -> list[Path]:
    """Return those of them that are folders, without a look at each of many files."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir()]
    return [folder / name for name in sorted(names) if not name.startswith(".")]


def _images_in(folder: Path) -> list[Path]:
    """Return the image files in a folder, sorted.

    Raises
    ------
    ValueError
        If there is one of a format that cannot be read.
    """
    files = _visible(folder)
    for file in files:
        check_readable(file)
    return [file for file in files if is_image(file)]


def _whereabouts(path: Path) -> str:
    """Return where images lie instead, and which folder to pass."""
    if any(is_image(file) for file in _visible(path)):
        return (
            f"found images in {path} itself. Move those of each class to a folder of "
            f"its own; if {path.name} is a class, pass {path.absolute().parent}."
        )

    parents = [folder for folder in _deeper(path) if _folders_of_images(folder)]
    if parents:
        return (
            f"found images deeper, below {_listed(parents)}. Pass one of these: "
            f"read_image_folder({str(parents[0])!r})."
        )
    return "found no image. Pass the folder that contains the folders of the classes."


def _deeper(path: Path) -> Iterator[Path]:
    """Yield the folders in a folder, and then those in these."""
    folders = _visible_folders(path)
    yield from folders
    for folder in folders:
        yield from _visible_folders(folder)


def _folders_of_images(folder: Path) -> list[Path]:
    """Return the folders in a folder that contain images."""
    return [
        inner
        for inner in _visible_folders(folder)
        if any(is_image(file) for file in _visible(inner))
    ]


def _listed(paths: list[Path]) -> str:
    """Return up to three paths, and how many others there are."""
    rest = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(map(str, paths[:3])) + rest


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
