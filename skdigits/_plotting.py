"""Tools of all plots: matplotlib, imported only to draw; axes, ticks and colours."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from types import ModuleType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D

# Colour-blind readers can tell these apart, too (Okabe and Ito 2008).
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
SKY = "#56B4E9"
AMBER = "#E69F00"
BLACK = "#000000"
COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER, BLACK)

# Powers of ten alone are too few ticks up to this ratio of largest to smallest value.
FEW_DECADES = 100
# Letters of a legend that fit into an inch of axes with a colour bar beside them.
LETTERS_PER_INCH = 15
# Height of the tick labels and the label of an axis, in points.
LABELS_BELOW = 34


def pyplot() -> ModuleType:
    """Import and return `matplotlib.pyplot`.

    Raises
    ------
    ImportError
        If matplotlib is not installed; the message says how to install it.
    """
    try:
        import matplotlib.pyplot
    except ImportError as error:
        raise ImportError(
            "Drawing needs matplotlib, which is not installed: pip install matplotlib"
        ) from error
    module: ModuleType = matplotlib.pyplot
    return module


def one_axes(ax: Axes) -> Axes:
    """Return the given axes after a check that they are a single Axes.

    Raises
    ------
    TypeError
        If ``ax`` is anything else, such as an array of Axes.
    """
    if not hasattr(ax, "get_window_extent"):
        raise TypeError(
            f"ax must be one matplotlib Axes, got {type(ax).__name__}: pass one Axes "
            "of an array, such as axes[0, 0]. One Axes is enough for many images."
        )
    return ax


def axes(
    ax: Axes | None = None, size: tuple[float, float] | None = None
) -> tuple[Figure | SubFigure, Axes]:
    """Return the figure and axes to draw on: the given axes, or new ones.

    A new figure has the given ``size`` in inches.
    """
    if ax is not None:
        return one_axes(ax).figure, ax
    figure, ax = pyplot().subplots(figsize=size, layout="constrained")
    return figure, ax


def whole_ticks(axis: Axis) -> None:
    """Put ticks at whole numbers only, as for epochs."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(
        MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])
    )


def log_ticks(axis: Axis, smallest: float, largest: float) -> None:
    """Put the ticks of a logarithmic axis at powers of ten.

    A short axis has ticks at 1, 2 and 5 times each power of ten.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if largest <= FEW_DECADES * smallest:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend_line(label: str, color: str = "0.4", style: str = "-") -> Line2D:
    """Return a line without points, which explains a colour or a style in a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, linestyle=style, label=label)


def legend_below(
    ax: Axes, handles: Sequence[Artist], title: str | None = None, *, grow: bool = False
) -> None:
    """Add a legend below the axes, where it covers neither the lines nor a title.

    Long labels are broken into lines. If ``grow`` is true, the figure grows by the
    height of the legend; otherwise a label has two lines at most.
    """
    from matplotlib.transforms import ScaledTranslation

    room = LETTERS_PER_INCH * ax.get_window_extent().width / ax.figure.dpi
    width = int(0.8 * room)
    most_lines = 8 if grow else 2
    labels = [_broken(str(handle.get_label()), width, most_lines) for handle in handles]

    below = ScaledTranslation(0, -LABELS_BELOW / 72, ax.figure.dpi_scale_trans)
    legend = ax.legend(
        handles,
        labels,
        title=title,
        ncols=_n_columns(labels, room),
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=ax.transAxes + below,
    )
    # Users make up the names, in which a dollar sign is no mathematics.
    for text in legend.get_texts():
        text.set_parse_math(False)

    if grow:
        _grow(cast("Figure", ax.figure), legend)


def _grow(figure: Figure, legend: Legend) -> None:
    """Make the figure higher by the height of the legend."""
    width, height = figure.get_size_inches()
    added = legend.get_window_extent().height / figure.dpi
    figure.set_size_inches(width, height + added)


def _n_columns(labels: list[str], room: float) -> int:
    """Return how many columns of labels fit into a line of ``room`` letters."""
    lines = "\n".join(labels).split("\n")
    # The sample of a line beside each label is about as wide as eight letters.
    letters = 8 + max(len(line) for line in lines)
    return int(max(1, min(len(labels), room // letters)))


def _broken(label: str, width: int, most_lines: int) -> str:
    """Break a label into lines of ``width`` letters, and cut off all further lines."""
    lines = wrap(
        label,
        max(width, 8),
        max_lines=most_lines,
        placeholder=" …",
        break_on_hyphens=False,
    )
    return "\n".join(lines)
