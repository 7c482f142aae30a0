"""Digits that touch each other, and which of the cuts between them are right."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from skdigits.preprocessing._find_digits._cut_outs import Upright, cut_out
from skdigits.preprocessing._find_digits._cuts import Cut, cuts
from skdigits.preprocessing._find_digits._parts import LOWEST, Part
from skdigits.preprocessing._find_digits._readings import Reader

# Parts that are narrower than this, in typical heights, hold one digit.
NARROW = 0.3
# No digit is wider.
WIDEST = 1.5
# Pixels of more than this level are ink, others its soft edge.
CORE = 0.5
# A stroke is so many times as wide as the mean distance of its pixels to its edge.
WIDTH_BY_DISTANCE = 4
# Lower probabilities say no more against a digit, in logarithms.
DOUBTFUL = -0.3
HOPELESS = -3.0


class Weights(NamedTuple):
    """What counts for a digit, and against a cut: the terms of a logistic regression.

    It was fitted to single digits and pairs of MNIST's training digits. Heights and
    widths are in typical heights of the page.
    """

    sure: float
    """Logarithm of the probability of the reading, from DOUBTFUL on."""
    likely: float
    """The same, from HOPELESS on."""
    squared_width: float
    height: float
    aspect: float
    """Width by height."""
    cut: float
    crossed: float
    """Ink that a cut crosses, in widths of the stroke."""


BY_SHAPE = Weights(0.0, 0.0, -4.5, 2.8, -1.0, -3.0, -2.0)
BY_READING = Weights(5.5, 0.5, -3.0, 2.7, -1.5, -1.6, -1.4)


class Segment(NamedTuple):
    """Ink between two cuts, or before the first or after the last one."""

    first: int
    last: int
    height: float
    width: float
    picture: np.ndarray


@dataclass
class Clump:
    """A part that may hold several digits, with its cuts and what is between them."""

    part: Part
    image: Upright
    edges: list[np.ndarray]
    crossed: list[float]
    segments: list[Segment]

    @property
    def is_cut(self) -> bool:
        return len(self.edges) > 2


def clump(part: Part, image: Upright, height: float, narrow: float = NARROW) -> Clump:
    """Return a part with all digits that it may consist of.

    Parts that are narrower than ``narrow``, in typical heights, are one digit.
    """
    # The ink of a faint digit is less than that of others, and its own full ink.
    level = image.level / (image.level.max() or 1.0)
    ways: list[Cut] = []
    if part.width >= narrow * height:
        ways = cuts(level, height)

    n_rows, width = level.shape
    edges = [np.zeros(n_rows, int), *(way.columns for way in ways)]
    edges.append(np.full(n_rows, width))
    stroke = _stroke(level)
    crossed = [way.crossed / stroke for way in ways]
    return Clump(part, image, edges, crossed, _segments(level, edges, height))


def digits_of(
    clumps: list[Clump], read: Reader | None
) -> list[list[tuple[Part, np.ndarray]]]:
    """Return the digits of each clump from left to right, with their cut-outs."""
    weights = BY_SHAPE if read is None else BY_READING
    doubtful = [one for one in clumps if one.is_cut]
    pictures = [segment.picture for one in doubtful for segment in one.segments]
    certain = np.zeros(len(pictures))
    if read is not None and pictures:
        likelihood = read(pictures).max(1)
        certain = np.log(likelihood.clip(np.exp(HOPELESS)))

    done = 0
    found = []
    for one in clumps:
        chosen = one.segments
        if one.is_cut:
            n_segments = len(one.segments)
            chosen = _best(one, certain[done : done + n_segments], weights)
            done += n_segments
        digits = [(_pixels(one, segment), segment.picture) for segment in chosen]
        found.append([digit for digit in digits if digit[0].rows.size])
    return found


def _best(one: Clump, certain: np.ndarray, weights: Weights) -> list[Segment]:
    """Return the segments, from the left to the right end, that score best."""
    n_edges = len(one.edges)
    best = np.full(n_edges, -np.inf)
    best[0] = 0.0
    chosen: list[list[Segment]] = [[] for _ in range(n_edges)]
    for segment, sure in sorted(
        zip(one.segments, certain, strict=True), key=lambda pair: pair[0][:2]
    ):
        score = best[segment.first] + _score(segment, float(sure), weights)
        if segment.first:
            score += weights.cut + weights.crossed * one.crossed[segment.first - 1]
        if score > best[segment.last]:
            best[segment.last] = score
            chosen[segment.last] = [*chosen[segment.first], segment]
    return chosen[-1]


def _score(segment: Segment, certain: float, weights: Weights) -> float:
    return (
        weights.sure * max(certain, DOUBTFUL)
        + weights.likely * certain
        + weights.squared_width * segment.width**2
        + weights.height * segment.height
        + weights.aspect * segment.width / segment.height
    )


def _segments(
    level: np.ndarray, edges: list[np.ndarray], height: float
) -> list[Segment]:
    """Return the whole, and what can be a digit between any two edges."""
    whole = len(edges) - 1
    least = _least_widths(level, edges) / height
    segments = []
    for first in range(whole):
        lasts = first + 1 + np.flatnonzero(least[first, first + 1 :] <= WIDEST)
        if not first:
            lasts = np.union1d(lasts, [whole])
        for last in map(int, lasts):
            found = _segment(level, edges, first, last, height)
            if found and (last - first == whole or _may_be_digit(found)):
                segments.append(found)
    return segments


def _least_widths(level: np.ndarray, edges: list[np.ndarray]) -> np.ndarray:
    """Return how wide the ink between any two edges (n, n) is at least, in pixels.

    Whole lines of writing have thousands of pairs of edges, of which few are near
    enough for a digit. In columns that lie between two edges from top to bottom, the
    ink is that of the image.
    """
    inked = np.flatnonzero((level > CORE).any(0))
    first = np.searchsorted(inked, [edge.max() for edge in edges])
    stop = np.searchsorted(inked, [edge.min() for edge in edges])
    # Without ink, the difference of these is negative.
    left = np.append(inked, level.shape[1])[first]
    right = np.append(-1, inked)[stop]
    widths: np.ndarray = right - left[:, np.newaxis] + 1
    return widths


def _segment(
    level: np.ndarray, edges: list[np.ndarray], first: int, last: int, height: float
) -> Segment | None:
    """Return what is between two edges, or None if there is hardly any ink."""
    start = int(edges[first].min())
    stop = int(edges[last].max())
    columns = np.arange(start, stop)
    between = columns >= edges[first][:, np.newaxis]
    between &= columns < edges[last][:, np.newaxis]
    ink = np.where(between, level[:, start:stop], 0.0)
    core = ink > CORE
    rows = np.flatnonzero(core.any(1))
    across = np.flatnonzero(core.any(0))
    if not rows.size:
        return None
    tall = (rows[-1] + 1 - rows[0]) / height
    wide = (across[-1] + 1 - across[0]) / height
    return Segment(first, last, tall, wide, cut_out(ink))


def _may_be_digit(segment: Segment) -> bool:
    return segment.height >= LOWEST and segment.width <= WIDEST


def _pixels(one: Clump, segment: Segment) -> Part:
    """Return the pixels of a segment on the page."""
    if segment.last - segment.first == len(one.edges) - 1:
        return one.part
    part = one.part
    row = np.round(part.down - one.image.top).astype(int)
    row = row.clip(0, len(one.image.level) - 1)
    across = part.across - one.image.left
    inside = across >= one.edges[segment.first][row]
    inside &= across < one.edges[segment.last][row]
    return Part(part.rows[inside], part.columns[inside], part.angle, part.labels)


def _stroke(level: np.ndarray) -> float:
    """Return the width of the stroke, in pixels."""
    core = np.pad(level > CORE, 1)
    if not core.any():
        return 1.0
    depth = ndimage.distance_transform_edt(core)
    return float(WIDTH_BY_DISTANCE * depth[core].mean())
