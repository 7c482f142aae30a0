"""How much goes into a run, and what is kept out of it."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder
from small_models import softmax

from skdigits.model_selection import BatchedGridSearchCV

RATES = [0.01, 0.1]


class Contrary(Pipeline):
    """A Pipeline with a mind of its own."""

    def predict(self, X):
        return np.zeros(len(X), dtype=int)


def test_what_steps_were_fitted_to_tells_them_apart(few, assert_same_search):
    X, y = few
    noise = np.random.default_rng(0).normal(size=X.shape)
    frozen = [FrozenEstimator(PCA(5).fit(rows)) for rows in (X, noise)]
    steps = Pipeline([("pca", frozen[0]), ("model", softmax())])
    search = assert_same_search(steps, {"pca": frozen}, X, y)
    assert np.ptp(search.cv_results_["mean_test_score"]) > 0.01


def test_train_scores_behind_a_step_that_learns_from_the_labels(
    few, assert_same_search
):
    """Its fit_transform is not its fit and transform."""
    X, y = few
    coarse = (X[:, 20:30] * 3).round()
    steps = Pipeline(
        [("encode", TargetEncoder(cv=StratifiedKFold(3))), ("model", softmax())]
    )
    grid = {"model__learning_rate_init": RATES}
    assert_same_search(steps, grid, coarse, y, return_train_score=True)


def test_other_kinds_of_pipelines_go_their_own_way(few, assert_same_search):
    steps = Contrary([("scale", StandardScaler()), ("model", softmax())])
    grid = {"model__learning_rate_init": RATES}
    assert_same_search(steps, grid, *few, scoring="accuracy", batched=False)


@pytest.mark.parametrize("first", [True, False])
def test_an_error_in_one_group_is_no_matter_of_the_others(first, few):
    bad, good = (
        {"device": ["cuda:99"]},
        {"learning_rate_init": RATES, "solver": ["sgd", "adam"]},
    )
    grid = [bad, good] if first else [good, bad]
    search = BatchedGridSearchCV(softmax(), grid, cv=3, refit=False)
    with pytest.warns() as caught:
        search.fit(*few)
    assert any("3 fits failed" in str(w.message) for w in caught)
    assert search.batched_.sum() == 4
    assert search.batched_[0] != first


@pytest.mark.parametrize("memory", [1e-3, 2.5, 5, 12, None])
def test_as_many_models_share_a_run_as_fit_into_memory(memory, few):
    """Also where not even all seeds do."""
    grid = {"random_state": list(range(12)), "learning_rate_init": RATES}
    model = softmax(weight_init="normal")
    search = BatchedGridSearchCV(model, grid, cv=3, refit=False, working_memory=memory)
    expected = GridSearchCV(model, grid, cv=3, refit=False).fit(*few)
    search.fit(*few)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )
    assert search.batched_.all() == (memory != 1e-3)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_best_epoch_is_sought_where_all_candidates_have_epochs(few):
    steps = Pipeline([("model", softmax())])
    grid = {"model": [softmax(), LogisticRegression(max_iter=5)]}
    search = BatchedGridSearchCV(steps, grid, cv=3, refit_epochs="best")
    with pytest.raises(ValueError, match=r"candidates \[1\] have none"):
        search.fit(*few)


def test_arrays_of_other_namespaces_are_batched(few):
    xp = pytest.importorskip("array_api_strict")
    X, y = few
    grid = {"learning_rate_init": RATES}
    expected = GridSearchCV(softmax(), grid, cv=3).fit(X, y)
    with config_context(array_api_dispatch=True):
        search = BatchedGridSearchCV(softmax(), grid, cv=3)
        search.fit(xp.asarray(X), xp.asarray(y))
    assert search.batched_.all()
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )
