"""Result of a learning-rate range test: the curve and the suggested learning rates."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from skdigits._plotting import BLUE, GREEN, ORANGE, PURPLE, SKY, axes, log_ticks
from skdigits.model_selection._suggestions import Suggestions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The sizes decrease, because a mark may lie on top of those drawn before.
MARKS = {
    "steepest": ("o", ORANGE, 14),
    "minimum_over_10": ("s", GREEN, 9.5),
    "valley": ("D", PURPLE, 6),
}


def mark_rate(
    ax: "Axes", name: str, rate: float, height: float, style: tuple[str, str, float]
) -> None:
    """Mark a learning rate on a curve by a marker, colour and size."""
    marker, color, size = style
    # The white edge separates the mark from the curve and from other marks.
    ax.plot(
        rate, height, marker, color=color, markersize=size, markeredgecolor="white",
        zorder=3, label=f"{name}: {rate:.2g}",
    )  # fmt: skip


def label_rate_plot(
    ax: "Axes", rates: np.ndarray | pd.Series, parameter: str, ylabel: str
) -> None:
    """Set up a logarithmic axis of learning rates, the labels and the legend."""
    xlabel = f"Learning rate ({parameter})" if "__" in parameter else "Learning rate"
    ax.set(xscale="log", xlabel=xlabel, ylabel=ylabel)

    # A range test that fails at its first step has no learning rates.
    if len(rates):
        log_ticks(ax.xaxis, rates.min(), rates.max())
    ax.legend()


@dataclass(frozen=True, eq=False, repr=False)
class LearningRateRangeTest:
    """Result of a `learning_rate_range_test`.

    It holds the losses over increasing learning rates and the suggested learning rates.

    Parameters
    ----------
    learning_rates : ndarray of shape (n_steps,)
        Learning rate of each step.
    losses : ndarray of shape (n_steps,)
        Objective on the batch of each step, before the step.
    smoothed_losses : ndarray of shape (n_steps,)
        Exponential moving average of the losses, corrected for its initial bias.
    suggestions : dict of str to float or None
        Suggested learning rates ``"steepest"``, ``"minimum_over_10"`` and ``"valley"``;
        all are None if the loss has no clear minimum.
    message : str
        Summary of the result, or "no clear minimum" with the reason.
    parameter : str
        Name of the tested parameter for ``set_params``: ``"learning_rate_init"`` or, in
        a Pipeline, ``"<step>__learning_rate_init"``.
    diverged_at : float or None
        Learning rate at which the test ended because the loss had risen too far; None
        if the test took all steps.

    Attributes
    ----------
    found : bool
        Whether the loss has a clear minimum, so that there are suggestions.

    See Also
    --------
    learning_rate_range_test : Runs the test and returns this result.
    LearningRateSweep : Result of training for whole epochs with each learning rate.

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
        """Return the curve as a DataFrame.

        Returns
        -------
        DataFrame
            One row per step, with the columns ``step`` (from 1), ``learning_rate``,
            ``loss`` and ``smoothed_loss``.
        """
        return pd.DataFrame(
            {
                "step": np.arange(1, len(self.losses) + 1),
                "learning_rate": self.learning_rates,
                "loss": self.losses,
                "smoothed_loss": self.smoothed_losses,
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Plot the loss against the learning rate, and mark the suggestions.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None opens a new figure.

        Returns
        -------
        matplotlib Axes
            Axes with the plot.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        used: Axes = axes(ax)[1]
        rates = self.learning_rates
        smoothed = self.smoothed_losses
        used.plot(
            rates, self.losses, color=SKY, linewidth=1, alpha=0.7,
            label="loss of a batch",
        )  # fmt: skip
        used.plot(rates, smoothed, color=BLUE, linewidth=2, label="smoothed")

        for name, rate in self.suggestions.items():
            if rate is not None:
                height = np.interp(math.log(rate), np.log(rates), smoothed)
                mark_rate(used, name.replace("_", " "), rate, height, MARKS[name])

        # Later losses are cut off, because they would flatten the rest of the curve.
        if len(smoothed):
            early = self.losses[: len(rates) // 2 + 1].max()
            used.set_ylim(0, max(1.15 * smoothed[0], 1.05 * early))

        label_rate_plot(used, rates, self.parameter, "Training loss")
        if not self.found:
            used.set_title("No clear minimum")
        return used

    def __repr__(self) -> str:
        summary = self.message
        if self.found:
            summary = ", ".join(
                f"{name}={rate:.2g}" for name, rate in self.suggestions.items()
            )
        n_steps = len(self.losses)
        return f"LearningRateRangeTest({self.parameter}: {summary}; {n_steps} steps)"
