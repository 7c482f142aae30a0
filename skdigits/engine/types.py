"""What flows through the engine: rows, batches, hyper-parameters, states, results."""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from torch import Generator, Tensor

from skdigits.engine.gradients import Gradients

Params: TypeAlias = tuple[Tensor, ...]
"""Weights (K, H, D) and biases (K, H, 1) of K networks, ``(W1, b1, W2, b2, …)``."""


class Data(NamedTuple):
    """Rows to learn from, on the device where they are used.

    ``X`` (N, D) floating, or uint8 pixels that are read as ``X / 255``; ``codes`` (N,)
    int64, the class of each row, or (N, L), which of L labels it has (1) and has not (0);
    ``weight`` (N,) positive, or None for equal weights.

    Models that learn from rows of their own, or see them in an order of their own, ride in
    different *streams* of one run: ``rows`` (S, n) are the positions in X that belong to each
    of S streams. None is one stream of all rows.
    """

    X: Tensor
    codes: Tensor
    weight: Tensor | None = None
    rows: Tensor | None = None

    @property
    def n_streams(self) -> int:
        """S."""
        return 1 if self.rows is None else len(self.rows)

    @property
    def n_rows(self) -> int:
        """Rows of each stream."""
        return len(self.X) if self.rows is None else self.rows.shape[1]

    def streams(self, chosen: Tensor) -> "Data":
        """Some of the streams, over the same X."""
        return self if self.rows is None else self._replace(rows=self.rows[chosen])

    def take(self, rows: Tensor) -> "Data":
        """A copy of some of the rows; index_select takes a quarter of indexing's time."""
        weight = None if self.weight is None else self.weight.index_select(0, rows)
        return Data(
            self.X.index_select(0, rows), self.codes.index_select(0, rows), weight
        )


class Batch(NamedTuple):
    """Some rows of each of S streams, ready for arithmetic with the K models' own.

    ``X`` (S, B, D) floating, and the same as ``columns`` (S, D, B). What follows is of one
    stream, G = 1, or has been repeated for each model, G = K: ``targets`` (G, C, B);
    ``share`` (G, 1, B) or a scalar tensor, what each row counts in the mean that is sought;
    ``weight`` (G, 1, B) float64 of the rows, None if they are equal; ``total`` (G, 1, 1)
    float64 or a float, the weight of all rows of that mean. It is that of the batch, whose
    shares then sum to 1, or, where a batch is a chunk of more, that of all.
    """

    X: Tensor
    columns: Tensor
    targets: Tensor
    share: Tensor
    weight: Tensor | None
    total: Tensor | float


class Hyper(NamedTuple):
    """Hyper-parameters in which the K models may differ, each of shape (K,).

    Schedules read them in float64 on the host; `to` brings them to the parameters, with
    which they multiply as (K, 1, 1).
    """

    learning_rate: Tensor
    alpha: Tensor
    momentum: Tensor
    beta_1: Tensor
    beta_2: Tensor
    epsilon: Tensor
    weight_decay: Tensor
    power_t: Tensor
    dropout: Tensor

    def take(self, models: Tensor) -> "Hyper":
        """The hyper-parameters of some of the models."""
        return Hyper(*(values[models] for values in self))

    def to(self, like: Tensor) -> "Hyper":
        """The same as (K, 1, 1), in the dtype and on the device of ``like``.

        ``alpha`` is empty where no model has any, so that nobody need ask the device.
        """
        there = Hyper(*(values.to(like).view(-1, 1, 1) for values in self))
        return there if self.alpha.any() else there._replace(alpha=there.alpha[:0])


Distort: TypeAlias = Callable[[Tensor, Generator], Tensor]
"""Makes other rows (B, D) of floating rows (B, D), at random."""


class Plan(NamedTuple):
    """How to train: what all K models have in common.

    ``max_iter`` epochs are planned, of which at most ``epochs`` are run now. ``tol`` is
    -inf where no lack of progress is to end training early. ``early_stopping`` goes by the
    validation score, or by the validation loss where ``stop_by_loss``. ``max_fun`` and
    ``ftol``, the least relative progress, are L-BFGS's. ``distort``, where there is one,
    makes other rows of those of every batch. ``noise_seeds``, one a stream, drive that and
    dropout, which is off where no model has any.
    """

    solver: str
    schedule: str
    batch_size: int
    max_iter: int
    epochs: int
    shuffle: bool
    nesterov: bool
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
    """How far training has come since the first fit.

    ``seen`` (K,) float64 on the host is the weight of all rows seen so far, their number
    where they have none; ``cycle`` counts the epochs since the current cycle of the one-cycle
    schedule began.
    """

    seen: Tensor
    epochs: int = 0
    steps: int = 0
    cycle: int = 0


class Stopping(NamedTuple):
    """Bookkeeping (K,) in float64 on the host.

    The best loss or score so far, the epochs since it improved, and how often the
    adaptive schedule has divided the learning rate.
    """

    best: Tensor
    stale: Tensor
    divisions: Tensor

    def take(self, models: Tensor) -> "Stopping":
        """The bookkeeping of some of the models."""
        return Stopping(*(values[models] for values in self))


class State(NamedTuple):
    """All that training needs to go on where it was left.

    ``moments`` are the optimizer's own tensors, each group shaped like the parameters.
    """

    params: Params
    moments: tuple[Params, ...]
    stopping: Stopping
    progress: Progress

    def take(self, models: Tensor) -> "State":
        """The state of some of the models."""

        def rows(params: Params) -> Params:
            return tuple(p[models.to(p.device)] for p in params)

        return State(
            rows(self.params),
            tuple(rows(group) for group in self.moments),
            self.stopping.take(models),
            self.progress._replace(seen=self.progress.seen[models]),
        )


class Epoch(NamedTuple):
    """What one model did in one epoch, or in one iteration of a full-batch solver.

    ``seconds`` count from the start of the run; what was not computed is NaN.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float
    validation_score: float
    seconds: float


class Run(NamedTuple):
    """The outcome for one model: its state, with K = 1, and how it got there.

    ``rng`` is a generator of row orders of its own, as this model left that of the run.

    ``status`` is ``"converged"``, ``"max_iter"``, ``"diverged"`` (all is then as it was
    before the epoch that broke it, but for the parameters, where the best are kept),
    ``"stopped"`` (as it was asked to), ``"interrupted"`` (by the user, after its last whole
    epoch) or ``"abnormal"`` (L-BFGS found no way down).
    """

    state: State
    epochs: list[Epoch]
    status: str
    rng: np.random.RandomState


OnEpoch: TypeAlias = Callable[[list[int], list[Epoch], Params], Collection[int]]
"""Called after every epoch with the numbers of the models that are training, their records,
and their parameters as they are now, or were before the epoch where that diverged. They are
not written to later. Returns the numbers of the models that are to stop."""

Score: TypeAlias = Callable[[Params, Tensor], Tensor]
"""Validation score (K,) in float64 on the host of models by their parameters, NaN for those
of which a mask (K,) says that their loss is not finite."""


class Network(Protocol):
    """The seam: what can be initialised, and asked for its loss and gradients."""

    def target_table(self, label_smoothing: float, like: Tensor) -> Tensor:
        """Targets (C, O) of each class, in the dtype and place of ``like``."""
        ...

    def initial(
        self, rng: np.random.RandomState, n_models: int, like: Tensor
    ) -> Params:
        """Parameters of ``n_models`` equal networks, in the dtype and place of ``like``."""
        ...

    def gradients(
        self,
        params: Params,
        batch: Batch,
        hyper: Hyper,
        generators: Sequence[Generator],
    ) -> tuple[Tensor, Gradients]:
        """Logits (K, C, B) of a batch, and the gradients of the objective.

        Hyper-parameters are (K, 1, 1). ``generators``, one a stream, drive dropout; none,
        and there is no dropout.
        """
        ...

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss (K, B) of every row, for logits (K, C, B)."""
        ...

    def penalty(self, params: Params, hyper: Hyper, total: Tensor | float) -> Tensor:
        """What the objective has beside the losses, (K,), times the total weight of rows."""
        ...

    def evaluate(self, params: Params, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean loss (K,) and accuracy (K,) on a batch, without penalty or dropout."""
        ...

    def scores(self, params: Params, X: Tensor) -> Tensor:
        """For rows X (S, B, D), scores (K, C, B) whose softmax are the probabilities."""
        ...
