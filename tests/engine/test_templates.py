"""Distances against SciPy's, sums against NumPy's, the temperature against a search."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.spatial.distance import cdist
from scipy.special import log_softmax

from skdigits.engine import templates
from skdigits.engine.batches import Data


@pytest.mark.parametrize(
    ("metric", "scipys", "per_feature"),
    [
        ("mse", "sqeuclidean", True),
        ("mae", "cityblock", True),
        ("cosine", "cosine", False),
    ],
)
def test_distances_equal_scipys(metric, scipys, per_feature, rng):
    X = rng.normal(size=(50, 7))
    T = rng.normal(size=(6, 7))
    found = templates.METRICS[metric](torch.from_numpy(X), torch.from_numpy(T))
    expected = cdist(X, T, scipys) / (7 if per_feature else 1)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)


def test_squared_distances_far_from_the_origin_keep_their_precision(rng):
    X = (1e4 + rng.uniform(size=(50, 7))).astype(np.float32)
    T = (1e4 + rng.uniform(size=(6, 7))).astype(np.float32)
    found = templates.squared(torch.from_numpy(X), torch.from_numpy(T))
    expected = cdist(X.astype(float), T.astype(float), "sqeuclidean") / 7
    np.testing.assert_allclose(found, expected, rtol=1e-3)

    naive = (X**2).sum(1)[:, None] - 2 * X @ T.T + (T**2).sum(1)
    assert np.abs(naive / 7 / expected - 1).max() > 1


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_cosine_does_not_depend_on_the_scale(scale, rng):
    X = rng.normal(size=(5, 7)).astype(np.float32)
    T = torch.from_numpy(rng.normal(size=(6, 7))).float()
    found = templates.cosine(torch.from_numpy(X * np.float32(scale)), T)
    expected = templates.cosine(torch.from_numpy(X), T)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_cosine_distance_of_a_zero_vector_is_one():
    found = templates.cosine(torch.zeros(1, 3), torch.eye(3))
    assert found.tolist() == [[1.0, 1.0, 1.0]]


def test_class_sums_equal_numpys(digits, monkeypatch):
    monkeypatch.setattr(templates, "CHUNK_ROWS", 100)
    X, y = digits
    weight = np.random.default_rng(0).uniform(0, 2, len(X))
    data = Data(*map(torch.from_numpy, (X, y, weight)))
    sums, counts = templates.class_sums(data, 11, torch.float64)

    for c in range(11):
        np.testing.assert_allclose(
            sums[c], (X * weight[:, None])[y == c].sum(0), atol=1e-10
        )
        np.testing.assert_allclose(counts[c], weight[y == c].sum())


def test_the_nearest_template_of_each_class_counts(rng):
    X, T = (torch.from_numpy(rng.normal(size=(n, 5))) for n in (20, 6))
    found = templates.class_distances(X, T, torch.tensor([1.0, 2, 1]), "mse")
    every = cdist(X, T, "sqeuclidean") / 5
    expected = np.stack([every[:, c : c + 2].min(1) for c in (0, 2, 4)], axis=1)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_temperature_is_the_likeliest(weighted, rng):
    distances = rng.uniform(size=(300, 4))
    y = np.where(
        rng.uniform(size=300) < 0.7, distances.argmin(1), rng.integers(4, size=300)
    )
    weight = rng.uniform(size=300) if weighted else np.ones(300)
    data = Data(*map(torch.from_numpy, (distances, y, weight)))
    found = templates.likeliest_temperature(torch.from_numpy(distances), data)

    def loss(log_t):
        log_proba = log_softmax(-distances / np.exp(log_t), axis=1)[np.arange(300), y]
        return -np.average(log_proba, weights=weight)

    expected = np.exp(minimize_scalar(loss, bounds=(-7, 3), method="bounded").x)
    assert found == pytest.approx(expected, rel=1e-3)
    assert loss(np.log(found)) <= loss(np.log(expected)) + 1e-12


def test_the_temperature_of_separate_classes_is_small_but_positive():
    distances = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    data = Data(distances, torch.tensor([0, 1]))
    found = templates.likeliest_temperature(distances, data)
    assert found == pytest.approx(1e-3)


def test_the_temperature_of_misleading_distances_is_large():
    distances = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    data = Data(distances, torch.tensor([0, 1]))
    assert templates.likeliest_temperature(distances, data) == pytest.approx(1e3)


def test_without_differences_the_temperature_is_one():
    distances = torch.ones(3, 2)
    data = Data(distances, torch.tensor([0, 1, 1]))
    assert templates.likeliest_temperature(distances, data) == 1.0


def test_a_class_at_infinity_does_not_matter_to_the_temperature(rng):
    near = torch.from_numpy(rng.uniform(size=(50, 2)))
    data = Data(near, torch.from_numpy(rng.integers(2, size=50)))
    far = torch.cat([near, torch.full((50, 1), torch.inf)], dim=1)
    found = [templates.likeliest_temperature(d, data) for d in (near, far)]
    assert found[0] == found[1]
