"""ConvNetClassifier against loops and modules of torch, and as an estimator."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from torch import nn, optim
from torch.nn.utils.parametrize import register_parametrization

from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits.engine import convnet
from skdigits.model_selection import BatchedGridSearchCV

RELU_GAIN = 1.7139
SHAPES = [(3, 1, 5, 5), (5, 3, 3, 3), (10, 80)]
LAYERS = [(2, 2), (1, 1)]  # padding and pooling: of images of 8 x 8 pixels
SHORT = {"channels": (3, 5), "max_iter": 2, "batch_size": 40, "random_state": 0}


class Standardise(nn.Module):
    """Centre the weights of each output, and scale them to one norm."""

    def forward(self, weight):
        centred = weight - weight.mean((1, 2, 3), keepdim=True)
        return (
            RELU_GAIN * centred / centred.square().sum((1, 2, 3), keepdim=True).sqrt()
        )


class Torchs(nn.Module):
    """The network in PyTorch's modules: convolutions, pooling and ReLU."""

    def __init__(self, coefs, intercepts, layers, image_shape):
        super().__init__()
        self.image_shape, modules = image_shape, []
        for coef, (padding, pool) in zip(coefs[:-1], layers, strict=True):
            n_out, n_in, size, _ = coef.shape
            modules += [nn.Conv2d(n_in, n_out, size, padding=padding)]
            modules += [nn.MaxPool2d(pool), nn.ReLU()]
        self.convolutions = nn.Sequential(*modules)
        self.linear = nn.Linear(*coefs[-1].shape)
        self.double()

        coefs = [*coefs[:-1], coefs[-1].T]
        for module, coef, bias in zip(self.learning(), coefs, intercepts, strict=True):
            module.weight.data, module.bias.data = map(torch.tensor, (coef, bias))
        for module in self.learning()[:-1]:
            register_parametrization(module, "weight", Standardise())

    def learning(self):
        return [*self.convolutions[::3], self.linear]

    def weights(self):
        first = [
            module.parametrizations.weight.original for module in self.learning()[:-1]
        ]
        return [*first, self.linear.weight]

    def biases(self):
        return [module.bias for module in self.learning()]

    def forward(self, rows, mask=1.0):
        images = rows.view(-1, *self.image_shape).permute(0, 3, 1, 2)
        features = self.convolutions(images).permute(0, 2, 3, 1).flatten(1)
        return self.linear(features * mask)

    def train_for(self, model, X, y, weight, rng, seed):
        """Train by a plain PyTorch loop with a model's settings; return its losses."""
        settings, n_rows = model.get_params(), len(X)
        X, y, weight = map(torch.from_numpy, (X, y, weight))
        groups = [
            {"params": self.weights()},
            {"params": self.biases(), "weight_decay": 0.0},
        ]
        steps = -(-n_rows // model.batch_size) * model.max_iter
        optimizer, scheduler = make_optimizer(settings, groups, steps)
        losses = []
        for epoch in range(model.max_iter):
            generator, seen = torch.Generator().manual_seed(seed + epoch), 0.0
            for rows in torch.from_numpy(rng.permutation(n_rows)).split(
                model.batch_size
            ):
                drawn = torch.rand(80, len(rows), generator=generator, dtype=X.dtype).T
                mask = (drawn >= model.dropout) / (1 - model.dropout)
                each = nn.functional.cross_entropy(
                    self(X[rows], mask), y[rows], reduction="none",
                    label_smoothing=model.label_smoothing,
                )  # fmt: skip
                squares = self.weights()[-1].square().sum()
                total = weight[rows].sum()
                loss = (each @ weight[rows] + model.alpha / 2 * squares) / total
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                seen += loss.item() * total.item()
            losses.append(seen / weight.sum().item())
        return losses


def make_optimizer(settings, groups, steps):
    """Return a PyTorch optimizer, and the schedule of its learning rate."""
    rate = settings["learning_rate_init"]
    if settings["solver"] == "sgd":
        optimizer = optim.SGD(groups, rate, momentum=0.9)
    elif settings["solver"] == "adam":
        optimizer = optim.Adam(groups, rate, eps=1e-20)
    else:
        optimizer = optim.AdamW(
            groups, rate, eps=1e-20, weight_decay=settings["weight_decay"]
        )
    if settings["learning_rate"] == "constant":
        return optimizer, optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    cycle = optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, cycle_momentum=False)
    return optimizer, cycle


@pytest.fixture(scope="module")
def few(digits):
    """200 digits in [0, 1], float64."""
    return digits[0][:200], digits[1][:200]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        pytest.param(
            {"dropout": 0.3, "label_smoothing": 0.1, "alpha": 1.0},
            marks=pytest.mark.host("the loop draws dropout by the CPU's generator"),
        ),
        {"solver": "adamw", "weight_decay": 3.0, "weight_init": "normal"},
        {"solver": "adam", "learning_rate": "constant", "weight_init": "glorot"},
        {
            "solver": "sgd",
            "learning_rate": "constant",
            "nesterovs_momentum": False,
            "alpha": 3,
        },
    ],
    ids=str,
)
def test_training_is_that_of_a_loop_in_torch(settings, few):
    X, y = (array[:90] for array in few)
    weight = np.random.default_rng(1).uniform(0.5, 2, 90)
    settings = {"epsilon": 1e-20} | SHORT | settings
    model = ConvNetClassifier(**settings).fit(X, y, weight)
    rng = np.random.RandomState(0)
    seed = np.random.RandomState(0).randint(2**31 - 1)
    start = model._network(64, 10).initial(rng, 1, torch.float64, torch.device("cpu"))
    weights = [p[0].numpy().reshape(s) for p, s in zip(start[::2], SHAPES, strict=True)]
    weights[-1] = weights[-1].T
    oracle = Torchs(
        weights, [p[0, :, 0].numpy() for p in start[1::2]], LAYERS, (8, 8, 1)
    )
    losses = oracle.train_for(model, X, y, weight, rng, seed)
    np.testing.assert_allclose(model.loss_curve_, losses, rtol=1e-8)
    *convolutions, (last, _) = model._layers
    found = [*(weight for weight, _ in convolutions), last.T, *model.intercepts_]
    for ours, theirs in zip(found, [*oracle.weights(), *oracle.biases()], strict=True):
        np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-7, atol=1e-8)
    assert np.abs(model.coefs_[0] - weights[0]).max() > 1e-3


def test_fitted_attributes(few):
    X, y = few
    model = ConvNetClassifier(**SHORT).fit(X, np.array(list("abcdefghij"))[y])
    assert [coef.shape for coef in model.coefs_] == [
        (3, 1, 5, 5),
        (5, 3, 3, 3),
        (80, 10),
    ]
    assert [bias.shape for bias in model.intercepts_] == [(3,), (5,), (10,)]
    assert {array.dtype for array in model.coefs_ + model.intercepts_} == {X.dtype}
    assert (model.n_layers_, model.n_outputs_, model.out_activation_) == (
        4,
        10,
        "softmax",
    )
    assert (model.n_features_in_, model.n_iter_, model.t_) == (64, 2, 400)
    assert model.history_["epoch"].tolist() == [1, 2]
    assert model.loss_curve_ == model.history_["train_loss"].tolist()
    assert model.classes_.tolist() == list("abcdefghij")
    assert ConvNetClassifier(**SHORT).fit(X, y == 3).coefs_[-1].shape == (80, 1)


@pytest.mark.parametrize(
    ("image_shape", "layers"),
    [
        (None, LAYERS),
        ((4, 16), [((2, 0), 2), ((1, 0), 1)]),
        ((4, 4, 4), [(2, 2), (1, 1)]),
        ((2, 16, 2), [((2, 0), 2), ((1, 0), 1)]),
        ((1, 64), [((2, 0), (1, 2)), ((1, 0), 1)]),
    ],
)
def test_images_of_any_shape_and_colour(image_shape, layers, few):
    model = ConvNetClassifier(image_shape=image_shape, **SHORT).fit(*few)
    shape = (8, 8) if image_shape is None else image_shape
    oracle = Torchs(model.coefs_, model.intercepts_, layers, (*shape, 1)[:3])
    expected = oracle(torch.from_numpy(few[0])).softmax(1).detach()
    np.testing.assert_allclose(model.predict_proba(few[0]), expected, rtol=1e-9)
    assert np.ptp(model.predict_proba(few[0]), 0).max() > 0.05


@pytest.mark.parametrize(
    ("settings", "n_features", "message"),
    [
        (
            {"image_shape": (8, 9)},
            64,
            r"image_shape=\(8, 9\) is that of 72 features, but X",
        ),
        (
            {"image_shape": (8, 8, 3)},
            64,
            r"is that of 192 features, but X has 64: pass the",
        ),
        ({"image_shape": (64,)}, 64, r"image_shape must be \(height, width\) or"),
        ({"image_shape": (8, 8.5)}, 64, r"whole numbers of 1 or more, got \(8, 8.5\)"),
        ({"image_shape": (0, 64)}, 64, "whole numbers of 1 or more"),
        (
            {"image_shape": 8},
            64,
            "The 'image_shape' parameter of ConvNetClassifier must be",
        ),
        (
            {"channels": (3, 0)},
            64,
            r"channels must be > 0, got \(3, 0\): pass an integer for each",
        ),
        ({"channels": 0}, 64, "The 'channels' parameter of ConvNetClassifier must be"),
        (
            {"precision": "half"},
            64,
            "The 'precision' parameter of ConvNetClassifier must be",
        ),
        ({"dropout": 1.0}, 64, "The 'dropout' parameter of ConvNetClassifier must be"),
        (
            {"augment": "shift", "solver": "lbfgs"},
            64,
            "augment='shift' changes the samples in",
        ),
    ],
)
def test_bad_parameters_are_named(settings, n_features, message, few):
    model = ConvNetClassifier(**SHORT | settings)
    with pytest.raises(ValueError, match=message):
        model.fit(few[0][:, :n_features], few[1])
    assert not model.__sklearn_is_fitted__()


def test_what_is_no_square_is_a_row_of_pixels_and_warned_of(few):
    X = few[0][:, 24:30]
    with pytest.warns(
        UserWarning, match="X has 6 features, which do not make a square image"
    ):
        found = ConvNetClassifier(**SHORT).fit(X, few[1])
    expected = ConvNetClassifier(image_shape=(1, 6), **SHORT).fit(X, few[1])
    np.testing.assert_array_equal(found.predict_proba(X), expected.predict_proba(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_precision_is_the_dtype_of_what_is_fitted(dtype, precision, few):
    X = few[0].astype(dtype)
    model = ConvNetClassifier(precision=precision, **SHORT).fit(X, few[1])
    expected = dtype if precision == "auto" else np.float32
    proba = model.predict_proba(X)
    assert {array.dtype for array in (proba, *model.coefs_, *model.intercepts_)} == {
        np.dtype(expected)
    }
    plain = (
        clone(model)
        .set_params(precision="float32")
        .fit(few[0].astype(np.float32), few[1])
    )
    same = np.array_equal(plain.coefs_[0], model.coefs_[0])
    # Here "auto" may mean bfloat16, too, so only the others are compared.
    if expected == np.float32 and precision != "auto":
        assert same == (precision == "float32")
    distance = np.abs(proba - plain.predict_proba(X.astype(np.float32))).max()
    assert distance < (1e-5 if expected == np.float64 else 0.05)


def test_bfloat16_learns_about_as_well(digits):
    X, y = digits[0].astype(np.float32), digits[1]
    scores = {}
    for precision in ("float32", "bfloat16"):
        model = ConvNetClassifier((6,), max_iter=4, random_state=0, precision=precision)
        scores[precision] = model.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:])
    assert scores["float32"] > 0.85
    assert scores["bfloat16"] == pytest.approx(scores["float32"], abs=0.03)


def test_pixels_are_fractions(few):
    pixels = (few[0] * 255).astype(np.uint8)
    ours = ConvNetClassifier(**SHORT).fit(pixels, few[1])
    fractions = pixels.astype(np.float32) / np.float32(255)
    other = ConvNetClassifier(**SHORT).fit(fractions, few[1])
    np.testing.assert_array_equal(
        ours.predict_proba(pixels), other.predict_proba(fractions)
    )
    assert ours.coefs_[0].dtype == np.float32


def assert_same(one, other):
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(one, name), getattr(other, name), strict=True):
            np.testing.assert_array_equal(a, b)
    assert one.loss_curve_ == other.loss_curve_
    assert one.t_ == other.t_


@pytest.mark.parametrize(
    "settings",
    [{}, {"dropout": 0.3}, {"augment": "shift"}, {"augment": "affine", "dropout": 0.2}],
    ids=str,
)
def test_partial_fits_are_epochs(settings, few):
    X, y = few
    whole = ConvNetClassifier(**SHORT | settings).fit(X, y)
    parts = ConvNetClassifier(**SHORT | settings)
    parts.partial_fit(X, y, classes=np.arange(10)).partial_fit(X, y)
    assert_same(parts, whole)
    assert not settings or whole.loss_ != ConvNetClassifier(**SHORT).fit(X, y).loss_


def test_a_warm_start_goes_on(few):
    settings = SHORT | {"learning_rate": "constant", "dropout": 0.2}
    whole = ConvNetClassifier(**settings | {"max_iter": 3}).fit(*few)
    model = ConvNetClassifier(**settings, warm_start=True).fit(*few)
    model.set_params(max_iter=1).fit(*few)
    assert_same(model, whole)
    with pytest.raises(
        ValueError, match=r"\(5, 3, 3, 3\), .* its parameters now ask for"
    ):
        model.set_params(channels=(3, 6)).fit(*few)
    assert_same(model, whole)


@pytest.mark.filterwarnings("ignore:y has one class only")
@pytest.mark.parametrize("n_rows", [1, 30])
def test_one_class_is_as_of_the_mlp(n_rows, few):
    X, y = few[0][:n_rows], np.full(n_rows, 7)
    for model in (
        ConvNetClassifier(max_iter=2),
        MLPClassifierTorch(max_iter=2, tol=None),
    ):
        model.fit(X, y)
        assert model.n_outputs_ == 1
        assert model.out_activation_ == "softmax"
        np.testing.assert_array_equal(model.predict(few[0]), np.full(200, 7))
        np.testing.assert_array_equal(model.predict_proba(few[0]), np.ones((200, 1)))


@pytest.mark.parametrize("n_labels", [1, 3])
def test_several_labels_a_row(n_labels, digits):
    X, Y = (
        digits[0][:600],
        (digits[1][:600, None] % [2, 3, 5][:n_labels] == 0).astype(int),
    )
    Y = Y if n_labels > 1 else Y[:, 0]
    settings = SHORT | {"channels": (6,), "max_iter": 6, "learning_rate_init": 0.03}
    model = ConvNetClassifier(**settings).fit(X[:400], Y[:400])
    assert model.out_activation_ == "logistic"
    assert model.n_outputs_ == n_labels
    assert (model.predict(X[400:]) == Y[400:]).mean() > 0.85


def test_lbfgs_goes_far_below_the_start(few):
    settings = SHORT | {"channels": (4,), "solver": "lbfgs", "alpha": 0, "max_iter": 25}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it could go on
        model = ConvNetClassifier(**settings).fit(*few)
    assert (np.diff(model.loss_curve_) <= 0).all()
    proba = model.predict_proba(few[0])[np.arange(200), few[1]]
    assert model.loss_ == pytest.approx(-np.log(proba).mean(), rel=1e-8)
    assert model.loss_ < 0.1


def test_lbfgs_never_trains_in_bfloat16(few, monkeypatch):
    """L-BFGS needs float32, even where precision="auto" means bfloat16."""
    X, y = few[0].astype(np.float32), few[1]
    settings = SHORT | {"channels": (4,), "solver": "lbfgs", "max_iter": 4}
    expected = ConvNetClassifier(**settings).fit(X, y).coefs_[0]
    monkeypatch.setattr(convnet, "bfloat16_is_fast", lambda device: True)
    np.testing.assert_array_equal(
        ConvNetClassifier(**settings).fit(X, y).coefs_[0], expected
    )
    with pytest.raises(ValueError, match="'bfloat16' is too coarse for solver='lbfgs'"):
        ConvNetClassifier(**settings | {"precision": "bfloat16"}).fit(X, y)


def test_what_was_fitted_predicts_whatever_the_parameters_are_now(few):
    model = ConvNetClassifier(**SHORT | {"channels": (4, 8), "warm_start": True}).fit(
        *few
    )
    expected = model.predict_proba(few[0])
    model.set_params(channels=(8, 4), image_shape=(4, 16), precision="bfloat16")
    np.testing.assert_array_equal(model.predict_proba(few[0]), expected)
    assert model.image_shape_ == (8, 8, 1)
    with pytest.raises(
        ValueError, match=r"shapes \[\(8, 8, 1\), .* ask for \[\(4, 16, 1\),"
    ):
        model.fit(*few)
    with pytest.raises(ValueError, match=r"channels=\(\) leaves no convolution"):
        model.set_params(channels=(), warm_start=False).fit(*few)


def test_a_cycle_lasts_so_many_calls_whatever_their_rows(few):
    X, y = few
    model = ConvNetClassifier(2, max_iter=6, batch_size=10, random_state=0)
    for call in range(6):
        rows = slice(50 if call % 2 else 200)
        model.partial_fit(X[rows], y[rows], classes=range(10))
    summit, *falling = model.history_["learning_rate"][1:]
    assert 0.009 < summit <= 0.01
    assert (np.diff([summit, *falling]) < 0).all()
    assert falling[-1] == pytest.approx(0.01 / 250_000, rel=1e-6)
    with pytest.warns(
        ConvergenceWarning, match="ended after 6 epochs, .* set max_iter"
    ):
        model.partial_fit(X, y)


def test_images_that_are_passed_as_such_are_told_to_be_rows(few):
    images, y = few[0].reshape(-1, 8, 8), few[1]
    cure = (
        r"dim 3, while dim <= 2 is required by ConvNetClassifier: "
        r"X has shape \(200, 8, 8\)"
    )
    with pytest.raises(ValueError, match=cure):
        ConvNetClassifier(**SHORT).fit(images, y)
    model = ConvNetClassifier(**SHORT).fit(*few)
    with pytest.raises(ValueError, match=cure + r".* X\.reshape\(len\(X\), -1\)"):
        model.predict(images)
    with pytest.raises(
        ValueError, match=r"image_shape=\(1, 8, 8\) has the channels first"
    ):
        ConvNetClassifier(**SHORT | {"image_shape": (1, 8, 8)}).fit(*few)


def test_a_batched_search_is_gridsearchcvs(few):
    model = ConvNetClassifier(**SHORT, learning_rate_init=0.03, device="cpu")
    grid = {"learning_rate_init": [0.003, 0.05], "dropout": [0.0, 0.4]}
    ours, theirs = (
        Search(model, grid, cv=2, scoring="neg_log_loss").fit(*few)
        for Search in (BatchedGridSearchCV, GridSearchCV)
    )
    assert ours.best_params_ == theirs.best_params_
    for name in ("split0_test_score", "split1_test_score"):
        found, expected = ours.cv_results_[name], theirs.cv_results_[name]
        np.testing.assert_array_equal(found, expected)
        assert len(set(expected)) == 4
    assert_same(ours.best_estimator_, theirs.best_estimator_)


def test_digits_are_learnt_better_than_by_a_linear_model(digits):
    X, y = digits[0].astype(np.float32), digits[1]
    convolutional = ConvNetClassifier((12, 24), max_iter=8, random_state=0)
    linear = SoftmaxRegression(max_iter=30, tol=None, random_state=0)
    ours, theirs = (
        cross_val_score(model, X, y, cv=3).mean() for model in (convolutional, linear)
    )
    assert ours > 0.92
    assert 1 - ours < 0.65 * (1 - theirs)


@pytest.mark.mnist
def test_mnist_is_learnt_from_a_few_of_its_digits(mnist):
    X, X_test, y, y_test = mnist
    model = ConvNetClassifier((4, 8), max_iter=3, batch_size=64, random_state=0)
    assert model.fit(X[:2000], y[:2000]).score(X_test[:2000], y_test[:2000]) > 0.9
    assert [coef.shape for coef in model.coefs_] == [
        (4, 1, 5, 5),
        (8, 4, 3, 3),
        (800, 10),
    ]
