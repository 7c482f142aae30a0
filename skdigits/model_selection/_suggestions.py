"""Learning rates suggested by the curve of a range test, as pure functions of it."""

from typing import TypeAlias

import numpy as np

Suggestions: TypeAlias = dict[str, float | None]

# Fraction by which the loss must fall, and then rise: less may be noise of the batches.
NOTABLE = 0.1


def suggest(rates: np.ndarray, losses: np.ndarray, skip: int = 0) -> Suggestions:
    """Return the learning rates that a curve suggests, by fastai's three definitions.

    ``rates`` (n,) are ascending learning rates, and ``losses`` (n,) smoothed. The first
    ``skip`` losses are ignored, because they depend on the batches more than on the
    learning rates. Losses beyond the minimum are ignored, because they may oscillate.
    """
    rates = rates[skip:]
    losses = losses[skip:]
    way_down = slice(int(losses.argmin()) + 1)
    rates = rates[way_down]
    losses = losses[way_down]

    return {
        "steepest": float(rates[_steepest(rates, losses)]),
        "minimum_over_10": float(rates[-1]) / 10,
        "valley": float(rates[_valley(losses)]),
    }


def no_suggestions() -> Suggestions:
    """Return None for every suggestion, for a curve without a clear minimum."""
    return dict.fromkeys(("steepest", "minimum_over_10", "valley"))


def lack_of_minimum(losses: np.ndarray, n_steps: int, broken: bool) -> str:
    """Return why a smoothed curve (n,) has no clear minimum, or "" if it has one.

    ``n_steps`` steps were planned; ``broken`` says that they ended early because the
    loss rose too far.
    """
    first = n_steps // 10
    if len(losses) <= first:
        return (
            "no clear minimum: the loss diverged at the start. Scale X, or lower "
            "min_rate"
        )

    start = min(losses[0], np.median(losses[:first]))
    least = losses.min()
    if not least < (1 - NOTABLE) * start:
        return (
            f"no clear minimum: the loss began at {start:.3g} and was never below "
            f"{least:.3g}. Check that y belongs to X; then scale X, lower min_rate or "
            "use larger batches"
        )
    if losses.argmin() <= first:
        return (
            f"no clear minimum: the loss fell to {least:.3g} before a tenth of the "
            "steps, and only rose from there. Lower min_rate"
        )
    if not broken and losses[-1] < (1 + NOTABLE) * least:
        return (
            f"no clear minimum: the loss fell to {least:.3g} and had not risen again "
            "when the largest learning rate was reached. Raise max_rate"
        )
    return ""


def _steepest(rates: np.ndarray, losses: np.ndarray) -> int:
    """Return the position with the steepest descent over log(learning rate)."""
    if len(rates) < 2:
        return 0
    return int(np.argmin(np.diff(losses) / np.diff(np.log(rates))))


def _valley(losses: np.ndarray) -> int:
    """Return the middle of the longest falling subsequence, gaps not counted."""
    lengths = np.ones(len(losses), dtype=int)
    for i in range(1, len(losses)):
        lengths[i] += lengths[:i][losses[:i] > losses[i]].max(initial=0)

    end = int(lengths.argmax())
    length = int(lengths[end])
    # fastai's formula: a third of the subsequence, and a sixth more.
    return max(0, end - length + length // 3 + length // 6)
