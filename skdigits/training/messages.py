"""Messages about training, as data: they are emitted where the user's call returns.

A message is a text and a warning category. Functions here look at samples and runs, and
return messages; `emit` warns of them at the user's own line.
"""

import math
import os
import threading
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skdigits._arrays import to_numpy
from skdigits._input_checks import Samples, users_place
from skdigits._pixels import SMALLEST_IMAGE, WHITE, image_sized
from skdigits.engine.schedules import DIVISOR
from skdigits.engine.solvers import SOLVERS
from skdigits.engine.sparse import Rows, SparseRows
from skdigits.engine.types import Epoch, Plan, Run
from skdigits.training.settings import rate_of

if TYPE_CHECKING:
    from skdigits._gradient import GradientClassifier
    from skdigits.training.session import Session

UNSCALED = 20.0  # a root mean square at which training crawls or diverges
HOPELESS = 20.0  # times the loss of guessing; random weights begin at a few times that
CLEARLY = 2.0  # times it: dropout and few samples make a loss a little above guessing
LIGHT = 0.1  # a mean weight beside which alpha may be larger than it is meant
CAUSE = "cause_of_skdigits"  # attribute of a warning
SAMPLE = 2000  # samples that suffice to judge the size of features


class Message(NamedTuple):
    """A warning that is still to be emitted.

    ``place``, a process with a file and a line, is None for the user's line that called
    into this package. ``cause`` is the same for texts that differ in some number of a
    fit, one of which is enough; empty if the text is.
    """

    text: str
    category: type[Warning]
    place: tuple[int, str, int] | None = None
    cause: str = ""


def emit(messages: Iterable[Message]) -> None:
    """Warn of messages; of equal ones, which come from several fits, once."""
    here = users_place()
    users = (os.getpid(), *here[:2])
    alike: defaultdict[Message, list[str]] = defaultdict(list)
    for one in messages:
        # A line of another process is none of the user's.
        elsewhere = one.place is not None and one.place[0] != users[0]
        own = None if elsewhere or one.place == users else one.place
        alike[one._replace(text=one.cause or one.text, place=own)].append(one.text)

    for one, texts in alike.items():
        text = texts[0]
        if len(texts) > 1:
            first = "" if len(set(texts)) == 1 else "; this is the first"
            text = f"{text} ({len(texts)} fits{first})"
        warning = one.category(text)
        vars(warning)[CAUSE] = one.cause  # for a search that this fit is part of
        place: tuple[Any, ...] = here if one.place is None else one.place[1:]
        warnings.warn_explicit(warning, one.category, *place)


@contextmanager
def noted(found: list[Message]) -> Iterator[None]:
    """Note the warnings of a block in a list, each once, instead of giving them.

    The list has them also if the block raises an error. Outside the main thread,
    warnings are given as they come: `catch_warnings` belongs to the process,
    and threads that leave it in another order than they entered would silence it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    with warnings.catch_warnings(record=True) as caught:
        try:
            yield
        finally:
            found += dict.fromkeys(map(_as_message, caught))


def _as_message(caught: warnings.WarningMessage) -> Message:
    text = str(caught.message)
    category = caught.category
    try:
        category(text)
    except Exception:  # some are made of other arguments
        category = UserWarning
    place = (os.getpid(), caught.filename, caught.lineno)
    return Message(text, category, place, getattr(caught.message, CAUSE, ""))


def before_training(session: "Session", incremental: bool) -> list[Message]:
    """Return messages about samples and settings that training will suffer from.

    ``incremental`` stands for ``partial_fit``.
    """
    model = session.models[0]
    network = session.network
    data = session.data
    X = data.X
    found: list[Message | None] = []

    if network.reads_images and model.image_shape is None:
        found.insert(0, _not_square(X.shape[1]))
    side = math.isqrt(X.shape[1] - 1)
    if side**2 == X.shape[1] - 1 >= SMALLEST_IMAGE:
        found.append(_labels_beside_pixels(session, side))

    if not SOLVERS[session.plan.solver].full_batch:
        for_images = network.reads_images or model.augment is not None
        some = X
        if session.samples.in_file is not None and isinstance(X, Tensor):
            some = _runs(X)
        found.append(_large_features(model, some, for_images))

        if session.plan.shuffle != model.shuffle:
            found.append(larger_than_memory(session.samples.X))
        if incremental:
            found.append(_cycle_is_over(model))
        elif model.batch_size != "auto" and model.batch_size > data.n_samples:
            found.append(_large_batch(model.batch_size, data.n_samples))

    return [message for message in found if message is not None]


def larger_than_memory(X: Any) -> Message:
    """Return the message on rows in a file that are shuffled by blocks."""
    size = math.prod(X.shape) * X.dtype.itemsize / 1e9
    return Message(
        f"X lies in a file, and its {size:.1f} GB exceed the memory that is free: it "
        "is shuffled by blocks of consecutive samples. Set shuffle='blocks' for the "
        "same order on every machine, and to avoid this warning.",
        UserWarning,
    )


def _labels_beside_pixels(session: "Session", side: int) -> Message | None:
    """Return a message about a first or last column that holds the labels."""
    samples = session.samples
    if issparse(samples.X) or samples.multilabel:
        return None

    y = samples.y
    for place in (0, side**2):
        # A column of a file is as slow to read as the whole file.
        first = to_numpy(samples.X[:SAMPLE, place])
        if not np.array_equal(first, y[:SAMPLE]):
            continue
        if np.array_equal(to_numpy(samples.X[:, place]), y):
            names = getattr(session.template, "feature_names_in_", None)
            name = place if names is None else repr(names[place])
            return Message(
                f"Column {name} of X equals y: X has {side**2 + 1} features, one more "
                f"than images of {side} x {side} pixels. Drop the labels from X.",
                UserWarning,
            )
    return None


def _not_square(n_features: int) -> Message | None:
    if math.isqrt(n_features) ** 2 == n_features:
        return None
    return Message(
        f"X has {n_features} features, which do not make a square image: they are "
        "read as images with a single row of pixels. Pass image_shape=(height, "
        "width), or use MLPClassifierTorch if the features are not pixels.",
        UserWarning,
    )


def _cycle_is_over(model: "GradientClassifier") -> Message | None:
    if model.learning_rate != "one_cycle" or not model.__sklearn_is_fitted__():
        return None
    epochs = model._checkpoint.cycle
    if epochs < model.max_iter:
        return None
    return Message(
        f"The cycle of learning_rate='one_cycle' ended after {epochs} epochs, and this "
        "partial_fit changes next to nothing: set max_iter to the number of calls that "
        "you will make, or learning_rate='constant'.",
        ConvergenceWarning,
    )


def _large_batch(batch_size: int, n_samples: int) -> Message:
    return Message(
        f"Got batch_size={batch_size}, but there are only {n_samples} samples: a "
        "single batch will hold them all. Set batch_size='auto' to avoid this warning.",
        UserWarning,
        cause=f"batch_size={batch_size}",
    )


def _runs(X: Tensor) -> Tensor:
    """Return some samples of a file, in few runs: each one is a place to go to."""
    n_runs = 10
    size = SAMPLE // n_runs
    starts = range(0, len(X), max(1, len(X) // n_runs, size))
    return torch.cat([X[start : start + size] for start in starts])


def _large_features(
    model: "GradientClassifier", X: Rows, for_images: bool
) -> Message | None:
    # A model of pixels has warned of floats that are none.
    if not X.is_floating_point() or getattr(model, "pixels_", False):
        return None
    if isinstance(X, SparseRows):
        numbers = X.values
        n_numbers = X.numel()
        scaler = "MaxAbsScaler"  # a StandardScaler would have to fill the zeros
    else:
        numbers = X[:: max(1, len(X) // SAMPLE)]
        n_numbers = numbers.numel()
        scaler = "StandardScaler"
    size = float(torch.linalg.vector_norm(numbers)) / math.sqrt(n_numbers)
    # Infinity that was not looked for yet is an error of the first epoch.
    if not size > UNSCALED or (math.isinf(size) and not numbers.isfinite().all()):
        return None

    cure = (
        f"pass pixels as uint8, which are read as 0 to 1, or put a {scaler} "
        "before the model for other features"
    )
    if for_images or _may_be_pixels(model, numbers, X.shape[1]):
        # A StandardScaler would change the background from 0 to other values.
        cure = "pass pixels as uint8, which are read as 0 to 1, or divide them by 255"
    return Message(
        f"The features for {type(model).__name__} have a root mean square of "
        f"{size:.3g}, but gradient descent needs it near 1: {cure}.",
        UserWarning,
        cause=cure,
    )


def _may_be_pixels(
    model: "GradientClassifier", numbers: Tensor, n_features: int
) -> bool:
    smallest, largest = (bound.item() for bound in numbers.aminmax())
    within = smallest >= 0 and largest <= WHITE
    return within and image_sized(model, n_features)


def after_training(
    model: "GradientClassifier",
    run: Run,
    session: "Session",
    partial: bool,
    saved: bool | None = None,
) -> list[Message]:
    """Return messages about a run of a session that did not end well.

    A ``partial`` run trains for fewer epochs than planned, on purpose. ``saved`` tells
    whether a checkpoint has an interrupted run; None if the model has no checkpoint.
    """
    plan = session.plan
    found = []
    if run.status == "interrupted":
        kept = _kept(run, plan)
        way = _way_to_continue(model, session, saved)
        text = f"Training interrupted by user: the model is that of {kept}. {way}"
        found.append(Message(text, UserWarning))

    text = ""
    cause = ""
    if run.status == "diverged":
        text = _diverged(model, run, session)
        cause = f"diverged: {_cure(model, session)}"
    elif _is_hopeless(model, run, session.samples, plan, partial):
        text = _hopeless(model, run, session)
        cause = f"hopeless: {_cure(model, session)}"
    elif run.status == "max_iter" and not partial:
        text = _unfinished(model, run, plan)
    elif run.status == "abnormal" and model.tol is not None:
        text = _abnormal(run)

    validated = [one for one in run.epochs if not math.isnan(one.validation_score)]
    if validated and _validation_overflows(validated):
        text = f"{text} {_OVERFLOW}".lstrip()
    if text:
        found.append(Message(text, ConvergenceWarning, cause=cause))
    return found


def _validation_overflows(epochs: Sequence[Epoch]) -> bool:
    """Return whether a validation loss is not finite although the training loss is."""
    return any(
        math.isfinite(epoch.train_loss) and not math.isfinite(epoch.validation_loss)
        for epoch in epochs
    )


_OVERFLOW = (
    "The validation samples overflow, and validation_loss is not finite: bring X_val "
    "to the scale of X."
)


def _kept(run: Run, plan: Plan) -> str:
    last = f"its last whole epoch, {_last_epoch(run)}"
    return f"its best epoch up to {last}" if plan.early_stopping else last


def _last_epoch(run: Run) -> str:
    """Return the number of a run's last epoch, in history_ and as n_iter_ counts."""
    number = run.epochs[-1].epoch
    in_this_call = len(run.epochs)
    if in_this_call == number:
        return f"{number}"
    return f"{number} ({in_this_call} of this call)"


def _way_to_continue(
    model: "GradientClassifier", session: "Session", saved: bool | None
) -> str:
    if saved:
        return (
            "To continue, run the same fit again, or the same script: the Checkpoint "
            "has this epoch."
        )
    if session.incremental:
        return "To continue, call partial_fit again."

    again = "fit again" if model.warm_start else "set warm_start=True and fit again"
    if saved is None:
        return f"To continue, {again}."
    return (
        "The Checkpoint could not be written. To continue, remove it by "
        f"set_callbacks(), {again}."
    )


def _unfinished(model: "GradientClassifier", run: Run, plan: Plan) -> str:
    full_batch = SOLVERS[plan.solver].full_batch
    if model.tol is None or (model.learning_rate == "one_cycle" and not full_batch):
        return ""
    if full_batch and len(run.epochs) < model.max_iter:
        return (
            f"{plan.solver} failed to converge: Maximum evaluations ({model.max_fun}) "
            "reached. Raise max_fun or tol."
        )

    # scikit-learn's words, so that filters for its warnings work for ours.
    who = "Stochastic Optimizer"
    other = "learning_rate_init"
    if full_batch:
        who = f"{plan.solver} failed to converge"
        other = "tol"
    return (
        f"{who}: Maximum iterations ({model.max_iter}) reached and the optimization "
        f"hasn't converged yet. Raise max_iter or {other}; with tol=None, training "
        "takes max_iter epochs and does not warn."
    )


def _cure(model: "GradientClassifier", session: "Session") -> str:
    plan = session.plan
    weight = session.samples.weight
    if weight is not None and session.network.penalty_per_sample:
        mean = float(weight.mean())
        if mean < LIGHT and model.alpha > mean * plan.batch_size:
            return (
                f"The samples weigh {mean:.3g} on average, and alpha={model.alpha:g} "
                "is divided by the weight of a batch: scale sample_weight to a mean of "
                "1, or set alpha=0."
            )

    scale = (
        "pixels by passing uint8, others with a StandardScaler, or with a MaxAbsScaler "
        "if X is sparse."
    )
    if SOLVERS[plan.solver].full_batch:
        return f"Scale the features: {scale}"
    rate = rate_of(model)
    return (
        f"Lower learning_rate_init, which is {rate:g}, or scale the features: {scale}"
    )


def _diverged(model: "GradientClassifier", run: Run, session: "Session") -> str:
    plan = session.plan
    returns = plan.early_stopping and len(run.epochs) > 1
    kept = "that of its best epoch" if returns else "left as it was before"
    return (
        f"{type(model).__name__} diverged: the loss was no longer finite in epoch "
        f"{_last_epoch(run)}, and the model is {kept}. {_cure(model, session)}"
    )


def _is_hopeless(
    model: "GradientClassifier", run: Run, samples: Samples, plan: Plan, partial: bool
) -> bool:
    """Return whether training has ended with a loss that shows no learning."""
    last = run.epochs[-1].train_loss
    n_classes = len(samples.classes)
    # A little more than the loss of equally likely classes.
    guessing = math.log(n_classes + 1)
    if samples.multilabel:
        guessing = n_classes * math.log(2)
    if run.status == "converged" and last > HOPELESS * guessing:
        return True
    if run.status not in ("converged", "max_iter") or partial:
        return False

    # Losses other than cross-entropy cannot be compared with that of guessing. With
    # early stopping, the model is not the one of the last epoch.
    if model.loss != "cross_entropy" or plan.early_stopping or len(run.epochs) < 2:
        return False
    limit = max(run.epochs[0].train_loss, CLEARLY * guessing)
    return last > HOPELESS * guessing or last > limit


def _hopeless(model: "GradientClassifier", run: Run, session: "Session") -> str:
    return (
        f"{type(model).__name__} did not learn: its loss ended at "
        f"{run.epochs[-1].train_loss:.3g}, above that of guessing. "
        f"{_cure(model, session)}"
    )


def _abnormal(run: Run) -> str:
    return (
        f"lbfgs stopped after {len(run.epochs)} iterations, as its line search found "
        "no lower objective. Raise tol, pass float64 features, or scale them with a "
        "StandardScaler."
    )


def stalled(model: "GradientClassifier") -> str:
    """Return, in scikit-learn's words, that training has stopped improving."""
    monitored = "Training loss"
    if model.early_stopping:
        by_loss = model.scoring == "loss"
        monitored = "Validation loss" if by_loss else "Validation score"
    return (
        f"{monitored} did not improve more than tol={model.tol:f} for "
        f"{model.n_iter_no_change:d} consecutive epochs."
    )


def rate_reduced(model: "GradientClassifier", rate: float) -> str:
    """Return that the adaptive schedule has reduced the learning rate."""
    return f"{stalled(model)} Setting learning rate to {rate:f}"


def ending(
    model: "GradientClassifier", run: Run, plan: Plan, prefix: str = ""
) -> list[str]:
    """Return why a verbose model stopped, if it did for lack of progress."""
    if not model.verbose or model.tol is None or SOLVERS[plan.solver].full_batch:
        return []

    adaptive = model.learning_rate == "adaptive"
    if run.status == "converged":
        why = " Learning rate too small." if adaptive else ""
        return [f"{prefix}{stalled(model)}{why} Stopping."]
    if adaptive:
        # A reduction after the last epoch has no later epoch to be printed with.
        reductions = run.state.stopping.n_lr_reductions.item()
        rate = rate_of(model) / DIVISOR**reductions
        if rate < run.epochs[-1].learning_rate:
            return [f"{prefix}{rate_reduced(model, rate)}"]
    return []
