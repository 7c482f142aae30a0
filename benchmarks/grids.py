"""Digits in tables, sudokus and forms, found by `find_digits(…, layout="cells")`.

    python benchmarks/grids.py                  # about five minutes on two cores
    python benchmarks/grids.py --reader FILE    # with a saved classifier

A page of 1.2 megapixels holds a grid of MNIST's test digits, turned by up to 12° and in
mild perspective, as a camera takes it from aside. A third of the cells are empty. The
digits take up 60 % of a cell's height, ± 25 %, and lie up to 12 % of it off the middle;
some touch or cross a line. Lines are 1.5 to 6 pixels thick, as dark as the digits or
down to half of it, and one in three has a gap of 2 to 6 pixels. A sudoku has thicker
lines at each third. A table has 4 to 8 rows and 3 to 6 columns of unequal sizes, and 1
to 3 digits in a cell. A form has a row of 5 to 10 joined boxes, or rows of separate
ones. `pages.KINDS` add light, desk, noise and specks.

A cell is *right* if it has its row and column, and as many digits as were written
there, each at its place, or none (on a desk, places are not compared). *Read* is the
share of the digits in right cells that the reader names, a `ConvNetClassifier` behind a
`DigitNormalizer`. *Spurious* are digits that were found in empty cells or outside of
the grid. The goals are 99.9 %, 98.5 %, and five seconds for a page of 12 megapixels.
The script stores its figures in benchmarks/grids.json and writes a section of
RESULTS.md.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from accuracy import where
from pages import KINDS, enlarged, put
from reader import reader, test_digits
from report import HERE, enter
from scipy import ndimage
from sklearn.pipeline import Pipeline

from skdigits.preprocessing._find_digits import FoundDigit, find_digits

SIZE = (1000, 1200)
LARGE = (3000, 4000)
N_PAGES = 2
EMPTY = 1 / 3
HEIGHT = 0.6
WIDTH = 0.65
OFF = 0.12
TURN = 12
# A desk turns the sheet by up to 8° more.
TURN_ON_DESK = 4
# The far side of the page is up to so much smaller than the near one.
FAR = 0.12
# Lines have at least this part of the strength of the digits.
PALE = 0.5
# Printed grounds hide the lines of the grid itself.
LEFT_OUT = {"ruled", "squared"}


class Cell(NamedTuple):
    """A cell of a flat page: its place in the grid, its bounds, its largest count."""

    row: int
    column: int
    bounds: tuple[float, float, float, float]
    most: int = 1


class Line(NamedTuple):
    """A line of a flat page: a thin rectangle."""

    bounds: tuple[float, float, float, float]


class Written(NamedTuple):
    """A digit that was written: its cell, its class, and its middle on the page."""

    row: int
    column: int
    digit: int
    middle: tuple[float, float]


@dataclass
class Page:
    """A composed page, its cells as (row, column), and what was written there."""

    image: np.ndarray
    cells: list[tuple[int, int]]
    written: list[Written]


Layout = tuple[list[Cell], list[Line]]


def sudoku(rng: np.random.Generator, height: float, width: float) -> Layout:
    side = rng.uniform(0.75, 1) * min(height, width)
    places = np.linspace(0, side, 10)
    thin = rng.uniform(1.5, 3)
    thickness = np.where(np.arange(10) % 3 == 0, thin * rng.uniform(1.5, 3), thin)
    return _joined(places, places, thickness, thickness, 1)


def table(rng: np.random.Generator, height: float, width: float) -> Layout:
    down = _unequal(rng, int(rng.integers(4, 9)), height, 0.3)
    right = _unequal(rng, int(rng.integers(3, 7)), width, 0.4)
    thickness = rng.uniform(1.5, 6)
    return _joined(
        down, right, np.full(len(down), thickness), np.full(len(right), thickness), 3
    )


def row(rng: np.random.Generator, height: float, width: float) -> Layout:
    """Return a row of 5 to 10 joined boxes."""
    n_boxes = int(rng.integers(5, 11))
    side = rng.uniform(0.7, 1) * width / n_boxes
    tall = side * rng.uniform(1, 1.4)
    thickness = rng.uniform(1.5, 6)
    return _joined(
        np.array([0, tall]), side * np.arange(n_boxes + 1),
        np.full(2, thickness), np.full(n_boxes + 1, thickness), 1,
    )  # fmt: skip


def boxes(rng: np.random.Generator, height: float, width: float) -> Layout:
    """Return 2 to 5 rows of separate boxes."""
    n_rows = int(rng.integers(2, 6))
    n_boxes = int(rng.integers(5, 11))
    step = width / n_boxes
    side = step * rng.uniform(0.6, 0.85)
    tall = min(side * rng.uniform(1, 1.3), 0.75 * height / n_rows)
    thickness = rng.uniform(1.5, 4)
    cells = []
    lines = []
    for down in range(n_rows):
        for right in range(n_boxes):
            top = down * height / n_rows
            left = right * step
            _, frame = _joined(
                np.array([0, tall]), np.array([0, side]),
                np.full(2, thickness), np.full(2, thickness), 1,
            )  # fmt: skip
            bounds = (top, left, top + tall, left + side)
            cells.append(Cell(down, right, bounds))
            lines += [
                Line((a + top, b + left, c + top, d + left))
                for (a, b, c, d), in frame
            ]  # fmt: skip
    return cells, lines


LAYOUTS: dict[str, Callable[[np.random.Generator, float, float], Layout]] = {
    "sudoku": sudoku,
    "table": table,
    "row": row,
    "boxes": boxes,
}


def compose(
    rng: np.random.Generator,
    layout: str,
    kind: str,
    images: np.ndarray,
    digits: np.ndarray,
    size: tuple[int, int] = SIZE,
) -> Page:
    """Return a page with a grid, in which some of the digits are written."""
    cells, lines = LAYOUTS[layout](rng, 0.9 * size[0], 0.9 * size[1])
    scale = min(size) / min(SIZE)
    lines = [Line(_thicker(line.bounds, scale)) for line in lines]
    shift = _margin(lines)
    flat = np.zeros(np.ceil(_extent(lines) + 2 * shift).astype(int))
    for line in lines:
        _draw(rng, flat, _moved(line.bounds, shift), scale)
    flat *= rng.uniform(PALE, 1)

    marks = []
    for cell in cells:
        if rng.uniform() >= EMPTY:
            marks += _write(rng, flat, cell, shift, images, digits)

    forth = _camera(rng, flat.shape, size, TURN_ON_DESK if kind == "desk" else TURN)
    cover = _seen(flat, forth, size)
    image = KINDS[kind](rng, cover, 0.1 * min(size))
    moved = (np.array(image.shape) - size) / 2
    written = []
    for (a, b), digit, middle in marks:
        at = _project(forth, np.array([middle]))[0]
        written.append(Written(a, b, digit, tuple(at + moved)))
    return Page(image, [(cell.row, cell.column) for cell in cells], written)


def _joined(
    down: np.ndarray, right: np.ndarray, thick: np.ndarray, wide: np.ndarray, most: int
) -> Layout:
    """Return cells between lines at the given places, with their thicknesses."""
    cells = [
        Cell(row, column, (down[row], right[column], down[row + 1], right[column + 1]),
             most)
        for row in range(len(down) - 1)
        for column in range(len(right) - 1)
    ]  # fmt: skip
    lines = [
        Line((y - t / 2, right[0] - t / 2, y + t / 2, right[-1] + t / 2))
        for y, t in zip(down, thick, strict=True)
    ]
    lines += [
        Line((down[0] - t / 2, x - t / 2, down[-1] + t / 2, x + t / 2))
        for x, t in zip(right, wide, strict=True)
    ]
    return cells, lines


def _unequal(
    rng: np.random.Generator, n: int, length: float, spread: float
) -> np.ndarray:
    steps = rng.uniform(1 - spread, 1 + spread, n)
    return np.concatenate([[0], np.cumsum(steps) * length / steps.sum()])


def _thicker(
    bounds: tuple[float, float, float, float], scale: float
) -> tuple[float, float, float, float]:
    top, left, bottom, right = bounds
    down = (scale - 1) * (bottom - top) / 2 if bottom - top < right - left else 0
    across = (scale - 1) * (right - left) / 2 if bottom - top >= right - left else 0
    return top - down, left - across, bottom + down, right + across


def _margin(lines: list[Line]) -> np.ndarray:
    return 12 - np.min([line.bounds[:2] for line in lines], axis=0)


def _extent(lines: list[Line]) -> np.ndarray:
    return np.max([line.bounds[2:] for line in lines], axis=0)


def _moved(
    bounds: tuple[float, float, float, float], shift: np.ndarray
) -> tuple[float, float, float, float]:
    top, left, bottom, right = bounds
    return top + shift[0], left + shift[1], bottom + shift[0], right + shift[1]


def _draw(
    rng: np.random.Generator,
    flat: np.ndarray,
    bounds: tuple[float, float, float, float],
    scale: float,
) -> None:
    """Draw a line with soft sides; one in three has a gap."""
    top, left, bottom, right = bounds
    down = _covered(flat.shape[0], top, bottom)
    across = _covered(flat.shape[1], left, right)
    if rng.uniform() < 1 / 3:
        along = down if bottom - top > right - left else across
        long = np.flatnonzero(along)
        start = int(rng.choice(long))
        along[start : start + int(scale * rng.integers(2, 7))] = 0
    np.maximum(flat, down[:, np.newaxis] * across, out=flat)


def _covered(n: int, start: float, stop: float) -> np.ndarray:
    """Return how much of each of n pixels lies between two places."""
    places = np.arange(n)
    covered: np.ndarray = np.minimum(places + 1, stop) - np.maximum(places, start)
    return covered.clip(0, 1)


def _write(
    rng: np.random.Generator,
    flat: np.ndarray,
    cell: Cell,
    shift: np.ndarray,
    images: np.ndarray,
    digits: np.ndarray,
) -> list[tuple[tuple[int, int], int, tuple[float, float]]]:
    """Write digits into a cell; return cell, class and middle of each."""
    top, left, bottom, right = _moved(cell.bounds, shift)
    height = bottom - top
    count = int(rng.integers(1, cell.most + 1))
    wide = WIDTH * (right - left) / count
    side = min(HEIGHT * height, wide) * rng.uniform(0.75, 1.25)
    chosen = rng.integers(0, len(images), count)
    drawn = [enlarged(images[one], side * 28 / 20) for one in chosen]

    gap = 0.15 * side
    wide = sum(one.shape[1] for one in drawn) + gap * (count - 1)
    x = (left + right - wide) / 2 + rng.uniform(-OFF, OFF) * min(height, right - left)
    y = (top + bottom) / 2 + rng.uniform(-OFF, OFF) * height
    marks = []
    for one, drawing in zip(chosen, drawn, strict=True):
        put(flat, drawing, round(y - drawing.shape[0] / 2), round(x))
        middle = (y, x + drawing.shape[1] / 2)
        marks.append(((cell.row, cell.column), int(digits[one]), middle))
        x += drawing.shape[1] + gap
    return marks


def _camera(
    rng: np.random.Generator, flat: tuple[int, ...], size: tuple[int, int], turn: float
) -> np.ndarray:
    """Return the projection (3, 3) of (row, column, 1) that fits a flat page in."""
    angle = np.deg2rad(rng.uniform(-turn, turn))
    turned = np.eye(3)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    centre = np.eye(3)
    centre[:2, 2] = -np.array(flat) / 2
    tilt = np.eye(3)
    tilt[2, :2] = rng.uniform(-FAR, FAR, 2) / max(flat)
    seen = turned @ tilt @ centre

    height, width = flat
    corners = np.array([[0, 0], [0, width], [height, 0], [height, width]], float)
    at = _project(seen, corners)
    scale = min(1.0, (0.96 * np.array(size) / np.ptp(at, axis=0)).min())
    fit = np.diag([scale, scale, 1.0])
    free = np.array(size) - scale * np.ptp(at, axis=0)
    fit[:2, 2] = rng.uniform(0.2, 0.8, 2) * free - scale * at.min(0)
    whole: np.ndarray = fit @ seen
    return whole


def _project(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    lifted = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    projected: np.ndarray = lifted[:, :2] / lifted[:, 2:]
    return projected


def _seen(flat: np.ndarray, forth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    rows, columns = np.indices(size)
    points = np.column_stack([rows.ravel(), columns.ravel()])
    places = _project(np.linalg.inv(forth), points).T
    cover = ndimage.map_coordinates(flat, places, order=1)
    seen: np.ndarray = cover.reshape(size)
    return seen


@dataclass
class Count:
    """What became of the cells and digits of some pages."""

    cells: int = 0
    right: int = 0
    digits: int = 0
    read: int = 0
    spurious: int = 0

    def add(self, other: "Count") -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def judge(page: Page, found: list[FoundDigit], model: Pipeline, moved: bool) -> Count:
    """Compare what was found with what was written; ``moved`` pages have no places."""
    written = defaultdict(list)
    for one in page.written:
        written[one.row, one.column].append(one)
    finds = defaultdict(list)
    for digit in found:
        finds[digit.row, digit.column].append(digit)

    pairs: list[tuple[Written, FoundDigit]] = []
    count = Count(cells=len(page.cells))
    for cell in page.cells:
        here = list(zip(written[cell], finds[cell], strict=False))
        is_right = len(written[cell]) == len(finds[cell])
        if is_right and (moved or all(_is_at(*pair) for pair in here)):
            count.right += 1
            pairs += here
    count.spurious = sum(len(finds[cell]) for cell in finds if not written[cell])

    count.digits = len(pairs)
    if pairs:
        names = model.predict([digit.cut_out for _, digit in pairs])
        count.read = sum(
            int(name) == one.digit for name, (one, _) in zip(names, pairs, strict=True)
        )
    return count


def _is_at(one: Written, digit: FoundDigit) -> bool:
    top, left, bottom, right = digit.box
    return bool(top <= one.middle[0] <= bottom and left <= one.middle[1] <= right)


def main() -> None:
    """Measure all layouts and kinds, and write the section."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--reader", type=Path, help="file of a classifier, by joblib")
    model = reader(parser.parse_args().reader)
    X, y = test_digits()
    images = X.reshape(-1, 28, 28)
    counts: dict[str, Count] = defaultdict(Count)
    kinds = [kind for kind in KINDS if kind not in LEFT_OUT]
    for number, layout in enumerate(LAYOUTS):
        for place, kind in enumerate(kinds):
            for seed in range(N_PAGES):
                rng = np.random.default_rng([number, place, seed])
                page = compose(rng, layout, kind, images, y)
                found = find_digits(page.image, layout="cells")
                count = judge(page, found, model, moved=kind == "desk")
                for name in (layout, kind, "all"):
                    counts[name].add(count)
            print(layout, kind, counts[layout], flush=True)

    rng = np.random.default_rng(0)
    large = compose(rng, "sudoku", "clean", images, y, LARGE).image
    start = time.perf_counter()
    find_digits(large, layout="cells")
    write(dict(counts), time.perf_counter() - start)


def write(counts: dict[str, Count], seconds: float) -> None:
    figures = {name: vars(count) for name, count in counts.items()}
    figures["12 megapixels"] = {"seconds": seconds}
    figures["where"] = {"machine": where()}
    text = json.dumps(figures, indent=1)
    (HERE / "grids.json").write_text(text + "\n", encoding="utf-8")
    lines = [
        "# Digits in grids",
        "",
        "Made by `python benchmarks/grids.py`.",
        "",
        *(__doc__ or "").split("\n\n", 2)[2].rsplit("\nThe script", 1)[0].splitlines(),
        "",
        "| pages | cells | right, % | digits | read, % | spurious |",
        "|---|---|---|---|---|---|",
    ]
    kinds = [kind for kind in KINDS if kind in counts]
    for name in [*LAYOUTS, *kinds, "all"]:
        count = counts[name]
        right = 100 * count.right / count.cells
        read = 100 * count.read / max(count.digits, 1)
        lines.append(
            f"| {name} | {count.cells} | {right:.2f} | {count.digits} | {read:.2f} "
            f"| {count.spurious} |"
        )
    took = f"A sudoku of 12 megapixels takes {seconds:.1f} s."
    enter([*lines, "", took, "", f"({where()})"])


if __name__ == "__main__":
    main()
