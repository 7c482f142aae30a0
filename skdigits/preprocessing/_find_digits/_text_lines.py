"""The angle of a page, its columns of text, and its lines."""

import numpy as np
from scipy.spatial import cKDTree

from skdigits.preprocessing._find_digits._parts import LOWEST, Part

# Angles that are tried, in degrees: sheets lie on desks turned, and lines on sheets.
ANGLES = np.arange(-22, 22.1, 0.5)
# Digits within this distance, in heights, tell the angle; at most so many of each.
NEAR = 6
N_NEIGHBOURS = 12
# Middles of the digits of a line differ by this part of a height.
JITTER = 0.15
# At an angle of so many degrees, a page counts half: a page is rather upright.
SELDOM = 40
# A gap of this width in all lines, in heights, lies between two columns of text.
GUTTER = 2.2
# Digits of a line differ so much from it at most, in heights.
OFF_LINE = 0.6
# The last digits of a line say where it goes on …
N_LAST = 6
# … and its slope is trusted from a spread of so many heights on.
SPREAD = 2.0


def angle_of_lines(parts: list[Part], height: float) -> float:
    """Return by which angle the page is turned clockwise, in radians."""
    middles = np.array(
        [part.middle for part in parts if part.height >= LOWEST * height]
    )
    if len(middles) < 2:
        return 0.0
    near, others = cKDTree(middles).query(
        middles, min(N_NEIGHBOURS, len(middles)), distance_upper_bound=NEAR * height
    )
    is_pair = np.isfinite(near) & (near > 0)
    first = np.repeat(np.arange(len(middles)), is_pair.sum(1))
    across, down = (middles[others[is_pair]] - middles[first]).T

    angles = np.deg2rad(ANGLES)[:, np.newaxis]
    off = (down * np.cos(angles) - across * np.sin(angles)) / height
    agreement = np.exp(-np.square(off / JITTER) / 2).sum(1)
    agreement *= 1 / (1 + np.square(ANGLES / SELDOM))
    return float(angles[agreement.argmax(), 0]) if len(across) else 0.0


def in_reading_order(parts: list[Part], height: float) -> list[list[Part]]:
    """Return the lines of all columns of text, each from left to right."""
    lines: list[list[Part]] = []
    columns = _columns(parts, height)
    for column in columns:
        lines += _lines(column, height)
    return lines


def _columns(parts: list[Part], height: float) -> list[list[Part]]:
    """Return the parts of each column of text, from left to right.

    A gap in a single line does not make columns.
    """
    found: list[list[Part]] = []
    right = -np.inf
    for part in sorted(parts, key=lambda one: one.left):
        if part.left > right + GUTTER * height:
            found.append([])
        found[-1].append(part)
        right = max(right, part.right)

    if any(len(_lines(column, height)) < 2 for column in found):
        return [parts]
    return found


def _lines(parts: list[Part], height: float) -> list[list[Part]]:
    """Return the lines of a column, from top to bottom.

    From left to right, each digit continues the line that comes nearest to it.
    """
    lines: list[list[Part]] = []
    ways: list[tuple[float, float, float]] = []
    for part in sorted(parts, key=lambda one: one.middle[0]):
        across, down = part.middle
        places, heights, slopes = np.array(ways).reshape(-1, 3).T
        off = np.abs(heights + slopes * (across - places) - down)
        if off.size and off.min() <= OFF_LINE * height:
            nearest = int(off.argmin())
            lines[nearest].append(part)
            ways[nearest] = _way(lines[nearest][-N_LAST:], height)
        else:
            lines.append([part])
            ways.append((across, down, 0.0))

    middles = [part.middle[0] for part in parts]
    centre = (min(middles) + max(middles)) / 2
    return sorted(lines, key=lambda line: _height_at(centre, line, height))


def _way(line: list[Part], height: float) -> tuple[float, float, float]:
    """Return a place of a line, its height there, and its slope: little, if short."""
    places = np.array([part.middle for part in line])
    middle, down = places.mean(0)
    steps = places - [middle, down]
    spread = np.square(steps[:, 0]).sum() + np.square(SPREAD * height)
    return float(middle), float(down), float(steps[:, 0] @ steps[:, 1] / spread)


def _height_at(across: float, line: list[Part], height: float) -> float:
    middle, down, slope = _way(line, height)
    return down + slope * (across - middle)
