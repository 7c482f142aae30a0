"""Runs that continue where an earlier search or iteration has left them."""

from collections.abc import Sequence
from typing import Any

import joblib
from scipy.sparse import issparse

from skdigits._arrays import to_numpy
from skdigits.engine.types import Run
from skdigits.model_selection._jobs import Entry
from skdigits.model_selection._scoring import Kept, Outcome, Outcomes
from skdigits.training.session import Session, continued


def continued_from(
    past: Outcomes, session: Session, entries: list[Entry]
) -> tuple[Session, list[Entry]]:
    """Return a session and its entries as their past outcomes have left them.

    Where steps before the model have made other features than before, as random ones
    may, training starts from scratch.
    """
    features = _features(entries)
    found = []
    before = []
    for entry in entries:
        split = entry.fold.split.number
        outcome = past[entry.candidate.number, split]
        kept = outcome.kept
        if kept is None or kept.features != features[split]:
            return session, entries

        found.append(kept.run)
        epochs = list(kept.run.epochs)
        curve = list(outcome.by_epoch or [])
        # Its messages were given in the first iteration.
        fold = entry.fold._replace(messages=())
        before.append(entry._replace(epochs=epochs, curve=curve, fold=fold))
    return continued(session, found), before


def with_runs(
    outcomes: Sequence[Outcome], entries: Sequence[Entry], runs: Sequence[Run]
) -> list[Outcome]:
    """Return outcomes from which training can continue."""
    features = _features(entries)
    return [
        outcome._replace(kept=Kept(one, features[outcome.split]))
        for outcome, one in zip(outcomes, runs, strict=True)
    ]


def _features(entries: Sequence[Entry]) -> dict[int, str]:
    """Return a hash of what the steps before the model have made of each fold."""
    folds = {entry.fold.split.number: entry.fold for entry in entries}
    return {
        number: "" if fold.prefix is None else _hash(fold.checked)
        for number, fold in folds.items()
    }


def _hash(X: Any) -> str:
    """Return a hash of checked samples, dense or sparse."""
    if issparse(X):
        # Not of the object, which remembers what was found out about it.
        return str(joblib.hash((X.indptr, X.indices, X.data)))
    return str(joblib.hash(to_numpy(X)))
