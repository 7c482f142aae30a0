"""How much goes into a run, and what is kept out of it."""

import os

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler, TargetEncoder
from small_models import softmax

from skdigits import ConvNetClassifier
from skdigits.model_selection import BatchedGridSearchCV, _execution
from skdigits.preprocessing import DigitNormalizer

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


@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
def test_an_error_that_is_not_the_candidates_own_is_warned_of(
    error, few, monkeypatch, assert_same_results
):
    """The candidates are evaluated one by one, and a warning names the error."""
    grid = {"learning_rate_init": RATES}
    expected = GridSearchCV(softmax(), grid, cv=3).fit(*few)

    def fail(*_, **__):
        raise error("no room left")

    monkeypatch.setattr(_execution, "run", fail)
    search = BatchedGridSearchCV(softmax(), grid, cv=3)
    message = rf"2 candidates.*{error.__name__}: no room left \(.*working_memory"
    with pytest.warns(RuntimeWarning, match=message) as caught:
        search.fit(*few)
    assert [one.filename for one in caught] == [__file__]
    assert not search.batched_.any()
    assert_same_results(search, expected)


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_batched_runs_stay_in_the_parent_whatever_n_jobs(n_jobs, few, monkeypatch):
    widths = []
    run = _execution.run

    def spy(session, observers):
        widths.append(len(session.models))
        return run(session, observers)

    monkeypatch.setattr(_execution, "run", spy)
    grid = {"learning_rate_init": [0.001, 0.01, 0.1, 1.0]}
    BatchedGridSearchCV(softmax(), grid, cv=3, n_jobs=n_jobs).fit(*few)
    assert widths == [12]


@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
def test_an_error_that_concerns_several_runs_is_warned_of_once(error, few, monkeypatch):
    def fail(*_, **__):
        raise error("no room left")

    monkeypatch.setattr(_execution, "run", fail)
    grid = {"learning_rate_init": RATES, "batch_size": [20, 50]}
    search = BatchedGridSearchCV(softmax(), grid, cv=3, refit=False)
    with pytest.warns(
        RuntimeWarning, match="batched runs of 4 candidates|Batched runs of 4"
    ) as caught:
        search.fit(*few)
    assert len(caught) == 1


def log(X):
    with np.errstate(divide="ignore"):
        return np.log(X)


def test_scores_that_fail_are_no_fault_of_a_batched_run(few):
    """A zero among the test samples of one fold becomes an infinite feature."""
    X, y = few
    X = X + 1
    X[-1, 3] = 0
    samples = np.arange(len(X))
    folds = [(samples[:-10], samples[-10:]), (samples[10:-1], samples[:10])]
    steps = Pipeline([("log", FunctionTransformer(log)), ("model", softmax())])
    grid = {"model__learning_rate_init": RATES}
    search = BatchedGridSearchCV(steps, grid, cv=folds, refit=False)
    with pytest.warns() as caught:
        search.fit(X, y)
    assert np.isnan(search.cv_results_["split0_test_score"]).all()
    assert not np.isnan(search.cv_results_["split1_test_score"]).any()
    assert {str(one.message)[:14] for one in caught} >= {"Scoring failed"}
    assert not any("bug" in str(one.message) for one in caught)


@pytest.mark.filterwarnings("ignore:One or more of the test scores:UserWarning")
@pytest.mark.parametrize("solver", ["nope", ["nope"]])
def test_a_candidate_that_nothing_validates_gets_the_score_of_errors(solver, few):
    search = BatchedGridSearchCV(softmax(), {"solver": [solver, "sgd"]}, cv=2)
    with (
        config_context(skip_parameter_validation=True),
        pytest.warns(FitFailedWarning, match="2 fits failed"),
    ):
        search.fit(*few)
    scores = search.cv_results_["mean_test_score"]
    np.testing.assert_array_equal(np.isnan(scores), [True, False])


def test_a_solver_that_is_not_valid_is_reported_when_epochs_are_chosen(few):
    model = softmax(early_stopping=True)
    search = BatchedGridSearchCV(
        model, {"solver": [["nope"]]}, cv=2, refit_epochs="best"
    )
    with pytest.raises(ValueError, match="The 'solver' parameter"):
        search.fit(*few)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_scorer_sees_how_many_samples_were_trained_on(weighted, early_stopping, few):
    X, y = few
    weight = np.linspace(0.5, 1.5, len(X)) if weighted else None
    model = softmax(early_stopping=early_stopping, max_iter=2)
    seen = []

    def scorer(model, X, y, sample_weight=None):
        seen.append((model.n_iter_, model.t_))
        return 0.0

    grid = {"alpha": [0.1, 1.0]}
    train = np.arange(200)
    folds = [(train, np.arange(200, 240))]
    options = {"scoring": scorer, "refit": False, "return_epoch_scores": True}
    search = BatchedGridSearchCV(model, grid, cv=folds, **options)
    search.fit(X, y, sample_weight=weight)
    own = None if weight is None else weight[train]
    fitted = [
        clone(model).set_params(max_iter=n).fit(X[train], y[train], sample_weight=own)
        for n in (1, 2)
    ]
    assert search.batched_.all()
    assert set(seen) == {(model.n_iter_, model.t_) for model in fitted}


def process(*_):
    return float(os.getpid())


@pytest.mark.host("processes of joblib compute on the CPU, and one GPU is warned of")
@pytest.mark.parametrize("kind", ["array", "list", "sparse", "images", "another size"])
def test_models_that_train_alone_are_distributed_in_any_form_of_x(kind, few):
    X, y = few
    steps = [("model", ConvNetClassifier(2, max_iter=1, random_state=0))]
    if kind in ("images", "another size"):
        steps.insert(0, ("normalizer", DigitNormalizer()))
    if kind == "another size":
        steps[-1][1].set_params(image_shape=(28, 28))
    forms = {"list": X.tolist(), "sparse": csr_array(X), "images": X.reshape(-1, 8, 8)}
    X = forms.get(kind, X)
    grid = {"model__learning_rate_init": [0.001, 0.01]}
    search = BatchedGridSearchCV(Pipeline(steps), grid, cv=2, scoring=process)
    search.set_params(n_jobs=2, refit=False).fit(X, y)
    found = [search.cv_results_[f"split{number}_test_score"] for number in (0, 1)]
    assert os.getpid() not in set(np.ravel(found))
