"""Dense networks, K at a time, with their backward pass in closed form."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from skdigits.engine.gradients import Gradients, Outer
from skdigits.engine.losses import CLASSES, LOSSES
from skdigits.engine.types import Batch, Hyper, Params


class Activation(NamedTuple):
    """An activation function, computed in place, and its backward pass.

    ``backward`` takes the gradient by the *output* and the output itself, and returns the
    gradient by the input.
    """

    value: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]


ACTIVATIONS = {
    "identity": Activation(lambda z: z, lambda g, a: g),
    "logistic": Activation(torch.sigmoid_, torch.ops.aten.sigmoid_backward),
    "tanh": Activation(torch.tanh_, torch.ops.aten.tanh_backward),
    # A quarter of the time of multiplying by a > 0.
    "relu": Activation(torch.relu_, lambda g, a: torch.ops.aten.threshold_backward(g, a, 0)),
}


def _glorot(
    rng: np.random.RandomState, fan_in: int, fan_out: int, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    # The very draws of scikit-learn's MLPClassifier, biases included.
    bound = np.sqrt((2.0 if activation == "logistic" else 6.0) / (fan_in + fan_out))
    weight = rng.uniform(-bound, bound, (fan_in, fan_out)).T
    return weight, rng.uniform(-bound, bound, (fan_out, 1))


def _he(
    rng: np.random.RandomState, fan_in: int, fan_out: int, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(0, np.sqrt(2 / fan_in), (fan_out, fan_in)), np.zeros((fan_out, 1))


def _normal(
    rng: np.random.RandomState, fan_in: int, fan_out: int, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(fan_out, fan_in)), rng.normal(size=(fan_out, 1))


def _zeros(
    rng: np.random.RandomState, fan_in: int, fan_out: int, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((fan_out, fan_in)), np.zeros((fan_out, 1))


WEIGHT_INITS = {"glorot": _glorot, "he": _he, "normal": _normal, "zeros": _zeros}


@dataclass(frozen=True)
class DenseNetwork:
    """Fully connected layers; with no hidden ones, a linear model.

    Parameters
    ----------
    layer_sizes : tuple of int
        ``(D, H1, …, C)``.
    loss : str
        A key of `LOSSES`.
    activation : str
        Of the hidden layers, a key of `ACTIVATIONS`.
    weight_init : str
        A key of `WEIGHT_INITS`.
    penalty_per_row : bool
        Whether the L2 penalty ``alpha / 2 · Σ W²`` is divided by the weight of the batch,
        as MLPClassifier has it, or is added to the mean loss as it is, as in SGDClassifier.

    Notes
    -----
    The objective is ``mean(loss) + penalty``, the mean weighted by the rows' weights.
    """

    layer_sizes: tuple[int, ...]
    loss: str
    activation: str = "relu"
    weight_init: str = "glorot"
    penalty_per_row: bool = True

    @property
    def n_classes(self) -> int:
        """C, the number of logits."""
        return self.layer_sizes[-1]

    def initial(self, rng: np.random.RandomState, n_models: int, like: Tensor) -> Params:
        """Parameters of ``n_models`` equal networks, in the dtype and place of ``like``.

        Drawn once, in float64 on the host, so that they are the same for every dtype,
        device and number of models.
        """
        draw = WEIGHT_INITS[self.weight_init]
        arrays: list[np.ndarray] = []
        for fan_in, fan_out in zip(self.layer_sizes[:-1], self.layer_sizes[1:], strict=True):
            arrays += draw(rng, fan_in, fan_out, self.activation)
        return tuple(
            torch.from_numpy(np.stack([array] * n_models)).to(like) for array in arrays
        )

    def loss_and_gradients(
        self, params: Params, batch: Batch, hyper: Hyper, generators: Sequence[Generator]
    ) -> tuple[Tensor, Gradients]:
        """Objective (K,) on a batch, and its gradients in the order of the parameters.

        ``generators``, one a stream, drive dropout; none, and there is no dropout.
        """
        layers = self._forward(params, batch.X, hyper.dropout, generators)
        logits = _affine(params[-2], params[-1], layers[-1].columns)
        loss, delta = self._compare(logits, batch)
        strength = self._strength(batch, hyper.alpha) if len(hyper.alpha) else None
        gradients = self._backward(params, layers, delta, strength)
        return _penalised(loss, params, strength), gradients

    def evaluate(self, params: Params, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean loss (K,) and accuracy (K,) on a batch, without penalty or dropout."""
        logits = self._logits(params, batch.X)
        loss, _ = self._compare(logits, batch)
        found = LOSSES[self.loss].scores(logits).argmax(CLASSES)
        hit = found.view(len(batch.X), -1, found.shape[1]) == batch.targets.argmax(CLASSES)
        return loss, _accuracy(hit, batch.share)

    def scores(self, params: Params, X: Tensor) -> Tensor:
        """For rows X (S, B, D), scores (K, C, B) whose softmax are the probabilities."""
        return LOSSES[self.loss].scores(self._logits(params, X))

    def _logits(self, params: Params, X: Tensor) -> Tensor:
        output = X.mT
        for weight, bias in _layers(params[:-2]):
            output = ACTIVATIONS[self.activation].value(_affine(weight, bias, output))
        return _affine(params[-2], params[-1], output)

    def _compare(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean loss (K,), and its gradient (K, C, B) by the logits."""
        by_stream = logits.view(len(batch.X), -1, *logits.shape[1:])
        value_and_gradient = LOSSES[self.loss].value_and_gradient
        loss, delta = value_and_gradient(by_stream, batch.targets, batch.share)
        # Shares of float64 make a loss of float64, as L-BFGS wants it, but gradients not.
        return loss.view(-1), delta.to(logits.dtype).view(logits.shape)

    def _forward(
        self, params: Params, X: Tensor, dropout: Tensor, generators: Sequence[Generator]
    ) -> list["_Layer"]:
        """The input layer, then the hidden ones."""
        layers = [_Layer(X.mT)]
        for weight, bias in _layers(params[:-2]):
            output = _affine(weight, bias, layers[-1].columns)
            output = ACTIVATIONS[self.activation].value(output)
            if generators:
                mask = _dropout_mask(output, dropout, generators)
                layers.append(_Layer(output * mask, output, mask))
            else:
                layers.append(_Layer(output, output))
        return layers

    def _backward(
        self, params: Params, layers: list["_Layer"], delta: Tensor, strength: Tensor | None
    ) -> Gradients:
        """Gradients by all parameters from delta (K, C, B), the loss's by the logits."""
        gradients: Gradients = ()
        for number in reversed(range(len(layers))):
            weight, (columns, output, mask) = params[2 * number], layers[number]
            penalty = None if strength is None else (strength, weight)
            by_weight, by_bias = Outer(delta, columns, penalty), delta.sum(-1, keepdim=True)
            gradients = (by_weight, by_bias, *gradients)
            if output is not None:
                delta = torch.bmm(weight.mT, delta)
                delta = delta if mask is None else delta.mul_(mask)
                delta = ACTIVATIONS[self.activation].backward(delta, output)
        return gradients

    def _strength(self, batch: Batch, alpha: Tensor) -> Tensor:
        """Of the penalty on this batch, (K, 1, 1)."""
        if not self.penalty_per_row:
            return alpha
        by_stream = alpha.view(len(batch.X), -1, 1, 1) / batch.total
        return by_stream.to(alpha.dtype).view_as(alpha)


class _Layer(NamedTuple):
    """What a layer hands on, columns (G, H, B), and for a hidden one how it came about."""

    columns: Tensor
    output: Tensor | None = None
    mask: Tensor | None = None


def _layers(params: Params) -> Iterator[tuple[Tensor, Tensor]]:
    """Weight and bias of one layer after the other."""
    return zip(params[::2], params[1::2], strict=True)


def _affine(weight: Tensor, bias: Tensor, columns: Tensor) -> Tensor:
    """``W x + b`` as (K, H, B), for columns (G, D, B) of G groups of models."""
    groups, features, rows = columns.shape
    if groups == weight.shape[0]:
        return torch.baddbmm(bias, weight, columns)
    grouped = bias.view(groups, -1, 1), weight.view(groups, -1, features)
    return torch.baddbmm(*grouped, columns).view(*bias.shape[:2], rows)


def _accuracy(hit: Tensor, share: Tensor) -> Tensor:
    """Weighted share (K,) of hits (S, M, B): of as many the same to the last bit, all 1."""
    if share.dim() == 0:
        return hit.double().mean(-1).flatten()
    weight = share.squeeze(2).double()
    return ((hit * weight).sum(-1) / weight.sum(-1)).flatten()


def _dropout_mask(output: Tensor, dropout: Tensor, generators: Sequence[Generator]) -> Tensor:
    """Zeros where units are dropped, ``1 / (1 − p)`` where they are kept, (K, H, B).

    All models of a stream see the same uniform numbers, each against its own rate: a
    model's mask does not depend on which others are trained beside it.
    """
    uniform = torch.stack(
        [
            torch.rand(output.shape[1:], dtype=output.dtype, device=output.device, generator=g)
            for g in generators
        ]
    )
    rate = dropout.view(len(generators), -1, 1, 1)
    kept = uniform.unsqueeze(1) >= rate
    return (kept.to(output) / (1 - rate)).view_as(output)


def _penalised(loss: Tensor, params: Params, strength: Tensor | None) -> Tensor:
    """Loss (K,) and ``strength / 2 · Σ W²``, if any."""
    if strength is None:
        return loss
    for weight in params[::2]:
        norm = torch.linalg.vector_norm(weight, dim=(1, 2), dtype=loss.dtype)
        loss = torch.addcmul(loss, strength.flatten(), norm.square(), value=0.5)
    return loss
