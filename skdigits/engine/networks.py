"""Networks of layers, and dense ones with their backward pass in closed form, K at a time."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from skdigits.engine.gradients import Gradients, Outer
from skdigits.engine.losses import (
    CLASSES,
    LOGISTIC,
    OUTPUTS,
    logistic_table,
    target_table,
)
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
    "relu": Activation(
        torch.relu_, lambda g, a: torch.ops.aten.threshold_backward(g, a, 0)
    ),
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


class LayeredNetwork(ABC):
    """What networks have in common whose parameters are weights and biases, layer by layer.

    ``loss`` is a key of `OUTPUTS`, ``activation`` of `ACTIVATIONS`, ``weight_init`` of
    `WEIGHT_INITS`. ``penalty_per_row`` says whether the L2 penalty ``alpha / 2 · Σ W²`` is
    divided by the weight of the batch, as MLPClassifier has it, or is added to the mean loss
    as it is, as in SGDClassifier.

    Notes
    -----
    The objective is ``mean(loss) + penalty``, the mean weighted by the rows' weights.
    """

    loss: str
    activation: str
    weight_init: str
    penalty_per_row: bool

    @property
    @abstractmethod
    def shapes(self) -> list[tuple[int, ...]]:
        """Of each layer's weights, outputs first, as they are handed to users.

        In the engine they are (K, outputs, all others). Of the last layer's outputs there is
        one for each class or label, or one for two classes.
        """

    @property
    def layout(self) -> tuple[Any, ...]:
        """What fitted weights can be trained further in."""
        return tuple(self.shapes)

    @abstractmethod
    def gradients(
        self,
        params: Params,
        batch: Batch,
        hyper: Hyper,
        generators: Sequence[Generator],
    ) -> tuple[Tensor, Gradients]:
        """Logits (K, C, B) of a batch, and the gradients, in the order of the parameters.

        ``generators``, one a stream, drive dropout; none, and there is no dropout.
        """

    @abstractmethod
    def _logits(self, params: Params, X: Tensor) -> Tensor:
        """Logits (K, C, B) for rows X (S, B, D), thousands of them."""

    def target_table(self, label_smoothing: float, like: Tensor) -> Tensor:
        """Targets (C, O) of each class, in the dtype and place of ``like``."""
        if self.loss == LOGISTIC:
            return logistic_table(label_smoothing, like)
        return target_table(self.shapes[-1][0], label_smoothing, like)

    def initial(
        self, rng: np.random.RandomState, n_models: int, like: Tensor
    ) -> Params:
        """Parameters of ``n_models`` equal networks, in the dtype and place of ``like``.

        Drawn once, in float64 on the host, so that they are the same for every dtype,
        device and number of models.
        """
        draw = WEIGHT_INITS[self.weight_init]
        arrays: list[np.ndarray] = []
        for fan_out, *inputs in self.shapes:
            arrays += draw(rng, math.prod(inputs), fan_out, self.activation)
        return tuple(
            torch.from_numpy(np.stack([array] * n_models)).to(like) for array in arrays
        )

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss (K, B) of every row, for logits (K, O, B)."""
        return OUTPUTS[self.loss].value(logits, targets)

    def penalty(self, params: Params, hyper: Hyper, total: Tensor | float) -> Tensor:
        """L2 penalty (K,), summed over rows of this total weight."""
        norms = [torch.linalg.vector_norm(weight, dim=(1, 2)) for weight in params[::2]]
        squares = torch.stack(norms).double().square_().sum(0)
        penalty = squares.mul_(hyper.alpha.flatten()).mul_(0.5)
        return (
            penalty
            if self.penalty_per_row
            else (penalty.view(-1, 1, 1) * total).flatten()
        )

    def evaluate(self, params: Params, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean loss (K,) and accuracy (K,) on a batch, without penalty or dropout."""
        logits = self._logits(params, batch.X)
        if self.loss == LOGISTIC:
            hit = ((logits > 0) == (batch.targets > 0.5)).all(CLASSES)
        else:
            found = OUTPUTS[self.loss].scores(logits).argmax(CLASSES)
            hit = found == batch.targets.argmax(CLASSES)
        losses = self.losses(logits, batch.targets)
        return _mean(losses, batch.weight), _mean(hit, batch.weight)

    def scores(self, params: Params, X: Tensor) -> Tensor:
        """For rows X (S, B, D), scores (K, C, B) whose softmax are the probabilities.

        The one logit of two classes is that of the second, against 0; those of labels are
        (K, L, B), whose sigmoid are the probabilities.
        """
        logits = self._logits(params, X)
        if self.loss == LOGISTIC and logits.shape[CLASSES] == 1:
            return torch.cat([torch.zeros_like(logits), logits], CLASSES)
        return OUTPUTS[self.loss].scores(logits)

    def _strength(
        self, batch: Batch, hyper: Hyper, dtype: torch.dtype
    ) -> Tensor | None:
        """What weights are multiplied by in the gradient of the penalty, (K, 1, 1)."""
        if not hyper.alpha.numel():
            return None
        strength = hyper.alpha / batch.total if self.penalty_per_row else hyper.alpha
        return strength.to(dtype)


@dataclass(frozen=True)
class DenseNetwork(LayeredNetwork):
    """Fully connected layers; with no hidden ones, a linear model.

    Parameters
    ----------
    layer_sizes : tuple of int
        ``(D, H1, …, O)``.
    loss, activation, weight_init, penalty_per_row
        As in `LayeredNetwork`.
    """

    layer_sizes: tuple[int, ...]
    loss: str
    activation: str = "relu"
    weight_init: str = "glorot"
    penalty_per_row: bool = True

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """(H, D) of each layer."""
        return [(n_out, n_in) for n_in, n_out in pairwise(self.layer_sizes)]

    def gradients(
        self,
        params: Params,
        batch: Batch,
        hyper: Hyper,
        generators: Sequence[Generator],
    ) -> tuple[Tensor, Gradients]:
        """Logits (K, C, B) of a batch, and the gradients, in the order of the parameters.

        ``generators``, one a stream, drive dropout; none, and there is no dropout.
        """
        layers = self._forward(params, batch, hyper.dropout, generators)
        logits = _affine(params[-2], params[-1], layers[-1].columns)
        delta = OUTPUTS[self.loss].gradient(logits, batch.targets).mul_(batch.share)
        strength = self._strength(batch, hyper, logits.dtype)
        return logits, self._backward(params, layers, delta, strength)

    def _logits(self, params: Params, X: Tensor) -> Tensor:
        """Logits (K, C, B) for rows X (S, B, D), thousands of them.

        Where each model has rows of its own, its hidden units' outputs lie row by row: the
        products of so many rows are up to a third faster then.
        """
        value, columns = ACTIVATIONS[self.activation].value, X.mT
        for weight, bias in _layers(params[:-2]):
            if len(columns) == len(weight):
                rows = torch.baddbmm(bias.mT, columns.mT, weight.mT)
                columns = value(rows).mT
            else:
                columns = value(_affine(weight, bias, columns))
        return _affine(params[-2], params[-1], columns)

    def _forward(
        self,
        params: Params,
        batch: Batch,
        dropout: Tensor,
        generators: Sequence[Generator],
    ) -> list["_Layer"]:
        """The input layer, then the hidden ones."""
        layers = [_Layer(batch.X, batch.columns)]
        for weight, bias in _layers(params[:-2]):
            output = _affine(weight, bias, layers[-1].columns)
            output = ACTIVATIONS[self.activation].value(output)
            if generators:
                mask = dropout_mask(output, dropout, generators)
                dropped = output * mask
                layers.append(_Layer(dropped.mT, dropped, output, mask))
            else:
                layers.append(_Layer(output.mT, output, output))
        return layers

    def _backward(
        self,
        params: Params,
        layers: list["_Layer"],
        delta: Tensor,
        strength: Tensor | None,
    ) -> Gradients:
        """Gradients by all parameters from delta (K, C, B), the loss's by the logits."""
        gradients: Gradients = ()
        for number in reversed(range(len(layers))):
            weight, (rows, _, output, mask) = params[2 * number], layers[number]
            penalty = None if strength is None else (strength, weight)
            by_weight, by_bias = (
                Outer(delta, rows, penalty),
                delta.sum(-1, keepdim=True),
            )
            gradients = (by_weight, by_bias, *gradients)
            if output is not None:
                delta = torch.bmm(weight.mT, delta)
                delta = delta if mask is None else delta.mul_(mask)
                delta = ACTIVATIONS[self.activation].backward(delta, output)
        return gradients


class _Layer(NamedTuple):
    """What a layer hands on, as rows (G, B, H) and as columns (G, H, B).

    For a hidden one also how it came about.
    """

    rows: Tensor
    columns: Tensor
    output: Tensor | None = None
    mask: Tensor | None = None


def _layers(params: Params) -> Iterator[tuple[Tensor, Tensor]]:
    """Weight and bias of one layer after the other."""
    return zip(params[::2], params[1::2], strict=True)


def _affine(weight: Tensor, bias: Tensor, columns: Tensor) -> Tensor:
    """``W x + b`` as (K, H, B), for columns (G, D, B) of G groups of models."""
    groups = columns.size(0)
    if groups == weight.size(0):
        return torch.baddbmm(bias, weight, columns)
    grouped = bias.view(groups, -1, 1), weight.view(groups, -1, weight.size(2))
    return torch.baddbmm(*grouped, columns).view(*bias.shape[:2], -1)


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Weighted mean (K,) of values (K, B); of hits, if all are, exactly 1."""
    if weight is None:
        return values.double().mean(-1)
    weight = weight.squeeze(1)
    return (values * weight).sum(-1) / weight.sum(-1)


def dropout_mask(
    output: Tensor, dropout: Tensor, generators: Sequence[Generator]
) -> Tensor:
    """Zeros where units are dropped, ``1 / (1 − p)`` where they are kept, (K, H, B).

    All models of a stream see the same uniform numbers, each against its own rate: a
    model's mask does not depend on which others are trained beside it.
    """
    uniform = torch.stack(
        [
            torch.rand(
                output.shape[1:], dtype=output.dtype, device=output.device, generator=g
            )
            for g in generators
        ]
    )
    rate = dropout.view(len(generators), -1, 1, 1)
    kept = uniform.unsqueeze(1) >= rate
    return (kept.to(output) / (1 - rate)).view_as(output)
