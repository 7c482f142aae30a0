"""Losses against torch's and SciPy's own, and their stability."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from torch.nn import functional

from skdigits.engine.losses import CLASSES, OUTPUTS, logistic_table, target_table

# The same losses of logits (B, C) and classes (B,), one value a row, by torch alone.
ORACLES = {
    "cross_entropy": lambda z, y, smoothing: functional.cross_entropy(
        z, y, reduction="none", label_smoothing=smoothing
    ),
    "softmax_mse": lambda z, y, smoothing: functional.mse_loss(
        z.softmax(1), smooth(z, y, smoothing), reduction="none"
    ).mean(1),
    "sigmoid_mse": lambda z, y, smoothing: functional.mse_loss(
        z.sigmoid(), smooth(z, y, smoothing), reduction="none"
    ).mean(1),
    "logistic": lambda z, y, smoothing: functional.binary_cross_entropy(
        z.sigmoid(), smooth(z, y, smoothing), reduction="none"
    ).sum(1),
}


def smooth(z, y, smoothing):
    onehot = functional.one_hot(y, z.shape[1]).to(z)
    return onehot.lerp(torch.full_like(onehot, 1 / z.shape[1]), smoothing)


def make_logits(rng, scale=3.0, shape=(2, 5, 7)):
    logits = torch.from_numpy(scale * rng.normal(size=shape))
    return logits, torch.from_numpy(rng.integers(shape[1], size=shape[2]))


def test_every_loss_has_an_oracle():
    assert set(ORACLES) == set(OUTPUTS)


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_value_and_gradient_equal_torchs(name, smoothing, rng):
    logits, y = make_logits(rng)
    targets = target_table(5, smoothing, logits).T[:, y]
    share = torch.from_numpy(rng.uniform(0.1, 1, (1, 1, 7)))
    value = (OUTPUTS[name].value(logits, targets) * share[0]).sum(-1)
    gradient = OUTPUTS[name].gradient(logits, targets) * share
    for k in range(2):
        rows = logits[k].T.clone().requires_grad_()
        expected = (ORACLES[name](rows, y, smoothing) * share).sum()
        expected.backward()
        assert value[k].item() == pytest.approx(expected.item(), rel=1e-12)
        np.testing.assert_allclose(gradient[k].T, rows.grad, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", OUTPUTS)
def test_arguments_are_left_alone(name, rng):
    logits, y = make_logits(rng)
    targets = target_table(5, 0.0, logits).T[:, y]
    arguments = logits, targets
    before = [argument.clone() for argument in arguments]
    OUTPUTS[name].value(*arguments)
    OUTPUTS[name].gradient(*arguments)
    assert all(map(torch.equal, arguments, before))


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_far_out_stay_finite(name, dtype):
    logits = torch.tensor([[1e4], [-1e4], [0.0]], dtype=dtype)[None]
    targets = target_table(3, 0.0, logits).T[:, [1]]  # the least likely class
    value, gradient = (f(logits, targets) for f in OUTPUTS[name][:2])
    proba = OUTPUTS[name].scores(logits).softmax(CLASSES)
    assert value.isfinite().all()
    assert gradient.isfinite().all()
    assert proba.sum() == pytest.approx(1)
    if name == "cross_entropy":
        assert value.item() == 2e4


def test_cross_entropy_is_logsumexp_minus_the_own_logit(rng):
    logits, y = make_logits(rng, scale=300.0)
    targets = target_table(5, 0.0, logits).T[:, y]
    value = OUTPUTS["cross_entropy"].value(logits, targets).sum(-1)
    z = logits[0].numpy()
    expected = (logsumexp(z, axis=0) - z[y, range(7)]).sum()
    assert value[0].item() == pytest.approx(expected, rel=1e-12)


def test_scores_of_sigmoids_are_their_shares(rng):
    logits, _ = make_logits(rng)
    proba = OUTPUTS["sigmoid_mse"].scores(logits).softmax(CLASSES)
    sigmoids = logits.sigmoid()
    np.testing.assert_allclose(proba, sigmoids / sigmoids.sum(CLASSES, keepdim=True))


def test_targets_of_one_class_are_smoothed_to_themselves():
    assert target_table(1, 0.3, torch.zeros(1)).item() == pytest.approx(1)


def test_one_logistic_output_is_a_softmax_of_two(rng):
    logits, _ = make_logits(rng, shape=(2, 1, 7))
    y = torch.from_numpy(rng.integers(2, size=7))
    both = torch.cat([torch.zeros_like(logits), logits], CLASSES)
    pairs = [("logistic", logits, logistic_table), ("cross_entropy", both, None)]
    values = [
        OUTPUTS[name].value(
            z,
            (table(0.2, z) if table else target_table(2, 0.2, z)).T[:, y].expand_as(z),
        )
        for name, z, table in pairs
    ]
    torch.testing.assert_close(*values, rtol=1e-12, atol=0)
