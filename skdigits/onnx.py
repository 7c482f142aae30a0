"""Conversion to ONNX: importing this module teaches skl2onnx skdigits' classifiers.

Converted classifiers have the outputs and options of scikit-learn's: labels, and
probabilities as a list of dictionaries, or as an array with ``zipmap=False``. The
options ``zipmap="columns"``, ``nocl`` and ``output_class_labels`` also work. After a
multilabel fit, the labels are an indicator matrix.

A graph computes in the dtype of the classifier: the wider dtype of the samples and of
the model. A tensor of uint8 holds pixels. Pixels, and models fitted to pixels, count as
float32. A `ConvNetClassifier` fitted with ``precision="float32"`` or ``"bfloat16"``
computes in float32 for samples of any dtype. Because onnxruntime convolves in float32
only, convolutions in float64 are written as products and sums, which take several times
as long.

Examples
--------
>>> import numpy as np
>>> import onnxruntime
>>> import skdigits.onnx
>>> from skl2onnx import to_onnx
>>> from sklearn.datasets import load_digits
>>> from skdigits import SoftmaxRegression
>>> X, y = load_digits(return_X_y=True)
>>> X = (X / 16).astype(np.float32)
>>> model = SoftmaxRegression(max_iter=30, tol=None, random_state=0).fit(X, y)
>>> graph = to_onnx(model, X[:1], options={"zipmap": False})
>>> session = onnxruntime.InferenceSession(graph.SerializeToString())
>>> labels, proba = session.run(None, {"X": X})
>>> bool((labels == model.predict(X)).all()), proba.shape
(True, (1797, 10))
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike

from skdigits._arrays import to_numpy, to_tensor
from skdigits._convnet import ConvNetClassifier
from skdigits._mlp import MLPClassifierTorch
from skdigits._softmax_regression import SoftmaxRegression
from skdigits._template_matching import TemplateMatchingClassifier
from skdigits.engine.activations import ACTIVATIONS
from skdigits.engine.convnet import Convolution, standardised

try:
    from onnx import TensorProto
    from onnx.helper import np_dtype_to_tensor_dtype
    from skl2onnx import update_registered_converter
    from skl2onnx.common.data_types import (
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
        UInt8TensorType,
        guess_proto_type,
    )
    from skl2onnx.common.utils import check_input_and_output_numbers
    from skl2onnx.common.utils_classifier import get_label_classes
except ImportError as error:
    raise ImportError(
        f"skdigits.onnx needs skl2onnx ({error}): pip install skl2onnx onnxruntime"
    ) from error

if TYPE_CHECKING:
    from skl2onnx.common._container import ModelComponentContainer
    from skl2onnx.common._topology import Operator, Scope

# From this opset on, the axes of a reduction are an input instead of an attribute.
AXES_ARE_INPUTS = 18
OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
}

_Layer: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Weights, outputs first, and biases."""
_Network: TypeAlias = SoftmaxRegression | MLPClassifierTorch | ConvNetClassifier


class _Graph:
    """Writer of operators: ``graph.Add(x, 1.0)`` adds a sum and returns its name.

    Floating-point constants are stored in ``dtype``.
    """

    def __init__(
        self, scope: "Scope", container: "ModelComponentContainer", dtype: np.dtype
    ):
        self.scope = scope
        self.container = container
        self.dtype = dtype

    def __getattr__(self, operator: str) -> Callable[..., str]:
        return partial(self._node, operator)

    def _node(self, operator: str, *inputs: ArrayLike, **attributes: object) -> str:
        output: str = self.scope.get_unique_variable_name(operator.lower())
        attributes["name"] = self.scope.get_unique_operator_name(operator)
        names = [
            value if isinstance(value, str) else self._constant(value)
            for value in inputs
        ]
        self.container.add_node(operator, names, output, **attributes)
        return output

    def _constant(self, constant: ArrayLike) -> str:
        values = np.asarray(constant)
        if values.dtype.kind == "f":
            values = values.astype(self.dtype)
        name: str = self.scope.get_unique_variable_name("constant")
        kind = np_dtype_to_tensor_dtype(values.dtype)
        self.container.add_initializer(name, kind, values.shape, values.ravel())
        return name

    def reduce(self, operator: str, x: str, axis: int, keepdims: bool = True) -> str:
        """Add a reduction along one axis, in any opset."""
        if self.container.target_opset_any_domain("") < AXES_ARE_INPUTS:
            return self._node(operator, x, axes=[axis], keepdims=int(keepdims))
        return self._node(operator, x, np.array([axis]), keepdims=int(keepdims))

    def cast(self, x: str) -> str:
        """Add a cast to the dtype of the graph."""
        return self._node("Cast", x, to=np_dtype_to_tensor_dtype(self.dtype))


def _squared(graph: _Graph, X: str, templates: np.ndarray) -> str:
    # Subtracting the mean avoids cancellation, as in skdigits.engine.templates.
    centre = templates.mean(0)
    X = graph.Sub(X, centre)
    templates = templates - centre
    squares = (templates**2).sum(1)
    products = graph.Gemm(X, -2 * templates, squares, transB=1)
    sums = graph.Add(products, graph.reduce("ReduceSumSquare", X, 1))
    return graph.Div(graph.Max(sums, 0.0), float(templates.shape[1]))


def _absolute(graph: _Graph, X: str, templates: np.ndarray) -> str:
    # All templates at once would take memory for a copy of X per template.
    columns = []
    for template in templates:
        differences = graph.Abs(graph.Sub(X, template))
        columns.append(graph.reduce("ReduceMean", differences, 1))
    return graph.Concat(*columns, axis=1)


def _cosine(graph: _Graph, X: str, templates: np.ndarray) -> str:
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


def _by_templates(graph: _Graph, X: str, model: TemplateMatchingClassifier) -> str:
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


def _by_network(graph: _Graph, X: str, model: _Network) -> str:
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
    graph: _Graph, X: str, model: MLPClassifierTorch, layers: list[_Layer]
) -> str:
    """Add the hidden layers of a perceptron."""
    activate = getattr(graph, ACTIVATIONS[model._fitted.activation].onnx)
    for weight, bias in layers:
        X = activate(graph.Gemm(X, weight, bias, transB=1))
    return X


def _convolved(
    graph: _Graph, X: str, model: ConvNetClassifier, layers: list[_Layer]
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
    graph: _Graph,
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


def _log_sigmoid(graph: _Graph, z: str) -> str:
    """Add ``min(z, 0) − log(1 + exp(−|z|))``."""
    # Written out, because onnxruntime's Softplus does not support float64.
    small = graph.Exp(graph.Neg(graph.Abs(z)))
    return graph.Sub(graph.Min(z, 0.0), graph.Log(graph.Add(small, 1.0)))


def _labels(operator: "Operator") -> np.ndarray:
    """Return the labels (C,): int64 for numbers and booleans, else strings."""
    classes = np.asarray(get_label_classes(operator.scope_inst, operator.raw_operator))
    return classes.astype(np.int64 if classes.dtype.kind in "biuf" else object)


def _set_shapes(operator: "Operator") -> None:
    """Set the types and shapes of the two outputs."""
    check_input_and_output_numbers(operator, input_count_range=1, output_count_range=2)
    n_samples = operator.inputs[0].get_first_dimension()
    labels = _labels(operator)

    shape = [n_samples, len(labels)]
    kind = StringTensorType if labels.dtype == object else Int64TensorType
    multilabel = operator.raw_operator._multilabel
    operator.outputs[0].set_type(kind(shape if multilabel else [n_samples]))
    operator.outputs[1].type.shape = shape


def _samples(
    scope: "Scope", operator: "Operator", container: "ModelComponentContainer"
) -> tuple[_Graph, str]:
    """Return a graph with the dtype to compute in, and the name of its samples."""
    given = operator.inputs[0].type
    name = operator.inputs[0].full_name
    model = operator.raw_operator
    dtype = to_numpy(model._fitted_array).dtype
    if isinstance(given, UInt8TensorType):
        graph = _Graph(scope, container, dtype)
        return graph, graph.Div(graph.cast(name), 255.0)

    # Classifiers, too, convert all dtypes but float32 and uint8 to float64.
    if getattr(model, "_precision", "auto") == "auto" and not isinstance(
        given, FloatTensorType
    ):
        dtype = np.dtype(np.float64)
    graph = _Graph(scope, container, dtype)
    return graph, graph.cast(name)


def _convert(
    scope: "Scope", operator: "Operator", container: "ModelComponentContainer"
) -> None:
    """Add the graph of a fitted classifier to a container."""
    model = operator.raw_operator
    label, proba = operator.outputs
    graph, X = _samples(scope, operator, container)
    if isinstance(model, TemplateMatchingClassifier):
        logits = _by_templates(graph, X, model)
    else:
        logits = _by_network(graph, X, model)

    if model._multilabel:
        indicators = graph.Greater(logits, 0.0)
        computed = graph.Sigmoid(logits)
        container.add_node("Cast", indicators, label.full_name, to=TensorProto.INT64)
    else:
        winners = graph.ArgMax(logits, axis=1, keepdims=0)
        computed = graph.Softmax(logits, axis=1)
        labels = graph.Gather(_labels(operator), winners)
        container.add_node("Identity", labels, label.full_name)

    kind = guess_proto_type(proba.type)
    container.add_node("Cast", computed, proba.full_name, to=kind)


for _Model in (
    TemplateMatchingClassifier,
    SoftmaxRegression,
    MLPClassifierTorch,
    ConvNetClassifier,
):
    update_registered_converter(
        _Model, f"Skdigits{_Model.__name__}", _set_shapes, _convert, options=OPTIONS
    )
