"""Learning-rate schedules: what the rates are in each step of the coming epoch.

A schedule is a function of the hyper-parameters, the progress made before the epoch, the
number of steps an epoch has, the epochs planned in all, and how often training has
stalled (K,). It returns rates (1, K), or (steps, K) where they change within the epoch.
"""

import math

import torch
from torch import Tensor

from skdigits.engine.types import Hyper, Progress

DIVISOR = 5.0  # of the adaptive schedule, as in scikit-learn
SMALLEST_RATE = 1e-6  # the adaptive schedule divides no rate that is this small


def constant(
    hyper: Hyper, progress: Progress, steps: int, planned: int, divisions: Tensor
) -> Tensor:
    """``learning_rate_init`` throughout."""
    return hyper.learning_rate[None]


def invscaling(
    hyper: Hyper, progress: Progress, steps: int, planned: int, divisions: Tensor
) -> Tensor:
    """``learning_rate_init / (1 + rows seen) ** power_t``, from epoch to epoch."""
    return (hyper.learning_rate / (1 + progress.seen) ** hyper.power_t)[None]


def adaptive(
    hyper: Hyper, progress: Progress, steps: int, planned: int, divisions: Tensor
) -> Tensor:
    """``learning_rate_init / 5 ** times training stalled``."""
    return (hyper.learning_rate / DIVISOR**divisions)[None]


def one_cycle(
    hyper: Hyper, progress: Progress, steps: int, planned: int, divisions: Tensor
) -> Tensor:
    """Up from 1/25 of ``learning_rate_init`` to all of it, then down to 1/250,000.

    Cosines, with the summit after 30 % of all planned steps (Smith & Topin 2018, in the
    form of ``torch.optim.lr_scheduler.OneCycleLR``). Past the end the rate stays at its
    last value.
    """
    low, last, summit = 1 / 25, 1 / 250_000, 0.3 * planned * steps - 1
    end = planned * steps - 1
    if end == 0:  # a single step has no time to rise and fall
        return hyper.learning_rate[None]
    first = progress.cycle * steps
    step = torch.arange(first, first + steps, device="cpu").double()
    rising = _cosine(low, 1.0, step / summit) if summit > 0 else torch.ones_like(step)
    falling = _cosine(1.0, last, (step - summit) / (end - summit))
    return torch.where(step <= summit, rising, falling)[:, None] * hyper.learning_rate


def _cosine(start: float, end: float, fraction: Tensor) -> Tensor:
    """From start to end along half a cosine."""
    return end + (start - end) / 2 * (1 + torch.cos(math.pi * fraction.clamp(0, 1)))


SCHEDULES = {
    "constant": constant,
    "invscaling": invscaling,
    "adaptive": adaptive,
    "one_cycle": one_cycle,
}
