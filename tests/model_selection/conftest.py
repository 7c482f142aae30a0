"""Shared by tests of searches: few samples, and scikit-learn's search as the oracle."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skdigits.model_selection import BatchedGridSearchCV


@pytest.fixture(scope="session")
def few(digits):
    """240 digits, which three folds divide evenly."""
    X, y = digits
    return X[:240], y[:240]


@pytest.fixture(scope="session")
def assert_same_results():
    """Compare a fitted search with scikit-learn's, all but the seconds."""

    def compare(found, expected, rtol=1e-8):
        ours, theirs = found.cv_results_, expected.cv_results_
        assert theirs.keys() <= ours.keys()
        assert all(key.endswith("_by_epoch") for key in ours.keys() - theirs.keys())
        assert ours["params"] == theirs["params"]
        for key, values in theirs.items():
            if key.startswith("param_"):
                assert ours[key].dtype == values.dtype
                assert ours[key].tolist() == values.tolist()
            elif key.endswith("_by_epoch"):  # objects: a curve for each candidate
                for own, curve in zip(ours[key], values, strict=True):
                    np.testing.assert_allclose(own, curve, rtol, 1e-12, err_msg=key)
            elif key != "params" and not key.endswith("_time"):
                np.testing.assert_allclose(ours[key], values, rtol, 1e-12, err_msg=key)
        for name in ("n_splits_", "multimetric_", "best_index_", "best_params_"):
            assert getattr(found, name, None) == getattr(expected, name, None)
        np.testing.assert_allclose(
            getattr(found, "best_score_", 0), getattr(expected, "best_score_", 0), rtol
        )

    return compare


@pytest.fixture(scope="session")
def assert_same_search(assert_same_results):
    """Search in both ways, compare, and return ours.

    The log-loss shows what accuracies hide; ``batched`` is what ``batched_`` is to be,
    or None where it does not matter.
    """

    def compare(
        estimator,
        grid,
        X,
        y,
        *,
        fit_params=None,
        batched=True,
        by_epoch=False,
        rtol=1e-8,
        **options,
    ):
        options = {"cv": 3, "scoring": "neg_log_loss"} | options
        fit_params = fit_params or {}
        found = BatchedGridSearchCV(
            clone(estimator), grid, return_epoch_scores=by_epoch, **options
        )
        found.fit(X, y, **fit_params)
        expected = GridSearchCV(clone(estimator), grid, **options).fit(
            X, y, **fit_params
        )
        assert_same_results(found, expected, rtol)
        assert found.batched_.shape == (len(found.cv_results_["params"]),)
        if batched is not None:
            np.testing.assert_array_equal(
                found.batched_, np.broadcast_to(batched, found.batched_.shape)
            )
        if hasattr(expected, "best_estimator_"):
            np.testing.assert_array_equal(
                found.predict_proba(X), expected.predict_proba(X)
            )
            np.testing.assert_array_equal(found.classes_, expected.classes_)
        return found

    return compare
