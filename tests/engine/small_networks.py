"""Untrained networks, and losses and activations in torch's own words."""

import numpy as np
import torch
from torch import nn
from torch.linalg import vector_norm
from torch.nn import functional

from skdigits.engine.batches import Batch
from skdigits.engine.dense import DenseNetwork
from skdigits.engine.train import fresh_state

CPU = torch.device("cpu")
SMOOTHING = 0.05  # of the labels of batches
MODULES = {  # each activation in torch's own words
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
}


# The same losses of logits (B, C) and classes (B,), one value a sample, by torch alone.
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


def initial_params(network, n_models=1, seed=0, dtype=torch.float64):
    """Parameters of equal networks."""
    return network.initial(np.random.RandomState(seed), n_models, dtype, CPU)


def different_params(network, n_models=3):
    """Parameters that differ from model to model."""
    models = [initial_params(network, seed=seed) for seed in range(n_models)]
    return tuple(torch.cat(column) for column in zip(*models, strict=True))


def initial_state(network, solver, rngs, n_models):
    """Untrained models, the same number in the replica of each generator."""
    width = n_models // len(rngs)
    drawn = [network.initial(rng, width, torch.float64, CPU) for rng in rngs]
    params = tuple(torch.cat(column) for column in zip(*drawn, strict=True))
    return fresh_state(params, solver)


def make_targets(n_outputs, label_smoothing, like, loss="cross_entropy"):
    """Targets of a network with some outputs."""
    return DenseNetwork((1, n_outputs), loss).targets(label_smoothing, like)


def targets_of(y, n_outputs, label_smoothing, like, loss="cross_entropy"):
    """Targets (O, B) of classes (B,)."""
    return make_targets(n_outputs, label_smoothing, like, loss).of(y[None])[0]


def make_batch(rng, n_classes=3, weighted=False):
    """Six samples of four features, with smoothed targets."""
    X = torch.from_numpy(rng.normal(size=(6, 4)))
    y = torch.from_numpy(rng.integers(n_classes, size=6))
    targets = targets_of(y, n_classes, SMOOTHING, X)
    X = X[None]
    targets = targets[None]
    if not weighted:
        equal = torch.tensor(1 / 6, dtype=X.dtype)
        return Batch(X, X.mT, targets, equal, None, 6.0)

    weight = torch.from_numpy(rng.uniform(0.1, 2, (1, 1, 6)))
    total = weight.sum(-1, keepdim=True)
    return Batch(X, X.mT, targets, weight / total, weight, total)


def loss_and_gradients(network, params, batch, hyper, generators=()):
    """Mean objective (K,), and its gradients."""
    logits, gradients = network.gradients(params, batch, hyper, generators)
    loss = network.total_loss([logits], [batch])
    if hyper.alpha is not None:
        norms = [vector_norm(w, dim=(1, 2)) for w in params[network.penalised]]
        norms = torch.stack(norms)[None]
        loss = loss + network.total_penalty(norms, hyper.alpha, [batch])
    return (loss / batch.total_weight).flatten(), gradients
