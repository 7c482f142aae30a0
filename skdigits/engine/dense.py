"""Fully connected networks, with their backward pass in closed form."""

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
from skdigits.engine.network import Gradients, Network, Outer, dropout_mask
from skdigits.engine.types import Params, StepHyper


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
            output = value(affine(weight, bias, layers[-1].transposed))
            if generators:
                mask = dropout_mask(output, hyper.dropout, generators)
                dropped = output * mask
                layers.append(Layer(dropped.mT, dropped, output, mask))
            else:
                layers.append(Layer(output.mT, output, output))

        logits = affine(params[-2], params[-1], layers[-1].transposed)
        delta = OUTPUT_LOSSES[self.loss].gradient(logits, batch.targets)
        delta = delta.mul_(batch.normalised_weight)
        strength = self.strength(batch, hyper, logits.dtype)
        return logits, self._backward(params, layers, delta, strength)

    def logits(self, params: Params, X: Tensor) -> Tensor:
        """Return logits (K, C, B) of samples X (R, B, D), thousands of them."""
        value = ACTIVATIONS[self.activation].value
        transposed = X.mT
        for weight, bias in zip(params[:-2:2], params[1:-2:2], strict=True):
            if len(transposed) == len(weight):
                # Of so many samples, products laid out sample by sample are up to a
                # third faster.
                values = torch.baddbmm(bias.mT, transposed.mT, weight.mT)
                transposed = value(values).mT
            else:
                transposed = value(affine(weight, bias, transposed))
        return affine(params[-2], params[-1], transposed)

    def _backward(
        self,
        params: Params,
        layers: list[Layer],
        delta: Tensor,
        strength: Tensor | None,
    ) -> Gradients:
        """Return gradients by all parameters, for delta (K, C, B) by the logits."""
        gradients: Gradients = ()
        for number in reversed(range(len(layers))):
            weight = params[2 * number]
            inputs, _, output, mask = layers[number]

            penalty = None if strength is None else (strength, weight)
            by_bias = delta.sum(-1, keepdim=True)
            gradients = (Outer(delta, inputs, penalty), by_bias, *gradients)

            if output is not None:
                delta = torch.bmm(weight.mT, delta)
                delta = delta if mask is None else delta.mul_(mask)
                delta = ACTIVATIONS[self.activation].backward(delta, output)
        return gradients


def affine(weight: Tensor, bias: Tensor, transposed: Tensor) -> Tensor:
    """Return ``W x + b`` as (K, H, B), for samples (G, D, B) of G groups of models."""
    groups = transposed.size(0)
    if groups == weight.size(0):
        return torch.baddbmm(bias, weight, transposed)

    # Models that share their samples become one product, with one row a unit and model.
    grouped_bias = bias.view(groups, -1, 1)
    grouped_weight = weight.view(groups, -1, weight.size(2))
    output = torch.baddbmm(grouped_bias, grouped_weight, transposed)
    return output.view(*bias.shape[:2], -1)
