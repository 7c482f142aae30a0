"""Gradients: tensors, or outer products that are not multiplied out."""

from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor


class Outer(NamedTuple):
    """A gradient by weights W (K, H, D), ``δ xᵀ + strength · W``, in its parts.

    ``delta`` (K, H, B) is the gradient by the layer's outputs; ``rows`` (G, B, D) are its
    inputs, where each of G groups of consecutive models has the same. ``penalty`` is the
    strength (K, 1, 1) and the weights, or None. Where a step only adds it to something, the
    addition is part of the product, and the gradient is never written down and read again.
    """

    delta: Tensor
    rows: Tensor
    penalty: tuple[Tensor, Tensor] | None = None

    def dense(self) -> Tensor:
        """The gradient itself."""
        if self.rows.size(0) == self.delta.size(0):
            product = torch.bmm(self.delta, self.rows)
        else:
            product = torch.bmm(self._grouped(self.delta), self.rows)
            product = product.view(*self.delta.shape[:2], -1)
        return product if self.penalty is None else product.addcmul_(*self.penalty)

    def subtract_from(self, target: Tensor, rate: Tensor) -> None:
        """``target ← target − rate · gradient``, in place."""
        if self.penalty is not None:
            strength, weight = self.penalty
            target.addcmul_(weight, rate * strength, value=-1)
        steps = self.delta * rate
        if self.rows.size(0) != target.size(0):
            steps, target = self._grouped(steps), self._grouped(target)
        target.baddbmm_(steps, self.rows, alpha=-1)

    def _grouped(self, tensor: Tensor) -> Tensor:
        """A tensor (K, H, ·) as (G, M · H, ·)."""
        return tensor.view(self.rows.size(0), -1, tensor.size(2))


Gradients: TypeAlias = tuple[Tensor | Outer, ...]
"""The gradient by each parameter, in the order of the parameters."""


def dense(gradient: Tensor | Outer) -> Tensor:
    """The gradient as a tensor like its parameter."""
    return gradient.dense() if isinstance(gradient, Outer) else gradient


def subtract(target: Tensor, gradient: Tensor | Outer, rate: Tensor) -> None:
    """``target ← target − rate · gradient``, in place; ``rate`` is (K, 1, 1)."""
    if isinstance(gradient, Outer):
        gradient.subtract_from(target, rate)
    else:
        target.addcmul_(gradient, rate, value=-1)
