"""Pages of many of MNIST's digits, with the place of each digit.

The digits stand in lines of numbers, on a page of 1280 × 960 pixels, upright or not.
A page has a base side, from 56 to 130 pixels, and each digit a side of it ± 25 %.
Numbers of two to six digits follow each other with gaps of a digit or more. The page is
turned by up to 12°. Layouts say what is special about a page; the kinds of `pages` turn
it into a photograph.
"""

from typing import Any, NamedTuple

import numpy as np
from pages import KINDS, enlarged, put
from scipy import ndimage

Box = tuple[int, int, int, int]

LONGER = 1280
SHORTER = 960
SIDES = (56, 130)
SPREAD = 0.25
MARGIN = 25
TURN = 12.0


class Place(NamedTuple):
    """A digit on a page: its bounds, its label, its line and its place in the line."""

    box: Box
    label: int
    row: int
    column: int


class Page(NamedTuple):
    """An image in uint8, and the digits on it in reading order."""

    image: np.ndarray
    places: list[Place]


class Layout(NamedTuple):
    """How numbers stand on a page; lengths are parts of the base side."""

    gap: tuple[float, float] = (0.08, 0.3)
    """Gaps between the digits of a number."""
    touching: float = 0.0
    """The part of the digits that overlap the previous one, by 2 to 5 pixels."""
    marks: float = 0.0
    """The part of the gaps between numbers that hold a dot, a dash or a comma."""
    n_columns: int = 1
    slant: float = 0.0
    """Up to how many degrees lines are turned against the page."""


PLAIN_LAYOUT = Layout()
LAYOUTS = {
    "marks": Layout(marks=0.7),
    "two columns": Layout(n_columns=2),
    "slanted lines": Layout(slant=4),
    "touching": Layout(touching=0.4),
}
ALL_KINDS = [*KINDS, *LAYOUTS]


def composed(kind: str, rng: np.random.Generator, X: np.ndarray, y: np.ndarray) -> Page:
    """Return a page of a kind, or a clean one of a layout, with digits of X."""
    layout = LAYOUTS.get(kind, PLAIN_LAYOUT)
    side = float(rng.uniform(*SIDES))
    shape = (SHORTER, LONGER) if rng.random() < 0.7 else (LONGER, SHORTER)
    cover = np.zeros(shape)
    angle = rng.uniform(layout.slant - TURN, TURN - layout.slant)
    places = _write(rng, cover, side, angle, layout, X, y)

    photograph = KINDS.get(kind, KINDS["clean"])
    state = rng.bit_generator.state
    image = photograph(rng, cover, side)
    if kind == "desk":
        rng.bit_generator.state = state
        places = _on_desk(rng, cover.shape, image.shape, places)
    return Page(image, places)


def _write(
    rng: np.random.Generator,
    cover: np.ndarray,
    side: float,
    angle: float,
    layout: Layout,
    X: np.ndarray,
    y: np.ndarray,
) -> list[Place]:
    """Write lines of numbers on a cover, in place, column by column."""
    reach = np.hypot(*cover.shape) / 2
    pitch = side * rng.uniform(1.35, 1.9)
    places: list[Place] = []
    row = 0
    for left, right in _columns(layout, cover.shape, side):
        for down in np.arange(-reach, reach, pitch):
            line = _Line(down, left, right, angle, rng.uniform(-1, 1) * layout.slant)
            written = _write_line(rng, cover, side, line, layout, X, y, row)
            places += written
            row += bool(written)
    return places


def _columns(
    layout: Layout, shape: tuple[int, ...], side: float
) -> list[tuple[float, float]]:
    """Return from where to where the columns go, from the centre of the page."""
    half = shape[1] / 2
    if layout.n_columns == 1:
        return [(-half, half)]
    gutter = 1.6 * side
    return [(-half, -gutter), (gutter, half)]


class _Line(NamedTuple):
    """A line: from the centre of the page in its direction, then turned by slant."""

    down: float
    left: float
    right: float
    angle: float
    slant: float

    def on_page(self, across: float, jitter: float, shape: tuple[int, ...]) -> Any:
        """Return the row and the column of a place on the line."""
        middle = (self.left + self.right) / 2
        down = self.down + jitter
        down += (across - middle) * np.sin(np.deg2rad(self.slant))
        turn = np.deg2rad(self.angle)
        row = shape[0] / 2 + down * np.cos(turn) + across * np.sin(turn)
        column = shape[1] / 2 + across * np.cos(turn) - down * np.sin(turn)
        return np.array([row, column])


def _write_line(
    rng: np.random.Generator,
    cover: np.ndarray,
    side: float,
    line: _Line,
    layout: Layout,
    X: np.ndarray,
    y: np.ndarray,
    row: int,
) -> list[Place]:
    """Write a line, in place; return its digits."""
    places: list[Place] = []
    across = line.left + side * rng.uniform(0.3, 0.6)
    n_left = int(rng.integers(2, 7))
    before = 0.0
    turn = line.angle + line.slant
    while across < line.right - side:
        n = int(rng.integers(len(X)))
        size = side * rng.uniform(1 - SPREAD, 1 + SPREAD)
        digit = enlarged(X[n].reshape(28, 28), size)
        width = digit.shape[1]
        if places and before < 0 and width < 12:
            across -= before
        centre = line.on_page(
            across + width / 2, side * rng.uniform(-0.06, 0.06), cover.shape
        )

        box = _stamp(cover, turned(digit, turn), centre)
        if box is not None:
            places.append(Place(box, int(y[n]), row, len(places)))
        n_left -= 1
        before = side * rng.uniform(*layout.gap)
        if n_left == 0:
            n_left = int(rng.integers(2, 7))
            before = side * rng.uniform(0.7, 1.3)
            if box is not None and rng.random() < layout.marks:
                at = line.on_page(across + width + before / 2, 0, cover.shape)
                _mark(rng, cover, at, side, turn)
        elif rng.random() < layout.touching:
            before = -float(rng.integers(2, 6))
        across += width + before
    return places


def turned(digit: np.ndarray, angle: float) -> np.ndarray:
    """Return a cover turned clockwise, cut to its ink."""
    large = ndimage.rotate(np.pad(digit, 2), -angle, order=1).clip(0, 1)
    rows = np.flatnonzero((large > 0.3).any(1))
    columns = np.flatnonzero((large > 0.3).any(0))
    return large[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _stamp(cover: np.ndarray, digit: np.ndarray, centre: np.ndarray) -> Box | None:
    """Lay a digit on a cover, in place, and return its bounds if it fits."""
    height, width = digit.shape
    top = round(centre[0] - height / 2)
    left = round(centre[1] - width / 2)
    if min(top, left) < MARGIN:
        return None
    if top + height > cover.shape[0] - MARGIN or left + width > cover.shape[1] - MARGIN:
        return None
    put(cover, digit, top, left)
    return top, left, top + height, left + width


def _mark(
    rng: np.random.Generator,
    cover: np.ndarray,
    at: np.ndarray,
    side: float,
    turn: float,
) -> None:
    """Draw a dot, a comma or a dash, in place."""
    stroke = max(3, round(0.08 * side))
    shape, down = [
        ((stroke, stroke), 0.3),
        ((round(0.2 * side), stroke), 0.38),
        ((stroke, round(0.35 * side)), 0.0),
    ][rng.integers(3)]
    _stamp(cover, turned(np.ones(shape), turn), at + np.array([down * side, 0]))


def _on_desk(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    shape_of_desk: tuple[int, ...],
    places: list[Place],
) -> list[Place]:
    """Return places moved as the kind "desk" moves them, with the same generator."""
    rng.uniform(size=2)  # the tones
    margins = 10 + rng.uniform(0.1, 0.35, (2, 2)) * [[shape[0]], [shape[1]]]
    angle = np.deg2rad(rng.uniform(-8, 8))

    # A rotation of scipy's is about the middle, from columns to rows.
    middle = (np.array(shape_of_desk) - 1) / 2
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    moved = []
    for place in places:
        top, left, bottom, right = place.box
        corners = np.array([(r, c) for r in (top, bottom) for c in (left, right)])
        corners = corners + np.floor(margins[:, 0]) - middle
        found = corners @ np.array(turn).T + middle
        # The bounds of the ink, not of the corners: as large as before, about.
        centre = found.mean(0)
        half = np.array([bottom - top, right - left]) / 2
        low = np.round(centre - half).astype(int)
        high = np.round(centre + half).astype(int)
        moved.append(place._replace(box=(*low.tolist(), *high.tolist())))
    return moved
