"""Connected parts of the ink, and pieces that are put together again."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from skdigits.preprocessing._clean_up._specks import EIGHT

# Smaller parts are noise, in pixels.
LEAST_PIXELS = 5
# The soft edge of a part, in pixels around it.
EDGE = 2
# Heights of digits, in typical heights of the page: lower parts are pieces or marks,
# higher ones no digits.
LOWEST = 0.42
HIGHEST = 2.2
# A flat digit is lower, but wide, and still higher than a dash.
LOWEST_FLAT = 0.28
WIDTH_OF_FLAT = 0.4
# A piece has at least so many pixels, in squares of a height; specks have less.
PIECE = 0.012
# A digit that is put together is no higher.
HIGHEST_JOINED = 1.5
# A piece above or below lies so near, and this part of its width above the other.
NEAR_BELOW = 0.35
OVERLAP = 0.55
# A piece at any side lies so near, as the end of a broken stroke does …
NEAR = 0.09
# … and one beside the upper half so near, as the bar of a 5 does: no mark stands there.
NEAR_ABOVE = 0.25
ABOVE = 0.2
# Parts that leave the edge of the image by no more than this are none of a digit.
ALONG_EDGE = 0.15
# Ink of a digit, in squares of a height: two dots above each other have less.
LEAST_INK = 0.05


@dataclass(frozen=True, eq=False)
class Part:
    """Pixels of ink on a page that is turned clockwise by ``angle``, in radians."""

    rows: np.ndarray
    columns: np.ndarray
    angle: float
    labels: frozenset[int] = field(default_factory=frozenset)

    @cached_property
    def across(self) -> np.ndarray:
        """Places of the pixels along the lines."""
        turn = np.cos(self.angle), np.sin(self.angle)
        places: np.ndarray = self.columns * turn[0] + self.rows * turn[1]
        return places

    @cached_property
    def down(self) -> np.ndarray:
        """Places of the pixels across the lines."""
        turn = np.cos(self.angle), np.sin(self.angle)
        places: np.ndarray = self.rows * turn[0] - self.columns * turn[1]
        return places

    @cached_property
    def left(self) -> float:
        return float(self.across.min())

    @cached_property
    def right(self) -> float:
        return float(self.across.max() + 1)

    @cached_property
    def top(self) -> float:
        return float(self.down.min())

    @cached_property
    def bottom(self) -> float:
        return float(self.down.max() + 1)

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def middle(self) -> tuple[float, float]:
        """Centre of the bounds, along and across the lines."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def turned(self, angle: float) -> "Part":
        """Return the same pixels on a page that is turned by another angle."""
        return Part(self.rows, self.columns, angle, self.labels)

    def joined(self, other: "Part") -> "Part":
        """Return the pixels of both."""
        rows = np.concatenate([self.rows, other.rows])
        columns = np.concatenate([self.columns, other.columns])
        return Part(rows, columns, self.angle, self.labels | other.labels)


def connected(mask: np.ndarray) -> tuple[list[Part], np.ndarray]:
    """Return the connected parts, and the number of the part at each pixel.

    The soft edge around a part has its number, too.
    """
    labels, _ = ndimage.label(mask, EIGHT)
    sizes = np.bincount(labels.ravel())
    parts = []
    for number, where in enumerate(ndimage.find_objects(labels), 1):
        if sizes[number] >= LEAST_PIXELS:
            rows, columns = np.nonzero(labels[where] == number)
            rows += where[0].start
            columns += where[1].start
            parts.append(Part(rows, columns, 0.0, frozenset([number])))

    for _ in range(EDGE):
        labels = np.where(labels, labels, ndimage.maximum_filter(labels, 3))
    return parts, labels


def typical_height(parts: list[Part]) -> float:
    """Return the height that half of the ink has at most: specks hardly count."""
    heights = np.array([part.height for part in parts])
    sizes = np.array([len(part.rows) for part in parts])
    order = np.argsort(heights, kind="stable")
    total = sizes[order].cumsum()
    return float(heights[order][np.searchsorted(total, total[-1] / 2)])


def without_edges(
    parts: list[Part], shape: tuple[int, ...], height: float
) -> list[Part]:
    """Drop parts that run along the edge of the image, unless there are no others."""
    reach = ALONG_EDGE * height
    kept = [
        part
        for part in parts
        if part.rows.max() >= reach
        and part.columns.max() >= reach
        and part.rows.min() < shape[0] - reach
        and part.columns.min() < shape[1] - reach
    ]
    return kept or parts


def whole_digits(parts: list[Part], height: float) -> list[Part]:
    """Return the parts that can be digits, with the pieces that belong to them."""
    parts = [part for part in parts if part.height <= HIGHEST * height]
    large = [part for part in parts if _is_digit(part, height)]
    least = PIECE * height**2
    small = [
        part
        for part in parts
        if not _is_digit(part, height) and len(part.rows) >= least
    ]
    # Pieces of a digit without a large part are put together first.
    large += [
        one
        for one in _put_together(small, small, height)
        if _is_digit(one, height) and len(one.rows) >= LEAST_INK * height**2
    ]
    used = frozenset[int]().union(*(part.labels for part in large))
    small = [part for part in small if not part.labels & used]
    return _put_together(large, small, height)


def _is_digit(part: Part, height: float) -> bool:
    """Return whether a part is as high as a digit, or flat and wide."""
    if part.height >= LOWEST * height:
        return True
    is_wide = part.width >= WIDTH_OF_FLAT * height
    return is_wide and part.height >= LOWEST_FLAT * height


def _put_together(parts: list[Part], pieces: list[Part], height: float) -> list[Part]:
    """Join parts with each other and with pieces, from the nearest pair on."""
    every = list(dict.fromkeys([*parts, *pieces]))
    pairs = [
        (_distance(every[first], every[second]) / height, first, second)
        for first, second in _near_pairs(every, NEAR_BELOW * height)
    ]
    group = list(range(len(every)))
    made = dict(enumerate(every))
    for distance, first, second in sorted(pairs):
        one = made[group[first]]
        other = made[group[second]]
        if one is other or not _belong(one, other, distance, height):
            continue
        kept, gone = sorted([group[first], group[second]])
        made[kept] = one.joined(other)
        del made[gone]
        group = [kept if number == gone else number for number in group]

    is_part = set(parts)
    kept_groups = {group[n] for n, one in enumerate(every) if one in is_part}
    return [made[number] for number in sorted(kept_groups)]


def _near_pairs(parts: list[Part], reach: float) -> list[tuple[int, int]]:
    """Return the pairs whose bounds are near each other."""
    bounds = np.array([[one.left, one.right, one.top, one.bottom] for one in parts])
    order = np.argsort(bounds.reshape(-1, 4)[:, 0], kind="stable")
    left, right, top, bottom = bounds.reshape(-1, 4)[order].T
    stops = np.searchsorted(left, right + reach)
    pairs = []
    for place, stop in enumerate(stops):
        others = np.arange(place + 1, stop)
        near = top[others] < bottom[place] + reach
        near &= top[place] < bottom[others] + reach
        pairs += [(order[place], order[other]) for other in others[near]]
    return [(max(pair), min(pair)) for pair in pairs]


def _distance(one: Part, other: Part) -> float:
    """Return the distance of the nearest pixels, less the one of neighbours."""
    fewer, more = sorted([one, other], key=lambda part: len(part.rows))
    tree = cKDTree(np.stack([fewer.rows, fewer.columns], 1))
    points = np.stack([more.rows, more.columns], 1)
    return float(tree.query(points)[0].min()) - 1


def _belong(one: Part, other: Part, distance: float, height: float) -> bool:
    """Return whether two parts are pieces of one digit."""
    top = min(one.top, other.top)
    bottom = max(one.bottom, other.bottom)
    if bottom - top > HIGHEST_JOINED * height:
        return False

    shared = min(one.right, other.right) - max(one.left, other.left)
    narrower = min(one.width, other.width)
    if shared >= OVERLAP * narrower and distance <= NEAR_BELOW:
        return True
    piece, digit = sorted([one, other], key=lambda part: part.height)
    if piece.height >= LOWEST * height:
        return False
    is_above = piece.middle[1] < digit.middle[1] - ABOVE * digit.height
    return distance <= (NEAR_ABOVE if is_above else NEAR)
