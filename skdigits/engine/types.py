"""Records that flow through the engine: settings, states and results of K models."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
from torch import Generator, Tensor

# The models' axis comes first everywhere: a record of some models is an index away.
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

The mask (K,) says which models have a finite loss; the score of any other is NaN. The
parameters are never written to later. The function returns the runs of all models up
to here, without this score; it is None before the first epoch.
"""

Result = TypeVar("Result")


class Hyper(NamedTuple):
    """Hyper-parameters in which the models of a run may differ, under their own names.

    Each has shape (K,), in float64 on the host.
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
    """Hyper-parameters of a step, each (K, 1, 1) in the dtype and device of parameters.

    ``alpha`` and ``momentum`` are None if no model has any, so that no step asks the
    device for their values. ``new_1`` and ``new_2`` are the shares ``1 − β₁`` and
    ``1 − β₂`` of a new gradient in Adam's moments.
    """

    # None, not zeros: a step then skips the work, too.
    alpha: Tensor | None
    momentum: Tensor | None
    nesterovs_momentum: bool
    new_1: Tensor
    new_2: Tensor
    epsilon: Tensor
    weight_decay: Tensor
    dropout: Tensor


class Plan(NamedTuple):
    """Settings that all K models have in common, mostly under their parameters' names.

    Of ``max_iter`` planned epochs, at most ``epochs`` are run now. ``tol`` is -inf if
    no lack of progress ends training early. ``early_stopping`` monitors the validation
    score or, with ``stop_by_loss``, the validation loss. ``max_fun`` and ``ftol``, the
    smallest relative progress, belong to L-BFGS. ``distort`` changes the samples of
    every batch. ``noise_seeds``, one a replica, seed distortions and dropout.
    """

    solver: str
    learning_rate: str
    batch_size: int
    max_iter: int
    epochs: int
    shuffle: bool
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


class Progress(NamedTuple):
    """Training done since the first fit.

    ``seen`` (K,), float64 on the host, is the total weight of the samples seen so far.
    ``cycle`` counts the epochs of the current cycle of the one-cycle schedule.
    """

    # float64, as float32 stops counting at 16,777,216.
    seen: Tensor
    epochs: int = 0
    steps: int = 0
    cycle: int = 0


class Stopping(NamedTuple):
    """Bookkeeping of early stopping, each (K,) in float64 on the host.

    The best monitored score, the epochs since it improved, and the number of times that
    the adaptive schedule has reduced the learning rate.
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
    """Threads that compute side by side, each with one thread of torch."""

    number: int
    pool: Executor

    def each(
        self, function: Callable[..., Result], *arguments: Iterable[Any]
    ) -> Iterator[Result]:
        """Yield the results of a function, in the order of its arguments, like map.

        Arguments are taken as threads become free: they need not all fit into memory.
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
    """What a run that has not ended needs to go on, beside its result if it ended now.

    ``params`` are the latest ones; the run's own may be those of its best epoch. L-BFGS
    goes on from its first ``params``, with all ``evaluations`` so far: objectives and
    gradients, in their order, from which SciPy makes its memory anew.
    """

    params: Params
    evaluations: Sequence[tuple[float, np.ndarray]] = ()


class Run(NamedTuple):
    """Result of training one model: its state, with K = 1, and its epochs.

    ``rng_state`` is that of the generator of sample orders, as the model left it;
    ``status`` is one of

    - ``"converged"``, ``"max_iter"``;
    - ``"diverged"``: the state is the one before the epoch that diverged, and the
      parameters are the best ones if they are kept;
    - ``"stopped"`` by an observer, ``"interrupted"`` by the user;
    - ``"abnormal"``: the line search of L-BFGS found no lower objective.

    ``going`` is there if the run can go on as if it had never stopped.
    """

    state: State
    epochs: list[Epoch]
    status: str
    rng_state: RngState
    going: Going | None = None


class Latest:
    """Where a single run leaves its last whole epoch, for whoever is interrupted.

    One assignment replaces ``runs``, which makes the list of the run: at any moment,
    an epoch is whole or not there. ``session`` is what the run belongs to. ``save``
    writes a run to files, and returns whether it could; it is None if there are none.
    L-BFGS then keeps what it takes to go on in another process.
    """

    session: Any = None
    runs: Callable[[], list[Run]] | None = None
    save: Callable[[Run], bool] | None = None


class Observer(Protocol):
    """Follows training: it is called after every epoch, and may stop models."""

    def __call__(
        self,
        models: list[int],
        epochs: list[Epoch],
        params: Params,
        runs: Callable[[], list[Run]],
    ) -> Collection[int]:
        """Take in an epoch; return the numbers of the models that are to stop.

        ``models`` are the numbers of the models that are training, ``epochs`` their
        records. ``params`` are their parameters, never written to later; those of a
        model that has just diverged are the ones before this epoch. ``runs`` returns
        copies of their runs, as if training were interrupted here; call it at once.
        """
        ...
