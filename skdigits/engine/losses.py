"""Losses of logits against targets, with their closed-form gradients.

A loss is three functions of logits z (…, C, B). ``value`` compares them with targets
t (…, C, B), row by row (…, B). ``gradient`` is its derivative by z (…, C, B), a function of
its own as it is needed more often. ``scores`` turns logits into values whose softmax are the
class probabilities.

To add one: write the functions, enter them in `LOSSES`. The estimators offer it, and the
tests check its gradient, from then on.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

CLASSES = -2  # the axis of C in (…, C, B)


class Loss(NamedTuple):
    """A loss of logits; see the module's docstring."""

    value: Callable[[Tensor, Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor]
    scores: Callable[[Tensor], Tensor]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    r"""``logsumexp(z) − Σ t z``, through log-softmax, which subtracts the largest logit first.

    The logarithm of a softmax overflows where this does not.
    """
    return torch.log_softmax(logits, CLASSES).mul_(targets).sum(CLASSES).neg_()


def cross_entropy_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    """``softmax(z) − t``."""
    return torch.softmax(logits, CLASSES).sub_(targets)


def softmax_mse(logits: Tensor, targets: Tensor) -> Tensor:
    r"""Mean over classes of ``(p − t)²`` with ``p = softmax(z)``."""
    return torch.softmax(logits, CLASSES).sub_(targets).square_().mean(CLASSES)


def softmax_mse_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    """``p (r − Σ r p)`` with ``r = 2 (p − t) / C``."""
    proba = torch.softmax(logits, CLASSES)
    slope = (proba - targets).mul_(2 / logits.shape[CLASSES])
    return slope.sub_((slope * proba).sum(CLASSES, keepdim=True)).mul_(proba)


def sigmoid_mse(logits: Tensor, targets: Tensor) -> Tensor:
    r"""Mean over classes of ``(σ(z) − t)²``, every class on its own."""
    return torch.sigmoid(logits).sub_(targets).square_().mean(CLASSES)


def sigmoid_mse_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    """``2 (σ − t) σ (1 − σ) / C``."""
    proba = torch.sigmoid(logits)
    slope = (proba - targets).mul_(2 / logits.shape[CLASSES])
    return slope.mul_(proba).mul_(1 - proba)


def logistic(logits: Tensor, targets: Tensor) -> Tensor:
    r"""``Σ log(1 + exp(z)) − t z`` over the outputs, in a form that does not overflow."""
    rest = logits.abs().neg_().exp_().log1p_()
    return logits.clamp_min(0).add_(rest).sub_(logits * targets).sum(CLASSES)


def logistic_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    """``σ(z) − t``."""
    return torch.sigmoid(logits).sub_(targets)


def _identity(logits: Tensor) -> Tensor:
    return logits


LOSSES = {
    "cross_entropy": Loss(cross_entropy, cross_entropy_gradient, _identity),
    "softmax_mse": Loss(softmax_mse, softmax_mse_gradient, _identity),
    # σ(z) / Σ σ(z) is the softmax of log σ(z), finite however far the logits are out.
    "sigmoid_mse": Loss(sigmoid_mse, sigmoid_mse_gradient, logsigmoid),
}

LOGISTIC = "logistic"
OUTPUTS = {**LOSSES, LOGISTIC: Loss(logistic, logistic_gradient, _identity)}
"""Those of networks. ``"logistic"`` is the cross-entropy of outputs that stand each for
itself: the only one of two classes, or one for each of several labels."""


def target_table(n_classes: int, label_smoothing: float, like: Tensor) -> Tensor:
    """Targets of each class (C, C): row c is ``(1 − ε) · onehot(c) + ε / C``."""
    eye = torch.eye(n_classes, dtype=like.dtype, device=like.device)
    return eye * (1 - label_smoothing) + label_smoothing / n_classes


def logistic_table(label_smoothing: float, like: Tensor) -> Tensor:
    """Targets (2, 1) of an output that is to say no or yes: ε / 2 and 1 − ε / 2."""
    return target_table(2, label_smoothing, like)[:, 1:]
