"""Schedules: the learning rate of each step of the coming epoch.

A schedule is a function of the hyper-parameters, the progress before the epoch, the
number of steps of an epoch, the number of planned epochs, and how often the learning
rate was reduced (K,). It returns learning rates (1, K), or (steps, K) if they change
within the epoch.
"""

import math

import torch
from torch import Tensor

from skdigits.engine.types import Hyper, Progress

DIVISOR = 5.0  # by which the adaptive schedule divides, as in scikit-learn
SMALLEST_RATE = 1e-6  # below it, the adaptive schedule stops instead of dividing
SUMMIT = 0.3  # the share of all steps in which the one-cycle schedule rises


def invscaling(
    hyper: Hyper, progress: Progress, steps: int, planned: int, reductions: Tensor
) -> Tensor:
    """Return ``learning_rate_init / (1 + samples seen) ** power_t``, epoch by epoch."""
    return (hyper.learning_rate_init / (1 + progress.seen) ** hyper.power_t)[None]


def adaptive(
    hyper: Hyper, progress: Progress, steps: int, planned: int, reductions: Tensor
) -> Tensor:
    """Return ``learning_rate_init / 5 ** reductions``."""
    return (hyper.learning_rate_init / DIVISOR**reductions)[None]


def one_cycle(
    hyper: Hyper, progress: Progress, steps: int, planned: int, reductions: Tensor
) -> Tensor:
    """Rise from 1/25 of ``learning_rate_init`` to all of it, then fall to 1/250,000.

    Both along cosines; the summit comes after 30 % of all planned steps (Smith & Topin
    2018, in the form of ``torch.optim.lr_scheduler.OneCycleLR``). Past the end, the
    learning rate stays at its last value.
    """
    low = 1 / 25
    last = 1 / 250_000
    end = planned * steps - 1
    if end == 0:  # a single step has no time to rise and fall
        return hyper.learning_rate_init[None]

    first = progress.cycle * steps
    step = torch.arange(first, first + steps, device="cpu").double()
    summit = SUMMIT * planned * steps - 1

    rising = torch.ones_like(step)
    if summit > 0:
        rising = _cosine(low, 1.0, step / summit)
    falling = _cosine(1.0, last, (step - summit) / (end - summit))
    factors = torch.where(step <= summit, rising, falling)
    return factors[:, None] * hyper.learning_rate_init


def _cosine(start: float, end: float, fraction: Tensor) -> Tensor:
    """Go from start to end along half a cosine."""
    return end + (start - end) / 2 * (1 + torch.cos(math.pi * fraction.clamp(0, 1)))


SCHEDULES = {
    "constant": None,  # the learning rate stays learning_rate_init
    "invscaling": invscaling,
    "adaptive": adaptive,
    "one_cycle": one_cycle,
}
