"""Validation samples on another scale than those that are learnt from: one warning."""

import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits.augmentation import RandomAffine, RandomElastic, RandomShift
from skdigits.training.scales import difference, is_scaled_by_features

MODEL = SoftmaxRegression(1e-3, max_iter=2, tol=None, random_state=0)
SCALERS = [
    StandardScaler(),
    MinMaxScaler(),
    MaxAbsScaler(),
    RobustScaler(),
    PowerTransformer(),
    Normalizer(),
]
scalers = pytest.mark.parametrize("scaler", SCALERS, ids=lambda one: type(one).__name__)


@pytest.fixture(scope="module")
def pixels(digits):
    """Pixels as uint8, of which those at the edges are never white, and classes."""
    X = digits[0] * 255
    X[:, [1, 9, 17, 25, 62, 54]] /= 4
    return X.round().astype(np.uint8), digits[1]


def warnings_of(call, *args, **kwargs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*args, **kwargs)
    return [str(one.message) for one in caught]


@scalers
@pytest.mark.parametrize("scoring", [None, "neg_log_loss"])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
def test_one_warning_names_the_set_and_the_cure(scaler, dtype, scoring, pixels):
    X, y = pixels[0].astype(dtype), pixels[1]
    model = clone(MODEL).set_params(scoring=scoring)
    pipeline = Pipeline([("scale", clone(scaler)), ("model", model)])
    given = {"X_val": X[1200:], "y_val": y[1200:]}
    by_name = {f"model__{key}": value for key, value in given.items()}
    (text,) = warnings_of(pipeline.fit, X[:1200], y[:1200], **by_name)
    assert text.startswith("The validation set (X_val, y_val): X_val is on another")
    assert " but X is " not in text

    # The cure, word for word.
    for words in (
        "sklearn.set_config(enable_metadata_routing=True)",
        "model.set_fit_request(X_val=True, y_val=True)",
        "transform_input=['X_val']",
        "pipeline.fit(X, y, X_val=X_val, y_val=y_val)",
    ):
        assert words in text
    with sklearn.config_context(enable_metadata_routing=True):
        model.set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(scaler, model, transform_input=["X_val"])
        pipeline.fit(X[:1200], y[:1200], **given)  # does not warn
    if scoring is None:
        score = model.history_["validation_score"].iloc[-1]
        assert score == pipeline.score(X[1200:], y[1200:]) > 0.15


def test_weights_of_the_set_are_part_of_the_cure(pixels):
    X, y = pixels
    weight = np.linspace(0.5, 2, 597)
    given = {"X_val": X[1200:], "y_val": y[1200:], "sample_weight_val": weight}
    pipeline = make_pipeline(StandardScaler(), clone(MODEL))
    by_name = {f"softmaxregression__{key}": value for key, value in given.items()}
    (text,) = warnings_of(pipeline.fit, X[:1200], y[:1200], **by_name)
    assert "set_fit_request(X_val=True, y_val=True, sample_weight_val=True)" in text
    assert "fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=sample_wei" in text
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline[-1].set_fit_request(X_val=True, y_val=True, sample_weight_val=True)
        pipeline.set_params(transform_input=["X_val"])
        pipeline.fit(X[:1200], y[:1200], **given)  # does not warn


@pytest.mark.parametrize("scaler", [RobustScaler(), StandardScaler()])
@pytest.mark.parametrize("n", [40, 597])
def test_scaled_fractions_beside_fractions_are_noticed(scaler, n, digits):
    """A RobustScaler changes few of their features, and these not by much."""
    X, y = digits
    scaled = scaler.fit_transform(X[:1200])
    with pytest.warns(UserWarning, match="X_val is on another scale than X") as caught:
        clone(MODEL).fit(scaled, y[:1200], X_val=X[-n:], y_val=y[-n:])
    assert len(caught) == 1
    val = scaler.transform(X[-n:])
    clone(MODEL).fit(scaled, y[:1200], X_val=val, y_val=y[-n:])  # does not warn


@pytest.mark.parametrize(
    "model",
    [MLPClassifierTorch(4), ConvNetClassifier(2)],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("few", [False, True])
def test_dtypes_of_another_meaning_are_one_warning(model, few, pixels):
    """Also with five samples, of which statistics tell nothing."""
    X, y = pixels
    rows = slice(1200, 1205 if few else None)
    model.set_params(max_iter=2, tol=None, scoring="accuracy", random_state=0)
    for train, val in [
        (X, X.astype(float)),
        (X / 255, X.astype(float)),
        (X / 255, X.astype(int)),
    ]:
        given = {"X_val": val[rows], "y_val": y[rows]}
        (text,) = warnings_of(clone(model).fit, train[:1200], y[:1200], **given)
        assert text.startswith("The validation set (X_val, y_val): ")
        assert " but X is " not in text
        assert not text.startswith("X is ")
        assert "X_val is float64" in text or "X_val is int64" in text
        assert "pass pixels as uint8" in text or "pass uint8" in text
    clone(model).fit(X[:1200], y[:1200], X_val=X[rows], y_val=y[rows])
    clone(model).fit(X[:1200] / 255, y[:1200], X_val=X[rows], y_val=y[rows])


@pytest.mark.parametrize("scaler", [MinMaxScaler(), MaxAbsScaler()], ids=str)
@pytest.mark.parametrize("wrap", [np.asarray, csr_array], ids=["dense", "sparse"])
def test_pixels_scaled_by_features_are_told_from_fractions(scaler, wrap, pixels):
    """Read as X / 255, a pixel that is never white would be too dark."""
    X, _ = pixels
    scaled = scaler.fit_transform(X[:1200])
    assert np.abs(scaled - X[:1200] / 255).max() > 0.5
    assert is_scaled_by_features(wrap(scaled))
    assert is_scaled_by_features(wrap(scaled.astype(np.float32)))
    bright = X[:1200] * (X[:1200].max(0) == 255)
    for same in (
        X[:1200] / 255,
        X[:1200] / np.float32(255),
        scaler.fit_transform(bright),
    ):
        assert not is_scaled_by_features(wrap(same))
    assert not is_scaled_by_features(wrap(np.eye(9)))
    turned = RandomAffine().distort(X[:1200] / 255, random_state=0)
    assert not is_scaled_by_features(wrap(turned))


LOADERS = {"iris": load_iris, "wine": load_wine, "cancer": load_breast_cancer}


def ordinary(name, digits):
    """A table of any kind, as it is."""
    rng = np.random.default_rng(0)
    if name in LOADERS:
        return LOADERS[name](return_X_y=True)[0]
    if name == "digits":
        return digits[0]
    if name == "text":
        words = rng.lognormal(-4, 1.5, (1, 400)) * rng.lognormal(0, 0.5, (2000, 1))
        return csr_array(rng.poisson(words).astype(float))
    levels = pd.DataFrame(rng.geometric(0.3, (2000, 5)).clip(max=9)).astype("category")
    return pd.get_dummies(levels, dtype=float).to_numpy()


@pytest.mark.parametrize("n", [10, 20, 50, 0.3])
@pytest.mark.parametrize("name", ["iris", "wine", "cancer", "digits", "text", "onehot"])
def test_random_splits_are_on_one_scale(name, n, digits):
    X = ordinary(name, digits)
    for seed in range(40):
        train, val = train_test_split(X, test_size=n, random_state=seed)
        assert difference(train, val) == ""


HEAVY = {
    "log-normal, 1": lambda rng, shape: rng.lognormal(0, 1, shape),
    "log-normal, 1.5": lambda rng, shape: rng.lognormal(0, 1.5, shape),
    "log-normal, 2": lambda rng, shape: rng.lognormal(0, 2, shape),
    "t2": lambda rng, shape: rng.standard_t(2, shape),
}


@pytest.mark.parametrize("n", [10, 30, 100, 400])
@pytest.mark.parametrize("name", HEAVY)
def test_random_splits_of_heavy_tails_are_on_one_scale(name, n):
    """A few samples hold most of the variance, on whichever side they are."""
    for D in range(1, 9):
        for seed in range(20):
            X = HEAVY[name](np.random.default_rng(seed), (1000, D))
            train, val = train_test_split(X, test_size=n, random_state=seed)
            assert difference(train, val) == ""
        assert "at least" in difference(train, 1e4 + 30 * np.abs(val))


@pytest.mark.parametrize("n_features", [2**14, 2**20])
def test_random_splits_of_hashed_text_are_on_one_scale(n_features):
    """Most words of X_val are in none of the few samples that are judged."""
    rng = np.random.default_rng(0)
    words = rng.zipf(1.3, (400, 60)) * 40503 % n_features
    shape = (400, n_features)
    places = (np.repeat(np.arange(400), 60), words.ravel())
    X = csr_array((np.ones(400 * 60), places), shape=shape)
    X.sum_duplicates()
    for seed in range(8):
        train, val = train_test_split(X, test_size=0.3, random_state=seed)
        tracemalloc.start()
        assert difference(train, val) == ""
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 64e6  # a dense copy of ten samples takes 84 MB
    if n_features == 2**14:  # of more, few of the words are judged
        assert "as far" in difference(train, val * 100)


def test_samples_in_an_order_are_on_one_scale():
    """Ten classes that repeat: every tenth sample would be of one class."""
    rng = np.random.default_rng(0)
    centres = 10 * rng.normal(size=(10, 512))
    X = np.tile(centres, (1024, 1)) + rng.normal(size=(10240, 512))
    assert difference(X, X[rng.permutation(len(X))[:500]]) == ""
    assert difference(X, 50 + X[:500])


def test_few_samples_tell_no_scale():
    X = np.random.default_rng(0).normal(size=(60, 4))
    assert difference(X[:29], 50 + X[29:]) == ""
    assert difference(X[:50], 50 + X[51:]) == ""
    assert difference(X[:30], 50 + X[30:])
    assert difference(X[:50], 50 + X[50:])


@pytest.mark.parametrize("factor", [1e160, 1e308])
def test_numbers_of_any_size_give_no_warning_of_numpy(factor):
    X = np.random.default_rng(0).uniform(-1, 1, (200, 4))
    X[:, 0] *= factor
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert difference(X[:100], X[100:]) == ""
        assert "nan" not in difference(X[:100] / factor, X[100:])
        far = difference(X[:100], X[100:] + 50)
    assert "as far" in far
    assert "inf" not in far
    assert "nan" not in far


def test_samples_at_the_mean_have_no_distance():
    X = np.zeros((100, 2))
    X[:2] = [[1, -1], [-1, 1]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert difference(X, X[:20]) == ""
        assert difference(X, X[50:]) == ""


def test_a_later_batch_is_not_compared(digits):
    """One of twenty samples, or of one class, does not tell the scale of all."""
    X, y = digits
    scaled = StandardScaler().fit_transform(X)
    model = clone(MODEL).set_params(solver="sgd")
    given = {"X_val": X[1200:], "y_val": y[1200:]}
    first = dict(classes=np.unique(y), **given)
    with pytest.warns(UserWarning, match="X_val is on another scale than X"):
        model.partial_fit(scaled[:1200], y[:1200], **first)
    model.partial_fit(scaled[:1200], y[:1200], **given)  # does not warn
    for start in range(0, 1200, 20):
        model.partial_fit(X[start : start + 20], y[start : start + 20], **given)
    assert len(model.validation_scores_) == 62

    model = clone(MODEL).set_params(warm_start=True)
    for _ in range(2):
        with pytest.warns(UserWarning, match="X_val is on another scale than X"):
            model.fit(scaled[:1200], y[:1200], **given)


@scalers
@pytest.mark.parametrize("name", ["iris", "wine", "cancer", "digits"])
def test_scaled_splits_are_on_one_scale_and_raw_ones_are_not(scaler, name, digits):
    X = ordinary(name, digits)
    for seed in range(5):
        train, val = train_test_split(X, test_size=0.3, random_state=seed)
        scaled = clone(scaler).fit(train)
        assert difference(scaled.transform(train), scaled.transform(val)) == ""
        # Images of 0 to 1 are what they are behind a MinMaxScaler.
        if name != "digits" or not isinstance(scaler, MinMaxScaler | MaxAbsScaler):
            assert difference(scaled.transform(train), val)


@pytest.mark.mnist
def test_images_that_are_distorted_by_hand_are_on_one_scale(mnist):
    X_train, X_test, *_ = (part[:3000] / np.float32(255) for part in mnist)
    assert difference(X_train, X_test) == ""
    for distortion in (RandomShift(4), RandomAffine(), RandomElastic()):
        more = distortion.distort(X_train, random_state=0)
        assert difference(more, X_test) == ""
        assert not is_scaled_by_features(more)
    scaler = QuantileTransformer(n_quantiles=50, output_distribution="normal")
    for one in (RobustScaler(), StandardScaler(), scaler):
        assert difference(one.fit_transform(X_train), X_test)
