"""What goes scikit-learn's own way, memory, processes and callbacks."""

import numpy as np
import pytest
import sklearn
from sklearn.callback import ProgressBar
from sklearn.callback._callback_context import get_context_path
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError
from small_models import mlp, softmax

from skdigits import SoftmaxRegression
from skdigits.model_selection import BatchedGridSearchCV

RATES = {"learning_rate_init": [0.1, 0.01]}


class Subclass(SoftmaxRegression):
    """What it changes we cannot know."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X[:, ::-1] ** 2, y, sample_weight)


class Recording:
    """Callback that writes down what it hears of."""

    def __init__(self):
        self.heard, self.open, self.orphans = [], [], []

    def setup(self, estimator, context):
        self.heard.append(("setup", type(estimator).__name__))

    def teardown(self, estimator, context):
        self.heard.append(("teardown", type(estimator).__name__))

    def on_fit_task_begin(self, estimator, context, **told):
        self.heard.append(("begin", context.task_name))
        *parents, _ = path = get_context_path(context)
        if parents and parents not in self.open:
            self.orphans.append(context.task_name)
        self.open.append(path)

    def on_fit_task_end(self, estimator, context, **told):
        self.heard.append(("end", context.task_name))
        self.open.remove(get_context_path(context))


def test_estimators_of_others(few, assert_same_search):
    model = LogisticRegression(max_iter=500)
    assert_same_search(model, {"C": [0.1, 1.0]}, *few, batched=False)


def test_subclasses(few, assert_same_search):
    model = Subclass(max_iter=3, tol=None, random_state=0)
    assert_same_search(model, RATES, *few, batched=False)


def test_a_pipeline_that_transforms_metadata(few, assert_same_search):
    steps = [("scale", StandardScaler()), ("model", softmax())]
    pipeline, grid = (
        Pipeline(steps, transform_input=["X_val"]),
        {"model__alpha": [0.1, 1.0]},
    )
    with sklearn.config_context(enable_metadata_routing=True):
        assert_same_search(pipeline, grid, *few, batched=False)


def test_an_invalid_candidate_harms_nobody(few, assert_same_search):
    grid = {"learning_rate_init": [0.1, -1, 0.01]}
    with pytest.warns(FitFailedWarning, match="3 fits failed out of a total of 9"):
        search = assert_same_search(
            softmax(), grid, *few, batched=[True, False, True], error_score=-9.0
        )
    without = BatchedGridSearchCV(softmax(), RATES, cv=3, scoring="neg_log_loss").fit(
        *few
    )
    scores = search.cv_results_["mean_test_score"]
    assert scores[1] == -9
    assert scores[[0, 2]].tolist() == without.cv_results_["mean_test_score"].tolist()


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_an_invalid_candidate_has_no_score(few):
    search = BatchedGridSearchCV(
        mlp(), {"alpha": [0.1, -1, 0.2]}, cv=3, return_epoch_scores=True
    )
    with pytest.warns(FitFailedWarning, match="3 fits failed"):
        search.fit(*few)
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [
        False,
        True,
        False,
    ]
    assert search.cv_results_["mean_test_score_by_epoch"][1].shape == (0,)


@pytest.mark.parametrize("Search", [BatchedGridSearchCV, GridSearchCV])
def test_an_invalid_candidate_raises(Search, few):
    search = Search(softmax(), {"learning_rate_init": [0.1, -1]}, error_score="raise")
    with pytest.raises(
        InvalidParameterError, match="The 'learning_rate_init' parameter"
    ):
        search.fit(*few)


@pytest.mark.parametrize("Search", [BatchedGridSearchCV, GridSearchCV])
def test_a_parameter_that_is_none_raises(Search, few):
    search = Search(softmax(), {"learning_rate": ["constant"], "rate": [0.1]})
    with pytest.raises(ValueError, match="Invalid parameter 'rate'"):
        search.fit(*few)


@pytest.mark.parametrize("Search", [BatchedGridSearchCV, GridSearchCV])
def test_folds_that_are_none(Search, few):
    with pytest.raises(ValueError, match="No fits were performed"):
        Search(softmax(), RATES, cv=[]).fit(*few)


def test_folds_too_few_for_a_class_of_the_validation_rows(few, assert_same_search):
    """A stratified split that cannot be done is an error of its candidates only."""
    X, y = few
    grid = {"early_stopping": [True, False], "validation_fraction": [0.01]}
    with pytest.warns(FitFailedWarning, match="3 fits failed out of a total of 6"):
        assert_same_search(
            softmax(), grid, X, y, batched=[False, True], error_score=-9.0
        )


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_little_memory(solver, few, assert_same_search):
    grid = {"random_state": [0, 1], "alpha": [0.0, 0.1, 1.0]}
    model = mlp(solver=solver)
    options = {"scoring": "neg_log_loss", "return_epoch_scores": True}
    found = BatchedGridSearchCV(model, grid, cv=3, working_memory=1e-3, **options)
    found.fit(*few)
    ample = assert_same_search(model, grid, *few, by_epoch=True)
    assert found.batched_.tolist() == [False] * 6
    for key in ("split0_test_score", "split2_test_score", "mean_test_score"):
        np.testing.assert_allclose(found.cv_results_[key], ample.cv_results_[key], 1e-8)
    ours, theirs = (
        np.stack(s.cv_results_["mean_test_score_by_epoch"]) for s in (found, ample)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-8)


@pytest.mark.parametrize("memory", [0.03, 0.1, 0.2, 0.3, 0.5, 1, 2])
def test_all_bounds_of_memory_give_the_same(memory, few):
    grid = {"random_state": [0, 1, 2], "alpha": [0.0, 0.1]}
    options = {"cv": 2, "scoring": "neg_log_loss", "refit": False}
    found, ample = (
        BatchedGridSearchCV(mlp(), grid, working_memory=bound, **options).fit(*few)
        for bound in (memory, None)
    )
    assert ample.batched_.all()
    scores = [s.cv_results_["mean_test_score"] for s in (found, ample)]
    np.testing.assert_allclose(*scores, rtol=1e-8)


def test_little_memory_for_rows_behind_steps(few):
    pipeline = Pipeline([("scale", StandardScaler()), ("model", mlp())])
    grid = {"model__alpha": [0.0, 0.1]}
    options = {"cv": 3, "scoring": "neg_log_loss", "refit": False}
    expected = GridSearchCV(pipeline, grid, **options).fit(*few)
    for memory in (1e-3, 0.2, 0.4, 2):
        found = BatchedGridSearchCV(pipeline, grid, working_memory=memory, **options)
        found.fit(*few)
        scores = [s.cv_results_["mean_test_score"] for s in (found, expected)]
        np.testing.assert_allclose(*scores, rtol=1e-8)


@pytest.mark.host("large models train alone on the CPU only")
def test_large_models_are_trained_alone(few, assert_same_search):
    model = mlp(hidden_layer_sizes=1500, max_iter=1)
    grid = {"alpha": [0.1, 1.0]}
    assert_same_search(model, grid, *few, cv=2, batched=False)


@pytest.mark.slow
def test_processes(few, assert_same_results):
    grid = [
        {"random_state": [0, 1], **RATES},
        {"hidden_layer_sizes": [3], "alpha": [0.1, 1.0, 10.0]},
    ]
    options = {"cv": 3, "scoring": "neg_log_loss"}
    found = BatchedGridSearchCV(mlp(), grid, n_jobs=2, **options).fit(*few)
    expected = GridSearchCV(mlp(), grid, **options).fit(*few)
    assert_same_results(found, expected)
    assert found.batched_.all()
    steps = Pipeline([("scale", StandardScaler()), ("model", mlp())])
    rates = {"model__alpha": [0.1, 1.0]}
    found = BatchedGridSearchCV(steps, rates, n_jobs=2, **options).fit(*few)
    expected = GridSearchCV(steps, rates, **options).fit(*few)
    assert_same_results(found, expected)


@pytest.mark.parametrize("refit", [True, False])
def test_callbacks_hear_of_every_epoch(refit, few):
    callback = Recording()
    search = BatchedGridSearchCV(softmax(max_iter=4), RATES, cv=3, refit=refit)
    search.set_callbacks(callback).fit(*few)
    heard = callback.heard
    assert heard[0] == ("setup", "BatchedGridSearchCV")
    assert heard[-1] == ("teardown", "BatchedGridSearchCV")
    assert [name for name, _ in heard].count("setup") == 1
    assert [name for name, _ in heard].count("teardown") == 1
    assert heard.count(("end", "epoch")) == heard.count(("begin", "epoch")) == 4
    assert heard.count(("end", "batched-run")) == 1
    assert heard.count(("end", "refit-with-best-params")) == refit
    assert search.batched_.all()


def test_callbacks_hear_as_many_ends_as_beginnings(few):
    callback = Recording()
    grid = {"learning_rate_init": [0.1, -1], "hidden_layer_sizes": [3, 4]}
    search = BatchedGridSearchCV(mlp(), grid, cv=3, error_score=0).set_callbacks(
        callback
    )
    with pytest.warns(FitFailedWarning, match="6 fits failed"):
        search.fit(*few)
    assert callback.open == []
    assert callback.heard.count(("begin", "epoch")) == 2 * 3
    assert callback.heard.count(("end", "epoch")) == 2 * 3
    assert callback.heard.count(("end", "candidate-split-evaluation")) == 2 * 3


def test_callbacks_are_torn_down_after_an_error(few):
    callback = Recording()
    search = BatchedGridSearchCV(softmax(), {"alpha": [-1]}, cv=3, error_score="raise")
    with pytest.raises(InvalidParameterError, match="alpha"):
        search.set_callbacks(callback).fit(*few)
    assert callback.heard[-1] == ("teardown", "BatchedGridSearchCV")


def test_tasks_begin_after_those_they_are_part_of(few):
    callback = Recording()
    search = (
        BatchedGridSearchCV(softmax(), RATES, cv=3).set_callbacks(callback).fit(*few)
    )
    assert search.batched_.all()
    assert callback.open == []
    assert callback.orphans == []


def test_an_error_of_a_callback_is_not_hidden(few):
    """It may be how its user stops a search, and is no failed fit."""

    class Stopping(Recording):
        def on_fit_task_end(self, estimator, context, **told):
            if context.task_name == "epoch":
                raise RuntimeError("stop here")

    search = BatchedGridSearchCV(softmax(), RATES, cv=3).set_callbacks(Stopping())
    with pytest.raises(RuntimeError, match="stop here"):
        search.fit(*few)


@pytest.mark.filterwarnings("ignore:The estimator .* does not support callbacks")
@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
@pytest.mark.parametrize("model", ["alone", "pipeline", "not batched"])
def test_a_progress_bar(model, solver, few, capsys):
    pytest.importorskip("rich")
    kind = Subclass if model == "not batched" else SoftmaxRegression
    estimator = kind(solver=solver, max_iter=3, tol=None, random_state=0)
    grid = {"alpha": [0.1, 1.0], "loss": ["cross_entropy", "softmax_mse"]}
    if model == "pipeline":
        estimator = Pipeline([("scale", StandardScaler()), ("model", estimator)])
        grid = {f"model__{name}": values for name, values in grid.items()}
    search = BatchedGridSearchCV(estimator, grid, cv=KFold(3))
    search.set_callbacks(ProgressBar()).fit(*few)
    assert search.batched_.all() == (model != "not batched")
    assert "BatchedGridSearchCV" in capsys.readouterr().out
