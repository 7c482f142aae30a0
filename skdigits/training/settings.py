"""Settings of a run, read from the parameters of its models under the same names."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from skdigits.augmentation import distort_of, is_users, name_of
from skdigits.engine.batches import Data
from skdigits.engine.network import Network
from skdigits.engine.solvers import SOLVERS, stochastic_solvers
from skdigits.engine.sparse import Rows
from skdigits.engine.types import Distort, Hyper, Plan

if TYPE_CHECKING:
    from skdigits._gradient import GradientClassifier

BATCHABLE = Hyper._fields
"""Parameters in which the models of one run may differ."""

STOCHASTIC = {
    "learning_rate_init": "auto",
    "learning_rate": "constant",
    "batch_size": "auto",
    "shuffle": True,
    "momentum": 0.9,
    "nesterovs_momentum": True,
    "early_stopping": False,
    "n_iter_no_change": 10,
    "augment": None,
}
"""Parameters that L-BFGS ignores, with their defaults."""

# Numbers of X from which L-BFGS takes longer to converge than users want to wait.
LARGEST_FULL_BATCH = 10_000_000
AUTOMATIC = {"learning_rate_init": 0.01, "alpha": 0.0001}  # for stochastic solvers


def solver_of(
    model: "GradientClassifier",
    n_samples: int,
    n_features: int,
    incremental: bool = False,
) -> str:
    """Return the solver that ``solver="auto"`` stands for.

    It is L-BFGS for small data, unless the model is to be trained epoch by epoch:
    ``incremental`` stands for ``partial_fit``.
    """
    suits = n_samples * n_features <= LARGEST_FULL_BATCH
    return "lbfgs" if suits and not incremental and not is_stochastic(model) else "sgd"


def is_stochastic(model: "GradientClassifier") -> bool:
    """Return whether parameters are set that only stochastic solvers heed."""
    given = [getattr(model, name) != value for name, value in STOCHASTIC.items()]
    # Only epochs can be counted out, as L-BFGS ends where there is nothing to gain.
    return any(given) or model.tol is None


def plan_of(
    model: "GradientClassifier",
    network: Network,
    solver: str,
    data: Data,
    noise_seeds: Sequence[int],
) -> Plan:
    """Return the settings that all models of a run share, for ``max_iter`` epochs.

    Raises
    ------
    ValueError
        If ``augment`` cannot be used.
    """
    distort = None
    if model.augment is not None or model.image_shape is not None:
        distort = _distortion_of(model, solver, data.X.shape[1])

    return Plan(
        solver=solver,
        learning_rate=model.learning_rate,
        batch_size=batch_size_of(model, network, data.n_samples),
        max_iter=model.max_iter,
        epochs=model.max_iter,
        shuffle=model.shuffle if data.reader is None else data.reader.shuffle,
        nesterovs_momentum=model.nesterovs_momentum,
        # Every epoch then counts as an improvement.
        tol=-math.inf if model.tol is None else model.tol,
        n_iter_no_change=model.n_iter_no_change,
        early_stopping=model.early_stopping and not SOLVERS[solver].full_batch,
        stop_by_loss=model.scoring == "loss",
        label_smoothing=model.label_smoothing,
        max_fun=model.max_fun,
        ftol=model._ftol,
        distort=distort,
        noise_seeds=tuple(noise_seeds),
        runs_users_code=model.augment is not None and is_users(model.augment),
    )


def rate_of(model: "GradientClassifier") -> float:
    """Return the learning rate that a model's steps begin with."""
    rate = model.learning_rate_init
    return AUTOMATIC["learning_rate_init"] if rate == "auto" else float(rate)


def hyper_of(
    models: Sequence["GradientClassifier"], data: Data, network: Network, solver: str
) -> Hyper:
    """Return the settings in which models may differ; dropout is 0 if there is none."""
    given = {name: [getattr(one, name, 0) for one in models] for name in BATCHABLE}
    if "auto" in given["alpha"] and SOLVERS[solver].full_batch:
        alphas = _alphas_of_replicas(data, network)
        width = len(models) // len(alphas)
        given["alpha"] = [
            alphas[number // width] if alpha == "auto" else alpha
            for number, alpha in enumerate(given["alpha"])
        ]

    columns = [
        [float(AUTOMATIC[name] if value == "auto" else value) for value in column]
        for name, column in given.items()
    ]
    # On the host and in float64, whatever torch's defaults are.
    return Hyper(
        *(torch.tensor(one, dtype=torch.float64, device="cpu") for one in columns)
    )


def _alphas_of_replicas(data: Data, network: Network) -> list[float]:
    """Return the penalty of each replica that LogisticRegression has by default."""
    totals = [float(data.n_samples)] * data.n_replicas
    if data.weight is not None:
        weight = data.weight if data.samples is None else data.weight[data.samples]
        totals = weight.view(data.n_replicas, -1).sum(1).tolist()

    # For two classes, LogisticRegression has a single row d; here the rows are ±d / 2.
    strength = 2.0 if network.shapes[-1][0] == 2 else 1.0
    return [strength / total for total in totals]


def batch_size_of(model: "GradientClassifier", network: Network, n_samples: int) -> int:
    """Return the number of samples per step."""
    size = model.batch_size
    if size == "auto":
        size = network.auto_batch_size
    return min(int(size), n_samples)  # int, as NumPy's integers are welcome, too


def working_dtype(precision: str, X: Rows) -> torch.dtype:
    """Return the dtype to compute in: that of X, or float32 for a lower precision."""
    if precision == "auto":
        return X.dtype if X.is_floating_point() else torch.float32
    return torch.float32


def _distortion_of(
    model: "GradientClassifier", solver: str, n_features: int
) -> Distort | None:
    """Return the function that distorts a batch, after checking ``augment``."""
    if model.augment is not None and SOLVERS[solver].full_batch:
        raise ValueError(
            f"augment={model.augment!r} changes the samples in every epoch, but "
            f"solver={model.solver!r} minimises the loss of fixed samples: set "
            f"augment=None, or solver to {stochastic_solvers()}."
        )
    return distort_of(model.augment, model.image_shape, n_features)


def monitored_settings(model: "GradientClassifier", solver: str) -> tuple[object, ...]:
    """Return all settings that the monitored loss or score depends on.

    Bookkeeping of early stopping holds no longer once any of them has changed.
    """
    names = ("early_stopping", "scoring", "loss", "label_smoothing", "alpha")
    augment = model.augment
    if augment is not None and not isinstance(augment, str):
        augment = name_of(augment)
    noise = (getattr(model, "dropout", None), str(augment), str(model.image_shape))
    return (solver, *(getattr(model, name) for name in names), *noise)
