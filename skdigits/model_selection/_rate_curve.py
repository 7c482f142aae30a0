"""What a range test has found: the curve, and the rates read off it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skdigits._plotting import BLUE, GREEN, ORANGE, PURPLE, SKY, axes, log_ticks
from skdigits.model_selection._suggestions import Suggestions

MARKERS = {  # of falling size, as one may lie on another
    "steepest": ("o", ORANGE, 14),
    "minimum_over_10": ("s", GREEN, 9.5),
    "valley": ("D", PURPLE, 6),
}


def rate_label(parameter: str) -> str:
    """What an axis of rates is called, with the parameter's name where it is a step's."""
    return f"Learning rate ({parameter})" if "__" in parameter else "Learning rate"


@dataclass(frozen=True, eq=False, repr=False)
class LearningRateRangeTest:
    """Outcome of a `learning_rate_range_test`.

    The curve of losses over rates that rise, and what rates it suggests, if any.

    Parameters
    ----------
    learning_rates : ndarray of shape (n_steps,)
        Rate of each step that was taken.
    losses : ndarray of shape (n_steps,)
        Objective on the step's batch, with the weights before the step.
    smoothed_losses : ndarray of shape (n_steps,)
        Exponential moving average of the losses, corrected for its beginning.
    suggestions : dict of str to float or None
        ``"steepest"``, ``"minimum_over_10"`` and ``"valley"``, each a learning rate; all are
        None where there is no clear minimum.
    message : str
        What was found, or "no clear minimum" and why.
    parameter : str
        Name of the parameter that the rates are of, ``"learning_rate_init"`` or, in a
        Pipeline, ``"<step>__learning_rate_init"``, for ``set_params``.
    diverged_at : float or None
        The last rate, where the loss had risen too far; None if it never did.

    Attributes
    ----------
    found : bool
        Whether the loss has a clear minimum, so that there are suggestions.

    See Also
    --------
    learning_rate_range_test : Makes it.
    LearningRateSweep : What whole epochs with many rates have led to.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.model_selection import learning_rate_range_test
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SoftmaxRegression(random_state=0)
    >>> test = learning_rate_range_test(model, X / 16, y, max_rate=0.001, n_steps=20)
    >>> test.found
    False
    >>> test.to_frame().round(4).head(2)
       step  learning_rate    loss  smoothed_loss
    0     1            0.0  2.3026         2.3026
    1     2            0.0  2.3026         2.3026
    """

    learning_rates: np.ndarray
    losses: np.ndarray
    smoothed_losses: np.ndarray
    suggestions: Suggestions
    message: str
    parameter: str
    diverged_at: float | None

    @property
    def found(self) -> bool:
        """Whether the loss has a clear minimum, so that there are suggestions."""
        return None not in self.suggestions.values()

    def to_frame(self) -> pd.DataFrame:
        """Give the curve as a DataFrame.

        Returns
        -------
        DataFrame
            A row for each step: ``step``, from 1, ``learning_rate``, ``loss`` and
            ``smoothed_loss``.
        """
        return pd.DataFrame(
            {
                "step": np.arange(1, len(self.losses) + 1),
                "learning_rate": self.learning_rates,
                "loss": self.losses,
                "smoothed_loss": self.smoothed_losses,
            }
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the loss against the rate, with the suggestions.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; default: a new figure.

        Returns
        -------
        matplotlib Axes
            What was drawn on.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        _, ax = axes(ax)
        rates, smoothed = self.learning_rates, self.smoothed_losses
        ax.plot(
            rates,
            self.losses,
            color=SKY,
            linewidth=1,
            alpha=0.7,
            label="loss of a batch",
        )
        ax.plot(rates, smoothed, color=BLUE, linewidth=2, label="smoothed")
        for name, rate in self.suggestions.items():
            if rate is not None:
                marker, color, size = MARKERS[name]
                height = np.interp(math.log(rate), np.log(rates), smoothed)
                label = f"{name.replace('_', ' ')}: {rate:.2g}"
                ax.plot(
                    rate, height, marker, color=color, markersize=size, label=label,
                    markeredgecolor="white", zorder=3,
                )  # fmt: skip
        if len(smoothed):
            top = max(
                1.15 * smoothed[0], 1.05 * self.losses[: len(rates) // 2 + 1].max()
            )
            ax.set_ylim(0, top)  # what comes after would flatten all the rest
        ax.set(xscale="log", xlabel=rate_label(self.parameter), ylabel="Training loss")
        if len(rates):
            log_ticks(ax.xaxis, rates[0], rates[-1])
        if not self.found:
            ax.set_title("No clear minimum")
        ax.legend()
        return ax

    def __repr__(self) -> str:
        what = self.message
        if self.found:
            what = ", ".join(
                f"{name}={rate:.2g}" for name, rate in self.suggestions.items()
            )
        return (
            f"LearningRateRangeTest({self.parameter}: {what}; {len(self.losses)} steps)"
        )
