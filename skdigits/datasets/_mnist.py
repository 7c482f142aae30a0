"""Loader of the MNIST database of handwritten digits."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import fetch_openml, get_data_home
from sklearn.utils import Bunch

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

    The function looks for the four original files (``train-images-idx3-ubyte`` and so
    on, with or without ``.gz``) in ``data_home``, then in the folder named by the
    environment variable ``SKDIGITS_DATA``; in each, it searches the sub-folder
    ``mnist`` first. Without ``data_home``, it also searches ``mnist`` in scikit-learn's
    data folder. If it finds none of the files, scikit-learn fetches ``mnist_784`` from
    OpenML.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder to search first, in which scikit-learn also stores a download. By default
        scikit-learn's own data folder stores it.
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
        - frame : DataFrame of shape (70000, 785), or None unless ``as_frame``.
        - DESCR : str. Description and origin of the data set.

    (data, target) : tuple
        If ``return_X_y``.

    Raises
    ------
    ValueError
        If the contents are not MNIST's by their SHA-256. The message names the file and
        says what was expected and found.
    FileNotFoundError
        If the folder contains some but not all of the four files.
    OSError
        If no folder contains the files and OpenML cannot be reached.

    See Also
    --------
    read_idx : Reads any file in the format of MNIST's.
    sklearn.datasets.load_digits : 1,797 digits of 8 x 8 pixels, without a download.

    Examples
    --------
    >>> from skdigits.datasets import load_mnist
    >>> mnist = load_mnist()  # doctest: +SKIP
    >>> X_train = mnist.data[mnist.train]  # doctest: +SKIP
    >>> X_test = mnist.data[mnist.test]  # doctest: +SKIP
    """
    folder = _folder(data_home)
    data, target = _read(folder) if folder else _fetch(data_home)
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


def _folder(data_home: str | os.PathLike[str] | None) -> Path | None:
    """Return the first folder that contains any of MNIST's files, or None."""
    for folder in _folders(data_home):
        if any(_path(folder, name) for name in FILES):
            return folder
    return None


def _folders(data_home: str | os.PathLike[str] | None) -> Iterator[Path]:
    """Yield the folders to search, in their order."""
    for home in (data_home, os.environ.get("SKDIGITS_DATA")):
        if home:
            yield Path(home, "mnist")
            yield Path(home)

    # Last, because get_data_home creates the folder that it names.
    if data_home is None:
        yield Path(get_data_home(), "mnist")


def _path(folder: Path, name: str) -> Path | None:
    """Return the file of this name, gzipped or not, or None."""
    for suffix in ("", ".gz"):
        path = folder / f"{name}{suffix}"
        if path.is_file():
            return path
    return None


def _read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (70000, 784) and labels (70000,) from the four files."""
    values = {}
    for name, sha256 in FILES.items():
        path = _path(folder, name)
        if path is None:
            raise FileNotFoundError(
                f"{folder / name}[.gz]: not found, though {folder} contains others of "
                "MNIST's four files. Put it there, or remove the others to fetch MNIST "
                "from OpenML."
            )
        values[name] = read_idx(path)
        _check(path, values[name], sha256)

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
    except OSError as error:
        searched = ", ".join(map(str, _folders(data_home)))
        raise OSError(
            f"MNIST's four files are in none of {searched}, and OpenML cannot be "
            f"reached ({error}). Put the files in one of these folders, or set "
            "SKDIGITS_DATA to the folder that contains mnist/."
        ) from None

    # OpenML has pixels in int64 and labels as strings.
    data = bunch.data.astype(np.uint8)
    target = bunch.target.astype(np.uint8)
    _check("mnist_784 of OpenML, pixels", data, PIXELS_SHA256)
    _check("mnist_784 of OpenML, labels", target, LABELS_SHA256)
    return data, target.astype(np.int64)


def _check(source: str | Path, values: np.ndarray, expected: str) -> None:
    """Compare the SHA-256 of values with the expected one."""
    found = hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
    if found != expected:
        raise ValueError(
            f"{source}: expected MNIST's values, of SHA-256 {expected}, but found "
            f"{found}, of shape {values.shape}. The data are damaged or another data "
            "set: fetch them again."
        )
