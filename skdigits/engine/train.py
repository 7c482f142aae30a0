"""Training K networks by mini-batches, each until it stops by its own rule."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from skdigits.engine.batches import (
    batches,
    block_rows,
    n_batches,
    row_orders,
    summed_loss,
)
from skdigits.engine.field import Field, all_models
from skdigits.engine.gradients import Gradients
from skdigits.engine.optimizers import bias_corrections, initial_moments, step_of
from skdigits.engine.schedules import SCHEDULES
from skdigits.engine.stopping import initial_stopping, update_stopping
from skdigits.engine.types import (
    Batch,
    Data,
    Distort,
    Epoch,
    Hyper,
    Network,
    OnEpoch,
    Params,
    Plan,
    Progress,
    Run,
    Score,
    State,
)
from skdigits.engine.validation import measure, validation_merit


def initial_state(
    network: Network,
    solver: str,
    rngs: Sequence[np.random.RandomState],
    n_models: int,
    like: Tensor,
) -> State:
    """Untrained models, the same number of each stream, in the dtype and place of ``like``."""
    drawn = [network.initial(rng, n_models // len(rngs), like) for rng in rngs]
    return fresh_state(
        tuple(torch.cat(params) for params in zip(*drawn, strict=True)), solver
    )


def fresh_state(params: Params, solver: str) -> State:
    """A state with these parameters and no past."""
    moments, n_models = initial_moments(solver, params), len(params[0])
    seen = torch.zeros(n_models, dtype=torch.float64, device="cpu")
    return State(params, moments, initial_stopping(n_models), Progress(seen))


@torch.inference_mode()
def train(
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
    """Train the K models of ``state``, those of a stream on the same rows in the same order.

    A model that has stopped or diverged leaves the computation: the others go on
    untouched by it, at the price of those that are left.

    Parameters
    ----------
    network : Network
        What is trained.
    data : Data
        Rows to learn from, in S streams; the first K / S models are those of the first.
    plan : Plan
        What all models have in common. With ``early_stopping`` a model stops by its
        validation score or loss and returns to its best epoch, otherwise it stops by its
        loss.
    hyper : Hyper
        What each has by itself.
    state : State
        Where to go on.
    rngs : sequence of RandomState
        One a stream; shuffles the rows.
    validation : Data, optional
        Rows to measure by after every epoch, in as many streams or in one for all.
    on_epoch : callable, optional
        Receives the records and parameters of all models after every epoch, and may ask
        some of them to stop.
    score : callable, optional
        Takes the place of the accuracy on the validation rows.

    Returns
    -------
    list of Run
        One per model, in their order. If the user interrupts, they are those of the last
        whole epoch; before the first there is none, and the interrupt goes on its way.
    """
    table = network.target_table(plan.label_smoothing, state.params[0])
    if plan.early_stopping and state.progress.epochs:
        # What was best is best by these rows, which may be others than before.
        measured = measure(network, state.params, validation, table, score)
        best = validation_merit(plan, *measured)
        state = state._replace(stopping=state.stopping._replace(best=best))
    field = all_models(data, validation, table, plan, hyper, state, rngs)
    records: list[list[Epoch]] = [[] for _ in range(field.models.numel())]
    runs: dict[int, Run] = {}
    draws = plan.shuffle and data.n_rows > plan.batch_size
    status, start = "max_iter", time.perf_counter()
    for _ in range(plan.epochs):
        before, orders = field, field.orders() if draws else []
        try:
            field, columns, diverged, stopped = _whole_epoch(
                network, table, plan, before, score
            )
        except KeyboardInterrupt:
            if not any(records):
                raise
            status = "interrupted"
            break
        epochs = _record(records, field, columns, time.perf_counter() - start)
        asked, why = _report(on_epoch, epochs, before, field, diverged)
        asked, stopped = asked & ~diverged, stopped & ~diverged
        ended = (diverged | stopped | asked).view_as(field.alive)
        if ended.any():
            runs |= _leave(
                before, diverged, "diverged", records, orders or field.orders()
            )
            runs |= _leave(
                field, stopped & ~asked, "converged", records, field.orders()
            )
            runs |= _leave(field, asked, why, records, field.orders())
            field = field.without(ended)
            if not field.alive.any():
                break
    orders = orders if status == "interrupted" and draws else field.orders()
    everyone = torch.ones(field.models.numel(), dtype=torch.bool, device="cpu")
    runs |= _leave(field, everyone, status, records, orders)
    return [runs[model] for model in sorted(runs)]


def _whole_epoch(
    network: Network, table: Tensor, plan: Plan, field: Field, score: Score | None
) -> tuple[Field, tuple[Tensor, ...], Tensor, Tensor]:
    """One epoch with all that belongs to it, of which nothing is done if it is interrupted.

    The models after it, what is to be recorded of it (K,) each, and which models (K,) have
    diverged and which are to stop.
    """
    field, loss, rate = _epoch(network, table, plan, field)
    params = field.state.params
    measured = measure(network, params, field.streams.validation, table, score)
    diverged = ~((loss.abs() < torch.inf) & _finite(params))
    merit = validation_merit(plan, *measured) if plan.early_stopping else -loss
    field, stopped = _judge(field, merit, rate, plan)
    return field, (rate, loss, *measured), diverged, stopped


def _epoch(
    network: Network, table: Tensor, plan: Plan, field: Field
) -> tuple[Field, Tensor, Tensor]:
    """One pass over all rows; the mean objective and the last rate (K,) on the host."""
    progress = field.state.progress
    data, streams = field.streams.data, field.streams
    params, moments = _copy(field.state.params), tuple(map(_copy, field.state.moments))
    streams.reseed(progress.epochs)
    distort = None
    if plan.distort is not None:
        distort = partial(_distorted, plan.distort, streams.distorting)
    order = row_orders(streams.rngs, data, plan.batch_size, plan.shuffle)
    steps = n_batches(data.n_rows, plan.batch_size)
    rates = _learning_rates(plan, field, steps)
    sizes = rates * bias_corrections(plan, field.hyper, progress.steps + 1, steps)
    per_stream = field.alive.shape[1]
    run = zip(
        streams.whole
        or batches(data, table, plan.batch_size, order, per_stream, distort),
        _each_step(rates, steps, table),
        _each_step(sizes, steps, table),
        strict=True,
    )
    step = partial(step_of(plan, field.hyper), params, moments)
    every = block_rows(data, plan.batch_size) // plan.batch_size
    objective = _take_steps(
        network, params, field.local, streams.dropping, step, run, every
    )
    progress = Progress(
        progress.seen + field.totals, progress.epochs + 1, progress.steps + steps,
        progress.cycle + 1,
    )  # fmt: skip
    state = State(params, moments, field.state.stopping, progress)
    return field._replace(state=state), objective / field.totals, rates[-1]


def _distorted(distort: Distort, generators: Sequence[Generator], X: Tensor) -> Tensor:
    """Rows (S, B, D) distorted, those of each stream by its own generator."""
    pairs = zip(X, generators, strict=True)
    return torch.stack([distort(rows, generator) for rows, generator in pairs])


def _take_steps(
    network: Network,
    params: Params,
    hyper: Hyper,
    generators: list[Generator],
    step: Callable[[Gradients, Hyper, Tensor, Tensor], None],
    run: Iterable[tuple[Batch, Tensor, Tensor]],
    every: int,
) -> Tensor:
    """Take a step for each batch; the objective (K,) on the host, summed over all rows.

    The losses are those of the logits that each step began with, computed for ``every``
    so many batches in one go: in the steps themselves only their gradients are needed.
    """
    logits, compared = [], []
    # A sum, not a list: a small tensor kept of each step breaks up the heap (by 100 MB).
    objective = torch.zeros(
        len(params[0]), dtype=torch.float64, device=params[0].device
    )
    for batch, rate, size in run:
        found, gradients = network.gradients(params, batch, hyper, generators)
        if hyper.alpha.numel():
            objective += network.penalty(params, hyper, batch.total)
        step(gradients, hyper, rate, size)
        logits.append(found)
        compared.append(batch)
        if len(logits) == every:
            objective += summed_loss(network, logits, compared)
            logits, compared = [], []
    if logits:
        objective += summed_loss(network, logits, compared)
    return objective.cpu()


def _copy(params: Params) -> Params:
    """A copy to be written to: what there was is needed where an epoch diverges."""
    return tuple(p.clone() for p in params)


def _learning_rates(plan: Plan, field: Field, steps: int) -> Tensor:
    """Of the coming epoch: (steps, K), or (1, K) where they stay the same."""
    divisions = field.state.stopping.divisions
    schedule = SCHEDULES[plan.schedule]
    return schedule(field.hyper, field.state.progress, steps, plan.max_iter, divisions)


def _each_step(values: Tensor, steps: int, like: Tensor) -> Sequence[Tensor]:
    """What holds in each step, (K, 1, 1), of values (steps, K) or (1, K) on the host."""
    local = values.to(like).view(*values.shape, 1, 1).unbind()
    return local * (steps // len(values))


def _judge(
    field: Field, merit: Tensor, rate: Tensor, plan: Plan
) -> tuple[Field, Tensor]:
    """Update the bookkeeping and the best parameters; which models (K,) are to stop."""
    state = field.state
    stopping, improved, stops = update_stopping(state.stopping, merit, rate, plan)
    best = state.params
    if plan.early_stopping:
        improved = improved.to(best[0].device).view(-1, 1, 1)
        pairs = zip(best, field.best, strict=True)
        best = tuple(torch.where(improved, new, old) for new, old in pairs)
    return field._replace(state=state._replace(stopping=stopping), best=best), stops


def _leave(
    field: Field,
    which: Tensor,
    status: str,
    records: list[list[Epoch]],
    orders: list[Any],
) -> Iterator[tuple[int, Run]]:
    """The runs of those models (K,) bool that end here; ``orders``, the generators' states."""
    width = field.alive.shape[1]
    for k in torch.nonzero(which & field.alive.flatten()).flatten():
        model, one = int(field.models.flatten()[k]), k[None]
        best = tuple(p[one.to(p.device)] for p in field.best)
        state = field.state.take(one)._replace(params=best)
        rng = np.random.RandomState()
        rng.set_state(orders[k // width])
        yield model, Run(state, records[model], status, rng)


def _record(
    records: list[list[Epoch]],
    field: Field,
    columns: tuple[Tensor, ...],
    seconds: float,
) -> dict[int, Epoch]:
    """Add an epoch to the record of every model that is alive; those epochs by model."""
    number, by_model = field.state.progress.epochs, {}
    rows = (column.tolist() for column in (field.models.flatten(), *columns))
    for alive, model, *values in zip(
        field.alive.flatten().tolist(), *rows, strict=True
    ):
        if alive:
            by_model[model] = Epoch._make([number, *values, seconds])
            records[model].append(by_model[model])
    return by_model


def _report(
    on_epoch: OnEpoch | None,
    epochs: dict[int, Epoch],
    before: Field,
    after: Field,
    diverged: Tensor,
) -> tuple[Tensor, str]:
    """Tell of an epoch; which models (K,) are asked to stop, and how they end.

    A model that diverged is what it was before.
    """
    alive, params = after.alive.flatten(), after.state.params
    if on_epoch is None:
        return torch.zeros_like(alive), "stopped"
    if diverged.any():
        back = diverged.to(params[0].device).view(-1, 1, 1)
        pairs = zip(before.state.params, params, strict=True)
        params = tuple(torch.where(back, old, new) for old, new in pairs)
    if not alive.all():
        params = tuple(p[alive.to(p.device)] for p in params)
    try:
        asked = on_epoch(list(epochs), list(epochs.values()), params)
    except KeyboardInterrupt:
        return torch.ones_like(alive), "interrupted"
    return torch.isin(
        after.models.flatten(),
        torch.tensor(list(asked), dtype=torch.int64, device="cpu"),
    ), "stopped"


def _finite(params: Params) -> Tensor:
    """Which models (K,) have parameters whose squares have a finite sum."""
    norms = torch.stack([torch.linalg.vector_norm(p, dim=(1, 2)) for p in params])
    return (norms < math.sqrt(torch.finfo(norms.dtype).max)).all(0).cpu()
