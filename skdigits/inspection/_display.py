"""Tools of all Displays: the fitted model inside an estimator, checks, and axes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, SupportsInt, cast

from sklearn.base import BaseEstimator

from skdigits._fitted_models import fitted_steps
from skdigits._input_checks import COUNT
from skdigits._plotting import axes, pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


def innermost(estimator: BaseEstimator, name: str = "estimator") -> BaseEstimator:
    """Return the fitted model inside an estimator, which is a parameter of this name.

    This is the last step of a Pipeline, the best estimator of a search, or the
    estimator that a FrozenEstimator holds.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    ValueError
        If a search did not refit its best candidate, or a Pipeline has no steps.
    """
    *_, last = fitted_steps(estimator, name)
    return last


def model_of(
    estimator: BaseEstimator, classes: tuple[type, ...], display: str
) -> BaseEstimator:
    """Return the fitted model inside, an instance of one of the ``classes``.

    Raises
    ------
    TypeError
        If the model is of another class.
    """
    model = innermost(estimator)
    if not isinstance(model, classes):
        names = " or ".join(cls.__name__ for cls in classes)
        raise TypeError(
            f"{display} draws a fitted {names}, got {type(model).__name__}."
        )
    return model


def whole_number(
    name: str, value: SupportsInt | None, *, or_none: bool = False
) -> int | None:
    """Return a parameter that must be a whole number of 1 or more, or else None.

    Raises
    ------
    ValueError
        If the value is neither.
    """
    if or_none and value is None:
        return None
    if not COUNT.is_satisfied_by(value):
        none = ", or None" if or_none else ""
        raise ValueError(f"{name}={value!r} must be a whole number, 1 or more{none}.")
    # Not None, as a count is a number.
    return int(cast(SupportsInt, value))


def check_kind(kind: str, kinds: Sequence[str]) -> str:
    """Return the kind of a plot.

    Raises
    ------
    ValueError
        If it is not among the ``kinds``.
    """
    if kind not in kinds:
        known = ", ".join(map(repr, kinds))
        raise ValueError(f"kind={kind!r} is none of {known}.")
    return kind


class Display:
    """Base class of Displays, which draws on given axes or on new ones."""

    # The figure that from_estimator or the like opened, until `plot` closes it.
    _opened: Figure | SubFigure | None = None
    # Whether the axes are new ones, in which case the figure may grow.
    _own = False

    @abstractmethod
    def plot(self, ax: Axes | None = None) -> Any:
        """Draw on axes, or on those of a new figure."""

    def _drawn(self, ax: Axes | None) -> Self:
        """Draw, and keep in mind whether this opened a figure; return the Display."""
        self.plot(ax)
        self._opened = self.figure_ if ax is None else None
        return self

    def _begin(self, ax: Axes | None, size: tuple[float, float] | None = None) -> None:
        """Set the figure and axes to draw on; a new figure has ``size`` in inches."""
        # So that from_estimator(...).plot(ax) leaves one figure, not two.
        if self._opened is not None:
            pyplot().close(self._opened)
            self._opened = None

        self._own = ax is None
        self.figure_, self.ax_ = axes(ax, size)
