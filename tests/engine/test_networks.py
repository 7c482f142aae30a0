"""Gradients of dense networks against a five-point stencil and against autograd."""

import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPClassifier
from torch import nn

from skdigits.engine.batches import batches, summed_loss
from skdigits.engine.gradients import dense
from skdigits.engine.losses import LOSSES, target_table
from skdigits.engine.networks import ACTIVATIONS, WEIGHT_INITS, DenseNetwork
from skdigits.engine.types import Batch, Data

MODULES = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
}


def make_batch(rng, n_classes=3, weighted=False):
    X = torch.from_numpy(rng.normal(size=(6, 4)))
    targets = target_table(n_classes, 0.05, X).T[:, rng.integers(n_classes, size=6)]
    X, targets = X[None], targets[None]
    if not weighted:
        share = torch.tensor(1 / 6, dtype=X.dtype)
        return Batch(X, X.mT, targets, share, None, 6.0)
    weight = torch.from_numpy(rng.uniform(0.1, 2, (1, 1, 6)))
    total = weight.sum(-1, keepdim=True)
    return Batch(X, X.mT, targets, weight / total, weight, total)


def loss_and_gradients(network, params, batch, hyper, generators=()):
    """Mean objective (K,), and its gradients."""
    logits, gradients = network.gradients(params, batch, hyper, generators)
    loss = summed_loss(network, [logits], [batch])
    if len(hyper.alpha):
        loss = loss + network.penalty(params, hyper, batch.total)
    return (loss / batch.total).flatten(), gradients


def make_params(network, n_models=3):
    """Parameters that differ from model to model."""
    like = torch.zeros(0, dtype=torch.float64)
    models = [
        network.initial(np.random.RandomState(seed), 1, like)
        for seed in range(n_models)
    ]
    return tuple(torch.cat(column) for column in zip(*models, strict=True))


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
    loss, hidden, activation, dropout, rng, make_hyper
):
    network = DenseNetwork((4, *hidden, 3), loss, activation)
    params, batch = make_params(network), make_batch(rng, weighted=True)
    hyper = make_hyper(3, alpha=[0.0, 0.1, 2.0], dropout=dropout).to(params[0])

    def objective(params):
        generators = [torch.Generator().manual_seed(0)] if np.any(dropout) else []
        return loss_and_gradients(network, params, batch, hyper, generators)

    _, gradients = objective(params)
    for i, gradient in enumerate(map(dense, gradients)):
        expected = stencil(
            lambda p, i=i: objective((*params[:i], p, *params[i + 1 :]))[0], params[i]
        )
        np.testing.assert_allclose(gradient, expected, rtol=1e-8, atol=1e-10)
        assert gradient.abs().max() > 1e-4


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_loss_and_gradients_equal_autograds(activation, loss, rng, make_hyper):
    network = DenseNetwork((4, 5, 6, 3), loss, activation)
    params, batch = make_params(network), make_batch(rng)
    hyper = make_hyper(3).to(params[0])
    value, gradients = loss_and_gradients(network, params, batch, hyper)
    for k in range(3):
        modules = [nn.Linear(a, b).double() for a, b in ((4, 5), (5, 6), (6, 3))]
        flat = [p for module in modules for p in (module.weight, module.bias)]
        for p, ours in zip(flat, params, strict=True):
            p.data = ours[k].clone().view_as(p)
        act = MODULES[activation]()
        logits = modules[2](act(modules[1](act(modules[0](batch.X[0])))))
        expected = _torch_loss(loss, logits, batch.targets[0].T)
        expected.backward()
        assert value[k].item() == pytest.approx(expected.item(), rel=1e-12)
        for p, gradient in zip(flat, map(dense, gradients), strict=True):
            np.testing.assert_allclose(
                gradient[k].view_as(p), p.grad, rtol=1e-9, atol=1e-13
            )


def _torch_loss(loss, logits, targets):
    if loss == "cross_entropy":
        return nn.functional.cross_entropy(logits, targets)
    squash = {"softmax_mse": lambda z: z.softmax(1), "sigmoid_mse": torch.sigmoid}[loss]
    return nn.functional.mse_loss(squash(logits), targets)


@pytest.mark.parametrize("penalty_per_row", [True, False])
def test_penalty_is_per_row_or_per_mean(penalty_per_row, rng, make_hyper):
    network = DenseNetwork((4, 5, 3), "cross_entropy", penalty_per_row=penalty_per_row)
    params, batch = make_params(network), make_batch(rng, weighted=True)
    plain, _ = loss_and_gradients(network, params, batch, make_hyper(3).to(params[0]))
    hyper = make_hyper(3, alpha=0.7).to(params[0])
    value, _ = loss_and_gradients(network, params, batch, hyper)
    squares = params[0].square().sum((1, 2)) + params[2].square().sum((1, 2))
    expected = 0.35 * squares / (batch.total.item() if penalty_per_row else 1)
    np.testing.assert_allclose(value - plain, expected, rtol=1e-10)


def test_dropout_keeps_the_mean_and_drops_its_share(rng, make_hyper):
    network = DenseNetwork((4, 2000, 3), "cross_entropy", "logistic")
    params, batch = make_params(network, 1), make_batch(rng)
    dropped = make_hyper(1, dropout=0.25).to(params[0])
    seen = []
    for seed in range(200):
        generators = [torch.Generator().manual_seed(seed)]
        _, hidden = network._forward(params, batch, dropped.dropout, generators)
        seen.append(hidden.columns)
    _, clean = network._forward(params, batch, dropped.dropout, ())
    share = (torch.stack(seen) == 0).double().mean().item()
    assert share == pytest.approx(0.25, abs=0.002)
    np.testing.assert_allclose(
        torch.stack(seen).mean(0).mean(), clean.columns.mean(), rtol=2e-3
    )
    assert ((hidden.mask == 0) == (hidden.columns == 0)).all()


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
    ours = network.initial(
        np.random.RandomState(7), 2, torch.zeros(0, dtype=torch.float64)
    )
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
    weight, bias = network.initial(np.random.RandomState(0), 1, torch.zeros(0))
    assert weight.std().item() == pytest.approx(weight_std, rel=0.01)
    assert bias.std().item() == pytest.approx(bias_std, rel=0.1)
    assert weight.mean().item() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("name", WEIGHT_INITS)
def test_initial_weights_are_the_same_in_both_dtypes(name):
    network = DenseNetwork((4, 5, 3), "cross_entropy", weight_init=name)
    double, single = (
        network.initial(np.random.RandomState(0), 1, torch.zeros(0, dtype=dtype))
        for dtype in (torch.float64, torch.float32)
    )
    for a, b in zip(double, single, strict=True):
        assert torch.equal(a.float(), b)


def test_evaluate_has_neither_penalty_nor_dropout(rng, make_hyper):
    network = DenseNetwork((4, 5, 3), "cross_entropy")
    params, batch = make_params(network), make_batch(rng, weighted=True)
    loss, accuracy = network.evaluate(params, batch)
    plain, _ = loss_and_gradients(network, params, batch, make_hyper(3).to(params[0]))
    np.testing.assert_allclose(loss, plain, rtol=1e-12)
    hit = network.scores(params, batch.X).argmax(1) == batch.targets[0].argmax(0)
    np.testing.assert_allclose(accuracy, (hit * batch.share[0]).sum(1), rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_hits_are_an_accuracy_of_one(weighted, dtype):
    """To the last bit, also where a row's share is no number of its dtype."""
    X = torch.eye(3, dtype=dtype)[torch.arange(30) % 3]
    weight = torch.linspace(0.1, 1, 30, dtype=torch.float64) if weighted else None
    data = Data(X, torch.arange(30) % 3, weight)
    (batch,) = batches(data, target_table(3, 0.0, X), 30)
    network = DenseNetwork((3, 3), "cross_entropy")
    params = (torch.eye(3, dtype=dtype)[None], torch.zeros(1, 3, 1, dtype=dtype))
    _, accuracy = network.evaluate(params, batch)
    assert accuracy.tolist() == [1.0]
