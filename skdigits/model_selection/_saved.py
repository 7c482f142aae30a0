"""What a search with a `Checkpoint` has done already, in the files of a folder."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sklearn.base import BaseEstimator
from sklearn.callback import FitCallback

from skdigits._input_checks import warn_user
from skdigits.callbacks import FINGERPRINT, SEARCH, Checkpoint, holds, read, write
from skdigits.model_selection._grouping import split_pipeline
from skdigits.model_selection._scoring import Outcome, Outcomes
from skdigits.training.checkpoint import (
    another_training,
    described,
    differences,
    digest,
)
from skdigits.training.observers import checkpoints_of, set_followers

if TYPE_CHECKING:
    from skdigits.model_selection._search import Task

Setting = dict[str, Any]
Pair = tuple[int, int]  # the numbers of a candidate and of a fold
REFIT = "refit"
DIGEST = "[0-9a-f]{20}"
RUN = rf"(\d+-[0-9a-f]{{8}}-)?{DIGEST}"
OWN = re.compile("|".join([RUN, FINGERPRINT, REFIT, SEARCH]))
"""Names of the files of a search, in the folder of its checkpoint."""


class Store(NamedTuple):
    """The folder of a search, with the outcomes of each run that has ended.

    Names of files begin with ``stage``, which tells iterations of a search apart.
    """

    checkpoint: Checkpoint
    stage: str = ""

    def once(
        self,
        function: Callable[..., list[Outcome]],
        pairs: Sequence[Pair],
        *args: Any,
        **options: Any,
    ) -> list[Outcome]:
        """Return the outcomes of a run, from its file if that has been written.

        Work that is lost with its worker begins again, with runs of the same
        candidates and folds, ``pairs``.
        """
        parts = read(self._path(pairs))
        if parts is not None:
            known: list[Outcome] = parts[0]
            return known
        made = function(*args, **options)
        self.keep(made)
        return made

    def outcomes(self) -> Outcomes:
        """Return all outcomes in the files, however they were divided into runs."""
        own = re.compile(re.escape(self.stage) + DIGEST)
        found: Outcomes = {}
        for path in self.checkpoint._path.iterdir():
            if own.fullmatch(path.name) and holds(path):
                parts = read(path) or ([],)
                found |= {(one.candidate, one.split): one for one in parts[0]}
        return found

    def keep(self, made: Sequence[Outcome]) -> None:
        """Save outcomes but for failures: their cause may be gone the next time."""
        whole = [one for one in made if not one.result["fit_error"]]
        if whole:
            pairs = [(one.candidate, one.split) for one in whole]
            _save(self.checkpoint, self._path(pairs).name, whole)

    def _path(self, pairs: Sequence[Pair]) -> Path:
        name = digest(sorted(pairs))[:20]
        return self.checkpoint._path / f"{self.stage}{name}"

    def of_iteration(
        self, number: int, settings: Sequence[Setting], splits: Sequence[Any]
    ) -> "Store":
        """Return the store for an iteration with these candidates and folds."""
        own = digest([list(settings), [tuple(split) for split in splits]])
        return self._replace(stage=f"{number}-{own[:8]}-")

    @contextmanager
    def follow(self, estimator: BaseEstimator) -> Iterator[None]:
        """Let a checkpoint follow the fit of an estimator's model, if it can be."""
        _, model = split_pipeline(estimator)
        if not hasattr(model, "_saved_in"):
            yield
            return

        before: list[FitCallback] = set_followers(model, self.checkpoint._within(REFIT))
        try:
            yield
        finally:
            model.set_callbacks(*before)

    def finish(self, search: BaseEstimator) -> None:
        """Save the fitted search."""
        _save(self.checkpoint, SEARCH, copy(search).set_callbacks())


def store_of(task: "Task") -> Store | None:
    """Return the store of a search that has a checkpoint, after comparing them.

    The files of another search are removed if it has ended.

    Raises
    ------
    ValueError
        If the folder belongs to another search that has not ended.
    """
    search = task.search
    checkpoints = checkpoints_of(search)
    if not checkpoints:
        return None

    checkpoint = checkpoints[0]
    folder = checkpoint._path
    folder.mkdir(exist_ok=True)

    now = described(search.get_params(deep=False))
    data = {
        "X": task.X,
        "y": task.y,
        "parameters of fit": [task.routed.estimator.fit, task.scoring.params],
        "candidates": task.settings,
        "folds (pass a cv with a random_state)": [tuple(one) for one in task.splits],
    }
    now |= {name: ("", digest(value)) for name, value in data.items()}
    parts = read(folder / FINGERPRINT)
    before = parts and parts[0]
    if before and not differences(before, now):
        return Store(checkpoint)

    if before and not (folder / SEARCH).exists():
        raise another_training(folder, before, now)
    _clear(folder)
    _save(checkpoint, FINGERPRINT, now)
    return Store(checkpoint)


def _clear(folder: Path) -> None:
    """Remove the files of a search; all others stay."""
    # Sorted, the runs come first: a search that is half removed is not taken for one
    # that has ended, nor a run of it for a run of the next search.
    for path in sorted(folder.iterdir()):
        if OWN.fullmatch(path.name) and holds(path):
            path.unlink()


def _save(checkpoint: Checkpoint, name: str, content: object) -> None:
    """Write a file; a full disk, say, is no reason to end the search."""
    try:
        write(checkpoint._path / name, content)
    except (OSError, ValueError) as error:
        warn_user(f"{checkpoint!r} was not written: {error}", RuntimeWarning)
