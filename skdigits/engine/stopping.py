"""When to stop: scikit-learn's rules, for every model by itself."""

import numpy as np
import torch
from torch import Tensor

from skdigits.engine.schedules import SMALLEST_RATE
from skdigits.engine.types import Plan, Stopping


def initial_stopping(n_models: int) -> Stopping:
    """Nothing seen, nothing stalled."""
    zeros = torch.zeros(n_models, dtype=torch.float64, device="cpu")
    return Stopping(zeros - torch.inf, zeros, zeros)


def update_stopping(
    state: Stopping, merit: Tensor, rate: Tensor, plan: Plan
) -> tuple[Stopping, Tensor, Tensor]:
    """Take in the merit (K,) of an epoch, a validation score or the loss negated.

    Returns the new bookkeeping, which models improved on their best, and which are to
    stop (both (K,) bool). A model is stale after an epoch that does not lift its best by
    ``tol``, and stalls once it was stale more than ``n_iter_no_change`` times in a row;
    then it stops, unless the adaptive schedule can still divide its ``rate`` (K,).
    """
    # In NumPy, whose operations on a few numbers take a third of the time.
    merits, best, stale = merit.numpy(), state.best.numpy(), state.stale.numpy()
    stale = np.where(merits < best + plan.tol, stale + 1, 0.0)
    stalled, divisions = stale > plan.n_iter_no_change, state.divisions
    improved, stops = merits > best, stalled
    if stalled.any():
        divided = (
            stalled & (rate.numpy() > SMALLEST_RATE) & (plan.schedule == "adaptive")
        )
        divisions, stops = divisions + torch.from_numpy(divided), stalled & ~divided
        stale = np.where(stalled, 0.0, stale)
    tensor = torch.from_numpy
    new = Stopping(tensor(np.fmax(best, merits)), tensor(stale), divisions)
    return new, tensor(improved), tensor(stops)
