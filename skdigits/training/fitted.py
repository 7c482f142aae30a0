"""Fitted attributes: plain arrays and numbers that a run leaves on its estimator."""

import math
from array import array
from collections.abc import Sequence
from copy import copy
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from skdigits._arrays import from_tensor, to_numpy
from skdigits._input_checks import Samples
from skdigits.engine.network import Network
from skdigits.engine.types import Epoch, Params, Run
from skdigits.training.checkpoint import Checkpoint
from skdigits.training.settings import monitored_settings

if TYPE_CHECKING:
    from skdigits._gradient import GradientClassifier
    from skdigits.training.session import Session


COLUMNS = Epoch._fields[1:]  # of the history, beside the epochs' own numbers


class History(NamedTuple):
    """Records of all epochs, to which a run adds its own in a time without the past.

    ``numbers`` hold those of all runs but the latest, one epoch after another, without
    the epochs' own numbers, 1, 2, …. They grow in place. Of them, ``n_past`` epochs
    count: what lies behind comes from a fit that failed. ``best_loss`` and
    ``best_score`` are theirs, infinity and NaN without any. The ``latest`` run is kept
    apart, for its end is replaced if it diverged.
    """

    numbers: "array[float]"
    n_past: int
    best_loss: float
    best_score: float
    latest: Sequence[Epoch]

    def followed_by(self, epochs: Sequence[Epoch]) -> "History":
        """Return the history with the epochs of another run."""
        n_past = epochs[0].epoch - 1
        kept = self.latest[: n_past - self.n_past]
        added = [number for epoch in kept for number in epoch[1:]]
        self.numbers[self.n_past * len(COLUMNS) :] = array("d", added)

        losses = [epoch.train_loss for epoch in kept]
        scores = [epoch.validation_score for epoch in kept]
        return History(
            self.numbers,
            n_past,
            float(np.fmin.reduce([self.best_loss, *losses])),
            float(np.fmax.reduce([self.best_score, *scores])),
            tuple(epochs),
        )


def set_fitted_attributes(
    model: "GradientClassifier", session: "Session", run: Run, replica: int = 0
) -> None:
    """Make an estimator the fitted model, by its run in a session and its replica."""
    params = run.state.params
    set_parameters(model, session.template, params, session.samples, session.network)
    plan = session.plan
    set_history(model, run.epochs, plan.early_stopping)
    model.t_ = int(run.state.progress.seen)
    model.solver_ = plan.solver

    state = run.state
    model._checkpoint = Checkpoint(
        solver=plan.solver,
        monitored=monitored_settings(model, plan.solver),
        moments=[[to_numpy(tensor[0]) for tensor in group] for group in state.moments],
        stopping=[values.item() for values in state.stopping],
        seen=state.progress.seen.item(),
        epochs=state.progress.epochs,
        steps=state.progress.steps,
        cycle=state.progress.cycle,
        rng_state=run.rng_state,
        split_state=session.start.split_states[replica],
        noise_seed=session.start.noise_seeds[replica],
    )


def set_parameters(
    model: "GradientClassifier",
    template: "GradientClassifier",
    params: Params,
    samples: Samples,
    network: Network,
) -> None:
    """Let an estimator predict by the parameters of one model, K = 1."""
    for name in ("n_features_in_", "feature_names_in_", "pixels_", "_learnt"):
        if name in vars(template):
            setattr(model, name, getattr(template, name))

    layers = [
        (from_tensor(weight, samples.X), from_tensor(bias, samples.X))
        for weight, bias in network.to_layers(params)
    ]
    model._set_layers(layers, network)
    # Parameters may be set to other values before the next prediction.
    assert type(network) is model._network_type, "the estimator names another type"
    model._settings = tuple((f.name, getattr(network, f.name)) for f in fields(network))
    model._precision = getattr(model, "precision", "auto")
    model.classes_ = samples.classes
    model._multilabel = samples.multilabel
    model.device_ = str(params[0].device)


def set_history(
    model: "GradientClassifier", epochs: Sequence[Epoch], stops_early: bool
) -> None:
    """Set the history after a run, and the attributes that scikit-learn has of it.

    The epochs are numbered from 1, or follow those that the model has.
    ``stops_early`` tells whether a validation score ends training.
    """
    n_past = epochs[0].epoch - 1
    past = model._history if n_past else History(array("d"), 0, math.inf, math.nan, ())
    history = past.followed_by(epochs)
    losses = [epoch.train_loss for epoch in epochs]
    scores = [epoch.validation_score for epoch in epochs]
    best_loss = float(np.fmin.reduce([history.best_loss, *losses]))
    best_score = float(np.fmax.reduce([history.best_score, *scores]))
    validated = stops_early or not math.isnan(best_score)

    model._history = history
    model.n_iter_ = len(epochs)  # a warm start counts from 1 again
    model.loss_ = losses[-1]
    model.best_loss_ = None if stops_early else best_loss
    model.best_validation_score_ = best_score if validated else None

    curves = {
        "loss_curve_": losses,
        "validation_scores_": scores if validated else None,
    }
    for name, added in curves.items():
        curve = None
        if added is not None:
            curve = vars(model).get(name) or [math.nan] * n_past
            # It grows in place, unless `rollback_on_error` could not undo that.
            if n_past == 0 or n_past < len(curve) - 1:
                curve = curve[:n_past]
            curve[n_past:] = added
        setattr(model, name, curve)


def history_frame(history: History) -> pd.DataFrame:
    """Return a history as a table with a row for each epoch."""
    table = pd.DataFrame(_numbers(history), columns=COLUMNS)
    table.insert(0, "epoch", np.arange(1, len(table) + 1, dtype=np.int64))
    return table


def to_state(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return an estimator's attributes as they are stored and copied.

    The history becomes arrays: skops stores them, and no copy of the estimator shares
    what grows in place. A column that has one value all along is kept as that value.
    """
    if "_history" not in attributes:
        return attributes

    history = attributes["_history"]
    columns = {}
    for name, column in zip(COLUMNS, _numbers(history).T, strict=True):
        constant = np.full_like(column, column[0])
        same = np.array_equal(column, constant, equal_nan=True)
        columns[name] = column[:1].copy() if same else column.copy()

    n_epochs = history.n_past + len(history.latest)
    packed = {"n_past": history.n_past, "n_epochs": n_epochs, "columns": columns}
    derived = {"loss_curve_", "validation_scores_"}
    kept = {
        name: value
        for name, value in attributes.items()
        if name not in derived or value is None
    }
    return {**kept, "_history": packed}


def from_state(state: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of an estimator from those that `to_state` returned."""
    if "_history" not in state:
        return state

    packed = state["_history"]
    n_past = packed["n_past"]
    columns = [
        # A column that is newer than the file has no values.
        np.broadcast_to(packed["columns"].get(name, math.nan), packed["n_epochs"])
        for name in COLUMNS
    ]
    table = np.stack(columns, axis=1)
    losses = table[:, COLUMNS.index("train_loss")]
    scores = table[:, COLUMNS.index("validation_score")]
    latest = [
        Epoch(epoch, *numbers)
        for epoch, numbers in enumerate(table[n_past:].tolist(), n_past + 1)
    ]

    history = History(
        array("d", table[:n_past].tobytes()),
        n_past,
        float(np.fmin.reduce(losses[:n_past], initial=math.inf)),
        float(np.fmax.reduce(scores[:n_past], initial=math.nan)),
        tuple(latest),
    )
    lists = {"loss_curve_": losses.tolist(), "validation_scores_": scores.tolist()}
    return {**lists, **state, "_history": history}


def _numbers(history: History) -> np.ndarray:
    """Return the numbers (n_epochs, 5) of all epochs."""
    # A copy: the array cannot grow as long as another one shares its memory.
    past = np.array(history.numbers)[: history.n_past * len(COLUMNS)]
    latest = [epoch[1:] for epoch in history.latest]
    return np.concatenate([past.reshape(-1, len(COLUMNS)), latest])


def snapshot(
    session: "Session", run: Run | None, params: Params, replica: int = 0
) -> "GradientClassifier":
    """Return a copy of an estimator as it would be if its training ended here.

    Before the first epoch there is no run, and the copy has its parameters only.
    """
    # No clone: a scorer among the parameters may be large.
    model = copy(session.template)
    model.set_callbacks()  # they follow the original
    if run is None:
        network = session.network
        set_parameters(model, session.template, params, session.samples, network)
    else:
        set_fitted_attributes(model, session, run, replica)
    return model
