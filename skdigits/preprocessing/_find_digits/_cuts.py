"""Ways between digits that touch each other."""

from typing import NamedTuple

import numpy as np

# Ways start so far apart, and leave the straight way by so much, in typical heights.
STEP = 0.04
REACH = 0.16
# A step to the side costs as much as this part of a pixel of ink.
SIDEWAYS = 0.08
# Two ways differ by at least this much, in heights.
APART = 0.07
# A way that crosses more ink than this, in heights, cuts no neck.
LONGEST = 0.4
# At most so many ways for each height of width.
PER_HEIGHT = 7


class Cut(NamedTuple):
    """A way from the top to the bottom of an upright image."""

    columns: np.ndarray
    """The column in each row of the image: what is left of it belongs to the left."""
    crossed: float
    """How many pixels of ink the way crosses."""


def cuts(level: np.ndarray, height: float) -> list[Cut]:
    """Return the ways that cross little ink, from left to right."""
    reach = max(1, round(REACH * height))
    step = max(1, round(STEP * height))
    starts = np.arange(step, level.shape[1] - step, step)
    if not starts.size:
        return []
    columns, crossed = _cheapest(level, starts, reach)

    limit = PER_HEIGHT * level.shape[1] / height
    found: list[Cut] = []
    for number in np.argsort(crossed, kind="stable"):
        if crossed[number] > LONGEST * height or len(found) >= limit:
            break
        way = columns[number]
        if all(np.abs(way - one.columns).mean() >= APART * height for one in found):
            found.append(Cut(way, float(crossed[number])))
    return sorted(found, key=lambda one: one.columns.mean())


def _cheapest(
    level: np.ndarray, starts: np.ndarray, reach: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the way around each start that crosses least, and how much it crosses."""
    padded = np.pad(level, [(0, 0), (reach, reach)])
    window = np.arange(2 * reach + 1)
    ink = padded[:, starts[:, np.newaxis] + window]  # (rows, starts, window)
    n_rows = len(ink)
    total = ink[0] + SIDEWAYS * np.abs(window - reach) / 4
    came = np.zeros(ink.shape, np.int8)
    ways = np.full((3, *total.shape), np.inf)
    for row in range(1, n_rows):
        ways[0, :, 1:] = total[:, :-1] + SIDEWAYS
        ways[1] = total
        ways[2, :, :-1] = total[:, 1:] + SIDEWAYS
        came[row] = ways.argmin(0) - 1
        total = ways.min(0) + ink[row]

    every = np.arange(len(starts))
    place = total.argmin(1)
    columns = np.empty((len(starts), n_rows), int)
    crossed = np.zeros(len(starts))
    for row in range(n_rows - 1, -1, -1):
        columns[:, row] = place + starts - reach
        crossed += ink[row, every, place]
        place = place + came[row, every, place]
    return columns.clip(0, level.shape[1]), crossed
