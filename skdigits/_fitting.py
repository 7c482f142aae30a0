"""From estimators to the engine and back: one call fits any number of them at once."""

import copy
import math
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import train_test_split
from threadpoolctl import ThreadpoolController
from torch import Tensor

from skdigits._arrays import (
    compute_dtype,
    from_tensor,
    to_data,
    to_numpy,
    to_tensor,
    training_device,
)
from skdigits._memory import Start, begin, check_resumable, fitted_params, remember, resume
from skdigits._reporting import epoch_printer, warn_beforehand, warn_of_outcomes
from skdigits._validation import (
    Rows,
    check_classes,
    check_parameters,
    check_rows,
    same_setting,
    unharmed,
)
from skdigits.engine import lbfgs, train
from skdigits.engine.networks import DenseNetwork
from skdigits.engine.predict import predict_scores
from skdigits.engine.types import Data, Epoch, Hyper, OnEpoch, Params, Plan, Run

SOLVERS = {"lbfgs": lbfgs.minimise}  # all others train by mini-batches
AUTO_BATCH = 200

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
        Alike in all parameters but those named in `BATCHABLE`.
    X, y, sample_weight : array-like
        As in ``fit``.
    incremental : bool
        Go on for one epoch from where the estimators are, as ``partial_fit`` does.
    classes : array-like, optional
        All classes, for the first incremental call.
    epochs : int, optional
        Train for just the first so many of the ``max_iter`` epochs that are planned.
    """
    with unharmed(estimators[0]):
        runs = _run(estimators, X, y, sample_weight, incremental, classes, epochs)
    warn_of_outcomes(estimators, runs, quiet=incremental or epochs is not None)


def _run(
    estimators: Sequence[Any],
    X: Any,
    y: Any,
    sample_weight: Any,
    incremental: bool,
    classes: Any,
    epochs: int | None,
) -> list[Run]:
    """Check, train, and make the estimators the fitted models."""
    lead = estimators[0]
    check_alike(estimators)
    resuming = lead.__sklearn_is_fitted__() and (incremental or lead.warm_start)
    known = check_classes(lead, classes) if incremental else None
    rows = check_rows(lead, X, y, sample_weight, reset=not resuming, classes=known)
    network, data, like = crossing(lead, rows)
    if resuming:
        check_resumable(estimators, rows, network.layer_sizes)
        start = resume(estimators, like, restart_cycle=not incremental)
    else:
        start = begin(estimators, network, like, n_streams=1)
    kept = start._replace(split_rngs=copy.deepcopy(start.split_rngs))
    if incremental and lead.early_stopping:
        raise ValueError("partial_fit does not support early_stopping=True")
    data, validation = split(lead, data, start.split_rngs)
    warn_beforehand(lead, data, incremental)
    on_epoch, epochs = epoch_printer(estimators), 1 if incremental else epochs
    runs = train_models(estimators, network, data, start, validation, on_epoch, epochs)
    for estimator, run in zip(estimators, runs, strict=True):
        install(estimator, lead, run, rows, kept)
    return runs


def crossing(estimator: Any, rows: Rows) -> tuple[DenseNetwork, Data, Tensor]:
    """The network, the rows on its device, and an empty tensor in its dtype and place."""
    device = training_device(estimator.device, rows.X)
    data = to_data(rows.X, rows.codes, rows.weight, device)
    like = torch.empty(0, dtype=compute_dtype(data.X), device=device)
    return estimator._network(rows.X.shape[1], len(rows.classes)), data, like


def train_models(
    estimators: Sequence[Any],
    network: DenseNetwork,
    data: Data,
    start: Start,
    validation: Data | None,
    on_epoch: OnEpoch | None,
    epochs: int | None = None,
) -> list[Run]:
    """One run of the engine for estimators that are alike, as many in each stream of data."""
    lead = estimators[0]
    plan = _plan(lead, data.n_rows, epochs, start.dropout_seeds)
    solve = SOLVERS.get(lead.solver, train.train)
    hyper = _hyper(estimators)
    with _scipys_threads_at_rest() if lead.solver in SOLVERS else nullcontext():
        return solve(network, data, plan, hyper, start.state, start.rngs, validation, on_epoch)


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


def dense_logits(estimator: Any, X: Tensor) -> Tensor:
    """Logits (n_samples, n_classes) of a fitted estimator, for rows on a device.

    Computed in the wider of the dtypes of rows and parameters; pixels have none.
    """
    params = fitted_params(estimator, X.device)
    dtype = params[0].dtype
    if X.is_floating_point():
        dtype = torch.promote_types(dtype, X.dtype)
    network = estimator._network(X.shape[1], len(estimator.classes_))
    return predict_scores(network, tuple(p.to(dtype).unsqueeze(0) for p in params), X)[0]


def is_stochastic(estimator: Any) -> bool:
    """Whether the solver trains by mini-batches, so that ``partial_fit`` makes sense.

    Raises
    ------
    AttributeError
        If it does not.
    """
    if estimator.solver in SOLVERS:
        raise AttributeError(
            "partial_fit is only available for stochastic optimizers; "
            f"solver={estimator.solver!r} is not stochastic. Use 'sgd', 'adam' or 'adamw'."
        )
    return True


def check_alike(estimators: Sequence[Any]) -> None:
    """Check every estimator's parameters, and that they may share a run."""
    kinds = {type(estimator).__name__ for estimator in estimators}
    if len(kinds) > 1:
        raise ValueError(f"Models of one run must be of one class, found {sorted(kinds)}.")
    for estimator in estimators:
        check_parameters(estimator)
    lead = estimators[0].get_params()
    for estimator in estimators[1:]:
        for name, value in estimator.get_params().items():
            if name not in BATCHABLE and not same_setting(value, lead[name]):
                raise ValueError(
                    f"Models of one run must have the same {name}, found {lead[name]!r} "
                    f"and {value!r}: fit them in runs of their own."
                )


def split(
    estimator: Any, data: Data, rngs: Sequence[np.random.RandomState]
) -> tuple[Data, Data | None]:
    """Rows to train on and, with early stopping, rows of each stream to validate on."""
    if not estimator.early_stopping or estimator.solver in SOLVERS:
        return data, None
    codes, everything = to_numpy(data.codes), np.arange(len(data.X))[None]
    streams = everything if data.rows is None else to_numpy(data.rows)
    parts = [
        _stratified_split(estimator, rows, codes[rows], rng)
        for rows, rng in zip(streams, rngs, strict=True)
    ]
    chosen = [to_tensor(np.stack(part), data.X.device) for part in zip(*parts, strict=True)]
    return data._replace(rows=chosen[0]), data._replace(rows=chosen[1])


def _stratified_split(
    estimator: Any, rows: np.ndarray, codes: np.ndarray, rng: np.random.RandomState
) -> list[np.ndarray]:
    fraction = estimator.validation_fraction
    try:
        return list(
            train_test_split(rows, test_size=fraction, stratify=codes, random_state=rng)
        )
    except ValueError as error:
        raise ValueError(
            f"early_stopping=True sets validation_fraction={fraction} of "
            f"the rows aside, some of every class, which cannot be done: {error} Give more "
            "rows of each class, or set early_stopping=False."
        ) from error


def _plan(
    estimator: Any, n_rows: int, epochs: int | None, dropout_seeds: Sequence[int]
) -> Plan:
    """What all models of the run have in common."""
    size = AUTO_BATCH if estimator.batch_size == "auto" else estimator.batch_size
    return Plan(
        solver=estimator.solver,
        schedule=estimator.learning_rate,
        batch_size=min(size, n_rows),
        max_iter=estimator.max_iter,
        epochs=estimator.max_iter if epochs is None else epochs,
        shuffle=estimator.shuffle,
        nesterov=estimator.nesterovs_momentum,
        tol=-math.inf if estimator.tol is None else estimator.tol,
        n_iter_no_change=estimator.n_iter_no_change,
        early_stopping=estimator.early_stopping,
        label_smoothing=estimator.label_smoothing,
        max_fun=estimator.max_fun,
        dropout_seeds=tuple(dropout_seeds),
    )


def _hyper(estimators: Sequence[Any]) -> Hyper:
    """Stack what the models may differ in; a model without dropout has a rate of 0."""
    settings = [estimator.get_params(deep=False) for estimator in estimators]
    return Hyper(*(_host([float(s.get(name, 0.0)) for s in settings]) for name in BATCHABLE))


def install(estimator: Any, lead: Any, run: Run, rows: Rows, start: Start) -> None:
    """Make an estimator the fitted model: plain arrays and numbers, no tensors."""
    history = pd.DataFrame(run.epochs, columns=Epoch._fields)
    if (first := run.epochs[0].epoch) > 1:  # it was fitted before, or its last epoch failed
        past = estimator.history_
        history = pd.concat([past[past["epoch"] < first], history], ignore_index=True)
    install_params(estimator, lead, run.state.params, rows)
    install_records(estimator, history)
    estimator.n_iter_ = len(run.epochs)  # those of a warm start count anew
    estimator.t_ = int(run.state.progress.seen)
    estimator._memory = remember(estimator, run, start)
    estimator.device_ = str(run.state.params[0].device)


def install_params(estimator: Any, lead: Any, params: Params, rows: Rows) -> None:
    """Let an estimator predict by the parameters of one model; ``lead`` has seen the rows."""
    for name in {"n_features_in_", "feature_names_in_"} & set(vars(lead)):
        setattr(estimator, name, getattr(lead, name))
    estimator._install(
        [from_tensor(weight[0], rows.X) for weight in params[::2]],
        [from_tensor(bias[0, :, 0], rows.X) for bias in params[1::2]],
    )
    estimator.classes_ = rows.classes


def install_records(estimator: Any, history: pd.DataFrame) -> None:
    """The history, and what scikit-learn makes of it."""
    losses, scores = history["train_loss"].tolist(), history["validation_score"].tolist()
    validated = estimator.early_stopping and estimator.solver not in SOLVERS
    estimator.history_ = history
    estimator.n_iter_ = len(history)
    estimator.loss_ = losses[-1]
    estimator.loss_curve_ = losses
    estimator.best_loss_ = None if validated else float(np.nanmin([np.inf, *losses]))
    estimator.validation_scores_ = scores if validated else None
    estimator.best_validation_score_ = float(np.nanmax(scores)) if validated else None


def _host(values: list[float]) -> Tensor:
    """Numbers (K,) in float64 on the host, whatever torch's defaults are."""
    return torch.tensor(values, dtype=torch.float64, device="cpu")
