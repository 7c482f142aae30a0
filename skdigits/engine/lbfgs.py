"""L-BFGS on the whole objective, by SciPy, one model after the other."""

import math
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor

from skdigits.engine.batches import Data, Targets, batches
from skdigits.engine.evaluate import measure
from skdigits.engine.network import (
    Network,
    select,
    step_hyper,
)
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


class _Iterations:
    """Records the iterations of one model, and stops it if an observer wants to."""

    def __init__(
        self,
        start: State,
        evaluate: Callable[..., tuple[Tensor, Tensor]],
        observe: Callable[..., Collection[int]] | None,
        rng_state: RngState,
        past: Run | None = None,
        latest: Latest | None = None,
    ):
        self.start = start
        self.evaluate = evaluate
        self.observe = observe
        self.rng_state = rng_state
        self.past = past.epochs if past is not None else []
        self.latest = latest or Latest()
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
        params = _unflatten(intermediate_result.x.copy(), self.start.params)
        nothing = math.nan
        epoch = Epoch(
            epoch=self.start.progress.epochs + n_epochs + 1,
            learning_rate=nothing,
            train_loss=float(intermediate_result.fun),
            validation_loss=nothing,
            validation_score=nothing,
            seconds=time.perf_counter() - self.began,
        )
        loss, score = self.evaluate(
            params, partial(self._so_far, params, [*self.epochs, epoch])
        )
        epoch = epoch._replace(
            validation_loss=loss.item(), validation_score=score.item()
        )
        self.epochs.append(epoch)
        so_far = partial(self._so_far, params, self.epochs[:], self.evaluations[:])
        self.latest.runs = so_far

        if self.observe is not None:
            self.stopped = bool(self.observe([epoch], params, so_far))
        if self.stopped:
            raise StopIteration

    def _so_far(
        self,
        params: Params,
        epochs: list[Epoch],
        evaluations: Sequence[tuple[float, np.ndarray]] = (),
    ) -> list[Run]:
        """Return the run as if it were interrupted after these epochs."""
        going = Going(self.start.params, evaluations) if evaluations else None
        state = _after(self.start, params, len(epochs))
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
) -> list[Run]:
    """Bring every model of ``state`` to a minimum of its objective.

    Arguments and result are those of `skdigits.engine.train.train`. The objective is
    that of all samples: learning rates, batches, ``rngs`` and dropout have no effect. A
    model stops by its gradient, at ``max |g| ≤ tol``. Validation samples are evaluated
    after every iteration, and nothing depends on them. ``workers`` share the chunks of
    samples, and the result is the same for any number of them.
    """
    targets = network.targets(plan.label_smoothing, state.params[0])
    evaluate = partial(_measured, network, validation, targets, score)
    n_models = len(state.params[0])
    runs: list[Run] = []
    for replica, rng in enumerate(rngs):
        samples = data.replica(replica)
        for _ in range(n_models // len(rngs)):
            one = torch.tensor([len(runs)], device="cpu")
            observe = None if observer is None else partial(observer, [len(runs)])
            iterations = _Iterations(
                select(state, one), evaluate, observe, rng.get_state(), past, latest
            )

            own, status = _minimise_one(
                network, samples, targets, plan, select(hyper, one), iterations, workers
            )
            runs.append(Run(own, iterations.epochs, status, rng.get_state()))
    return runs


def _measured(
    network: Network,
    validation: Data | None,
    targets: Targets,
    score: Score | None,
    params: Params,
    runs: Callable[[], list[Run]] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return validation loss (1,) and score (1,), NaN without validation samples."""
    if validation is None:
        nothing = torch.full((1,), torch.nan, dtype=torch.float64, device="cpu")
        return nothing, nothing
    return measure(network, params, validation, targets, score, runs)


def _minimise_one(
    network: Network,
    data: Data,
    targets: Targets,
    plan: Plan,
    hyper: Hyper,
    iterations: _Iterations,
    workers: Workers | None,
) -> tuple[State, str]:
    """Return the state of one model at its minimum, and the status of its run."""
    state = iterations.start
    local = step_hyper(hyper, plan, state.params)
    known = iter(iterations.evaluations[:])

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        # SciPy's memory follows from what it has seen before, so it sees it again.
        for before in known:
            return before
        params = _unflatten(flat, state.params)
        loss, gradients = objective_and_gradients(
            network, params, data, targets, local, workers
        )
        found = (loss.item(), _flatten(gradients))
        if iterations.latest.for_later:
            iterations.evaluations.append(found)
        return found

    result = minimize(
        objective,
        _flatten(state.params),
        method="L-BFGS-B",
        jac=True,
        callback=iterations,
        options=_options(plan),
    )
    status = "stopped" if iterations.stopped else STATUS[result.status]

    # Without an iteration it started at the minimum: that is its only record.
    if not iterations.epochs:
        with suppress(StopIteration):
            iterations(result)
    if not math.isfinite(result.fun):
        return state, "diverged"
    params = _unflatten(result.x, state.params)
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
) -> tuple[Tensor, Params]:
    """Return the objective (K,) on all samples, and its gradients.

    The objective is float64, whatever the samples are: in float32 the line search would
    get lost in the rounding.
    """
    n_models = len(params[0])
    total = len(data.X) if data.weight is None else data.weight.sum()
    loss = torch.zeros(n_models, dtype=torch.float64, device=params[0].device)
    shared = hyper
    if hyper.alpha is not None:
        loss += _penalty(network, params, hyper.alpha, total)
        # Every chunk adds its part of the penalty's gradient.
        n_chunks = math.ceil(len(data.X) / network.chunk_samples)
        shared = hyper._replace(alpha=hyper.alpha / n_chunks)

    gradients = tuple(torch.zeros_like(p, dtype=torch.float64) for p in params)
    size = network.chunk_samples
    chunks = [slice(start, start + size) for start in range(0, len(data.X), size)]
    of_chunk = partial(_of_chunk, network, params, shared, total, data, targets)
    # In their order: the sums are the same, however many threads there are.
    each = map if workers is None else workers.each
    for one, slopes in each(of_chunk, chunks):
        loss += one
        for total_slope, slope in zip(gradients, slopes, strict=True):
            total_slope += slope
    return loss / total, gradients


@torch.inference_mode()  # the mode belongs to the thread
def _of_chunk(
    network: Network,
    params: Params,
    hyper: StepHyper,
    total: Tensor | float,
    data: Data,
    targets: Targets,
    chunk: slice,
) -> tuple[Tensor, Params]:
    """Return the loss (K,) of a chunk, and its part of the gradients."""
    # Made where it is used: pixels become floats on all cores, and few wait in memory.
    (batch,) = batches(data.take(chunk), targets, network.chunk_samples)
    fraction = batch.normalised_weight * (batch.total_weight / total)
    batch = batch._replace(
        normalised_weight=fraction.to(batch.targets.dtype), total_weight=total
    )
    logits, slopes = network.gradients(params, batch, hyper, ())
    loss = network.total_loss([logits], [batch])
    return loss, tuple(slope.to_dense() for slope in slopes)


def _penalty(
    network: Network, params: Params, alpha: Tensor, total: Tensor | float
) -> Tensor:
    """Return the penalty (K,), times the total weight of all samples, in float64."""
    # In float64, for the line search compares objectives to the last digits.
    norms = [
        torch.linalg.vector_norm(weight.double(), dim=(1, 2))
        for weight in params[network.penalised]
    ]
    squares = torch.stack(norms).square_().sum(0)
    penalty = squares * alpha.flatten() * 0.5
    return penalty if network.penalty_per_sample else penalty * total


def _options(plan: Plan) -> dict[str, Any]:
    """Return SciPy's options, set as in scikit-learn: both then reach one minimum."""
    return {
        "maxiter": plan.epochs,
        "maxfun": plan.max_fun,
        "maxls": 50,
        "gtol": max(plan.tol, 0.0),
        "ftol": plan.ftol if plan.tol >= 0 else 0.0,
    }


def _flatten(params: Params) -> np.ndarray:
    """Return all parameters as one float64 vector on the host."""
    return torch.cat([p.flatten() for p in params]).double().cpu().numpy()


def _unflatten(flat: np.ndarray, like: Params) -> Params:
    """Return a vector as parameters of the shapes, dtype and device of others."""
    parts = torch.from_numpy(flat).to(like[0]).split([p.numel() for p in like])
    return tuple(part.view_as(p) for part, p in zip(parts, like, strict=True))
