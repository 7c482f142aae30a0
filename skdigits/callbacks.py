"""Callbacks for ``set_callbacks``: checkpoints that continue a killed training."""

import io
import os
import pickle
from collections.abc import Iterator
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.callback import CallbackContext

from skdigits._files import check_writable
from skdigits._input_checks import COUNT, NOT_NEGATIVE

__all__ = ["Checkpoint", "load_checkpoint"]

NAME = b"skdigits checkpoint 1"
# A pickle that takes its name from the stack again: joblib.load and pickle.load read
# on, and find the model.
MAGIC = b"\x80\x05\x8c" + bytes([len(NAME)]) + NAME + b"0"
FINGERPRINT = "fingerprint"  # the file in the folder of a search that names it
SEARCH = "search"  # and the one of a search that has ended

SHARE = 20  # by which training lasts longer than a write, by default
PAUSE = 1.0  # seconds that it lasts at least


class Checkpoint:
    """Saves a training as it goes on, and continues it if the file is there.

    Set it on a classifier that is trained by gradients, or on a batched search, and
    fit. If the process is killed, run the same script again: training continues where
    the file was written last, and ends with the numbers of the uninterrupted run, bit
    for bit. Once training has ended, the file holds the fitted model, and the same
    ``fit`` returns it without training. To train afresh, delete the file.

    Another training, with other parameters or samples, replaces the file of one that
    has ended. If the one in the file has not ended, ``fit`` raises an error.

    Parameters
    ----------
    path : str or path-like
        File to write, or folder for a search. Its parent folder must exist.
    every_n_epochs : int, default=None
        Number of epochs (iterations of L-BFGS) after which the file is written.
    every_n_minutes : float, default=None
        Minutes after which the file is written, at the end of an epoch. With both, the
        file is written when either has passed. With neither, it is written after the
        first epoch, and again when training has lasted for a second, and for 20 times
        as long as the last write. The end, and Ctrl-C, write it in any case.

    See Also
    --------
    load_checkpoint : The model in the file, as it was when it was written.

    Notes
    -----
    The file is replaced as a whole: the new one is written beside it, under the same
    name with ``.part``, and takes its place once it is on the disk. At any moment there
    is the old file or the new one. It is a pickle: open files of people you trust only.

    The file knows the parameters, but for ``verbose``, and hashes of the training and
    validation samples, and of the fitted model with ``warm_start=True``. The error
    about a training that has not ended names what differs.

    SciPy does not hand out the memory of L-BFGS. The file holds the objective and the
    gradient of each evaluation instead, 8 bytes a parameter, from which SciPy makes its
    memory anew without computing any of them again.

    A search writes a file for each of its runs, once the run has ended, and a
    checkpoint of the refit: what has ended is not trained again, with another number
    of workers, either. It does not look at ``every_n_epochs`` and ``every_n_minutes``
    before the refit. Candidates that are fitted one by one, by scikit-learn, are saved
    like runs. Another search removes the files of one that has ended; files of yours
    in the folder stay.

    Set it on the model, not on a Pipeline around it: ``pipeline[-1].set_callbacks``.
    `TemplateMatchingClassifier` has nothing to continue: it sees each sample once.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.callbacks import Checkpoint, load_checkpoint
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SoftmaxRegression(solver="sgd", max_iter=5, tol=None, random_state=0)
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "model.checkpoint"
    ...     model = model.set_callbacks(Checkpoint(path)).fit(X / 16, y)
    ...     loaded = load_checkpoint(path)
    >>> bool((loaded.predict(X / 16) == model.predict(X / 16)).all())
    True
    """

    _of_search = False  # whether a search has set it on a model

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        every_n_epochs: int | None = None,
        every_n_minutes: float | None = None,
    ) -> None:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"path={path!r} must be a str or path-like.")
        if every_n_epochs is not None and not COUNT.is_satisfied_by(every_n_epochs):
            raise ValueError(
                f"every_n_epochs={every_n_epochs!r} must be a positive integer or None."
            )
        if every_n_minutes is not None and not NOT_NEGATIVE.is_satisfied_by(
            every_n_minutes
        ):
            raise ValueError(
                f"every_n_minutes={every_n_minutes!r} must be a number of 0 or more, "
                "or None."
            )
        self.path = path
        self.every_n_epochs = every_n_epochs
        self.every_n_minutes = every_n_minutes

    def __repr__(self) -> str:
        return f"Checkpoint({os.fspath(self.path)!r})"

    def setup(self, estimator: BaseEstimator, context: CallbackContext) -> None:
        """Check that the estimator can be continued, and that the file can be written.

        Parameters
        ----------
        estimator : estimator
            The classifier or search that is fitted.
        context : sklearn.callback.CallbackContext
            Where the fit stands.

        Raises
        ------
        TypeError
            If the estimator is none of this package that trains by gradients.
        OSError
            If the path is a folder but is to be a file, or the other way round; if its
            parent folder does not exist, or cannot be written to.
        """
        name = type(estimator).__name__
        if not hasattr(estimator, "_saved_in"):
            raise TypeError(
                f"{self!r} cannot continue a {name}: set it on a classifier of "
                "skdigits that is trained by gradients, such as pipeline[-1], or on a "
                "batched search."
            )
        self._check_kind(estimator._saved_in)
        self._check_can_be_written()

    def teardown(self, estimator: BaseEstimator, context: CallbackContext) -> None:
        """Do nothing: the estimator itself reads and writes the file.

        Parameters
        ----------
        estimator : estimator
            The classifier or search that is fitted.
        context : sklearn.callback.CallbackContext
            Where the fit stands.
        """

    on_fit_task_begin = teardown
    on_fit_task_end = teardown

    def _check_kind(self, kind: str) -> None:
        """Check that what is there is a "file", or a "folder"."""
        name = os.fspath(self._path)
        if kind == "file" and self._path.is_dir():
            inside = os.fspath(self._path / "model.checkpoint")
            raise IsADirectoryError(
                f"{self!r} of a fit needs a file, and {name!r} is a folder: name a "
                f"file in it, such as {inside!r}."
            )
        if kind == "folder" and self._path.exists() and not self._path.is_dir():
            raise FileExistsError(
                f"{self!r} of a search needs a folder, and {name!r} is a file: choose "
                "another path."
            )

    def _check_can_be_written(self) -> None:
        folder = self._path if self._path.is_dir() else self._path.parent
        check_writable(folder, repr(self))

    @property
    def _path(self) -> Path:
        return Path(self.path).expanduser()

    def _within(self, name: str) -> "Checkpoint":
        """Return the same checkpoint for a file in its folder."""
        found = copy(self)
        found.path = self._path / name
        found._of_search = True
        return found

    def _is_due(self, epoch: int, seconds: float, last: float | None) -> bool:
        """Return whether to write after an epoch, so many seconds after the last write.

        ``last`` is how many seconds that write took; None if there was none.
        """
        if self.every_n_epochs is None and self.every_n_minutes is None:
            return last is None or seconds >= max(PAUSE, SHARE * last)

        if self.every_n_epochs is not None and epoch % self.every_n_epochs == 0:
            return True
        return self.every_n_minutes is not None and seconds >= 60 * self.every_n_minutes


def load_checkpoint(path: str | os.PathLike[str]) -> Any:
    """Return the model of a checkpoint: fitted as far as training had come.

    joblib.load and pickle.load read the file of a fit as well; they do not tell what is
    wrong with other files.

    Parameters
    ----------
    path : str or path-like
        File that a `Checkpoint` has written, or the folder of a finished search.

    Returns
    -------
    object
        The classifier, which predicts and trains further, as if its fit had ended with
        the last epoch in the file; or the fitted search.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or if the search has not ended.
    ValueError
        If the file is no checkpoint, or not a whole one.

    See Also
    --------
    Checkpoint : Writes the file.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import load_iris
    >>> from skdigits import MLPClassifierTorch
    >>> from skdigits.callbacks import Checkpoint, load_checkpoint
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifierTorch(8, max_iter=6, tol=None, random_state=0)
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "iris.checkpoint"
    ...     model = model.set_callbacks(Checkpoint(path)).fit(X, y)
    ...     load_checkpoint(path).n_iter_
    6
    """
    place = Path(path).expanduser()
    if place.is_dir():
        place = place / SEARCH
        if not place.exists():
            raise FileNotFoundError(
                f"The search in the folder {os.fspath(path)!r} has not ended: fit it "
                "again with its Checkpoint, and it continues."
            )
    parts = read(place, OTHER_READERS)
    if parts is None:
        raise FileNotFoundError(f"There is no checkpoint {os.fspath(path)!r}.")
    if not isinstance(parts[0], BaseEstimator):
        raise ValueError(
            f"The checkpoint {os.fspath(path)!r} is part of a search: pass the folder "
            "of the search."
        )
    return parts[0]


LEFT_ALONE = "It is left as it is: choose another path."
OTHER_READERS = (
    "joblib.load reads a model that joblib.dump has saved, and pickle.load and "
    "skops.io.load read those of theirs."
)


def holds(path: Path) -> bool:
    """Return whether a file is a checkpoint, by its first bytes."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read(path: Path, cure: str = LEFT_ALONE) -> tuple[Any, ...] | None:
    """Return the parts of a checkpoint; None if there is no such file.

    ``cure`` tells what to do with a file that is no checkpoint.

    Raises
    ------
    ValueError
        If the file is no checkpoint, or not a whole one.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None

    except OSError as error:
        raise ValueError(
            f"The checkpoint {os.fspath(path)!r} cannot be read: {error}. Choose "
            "another path, or delete it to train from scratch."
        ) from error

    name = os.fspath(path)
    if not data.startswith(MAGIC):
        raise ValueError(f"{name!r} is no checkpoint of skdigits. {cure}")
    try:
        return tuple(_pickles(data))
    except Exception as error:
        raise ValueError(
            f"The checkpoint {name!r} cannot be read: {type(error).__name__}: {error}. "
            "If it was copied in part, delete it to train from scratch."
        ) from error


def _pickles(data: bytes) -> Iterator[Any]:
    """Yield what is pickled, one after the other, but at least once."""
    file = io.BytesIO(data)
    yield pickle.load(file)
    while file.tell() < len(data):
        yield pickle.load(file)


def write(path: Path, *parts: Any) -> None:
    """Replace a file by a checkpoint with these parts, or leave it as it was.

    Raises
    ------
    ValueError
        If the content cannot be pickled.
    """
    part = path.with_name(f"{path.name}.part")
    with open(part, "wb") as file:
        file.write(MAGIC)
        try:
            for one in parts:
                pickle.dump(one, file, protocol=pickle.HIGHEST_PROTOCOL)
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            raise ValueError(
                f"The checkpoint {os.fspath(path)!r} cannot hold a parameter: define "
                f"functions in a module, not as lambda. {error}"
            ) from error
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)

    # The name itself is on the disk with its folder, where folders can be synchronised.
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
