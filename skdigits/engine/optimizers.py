"""First-order optimizers, for K models with K sets of settings.

``step(params, moments, gradients, hyper, rate, size)`` updates parameters and moments in
place: they belong to the run, and written anew they would cost twice the time. Every
hyper-parameter, the current learning ``rate`` and, for Adam, its ``size`` after the bias
correction have shape (K, 1, 1), to go with parameters (K, ·, ·). Nothing else is kept.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from skdigits.engine.gradients import Gradients, dense, subtract
from skdigits.engine.types import Hyper, Params, Plan

N_MOMENTS = {"sgd": 1, "adam": 2, "adamw": 2, "lbfgs": 0}

Moments: TypeAlias = tuple[Params, ...]
Step: TypeAlias = Callable[[Params, Moments, Gradients, Hyper, Tensor, Tensor], None]


def initial_moments(solver: str, params: Params) -> Moments:
    """Zeros for everything that the solver keeps of every parameter."""
    return tuple(tuple(map(torch.zeros_like, params)) for _ in range(N_MOMENTS[solver]))


def step_of(plan: Plan, hyper: Hyper) -> Step:
    """The step that a plan asks for; without momentum, one that does not look for it."""
    if plan.solver == "sgd":
        if not hyper.momentum.any():
            return _descend
        return _nesterov if plan.nesterov else _momentum
    return _adamw if plan.solver == "adamw" else _adam


def bias_corrections(plan: Plan, hyper: Hyper, first: int, steps: int) -> Tensor:
    """Adam's ``√(1 − β₂ᵗ) / (1 − β₁ᵗ)`` (steps, K) for ``steps`` steps from ``t = first``.

    Ahead of the steps and in float64: in float32, 1 − 0.999 keeps four digits. Other solvers
    have none, which is 1 throughout, (1, K).
    """
    if N_MOMENTS[plan.solver] < 2:
        return torch.ones_like(hyper.beta_2)[None]
    t = np.arange(first, first + steps, dtype=np.float64)[:, None]
    beta_1, beta_2 = hyper.beta_1.numpy(), hyper.beta_2.numpy()
    return torch.from_numpy(np.sqrt(1 - beta_2**t) / (1 - beta_1**t))


def _descend(
    params: Params,
    moments: Moments,
    gradients: Gradients,
    hyper: Hyper,
    rate: Tensor,
    size: Tensor,
) -> None:
    """Gradient descent: ``p ← p − rate · g``."""
    for p, g in zip(params, gradients, strict=True):
        subtract(p, g, rate)


def _momentum(
    params: Params,
    moments: Moments,
    gradients: Gradients,
    hyper: Hyper,
    rate: Tensor,
    size: Tensor,
) -> None:
    """Momentum as in scikit-learn: ``v ← m v − rate · g``, ``p ← p + v``.

    The rate is part of the velocity, so a change of rate acts on new gradients only.
    """
    for p, g, v in zip(params, gradients, *moments, strict=True):
        subtract(v.mul_(hyper.momentum), g, rate)
        p.add_(v)


def _nesterov(
    params: Params,
    moments: Moments,
    gradients: Gradients,
    hyper: Hyper,
    rate: Tensor,
    size: Tensor,
) -> None:
    """Nesterov's momentum: the same velocity, taken once more from its end."""
    for p, gradient, v in zip(params, gradients, *moments, strict=True):
        g = dense(gradient)
        v.mul_(hyper.momentum).addcmul_(g, rate, value=-1)
        p.addcmul_(v, hyper.momentum).addcmul_(g, rate, value=-1)


def _adam(
    params: Params,
    moments: Moments,
    gradients: Gradients,
    hyper: Hyper,
    rate: Tensor,
    size: Tensor,
) -> None:
    """Adam (Kingma & Ba 2015), with epsilon where scikit-learn's has it."""
    new_1, new_2 = 1 - hyper.beta_1, 1 - hyper.beta_2
    for p, gradient, m, s in zip(params, gradients, *moments, strict=True):
        g = dense(gradient)
        m.lerp_(g, new_1)
        s.lerp_(g * g, new_2)
        p.addcdiv_(m, s.sqrt().add_(hyper.epsilon).div_(size), value=-1)


def _adamw(
    params: Params,
    moments: Moments,
    gradients: Gradients,
    hyper: Hyper,
    rate: Tensor,
    size: Tensor,
) -> None:
    """Adam after decoupled weight decay (Loshchilov & Hutter 2019), biases spared."""
    gradients = tuple(
        map(dense, gradients)
    )  # whose penalty is on the weights as they are
    for weight in params[::2]:
        weight.mul_(1 - rate * hyper.weight_decay)
    _adam(params, moments, gradients, hyper, rate, size)
