"""Graphs of skdigits' classifiers."""

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, UInt8TensorType

from skdigits._arrays import to_numpy, to_tensor
from skdigits._convnet import ConvNetClassifier
from skdigits._input_checks import warn_user
from skdigits._mlp import MLPClassifierTorch
from skdigits._softmax_regression import SoftmaxRegression
from skdigits._template_matching import TemplateMatchingClassifier
from skdigits.engine.activations import ACTIVATIONS
from skdigits.engine.convolutions import Convolution
from skdigits.engine.standardised import standardised
from skdigits.onnx._graph import Graph
from skdigits.onnx._outputs import (
    OPTIONS,
    add_labels,
    add_scores,
    set_shapes,
    wants_decision,
)

if TYPE_CHECKING:
    from skl2onnx.common._container import ModelComponentContainer
    from skl2onnx.common._topology import Operator, Scope

_Layer: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Weights, outputs first, and biases."""
_Network: TypeAlias = SoftmaxRegression | MLPClassifierTorch | ConvNetClassifier


def _squared(graph: Graph, X: str, templates: np.ndarray) -> str:
    # Subtracting the mean avoids cancellation, as in skdigits.engine.templates.
    centre = templates.mean(0)
    X = graph.Sub(X, centre)
    templates = templates - centre
    squares = (templates**2).sum(1)
    products = graph.Gemm(X, -2 * templates, squares, transB=1)
    sums = graph.Add(products, graph.reduce("ReduceSumSquare", X, 1))
    return graph.Div(graph.Max(sums, 0.0), float(templates.shape[1]))


def _absolute(graph: Graph, X: str, templates: np.ndarray) -> str:
    # All templates at once would take memory for a copy of X per template.
    columns = []
    for template in templates:
        differences = graph.Abs(graph.Sub(X, template))
        columns.append(graph.reduce("ReduceMean", differences, 1))
    return graph.Concat(*columns, axis=1)


def _cosine(graph: Graph, X: str, templates: np.ndarray) -> str:
    # Dividing by the largest entry first keeps squares in the range of the dtype. Norms
    # are then 1 or more, except those of zero vectors.
    tiny = float(np.finfo(graph.dtype).tiny)
    largest = np.abs(templates).max(1, keepdims=True).clip(tiny)
    templates = templates / largest
    templates = templates / np.linalg.norm(templates, axis=1, keepdims=True).clip(1)

    X = graph.Div(X, graph.Max(graph.reduce("ReduceMax", graph.Abs(X), 1), tiny))
    norms = graph.Sqrt(graph.reduce("ReduceSumSquare", X, 1))
    cosines = graph.Gemm(graph.Div(X, graph.Max(norms, 1.0)), templates, transB=1)
    return graph.Sub(1.0, cosines)


METRICS = {"mse": _squared, "mae": _absolute, "cosine": _cosine}


def _by_templates(graph: Graph, X: str, model: TemplateMatchingClassifier) -> str:
    """Add logits (N, C): −distance / temperature, -inf if a class has no templates."""
    templates = to_numpy(model.templates_).astype(graph.dtype)
    counts = to_numpy(model.class_count_)
    n_classes = len(counts)
    distances = METRICS[model._metric](graph, X, templates)

    shape = np.array([-1, n_classes, len(templates) // n_classes])
    by_class = graph.Reshape(distances, shape)
    nearest = graph.reduce("ReduceMin", by_class, 2, keepdims=False)
    logits = graph.Div(nearest, -float(model.temperature_))
    return graph.Add(logits, np.where(counts > 0, 0.0, -np.inf))


def _by_network(graph: Graph, X: str, model: _Network) -> str:
    """Add logits: (N, C) of classes or, after a multilabel fit, (N, L) of labels."""
    weights = [to_numpy(weight) for weight, _ in model._layers]
    weights = [weight.T if weight.ndim == 2 else weight for weight in weights]
    biases = [to_numpy(bias) for _, bias in model._layers]
    hidden = list(zip(weights[:-1], biases[:-1], strict=True))

    if isinstance(model, ConvNetClassifier):
        X = _convolved(graph, X, model, hidden)
    elif isinstance(model, MLPClassifierTorch):
        X = _hidden(graph, X, model, hidden)
    X = graph.Gemm(X, weights[-1], biases[-1], transB=1)

    # A single output is the logit of the second class; the first class has logit 0.
    if len(biases[-1]) == 1:
        return graph.Concat(graph.Mul(X, 0.0), X, axis=1)
    if model._fitted.loss == "sigmoid_mse":
        return _log_sigmoid(graph, X)
    return X


def _hidden(
    graph: Graph, X: str, model: MLPClassifierTorch, layers: list[_Layer]
) -> str:
    """Add the hidden layers of a perceptron."""
    activate = getattr(graph, ACTIVATIONS[model._fitted.activation].onnx)
    for weight, bias in layers:
        X = activate(graph.Gemm(X, weight, bias, transB=1))
    return X


def _convolved(
    graph: Graph, X: str, model: ConvNetClassifier, layers: list[_Layer]
) -> str:
    """Add convolutions; samples (N, D) are images, and the result is (N, features)."""
    network = model._fitted
    activate = getattr(graph, ACTIVATIONS[network.activation].onnx)

    # Samples list the channels of a pixel side by side; ONNX has one plane per channel.
    X = graph.Reshape(X, np.array([-1, *network.image_shape]))
    X = graph.Transpose(X, perm=[0, 3, 1, 2])
    sides = np.array(network.image_shape[:2])

    for layer, (weight, bias) in zip(network.convolutions, layers, strict=True):
        kernel = _kernel(weight.astype(graph.dtype), layer, network.activation)
        sides = sides + 2 * np.array(layer.padding) - layer.shape[-1] + 1
        if graph.dtype == np.float64:
            X = _shifted(graph, X, kernel, bias, layer.padding, sides)
        else:
            X = graph.Conv(X, kernel, bias, pads=layer.padding * 2)
        if layer.pool != (1, 1):
            X = graph.MaxPool(X, kernel_shape=layer.pool, strides=layer.pool)
            sides = sides // layer.pool
        X = activate(X)

    return graph.Flatten(graph.Transpose(X, perm=[0, 2, 3, 1]), axis=1)


def _kernel(weight: np.ndarray, layer: Convolution, activation: str) -> np.ndarray:
    """Return the standardised weights (O, I, k, k) of a convolution."""
    flat = to_tensor(weight, torch.device("cpu")).flatten(1)
    return standardised(flat, ACTIVATIONS[activation].gain).numpy().reshape(layer.shape)


def _shifted(
    graph: Graph,
    X: str,
    kernel: np.ndarray,
    bias: np.ndarray,
    padding: tuple[int, int],
    sides: np.ndarray,
) -> str:
    """Add a convolution as a sum over the rows of its kernel (O, I, k, k)."""
    # onnxruntime's Conv does not support float64.
    X = graph.Pad(X, np.array([0, 0, *padding] * 2))
    total: np.ndarray | str = bias[:, None]
    for row in range(kernel.shape[2]):
        corners = np.array([(row, column) for column in range(kernel.shape[3])])
        parts = [graph.Slice(X, at, at + sides, np.array([2, 3])) for at in corners]
        pixels = graph.Reshape(graph.Concat(*parts, axis=1), np.array([0, 0, -1]))
        weight = kernel[:, :, row].swapaxes(1, 2).reshape(len(kernel), -1)
        total = graph.Add(total, graph.MatMul(weight, pixels))

    return graph.Reshape(total, np.array([0, 0, *sides]))


def _log_sigmoid(graph: Graph, z: str) -> str:
    """Add ``min(z, 0) − log(1 + exp(−|z|))``."""
    # Written out, because onnxruntime's Softplus does not support float64.
    small = graph.Exp(graph.Neg(graph.Abs(z)))
    return graph.Sub(graph.Min(z, 0.0), graph.Log(graph.Add(small, 1.0)))


def _samples(
    scope: "Scope", operator: "Operator", container: "ModelComponentContainer"
) -> tuple[Graph, str]:
    """Return a graph with the dtype to compute in, and the name of its samples."""
    given = operator.inputs[0].type
    name = operator.inputs[0].full_name
    model = operator.raw_operator
    dtype = to_numpy(model._fitted_array).dtype
    if _holds_pixels(model, given):
        graph = Graph(scope, container, dtype)
        return graph, graph.Div(graph.cast(name), 255.0)
    if model.pixels_:
        warn_user(
            f"{type(model).__name__} was fitted to pixels, read as X / 255, and a "
            "graph with float inputs takes them as they are: pass uint8 to to_onnx, "
            "such as X[:1].astype(np.uint8), or divide pixels by 255 before the graph.",
            UserWarning,
        )

    # Classifiers, too, convert all dtypes but float32 and uint8 to float64.
    if getattr(model, "_precision", "auto") == "auto" and not isinstance(
        given, FloatTensorType
    ):
        dtype = np.dtype(np.float64)
    graph = Graph(scope, container, dtype)
    return graph, graph.cast(name)


def _holds_pixels(model: _Network | TemplateMatchingClassifier, kind: object) -> bool:
    """Return whether a model reads tensors of such a type as ``X / 255``."""
    if isinstance(kind, UInt8TensorType):
        return model.pixels_ or model._learnt[2]
    return model.pixels_ and "Int" in type(kind).__name__


def _convert(
    scope: "Scope", operator: "Operator", container: "ModelComponentContainer"
) -> None:
    """Add the graph of a fitted classifier to a container."""
    model = operator.raw_operator
    raw = wants_decision(model, scope, container)
    graph, X = _samples(scope, operator, container)
    if isinstance(model, TemplateMatchingClassifier):
        logits = _by_templates(graph, X, model)
    else:
        logits = _by_network(graph, X, model)

    if model._multilabel:
        add_scores(graph, operator, logits if raw else graph.Sigmoid(logits))
        labels = graph.Greater(logits, 0.0)
        label = operator.outputs[0].full_name
        container.add_node("Cast", labels, label, to=TensorProto.INT64)
        return

    decision = _decision(graph, logits, len(model.classes_)) if raw else None
    add_scores(graph, operator, decision or graph.Softmax(logits, axis=1))
    add_labels(graph, operator, logits)


def _decision(graph: Graph, logits: str, n_classes: int) -> str:
    """Add the decision function (N, C): of two classes it is ``−d, d``."""
    if n_classes != 2:
        return logits
    # skl2onnx gives its linear classifiers these two columns, and reads them so.
    return graph.MatMul(logits, np.array([[1.0, -1.0], [-1.0, 1.0]]))


def register_classifiers() -> None:
    """Teach skl2onnx the classifiers of skdigits."""
    for Model in (
        TemplateMatchingClassifier,
        SoftmaxRegression,
        MLPClassifierTorch,
        ConvNetClassifier,
    ):
        alias = f"Skdigits{Model.__name__}"
        update_registered_converter(Model, alias, set_shapes, _convert, options=OPTIONS)
