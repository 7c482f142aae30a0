"""Every sample once an epoch, and pixels as fractions."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from small_networks import make_targets

from skdigits.engine.batches import Data, as_floats, batches, sample_orders
from skdigits.engine.sparse import SparseRows
from skdigits.engine.types import Workers


def test_an_epoch_holds_every_sample_once():
    X = torch.arange(10.0)[:, None]
    data = Data(X, torch.arange(10) % 3, torch.arange(1.0, 11, dtype=torch.float64))
    order = sample_orders([np.random.RandomState(0)], data, 4, shuffle=True)
    seen = list(batches(data, make_targets(3, 0.0, X), 4, order))
    assert [batch.X.shape[1] for batch in seen] == [4, 4, 2]
    assert len(seen) == math.ceil(10 / 4)
    samples = torch.cat([batch.X[0, :, 0] for batch in seen]).long()
    assert samples.tolist() != list(range(10))
    assert sorted(samples.tolist()) == list(range(10))
    classes = torch.cat([batch.targets[0].argmax(0) for batch in seen])
    assert torch.equal(classes, samples % 3)
    for batch in seen:
        assert batch.normalised_weight.sum() == pytest.approx(1)
        np.testing.assert_allclose(
            (batch.normalised_weight * batch.total_weight)[0, 0],
            batch.X[0, :, 0] + 1,
            rtol=1e-6,
        )


@pytest.mark.parametrize(("batch_size", "shuffle"), [(10, True), (4, False)])
def test_one_batch_and_no_shuffling_keep_the_order(batch_size, shuffle):
    data = Data(torch.zeros(10, 1), torch.zeros(10, dtype=int))
    assert sample_orders([np.random.RandomState(0)], data, batch_size, shuffle) is None


def test_pixels_are_divided_and_floats_are_not():
    pixels = torch.tensor([[0, 51, 255]], dtype=torch.uint8)
    assert as_floats(pixels, torch.float32).tolist() == [[0.0, np.float32(0.2), 1.0]]
    assert pixels.tolist() == [[0, 51, 255]]
    floats = torch.tensor([[0.0, 51.0]])
    assert as_floats(floats, torch.float32) is floats


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_weights_of_any_scale_are_normalised(scale):
    X = torch.zeros(4, 1)
    weight = torch.tensor([1.0, 2, 3, 4], dtype=torch.float64) * scale
    (batch,) = batches(
        Data(X, torch.zeros(4, dtype=int), weight), make_targets(2, 0, X), 4
    )
    np.testing.assert_allclose(
        batch.normalised_weight[0, 0], [0.1, 0.2, 0.3, 0.4], rtol=1e-6
    )


def test_labels_are_targets_themselves():
    X, codes = (
        torch.zeros(3, 2, dtype=torch.float64),
        torch.tensor([[1, 0], [0, 0], [1, 1]]),
    )
    samples = torch.tensor([[2, 0], [1, 2]])  # of two replicas
    (batch,) = batches(
        Data(X, codes, samples=samples), make_targets(2, 0.2, X, "logistic"), 4
    )
    expected = [[[0.9, 0.9], [0.9, 0.1]], [[0.1, 0.9], [0.1, 0.9]]]
    assert batch.targets.tolist() == expected


@pytest.mark.parametrize("models_per_replica", [1, 2])
def test_samples_are_distorted_batch_by_batch_and_nothing_else_is(models_per_replica):
    """Pixels as fractions; each replica has its own samples."""
    pixels = torch.arange(0, 240, 4, dtype=torch.uint8).view(20, 3)
    samples = torch.stack([torch.arange(10), torch.arange(19, 9, -1)])
    weight = torch.arange(1.0, 21, dtype=torch.float64)
    data, seen = Data(pixels, torch.arange(20) % 3, weight, samples), []

    def negative(X):
        seen.append(X.clone())
        return 1 - X

    targets = make_targets(3, 0.0, torch.zeros(0))
    plain = list(batches(data, targets, 4, models_per_replica=models_per_replica))
    found = list(
        batches(
            data, targets, 4, models_per_replica=models_per_replica, distort=negative
        )
    )
    assert [tuple(X.shape) for X in seen] == [(2, 4, 3), (2, 4, 3), (2, 2, 3)]
    expected = pixels.numpy()[samples].astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(torch.cat(seen, 1), expected)
    np.testing.assert_array_equal(
        torch.cat([batch.X for batch in found], 1), 1 - expected
    )
    for one, other in zip(found, plain, strict=True):
        assert torch.equal(one.XT, one.X.mT)
        assert torch.equal(one.targets, other.targets)
        assert torch.equal(one.weight, other.weight)
        assert torch.equal(one.normalised_weight, other.normalised_weight)
    assert pixels.flatten().tolist() == list(range(0, 240, 4))


def sparse_rows(X):
    X = sp.csr_array(X.numpy())
    parts = (X.indptr.astype(np.int64), X.indices, X.data)
    return SparseRows(*map(torch.from_numpy, parts), X.shape[1])


@pytest.mark.parametrize("make", [torch.clone, sparse_rows], ids=["dense", "sparse"])
@pytest.mark.parametrize("some", [slice(2, 6), slice(0, 9, 3), torch.tensor([7, 1])])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_samples_are_held_in_the_memory_that_is_passed(dtype, some, make):
    X = torch.arange(20 * 3).view(20, 3).remainder(5).to(dtype)
    data = Data(make(X), torch.arange(20), torch.rand(20))
    divisor = 255 if dtype == torch.uint8 else 1
    memory = torch.full((8, 3), torch.nan)
    found = data.take(some, memory)
    assert found.X.data_ptr() == memory.data_ptr()
    np.testing.assert_allclose(found.X, X[some].float() / divisor)
    assert memory[len(found.X) :].isnan().all()
    assert torch.equal(found.codes, data.codes[some])
    assert torch.equal(found.weight, data.weight[some])

    plain = data.take(some)
    assert plain.X.dtype == dtype
    assert torch.equal(plain.X, X[some])


def test_rows_that_are_read_in_place_take_no_memory(monkeypatch):
    """On a GPU, memory that nobody uses is taken all the same."""
    X = torch.rand(5000, 3)
    made = []
    monkeypatch.setattr(torch, "empty", lambda *shape, **_: made.append(shape))
    data = Data(X, torch.arange(5000) % 3)
    targets = make_targets(3, 0.0, torch.zeros(0))
    seen = [batch.X for batch in batches(data, targets, 64)]
    assert not made
    assert {one.untyped_storage().data_ptr() for one in seen} == {X.data_ptr()}
    np.testing.assert_array_equal(torch.cat(seen, 1)[0], X)


@pytest.mark.parametrize("inference", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_batches_ahead_are_those_one_by_one_in_memory_that_is_reused(
    dtype, weighted, inference
):
    X = torch.arange(5000 * 3).view(5000, 3).remainder(251).to(dtype)
    weight = torch.arange(1.0, 5001, dtype=torch.float64) if weighted else None
    data = Data(X, torch.arange(5000) % 3, weight)
    targets = make_targets(3, 0.0, torch.empty(0))
    order = sample_orders([np.random.RandomState(0)], data, 64, shuffle=True)
    expected = X[order[0]].float() / (255 if dtype == torch.uint8 else 1)

    places = set()
    seen = []
    with torch.inference_mode(inference), ThreadPoolExecutor(1) as pool:
        ahead = Workers(1, pool)
        for batch in batches(data, targets, 64, order, ahead=ahead):
            places.add(batch.X.untyped_storage().data_ptr())
            seen.append((batch.X[0].clone(), batch.targets.clone(), batch.weight))
    assert len(seen) == 79
    assert len(places) == 3
    np.testing.assert_allclose(torch.cat([one for one, *_ in seen]), expected)
    classes = torch.cat([one[0].argmax(0) for _, one, _ in seen])
    assert torch.equal(classes, data.codes[order[0]])
    if weighted:
        weights = torch.cat([one.flatten() for *_, one in seen])
        assert torch.equal(weights, weight[order[0]])
