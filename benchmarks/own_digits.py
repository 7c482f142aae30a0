"""Digits on pages like people's own: dirty, shadowed, lined, on a desk.

    python benchmarks/own_digits.py                 # about ten minutes on two cores
    python benchmarks/own_digits.py --kinds desk    # some kinds

Each kind has 1,000 pages of 140 to 260 pixels a side, composed with a fixed seed
(benchmarks/pages.py), of one test digit of MNIST each. *Resized* are the pages made
28 × 28 and turned bright on black, *not cleaned* is `DigitNormalizer(clean_up=False)`,
and *cleaned* is `DigitNormalizer()`. A ConvNetClassifier reads them that has learnt
from the 60,000 training digits as they are, in 4 epochs with `augment="shift"`. All
figures but those of blank pages are the digits that it reads wrong, in per cent;
*±* is twice the standard error. On blank pages, they are the pages on which a digit
is seen. The constants of the clean-up were chosen on pages of training digits. The
script stores its figures in benchmarks/own_digits.json and writes a section of
RESULTS.md.
"""

import argparse
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from accuracy import where
from joblib import Parallel, delayed
from pages import KINDS, camera, clean, enlarged, inked, put
from PIL import Image
from reader import reader
from report import HERE, enter
from sklearn.pipeline import Pipeline

from skdigits.datasets import load_mnist
from skdigits.preprocessing import DigitNormalizer

N_PAGES = 1_000
# The largest part of wrong digits that each kind may have, in per cent.
GOALS = {
    **dict.fromkeys(["clean", "border", "broken"], 4.0),
    **dict.fromkeys(
        [
            *("desk", "shadow", "vignette", "falling", "ruled", "squared"),
            *("specks", "speck", "salt", "box"),
        ],
        3.0,
    ),
}
ALL = [
    *("clean", "bright", "tight", "border", "broken", "box"),
    *list(KINDS)[2:],
    "blank",
]


def page(kind: str, rng: np.random.Generator, digit: np.ndarray) -> np.ndarray:
    """Return a page of a kind with a digit (28, 28)."""
    if kind == "tight":
        return tight(rng, digit)
    shape = rng.integers(140, 260, 2)
    share = rng.uniform(0.4, 0.65) if kind == "box" else rng.uniform(0.45, 0.85)
    side = int(share * shape.min())
    large = enlarged(digit, side)
    top, left = _place(kind, rng, shape - large.shape)
    cover = np.zeros(shape)
    if kind != "blank":
        put(cover, large, top, left)

    if kind == "box":
        return boxed(rng, cover)
    if kind == "broken":
        cover = cover * cuts(rng, shape, (top, left), large.shape)
    return KINDS.get(kind, clean)(rng, cover, side)


def _place(kind: str, rng: np.random.Generator, room: np.ndarray) -> tuple[int, int]:
    """Return where a digit lies: within the page, or cut off by a pixel at one side."""
    top, left = rng.integers(8, room - 8)
    if kind != "border":
        return int(top), int(left)

    place = np.array([top, left])
    axis = rng.integers(2)
    place[axis] = rng.choice([-1, room[axis] + 1])
    return int(place[0]), int(place[1])


def tight(rng: np.random.Generator, digit: np.ndarray) -> np.ndarray:
    """Cut a digit out, 50 to 150 pixels high, with margins of 2 to 15 %."""
    large = enlarged(digit, rng.uniform(70, 210))
    margins = rng.uniform(0.02, 0.15, (2, 2)) * max(large.shape)
    return clean(rng, np.pad(large, np.ceil(margins).astype(int)), 0)


def boxed(rng: np.random.Generator, cover: np.ndarray) -> np.ndarray:
    """Print a box around the digit, 6 to 17 pixels away and 1 to 4 wide."""
    rows = np.flatnonzero(cover.any(1))
    columns = np.flatnonzero(cover.any(0))
    gaps = rng.integers(6, 18, 4)
    top, left = max(rows[0] - gaps[0], 1), max(columns[0] - gaps[1], 1)
    bottom = min(rows[-1] + gaps[2], cover.shape[0] - 2) + 1
    right = min(columns[-1] + gaps[3], cover.shape[1] - 2) + 1
    width = rng.integers(1, 5)
    frame = np.zeros(cover.shape)
    frame[top:bottom, left:right] = 1
    frame[top + width : bottom - width, left + width : right - width] = 0

    sheet = inked(rng, cover)
    paper = sheet.max()
    tone = rng.uniform(sheet.min(), 140)
    return camera(rng, np.minimum(sheet, paper + (tone - paper) * frame))


def cuts(
    rng: np.random.Generator,
    shape: np.ndarray,
    corner: tuple[int, int],
    size: tuple[int, ...],
) -> np.ndarray:
    """Return 0 on three lines through a digit, 1 elsewhere."""
    rows, columns = np.indices(shape)
    kept = np.ones(shape)
    for _ in range(3):
        angle = rng.uniform(0, np.pi)
        down, right = rng.uniform(corner, np.add(corner, size))
        away = (rows - down) * np.cos(angle) + (columns - right) * np.sin(angle)
        kept *= abs(away) > rng.uniform(1, 2.5) * max(size) / 70
    return kept


def pages(
    kind: str, X: np.ndarray, y: np.ndarray, n_pages: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return pages of a kind, and their digits."""
    rng = np.random.default_rng(ALL.index(kind))
    chosen = rng.choice(len(X), n_pages, replace=False)
    made = [page(kind, rng, X[n].reshape(28, 28)) for n in chosen]
    return made, y[chosen]


def resized(images: list[np.ndarray]) -> np.ndarray:
    """Return what most people do first: 28 × 28 pixels, bright on black."""
    small = [np.asarray(Image.fromarray(one).resize((28, 28))) for one in images]
    stack = np.stack([one if one.mean() < 127 else 255 - one for one in small])
    return stack.reshape(len(stack), -1)


def normalised(images: list[np.ndarray], clean_up: bool) -> np.ndarray:
    """Return the rows of pages, made in two processes."""
    normaliser = DigitNormalizer(clean_up=clean_up)

    def rows(part: list[np.ndarray]) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "no digit in")
            return normaliser.transform(part)

    parts = [images[start : start + 50] for start in range(0, len(images), 50)]
    return np.concatenate(Parallel(2)(delayed(rows)(part) for part in parts))


def ways(images: list[np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the names of the columns, and rows for the classifier."""
    yield "resized", resized(images)
    yield "not cleaned", normalised(images, clean_up=False)
    yield "cleaned", normalised(images, clean_up=True)


def measure(
    kind: str, model: Pipeline, images: list[np.ndarray], labels: np.ndarray
) -> dict[str, float]:
    """Return how many pages are wrong in each column, in per cent."""
    found = {}
    for name, rows in ways(images):
        if kind == "blank":
            wrong = rows.any(axis=1)
        else:
            wrong = model[-1].predict(rows) != labels
        found[name] = float(100 * wrong.mean())
    return found


def line(kind: str, wrong: dict[str, float], n_pages: int) -> str:
    """Return a row of the table in Markdown."""
    part = wrong["cleaned"] / 100
    error = 200 * np.sqrt(part * (1 - part) / n_pages)
    goal = GOALS.get(kind)
    if goal is None:
        verdict = ""
    else:
        verdict = f"{goal:.0f} {'✓' if wrong['cleaned'] <= goal else 'not reached'}"
    return (
        f"| {kind} | {wrong['resized']:.1f} | {wrong['not cleaned']:.1f} | "
        f"**{wrong['cleaned']:.1f}** ± {error:.1f} | {verdict} |"
    )


def write(known: dict[str, dict[str, float]], n_pages: int) -> None:
    """Write the section of RESULTS.md from all stored figures."""
    text = [
        "# Digits of one's own", "",
        "Made by `python benchmarks/own_digits.py`.", "",
        (__doc__ or "").split("\n\n", 2)[2].strip(), "",
        "| | resized | not cleaned | cleaned | goal |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    text += [line(kind, known[kind], n_pages) for kind in ALL if kind in known]
    enter([*text, "", where() + "."])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--kinds", nargs="+", choices=ALL, default=ALL, metavar="KIND")
    parser.add_argument("--pages", type=int, default=N_PAGES, help="pages of each kind")
    parser.add_argument(
        "--model", type=Path, help="a ConvNetClassifier saved by joblib"
    )
    parser.add_argument(
        "--training-digits",
        action="store_true",
        help="take the last 10,000 training digits, and write nothing",
    )
    options = parser.parse_args()

    mnist = load_mnist()
    rows = slice(50_000, 60_000) if options.training_digits else mnist.test
    X, y = mnist.data[rows], mnist.target[rows]
    model = reader(options.model)
    path = HERE / "own_digits.json"
    known = {}
    for kind in options.kinds:
        images, labels = pages(kind, X, y, options.pages)
        known[kind] = measure(kind, model, images, labels)
        print(line(kind, known[kind], options.pages), flush=True)
    if not options.training_digits:
        path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        write(known, options.pages)


if __name__ == "__main__":
    main()
