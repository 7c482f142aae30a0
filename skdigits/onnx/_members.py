"""Classifiers inside of others: frozen, searched, in a Pipeline, in an ensemble."""

from copy import copy
from typing import TYPE_CHECKING

import numpy as np
from skl2onnx import (
    get_model_alias,
    update_registered_converter,
    update_registered_parser,
)
from skl2onnx._parse import _parse_sklearn, _parse_sklearn_pipeline
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    UInt8TensorType,
)
from skl2onnx.sklapi import CastTransformer
from sklearn.base import BaseEstimator, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skdigits._base import TorchClassifier
from skdigits._fitted_models import everything_in
from skdigits.model_selection import (
    BatchedGridSearchCV,
    BatchedHalvingGridSearchCV,
    BatchedHalvingRandomSearchCV,
    BatchedRandomizedSearchCV,
)
from skdigits.onnx._graph import Graph
from skdigits.onnx._outputs import set_shapes, wants_decision
from skdigits.preprocessing._base import ImageTransformer

if TYPE_CHECKING:
    from skl2onnx.common._container import ModelComponentContainer
    from skl2onnx.common._topology import Operator, Scope, Variable

# What predicts as the estimator inside of it.
WRAPPERS = (
    FrozenEstimator,
    BatchedGridSearchCV,
    BatchedRandomizedSearchCV,
    BatchedHalvingGridSearchCV,
    BatchedHalvingRandomSearchCV,
)


def unwrapped(model: BaseEstimator) -> BaseEstimator:
    """Return the fitted estimator within frozen estimators and searches."""
    while True:
        if isinstance(model, FrozenEstimator):
            model = model.estimator
        elif hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif isinstance(model, WRAPPERS):
            raise ValueError(
                f"{type(model).__name__} with refit={model.refit!r} has no "
                "best_estimator_ to convert: fit it with refit=True."
            )
        else:
            return model


def concerns_skdigits(model: object) -> bool:
    """Return whether an estimator holds what only skdigits teaches to skl2onnx."""
    ours = (TorchClassifier, ImageTransformer, *WRAPPERS)
    return any(
        # skl2onnx has no temperature.
        isinstance(one, ours) or getattr(one, "method", None) == "temperature"
        for one in everything_in(model)
    )


class Members:
    """The classifiers of an ensemble, in its graph.

    Scores have shape (N, C); the decision function of two classes is ``−d, d``.
    """

    def __init__(
        self,
        scope: "Scope",
        operator: "Operator",
        container: "ModelComponentContainer",
    ):
        self.X = operator.inputs[0]
        # Integers that are no pixels count as float64, in scikit-learn as well.
        narrow = isinstance(self.X.type, FloatTensorType | UInt8TensorType)
        dtype = np.dtype(np.float32 if narrow else np.float64)
        self.graph = Graph(scope, container, dtype)

    def variable(self, name: str, like: "Variable | None" = None) -> "Variable":
        """Declare a tensor, by default of the dtype of the graph."""
        wide = self.graph.dtype == np.float64
        kind = DoubleTensorType if wide else FloatTensorType
        if like is not None:
            kind = type(like.type)
        return self.graph.scope.declare_local_variable(name, kind([None, None]))

    def named(self, name: str, like: "Variable | None" = None) -> "Variable":
        """Declare a variable for what stands in the graph under a name."""
        variable = self.variable("named", like)
        self.graph.container.add_node("Identity", name, variable.full_name)
        return variable

    def columns(self, features: np.ndarray, n_features: int) -> "Variable":
        """Add the samples with a part of their features."""
        if np.array_equal(features, np.arange(n_features)):
            return self.X
        names = self.graph.Gather(self.X.full_name, np.asarray(features), axis=1)
        return self.named(names, like=self.X)

    def proba(self, model: BaseEstimator, X: "Variable | None" = None) -> str:
        """Add the probabilities of a classifier."""
        return self.respond(model, "predict_proba", X)[1]

    def decision(self, model: BaseEstimator, X: "Variable | None" = None) -> str:
        """Add the decision function of a classifier."""
        return self.respond(model, "decision_function", X)[1]

    def labels(self, model: BaseEstimator, X: "Variable | None" = None) -> str:
        """Add the labels that a classifier predicts."""
        return self.respond(model, "predict", X)[0]

    def respond(
        self, model: BaseEstimator, method: str, X: "Variable | None" = None
    ) -> tuple[str, str]:
        """Add a classifier; return its labels and the scores of a method."""
        X = self.X if X is None else X
        model = unwrapped(model)
        if isinstance(model, Pipeline):
            X = self._transformed(model, X)
            return self.respond(model.steps[-1][1], method, X)

        # Options belong to an object, which may stand in a graph twice: a copy has
        # options of its own.
        model = copy(model)
        self._set_options(model, method)
        if isinstance(X.type, UInt8TensorType) and not concerns_skdigits(model):
            X = self.named(self.graph.cast(X.full_name))

        scope = self.graph.scope
        operator = scope.declare_local_operator(get_model_alias(type(model)), model)
        operator.inputs.append(X)
        label = scope.declare_local_variable("label", Int64TensorType())
        scores = self.variable("scores")
        operator.outputs.append(label)
        operator.outputs.append(scores)
        return label.full_name, self.graph.cast(scores.full_name)

    def _set_options(self, model: BaseEstimator, method: str) -> None:
        """Make the second output of a classifier that of a method."""
        if method != "predict" and not hasattr(model, method):
            raise NotImplementedError(
                f"{type(model).__name__} in an ensemble has no {method}, which the "
                "graph of the ensemble needs: convert its members one by one."
            )
        container = self.graph.container
        options = {}
        if container.has_options(model, "zipmap"):
            options["zipmap"] = False
        if container.has_options(model, "raw_scores"):
            options["raw_scores"] = method == "decision_function"
        elif method == "decision_function":
            raise NotImplementedError(
                "skl2onnx does not offer the decision function of "
                f"{type(model).__name__}, which the graph of the ensemble needs: use "
                "another classifier, such as one of skdigits, or convert the members "
                "one by one."
            )

        container.add_options(id(model), options)
        self.graph.scope.add_options(id(model), options)

    def _transformed(self, pipeline: Pipeline, X: "Variable") -> "Variable":
        """Add all steps of a Pipeline but the last."""
        for step in _steps(pipeline)[:-1]:
            (X,) = _parse_step(self.graph.scope, step, [X])
        return X


def _steps(pipeline: Pipeline) -> list[BaseEstimator]:
    """Return the steps that do something."""
    return [
        step
        for _, step in pipeline.steps
        if step is not None and not isinstance(step, str)
    ]


def _parse_step(
    scope: "Scope",
    step: BaseEstimator,
    inputs: "list[Variable]",
    custom_parsers: dict[type, object] | None = None,
) -> "list[Variable]":
    """Parse a step of a Pipeline; scikit-learn's own read uint8 as float64."""
    is_uint8 = [isinstance(variable.type, UInt8TensorType) for variable in inputs]
    if is_uint8 == [True] and not concerns_skdigits(step):
        inputs = _parse_sklearn(scope, CastTransformer(dtype=np.float64), inputs)
    found: list[Variable] = _parse_sklearn(scope, step, inputs, custom_parsers)
    return found


def _parse(
    scope: "Scope",
    model: BaseEstimator,
    inputs: "list[Variable]",
    custom_parsers: dict[type, object] | None = None,
) -> "list[Variable]":
    """Parse the estimator that is wrapped, with the options of the wrapper."""
    inner = unwrapped(model)
    scope.add_options(id(inner), scope.get_options(model))
    found: list[Variable] = _parse_sklearn(scope, inner, inputs, custom_parsers)
    return found


def _parse_pipeline(
    scope: "Scope",
    model: Pipeline,
    inputs: "list[Variable]",
    custom_parsers: dict[type, object] | None = None,
) -> "list[Variable]":
    """Parse a Pipeline, whose last step gets its options."""
    if not concerns_skdigits(model):
        found: list[Variable] = _parse_sklearn_pipeline(
            scope, model, inputs, custom_parsers=custom_parsers
        )
        return found

    options = scope.get_options(model, {"zipmap": True})
    for step in _steps(model):
        if is_classifier(step):
            _hand_on(scope, step, options)
        inputs = _parse_step(scope, step, inputs, custom_parsers)
    return inputs


def _hand_on(scope: "Scope", step: BaseEstimator, options: dict[str, object]) -> None:
    """Give a classifier the options of its Pipeline, unless it has its own."""
    given = scope.options or {}
    if id(step) not in given and type(step) not in given:
        scope.add_options(id(step), options)
    elif "raw_scores" in options and concerns_skdigits(step):
        scope.add_options(id(step), {"raw_scores": options["raw_scores"]})


def _convert(
    scope: "Scope", operator: "Operator", container: "ModelComponentContainer"
) -> None:
    """Add a wrapped classifier, for other libraries' meta-estimators."""
    model = operator.raw_operator
    raw = wants_decision(model, scope, container)
    members = Members(scope, operator, container)
    method = "decision_function" if raw else "predict_proba"
    found = members.respond(model, method)
    for name, output in zip(found, operator.outputs, strict=True):
        container.add_node("Identity", name, output.full_name)


def register_wrappers() -> None:
    """Teach skl2onnx what predicts as the estimator inside of it."""
    for Wrapper in WRAPPERS:
        update_registered_converter(
            Wrapper,
            f"Skdigits{Wrapper.__name__}",
            set_shapes,
            _convert,
            parser=_parse,
            options="passthrough",
        )
    update_registered_parser(Pipeline, _parse_pipeline)
