"""Coordinates in which L-BFGS moves: features of any scale then look alike."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from skdigits.engine.batches import Data, Targets, as_floats, batches
from skdigits.engine.losses import LOGISTIC
from skdigits.engine.network import Network
from skdigits.engine.ranks import Ranks
from skdigits.engine.types import Params, StepHyper

FEW_SAMPLES = 256  # whose copies take little memory
NO_SLOPE = 1e-4  # the default of tol


class Features(NamedTuple):
    """Mean and variance (D,) of the features in float64, and the samples' weight."""

    mean: Tensor
    variance: Tensor
    total: float


class Coordinates(NamedTuple):
    """All parameters of a model as one float64 vector on the host.

    ``like`` are parameters of the same shapes, dtype and device. For a linear model
    with features of means μ and of scales s, the vector holds ``V = W s`` and ``c = b +
    W μ``. The logits are then ``V (x − μ) / s + c``, as if features were standardised.
    Without ``standard``, means and scales (D,), it holds the parameters themselves.

    The objective is that of the parameters, and so is its minimum. It is the shape of
    the way there that changes: a diagonal preconditioner.
    """

    like: Params
    standard: tuple[Tensor, Tensor] | None = None

    def vector(self, params: Params) -> np.ndarray:
        """Return parameters as a vector."""
        if self.standard is not None:
            mean, scale = self.standard
            weight, bias = (p.double() for p in params)
            params = (weight * scale, bias + weight @ mean[:, None])
        return _flatten(params)

    def params(self, vector: np.ndarray) -> Params:
        """Return a vector as parameters."""
        parts = torch.from_numpy(vector).to(self.like[0].device)
        sizes = [p.numel() for p in self.like]
        shaped = zip(parts.split(sizes), self.like, strict=True)
        found = tuple(part.view_as(p) for part, p in shaped)
        if self.standard is not None:
            mean, scale = self.standard
            weight = found[0] / scale
            found = (weight, found[1] - weight @ mean[:, None])
        return tuple(p.to(self.like[0].dtype) for p in found)

    def gradient(self, slopes: Params) -> np.ndarray:
        """Return the gradient by the vector, of that by the parameters in float64."""
        if self.standard is not None:
            mean, scale = self.standard
            weight, bias = slopes
            slopes = ((weight - bias * mean) / scale, bias)
        return _flatten(slopes)


def features_of(
    network: Network, data: Data, targets: Targets, ranks: Ranks | None = None
) -> Features | None:
    """Return moments of the features if the network is linear in them, else None.

    They are those of the samples of all ``ranks``.
    """
    if [shape[1:] for shape in network.shapes] != [(data.X.shape[1],)]:
        return None

    # Seen from one of the samples, a constant feature has a variance of exactly 0.
    origin = None
    if ranks is not None:
        origin = _origin_of(ranks, data, targets)
    total = 0.0
    sums = torch.zeros(2, data.X.shape[1], dtype=torch.float64, device=data.X.device)
    n_samples = min(FEW_SAMPLES, network.chunk_samples(data.X.device))
    for batch in batches(data, targets, n_samples) if len(data.X) else ():
        X = batch.X[0]
        origin = X[0].clone() if origin is None else origin
        # In float64: squares and weights may have any size.
        X = (X - origin).double()
        weight = X.new_ones(1, len(X))
        if batch.weight is not None:
            weight = batch.weight[0]
        sums += torch.cat([weight @ X, weight @ X.square()])
        total += weight.sum().item()

    if ranks is not None:
        sums, weights = ranks.summed([sums, sums.new_tensor(total)])
        total = weights.item()
    mean, square = sums / total
    return Features(mean + origin, (square - mean.square()).clamp_(min=0), total)


def _origin_of(ranks: Ranks, data: Data, targets: Targets) -> Tensor:
    """Return the first sample (D,) of all ranks, which the first rank has."""
    origin = targets.levels.new_zeros(data.X.shape[1])
    if ranks.rank == 0 and len(data.X):
        origin = as_floats(data.X[:1], origin.dtype)[0]
    return ranks.summed([origin])[0]


def coordinates_of(
    network: Network, like: Params, features: Features | None, hyper: StepHyper
) -> Coordinates:
    """Return coordinates in which the curvature of the objective is much the same.

    Along the weight of a feature it is ``h · variance + alpha``, where h is the
    curvature of the loss by a logit if all classes are equally likely.
    """
    if features is None:
        return Coordinates(like)

    n_outputs = network.shapes[-1][0]
    h = 0.25
    if network.loss != LOGISTIC and n_outputs > 1:
        h = (n_outputs - 1) / n_outputs**2
    curvature = features.variance
    if hyper.alpha is not None:
        alpha = hyper.alpha.double().flatten()
        alpha = alpha / features.total if network.penalty_per_sample else alpha
        curvature = curvature + alpha / h

    # The slope by a constant feature is rounding alone, in proportion to its size: it
    # must stay below what L-BFGS stops at.
    rounding = torch.finfo(like[0].dtype).eps * features.mean.abs()
    least = torch.where(features.variance > 0, 0.0, rounding / NO_SLOPE)
    scale = torch.where(curvature > 0, curvature.sqrt(), 1.0)
    scale = torch.maximum(scale, least)
    # Features that overflow are left as they are: training reports that.
    if not torch.isfinite(scale + features.mean).all():
        return Coordinates(like)
    return Coordinates(like, (features.mean, scale))


def _flatten(params: Params) -> np.ndarray:
    return torch.cat([p.flatten() for p in params]).double().cpu().numpy()
