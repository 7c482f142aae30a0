"""Losses of logits against targets, with their closed-form gradients.

A loss is two functions of logits z (…, C, B). ``value_and_gradient`` compares them with
targets t (…, C, B), weighs every row by its share (…, 1, B), and returns the sum (…,) over
the rows and its derivative by z (…, C, B); ``scores`` turns logits into values whose softmax
are the class probabilities.

To add one: write the two functions, enter them in `LOSSES`. The estimators offer it,
and the tests check its gradient, from then on.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

CLASSES = -2  # the axis of C in (…, C, B)
ENTRIES = (-2, -1)  # of C and B


class Loss(NamedTuple):
    """A loss of logits; see the module's docstring."""

    value_and_gradient: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    scores: Callable[[Tensor], Tensor]


def cross_entropy(logits: Tensor, targets: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    r"""``logsumexp(z) · Σ t − Σ t z`` of each row, with gradient ``softmax(z) − t``.

    Through log-softmax, which subtracts the largest logit first: the logarithm of a
    softmax overflows where this does not.
    """
    log_proba = torch.log_softmax(logits, CLASSES)
    value = (targets * log_proba * share).sum(ENTRIES).neg_()
    return value, log_proba.exp_().sub_(targets).mul_(share)


def softmax_mse(logits: Tensor, targets: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean over classes of ``(p − t)²`` with ``p = softmax(z)``."""
    proba, weight = torch.softmax(logits, CLASSES), share / logits.shape[CLASSES]
    residual = proba - targets
    slope = residual * (2 * weight)
    gradient = proba * (slope - (slope * proba).sum(CLASSES, keepdim=True))
    return (residual.square_() * weight).sum(ENTRIES), gradient


def sigmoid_mse(logits: Tensor, targets: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean over classes of ``(σ(z) − t)²``, every class on its own."""
    proba, weight = torch.sigmoid(logits), share / logits.shape[CLASSES]
    residual = proba - targets
    gradient = residual * proba * (1 - proba) * (2 * weight)
    return (residual.square_() * weight).sum(ENTRIES), gradient


def _identity(logits: Tensor) -> Tensor:
    return logits


LOSSES = {
    "cross_entropy": Loss(cross_entropy, _identity),
    "softmax_mse": Loss(softmax_mse, _identity),
    # σ(z) / Σ σ(z) is the softmax of log σ(z), finite however far the logits are out.
    "sigmoid_mse": Loss(sigmoid_mse, logsigmoid),
}


def target_table(n_classes: int, label_smoothing: float, like: Tensor) -> Tensor:
    """Targets of each class (C, C): row c is ``(1 − ε) · onehot(c) + ε / C``."""
    eye = torch.eye(n_classes, dtype=like.dtype, device=like.device)
    return eye * (1 - label_smoothing) + label_smoothing / n_classes
