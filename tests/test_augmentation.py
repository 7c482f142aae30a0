"""Distortions in training: which samples, when, by which seeds, and their benefit."""

import inspect
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage, stats
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits.augmentation import RandomAffine, RandomElastic, RandomShift
from skdigits.model_selection import BatchedGridSearchCV
from skdigits.model_selection._grouping import group_candidates, same_setting

QUICK = {"batch_size": 50, "max_iter": 2, "tol": None, "random_state": 0}
MODELS = [
    SoftmaxRegression(0.1, **QUICK),
    MLPClassifierTorch(8, learning_rate_init=0.01, dropout=0.2, **QUICK),
    ConvNetClassifier((4,), dropout=0.2, **QUICK),
]
each_model = pytest.mark.parametrize("model", MODELS, ids=["softmax", "mlp", "convnet"])
OBJECTS = [RandomShift(), RandomAffine(), RandomElastic()]
each_object = pytest.mark.parametrize(
    "augment", OBJECTS, ids=["shift", "affine", "elastic"]
)


@pytest.fixture(scope="module")
def few(digits):
    """120 distinct digits."""
    return digits[0][:120], digits[1][:120]


class Recorder:
    """Calls another distortion, and keeps its images and its results."""

    def __init__(self, change):
        self.change = change
        self.given = []
        self.made = []

    def __call__(self, images, generator):
        self.given.append(images.flatten(1).numpy().copy())
        found = self.change(images, generator)
        self.made.append(found.flatten(1).numpy().copy())
        return found


def blank(images, generator):
    return torch.zeros_like(images)


def inverted(images, generator):
    """Write to the images of the batch."""
    return images.neg_().add_(1)


def as_set(rows):
    return set(map(tuple, np.asarray(rows).tolist()))


def params_of(model):
    return [array for layer in model._layers for array in layer]


def assert_same_model(one, other):
    for left, right in zip(params_of(one), params_of(other), strict=True):
        np.testing.assert_array_equal(left, right)


def fitted(model, X, y, **settings):
    return clone(model).set_params(**settings).fit(X, y)


def coefs(model, X, y, **settings):
    return fitted(model, X, y, **settings)._layers[-1][0]


@each_model
@pytest.mark.parametrize("batch_size", [50, 120])
def test_all_training_samples_are_distorted_once_an_epoch(model, batch_size, few):
    """Anew in every epoch, even as one full batch; predictions distort nothing."""
    X, y = few
    recorder = Recorder(RandomElastic())
    found = fitted(model, X, y, augment=recorder, batch_size=batch_size)

    sizes = [120] if batch_size == 120 else [50, 50, 20]
    calls = len(sizes)
    assert len(recorder.given) == 2 * calls
    assert [len(rows) for rows in recorder.given] == sizes * 2
    for epoch in (recorder.given[:calls], recorder.given[calls:]):
        assert sorted(map(tuple, np.vstack(epoch).tolist())) == sorted(as_set(X))

    first = np.vstack(recorder.made[:calls])
    second = np.vstack(recorder.made[calls:])
    assert not as_set(first) & as_set(second)

    found.predict(X), found.predict_proba(X), found.score(X, y)
    assert len(recorder.given) == 2 * calls


@pytest.mark.parametrize("passed", [False, True], ids=["set aside", "passed"])
def test_validation_samples_are_not_distorted(passed, few, digits):
    X, y = few
    X_val, y_val = digits[0][200:300], digits[1][200:300]
    recorder = Recorder(blank)
    model = SoftmaxRegression(augment=recorder, early_stopping=not passed, **QUICK)

    if passed:
        model.set_params(weight_init="normal").fit(X, y, X_val=X_val, y_val=y_val)
        assert as_set(np.vstack(recorder.given)) == as_set(X)
        assert model.validation_scores_[-1] == np.mean(model.predict(X_val) == y_val)
    else:
        model.set_params(validation_fraction=0.25).fit(X, y)
        seen = as_set(np.vstack(recorder.given))
        assert seen < as_set(X)
        assert len(seen) == 90


def test_blank_images_teach_the_class_frequencies(digits):
    """The weights keep their initial values, and predictions use real samples."""
    X = digits[0][:200]
    y = np.minimum(digits[1][:200], 3)
    model = SoftmaxRegression(
        0.05,
        augment=blank,
        weight_init="normal",
        alpha=0,
        max_iter=200,
        tol=None,
        learning_rate="one_cycle",
        batch_size=200,
        random_state=0,
    ).fit(X, y)

    start = SoftmaxRegression(
        1e-300, weight_init="normal", alpha=0, max_iter=1, tol=None, random_state=0
    ).fit(X, y)
    np.testing.assert_array_equal(model.coef_, start.coef_)

    frequencies = np.bincount(y) / len(y)
    proba = np.exp(model.intercept_) / np.exp(model.intercept_).sum()
    np.testing.assert_allclose(proba, frequencies, atol=0.01)
    logits = X @ model.coef_.T + model.intercept_
    np.testing.assert_array_equal(model.predict(X), logits.argmax(1))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [50, 120])
@pytest.mark.parametrize("order", ["C", "F"])
def test_x_is_not_written_to(order, batch_size, shuffle, few):
    """Not even by a function that writes to its images."""
    X = np.array(few[0], order=order)
    y = few[1]
    settings = QUICK | {"batch_size": batch_size, "shuffle": shuffle}
    model = SoftmaxRegression(augment=inverted, **settings).fit(X, y)
    np.testing.assert_array_equal(X, few[0])
    expected = SoftmaxRegression(**settings).fit(1 - X, y)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-10, atol=1e-13)


class Dimmed(RandomShift):
    """A user's subclass, which writes to its images."""

    def __call__(self, images, generator):
        return super().__call__(images.mul_(0.5), generator)


def test_x_is_not_written_to_by_subclasses(few):
    X = few[0].copy()
    y = few[1]
    SoftmaxRegression(augment=Dimmed(), shuffle=False, **QUICK).fit(X, y)
    made = Dimmed(max_shift=0).distort(X)
    np.testing.assert_array_equal(X, few[0])
    np.testing.assert_allclose(made, X / 2)


def test_read_only_samples_on_disk_are_distorted_and_left(tmp_path, few):
    X, y = few
    np.save(tmp_path / "X.npy", X.astype(np.float32))
    rows = np.load(tmp_path / "X.npy", mmap_mode="r")
    model = SoftmaxRegression(augment=inverted, shuffle=False, **QUICK).fit(rows, y)
    assert np.isfinite(model.coef_).all()
    made = RandomShift().distort(rows, random_state=0)
    assert not np.array_equal(made, rows)
    np.testing.assert_array_equal(np.load(tmp_path / "X.npy"), X.astype(np.float32))


@each_model
@each_object
def test_the_seed_makes_the_distortions(model, augment, few):
    X, y = few
    first = fitted(model, X, y, augment=augment)
    assert_same_model(first, fitted(model, X, y, augment=augment))
    name = type(augment).__name__.removeprefix("Random").lower()
    assert_same_model(first, fitted(model, X, y, augment=name))
    assert not np.allclose(first._layers[-1][0], coefs(model, X, y))


def test_only_another_seed_makes_other_distortions(few):
    X, y = few
    runs = {}
    for key, seed in {"one": 0, "same": 0, "other": 1}.items():
        runs[key] = Recorder(RandomElastic())
        # torch's global generator must have no influence.
        torch.manual_seed(len(runs))
        before = torch.get_rng_state()
        fitted(MODELS[0], X, y, augment=runs[key], random_state=seed, shuffle=False)
        assert torch.equal(torch.get_rng_state(), before)
    made = {key: np.vstack(recorder.made) for key, recorder in runs.items()}
    np.testing.assert_array_equal(made["one"], made["same"])
    assert not as_set(made["one"]) & as_set(made["other"])


@each_model
@pytest.mark.parametrize("batch_size", [50, 120])
def test_partial_fits_are_the_epochs_of_a_fit(model, batch_size, few):
    X, y = few
    settings = {"augment": RandomElastic(), "batch_size": batch_size}
    whole = fitted(model, X, y, **settings)
    parts = clone(model).set_params(**settings)
    parts.partial_fit(X, y, classes=range(10)).partial_fit(X, y)
    assert_same_model(parts, whole)
    assert parts.loss_curve_ == whole.loss_curve_


@each_model
def test_models_of_one_run_equal_separate_fits(model, few, fit_together):
    X, y = few
    rates = [0.1, 0.01]
    together = [
        clone(model).set_params(augment="affine", learning_rate_init=r) for r in rates
    ]
    fit_together(together, X, y)

    for rate, found in zip(rates, together, strict=True):
        alone = fitted(model, X, y, augment="affine", learning_rate_init=rate)
        for left, right in zip(params_of(found), params_of(alone), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-8, atol=1e-11)
    assert not np.allclose(params_of(together[0])[0], params_of(together[1])[0])


def test_searches_over_strengths(few):
    """One run for each strength has all folds, penalties and seeds."""
    X, y = few
    model = clone(MODELS[1]).set_params(augment=RandomElastic())
    grid = {"augment__alpha": [0, 60], "alpha": [0, 1], "random_state": [0, 1]}
    options = {"cv": 3, "scoring": "neg_log_loss"}

    found = BatchedGridSearchCV(model, grid, **options).fit(X, y)
    expected = GridSearchCV(model, grid, **options).fit(X, y)
    assert found.batched_.all()
    for fold in range(3):
        name = f"split{fold}_test_score"
        scores = expected.cv_results_[name]
        np.testing.assert_allclose(found.cv_results_[name], scores, rtol=1e-8)
        assert len(set(scores)) == len(scores)

    assert found.best_estimator_.augment.alpha == found.best_params_["augment__alpha"]
    assert found.best_params_ == expected.best_params_
    assert model.augment.alpha == RandomElastic().alpha


def test_models_of_one_run_are_distorted_alike(few, fit_together):
    settings = [{"augment": RandomElastic(alpha)} for alpha in (30, 40)]
    (groups,) = group_candidates(SoftmaxRegression(**QUICK), settings)
    assert [len(group.seeds[0]) for group in groups] == [1, 1]
    alike = [SoftmaxRegression(augment=RandomElastic(30), **QUICK) for _ in range(2)]
    fit_together(alike, *few)
    assert_same_model(*alike)


@each_object
def test_objects_are_parameters_like_any_other(augment, few):
    X, y = few
    model = SoftmaxRegression(augment=augment, **QUICK)
    again = clone(model)
    assert again.augment is not augment
    assert same_setting(again.augment, augment)
    assert again.augment.get_params() == augment.get_params()

    again.set_params(augment__mode="nearest")
    assert not same_setting(again.augment, augment)
    assert f"augment={type(augment).__name__}()," in repr(model)
    assert f"augment={type(augment).__name__}(mode='nearest')," in repr(again)

    loaded = pickle.loads(pickle.dumps(again.fit(X, y)))
    assert_same_model(loaded.partial_fit(X, y), again.partial_fit(X, y))
    assert loaded.augment.mode == "nearest"
    assert vars(again.augment) == again.augment.get_params()


def test_functions_see_images_as_they_are_read(few):
    """Channels come second, pixels are fractions in float32; results become rows."""
    pixels = (few[0][:90] * 255).astype(np.uint8)[:, :60]
    shape = (5, 4, 3)
    seen = []

    def distort(images, generator):
        seen.append((images.clone(), generator.device))
        return images[:, [2, 1, 0]].flip(3).double()

    settings = QUICK | {"batch_size": 90, "max_iter": 1}
    model = SoftmaxRegression(augment=distort, image_shape=shape, **settings)
    model.fit(pixels, few[1][:90])

    ((images, device),) = seen
    assert device == images.device
    assert images.dtype == torch.float32
    expected = pixels.reshape(90, *shape).transpose(0, 3, 1, 2) / np.float32(255)
    np.testing.assert_array_equal(images, expected)

    changed = pixels.reshape(90, *shape)[:, :, ::-1, ::-1].reshape(90, 60)
    plain = SoftmaxRegression(**settings).fit(changed, few[1][:90])
    np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-5, atol=1e-8)


@each_object
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
def test_distort_keeps_the_dtype(augment, dtype, digits):
    scale = 255 if dtype == np.uint8 else 1
    X = np.round(digits[0][:60] * scale, 0 if dtype == np.uint8 else 9).astype(dtype)
    before = X.copy()

    found = augment.distort(X, random_state=0)
    assert found.dtype == dtype
    assert found.shape == X.shape
    assert not np.shares_memory(found, X)
    np.testing.assert_array_equal(X, before)

    exact = augment.distort(before / np.float64(scale), random_state=0) * scale
    error = abs(found - exact).max()
    assert error <= {np.float64: 1e-12, np.float32: 1e-5, np.uint8: 0.5 + 1e-3}[dtype]
    assert abs(found - before.astype(float)).mean() > 0.03 * scale

    np.testing.assert_array_equal(augment.distort(X, random_state=0), found)
    generator = np.random.RandomState(0)
    np.testing.assert_array_equal(augment.distort(X, random_state=generator), found)
    assert not np.array_equal(augment.distort(X, random_state=1), found)
    assert not np.array_equal(augment.distort(X), augment.distort(X))


def test_distort_moves_each_row_by_slices(digits):
    """More than one chunk of samples, moved equally often in each direction."""
    X = np.vstack([digits[0]] * 2)[:3000]
    found = RandomShift().distort(X, random_state=0).reshape(-1, 8, 8)
    padded = np.pad(X.reshape(-1, 8, 8), [(0, 0), (1, 1), (1, 1)])
    moves = [(r, c) for r in range(3) for c in range(3)]
    views = np.stack([padded[:, r : r + 8, c : c + 8] for r, c in moves])
    fits = (views == found).all((2, 3))
    assert fits.any(0).all()
    only = fits[:, fits.sum(0) == 1]
    assert stats.chisquare(only.sum(1)).pvalue > 0.001


def test_distort_takes_every_x_that_fit_takes(digits):
    X = digits[0][:30]
    expected = RandomAffine().distort(X, random_state=0)
    frame = pd.DataFrame(X).add_prefix("pixel")
    np.testing.assert_array_equal(
        RandomAffine().distort(frame, random_state=0), expected
    )
    np.testing.assert_array_equal(
        RandomAffine().distort(X.tolist(), random_state=0), expected
    )
    with config_context(array_api_dispatch=True):
        found = RandomAffine().distort(torch.from_numpy(X), random_state=0)
    assert isinstance(found, torch.Tensor)
    np.testing.assert_array_equal(found, expected)

    whole = (X * 16).astype(np.int64)
    found = RandomAffine().distort(whole, random_state=0)
    np.testing.assert_allclose(found, expected * 16, atol=1e-12)
    colours = RandomAffine().distort(X[:, :60], image_shape=(5, 4, 3), random_state=0)
    assert colours.shape == (30, 60)


def test_weak_distortions_keep_digits_alike(digits):
    """Distorted images correlate with the originals, unlike those turned by 180."""
    X = digits[0][:200]
    soft = ndimage.gaussian_filter(X.reshape(-1, 8, 8), (0, 1, 1)).reshape(-1, 64)

    def likeness(augment):
        found = augment.distort(soft, random_state=0)
        return np.mean(
            [np.corrcoef(a, b)[0, 1] for a, b in zip(found, soft, strict=True)]
        )

    still = {"rotation": 0, "scale": 0, "shear": 0, "shift": 0}
    assert (
        0.85
        < likeness(RandomElastic(34, **still))
        < likeness(RandomElastic(**still))
        < 0.99
    )
    assert likeness(RandomAffine(rotation=180)) < 0.8
    gently = likeness(RandomAffine(rotation=5, scale=0.05, shear=5, shift=1))
    assert likeness(RandomElastic(alpha=0)) == pytest.approx(gently)


def test_shifts_while_training_help_with_shifted_digits(digits):
    X, y = digits
    shifted = RandomShift().distort(X[1200:], random_state=0)
    settings = QUICK | {"max_iter": 20, "learning_rate_init": 0.01}
    scores = {
        augment: MLPClassifierTorch(64, augment=augment, **settings)
        .fit(X[:1200], y[:1200])
        .score(shifted, y[1200:])
        for augment in (None, "shift")
    }
    assert scores["shift"] > scores[None] + 0.15
    assert scores["shift"] > 0.85


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (
            RandomShift(-1),
            r"'max_shift' parameter of RandomShift .* \[0.0, 28.0\]. Got -1",
        ),
        (RandomShift(29), r"'max_shift' parameter of RandomShift .* Got 29"),
        (RandomShift(True), "'max_shift' parameter of RandomShift .* Got True"),
        (RandomShift(mode="wrap"), "'mode' parameter of RandomShift .* Got 'wrap'"),
        (RandomAffine(-5), r"'rotation' parameter of RandomAffine .* \[0.0, 180.0\]"),
        (RandomAffine(scale=1), r"'scale' parameter of RandomAffine .* \[0.0, 1.0\)"),
        (RandomAffine(shear=90), r"'shear' parameter of RandomAffine .* \[0.0, 90.0\)"),
        (RandomAffine(shift=math.inf), "'shift' parameter of RandomAffine .* Got inf"),
        (RandomElastic(math.nan), "'alpha' parameter of RandomElastic .* Got nan"),
        (RandomElastic("much"), "'alpha' parameter of RandomElastic .* Got 'much'"),
        (
            RandomElastic(sigma=0),
            r"'sigma' parameter of RandomElastic .* \(0.0, 28.0\]",
        ),
        (
            RandomElastic(sigma=1e9),
            "'sigma' parameter of RandomElastic .* Got 1000000000.0",
        ),
        (RandomElastic(mode=None), "'mode' parameter of RandomElastic .* Got None"),
        (RandomShift, r"augment=RandomShift is a class: .* RandomShift\(\)"),
        ("flip", "'augment' parameter of SoftmaxRegression must be .* Got 'flip'"),
        (2, "'augment' parameter of SoftmaxRegression must be .* Got 2"),
        (
            StandardScaler(),
            r"'augment' parameter of SoftmaxRegression .* StandardScaler\(\)",
        ),
        (
            lambda images, g: images[1:],
            r"given, .*\(50, 1, 8, 8\), but returned \(49, 1, 8, 8\)",
        ),
        (
            lambda images, g: images.numpy(),
            r"must return images of .* but returned ndarray",
        ),
        (lambda images, g: None, "must return images of .* but returned NoneType"),
    ],
)
def test_invalid_distortions_are_errors(augment, message, few):
    model = SoftmaxRegression(augment=augment, **QUICK)
    with pytest.raises(ValueError, match=message):
        model.fit(*few)
    assert not hasattr(model, "classes_")
    if hasattr(augment, "distort") and not inspect.isclass(augment):
        with pytest.raises(ValueError, match=message):
            augment.distort(few[0])


@each_model
def test_lbfgs_takes_no_distortions(model, few):
    model = clone(model).set_params(solver="lbfgs", augment="shift")
    with pytest.raises(
        ValueError, match=r"augment='shift' changes the samples.*'lbfgs' minimises"
    ):
        model.fit(*few)
    assert not hasattr(model, "classes_")


def test_samples_must_be_images(few):
    X, y = few
    model = SoftmaxRegression(augment="shift", **QUICK)
    with pytest.raises(
        ValueError, match=r"X has 63 features, of which no .* image_shape"
    ):
        model.fit(X[:, 1:], y)
    with pytest.raises(ValueError, match="that of 72 features, but X has 64"):
        model.set_params(image_shape=(8, 9)).fit(X, y)
    with pytest.raises(ValueError, match="X has 63 features, of which no square"):
        RandomShift().distort(X[:, 1:])
    with pytest.raises(ValueError, match=r"image_shape must be \(height, width\)"):
        RandomShift().distort(X, image_shape=64)
    with pytest.raises(ValueError, match="contains NaN"):
        RandomShift().distort(np.where(X > 0.9, np.nan, X))
    with pytest.raises(ValueError, match="Expected 2D array"):
        RandomShift().distort(X.reshape(-1, 8, 8)[0, 0])
    model = SoftmaxRegression(augment="shift", image_shape=(1, 63), **QUICK)
    with pytest.raises(ValueError, match="X has 63 features, a line of pixels"):
        model.fit(X[:, 1:], y)


@pytest.mark.gpu
@each_object
def test_on_a_gpu(augment, few, cuda):
    """Images and generator are on the GPU, and fits are reproducible."""
    X, y = few
    devices = []

    def recorded(images, generator):
        devices.append({str(images.device), str(generator.device)})
        return augment(images, generator)

    model = SoftmaxRegression(augment=recorded, device="cuda", **QUICK)
    first, second = (clone(model).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(first.coef_, second.coef_)
    assert all(one == {"cuda:0"} for one in devices)
    assert len(devices) > 2


@pytest.mark.parametrize("distortion", [RandomShift(), RandomAffine()], ids=str)
@pytest.mark.parametrize(
    "given",
    [
        lambda a: a.astype(np.int64),
        lambda a: a.astype(int).tolist(),
        lambda a: pd.DataFrame(a.astype(">i4")),
        lambda a: pd.DataFrame(a).astype("UInt64"),
    ],
    ids=["int64", "list", "big-endian frame", "UInt64"],
)
def test_integers_that_are_pixels_are_distorted_as_uint8(distortion, given, digits):
    pixels = (digits[0][:50] * 255).astype(np.uint8)
    expected = distortion.distort(pixels, random_state=0)
    found = distortion.distort(given(pixels), random_state=0)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
    greys = (digits[0][:50] * 16).astype(np.int64)
    assert distortion.distort(greys, random_state=0).dtype == np.float64
