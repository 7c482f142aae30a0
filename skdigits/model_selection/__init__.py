"""Searches that train all candidates of a fold, and the folds beside them, in one run."""

from skdigits.model_selection._batched import BatchedGridSearchCV, BatchedRandomizedSearchCV

__all__ = ["BatchedGridSearchCV", "BatchedRandomizedSearchCV"]
