"""What is to be evaluated, and what came of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from skdigits.model_selection._folds import Split
from skdigits.model_selection._grouping import Group
from skdigits.model_selection._scoring import Scoring


class CallbackError(Exception):
    """Carries what a callback has raised past the code that is to hide other errors."""


@contextmanager
def callbacks_called() -> Iterator[None]:
    """Wrap what is raised here in a `CallbackError`."""
    try:
        yield
    except Exception as error:
        raise CallbackError from error


class Job(NamedTuple):
    """Groups of candidates that share the steps before the model, and the folds to do.

    ``memory`` bounds the bytes of one run; ``context`` and ``search`` are for callbacks.
    """

    groups: list[Group]
    splits: list[Split]
    X: Any
    y: Any
    weight: Any
    scoring: Scoring
    memory: float
    search: Any
    context: Any = None


class Outcome(NamedTuple):
    """What came of one candidate in one fold.

    ``result`` is what scikit-learn's ``_fit_and_score`` returns; ``by_epoch`` are the test
    scores after every epoch; ``alone`` says that its run held no other model.
    """

    candidate: int
    split: int
    result: dict[str, Any]
    by_epoch: list[Any]
    alone: bool
