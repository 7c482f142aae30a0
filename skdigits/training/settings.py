"""Settings of a run, read from the parameters of its models under the same names."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from skdigits.augmentation import distort_of, name_of
from skdigits.engine.network import Network
from skdigits.engine.solvers import SOLVERS, stochastic_solvers
from skdigits.engine.sparse import Rows
from skdigits.engine.types import Distort, Hyper, Plan

if TYPE_CHECKING:
    from skdigits._gradient import GradientClassifier

BATCHABLE = Hyper._fields
"""Parameters in which the models of one run may differ."""


def plan_of(
    model: "GradientClassifier",
    network: Network,
    n_samples: int,
    n_features: int,
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
        distort = _distortion_of(model, n_features)

    return Plan(
        solver=model.solver,
        learning_rate=model.learning_rate,
        batch_size=batch_size_of(model, network, n_samples),
        max_iter=model.max_iter,
        epochs=model.max_iter,
        shuffle=model.shuffle,
        nesterovs_momentum=model.nesterovs_momentum,
        # Every epoch then counts as an improvement.
        tol=-math.inf if model.tol is None else model.tol,
        n_iter_no_change=model.n_iter_no_change,
        early_stopping=model.early_stopping,
        stop_by_loss=model.scoring == "loss",
        label_smoothing=model.label_smoothing,
        max_fun=model.max_fun,
        ftol=model._ftol,
        distort=distort,
        noise_seeds=tuple(noise_seeds),
    )


def hyper_of(models: Sequence["GradientClassifier"]) -> Hyper:
    """Return the settings in which models may differ; dropout is 0 if there is none."""
    columns = [[float(getattr(one, name, 0)) for one in models] for name in BATCHABLE]
    # On the host and in float64, whatever torch's defaults are.
    return Hyper(
        *(torch.tensor(one, dtype=torch.float64, device="cpu") for one in columns)
    )


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


def _distortion_of(model: "GradientClassifier", n_features: int) -> Distort | None:
    """Return the function that distorts a batch, after checking ``augment``."""
    if model.augment is not None and SOLVERS[model.solver].full_batch:
        raise ValueError(
            f"augment={model.augment!r} changes the samples in every epoch, but "
            f"solver={model.solver!r} minimises the loss of fixed samples: set "
            f"augment=None, or solver to {stochastic_solvers()}."
        )
    return distort_of(model.augment, model.image_shape, n_features)


def monitored_settings(model: "GradientClassifier") -> tuple[object, ...]:
    """Return all settings that the monitored loss or score depends on.

    Bookkeeping of early stopping holds no longer once any of them has changed.
    """
    names = ("solver", "early_stopping", "scoring", "loss", "label_smoothing", "alpha")
    augment = model.augment
    if augment is not None and not isinstance(augment, str):
        augment = name_of(augment)
    noise = (getattr(model, "dropout", None), str(augment), str(model.image_shape))
    return (*(getattr(model, name) for name in names), *noise)
