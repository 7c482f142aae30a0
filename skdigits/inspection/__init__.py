"""Plots and tables of what a fitted model has learnt, and of its mistakes."""

from skdigits.inspection._digit_grid import DigitGridDisplay
from skdigits.inspection._digits_on_page import DigitsOnPageDisplay
from skdigits.inspection._learning_curve import LearningCurveDisplay
from skdigits.inspection._learning_rate_search import LearningRateSearchDisplay
from skdigits.inspection._mistakes import confusion_pairs, top_losses
from skdigits.inspection._reliability import confidences, reliability
from skdigits.inspection._templates import TemplatesDisplay
from skdigits.inspection._weights import WeightsDisplay

__all__ = [
    "DigitGridDisplay",
    "DigitsOnPageDisplay",
    "LearningCurveDisplay",
    "LearningRateSearchDisplay",
    "TemplatesDisplay",
    "WeightsDisplay",
    "confidences",
    "confusion_pairs",
    "reliability",
    "top_losses",
]
