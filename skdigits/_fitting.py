"""From estimators to the engine and back: one call fits any number of them at once."""

import copy
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.callback import with_callbacks
from threadpoolctl import ThreadpoolController
from torch import Tensor

from skdigits._arrays import (
    compute_dtype,
    from_tensor,
    is_pixels,
    to_data,
    training_device,
)
from skdigits._callbacks import after_each_epoch, fit_begins, fit_ends, is_part_of_more
from skdigits._held_out import Given, check_given, score_by, set_aside, split
from skdigits._memory import (
    Start,
    begin,
    check_resumable,
    fitted_params,
    remember,
    resume,
)
from skdigits._parameters import check_parameters, same_setting
from skdigits._reporting import epoch_printer, warn_beforehand, warn_of_outcomes
from skdigits._validation import Rows, check_increment, check_rows, unharmed
from skdigits.augmentation import distort_of
from skdigits.engine import lbfgs, train
from skdigits.engine.networks import LayeredNetwork
from skdigits.engine.predict import predict_scores
from skdigits.engine.types import (
    Data,
    Distort,
    Epoch,
    Hyper,
    OnEpoch,
    Params,
    Plan,
    Run,
    Score,
)

SOLVERS = {"lbfgs": lbfgs.minimise}  # all others train by mini-batches
NO_ROWS = Given()

BATCHABLE = (
    "learning_rate_init",
    "alpha",
    "momentum",
    "beta_1",
    "beta_2",
    "epsilon",
    "weight_decay",
    "power_t",
    "dropout",
)
"""Parameters in which models of one run may differ, in the order of `Hyper`."""


def fit_many(
    estimators: Sequence[Any],
    X: Any,
    y: Any,
    sample_weight: Any = None,
    *,
    given: Given = NO_ROWS,
    incremental: bool = False,
    classes: Any = None,
    epochs: int | None = None,
) -> None:
    """Fit estimators that differ in batchable parameters only, in one run of the engine.

    ``fit`` is the case of one estimator. All see the same rows in the same order, so that
    each becomes what it would have become alone.

    Parameters
    ----------
    estimators : sequence of estimators of one class
        Alike in all parameters but those named in `BATCHABLE`. Callbacks of the first are
        told of the fit.
    X, y, sample_weight : array-like
        As in ``fit``.
    given : Given
        A validation set.
    incremental : bool
        Go on for one epoch from where the estimators are, as ``partial_fit`` does.
    classes : array-like, optional
        All classes, for the first incremental call.
    epochs : int, optional
        Train for just the first so many of the ``max_iter`` epochs that are planned.
    """
    check_alike(estimators)
    known = check_increment(estimators[0], classes) if incremental else None
    _fit_told(estimators[0], estimators, (X, y, sample_weight), given, epochs, known)


@with_callbacks  # type: ignore[untyped-decorator]
def _fit_told(
    lead: Any,
    estimators: Sequence[Any],
    passed: tuple[Any, Any, Any],
    given: Given,
    epochs: int | None,
    classes: np.ndarray | None,
) -> None:
    """Fit, and tell callbacks of it; ``classes`` are for one epoch more, which is no fit."""
    context = None if classes is not None else fit_begins(lead, *passed)
    with unharmed(lead):
        runs = _run(estimators, passed, given, epochs, classes, context)
    warn_of_outcomes(estimators, runs, quiet=classes is not None or epochs is not None)
    if context is not None:
        if is_part_of_more(context) and any(
            run.status == "interrupted" for run in runs
        ):
            raise KeyboardInterrupt(f"A fit of {type(lead).__name__} was interrupted.")
        fit_ends(context, lead, *passed)


def _run(
    estimators: Sequence[Any],
    passed: tuple[Any, Any, Any],
    given: Given,
    epochs: int | None,
    classes: np.ndarray | None,
    context: Any,
) -> list[Run]:
    """Check, train, and make the estimators the fitted models."""
    lead, incremental = estimators[0], classes is not None
    resuming = lead.__sklearn_is_fitted__() and (incremental or lead.warm_start)
    rows = check_rows(
        lead,
        *passed,
        reset=not resuming,
        classes=classes,
        class_weight=lead.class_weight,
    )
    held_out = check_given(lead, given, rows)
    network, data, like = crossing(lead, rows)
    if resuming:
        check_resumable(estimators, rows, network)
        start = resume(estimators, like, restart_cycle=not incremental)
    else:
        start = begin(estimators, network, like, n_streams=1)
    kept = start._replace(split_rngs=copy.deepcopy(start.split_rngs))
    if held_out is None:
        data, validation = split(lead, data, rows.classes, start.split_rngs)
        held_out = set_aside(lead, rows, validation)
    else:
        validation = to_data(held_out.X, held_out.codes, held_out.weight, like.device)
    _distort(lead, data.X.shape[1])  # whose errors come before any warnings
    warn_beforehand(lead, data, incremental)
    as_fitted = partial(snapshot, lead, rows=rows, network=network)
    watch = Watch(
        validation,
        score_by(lead, held_out, as_fitted),
        _after_each_epoch(estimators, context, passed, as_fitted),
    )
    runs = train_models(
        estimators, network, data, start, watch, 1 if incremental else epochs
    )
    for estimator, run in zip(estimators, runs, strict=True):
        install(estimator, lead, run, rows, network, kept)
    return runs


def _after_each_epoch(
    estimators: Sequence[Any],
    context: Any,
    passed: tuple[Any, Any, Any],
    as_fitted: Callable[[Params], Any],
) -> OnEpoch | None:
    """What prints epochs and tells callbacks of them; None where nobody wants to know."""
    told = None
    if context is not None:
        told = after_each_epoch(estimators[0], context, *passed, as_fitted)
    listeners = [each for each in (epoch_printer(estimators), told) if each is not None]
    if not listeners:
        return None

    def tell(models: list[int], epochs: list[Epoch], params: Params) -> set[int]:
        return {model for each in listeners for model in each(models, epochs, params)}

    return tell


def crossing(estimator: Any, rows: Rows) -> tuple[LayeredNetwork, Data, Tensor]:
    """The network, the rows on its device, and an empty tensor in its dtype and place."""
    device = training_device(estimator.device, rows.X)
    data = to_data(rows.X, rows.codes, rows.weight, device)
    like = torch.empty(0, dtype=_working_dtype(estimator, data.X), device=device)
    network = estimator._network(rows.X.shape[1], len(rows.classes), rows.multilabel)
    return network, data, like


class Watch(NamedTuple):
    """How a run is followed: by which rows, by which score of them, and by whom."""

    validation: Data | None
    score: Score | None
    on_epoch: OnEpoch | None


def train_models(
    estimators: Sequence[Any],
    network: LayeredNetwork,
    data: Data,
    start: Start,
    watch: Watch,
    epochs: int | None = None,
) -> list[Run]:
    """One run of the engine for estimators that are alike, as many in each stream of data."""
    lead = estimators[0]
    plan = _plan(lead, data, epochs, start.noise_seeds)
    solve = SOLVERS.get(lead.solver, train.train)
    told = watch.validation, watch.on_epoch, watch.score
    with _scipys_threads_at_rest() if lead.solver in SOLVERS else nullcontext():
        return solve(
            network, data, plan, _hyper(estimators), start.state, start.rngs, *told
        )


def _scipys_threads_at_rest() -> AbstractContextManager[Any]:
    """Let the OpenBLAS that comes with SciPy and NumPy compute in one thread.

    Its threads wait for work by spinning, on cores that torch needs, which has a BLAS of its
    own. The number of threads is one for the whole process: only the main thread changes it,
    as of several that do, the last one brings back what the first has set.
    """
    if threading.current_thread() is not threading.main_thread():
        return nullcontext()
    limit: AbstractContextManager[Any] = _scipys_blas().limit(limits=1)
    return limit


@cache
def _scipys_blas() -> ThreadpoolController:
    return ThreadpoolController().select(prefix="libscipy_openblas")


def _working_dtype(estimator: Any, X: Tensor) -> torch.dtype:
    """That of X, and float32 for pixels, or where the estimator is set to it."""
    return compute_dtype(X) if estimator.precision == "auto" else torch.float32


def network_logits(estimator: Any, X: Tensor) -> Tensor:
    """Logits (n_samples, n_classes) of a fitted estimator, for rows on a device.

    Computed in the wider of the dtypes of rows and parameters; pixels have none.
    """
    params = fitted_params(estimator, X.device)
    dtype = params[0].dtype
    if X.is_floating_point():
        dtype = torch.promote_types(dtype, _working_dtype(estimator, X))
    network = estimator._fitted_network()
    return predict_scores(network, tuple(p.to(dtype).unsqueeze(0) for p in params), X)[
        0
    ]


def is_stochastic(estimator: Any) -> bool:
    """Whether the solver trains by mini-batches, so that ``partial_fit`` makes sense.

    Raises
    ------
    AttributeError
        If it does not.
    """
    if estimator.solver in list(SOLVERS):  # also where it is bad, and has no hash
        raise AttributeError(
            "partial_fit is only available for stochastic optimizers; "
            f"solver={estimator.solver!r} is not stochastic. Use 'sgd', 'adam' or 'adamw'."
        )
    return True


def check_alike(estimators: Sequence[Any]) -> None:
    """Check every estimator's parameters, and that they may share a run."""
    kinds = {type(estimator).__name__ for estimator in estimators}
    if len(kinds) > 1:
        raise ValueError(
            f"Models of one run must be of one class, found {sorted(kinds)}."
        )
    for estimator in estimators:
        check_parameters(estimator)
    lead = estimators[0].get_params(deep=False)
    for estimator in estimators[1:]:
        for name, value in estimator.get_params(deep=False).items():
            if name not in BATCHABLE and not same_setting(value, lead[name]):
                raise ValueError(
                    f"Models of one run must have the same {name}, found {lead[name]!r} "
                    f"and {value!r}: fit them in runs of their own."
                )


def _plan(
    estimator: Any, data: Data, epochs: int | None, noise_seeds: Sequence[int]
) -> Plan:
    """What all models of the run have in common."""
    automatic = estimator.batch_size == "auto"
    size = (
        estimator._auto_batch if automatic else int(estimator.batch_size)
    )  # NumPy's, too
    return Plan(
        solver=estimator.solver,
        schedule=estimator.learning_rate,
        batch_size=min(size, data.n_rows),
        max_iter=estimator.max_iter,
        epochs=estimator.max_iter if epochs is None else epochs,
        shuffle=estimator.shuffle,
        nesterov=estimator.nesterovs_momentum,
        tol=-math.inf if estimator.tol is None else estimator.tol,
        n_iter_no_change=estimator.n_iter_no_change,
        early_stopping=estimator.early_stopping,
        stop_by_loss=estimator.scoring == "loss",
        label_smoothing=estimator.label_smoothing,
        max_fun=estimator.max_fun,
        ftol=estimator._ftol,
        distort=_distort(estimator, data.X.shape[1]),
        noise_seeds=tuple(noise_seeds),
    )


def _distort(estimator: Any, n_features: int) -> Distort | None:
    if estimator.augment is not None and estimator.solver in SOLVERS:
        raise ValueError(
            f"augment={estimator.augment!r} makes other rows in every epoch, but solver="
            f"{estimator.solver!r} goes to the minimum for all rows as they are: set "
            "augment=None, or solver to 'sgd', 'adam' or 'adamw'."
        )
    return distort_of(estimator.augment, estimator.image_shape, n_features)


def _hyper(estimators: Sequence[Any]) -> Hyper:
    """Stack what the models may differ in; a model without dropout has a rate of 0."""
    settings = [estimator.get_params(deep=False) for estimator in estimators]
    return Hyper(
        *(_host([float(s.get(name, 0.0)) for s in settings]) for name in BATCHABLE)
    )


def install(
    estimator: Any,
    lead: Any,
    run: Run,
    rows: Rows,
    network: LayeredNetwork,
    start: Start,
) -> None:
    """Make an estimator the fitted model: plain arrays and numbers, no tensors."""
    history = pd.DataFrame(run.epochs, columns=Epoch._fields)
    if (
        first := run.epochs[0].epoch
    ) > 1:  # it was fitted before, or its last epoch failed
        past = estimator.history_
        history = pd.concat([past[past["epoch"] < first], history], ignore_index=True)
    install_params(estimator, lead, run.state.params, rows, network)
    install_records(estimator, history)
    estimator.n_iter_ = len(run.epochs)  # those of a warm start count anew
    estimator.t_ = int(run.state.progress.seen)
    estimator._memory = remember(estimator, run, start)


def install_params(
    estimator: Any, lead: Any, params: Params, rows: Rows, network: LayeredNetwork
) -> None:
    """Let an estimator predict by the parameters of one model; ``lead`` has seen the rows."""
    for name in {"n_features_in_", "feature_names_in_"} & set(vars(lead)):
        setattr(estimator, name, getattr(lead, name))
    estimator._install(
        [
            from_tensor(weight[0].view(shape), rows.X)
            for weight, shape in zip(params[::2], network.shapes, strict=True)
        ],
        [from_tensor(bias[0, :, 0], rows.X) for bias in params[1::2]],
        network,
    )
    estimator.classes_, estimator._multilabel = rows.classes, rows.multilabel
    estimator._pixels = is_pixels(rows.X)
    estimator.device_ = str(params[0].device)


def snapshot(lead: Any, params: Params, rows: Rows, network: LayeredNetwork) -> Any:
    """An estimator that predicts by the parameters of a model that is still training."""
    model = type(lead)(
        **lead.get_params(deep=False)
    )  # no copies: a scorer may be large
    install_params(model, lead, params, rows, network)
    return model


def install_records(estimator: Any, history: pd.DataFrame) -> None:
    """The history, and what scikit-learn makes of it."""
    losses, scores = (
        history["train_loss"].tolist(),
        history["validation_score"].tolist(),
    )
    stops_early = estimator.early_stopping and estimator.solver not in SOLVERS
    validated = stops_early or history["validation_score"].notna().any()
    estimator.history_ = history
    estimator.n_iter_ = len(history)
    estimator.loss_ = losses[-1]
    estimator.loss_curve_ = losses
    estimator.best_loss_ = None if stops_early else float(np.nanmin([np.inf, *losses]))
    estimator.validation_scores_ = scores if validated else None
    top = max((score for score in scores if not math.isnan(score)), default=math.nan)
    estimator.best_validation_score_ = top if validated else None


def _host(values: list[float]) -> Tensor:
    """Numbers (K,) in float64 on the host, whatever torch's defaults are."""
    return torch.tensor(values, dtype=torch.float64, device="cpu")
