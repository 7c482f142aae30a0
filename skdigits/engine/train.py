"""Training K networks by mini-batches, each until it stops by its own rule."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from skdigits.engine.batches import batches, n_batches, row_order
from skdigits.engine.losses import target_table
from skdigits.engine.optimizers import bias_corrections, initial_moments, step_of
from skdigits.engine.schedules import SCHEDULES
from skdigits.engine.stopping import initial_stopping, update_stopping
from skdigits.engine.types import (
    Data,
    Epoch,
    Hyper,
    Network,
    OnEpoch,
    Params,
    Plan,
    Progress,
    Run,
    State,
)

EVALUATION_ROWS = 2048


class _Field(NamedTuple):
    """The models that are still training.

    Their numbers (K,), their hyper-parameters on the host and beside the parameters, their
    state, and the parameters to return to.
    """

    models: Tensor
    hyper: Hyper
    local: Hyper
    state: State
    best: Params

    def take(self, which: Tensor) -> "_Field":
        hyper, like = self.hyper.take(which), self.best[0]
        best = tuple(p[which.to(like.device)] for p in self.best)
        state = self.state.take(which)
        return _Field(self.models[which], hyper, hyper.to(like), state, best)


def initial_state(
    network: Network, solver: str, rng: np.random.RandomState, n_models: int, like: Tensor
) -> State:
    """Untrained models, in the dtype and on the device of ``like``."""
    return fresh_state(network.initial(rng, n_models, like), solver)


def fresh_state(params: Params, solver: str) -> State:
    """A state with these parameters and no past."""
    moments = initial_moments(solver, params)
    return State(params, moments, initial_stopping(len(params[0])), Progress())


@torch.inference_mode()
def train(
    network: Network,
    data: Data,
    plan: Plan,
    hyper: Hyper,
    state: State,
    rng: np.random.RandomState,
    validation: Data | None = None,
    on_epoch: OnEpoch | None = None,
) -> list[Run]:
    """Train the K models of ``state`` on the same rows in the same order.

    A model that has stopped or diverged leaves the computation: the others go on
    untouched by it, at the price of those that are left.

    Parameters
    ----------
    network : Network
        What is trained.
    data : Data
        Rows to learn from.
    plan : Plan
        What all models have in common. With ``early_stopping`` a model stops by its
        validation score and returns to its best epoch, otherwise it stops by its loss.
    hyper : Hyper
        What each has by itself.
    state : State
        Where to go on.
    rng : RandomState
        Shuffles the rows.
    validation : Data, optional
        Rows to measure by after every epoch.
    on_epoch : callable, optional
        Receives each model's record after every epoch.

    Returns
    -------
    list of Run
        One per model, in their order.
    """
    table = target_table(network.n_classes, plan.label_smoothing, state.params[0])
    generator = Generator(table.device) if hyper.dropout.any() else None
    if plan.early_stopping and state.progress.epochs:
        # What was best is best by these rows, which may be others than before.
        _, score = _measure(network, state.params, validation, table)
        state = state._replace(stopping=state.stopping._replace(best=score))
    models = torch.arange(len(state.params[0]), device="cpu")
    field = _Field(models, hyper, hyper.to(table), state, state.params)
    records: list[list[Epoch]] = [[] for _ in models]
    runs: dict[int, Run] = {}
    start = time.perf_counter()
    for _ in range(plan.epochs):
        before, orders_before = field, rng.get_state()
        field, loss, rate = _epoch(network, data, table, plan, field, rng, generator)
        measured = _measure(network, field.state.params, validation, table)
        seconds = time.perf_counter() - start
        _record(records, field, on_epoch, rate, loss, *measured, seconds=seconds)
        diverged = ~(torch.isfinite(loss) & _finite(field.state.params))
        field, stopped = _judge(
            field, measured[1] if plan.early_stopping else -loss, rate, plan
        )
        if (leaving := diverged | stopped).any():
            runs |= _leave(before, diverged, "diverged", records, orders_before)
            runs |= _leave(field, stopped & ~diverged, "converged", records, rng.get_state())
            field = field.take(torch.nonzero(~leaving).flatten())
        if leaving.all():
            break
    everyone = torch.ones(len(field.models), dtype=torch.bool, device="cpu")
    runs |= _leave(field, everyone, "max_iter", records, rng.get_state())
    return [runs[model] for model in sorted(runs)]


def _epoch(
    network: Network,
    data: Data,
    table: Tensor,
    plan: Plan,
    field: _Field,
    rng: np.random.RandomState,
    generator: Generator | None,
) -> tuple[_Field, Tensor, Tensor]:
    """One pass over all rows; the mean objective and the last rate (K,) on the host."""
    progress, stopping = field.state.progress, field.state.stopping
    params, moments = _copy(field.state.params), tuple(map(_copy, field.state.moments))
    if generator is not None:
        generator.manual_seed(plan.dropout_seed + progress.epochs)
    order = row_order(rng, len(data.X), plan.batch_size, plan.shuffle)
    steps = n_batches(len(data.X), plan.batch_size)
    rates, corrections = _step_sizes(plan, field, steps)
    hyper, step = field.local, step_of(plan, field.hyper)
    loss = torch.zeros(len(field.models), dtype=torch.float64, device=table.device)
    seen: Tensor | float = 0.0
    for batch, rate, correction in zip(
        batches(data, table, plan.batch_size, order),
        rates.to(table).view(steps, -1, 1, 1).unbind(),
        corrections.to(table).view(steps, -1, 1, 1).unbind(),
        strict=True,
    ):
        batch_loss, gradients = network.loss_and_gradients(params, batch, hyper, generator)
        step(params, moments, gradients, hyper, rate, correction)
        loss += batch_loss.double() * batch.total
        seen += batch.total
    progress = Progress(
        progress.epochs + 1,
        progress.steps + steps,
        progress.seen + float(seen),
        progress.cycle + steps,
    )
    state = State(params, moments, stopping, progress)
    return field._replace(state=state), (loss / seen).cpu(), rates[-1]


def _copy(params: Params) -> Params:
    """A copy to be written to: what there was is needed where an epoch diverges."""
    return tuple(p.clone() for p in params)


def _step_sizes(plan: Plan, field: _Field, steps: int) -> tuple[Tensor, Tensor]:
    """Learning rates and Adam's corrections (steps, K) of the coming epoch."""
    progress = field.state.progress
    rates = SCHEDULES[plan.schedule](
        field.hyper, progress, steps, plan.max_iter, field.state.stopping.divisions
    )
    corrections = bias_corrections(field.hyper, progress.steps + 1, steps)
    return rates.expand(steps, -1).contiguous(), corrections


def _measure(
    network: Network, params: Params, validation: Data | None, table: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean loss and accuracy (K,) on the validation rows, NaN where there are none."""
    if validation is None:
        nothing = torch.full((len(params[0]),), torch.nan, dtype=torch.float64, device="cpu")
        return nothing, nothing
    sums = torch.zeros(2, len(params[0]), dtype=torch.float64, device="cpu")
    seen = 0.0
    for batch in batches(validation, table, EVALUATION_ROWS):
        means = torch.stack([mean.double() for mean in network.evaluate(params, batch)])
        sums += means.cpu() * float(batch.total)
        seen += float(batch.total)
    loss, score = sums / seen
    return loss, score


def _judge(field: _Field, merit: Tensor, rate: Tensor, plan: Plan) -> tuple[_Field, Tensor]:
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
    field: _Field,
    which: Tensor,
    status: str,
    records: list[list[Epoch]],
    orders: Any,
) -> Iterator[tuple[int, Run]]:
    """The runs of those models (K,) bool that end here; ``orders``, the generator's state."""
    for k in torch.nonzero(which).flatten().tolist():
        chosen = field.take(torch.tensor([k], device="cpu"))
        model, state = int(chosen.models), chosen.state._replace(params=chosen.best)
        rng = np.random.RandomState()
        rng.set_state(orders)
        yield model, Run(state, records[model], status, rng)


def _record(
    records: list[list[Epoch]],
    field: _Field,
    on_epoch: OnEpoch | None,
    rate: Tensor,
    loss: Tensor,
    validation_loss: Tensor,
    validation_score: Tensor,
    seconds: float,
) -> None:
    """Add an epoch to every model's record and tell who wants to know."""
    columns = torch.stack([rate, loss, validation_loss, validation_score], 1).tolist()
    for model, values in zip(field.models.tolist(), columns, strict=True):
        epoch = Epoch._make([field.state.progress.epochs, *values, seconds])
        records[model].append(epoch)
        if on_epoch is not None:
            on_epoch(model, epoch)


def _finite(params: Params) -> Tensor:
    """Which models (K,) have parameters of finite norm: none that is of any use has not."""
    norms = torch.stack([torch.linalg.vector_norm(p, dim=(1, 2)) for p in params])
    return norms.square().isfinite().all(0).cpu()
