"""Sparse X gives the results of its dense rows, which are made batch by batch."""

import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import NearestCentroid
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    OneHotEncoder,
    StandardScaler,
)
from torch.utils._python_dispatch import TorchDispatchMode

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
    _arrays,
)
from skdigits._sparse import distinct_rows
from skdigits.engine import templates
from skdigits.inspection import confusion_pairs, reliability, top_losses
from skdigits.model_selection import (
    BatchedGridSearchCV,
    BatchedHalvingGridSearchCV,
    BatchedRandomizedSearchCV,
    learning_rate_range_test,
    learning_rate_sweep,
)
from skdigits.training import session

QUICK = {"max_iter": 3, "tol": None, "batch_size": 30, "random_state": 0}
SOFTMAX = SoftmaxRegression(0.03, **QUICK)
MLP = MLPClassifierTorch(12, learning_rate_init=0.02, **QUICK)
MODELS = {
    "templates": TemplateMatchingClassifier(),
    "cosine": TemplateMatchingClassifier("cosine"),
    "two templates": TemplateMatchingClassifier("mae", n_templates=2, random_state=0),
    "softmax": SOFTMAX,
    "lbfgs": SoftmaxRegression(solver="lbfgs", max_iter=4, tol=None),
    "mlp": MLP,
    "conv": ConvNetClassifier(2, learning_rate_init=0.1, augment="shift", **QUICK),
}
each = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
FORMATS = {
    "csr array": sp.csr_array,
    "csr matrix": sp.csr_matrix,
    "csc array": sp.csc_array,
    "csc matrix": sp.csc_matrix,
    "coo array": sp.coo_array,
    "coo matrix": sp.coo_matrix,
    "pandas": lambda a: pd.DataFrame(a).astype(pd.SparseDtype(a.dtype, 0)),
}


@pytest.fixture(scope="module")
def few(digits):
    """Return X and y of 120 digits, half of whose features are 0."""
    return digits[0][:120], digits[1][:120]


def wide(X):
    """Return the same rows with indices of 64 bits."""
    X = sp.csr_array(X)
    X.indices = X.indices.astype(np.int64)
    X.indptr = X.indptr.astype(np.int64)
    return X


def unsorted(X):
    """Return the same rows with their entries in reverse."""
    X = sp.csr_array(X)
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    order = np.lexsort((-X.indices, rows))
    return sp.csr_array((X.data[order], X.indices[order], X.indptr), X.shape)


def duplicated(X):
    """Return the same rows with each entry in two halves, and entries of 0."""
    X = unsorted(X)
    data = np.stack([X.data / 2, X.data / 2, 0 * X.data], 1).ravel()
    return sp.csr_array((data, X.indices.repeat(3), X.indptr * 3), X.shape)


def frozen(X):
    X = sp.csr_array(X)
    for part in (X.data, X.indices, X.indptr):
        part.flags.writeable = False
    return X


ODD = {"wide": wide, "unsorted": unsorted, "duplicated": duplicated, "frozen": frozen}


def assert_same(found, expected):
    assert found.dtype == expected.dtype
    rtol = 1e-10 if found.dtype == np.float64 else 2e-5
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)


def assert_as_dense(model, X, dense, y):
    """Compare with dense rows, in fit and predictions, which are not constant."""
    expected = clone(model).fit(dense, y)
    proba = expected.predict_proba(dense)
    assert np.ptp(proba, axis=0).min() > 0.01

    found = clone(model).fit(X, y)
    assert_same(found.predict_proba(X), proba)
    assert_same(found.decision_function(X), expected.decision_function(dense))
    assert_same(found.predict_log_proba(dense), expected.predict_log_proba(X))
    np.testing.assert_array_equal(found.predict(X), expected.predict(dense))
    assert found.score(X, y) == expected.score(dense, y)
    return found, expected


# Fits and predictions
# -----------------------------------------------------------------------------


@each
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_results_of_dense_rows(model, kind, few):
    X, y = few
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X has feature names|X does not have valid")
        assert_as_dense(model, FORMATS[kind](X), X, y)


@each
@pytest.mark.parametrize("kind", ODD)
def test_entries_in_any_order_and_memory(model, kind, few):
    X, y = few
    X = X * (np.arange(len(X)) % 7 > 0)[:, None]  # rows without entries
    given = ODD[kind](X)
    parts = [part.copy() for part in (given.data, given.indices, given.indptr)]
    found, expected = assert_as_dense(model, given, X, y)
    # The user's matrix stays as it is, and the model does not hold it.
    for before, part in zip(
        parts, (given.data, given.indices, given.indptr), strict=True
    ):
        np.testing.assert_array_equal(part, before)
    assert abs(len(pickle.dumps(found)) - len(pickle.dumps(expected))) < 100


@each
@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64", "int8", "bool"])
def test_every_dtype_means_what_it_means_in_dense_rows(model, dtype, few):
    X, y = few
    X = (255 * X if dtype == "uint8" else 2 * X).round().astype(dtype)
    assert_as_dense(model, sp.csr_array(X), X, y)


def test_a_file_in_memory(few, tmp_path):
    """As joblib passes large arrays to its processes."""
    X, y = few
    joblib.dump(unsorted(X), tmp_path / "X")
    mapped = joblib.load(tmp_path / "X", mmap_mode="r")
    assert isinstance(mapped.data, np.memmap)
    for model in (SOFTMAX, MODELS["two templates"]):
        assert_as_dense(model, mapped, X, y)


@pytest.mark.parametrize("model", [MODELS["templates"], SOFTMAX])
def test_sums_of_duplicates_are_those_of_the_dtype(model, few):
    """In uint8, 200 + 200 is 144, in SciPy's dense rows as well."""
    X, y = few
    half = (200 * (X > 0.5)).astype(np.uint8)
    rows = sp.csr_array(half)
    twice = sp.csr_array(
        (rows.data.repeat(2), rows.indices.repeat(2), 2 * rows.indptr), X.shape
    )
    assert twice.toarray().max() == 144
    assert_as_dense(model, twice, twice.toarray(), y)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_mlpclassifier_learns_the_same_from_sparse_rows(solver, few):
    X, y = sp.csr_matrix(few[0]), few[1]
    options = {"random_state": 0, "max_iter": 5, "shuffle": False}
    with pytest.warns(match="Maximum iterations|failed to converge"):
        theirs = MLPClassifier(8, solver=solver, batch_size=30, **options).fit(X, y)
    with pytest.warns(match="Maximum iterations|failed to converge"):
        ours = MLPClassifierTorch(8, solver=solver, batch_size=30, **options).fit(X, y)
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], atol=1e-8)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), 1e-6)


def test_logistic_regression_and_nearest_centroid(few):
    X, y = sp.csc_array(few[0]), few[1]
    theirs = LogisticRegression(tol=1e-8, max_iter=1000).fit(X, y)
    ours = SoftmaxRegression(
        solver="lbfgs", alpha=1 / X.shape[0], tol=1e-7, max_iter=1000
    )
    np.testing.assert_allclose(ours.fit(X, y).coef_, theirs.coef_, atol=1e-4)

    with pytest.warns(match="zero standard deviation"):
        centroids = NearestCentroid().fit(X, y)
    found = TemplateMatchingClassifier().fit(X, y)
    np.testing.assert_allclose(found.templates_, centroids.centroids_, atol=1e-12)
    np.testing.assert_array_equal(found.predict(X), centroids.predict(X))


def test_distinct_rows_are_those_of_numpy(rng):
    for n_features in (1, 2, 3, 6):
        X = rng.integers(-1, 2, (40, n_features)) * rng.choice([0.5, 1], (40, 1))
        found = distinct_rows(sp.csr_array(X))
        np.testing.assert_array_equal(found.toarray(), np.unique(X, axis=0))


def test_small_tables_with_words_need_no_scaling(rng):
    table = pd.DataFrame({"shop": rng.integers(0, 300, 1000).astype(str)})
    table["age"] = rng.integers(18, 80, 1000)
    old = table["age"] > 50
    words = (OneHotEncoder(), ["shop"])
    X = make_column_transformer(words, remainder="passthrough").fit_transform(table)
    assert sp.issparse(X)

    model = SoftmaxRegression().fit(X, old)
    reference = LogisticRegression(solver="newton-cholesky", tol=1e-8)
    expected = reference.fit(X.toarray(), old).predict_proba(X.toarray())
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=0.01)
    assert model.solver_ == "lbfgs"
    search = BatchedGridSearchCV(SoftmaxRegression(), {"alpha": [0.1, 0.01]}, cv=3)
    assert search.fit(X, old).best_estimator_.solver_ == "lbfgs"


# The arguments of fit
# -----------------------------------------------------------------------------

PARTS = {
    "weights": (MLP, {"sample_weight": np.arange(120) % 4}),
    "balanced": (clone(SOFTMAX).set_params(class_weight="balanced"), {}),
    "early stopping": (clone(MLP).set_params(early_stopping=True), {}),
    "warm start": (clone(SOFTMAX).set_params(warm_start=True), {}),
    "one batch": (clone(MLP).set_params(batch_size=120), {}),
    "in order": (clone(SOFTMAX).set_params(shuffle=False), {}),
    "weights of templates": (MODELS["two templates"], {"sample_weight": np.ones(120)}),
}


@pytest.mark.parametrize(("model", "options"), PARTS.values(), ids=PARTS)
def test_arguments_and_parameters_of_a_fit(model, options, few):
    X, y = few
    dense = clone(model).fit(X, y, **options).fit(X, y, **options)
    sparse = clone(model).fit(sp.csr_array(X), y, **options)
    sparse.fit(sp.coo_array(X), y, **options)
    assert_same(sparse.predict_proba(X), dense.predict_proba(X))
    if hasattr(dense, "history_"):
        found = sparse.history_.drop(columns="seconds")
        expected = dense.history_.drop(columns="seconds")
        pd.testing.assert_frame_equal(found, expected, rtol=1e-10)


@pytest.mark.parametrize("model", [MODELS["templates"], SOFTMAX, MLP])
def test_partial_fit_takes_turns(model, few):
    X, y = few
    dense = clone(model)
    mixed = clone(model)
    for start, kind in ((0, sp.csr_array), (40, np.array), (80, sp.coo_matrix)):
        some = slice(start, start + 40)
        dense.partial_fit(X[some], y[some], classes=range(10))
        mixed.partial_fit(kind(X[some]), y[some], classes=range(10))
    assert_same(mixed.predict_proba(X), dense.predict_proba(X))


@pytest.mark.parametrize(
    "kinds",
    [
        (sp.csr_array, sp.coo_array),
        (sp.csc_matrix, np.array),
        (np.array, sp.csr_matrix),
    ],
)
def test_a_validation_set(kinds, few):
    X, y = few
    rows, validation = kinds
    model = clone(MLP).set_params(early_stopping=True)
    dense = clone(model).fit(X, y, X_val=X[60:], y_val=y[60:])
    model.fit(rows(X), y, X_val=validation(X[60:]), y_val=y[60:])
    np.testing.assert_allclose(
        model.validation_scores_, dense.validation_scores_, rtol=1e-10
    )


@pytest.mark.parametrize("passed", [True, False])
def test_a_scorer_of_the_users_gets_sparse_rows(passed, few):
    X, y = few
    seen = []

    def scorer(model, X, y):
        seen.append((type(X), X.shape))
        return get_scorer("neg_log_loss")(model, X, y)

    validation = {"X_val": sp.csc_matrix(X[:50]), "y_val": y[:50]} if passed else {}
    model = clone(MLP).set_params(early_stopping=True, scoring=scorer)
    model.set_params(validation_fraction=0.2).fit(sp.csr_matrix(X), y, **validation)
    assert seen[0] == (sp.csr_matrix, (50 if passed else 24, 64))

    dense = clone(model).set_params(scoring="neg_log_loss")
    validation = {"X_val": X[:50], "y_val": y[:50]} if passed else {}
    dense.fit(X, y, **validation)
    np.testing.assert_allclose(
        model.validation_scores_, dense.validation_scores_, rtol=1e-10
    )


def test_multilabel_targets(few):
    X, y = few
    labels = (y[:, None] >> np.arange(3)) & 1
    dense = clone(MLP).fit(X, labels)
    sparse = clone(MLP).fit(sp.csr_array(X), sp.csr_array(labels))
    assert_same(sparse.predict_proba(sp.csr_array(X)), dense.predict_proba(X))


def test_inspection(few):
    X, y = few
    model = clone(SOFTMAX).fit(X, y)
    for function in (confusion_pairs, top_losses, reliability):
        found = function(model, sp.csr_array(X), y)
        expected = function(model, X, y)
        tables = (found, expected)
        if not isinstance(found, pd.DataFrame):
            tables = tuple(map(pd.DataFrame, tables))
        pd.testing.assert_frame_equal(*tables)


# Searches
# -----------------------------------------------------------------------------

RATES = {"learning_rate_init": [0.1, 0.03, 0.001]}
PIPE = {"mlpclassifiertorch__learning_rate_init": [0.1, 0.03, 0.001]}
SCALED = make_pipeline(MaxAbsScaler(), MLP)
LBFGS = {"alpha": [0.1, 0.001]}
SEARCHES = {
    "grid": (BatchedGridSearchCV, SOFTMAX, RATES, {"return_epoch_scores": True}),
    "random": (BatchedRandomizedSearchCV, MLP, RATES, {"n_iter": 2, "random_state": 0}),
    "pipeline": (BatchedGridSearchCV, SCALED, PIPE, {"return_train_score": True}),
    "halving": (
        BatchedHalvingGridSearchCV,
        SCALED,
        PIPE,
        {"resource": "mlpclassifiertorch__max_iter", "max_resources": 6},
    ),
    "lbfgs": (BatchedGridSearchCV, MODELS["lbfgs"], LBFGS, {}),
    "alone": (BatchedGridSearchCV, MODELS["conv"], RATES, {}),
    "early stopping": (
        BatchedGridSearchCV,
        clone(MLP).set_params(early_stopping=True, validation_fraction=0.3),
        RATES,
        {},
    ),
    "balanced": (
        BatchedGridSearchCV,
        clone(SOFTMAX).set_params(class_weight="balanced"),
        RATES,
        {"scoring": ["accuracy", "neg_log_loss"], "refit": False},
    ),
}


@pytest.mark.parametrize(
    ("kind", "model", "grid", "options"), SEARCHES.values(), ids=SEARCHES
)
def test_searches(kind, model, grid, options, few):
    X, y = few
    dense = kind(model, grid, cv=2, **options).fit(X, y)
    sparse = kind(model, grid, cv=2, **options).fit(sp.coo_matrix(X), y)
    np.testing.assert_array_equal(sparse.batched_, dense.batched_)
    columns = [name for name in dense.cv_results_ if "test_" in name]
    for name in columns:
        for found, expected in zip(
            sparse.cv_results_[name], dense.cv_results_[name], strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-10)
    if dense.refit:
        assert_same(sparse.predict_proba(sp.csr_array(X)), dense.predict_proba(X))
        assert len(np.unique(dense.cv_results_["mean_test_score"])) > 1


def test_folds_of_which_only_some_are_sparse(few):
    """A step before the model may decide by the density of each fold."""
    X, y = few

    def sometimes(X):
        return sp.csr_array(X) if X[0, 2] > 0.3 else X

    grid = {"mlpclassifiertorch__learning_rate_init": [0.1, 0.001]}
    steps = make_pipeline(FunctionTransformer(sometimes), MLP)
    found = BatchedGridSearchCV(steps, grid, cv=3).fit(X, y)
    expected = BatchedGridSearchCV(make_pipeline(MLP), grid, cv=3).fit(X, y)
    assert found.batched_.all()
    np.testing.assert_allclose(
        found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )


def test_a_scorer_of_a_search_gets_the_users_rows(few):
    X, y = few
    seen = set()

    def scorer(model, X, y):
        seen.add(type(X))
        return model.score(X, y)

    search = BatchedGridSearchCV(MLP, RATES, cv=2, scoring=scorer)
    search.fit(sp.csr_matrix(X), y)
    assert seen == {sp.csr_matrix}
    plain = BatchedGridSearchCV(MLP, RATES, cv=2).fit(X, y)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"]
    )


def test_learning_rates(few):
    X, y = few
    dense = learning_rate_range_test(SCALED, X, y, n_steps=20)
    sparse = learning_rate_range_test(SCALED, sp.csc_array(X), y, n_steps=20)
    np.testing.assert_allclose(sparse.losses, dense.losses, rtol=1e-10)

    rates = [0.001, 0.03]
    dense = learning_rate_sweep(SOFTMAX, X, y, rates=rates, random_state=0)
    sparse = learning_rate_sweep(
        SOFTMAX, sp.csc_array(X), y, rates=rates, random_state=0
    )
    assert sparse.best_rate == dense.best_rate == 0.03
    pd.testing.assert_frame_equal(
        sparse.to_frame().drop(columns="fit_seconds"),
        dense.to_frame().drop(columns="fit_seconds"),
    )


# Tables and texts, as users have them
# -----------------------------------------------------------------------------

WORDS = [["ink", "pen", "nib", "blot"], ["goal", "ball", "foul", "ref"]]


def table(rng):
    """Return a table of letters, classes and numbers, and whether a letter is c."""
    frame = pd.DataFrame(
        {
            "letter": rng.choice(list("abcdefghij"), 200),
            "size": rng.choice(["S", "M", "L"], 200),
            "weight": rng.uniform(size=200),
        }
    )
    y = frame["letter"].isin(list("bcde")) ^ (frame["size"] == "M")
    encoder = (OneHotEncoder(handle_unknown="ignore"), ["letter", "size"])
    columns = make_column_transformer(encoder, remainder="passthrough")
    return frame, y, columns


def texts(rng):
    """Return texts with the words of two subjects, and the subjects."""
    y = rng.integers(2, size=200)
    common = [f"word{n}" for n in range(60)]
    documents = [
        " ".join([*rng.choice(common, 10), *rng.choice(WORDS[subject], 3)])
        for subject in y
    ]
    return documents, y, TfidfVectorizer()


@pytest.mark.parametrize("made", [table, texts])
def test_encoders_before_the_model_in_a_batched_search(made, rng):
    X, y, encoder = made(rng)
    dense = FunctionTransformer(lambda X: X.toarray(), accept_sparse=True)
    model = MLPClassifierTorch(16, max_iter=20, tol=None, random_state=0)
    grid = {"model__learning_rate_init": [0.03, 0.0001]}

    def search(kind, *steps):
        pipeline = make_pipeline(*steps, model)
        pipeline.steps[-1] = ("model", model)
        return kind(pipeline, grid, cv=3).fit(X, y)

    assert sp.issparse(encoder.fit_transform(X))
    found = search(BatchedGridSearchCV, encoder)
    expected = search(GridSearchCV, encoder, dense)
    assert found.batched_.all()
    assert found.best_score_ > 0.8 > 0.2 + min(found.cv_results_["mean_test_score"])
    np.testing.assert_allclose(
        found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )
    assert_same(found.predict_proba(X), expected.predict_proba(X))


# Threads and memory
# -----------------------------------------------------------------------------


@pytest.fixture
def in_parts(monkeypatch, resize):
    """Deal everything out to threads, in chunks and blocks of a few samples."""
    monkeypatch.setattr(_arrays, "DEALT", 1)
    monkeypatch.setattr(session, "AHEAD", 1)
    resize(block_samples=16, chunk_samples=16)
    monkeypatch.setattr(templates, "CHUNK_ROWS", 16)
    monkeypatch.setattr(_arrays, "n_cores", lambda: 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@each
def test_work_dealt_out_to_threads(model, few, in_parts):
    X, y = few
    X, y = np.tile(X, (2, 1)), np.tile(y, 2)
    assert_as_dense(model, sp.csr_array(X), X, y)


def test_a_search_dealt_out_to_threads(few, in_parts):
    X, y = few
    dense = BatchedGridSearchCV(MLP, RATES, cv=2).fit(X, y)
    sparse = BatchedGridSearchCV(MLP, RATES, cv=2).fit(sp.csr_array(X), y)
    np.testing.assert_allclose(
        sparse.cv_results_["mean_test_score"], dense.cv_results_["mean_test_score"]
    )
    assert_same(sparse.predict_proba(X), dense.predict_proba(X))


class Largest(TorchDispatchMode):
    """Note the most bytes of a tensor that an operation of torch returns."""

    nbytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for one in found if isinstance(found, (tuple, list)) else [found]:
            if isinstance(one, torch.Tensor):
                self.nbytes = max(self.nbytes, one.nbytes)
        return found


def large(n_samples=800, n_features=4000):
    """Return sparse rows of which dense ones would take 26 MB, and classes."""
    rng = np.random.default_rng(0)
    columns = rng.integers(n_features, size=(n_samples, 5)).ravel()
    rows = np.arange(n_samples).repeat(5)
    X = sp.csr_array(
        (rng.uniform(size=len(rows)), (rows, columns)), (n_samples, n_features)
    )
    return X, np.arange(n_samples) % 2


LARGE = {
    "softmax": SoftmaxRegression(**QUICK | {"max_iter": 1}),
    "lbfgs": SoftmaxRegression(solver="lbfgs", max_iter=2, tol=None),
    "mlp": MLPClassifierTorch(4, early_stopping=True, **QUICK | {"max_iter": 1}),
    "conv": ConvNetClassifier(1, image_shape=(50, 80), **QUICK | {"max_iter": 1}),
    "templates": TemplateMatchingClassifier(),
}


@pytest.fixture
def few_at_once(monkeypatch, resize):
    """Let chunks and blocks of samples be small, as for wider ones."""
    resize(chunk_numbers=2**18, block_numbers=2**18)
    monkeypatch.setattr(templates, "CHUNK_NUMBERS", 2**18)


@pytest.mark.parametrize("model", LARGE.values(), ids=LARGE)
def test_no_tensor_is_as_large_as_the_dense_rows(model, few_at_once):
    X, y = large()
    model = clone(model)
    with Largest() as fitting:
        model.fit(X, y)
    with Largest() as predicting:
        model.predict_proba(X)
    dense = 8 * X.shape[0] * X.shape[1]
    assert 8 * X.shape[1] <= fitting.nbytes < dense / 8
    assert 8 * X.shape[1] <= predicting.nbytes < dense / 8


@pytest.mark.parametrize("model", [LARGE["softmax"], LARGE["lbfgs"]])
def test_no_tensor_of_a_search_is_as_large_as_the_dense_rows(model, few_at_once):
    X, y = large()
    steps = make_pipeline(MaxAbsScaler(), model)
    for estimator, name in ((model, "alpha"), (steps, "softmaxregression__alpha")):
        search = BatchedGridSearchCV(estimator, {name: [0.1, 1]}, cv=2)
        with Largest() as searching:
            search.fit(X, y)
        assert search.batched_.all()
        assert searching.nbytes < 8 * X.shape[0] * X.shape[1] / 8


# Errors and warnings
# -----------------------------------------------------------------------------


@each
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_named(model, bad, few):
    X, y = few
    fitted = clone(model).fit(X, y)
    wrong = sp.csr_array(X)
    wrong.data[3] = bad
    words = "Input X contains (NaN|infinity)"
    with pytest.raises(ValueError, match=words):
        clone(model).fit(wrong, y)
    with pytest.raises(ValueError, match=words):
        fitted.predict(wrong)
    if hasattr(model, "scoring"):
        with pytest.raises(ValueError, match=r"\(X_val, y_val\): " + words):
            clone(model).fit(X, y, X_val=wrong, y_val=y)


def test_the_sum_of_duplicates_may_be_infinite(few):
    X = sp.csr_array(([1e308, 1e308], [0, 0], [0, 2, 2]), (2, 3))
    for model in (MODELS["templates"], SOFTMAX):
        with pytest.raises(ValueError, match="Input X contains infinity"):
            clone(model).fit(X, [0, 1])


@each
def test_other_numbers_of_features_and_samples(model, few):
    X, y = few
    fitted = clone(model).fit(X, y)
    with pytest.raises(ValueError, match=r"X has 60 features, but .* is expecting 64"):
        fitted.predict(sp.csr_array(X[:, :60]))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clone(model).fit(sp.csr_array(X), y[:-1])
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        fitted.predict(sp.csr_array(X[:0]))


@pytest.mark.parametrize("dispatch", [False, True])
@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr"])
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_the_cures_for_a_sparse_tensor_work(dispatch, layout, few):
    X, y = few
    tensor = getattr(torch.tensor(X), layout)()
    with config_context(array_api_dispatch=dispatch):
        with pytest.raises(TypeError, match=r"sparse tensor.*X\.to_dense\(\).*SciPy"):
            clone(SOFTMAX).fit(tensor, y)
        labels = torch.tensor(y) if dispatch else y
        clone(SOFTMAX).fit(tensor.to_dense(), labels)
        clone(SOFTMAX).fit(sp.csr_array(tensor.to_dense().numpy()), y)


def test_sparse_rows_under_dispatch(few):
    X, y = few
    expected = clone(SOFTMAX).fit(X, y).predict_proba(X)
    with config_context(array_api_dispatch=True):
        model = clone(SOFTMAX).fit(sp.csr_array(X), y)
        assert_same(model.predict_proba(sp.csr_array(X)), expected)
        model.fit(torch.tensor(X), torch.tensor(y))
        with pytest.raises(ValueError, match="same namespace"):
            model.predict(sp.csr_array(X))


def test_the_cure_for_large_features_fits_sparse_rows(few):
    X, y = sp.csr_array(1000 * few[0]), few[1]
    with pytest.warns(match="descent needs it near 1.*put a MaxAbsScaler before"):
        clone(MLP).fit(X, y)
    make_pipeline(MaxAbsScaler(), clone(MLP)).fit(X, y)
    with pytest.raises(ValueError, match="Cannot center sparse"):
        make_pipeline(StandardScaler(), clone(MLP)).fit(X, y)


@pytest.mark.parametrize("model", [MODELS["templates"], SOFTMAX])
def test_pixels_and_fractions_do_not_mix_silently(model, few):
    X, y = few
    pixels = sp.csr_array((255 * X).astype(np.uint8))
    fitted = clone(model).fit(pixels, y)
    with pytest.warns(match="uint8.*values up to 255"):
        fitted.predict(pixels.astype(float))


def test_sparse_columns_beside_dense_ones(few):
    """As scikit-learn has it: the frame becomes dense, with a warning."""
    X, y = few
    frame = pd.DataFrame(X)
    frame[0] = frame[0].astype(pd.SparseDtype(float, 0))
    with pytest.warns(match="DataFrame with sparse columns found"):
        found = clone(SOFTMAX).fit(frame, y)
    assert_same(found.coef_, clone(SOFTMAX).fit(X, y).coef_)


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "uint64", "int16"])
def test_integers_of_any_width_are_pixels_as_in_dense_rows(digits, dtype):
    X = (digits[0] * 255).astype(dtype)
    model = SoftmaxRegression(solver="lbfgs", max_iter=20, tol=None)
    dense = clone(model).fit(X, digits[1])
    found = model.fit(sp.csr_array(X), digits[1])
    assert dense.pixels_
    assert found.pixels_
    np.testing.assert_allclose(
        found.predict_proba(sp.csr_array(X)), dense.predict_proba(X), atol=1e-5
    )
