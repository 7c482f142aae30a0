"""Standardised weights, and their backward pass against autograd's."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.linalg import vector_norm

from skdigits.engine.standardised import standardise, standardised

GAIN = 1.7
RESOLUTION = 2.0**-26  # the square root of float64's
SHAPES = [(5, 1, 5, 5), (4, 3, 3, 3)]


def plain(weight):
    """The definition, which autograd differentiates."""
    centred = weight - weight.mean(1, keepdim=True)
    least = vector_norm(weight, dim=1, keepdim=True) * RESOLUTION
    size = torch.maximum(vector_norm(centred, dim=1, keepdim=True), least)
    return GAIN * centred / size.clamp_min(1e-12)


def assert_equals_autograds(weights, slopes):
    own = [weight.flatten(1).requires_grad_() for weight in weights]
    outputs = [plain(weight) for weight in own]
    flat = [slope.double().flatten(1) for slope in slopes]
    expected = torch.autograd.grad(outputs, own, flat)

    parts = standardise([weight.detach() for weight in own], GAIN)
    factors = parts.by_layer(parts.factor)
    for output, centred, factor in zip(outputs, parts.centred, factors, strict=True):
        torch.testing.assert_close(
            centred * factor, output.detach(), rtol=1e-14, atol=0
        )
    for found, slope in zip(parts.backward(slopes), expected, strict=True):
        largest = slope.abs().amax(1, keepdim=True)
        assert ((found - slope).abs() <= 1e-14 * largest).all()
    return expected


@pytest.fixture
def layers(rng):
    """Weights of two layers, and gradients by what they become."""
    return [
        [torch.from_numpy(rng.normal(0.5, 1, shape)) for shape in SHAPES]
        for _ in range(2)
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_have_mean_0_and_one_norm(dtype, rng):
    weight = torch.from_numpy(rng.normal(3, 2, (6, 27))).to(dtype)
    weight[2] = 0.5
    found = standardised(weight, GAIN).double()
    np.testing.assert_allclose(found.mean(1), np.zeros(6), atol=1e-7)
    norms = [GAIN, GAIN, 0, GAIN, GAIN, GAIN]
    np.testing.assert_allclose(found.norm(dim=1), norms, rtol=1e-6)
    exact = weight.double()
    exact = exact - exact.mean(1, keepdim=True)
    cosines = nn.functional.cosine_similarity(found, exact)[[0, 1, 3, 4, 5]]
    np.testing.assert_allclose(cosines, np.ones(5), rtol=1e-6)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_gradients_equal_autograds(order, dtype, layers):
    weights, slopes = layers
    slopes = [slope.to(dtype, memory_format=order) for slope in slopes]
    expected = assert_equals_autograds(weights, slopes)
    assert all(slope.abs().min() > 1e-7 for slope in expected)


@pytest.mark.parametrize("value", [0.0, 0.5, -2.0, 0.1, 1e-20])
def test_gradients_where_weights_are_equal(value, layers):
    weights, slopes = layers
    weights[0][2] = value
    weights[1][0] = value
    expected = assert_equals_autograds(weights, slopes)
    # Beside ordinary outputs, they are large: their steps make weights differ.
    assert (expected[0][2].abs() > 1e3).all()


@pytest.mark.parametrize("spread", [1e-7, 1e-9, 1e-12, 1e-15])
def test_gradients_where_weights_are_nearly_equal(spread, layers):
    weights, slopes = layers
    weights[1][3] = 3 + spread * weights[1][3]
    assert_equals_autograds(weights, slopes)


@pytest.mark.parametrize("size", [1e-11, 1e-13, 1e-30])
def test_gradients_where_weights_are_tiny(size, layers):
    weights, slopes = layers
    weights[0][1] *= size
    weights[1][1] *= size
    assert_equals_autograds(weights, slopes)


def test_gradients_where_both_norms_are_equal(layers):
    sign = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(2)
    tie = 1 + RESOLUTION * sign
    centred = tie - tie.mean()
    assert vector_norm(centred) == vector_norm(tie) * RESOLUTION
    least = 5e-13 * sign
    assert vector_norm(least) == 1e-12

    weight = torch.stack([tie, least, sign]).view(3, 1, 2, 2)
    slope = layers[1][1].flatten()[:12].view(3, 1, 2, 2)
    expected = assert_equals_autograds([weight], [slope])
    assert (expected[0].abs().amax(1) > 0.1).all()
