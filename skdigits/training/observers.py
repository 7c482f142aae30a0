"""Observers of training: a printer, scikit-learn's callbacks, the validation scorer."""

import math
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from inspect import signature
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackContext, FitCallback
from sklearn.metrics import get_scorer
from torch import Tensor

from skdigits._arrays import Array, from_numpy
from skdigits._input_checks import Samples, users_code, warn_user
from skdigits.callbacks import Checkpoint, read, write
from skdigits.engine.types import Epoch, Latest, Observer, Params, Run, Score
from skdigits.training.checkpoint import Saved, fingerprint, to_continue, to_save
from skdigits.training.fitted import snapshot
from skdigits.training.messages import rate_reduced

if TYPE_CHECKING:
    from skdigits._gradient import GradientClassifier
    from skdigits.training.session import Session

OF_A_FIT = (
    "_skl_callbacks",
    "_skl_callbacks_to_teardown",
    "_callback_fit_ctx",
    "_parent_callback_ctx",
)
"""Attributes that scikit-learn sets on an estimator while it is fitted."""


def all_of(observers: Sequence[Observer]) -> Observer:
    """Return one observer for several."""

    def observe(
        models: list[int],
        epochs: list[Epoch],
        params: Params,
        runs: Callable[[], list[Run]],
    ) -> Collection[int]:
        wishes = [each(models, epochs, params, runs) for each in observers]
        return {model for some in wishes for model in some}

    return observe


def checkpoints_of(estimator: BaseEstimator) -> list[Checkpoint]:
    """Return the callbacks of an estimator that are checkpoints."""
    return [one for one in estimator._skl_callbacks if isinstance(one, Checkpoint)]


def set_followers(estimator: BaseEstimator, *more: FitCallback) -> list[FitCallback]:
    """Add callbacks to an estimator; return those that it had before."""
    before: list[FitCallback] = getattr(estimator, "_skl_callbacks", [])
    estimator.set_callbacks(*before, *more)
    return before


class EpochPrinter:
    """Prints each epoch in scikit-learn's words."""

    def __init__(self, models: Sequence["GradientClassifier"]) -> None:
        self.model = models[0]
        self.several = len(models) > 1
        self.rates: dict[int, float] = {}

    def __call__(
        self,
        models: list[int],
        epochs: list[Epoch],
        params: Params,
        runs: Callable[[], list[Run]],
    ) -> Collection[int]:
        """Print an epoch of every model."""
        for number, epoch in zip(models, epochs, strict=True):
            prefix = f"Model {number}, " if self.several else ""
            self._print(prefix, epoch, self.rates.get(number, -math.inf))
            self.rates[number] = epoch.learning_rate
        return ()

    def _print(self, prefix: str, epoch: Epoch, rate_before: float) -> None:
        model = self.model
        if model.learning_rate == "adaptive" and epoch.learning_rate < rate_before:
            print(f"{prefix}{rate_reduced(model, epoch.learning_rate)}")

        print(f"{prefix}Iteration {epoch.epoch}, loss = {epoch.train_loss:.8f}")
        if model.scoring == "loss" and not math.isnan(epoch.validation_loss):
            print(f"{prefix}Validation loss: {epoch.validation_loss:.8f}")
        if not math.isnan(epoch.validation_score):
            print(f"{prefix}Validation score: {epoch.validation_score:.6f}")


class Write(NamedTuple):
    """When a checkpoint was written, and how many seconds that took."""

    ended: float
    seconds: float


class FitCallbacks:
    """Calls an estimator's callbacks when its fit begins, after epochs and at its end.

    Callbacks of scikit-learn may stop training, and may look at the model as it is. A
    `Checkpoint` is written here: it holds more than scikit-learn's hooks pass on.
    """

    def __init__(
        self,
        model: "GradientClassifier",
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
    ) -> None:
        metadata = None
        if sample_weight is not None:
            metadata = {"sample_weight": sample_weight}
        self.arguments = {"estimator": model, "X": X, "y": y, "metadata": metadata}
        self.model = model
        self.session: Session | None = None
        self.checkpoints = checkpoints_of(model)
        self.fingerprint: dict[str, tuple[str, str]] = {}
        self.began = time.monotonic()
        self.writes: dict[Checkpoint, Write] = {}

        context = model._init_callback_context(max_subtasks=model.max_iter)
        self.context: CallbackContext = context.call_on_fit_task_begin(**self.arguments)

    def saved(self, samples: Samples, validation: Samples | None) -> Saved | None:
        """Return what a checkpoint holds of this fit; None if it begins.

        Raises
        ------
        ValueError
            If the file belongs to another training that has not ended, or is no
            checkpoint.
        """
        if not self.checkpoints:
            return None
        if is_part_of_more(self.model) and not self.checkpoints[0]._of_search:
            raise ValueError(
                f"{self.checkpoints[0]!r} is set on a model that a search or a "
                "meta-estimator fits several times, but a file holds one fit: set it "
                "on the batched search, or fit the model by itself."
            )

        now = fingerprint(self.model, samples, validation)
        self.fingerprint = now
        found = None
        for one in self.checkpoints:
            parts = read(one._path)
            if parts is None:
                continue
            known = to_continue(one._path, parts, now)
            if known is not None:
                self.fingerprint, found = known
        return found

    def follow(self, session: "Session", latest: Latest) -> None:
        """Learn from a session, before it runs, how a fitted model is made."""
        self.session = session
        if self.checkpoints:
            latest.save = self.save
        past = session.start.past
        if past is not None:
            latest.runs = partial(list, [past])

    def __call__(
        self,
        models: list[int],
        epochs: list[Epoch],
        params: Params,
        runs: Callable[[], list[Run]],
    ) -> Collection[int]:
        """Call the callbacks after an epoch; stop training if one of them wants to."""
        session = self.session
        assert session is not None

        # Few callbacks look at the model: it is made for those that do.
        def fitted() -> dict[str, Any]:
            (run,) = runs()
            # Its own fit is nobody's who follows this one.
            return {**vars(snapshot(session, run, params)), "_skl_callbacks": []}

        # Callbacks are users' code, which may compute gradients of its own.
        with torch.inference_mode(False), users_code("A callback"):
            epoch = self.context.subcontext(task_name="epoch")
            epoch = epoch.call_on_fit_task_begin(**self.arguments)
            stop = epoch.call_on_fit_task_end(
                **self.arguments, reconstruction_attributes=fitted
            )

        due = [one for one in self.checkpoints if self._is_due(one, epochs[0].epoch)]
        if due and not stop:
            (run,) = runs()
            self._write(due, snapshot(session, run, params), run)
        return models if stop else ()

    def save(self, run: Run) -> bool:
        """Save a run that is over, if that is wanted; return whether it could be."""
        if not self.checkpoints:
            return True
        assert self.session is not None
        model = snapshot(self.session, run, run.state.params)
        return self._write(self.checkpoints, model, run)

    def _is_due(self, checkpoint: Checkpoint, epoch: int) -> bool:
        """Return whether a checkpoint is to be written after an epoch."""
        last = self.writes.get(checkpoint)
        if last is None:
            return checkpoint._is_due(epoch, time.monotonic() - self.began, None)
        return checkpoint._is_due(epoch, time.monotonic() - last.ended, last.seconds)

    def _write(
        self, checkpoints: list[Checkpoint], model: "GradientClassifier", run: Run
    ) -> bool:
        """Write checkpoints; return whether all were written.

        A full disk, say, is no reason to end the training.
        """
        # Its own fit is nobody's who reads the file, and has a record of each epoch.
        for name in OF_A_FIT:
            model.__dict__.pop(name, None)

        rest = {"fingerprint": self.fingerprint, "going": to_save(model, run)[1:]}
        n_failed = 0
        for one in checkpoints:
            began = time.monotonic()
            try:
                write(one._path, model, rest)
            except OSError as error:
                n_failed += 1
                warn_user(f"{one!r} was not written: {error}", RuntimeWarning)
            ended = time.monotonic()
            self.writes[one] = Write(ended, ended - began)
        return n_failed == 0

    def end(self) -> None:
        """Call the callbacks at the end of the fit."""
        self.context.call_on_fit_task_end(
            **self.arguments, reconstruction_attributes={}
        )


def is_part_of_more(model: "GradientClassifier") -> bool:
    """Return whether this fit is one of several, as in a search.

    The fit of a Pipeline's last step is not.
    """
    parent = getattr(model, "_parent_callback_ctx", None)
    while parent is not None and parent.estimator_name == "Pipeline":
        parent = parent.parent
    return parent is not None


def is_within(model: "GradientClassifier") -> bool:
    """Return whether another estimator calls this fit, a Pipeline included."""
    return getattr(model, "_parent_callback_ctx", None) is not None


def validation_scorer(
    scoring: str | Callable[..., float],
    held_out: Samples | None,
    as_fitted: Callable[[Run | None, Params], "GradientClassifier"],
) -> Score | None:
    """Return a function that scores models on validation samples, by their parameters.

    None if there are no such samples; a wrong name is an error all the same.
    """
    scorer = get_scorer(scoring)
    if held_out is None:
        return None

    X = held_out.X
    y = from_numpy(held_out.y, X)
    weight = {}
    if held_out.weight is not None and _takes_weights(scorer):
        weight = {"sample_weight": from_numpy(held_out.weight, X)}

    def score(
        params: Params, finite: Tensor, runs: Callable[[], list[Run]] | None
    ) -> Tensor:
        scores = []
        found = None if runs is None else runs()
        # Scorers are users' code, which may compute gradients of its own.
        with torch.inference_mode(False):
            for number, sound in enumerate(finite.tolist()):
                own = tuple(p[number : number + 1] for p in params)
                if sound:
                    run = None if found is None else found[number]
                    model = _for_checked_samples(as_fitted(run, own))
                    scores.append(_score(scorer, scoring, model, X, y, weight))
                else:
                    scores.append(math.nan)
        return torch.tensor(scores, dtype=torch.float64, device="cpu")

    return score


def _takes_weights(scorer: Callable[..., float]) -> bool:
    function = getattr(scorer, "_score_func", scorer)  # of scorers made by scikit-learn
    return "sample_weight" in signature(function).parameters


def _for_checked_samples(model: "GradientClassifier") -> "GradientClassifier":
    """Return the model without names and doubts: checked samples have had both."""
    model._doubts = False
    if hasattr(model, "feature_names_in_"):
        del model.feature_names_in_
    return model


def _score(
    scorer: Callable[..., float],
    scoring: str | Callable[..., float],
    model: "GradientClassifier",
    X: Array,
    y: Array,
    weight: dict[str, Array],
) -> float:
    try:
        with users_code(f"scoring={scoring!r}"):
            score = _number(scorer(model, X, y, **weight))
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        text = f"scoring={scoring!r} failed on the validation samples: {error}"
        raise kind(text) from error

    if not math.isfinite(score):
        raise ValueError(
            f"scoring={scoring!r} gave {score} on the validation samples, so no epoch "
            "can be the best: pass samples of every class as X_val, or another scoring."
        )
    return score


def _number(score: Any) -> float:
    """Return what a scorer returned as a number, as scikit-learn's searches do."""
    if getattr(score, "size", 1) == 1 and hasattr(score, "item"):
        score = score.item()
    if not isinstance(score, Real):
        raise ValueError(
            f"scoring must return a number, got {score!r} of {type(score)}: let the "
            "callable return a float; the higher, the better."
        )
    return float(score)
