"""Dense networks, K at a time, with their backward pass in closed form."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from skdigits.engine.losses import CLASSES, LOSSES
from skdigits.engine.types import Batch, Hyper, Params


class Activation(NamedTuple):
    """An activation function, and its derivative as a function of its *output*."""

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]


ACTIVATIONS = {
    "identity": Activation(lambda z: z, torch.ones_like),
    "logistic": Activation(torch.sigmoid, lambda a: a * (1 - a)),
    "tanh": Activation(torch.tanh, lambda a: 1 - a * a),
    "relu": Activation(torch.relu, lambda a: (a > 0).to(a)),
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
        self, params: Params, batch: Batch, hyper: Hyper, generator: Generator | None
    ) -> tuple[Tensor, Params]:
        """Objective (K,) on a batch, and its gradients shaped like the parameters.

        ``generator`` drives dropout; None means none.
        """
        inputs, slopes = self._forward(params, batch.X, hyper.dropout, generator)
        logits = _affine(params[-2], params[-1], inputs[-1])
        row_loss, delta = LOSSES[self.loss].value_and_gradient(logits, batch.targets)
        gradients = _backward(params, inputs, slopes, delta * batch.share)
        strength = hyper.alpha / batch.total if self.penalty_per_row else hyper.alpha
        return _add_penalty(_mean(row_loss, batch.share), gradients, params, strength)

    def evaluate(self, params: Params, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean loss (K,) and accuracy (K,) on a batch, without penalty or dropout."""
        logits = self._logits(params, batch.X)
        row_loss, _ = LOSSES[self.loss].value_and_gradient(logits, batch.targets)
        hit = LOSSES[self.loss].scores(logits).argmax(CLASSES) == batch.targets.argmax(0)
        return _mean(row_loss, batch.share), _mean(hit.double(), batch.share)

    def scores(self, params: Params, X: Tensor) -> Tensor:
        """For rows X (B, D), scores (K, C, B) whose softmax are the probabilities."""
        return LOSSES[self.loss].scores(self._logits(params, X))

    def _logits(self, params: Params, X: Tensor) -> Tensor:
        output = X
        for weight, bias in _layers(params[:-2]):
            output = ACTIVATIONS[self.activation].value(_affine(weight, bias, output))
        return _affine(params[-2], params[-1], output)

    def _forward(
        self, params: Params, X: Tensor, dropout: Tensor, generator: Generator | None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """What every layer receives, X (B, D) first, and the hidden slopes (K, H, B)."""
        activation = ACTIVATIONS[self.activation]
        inputs, slopes = [X], []
        for weight, bias in _layers(params[:-2]):
            output = activation.value(_affine(weight, bias, inputs[-1]))
            slope = activation.slope(output)
            if generator is not None:
                mask = _dropout_mask(output, dropout, generator)
                output, slope = output * mask, slope * mask
            inputs.append(output)
            slopes.append(slope)
        return inputs, slopes


def _layers(params: Params) -> Iterator[tuple[Tensor, Tensor]]:
    """Weight and bias of one layer after the other."""
    return zip(params[::2], params[1::2], strict=True)


def _backward(
    params: Params, inputs: list[Tensor], slopes: list[Tensor], delta: Tensor
) -> list[Tensor]:
    """Gradients by all parameters from delta (K, C, B), the loss's by the logits."""
    gradients = [_outer(delta, inputs[-1]), delta.sum(-1, keepdim=True)]
    for layer in reversed(range(len(slopes))):
        delta = torch.bmm(params[2 * layer + 2].mT, delta) * slopes[layer]
        gradients = [_outer(delta, inputs[layer]), delta.sum(-1, keepdim=True), *gradients]
    return gradients


def _affine(weight: Tensor, bias: Tensor, inputs: Tensor) -> Tensor:
    """``W x + b`` as (K, H, B), for rows (B, D) shared by all models or (K, D, B)."""
    if inputs.dim() == 3:
        return torch.baddbmm(bias, weight, inputs)
    flat = torch.addmm(bias.flatten(0, 1), weight.flatten(0, 1), inputs.T)
    return flat.view(*bias.shape[:2], len(inputs))


def _outer(delta: Tensor, inputs: Tensor) -> Tensor:
    """Gradient by the weights (K, H, D) of what `_affine` computed."""
    if inputs.dim() == 3:
        return torch.bmm(delta, inputs.mT)
    return (delta.flatten(0, 1) @ inputs).view(*delta.shape[:2], -1)


def _mean(values: Tensor, share: Tensor | float) -> Tensor:
    """Weighted mean (K,) over rows (K, B); of equal hits the same to the last bit."""
    return values.sum(-1) * share if isinstance(share, float) else (values * share).sum(-1)


def _dropout_mask(output: Tensor, dropout: Tensor, generator: Generator) -> Tensor:
    """Zeros where units are dropped, ``1 / (1 − p)`` where they are kept, (K, H, B).

    All models see the same uniform numbers, each against its own rate: a model's mask
    does not depend on which others are trained beside it.
    """
    uniform = torch.rand(
        output.shape[1:], dtype=output.dtype, device=output.device, generator=generator
    )
    return (uniform >= dropout).to(output) / (1 - dropout)


def _add_penalty(
    loss: Tensor, gradients: list[Tensor], params: Params, strength: Tensor
) -> tuple[Tensor, Params]:
    """Add ``strength / 2 · Σ W²``, if any, to the loss, its gradient to the weights'."""
    if not len(strength):
        return loss, tuple(gradients)
    for layer in range(0, len(params), 2):
        gradients[layer] = torch.addcmul(gradients[layer], params[layer], strength)
        norm = torch.linalg.vector_norm(params[layer], dim=(1, 2))
        loss = torch.addcmul(loss, strength.flatten(), norm.square(), value=0.5)
    return loss, tuple(gradients)
