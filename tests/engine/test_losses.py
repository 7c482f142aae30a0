"""Losses against torch's and SciPy's own, and their stability."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from small_networks import ORACLES, make_targets, targets_of

from skdigits.engine.losses import CLASSES, OUTPUT_LOSSES


def make_logits(rng, scale=3.0, shape=(2, 5, 7)):
    logits = torch.from_numpy(scale * rng.normal(size=shape))
    return logits, torch.from_numpy(rng.integers(shape[1], size=shape[2]))


def test_every_loss_has_an_oracle():
    assert set(ORACLES) == set(OUTPUT_LOSSES)


@pytest.mark.parametrize("name", OUTPUT_LOSSES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_value_and_gradient_equal_torchs(name, smoothing, rng):
    logits, y = make_logits(rng)
    targets = targets_of(y, 5, smoothing, logits)
    weight = torch.from_numpy(rng.uniform(0.1, 1, (1, 1, 7)))
    value = (OUTPUT_LOSSES[name].value(logits, targets) * weight[0]).sum(-1)
    gradient = OUTPUT_LOSSES[name].gradient(logits, targets) * weight
    for k in range(2):
        own = logits[k].T.clone().requires_grad_()
        expected = (ORACLES[name](own, y, smoothing) * weight).sum()
        expected.backward()
        assert value[k].item() == pytest.approx(expected.item(), rel=1e-12)
        np.testing.assert_allclose(gradient[k].T, own.grad, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", OUTPUT_LOSSES)
def test_arguments_are_left_alone(name, rng):
    logits, y = make_logits(rng)
    targets = targets_of(y, 5, 0.0, logits)
    arguments = logits, targets
    before = [argument.clone() for argument in arguments]
    OUTPUT_LOSSES[name].value(*arguments)
    OUTPUT_LOSSES[name].gradient(*arguments)
    assert all(map(torch.equal, arguments, before))


@pytest.mark.parametrize("name", OUTPUT_LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_far_out_stay_finite(name, dtype):
    logits = torch.tensor([[1e4], [-1e4], [0.0]], dtype=dtype)[None]
    targets = targets_of(torch.tensor([1]), 3, 0.0, logits)  # the least likely class
    value, gradient = (f(logits, targets) for f in OUTPUT_LOSSES[name][:2])
    proba = OUTPUT_LOSSES[name].scores(logits).softmax(CLASSES)
    assert value.isfinite().all()
    assert gradient.isfinite().all()
    assert proba.sum() == pytest.approx(1)
    if name == "cross_entropy":
        assert value.item() == 2e4


def test_cross_entropy_is_logsumexp_minus_the_own_logit(rng):
    logits, y = make_logits(rng, scale=300.0)
    targets = targets_of(y, 5, 0.0, logits)
    value = OUTPUT_LOSSES["cross_entropy"].value(logits, targets).sum(-1)
    z = logits[0].numpy()
    expected = (logsumexp(z, axis=0) - z[y, range(7)]).sum()
    assert value[0].item() == pytest.approx(expected, rel=1e-12)


def test_scores_of_sigmoids_are_their_fractions(rng):
    logits, _ = make_logits(rng)
    proba = OUTPUT_LOSSES["sigmoid_mse"].scores(logits).softmax(CLASSES)
    sigmoids = logits.sigmoid()
    np.testing.assert_allclose(proba, sigmoids / sigmoids.sum(CLASSES, keepdim=True))


def test_targets_of_one_class_are_smoothed_to_themselves():
    targets = make_targets(1, 0.3, torch.zeros(1))
    for _ in range(2):  # making targets leaves their levels alone
        assert targets.of(torch.zeros(1, 1, dtype=int)).item() == pytest.approx(1)
    assert targets.levels.tolist() == pytest.approx([0.3, 1])


def test_one_logistic_output_is_a_softmax_of_two(rng):
    logits, _ = make_logits(rng, shape=(2, 1, 7))
    y = torch.from_numpy(rng.integers(2, size=7))
    both = torch.cat([torch.zeros_like(logits), logits], CLASSES)
    values = []
    for name, z in [("logistic", logits), ("cross_entropy", both)]:
        targets = targets_of(y, z.shape[CLASSES], 0.2, z, name).expand_as(z)
        values.append(OUTPUT_LOSSES[name].value(z, targets))
    torch.testing.assert_close(*values, rtol=1e-12, atol=0)
