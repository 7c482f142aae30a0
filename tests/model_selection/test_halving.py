"""Halving searches against scikit-learn's, and the epochs that they train."""

import pickle
import re
import warnings

import numpy as np
import pytest
from scipy.stats import loguniform
from sklearn import model_selection
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.callback import ProgressBar
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    KFold,
    PredefinedSplit,
    cross_val_score,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError
from small_models import mlp, softmax
from test_search import Recording

from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits.engine import train
from skdigits.model_selection import (
    BatchedGridSearchCV,
    BatchedHalvingGridSearchCV,
    BatchedHalvingRandomSearchCV,
    _continuing,
)

RATES = {"learning_rate_init": [0.0001, 0.3, 0.01, 0.001, 0.1, 0.03, 3e-5, 1e-6, 0.003]}
EPOCHS = {"resource": "max_iter", "max_resources": 9}
STEPS = {"resource": "model__max_iter", "max_resources": 9}
ATTRIBUTES = [
    "n_resources_",
    "n_candidates_",
    "n_remaining_candidates_",
    "max_resources_",
    "min_resources_",
    "n_iterations_",
    "n_possible_iterations_",
    "n_required_iterations_",
]
searches = pytest.mark.parametrize(
    "Search", [BatchedHalvingGridSearchCV, BatchedHalvingRandomSearchCV]
)


class Subclass(SoftmaxRegression):
    """What it changes we cannot know."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X[:, ::-1] ** 2, y, sample_weight)


class Noise(TransformerMixin, BaseEstimator):
    """Transforms differently after every fit."""

    def fit(self, X, y=None):
        self.noise_ = np.random.RandomState().normal(size=X.shape[1])
        return self

    def transform(self, X):
        return X + self.noise_


@pytest.fixture
def trained(monkeypatch):
    """Count the epochs of all models, as the engine trains them."""
    counts = []
    one_epoch = train._epoch

    def counted(problem, active, records):
        counts.append(int(active.running.sum()))
        return one_epoch(problem, active, records)

    monkeypatch.setattr(train, "_epoch", counted)
    return counts


@pytest.fixture
def assert_same_halving(assert_same_results):
    """Search in both ways, compare, and return ours."""

    def compare(
        estimator,
        candidates,
        X,
        y,
        *,
        pair=(BatchedHalvingGridSearchCV, HalvingGridSearchCV),
        fit_params=None,
        batched=True,
        **options,
    ):
        options = EPOCHS | {"cv": 3, "scoring": "neg_log_loss"} | options
        found, expected = (
            Search(clone(estimator), candidates, **options).fit(
                X, y, **(fit_params or {})
            )
            for Search in pair
        )
        assert_same_results(found, expected)
        for name in ATTRIBUTES:
            assert getattr(found, name) == getattr(expected, name), name
        assert found.batched_.shape == (sum(found.n_candidates_),)
        if batched is not None:
            assert (found.batched_ == batched).all()
        if hasattr(expected, "best_estimator_"):
            np.testing.assert_array_equal(
                found.predict_proba(X), expected.predict_proba(X)
            )
        return found

    return compare


def n_epochs(search):
    """Number of epochs of all candidates, if none is trained twice."""
    before = [0, *search.n_resources_[:-1]]
    added = np.subtract(search.n_resources_, before)
    return int(added @ search.n_candidates_) * search.n_splits_


def named(one):
    """Name a parameter of a test without addresses: workers must agree on names."""
    return re.sub(r" at 0x\w+", "", str(one))


CONTINUED = [
    softmax(),
    softmax(solver="adam"),
    softmax(solver="adamw", weight_decay=0.1),
    softmax(solver="sgd", learning_rate="invscaling", power_t=0.3),
    softmax(loss="sigmoid_mse", label_smoothing=0.1, weight_init="normal"),
    softmax(batch_size=1000),
    softmax(class_weight={3: 4.0}),
    softmax(class_weight="balanced"),
    mlp(),
    mlp(dropout=0.3, shuffle=False),
    mlp(solver="sgd", nesterovs_momentum=False),
    mlp(augment="shift", image_shape=(8, 8)),
    mlp(random_state=np.random.RandomState(3)),
]


@pytest.mark.filterwarnings("ignore:Got batch_size")
@pytest.mark.parametrize("model", CONTINUED, ids=named)
def test_training_that_continues_is_training_from_scratch(
    model, few, assert_same_halving, trained
):
    search = assert_same_halving(model, RATES, *few, refit=False)
    assert search.n_resources_ == [1, 3, 9]
    assert search.n_candidates_ == [9, 3, 1]
    fits_of_scikit_learn = np.dot(search.n_resources_, search.n_candidates_) * 3
    assert sum(trained) == n_epochs(search) + fits_of_scikit_learn


@pytest.mark.parametrize("learning_rate", ["constant", "adaptive"])
def test_models_that_stop_by_themselves(
    learning_rate, few, assert_same_halving, trained
):
    """Some folds of a candidate end in an iteration, and others go on."""
    model = softmax(
        learning_rate=learning_rate, solver="sgd", tol=0.04, n_iter_no_change=1
    )
    rates = np.geomspace(1e-6, 0.5, 27).tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search = assert_same_halving(
            model, {"learning_rate_init": rates}, *few, max_resources=81, batched=None
        )
    trained.clear()
    clone(search).set_params(refit=False).fit(*few)
    assert sum(trained) < n_epochs(search)


def test_a_model_that_diverges_harms_nobody(few, assert_same_halving):
    grid = {"learning_rate_init": [0.1, 1e200, 0.01]}
    with pytest.warns(ConvergenceWarning, match="diverged") as caught:
        assert_same_halving(softmax(solver="sgd"), grid, *few, refit=False)
    ours, *theirs = (str(one.message) for one in caught)
    assert ours == f"{theirs[0]} (3 fits)"
    assert len(theirs) == 3


def test_a_model_that_diverged_is_warned_of_once(few):
    grid = {"learning_rate_init": [1e200, 1e250]}
    options = EPOCHS | {"cv": 3, "factor": 2, "refit": False}
    texts = []
    for Search in (BatchedHalvingGridSearchCV, HalvingGridSearchCV):
        with pytest.warns(ConvergenceWarning, match="diverged") as caught:
            Search(softmax(solver="sgd"), grid, **options).fit(*few)
        texts.append([str(one.message) for one in caught])
    ours, theirs = texts
    assert len(theirs) == 2 * 3 + 1 * 3
    assert ours == [f"{text} (3 fits)" for text in dict.fromkeys(theirs)]


def test_convolutional_networks(few, assert_same_halving, trained):
    """On a CPU, they train alone, and continue as well."""
    model = ConvNetClassifier(
        channels=(3,),
        learning_rate="constant",
        batch_size=60,
        random_state=0,
        device="cpu",
    )
    grid = {"learning_rate_init": [0.01, 0.001, 0.0001]}
    search = assert_same_halving(
        model, grid, *few, max_resources=3, min_resources=1, batched=False, refit=False
    )
    theirs = np.dot(search.n_resources_, search.n_candidates_) * 3
    assert sum(trained) == n_epochs(search) + theirs


ALONE = "large models train alone on the CPU only"
FROM_SCRATCH = [
    (softmax(learning_rate="one_cycle"), RATES, True),
    (mlp(early_stopping=True, validation_fraction=0.2), RATES, True),
    (mlp(solver="lbfgs"), {"alpha": [0.0, 0.01, 0.1, 1.0, 3.0]}, True),
    (Subclass(max_iter=3, tol=None, random_state=0), RATES, False),
    pytest.param(
        mlp(hidden_layer_sizes=1500),
        {"alpha": [0.0, 0.1, 1.0]},
        False,
        marks=pytest.mark.host(ALONE),
    ),
]


@pytest.mark.parametrize(("model", "grid", "batched"), FROM_SCRATCH, ids=named)
def test_training_from_scratch(model, grid, batched, few, assert_same_halving, trained):
    search = assert_same_halving(model, grid, *few, batched=batched, refit=False)
    if model.solver == "lbfgs":
        return
    once = np.dot(search.n_resources_, search.n_candidates_) * 3
    alone = model.get_params().get("hidden_layer_sizes") == 1500
    assert sum(trained) == once + (n_epochs(search) if alone else once)


def test_schedules_and_solvers_side_by_side(few, assert_same_halving):
    grid = {
        "learning_rate": ["constant", "one_cycle"],
        "solver": ["sgd", "adam"],
        "learning_rate_init": [0.1, 0.01, 0.001],
        "early_stopping": [True, False],
    }
    search = assert_same_halving(softmax(), grid, *few, batched=None)
    assert search.n_candidates_ == [24, 8, 3]


def test_estimators_of_others(few, assert_same_halving):
    grid = {"C": [0.1, 1.0, 0.01]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search = assert_same_halving(LogisticRegression(), grid, *few, batched=False)
    auto = BatchedHalvingGridSearchCV(LogisticRegression(max_iter=77), grid)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        auto.fit(*few)
    assert search.max_resources_ == 9
    assert auto.max_resources_ == 77


def test_iris(assert_same_halving):
    X, y = load_iris(return_X_y=True)
    grid = {"learning_rate_init": [0.1, 0.03, 0.01, 0.001], "alpha": [0.0, 0.1]}
    assert_same_halving(mlp(), grid, X, y, cv=5, factor=2, scoring=None)
    two = y < 2
    assert_same_halving(mlp(), grid, X[two], y[two], scoring="roc_auc")


@pytest.mark.parametrize("with_zeros", [False, True])
def test_sample_weight(with_zeros, few, rng, assert_same_halving):
    weight = rng.uniform(0.1, 3, size=len(few[0]))
    if with_zeros:
        weight[rng.random(len(weight)) < 0.2] = 0
    weights = {"sample_weight": weight}
    assert_same_halving(softmax(), RATES, *few, fit_params=weights, batched=None)


def test_seeds(few, assert_same_halving, trained):
    """Seeds keep unlike numbers of candidates."""
    grid = {"random_state": [0, 1, 2], **RATES}
    search = assert_same_halving(mlp(), grid, *few, refit=False)
    left = [setting["random_state"] for setting in search.cv_results_["params"][27:36]]
    assert len(set(np.bincount(left))) > 1
    assert sum(trained) < 2 * np.dot(search.n_resources_, search.n_candidates_) * 3


def test_without_a_seed_training_continues(few, trained):
    model = mlp(random_state=None, hidden_layer_sizes=16)
    search = BatchedHalvingGridSearchCV(
        model, RATES, cv=3, refit=False, max_resources=27, working_memory=0.3
    )
    search.fit(*few)
    assert sum(trained) == n_epochs(search)
    assert search.best_score_ > 0.7


# The choice of candidates.


def test_ties(few, assert_same_halving):
    """Candidates whose accuracies are equal: scikit-learn's choice is ours."""
    grid = {"learning_rate_init": [0.1, 0.03], "alpha": [0.0, 1e-9, 1e-8, 1e-7, 1e-6]}
    search = assert_same_halving(softmax(), grid, *few, scoring="accuracy")
    first = search.cv_results_["mean_test_score"][:10]
    assert len(set(first)) <= 2
    grid = {"learning_rate_init": [1e-12, 2e-12, 3e-12, 4e-12, 5e-12, 6e-12, 7e-12]}
    search = assert_same_halving(softmax(), grid, *few, scoring=None)
    assert len(set(search.cv_results_["mean_test_score"][:7])) == 1


def test_candidates_that_are_equal(few, assert_same_halving):
    grid = {"learning_rate_init": [0.1, 0.1, 0.01, 0.1, 0.01]}
    assert_same_halving(softmax(), grid, *few, scoring="accuracy", factor=2)


def test_aggressive_elimination(few, assert_same_halving, trained):
    options = {"aggressive_elimination": True, "min_resources": 3, "refit": False}
    search = assert_same_halving(softmax(), RATES, *few, **options)
    assert search.n_resources_ == [3, 3, 9]
    assert search.n_candidates_ == [9, 3, 1]
    # Nothing is trained when the first iteration is repeated.
    theirs = np.dot(search.n_resources_, search.n_candidates_) * 3
    assert sum(trained) == (9 * 3 + 1 * 6) * 3 + theirs


@pytest.mark.parametrize(
    "options",
    [
        {"factor": 2},
        {"factor": 1.5},
        {"min_resources": "smallest", "max_resources": 30},
        {"min_resources": 2, "max_resources": 7},
        {"return_train_score": False},
        {"refit": lambda results: 0},
        {"cv": KFold(4)},
        {"cv": KFold(3, shuffle=True, random_state=0)},
    ],
    ids=named,
)
def test_options(options, few, assert_same_halving):
    assert_same_halving(softmax(), RATES, *few, **options)


def test_the_estimator_s_epochs_are_the_most(few):
    search = BatchedHalvingGridSearchCV(softmax(max_iter=9), RATES, cv=3).fit(*few)
    given = BatchedHalvingGridSearchCV(softmax(), RATES, cv=3, **EPOCHS).fit(*few)
    assert search.max_resources_ == 9
    assert search.n_resources_ == given.n_resources_
    assert search.best_params_ == given.best_params_
    assert search.max_resources == "auto"


random_pair = (BatchedHalvingRandomSearchCV, HalvingRandomSearchCV)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_candidates": 14},
        {"n_candidates": 8, "min_resources": "exhaust"},
        {"max_resources": 18, "factor": 2},
    ],
    ids=named,
)
def test_random_search(options, few, assert_same_halving):
    rates = {"learning_rate_init": loguniform(1e-5, 1), "alpha": [0.0, 0.1]}
    search = assert_same_halving(
        mlp(), rates, *few, pair=random_pair, random_state=3, **options
    )
    assert search.n_candidates_[0] == options.get(
        "n_candidates", options.get("max_resources", 9)
    )


# Other resources.


def test_samples_as_the_resource(assert_same_halving, digits):
    X, y = digits
    options = {"resource": "n_samples", "max_resources": "auto", "random_state": 0}
    search = assert_same_halving(softmax(), RATES, X, y, **options)
    assert search.n_candidates_ == [9, 3, 1]
    assert search.n_resources_[-1] > 1700


def test_random_search_with_samples_as_the_resource(assert_same_halving, digits):
    options = {"resource": "n_samples", "max_resources": "auto", "random_state": 0}
    rates = {"learning_rate_init": loguniform(1e-5, 1)}
    options |= {"n_candidates": 9, "pair": random_pair, "scoring": None}
    options |= {"batched": None}  # few samples may lack a class
    model = softmax(batch_size=20)
    assert_same_halving(model, rates, digits[0][:800], digits[1][:800], **options)


def test_another_parameter_as_the_resource(few, assert_same_halving, trained):
    options = {"resource": "hidden_layer_sizes", "max_resources": 12}
    search = assert_same_halving(mlp(), RATES, *few, refit=False, **options)
    assert search.n_resources_ == [1, 3, 9]
    assert sum(trained) == 2 * 3 * 3 * (9 + 3 + 1)


@pytest.mark.parametrize(
    ("estimator", "options", "message"),
    [
        (softmax(), {"resource": "trees"}, "resource=trees which is not supported"),
        (softmax(), {"resource": "batch_size"}, "can only be 'n_samples'"),
        (softmax(), {"resource": "learning_rate_init"}, "part of the searched"),
        (softmax(), {"max_resources": 3, "min_resources": 4}, "is greater than max"),
        (softmax(), {"cv": KFold(3, shuffle=True)}, "must yield consistent folds"),
    ],
    ids=lambda value: None if isinstance(value, BaseEstimator) else str(value),
)
def test_what_scikit_learn_refuses(estimator, options, message, few):
    if options.get("resource") == "learning_rate_init":
        options = options | {"max_resources": 5}
    for Search in (BatchedHalvingGridSearchCV, HalvingGridSearchCV):
        with pytest.raises(ValueError, match=message):
            Search(estimator, RATES, **{"resource": "max_iter"} | options).fit(*few)


def test_an_estimator_without_epochs(few):
    pipeline = Pipeline([("scale", StandardScaler()), ("model", softmax())])
    with pytest.raises(ValueError, match="set resource='model__max_iter'"):
        BatchedHalvingGridSearchCV(pipeline, {"model__alpha": [0, 1]}).fit(*few)
    with pytest.raises(ValueError, match="of PCA: set resource='n_samples'"):
        BatchedHalvingGridSearchCV(PCA(), {"n_components": [1, 2]}).fit(*few)


# Pipelines, scorers, failures.


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [("scale", StandardScaler())],
        [("scale", StandardScaler()), ("pca", PCA(9, random_state=0))],
    ],
    ids=len,
)
def test_pipelines(steps, few, assert_same_halving, trained):
    pipeline = Pipeline([*steps, ("model", mlp())])
    grid = {f"model__{name}": values for name, values in RATES.items()}
    search = assert_same_halving(pipeline, grid, *few, refit=False, **STEPS)
    theirs = np.dot(search.n_resources_, search.n_candidates_) * 3
    assert sum(trained) == n_epochs(search) + theirs


def test_a_search_over_steps_and_models(few, assert_same_halving):
    pipeline = Pipeline([("scale", StandardScaler()), ("model", mlp())])
    grid = {
        "scale": [StandardScaler(), StandardScaler(with_std=False), "passthrough"],
        "model": [mlp(hidden_layer_sizes=5), softmax()],
        "model__learning_rate_init": [0.1, 0.01, 0.001],
    }
    assert_same_halving(pipeline, grid, *few, batched=None, **STEPS)


def test_features_that_change_start_training_anew(few, trained):
    """A model must not continue on other features than it has seen."""
    pipeline = Pipeline([("noise", Noise()), ("model", softmax())])
    grid = {f"model__{name}": values for name, values in RATES.items()}
    search = BatchedHalvingGridSearchCV(pipeline, grid, cv=3, refit=False, **STEPS)
    search.fit(*few)
    assert search.batched_.all()
    assert sum(trained) == np.dot(search.n_resources_, search.n_candidates_) * 3


def by_history(estimator, X, y):
    """Score that depends on all that a fitted model tells of its epochs."""
    losses = estimator.history_["train_loss"]
    epochs = estimator.history_["epoch"]
    told = estimator.n_iter_ + 1e-5 * estimator.t_ + len(estimator.loss_curve_)
    return told + float(losses @ epochs) - estimator.best_loss_


def test_a_scorer_that_looks_at_the_model(few, assert_same_halving):
    assert_same_halving(softmax(), RATES, *few, scoring=by_history)


@pytest.mark.filterwarnings("ignore:One or more of the t.* scores are non-finite")
@pytest.mark.parametrize("error_score", [-9.0, np.nan])
def test_an_invalid_candidate(error_score, few, assert_same_halving):
    grid = {"learning_rate_init": [0.1, -1, 0.01, 0.001], "alpha": [0.0, -1.0]}
    with pytest.warns(FitFailedWarning, match="fits failed out of a total of 24"):
        search = assert_same_halving(
            softmax(), grid, *few, batched=None, error_score=error_score
        )
    assert search.batched_[:8].sum() == 3


@pytest.mark.parametrize("Search", [BatchedHalvingGridSearchCV, HalvingGridSearchCV])
def test_an_invalid_candidate_raises(Search, few):
    search = Search(
        softmax(), {"learning_rate_init": [0.1, -1]}, error_score="raise", **EPOCHS
    )
    with pytest.raises(
        InvalidParameterError, match="The 'learning_rate_init' parameter"
    ):
        search.fit(*few)


@pytest.mark.filterwarnings("ignore:The number of unique classes is greater")
def test_a_fold_that_lacks_a_class(few, assert_same_halving):
    """It is fitted by itself, each time from scratch; the others continue."""
    X, y = few
    fold = np.arange(len(y)) % 3
    fold[y == 0] = 1
    search = assert_same_halving(
        softmax(), RATES, X, y, cv=PredefinedSplit(fold), batched=False,
        scoring="accuracy",
    )  # fmt: skip
    assert search.n_candidates_ == [9, 3, 1]


def test_folds_of_unlike_sizes(few, assert_same_halving):
    X, y = few[0][:200], few[1][:200]
    search = assert_same_halving(
        mlp(), RATES, X, y, cv=KFold(3), scoring=None, batched=None
    )
    # The last candidate has nobody beside it in the fold of another size.
    assert search.batched_.tolist() == [True] * 12 + [False]


@pytest.mark.parametrize("memory", [1e-3, 0.1, 0.3])
def test_little_memory(memory, few, assert_same_results, trained):
    """Runs are divided otherwise in every iteration."""
    grid = {"random_state": [0, 1], **RATES}
    options = EPOCHS | {"cv": 3, "scoring": "neg_log_loss", "refit": False}
    found = BatchedHalvingGridSearchCV(mlp(), grid, working_memory=memory, **options)
    found.fit(*few)
    assert sum(trained) == n_epochs(found)
    assert_same_results(found, HalvingGridSearchCV(mlp(), grid, **options).fit(*few))


@pytest.mark.host(ALONE)
@pytest.mark.slow
def test_processes(few, assert_same_halving):
    """States of models that train alone come back from other processes."""
    model = mlp(hidden_layer_sizes=1500)
    grid = {"learning_rate_init": [0.1, 0.01, 0.001, 0.0001]}
    options = {"n_jobs": 2, "max_resources": 3, "min_resources": 1}
    assert_same_halving(model, grid, *few, batched=False, refit=False, **options)


def test_an_error_in_a_run_that_continues(few, assert_same_halving, monkeypatch):
    """Its candidates are fitted one by one, with a warning, and start anew later."""

    def failing(session, runs):
        raise RuntimeError("of no candidate")

    monkeypatch.setattr(_continuing, "continued", failing)
    with pytest.warns(RuntimeWarning, match="of no candidate") as caught:
        search = assert_same_halving(softmax(), RATES, *few, batched=None)
    assert len(caught) == 1
    assert search.batched_.tolist() == [True] * 9 + [False] * 3 + [True]


# Warnings, printed lines and callbacks.


def test_unfinished_training_is_warned_of_by_the_refit_only(few):
    search = BatchedHalvingGridSearchCV(softmax(tol=1e-9), RATES, cv=3, **EPOCHS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clone(search).set_params(refit=False).fit(*few)
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(9\)") as caught:
        search.fit(*few)
    assert len(caught) == 1


def test_messages_about_samples_come_once_a_run(few):
    X, y = few
    search = BatchedHalvingGridSearchCV(
        softmax(), {"alpha": [0, 1, 2]}, cv=3, refit=False, **EPOCHS
    )
    with pytest.warns(UserWarning, match="root mean square") as caught:
        search.fit(X * 1000, y)
    messages = [one for one in caught if "root mean square" in str(one.message)]
    assert len(messages) == 1


@pytest.mark.parametrize("verbose", [0, 1, 3])
def test_verbose(verbose, few, capsys):
    printed = []
    for Search in (BatchedHalvingGridSearchCV, HalvingGridSearchCV):
        Search(softmax(), RATES, cv=3, verbose=verbose, **EPOCHS).fit(*few)
        printed.append(capsys.readouterr().out)
    ours, theirs = printed
    lines = [
        [one for one in text.splitlines() if not one.startswith("[CV")]
        for text in printed
    ]
    assert lines[0] == lines[1]
    assert ours.count("END") == theirs.count("END") == (39 if verbose > 1 else 0)


def test_callbacks_hear_as_many_ends_as_beginnings(few):
    callback = Recording()
    grid = {"learning_rate_init": [0.1, 0.01, 0.001, -1]}
    search = BatchedHalvingGridSearchCV(
        softmax(), grid, cv=3, error_score=0, factor=2, **EPOCHS | {"max_resources": 4}
    ).set_callbacks(callback)
    with pytest.warns(FitFailedWarning, match="3 fits failed"):
        search.fit(*few)
    assert callback.open == []
    assert callback.orphans == []
    assert callback.heard.count(("end", "halving-iteration")) == 3
    assert callback.heard.count(("end", "epoch")) == 4


def test_a_progress_bar(few, capsys):
    pytest.importorskip("rich")
    search = BatchedHalvingGridSearchCV(softmax(), RATES, cv=3, **EPOCHS)
    search.set_callbacks(ProgressBar()).fit(*few)
    assert "BatchedHalvingGridSearchCV" in capsys.readouterr().out


# As an estimator.


@searches
def test_parameters_are_those_of_scikit_learn_and_one_more(Search):
    theirs = getattr(model_selection, Search.__name__.removeprefix("Batched"))
    found = Search(softmax(), {}).get_params(deep=False)
    expected = theirs(found["estimator"], {}).get_params(deep=False)
    assert found.pop("working_memory") is None
    assert found.pop("resource") == "max_iter"
    assert expected.pop("resource") == "n_samples"
    assert found == expected


@searches
def test_clone_and_pickle(Search, few):
    search = Search(softmax(), RATES, cv=3, working_memory=2.0, **EPOCHS)
    search.set_params(random_state=0)
    copy = clone(search).set_params(estimator__alpha=0.5)
    assert search.estimator.alpha == "auto"
    assert copy.get_params()["estimator__alpha"] == 0.5
    assert (copy.working_memory, copy.max_resources) == (2.0, 9)
    search.fit(*few)
    loaded = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(
        loaded.predict_proba(few[0]), search.predict_proba(few[0])
    )
    assert loaded.n_resources_ == search.n_resources_


def test_nested_in_cross_validation(few):
    scores = [
        cross_val_score(Search(softmax(), RATES, cv=2, **EPOCHS), *few, cv=3)
        for Search in (BatchedHalvingGridSearchCV, HalvingGridSearchCV)
    ]
    np.testing.assert_array_equal(*scores)


def test_fitting_twice_gives_the_same(few):
    search = BatchedHalvingGridSearchCV(
        mlp(dropout=0.2), RATES, cv=3, scoring="neg_log_loss", **EPOCHS
    )
    scores = [search.fit(*few).cv_results_["mean_test_score"] for _ in range(2)]
    np.testing.assert_array_equal(*scores)


def test_many_rates_in_a_fraction_of_the_epochs(digits, trained):
    """The aim: at most a third of the grid's, and a winner that is as good."""
    X, y = digits[0][:500], digits[1][:500]
    grid = {"learning_rate_init": np.geomspace(1e-5, 10, 64)}
    model = softmax(max_iter=27)
    whole = BatchedGridSearchCV(model, grid, cv=5, refit=False).fit(X, y)
    n_whole = sum(trained)
    assert n_whole == 64 * 5 * 27

    trained.clear()
    search = BatchedHalvingGridSearchCV(model, grid, refit=False).fit(X, y)
    assert search.n_resources_ == [1, 3, 9, 27]
    assert sum(trained) <= n_whole / 3
    rate = search.best_params_["learning_rate_init"]
    place = list(grid["learning_rate_init"]).index(rate)
    best = whole.best_index_
    results = whole.cv_results_
    error = results["std_test_score"][best] / np.sqrt(5)
    mean = results["mean_test_score"]
    assert mean[place] >= mean[best] - error


@pytest.mark.gpu
def test_on_a_gpu(few, assert_same_halving, trained, cuda):
    model = MLPClassifierTorch(
        8, batch_size=50, tol=None, random_state=0, device="cuda:0"
    )
    search = assert_same_halving(model, RATES, *few, refit=False)
    theirs = np.dot(search.n_resources_, search.n_candidates_) * 3
    assert sum(trained) == n_epochs(search) + theirs
