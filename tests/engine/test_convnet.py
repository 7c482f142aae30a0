"""Convolutional networks with standardised weights, against torch.nn and autograd."""

import itertools

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from small_networks import CPU, MODULES
from torch import nn

from skdigits.engine import convnet
from skdigits.engine.activations import ACTIVATIONS
from skdigits.engine.batches import Batch
from skdigits.engine.convnet import (
    ConvNetwork,
    Convolution,
    bfloat16_is_fast,
)
from skdigits.engine.losses import LOSSES, OUTPUT_LOSSES

CUDA = torch.device("cuda")
LAYERS = {
    # Channels, and by hand size, padding and pooling of each, and the features left.
    (8, 8, 1): (
        (3, 3, 5),
        [(5, (2, 2), (1, 1)), (3, (0, 0), (2, 2)), (3, (1, 1), (1, 1))],
        45,
    ),
    (4, 16, 2): ((3, 4), [(5, (2, 0), (2, 2)), (3, (1, 0), (1, 1))], 32),
    (1, 9, 1): ((3, 5), [(5, (2, 0), (1, 2)), (3, (1, 1), (1, 1))], 10),
    (1, 1, 3): ((8, 12), [(5, (2, 2), (1, 1)), (3, (1, 1), (1, 1))], 12),
}
TORCHS = {
    "cross_entropy": lambda z, t: nn.functional.cross_entropy(z, t, reduction="none"),
    "softmax_mse": lambda z, t: (z.softmax(1) - t).square().mean(1),
    "sigmoid_mse": lambda z, t: (z.sigmoid() - t).square().mean(1),
    "logistic": lambda z, t: nn.functional.binary_cross_entropy_with_logits(
        z, t, reduction="none"
    ).sum(1),
}


class Standardised(nn.Conv2d):
    """A convolution whose weights have mean 0 and norm ``gain`` for each output."""

    def forward(self, X):
        centred = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        norm = centred.square().sum((1, 2, 3), keepdim=True).sqrt()
        return nn.functional.conv2d(
            X, self.gain * centred / norm, self.bias, 1, self.padding
        )


class Oracle(nn.Module):
    """One model of the network in torch's own modules, with layers written by hand."""

    def __init__(self, image_shape, activation, params):
        super().__init__()
        self.image_shape, n_in, layers = image_shape, image_shape[2], []
        channels, sizes, _ = LAYERS[image_shape]
        for n_out, (size, padding, pool) in zip(channels, sizes, strict=True):
            layers += [
                Standardised(n_in, n_out, size, padding=padding),
                nn.MaxPool2d(pool),
            ]
            layers += [MODULES[activation]()]
            layers[-3].gain, n_in = ACTIVATIONS[activation].gain, n_out
        self.convolutions = nn.Sequential(*layers)
        self.linear = nn.Linear(params[-2].shape[1], params[-2].shape[0])
        self.double()
        for own, p in zip(self.parameters(), params, strict=True):
            own.data = p.clone().view_as(own)

    def forward(self, samples, mask=None):
        images = samples.view(-1, *self.image_shape).permute(0, 3, 1, 2)
        features = self.convolutions(images).permute(0, 2, 3, 1).flatten(1)
        return self.linear(features if mask is None else features * mask)

    def gradients(self, batch, loss, k, replica, alpha, mask=None):
        """Logits (C, B) and gradients of model k, in the shapes of the engine."""
        logits = self(batch.X[replica], mask)
        objective = (
            TORCHS[loss](logits, batch.targets[k].T) * batch.normalised_weight[k, 0]
        ).sum()
        squares = self.linear.weight.square().sum()
        (objective + alpha / 2 / batch.total_weight[k].item() * squares).backward()
        return logits.T.detach(), [
            p.grad.reshape(len(p), -1) for p in self.parameters()
        ]


def make_network(
    image_shape=(8, 8, 1), loss="cross_entropy", activation="tanh", **settings
):
    channels = LAYERS[image_shape][0]
    return ConvNetwork(image_shape, channels, 3, loss, activation, **settings)


def make_params(network, n_models, dtype=torch.float64):
    """Parameters that differ from model to model, biases included."""
    rng = np.random.RandomState(0)
    network = ConvNetwork(**{**vars(network), "weight_init": "normal"})
    models = [network.initial(rng, 1, dtype, CPU) for _ in range(n_models)]
    return tuple(torch.cat(column) for column in zip(*models, strict=True))


def make_batch(network, rng, n_replicas, per_replica, n_samples=9, dtype=np.float64):
    """Weighted samples of some replicas, with targets in [0, 1] for each model."""
    n_models, n_outputs = n_replicas * per_replica, network.n_outputs
    X = rng.normal(size=(n_replicas, n_samples, np.prod(network.image_shape)))
    targets = rng.dirichlet(np.ones(n_outputs), (n_models, n_samples)).swapaxes(1, 2)
    weight = torch.from_numpy(rng.uniform(0.1, 2, (n_models, 1, n_samples)))
    total = weight.sum(-1, keepdim=True)
    X, targets = (torch.from_numpy(array.astype(dtype)) for array in (X, targets))
    return Batch(X, X.mT, targets, (weight / total).to(X.dtype), weight, total)


def assert_equals_torchs(network, params, batch, hyper, generators=(), masks=None):
    logits, gradients = network.gradients(params, batch, hyper, generators)
    n_models = len(params[0])
    for k in range(n_models):
        oracle = Oracle(network.image_shape, network.activation, [p[k] for p in params])
        alpha = 0.0 if hyper.alpha is None else hyper.alpha[k].item()
        expected, slopes = oracle.gradients(
            batch, network.loss, k, k * len(batch.X) // n_models, alpha,
            None if masks is None else masks[k],
        )  # fmt: skip
        np.testing.assert_allclose(logits[k], expected, rtol=1e-10, atol=1e-12)
        for ours, slope in zip(gradients, slopes, strict=True):
            np.testing.assert_allclose(ours[k], slope, rtol=1e-10, atol=1e-13)
    assert all(gradient.abs().max() > 1e-5 for gradient in gradients)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """So small that a few samples are several chunks, and one that is not full."""
    monkeypatch.setattr(convnet, "CPU_IMAGES", 4)


@pytest.fixture(params=[False, True], ids=["one by one", "at once"])
def at_once(request, monkeypatch):
    """Whether several models are groups of one convolution, as on a GPU."""
    monkeypatch.setattr(convnet, "grouped", lambda device: request.param)
    return request.param


@pytest.mark.parametrize("image_shape", LAYERS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_equal_autograds(image_shape, activation, rng, make_step_hyper):
    network = make_network(image_shape, activation=activation)
    params, batch = make_params(network, 1), make_batch(network, rng, 1, 1)
    assert_equals_torchs(network, params, batch, make_step_hyper(params))


@pytest.mark.parametrize("loss", OUTPUT_LOSSES)
@pytest.mark.parametrize("n_replicas", [1, 2])
def test_models_in_replicas_have_gradients_of_their_own(
    loss, n_replicas, at_once, rng, make_step_hyper
):
    network = make_network((4, 16, 2), loss)
    params, batch = (
        make_params(network, 4),
        make_batch(network, rng, n_replicas, 4 // n_replicas),
    )
    hyper = make_step_hyper(params, alpha=[0.0, 0.3, 2.0, 9.0])
    assert_equals_torchs(network, params, batch, hyper)


def test_one_weight_and_target_for_all_models(at_once, rng, make_step_hyper):
    network = make_network()
    params, batch = make_params(network, 3), make_batch(network, rng, 1, 1)
    equal = torch.full((3, 1, 9), 1 / 9, dtype=torch.float64)
    plain = batch._replace(
        normalised_weight=equal[0, 0, 0], weight=None, total_weight=9.0
    )
    hyper = make_step_hyper(params, alpha=0.5)
    logits, gradients = network.gradients(params, plain, hyper, [])
    repeated = batch._replace(
        targets=batch.targets.expand(3, -1, -1),
        normalised_weight=equal,
        total_weight=torch.full((3, 1, 1), 9.0),
    )
    assert_equals_torchs(network, params, repeated, hyper)
    expected, slopes = network.gradients(params, repeated, hyper, [])
    assert torch.equal(logits, expected)
    assert all(map(torch.equal, gradients, slopes))


@pytest.mark.parametrize("n_replicas", [1, 2])
def test_dropout_leaves_out_what_is_drawn(n_replicas, at_once, rng, make_step_hyper):
    network = make_network()
    params, batch = (
        make_params(network, 4),
        make_batch(network, rng, n_replicas, 4 // n_replicas),
    )
    rates = [0.0, 0.2, 0.5, 0.8]
    generators = [torch.Generator().manual_seed(seed) for seed in range(n_replicas)]
    masks = []
    for k, rate in enumerate(rates):
        again = torch.Generator().manual_seed(k * n_replicas // 4)
        drawn = torch.rand(45, 9, generator=again, dtype=torch.float64)
        masks.append(((drawn >= rate).double() / (1 - rate)).T)
    assert 0.4 < (masks[2] == 0).double().mean() < 0.6
    hyper = make_step_hyper(params, dropout=rates, alpha=1)
    assert_equals_torchs(network, params, batch, hyper, generators, masks)


@pytest.mark.parametrize("n_replicas", [1, 2])
def test_scores_and_evaluation_are_of_the_same_logits(n_replicas, at_once, rng):
    network = make_network(loss="sigmoid_mse")
    params, batch = (
        make_params(network, 2),
        make_batch(network, rng, n_replicas, 2 // n_replicas),
    )
    scores, (loss, accuracy) = (
        network.to_scores(network.logits(params, batch.X)),
        network.evaluate(params, batch),
    )
    for k in range(2):
        oracle = Oracle(network.image_shape, "tanh", [p[k] for p in params])
        logits = oracle(batch.X[k * n_replicas // 2]).detach()
        np.testing.assert_allclose(
            scores[k].T, nn.functional.logsigmoid(logits), rtol=1e-10
        )
        each = TORCHS["sigmoid_mse"](logits, batch.targets[k].T)
        np.testing.assert_allclose(
            loss[k], (each * batch.normalised_weight[k, 0]).sum(), rtol=1e-10
        )
        hit = logits.argmax(1) == batch.targets[k].argmax(0)
        np.testing.assert_allclose(
            accuracy[k], (hit * batch.normalised_weight[k, 0]).sum(), rtol=1e-10
        )


@pytest.mark.parametrize("image_shape", LAYERS)
@pytest.mark.parametrize("n_replicas", [1, 2, 6])
@pytest.mark.parametrize("activation", ["relu", "identity"])
def test_six_models_at_once(
    image_shape, activation, n_replicas, rng, make_step_hyper, monkeypatch
):
    monkeypatch.setattr(convnet, "grouped", lambda device: True)
    network = make_network(image_shape, activation=activation)
    params = make_params(network, 6)
    batch = make_batch(network, rng, n_replicas, 6 // n_replicas)
    assert_equals_torchs(network, params, batch, make_step_hyper(params, alpha=0.1))


def test_a_process_without_samples_has_no_gradient(at_once, rng, make_step_hyper):
    network = make_network()
    params, batch = make_params(network, 2), make_batch(network, rng, 1, 2, 0)
    logits, gradients = network.gradients(params, batch, make_step_hyper(params), [])
    assert logits.shape == (2, 3, 0)
    assert [gradient.shape for gradient in gradients] == [p.shape for p in params]
    assert not any(gradient.any() for gradient in gradients)


def test_models_of_a_kind_train_together_on_a_gpu():
    network = make_network()
    assert not network.trains_together(2, torch.device("cpu"))
    assert network.trains_together(2, torch.device("cuda"))


@pytest.mark.parametrize("image_shape", LAYERS)
def test_layers(image_shape):
    network, (channels, sizes, features) = (
        make_network(image_shape),
        LAYERS[image_shape],
    )
    n_in = (image_shape[2], *channels)
    expected = [
        Convolution((n_out, n_in[i], size, size), padding, pool)
        for i, (n_out, (size, padding, pool)) in enumerate(
            zip(channels, sizes, strict=True)
        )
    ]
    assert network.convolutions == expected
    assert network.shapes == [*(layer.shape for layer in expected), (3, features)]


def test_layers_of_mnist():
    network = ConvNetwork((28, 28, 1), (24, 48, 96), 10, "cross_entropy")
    assert network.shapes == [(24, 1, 5, 5), (48, 24, 3, 3), (96, 48, 3, 3), (10, 864)]
    assert [layer.padding for layer in network.convolutions] == [(0, 0)] * 3
    assert [layer.pool for layer in network.convolutions] == [(2, 2), (2, 2), (1, 1)]


@pytest.mark.parametrize(
    ("sides", "padding"), [((8, 9), (2, 0)), ((1, 100), (2, 0)), ((10, 7), (0, 2))]
)
def test_padding_where_no_more_than_half_of_a_side_would_be_left(sides, padding):
    (layer,) = ConvNetwork((*sides, 1), (2,), 3, "cross_entropy").convolutions
    assert layer.padding == padding
    assert [padded > 0 for padded in padding] == [
        2 * (side - 4) <= side for side in sides
    ]


@pytest.mark.parametrize(
    ("channels", "pools"),
    [
        ((4,), [1]),
        ((4, 4, 4), [1, 1, 1]),
        ((4, 3, 9), [1, 2, 1]),
        ((2, 3, 3, 4), [2, 1, 2, 1]),
    ],
)
def test_pooling_where_channels_grow(channels, pools):
    network = ConvNetwork((30, 30, 1), channels, 3, "cross_entropy")
    assert [layer.pool for layer in network.convolutions] == [
        (pool, pool) for pool in pools
    ]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gains_keep_the_size_of_signals(activation):
    value = MODULES[activation]()

    def moment(power):
        def integrand(z):
            output = value(torch.tensor(z, dtype=torch.float64)).item()
            return output**power * norm.pdf(z)

        return quad(integrand, -12, 12, points=[0])[0]

    deviation = np.sqrt(moment(2) - moment(1) ** 2)
    assert ACTIVATIONS[activation].gain == pytest.approx(1 / deviation, rel=2e-3)


def test_equal_weights_have_a_finite_gradient(rng, make_step_hyper):
    network = make_network()
    params, batch = make_params(network, 1), make_batch(network, rng, 1, 1)
    params[0][:, 1] = 0.5
    logits, gradients = network.gradients(params, batch, make_step_hyper(params), [])
    assert logits.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients)
    params[0][:, 1] = -2.0
    found, _ = network.gradients(params, batch, make_step_hyper(params), [])
    assert torch.equal(found, logits)


@pytest.mark.parametrize("loss", LOSSES)
def test_bfloat16_is_near_float32(loss, rng, make_step_hyper):
    params = make_params(make_network(activation="relu"), 2, torch.float32)
    found = []
    for precision in ("float32", "bfloat16"):
        network = make_network(loss=loss, activation="relu", precision=precision)
        batch = make_batch(network, np.random.default_rng(0), 1, 2, 40, np.float32)
        logits, gradients = network.gradients(
            params, batch, make_step_hyper(params), []
        )
        assert {p.dtype for p in (logits, *gradients)} == {torch.float32}
        found.append(torch.cat([p.flatten(1) for p in gradients], 1))
        scores = network.to_scores(network.logits(params, batch.X))
        distance = (
            (scores - OUTPUT_LOSSES[loss].scores(logits)).abs().max()
        )  # none in bfloat16
        assert (distance > 1e-3) == (precision == "bfloat16")
    cosines = nn.functional.cosine_similarity(*found)
    assert (cosines > 0.99).all()
    assert (cosines < 1 - 1e-7).all()


@pytest.mark.parametrize("n_replicas", [1, 2])
def test_bfloat16_at_once_is_that_of_each_model(
    n_replicas, rng, make_step_hyper, monkeypatch
):
    network = make_network(activation="relu", precision="bfloat16")
    params = make_params(network, 4, torch.float32)
    batch = make_batch(network, rng, n_replicas, 4 // n_replicas, dtype=np.float32)
    found = []
    for at_once in (False, True):
        monkeypatch.setattr(convnet, "grouped", lambda device, now=at_once: now)
        logits, gradients = network.gradients(
            params, batch, make_step_hyper(params), []
        )
        assert {p.dtype for p in (logits, *gradients)} == {torch.float32}
        found.append(torch.cat([p.flatten(1) for p in (logits, *gradients)], 1))
    # Sums in another order may round to another neighbour, 2⁻⁷ apart.
    distance = (found[0] - found[1]).norm(dim=1)
    assert (distance <= 2**-7 * found[0].norm(dim=1)).all()


def peak_of(run):
    """Most bytes that torch holds at one time of what it allocates meanwhile."""
    with torch.profiler.profile(profile_memory=True) as profiler:
        run()
    events = profiler.profiler.kineto_results.events()
    changes = [one for one in events if one.name() == "[memory]"]
    changes.sort(key=lambda one: one.start_ns())
    return max(itertools.accumulate(one.nbytes() for one in changes))


@pytest.mark.parametrize("n_models", [2, 6])
@pytest.mark.parametrize("channels", [(24, 48), (8,), (4, 4, 4)])
def test_memory_of_models_at_once(
    channels, n_models, rng, make_step_hyper, monkeypatch
):
    monkeypatch.setattr(convnet, "grouped", lambda device: True)
    monkeypatch.setattr(convnet, "CPU_IMAGES", convnet.GPU_IMAGES_OF_EACH)
    network = ConvNetwork((16, 16, 1), channels, 3, "cross_entropy")
    params = make_params(network, n_models)
    batch = make_batch(network, rng, 1, n_models, 64)
    generators = [torch.Generator()]
    hyper = make_step_hyper(params, dropout=0.5)

    of_step = peak_of(lambda: network.gradients(params, batch, hyper, generators))
    expected = n_models * network.bytes_per_model(CUDA, 0, 64, 64, 1)
    assert expected / 2 < of_step < expected
    of_scores = peak_of(lambda: network.logits(params, batch.X))
    expected = n_models * network.bytes_per_model(CUDA, 0, 1, 1, 64)
    assert expected / 3 < of_scores < expected


def test_memory_does_not_grow_with_the_samples():
    network = ConvNetwork((28, 28, 1), (24, 48, 96), 10, "cross_entropy")
    few, many = (network.numbers_in_layers(CUDA, n, n) for n in (256, 10**6))
    assert few == many


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("own", [torch.float32, torch.float64])
@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_what_is_trained_in(fast, own, precision, monkeypatch):
    monkeypatch.setattr(convnet, "bfloat16_is_fast", lambda device: fast)
    found = make_network(precision=precision)._dtype((torch.zeros(1, dtype=own),))
    asked = precision == "bfloat16" or (precision == "auto" and fast)
    assert found == (torch.bfloat16 if asked and own == torch.float32 else own)


@pytest.mark.parametrize(
    ("device", "capabilities", "expected"),
    [
        ("cpu", {}, False),
        ("cpu", {"avx512_bf16": False, "amx_bf16": False, "avx512_f": True}, False),
        ("cpu", {"avx512_bf16": True}, True),
        ("cpu", {"amx_bf16": True}, True),
        ("cuda", (7, 5), False),
        ("cuda", (8, 0), True),
        ("cuda", (9, 0), True),
    ],
)
def test_where_bfloat16_is_fast(device, capabilities, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda device: capabilities
    )
    assert bfloat16_is_fast.__wrapped__(torch.device(device)) is expected
