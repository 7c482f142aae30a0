"""What all pictures share: matplotlib, imported when one is drawn, axes and colours."""

from typing import Any

# Distinct to the colour-blind, too (Okabe and Ito 2008).
BLUE, ORANGE, GREEN, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"
COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY)


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


def axes(ax: Any = None) -> tuple[Any, Any]:
    """Figure and axes to draw on: those given, else new ones."""
    if ax is not None:
        return ax.figure, ax
    figure, ax = pyplot().subplots(layout="constrained")
    return figure, ax
