"""Scores by epoch, and lines for the user."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import small_models
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skdigits.model_selection import BatchedGridSearchCV
from skdigits.model_selection._scoring import (
    Outcome,
    add_scores_by_epoch,
    print_outcome,
)

RATES = {"learning_rate_init": [0.1, 0.01]}

mlp = partial(small_models.mlp, max_iter=4)
softmax = partial(small_models.softmax, max_iter=4)


def outcome(by_epoch, final, split=0):
    return Outcome(0, split, {"test_scores": final}, by_epoch, False)


@small_models.in_vain
@pytest.mark.parametrize(
    "model",
    [softmax(), mlp(), mlp(solver="sgd", dropout=0.3), softmax(solver="lbfgs"),
     softmax(learning_rate="invscaling")],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("piped", [False, True])
def test_entries_are_the_scores_of_so_many_epochs(model, piped, few):
    options = {"cv": 3, "scoring": "neg_log_loss", "refit": False}
    ours = options | {"return_epoch_scores": True}
    grid = {"alpha": [0.0, 1.0], **RATES}
    name = "max_iter"
    if piped:
        model = Pipeline([("scale", StandardScaler()), ("model", model)])
        grid, name = {f"model__{key}": grid[key] for key in grid}, "model__max_iter"
    results = BatchedGridSearchCV(model, grid, **ours).fit(*few).cv_results_
    for epoch in range(4):
        shorter = clone(model).set_params(**{name: epoch + 1})
        expected = GridSearchCV(shorter, grid, **options).fit(*few).cv_results_
        for key in ("split0_test_score", "split1_test_score", "mean_test_score"):
            found = [curve[epoch] for curve in results[f"{key}_by_epoch"]]
            np.testing.assert_allclose(found, expected[key], rtol=1e-8)


def test_columns_are_objects_of_arrays(few):
    search = BatchedGridSearchCV(softmax(), RATES, cv=3, return_epoch_scores=True)
    results = search.fit(*few).cv_results_
    names = {
        *(f"split{i}_test_score_by_epoch" for i in range(3)),
        "mean_test_score_by_epoch",
    }
    assert names == {name for name in results if name.endswith("by_epoch")}
    for name in names:
        assert results[name].dtype == object
        assert results[name].shape == (2,)
        assert all(
            curve.shape == (4,) and curve.dtype == float for curve in results[name]
        )
    splits = [np.stack(results[f"split{i}_test_score_by_epoch"]) for i in range(3)]
    means = np.stack(results["mean_test_score_by_epoch"])
    np.testing.assert_allclose(means, np.mean(splits, 0), rtol=1e-14)
    np.testing.assert_array_equal(means[:, -1], results["mean_test_score"])
    frame = pd.DataFrame(results)
    assert frame["split2_test_score_by_epoch"][1].tolist() == splits[2][1].tolist()


def test_names_of_many_metrics(few):
    scoring = ["accuracy", "neg_log_loss"]
    options = {"scoring": scoring, "refit": "accuracy", "return_epoch_scores": True}
    search = BatchedGridSearchCV(softmax(), RATES, cv=3, **options)
    results = search.fit(*few).cv_results_
    for metric in scoring:
        curves = results[f"split1_test_{metric}_by_epoch"]
        finals = [curve[-1] for curve in curves]
        np.testing.assert_allclose(finals, results[f"split1_test_{metric}"], rtol=1e-12)
        assert f"mean_test_{metric}_by_epoch" in results
    assert not any("score_by_epoch" in key for key in results)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_fold_that_ends_early_goes_on_with_its_final_score(early_stopping, few):
    model = mlp(
        early_stopping=early_stopping, n_iter_no_change=1, max_iter=30, tol=0.01
    )
    model.set_params(validation_fraction=0.2, learning_rate_init=0.02)
    options = {"scoring": "neg_log_loss", "return_epoch_scores": True}
    search = BatchedGridSearchCV(model, {"alpha": [0.0, 0.1]}, cv=3, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        results = search.fit(*few).cv_results_
        X, y = few
        longest, lengths = len(results["mean_test_score_by_epoch"][0]), []
        for split, (train, _) in enumerate(StratifiedKFold(3).split(X, y)):
            n_iter = clone(model).set_params(alpha=0.0).fit(X[train], y[train]).n_iter_
            curve = results[f"split{split}_test_score_by_epoch"][0]
            lengths.append(n_iter)
            assert len(curve) == longest
            np.testing.assert_array_equal(
                curve[n_iter:], results[f"split{split}_test_score"][0]
            )
    assert max(lengths) == longest
    assert min(lengths) < longest


def test_curves_after_divergence_stay_where_they_were(few):
    grid = {"learning_rate_init": [1e200, 0.1]}
    options = {"refit": False, "return_epoch_scores": True}
    search = BatchedGridSearchCV(softmax(), grid, cv=3, **options)
    with pytest.warns(ConvergenceWarning, match="diverged"):
        results = search.fit(*few).cv_results_
    curve = results["split0_test_score_by_epoch"][0]
    assert len(curve) >= 1
    assert set(curve) == {results["split0_test_score"][0]}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
@pytest.mark.filterwarnings("ignore:One or more of the test scores")
def test_what_is_not_batched_has_empty_curves(few):
    options = {"refit": False, "return_epoch_scores": True}
    search = BatchedGridSearchCV(softmax(), {"alpha": [0.1, -1.0]}, cv=3, **options)
    results = search.fit(*few).cv_results_
    lengths = [len(curve) for curve in results["mean_test_score_by_epoch"]]
    assert lengths == [4, 0]
    assert [len(curve) for curve in results["split2_test_score_by_epoch"]] == [4, 0]


def test_add_scores_by_epoch():
    results = {}
    first = [outcome([0.1, 0.5], 0.5), outcome([0.3], 0.2, split=1)]
    second = [outcome([0.4], 0.4), outcome(None, 0.4, split=1)]
    add_scores_by_epoch(results, [first, second])
    assert list(results) == [
        "split0_test_score_by_epoch",
        "split1_test_score_by_epoch",
        "mean_test_score_by_epoch",
    ]
    assert results["split0_test_score_by_epoch"][0].tolist() == [0.1, 0.5]
    assert results["split1_test_score_by_epoch"][0].tolist() == [0.3, 0.2]
    np.testing.assert_allclose(results["mean_test_score_by_epoch"][0], [0.2, 0.35])
    assert [column[1].tolist() for column in results.values()] == [[], [], []]


def test_add_scores_by_epoch_of_many_metrics():
    results = {}
    curve, final = [{"a": 0.1, "b": 1}, {"a": 0.2, "b": 2}], {"a": 0.2, "b": 2}
    add_scores_by_epoch(results, [[outcome(curve, final)], [outcome(curve[:1], final)]])
    assert list(results) == [
        f"{what}_test_{metric}_by_epoch"
        for metric in "ab"
        for what in ("split0", "mean")
    ]
    assert results["mean_test_b_by_epoch"][0].tolist() == [1, 2]
    assert results["split0_test_a_by_epoch"][1].tolist() == [0.1]


def test_add_scores_by_epoch_adds_nothing_where_nothing_was_batched():
    results = {}
    add_scores_by_epoch(results, [[outcome(None, 0.1)], [outcome(None, 0.2)]])
    assert results == {}


@pytest.mark.parametrize(("verbose", "lines"), [(0, 0), (1, 0), (2, 1), (3, 1)])
def test_print_outcome(verbose, lines, capsys):
    result = {"test_scores": {"a": 0.25, "b": 0.5}, "fit_time": 1.0, "score_time": 0.5}
    print_outcome(verbose, {"z": 1, "alpha": 2}, Outcome(0, 1, result, [0.1], False), 3)
    printed = capsys.readouterr().out
    assert printed.count("\n") == lines
    assert ("alpha=2, z=1" in printed) == (verbose > 1)
    assert ("[CV 2/3] END ..." in printed) == (verbose > 2)
    assert ("; a: (test=0.250) b: (test=0.500) total" in printed) == (verbose > 2)
    assert ("1.5s" in printed) == (verbose > 1)
