"""Sparse rows of the engine against SciPy's own indexing."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from skdigits.engine.batches import Data, as_floats
from skdigits.engine.sparse import SparseRows, join_rows


@pytest.fixture(params=[np.float64, np.float32, np.uint8])
def pair(request):
    """Return rows of SciPy, one of them empty, and the same rows of the engine."""
    X = sp.random_array((50, 7), density=0.3, rng=0, dtype=np.float64)
    X = (100 * X.tocsr()).astype(request.param)
    X.data[0] = 0  # an entry of 0
    X = sp.vstack([X, sp.csr_array((1, 7), dtype=request.param)], format="csr")
    parts = map(torch.from_numpy, (X.indptr.astype(np.int64), X.indices, X.data))
    return X, SparseRows(*parts, 7)


def test_it_looks_like_a_tensor(pair):
    X, rows = pair
    dense = torch.from_numpy(X.toarray())
    for name in ("shape", "dtype", "device"):
        assert getattr(rows, name) == getattr(dense, name)
    for name in ("numel", "is_floating_point", "aminmax"):
        assert getattr(rows, name)() == getattr(dense, name)()
    assert len(rows) == len(dense) == 51


def test_parts_are_dense(pair):
    X, rows = pair
    dense = X.toarray()
    for some in (slice(None), slice(3, 9), slice(0, 51, 4), slice(40, 99), slice(5, 5)):
        np.testing.assert_array_equal(rows[some], dense[some])
    positions = torch.tensor([50, 3, 3, 0, 49])
    found = rows.index_select(0, positions)
    assert found.dtype == rows.dtype
    np.testing.assert_array_equal(found, dense[positions])
    memory = torch.ones(5, 7, dtype=rows.dtype)
    assert rows.index_select(0, positions, out=memory) is memory
    assert torch.equal(memory, found)
    np.testing.assert_array_equal(rows.to(torch.float64), dense)


def test_split_rows_and_joined_ones_stay_sparse(pair):
    X, rows = pair
    dense = X.toarray()
    parts = list(rows.split(20))
    assert [len(part) for part in parts] == [20, 20, 11]
    for start, part in zip(range(0, 51, 20), parts, strict=True):
        np.testing.assert_array_equal(part[:], dense[start : start + 20])
        np.testing.assert_array_equal(part[2:5], dense[start + 2 : start + 5])
        chosen = dense[start : start + 20]
        assert part.aminmax() == (chosen.min(), chosen.max())

    backwards = rows.rows(torch.arange(50, -1, -1))
    joined = join_rows([*parts, backwards])
    np.testing.assert_array_equal(joined[:], np.vstack([dense, dense[::-1]]))
    assert len(joined.values) == 2 * X.nnz


def test_bounds_may_be_a_zero_that_is_left_out():
    rows = SparseRows(torch.tensor([0, 1]), torch.tensor([2]), torch.tensor([-3.0]), 4)
    assert rows.aminmax() == (-3, 0)
    full = SparseRows(torch.tensor([0, 1]), torch.tensor([0]), torch.tensor([-3.0]), 1)
    assert full.aminmax() == (-3, -3)
    empty = SparseRows(torch.zeros(3).long(), torch.zeros(0).long(), torch.zeros(0), 4)
    assert empty.aminmax() == (0, 0)
    assert not empty[:].any()


def test_pixels_are_read_as_fractions():
    pixels = torch.tensor([51, 255], dtype=torch.uint8)
    rows = SparseRows(torch.tensor([0, 2]), torch.tensor([0, 2]), pixels, 3)
    expected = as_floats(torch.tensor([[51, 0, 255]], dtype=torch.uint8), torch.float32)
    assert torch.equal(as_floats(rows, torch.float32), expected)
    assert expected[0, 2] == 1


def test_data_takes_dense_samples_and_sparse_replicas(pair):
    X, rows = pair
    samples = torch.tensor([[4, 2, 9], [8, 0, 1]])
    data = Data(rows, torch.arange(51), torch.rand(51), samples)
    np.testing.assert_array_equal(data.take(samples[0]).X, X.toarray()[samples[0]])

    one = data.replica(1)
    assert isinstance(one.X, SparseRows)
    np.testing.assert_array_equal(one.X[:], X.toarray()[samples[1]])
    assert one.codes.tolist() == [8, 0, 1]
    assert torch.equal(one.weight, data.weight[samples[1]])
    assert one.samples is None
