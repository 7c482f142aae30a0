"""Many small images as a single one, with a label above each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skdigits._image_shapes import shape_of_images
from skdigits._plotting import one_axes
from skdigits.inspection._answers import as_array
from skdigits.inspection._display import Display

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PatchCollection
    from matplotlib.colors import Colormap
    from matplotlib.image import AxesImage
    from matplotlib.text import Text

# Of a figure, and of a tile at most, in inches.
WIDTH = 7.0
TALLEST = 9.0
TILE = 1.4
POINTS_PER_INCH = 72
# Size of the labels in points, and the mean width of a letter in font sizes.
FONT = 10.0
LETTER = 0.62
MOST_LETTERS = 20
FRAME = "0.75"


def check_image_shape(
    image_shape: tuple[int, ...] | None,
    n_features: int,
    channels: tuple[int, ...] | None = (1, 3),
) -> tuple[int, int, int]:
    """Return ``(height, width, channels)``; None stands for a square of grey pixels.

    Raises
    ------
    ValueError
        If ``image_shape`` is no such tuple, or does not have ``n_features`` pixels or
        one of the numbers of ``channels``.
    """
    if image_shape is None and math.isqrt(n_features) ** 2 != n_features:
        raise ValueError(
            f"{n_features} features are no square image: pass "
            "image_shape=(height, width), or (height, width, 3) for colour images."
        )
    shape = shape_of_images(image_shape, n_features)

    if channels is not None and shape[2] not in channels:
        raise ValueError(
            f"image_shape={image_shape!r} has {shape[2]} channels, but only grey "
            "images with 1 channel and colour images with 3 can be drawn."
        )
    return shape


def shape_seen(
    model: BaseEstimator | None,
    image_shape: tuple[int, ...] | None,
    n_features: int,
    channels: tuple[int, ...] | None = (1, 3),
) -> tuple[int, int, int]:
    """Return the checked shape of images, by default the model's ``image_shape``."""
    if image_shape is None:
        known = getattr(model, "image_shape", None)
        # An earlier step of a Pipeline may have changed the number of features.
        if known is not None and np.prod(known) == n_features:
            image_shape = known
    return check_image_shape(image_shape, n_features, channels)


def as_images(X: ArrayLike, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Return samples (n, h · w · c) as images, (n, h, w) if grey, else (n, h, w, c)."""
    shape = image_shape[:2] if image_shape[2] == 1 else image_shape
    return as_array(X).reshape(-1, *shape)


def brightness_limits(images: np.ndarray) -> tuple[float, float]:
    """Return the values of black and white, 0 and 1 if all pixels lie between them."""
    if images.dtype == np.uint8:
        return 0, 255

    finite = images[np.isfinite(images)].astype(float)
    low = finite.min(initial=np.inf)
    high = finite.max(initial=-np.inf)
    if high < low or (low >= 0 and high <= 1):
        return 0, 1
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def short_label(label: object) -> str:
    """Return a label as text, cut off after 20 letters."""
    text = str(label)
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"


def short_labels(labels: Iterable[object] | None) -> list[str]:
    """Return all labels as short texts, none if there are no labels."""
    return [] if labels is None else [short_label(label) for label in labels]


def columns_for(labels: Sequence[str], most: int) -> int:
    """Return the largest number of columns, up to ``most``, that keeps labels apart."""
    widest = max((len(label) for label in labels), default=0)
    fitting = int(WIDTH * POINTS_PER_INCH / (LETTER * 0.9 * FONT * widest + 5))
    return max(1, min(most, fitting))


def widest_tiles(tile: tuple[int, int], n_images: int, ax: Axes) -> int:
    """Return the number of columns that makes tiles largest on these axes."""
    gap = _gap(tile)

    def points(n_columns: int) -> float:
        n_rows = -(-n_images // n_columns)
        return _points_per_pixel(tile, gap, n_columns, n_rows, ax)

    return max(range(1, min(n_images, 32) + 1), key=points)


class Layout(NamedTuple):
    """Where tiles are in a mosaic, in pixels.

    ``corners`` holds (row, column) of the upper left corner of each tile, ``shape`` is
    the shape of the mosaic and ``tile`` that of a tile. ``font`` is the size of labels
    in points, and ``points`` the size of a pixel.
    """

    corners: np.ndarray
    shape: tuple[int, int]
    tile: tuple[int, int]
    font: float
    points: float


def lay_out(
    tile: tuple[int, int],
    cells: np.ndarray,
    n_columns: int,
    labels: Sequence[str] = (),
    ax: Axes | None = None,
) -> Layout:
    """Return the layout of tiles (height, width) in cells, which count row by row.

    If there are labels, there is room above each tile.
    """
    height, width = tile
    rows, columns = np.divmod(cells, n_columns)
    n_rows = rows.max() + 1
    gap = _gap(tile)
    points = _points_per_pixel(tile, gap, n_columns, n_rows, ax)

    font = FONT
    top = 0
    if labels:
        font = _font(labels, points * max(tile), points * (width + gap))
        top = math.ceil(1.3 * font / points)

    row_height = top + height + gap
    column_width = width + gap
    corners = np.column_stack([rows * row_height + top, columns * column_width])
    shape = (n_rows * row_height - gap, n_columns * column_width - gap)
    return Layout(corners, shape, tile, font, points)


def _gap(tile: tuple[int, int]) -> int:
    """Return the number of pixels between two tiles."""
    return max(1, round(0.06 * max(tile)))


def _font(labels: Sequence[str], side: float, room: float) -> float:
    """Return the size of labels above tiles with a longest ``side``, all in points."""
    widest = max(map(len, labels))
    return max(4.0, min(FONT, 0.28 * side, room / (LETTER * max(widest, 1))))


def _points_per_pixel(
    tile: tuple[int, int], gap: int, n_columns: int, n_rows: int, ax: Axes | None
) -> float:
    """Return the size of a pixel that makes the mosaic fit the axes or a new figure."""
    width = n_columns * (tile[1] + gap)
    # Labels need a height that is only known once the size of a pixel is.
    height = n_rows * (1.25 * tile[0] + gap)

    if ax is None:
        inches = min(WIDTH, TILE * n_columns)
        return min(POINTS_PER_INCH * inches / width, POINTS_PER_INCH * TALLEST / height)
    box = one_axes(ax).get_window_extent()
    scale = POINTS_PER_INCH / ax.figure.dpi
    return scale * min(box.width / width, box.height / height)


def size_in_inches(layout: Layout, beside: float = 0.0) -> tuple[float, float]:
    """Return the size of a figure with a mosaic and ``beside`` inches at its side."""
    height, width = layout.shape
    scale = layout.points / POINTS_PER_INCH
    return max(1.2, width * scale) + 0.2 + beside, height * scale + 0.4


class MosaicDisplay(Display):
    """Base class of Displays that draw many images as one."""

    def _draw_mosaic(
        self,
        images: np.ndarray,
        layout: Layout,
        labels: Sequence[str],
        *,
        limits: tuple[float, float],
        cmap: str | Colormap,
        highlights: Sequence[str] | None = None,
    ) -> None:
        """Set ``image_`` and ``texts_``, drawn on the axes.

        ``highlights`` holds a colour for the frame and the label of each image, or ""
        for an image that does not stand out.
        """
        highlights = highlights or [""] * len(images)
        self.image_ = _draw(self.ax_, images, layout, limits, cmap)
        self.ax_.add_collection(_frames(layout, highlights), autolim=False)
        self.texts_ = _write(self.ax_, labels, layout, highlights)

    def _add_colorbar(self, layout: Layout, label: str) -> None:
        """Draw a colour bar beside the mosaic, not much higher than the mosaic."""
        # By default, the bar is as high as the axes, which leave room above and below.
        figure = self.figure_
        box = self.ax_.get_window_extent().height * POINTS_PER_INCH / figure.dpi
        shrink = min(1.0, layout.shape[0] * layout.points / box)
        figure.colorbar(self.image_, ax=self.ax_, label=label, shrink=shrink)


def _assemble(images: np.ndarray, layout: Layout) -> np.ndarray:
    """Return images (n, h, w[, 3]) as one image, of which the gaps are transparent."""
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


def _draw(
    ax: Axes,
    images: np.ndarray,
    layout: Layout,
    limits: tuple[float, float],
    cmap: str | Colormap,
) -> AxesImage:
    """Draw images as one, without ticks around it."""
    low, high = limits
    # matplotlib scales grey images itself, but wants colours within 0 and 1.
    if images.ndim == 4:
        images = np.clip((images.astype(float) - low) / (high - low), 0, 1)

    picture = ax.imshow(
        _assemble(images, layout),
        cmap=cmap,
        vmin=low,
        vmax=high,
        interpolation="nearest",
    )
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return picture


def _frames(layout: Layout, highlights: Sequence[str]) -> PatchCollection:
    """Return a frame around each tile: thick if in its own colour, else thin, grey."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    height, width = layout.tile
    boxes = [
        Rectangle((column - 0.5, row - 0.5), width, height)
        for row, column in layout.corners
    ]
    return PatchCollection(
        boxes,
        facecolor="none",
        edgecolor=[color or FRAME for color in highlights],
        linewidth=[1.6 if color else 0.5 for color in highlights],
        clip_on=False,
    )


def _write(
    ax: Axes, labels: Sequence[str], layout: Layout, highlights: Sequence[str]
) -> list[Text]:
    """Write the labels above their tiles: bold in the colour given, else black."""
    middle = (layout.tile[1] - 1) / 2
    texts = []

    # Not strict, as there may be no labels.
    for label, color, (row, column) in zip(
        labels, highlights, layout.corners, strict=False
    ):
        text = ax.text(
            column + middle,
            row - 0.7,
            label,
            color=color or "black",
            fontsize=layout.font,
            fontweight="bold" if color else "normal",
            ha="center",
            va="bottom",
            parse_math=False,
        )
        texts.append(text)

    return texts
