"""Confusions and losses, compared with loops over the samples."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from skdigits import SoftmaxRegression, TemplateMatchingClassifier
from skdigits.inspection import confidences, confusion_pairs, reliability, top_losses

WORDS = np.array(
    ["nought", "one", "two", "three", "four", "five", "six", "seven", "eight", "9"]
)
LABELS = {
    "numbers": np.arange(10),
    "words": WORDS,
    "objects": WORDS.astype(object),
    "gaps": np.array([-7, 0, 3, 4, 5, 20, 21, 22, 90, 1000]),
    "floats": np.arange(10.0) * 2,
    "bool": np.arange(10) > 4,
}
labelled = pytest.mark.parametrize("labels", LABELS.values(), ids=list(LABELS))


class Known(ClassifierMixin, BaseEstimator):
    """A classifier with known probabilities, which counts its calls."""

    def __init__(self, proba, classes):
        self.proba = np.asarray(proba)
        self.classes_ = np.asarray(classes)
        self.calls = 0

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        self.calls += 1
        return self.proba

    def predict(self, X):
        self.calls += 1
        return self.classes_[self.proba.argmax(1)]


class KnownLogarithms(Known):
    """The same classifier with logarithms of its probabilities."""

    def predict_log_proba(self, X):
        self.calls += 1
        return np.log(self.proba)


def pairs_by_hand(y, predicted):
    """Return (true, predicted, count, share, rows) by a loop and a sort."""
    rows = {}
    for row, pair in enumerate(zip(y.tolist(), predicted.tolist(), strict=True)):
        if pair[0] != pair[1]:
            rows.setdefault(pair, []).append(row)
    found = [
        (*pair, len(r), len(r) / y.tolist().count(pair[0]), r)
        for pair, r in rows.items()
    ]
    return sorted(found, key=lambda each: (-each[2], each[0], each[1]))


def as_tuples(table):
    assert table.columns.tolist() == ["true", "predicted", "count", "share", "rows"]
    assert table.index.tolist() == list(range(len(table)))
    assert table["count"].dtype == np.int64
    assert all(rows.dtype.kind == "i" for rows in table["rows"])
    columns = [table[name].tolist() for name in table.columns[:-1]]
    return list(zip(*columns, [rows.tolist() for rows in table["rows"]], strict=True))


@labelled
def test_pairs_equal_a_loop(labels, rng):
    y = labels[rng.integers(10, size=300)]
    predicted = np.where(rng.random(300) < 0.6, y, labels[rng.integers(10, size=300)])
    expected = pairs_by_hand(y, predicted)
    assert as_tuples(confusion_pairs(predicted, None, y)) == expected
    assert (
        as_tuples(confusion_pairs(predicted.tolist(), None, pd.Series(y))) == expected
    )
    assert len(expected) > 1


def test_pairs_of_a_model_are_off_the_diagonal_of_its_confusion_matrix(digits):
    X, y = digits
    y = WORDS[y]
    search = GridSearchCV(
        TemplateMatchingClassifier(), {"metric": ["mse", "mae"]}, cv=2
    )
    model = make_pipeline(StandardScaler(), search).fit(X[:300], y[:300])
    table = confusion_pairs(model, X, y)
    matrix = confusion_matrix(y, model.predict(X), labels=np.unique(y))
    found = np.zeros_like(matrix)
    places = np.searchsorted(
        np.unique(y), table[["true", "predicted"]].to_numpy(dtype=str)
    )
    found[tuple(places.T)] = table["count"]

    np.testing.assert_array_equal(found, matrix - np.diag(np.diag(matrix)))
    assert table["count"].is_monotonic_decreasing
    assert found.sum() > 50


def test_labels_that_a_model_has_never_seen_are_confused(digits):
    X, y = digits
    known = y[:400] < 8
    model = TemplateMatchingClassifier().fit(X[:400][known], y[:400][known])
    table = confusion_pairs(model, X, y)
    assert table.loc[table["true"] == 9, "share"].sum() == pytest.approx(1)
    assert set(table["predicted"]) <= set(range(8))


def test_no_confusion_makes_an_empty_table():
    table = confusion_pairs(["b", "a"], None, ["b", "a"])
    assert as_tuples(table) == []
    assert table["true"].dtype == confusion_pairs(["a"], None, ["b"])["true"].dtype


def test_predictions_are_computed_once():
    model = KnownLogarithms([[0.9, 0.1], [0.2, 0.8]], ["a", "b"])
    confusion_pairs(model, np.eye(2), ["a", "a"])
    assert model.calls == 1
    top_losses(model, np.eye(2), ["a", "a"])
    assert model.calls == 2
    plain = Known(model.proba, model.classes_)
    top_losses(plain, np.eye(2), ["a", "a"])
    assert plain.calls == 1


def losses_by_hand(model, X, y, k):
    """Return the losses by a loop; infinity becomes the loss of the least number."""
    proba = np.asarray(model.predict_proba(X))
    with np.errstate(divide="ignore"):
        own = hasattr(model, "predict_log_proba")
        logs = model.predict_log_proba(X) if own else np.log(proba)

    classes = model.classes_.tolist()
    rows = []
    for row, label in enumerate(y.tolist()):
        true = classes.index(label)
        best = int(proba[row].argmax())
        loss = -float(logs[row, true])
        if loss == math.inf:
            loss = -math.log(np.finfo(proba.dtype).tiny)
        rows.append(
            (row, label, classes[best], loss, proba[row, true], proba[row, best])
        )

    return sorted(rows, key=lambda each: (-each[3], each[0]))[:k]


MODELS = [
    # The first ones have logarithms themselves.
    TemplateMatchingClassifier(),
    make_pipeline(
        StandardScaler(), SoftmaxRegression(max_iter=20, tol=None, random_state=0)
    ),
    # Its logarithms are finite where its probabilities are 0; a tree's are not.
    GaussianNB(),
    DecisionTreeClassifier(max_depth=5, random_state=0),
    RandomForestClassifier(5, random_state=0),
    # It has probabilities only.
    CalibratedClassifierCV(LinearSVC(random_state=0), cv=2),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize(
    "labels", [WORDS, LABELS["gaps"], LABELS["bool"]], ids=lambda a: a[0]
)
def test_losses_equal_a_loop(model, labels, digits):
    X = digits[0][:300]
    y = labels[digits[1][:300]]
    model.fit(X[:150], y[:150])

    for k in (7, 1000):
        table = top_losses(model, X, y, k)
        expected = losses_by_hand(model, X, y, k)
        assert table[["row", "true", "predicted"]].to_numpy().tolist() == [
            list(each[:3]) for each in expected
        ]
        found = table[["loss", "proba_true", "proba_predicted"]].to_numpy()
        np.testing.assert_allclose(found, [each[3:] for each in expected], rtol=1e-9)
    assert len(table) == 300
    assert table["loss"].max() > 2 * table["loss"].min()
    assert len(top_losses(model, X, y)) == 10


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [Known, KnownLogarithms])
def test_a_probability_of_zero_counts_as_the_smallest_number(kind, dtype):
    proba = np.array([[0.5, 0.5], [1, 0], [0.25, 0.75], [1, 0]], dtype=dtype)
    table = top_losses(kind(proba, [3, 7]), np.eye(4), [7, 7, 3, 7], k=3)
    least = -math.log(np.finfo(dtype).tiny)
    # Equal losses are in the order of the samples.
    assert table["row"].tolist() == [1, 3, 2]
    assert table["loss"].tolist() == pytest.approx([least, least, math.log(4)])
    assert table["predicted"].tolist() == [3, 3, 7]
    assert table["proba_true"].tolist() == pytest.approx([0, 0, 0.25])
    assert table["loss"].dtype == np.float64


def test_losses_of_templates_in_float32(digits):
    X = digits[0].astype(np.float32)
    y = digits[1]
    model = FrozenEstimator(TemplateMatchingClassifier().fit(X[:200], y[:200]))
    expected = -model.predict_log_proba(X)[np.arange(len(y)), y]
    table = top_losses(model, X, y, k=len(y))
    np.testing.assert_allclose(table["loss"], np.sort(expected)[::-1], rtol=1e-6)


TWO = Known([[0.9, 0.1], [0.2, 0.8]], ["a", "b"])


@pytest.mark.parametrize("k", [0, -1, 2.0, True, None, "3"])
def test_k_is_a_whole_number(k):
    with pytest.raises(ValueError, match=r"k=.* must be a whole number, 1 or more"):
        top_losses(TWO, np.eye(2), ["a", "b"], k=k)


@pytest.mark.parametrize(
    ("function", "y", "message"),
    [
        (confusion_pairs, ["a", "b", "a"], "X has 2 samples, but y has 3 labels"),
        (top_losses, ["a", "b", "a"], "X has 2 samples, but y has 3 labels"),
        (confusion_pairs, [[0, 1], [1, 1]], "several labels per sample, but one class"),
        (top_losses, [[0, 1], [1, 1]], "several labels per sample, but one class"),
        (top_losses, ["a", "c"], r"never seen: \['c'\]. Its classes are \['a', 'b'\]"),
        (
            top_losses,
            [0, 1],
            "classes has labels such as 'a', but y such as 0: make both",
        ),
        (
            confusion_pairs,
            [0, 1],
            "output of Known.predict has labels such as 'a', but y such as 0",
        ),
        (confusion_pairs, [], "pass the label of each sample, at least one"),
        (confusion_pairs, [0.5, 1.5], "Unknown label type: continuous"),
        (confusion_pairs, [1, np.nan], "y has NaN or infinity among the labels"),
        (
            confusion_pairs,
            ["a", None],
            "y is an array of objects with None, which is no string",
        ),
    ],
)
def test_labels_that_do_not_fit(function, y, message):
    with pytest.raises(ValueError, match=message):
        function(TWO, np.eye(2), y)


def test_predictions_that_do_not_fit():
    with pytest.raises(
        ValueError, match=r"predictions has shape \(2, 2\), but \(2,\) is expected"
    ):
        confusion_pairs(np.eye(2), None, [0, 1])
    with pytest.raises(
        ValueError, match=r"predictions has shape \(3,\), but \(2,\) is expected"
    ):
        confusion_pairs([0, 1, 1], None, [0, 1])
    with pytest.raises(ValueError, match="predictions has NaN or infinity"):
        confusion_pairs([0, np.nan], None, [0, 1])

    with pytest.raises(ValueError, match="X is None, but Known needs samples"):
        confusion_pairs(TWO, None, ["a", "b"])
    with pytest.raises(ValueError, match="X is None, but Known needs samples"):
        top_losses(TWO, None, ["a", "b"])
    with pytest.raises(TypeError, match="Known is a class: pass a fitted estimator"):
        top_losses(Known, np.eye(2), ["a", "b"])
    with pytest.raises(
        ValueError, match="predictions is an array of objects with None"
    ):
        confusion_pairs(["a", None], None, ["a", "b"])


@pytest.mark.parametrize(
    "table", [confusion_pairs, top_losses, reliability, confidences]
)
def test_searches_without_refit_and_models_that_are_not_fitted(table, digits):
    X = digits[0][:60]
    y = digits[1][:60]
    search = GridSearchCV(GaussianNB(), {"var_smoothing": [0.1]}, cv=2, refit=False)
    with pytest.raises(NotFittedError, match="estimator=GridSearchCV is not fitted"):
        table(search, X, y)
    with pytest.raises(NotFittedError, match="estimator=Pipeline is not fitted"):
        table(make_pipeline(StandardScaler(), SoftmaxRegression()), X, y)

    search.fit(X, y)
    with pytest.raises(
        ValueError, match=r"GridSearchCV has refit=False, .* set refit=True"
    ):
        table(search, X, y)


def test_anything_that_predicts_has_confusions():
    class Constant:
        def predict(self, X):
            return np.full((len(X), 1), "b")

    assert as_tuples(confusion_pairs(Constant(), np.eye(2), ["a", "b"])) == [
        ("a", "b", 1, 1.0, [0])
    ]
    with pytest.raises(
        AttributeError, match="StandardScaler has no predict, and labels are"
    ):
        confusion_pairs(StandardScaler().fit(np.eye(2)), np.eye(2), ["a", "b"])
    with pytest.raises(ValueError, match="X=5 has no samples"):
        confusion_pairs(["a"], 5, ["a"])


def test_losses_need_probabilities(digits):
    model = LinearSVC().fit(digits[0][:50], digits[1][:50])
    with pytest.raises(
        AttributeError, match=r"LinearSVC has no predict_proba.*Calibrated"
    ):
        top_losses(model, *digits)
    broken = Known([[math.nan, 1], [0.2, 0.8]], ["a", "b"])
    with pytest.raises(ValueError, match="of Known are not all finite: row 0"):
        top_losses(broken, np.eye(2), ["a", "b"])


def test_models_of_several_labels_are_refused(digits):
    X = digits[0][:50]
    y = digits[1][:50]
    forest = RandomForestClassifier(2, random_state=0).fit(X, np.eye(10)[y])
    with pytest.raises(
        ValueError, match=r"RandomForestClassifier.predict has shape \(50, 10\)"
    ):
        confusion_pairs(forest, X, y)
