"""Sparse matrices and arrays of SciPy: what NumPy does with their dense rows."""

from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import issparse


def without_duplicates(X: Any) -> Any:
    """Return a sparse X whose entries are distinct and sorted; X itself if they are.

    Entries of the same row and column add up in the dtype of X, as in ``X.toarray()``.
    From any other format, scikit-learn's check converts, and adds them up.
    """
    if X.format not in ("csr", "csc") or X.has_canonical_format:
        return X
    X = X.copy()  # the user's own may be read-only
    X.sum_duplicates()
    return X


def n_numbers(X: Any) -> int:
    """Return how many numbers hold X, dense or sparse."""
    # An entry has a value and the place of its feature.
    found: int = 2 * X.nnz if issparse(X) else X.shape[0] * X.shape[1]
    return found


def with_narrow_indices(X: Any) -> Any:
    """Return a CSR matrix with indices of 32 bits, if these suffice."""
    if max(X.nnz, *X.shape) > np.iinfo(np.int32).max:
        return X
    indices = X.indices.astype(np.int32, copy=False)
    indptr = X.indptr.astype(np.int32, copy=False)
    return type(X)((X.data, indices, indptr), shape=X.shape)


def distinct_rows(X: Any) -> Any:
    """Return the distinct rows of a CSR matrix, in the order of ``np.unique``.

    Rows compare by their first difference. There, a positive entry is more than none,
    and all the more the earlier its column; a negative one is less.
    """
    X = X.copy()
    X.eliminate_zeros()
    signs = np.sign(X.data).astype(np.int64)
    keys = np.stack([signs, -signs * X.indices, X.data.astype(np.float64)])
    order = np.lexsort(keys[::-1])
    rises = (np.diff(keys[:, order], prepend=np.nan) != 0).any(0)

    # Even ranks of entries, and an odd one for the end of a row, which is a 0.
    ranks = np.empty(len(order), dtype=">u8")
    ranks[order] = 2 * rises.cumsum()
    end = np.array(1 + ranks[signs < 0].max(initial=0), dtype=">u8").tobytes()
    bounds = 8 * X.indptr.astype(np.int64)
    numbers = ranks.tobytes()
    rows = [numbers[start:stop] + end for start, stop in pairwise(bounds.tolist())]

    # Bytes compare as their ranks do, as all of these have the same width.
    first = {row: place for place, row in reversed(list(enumerate(rows)))}
    return X[[first[row] for row in sorted(first)]]
