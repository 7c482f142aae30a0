"""Pipelines, folds of all kinds, and the forms that rows and labels come in."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    LeaveOneGroupOut,
    RepeatedStratifiedKFold,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from small_models import in_vain, mlp, softmax

from skdigits.model_selection import BatchedGridSearchCV

RATES = {"learning_rate_init": [0.1, 0.01]}
MODEL_RATES = {"model__learning_rate_init": [0.1, 0.01]}
FITTED = []  # rows of each fit of Counting, whatever it is cloned to
TRANSFORMED = []


class Counting(TransformerMixin, BaseEstimator):
    """Multiplies, and counts how often it is fitted and how often it transforms."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def fit(self, X, y=None):
        FITTED.append(len(X))
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        TRANSFORMED.append(len(X))
        return X * self.factor


def piped(model, *, scale=None):
    return Pipeline([("scale", scale or StandardScaler()), ("model", model)])


@pytest.fixture
def fitted():
    FITTED.clear()
    TRANSFORMED.clear()
    return FITTED


@in_vain
@pytest.mark.parametrize(
    "model", [softmax(), mlp(), mlp(solver="lbfgs"), mlp(dropout=0.3)]
)
def test_a_pipeline(model, few, assert_same_search):
    assert_same_search(piped(model), MODEL_RATES, *few)


def test_a_pipeline_with_early_stopping(few, assert_same_search):
    model = mlp(early_stopping=True, validation_fraction=0.2)
    grid = {"model__random_state": [0, 1], **MODEL_RATES}
    assert_same_search(piped(model), grid, *few)


def test_a_pipeline_of_several_steps_and_settings(few, assert_same_search):
    pipeline = Pipeline(
        [("scale", MinMaxScaler()), ("pca", PCA(5)), ("model", softmax())]
    )
    grid = {"pca__n_components": [5, 10], "pca__whiten": [True, False], **MODEL_RATES}
    assert_same_search(pipeline, grid, *few)


def test_steps_are_replaced(few, assert_same_search):
    scalers = ["passthrough", StandardScaler(), MinMaxScaler(), None]
    assert_same_search(piped(softmax()), {"scale": scalers, **MODEL_RATES}, *few)


def test_the_model_is_replaced(few, assert_same_search):
    grid = {"model": [softmax(), mlp()], **MODEL_RATES}
    assert_same_search(piped(softmax()), grid, *few)


def test_a_model_that_is_replaced_by_nothing_of_ours(few, assert_same_search):
    grid = [MODEL_RATES, {"model": [LogisticRegression()]}]
    assert_same_search(piped(softmax()), grid, *few, batched=[True, True, False])


def test_a_pipeline_of_one_step(few, assert_same_search):
    assert_same_search(Pipeline([("model", mlp())]), MODEL_RATES, *few)


def test_a_pipeline_within_a_pipeline(few, assert_same_search):
    inner = make_pipeline(StandardScaler(), PCA(8, random_state=0))
    assert_same_search(piped(mlp(), scale=inner), MODEL_RATES, *few)


def test_a_model_in_an_inner_pipeline_goes_scikit_learns_way(few, assert_same_search):
    pipeline = Pipeline([("outer", piped(softmax()))])
    grid = {"outer__model__alpha": [0.1, 1.0]}
    assert_same_search(pipeline, grid, *few, batched=False)


def test_steps_are_fitted_once_a_fold_and_setting(few, fitted):
    pipeline = piped(mlp(), scale=Counting())
    grid = {
        "scale__factor": [1.0, 2.0],
        "model__hidden_layer_sizes": [3, 5],
        "model__random_state": [0, 1],
        **MODEL_RATES,
    }
    search = BatchedGridSearchCV(pipeline, grid, cv=3, refit=False).fit(*few)
    assert search.batched_.all()
    assert fitted == [160] * 3 * 2
    assert TRANSFORMED == [160, 80] * 3 * 2


def test_steps_are_fitted_once_more_to_all_rows(few, fitted):
    for refit_epochs in (None, "best"):
        fitted.clear()
        pipeline = piped(softmax(), scale=Counting())
        BatchedGridSearchCV(pipeline, MODEL_RATES, cv=3, refit_epochs=refit_epochs).fit(
            *few
        )
        assert fitted == [160, 160, 160, 240]


def test_steps_with_random_states(few, assert_same_search):
    pca = PCA(4, svd_solver="randomized", random_state=3)
    assert_same_search(piped(softmax(), scale=pca), MODEL_RATES, *few)


def test_a_pipeline_that_remembers_its_steps(few, tmp_path, assert_same_search):
    pipeline = piped(softmax()).set_params(memory=str(tmp_path))
    assert_same_search(pipeline, MODEL_RATES, *few)


def test_steps_that_leave_fewer_columns_in_one_fold(few, assert_same_search):
    """Folds that the steps make unlike each other cannot share a run."""

    class Dropping(TransformerMixin, BaseEstimator):
        def fit(self, X, y=None):
            self.kept_ = X.mean(0) > 0.35
            return self

        def transform(self, X):
            return X[:, self.kept_]

    assert_same_search(piped(softmax(), scale=Dropping()), MODEL_RATES, *few)


@pytest.mark.parametrize("return_train_score", [False, True])
@pytest.mark.parametrize("scoring", ["neg_log_loss", "callable"])
def test_steps_that_name_other_features_in_each_fold(
    return_train_score, scoring, few, assert_same_search
):
    """As many features in each fold, but not the same ones."""

    def accuracy(estimator, X, y):
        return float(np.mean(estimator.predict(X) == y))

    X, y = few
    frame = pd.DataFrame(X, columns=[f"pixel{i}" for i in range(64)])
    best = SelectKBest(
        lambda X, y: f_classif(X + 1e-3 * np.arange(len(X))[:, None] ** 2, y)
    )
    best.set_params(k=9).set_output(transform="pandas")
    kept = [
        tuple(best.fit(frame.iloc[rows], y[rows]).get_feature_names_out())
        for rows in (np.arange(0, 160), np.arange(80, 240))
    ]
    assert kept[0] != kept[1]
    options = {
        "cv": [
            (np.arange(160), np.arange(160, 240)),
            (np.arange(80, 240), np.arange(80)),
        ],
        "scoring": accuracy if scoring == "callable" else scoring,
        "return_train_score": return_train_score,
        "refit": False,
        "batched": None,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as errors, they would hide what users get
        assert_same_search(
            piped(softmax(), scale=best), MODEL_RATES, frame, y, **options
        )


def test_folds_of_unlike_sizes(digits, assert_same_search):
    X, y = digits
    assert_same_search(mlp(), RATES, X[:241], y[:241], cv=4)


def test_repeated_folds(few, assert_same_search):
    cv = RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0)
    assert_same_search(mlp(), RATES, *few, cv=cv)


def test_folds_that_draw_rows_with_replacement(few, rng, assert_same_search):
    cv = [(rng.integers(0, 200, 200), np.arange(200, 240)) for _ in range(2)]
    assert_same_search(mlp(), RATES, *few, cv=cv)
    weight = rng.integers(0, 2, 240).astype(float)
    assert_same_search(mlp(), RATES, *few, cv=cv, fit_params={"sample_weight": weight})


def test_folds_as_lists(few, assert_same_search):
    cv = [(list(range(160)), list(range(160, 240)))]
    assert_same_search(mlp(), RATES, *few, cv=cv)


def test_folds_counted_from_the_end(few, rng, assert_same_search):
    """Whether batched or not."""
    train = np.concatenate([np.arange(100), np.arange(-100, 0)])
    options = {"cv": [(train, np.arange(100, 140))] * 2, "batched": None}
    params = {"sample_weight": rng.integers(0, 3, 240).astype(float)}
    assert_same_search(mlp(), RATES, *few, **options)
    assert_same_search(mlp(), RATES, *few, **options, fit_params=params)


def test_one_fold_and_one_candidate_is_alone(few, assert_same_search):
    cv = [(np.arange(160), np.arange(160, 240))]
    assert_same_search(mlp(), {"alpha": [0.1]}, *few, cv=cv, batched=False)


def lacking(y):
    """Two folds; class 3 is in the train rows of the first only."""
    without = np.flatnonzero(y != 3)
    return [(np.arange(0, 160), np.arange(160, 240)), (without[:150], without[150:])]


def test_a_fold_that_lacks_a_class(few, assert_same_search):
    X, y = few
    grid = {"learning_rate_init": [0.1, 0.01], "random_state": [0, 1]}
    options = {"cv": lacking(y), "scoring": "accuracy", "batched": False}
    assert_same_search(mlp(), grid, X, y, **options)


def test_a_fold_that_lacks_a_class_in_a_pipeline(few, assert_same_search):
    X, y = few
    options = {"cv": lacking(y), "scoring": "accuracy"}
    assert_same_search(piped(mlp()), MODEL_RATES, X, y, **options)


def test_a_class_without_weight(few, assert_same_search):
    """It is none of the classes, in every fold."""
    X, y = few
    params = {"sample_weight": (y != 4).astype(float)}
    assert_same_search(mlp(), RATES, X, y, fit_params=params, scoring="accuracy")


def test_groups(few, assert_same_search):
    params = {"groups": np.arange(240) % 4}
    for cv in (GroupKFold(4), LeaveOneGroupOut()):
        options = {"cv": cv, "fit_params": params, "scoring": "accuracy"}
        assert_same_search(mlp(), RATES, *few, **options)


def test_groups_that_are_missing(few):
    with pytest.raises(ValueError, match="'groups' parameter should not be None"):
        BatchedGridSearchCV(mlp(), RATES, cv=GroupKFold(4)).fit(*few)


@pytest.mark.parametrize("model", [softmax(), mlp()])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_dtypes(model, dtype, few, assert_same_results):
    X = (few[0] * (255 if dtype == "uint8" else 1)).astype(dtype)
    options = {"cv": 3, "scoring": "neg_log_loss", "return_train_score": True}
    found = BatchedGridSearchCV(model, RATES, **options).fit(X, few[1])
    expected = GridSearchCV(model, RATES, **options).fit(X, few[1])
    assert found.batched_.all()
    assert_same_results(found, expected, rtol=1e-4)
    assert found.best_estimator_._layers[0][0].dtype == np.float32


@pytest.mark.parametrize("model", [softmax(), piped(mlp())])
def test_frames_and_labels_that_are_words(model, few, assert_same_search):
    X, y = few
    frame = pd.DataFrame(X, columns=[f"pixel{i}" for i in range(64)])
    names = pd.Series(np.array(list("abcdefghij"))[y], index=np.arange(240)[::-1])
    rates = MODEL_RATES if isinstance(model, Pipeline) else RATES
    for scoring in ("neg_log_loss", "accuracy", "roc_auc_ovr"):
        options = {"scoring": scoring, "return_train_score": True}
        search = assert_same_search(model, rates, frame, names, **options)
    assert search.feature_names_in_.tolist() == list(frame.columns)
    assert search.predict(frame[:3]).tolist() == search.predict(frame)[:3].tolist()
    assert search.n_features_in_ == 64


def test_lists_of_rows(few, assert_same_search):
    X, y = few
    assert_same_search(softmax(), RATES, X.tolist(), y.tolist())


@pytest.mark.parametrize(
    "scoring", ["roc_auc", "neg_log_loss", "f1", "average_precision"]
)
def test_two_classes(scoring, few, assert_same_search):
    X, y = few
    grid = {"learning_rate_init": [0.01, 0.003]}
    assert_same_search(mlp(), grid, X, (y > 4).astype(int), scoring=scoring)


def test_steps_that_take_words(few, assert_same_search):
    """What the model can learn from is for the steps before it to make."""
    X, y = few
    frame = pd.DataFrame(X).map("{:.6f}".format)
    numbers = FunctionTransformer(lambda frame: frame.to_numpy().astype(float))
    assert_same_search(piped(softmax(), scale=numbers), MODEL_RATES, frame, y)


@pytest.mark.filterwarnings("ignore:Some fits failed")
def test_rows_that_cannot_be_learnt_from(few):
    X, y = few[0].copy(), few[1]
    X[0, 0] = np.nan
    for Search in (BatchedGridSearchCV, GridSearchCV):
        with pytest.raises(
            ValueError, match=r"All the 6 fits failed(.|\n)*contains NaN"
        ):
            Search(
                softmax(), RATES, cv=[(np.arange(150), np.arange(150, 240))] * 3
            ).fit(X, y)


def test_a_label_for_every_row_is_needed(few):
    X, y = few
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        BatchedGridSearchCV(softmax(), RATES).fit(X, y[:-1])
