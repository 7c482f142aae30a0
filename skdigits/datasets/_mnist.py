"""Loader of the MNIST database of handwritten digits."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import fetch_openml, get_data_home
from sklearn.utils import Bunch

from skdigits.datasets._files import expanded
from skdigits.datasets._idx import read_idx

N_TRAIN = 60_000
SIDE = 28

# SHA-256 of the values alone, in any container: training samples, then test samples.
PIXELS_SHA256 = "5b92582eb909c82a9bfefcd44acbe9233be3eb5b419a44cf211022ad2bf4bf96"
LABELS_SHA256 = "671ff9d70b4811116d55c3dd479efa7a981e2e62753ef7a6d5c15fea81e63d27"

# Each file, and the SHA-256 of the values in it. A checksum of the file itself would
# change with its compression.
FILES = {
    "train-images-idx3-ubyte": (
        "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"
    ),
    "train-labels-idx1-ubyte": (
        "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13"
    ),
    "t10k-images-idx3-ubyte": (
        "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161"
    ),
    "t10k-labels-idx1-ubyte": (
        "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5"
    ),
}

# Bytes of the files, unpacked.
SIZES = {47_040_016, 60_008, 7_840_016, 10_008}

DESCR = """\
MNIST: 70,000 handwritten digits of 28 x 28 pixels, from 0 (background) to 255
(foreground), by some 500 writers: high-school students and employees of the US Census
Bureau. The first 60,000 are for training, the last 10,000 for testing; no writer is in
both.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning Applied to Document
Recognition", Proceedings of the IEEE 86(11), 1998.
"""


def load_mnist(
    data_home: str | os.PathLike[str] | None = None,
    *,
    return_X_y: bool = False,
    as_frame: bool = False,
) -> Bunch | tuple[np.ndarray, np.ndarray] | tuple[pd.DataFrame, pd.Series]:
    """Load MNIST: 70,000 handwritten digits of 28 x 28 pixels.

    The function looks for the four original files in ``data_home``, then in the folder
    named by the environment variable ``SKDIGITS_DATA``, then in scikit-learn's data
    folder. In each, it searches the sub-folder ``mnist``, then ``MNIST/raw``, where
    torchvision stores the files, then the folder itself (except in scikit-learn's data
    folder). The files are called ``train-images-idx3-ubyte`` or
    ``train-images.idx3-ubyte`` and so on, with or without ``.gz``. A file with another
    name, or in its own folder such as ``train-images-idx3-ubyte/``, is recognised by
    its contents. If none of the files is found, scikit-learn fetches ``mnist_784`` from
    OpenML.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder to search first. scikit-learn also stores a download there. ``~`` stands
        for the home folder, here and in ``SKDIGITS_DATA``. With None, scikit-learn
        stores a download in its own data folder.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Whether to return data and target as a pandas DataFrame and Series.

    Returns
    -------
    data : sklearn.utils.Bunch
        With these members:

        - data : uint8 ndarray of shape (70000, 784), or DataFrame. Pixels, row by row.
        - target : int64 ndarray of shape (70000,), or Series. The digits.
        - train, test : slice. The official split: the first 60,000 and the last 10,000
          samples.
        - feature_names : list of str. ``pixel1`` to ``pixel784``, as at OpenML.
        - target_names : ndarray of shape (10,). The digits 0 to 9.
        - frame : DataFrame of shape (70000, 785), or None unless ``as_frame=True``.
        - DESCR : str. Description and origin of the data set.

    (data, target) : tuple
        With ``return_X_y=True``.

    Raises
    ------
    ValueError
        If the SHA-256 of a file is not MNIST's. The message names the file, what was
        expected and what was found.
    FileNotFoundError
        If a folder contains some but not all of the four files.
    OSError
        If no folder contains the files and OpenML does not provide them. The message
        names the four files and the folder to put them in.

    See Also
    --------
    read_idx : Reads any file in MNIST's format.
    sklearn.datasets.load_digits : 1,797 digits of 8 x 8 pixels, without a download.

    Examples
    --------
    >>> from skdigits.datasets import load_mnist
    >>> mnist = load_mnist()  # doctest: +SKIP
    >>> X_train = mnist.data[mnist.train]  # doctest: +SKIP
    >>> X_test = mnist.data[mnist.test]  # doctest: +SKIP
    """
    files = _find(data_home)
    data, target = _read(files) if files else _fetch(data_home)
    names = [f"pixel{i + 1}" for i in range(SIDE * SIDE)]

    frame = None
    if as_frame:
        data = pd.DataFrame(data, columns=names)
        target = pd.Series(target, name="class")
        frame = pd.concat([data, target], axis=1)
    if return_X_y:
        return data, target

    return Bunch(
        data=data,
        target=target,
        train=slice(0, N_TRAIN),
        test=slice(N_TRAIN, None),
        feature_names=names,
        target_names=np.arange(10),
        frame=frame,
        DESCR=DESCR,
    )


def has_mnist() -> bool:
    """Return whether `load_mnist` needs no network.

    Raises
    ------
    FileNotFoundError
        If some of the files are missing.
    """
    return bool(_find(None))


def _find(data_home: str | os.PathLike[str] | None) -> dict[str, Path]:
    """Return MNIST's four files by their usual names; none if there are none.

    Raises
    ------
    FileNotFoundError
        If the first folder that contains any of the files lacks others.
    """
    for folder in _folders(data_home):
        files = _named(folder)
        if len(files) < len(FILES):
            files = _recognised(folder) | files
        missing = [name for name in FILES if name not in files]
        if not missing:
            return files
        if files:
            raise FileNotFoundError(
                f"{folder / missing[0]}[.gz]: not found, nor a file of its contents "
                f"under another name, though {folder} contains others of MNIST's four "
                "files. Put it there, or remove the others to fetch MNIST from OpenML."
            )
    return {}


def _folders(data_home: str | os.PathLike[str] | None) -> Iterator[Path]:
    """Yield the folders to search, in their order."""
    for home in (data_home, os.environ.get("SKDIGITS_DATA")):
        if home:
            yield expanded(home) / "mnist"
            yield expanded(home) / "MNIST" / "raw"
            yield expanded(home)

    # Last, because get_data_home creates the folder that it names.
    if data_home is None:
        yield Path(get_data_home(), "mnist")


def _named(folder: Path) -> dict[str, Path]:
    """Return those of MNIST's files that are in a folder under a usual name."""
    files: dict[str, Path] = {}
    for name in FILES:
        for written in (name, name.replace("-idx", ".idx")):
            for path in (folder / written, folder / f"{written}.gz"):
                if path.is_file():
                    files.setdefault(name, path)
    return files


def _recognised(folder: Path) -> dict[str, Path]:
    """Return those of MNIST's files that are in a folder under any name.

    Archives are often unpacked to a folder for each file, named after it.
    """
    names = {sha256: name for name, sha256 in FILES.items()}
    files: dict[str, Path] = {}
    for path in sorted([*folder.glob("*"), *folder.glob("*ubyte*/*")]):
        # A file that cannot be read is none of them.
        with suppress(ValueError, OSError):
            if _unpacked_size(path) in SIZES:
                name = names.get(_sha256(read_idx(path)))
                if name:
                    files.setdefault(name, path)
    return files


def _unpacked_size(path: Path) -> int | None:
    """Return the number of bytes in a file, unpacked if its name ends in .gz."""
    if not path.is_file():
        return None
    size = path.stat().st_size
    if path.suffix != ".gz" or size < 4:
        return size

    # The last four bytes of a gzip file are the size of its contents.
    with open(path, "rb") as file:
        file.seek(-4, os.SEEK_END)
        return int.from_bytes(file.read(4), "little")


def _read(files: dict[str, Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (70000, 784) and labels (70000,) from the four files."""
    values = {name: read_idx(files[name]) for name in FILES}
    for name, sha256 in FILES.items():
        _check(files[name], values[name], sha256)

    train_images, train_labels, test_images, test_labels = values.values()
    data = np.concatenate([train_images, test_images]).reshape(-1, SIDE * SIDE)
    target = np.concatenate([train_labels, test_labels]).astype(np.int64)
    return data, target


def _fetch(
    data_home: str | os.PathLike[str] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (70000, 784) and labels (70000,) from OpenML, in the same order."""
    try:
        bunch = fetch_openml(
            "mnist_784", version=1, as_frame=False, data_home=data_home
        )
    except Exception as error:
        # Connections, archives and their parsers fail in ways of their own.
        *names, last = (f"{name}.gz" for name in FILES)
        searched = [str(folder) for folder in _folders(data_home)]
        raise OSError(
            f"MNIST is in none of the folders {', '.join(searched)}, and OpenML cannot "
            f"be reached ({type(error).__name__}: {error}). Put its four files, "
            f"{', '.join(names)} and {last}, into {searched[0]}, or set SKDIGITS_DATA "
            "to the folder that contains mnist/."
        ) from error

    # OpenML has pixels in int64 and labels as strings.
    data = bunch.data.astype(np.uint8)
    target = bunch.target.astype(np.uint8)
    _check("mnist_784 of OpenML, pixels", data, PIXELS_SHA256)
    _check("mnist_784 of OpenML, labels", target, LABELS_SHA256)
    return data, target.astype(np.int64)


def _check(source: str | Path, values: np.ndarray, expected: str) -> None:
    """Compare the SHA-256 of values with the expected one."""
    found = _sha256(values)
    if found != expected:
        raise ValueError(
            f"{source}: expected MNIST's values, of SHA-256 {expected}, but found "
            f"{found}, of shape {values.shape}. The data are damaged or another data "
            "set: fetch them again."
        )


def _sha256(values: np.ndarray) -> str:
    """Return the SHA-256 of values in C order."""
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
