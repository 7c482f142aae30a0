"""The same numbers have the same predictions, whatever their dtype, or a warning."""

import pickle
import warnings

import array_api_strict
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler
from torch.utils._python_dispatch import TorchDispatchMode

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits._arrays import to_tensor
from skdigits._pixels import Given
from skdigits.model_selection import (
    BatchedGridSearchCV,
    learning_rate_range_test,
    learning_rate_sweep,
)

SHORT = {"max_iter": 3, "tol": None, "random_state": 0}
RATES = {"learning_rate_init": 0.02, "batch_size": 30} | SHORT
SOLVERS = ["sgd", "adam", "adamw"]
MODELS = {
    "means": TemplateMatchingClassifier(),
    "mae": TemplateMatchingClassifier("mae"),
    "cosine": TemplateMatchingClassifier("cosine"),
    "centres": TemplateMatchingClassifier(n_templates=2, random_state=0),
    "softmax-lbfgs": SoftmaxRegression(solver="lbfgs", **SHORT),
    "mlp-lbfgs": MLPClassifierTorch(8, solver="lbfgs", **SHORT),
    "conv": ConvNetClassifier(2, precision="float32", **RATES),
    **{f"softmax-{one}": SoftmaxRegression(solver=one, **RATES) for one in SOLVERS},
    **{f"mlp-{one}": MLPClassifierTorch(8, solver=one, **RATES) for one in SOLVERS},
}
each = pytest.mark.parametrize("name", MODELS)
one_of_each = pytest.mark.parametrize("name", ["means", "softmax-sgd", "mlp-adam"])

X, Y = load_digits(return_X_y=True)
X = X[:150]
Y = Y[:150]
NUMBERS = {
    "pixels": np.round(X * 255 / 16),
    "greys": X,
    "dummies": (X > 8).astype(float),
    "counts": np.round(X * 4)[:, :60],  # as long as no square image
}
DTYPES = ["uint8", "int8", "int64", "float32", "float64"]
FLOATS = {"float32", "float64"}
# What a model that was fitted to the first dtype reads otherwise in the second one.
WARNED = {
    "pixels": {(one, other) for one in ("uint8", "int64") for other in FLOATS},
    "greys": {("uint8", other) for other in FLOATS},
    "dummies": {(one, "uint8") for one in FLOATS},
    "counts": {("uint8", other) for other in FLOATS},
}
PIXELS = NUMBERS["pixels"].astype(np.uint8)
# Features of 0 to 255 are too large for gradients, but the same for both models.
large = pytest.mark.filterwarnings("ignore:The features for .* root mean square")
diverges = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def warns_of_uint8(call, *args):
    """Return what a call returns, and whether it warns with the word uint8."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = call(*args)
    texts = [str(one.message) for one in caught if one.category is UserWarning]
    return found, any("uint8" in t and "root mean square" not in t for t in texts)


def slow_enough(name, dtype, kind):
    """The model with a learning rate for such numbers."""
    model = clone(MODELS[name])
    if dtype in FLOATS and hasattr(model, "learning_rate_init"):
        model.set_params(learning_rate_init=1e-5 if kind == "pixels" else 1e-3)
    return model


def dtypes_of(kind):
    return [d for d in DTYPES if d != "int8" or NUMBERS[kind].max() <= 127]


@each
@pytest.mark.parametrize("kind", NUMBERS)
def test_fit_and_predict_in_any_two_dtypes(name, kind):
    if name == "conv" and kind == "counts":
        pytest.skip("its features make no square image")
    numbers = {dtype: NUMBERS[kind].astype(dtype) for dtype in dtypes_of(kind)}
    for dtype, given in numbers.items():
        model, warned = warns_of_uint8(slow_enough(name, dtype, kind).fit, given, Y)
        # uint8 that is far from 255 is doubtful at once.
        assert warned == (dtype == "uint8" and kind == "greys")
        expected = model.predict_proba(given)
        assert np.ptp(expected, axis=0).max() > 1e-4

        for other, query in numbers.items():
            found, warned = warns_of_uint8(model.predict_proba, query)
            assert warned == ((dtype, other) in WARNED[kind]), (dtype, other)
            same = np.allclose(found, expected, rtol=1e-3, atol=1e-5)
            # Where a warning says so, another scale shows; but not in an angle.
            assert same == (not warned or name == "cosine"), (dtype, other)


def warm_start(model, X, y):
    return model.set_params(warm_start=True).fit(X, y)


def partial_fit(model, X, y):
    return model.partial_fit(X, y, range(10))


GOING_ON = [
    pytest.param(name, kind, go_on, id=f"{name}-{kind}-{go_on.__name__}")
    for name, model in MODELS.items()
    for kind in ("pixels", "dummies")
    for go_on in (warm_start, partial_fit)
    if hasattr(model, "warm_start" if go_on is warm_start else "partial_fit")
]


@pytest.mark.parametrize(("name", "kind", "go_on"), GOING_ON)
def test_a_fit_goes_on_in_any_two_dtypes(name, kind, go_on):
    """No mixture of scales in the weights, the moments or the sums of classes."""
    numbers = {dtype: NUMBERS[kind].astype(dtype) for dtype in ("u1", "i8", "f8")}
    for dtype, given in numbers.items():
        started, _ = warns_of_uint8(go_on, clone(MODELS[name]), given, Y)
        first = pickle.dumps(started)
        expected, _ = warns_of_uint8(go_on, pickle.loads(first), given, Y)
        for other, more in numbers.items():
            found, warned = warns_of_uint8(go_on, pickle.loads(first), more, Y)
            pair = (given.dtype.name, more.dtype.name)
            assert warned == (pair in WARNED[kind]), (dtype, other)
            assert found.pixels_ is expected.pixels_
            if not warned:
                for a, b in zip(arrays_of(found), arrays_of(expected), strict=True):
                    np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-5)


def arrays_of(model):
    if isinstance(model, TemplateMatchingClassifier):
        return [model.templates_, model.class_count_]
    return [weight for weight, _ in model._layers]


@one_of_each
@pytest.mark.filterwarnings("ignore:X .* feature names")
@pytest.mark.parametrize(
    "given",
    [
        lambda a: a.astype(">i4"),
        lambda a: a.astype("u2"),
        lambda a: a.astype("u4"),
        lambda a: a.astype("u8"),
        lambda a: a.astype(">u8"),
        lambda a: np.asfortranarray(a.astype("i8")),
        lambda a: a.astype(int).tolist(),
        lambda a: tuple(map(tuple, a.tolist())),
        lambda a: pd.DataFrame(a.astype(int)),
        lambda a: pd.DataFrame(a).astype(dict.fromkeys(range(0, 64, 2), "i4")),
        lambda a: pd.DataFrame(a).astype("Int64"),
        lambda a: pd.DataFrame(a).astype("UInt16"),
        lambda a: pd.DataFrame(a).astype("UInt64"),
        lambda a: pd.DataFrame(a.astype("u8")),
        lambda a: pd.DataFrame(a.astype("u8")).astype(dict.fromkeys([0, 3], "i8")),
        lambda a: pd.DataFrame(a.astype(">i4")),
        lambda a: pd.DataFrame(a.astype(">u8")),
        lambda a: pl.DataFrame(a.astype(int), schema=list(map(str, range(64)))),
        lambda a: pl.DataFrame(a.astype("u8"), schema=list(map(str, range(64)))),
        lambda a: torch.tensor(a.astype(int)),
        lambda a: torch.tensor(a.astype(int)).to(torch.uint16),
        lambda a: torch.tensor(a.astype(int)).to(torch.uint64),
    ],
    ids=[
        "big-endian", "uint16", "uint32", "uint64", "big-endian uint64", "fortran",
        "list", "tuple", "pandas", "two dtypes", "Int64", "UInt16", "UInt64",
        "pandas of uint64", "int64 and uint64", "pandas, big-endian",
        "pandas of big-endian uint64", "polars", "polars of uint64", "tensor",
        "tensor of uint16", "tensor of uint64",
    ],
)  # fmt: skip
def test_integers_of_any_kind_are_pixels(name, given):
    expected = clone(MODELS[name]).fit(PIXELS, Y)
    found = clone(MODELS[name]).fit(given(PIXELS), Y)
    assert found.pixels_ is expected.pixels_ is True
    proba = expected.predict_proba(PIXELS)
    np.testing.assert_array_equal(found.predict_proba(given(PIXELS)), proba)
    np.testing.assert_array_equal(expected.predict_proba(given(PIXELS)), proba)


@one_of_each
@pytest.mark.parametrize("dtype", ["int64", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("xp", [torch, array_api_strict], ids=["torch", "strict"])
def test_integers_of_other_namespaces_are_pixels(name, xp, dtype):
    expected = clone(MODELS[name]).fit(PIXELS, Y).predict_proba(PIXELS)
    with config_context(array_api_dispatch=True):
        wide = xp.asarray(PIXELS.astype(dtype))
        model = clone(MODELS[name]).fit(wide, xp.asarray(Y))
        found = model.predict_proba(wide)
        same = model.predict_proba(xp.asarray(PIXELS))
    np.testing.assert_array_equal(np.from_dlpack(found), expected)
    np.testing.assert_array_equal(np.from_dlpack(same), expected)


@pytest.mark.filterwarnings("ignore:X .* feature names")
@pytest.mark.parametrize(
    "given",
    [
        np.asarray,
        pd.DataFrame,
        lambda a: pd.DataFrame(a).astype("UInt64"),
        lambda a: pl.DataFrame(a, schema=list(map(str, range(64)))),
        torch.tensor,
        csr_array,
    ],
    ids=["array", "pandas", "UInt64", "polars", "tensor", "sparse"],
)
def test_integers_beyond_int64_are_floats(given):
    """In int64, the largest would become negative."""
    wide = PIXELS.astype(np.uint64)
    wide[Y == 3, 0] = 2**63
    model = TemplateMatchingClassifier(temperature=1e36).fit(given(wide), Y)
    assert model.pixels_ is False
    np.testing.assert_array_equal(model.templates_[3, 0], 2.0**63)
    for query in (wide.astype(float), given(wide)):
        np.testing.assert_array_equal(model.predict(query) == 3, Y == 3)


LIMITS = [
    # values, features, settings, whether they are pixels
    ([0, 255], 64, {}, True),
    ([0, 17], 64, {}, True),
    ([0, 16], 64, {}, False),
    ([0, 256], 64, {}, False),
    ([-1, 200], 64, {}, False),
    ([0, 255], 49, {}, False),
    ([0, 255], 72, {}, False),
    ([0, 255], 72, {"image_shape": (8, 9)}, True),
    ([0, 255], 6, {"image_shape": (2, 3)}, True),
    ([0, 255], 64, {"pixels": False}, False),
    ([0, 1], 6, {"pixels": True}, True),
]


@large
@diverges
@pytest.mark.filterwarnings("ignore:.* is read as pixels of 0 to 255")
@pytest.mark.parametrize(("values", "n_features", "settings", "expected"), LIMITS)
def test_which_integers_are_pixels(values, n_features, settings, expected):
    numbers = np.resize(np.array(values), (20, n_features))
    numbers[::2] = values[0]
    y = np.arange(20) % 2
    model = SoftmaxRegression(max_iter=2, tol=None, random_state=0, **settings)
    fitted = clone(model).fit(numbers, y)
    assert fitted.pixels_ is expected
    # As floats they are never divided.
    floats = numbers / 255 if expected else numbers.astype(float)
    same = clone(model).set_params(pixels="auto").fit(floats, y)
    np.testing.assert_allclose(fitted.coef_, same.coef_, rtol=1e-4, atol=1e-7)
    assert np.abs(fitted.coef_).max() > 1e-5


@each
def test_dummies_in_uint8_are_numbers(name):
    """Read as 1 / 255, they would teach nothing."""
    dummies = NUMBERS["dummies"]
    found = clone(MODELS[name]).fit(dummies.astype(np.uint8), Y)
    expected = clone(MODELS[name]).fit(dummies, Y).predict_proba(dummies)
    assert found.pixels_ is False
    proba = found.predict_proba(dummies.astype(np.uint8))
    np.testing.assert_array_equal(proba, expected)


@one_of_each
def test_uint8_of_a_model_of_fractions_is_pixels(name):
    model = clone(MODELS[name]).fit(PIXELS / np.float32(255), Y)
    assert model.pixels_ is False
    expected = model.predict_proba(PIXELS / np.float32(255))
    np.testing.assert_allclose(model.predict_proba(PIXELS), expected, rtol=1e-4)
    with pytest.warns(UserWarning, match="X is int64 .* plain numbers.* fit to uint8"):
        model.predict(PIXELS.astype(int))
    with pytest.warns(UserWarning, match="numbers from 0 to 1, but X .* up to 255"):
        model.predict(PIXELS.astype(float))
    # Unless the fit says that integers are none.
    model.set_params(pixels=False).fit(PIXELS / np.float32(255), Y)
    with pytest.warns(UserWarning, match="X is uint8 .* reads as plain numbers"):
        model.predict(PIXELS)


@pytest.fixture(scope="module")
def edges():
    """Images of which training ones are all but dark at the edges, and others."""
    train = np.pad(PIXELS[:100].reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    other = np.pad(PIXELS[100:].reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    train[0, 0, 0] = 1
    other[:, 0, [0, 5]] = 255, 90
    return train.reshape(-1, 100), other.reshape(-1, 100)


@one_of_each
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float64"])
@pytest.mark.parametrize("scaler", [MinMaxScaler(), MaxAbsScaler()], ids=str)
def test_a_rare_pixel_is_no_other_scale(name, dtype, scaler, edges):
    """Behind a scaler by features, it is up to 255 where others are up to 1."""
    train, other = (images.astype(dtype) for images in edges)
    model = make_pipeline(scaler, clone(MODELS[name])).fit(train, Y[:100])
    scaled = model[0].transform(other)
    assert scaled.max() == 255
    assert np.median(scaled.max(1)) == 255
    model.predict(other)  # does not warn
    for row in other:
        model.predict(row[None])
    with pytest.warns(UserWarning, match="numbers from 0 to 1, but X .* up to 255"):
        model[-1].predict(other.astype(float))
    for row in other[:20, None].astype(float):
        with pytest.warns(UserWarning, match="numbers from 0 to 1, but X .* up to"):
            model[-1].predict(row)


@one_of_each
@pytest.mark.parametrize("wrap", [np.asarray, csr_array], ids=["dense", "sparse"])
def test_another_scale_of_a_single_row_is_warned_of(name, wrap):
    fractions = clone(MODELS[name]).fit(PIXELS / 255, Y)
    pixels = clone(MODELS[name]).fit(PIXELS, Y)
    for row in PIXELS[:20, None].astype(float):
        with pytest.warns(UserWarning, match="numbers from 0 to 1, but X .* up to"):
            fractions.predict(wrap(row))
        with pytest.warns(UserWarning, match="fitted to pixels as uint8"):
            pixels.predict(wrap(row))
        fractions.predict(wrap(row / 255))  # does not warn
        pixels.predict(wrap(row / 255))
    # One such row among many others is enough.
    mixed = PIXELS / 255
    mixed[7] *= 255
    with pytest.warns(UserWarning, match="numbers from 0 to 1, but X .* up to"):
        fractions.predict(wrap(mixed))


@pytest.mark.parametrize("wrap", [np.asarray, csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("D", [1, 9, 64, 100])
def test_most_values_of_a_row_exceed_a_limit(D, wrap):
    """Counted in a loop over rows; a row has to have √D such values."""
    rng = np.random.default_rng(D)
    answers = []
    for _ in range(60):
        X = rng.choice([0, 1, 200], p=rng.dirichlet([3, 1, 1]), size=(3, D))
        X = X.astype(rng.choice(["uint8", "int64", "float32"]))
        expected = False
        for row in X:
            beyond = sum(1 for value in row if value > 1.5)
            present = sum(1 for value in row if value != 0)
            expected |= beyond > present / 2 and beyond >= D**0.5
        samples = to_tensor(wrap(X), torch.device("cpu"))
        given = Given("X", X.dtype.name, float(X.min()), float(X.max()), samples)
        assert given.exceeds(1.5) == expected
        answers.append(expected)
    assert set(answers) == {True, False}


def test_one_large_value_lets_one_row_be_counted():
    class Comparisons(TorchDispatchMode):
        n = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and out.dtype == torch.bool:
                self.n += out.numel()
            return out

    samples = torch.full((1000, 64), 0.5)
    samples[300, 5] = 200
    with Comparisons() as comparisons:
        assert not Given("X", "float32", 0.5, 200.0, samples).exceeds(1.5)
    assert 64 <= comparisons.n < 1000 + 5 * 64


def test_a_rare_count_is_no_other_scale():
    counts = NUMBERS["greys"].astype(int)
    model = TemplateMatchingClassifier().fit(counts, Y)
    rare = counts.copy()
    rare[:, 5] = 200
    model.predict(rare)  # does not warn
    with pytest.warns(UserWarning, match="X is int64 .* plain numbers"):
        model.predict(10 * counts)


@one_of_each
def test_pixels_beside_standardised_floats_are_warned_of(name):
    scaled = (PIXELS - PIXELS.mean(0)) / (PIXELS.std(0) + 1)
    model = clone(MODELS[name]).fit(scaled, Y)
    with pytest.warns(UserWarning, match="X is uint8 .* of at most .* that scale"):
        model.predict(PIXELS)
    model.predict([[3] * 64])  # does not warn


@large
def test_a_warning_names_the_way_out_of_other_integers():
    wrapped = PIXELS.view(np.int8)
    with pytest.warns(UserWarning, match=r"X is int8 .* pass X.view\(np.uint8\)"):
        TemplateMatchingClassifier().fit(wrapped, Y)
    model = TemplateMatchingClassifier(pixels=True)
    with pytest.raises(ValueError, match=r"X is int8 .* from -\d+ .*np.uint8"):
        model.fit(wrapped, Y)
    with pytest.raises(ValueError, match=r"X is int64 .* to 510, .*=False"):
        model.fit(2 * PIXELS.astype(int), Y)
    assert not hasattr(model, "pixels_")
    model.fit(PIXELS, Y)
    with pytest.warns(UserWarning, match="from 0 to 510, but .* pixels of 0 to 255"):
        found = model.predict_proba(2 * PIXELS.astype(int))
    with pytest.warns(UserWarning, match="fitted to pixels as uint8"):
        expected = model.predict_proba(2 * (PIXELS / 255))
    np.testing.assert_allclose(found, expected)
    with pytest.warns(UserWarning, match="pixels=True reads .*divide them by 255"):
        model.fit(PIXELS.astype(float), Y)


@diverges
@pytest.mark.parametrize("size", [64, 60])
def test_the_advice_for_large_features_is_that_of_the_guide(size):
    model = SoftmaxRegression(1e-9, max_iter=1, tol=None)
    cure = "divide them by 255" if size == 64 else "put a StandardScaler before"
    with pytest.warns(UserWarning, match=f"root mean square.*{cure}"):
        model.fit(PIXELS.astype(float)[:, :size], Y)
    with pytest.warns(UserWarning, match="root mean square.*StandardScaler before"):
        model.fit(900.0 * PIXELS[:, :size], Y)


@pytest.mark.parametrize("name", ["means", "mlp-adam"])
def test_models_of_older_versions_read_uint8_as_they_did(name):
    for fitted_to in (PIXELS, PIXELS / 255):
        model = clone(MODELS[name]).fit(fitted_to, Y)
        state = model.__getstate__() | {"_pixels": fitted_to.dtype == np.uint8}
        for new in ("pixels_", "_learnt"):
            del state[new]
        old = type(model).__new__(type(model))
        old.__setstate__(state)
        assert old.pixels_ is (fitted_to.dtype == np.uint8)
        expected = model.predict_proba(PIXELS)
        np.testing.assert_array_equal(old.predict_proba(PIXELS), expected)


def test_searches_read_integers_as_fits_do():
    wide = PIXELS.astype(np.int64)
    model = MODELS["mlp-adam"]
    for grid in ({"alpha": [1e-4, 1.0]}, {"pixels": [True, "auto"]}):
        ours = BatchedGridSearchCV(model, grid, cv=3).fit(wide, Y)
        theirs = GridSearchCV(model, grid, cv=3).fit(PIXELS, Y)
        scores = ours.cv_results_["mean_test_score"]
        assert ours.batched_.all()
        assert ours.best_estimator_.pixels_ is True
        np.testing.assert_array_equal(scores, theirs.cv_results_["mean_test_score"])
        assert ours.best_score_ > 0.3

    counts = NUMBERS["dummies"].astype(np.uint8)
    grid = {"pixels": [False, True]}
    with pytest.warns(UserWarning, match="its largest value is only 1"):
        ours = BatchedGridSearchCV(model, grid, cv=3).fit(counts, Y)
    scores = ours.cv_results_["mean_test_score"]
    assert scores[0] > scores[1] + 0.1
    assert ours.best_estimator_.pixels_ is False


def test_learning_rates_are_searched_by_pixels():
    model = SoftmaxRegression(random_state=0, batch_size=30)
    wide = PIXELS.astype(np.int64)
    one, two = (learning_rate_range_test(model, A, Y) for A in (PIXELS, wide))
    np.testing.assert_array_equal(one.smoothed_losses, two.smoothed_losses)
    one, two = (
        learning_rate_sweep(model, A, Y, rates=[0.01, 0.1], random_state=0)
        for A in (PIXELS, wide)
    )
    tables = [sweep.to_frame().drop(columns="fit_seconds") for sweep in (one, two)]
    pd.testing.assert_frame_equal(*tables)
    assert one.to_frame()["mean_test_score"].max() > 0.8


def test_convolutions_in_bfloat16_read_integers_as_pixels():
    model = ConvNetClassifier(2, precision="bfloat16", **RATES)
    one, two = (clone(model).fit(A, Y) for A in (PIXELS, PIXELS.astype(np.int64)))
    for a, b in zip(one.coefs_, two.coefs_, strict=True):
        assert a.dtype == b.dtype == np.float32
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("scoring", [None, "neg_log_loss"])
def test_a_validation_set_in_another_dtype(scoring):
    """What it measures is that of the training dtype."""
    model = MLPClassifierTorch(8, scoring=scoring, early_stopping=True, **RATES)
    fractions = PIXELS / 255
    curves = []
    for train, val in [
        (PIXELS, PIXELS),
        (PIXELS, PIXELS.astype(int)),
        (PIXELS.astype(int), PIXELS),
        (PIXELS, fractions),
        (fractions.astype("f"), PIXELS),
    ]:
        fitted = clone(model).fit(train, Y, X_val=val, y_val=Y)
        curves.append(fitted.history_[["validation_loss", "validation_score"]])
    for curve in curves[1:]:
        np.testing.assert_allclose(curve, curves[0], rtol=1e-3)


def test_a_snapshot_reads_integers_as_its_model_does():
    """A scorer and a callback predict while the model trains."""
    seen = []

    def scorer(model, X, y):
        seen.append(model.predict_proba(PIXELS.astype(int)))
        return model.score(X, y)

    model = MLPClassifierTorch(8, scoring=scorer, early_stopping=True, **RATES)
    model.fit(PIXELS, Y, X_val=PIXELS, y_val=Y)
    assert len(seen) == 3
    assert any(np.array_equal(one, model.predict_proba(PIXELS)) for one in seen)


@pytest.mark.mnist
@pytest.mark.parametrize(
    "model",
    [
        TemplateMatchingClassifier(),
        SoftmaxRegression(solver="lbfgs", max_iter=20, tol=None),
        MLPClassifierTorch(64, max_iter=5, tol=None, random_state=0),
        ConvNetClassifier(4, max_iter=1, precision="float32", random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_table_of_kaggle_is_as_good_as_uint8(model, mnist):
    """``pd.read_csv`` gives int64, Pillow gives uint8: of a test image, too."""
    X_train, X_test, y_train, y_test = (part[:3000] for part in mnist)
    names = [f"pixel{number}" for number in range(784)]
    table = pd.DataFrame(X_train.astype(np.int64), columns=names)
    expected = clone(model).fit(X_train, y_train).predict(X_test)
    assert (expected == y_test).mean() > 0.7
    found = clone(model).fit(table, y_train)
    queries = pd.DataFrame(X_test.astype(np.int64), columns=names)
    np.testing.assert_array_equal(found.predict(queries), expected)
    with pytest.warns(UserWarning, match="not have valid feature names"):
        np.testing.assert_array_equal(found.predict(X_test), expected)
