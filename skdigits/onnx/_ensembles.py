"""Graphs of scikit-learn's meta-estimators with skdigits' classifiers in them.

skl2onnx has converters of its own, which stay in charge of all others. They read scores
that a Pipeline does not hand on, leave thresholds and weights out, and take labels for
their positions or for 32 bits.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from onnx import TensorProto
from skl2onnx import get_model_alias, update_registered_converter
from skl2onnx.common._registration import (
    get_converter,
    get_shape_calculator,
    register_converter,
    register_shape_calculator,
)
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier

from skdigits.onnx._graph import Graph
from skdigits.onnx._members import Members, concerns_skdigits
from skdigits.onnx._outputs import (
    OPTIONS,
    add_labels,
    add_positions,
    add_scores,
    is_multilabel,
    set_shapes,
    wants_decision,
)

if TYPE_CHECKING:
    from skl2onnx.common._container import ModelComponentContainer
    from skl2onnx.common._topology import Operator, Scope

# Exponentials stay defined where an infinite score is bounded to this.
HUGE = 1e30

_Writer: TypeAlias = Callable[[Members, "Operator", bool], None]
"""Adds labels and scores: probabilities or, if the last argument is True, decisions."""


def _calibrated(members: Members, operator: "Operator", raw: bool) -> None:
    model = operator.raw_operator
    graph = members.graph
    found = [_calibrated_one(members, one) for one in model.calibrated_classifiers_]
    mean = graph.Mul(graph.Sum(*found), 1 / len(found))
    add_scores(graph, operator, mean)
    add_labels(graph, operator, mean)


def _calibrated_one(members: Members, model: Any) -> str:
    """Add the probabilities of one classifier and its calibrators."""
    graph = members.graph
    has_decision = hasattr(model.estimator, "decision_function")
    method = "decision_function" if has_decision else "predict_proba"
    _, scores = members.respond(model.estimator, method)

    if model.method == "temperature":
        if not has_decision:
            scores = graph.Log(graph.Add(scores, 1e-12))
        scores = graph.Max(graph.Min(scores, HUGE), -HUGE)
        return graph.Softmax(graph.Mul(scores, model.calibrators[0].beta_), axis=1)

    # The only calibrator of two classes is the second's.
    n_classes = len(model.classes)
    own = np.searchsorted(model.classes, model.estimator.classes_)
    columns = [1] if n_classes == 2 else range(len(own))
    parts = [
        _by_calibrator(graph, _column(graph, scores, column), calibrator)
        for column, calibrator in zip(columns, model.calibrators, strict=True)
    ]
    if n_classes == 2:
        return _complemented(graph, parts[0])
    # A classifier that did not see a class gives it the probability 0.
    proba = graph.MatMul(graph.Concat(*parts, axis=1), np.eye(n_classes)[own])
    return _normalised(graph, proba, n_classes)


def _by_calibrator(graph: Graph, scores: str, calibrator: BaseEstimator) -> str:
    """Add the probability (N, 1) of a class by its scores (N, 1)."""
    if isinstance(calibrator, IsotonicRegression):
        return _interpolated(graph, scores, calibrator)
    line = graph.Add(graph.Mul(scores, calibrator.a_), calibrator.b_)
    return graph.Sigmoid(graph.Neg(line))


def _interpolated(graph: Graph, x: str, isotonic: IsotonicRegression) -> str:
    """Add an isotonic regression: linear between its thresholds, constant outside."""
    x0 = isotonic.X_thresholds_.astype(graph.dtype)
    knots = np.concatenate([x0[:1] - 1, x0, x0[-1:] + 1])
    values = np.pad(isotonic.y_thresholds_, 1, "edge")
    widths = np.diff(knots)
    # Thresholds that are equal in float32 have no x between them.
    slopes = np.diff(values) / np.where(widths > 0, widths, np.inf)

    # The number of thresholds below x is the position of its interval.
    below = graph.MatMul(graph.cast(graph.Greater(x, x0)), np.ones((len(x0), 1)))
    interval = graph.Cast(below, to=TensorProto.INT64)
    beyond = graph.Sub(x, graph.Gather(knots, interval))
    beyond = graph.Max(graph.Min(beyond, graph.Gather(widths, interval)), 0.0)
    rise = graph.Mul(graph.Gather(slopes, interval), beyond)
    return graph.Add(graph.Gather(values, interval), rise)


def _normalised(graph: Graph, proba: str, n_classes: int) -> str:
    """Add probabilities (N, C) divided by their sums; equal ones where all are 0."""
    sums = graph.MatMul(proba, np.ones((n_classes, 1)))
    shares = graph.Div(proba, sums)
    return graph.Where(graph.Equal(sums, 0.0), 1 / n_classes, shares)


def _complemented(graph: Graph, second: str) -> str:
    """Add the probabilities (N, 2) of two classes by that of the second (N, 1)."""
    return graph.Concat(graph.Sub(1.0, second), second, axis=1)


def _of_two(graph: Graph, decision: str) -> str:
    """Add the decision function (N, 2) of two classes, −d and d, by d (N, 1)."""
    return graph.Concat(graph.Neg(decision), decision, axis=1)


def _column(graph: Graph, scores: str, column: int) -> str:
    return graph.Gather(scores, np.array([column]), axis=1)


def _is_label(graph: Graph, labels: str, classes: np.ndarray) -> str:
    """Add 1 where a label (N,) is that of a class, else 0: (N, C)."""
    if classes.dtype.kind in "biuf":
        codes = classes.astype(np.int64)
    else:
        codes = np.arange(len(classes))
        labels = graph.LabelEncoder(
            labels,
            keys_strings=[str(one) for one in classes],
            values_int64s=codes.tolist(),
            op_domain="ai.onnx.ml",
            op_version=2,
        )
    return graph.cast(graph.Equal(graph.Reshape(labels, np.array([-1, 1])), codes))


def _voting(members: Members, operator: "Operator", raw: bool) -> None:
    model = operator.raw_operator
    kept = [one for _, one in model.estimators if one != "drop"]
    weights = np.ones(len(kept))
    if model.weights is not None:
        pairs = zip(model.estimators, model.weights, strict=True)
        weights = np.array([weight for (_, one), weight in pairs if one != "drop"])

    graph = members.graph
    hard = model.voting == "hard"
    if hard:
        # Votes are often equal: their sums have to be scikit-learn's, bit for bit.
        graph = Graph(graph.scope, graph.container, np.dtype(np.float64))
        codes = np.arange(len(model.classes_))
    parts = []
    for one, weight in zip(model.estimators_, weights, strict=True):
        votes = (
            _is_label(graph, members.labels(one), codes) if hard else members.proba(one)
        )
        parts.append(graph.Mul(votes, weight))

    total = graph.Sum(*parts)
    add_labels(graph, operator, total)
    add_scores(graph, operator, graph.Mul(total, 1 / weights.sum()))


def _bagging(members: Members, operator: "Operator", raw: bool) -> None:
    proba = _mean_of_bags(members, operator.raw_operator, "predict_proba")
    add_labels(members.graph, operator, proba)
    if raw:
        proba = _mean_of_bags(members, operator.raw_operator, "decision_function")
    add_scores(members.graph, operator, proba)


def _mean_of_bags(members: Members, model: BaggingClassifier, method: str) -> str:
    graph = members.graph
    n_classes = len(model.classes_)
    parts = []
    for one, features in zip(
        model.estimators_, model.estimators_features_, strict=True
    ):
        X = members.columns(features, model.n_features_in_)
        _, scores = members.respond(one, method, X)
        # A bootstrap sample can lack a class.
        if len(one.classes_) < n_classes:
            scores = graph.MatMul(scores, np.eye(n_classes)[one.classes_])
        parts.append(scores)

    return graph.Mul(graph.Sum(*parts), 1 / len(parts))


def _boosted(members: Members, operator: "Operator", raw: bool) -> None:
    model = operator.raw_operator
    graph = members.graph
    n_classes = len(model.classes_)
    weights = model.estimator_weights_ / model.estimator_weights_.sum()
    parts = []
    for one, weight in zip(model.estimators_, weights, strict=False):
        hits = _is_label(graph, members.labels(one), model.classes_)
        parts.append(graph.Mul(hits, weight))

    # A vote counts 1 for its class and -1 / (C - 1) for each of the others.
    others = 1 / (n_classes - 1)
    decision = graph.Sub(graph.Mul(graph.Sum(*parts), 1 + others), others)
    add_labels(graph, operator, decision)
    if raw:
        # Of two classes, the decision function is the difference of the columns.
        scale = 2.0 if n_classes == 2 else 1.0
        add_scores(graph, operator, graph.Mul(decision, scale))
    else:
        proba = graph.Softmax(graph.Mul(decision, others), axis=1)
        add_scores(graph, operator, proba)


def _stacked(members: Members, operator: "Operator", raw: bool) -> None:
    model = operator.raw_operator
    graph = members.graph
    if isinstance(model.classes_, list):
        raise NotImplementedError(
            "A StackingClassifier of several labels a sample has no graph: convert "
            "its members one by one, or fit one StackingClassifier a label."
        )

    parts = [
        _meta_features(members, one, method, len(model.classes_))
        for one, method in zip(model.estimators_, model.stack_method_, strict=True)
    ]
    if model.passthrough:
        parts.append(graph.cast(members.X.full_name))
    features = members.named(graph.Concat(*parts, axis=1))

    # The last classifier was fitted to positions of classes.
    final = model.final_estimator_
    method = "decision_function" if raw else "predict_proba"
    if not hasattr(final, method) and hasattr(final, "decision_function"):
        method = "decision_function"
    positions, scores = members.respond(final, method, features)
    add_scores(graph, operator, scores)
    add_positions(graph, operator, positions)


def _meta_features(
    members: Members, model: BaseEstimator, method: str, n_classes: int
) -> str:
    """Add what a StackingClassifier sees of a member: (N, 1) or (N, C)."""
    graph = members.graph
    labels, scores = members.respond(model, method)
    if method == "predict":
        return graph.cast(graph.Reshape(labels, np.array([-1, 1])))
    return _column(graph, scores, 1) if n_classes == 2 else scores


def _one_vs_rest(members: Members, operator: "Operator", raw: bool) -> None:
    model = operator.raw_operator
    graph = members.graph
    two = len(model.estimators_) == 1
    decision = _of_all(members, model, "decision_function")
    if two:
        decision = _of_two(graph, decision)

    if is_multilabel(model):
        labels = graph.Greater(decision, 0.0)
        label = operator.outputs[0].full_name
        graph.container.add_node("Cast", labels, label, to=TensorProto.INT64)
    else:
        add_labels(graph, operator, decision)

    if raw:
        add_scores(graph, operator, decision)
        return
    proba = _of_all(members, model, "predict_proba")
    if two:
        proba = _complemented(graph, proba)
    if not is_multilabel(model):
        proba = _normalised(graph, proba, len(model.classes_))
    add_scores(graph, operator, proba)


def _of_all(members: Members, model: OneVsRestClassifier, method: str) -> str:
    """Add the scores (N, C) of each class against the rest."""
    scores = [_of_one(members, one, method) for one in model.estimators_]
    return members.graph.Concat(*scores, axis=1)


def _of_one(members: Members, model: BaseEstimator, method: str) -> str:
    """Add the score (N, 1) of one class against the rest."""
    graph = members.graph
    if hasattr(model, "classes_"):
        return _column(graph, members.respond(model, method)[1], 1)
    # A label that all samples had, or none of them, has a predictor without classes.
    first = graph.cast(_column(graph, members.X.full_name, 0))
    return graph.Add(graph.Mul(first, 0.0), float(model.y_[0]))


def _one_vs_one(members: Members, operator: "Operator", raw: bool) -> None:
    model = operator.raw_operator
    graph = members.graph
    n_classes = len(model.classes_)
    # Row k is -1 for the first class of pair k and 1 for the second.
    first, second = np.triu_indices(n_classes, 1)
    signs = np.eye(n_classes)[second] - np.eye(n_classes)[first]

    confidences = []
    wins = []
    for one in model.estimators_:
        label, scores = members.respond(one, "decision_function")
        confidences.append(_column(graph, scores, 1))
        wins.append(graph.Reshape(graph.cast(label), np.array([-1, 1])))
    sums = graph.MatMul(graph.Concat(*confidences, axis=1), signs)
    share = graph.Div(sums, graph.Mul(graph.Add(graph.Abs(sums), 1.0), 3.0))
    votes = graph.MatMul(graph.Concat(*wins, axis=1), signs)
    votes = graph.Add(votes, (signs < 0).sum(0).astype(float))

    decision = graph.Add(votes, share)
    if n_classes == 2:
        decision = _of_two(graph, _column(graph, decision, 1))
    add_scores(graph, operator, decision)
    add_labels(graph, operator, decision)


def _thresholded(members: Members, operator: "Operator", raw: bool) -> None:
    model = operator.raw_operator
    graph = members.graph
    inner = getattr(model, "estimator_", model.estimator)
    method = model.response_method
    if method == "auto":
        has_proba = hasattr(inner, "predict_proba")
        method = "predict_proba" if has_proba else "decision_function"
    if isinstance(model, TunedThresholdClassifierCV):
        threshold = model.best_threshold_
    elif model.threshold == "auto":
        threshold = 0.5 if method == "predict_proba" else 0.0
    else:
        threshold = model.threshold

    _, scores = members.respond(inner, method)
    positive = _positive_label(model)
    second = positive is None or positive == model.classes_[1]
    reached = _column(graph, scores, int(second))
    reached = graph.GreaterOrEqual(reached, float(threshold))
    reached = graph.Reshape(reached, np.array([-1]))
    chosen = reached if second else graph.Not(reached)
    add_positions(graph, operator, graph.Cast(chosen, to=TensorProto.INT64))

    wanted = "decision_function" if raw else "predict_proba"
    if wanted != method:
        _, scores = members.respond(inner, wanted)
    add_scores(graph, operator, scores)


def _positive_label(model: BaseEstimator) -> object:
    """Return the label whose score a threshold bounds; None is the second class."""
    if isinstance(model, FixedThresholdClassifier):
        return model.pos_label
    return model._curve_scorer._get_pos_label()


WRITERS: dict[type, _Writer] = {
    CalibratedClassifierCV: _calibrated,
    VotingClassifier: _voting,
    BaggingClassifier: _bagging,
    AdaBoostClassifier: _boosted,
    StackingClassifier: _stacked,
    OneVsRestClassifier: _one_vs_rest,
    OneVsOneClassifier: _one_vs_one,
    TunedThresholdClassifierCV: _thresholded,
    FixedThresholdClassifier: _thresholded,
}


def _convert(
    writer: _Writer,
    others: Callable[..., None] | None,
    scope: "Scope",
    operator: "Operator",
    container: "ModelComponentContainer",
) -> None:
    """Add the graph of a meta-estimator."""
    model = operator.raw_operator
    if others is not None and not concerns_skdigits(model):
        others(scope, operator, container)
        return
    raw = wants_decision(model, scope, container)
    writer(Members(scope, operator, container), operator, raw)


def _set_shapes(others: Callable[..., None] | None, operator: "Operator") -> None:
    """Set the types and shapes of the two outputs of a meta-estimator."""
    if others is not None and not concerns_skdigits(operator.raw_operator):
        others(operator)
    else:
        set_shapes(operator)


def register_ensembles() -> None:
    """Take over meta-estimators from skl2onnx where skdigits is in them."""
    for Model, writer in WRITERS.items():
        # skl2onnx does not know this one.
        if Model is FixedThresholdClassifier:
            alias = f"Sklearn{Model.__name__}"
            convert = partial(_convert, writer, None)
            shapes = partial(_set_shapes, None)
            update_registered_converter(Model, alias, shapes, convert, options=OPTIONS)
            continue

        alias = get_model_alias(Model)
        others = get_converter(alias)
        shapes = partial(_set_shapes, get_shape_calculator(alias))
        options = dict(others.get_allowed_options())
        if hasattr(Model, "decision_function"):
            options["raw_scores"] = [True, False]
        convert = partial(_convert, writer, others)
        # The parser, which update_registered_converter would replace, stays.
        register_converter(alias, convert, overwrite=True, options=options)
        register_shape_calculator(alias, shapes, overwrite=True)
