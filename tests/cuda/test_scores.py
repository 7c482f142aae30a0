"""Scores of a search on a GPU: scikit-learn's, and read once an epoch."""

import numpy as np
import pytest
from fake_cuda import fake_cuda
from sklearn.base import clone

from skdigits import MLPClassifierTorch, SoftmaxRegression
from skdigits.model_selection import BatchedGridSearchCV

FIT = {"tol": None, "random_state": 0, "batch_size": 32}
METRICS = ["accuracy", "neg_log_loss"]


@pytest.fixture(scope="module")
def few(digits):
    X, y = digits
    return X[:300], y[:300]


def search(scoring, n_rates=3, cv=5, max_iter=2, model=None):
    model = SoftmaxRegression(**FIT) if model is None else model
    model = clone(model).set_params(max_iter=max_iter)
    grid = {"learning_rate_init": list(np.geomspace(1e-3, 0.1, n_rates))}
    return BatchedGridSearchCV(
        model, grid, cv=cv, scoring=scoring, refit=False, return_epoch_scores=True
    )


def reads_per_epoch(make, data):
    """Reads of the host, as the difference of 2 and 4 epochs."""
    counts = []
    for max_iter in (2, 4):
        with fake_cuda() as device:
            make(max_iter).fit(*data)
        counts.append(device.reads)
    once, twice = counts
    return (twice.total() - once.total()) / 2, twice - once


@pytest.mark.parametrize("cv", [2, 5])
@pytest.mark.parametrize("n_rates", [3, 12])
@pytest.mark.parametrize("scoring", [None, *METRICS, METRICS], ids=str)
def test_an_epoch_is_read_a_few_times_whatever_trains(scoring, n_rates, cv, few):
    n_reads, by_line = reads_per_epoch(
        lambda max_iter: search(scoring, n_rates, cv, max_iter), few
    )
    assert n_reads <= 4, by_line


MODELS = {
    "softmax": SoftmaxRegression(**FIT),
    "noise": MLPClassifierTorch(8, dropout=0.2, augment="elastic", **FIT),
    "early stopping": MLPClassifierTorch(
        8, early_stopping=True, n_iter_no_change=50, **FIT
    ),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_a_fit_is_read_a_few_times_an_epoch(name, weighted, few):
    X, y = few
    weight = [np.linspace(0.5, 1, len(y))] if weighted else []
    model = MODELS[name].set_params(device="cuda")
    n_reads, by_line = reads_per_epoch(
        lambda max_iter: clone(model).set_params(max_iter=max_iter), (X, y, *weight)
    )
    assert n_reads <= 4, by_line


@pytest.mark.parametrize("scoring", [None, *METRICS, METRICS, "roc_auc_ovr"], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_equal_those_of_the_cpu(scoring, weighted, few):
    X, y = few
    options = {"sample_weight": np.arange(300.0) + 1} if weighted else {}
    made = search(["accuracy"] if scoring is None else scoring)
    made.set_params(return_train_score=True)
    made.set_params(refit=False)
    expected = clone(made).fit(X, y, **options).cv_results_
    with fake_cuda() as device:
        found = made.fit(X, y, **options).cv_results_
    assert not device.problems
    for name, column in expected.items():
        if "_test_" in name or "_train_" in name:
            for own, value in zip(found[name], column, strict=True):
                np.testing.assert_allclose(own, value, rtol=1e-10)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_model_whose_logits_overflow_has_the_score_of_an_error(few):
    X, y = few
    made = search("accuracy")
    made.set_params(param_grid={"learning_rate_init": [0.1, 1e30]}, error_score=-7)
    expected = clone(made).fit(X.astype(np.float32), y).cv_results_["mean_test_score"]
    with fake_cuda():
        found = made.fit(X.astype(np.float32), y).cv_results_["mean_test_score"]
    np.testing.assert_allclose(found, expected)
