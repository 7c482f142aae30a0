"""Converted models in onnxruntime agree with the estimators."""

import importlib
import sys

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession
from skl2onnx import to_onnx
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import skdigits.onnx  # noqa: F401
from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.engine.activations import ACTIVATIONS
from skdigits.engine.losses import LOSSES
from skdigits.engine.templates import METRICS

TRAINED = {"max_iter": 15, "tol": None, "random_state": 0, "learning_rate_init": 0.01}
MODELS = [
    TemplateMatchingClassifier(),
    SoftmaxRegression(**TRAINED),
    MLPClassifierTorch((16, 8), **TRAINED),
    ConvNetClassifier(
        (3, 5), max_iter=5, batch_size=75, learning_rate_init=0.05, random_state=0
    ),
]
each = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)


@pytest.fixture(scope="module")
def few(digits):
    """300 digits in [0, 1], float32."""
    X, y = digits
    return X[:300].astype(np.float32), y[:300]


def session(model, X, options=None, **settings):
    graph = to_onnx(model, X[:1], options=options, **settings)
    return InferenceSession(graph.SerializeToString())


def run(model, X, options=None, **settings):
    """Return labels and probabilities, by default as an array."""
    options = {"zipmap": False} if options is None else options
    return session(model, X, options, **settings).run(None, {"X": X})


def assert_agrees(model, X, **settings):
    labels, proba = run(model, X, **settings)
    expected = model.predict_proba(X)
    # If all probabilities were alike, any model would agree.
    assert np.ptp(expected, 0).max() > 0.05

    wide = X.dtype == np.float64
    assert proba.dtype == (np.float64 if wide else np.float32)
    np.testing.assert_allclose(proba, expected, rtol=0, atol=1e-10 if wide else 1e-5)
    np.testing.assert_array_equal(labels, model.predict(X))


@each
@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler()], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pipelines(model, scaler, dtype, few):
    pipeline = make_pipeline(scaler, model).fit(few[0].astype(dtype) * 16, few[1])
    for dtype_of_samples in (np.float32, np.float64):
        assert_agrees(pipeline, few[0].astype(dtype_of_samples) * 16)


@each
def test_pixels_are_read_as_fractions(model, few):
    pixels = (few[0] * 255).astype(np.uint8)
    model.fit(pixels, few[1])
    assert_agrees(model, pixels)
    _, proba = run(model, pixels)
    message = "fitted to pixels, .* float inputs takes them as they are: pass uint8"
    with pytest.warns(UserWarning, match=message):
        _, of_fractions = run(model, (pixels / 255).astype(np.float32))
    np.testing.assert_allclose(proba, of_fractions, atol=1e-5)


@each
def test_integers_are_not_pixels(model, few):
    model.fit(few[0] * 16, few[1])
    for dtype in (np.int64, np.uint8):
        assert_agrees(model, (few[0] * 16).astype(dtype))


@each
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_integers_that_are_pixels(model, dtype, few):
    """Whichever the model was fitted to, and uint8 beside fractions."""
    pixels = (few[0] * 255).astype(np.uint8)
    for fitted_to in (pixels.astype(np.int64), pixels / np.float32(255)):
        model.fit(fitted_to, few[1])
        if model.pixels_ or dtype == np.uint8:
            assert_agrees(model, pixels.astype(dtype))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", MODELS[1:], ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("n_classes", [2, 10])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_losses(loss, model, n_classes, dtype, few):
    X = few[0].astype(dtype)
    y = few[1] % n_classes
    settings = {"max_iter": 60, "learning_rate_init": 0.03, "loss": loss}
    # One small step leaves the initial weights, whose probabilities differ enough.
    if isinstance(model, ConvNetClassifier):
        settings |= {"max_iter": 1, "learning_rate_init": 0.001}
    settings |= {"solver": "adam", "label_smoothing": 0.0}
    model = type(model)(**TRAINED | settings).fit(X, y)
    assert_agrees(model, X)


@pytest.mark.parametrize("loss", LOSSES)
def test_far_logits(loss, few):
    model = SoftmaxRegression(1.0, loss=loss, max_iter=20, tol=None, random_state=0)
    model.fit(*few)
    model.coef_ *= 300
    _, proba = run(model, few[0])
    expected = model.predict_proba(few[0])
    assert np.isfinite(proba).all()
    np.testing.assert_allclose(proba, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "others"),
    [
        (TemplateMatchingClassifier(), {"metric": "cosine"}),
        (SoftmaxRegression(**TRAINED), {"loss": "sigmoid_mse"}),
        (MLPClassifierTorch(16, **TRAINED), {"activation": "tanh"}),
        (MODELS[-1], {"activation": "tanh", "channels": (2,)}),
    ],
)
def test_parameters_set_after_the_fit_are_not_exported(model, others, few):
    fitted = clone(model).fit(*few)
    assert_agrees(fitted.set_params(**others), few[0])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(), (9,), (12, 11, 10)], ids=str)
def test_networks(activation, sizes, few):
    settings = TRAINED | {"max_iter": 40}
    assert_agrees(MLPClassifierTorch(sizes, activation, **settings).fit(*few), few[0])


def drawn(X, y, **settings):
    """Return a network after one step from weights and biases drawn from N(0, 1)."""
    settings = {"max_iter": 1, "weight_init": "normal", "random_state": 0} | settings
    return ConvNetClassifier(**settings).fit(X, y)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    ("image_shape", "channels"),
    [
        ((8, 8), (3, 3, 5)),
        ((4, 16), (3, 4, 5)),
        ((32, 2), (4,)),
        ((4, 4, 4), (3, 5)),
        ((1, 64), (3, 5)),
        ((1, 7, 3), (3, 5)),
        ((1, 5), (9, 11)),
        ((1, 1, 8), (9, 11)),
    ],
    ids=str,
)
def test_convolutions(activation, image_shape, channels, rng):
    X = rng.normal(size=(90, np.prod(image_shape))).astype(np.float32)
    settings = {
        "activation": activation,
        "channels": channels,
        "image_shape": image_shape,
    }
    model = drawn(X, np.arange(90) % 10, **settings)
    assert_agrees(model, X)
    assert_agrees(model, X.astype(np.float64))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_graph_has_the_precision_of_the_fit(precision, few):
    X = few[0].astype(np.float64)
    model = drawn(X, few[1], channels=(3, 5), precision=precision)
    expected = model.predict_proba(X)
    assert expected.dtype == np.float32
    assert np.ptp(expected, 0).max() > 0.5

    graph = to_onnx(model, X[:1], options={"zipmap": False})
    assert "Conv" in [node.op_type for node in graph.graph.node]
    _, proba = InferenceSession(graph.SerializeToString()).run(None, {"X": X})
    np.testing.assert_allclose(proba, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_convolutions_with_several_labels_per_sample(dtype, few):
    X = few[0].astype(dtype)
    Y = (few[1][:, None] % [2, 3, 5] == 0).astype(int)
    model = drawn(X, Y, channels=(3, 5))
    assert_agrees(model, X)
    assert 0.1 < model.predict(X).mean() < 0.9


def test_equal_weights_of_a_convolution_are_zeros(few):
    model = drawn(*few, channels=(3, 5))
    before = model.predict_proba(few[0])
    model.coefs_[1][2] = 1.0
    assert_agrees(model, few[0])
    assert np.abs(model.predict_proba(few[0]) - before).max() > 0.01


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_templates", [1, 3])
@pytest.mark.parametrize("temperature", ["auto", 0.02])
def test_templates(metric, n_templates, temperature, few):
    model = TemplateMatchingClassifier(
        metric, n_templates=n_templates, temperature=temperature, random_state=0
    )
    assert_agrees(model.fit(*few), few[0])


@pytest.mark.parametrize("metric", ["mse", "mae"])
def test_templates_far_from_the_origin(metric, few):
    X = few[0] + 100
    model = TemplateMatchingClassifier(metric).fit(X, few[1])
    labels, proba = run(model, X)
    np.testing.assert_allclose(proba, model.predict_proba(X), atol=1e-5)
    assert (labels == few[1]).mean() > 0.85


@pytest.mark.parametrize("scale", [0, 1e-30, 1e30])
def test_tiny_and_huge_samples_have_cosines_too(scale, few):
    model = TemplateMatchingClassifier("cosine").fit(*few)
    X = few[0] * np.float32(scale)
    _, proba = run(model, X)
    np.testing.assert_allclose(proba, model.predict_proba(X), atol=1e-5)


def test_a_class_without_templates_is_never_predicted(few):
    model = TemplateMatchingClassifier().partial_fit(*few, classes=np.arange(-1, 10))
    labels, proba = run(model, few[0])
    assert (proba[:, 0] == 0).all()
    np.testing.assert_allclose(proba, model.predict_proba(few[0]), atol=1e-5)
    np.testing.assert_array_equal(labels, model.predict(few[0]))


LABELS = {
    "strings": np.array(["no", "yes", "perhaps"]),
    "objects": np.array(["no", "yes", "perhaps"], dtype=object),
    "two strings": np.array(["yes", "no"]),
    "integers": np.array([7, -3, 12]),
    "bytes": np.array([7, 3], dtype=np.uint8),
    "floats": np.array([1.0, 5.0, 3.0]),
    "booleans": np.array([False, True]),
}


@each
@pytest.mark.parametrize("kind", LABELS)
def test_labels(model, kind, few):
    names = LABELS[kind]
    X = few[0]
    y = names[few[1] % len(names)]
    model.fit(X, y)
    labels, proba = run(model, X)
    expected = model.predict(X)
    assert len(np.unique(expected)) == len(names)
    np.testing.assert_array_equal(labels, expected)

    (zipped,) = run(model, X[:1], {})[1]
    assert list(zipped) == np.unique(y).tolist()
    assert list(zipped.values()) == pytest.approx(proba[0], abs=1e-6)


@each
@pytest.mark.parametrize(
    "options",
    [
        None,
        {"zipmap": False},
        {"zipmap": "columns"},
        {"nocl": True},
        {"nocl": True, "zipmap": False},
        {"zipmap": False, "output_class_labels": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("names", ["strings", "integers"])
def test_outputs_match_scikit_learns_classifiers(model, options, names, few):
    X = few[0][:, 20:36]
    y = LABELS[names][few[1] % 3]
    theirs = session(LogisticRegression(max_iter=1000).fit(X, y), X, options)
    ours = session(model.fit(X, y), X, options)

    outputs = [(out.name, out.type, out.shape) for out in ours.get_outputs()]
    expected = [(out.name, out.type, out.shape) for out in theirs.get_outputs()]
    assert len(outputs) >= 2
    assert outputs == expected
    assert len(ours.run(None, {"X": X})[0]) == len(X)


def test_labels_can_be_left_out(few):
    X = few[0]
    y = LABELS["strings"][few[1] % 3]
    model = SoftmaxRegression(**TRAINED).fit(X, y)
    codes, _ = run(model, X, {"nocl": True, "zipmap": False})
    np.testing.assert_array_equal(model.classes_[codes], model.predict(X))


def test_several_labels_per_sample_match_mlpclassifier(few):
    X = few[0]
    Y = (few[1][:, None] % [2, 3, 5] == 0).astype(int)
    settings = {"max_iter": 30, "learning_rate_init": 0.01, "tol": 0, "random_state": 0}
    settings |= {"shuffle": False, "n_iter_no_change": 30}

    ours = MLPClassifierTorch(**settings | {"tol": None}).fit(X, Y)
    labels, proba = run(ours, X)
    np.testing.assert_allclose(proba, ours.predict_proba(X), atol=1e-5)
    np.testing.assert_array_equal(labels, ours.predict(X))
    assert 0.1 < labels.mean() < 0.9

    # A step creates the attributes, which the fitted weights then replace.
    theirs = MLPClassifier(**settings).partial_fit(X, Y, classes=[0, 1, 2])
    theirs.coefs_ = ours.coefs_
    theirs.intercepts_ = ours.intercepts_
    for found, expected in zip((labels, proba), run(theirs, X), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 10])
def test_mlpclassifiers_converter_agrees_on_equal_weights(n_classes, few):
    X = few[0]
    y = few[1] % n_classes
    ours = MLPClassifierTorch(12, max_iter=40, tol=None, random_state=0).fit(X, y)
    theirs = MLPClassifier(12).partial_fit(X, y, classes=np.arange(n_classes))
    theirs.coefs_ = ours.coefs_
    theirs.intercepts_ = ours.intercepts_
    for found, expected in zip(run(ours, X), run(theirs, X), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("target_opset", [12, 15, 18])
@pytest.mark.parametrize(
    "model",
    [*MODELS, TemplateMatchingClassifier("mae"), TemplateMatchingClassifier("cosine")],
    ids=str,
)
def test_older_opsets(model, target_opset, few):
    assert_agrees(model.fit(*few), few[0], target_opset=target_opset)


@each
def test_models_fitted_to_tensors(model, few):
    with config_context(array_api_dispatch=True):
        model.fit(*map(torch.from_numpy, few))
        expected = model.predict_proba(torch.from_numpy(few[0]))
    assert isinstance(expected, torch.Tensor)
    labels, proba = run(model, few[0])
    np.testing.assert_allclose(proba, expected.numpy(), atol=1e-5)
    assert (labels == few[1]).mean() > 0.7


def test_without_skl2onnx_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    monkeypatch.delitem(sys.modules, "skdigits.onnx")
    with pytest.raises(ImportError, match=r"pip install skl2onnx onnxruntime$"):
        importlib.import_module("skdigits.onnx")
