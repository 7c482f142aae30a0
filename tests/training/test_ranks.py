"""A few rows tell whether ranks have the same samples."""

import numpy as np
import pytest
import sklearn
import torch
from scipy.sparse import csr_array

from skdigits.training.ranks import (
    FEW_FEATURES,
    FEW_ROWS,
    _Description,
    _few_rows,
    _has_same_rows,
)


def with_rows(rows):
    return _Description({}, rows, "", None, None)


def test_other_rounding_is_no_difference(rng):
    """As of a step of a Pipeline that adds up in another order."""
    pixels = rng.integers(0, 256, (FEW_ROWS, 784)).astype(np.float32)
    weights = rng.normal(size=(784, 1000)).astype(np.float32)
    order = rng.permutation(784)
    rows = pixels @ weights
    again = pixels[:, order] @ weights[order]
    assert (rows != again).any()
    assert _has_same_rows(with_rows(again), with_rows(rows))


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_other_values_of_any_size_are_one(rng, scale):
    rows, others = scale * rng.random((2, 3, 5))
    assert _has_same_rows(with_rows(rows), with_rows(rows))
    assert not _has_same_rows(with_rows(others), with_rows(rows))


@pytest.mark.parametrize(
    ("shape", "step"), [((0, 4), 1), ((1, 4), 1), ((5, 4), 1), ((999, 2500), 3)]
)
@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy, csr_array])
def test_rows_come_from_all_over(shape, step, convert, rng):
    X = rng.integers(0, 9, shape).astype(float)
    with sklearn.config_context(array_api_dispatch=True):  # tensors stay tensors
        rows = _few_rows(convert(X))
    assert len(rows) == min(len(X), FEW_ROWS)
    assert rows.shape[1] == len(range(0, shape[1], step)) <= FEW_FEATURES
    np.testing.assert_array_equal(rows[:1], X[:1, ::step])
    np.testing.assert_array_equal(rows[-1:], X[-1:, ::step])
