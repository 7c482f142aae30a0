"""The learning-rate range test: one short run in which the rate rises until it breaks."""

import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skdigits._arrays import to_tensor
from skdigits._fitting import SOLVERS, Watch, crossing, train_models
from skdigits._memory import begin
from skdigits._parameters import COUNT, FRACTION, POSITIVE, check_parameters
from skdigits._validation import Rows, check_rows
from skdigits.model_selection._grouping import BATCHED, split_pipeline
from skdigits.model_selection._rate_curve import LearningRateRangeTest
from skdigits.model_selection._suggestions import (
    lack_of_minimum,
    no_suggestions,
    suggest,
)

FEWEST_STEPS = 20
TOO_FAR = 4.0  # times the smallest smoothed loss, as in fastai


def learning_rate_range_test(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    min_rate: float = 1e-6,
    max_rate: float = 10.0,
    n_steps: int = 100,
    smoothing: float = 0.8,
    random_state: Any = None,
) -> LearningRateRangeTest:
    r"""Raise the learning rate from step to step, and see where the loss falls and rises.

    The range test of [1]_, in the form of [2]_: a fresh clone takes ``n_steps`` steps, a
    mini-batch each, with learning rates in geometric progression. It is a cheap rule of thumb;
    `learning_rate_sweep` is the slower, honest alternative.

    Parameters
    ----------
    estimator : estimator
        ``SoftmaxRegression``, ``MLPClassifierTorch``, ``ConvNetClassifier`` or a Pipeline that
        ends in one of them, whose other steps are fitted to X once. Neither is changed,
        fitted or not.
    X : array-like of shape (n_samples, n_features)
        Rows; uint8 are pixels.
    y : array-like of shape (n_samples,) or (n_samples, n_labels)
        Labels.
    sample_weight : array-like of shape (n_samples,), default=None
        How often each row counts, for the model; rows of weight 0 are left out.
    min_rate : float, default=1e-6
        The first rate.
    max_rate : float, default=10.0
        The last rate.
    n_steps : int, default=100
        Steps, 20 at least. More than an epoch has see the rows again in another order.
    smoothing : float, default=0.8
        What part of the moving average its past keeps at each step, in [0, 1).
    random_state : int, RandomState instance or None, default=None
        Drives initial weights, batches, dropout and distortions; None: the estimator's own.
        An instance is copied, and left as it is.

    Returns
    -------
    LearningRateRangeTest
        The curve, and the suggestions; ``found`` is False where it has no clear minimum.

    Raises
    ------
    TypeError
        If the estimator is none of these.
    ValueError
        If its solver has no learning rate, or anything else is not as described.

    See Also
    --------
    learning_rate_sweep : Compare rates on rows held out.

    Notes
    -----
    The loss is the objective, penalty included, on the batch that a step is about to learn
    from. With losses :math:`\ell_1, \dots, \ell_t` and smoothing β, the smoothed loss is

    .. math::

        \bar\ell_t = \frac{1 - \beta}{1 - \beta^t} \sum_{i \le t} \beta^{t - i} \ell_i.

    The test is broken off as soon as that is above 4 times its least, or anything is no longer
    finite, of which it does not warn. Of the smoothed curve from a tenth of the steps to its
    minimum,

    - ``"steepest"`` is the rate at which it falls most steeply over the logarithm of the rate;
    - ``"minimum_over_10"`` a tenth of the rate at which it is least;
    - ``"valley"`` the rate halfway through its longest falling subsequence.

    They are those of fastai's ``lr_find`` [2]_. The valley is cautious: the sooner the curve
    begins to fall, however slowly, the lower it lies. There is no clear minimum where the
    loss has not fallen by a tenth, where it is least before a tenth of the steps, nor where it
    has not risen again by a tenth at the end.

    The clone trains with ``learning_rate="constant"`` and without ``early_stopping``;
    batches all have ``batch_size`` rows; dropout and ``augment`` are as they are.

    References
    ----------
    .. [1] L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017,
       arXiv:1506.01186.
    .. [2] J. Howard, S. Gugger, "fastai: A Layered API for Deep Learning", Information 11,
       2020, arXiv:2002.04688.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import MLPClassifierTorch
    >>> from skdigits.model_selection import learning_rate_range_test
    >>> X, y = load_digits(return_X_y=True)
    >>> test = learning_rate_range_test(MLPClassifierTorch(random_state=0), X / 16, y)
    >>> test.found
    True
    >>> 0.001 < test.suggestions["steepest"] < 0.1
    True
    """
    _check_range(min_rate, max_rate, n_steps, smoothing)
    parameter, _ = find_model(estimator)
    model, X = _before_the_model(clone(estimator), X, y)
    _prepare(model, random_state)
    rows = check_rows(
        model, X, y, sample_weight, reset=True, class_weight=model.class_weight
    )
    rates = np.geomspace(min_rate, max_rate, n_steps)
    losses, smoothed, broken = _until_too_far(_steps(model, rows, rates), smoothing)
    n, lack = len(losses), lack_of_minimum(smoothed, n_steps, broken)
    return LearningRateRangeTest(
        learning_rates=rates[:n],
        losses=losses,
        smoothed_losses=smoothed,
        suggestions=no_suggestions()
        if lack
        else suggest(rates[:n], smoothed, n_steps // 10),
        message=lack or _found(rates, smoothed),
        parameter=parameter,
        diverged_at=float(rates[max(n - 1, 0)]) if broken else None,
    )


def find_model(estimator: Any) -> tuple[str, Any]:
    """The name of its ``learning_rate_init`` and the model that has it, last in a Pipeline."""
    names, model = [], estimator
    while isinstance(model, Pipeline):
        names.append(model.steps[-1][0])
        model = model.steps[-1][1]
    return "__".join([*names, "learning_rate_init"]), model


def check_solver(model: Any) -> None:
    """Check that a model's solver takes steps of a given rate.

    Raises
    ------
    ValueError
        If it searches for their lengths.
    """
    if getattr(model, "solver", None) in list(SOLVERS):
        raise ValueError(
            f"solver={model.solver!r} has no learning rate to be found, as it searches for "
            "each of its steps: set solver to 'sgd', 'adam' or 'adamw'."
        )


def _check_range(min_rate: Any, max_rate: Any, n_steps: Any, smoothing: Any) -> None:
    for name, rate in (("min_rate", min_rate), ("max_rate", max_rate)):
        if not POSITIVE.is_satisfied_by(rate):
            raise ValueError(f"{name} must be a positive, finite number, got {rate!r}.")
    if not min_rate < max_rate:
        raise ValueError(
            f"min_rate={min_rate!r} must be less than max_rate={max_rate!r}: the rate rises "
            "from one to the other. The defaults, 1e-6 and 10, suit most models."
        )
    if not COUNT.is_satisfied_by(n_steps) or n_steps < FEWEST_STEPS:
        raise ValueError(
            f"n_steps must be a whole number of {FEWEST_STEPS} or more, got {n_steps!r}: "
            "fewer steps make no curve. 100 will do."
        )
    if not FRACTION.is_satisfied_by(smoothing):
        raise ValueError(
            f"smoothing must be a number in [0, 1), got {smoothing!r}: 0 is none, 0.8 the "
            "default."
        )


def _before_the_model(estimator: Any, X: Any, y: Any) -> tuple[Any, Any]:
    """The model, and the rows as it gets to see them, by steps that are fitted here."""
    _check_model(find_model(estimator)[1])
    while isinstance(estimator, Pipeline):
        prefix, estimator = split_pipeline(estimator)
        X = X if prefix is None else prefix.fit_transform(X, y)
    return estimator, X


def _check_model(model: Any) -> None:
    if not isinstance(model, BATCHED):
        names = " or ".join(each.__name__ for each in BATCHED)
        raise TypeError(
            f"learning_rate_range_test trains {names}, or a Pipeline that ends in one of "
            f"them, step by step, which {type(model).__name__} cannot do: pass one of these. "
            "Of a search, that is its estimator; learning_rate_sweep takes any estimator that "
            "has learning_rate_init."
        )
    check_solver(model)


def _prepare(model: Any, random_state: Any) -> None:
    """Let a clone train step by step, at the rate that it is told."""
    check_parameters(model)
    model.set_params(
        learning_rate="constant", early_stopping=False, tol=None, verbose=False
    )
    if random_state is not None:
        model.set_params(random_state=random_state)
        check_parameters(model)
        model.random_state = copy.deepcopy(random_state)


def _steps(model: Any, rows: Rows, rates: np.ndarray) -> Iterator[tuple[float, bool]]:
    """Step after step, the loss before it and whether its weights are no longer finite.

    Each is an epoch of one batch, going on from where the last one ended.
    """
    network, data, like = crossing(model, rows)
    start = begin([model], network, like, n_streams=1)
    chosen = _batches(model, len(rows.codes), len(rates), start.rngs[0])
    for rate, batch in zip(rates.tolist(), to_tensor(chosen, like.device), strict=True):
        model.learning_rate_init = rate
        part = data._replace(rows=batch[None])
        (run,) = train_models([model], network, part, start, Watch(None, None, None), 1)
        yield run.epochs[-1].train_loss, run.status == "diverged"
        start = start._replace(state=run.state)


def _batches(
    model: Any, n_rows: int, n_steps: int, rng: np.random.RandomState
) -> np.ndarray:
    """Positions (n_steps, B) of the rows of each batch, epoch after epoch.

    All are of one size, going on in the next epoch: the loss of a few rows left over would
    jump.
    """
    size = min(
        model._auto_batch if model.batch_size == "auto" else model.batch_size, n_rows
    )
    epochs = range(-(-n_steps * size // n_rows))
    orders = [
        rng.permutation(n_rows) if model.shuffle else np.arange(n_rows) for _ in epochs
    ]
    return np.concatenate(orders)[: n_steps * size].reshape(n_steps, size)


def _until_too_far(
    steps: Iterator[tuple[float, bool]], smoothing: float
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Losses, smoothed losses, and whether they had to be broken off."""
    losses: list[float] = []
    smoothed: list[float] = []
    average, broken = 0.0, False
    for loss, broken in steps:
        if not math.isfinite(loss):
            broken = True
            break
        losses.append(loss)
        average = smoothing * average + (1 - smoothing) * loss
        smoothed.append(average / (1 - smoothing ** len(losses)))
        broken = broken or smoothed[-1] > TOO_FAR * min(smoothed)
        if broken:
            break
    return np.array(losses), np.array(smoothed), broken


def _found(rates: np.ndarray, smoothed: np.ndarray) -> str:
    lowest = int(smoothed.argmin())
    return (
        f"the smoothed loss fell from {smoothed[0]:.3g} to {smoothed[lowest]:.3g} at a rate "
        f"of {rates[lowest]:.2g}, and rose beyond"
    )
