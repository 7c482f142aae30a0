"""The MNIST database of handwritten digits."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import fetch_openml, get_data_home
from sklearn.utils import Bunch

from skdigits.datasets._idx import read_idx

N_TRAIN = 60_000
SIDE = 28

# SHA-256 of the values alone, whichever file they came in: training rows, then test rows.
PIXELS_SHA256 = "5b92582eb909c82a9bfefcd44acbe9233be3eb5b419a44cf211022ad2bf4bf96"
LABELS_SHA256 = "671ff9d70b4811116d55c3dd479efa7a981e2e62753ef7a6d5c15fea81e63d27"

# File and SHA-256 of the values that it holds.
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
MNIST: 70,000 handwritten digits, 28 x 28 pixels of 0 (ground) to 255 (ink), by some 500
writers: high-school students and employees of the US Census Bureau. The first 60,000 are for
training, the last 10,000 for testing; no writer is in both.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning Applied to Document
Recognition", Proceedings of the IEEE 86(11), 1998.
"""


def load_mnist(data_home=None, *, return_X_y=False, as_frame=False):
    """Load MNIST: 70,000 handwritten digits of 28 x 28 pixels.

    Looks for the four original files (``train-images-idx3-ubyte`` and so on, with or
    without ``.gz``) in ``data_home`` and in the folder that the environment variable
    ``SKDIGITS_DATA`` names, first in their sub-folder ``mnist``; without a ``data_home``, in
    that of scikit-learn's data folder, too. Otherwise has scikit-learn fetch ``mnist_784``
    from OpenML.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Where to look first, and where scikit-learn is to keep what it fetches; None is
        scikit-learn's own data folder.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Whether data and target are to be a pandas DataFrame and Series.

    Returns
    -------
    data : sklearn.utils.Bunch
        With these members:

        - data : uint8 ndarray of shape (70000, 784), or DataFrame. Pixels, row by row.
        - target : int64 ndarray of shape (70000,), or Series. The digits.
        - train, test : slice. The official split, the first 60,000 and the last 10,000 rows.
        - feature_names : list of str. ``pixel1`` to ``pixel784``, as at OpenML.
        - target_names : ndarray of shape (10,). The digits 0 to 9.
        - frame : DataFrame of shape (70000, 785), or None unless ``as_frame``.
        - DESCR : str. What this is and where it comes from.

    (data, target) : tuple
        If ``return_X_y``.

    Raises
    ------
    ValueError
        If the contents are not MNIST's, by their SHA-256. Names the file, what was expected
        and what was found; nothing is returned in part.
    FileNotFoundError
        If the folder holds some of the four files but not all.
    OSError
        If there is no such folder, and OpenML cannot be reached.

    See Also
    --------
    read_idx : Reads any file in the format of MNIST's.
    sklearn.datasets.load_digits : 1,797 digits of 8 x 8 pixels, at hand without a download.

    Examples
    --------
    >>> from skdigits.datasets import load_mnist
    >>> mnist = load_mnist()  # doctest: +SKIP
    >>> X_train, X_test = mnist.data[mnist.train], mnist.data[mnist.test]  # doctest: +SKIP
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


def _folder(data_home):
    """The first folder that holds any of MNIST's files, or None."""
    for folder in _folders(data_home):
        if any(_path(folder, name) for name in FILES):
            return folder
    return None


def _folders(data_home):
    """Where to look, in this order; scikit-learn makes its folder as soon as it is asked."""
    for home in (data_home, os.environ.get("SKDIGITS_DATA")):
        if home:
            yield from (Path(home, "mnist"), Path(home))
    if data_home is None:
        yield Path(get_data_home(), "mnist")


def _path(folder, name):
    """The file of this name, gzipped or not, or None."""
    paths = (folder / f"{name}{suffix}" for suffix in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def _read(folder):
    """Pixels (70000, 784) and labels (70000,) from the four files."""
    values = {}
    for name, sha256 in FILES.items():
        path = _path(folder, name)
        if path is None:
            raise FileNotFoundError(
                f"{folder / name}[.gz]: not found, though others of MNIST's four files are "
                f"in {folder}. Put it there, or remove the others to fetch MNIST from OpenML."
            )
        values[name] = read_idx(path)
        _check(path, values[name], sha256)
    train_images, train_labels, test_images, test_labels = values.values()
    data = np.concatenate([train_images, test_images]).reshape(-1, SIDE * SIDE)
    return data, np.concatenate([train_labels, test_labels]).astype(np.int64)


def _fetch(data_home):
    """The same from OpenML, where the rows are in the same order."""
    try:
        bunch = fetch_openml(
            "mnist_784", version=1, as_frame=False, data_home=data_home
        )
    except OSError as error:
        searched = ", ".join(map(str, _folders(data_home)))
        raise OSError(
            f"MNIST's four files are in none of {searched}, and OpenML cannot be reached "
            f"({error}). Put them in one of these, or set SKDIGITS_DATA to the folder that "
            "holds mnist/."
        ) from None
    data, target = bunch.data.astype(np.uint8), bunch.target.astype(np.uint8)
    _check("mnist_784 of OpenML, pixels", data, PIXELS_SHA256)
    _check("mnist_784 of OpenML, labels", target, LABELS_SHA256)
    return data, target.astype(np.int64)


def _check(source, values, expected):
    """Compare values with what they are known to be."""
    found = hashlib.sha256(np.ascontiguousarray(values)).hexdigest()
    if found != expected:
        raise ValueError(
            f"{source}: expected MNIST's values, of SHA-256 {expected}, but found {found}, of "
            f"shape {values.shape}. It is damaged, or another data set: fetch it again."
        )
