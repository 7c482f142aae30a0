"""What all pictures share: matplotlib, imported when one is drawn, axes, ticks and colours."""

from typing import Any

# Distinct to the colour-blind, too (Okabe and Ito 2008).
BLUE, ORANGE, GREEN, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"
AMBER, BLACK = "#E69F00", "#000000"
COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER, BLACK)
FEW_DECADES = 100  # largest by smallest value up to which 2 and 5 have ticks, too
ROW_OF_LEGEND = 80  # letters


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


def axes(ax: Any = None, size: tuple[float, float] | None = None) -> tuple[Any, Any]:
    """Figure and axes to draw on: those given, else new ones, of that many inches."""
    if ax is not None:
        return ax.figure, ax
    figure, ax = pyplot().subplots(figsize=size, layout="constrained")
    return figure, ax


def whole_ticks(axis: Any) -> None:
    """Have ticks at whole numbers only, as epochs are."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def log_ticks(axis: Any, smallest: float, largest: float) -> None:
    """Ticks of a logarithmic axis: at powers of ten, or at 1, 2 and 5 if these are too few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if largest <= FEW_DECADES * smallest:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend_above(ax: Any, handles: list[Any], title: str | None = None) -> None:
    """A legend above the axes, where it covers nothing."""
    letters = 8 + max(len(handle.get_label()) for handle in handles)
    columns = max(1, min(len(handles), ROW_OF_LEGEND // letters))
    ax.legend(
        handles=handles, title=title, ncols=columns, frameon=False,
        loc="lower center", bbox_to_anchor=(0.5, 1),
    )  # fmt: skip
