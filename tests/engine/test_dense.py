"""Gradients of dense networks against a five-point stencil and against autograd."""

import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPClassifier
from small_networks import (
    MODULES,
    ORACLES,
    SMOOTHING,
    different_params,
    initial_params,
    loss_and_gradients,
    make_batch,
    make_targets,
)
from torch import nn

from skdigits.engine.activations import ACTIVATIONS
from skdigits.engine.batches import Data, batches
from skdigits.engine.dense import DenseNetwork
from skdigits.engine.losses import LOSSES
from skdigits.engine.network import WEIGHT_INITS, dropout_mask


def stencil(function, x, step=1e-3):
    """Five-point derivative of a vector (K,) by the tensor x (K, …), entry by entry."""
    slope = torch.zeros_like(x)
    for index in np.ndindex(*x.shape[1:]):
        at = (slice(None), *index)
        values = []
        for shift in (-2, -1, 1, 2):
            moved = x.clone()
            moved[at] += shift * step
            values.append(function(moved))
        slope[at] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (
            12 * step
        )
    return slope


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
@pytest.mark.parametrize("activation", ["logistic", "tanh"])
@pytest.mark.parametrize("dropout", [0.0, [0.0, 0.3, 0.6]])
def test_gradients_equal_a_five_point_stencil(
    loss, hidden, activation, dropout, rng, make_step_hyper
):
    network = DenseNetwork((4, *hidden, 3), loss, activation)
    params = different_params(network)
    batch = make_batch(rng, weighted=True)
    hyper = make_step_hyper(params, alpha=[0.0, 0.1, 2.0], dropout=dropout)

    def objective(params):
        generators = [torch.Generator().manual_seed(0)] if np.any(dropout) else []
        return loss_and_gradients(network, params, batch, hyper, generators)

    _, gradients = objective(params)
    for i, gradient in enumerate(gradients):
        gradient = gradient.to_dense()
        expected = stencil(
            lambda p, i=i: objective((*params[:i], p, *params[i + 1 :]))[0], params[i]
        )
        np.testing.assert_allclose(gradient, expected, rtol=1e-8, atol=1e-10)
        assert gradient.abs().max() > 1e-4


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_loss_and_gradients_equal_autograds(activation, loss, rng, make_step_hyper):
    network = DenseNetwork((4, 5, 6, 3), loss, activation)
    params = different_params(network)
    batch = make_batch(rng)
    hyper = make_step_hyper(params)
    value, gradients = loss_and_gradients(network, params, batch, hyper)
    for k in range(3):
        modules = [nn.Linear(a, b).double() for a, b in ((4, 5), (5, 6), (6, 3))]
        flat = [p for module in modules for p in (module.weight, module.bias)]
        for p, ours in zip(flat, params, strict=True):
            p.data = ours[k].clone().view_as(p)
        act = MODULES[activation]()
        logits = modules[2](act(modules[1](act(modules[0](batch.X[0])))))
        y = batch.targets[0].argmax(0)
        expected = ORACLES[loss](logits, y, SMOOTHING).mean()
        expected.backward()
        assert value[k].item() == pytest.approx(expected.item(), rel=1e-12)
        for p, gradient in zip(flat, gradients, strict=True):
            np.testing.assert_allclose(
                gradient.to_dense()[k].view_as(p), p.grad, rtol=1e-9, atol=1e-13
            )


@pytest.mark.parametrize("penalty_per_sample", [True, False])
def test_penalty_is_per_sample_or_per_mean(penalty_per_sample, rng, make_step_hyper):
    network = DenseNetwork(
        (4, 5, 3), "cross_entropy", penalty_per_sample=penalty_per_sample
    )
    params = different_params(network)
    batch = make_batch(rng, weighted=True)
    plain, _ = loss_and_gradients(network, params, batch, make_step_hyper(params))
    hyper = make_step_hyper(params, alpha=0.7)
    value, _ = loss_and_gradients(network, params, batch, hyper)
    squares = params[0].square().sum((1, 2)) + params[2].square().sum((1, 2))
    expected = 0.35 * squares / (batch.total_weight.item() if penalty_per_sample else 1)
    np.testing.assert_allclose(value - plain, expected, rtol=1e-10)


def test_dropout_keeps_the_mean_and_drops_its_fraction(rng, make_step_hyper):
    network = DenseNetwork((4, 2000, 3), "cross_entropy", "logistic")
    params = different_params(network, 1)
    batch = make_batch(rng)
    dropped = make_step_hyper(params, dropout=0.25)

    def hidden(generators):
        """Units as the last layer sees them, (1, units, samples)."""
        _, gradients = network.gradients(params, batch, dropped, generators)
        return gradients[2].inputs.mT

    seen = []
    for seed in range(200):
        generators = [torch.Generator().manual_seed(seed)]
        seen.append(hidden(generators))
    clean = hidden(())
    fraction = (torch.stack(seen) == 0).double().mean().item()
    assert fraction == pytest.approx(0.25, abs=0.002)
    np.testing.assert_allclose(
        torch.stack(seen).mean(0).mean(), clean.mean(), rtol=2e-3
    )
    generators = [torch.Generator().manual_seed(199)]
    mask = dropout_mask(clean, dropped.dropout, generators)
    assert ((mask == 0) == (seen[-1] == 0)).all()


@pytest.mark.parametrize("activation", ["relu", "logistic"])
def test_glorot_draws_what_mlpclassifier_draws(activation, digits):
    X, y = digits
    theirs = MLPClassifier((8,), activation=activation, random_state=7)
    theirs.partial_fit(
        X[:20], y[:20], classes=np.arange(10)
    )  # only to have it initialised
    theirs._random_state = np.random.RandomState(7)
    theirs._initialize(np.zeros((1, 10)), [64, 8, 10], np.float64)
    network = DenseNetwork((64, 8, 10), "cross_entropy", activation)
    ours = initial_params(network, 2, seed=7)
    for k in range(2):
        np.testing.assert_array_equal(ours[0][k].T, theirs.coefs_[0])
        np.testing.assert_array_equal(ours[1][k, :, 0], theirs.intercepts_[0])
        np.testing.assert_array_equal(ours[2][k].T, theirs.coefs_[1])


@pytest.mark.parametrize(
    ("name", "weight_std", "bias_std"),
    [("he", np.sqrt(2 / 400), 0.0), ("normal", 1.0, 1.0), ("zeros", 0.0, 0.0)],
)
def test_initial_spread(name, weight_std, bias_std):
    network = DenseNetwork((400, 500), "cross_entropy", weight_init=name)
    weight, bias = initial_params(network, dtype=torch.float32)
    assert weight.std().item() == pytest.approx(weight_std, rel=0.01)
    assert bias.std().item() == pytest.approx(bias_std, rel=0.1)
    assert weight.mean().item() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("name", WEIGHT_INITS)
def test_initial_weights_are_the_same_in_both_dtypes(name):
    network = DenseNetwork((4, 5, 3), "cross_entropy", weight_init=name)
    double, single = (
        initial_params(network, dtype=dtype) for dtype in (torch.float64, torch.float32)
    )
    for a, b in zip(double, single, strict=True):
        assert torch.equal(a.float(), b)


def test_evaluate_has_neither_penalty_nor_dropout(rng, make_step_hyper):
    network = DenseNetwork((4, 5, 3), "cross_entropy")
    params = different_params(network)
    batch = make_batch(rng, weighted=True)
    loss, accuracy = network.evaluate(params, batch)
    plain, _ = loss_and_gradients(network, params, batch, make_step_hyper(params))
    np.testing.assert_allclose(loss, plain, rtol=1e-12)
    hit = network.to_scores(network.logits(params, batch.X)).argmax(1) == batch.targets[
        0
    ].argmax(0)
    np.testing.assert_allclose(
        accuracy, (hit * batch.normalised_weight[0]).sum(1), rtol=1e-12
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_hits_are_an_accuracy_of_one(weighted, dtype):
    """To the last bit, also where a normalised weight is no number of its dtype."""
    X = torch.eye(3, dtype=dtype)[torch.arange(30) % 3]
    weight = torch.linspace(0.1, 1, 30, dtype=torch.float64) if weighted else None
    data = Data(X, torch.arange(30) % 3, weight)
    (batch,) = batches(data, make_targets(3, 0.0, X), 30)
    network = DenseNetwork((3, 3), "cross_entropy")
    params = (torch.eye(3, dtype=dtype)[None], torch.zeros(1, 3, 1, dtype=dtype))
    _, accuracy = network.evaluate(params, batch)
    assert accuracy.tolist() == [1.0]
