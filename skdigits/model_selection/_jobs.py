"""Jobs of a search: groups of candidates in some folds, for one worker."""

from typing import Any, NamedTuple

from sklearn.callback import CallbackContext

from skdigits._gradient import GradientClassifier
from skdigits.engine.sparse import Rows
from skdigits.engine.types import Epoch
from skdigits.model_selection._folds import Fold, Split
from skdigits.model_selection._grouping import Candidate, Group
from skdigits.model_selection._saved import Store
from skdigits.model_selection._scoring import Outcomes, Scoring, Search
from skdigits.model_selection._workers import first_few
from skdigits.training.messages import Message


class Job(NamedTuple):
    """Groups of candidates with the same steps before the model, and their folds.

    ``memory`` bounds the bytes of a run; a run ``fills_gpu`` if the GPU's memory does.
    ``context`` and ``search`` are for callbacks.
    ``heard`` takes the lists of messages of its runs, for a search that fails.
    ``store`` keeps outcomes of runs in files.
    ``past`` are outcomes to continue from, by candidate and fold; if it is not None,
    outcomes keep what it takes to continue.

    A job that goes to another process has no X, y and weight (`evaluate_elsewhere`).
    """

    groups: list[Group]
    splits: list[Split]
    X: Any
    y: Any
    weight: Any
    scoring: Scoring
    memory: float
    search: Search
    heard: list[list[Message]]
    store: Store | None = None
    fills_gpu: bool = False
    context: CallbackContext = None  # filled in before the job is evaluated
    past: Outcomes | None = None

    def numbers(self) -> tuple[list[int], list[int]]:
        """Return the numbers of its candidates and of its folds."""
        candidates = [
            one.number for group in self.groups for some in group.seeds for one in some
        ]
        return candidates, [split.number for split in self.splits]

    def name(self) -> str:
        """Return what users are told about it."""
        candidates, folds = map(first_few, self.numbers())
        return f"candidates {candidates} in folds {folds}"


class Failure(NamedTuple):
    """An error of a batched run: the candidates that it concerns, and its text.

    A run that is ``out_of_memory`` was too large; no candidate is to blame.
    """

    candidates: list[int]
    error: str
    out_of_memory: bool = False


class Entry(NamedTuple):
    """One model of a session: a candidate in a fold, and its replica.

    ``model`` is the candidate's estimator, with parameters only. ``epochs`` are its
    records before this session, ``curve`` all its test scores so far.
    """

    candidate: Candidate
    fold: Fold
    replica: int
    model: GradientClassifier
    test: Rows
    epochs: list[Epoch]
    curve: list[Any]
