"""Coordinates of L-BFGS: their moments, their gradients and what they are for."""

import numpy as np
import pytest
import torch
from scipy.optimize import check_grad
from small_networks import initial_params
from torch.nn.functional import cross_entropy

from skdigits.engine import lbfgs
from skdigits.engine.batches import Data
from skdigits.engine.coordinates import Coordinates, coordinates_of, features_of
from skdigits.engine.dense import DenseNetwork

SCALES = np.geomspace(1e-3, 1e4, 6)


@pytest.fixture
def unscaled():
    """Samples of three classes with weights; features of all scales, and a constant."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(3, 1, (50, 6)) * SCALES, np.full(50, 0.1)])
    y = rng.integers(0, 3, 50)
    return Data(*map(torch.from_numpy, (X, y, rng.uniform(0.5, 2, 50))))


@pytest.fixture
def linear():
    return DenseNetwork((7, 3), "cross_entropy", penalty_per_sample=False)


def coordinates(network, data, make_step_hyper, alpha, params=None):
    params = initial_params(network) if params is None else params
    targets = network.targets(0.0, params[0])
    features = features_of(network, data, targets)
    hyper = make_step_hyper(params, alpha=alpha)
    return coordinates_of(network, params, features, hyper), targets, hyper


@pytest.mark.parametrize("weighted", [True, False])
def test_moments_are_those_of_numpy(weighted, unscaled, linear, resize):
    data = unscaled if weighted else unscaled._replace(weight=None)
    resize(chunk_samples=16)
    found = features_of(linear, data, linear.targets(0.0, data.X))
    X = data.X.numpy()
    weights = data.weight.numpy() if weighted else None
    mean = np.average(X, 0, weights)
    variance = np.average((X - mean) ** 2, 0, weights)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(found.variance[:6], variance[:6], rtol=1e-10)
    assert found.variance[6] == 0  # and not what rounding leaves
    assert found.total == pytest.approx(weights.sum() if weighted else 50)


def test_moments_of_pixels_are_those_of_fractions(digits):
    pixels = torch.from_numpy((digits[0][:90] * 255).astype(np.uint8))
    network = DenseNetwork((64, 10), "cross_entropy")
    data = Data(pixels, torch.from_numpy(digits[1][:90]))
    found = features_of(network, data, network.targets(0.0, torch.ones(1)))
    np.testing.assert_allclose(found.mean, pixels.double().mean(0) / 255, atol=1e-6)
    assert found.variance.max() > 0.1


def test_networks_with_hidden_layers_keep_their_parameters(unscaled):
    network = DenseNetwork((7, 4, 3), "cross_entropy")
    assert features_of(network, unscaled, network.targets(0.0, unscaled.X)) is None


@pytest.mark.parametrize("alpha", [0.0, 0.01])
def test_parameters_come_back(alpha, unscaled, linear, make_step_hyper):
    params = initial_params(linear)
    found, _, _ = coordinates(linear, unscaled, make_step_hyper, alpha)
    vector = found.vector(params)
    assert vector.dtype == np.float64
    assert not np.allclose(vector, Coordinates(params).vector(params))
    for back, given in zip(found.params(vector), params, strict=True):
        torch.testing.assert_close(back, given)


def test_the_gradient_is_by_the_vector(unscaled, linear, make_step_hyper):
    found, targets, hyper = coordinates(linear, unscaled, make_step_hyper, 0.01)
    rest = (None, None)
    objective = lbfgs.Objective(linear, found, unscaled, targets, hyper, *rest)
    start = np.random.default_rng(1).normal(size=24)
    error = check_grad(lambda v: objective(v)[0], lambda v: objective(v)[1], start)
    assert error < 1e-5
    assert np.abs(objective(start)[1]).max() > 1e-2


@pytest.mark.parametrize("per_sample", [True, False])
def test_all_weights_have_the_curvature_of_a_logit(
    per_sample, unscaled, make_step_hyper
):
    """Where all classes are equally likely: by torch's own second derivatives."""
    network = DenseNetwork(
        (7, 3), "cross_entropy", weight_init="zeros", penalty_per_sample=per_sample
    )
    given = 0.02 * unscaled.weight.sum().item() if per_sample else 0.02
    found, _, _ = coordinates(network, unscaled, make_step_hyper, given)
    weight = unscaled.weight / unscaled.weight.sum()

    mean, scale = found.standard

    def objective(V, c):
        W = V / scale
        b = c - W @ mean
        losses = cross_entropy(unscaled.X @ W.T + b, unscaled.codes, reduction="none")
        return (weight * losses).sum() + 0.01 * W.square().sum()

    V = torch.zeros(3, 7, dtype=torch.float64)
    c = torch.zeros(3, dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(objective, (V, c))
    diagonal = hessian[0][0].reshape(21, 21).diagonal()
    np.testing.assert_allclose(diagonal, 2 / 9, rtol=1e-8)
    # Biases and weights do not get into each other's way.
    np.testing.assert_allclose(hessian[0][1], 0, atol=1e-10)


def test_features_without_a_scale_are_left_as_they_are(
    unscaled, linear, make_step_hyper
):
    found, _, _ = coordinates(linear, unscaled, make_step_hyper, 0.0)
    _, scale = found.standard
    assert scale[6] == 1
    np.testing.assert_allclose(scale[:6], SCALES, rtol=0.5)

    huge = unscaled._replace(X=unscaled.X * 1e305)
    found, _, _ = coordinates(linear, huge, make_step_hyper, 0.0)
    assert found.standard is None
