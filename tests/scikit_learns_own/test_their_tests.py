"""scikit-learn's own tests of MLPClassifier and others, run against skdigits' classes.

The test modules are loaded a second time, with skdigits' classes in place of
scikit-learn's. Their tests are collected here, with all cases about features that
skdigits has. `NOT_APPLICABLE` lists the tests that are left out, each with the reason.
"""

import copy
import importlib.util
import inspect
import itertools
import re
import warnings
from collections.abc import Callable
from functools import wraps
from operator import is_
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.neighbors import NearestCentroid
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import scale
from sklearn.utils import compute_class_weight
from sklearn.utils.fixes import COO_CONTAINERS, CSR_CONTAINERS

from skdigits import MLPClassifierTorch, SoftmaxRegression, TemplateMatchingClassifier

# skdigits' classes, in scikit-learn's terms.

# The classes that a test has trained: a test that trains none of ours proves nothing.
TRAINED = []


class NotOfferedError(Exception):
    """A test uses a feature that skdigits' class lacks."""


class Noted:
    """Record every fit, by the parameter validation at its start."""

    def _validate_params(self):
        TRAINED.append(type(self).__name__)
        super()._validate_params()


class Perceptron(Noted, MLPClassifierTorch):
    """Add two private attributes of MLPClassifier, computed from public ones."""

    @property
    def _optimizer(self):
        """Return an object with the ``learning_rate`` of the next epoch."""
        # The next epoch is trained on a copy; its row of the history has the attribute.
        more = copy.deepcopy(self)
        more.partial_fit(np.zeros((1, self.n_features_in_)), self.classes_[:1])
        return more.history_.iloc[-1]

    @property
    def _no_improvement_count(self):
        """Count the last epochs that did not lower the best loss by tol."""
        best = np.inf
        count = 0
        for loss in self.loss_curve_:
            count = count + 1 if loss > best - self.tol else 0
            best = min(best, loss)
        return count


class Softmax(Noted, SoftmaxRegression):
    pass


class Logistic(ClassifierMixin, BaseEstimator):
    """LogisticRegression, by SoftmaxRegression's L-BFGS.

    With two classes, ``coef_`` has one row: the difference of SoftmaxRegression's two
    rows. They are opposite, so their penalty is half as large.
    """

    __init__ = LogisticRegression.__init__
    _predict_proba_lr = LinearClassifierMixin._predict_proba_lr  # of decision_function
    callbacks = ()

    def set_callbacks(self, *callbacks):
        self.callbacks = callbacks
        return self

    def fit(self, X, y, sample_weight=None):
        for name in ("fit_intercept", "l1_ratio", "dual", "penalty", "n_jobs"):
            if getattr(self, name) != getattr(LogisticRegression(), name):
                raise NotOfferedError(f"SoftmaxRegression has no {name}")

        labels = np.asarray(y)
        classes = np.unique(labels)
        weight = np.ones(len(labels)) if sample_weight is None else sample_weight
        each = compute_class_weight(
            self.class_weight, classes=classes, y=labels, sample_weight=weight
        )
        total = np.sum(weight * each[np.searchsorted(classes, labels)])
        rows = 2 if len(classes) == 2 else 1

        if not self.warm_start or not hasattr(self, "model_"):
            self.model_ = Softmax(solver="lbfgs").set_callbacks(*self.callbacks)
        same = ("tol", "max_iter", "class_weight", "warm_start", "random_state")
        settings = {name: getattr(self, name) for name in same}
        self.model_.set_params(alpha=rows / (self.C * total), **settings)
        self.model_.fit(X, y, sample_weight)

        self.classes_ = self.model_.classes_
        self.n_iter_ = np.array([self.model_.n_iter_])
        return self

    def _one_row(self, values):
        return values[1:] - values[:1] if len(values) == 2 else values

    @property
    def coef_(self):
        return self._one_row(self.model_.coef_)

    @property
    def intercept_(self):
        return self._one_row(self.model_.intercept_)

    def predict(self, X):
        return self.model_.predict(X)

    def predict_proba(self, X):
        return self.model_.predict_proba(X)

    def predict_log_proba(self, X):
        return self.model_.predict_log_proba(X)

    def decision_function(self, X):
        return self.model_.decision_function(X)


def logistic_regression(penalty="deprecated", *, solver="lbfgs", **settings):
    """Replace L-BFGS only: the other solvers' results serve as references."""
    kind = Logistic if solver == "lbfgs" else LogisticRegression
    return kind(penalty, solver=solver, **settings)


class Templates(Noted, TemplateMatchingClassifier):
    @property
    def centroids_(self):
        return self.templates_


def nearest_centroid(metric="euclidean", **others):
    """Translate the name of the metric."""
    if others:
        raise NotOfferedError(f"TemplateMatchingClassifier has no {set(others)}")
    return Templates({"euclidean": "mse", "manhattan": "mae"}[metric])


REPLACED = {
    "mlp": ("neural_network.tests.test_mlp", MLPClassifier, Perceptron),
    "logistic": (
        "linear_model.tests.test_logistic",
        LogisticRegression,
        logistic_regression,
    ),
    "centroid": (
        "neighbors.tests.test_nearest_centroid",
        NearestCentroid,
        nearest_centroid,
    ),
}

# Tests that are not run, and why. Tests that do not name the class concern others.

INTERCEPT = "needs fit_intercept=False, and SoftmaxRegression always has intercepts"
PENALTY = "is about L1 or elastic-net penalties, and SoftmaxRegression's is L2"
SOLVER = "trains by solvers that SoftmaxRegression lacks"
SEARCH = "is about LogisticRegressionCV, which has no counterpart in skdigits"
DEPRECATED = "is about a deprecated parameter of LogisticRegression"
SHRINKAGE = "is about shrink_threshold, and average images are not shrunken"
PRIORS = "is about priors, and TemplateMatchingClassifier has none"


def because(reason, names):
    return dict.fromkeys((f"test_{name}" for name in names.split()), reason)


NOT_APPLICABLE = {
    "mlp": {
        "test_fit": "sets private attributes of a fitted model; rewritten below",
        "test_gradient": "calls _loss_grad_lbfgs, which is private; see tests/engine",
        "test_early_stopping_stratified": "calls the label 1 'True'; rewritten below",
        "test_preserve_feature_names": "has one class, of which skdigits warns; "
        "rewritten below",
    },
    "logistic": {
        **because(
            INTERCEPT,
            "predict_2_classes logistic_regression_solvers "
            "logistic_regression_sample_weights logreg_intercept_scaling_zero "
            "logistic_regression_solver_class_weights",
        ),
        **because(
            PENALTY,
            "check_solver_option elasticnet_l1_ratio_err_helpful logreg_l1 "
            "elastic_net_coeffs logistic_regression_cv_refit "
            "elastic_net_l1_l2_equivalence elastic_net_vs_l1_l2 "
            "LogisticRegression_elastic_net_objective elastic_net_versus_sgd "
            "LogisticRegressionCV_GridSearchCV_elastic_net l1_ratio_non_elasticnet "
            "l1_ratio_None_deprecated scores_attribute_layout_elasticnet "
            "lr_penalty_l1ratio_incompatible",
        ),
        **because(
            SOLVER,
            "saga_vs_liblinear liblinear_dual_random_state logistic_cv "
            "liblinear_not_stuck "
            "sample_and_class_weight_equivalence_liblinear "
            "liblinear_decision_function_zero "
            "warm_start_newton_solver warm_start_converge_LR single_feature_newton_cg "
            "logisticregression_liblinear_sample_weight liblinear_with_large_values "
            "liblinear_multiclass_raises logistic_regression_callback_support_warning",
        ),
        **because(
            SEARCH,
            "multinomial_cv_iris LogisticRegressionCV_on_folds "
            "logistic_cv_folds_with_classes_missing",
        ),
        **because(
            DEPRECATED,
            "penalty_none penalty_deprecated logisticregression_warns_with_n_jobs",
        ),
        "test_sparsify": "calls sparsify, which makes coef_ sparse, and skdigits has "
        "dense weights; its sparse rows are below",
        "test_newton_cholesky_fallback_to_lbfgs": "counts the iterations of "
        "scikit-learn's Newton solver after its fallback to L-BFGS",
        "test_write_parameters": "writes to coef_, which has one row for two classes "
        "there; rewritten below",
        "test_zero_max_iter": "needs max_iter=0, but the minimum is 1, as for an MLP",
        "test_logistic_regression_callback_support": "counts an empty task that "
        "LogisticRegression adds at the end; see tests/test_callbacks.py",
        "test_logistic_regression_callback_fitted_estimator": "looks for tasks with "
        "'iter' in their names and finds none, as skdigits has epochs; see "
        "tests/test_callbacks.py",
    },
    "centroid": {
        **because(
            SHRINKAGE,
            "iris_shrinkage shrinkage_correct shrinkage_threshold_decoded_y "
            "predict_translated_data features_zero_var",
        ),
        **because(PRIORS, "negative_priors_error warn_non_normalized_priors"),
        "test_classification_toy": f"{PRIORS}; its predictions are below",
        "test_manhattan_metric": "has medians as centroids; templates are means "
        "for every metric",
        "test_method_not_available_with_manhattan": "expects no probabilities, and "
        "TemplateMatchingClassifier has them with every metric",
        "test_error_zero_variances": "expects an error for variances of zero, by which "
        "NearestCentroid divides and TemplateMatchingClassifier does not",
    },
}

# These tests pass, but only because they find nothing to check.
LOOK_AT_NOTHING = {"test_logistic_regression_callback_fitted_estimator"}

# scikit-learn's tests, with the cases that apply to skdigits.


class Borrowed(NamedTuple):
    """A test of scikit-learn with skdigits' class in it.

    ``named`` says whether the test names the replaced class. ``cases`` are the names
    and values of each parametrisation, as far as they apply to skdigits.
    """

    function: Callable
    named: bool
    cases: list


def borrow(path, theirs, ours):
    """Load a test module with skdigits' class, and return its tests by name."""
    spec = importlib.util.find_spec(f"sklearn.{path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    setattr(module, theirs.__name__, ours)
    marks = getattr(module, "pytestmark", [])
    marks = [mark.mark for mark in (marks if isinstance(marks, list) else [marks])]
    tests = {name: f for name, f in vars(module).items() if name.startswith("test_")}
    return {
        name: borrowed(function, theirs, ours, marks)
        for name, function in tests.items()
    }


def borrowed(function, theirs, ours, marks):
    named = (
        re.search(rf"\b{theirs.__name__}\b", inspect.getsource(function)) is not None
    )
    cases = []
    for mark in getattr(function, "pytestmark", []):
        if mark.name == "parametrize":
            names, rows = mark.args
            names = (
                [n.strip() for n in names.split(",")]
                if isinstance(names, str)
                else names
            )
            rows = [row if len(names) > 1 else (row,) for row in rows]
            cases.append((names, our_rows(names, rows, theirs, ours)))
        elif mark.name == "filterwarnings":
            marks = [*marks, mark]
    # Later filters take precedence.
    function.pytestmark = [UNFINISHED, *marks]
    return Borrowed(function, named, cases)


UNFINISHED = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning"
).mark


def our_rows(names, rows, theirs, ours):
    """Return the cases that apply, with skdigits' class."""
    kept = []
    for row in rows:
        if all(
            is_ours(name, value, theirs) for name, value in zip(names, row, strict=True)
        ):
            row = tuple(ours if v is theirs else v for v in row)
            if not any(all(map(is_, row, other)) for other in kept):
                kept.append(row)
    return kept


def is_ours(name, value, theirs):
    """Return whether cases with this value apply to skdigits."""
    if inspect.isclass(value) and issubclass(value, BaseEstimator):
        return value is theirs
    if name == "device_name":
        return value in ("cpu", None) or (value == "cuda" and torch.cuda.is_available())
    return name not in OURS or value in OURS[name]


OURS = {
    "solver": ("sgd", "adam", "lbfgs"),
    "fit_intercept": (True,),
    "problem": ("single",),
    "array_namespace": ("numpy", "torch"),
    # Not neg_log_loss: six decimals of it are the same only for fits that stop at
    # tol=1e-4 on one path, and ours is that of standardised features.
    "scoring": ("accuracy", "precision", "f1", "recall"),
}
SLOW = because(
    "takes more than a few seconds",
    "logistic_regression_array_api_compliance logistic_regression_solvers_multiclass "
    "n_iter_no_change_inf partial_fit_classification",
)


def as_our_test(test):
    """Return a test that fails unless it trains a class of skdigits."""

    @wraps(test.function)
    def run(*args, **kwargs):
        TRAINED.clear()
        test.function(*args, **kwargs)
        assert TRAINED

    for names, rows in test.cases:
        run = pytest.mark.parametrize(names, rows)(run)
    return pytest.mark.slow(run) if test.function.__name__ in SLOW else run


BORROWED = {kind: borrow(*what) for kind, what in REPLACED.items()}

for kind, tests in BORROWED.items():
    for name, test in tests.items():
        if test.named and name not in NOT_APPLICABLE[kind]:
            globals()[f"test_{kind}{name.removeprefix('test')}"] = as_our_test(test)


# The tests that are not run.


@pytest.mark.parametrize("kind", REPLACED)
def test_every_test_is_run_or_listed_with_a_reason(kind):
    named = {name for name, test in BORROWED[kind].items() if test.named}
    run = {n for n in named if f"test_{kind}{n.removeprefix('test')}" in globals()}
    listed = NOT_APPLICABLE[kind]
    assert run | listed.keys() == named
    assert not run & listed.keys()
    assert all(len(reason.split()) > 3 for reason in listed.values())
    assert len(run) >= {"mlp": 24, "logistic": 20, "centroid": 2}[kind]


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind, names in NOT_APPLICABLE.items() for name in names],
)
def test_what_is_not_applicable_does_not_pass(kind, name, request, monkeypatch):
    """No case that applies passes, with everything outside skdigits refused."""
    test = BORROWED[kind][name]
    if kind == "logistic":
        space = inspect.unwrap(test.function).__globals__
        monkeypatch.setitem(space, "LogisticRegression", by_lbfgs_only)
        monkeypatch.setitem(space, "LogisticRegressionCV", refuse)
    for rows in itertools.product(*(rows for _, rows in test.cases)):
        pairs = zip(test.cases, rows, strict=True)
        given = {
            n: v for (names, _), row in pairs for n, v in zip(names, row, strict=True)
        }
        missing = inspect.signature(test.function).parameters.keys() - given
        given |= {fixture: request.getfixturevalue(fixture) for fixture in missing}
        assert passes(test.function, given) == (name in LOOK_AT_NOTHING)


def passes(function, given):
    TRAINED.clear()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(**given)
    except (Exception, pytest.fail.Exception):
        return False
    return bool(TRAINED)


def refuse(*args, **settings):
    raise NotOfferedError


def by_lbfgs_only(*args, solver="lbfgs", **settings):
    return logistic_regression(*args, **settings) if solver == "lbfgs" else refuse()


# Tests from NOT_APPLICABLE, rewritten for skdigits.


def test_the_worked_example_of_test_fit():
    """One step from given weights, whose result scikit-learn derives by hand."""
    X, y = np.array([[0.6, 0.8, 0.7]]), np.array([0])
    model = MLPClassifierTorch(
        2,
        activation="logistic",
        solver="sgd",
        alpha=0.1,
        learning_rate_init=0.1,
        momentum=0,
    ).partial_fit(X, y, classes=[0, 1])
    model.coefs_ = [
        np.array([[0.1, 0.2], [0.3, 0.1], [0.5, 0]]),
        np.array([[0.1], [0.2]]),
    ]
    model.intercepts_ = [np.array([0.1, 0.1]), np.array([1.0])]
    model.partial_fit(X, y)
    first = [[0.098, 0.195756], [0.2956664, 0.096008], [0.4939998, -0.002244]]
    assert_allclose(model.coefs_[0], first, atol=1e-3)
    assert_allclose(model.coefs_[1], [[0.04706], [0.154089]], atol=1e-3)
    assert_allclose(model.intercepts_[0], [0.098333, 0.09626], atol=1e-3)
    assert_allclose(model.intercepts_[1], [0.9235], atol=1e-3)
    assert_allclose(model.predict_proba(X)[0, 1], 0.739, atol=1e-3)


def test_names_of_features_are_kept_while_validating():
    """A Pipeline would warn of features that have lost their names."""
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(10, 2)), columns=["a", "b"])
    model = MLPClassifierTorch(
        early_stopping=True, validation_fraction=0.2, max_iter=2, tol=None
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, np.arange(10) % 2)
    assert model.feature_names_in_.tolist() == ["a", "b"]


def test_a_class_too_small_to_be_set_aside_is_named():
    words = "The least populated classes in y have only 1 member.*too few members are: "
    with pytest.raises(ValueError, match=rf"{words}\[1\]"):
        MLPClassifierTorch(early_stopping=True).fit(
            [[1, 2], [2, 3], [3, 4], [4, 5]], [0, 0, 0, 1]
        )


def test_parameters_can_be_written_to():
    X, y = np.array([[-1, 0], [0, 1], [1, 1]]), [0, 1, 1]
    model = SoftmaxRegression(solver="lbfgs").fit(X, y)
    assert np.abs(model.decision_function(X)).min() > 0.1
    model.coef_[:] = 0
    model.intercept_[:] = 0
    assert_allclose(model.decision_function(X), 0)


@pytest.mark.parametrize("coo_container", COO_CONTAINERS)
def test_sparse_and_dense_rows_have_the_same_scores(coo_container):
    X, y = load_iris(return_X_y=True)
    X = scale(X)
    model = SoftmaxRegression(solver="lbfgs").fit(X, y)
    expected = model.decision_function(X)
    assert_allclose(model.decision_function(coo_container(X)), expected)
    assert np.ptp(expected) > 1


@pytest.mark.parametrize("container", [np.array, *CSR_CONTAINERS])
@pytest.mark.parametrize("metric", ["mse", "mae"])
def test_the_toy_sample_of_nearest_centroid(metric, container):
    X, y = [[-2, -1], [-1, -1], [-1, -2], [1, 1], [1, 2], [2, 1]], [-1, -1, -1, 1, 1, 1]
    model = TemplateMatchingClassifier(metric).fit(container(X), y)
    found = model.predict(container([[-1, -1], [2, 2], [3, 2]]))
    assert_array_equal(found, [-1, 1, 1])
