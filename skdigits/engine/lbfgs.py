"""L-BFGS on the whole objective, by SciPy, one model after the other."""

import copy
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor

from skdigits.engine.batches import batches, n_batches, summed_loss
from skdigits.engine.gradients import subtract
from skdigits.engine.types import (
    Data,
    Epoch,
    Hyper,
    Network,
    OnEpoch,
    Params,
    Plan,
    Run,
    Score,
    State,
)
from skdigits.engine.validation import measure

CHUNK_ROWS = 2048  # a chunk and its products stay in the processor's cache
STATUS = {0: "converged", 1: "max_iter", 2: "abnormal"}  # SciPy's codes


@torch.inference_mode()
def minimise(
    network: Network,
    data: Data,
    plan: Plan,
    hyper: Hyper,
    state: State,
    rngs: Sequence[np.random.RandomState],
    validation: Data | None = None,
    on_epoch: OnEpoch | None = None,
    score: Score | None = None,
) -> list[Run]:
    """Bring every model of ``state`` to a minimum of its objective.

    Arguments and result are those of `skdigits.engine.train.train`. Learning rates,
    batches, ``rngs`` and dropout have no part in it: the objective is that of all rows, and
    a model stops by its gradient, at ``max |g| ≤ tol``. Validation rows, the same for all,
    are measured by and no more.
    """
    runs: list[Run] = []
    table = network.target_table(plan.label_smoothing, state.params[0])
    watch = partial(measure, network, validation=validation, table=table, score=score)
    for rows, rng in zip(_each_stream(data), rngs, strict=True):
        for _ in range(len(state.params[0]) // len(rngs)):
            model, one = len(runs), torch.tensor([len(runs)], device="cpu")
            report = None if on_epoch is None else partial(on_epoch, [model])
            chosen = hyper.take(one), state.take(one)
            outcome = _minimise_one(network, rows, table, plan, *chosen, watch, report)
            runs.append(Run(*outcome, copy.deepcopy(rng)))
            if outcome[-1] == "interrupted" and len(runs) < len(state.params[0]):
                raise KeyboardInterrupt("L-BFGS was interrupted before its last model.")
    return runs


def _each_stream(data: Data) -> Iterator[Data]:
    """The rows of each stream in one piece, as they are read many times over."""
    if data.rows is None:
        yield data
    else:
        yield from map(data.take, data.rows)


def _minimise_one(
    network: Network,
    data: Data,
    table: Tensor,
    plan: Plan,
    hyper: Hyper,
    state: State,
    watch: Callable[[Params], tuple[Tensor, Tensor]],
    report: Callable[[list[Epoch], Params], Collection[int]] | None,
) -> tuple[State, list[Epoch], str]:
    small = hyper.to(table)
    records: list[Epoch] = []
    latest, asked = None, False
    start, first = time.perf_counter(), state.progress.epochs + 1

    def evaluate(flat: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradients = objective_and_gradients(
            network, _unflatten(flat, state.params), data, table, small
        )
        return loss.item(), _flatten(gradients)

    def after_iteration(intermediate_result: OptimizeResult) -> None:
        nonlocal latest, asked
        # A copy, as SciPy goes on writing to its own.
        result = OptimizeResult(intermediate_result, x=intermediate_result.x.copy())
        params = _unflatten(result.x, state.params)
        loss, found = (column.item() for column in watch(params))
        seconds = time.perf_counter() - start
        number, objective = first + len(records), float(result.fun)
        epoch = Epoch(number, math.nan, objective, loss, found, seconds)
        records.append(epoch)
        latest = result
        asked = report is not None and bool(report([epoch], params))
        if asked:
            raise StopIteration

    x, options = _flatten(state.params), _options(plan)
    try:
        result = minimize(evaluate, x, jac=True, callback=after_iteration, **options)
        status = "stopped" if asked else STATUS[result.status]
    except KeyboardInterrupt:
        if latest is None:
            raise
        result, status = latest, "interrupted"
    if not records:  # it started at the minimum
        with suppress(StopIteration):
            after_iteration(result)
    if not math.isfinite(result.fun):
        return state, records, "diverged"
    progress = state.progress._replace(epochs=state.progress.epochs + len(records))
    state = state._replace(params=_unflatten(result.x, state.params), progress=progress)
    return state, records, status


def objective_and_gradients(
    network: Network, params: Params, data: Data, table: Tensor, hyper: Hyper
) -> tuple[Tensor, Params]:
    """Objective (K,) on all rows, and its gradients, summed over chunks of rows.

    The objective is float64, whatever the rows are: in float32 the line search would be
    lost in its rounding.
    """
    n_chunks = n_batches(len(data.X), CHUNK_ROWS)
    total = len(data.X) if data.weight is None else data.weight.sum()
    share_of_penalty = hyper._replace(alpha=hyper.alpha / n_chunks)
    loss = torch.zeros(len(params[0]), dtype=torch.float64, device=table.device)
    if len(hyper.alpha):
        loss += network.penalty(tuple(p.double() for p in params), hyper, total)
    gradients = tuple(map(torch.zeros_like, params))
    minus_one = table.new_full((len(params[0]), 1, 1), -1.0)
    for batch in batches(data, table, CHUNK_ROWS):
        share = (batch.share * (batch.total / total)).to(table.dtype)
        batch = batch._replace(share=share, total=total)
        logits, slopes = network.gradients(params, batch, share_of_penalty, ())
        loss += summed_loss(network, [logits], [batch])
        for sum_, slope in zip(gradients, slopes, strict=True):
            subtract(sum_, slope, minus_one)
    return loss / total, gradients


def _options(plan: Plan) -> dict[str, Any]:
    """As scikit-learn sets them, or neither would reach the other's minimum."""
    options = {
        "maxiter": plan.epochs,
        "maxfun": plan.max_fun,
        "maxls": 50,
        "gtol": max(plan.tol, 0.0),
        "ftol": plan.ftol if plan.tol >= 0 else 0.0,
    }
    return {"method": "L-BFGS-B", "options": options}


def _flatten(params: Params) -> np.ndarray:
    """All parameters in one float64 vector on the host."""
    return torch.cat([p.flatten() for p in params]).double().cpu().numpy()


def _unflatten(flat: np.ndarray, like: Params) -> Params:
    """The inverse of `_flatten`, in the shapes, dtype and place of ``like``."""
    parts = torch.from_numpy(flat).to(like[0]).split([p.numel() for p in like])
    return tuple(part.view_as(p) for part, p in zip(parts, like, strict=True))
