"""Reading folders of image files."""

from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".tif", ".tiff", ".webp"}


def read_image_folder(path):
    """Read a folder that has one folder of image files for each class.

    As the PNG editions of MNIST are laid out: ``path/0/*.png`` to ``path/9/*.png``. Colours
    become grey values, 16 bits become 8, and transparent pixels show white ground.

    Parameters
    ----------
    path : str or path-like
        The folder. Its sub-folders' names are the labels; names beginning with a dot, and
        files that are no images by their ending, are passed over.

    Returns
    -------
    sklearn.utils.Bunch
        With these members:

        - data : uint8 ndarray of shape (n_images, height * width). Grey values, row by row.
        - target : ndarray of shape (n_images,). Labels: int64 where every folder's name is
          a number as it is commonly written, else str.
        - image_shape : tuple (height, width).
        - filenames : list of str. The file of each row, folders and files by name.
        - target_names : ndarray of shape (n_classes,). The labels, sorted.

    Raises
    ------
    ValueError
        If there is no image, if one cannot be read, is animated or has more than 16 bits,
        or if one is not of the others' size.
        Names the file, what was expected and what was found.
    FileNotFoundError
        If there is no such folder.
    ImportError
        If Pillow is not installed.

    See Also
    --------
    skdigits.preprocessing.DigitNormalizer : Makes digits like MNIST's of them.
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
                f"{file}: expected an image of {_size(images[0])}, the size of {files[0]}, "
                f"but found {_size(image)}. Bring all images to one size first."
            )
    target = _labels([file.parent.name for file in files])
    return Bunch(
        data=np.stack(images).reshape(len(images), -1),
        target=target,
        image_shape=images[0].shape,
        filenames=[str(file) for file in files],
        target_names=np.unique(target),
    )


def _image_files(path):
    """All images of all classes, folders and files by name."""
    files = [
        file
        for folder in sorted(path.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    ]
    if not files:
        raise ValueError(
            f"{path}: expected a folder for each class with image files in it "
            f"({', '.join(sorted(SUFFIXES))}), but found no image. Name the folder in which "
            "the classes' folders are."
        )
    return files


def _grey(file):
    """Grey values (height, width) of an image file, uint8."""
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
            f"{file}: expected an image that Pillow can read, but found {error}"
        ) from error


def _as_grey(file, image):
    from PIL import Image

    frames = getattr(image, "n_frames", 1)
    if image.mode == "I" and np.max(image) < 2**16:  # as Pillow opens 16-bit PGM
        image = Image.fromarray(np.asarray(image).astype(np.uint16))
    if frames > 1 or image.mode in ("I", "F"):
        raise ValueError(
            f"{file}: expected one picture of 8 or 16 bits a channel, but found {frames} of "
            f"mode {image.mode!r}. Convert it first."
        )
    if image.mode.startswith("I;16"):
        return (np.asarray(image) / 257).round().astype(np.uint8)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("L"))


def _size(image):
    return f"{image.shape[1]} x {image.shape[0]} pixels"


def _labels(names):
    """Names as integers where they are what integers are written as, else as they are."""
    written = np.array(names)
    try:
        numbers = written.astype(np.int64)
    except (ValueError, OverflowError):
        return written
    return numbers if np.array_equal(numbers.astype(str), written) else written
