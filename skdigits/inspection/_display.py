"""What all Displays share: the estimator inside others, and the axes to draw on."""

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skdigits._parameters import COUNT
from skdigits._plotting import axes, pyplot


def innermost(estimator):
    """The fitted model inside a Pipeline (its last step), a search (the best) or a frozen one.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    ValueError
        If a search did not refit its best candidate.
    """
    if hasattr(estimator, "__sklearn_tags__"):  # others can be anything that predicts
        check_is_fitted(estimator)
    if isinstance(estimator, Pipeline):
        return innermost(estimator.steps[-1][1])
    if isinstance(estimator, FrozenEstimator):
        return innermost(estimator.estimator)
    if not (hasattr(estimator, "cv_results_") and hasattr(estimator, "refit")):
        return estimator
    if not hasattr(estimator, "best_estimator_"):
        raise ValueError(
            f"This {type(estimator).__name__} has refit={estimator.refit!r}, and so no "
            "best_estimator_ to look at: set refit=True, or pass a fitted model."
        )
    return innermost(estimator.best_estimator_)


def model_of(estimator, wanted, display):
    """The fitted model inside, which must be one of the classes ``wanted``.

    Raises
    ------
    TypeError
        If it is not.
    """
    model = innermost(estimator)
    if not isinstance(model, wanted):
        names = " or ".join(kind.__name__ for kind in wanted)
        raise TypeError(
            f"{display} draws a fitted {names}, got {type(model).__name__}."
        )
    return model


def whole_number(name, value, *, or_none=False):
    """A whole number of 1 or more, or also None.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if or_none and value is None:
        return None
    if not COUNT.is_satisfied_by(value):
        none = ", or None" if or_none else ""
        raise ValueError(f"{name}={value!r} must be a whole number, 1 or more{none}.")
    return int(value)


class Display:
    """Axes of a Display: those given to ``plot``, else new ones."""

    _opened = None  # the figure that was drawn unasked, by from_estimator and its like
    _own = False  # whether the axes are new ones

    def _drawn(self, ax):
        self.plot(ax)
        self._opened = self.figure_ if ax is None else None
        return self

    def _begin(self, ax, size=None):
        # So that from_estimator(...).plot(ax) leaves one figure, not two.
        if self._opened is not None:
            pyplot().close(self._opened)
            self._opened = None
        self._own = ax is None
        self.figure_, self.ax_ = axes(ax, size)
        return self.ax_
