"""Many small images as a single one, with a label above each."""

import math
from typing import NamedTuple

import numpy as np

from skdigits._parameters import shape_of_images
from skdigits._plotting import one_axes

WIDTH = 7.0  # of a figure, in inches
TILE = 1.4  # the widest a tile is made, in inches
TALLEST = 9.0
POINTS = 72  # an inch
FONT = 10.0  # points
LETTER = 0.62  # mean width of a letter, in font sizes
MOST_LETTERS = 20  # of a label
FRAME = "0.75"


def check_image_shape(image_shape, n_features, channels=(1, 3)):
    """``(height, width, channels)``; None is a square of grey pixels.

    Raises
    ------
    ValueError
        If the shape is none, or not that of so many features or of such channels.
    """
    if image_shape is None and math.isqrt(n_features) ** 2 != n_features:
        raise ValueError(
            f"{n_features} features are no square image: pass image_shape=(height, width), or "
            "(height, width, 3) for colour images."
        )
    shape = shape_of_images(image_shape, n_features)
    if channels is not None and shape[2] not in channels:
        raise ValueError(
            f"image_shape={image_shape!r} has {shape[2]} channels, but only grey images, of "
            "1, and colour images, of 3, can be shown."
        )
    return shape


def shape_seen(model, image_shape, n_features, channels=(1, 3)):
    """As `check_image_shape`; None is what the model was told, if rows have that shape."""
    if image_shape is None:
        told = getattr(model, "image_shape", None)
        image_shape = told if told is not None and np.prod(told) == n_features else None
    return check_image_shape(image_shape, n_features, channels)


def as_images(X, image_shape):
    """Rows (n, h · w · c) as images, (n, h, w) if grey, else (n, h, w, c)."""
    shape = image_shape[:2] if image_shape[2] == 1 else image_shape
    return np.asarray(X).reshape(-1, *shape)


def brightness_limits(images):
    """The values of black and white: 0 and 1 for what lies within, else the extremes."""
    if images.dtype == np.uint8:
        return 0, 255
    finite = images[np.isfinite(images)].astype(float)
    low, high = finite.min(initial=np.inf), finite.max(initial=-np.inf)
    if high < low or (low >= 0 and high <= 1):
        return 0, 1
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def short(label):
    """A label as text that is not too long."""
    text = str(label)
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"


def columns_for(labels, most):
    """So many columns that the labels can be read."""
    widest = max((len(label) for label in labels), default=0)
    fitting = int(WIDTH * POINTS / (LETTER * 0.9 * FONT * widest + 5))
    return max(1, min(most, fitting))


def widest_tiles(tile, n_images, ax):
    """The number of columns that makes tiles largest on these axes."""
    gap = max(1, round(0.06 * max(tile)))
    counts = range(1, min(n_images, 32) + 1)
    return max(
        counts, key=lambda n: _points_a_pixel(tile, gap, n, -(-n_images // n), ax)
    )


class Layout(NamedTuple):
    """Where tiles are in a mosaic, in pixels: (row, column) of their upper left ``corners``.

    ``shape`` is that of the mosaic, ``tile`` that of a tile; ``font`` is the size of labels,
    ``points`` that of a pixel.
    """

    corners: np.ndarray
    shape: tuple[int, int]
    tile: tuple[int, int]
    font: float
    points: float


def lay_out(tile, cells, n_columns, labels=None, ax=None):
    """A layout of tiles (height, width) in these cells, counted row by row.

    There is room above each if there are labels.
    """
    height, width = tile
    rows, columns = np.divmod(cells, n_columns)
    n_rows = rows.max() + 1
    gap = max(1, round(0.06 * max(tile)))
    points = _points_a_pixel(tile, gap, n_columns, n_rows, ax)
    font, top = FONT, 0
    if labels:
        widest = max(map(len, labels))
        room = points * (width + gap)
        font = max(
            4.0, min(FONT, 0.28 * points * max(tile), room / (LETTER * max(widest, 1)))
        )
        top = math.ceil(1.3 * font / points)
    corners = np.column_stack(
        [rows * (top + height + gap) + top, columns * (width + gap)]
    )
    shape = n_rows * (top + height + gap) - gap, n_columns * (width + gap) - gap
    return Layout(corners, shape, tile, font, points)


def _points_a_pixel(tile, gap, n_columns, n_rows, ax):
    pixels, roughly_high = n_columns * (tile[1] + gap), n_rows * (1.25 * tile[0] + gap)
    if ax is None:
        width = POINTS * min(WIDTH, TILE * n_columns)
        return min(width / pixels, POINTS * TALLEST / roughly_high)
    box, scale = one_axes(ax).get_window_extent(), POINTS / ax.figure.dpi
    return scale * min(box.width / pixels, box.height / roughly_high)


def size_in_inches(layout, beside=0.0):
    """Of a figure with a mosaic, and something ``beside`` it."""
    height, width = layout.shape
    scale = layout.points / POINTS
    return max(1.2, width * scale) + 0.2 + beside, height * scale + 0.4


def assemble(images, layout):
    """Images (n, h, w) as one, NaN between them; (n, h, w, 3) with nothing opaque there."""
    height, width = layout.tile
    if images.ndim == 4:
        opaque = np.ones((*images.shape[:3], 1))
        images = np.concatenate([images, opaque], 3)
        sheet = np.zeros((*layout.shape, 4))
    else:
        sheet = np.full(layout.shape, np.nan)
    for image, (row, column) in zip(images, layout.corners, strict=True):
        sheet[row : row + height, column : column + width] = image
    return sheet


def draw(ax, images, layout, *, limits, cmap, frames=None):
    """Draw images within frames (of these colours, or grey); returns the AxesImage."""
    low, high = limits
    if images.ndim == 4:
        images = np.clip((images.astype(float) - low) / (high - low), 0, 1)
    picture = ax.imshow(
        assemble(images, layout),
        cmap=cmap,
        vmin=low,
        vmax=high,
        interpolation="nearest",
    )
    ax.add_collection(_frames(layout, frames or [FRAME] * len(images)), autolim=False)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return picture


def _frames(layout, colors):
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    height, width = layout.tile
    boxes = [
        Rectangle((column - 0.5, row - 0.5), width, height)
        for row, column in layout.corners
    ]
    widths = [0.5 if color == FRAME else 1.6 for color in colors]
    return PatchCollection(
        boxes, facecolor="none", edgecolor=colors, linewidth=widths, clip_on=False
    )


def write(ax, labels, layout, colors=None):
    """Write a label above each tile, if there are any; returns the Texts."""
    middle = (layout.tile[1] - 1) / 2
    colors = colors or ["black"] * len(labels)
    return [
        ax.text(
            column + middle, row - 0.7, label, color=color, fontsize=layout.font,
            ha="center", va="bottom", parse_math=False,
        )
        for label, color, (row, column) in zip(labels, colors, layout.corners, strict=False)
    ]  # fmt: skip


def explain(ax, picture, layout, label):
    """A colour bar beside the mosaic, not much higher than that."""
    box = ax.get_window_extent().height * POINTS / ax.figure.dpi
    shrink = min(1.0, layout.shape[0] * layout.points / box)
    ax.figure.colorbar(picture, ax=ax, label=label, shrink=shrink)
