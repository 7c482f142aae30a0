"""L-BFGS on the whole objective, by SciPy, one model after the other."""

import math
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor

from skdigits.engine.batches import Batch, Data, Targets, batches
from skdigits.engine.coordinates import Coordinates, coordinates_of, features_of
from skdigits.engine.evaluate import measure
from skdigits.engine.network import (
    Network,
    select,
    step_hyper,
)
from skdigits.engine.ranks import Ranks, own_part
from skdigits.engine.types import (
    Epoch,
    Going,
    Hyper,
    Latest,
    Observer,
    Params,
    Plan,
    RngState,
    Run,
    Score,
    State,
    StepHyper,
    Workers,
)

STATUS = {0: "converged", 1: "max_iter", 2: "abnormal"}  # SciPy's codes
ROUNDING = 8  # times the resolution of a dtype: a gradient so small is rounding alone


class Objective(NamedTuple):
    """The objective of one model, as SciPy wants it.

    ``whole`` holds all samples as one batch, or is None if they are too many. With
    ``ranks``, samples are those of this process, and ``total`` is the weight of all.
    """

    network: Network
    coordinates: Coordinates
    data: Data
    targets: Targets
    hyper: StepHyper
    workers: Workers | None
    whole: Batch | None
    total: Tensor | float | None = None
    ranks: Ranks | None = None

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the objective and its gradient by a vector of all parameters."""
        params = self.coordinates.params(vector)
        loss, slopes = objective_and_gradients(
            self.network,
            params,
            self.data,
            self.targets,
            self.hyper,
            self.workers,
            self.whole,
            self.total,
            self.ranks,
        )
        return loss.item(), self.coordinates.gradient(slopes)


class _Iterations:
    """Records the iterations of one model, and stops it if an observer wants to."""

    def __init__(
        self,
        start: State,
        coordinates: Coordinates,
        evaluate: Callable[..., tuple[Tensor, Tensor]] | None,
        observe: Callable[..., Collection[int]] | None,
        rng_state: RngState,
        past: Run | None = None,
        latest: Latest | None = None,
        ranks: Ranks | None = None,
    ):
        self.start = start
        self.coordinates = coordinates
        self.evaluate = evaluate
        self.observe = observe
        self.rng_state = rng_state
        self.past = past.epochs if past is not None else []
        self.latest = latest or Latest()
        self.ranks = ranks
        self.began = time.perf_counter()
        self.epochs: list[Epoch] = []
        self.evaluations: list[tuple[float, np.ndarray]] = []
        self.stopped = False

        if past is not None and past.going is not None:
            self.evaluations = list(past.going.evaluations)
            self.began -= past.epochs[-1].seconds

    def __call__(self, intermediate_result: OptimizeResult) -> None:
        """Record an iteration; SciPy calls this, and knows the argument's name."""
        n_epochs = len(self.epochs)
        if n_epochs < len(self.past):
            self.epochs.append(self.past[n_epochs])
            return

        # A copy, as SciPy goes on writing to its own.
        vector = intermediate_result.x.copy()
        params: Params = ()
        if self.evaluate is not None or self.observe is not None:
            params = self.coordinates.params(vector)
        nothing = math.nan
        seconds = time.perf_counter() - self.began
        if self.ranks is not None:
            seconds = self.ranks.first(seconds)
        epoch = Epoch(
            epoch=self.start.progress.epochs + n_epochs + 1,
            learning_rate=nothing,
            train_loss=float(intermediate_result.fun),
            validation_loss=nothing,
            validation_score=nothing,
            seconds=seconds,
        )
        if self.evaluate is not None:
            so_far = partial(self._so_far, vector, [*self.epochs, epoch])
            loss, score = self.evaluate(params, runs=so_far)
            epoch = epoch._replace(
                validation_loss=loss.item(), validation_score=score.item()
            )
        self.epochs.append(epoch)
        so_far = partial(self._so_far, vector, self.epochs[:], self.evaluations[:])
        self.latest.runs = so_far

        if self.observe is not None:
            self.stopped = bool(self.observe([epoch], params, so_far))
        if self.stopped:
            raise StopIteration

    def _so_far(
        self,
        vector: np.ndarray,
        epochs: list[Epoch],
        evaluations: Sequence[tuple[float, np.ndarray]] = (),
    ) -> list[Run]:
        """Return the run as if it were interrupted after these epochs."""
        going = Going(self.start.params, evaluations) if evaluations else None
        state = _after(self.start, self.coordinates.params(vector), len(epochs))
        return [Run(state, epochs, "interrupted", self.rng_state, going)]


@torch.inference_mode()
def minimise(
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
    """Bring every model of ``state`` to a minimum of its objective.

    Arguments and result are those of `skdigits.engine.train.train`. The objective is
    that of all samples: learning rates, batches, ``rngs`` and dropout have no effect. A
    model stops by its gradient, at ``max |g| ≤ tol``. Validation samples are evaluated
    after every iteration, and nothing depends on them. ``workers`` share the chunks of
    samples, and the result is the same for any number of them. The gradient of a linear
    model is that by `Coordinates`, which do not depend on the scale of features.
    """
    targets = network.targets(plan.label_smoothing, state.params[0])
    evaluate = None
    if validation is not None:
        given: dict[str, Any] = {
            "validation": validation,
            "targets": targets,
            "score": score,
        }
        evaluate = partial(measure, network, **given, ranks=ranks)
    n_models = len(state.params[0])
    runs: list[Run] = []
    for replica, rng in enumerate(rngs):
        samples = data.replica(replica) if ranks is None else own_part(ranks, data)
        total = _total(samples if ranks is None else data)
        features = features_of(network, samples, targets, ranks)
        whole = None
        if 0 < len(samples.X) <= network.chunk_samples(samples.X.device):
            # All evaluations see one batch: it is made once.
            whole = _batch(network, samples, targets, total)

        for _ in range(n_models // len(rngs)):
            one = torch.tensor([len(runs)], device="cpu")
            start = select(state, one)
            settings = select(hyper, one)
            local = step_hyper(settings, plan, start.params)
            if local.alpha is not None:
                # Weights of any size make an automatic alpha of any size.
                alpha = settings.alpha.to(start.params[0].device).view(1, 1, 1)
                local = local._replace(alpha=alpha)
            coordinates = coordinates_of(network, start.params, features, local)
            rest = (targets, local, workers, whole, total, ranks)
            objective = Objective(network, coordinates, samples, *rest)
            observe = None if observer is None else partial(observer, [len(runs)])
            followed = (observe, rng.get_state(), past, latest, ranks)
            iterations = _Iterations(start, coordinates, evaluate, *followed)

            own, status = _minimise_one(objective, plan, iterations)
            runs.append(Run(own, iterations.epochs, status, rng.get_state()))
    return runs


def _minimise_one(
    objective: Objective, plan: Plan, iterations: _Iterations
) -> tuple[State, str]:
    """Return the state of one model at its minimum, and the status of its run."""
    state = iterations.start
    known = iter(iterations.evaluations[:])

    def recorded(vector: np.ndarray) -> tuple[float, np.ndarray]:
        # SciPy's memory follows from what it has seen before, so it sees it again.
        for before in known:
            return before
        found = objective(vector)
        if iterations.latest.save is not None:
            iterations.evaluations.append(found)
        return found

    result = minimize(
        recorded,
        objective.coordinates.vector(state.params),
        method="L-BFGS-B",
        jac=True,
        callback=iterations,
        options=_options(plan),
    )
    status = "stopped" if iterations.stopped else STATUS[result.status]
    rounding = ROUNDING * torch.finfo(state.params[0].dtype).eps
    if status == "abnormal" and abs(result.jac).max() <= rounding:
        status = "converged"

    # Without an iteration it started at the minimum: that is its only record.
    if not iterations.epochs:
        with suppress(StopIteration):
            iterations(result)
    if not math.isfinite(result.fun):
        return state, "diverged"
    params = objective.coordinates.params(result.x)
    return _after(state, params, len(iterations.epochs)), status


def _after(start: State, params: Params, n_epochs: int) -> State:
    """Return the state of a model that has come from a start to these parameters."""
    epochs = start.progress.epochs + n_epochs
    return start._replace(
        params=params, progress=start.progress._replace(epochs=epochs)
    )


@torch.inference_mode()
def objective_and_gradients(
    network: Network,
    params: Params,
    data: Data,
    targets: Targets,
    hyper: StepHyper,
    workers: Workers | None = None,
    whole: Batch | None = None,
    total: Tensor | float | None = None,
    ranks: Ranks | None = None,
) -> tuple[Tensor, Params]:
    """Return the objective (K,) on all samples, and its gradients.

    Both are float64, whatever the samples are: in float32 the line search would get
    lost in the rounding. ``whole`` are all samples as one batch. With ``ranks``, the
    data are those of this process, and ``total`` is the weight of the samples of all.
    """
    total = _total(data) if total is None else total
    # The penalty is added to the sums: alpha may overflow the dtype of a chunk.
    bare = hyper._replace(alpha=None)
    if whole is not None:
        logits, parts = network.gradients(params, whole, bare, ())
        loss = network.total_loss([logits], [whole])
        gradients = tuple(part.to_dense().double() for part in parts)
    elif len(data.X):
        loss, gradients = _by_chunks(
            network, params, data, targets, bare, workers, total
        )
    else:  # a process may have no samples
        gradients = tuple(torch.zeros_like(p, dtype=torch.float64) for p in params)
        loss = gradients[0].new_zeros(len(params[0]))

    if ranks is not None:
        loss, *slopes = ranks.summed([loss, *gradients])
        gradients = tuple(slopes)
    if hyper.alpha is not None:
        loss = loss + _penalty(network, params, hyper.alpha, total)
        _add_slopes_of_penalty(network, params, hyper.alpha, total, gradients)
    return loss / total, gradients


def _by_chunks(
    network: Network,
    params: Params,
    data: Data,
    targets: Targets,
    hyper: StepHyper,
    workers: Workers | None,
    total: Tensor | float,
) -> tuple[Tensor, Params]:
    """Return the loss (K,) of all samples and its gradients, without a penalty."""
    size = network.chunk_samples(data.X.device)
    chunks = [slice(start, start + size) for start in range(0, len(data.X), size)]

    # Reused: memory that threads allocate and free piles up in their heaps.
    memories: SimpleQueue[Tensor | None] = SimpleQueue()
    in_place = data.lies_in(targets.levels.dtype)
    for _ in range(1 if workers is None else workers.number):
        shape = (size, data.X.shape[1])
        memories.put(None if in_place else targets.levels.new_empty(shape))

    of_chunk = partial(
        _of_chunk, network, params, hyper, total, data, targets, memories
    )
    # In their order: the sums are the same, however many threads there are.
    each = map if workers is None else workers.each
    losses = []
    gradients: Params = ()
    for one, slopes in each(of_chunk, chunks):
        losses.append(one)
        for total_slope, slope in zip(gradients, slopes, strict=False):
            total_slope += slope
        gradients = gradients or tuple(slope.double() for slope in slopes)
    return torch.stack(losses).sum(0), gradients


@torch.inference_mode()  # the mode belongs to the thread
def _of_chunk(
    network: Network,
    params: Params,
    hyper: StepHyper,
    total: Tensor | float,
    data: Data,
    targets: Targets,
    memories: SimpleQueue[Tensor | None],
    chunk: slice,
) -> tuple[Tensor, Params]:
    """Return the loss (K,) of a chunk, and its part of the gradients."""
    memory = memories.get()
    try:
        # Made where it is used: pixels become floats on all cores, and few wait in
        # memory.
        batch = _batch(network, data.take(chunk, memory), targets, total)
        logits, slopes = network.gradients(params, batch, hyper, ())
        loss = network.total_loss([logits], [batch])
        return loss, tuple(slope.to_dense() for slope in slopes)
    finally:
        memories.put(memory)


def _total(data: Data) -> Tensor | float:
    """Return the weight of all samples."""
    return len(data.codes) if data.weight is None else data.weight.sum()


def _batch(
    network: Network, data: Data, targets: Targets, total: Tensor | float
) -> Batch:
    """Return samples as one batch, whose weights are parts of a total."""
    (batch,) = batches(data, targets, network.chunk_samples(data.X.device))
    fraction = batch.normalised_weight * (batch.total_weight / total)
    return batch._replace(
        normalised_weight=fraction.to(batch.targets.dtype), total_weight=total
    )


def _penalty(
    network: Network, params: Params, alpha: Tensor, total: Tensor | float
) -> Tensor:
    """Return the penalty (K,), times the total weight of all samples, in float64."""
    # In float64, for the line search compares objectives to the last digits.
    squares = [
        weight.double().square().sum((1, 2)) for weight in params[network.penalised]
    ]
    penalty = sum(squares[1:], squares[0]) * alpha.view(-1).mul(0.5)
    return penalty if network.penalty_per_sample else penalty * total


def _add_slopes_of_penalty(
    network: Network,
    params: Params,
    alpha: Tensor,
    total: Tensor | float,
    gradients: Params,
) -> None:
    """Add the gradient of the penalty to gradients in float64."""
    strength = alpha.double()
    if network.penalty_per_sample:
        strength = strength / total
    weights = params[network.penalised]
    for weight, slope in zip(weights, gradients[network.penalised], strict=True):
        slope.addcmul_(weight.double(), strength)


def _options(plan: Plan) -> dict[str, Any]:
    """Return SciPy's options, set as in scikit-learn: both then reach one minimum."""
    return {
        "maxiter": plan.epochs,
        "maxfun": plan.max_fun,
        "maxls": 50,
        "gtol": max(plan.tol, 0.0),
        "ftol": plan.ftol if plan.tol >= 0 else 0.0,
    }
