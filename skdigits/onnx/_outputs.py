"""The two outputs of a converted classifier: labels and scores."""

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from skl2onnx.common.utils import check_input_and_output_numbers
from skl2onnx.common.utils_classifier import get_label_classes

from skdigits.onnx._graph import Graph

if TYPE_CHECKING:
    from skl2onnx.common._container import ModelComponentContainer
    from skl2onnx.common._topology import Operator, Scope

# With raw_scores, the second output is the decision function.
OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
    "raw_scores": [True, False],
}
INT64 = np.iinfo(np.int64)


def _labels(operator: "Operator") -> np.ndarray:
    """Return the labels (C,): int64 for numbers and booleans, else strings."""
    classes = np.asarray(get_label_classes(operator.scope_inst, operator.raw_operator))
    if classes.dtype.kind not in "biuf":
        return classes.astype(object)

    for label in (int(classes.min()), int(classes.max())):
        if not INT64.min <= label <= INT64.max:
            raise ValueError(
                "Labels in ONNX are int64, from -2**63 to 2**63 - 1, and cannot be "
                f"{label}. Fit to other labels, or convert with "
                "options={'nocl': True}: labels are then positions in classes_."
            )
    return classes.astype(np.int64)


def is_multilabel(model: object) -> bool:
    """Return whether the labels of a fitted classifier are an indicator matrix."""
    # OneVsRestClassifier has the second name.
    return any(getattr(model, name, False) for name in ("_multilabel", "multilabel_"))


def wants_decision(
    model: object, scope: "Scope", container: "ModelComponentContainer"
) -> bool:
    """Return whether the second output is the decision function."""
    # Parsers leave options in the scope, some converters in the container alone.
    options = [where.get_options(model, {}) for where in (scope, container)]
    return any(one.get("raw_scores", False) for one in options)


def set_shapes(operator: "Operator") -> None:
    """Set the types and shapes of labels and scores."""
    check_input_and_output_numbers(operator, input_count_range=1, output_count_range=2)
    label, scores = operator.outputs
    n_samples = operator.inputs[0].get_first_dimension()
    labels = _labels(operator)

    shape = [n_samples, len(labels)]
    kind = StringTensorType if labels.dtype == object else Int64TensorType
    label.set_type(kind(shape if is_multilabel(operator.raw_operator) else [n_samples]))
    # Some meta-estimators declare the type of the samples, which can be integers.
    wide = isinstance(scores.type, DoubleTensorType)
    scores.set_type((DoubleTensorType if wide else FloatTensorType)(shape))


def add_scores(graph: Graph, operator: "Operator", scores: str) -> None:
    """Add probabilities, or whatever else the second output is, in its dtype."""
    output = operator.outputs[1]
    wide = isinstance(output.type, DoubleTensorType)
    kind = TensorProto.DOUBLE if wide else TensorProto.FLOAT
    graph.container.add_node("Cast", scores, output.full_name, to=kind)


def add_labels(graph: Graph, operator: "Operator", scores: str) -> None:
    """Add the label of the largest score (N, C) of each sample."""
    add_positions(graph, operator, graph.ArgMax(scores, axis=1, keepdims=0))


def add_positions(graph: Graph, operator: "Operator", positions: str) -> None:
    """Add the labels at positions (N,) in the classes."""
    labels = graph.Gather(_labels(operator), positions)
    graph.container.add_node("Identity", labels, operator.outputs[0].full_name)
