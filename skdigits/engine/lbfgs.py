"""L-BFGS on the whole objective, by SciPy, one model after the other."""

import copy
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor

from skdigits.engine.batches import batches
from skdigits.engine.losses import target_table
from skdigits.engine.types import (
    Data,
    Epoch,
    Hyper,
    Network,
    OnEpoch,
    Params,
    Plan,
    Run,
    State,
)

CHUNK_ROWS = 2048  # a chunk and its products stay in the processor's cache
STATUS = {0: "converged", 1: "max_iter", 2: "abnormal"}  # SciPy's codes


@torch.inference_mode()
def minimise(
    network: Network,
    data: Data,
    plan: Plan,
    hyper: Hyper,
    state: State,
    rng: np.random.RandomState,
    validation: Data | None = None,
    on_epoch: OnEpoch | None = None,
) -> list[Run]:
    """Bring every model of ``state`` to a minimum of its objective.

    Arguments and result are those of `skdigits.engine.train.train`. Learning rates,
    batches, ``rng``, ``validation`` and dropout have no part in it: the objective is that
    of all rows, and a model stops by its gradient, at ``max |g| ≤ tol``.
    """
    runs = []
    for k in range(len(state.params[0])):
        one = torch.tensor([k], device="cpu")
        report = None if on_epoch is None else partial(on_epoch, k)
        outcome = _minimise_one(network, data, plan, hyper.take(one), state.take(one), report)
        runs.append(Run(*outcome, copy.deepcopy(rng)))
    return runs


def _minimise_one(
    network: Network,
    data: Data,
    plan: Plan,
    hyper: Hyper,
    state: State,
    report: Callable[[Epoch], None] | None,
) -> tuple[State, list[Epoch], str]:
    table = target_table(network.n_classes, plan.label_smoothing, state.params[0])
    small = hyper.to(table)
    records: list[Epoch] = []
    start, first = time.perf_counter(), state.progress.epochs + 1

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradients = objective_and_gradients(
            network, _unflatten(flat, state.params), data, table, small
        )
        return loss.item(), _flatten(gradients)

    def after_iteration(intermediate_result: OptimizeResult) -> None:
        seconds, loss = time.perf_counter() - start, float(intermediate_result.fun)
        number = first + len(records)
        records.append(Epoch(number, math.nan, loss, math.nan, math.nan, seconds))
        if report is not None:
            report(records[-1])

    x, options = _flatten(state.params), _options(plan)
    result = minimize(objective, x, jac=True, callback=after_iteration, **options)
    if not records:  # it started at the minimum
        after_iteration(result)
    if not math.isfinite(result.fun):
        return state, records, "diverged"
    progress = state.progress._replace(epochs=state.progress.epochs + len(records))
    state = state._replace(params=_unflatten(result.x, state.params), progress=progress)
    return state, records, STATUS[result.status]


def objective_and_gradients(
    network: Network, params: Params, data: Data, table: Tensor, hyper: Hyper
) -> tuple[Tensor, Params]:
    """Objective (K,) on all rows, and its gradients, summed over chunks of rows."""
    chunks = list(range(0, len(data.X), CHUNK_ROWS))
    total = len(data.X) if data.weight is None else data.weight.sum()
    share_of_penalty = hyper._replace(alpha=hyper.alpha / len(chunks))
    loss = torch.zeros((), dtype=table.dtype, device=table.device)
    gradients = tuple(map(torch.zeros_like, params))
    for batch in batches(data, table, CHUNK_ROWS):
        batch = batch._replace(share=batch.share * (batch.total / total), total=total)
        part, slopes = network.loss_and_gradients(params, batch, share_of_penalty, None)
        loss = loss + part
        gradients = tuple(g + s for g, s in zip(gradients, slopes, strict=True))
    return loss, gradients


def _options(plan: Plan) -> dict[str, Any]:
    """scikit-learn's tolerances, without which neither would reach the other's minimum."""
    options = {
        "maxiter": plan.epochs,
        "maxfun": plan.max_fun,
        "maxls": 50,
        "gtol": max(plan.tol, 0.0),
        "ftol": 64 * np.finfo(float).eps if plan.tol >= 0 else 0.0,
    }
    return {"method": "L-BFGS-B", "options": options}


def _flatten(params: Params) -> np.ndarray:
    """All parameters in one float64 vector on the host."""
    return torch.cat([p.flatten() for p in params]).double().cpu().numpy()


def _unflatten(flat: np.ndarray, like: Params) -> Params:
    """The inverse of `_flatten`, in the shapes, dtype and place of ``like``."""
    parts = torch.from_numpy(flat).to(like[0]).split([p.numel() for p in like])
    return tuple(part.view_as(p) for part, p in zip(parts, like, strict=True))
