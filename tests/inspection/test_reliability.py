"""Calibration, compared with scikit-learn's and SciPy's, and temperatures."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from scipy.stats import poisson_binom
from sklearn.calibration import (
    CalibratedClassifierCV,
    CalibrationDisplay,
    calibration_curve,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.inspection import confidences, reliability

COLUMNS = ["accuracy", "confidence", "ece", "ece_expected", "nll", "brier"]
QUICK = {"max_iter": 8, "tol": None, "batch_size": 40, "random_state": 0}
MODELS = [
    TemplateMatchingClassifier(),
    SoftmaxRegression(0.03, **QUICK),
    MLPClassifierTorch(12, learning_rate_init=0.02, **QUICK),
    ConvNetClassifier(3, learning_rate_init=0.05, **QUICK),
]


@pytest.fixture
def overconfident(rng):
    """Return overconfident probabilities (500, 4), and labels with gaps."""
    logits = 2 * rng.standard_normal((500, 4))
    codes = [rng.choice(4, p=p) for p in softmax(logits / 3, axis=1)]
    return softmax(logits, axis=1), np.array([-1, 3, 5, 100])[codes]


@pytest.mark.parametrize("n_bins", [1, 5, 15, 40])
def test_figures_equal_scikit_learns(n_bins, overconfident):
    proba, y = overconfident
    table = reliability(proba, None, y, n_bins=n_bins)
    assert table.index.tolist() == ["probabilities"]
    assert table.columns.tolist() == COLUMNS

    found = table.loc["probabilities"]
    best = proba.max(1)
    predicted = np.unique(y)[proba.argmax(1)]
    right, sure = calibration_curve(predicted == y, best, n_bins=n_bins)
    edges = np.linspace(0, 1, n_bins + 1)
    weights = np.histogram(best, edges)[0] / len(y)

    assert found["ece"] == pytest.approx(
        (weights[weights > 0] * np.abs(right - sure)).sum()
    )
    assert found["ece"] > found["ece_expected"]
    assert found["accuracy"] == accuracy_score(y, predicted)
    assert found["confidence"] == pytest.approx(best.mean())
    assert found["nll"] == pytest.approx(log_loss(y, proba))
    assert found["brier"] == pytest.approx(
        brier_score_loss(y, proba, scale_by_half=False)
    )


def test_a_confidence_on_an_edge_counts_for_the_bin_below():
    # The first two are right.
    proba = [[0.5, 0.5], [0.25, 0.75], [0.75, 0.25]]
    found = reliability(proba, None, [0, 1, 1], n_bins=2).iloc[0]
    assert found["ece"] == pytest.approx((abs(1 - 0.5) + abs(1 - 1.5)) / 3)
    found = reliability(proba, None, [0, 1, 1], n_bins=4).iloc[0]
    assert found["ece"] == pytest.approx((abs(1 - 0.5) + abs(1 - 1.5)) / 3)
    found = reliability(proba, None, [0, 1, 1], n_bins=3).iloc[0]
    assert found["ece"] == pytest.approx((abs(1 - 0.5) + abs(1 - 1.5)) / 3)
    found = reliability(proba, None, [0, 1, 1], n_bins=1).iloc[0]
    assert found["ece"] == pytest.approx(abs(2 - 2.0) / 3)


def test_expected_error_equals_the_distribution_of_hits(overconfident):
    proba, y = overconfident
    best = proba.max(1)
    bins = np.ceil(best * 15)
    expected = 0.0
    for number in np.unique(bins):
        chances = best[bins == number]
        hits = np.arange(len(chances) + 1)
        expected += np.abs(hits - chances.sum()) @ poisson_binom(chances).pmf(hits)
    found = reliability(proba, None, y).loc["probabilities", "ece_expected"]

    assert found == pytest.approx(expected / len(y), rel=1e-9)


def test_expected_error_is_that_of_calibrated_models(overconfident, rng):
    proba = overconfident[0][:100]
    best = proba.max(1)
    errors = []
    for _ in range(200):
        hits = rng.random(len(best)) < best
        wrong = (proba.argmax(1) + 1) % 4
        found = reliability(proba, None, np.where(hits, proba.argmax(1), wrong)).iloc[0]
        errors.append(found["ece"])
    assert found["ece_expected"] == pytest.approx(np.mean(errors), rel=0.05)


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_expected_error_of_one_confidence_is_de_moivres(n):
    """The mean deviation is 2 (1 - p) m C(n, m) p^m (1 - p)^(n - m)."""
    p = 0.9
    m = math.floor(n * p) + 1
    choose = math.lgamma(n + 1) - math.lgamma(m + 1) - math.lgamma(n - m + 1)
    term = math.exp(choose + m * math.log(p) + (n - m) * math.log1p(-p))
    proba = np.tile([p, 1 - p], (n + 1, 1))
    y = np.r_[np.zeros(n), 1]
    # So that both classes occur; this sample is always right.
    proba[-1] = [0, 1]
    found = reliability(proba, None, y).iloc[0]["ece_expected"]
    expected = 2 * (1 - p) * m * term / (n + 1)

    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_probability_of_zero_counts_as_the_smallest_number(dtype):
    proba = np.array([[1, 0], [0, 1]], dtype=dtype)
    found = reliability(proba, None, ["b", "b2"]).iloc[0]
    assert found[COLUMNS[2:]].tolist() == pytest.approx([0, 0, 0, 0])
    found = reliability(proba, None, ["b2", "b"]).iloc[0]
    assert found["nll"] == pytest.approx(-math.log(np.finfo(dtype).tiny))
    assert (found["brier"], found["ece"], found["accuracy"]) == (2, 1, 0)


class Counting(LogisticRegression):
    """A classifier that counts its calls."""

    calls = 0

    def predict_proba(self, X):
        self.calls += 1
        return super().predict_proba(X)


def test_many_models_in_one_table_each_called_once(digits):
    X = digits[0][:300]
    y = np.array(list("zyxwvutsrq"))[digits[1][:300]]
    model = Counting(C=0.1).fit(X, y)
    piped = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(X, y)
    proba = LogisticRegression(C=0.1).fit(X, y).predict_proba(X)
    table = reliability({"plain": model, "piped": piped, "passed": proba}, X, y)

    assert model.calls == 1
    assert table.index.tolist() == ["plain", "piped", "passed"]
    pd.testing.assert_series_equal(
        table.loc["plain"], table.loc["passed"], check_names=False
    )
    assert table.loc["piped", "nll"] == pytest.approx(
        log_loss(y, piped.predict_proba(X))
    )
    assert reliability(piped, X, y).index.tolist() == ["Pipeline"]

    confidences(model, X, y)
    assert model.calls == 2


def test_confidences_fit_scikit_learns_curve(overconfident):
    proba, y = overconfident
    correct, confidence = confidences(proba.tolist(), None, y.tolist())
    by_hand = [
        np.unique(y)[row.argmax()] == label for row, label in zip(proba, y, strict=True)
    ]
    assert correct.tolist() == by_hand
    assert correct.dtype == np.int64
    np.testing.assert_array_equal(confidence, [max(row) for row in proba])

    display = CalibrationDisplay.from_predictions(correct, confidence, n_bins=10)
    plt.close(display.figure_)
    inside = (confidence > 0.9) & (confidence <= 1)
    assert display.prob_true[-1] == pytest.approx(np.mean(np.array(by_hand)[inside]))


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize(
    "classes", [np.arange(10), np.arange(10) > 4], ids=["ten", "two"]
)
def test_temperature_calibrates_each_model(model, classes, digits):
    """The temperature is the likeliest one, and changes no prediction."""
    X = digits[0]
    y = classes[digits[1]]
    model.fit(X[:400], y[:400])
    calibrated = CalibratedClassifierCV(FrozenEstimator(model), method="temperature")
    calibrated.fit(X[400:1000], y[400:1000])
    table = reliability(
        {"before": model, "after": calibrated}, X[400:1000], y[400:1000]
    )

    assert table.loc["after", "nll"] < table.loc["before", "nll"]

    beta = calibrated.calibrated_classifiers_[0].calibrators[0].beta_
    for factor in (0.97, 1.03):
        logits = model.decision_function(X[400:1000])
        both = np.column_stack([-logits, logits]) if logits.ndim == 1 else logits
        other = reliability(softmax(factor * beta * both, axis=1), None, y[400:1000])
        assert other.iloc[0]["nll"] > table.loc["after", "nll"]
    np.testing.assert_array_equal(calibrated.predict(X), model.predict(X))

    rest = reliability({"before": model, "after": calibrated}, X[1000:], y[1000:])
    assert rest.loc["after", "accuracy"] == rest.loc["before", "accuracy"]


def test_temperature_corrects_an_overconfident_model(digits):
    X, y = digits
    model = TemplateMatchingClassifier(temperature=0.001).fit(X[:400], y[:400])
    calibrated = CalibratedClassifierCV(FrozenEstimator(model), method="temperature")
    calibrated.fit(X[400:1000], y[400:1000])
    table = reliability({"before": model, "after": calibrated}, X[1000:], y[1000:])
    assert table.loc["before", "ece"] > 0.09
    assert table.loc["after", "ece"] < table.loc["before", "ece"] / 2
    assert table.loc["after", "nll"] < table.loc["before", "nll"] / 2


GOOD = [[0.9, 0.1], [0.2, 0.8]]


@pytest.mark.parametrize("function", [reliability, confidences])
@pytest.mark.parametrize(
    ("proba", "y", "message"),
    [
        ([0.9, 0.2], [0, 1], r"shape \(2,\), but \(2, 2\) is expected"),
        (GOOD, [0, 1, 1], r"shape \(2, 2\), but \(3, 2\) is expected"),
        (
            GOOD,
            [1, 1],
            r"\(2, 1\) is expected: .* each of the classes \[1\], in this order",
        ),
        (
            [[0.9, math.nan], [0.2, 0.8]],
            [0, 1],
            r"not all finite: row 0 has \[0.9, nan\]",
        ),
        (
            [[0.9, 0.1], [1, 8]],
            [0, 1],
            r"sum to 1 in each row, but row 1.*sums to 9",
        ),
        (
            [[0.9, 0.1], [-1, 2]],
            [0, 1],
            r"must be 0 or more .* row 1, \[-1.0, 2.0\]",
        ),
        (
            [["0.9", "0.1"], ["1", "0"]],
            [0, 1],
            "have dtype <U3, but numbers are expected",
        ),
        (GOOD, [[0, 1], [1, 1]], "several labels per sample, but one class"),
        (GOOD, 3, r"y has shape \(\): pass the label of each sample"),
    ],
)
def test_probabilities_that_do_not_fit(function, proba, y, message):
    with pytest.raises(ValueError, match=message):
        function(proba, None, y)


def test_probabilities_need_not_sum_to_one_to_the_last_digit():
    rounded = np.array([[0.3333, 0.3333, 0.3333]] * 3, dtype=np.float32)
    assert reliability(rounded, None, [1, 2, 3]).iloc[0]["accuracy"] == pytest.approx(
        1 / 3
    )


def test_errors_name_the_model():
    with pytest.raises(ValueError, match="The probabilities of 'after' have shape"):
        reliability({"before": GOOD, "after": [0.1, 0.2]}, None, [0, 1])
    with pytest.raises(ValueError, match="The dict of models is empty"):
        reliability({}, None, [0, 1])


@pytest.mark.parametrize("n_bins", [0, 2.5, False, "ten"])
def test_bins_are_a_whole_number(n_bins):
    with pytest.raises(
        ValueError, match=r"n_bins=.* must be a whole number, 1 or more"
    ):
        reliability(GOOD, None, [0, 1], n_bins=n_bins)


def test_models_that_do_not_fit(digits):
    X = digits[0][:80]
    y = digits[1][:80]
    model = TemplateMatchingClassifier().fit(X[y < 8], y[y < 8])

    with pytest.raises(
        ValueError, match=r"never seen: \[8, 9\]. Its classes are \[0, 1, 2"
    ):
        reliability(model, X, y)
    with pytest.raises(AttributeError, match="LinearSVC has no predict_proba"):
        confidences(LinearSVC().fit(X, y), X, y)
    with pytest.raises(ValueError, match="X is None, but TemplateMatching"):
        reliability(model, None, y)
    with pytest.raises(ValueError, match="X has 79 samples, but y has 80 labels"):
        reliability(model, X[1:], y)
