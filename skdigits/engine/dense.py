"""Fully connected networks, with their backward pass in closed form.

Their time is that of matrix products, which come from one of two libraries, MKL and
oneDNN. `product` and `Outer` choose the faster one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from skdigits.engine.activations import ACTIVATIONS
from skdigits.engine.batches import Batch
from skdigits.engine.losses import OUTPUT_LOSSES
from skdigits.engine.network import Gradients, Network, dropout_mask
from skdigits.engine.process import onednn_linear
from skdigits.engine.types import Params, StepHyper

# Multiplications from which a product by oneDNN, which takes a few microseconds to call
# and a millisecond for the first of a shape, is faster than one by a slow MKL.
ONEDNN = 2e6
ONEDNN_ONCE = 1e7  # if products of the shape may not come again


def product(
    left: Tensor, right: Tensor, bias: Tensor | None = None, least: float = ONEDNN
) -> Tensor:
    """Return the product of each model's matrices, ``left @ right + bias``.

    Parameters
    ----------
    left : Tensor of shape (K, M, N)
        First matrix of each of K models.
    right : Tensor of shape (G, N, O)
        Second one of each of G groups of consecutive models.
    bias : Tensor of shape (K, M, 1) or, for G = K, (K, 1, O), optional
        Added to each product.
    least : float
        Number of multiplications from which oneDNN computes in place of a slow MKL.

    Returns
    -------
    Tensor of shape (K, M, O)
        Products, with one row after the other in memory.
    """
    groups = right.size(0)
    shape = None
    if groups != left.size(0):
        # Models that share a matrix become one product, with a row a unit and model.
        shape = (*left.shape[:2], -1)
        left = left.view(groups, -1, left.size(2))
        if bias is not None:
            bias = bias.view(groups, -1, 1)

    large = left.numel() * right.size(2) >= least * groups
    if large and onednn_linear and left.is_cpu and left.dtype == torch.float32:
        parts = _by_onednn(left, right)
        # A single one is not copied.
        found = torch.stack(parts) if groups > 1 else parts[0].unsqueeze(0)
        found = found if bias is None else found.add_(bias)
    elif bias is None:
        found = torch.bmm(left, right)
    else:
        found = torch.baddbmm(bias, left, right)
    return found if shape is None else found.view(shape)


def _by_onednn(left: Tensor, right: Tensor) -> list[Tensor]:
    """Return the products of G pairs of matrices."""
    assert onednn_linear is not None
    # A linear layer multiplies by a transposed matrix, however it lies in memory.
    pairs = zip(left.unbind(), right.mT.unbind(), strict=True)
    return [onednn_linear(one, other, None, "none", [], "") for one, other in pairs]


class Outer(NamedTuple):
    """Gradient by weights W (K, H, D), ``δ xᵀ + strength · W``, in its parts.

    ``delta`` (K, H, B) is the gradient by the layer's outputs. ``inputs`` (G, B, D) are
    the layer's inputs, shared by the consecutive models of each of G groups.
    ``penalty`` is the strength (K, 1, 1) and the weights, or None.

    A step that adds the gradient to something can do so within the product: the
    gradient itself is then never written to memory and read again.
    """

    delta: Tensor
    inputs: Tensor
    penalty: tuple[Tensor, Tensor] | None = None

    def to_dense(self) -> Tensor:
        """Return the gradient as a tensor; tensors have a method of this name, too."""
        found = product(self.delta, self.inputs)
        return found if self.penalty is None else found.addcmul_(*self.penalty)

    def subtract_from(self, target: Tensor, rate: Tensor) -> None:
        """Compute ``target ← target − rate · gradient`` in place, and use ``delta`` up.

        Logits of many classes are large, and so would be a copy of delta.
        """
        if self.penalty is not None:
            strength, weight = self.penalty
            target.addcmul_(weight, rate * strength, value=-1)

        steps = self.delta.mul_(rate)
        if self.inputs.size(0) != target.size(0):
            steps = steps.view(self.inputs.size(0), -1, steps.size(2))
            target = target.view(self.inputs.size(0), -1, target.size(2))

        large = steps.numel() * self.inputs.size(2) >= ONEDNN * len(steps)
        if large and onednn_linear and steps.is_cpu and steps.dtype == torch.float32:
            parts = _by_onednn(steps, self.inputs)
            for own, part in zip(target.unbind(), parts, strict=True):
                own.sub_(part)
        else:
            target.baddbmm_(steps, self.inputs, alpha=-1)


def subtract(target: Tensor, gradient: "Tensor | Outer", rate: Tensor) -> None:
    """Compute ``target ← target − rate · gradient`` in place; ``rate`` is (K, 1, 1)."""
    if isinstance(gradient, Outer):
        gradient.subtract_from(target, rate)
    else:
        target.addcmul_(gradient, rate, value=-1)


class Layer(NamedTuple):
    """Outputs of a layer, as (G, B, H) and transposed as (G, H, B).

    A hidden layer also keeps its output before dropout, and the mask.
    """

    values: Tensor
    transposed: Tensor
    output: Tensor | None = None
    mask: Tensor | None = None


@dataclass(frozen=True)
class DenseNetwork(Network):
    """Fully connected layers; without hidden ones, a linear model.

    Parameters
    ----------
    layer_sizes : tuple of int
        ``(D, H1, …, O)``.
    loss, activation, weight_init, penalty_per_sample
        As in `Network`.
    """

    layer_sizes: tuple[int, ...]
    loss: str
    activation: str = "relu"
    weight_init: str = "glorot"
    penalty_per_sample: bool = True

    @cached_property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shape (H, D) of each layer's weights."""
        return [(n_out, n_in) for n_in, n_out in pairwise(self.layer_sizes)]

    @property
    def n_units(self) -> int:
        """Number of values that the layers compute for a sample."""
        return sum(self.layer_sizes[1:])

    def gradients(
        self,
        params: Params,
        batch: Batch,
        hyper: StepHyper,
        generators: Sequence[Generator],
    ) -> tuple[Tensor, Gradients]:
        """Return logits (K, C, B) of a batch, and the gradient by each parameter."""
        value = ACTIVATIONS[self.activation].value
        layers = [Layer(batch.X, batch.XT)]
        for weight, bias in zip(params[:-2:2], params[1:-2:2], strict=True):
            values = value(product(weight, layers[-1].transposed, bias))
            if generators:
                kept = dropout_mask(values, hyper.dropout, generators, batch.part)
                dropped = values * kept
                layers.append(Layer(dropped.mT, dropped, values, kept))
            else:
                layers.append(Layer(values.mT, values, values))

        logits = product(params[-2], layers[-1].transposed, params[-1])
        delta = OUTPUT_LOSSES[self.loss].gradient(logits, batch.targets)
        delta = delta.mul_(batch.normalised_weight)
        strength = self.strength(batch, hyper, logits.dtype)

        gradients: Gradients = ()
        for number in reversed(range(len(layers))):
            weight = params[2 * number]
            inputs, _, output, mask = layers[number]

            penalty = None if strength is None else (strength, weight)
            by_bias = delta.sum(-1, keepdim=True)
            gradients = (Outer(delta, inputs, penalty), by_bias, *gradients)

            if output is not None:
                # oneDNN copies a matrix that it is to transpose.
                delta = product(weight.mT, delta, least=ONEDNN_ONCE)
                delta = delta if mask is None else delta.mul_(mask)
                delta = ACTIVATIONS[self.activation].backward(delta, output)
        return logits, gradients

    def logits(self, params: Params, X: Tensor) -> Tensor:
        """Return logits (K, C, B) of samples X (R, B, D), thousands of them."""
        value = ACTIVATIONS[self.activation].value
        transposed = X.mT
        for weight, bias in zip(params[:-2:2], params[1:-2:2], strict=True):
            if len(transposed) == len(weight):
                # Of so many samples, products laid out sample by sample are up to a
                # third faster.
                values = product(transposed.mT, weight.mT, bias.mT, ONEDNN_ONCE)
                transposed = value(values).mT
            else:
                transposed = value(product(weight, transposed, bias, ONEDNN_ONCE))
        return product(params[-2], transposed, params[-1], ONEDNN_ONCE)
