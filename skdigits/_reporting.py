"""What training tells its user: epochs as they pass, and warnings that can be acted on."""

import math
import warnings
from collections.abc import Collection, Sequence
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skdigits.engine.schedules import DIVISOR
from skdigits.engine.types import Data, Epoch, OnEpoch, Params, Run

UNSCALED = 20.0  # features of this size on the average make training crawl or diverge
HOPELESS = 20.0  # times the loss of guessing; random weights begin at a few times that
CLEARLY = (
    2.0  # times it: dropout and few rows make a loss a little larger than guessing
)
SAMPLE = 2000  # rows are enough to judge the size of features by
DARK = 32  # pixels that do not even reach this are likely to be none
BRIGHT = 1.5  # fractions of white that were resampled may be a little above 1
USER = 8  # frames from warnings.warn to the line that called fit, by way of fit_many


def epoch_printer(estimators: Sequence[Any]) -> OnEpoch | None:
    """What prints each epoch in scikit-learn's words; None where nothing is to be said."""
    lead = estimators[0]
    if not lead.verbose:
        return None
    rates: dict[int, float] = {}

    def print_epochs(
        models: list[int], epochs: list[Epoch], params: Params
    ) -> Collection[int]:
        for model, epoch in zip(models, epochs, strict=True):
            who = f"Model {model}, " if len(estimators) > 1 else ""
            if lead.learning_rate == "adaptive" and model in rates:
                _print_if_divided(lead, who, rates[model], epoch.learning_rate)
            rates[model] = epoch.learning_rate
            print(f"{who}Iteration {epoch.epoch}, loss = {epoch.train_loss:.8f}")
            if lead.scoring == "loss" and not math.isnan(epoch.validation_loss):
                print(f"{who}Validation loss: {epoch.validation_loss:.8f}")
            if not math.isnan(epoch.validation_score):
                print(f"{who}Validation score: {epoch.validation_score:.6f}")
        return ()

    return print_epochs


def _print_if_divided(estimator: Any, who: str, before: float, rate: float) -> None:
    if rate < before:
        print(f"{who}{_stalled(estimator)} Setting learning rate to {rate:f}")


def _print_endings(estimators: Sequence[Any], runs: Sequence[Run]) -> None:
    """Why each of them came to an end, where it was for lack of progress."""
    for model, (estimator, run) in enumerate(zip(estimators, runs, strict=True)):
        if (
            not estimator.verbose
            or estimator.tol is None
            or estimator.solver == "lbfgs"
        ):
            continue
        who = f"Model {model}, " if len(estimators) > 1 else ""
        adaptive = estimator.learning_rate == "adaptive"
        if run.status == "converged":
            why = " Learning rate too small." if adaptive else ""
            print(f"{who}{_stalled(estimator)}{why} Stopping.")
        elif (
            adaptive
        ):  # the last epoch may have been one too many, and no other tells so
            divisions = run.state.stopping.divisions.item()
            rate = estimator.learning_rate_init / DIVISOR**divisions
            _print_if_divided(estimator, who, run.epochs[-1].learning_rate, rate)


def _stalled(estimator: Any) -> str:
    what = "Training loss"
    if estimator.early_stopping:
        what = "Validation loss" if estimator.scoring == "loss" else "Validation score"
    return (
        f"{what} did not improve more than tol={estimator.tol:f} for "
        f"{estimator.n_iter_no_change:d} consecutive epochs."
    )


def warn_beforehand(estimator: Any, data: Data, incremental: bool) -> None:
    """Warn of rows that training will fare badly with, and of a batch too large."""
    X = data.X
    if estimator._reads_images and estimator.image_shape is None:
        _warn_of_no_square(X.shape[1])
    if not X.is_floating_point():
        _warn_of_dark_pixels(X)
    if estimator.solver == "lbfgs":
        return
    if X.is_floating_point():
        _warn_of_large_features(estimator, X)
    if incremental and estimator.learning_rate == "one_cycle":
        _warn_of_a_cycle_that_is_over(estimator)
    if (
        not incremental
        and estimator.batch_size != "auto"
        and estimator.batch_size > data.n_rows
    ):
        _warn(
            f"Got batch_size={estimator.batch_size}, larger than the {data.n_rows} rows there "
            "are: one batch will hold them all. Set batch_size='auto' to have this without a "
            "warning.",
            UserWarning,
        )


def _warn_of_no_square(n_features: int) -> None:
    if math.isqrt(n_features) ** 2 != n_features:
        _warn(
            f"X has {n_features} features, of which no square can be made: they are taken for "
            "images of one row of pixels. Pass image_shape=(height, width), or use "
            "MLPClassifierTorch if they are no images.",
            UserWarning,
            deeper=1,
        )


def _warn_of_dark_pixels(X: Tensor) -> None:
    brightest = int(X.max())
    if 0 < brightest < DARK:
        _warn(_dark(brightest), UserWarning, deeper=1)


def warn_of_other_pixels(estimator: Any, X: Tensor) -> None:
    """Warn of rows to predict for that are on another scale than those it was fitted to."""
    pixels = not X.is_floating_point()
    if pixels == estimator._pixels:
        return
    brightest = float(X.max())
    if not pixels and brightest > BRIGHT:
        text = (
            f"{type(estimator).__name__} was fitted to pixels as uint8, which it reads as 0 "
            f"to 1, but X, which is not of dtype uint8, reaches {brightest:g}: pass pixels as "
            "uint8, too, or divide them by 255."
        )
    elif pixels and 0 < brightest < DARK:
        text = _dark(brightest)
    else:
        return
    warnings.warn(text, UserWarning, stacklevel=4)  # at the line that called predict


def _dark(brightest: float) -> str:
    return (
        f"X is uint8, which is read as pixels of 0 to 255, but reaches {brightest:g} only: "
        "if these are no such pixels, pass them as float32."
    )


def _warn_of_a_cycle_that_is_over(estimator: Any) -> None:
    epochs = estimator._memory.cycle if estimator.__sklearn_is_fitted__() else 0
    if epochs >= estimator.max_iter:
        _warn(
            f"The cycle of learning_rate='one_cycle' was over after {epochs} epochs, and this "
            "partial_fit changes next to nothing: raise max_iter to the number of calls there "
            "will be, or set learning_rate='constant'.",
            ConvergenceWarning,
            deeper=1,
        )


def _warn_of_large_features(estimator: Any, X: Tensor) -> None:
    some = X[:: max(1, len(X) // SAMPLE)]
    size = float(torch.linalg.vector_norm(some)) / math.sqrt(some.numel())
    if size > UNSCALED:
        cure = (
            "pass pixels as uint8, which are read as 0 to 1, or put a StandardScaler in front "
            "of other features"
        )
        if estimator._reads_images or estimator.augment is not None:
            # A StandardScaler would make something other than 0 of the ground.
            cure = (
                "pass pixels as uint8, which are read as 0 to 1, or divide them by 255"
            )
        _warn(
            f"{type(estimator).__name__} was given features of root mean square {size:.3g}, "
            f"and gradient descent needs them near 1: {cure}.",
            UserWarning,
            deeper=1,
        )


def warn_of_outcomes(
    estimators: Sequence[Any], runs: Sequence[Run], quiet: bool
) -> None:
    """Warn of training that did not end well; ``quiet`` where no more epochs were wanted.

    Those that are verbose print why they stopped.
    """
    _print_endings(estimators, runs)
    for estimator, run in zip(estimators, runs, strict=True):
        text = ""
        if run.status == "interrupted":
            _warn(_interrupted(estimator, run), UserWarning, deeper=-1)
        elif run.status == "diverged":
            text = _diverged(estimator, run)
        elif _is_hopeless(estimator, run, quiet):
            text = _hopeless(estimator, run)
        elif run.status == "max_iter" and not quiet:
            text = _unfinished(estimator, run)
        elif run.status == "abnormal" and estimator.tol is not None:
            text = _abnormal(run)
        if any(map(_validation_overflows, run.epochs)):
            text = f"{text} {_OVERFLOW}".lstrip()
        if text:
            _warn(text, ConvergenceWarning, deeper=-1)


def _validation_overflows(epoch: Epoch) -> bool:
    validated = not math.isnan(epoch.validation_score)
    return validated and math.isfinite(epoch.train_loss) > math.isfinite(
        epoch.validation_loss
    )


_OVERFLOW = (
    "The rows to validate on overflow, and validation_loss is not finite: bring X_val to the "
    "scale of X."
)


def _interrupted(estimator: Any, run: Run) -> str:
    last = f"its last whole epoch, {run.epochs[-1].epoch}"
    kept = f"its best epoch up to {last}" if _returns(estimator) else last
    return (
        f"Training interrupted by user: the model is that of {kept}. To go on, set "
        "warm_start=True and fit again."
    )


def _returns(estimator: Any) -> bool:
    """Whether training ends with the parameters of the best epoch."""
    return bool(estimator.early_stopping) and estimator.solver != "lbfgs"


def _unfinished(estimator: Any, run: Run) -> str:
    lbfgs = estimator.solver == "lbfgs"
    if estimator.tol is None or (estimator.learning_rate == "one_cycle" and not lbfgs):
        return ""
    if lbfgs and len(run.epochs) < estimator.max_iter:
        return (
            f"lbfgs failed to converge: Maximum evaluations ({estimator.max_fun}) reached. "
            "Raise max_fun or tol."
        )
    who, other = "Stochastic Optimizer", "learning_rate_init"
    if lbfgs:
        who, other = "lbfgs failed to converge", "tol"
    return (
        f"{who}: Maximum iterations ({estimator.max_iter}) reached and the optimization "
        f"hasn't converged yet. Raise max_iter or {other}; tol=None trains for just max_iter "
        "epochs and does not warn."
    )


def _cure(estimator: Any) -> str:
    scale = "pixels by passing uint8, others with a StandardScaler."
    if estimator.solver == "lbfgs":
        return f"Scale the features: {scale}"
    return (
        f"Lower learning_rate_init, which is {estimator.learning_rate_init:g}, or scale the "
        f"features: {scale}"
    )


def _diverged(estimator: Any, run: Run) -> str:
    returns = _returns(estimator) and len(run.epochs) > 1
    kept = "that of its best epoch" if returns else "left as it was before"
    return (
        f"{type(estimator).__name__} diverged: the loss was no longer finite in epoch "
        f"{run.epochs[-1].epoch}, and the model is {kept}. {_cure(estimator)}"
    )


def _guessing(estimator: Any) -> float:
    """A little more than the loss of all classes being equally likely."""
    n_classes = len(estimator.classes_)
    return n_classes * math.log(2) if estimator._multilabel else math.log(n_classes + 1)


def _is_hopeless(estimator: Any, run: Run, quiet: bool) -> bool:
    """Whether training came to rest, or to its end, with a loss that tells of no learning."""
    last, first = run.epochs[-1].train_loss, run.epochs[0].train_loss
    if run.status == "converged":
        return last > HOPELESS * _guessing(estimator)
    if run.status != "max_iter" or quiet or _returns(estimator) or len(run.epochs) < 2:
        return False
    measured = estimator.loss == "cross_entropy"  # by what guessing is, too
    above = last > HOPELESS * _guessing(estimator)
    return measured and (above or last > max(first, CLEARLY * _guessing(estimator)))


def _hopeless(estimator: Any, run: Run) -> str:
    return (
        f"{type(estimator).__name__} did not learn: its loss ended at "
        f"{run.epochs[-1].train_loss:.3g}, above that of guessing. {_cure(estimator)}"
    )


def _abnormal(run: Run) -> str:
    return (
        f"lbfgs stopped after {len(run.epochs)} iterations, as its line search found no lower "
        "objective. Raise tol, pass float64 features, or scale them with a StandardScaler."
    )


def _warn(text: str, category: type[Warning], deeper: int = 0) -> None:
    """Warn at the line that called fit, from so many frames deeper than `warn_beforehand`."""
    warnings.warn(text, category, stacklevel=USER + deeper)
