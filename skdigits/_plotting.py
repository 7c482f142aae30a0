"""What all pictures share: matplotlib, imported when one is drawn, axes, ticks and colours."""

from textwrap import wrap
from typing import Any

# Distinct to the colour-blind, too (Okabe and Ito 2008).
BLUE, ORANGE, GREEN, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"
AMBER, BLACK = "#E69F00", "#000000"
COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER, BLACK)
FEW_DECADES = 100  # largest by smallest value up to which 2 and 5 have ticks, too
LETTERS = 15  # of a legend that an inch has room for, colour bars beside it
LABELS_BELOW = 34  # points that the ticks and the label of an axis take


def pyplot() -> Any:
    """`matplotlib.pyplot`.

    Raises
    ------
    ImportError
        If matplotlib is not installed, saying how to.
    """
    try:
        import matplotlib.pyplot
    except ImportError as error:
        raise ImportError(
            "Drawing needs matplotlib, which is not installed: pip install 'skdigits[plot]', "
            "or pip install matplotlib."
        ) from error
    return matplotlib.pyplot


def one_axes(ax: Any) -> Any:
    """The axes given, if they are that.

    Raises
    ------
    TypeError
        If they are an array of several, say.
    """
    if not hasattr(ax, "get_window_extent"):
        raise TypeError(
            f"ax must be one matplotlib Axes, got {type(ax).__name__}: of an array of Axes, "
            "pass one, such as axes[0, 0]. Many images are drawn into one Axes, too."
        )
    return ax


def axes(ax: Any = None, size: tuple[float, float] | None = None) -> tuple[Any, Any]:
    """Figure and axes to draw on: those given, else new ones, of that many inches."""
    if ax is not None:
        return one_axes(ax).figure, ax
    figure, ax = pyplot().subplots(figsize=size, layout="constrained")
    return figure, ax


def whole_ticks(axis: Any) -> None:
    """Have ticks at whole numbers only, as epochs are."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(
        MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])
    )


def log_ticks(axis: Any, smallest: float, largest: float) -> None:
    """Ticks of a logarithmic axis: at powers of ten, or at 1, 2 and 5 if these are too few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if largest <= FEW_DECADES * smallest:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend_below(
    ax: Any, handles: list[Any], title: str | None = None, *, grow: bool = False
) -> None:
    """A legend below the axes and its label, where it covers neither lines nor a title.

    The figure becomes as much higher as is needed if it may ``grow``. Long labels are broken
    into lines; if it may not, into two at most.
    """
    from matplotlib.transforms import ScaledTranslation

    below = ScaledTranslation(0, -LABELS_BELOW / 72, ax.figure.dpi_scale_trans)
    room = LETTERS * ax.get_window_extent().width / ax.figure.dpi
    labels = [
        _broken(each.get_label(), int(0.8 * room), 8 if grow else 2) for each in handles
    ]
    letters = 8 + max(len(line) for label in labels for line in label.split("\n"))
    columns = int(max(1, min(len(handles), room // letters)))
    legend = ax.legend(
        handles, labels, title=title, ncols=columns, frameon=False,
        loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=ax.transAxes + below,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)  # as users make up names
    if grow:
        width, height = ax.figure.get_size_inches()
        more = legend.get_window_extent().height / ax.figure.dpi
        ax.figure.set_size_inches(width, height + more)


def _broken(label: str, width: int, most: int) -> str:
    """A label in lines of such a width, cut off after so many of them."""
    lines = wrap(
        label, max(width, 8), max_lines=most, placeholder=" …", break_on_hyphens=False
    )
    return "\n".join(lines)
