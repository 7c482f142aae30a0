"""Learning rates read off the curve of a range test: functions of nothing but the curve."""

from typing import TypeAlias

import numpy as np

Suggestions: TypeAlias = dict[str, float | None]

NOTABLE = 0.1  # part of the loss by which it must fall, and then rise


def suggest(rates: np.ndarray, losses: np.ndarray, skip: int = 0) -> Suggestions:
    """What a curve suggests in three ways, by fastai's definitions.

    ``rates`` (n,) rise and ``losses`` (n,) are smoothed. The first ``skip`` say more of the
    first batches than of the rates, and beyond its minimum the curve may swing: neither is
    looked at.
    """
    rates, losses = rates[skip:], losses[skip:]
    way_down = slice(int(losses.argmin()) + 1)
    rates, losses = rates[way_down], losses[way_down]
    return {
        "steepest": float(rates[_steepest(rates, losses)]),
        "minimum_over_10": float(rates[-1]) / 10,
        "valley": float(rates[_valley(losses)]),
    }


def no_suggestions() -> Suggestions:
    """The same names, where a curve suggests nothing."""
    return dict.fromkeys(("steepest", "minimum_over_10", "valley"))


def lack_of_minimum(losses: np.ndarray, n_steps: int, broken: bool) -> str:
    """Why a smoothed curve (n,) has no clear minimum, or nothing where it has one.

    ``n_steps`` were planned; ``broken`` says that they were broken off for the loss rose.
    """
    first = n_steps // 10
    if len(losses) <= first:
        return (
            "no clear minimum: the loss was beyond all bounds from the start. Scale X, or "
            "lower min_rate"
        )
    start, least = min(losses[0], np.median(losses[:first])), losses.min()
    if not least < (1 - NOTABLE) * start:
        return (
            f"no clear minimum: the loss began at {start:.3g} and was never below "
            f"{least:.3g}. Does y belong to X? Then scale X, lower min_rate or take larger "
            "batches"
        )
    if losses.argmin() <= first:
        return (
            f"no clear minimum: the loss fell to {least:.3g} before a tenth of the steps, and "
            "only rose from there. Lower min_rate"
        )
    if not broken and losses[-1] < (1 + NOTABLE) * least:
        return (
            f"no clear minimum: the loss fell to {least:.3g} and had not risen again when the "
            "largest rate was reached. Raise max_rate"
        )
    return ""


def _steepest(rates: np.ndarray, losses: np.ndarray) -> int:
    """Where the next loss is lower by most, over the logarithm of the rates."""
    if len(rates) < 2:
        return 0
    return int(np.argmin(np.diff(losses) / np.diff(np.log(rates))))


def _valley(losses: np.ndarray) -> int:
    """Halfway through the longest subsequence that falls, its gaps not counted."""
    lengths = np.ones(len(losses), dtype=int)
    for i in range(1, len(losses)):
        lengths[i] += lengths[:i][losses[:i] > losses[i]].max(initial=0)
    end = int(lengths.argmax())
    length = int(lengths[end])
    return max(0, end - length + length // 3 + length // 6)
