"""Pages composed of MNIST's digits, with what photographs and forms add to them.

A page starts as a cover: an array of shape (height, width) in which ink is 1 and paper
0. A kind turns it into an image as a camera would take it. Each kind takes the random
generator, the cover and the side of its digits in pixels, and draws its own tones:
paper of 200 to 245, ink of 20 to 80, a blur of 0.7 pixels, and noise of 3.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage

Kind = Callable[[np.random.Generator, np.ndarray, float], np.ndarray]

BLUR = 0.7
NOISE = 3
PLAIN: dict[str, Any] = {"mode": "nearest", "reshape": False, "order": 1}


def enlarged(digit: np.ndarray, side: float) -> np.ndarray:
    """Return a digit (28, 28) in uint8 as a cover of its ink's bounds.

    ``side`` is the side of the whole image after it was enlarged, in pixels.
    """
    large = ndimage.zoom(
        digit / 255, side / 28, order=3, mode="grid-constant", grid_mode=True
    ).clip(0, 1)
    rows = np.flatnonzero((large > 0.3).any(1))
    columns = np.flatnonzero((large > 0.3).any(0))
    return large[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def put(cover: np.ndarray, digit: np.ndarray, top: int, left: int) -> None:
    """Lay a digit on a cover, in place; what lies outside is cut off."""
    height, width = cover.shape
    part = digit[max(-top, 0) :, max(-left, 0) :]
    top = max(top, 0)
    left = max(left, 0)
    part = part[: height - top, : width - left]
    place = cover[top : top + part.shape[0], left : left + part.shape[1]]
    np.maximum(place, part, out=place)


def clean(rng: np.random.Generator, cover: np.ndarray, side: float) -> np.ndarray:
    return camera(rng, inked(rng, cover))


def bright(rng: np.random.Generator, cover: np.ndarray, side: float) -> np.ndarray:
    return 255 - clean(rng, cover, side)


def desk(rng: np.random.Generator, cover: np.ndarray, side: float) -> np.ndarray:
    """Lay the sheet on a darker desk with a grain, turned by up to 8°."""
    page = inked(rng, cover)
    paper = page.max()
    height, width = page.shape
    margins = 10 + rng.uniform(0.1, 0.35, (2, 2)) * [[height], [width]]
    around = [(int(low), int(high)) for low, high in margins]
    angle = rng.uniform(-8, 8)

    sheet = ndimage.rotate(np.pad(np.ones(page.shape), around), angle, **PLAIN)
    page = np.pad(page, around, constant_values=paper)
    page = ndimage.rotate(page, angle, **PLAIN)
    grain = ndimage.gaussian_filter(rng.normal(size=page.shape), (1, 12))
    wood = rng.uniform(30, 120) + 48 * grain
    return camera(rng, sheet * page + (1 - sheet) * wood)


def shadow(rng: np.random.Generator, cover: np.ndarray, side: float) -> np.ndarray:
    """Darken one side of a line to 0.6, with a soft edge of some pixels."""
    page = inked(rng, cover)
    rows, columns = np.indices(page.shape)
    height, width = page.shape
    angle = rng.uniform(0, 2 * np.pi)
    down = (rows - height * rng.uniform(0.3, 0.7)) * np.sin(angle)
    right = (columns - width * rng.uniform(0.3, 0.7)) * np.cos(angle)
    edge = 1 / (1 + np.exp(-(down + right) / rng.uniform(2, 8)))
    return camera(rng, page * (0.6 + 0.4 * edge))


def vignette(rng: np.random.Generator, cover: np.ndarray, side: float) -> np.ndarray:
    """Darken the corners, to 0.36 at most."""
    page = inked(rng, cover)
    down, right = (np.linspace(-1, 1, size) ** 2 for size in page.shape)
    return camera(rng, page * (1 - rng.uniform(0.2, 0.32) * (down[:, None] + right)))


def falling(rng: np.random.Generator, cover: np.ndarray, side: float) -> np.ndarray:
    """Let the light fall to a half from one end to the other."""
    page = inked(rng, cover)
    angle = rng.uniform(0, 2 * np.pi)
    down, right = (np.linspace(0, 1, size) for size in page.shape)
    way = down[:, None] * np.sin(angle) + right * np.cos(angle)
    return camera(rng, page * (1 - 0.5 * (way - way.min()) / np.ptp(way)))


def ruled(rng: np.random.Generator, cover: np.ndarray, side: float) -> np.ndarray:
    """Print lines across the page, turned by up to 3°, of 1 to 3 pixels."""
    return _lined(rng, cover, rng.uniform(0.2, 0.45) * side, is_squared=False)


def squared(rng: np.random.Generator, cover: np.ndarray, side: float) -> np.ndarray:
    return _lined(rng, cover, rng.uniform(0.15, 0.4) * side, is_squared=True)


def salt(rng: np.random.Generator, cover: np.ndarray, side: float) -> np.ndarray:
    """Make 0.8 % of the pixels black or white."""
    page = clean(rng, cover, side)
    chance = rng.uniform(size=page.shape)
    page[chance < 0.004] = 0
    page[chance > 0.996] = 255
    return page


def specks(rng: np.random.Generator, cover: np.ndarray, side: float) -> np.ndarray:
    """Drop 8 specks of 2 to 4 pixels for each 200 × 200 pixels."""
    n_specks = max(8, round(8 * cover.size / 40_000))
    return _speckled(rng, cover, rng.integers(2, 5, n_specks))


def speck(rng: np.random.Generator, cover: np.ndarray, side: float) -> np.ndarray:
    return _speckled(rng, cover, np.array([3]))


def contrast(rng: np.random.Generator, cover: np.ndarray, side: float) -> np.ndarray:
    """Write with ink that is only 56 darker than the paper, in noise of 17."""
    paper = rng.uniform(200, 245)
    return camera(rng, paper - 56 * cover, noise=17)


def blank(rng: np.random.Generator, cover: np.ndarray, side: float) -> np.ndarray:
    return clean(rng, np.zeros_like(cover), side)


def inked(rng: np.random.Generator, cover: np.ndarray) -> np.ndarray:
    """Return a page of drawn tones of paper and ink."""
    paper = rng.uniform(200, 245)
    ink = rng.uniform(20, 80)
    return paper + (ink - paper) * cover


def camera(
    rng: np.random.Generator, page: np.ndarray, noise: float = NOISE
) -> np.ndarray:
    """Return what a camera takes of a page, in uint8."""
    soft = ndimage.gaussian_filter(page, BLUR)
    noisy = soft + rng.normal(0, noise, page.shape)
    return noisy.clip(0, 255).round().astype(np.uint8)


def _lined(
    rng: np.random.Generator, cover: np.ndarray, gap: float, is_squared: bool
) -> np.ndarray:
    half = rng.choice([1, 1, 2, 2, 3]) / 2
    tone = rng.uniform(80, 180)
    angle = np.deg2rad(rng.uniform(-3, 3))
    rows, columns = np.indices(cover.shape)
    ways = [rows * np.cos(angle) - columns * np.sin(angle)]
    if is_squared:
        ways.append(columns * np.cos(angle) + rows * np.sin(angle))

    lines = np.zeros(cover.shape)
    for way in ways:
        past = (way - rng.uniform(0, gap)) % gap
        distance = np.minimum(past, gap - past)
        lines = np.maximum(lines, (half + 0.5 - distance).clip(0, 1))

    page = inked(rng, cover)
    paper = page.max()
    return camera(rng, np.minimum(page, paper + (tone - paper) * lines))


def _speckled(
    rng: np.random.Generator, cover: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    dirty = cover.copy()
    for size in sizes:
        top, left = rng.integers(0, np.array(cover.shape) - size)
        dirty[top : top + size, left : left + size] = 1
    return clean(rng, dirty, 0)


KINDS: dict[str, Kind] = {
    "clean": clean,
    "bright": bright,
    "desk": desk,
    "shadow": shadow,
    "vignette": vignette,
    "falling": falling,
    "ruled": ruled,
    "squared": squared,
    "specks": specks,
    "speck": speck,
    "salt": salt,
    "contrast": contrast,
}
