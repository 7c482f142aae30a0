"""Conversion to ONNX: importing this module teaches skl2onnx our classifiers.

Their outputs and options are those of scikit-learn's classifiers: labels, and probabilities
as a list of dictionaries, or as an array with ``zipmap=False``; ``"columns"``, ``nocl`` and
``output_class_labels`` also work. Several labels a row come out as an indicator matrix.

A graph computes as the classifier does: in the wider of the dtypes of its rows and of the
model, where a tensor of uint8 holds pixels. One that was fitted to float32 or to pixels
makes a graph in float32; so does, for rows of any dtype, a `ConvNetClassifier` that was
fitted with ``precision="float32"`` or ``"bfloat16"``. As onnxruntime convolves in float32
only, convolutions in float64 are written as products and sums, which take several times as
long.

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
from typing import Any, TypeAlias

import numpy as np
import torch

from skdigits._arrays import to_numpy, to_tensor
from skdigits._convnet import ConvNetClassifier
from skdigits._mlp import MLPClassifierTorch
from skdigits._softmax_regression import SoftmaxRegression
from skdigits._template_matching import TemplateMatchingClassifier
from skdigits.engine.convolutions import GAINS, Convolution, standardised

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
        f'skdigits.onnx needs skl2onnx ({error}): pip install "skdigits[onnx]"'
    ) from error

AXES_ARE_INPUTS = 18  # from this opset on, those of reductions
ACTIVATIONS = {
    "identity": "Identity",
    "logistic": "Sigmoid",
    "tanh": "Tanh",
    "relu": "Relu",
}
_Layer: TypeAlias = tuple[np.ndarray, np.ndarray]  # weights, outputs first, and biases
OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
}


class _Graph:
    """Takes operators by their names: ``graph.Add(x, 1.0)`` is the name of the sum.

    Floating constants are in ``dtype``.
    """

    def __init__(self, scope: Any, container: Any, dtype: np.dtype):
        self.scope, self.container, self.dtype = scope, container, dtype

    def __getattr__(self, operator: str) -> Callable[..., str]:
        return partial(self._node, operator)

    def _node(self, operator: str, *inputs: Any, **attributes: Any) -> str:
        output: str = self.scope.get_unique_variable_name(operator.lower())
        attributes["name"] = self.scope.get_unique_operator_name(operator)
        names = [
            value if isinstance(value, str) else self._named(value) for value in inputs
        ]
        self.container.add_node(operator, names, output, **attributes)
        return output

    def _named(self, constant: Any) -> str:
        values = np.asarray(constant)
        values = values.astype(self.dtype) if values.dtype.kind == "f" else values
        name: str = self.scope.get_unique_variable_name("constant")
        kind = np_dtype_to_tensor_dtype(values.dtype)
        self.container.add_initializer(name, kind, values.shape, values.ravel())
        return name

    def reduce(self, operator: str, x: str, axis: int, keepdims: bool = True) -> str:
        """A reduction along one axis, in any opset."""
        if self.container.target_opset_any_domain("") < AXES_ARE_INPUTS:
            return self._node(operator, x, axes=[axis], keepdims=int(keepdims))
        return self._node(operator, x, np.array([axis]), keepdims=int(keepdims))

    def cast(self, x: str) -> str:
        """Numbers in the dtype that the graph computes in."""
        return self._node("Cast", x, to=np_dtype_to_tensor_dtype(self.dtype))


def _squared(graph: _Graph, X: str, templates: np.ndarray) -> str:
    # About the templates' mean, as in the engine, where the reason stands.
    centre = templates.mean(0)
    X, templates = graph.Sub(X, centre), templates - centre
    squares = (templates**2).sum(1)
    products = graph.Gemm(X, -2 * templates, squares, transB=1)
    sums = graph.Add(products, graph.reduce("ReduceSumSquare", X, 1))
    return graph.Div(graph.Max(sums, 0.0), float(templates.shape[1]))


def _absolute(graph: _Graph, X: str, templates: np.ndarray) -> str:
    # One by one: all at once, there would be as many copies of X as there are templates.
    columns = [
        graph.reduce("ReduceMean", graph.Abs(graph.Sub(X, template)), 1)
        for template in templates
    ]
    return graph.Concat(*columns, axis=1)


def _cosine(graph: _Graph, X: str, templates: np.ndarray) -> str:
    # Divided by the largest entry first, a row has a norm of 1 at least, or is zero.
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
    """Scores (N, C): −distance / temperature, -inf for a class without templates."""
    templates = to_numpy(model.templates_).astype(graph.dtype)
    counts = to_numpy(model.class_count_)
    distances = METRICS[model.metric](graph, X, templates)
    each = graph.Reshape(
        distances, np.array([-1, len(counts), len(templates) // len(counts)])
    )
    nearest = graph.reduce("ReduceMin", each, 2, keepdims=False)
    logits = graph.Div(nearest, -float(model.temperature_))
    return graph.Add(logits, np.where(counts > 0, 0.0, -np.inf))


def _by_network(graph: _Graph, X: str, model: Any) -> str:
    """Scores (N, C) whose softmax are the probabilities; of labels, their logits (N, L)."""
    layers = [
        (to_numpy(weight), to_numpy(bias))
        for weight, bias in zip(model._weights(), model._biases(), strict=True)
    ]
    convolves = isinstance(model, ConvNetClassifier)
    X = (_convolved if convolves else _hidden)(graph, X, model, layers[:-1])
    weight, bias = layers[-1]
    X = graph.Gemm(X, weight, bias, transB=1)
    if len(bias) == 1:  # of two classes: the second's, against 0
        return graph.Concat(graph.Mul(X, 0.0), X, axis=1)
    if model.loss == "sigmoid_mse":
        return _log_sigmoid(graph, X)
    return X


def _hidden(graph: _Graph, X: str, model: Any, layers: list[_Layer]) -> str:
    """What hidden layers make of rows."""
    for weight, bias in layers:
        X = graph.Gemm(X, weight, bias, transB=1)
        X = getattr(graph, ACTIVATIONS[model.activation])(X)
    return X


def _convolved(graph: _Graph, X: str, model: Any, layers: list[_Layer]) -> str:
    """What convolutions make of images that are rows, again as rows."""
    network = model._fitted_network()
    sides = np.array(network.image_shape[:2])
    X = graph.Reshape(X, np.array([-1, *network.image_shape]))
    X = graph.Transpose(X, perm=[0, 3, 1, 2])
    for layer, (weight, bias) in zip(network.convolutions, layers, strict=True):
        flat = to_tensor(weight.astype(graph.dtype), torch.device("cpu")).flatten(1)
        kernel = (
            standardised(flat, GAINS[model.activation]).numpy().reshape(layer.shape)
        )
        sides = sides + 2 * np.array(layer.padding) - layer.shape[-1] + 1
        wide = graph.dtype == np.float64
        X = (_shifted if wide else _conv)(graph, X, kernel, bias, layer, sides)
        if layer.pool != (1, 1):
            X = graph.MaxPool(X, kernel_shape=layer.pool, strides=layer.pool)
            sides = sides // layer.pool
        X = getattr(graph, ACTIVATIONS[model.activation])(X)
    return graph.Flatten(graph.Transpose(X, perm=[0, 2, 3, 1]), axis=1)


def _conv(
    graph: _Graph,
    X: str,
    kernel: np.ndarray,
    bias: np.ndarray,
    layer: Convolution,
    sides: np.ndarray,
) -> str:
    """A convolution of images (N, I, h, w) with a kernel (O, I, k, k)."""
    return graph.Conv(X, kernel, bias, pads=layer.padding * 2)


def _shifted(
    graph: _Graph,
    X: str,
    kernel: np.ndarray,
    bias: np.ndarray,
    layer: Convolution,
    sides: np.ndarray,
) -> str:
    """The same as a sum over the kernel's rows; onnxruntime's Conv knows no float64."""
    X = graph.Pad(X, np.array([0, 0, *layer.padding] * 2))
    total: Any = bias[:, None]
    for row in range(kernel.shape[2]):
        corners = np.array([(row, column) for column in range(kernel.shape[3])])
        parts = [graph.Slice(X, at, at + sides, np.array([2, 3])) for at in corners]
        pixels = graph.Reshape(graph.Concat(*parts, axis=1), np.array([0, 0, -1]))
        weight = kernel[:, :, row].swapaxes(1, 2).reshape(len(kernel), -1)
        total = graph.Add(total, graph.MatMul(weight, pixels))
    return graph.Reshape(total, np.array([0, 0, *sides]))


def _log_sigmoid(graph: _Graph, z: str) -> str:
    """``min(z, 0) − log(1 + exp(−|z|))``; onnxruntime's Softplus knows no float64."""
    small = graph.Exp(graph.Neg(graph.Abs(z)))
    return graph.Sub(graph.Min(z, 0.0), graph.Log(graph.Add(small, 1.0)))


def _labels(operator: Any) -> np.ndarray:
    """The labels (C,) as ONNX has them: strings, or int64 for any numbers and booleans."""
    classes = np.asarray(get_label_classes(operator.scope_inst, operator.raw_operator))
    return classes.astype(np.int64 if classes.dtype.kind in "biuf" else object)


def _set_shapes(operator: Any) -> None:
    """Tell skl2onnx the types and shapes of the two outputs."""
    check_input_and_output_numbers(operator, input_count_range=1, output_count_range=2)
    n_rows, labels = operator.inputs[0].get_first_dimension(), _labels(operator)
    kind = StringTensorType if labels.dtype == object else Int64TensorType
    matrix = [n_rows, len(labels)]
    operator.outputs[0].set_type(
        kind(matrix if operator.raw_operator._multilabel else [n_rows])
    )
    operator.outputs[1].type.shape = matrix


def _rows(scope: Any, operator: Any, container: Any) -> tuple[_Graph, str]:
    """A graph in the dtype to compute in, and in it the rows."""
    given, name = operator.inputs[0].type, operator.inputs[0].full_name
    model = operator.raw_operator
    dtype = to_numpy(model._fitted_array).dtype
    if isinstance(given, UInt8TensorType):
        graph = _Graph(scope, container, dtype)
        return graph, graph.Div(graph.cast(name), 255.0)
    wide = model.precision == "auto" and not isinstance(given, FloatTensorType)
    graph = _Graph(scope, container, np.dtype(np.float64) if wide else dtype)
    return graph, graph.cast(name)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Write the graph of a fitted classifier."""
    model, (label, proba) = operator.raw_operator, operator.outputs
    graph, X = _rows(scope, operator, container)
    of_templates = isinstance(model, TemplateMatchingClassifier)
    scores = (_by_templates if of_templates else _by_network)(graph, X, model)
    if model._multilabel:
        found, likely = graph.Greater(scores, 0.0), graph.Sigmoid(scores)
        container.add_node("Cast", found, label.full_name, to=TensorProto.INT64)
    else:
        winners = graph.ArgMax(scores, axis=1, keepdims=0)
        likely = graph.Softmax(scores, axis=1)
        found = graph.Gather(_labels(operator), winners)
        container.add_node("Identity", found, label.full_name)
    container.add_node("Cast", likely, proba.full_name, to=guess_proto_type(proba.type))


for _Model in (
    TemplateMatchingClassifier,
    SoftmaxRegression,
    MLPClassifierTorch,
    ConvNetClassifier,
):
    update_registered_converter(
        _Model, f"Skdigits{_Model.__name__}", _set_shapes, _convert, options=OPTIONS
    )
