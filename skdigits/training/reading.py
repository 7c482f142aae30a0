"""Samples in a mapped file: when they are checked, and what reads them ahead."""

import math
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array
from torch import Tensor

from skdigits._arrays import Array, to_numpy, training_device
from skdigits._input_checks import Samples, as_read
from skdigits._memory_maps import MappedRows, rows_in_file
from skdigits.engine.batches import MIXED
from skdigits.engine.solvers import SOLVERS
from skdigits.training.settings import solver_of

if TYPE_CHECKING:
    from skdigits._gradient import GradientClassifier


class FileReader:
    """Announces blocks of a mapped file, and checks samples when they are first read.

    The ``model`` learns the range of ``samples``, which lie in ``rows``, in the first
    pass over all of them, if they are unchecked. ``shuffle`` is how the model's samples
    are shuffled in fact.
    """

    def __init__(
        self,
        model: "GradientClassifier",
        samples: Samples,
        rows: MappedRows,
        shuffle: bool | str,
    ) -> None:
        self.model = model
        self.samples = samples
        self.rows = rows
        self.shuffle = shuffle
        file = samples.in_file
        self.n_unchecked = len(samples.X) if file and file.unchecked else 0
        self.bounds = (math.inf, -math.inf)
        self.recent: deque[tuple[int, int]] = deque()

    def announce(self, first: int, last: int) -> None:
        """Let the system read samples ahead; those of a window before are done with."""
        self.rows.announce(first, last)
        self.recent.append((first, last))
        # Batches of the window before may still be waiting to be gathered.
        if len(self.recent) > 2.5 * MIXED:
            self.rows.release(*self.recent.popleft())

    def check(self, X: Tensor) -> None:
        """Look for NaN, infinity and the range of X in the first pass.

        Raises
        ------
        ValueError
            If there is NaN or infinity.
        """
        if self.n_unchecked <= 0:
            return

        smallest, largest = (bound.item() for bound in X.aminmax())
        if not math.isfinite(largest - smallest):
            # It has the words.
            check_array(to_numpy(X), input_name="X", estimator=self.model)
        self.bounds = (min(self.bounds[0], smallest), max(self.bounds[1], largest))
        self.n_unchecked -= len(X)
        if self.n_unchecked == 0:
            as_read(self.model, self.samples.X, fresh=True, bounds=self.bounds)

    def finish(self) -> None:
        """Check all samples if a run was over before it has read them."""
        if self.n_unchecked > 0:
            as_read(self.model, self.samples.X, fresh=True)
            self.n_unchecked = 0


def reader_of(model: "GradientClassifier", samples: Samples) -> FileReader | None:
    """Return the reader of samples in a mapped file, if they need one."""
    file = samples.in_file
    rows = rows_in_file(samples.X)
    if file is None or rows is None or not _on_host(model, samples.X):
        return None

    shuffle = shuffle_of(model, samples.X, file.exceed_memory)
    if shuffle != "blocks" and not file.unchecked:
        return None
    return FileReader(model, samples, rows, shuffle)


def shuffle_of(
    model: "GradientClassifier", X: Array, exceeds_memory: bool
) -> bool | str:
    """Return how samples are shuffled: by blocks if their file exceeds memory.

    It would be read again for every few samples otherwise.
    """
    wanted: bool | str = model.shuffle
    needs_blocks = wanted and exceeds_memory and _on_host(model, X)
    return "blocks" if needs_blocks else wanted


def may_wait(
    model: "GradientClassifier",
    incremental: bool,
    sample_weight: ArrayLike | None,
    X: Array,
    exceeds_memory: bool,
) -> bool:
    """Return whether the first epoch of a new fit may check X, in a mapped file.

    It may if it reads all of X in order, or by blocks. Otherwise, a check beforehand
    brings the file into memory, in order. Integers are checked beforehand, as their
    range tells what they mean.
    """
    n_samples, n_features = X.shape
    solver = model.solver
    if solver == "auto":
        solver = solver_of(model, n_samples, n_features, incremental)
    if SOLVERS[solver].full_batch or X.dtype.kind != "f" or not _on_host(model, X):
        return False
    # What predicts within the first epoch, and pixels=True, need the range before.
    takes_pixels = model.pixels and not isinstance(model.pixels, str)
    if model.scoring not in (None, "loss") or takes_pixels:
        return False
    if not _all_count(sample_weight) or not _all_count(model.class_weight):
        return False
    shuffle = shuffle_of(model, X, exceeds_memory)
    return shuffle == "blocks" or not (shuffle or model.early_stopping)


def _all_count(weights: Any) -> bool:
    """Return whether it is certain that no weight is 0, of samples or of classes."""
    if isinstance(weights, dict):
        return all(weights.values())
    if isinstance(weights, np.ndarray):
        return bool(weights.all())
    return weights is None or isinstance(weights, str)


def _on_host(model: "GradientClassifier", X: Array) -> bool:
    """Return whether samples stay where they lie; to a GPU, all are copied."""
    return training_device(model.device, X).type == "cpu"
