"""The learning-rate range test: a short run with a rising learning rate."""

import copy
import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from torch import Tensor

from skdigits._arrays import isolated, refuse_cuda_tensors, to_tensor
from skdigits._gradient import FULL_BATCH, GradientClassifier
from skdigits._input_checks import (
    COUNT,
    FRACTION,
    POSITIVE,
    Samples,
    check_parameters,
    check_samples,
)
from skdigits.distributed import RANKS, refuse_search
from skdigits.engine.batches import DRAWS
from skdigits.engine.solvers import stochastic_solvers
from skdigits.model_selection._grouping import split_pipeline
from skdigits.model_selection._rate_curve import LearningRateRangeTest
from skdigits.model_selection._suggestions import (
    lack_of_minimum,
    no_suggestions,
    suggest,
)
from skdigits.training.session import Session, prepare, run

FEWEST_STEPS = 20  # a tenth of the steps is skipped, and the rest must show a minimum
TOO_FAR = 4.0  # times the smallest smoothed loss, as in fastai


def learning_rate_range_test(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    min_rate: float = 1e-6,
    max_rate: float = 10.0,
    n_steps: int = 100,
    smoothing: float = 0.8,
    random_state: int | np.random.RandomState | None = None,
) -> LearningRateRangeTest:
    r"""Suggest a learning rate by the loss of a short run with a rising learning rate.

    This is the range test of [1]_, in the form of [2]_. A new clone takes ``n_steps``
    steps of one mini-batch each, with learning rates in geometric progression. The test
    is a fast rule of thumb. `learning_rate_sweep` takes longer, and measures scores on
    held-out samples.

    Parameters
    ----------
    estimator : estimator
        ``SoftmaxRegression``, ``MLPClassifierTorch``, ``ConvNetClassifier``, or a
        Pipeline that ends in one of them. The earlier steps of a Pipeline are fitted
        once, to X. The estimator itself does not change.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Training samples. The estimator decides whether integers are pixels.
    y : array-like of shape (n_samples,) or (n_samples, n_labels)
        Class labels, or multilabel targets.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples for the model; None gives every sample weight 1.
    min_rate : float, default=1e-6
        Learning rate of the first step.
    max_rate : float, default=10.0
        Learning rate of the last step.
    n_steps : int, default=100
        Number of steps, at least 20. After each epoch, the samples are drawn in a new
        order.
    smoothing : float, default=0.8
        Weight β of the past in the moving average of the loss, in [0, 1).
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, batches, dropout and distortions. None stands for the
        ``random_state`` of the estimator. A RandomState instance is copied and does not
        change.

    Returns
    -------
    LearningRateRangeTest
        Curve of losses and suggested learning rates. ``found`` is False if the curve
        has no clear minimum.

    Raises
    ------
    TypeError
        If the estimator is of another class.
    ValueError
        If the solver has no learning rate, or if an argument is invalid.

    See Also
    --------
    learning_rate_sweep : Compares learning rates on held-out samples.

    Notes
    -----
    The loss of a step is the objective on its batch before the step, including the
    penalty. With losses :math:`\ell_1, \ldots, \ell_t` and smoothing β, the smoothed
    loss is

    .. math::

        \bar\ell_t = \frac{1 - \beta}{1 - \beta^t} \sum_{i \le t} \beta^{t - i} \ell_i.

    The test ends, without a warning, when the smoothed loss exceeds 4 times its
    minimum, or when the loss or a weight is no longer finite. The suggestions are those
    of fastai's ``lr_find`` [2]_. They use the smoothed curve between the first tenth of
    the steps and the minimum:

    - ``"steepest"``: the learning rate at which the loss falls most steeply over the
      logarithm of the learning rate;
    - ``"minimum_over_10"``: a tenth of the learning rate with the smallest loss;
    - ``"valley"``: the learning rate in the middle of the longest falling subsequence.
      This suggestion is cautious: it is small if the loss begins to fall early, even
      slowly.

    There is no clear minimum if the loss does not fall by a tenth, if it is smallest
    within the first tenth of the steps, or if it does not rise again by a tenth.

    The clone trains with ``learning_rate="constant"`` and without ``early_stopping``.
    All batches have ``batch_size`` samples. Dropout and ``augment`` stay as they are.

    References
    ----------
    .. [1] L. N. Smith, "Cyclical Learning Rates for Training Neural Networks",
       WACV 2017, arXiv:1506.01186.
    .. [2] J. Howard, S. Gugger, "fastai: A Layered API for Deep Learning",
       Information 11, 2020, arXiv:2002.04688.

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
    if RANKS.get() is not None:
        refuse_search("learning_rate_range_test")
    refuse_cuda_tensors(X=X, y=y, sample_weight=sample_weight)
    _check_range(min_rate, max_rate, n_steps, smoothing)
    parameter, _ = find_model(estimator)
    rates = np.geomspace(min_rate, max_rate, n_steps)
    with isolated(trains=True):
        model, X = _before_the_model(clone(estimator), X, y)
        _prepare_model(model, random_state)
        samples = check_samples(
            model,
            X,
            y,
            sample_weight,
            reset=True,
            class_weight=model.class_weight,
            takes_labels=model._takes_labels,
        )
        steps = _steps(model, samples, rates)
        losses, smoothed, broken = _until_too_far(steps, smoothing)

    n = len(losses)
    lack = lack_of_minimum(smoothed, n_steps, broken)
    return LearningRateRangeTest(
        learning_rates=rates[:n],
        losses=losses,
        smoothed_losses=smoothed,
        suggestions=no_suggestions()
        if lack
        else suggest(rates[:n], smoothed, n_steps // 10),
        message=lack or _message(rates, smoothed),
        parameter=parameter,
        diverged_at=float(rates[max(n - 1, 0)]) if broken else None,
    )


def find_model(estimator: BaseEstimator) -> tuple[str, BaseEstimator]:
    """Return the name of ``learning_rate_init`` for ``set_params``, and the model.

    The model is the last step of a Pipeline, also of nested Pipelines.
    """
    names = []
    model = estimator
    while isinstance(model, Pipeline):
        names.append(model.steps[-1][0])
        model = model.steps[-1][1]
    return "__".join([*names, "learning_rate_init"]), model


def check_solver(model: BaseEstimator) -> None:
    """Check that a model's solver has a learning rate.

    Raises
    ------
    ValueError
        If the solver searches for the length of each step.
    """
    if getattr(model, "solver", None) in FULL_BATCH:
        raise ValueError(
            f"solver={model.solver!r} has no learning rate, as it searches for the "
            f"length of each step: set solver to {stochastic_solvers()}."
        )


def _check_range(
    min_rate: float, max_rate: float, n_steps: int, smoothing: float
) -> None:
    for name, rate in (("min_rate", min_rate), ("max_rate", max_rate)):
        if not POSITIVE.is_satisfied_by(rate):
            raise ValueError(f"{name} must be a positive, finite number, got {rate!r}.")
    if not min_rate < max_rate:
        raise ValueError(
            f"min_rate={min_rate!r} must be less than max_rate={max_rate!r}: the "
            "learning rate rises from one to the other. The defaults, 1e-6 and 10, "
            "suit most models."
        )
    if not COUNT.is_satisfied_by(n_steps) or n_steps < FEWEST_STEPS:
        raise ValueError(
            f"n_steps must be an integer of {FEWEST_STEPS} or more, got {n_steps!r}: "
            "fewer steps make no curve. The default is 100."
        )
    if not FRACTION.is_satisfied_by(smoothing):
        raise ValueError(
            f"smoothing must be a number in [0, 1), got {smoothing!r}: 0 does not "
            "smooth, the default is 0.8."
        )


def _before_the_model(
    estimator: BaseEstimator, X: ArrayLike, y: ArrayLike
) -> tuple[GradientClassifier, ArrayLike]:
    """Return the model, and the samples after the steps before it, fitted here."""
    _check_model(find_model(estimator)[1])
    while isinstance(estimator, Pipeline):
        prefix, estimator = split_pipeline(estimator)
        X = X if prefix is None else prefix.fit_transform(X, y)
    return estimator, X


def _check_model(model: BaseEstimator) -> None:
    if not isinstance(model, GradientClassifier):
        raise TypeError(
            "learning_rate_range_test trains ConvNetClassifier, MLPClassifierTorch or "
            "SoftmaxRegression, or a Pipeline that ends in one of them, step by step, "
            f"which {type(model).__name__} cannot do: pass one of these. Of a search, "
            "pass its estimator; learning_rate_sweep takes any estimator that has "
            "learning_rate_init."
        )
    check_solver(model)


def _prepare_model(model: GradientClassifier, random_state: object) -> None:
    """Set the parameters of a clone that trains step by step."""
    # A schedule would change the learning rates; early stopping would cut the curve.
    check_parameters(model)
    model.set_params(
        learning_rate="constant", early_stopping=False, tol=None, verbose=False
    )
    if random_state is not None:
        model.set_params(random_state=random_state)
        check_parameters(model)
        model.random_state = copy.deepcopy(random_state)


def _steps(
    model: GradientClassifier, samples: Samples, rates: np.ndarray
) -> Iterator[tuple[float, bool]]:
    """Yield the loss before each step, and whether the weights are no longer finite.

    Each step is an epoch of one batch, and continues from the previous step.
    """
    # All steps share one session; each continues from the state of the previous step.
    session = prepare([model], [samples])
    chosen = _batches(session, len(rates))
    for rate, batch in zip(rates.tolist(), chosen, strict=True):
        hyper = session.hyper._replace(
            learning_rate_init=torch.full_like(session.hyper.learning_rate_init, rate)
        )
        step = session._replace(
            data=session.data._replace(samples=batch[None]), hyper=hyper
        )
        (result,) = run(step, epochs=1)
        yield result.epochs[-1].train_loss, result.status == "diverged"
        session = session._replace(start=session.start._replace(state=result.state))


def _batches(session: Session, n_steps: int) -> Tensor:
    """Return positions (n_steps, B) of the samples of each batch, epoch after epoch.

    A batch may continue in the next epoch, so all batches have the same size. The loss
    of a smaller last batch would jump.
    """
    size = session.plan.batch_size
    n_samples = session.data.n_samples
    (rng,) = session.start.rngs
    epochs = range(math.ceil(n_steps * size / n_samples))
    shuffle = session.plan.shuffle
    orders = [
        DRAWS[shuffle](rng, n_samples) if shuffle else np.arange(n_samples)
        for _ in epochs
    ]
    chosen = np.concatenate(orders)[: n_steps * size].reshape(n_steps, size)
    return to_tensor(chosen, session.data.X.device)


def _until_too_far(
    steps: Iterator[tuple[float, bool]], smoothing: float
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return losses, smoothed losses, and whether the loss rose too far."""
    losses: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    broken = False
    for loss, diverged in steps:
        if not math.isfinite(loss):
            broken = True
            break

        losses.append(loss)
        average = smoothing * average + (1 - smoothing) * loss
        # Correct the bias of the first averages towards 0, the initial value.
        smoothed.append(average / (1 - smoothing ** len(losses)))
        broken = diverged or smoothed[-1] > TOO_FAR * min(smoothed)
        if broken:
            break
    return np.array(losses), np.array(smoothed), broken


def _message(rates: np.ndarray, smoothed: np.ndarray) -> str:
    lowest = int(smoothed.argmin())
    return (
        f"the smoothed loss fell from {smoothed[0]:.3g} to {smoothed[lowest]:.3g} at a "
        f"learning rate of {rates[lowest]:.2g}, and rose beyond"
    )
