"""Training of K networks by mini-batches, each until its own stopping rule ends it."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from skdigits.engine.active import ActiveModels, Replicas, without
from skdigits.engine.batches import (
    Batch,
    Data,
    Targets,
    batches,
    block_size,
    sample_orders,
)
from skdigits.engine.evaluate import measure, monitored_score
from skdigits.engine.network import Network, select, step_hyper
from skdigits.engine.ranks import Exchange, Ranks
from skdigits.engine.replay import (
    LEAST_BLOCKS,
    REPLAYED,
    Rest,
    StepBlock,
    blocks_of,
    step_block,
)
from skdigits.engine.schedules import SCHEDULES, SMALLEST_RATE
from skdigits.engine.solvers import (
    SOLVERS,
    Steps,
    bias_corrections,
    moving,
    take_steps,
)
from skdigits.engine.types import (
    Distort,
    Epoch,
    Going,
    Hyper,
    Latest,
    Observer,
    Params,
    Plan,
    Progress,
    RngState,
    Run,
    Score,
    State,
    Stopping,
    Workers,
)

DISTORTION_SEEDS = 2**31  # first seed of distortions; smaller seeds are for dropout


class Problem(NamedTuple):
    """The settings of training that stay the same from epoch to epoch.

    ``draw`` draws batches of samples, as `batches`, or the part of each for one of
    ``ranks``, for which ``exchange`` adds up the gradients.
    """

    network: Network
    plan: Plan
    targets: Targets
    score: Score | None
    draw: Callable[..., Iterator[Batch]]
    ranks: Ranks | None = None
    exchange: Exchange | None = None


class EpochOutcome(NamedTuple):
    """Results of an epoch, each of shape (K,) on the host.

    ``diverged`` and ``stopped`` say which models end.
    """

    learning_rate: Tensor
    loss: Tensor
    validation_loss: Tensor
    validation_score: Tensor
    diverged: Tensor
    stopped: Tensor


def fresh_state(params: Params, solver: str) -> State:
    """Return the state of models that have these parameters and no training yet."""
    n_moments = SOLVERS[solver].n_moments
    moments = tuple(tuple(map(torch.zeros_like, params)) for _ in range(n_moments))
    zeros = torch.zeros(len(params[0]), dtype=torch.float64, device="cpu")
    stopping = Stopping(zeros - torch.inf, zeros, zeros)
    return State(params, moments, stopping, Progress(zeros))


@torch.inference_mode()  # the mode belongs to the thread
def train(
    network: Network,
    data: Data,
    plan: Plan,
    hyper: Hyper,
    state: State,
    rngs: Sequence[np.random.RandomState],
    validation: Data | None = None,
    observer: Observer | None = None,
    score: Score | None = None,
    workers: Workers | None = None,
    past: Run | None = None,
    latest: Latest | None = None,
    ranks: Ranks | None = None,
) -> list[Run]:
    """Train the K models of ``state``.

    The models of a replica see the same samples in the same order. A model ends when it
    stops or diverges, and the others continue unaffected. An ended model leaves the
    computation when all models of its replica, or the models with its setting in all
    replicas, have ended.

    Parameters
    ----------
    network : Network
        Architecture of the models.
    data : Data
        Training samples, in R replicas. The first K / R models belong to the first
        replica, and so on.
    plan : Plan
        Settings that all models share. With ``early_stopping``, a model stops by its
        validation score or loss and returns to its best epoch. Otherwise, it stops by
        its training loss.
    hyper : Hyper
        Settings of each model.
    state : State
        State of the models from which to continue.
    rngs : sequence of RandomState
        Generators of sample orders, one per replica; training advances them.
    validation : Data, optional
        Validation samples for every epoch, in R replicas or in one replica for all.
    observer : Observer, optional
        Function that follows the epochs, and may stop models.
    score : callable, optional
        Validation score that replaces the accuracy.
    workers : Workers, optional
        Threads that gather the samples of batches ahead of the steps.
    past : Run, optional
        Run of a single model, which continues as if it had never stopped.
    latest : Latest, optional
        Holder of the last complete epoch of a single model.
    ranks : Ranks, optional
        Processes that train a single model together, and call this with the same
        arguments, other than X if it is in shards.

    Returns
    -------
    list of Run
        One run per model, in their order.
    """
    targets = network.targets(plan.label_smoothing, state.params[0])
    draw = partial(batches, targets=targets, batch_size=plan.batch_size, ahead=workers)
    exchange = None if ranks is None else Exchange(ranks, state.params)
    if exchange is not None:
        draw = partial(exchange.batches, **draw.keywords)
    problem = Problem(network, plan, targets, score, draw, ranks, exchange)
    active = _all_models(problem, data, validation, hyper, state, rngs, past)
    records: list[list[Epoch]] = [[] for _ in range(active.numbers.numel())]
    runs: dict[int, Run] = {}
    # Saving the state of a generator is slow, so do it only if epochs draw an order.
    draws = plan.shuffle and data.n_samples > plan.batch_size
    rng_states = None
    began = time.perf_counter()
    if past is not None:
        records = [list(past.epochs)]
        began -= past.epochs[-1].seconds
    latest = latest or Latest()
    so_far = None

    for _ in range(len(records[0]), plan.epochs):
        if draws:
            rng_states = [rng.get_state() for rng in active.replicas.rngs]
            if so_far is not None:
                # An interrupted epoch may have drawn an order: keep the earlier states.
                latest.runs = partial(so_far, rng_states)
        after, outcome = _epoch(problem, active, records)
        epochs = _record(records, after, outcome, time.perf_counter() - began, ranks)
        so_far = partial(_so_far, active, after, outcome, records, rng_states)
        latest.runs = so_far
        diverged = outcome.diverged
        to_stop = torch.zeros_like(diverged)
        if observer is not None:
            to_stop = _observe(observer, epochs, active, after, diverged, so_far)
        ended = diverged | outcome.stopped | to_stop
        if ended.any():
            # A diverged model returns to its state before this epoch, including its
            # generator.
            converged = outcome.stopped & ~diverged & ~to_stop
            runs |= _leave(active, diverged, "diverged", records, rng_states)
            runs |= _leave(after, converged, "converged", records)
            runs |= _leave(after, to_stop & ~diverged, "stopped", records)
            if len(runs) == len(records):
                return [runs[number] for number in sorted(runs)]
            after = without(after, ended.view_as(after.running))
        # Observers and scorers may keep references to the parameters.
        seen = observer is not None or score is not None
        active = after._replace(spare=None) if seen else after

    runs |= _leave(active, active.running.flatten(), "max_iter", records)
    return [runs[number] for number in sorted(runs)]


def _all_models(
    problem: Problem,
    data: Data,
    validation: Data | None,
    hyper: Hyper,
    state: State,
    rngs: Sequence[np.random.RandomState],
    past: Run | None = None,
) -> ActiveModels:
    """Return the K models of a state, the same number in each replica of the data."""
    plan = problem.plan
    device = state.params[0].device
    numbers = torch.arange(len(state.params[0]), device="cpu").view(len(rngs), -1)

    whole_batch = []
    if data.n_samples <= plan.batch_size and plan.distort is None:
        # Every step sees the same batch, so gather it once.
        whole_batch = list(problem.draw(data, models_per_replica=numbers.shape[1]))
    replicas = Replicas(
        data,
        validation,
        list(rngs),
        [Generator(device) for _ in rngs if hyper.dropout.any()],
        [Generator(device) for _ in rngs if plan.distort is not None],
        plan.noise_seeds,
        whole_batch,
    )

    totals = torch.full((len(rngs),), data.n_samples, dtype=torch.float64, device="cpu")
    if data.weight is not None:
        weight = (
            data.weight[None] if data.samples is None else data.weight[data.samples]
        )
        totals = weight.sum(1)

    local = step_hyper(hyper, plan, state.params)
    if problem.ranks is not None and local.alpha is not None:
        # Each rank adds its share of the penalty.
        local = local._replace(alpha=local.alpha / problem.ranks.world)

    best = state.params
    if past is not None:
        best = past.state.params
    elif plan.early_stopping and state.progress.epochs and validation is not None:
        state = _with_present_best(problem, validation, state)
    return ActiveModels(
        numbers,
        torch.ones_like(numbers, dtype=torch.bool),
        totals.cpu().repeat_interleave(numbers.shape[1]),
        replicas,
        hyper,
        local,
        state,
        best,
    )


def _with_present_best(problem: Problem, validation: Data, state: State) -> State:
    """Return a resumed state with its best score computed on these samples.

    The validation samples may have changed, so the old best score does not apply.
    """
    measured = measure(
        problem.network,
        state.params,
        validation,
        problem.targets,
        problem.score,
        ranks=problem.ranks,
    )
    best = monitored_score(problem.plan, *measured)
    return state._replace(stopping=state.stopping._replace(best=best))


def _epoch(
    problem: Problem, active: ActiveModels, records: list[list[Epoch]]
) -> tuple[ActiveModels, EpochOutcome]:
    """Train for one epoch; an interrupt leaves the state of ``active`` unchanged."""
    plan = problem.plan
    after, loss, rate = _learn(problem, active)
    params = after.state.params

    validation = active.replicas.validation
    if validation is None:
        measured = (torch.full_like(loss, torch.nan),) * 2
    else:
        measured = measure(
            problem.network,
            params,
            validation,
            problem.targets,
            problem.score,
            partial(_unscored, after, loss, rate, records),
            problem.ranks,
        )
    # Squares of parameters may overflow in the next step although this loss is finite.
    parts = params
    if len(loss) == 1 and after.moving is not None and after.moving.joint:
        parts = after.moving.joint[0]
    norms = torch.stack([torch.linalg.vector_norm(p, dim=(1, 2)) for p in parts])
    finite = (norms < math.sqrt(torch.finfo(norms.dtype).max)).all(0).cpu()
    diverged = ~((loss.abs() < torch.inf) & finite)

    monitored = monitored_score(plan, *measured) if plan.early_stopping else -loss
    stopping, improved, stopped = update_stopping(
        active.state.stopping, monitored, rate, plan
    )
    best = params
    if plan.early_stopping:
        improved = improved.to(best[0].device).view(-1, 1, 1)
        pairs = zip(params, active.best, strict=True)
        best = tuple(torch.where(improved, new, old) for new, old in pairs)

    state = after.state._replace(stopping=stopping)
    outcome = EpochOutcome(rate, loss, *measured, diverged, stopped)
    return after._replace(state=state, best=best), outcome


def _learn(
    problem: Problem, active: ActiveModels
) -> tuple[ActiveModels, Tensor, Tensor]:
    """Pass once over all samples.

    Return the models afterwards, the mean objective (K,) and the learning rate (K,) of
    the last step.
    """
    plan = problem.plan
    replicas = active.replicas
    data = replicas.data
    solver = SOLVERS[plan.solver]
    progress = active.state.progress

    # Keep the original parameters in case the epoch diverges.
    numbers = moving(active.state, active.local, active.moving, active.spare)
    if replicas.dropout or replicas.distortion:
        _seed_noise(replicas, progress.epochs)
    distort = plan.distort and partial(_distorted, plan.distort, replicas.distortion)

    n_steps = math.ceil(data.n_samples / plan.batch_size)
    rates = active.hyper.learning_rate_init[None]
    schedule = SCHEDULES[plan.learning_rate]
    if schedule is not None:
        reductions = active.state.stopping.n_lr_reductions
        rates = schedule(active.hyper, progress, n_steps, plan.max_iter, reductions)
    sizes = rates * bias_corrections(solver, active.hyper, progress.steps + 1, n_steps)

    order = sample_orders(replicas.rngs, data, plan.batch_size, plan.shuffle)
    width = active.running.shape[1]
    draw = partial(problem.draw, models_per_replica=width, distort=distort)
    most = block_size(data, problem.targets, plan.batch_size)
    reduce = None if problem.exchange is None else problem.exchange.sums
    steps = Steps(problem.network, solver, active.local, replicas.dropout, reduce)
    left = Rest(data, order, rates, sizes)
    objective = torch.zeros_like(active.totals, device=data.X.device)
    block = active.block
    if block is None and data.X.device.type in REPLAYED and problem.ranks is None:
        block = _block_to_replay(active, plan, steps, draw, left, most)
    if block is not None:
        left = block.pass_over(numbers, left, objective)
    # A rank's part of a batch is valid until its gradients have been added up.
    at_once = min(n_steps, most) if problem.ranks is None else 1
    drawn = replicas.whole_batch or draw(left.data, order=left.order)
    take_steps(steps, numbers, drawn, left.rates, left.sizes, at_once, objective)
    objective = objective.cpu()
    if problem.ranks is not None:
        objective = problem.ranks.summed_on(numbers.params[0], objective)
    progress = Progress(
        progress.seen + active.totals,
        progress.epochs + 1,
        progress.steps + n_steps,
        progress.cycle + 1,
    )
    state = State(numbers.params, numbers.moments, active.state.stopping, progress)
    after = active._replace(state=state, moving=numbers, spare=active.moving)
    return after._replace(block=block), objective / active.totals, rates[-1]


def _block_to_replay(
    active: ActiveModels,
    plan: Plan,
    steps: Steps,
    draw: Callable[..., Iterator[Batch]],
    left: Rest,
    most: int,
) -> StepBlock | None:
    """Return a block of steps for pass after pass; None if one cannot be replayed."""
    X = left.data.X
    n_blocks, n_steps = blocks_of(left.data.n_samples, plan.batch_size, most)
    # Users' code has to be called each time, and sparse samples are read by the host.
    if plan.runs_users_code or not isinstance(X, Tensor):
        return None
    if n_steps < 2 or n_blocks * plan.epochs < LEAST_BLOCKS:
        return None

    numbers = moving(active.state, active.local)
    generators = [*active.replicas.dropout, *active.replicas.distortion]
    n_samples = n_steps * plan.batch_size
    return step_block(steps, draw, generators, numbers, left, n_steps, n_samples)


def _seed_noise(replicas: Replicas, epoch: int) -> None:
    """Seed the noise of an epoch by the number of the epoch and the noise seeds."""
    for generator, seed in zip(replicas.dropout, replicas.noise_seeds, strict=False):
        generator.manual_seed(seed + epoch)
    for generator, seed in zip(replicas.distortion, replicas.noise_seeds, strict=False):
        generator.manual_seed(seed + epoch + DISTORTION_SEEDS)


def _distorted(distort: Distort, generators: Sequence[Generator], X: Tensor) -> Tensor:
    """Distort samples (R, B, D), with one generator per replica."""
    pairs = zip(X, generators, strict=True)
    return torch.stack([distort(samples, generator) for samples, generator in pairs])


def update_stopping(
    state: Stopping, monitored: Tensor, rate: Tensor, plan: Plan
) -> tuple[Stopping, Tensor, Tensor]:
    """Update the stopping rule by the monitored score (K,) of an epoch.

    The rule is scikit-learn's. An epoch is an improvement if its score exceeds the best
    score by at least ``tol``. Training stalls after more than ``n_iter_no_change``
    consecutive epochs without an improvement. A stalled model stops, unless the
    adaptive schedule can still reduce its learning ``rate`` (K,).

    Returns
    -------
    Stopping
        State of the stopping rule after the epoch.
    improved, stops : Tensor of shape (K,) and dtype bool
        Which models have a new best score, and which models stop.
    """
    # On a few numbers, NumPy takes a third of torch's time.
    scores = monitored.numpy()
    best = state.best.numpy()
    n_waited = state.n_no_improvement.numpy()

    n_waited = np.where(scores < best + plan.tol, n_waited + 1, 0.0)
    stalled = n_waited > plan.n_iter_no_change
    stops = stalled
    reductions = state.n_lr_reductions
    if stalled.any():
        adaptive = plan.learning_rate == "adaptive"
        reduced = stalled & (rate.numpy() > SMALLEST_RATE) & adaptive
        reductions = reductions + torch.from_numpy(reduced)
        stops = stalled & ~reduced
        n_waited = np.where(stalled, 0.0, n_waited)

    best_now = torch.from_numpy(np.fmax(best, scores))
    new = Stopping(best_now, torch.from_numpy(n_waited), reductions)
    return new, torch.from_numpy(scores > best), torch.from_numpy(stops)


def _record(
    records: list[list[Epoch]],
    active: ActiveModels,
    outcome: EpochOutcome,
    seconds: float,
    ranks: Ranks | None = None,
) -> dict[int, Epoch]:
    """Add an epoch to the records of all running models; return it by model number."""
    if ranks is not None:
        seconds = ranks.first(seconds)
    epoch = active.state.progress.epochs
    columns = [active.numbers.flatten(), active.running.flatten(), *outcome[:4]]
    found = {}
    for number, running, *values in zip(*(c.tolist() for c in columns), strict=True):
        if running:
            found[number] = Epoch._make([epoch, *values, seconds])
            records[number].append(found[number])
    return found


def _observe(
    observer: Observer,
    epochs: dict[int, Epoch],
    before: ActiveModels,
    after: ActiveModels,
    diverged: Tensor,
    so_far: Callable[[], list[Run]],
) -> Tensor:
    """Call the observer after an epoch; return which models (K,) stop."""
    running = after.running.flatten()
    params = after.state.params
    if diverged.any():
        back = diverged.to(params[0].device).view(-1, 1, 1)
        pairs = zip(before.state.params, params, strict=True)
        params = tuple(torch.where(back, old, new) for old, new in pairs)
    if not running.all():
        params = select(params, running)

    to_stop = observer(list(epochs), list(epochs.values()), params, so_far)
    numbers = torch.tensor(list(to_stop), dtype=torch.int64, device="cpu")
    return torch.isin(after.numbers.flatten(), numbers)


def _so_far(
    before: ActiveModels,
    after: ActiveModels,
    outcome: EpochOutcome,
    records: list[list[Epoch]],
    states_before: Sequence[RngState] | None,
    states_after: Sequence[RngState] | None = None,
) -> list[Run]:
    """Return runs of all running models as if training were interrupted after an epoch.

    Models that diverged or converged have ended; the others can continue.
    """
    diverged = outcome.diverged
    ends = outcome.stopped & ~diverged
    goes_on = ~(diverged | ends)
    found = dict(_leave(before, diverged, "diverged", records, states_before))
    found |= _leave(after, ends, "converged", records, states_after)

    latest = after._replace(best=after.state.params)
    current = dict(_leave(latest, goes_on, "interrupted", records, states_after))
    for number, run in _leave(after, goes_on, "interrupted", records, states_after):
        going = Going(current[number].state.params)
        found[number] = run._replace(going=going)
    return [found[number] for number in sorted(found)]


def _unscored(
    after: ActiveModels, loss: Tensor, rate: Tensor, records: list[list[Epoch]]
) -> list[Run]:
    """Return runs of all models, including an epoch that has no score yet."""
    nothing = torch.full_like(loss, torch.nan)
    outcome = EpochOutcome(rate, loss, nothing, nothing, nothing > 0, nothing > 0)
    longer = [list(some) for some in records]
    whole = after._replace(
        running=torch.ones_like(after.running), best=after.state.params
    )
    _record(longer, whole, outcome, math.nan)
    return [
        run
        for _, run in _leave(
            whole, torch.ones_like(whole.running.flatten()), "interrupted", longer
        )
    ]


def _leave(
    active: ActiveModels,
    leaving: Tensor,
    status: str,
    records: list[list[Epoch]],
    rng_states: Sequence[RngState] | None = None,
) -> Iterator[tuple[int, Run]]:
    """Yield number and run of each running model that ends here.

    ``leaving`` (K,) says which models end. The models get ``rng_states``, one state of
    the generator of sample orders per replica. By default, these are the current
    states.
    """
    if rng_states is None:
        rng_states = [rng.get_state() for rng in active.replicas.rngs]
    state = active.state._replace(params=active.best)
    numbers = active.numbers.flatten().tolist()
    n_epochs = state.progress.epochs + (status == "diverged")
    for place in torch.nonzero(leaving & active.running.flatten()).flatten():
        number = numbers[place]
        rng_state = rng_states[place // active.running.shape[1]]
        own = select(state, place[None])
        # A later epoch may have been recorded before it was complete.
        epochs = [one for one in records[number] if one.epoch <= n_epochs]
        yield number, Run(own, epochs, status, rng_state)
