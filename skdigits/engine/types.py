"""Records that flow through the engine: settings, states and results of K models."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
from torch import Generator, Tensor

# The first axis is always that of models: an index selects the records of some models.
Params: TypeAlias = tuple[Tensor, ...]
"""Weights (K, H, D) and biases (K, H, 1) of K networks, ``(W1, b1, W2, b2, …)``."""

Moments: TypeAlias = tuple[Params, ...]
"""Tensors that a solver keeps between steps, each group shaped like the parameters."""

RngState: TypeAlias = dict[str, Any] | tuple[str, np.ndarray, int, int, float]
"""State of a NumPy generator, as `RandomState.get_state` returns it."""

Distort: TypeAlias = Callable[[Tensor, Generator], Tensor]
"""Distorts floating samples (B, D) at random."""

Score: TypeAlias = Callable[[Params, Tensor, "Callable[[], list[Run]] | None"], Tensor]
"""Returns validation scores (K,) of models by their parameters, in float64 on the host.

The arguments are the parameters, which are never overwritten later; a mask (K,) of the
models with a finite loss, since the score of any other model is NaN; and a function
that returns the runs of all models so far, without this score. The function is None
before the first epoch.
"""

Result = TypeVar("Result")


class Hyper(NamedTuple):
    """Hyper-parameters in which the models of a run may differ.

    Each has the name of its parameter and shape (K,), in float64 on the host.
    """

    learning_rate_init: Tensor
    alpha: Tensor
    momentum: Tensor
    beta_1: Tensor
    beta_2: Tensor
    epsilon: Tensor
    weight_decay: Tensor
    power_t: Tensor
    dropout: Tensor


class StepHyper(NamedTuple):
    """Hyper-parameters of a step, each (K, 1, 1), on the device of the parameters.

    They have the dtype of the parameters. ``alpha`` and ``momentum`` are None if they
    are 0 for all models, so that no step reads their values from the device. ``new_1``
    and ``new_2`` are the weights ``1 − β₁`` and ``1 − β₂`` of a new gradient in Adam's
    moments. L-BFGS has ``alpha`` in float64. ``differing`` are the names of those that
    differ between models.
    """

    # With None instead of zeros, a step also skips the work.
    alpha: Tensor | None
    momentum: Tensor | None
    nesterovs_momentum: bool
    new_1: Tensor
    new_2: Tensor
    epsilon: Tensor
    weight_decay: Tensor
    dropout: Tensor
    differing: tuple[str, ...] = ()


class Plan(NamedTuple):
    """Settings that all K models share, mostly with the names of the parameters.

    ``max_iter`` epochs are planned, and at most ``epochs`` of them are run now. ``tol``
    is -inf if training never stops early. ``early_stopping`` monitors the validation
    score or, with ``stop_by_loss``, the validation loss. ``max_fun`` and ``ftol``, the
    minimum relative progress, are for L-BFGS. ``distort`` distorts the samples of every
    batch; it ``runs_users_code`` or not. ``noise_seeds`` has one seed per replica, for
    distortions and dropout.
    """

    solver: str
    learning_rate: str
    batch_size: int
    max_iter: int
    epochs: int
    shuffle: bool | str
    nesterovs_momentum: bool
    tol: float
    n_iter_no_change: int
    early_stopping: bool
    stop_by_loss: bool
    label_smoothing: float
    max_fun: int
    ftol: float
    distort: Distort | None
    noise_seeds: tuple[int, ...]
    runs_users_code: bool = False


class Progress(NamedTuple):
    """Training done since the first fit.

    ``seen`` (K,), float64 on the host, is the total weight of the samples seen so far.
    ``cycle`` counts the epochs of the current cycle of the one-cycle schedule.
    """

    # float64, because float32 stops counting at 16,777,216.
    seen: Tensor
    epochs: int = 0
    steps: int = 0
    cycle: int = 0


class Stopping(NamedTuple):
    """State of the stopping rule, each (K,) in float64 on the host.

    The fields are the best monitored score, the number of epochs since it improved, and
    the number of times that the adaptive schedule has reduced the learning rate.
    """

    best: Tensor
    n_no_improvement: Tensor
    n_lr_reductions: Tensor


class State(NamedTuple):
    """Everything that training needs to continue."""

    params: Params
    moments: Moments
    stopping: Stopping
    progress: Progress


class Workers(NamedTuple):
    """Threads that compute in parallel, each with one thread of torch."""

    number: int
    pool: Executor

    def each(
        self, function: Callable[..., Result], *arguments: Iterable[Any]
    ) -> Iterator[Result]:
        """Yield the results of a function, in the order of its arguments, like map.

        Arguments are read when a thread becomes free, so they need not all fit into
        memory.
        """
        pending: deque[Future[Result]] = deque()
        for some in zip(*arguments, strict=False):
            pending.append(self.pool.submit(function, *some))
            if len(pending) > self.number:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


class Epoch(NamedTuple):
    """Record of one epoch of one model, or of one iteration of a full-batch solver.

    ``seconds`` count from the start of the run; values that were not computed are NaN.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float
    validation_score: float
    seconds: float


class Going(NamedTuple):
    """State that an unfinished run needs to continue, in addition to its result so far.

    ``params`` are the latest parameters, while the run itself may have the parameters
    of its best epoch. L-BFGS continues from its first ``params`` and all
    ``evaluations`` so far: objectives and gradients in their order, from which SciPy
    builds its memory again.
    """

    params: Params
    evaluations: Sequence[tuple[float, np.ndarray]] = ()


class Run(NamedTuple):
    """Result of training one model: its state, with K = 1, and its epochs.

    ``rng_state`` is the final state of the generator of sample orders. ``status`` is
    one of

    - ``"converged"``, ``"max_iter"``;
    - ``"diverged"``: the state is that before the epoch that diverged; with early
      stopping, the parameters are those of the best epoch;
    - ``"stopped"`` by an observer, ``"interrupted"`` by the user;
    - ``"abnormal"``: the line search of L-BFGS found no lower objective.

    ``going`` is not None if the run can continue as if it had never stopped.
    """

    state: State
    epochs: list[Epoch]
    status: str
    rng_state: RngState
    going: Going | None = None


class Latest:
    """Holder of the last complete epoch of a single run, for use after an interrupt.

    ``runs`` is a function that returns a list with the run. One assignment replaces
    ``runs``, so it never has an incomplete epoch. ``session`` is the session of the
    run. ``save`` writes a run to files, and returns whether it could; it is None if
    there are none. L-BFGS then keeps what it needs to continue in another process.
    """

    session: Any = None
    runs: Callable[[], list[Run]] | None = None
    save: Callable[[Run], bool] | None = None


class Observer(Protocol):
    """Function that is called after every epoch, and may stop models."""

    def __call__(
        self,
        models: list[int],
        epochs: list[Epoch],
        params: Params,
        runs: Callable[[], list[Run]],
    ) -> Collection[int]:
        """Observe an epoch; return the numbers of the models to stop.

        ``models`` are the numbers of the models in training, and ``epochs`` are their
        records. ``params`` are their parameters, which are never overwritten later. A
        model that has just diverged has the parameters from before this epoch.
        ``runs`` returns copies of the runs, as if training were interrupted now; call
        it before returning.
        """
        ...
