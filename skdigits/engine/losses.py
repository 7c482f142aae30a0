"""Losses of logits against targets, with their closed-form gradients.

A loss consists of three functions of logits z (…, C, B):

- ``value`` compares them with targets t (…, C, B) and returns a loss (…, B) per sample;
- ``gradient`` is its derivative by z (…, C, B). Steps need nothing else, so it is a
  function of its own;
- ``scores`` turns logits into values whose softmax is the probability of each class.

To add a loss, write the functions and enter them in `LOSSES`: estimators offer it, and
the tests check its gradient, from then on.
"""

from collections import ChainMap
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

CLASSES = -2  # the axis of C in (…, C, B)


class Loss(NamedTuple):
    """Functions of a loss, as described at the top of this module."""

    value: Callable[[Tensor, Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor]
    scores: Callable[[Tensor], Tensor]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return ``logsumexp(z) − Σ t z``."""
    # Log-softmax subtracts the largest logit first; log(softmax(z)) would overflow.
    return torch.log_softmax(logits, CLASSES).mul_(targets).sum(CLASSES).neg_()


def cross_entropy_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    """Return ``softmax(z) − t``."""
    return torch.softmax(logits, CLASSES).sub_(targets)


def softmax_mse(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over classes of ``(p − t)²``, with ``p = softmax(z)``."""
    return torch.softmax(logits, CLASSES).sub_(targets).square_().mean(CLASSES)


def softmax_mse_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    """Return ``p (r − Σ r p)`` with ``r = 2 (p − t) / C``."""
    proba = torch.softmax(logits, CLASSES)
    slope = (proba - targets).mul_(2 / logits.shape[CLASSES])
    return slope.sub_((slope * proba).sum(CLASSES, keepdim=True)).mul_(proba)


def sigmoid_mse(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over classes of ``(σ(z) − t)²``."""
    return torch.sigmoid(logits).sub_(targets).square_().mean(CLASSES)


def sigmoid_mse_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    """Return ``2 (σ − t) σ (1 − σ) / C``."""
    proba = torch.sigmoid(logits)
    slope = (proba - targets).mul_(2 / logits.shape[CLASSES])
    return slope.mul_(proba).mul_(1 - proba)


def logistic(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the sum over outputs of ``log(1 + exp(z)) − t z``."""
    # As max(z, 0) + log(1 + exp(−|z|)), no exponential overflows.
    rest = logits.abs().neg_().exp_().log1p_()
    return logits.clamp_min(0).add_(rest).sub_(logits * targets).sum(CLASSES)


def logistic_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    """Return ``σ(z) − t``."""
    return torch.sigmoid(logits).sub_(targets)


LOSSES = {
    "cross_entropy": Loss(cross_entropy, cross_entropy_gradient, torch.positive),
    "softmax_mse": Loss(softmax_mse, softmax_mse_gradient, torch.positive),
    # σ(z) / Σ σ(z) is the softmax of log σ(z), finite however far the logits are out.
    "sigmoid_mse": Loss(sigmoid_mse, sigmoid_mse_gradient, logsigmoid),
}

LOGISTIC = "logistic"
OUTPUT_LOSSES = ChainMap(
    LOSSES, {LOGISTIC: Loss(logistic, logistic_gradient, torch.positive)}
)
"""Losses of a network's outputs.

``"logistic"`` is the cross-entropy of outputs that are independent of each other: the
single one of two classes, or one for each of several labels.
"""
