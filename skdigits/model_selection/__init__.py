"""Searches that train many candidates in one run, and tests of learning rates."""

from skdigits.model_selection._batched import (
    BatchedGridSearchCV,
    BatchedRandomizedSearchCV,
)
from skdigits.model_selection._halving import (
    BatchedHalvingGridSearchCV,
    BatchedHalvingRandomSearchCV,
)
from skdigits.model_selection._range_test import learning_rate_range_test
from skdigits.model_selection._rate_curve import LearningRateRangeTest
from skdigits.model_selection._sweep import LearningRateSweep, learning_rate_sweep

__all__ = [
    "BatchedGridSearchCV",
    "BatchedHalvingGridSearchCV",
    "BatchedHalvingRandomSearchCV",
    "BatchedRandomizedSearchCV",
    "LearningRateRangeTest",
    "LearningRateSweep",
    "learning_rate_range_test",
    "learning_rate_sweep",
]
