"""Samples, labels and weights of any kind give the results of plain arrays."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.model_selection import BatchedGridSearchCV

QUICK = {"max_iter": 4, "tol": None, "batch_size": 30, "random_state": 0}
MODELS = [
    TemplateMatchingClassifier(),
    TemplateMatchingClassifier("cosine", n_templates=2, random_state=0),
    SoftmaxRegression(0.03, **QUICK),
    SoftmaxRegression(solver="lbfgs", max_iter=4, tol=None),
    MLPClassifierTorch(12, learning_rate_init=0.02, **QUICK),
    ConvNetClassifier(2, learning_rate_init=0.1, **QUICK),
]
NAMES = ["templates", "two templates", "softmax", "lbfgs", "mlp", "conv"]
each = pytest.mark.parametrize("model", MODELS, ids=NAMES)
one_of_each = pytest.mark.parametrize("model", MODELS[::2], ids=NAMES[::2])

# Another memory layout adds up the 64 products of a sum in another order. Four epochs
# may amplify the difference a hundred times.
ROUNDINGS = {np.dtype(t): 64 * np.finfo(t).eps for t in (np.float32, np.float64)}


@pytest.fixture(scope="module")
def few(digits):
    """Return X and y of 120 digits, in steps of 1/16."""
    return digits[0][:120], digits[1][:120]


def assert_same(found, expected):
    assert found.dtype == expected.dtype
    tolerance = ROUNDINGS.get(expected.dtype, 0)
    largest = np.abs(expected).max()
    np.testing.assert_allclose(
        found, expected, rtol=100 * tolerance, atol=largest * tolerance
    )


def assert_as_good(model, given, plain, y):
    """Compare with a plain array of the same values, in fit and in predictions."""
    expected = clone(model).fit(plain, y)
    proba = expected.predict_proba(plain)
    # Constant probabilities would be equal for any input.
    assert np.ptp(proba, axis=0).min() > 0.01
    found = clone(model).fit(given, y)
    assert_same(found.predict_proba(given), proba)
    np.testing.assert_array_equal(found.predict(given), proba.argmax(1))


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def packed(a):
    """Return a field of records, whose stride is an odd number of bytes."""
    records = np.zeros(len(a), dtype=[("tag", "u1"), ("values", a.dtype, a.shape[1:])])
    records["values"] = a
    return records["values"]


def unaligned(a):
    memory = np.zeros(a.nbytes + 1, dtype=np.uint8)[1:]
    memory[:] = np.frombuffer(a.tobytes(), dtype=np.uint8)
    return memory.view(a.dtype).reshape(a.shape)


LAYOUTS = {
    "fortran": np.asfortranarray,
    "every second column": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "columns of a wider one": lambda a: np.hstack([a, a])[:, : a.shape[1]],
    "rows backwards": lambda a: a[::-1].copy()[::-1],
    "columns backwards": lambda a: a[:, ::-1].copy()[:, ::-1],
    "read-only": read_only,
    "broadcast": lambda a: np.broadcast_to(a, (2, *a.shape))[1],
    "packed": packed,
    "unaligned": unaligned,
}


@each
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8"])
def test_memory_of_any_layout(model, layout, dtype, few):
    X, y = few
    plain = (X * 255).astype(dtype) if dtype == "uint8" else X.astype(dtype)
    given = LAYOUTS[layout](plain)
    assert (
        layout in ("broadcast", "unaligned", "read-only")
        or given.strides != plain.strides
    )
    np.testing.assert_array_equal(given, plain)
    assert_as_good(model, given, plain, y)


@each
@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8"])
def test_memory_mapped_rows(model, dtype, few, tmp_path):
    X, y = few
    plain = (X * 255).astype(dtype) if dtype == "uint8" else X.astype(dtype)
    np.save(tmp_path / "X.npy", plain)
    for mode in ("r", "r+", "c"):
        given = np.load(tmp_path / "X.npy", mmap_mode=mode)
        assert isinstance(given, np.memmap)
        assert_as_good(model, given, plain, y)
    np.testing.assert_array_equal(np.load(tmp_path / "X.npy"), plain)


@each
@pytest.mark.parametrize(
    "dtype",
    [
        "f2",
        ">f2",
        ">f4",
        ">f8",
        "g",
        "i1",
        "i2",
        ">i4",
        "i8",
        "u2",
        ">u8",
        "?",
        "O",
        "U",
    ],
)
def test_other_dtypes_are_float64(model, dtype, few):
    """Numbers keep their values: only uint8 means pixels."""
    X, y = few
    plain = (X > 0.5 if dtype == "?" else X * 16).astype(np.float64)
    given = plain.astype(dtype)
    np.testing.assert_array_equal(given.astype(np.float64), plain)
    assert_as_good(model, given, plain, y)


def big_endian(a):
    return a.astype(a.dtype.newbyteorder(">"))


@each
@pytest.mark.parametrize("dtype", ["float64", "float32", "int32"])
def test_numbers_in_the_other_order_of_bytes(model, dtype, few):
    """A DataFrame keeps the order of files, and torch has the machine's alone."""
    X, y = few
    plain = pd.DataFrame((X * 255 if dtype == "int32" else X).astype(dtype))
    given = plain.apply(big_endian)
    assert not given.dtypes[0].isnative
    weight = np.linspace(0.5, 2, len(y))
    expected = clone(model).fit(plain, y, weight)
    validation = {}
    if hasattr(model, "solver"):
        validation = {"X_val": given, "y_val": pd.Series(big_endian(y))}

    labels, weights = pd.Series(big_endian(y)), pd.Series(big_endian(weight))
    found = clone(model).fit(given, labels, weights, **validation)
    proba = expected.predict_proba(plain)
    assert np.ptp(proba, 0).max() > 1e-3
    for query in (given, plain, plain.to_numpy()[:9], given.to_numpy()[:9]):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "X does not have valid feature names")
            got = found.predict_proba(query)
        np.testing.assert_allclose(got, proba[: len(query)], rtol=1e-4, atol=1e-6)


@one_of_each
@pytest.mark.parametrize(
    "convert",
    [
        np.ndarray.tolist,
        list,
        lambda a: tuple(map(tuple, a)),
        np.ma.masked_array,
        memoryview,
        pd.DataFrame,
        lambda a: pd.DataFrame(a).astype("Float64"),
        lambda a: pd.DataFrame(a).astype(object),
        lambda a: pd.DataFrame(a).astype(dict.fromkeys(range(0, 64, 2), "f4")),
        lambda a: pd.DataFrame(np.asfortranarray(a), index=range(900, 900 + len(a))),
        pl.DataFrame,
        lambda a: pl.DataFrame(a)[::-1][::-1],
    ],
    ids=[
        "list", "list of arrays", "tuple", "masked", "memoryview", "pandas", "Float64",
        "objects", "two dtypes", "index", "polars", "polars backwards",
    ],
)  # fmt: skip
def test_containers(model, convert, few):
    assert_as_good(model, convert(few[0]), *few)


NULLABLE = {"uint8": "UInt8", "float32": "Float32"}
FRAMES = {
    "pandas": pd.DataFrame,
    "nullable": lambda a: pd.DataFrame(a).astype(NULLABLE[a.dtype.name]),
    "polars": pl.DataFrame,
}


@one_of_each
@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("dispatch", [False, True])
def test_frames_of_float32_and_pixels_stay_what_they_are(
    model, frame, dtype, dispatch, few
):
    X, y = few
    plain = (X * 255).astype(dtype) if dtype == "uint8" else X.astype(dtype)
    with config_context(array_api_dispatch=dispatch):
        assert_as_good(model, FRAMES[frame](plain), plain, y)


@one_of_each
@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_frames_have_names(model, library, few):
    X, y = few
    names = [f"pixel{column}" for column in range(64)]
    given = library.DataFrame(dict(zip(names, X.T, strict=True)))
    fitted = clone(model).fit(given, y)
    assert fitted.feature_names_in_.tolist() == names
    other = (pl if library is pd else pd).DataFrame(dict(zip(names, X.T, strict=True)))
    assert_same(fitted.predict_proba(other), fitted.predict_proba(given))
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(given[names[::-1]])


@one_of_each
@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame(
            {"a": [1, None], "b": [2, 3]}, schema={"a": pl.UInt8, "b": pl.UInt8}
        ),
        pl.DataFrame({"a": [1.0, None], "b": [2.0, 3.0]}),
        pd.DataFrame({"a": [1, None], "b": [2, 3]}, dtype="UInt8"),
        pd.DataFrame({"a": [1.0, None], "b": [2.0, 3.0]}, dtype="Float32"),
    ],
    ids=["polars bytes", "polars", "pandas bytes", "pandas"],
)
def test_what_is_missing_in_a_frame_is_an_error(model, frame):
    with pytest.raises(ValueError, match="Input X contains NaN"):
        clone(model).fit(frame, [0, 1])


@each
@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8"])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_predictions_batch_by_batch_are_those_of_the_whole(model, dtype, size, few):
    X, y = few
    X = (X * 255).astype(dtype) if dtype == "uint8" else X.astype(dtype)
    fitted = clone(model).fit(X, y)
    for method in (fitted.predict_proba, fitted.decision_function, fitted.predict):
        parts = [method(X[at : at + size]) for at in range(0, len(X), size)]
        assert_same(np.concatenate(parts), method(X))


WORDS = np.array(
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "8", "9"]
)
LABELS = {
    "list": lambda y: y.tolist(),
    "tuple": lambda y: tuple(y.tolist()),
    "int8": lambda y: y.astype("i1"),
    "uint8": lambda y: y.astype("u1"),
    "uint64": lambda y: y.astype("u8") + np.uint64(2**63),
    "negative": lambda y: -3 * y,
    "big-endian": lambda y: y.astype(">i2"),
    "whole floats": lambda y: y.astype("f4"),
    "float16": lambda y: y.astype("f2"),
    "bool": lambda y: y > 4,
    "backwards": lambda y: y[::-1].copy()[::-1],
    "strided": lambda y: np.repeat(y, 2)[::2],
    "read-only": read_only,
    "unaligned": unaligned,
    "words": lambda y: WORDS[y],
    "list of words": lambda y: WORDS[y].tolist(),
    "objects": lambda y: WORDS[y].astype(object),
    "dates": lambda y: y.astype("M8[D]"),
    "series": pd.Series,
    "series of words": lambda y: pd.Series(WORDS[y], index=range(100, 100 + len(y))),
    "category": lambda y: pd.Series(pd.Categorical(WORDS[y])),
    "Int64": lambda y: pd.Series(y, dtype="Int64"),
    "string": lambda y: pd.Series(WORDS[y], dtype="string"),
    "index": pd.Index,
    "polars": pl.Series,
    "polars words": lambda y: pl.Series(WORDS[y].tolist()),
    "polars categories": lambda y: pl.Series(WORDS[y].tolist(), dtype=pl.Categorical),
    "polars bools": lambda y: pl.Series(y > 4),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@one_of_each
@pytest.mark.parametrize("kind", LABELS)
def test_labels(model, kind, few):
    """Compare with LogisticRegression, and with labels encoded as integers."""
    X, y = few
    given = LABELS[kind](y)
    # LogisticRegression makes floats of nullable integers.
    plain = np.asarray(given) if kind == "Int64" else given
    oracle = LogisticRegression(max_iter=2).fit(X, plain)
    found = clone(model).fit(X, given)
    assert found.classes_.dtype == oracle.classes_.dtype
    np.testing.assert_array_equal(found.classes_, oracle.classes_)
    codes = np.unique(np.asarray(given), return_inverse=True)[1]
    expected = clone(model).fit(X, codes)
    np.testing.assert_array_equal(found.predict_proba(X), expected.predict_proba(X))
    predicted = found.predict(X)
    assert predicted.dtype == oracle.predict(X).dtype
    np.testing.assert_array_equal(predicted, oracle.classes_[expected.predict(X)])
    assert found.score(X, given) == (expected.predict(X) == codes).mean() > 0.5


@one_of_each
def test_a_column_of_labels_is_taken_with_a_warning(model, few):
    X, y = few
    for column in (y[:, None], pd.DataFrame({"y": y}), pl.DataFrame({"y": y})):
        with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
            found = clone(model).fit(X, column)
        expected = clone(model).fit(X, y).predict_proba(X)
        np.testing.assert_array_equal(found.predict_proba(X), expected)


@one_of_each
@pytest.mark.parametrize(
    "convert",
    [list, tuple, range, np.array, pd.Index, pd.Series, pl.Series, lambda c: c[::-1]],
    ids=["list", "tuple", "range", "array", "index", "series", "polars", "reversed"],
)
def test_classes_of_a_partial_fit(model, convert, few):
    X, y = few
    given = range(10) if convert is range else convert(list(range(10)))
    # The other classes have no samples yet.
    rows = y < 7
    found = clone(model).partial_fit(X[rows], y[rows], classes=given)
    expected = clone(model).partial_fit(X[rows], y[rows], classes=np.arange(10))
    assert found.classes_.tolist() == list(range(10))
    np.testing.assert_array_equal(found.predict_proba(X), expected.predict_proba(X))


WEIGHTS = {
    "list": np.ndarray.tolist,
    "series": lambda w: pd.Series(w, index=np.arange(len(w))[::-1]),
    "Float64": lambda w: pd.Series(w, dtype="Float64"),
    "polars": pl.Series,
    "float16": lambda w: w.astype("f2"),
    "float32": lambda w: w.astype("f4"),
    "big-endian": lambda w: w.astype(">f8"),
    "ints": lambda w: w.astype(int),
    "bytes": lambda w: w.astype("u1"),
    "objects": lambda w: w.astype(object),
    "backwards": lambda w: w[::-1].copy()[::-1],
    "strided": lambda w: np.repeat(w, 2)[::2],
    "read-only": read_only,
    "unaligned": unaligned,
}


@each
@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights(model, kind, few):
    X, y = few
    weight = 1.0 + 3 * (np.arange(len(X)) % 4)
    found = clone(model).fit(X, y, WEIGHTS[kind](weight)).predict_proba(X)
    expected = clone(model).fit(X, y, weight).predict_proba(X)
    np.testing.assert_array_equal(found, expected)
    assert np.abs(expected - clone(model).fit(X, y).predict_proba(X)).max() > 1e-3


@one_of_each
def test_bools_as_weights_choose_rows(model, few):
    X, y = few
    chosen = np.arange(len(X)) % 3 > 0
    found = clone(model).fit(X, y, chosen).predict_proba(X)
    expected = clone(model).fit(X[chosen], y[chosen]).predict_proba(X)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


NULLABLE_LABELS = {
    "Int64": np.int64,
    "Int32": np.int32,
    "UInt8": np.uint8,
    "boolean": np.bool_,
}


@one_of_each
@pytest.mark.parametrize("dtype", NULLABLE_LABELS)
@pytest.mark.parametrize("wrap", [pd.Series, pd.array, pd.Index, pd.DataFrame])
@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_nullable_labels_stay_what_they_are(model, dtype, wrap, few):
    X, y = few
    y = y > 4 if dtype == "boolean" else y
    plain = y.astype(NULLABLE_LABELS[dtype])
    given = wrap(y, dtype=dtype)
    expected = LogisticRegression(max_iter=2000).fit(X, plain)
    found = clone(model).fit(X, given)
    assert found.classes_.dtype == expected.classes_.dtype == NULLABLE_LABELS[dtype]
    assert found.predict(X).dtype == expected.predict(X).dtype
    np.testing.assert_array_equal(
        found.predict_proba(X), clone(model).fit(X, plain).predict_proba(X)
    )
    if wrap is pd.Series:
        assert found.score(X, given) == found.score(X, plain) > 0.1


@one_of_each
def test_nullable_labels_in_other_places(model, few):
    X, y = few
    given = pd.Series(y, dtype="Int64")
    parts = clone(model).partial_fit(
        X, given, classes=pd.Series(range(10), dtype="Int64")
    )
    assert parts.partial_fit(X, given).predict(X).dtype == np.int64
    search = BatchedGridSearchCV(model, {"random_state": [0]}, cv=2).fit(X, given)
    assert search.predict(X).dtype == np.int64
    expected = GridSearchCV(model, {"random_state": [0]}, cv=2).fit(X, y)
    assert search.best_score_ == pytest.approx(expected.best_score_, rel=1e-12)
    if hasattr(parts, "history_"):
        validated = clone(model).fit(X, y, X_val=X, y_val=given)
        assert validated.history_["validation_score"].notna().all()


KINDS_OF_WORDS = {
    "string": lambda y: pd.Series(y, dtype="string[python]"),
    "category": lambda y: pd.Series(y, dtype="category"),
    "polars": pl.Series,
    "polars category": lambda y: pl.Series(y, dtype=pl.Categorical),
}


@one_of_each
@pytest.mark.parametrize("wrap", KINDS_OF_WORDS.values(), ids=KINDS_OF_WORDS)
def test_words_of_any_kind_are_labels(model, wrap, few):
    X, y = few
    words = np.array(list("abcdefghij"))[y]
    found = clone(model).fit(X, wrap(words)).predict(X)
    np.testing.assert_array_equal(found, clone(model).fit(X, words).predict(X))
    theirs = LogisticRegression(max_iter=2000).fit(X, wrap(words))
    assert found.dtype == theirs.predict(X).dtype


# The cure is made of their names.
NAMED = (make_column_transformer, make_pipeline, OneHotEncoder, StandardScaler)


def test_encoded_words_are_learnt(few):
    """By the very words of the error."""
    X, y = few
    table = pd.DataFrame(X[:, 10:13], columns=["a", "b", "c"])
    table["colour"] = np.array(["red", "blue", "green"])[y % 3]
    model = SoftmaxRegression()
    with pytest.raises(ValueError, match="make_pipeline") as caught:
        model.fit(table, y % 3)
    cure = re.search(r"make_pipeline\(.*\)", str(caught.value))[0]
    names = {one.__name__: one for one in NAMED} | {"model": model}
    assert eval(cure, names).fit(table, y % 3).score(table, y % 3) == 1
    with pytest.raises(ValueError, match=r"'colour'.*OneHotEncoder"):
        model.fit(table[["a", "b", "c"]].assign(colour=0.0), y).predict(table)
