"""Graphs of meta-estimators agree with scikit-learn on samples that differ."""

import numpy as np
import pytest
from onnxruntime import InferenceSession, SessionOptions
from skl2onnx import to_onnx
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import skdigits.onnx  # noqa: F401
from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.engine.losses import LOSSES
from skdigits.model_selection import (
    BatchedGridSearchCV,
    BatchedHalvingGridSearchCV,
    BatchedHalvingRandomSearchCV,
    BatchedRandomizedSearchCV,
)

SETTINGS = {"max_iter": 5, "tol": None, "random_state": 0, "learning_rate_init": 0.03}
SOFTMAX = SoftmaxRegression(**SETTINGS)
MLP = MLPClassifierTorch(12, **SETTINGS)
LINEAR = SGDClassifier("log_loss", max_iter=5, tol=None, random_state=0)
FINAL = LogisticRegression(C=0.1, tol=1e-2, max_iter=300)
MODELS = [
    TemplateMatchingClassifier(),
    SOFTMAX,
    MLP,
    ConvNetClassifier(
        (4,), max_iter=3, batch_size=20, learning_rate_init=0.03, random_state=0
    ),
]
each = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
classes = pytest.mark.parametrize("n_classes", [2, 10])


@pytest.fixture(scope="module")
def samples(digits):
    """400 digits to fit to, float32, and 700 noisy others to predict."""
    X, y = digits
    noise = 0.3 * np.random.default_rng(0).normal(size=(700, 64))
    return X[:400].astype(np.float32), y[:400], (X[400:1100] + noise).astype(np.float32)


def session(model, X, options, **settings):
    """Return a session of one thread with the graph of a model."""
    graph = to_onnx(model, X[:1], options=options, **settings)
    one_thread = SessionOptions()
    one_thread.intra_op_num_threads = 1
    return InferenceSession(graph.SerializeToString(), one_thread)


def outputs(model, X, options=None, **settings):
    """Return the outputs of the graph of a model, by default as arrays."""
    options = {"zipmap": False} if options is None else options
    return session(model, X, options, **settings).run(None, {"X": X})


def described(model, X, options):
    """Return names, types and shapes of the outputs of a graph."""
    found = session(model, X, options).get_outputs()
    return [(output.name, output.type, output.shape) for output in found]


def assert_agrees(model, X, method="predict_proba", atol=1e-5, **options):
    labels, scores = outputs(model, X, {"zipmap": False} | options)[:2]
    expected = model.predict(X)
    if expected.ndim == 1:
        _, counts = np.unique(expected, return_counts=True)
        assert len(counts) > len(model.classes_) / 3
        assert counts.max() < 0.8 * len(X)  # no constant answer will do
    np.testing.assert_array_equal(labels, expected)

    if method is not None:
        expected = getattr(model, method)(X)
        if expected.ndim == 1:
            expected = np.stack([-expected, expected], axis=1)
        assert np.ptp(expected, 0).mean() > 0.005
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=atol)


@each
@classes
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_raw_scores_are_the_decision_function(model, n_classes, dtype, samples):
    X, y, new = samples
    model = clone(model).fit(X.astype(dtype), y % n_classes)
    atol = 1e-4 if dtype == np.float32 else 1e-9
    assert_agrees(model, new.astype(dtype), "decision_function", atol, raw_scores=True)
    pipeline = make_pipeline(MinMaxScaler(), model).fit(X, y % n_classes)
    assert_agrees(pipeline, new, "decision_function", 1e-3, raw_scores=True)


def test_raw_scores_have_the_shape_of_logistic_regressions(samples):
    X, y, new = samples
    for n_classes in (2, 3):
        options = {"zipmap": False, "raw_scores": True}
        linear = LogisticRegression(max_iter=300).fit(X[:100], y[:100] % n_classes)
        theirs = outputs(linear, new, options)[1]
        ours = outputs(clone(SOFTMAX).fit(X, y % n_classes), new, options)[1]
        assert ours.shape == theirs.shape == (700, n_classes)
        signs = np.sign(theirs) == np.sign(ours)
        assert signs.mean() > 0.8


@pytest.mark.parametrize("loss", LOSSES)
@classes
def test_losses(loss, n_classes, samples):
    X, y, new = samples
    model = clone(SOFTMAX).set_params(loss=loss, label_smoothing=0.0)
    model.set_params(max_iter=20, learning_rate_init=0.1).fit(X, y % n_classes)
    assert_agrees(model, new, "decision_function", 1e-4, raw_scores=True)
    calibrated = CalibratedClassifierCV(FrozenEstimator(model)).fit(X, y % n_classes)
    assert_agrees(calibrated, new)


@each
@classes
@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
def test_calibration_of_a_fitted_classifier(model, n_classes, method, samples):
    X, y, new = samples
    model = clone(model).fit(X[:250], y[:250] % n_classes)
    calibrated = CalibratedClassifierCV(FrozenEstimator(model), method=method)
    calibrated.fit(X[150:], y[150:] % n_classes)
    # A steep calibrator multiplies the rounding of float32.
    assert_agrees(calibrated, new, atol=5e-3)
    # scikit-learn keeps the thresholds of an isotonic regression in float32.
    atol = 1e-4 if method == "isotonic" else 1e-9
    assert_agrees(calibrated, new.astype(np.float64), atol=atol)


@classes
@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
@pytest.mark.parametrize("ensemble", [True, False])
def test_calibration_by_folds(ensemble, method, n_classes, samples):
    X, y, new = np.asarray(samples[0], float), samples[1], samples[2].astype(float)
    model = make_pipeline(MinMaxScaler(), MLP)
    if not ensemble:
        # Votes have no decision function.
        members = [("bayes", GaussianNB()), ("ours", model)]
        model = VotingClassifier(members, voting="soft")
    calibrated = CalibratedClassifierCV(model, method=method, cv=2, ensemble=ensemble)
    assert_agrees(calibrated.fit(X, y % n_classes), new, atol=1e-4)


def test_a_temperature_as_the_guide_teaches_it(samples):
    pixels, new = ((X.clip(0, 1) * 255).astype(np.uint8) for X in samples[::2])
    model = clone(SOFTMAX).fit(pixels[:200], samples[1][:200])
    calibrated = CalibratedClassifierCV(FrozenEstimator(model), method="temperature")
    calibrated.fit(pixels[200:], samples[1][200:])
    assert_agrees(calibrated, new)
    assert_agrees(FrozenEstimator(model), new)
    difference = calibrated.predict_proba(new) - model.predict_proba(new)
    assert np.abs(difference).max() > 0.1


@each
@classes
@pytest.mark.parametrize("stack_method", ["decision_function", "predict_proba"])
def test_stacking(model, stack_method, n_classes, samples):
    X, y, new = samples
    fitted = [("ours", clone(model).fit(X, y % n_classes))]
    fitted += [("theirs", clone(LINEAR).fit(X, y % n_classes))]
    stacked = StackingClassifier(fitted, FINAL, cv="prefit", stack_method=stack_method)
    assert_agrees(stacked.fit(X, y % n_classes), new)


@pytest.mark.parametrize("final", [FINAL, make_pipeline(MinMaxScaler(), SOFTMAX)])
@classes
def test_stacking_of_pipelines_on_top_of_the_samples(final, n_classes, samples):
    X, y, new = samples
    members = [("a", make_pipeline(MinMaxScaler(), MLP)), ("b", SOFTMAX)]
    members += [("none", "drop")]
    stacked = StackingClassifier(
        members, final, cv=2, stack_method="predict", passthrough=True
    )
    stacked.fit(X, y % n_classes)
    assert_agrees(stacked, new)
    assert_agrees(stacked, new, "decision_function", 1e-3, raw_scores=True)


MEMBERS = [
    ("softmax", SOFTMAX),
    ("none", "drop"),
    ("pipeline", make_pipeline(MinMaxScaler(), MLP)),
    ("templates", TemplateMatchingClassifier()),
    ("theirs", GaussianNB(var_smoothing=0.1)),
]
WEIGHTS = [1, 7, 2, 2.5, 1.5]
ENSEMBLES = {
    "soft votes": VotingClassifier(MEMBERS, voting="soft", weights=WEIGHTS),
    "soft votes without weights": VotingClassifier(MEMBERS, voting="soft"),
    "bagging": BaggingClassifier(SOFTMAX, 3, max_features=0.5, random_state=0),
    "bagging, classes missing": BaggingClassifier(
        MLP, 4, max_samples=12, random_state=0
    ),
    "boosting": AdaBoostClassifier(SOFTMAX, n_estimators=3),
    "one against the rest": OneVsRestClassifier(make_pipeline(MinMaxScaler(), MLP)),
}
LABELS = {
    "strings": np.array([f"digit {i}" for i in range(10)]),
    "beyond 32 bits": 2**40 + np.arange(10)[::-1],
    "unsigned": np.arange(10, dtype=np.uint8) + 7,
}


@pytest.mark.parametrize("name", ENSEMBLES)
@pytest.mark.parametrize(
    ("n_classes", "kind"), [(2, "strings"), (4, "beyond 32 bits"), (5, "unsigned")]
)
def test_ensembles(name, kind, n_classes, samples):
    X, y, new = samples
    model = clone(ENSEMBLES[name]).fit(X, LABELS[kind][y % n_classes])
    assert_agrees(model, new)
    if name not in ("bagging, classes missing", "soft votes"):
        raw = hasattr(model, "decision_function")
        method = "decision_function" if raw else "predict_proba"
        assert_agrees(model, new, method, 1e-4, **({"raw_scores": True} if raw else {}))


@pytest.mark.parametrize(
    ("n_classes", "kind"), [(2, "strings"), (4, "beyond 32 bits"), (5, "unsigned")]
)
def test_ensembles_without_probabilities(kind, n_classes, samples):
    X, y, new = samples
    y = LABELS[kind][y % n_classes]
    votes = VotingClassifier(MEMBERS, weights=WEIGHTS).fit(X, y)
    assert_agrees(votes, new, None)
    pairs = OneVsOneClassifier(SOFTMAX).fit(X, y)
    assert_agrees(pairs, new, "decision_function", 1e-4)


def test_certain_classifiers_of_one_class_against_the_rest(samples):
    X, y, new = samples
    certain = clone(SOFTMAX).set_params(max_iter=20, learning_rate_init=10.0)
    model = OneVsRestClassifier(certain).fit(X, y)
    # Several classes have probability 1, and only decisions tell them apart.
    assert ((model.predict_proba(new) > 0.4).sum(1) > 1).sum() > 5
    assert_agrees(model, new.astype(np.float64))


@pytest.mark.parametrize(
    "model",
    [
        TunedThresholdClassifierCV(SOFTMAX, scoring="f1", cv=2),
        TunedThresholdClassifierCV(SOFTMAX, scoring="recall", cv=2),
        FixedThresholdClassifier(SOFTMAX, threshold=0.6, pos_label=0),
        FixedThresholdClassifier(SOFTMAX, threshold=0.4),
        FixedThresholdClassifier(
            SOFTMAX, threshold=0.5, response_method="decision_function"
        ),
    ],
    ids=str,
)
def test_thresholds(model, samples):
    X, y, new = samples
    model.fit(X, y % 2)
    inner = model.estimator_.predict(new)
    if getattr(model, "scoring", "") != "recall":
        assert_agrees(model, new)
    np.testing.assert_array_equal(outputs(model, new)[0], model.predict(new))
    assert (model.predict(new) != inner).sum() > 5


@pytest.mark.filterwarnings("ignore:Label 3 is present in all training examples")
def test_several_labels_a_sample(samples):
    X, y, new = samples
    Y = (y[:, None] % [2, 3, 5] == 0).astype(int)
    model = clone(MLP).fit(X, Y)
    assert_agrees(model, new, "decision_function", 1e-4, raw_scores=True)
    one_each = OneVsRestClassifier(SOFTMAX).fit(X, np.c_[Y, np.ones(len(Y), int)])
    labels, proba = outputs(one_each, new)
    np.testing.assert_array_equal(labels, one_each.predict(new))
    np.testing.assert_allclose(proba, one_each.predict_proba(new), atol=1e-5)
    assert 0.1 < labels[:, :3].mean() < 0.9

    several = MultiOutputClassifier(SOFTMAX).fit(X, np.c_[y % 2, y % 3])
    labels, proba = outputs(several, new)
    np.testing.assert_array_equal(labels, several.predict(new))
    for found, expected in zip(proba, several.predict_proba(new), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)

    stacked = StackingClassifier([("mlp", MLP)], MLP, cv=2).fit(X, Y)
    with pytest.raises(NotImplementedError, match="several labels a sample"):
        outputs(stacked, new)


def test_a_class_without_templates(samples):
    X, y, new = samples
    model = TemplateMatchingClassifier().partial_fit(X, y, classes=np.arange(-1, 10))
    options = {"zipmap": False, "raw_scores": True}
    labels, scores = outputs(model, new, options)
    np.testing.assert_array_equal(labels, model.predict(new))
    np.testing.assert_allclose(scores, model.decision_function(new), rtol=1e-4)
    assert np.isneginf(scores[:, 0]).all()

    two = TemplateMatchingClassifier().partial_fit(X[y == 3], y[y == 3], classes=[3, 4])
    labels, scores = outputs(two, new, options)
    assert (labels == 3).all()
    np.testing.assert_array_equal(scores[:, 1], two.decision_function(new))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_integers(dtype, samples):
    scale = 255 if dtype == np.uint8 else 4
    X, new = ((X.clip(0, 1) * scale).astype(dtype) for X in samples[::2])
    bagging = BaggingClassifier(SOFTMAX, 3, max_features=0.7, random_state=0)
    members = [("ours", SOFTMAX), ("theirs", GaussianNB(var_smoothing=0.1))]
    for model in (bagging, VotingClassifier(members, voting="soft")):
        assert_agrees(model.fit(X, samples[1]), new)


GRID = {"learning_rate_init": [0.001, 0.03]}
SEARCHES = [
    BatchedGridSearchCV(SOFTMAX, GRID, cv=2),
    BatchedRandomizedSearchCV(SOFTMAX, GRID, n_iter=2, cv=2, random_state=0),
    BatchedHalvingGridSearchCV(SOFTMAX, GRID, cv=2, factor=2, random_state=0),
    BatchedHalvingRandomSearchCV(
        SOFTMAX, GRID, n_candidates=2, cv=2, factor=2, random_state=0
    ),
]


@pytest.mark.parametrize("search", SEARCHES, ids=lambda one: type(one).__name__)
def test_searches_convert_as_grid_search_does(search, samples):
    X, y, new = samples
    search = clone(search).fit(X, LABELS["strings"][y])
    best = search.best_estimator_
    theirs = GridSearchCV(best, {"alpha": [best.alpha]}, cv=2)
    theirs.fit(X, LABELS["strings"][y])
    for options in ({}, {"zipmap": False}, {"nocl": True}):
        assert described(search, new, options) == described(theirs, new, options)
    assert_agrees(search, new)

    step = make_pipeline(MinMaxScaler(), search).fit(X, y)
    assert_agrees(step, new)
    calibrated = CalibratedClassifierCV(FrozenEstimator(step)).fit(X, y)
    assert_agrees(calibrated, new)


def test_a_search_without_a_best_estimator(samples):
    search = BatchedGridSearchCV(SOFTMAX, GRID, cv=2, refit=False)
    search.fit(*samples[:2])
    with pytest.raises(ValueError, match="fit it with refit=True"):
        outputs(search, samples[2])


@pytest.mark.parametrize("target_opset", [12, 15, 18])
def test_older_opsets(target_opset, samples):
    X, y, new = samples
    scaler = FrozenEstimator(MinMaxScaler().fit(X))
    model = make_pipeline(
        scaler, CalibratedClassifierCV(SOFTMAX, method="isotonic", cv=2)
    )
    members = [("isotonic", model), ("rest", OneVsRestClassifier(SOFTMAX))]
    model = VotingClassifier(members, voting="soft")
    model.fit(X, LABELS["strings"][y % 4])
    labels, proba = outputs(model, new, target_opset=target_opset)
    np.testing.assert_array_equal(labels, model.predict(new))
    np.testing.assert_allclose(proba, model.predict_proba(new), atol=1e-3)
    assert len(np.unique(labels)) == 4


def test_one_model_twice_in_a_graph(samples):
    X, y, new = samples
    frozen = FrozenEstimator(clone(MLP).fit(X, y))
    calibrated = CalibratedClassifierCV(frozen)
    members = [("raw", frozen), ("calibrated", calibrated), ("again", frozen)]
    assert_agrees(VotingClassifier(members, voting="soft").fit(X, y), new)


def test_others_stay_skl2onnxs(samples):
    X, y, new = samples
    calibrated = CalibratedClassifierCV(LINEAR, cv=2).fit(X, y)
    assert_agrees(calibrated, new)
    graph = to_onnx(calibrated, new[:1], options={"zipmap": False}).graph
    assert any(node.op_type == "ArrayFeatureExtractor" for node in graph.node)


def test_decisions_that_skl2onnx_does_not_offer(samples):
    X, y, new = samples
    members = [("ours", SOFTMAX), ("qda", QuadraticDiscriminantAnalysis(reg_param=0.9))]
    stacked = StackingClassifier(members, cv=2, stack_method="decision_function")
    stacked.fit(X, y % 2)
    with pytest.raises(NotImplementedError, match="of QuadraticDiscriminantAnalysis"):
        outputs(stacked, new)


@pytest.mark.parametrize("model", MODELS[:2], ids=lambda model: type(model).__name__)
def test_labels_that_int64_cannot_hold(model, samples):
    X, y, new = samples
    names = np.array([2**63 + 1, 2**63 - 1], dtype=np.uint64)
    model = clone(model).fit(X, names[y % 2])
    with pytest.raises(ValueError, match=r"int64.* cannot be 9223372036854775809\."):
        outputs(model, new)
    with pytest.raises(ValueError, match=r"'nocl': True"):
        outputs(BaggingClassifier(model, 2).fit(X, names[y % 2]), new)
    codes = outputs(model, new, {"nocl": True, "zipmap": False})[0]
    np.testing.assert_array_equal(model.classes_[codes], model.predict(new))

    largest = clone(model).fit(X, np.array([2**63 - 1, 5], dtype=np.uint64)[y % 2])
    labels = outputs(largest, new)[0]
    np.testing.assert_array_equal(labels, largest.predict(new).astype(np.int64))
