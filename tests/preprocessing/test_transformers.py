"""Tests of all image transformers: scikit-learn's contract, inputs of every kind."""

import pickle
import re
from functools import partial

import array_api_strict
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from skdigits import MLPClassifierTorch, SoftmaxRegression, TemplateMatchingClassifier
from skdigits.preprocessing import CenterByMass, Deskew, DigitNormalizer

EXPECTED = "SkipTestWarning|not a square number"
TRANSFORMERS = [Deskew(), CenterByMass(), DigitNormalizer(size=12, digit_size=9)]
MODELS = [
    TemplateMatchingClassifier(),
    SoftmaxRegression(0.1, max_iter=5, tol=None, random_state=0),
    MLPClassifierTorch(
        9, learning_rate_init=0.05, max_iter=9, tol=None, random_state=0
    ),
]
each = pytest.mark.parametrize(
    "transformer", TRANSFORMERS, ids=lambda t: type(t).__name__
)


@pytest.fixture(scope="module")
def images():
    """30 images (10, 14) in uint8, each with a bright blot at a random place."""
    rng = np.random.default_rng(1)
    made = np.zeros((30, 10, 14), dtype=np.uint8)
    for image in made:
        row, column = rng.integers(0, 5, 2)
        image[row : row + 6, column : column + 8] = rng.integers(0, 256, (6, 8))
    return made


def as_dtype(images, dtype):
    return images if dtype == "uint8" else (images / 255).astype(dtype)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@each
def test_check_estimator(transformer, assert_checks_pass):
    """Every check passes; the only warning is of features without a square."""
    assert get_tags(transformer).array_api_support
    assert len(assert_checks_pass(transformer, EXPECTED)) > 60


@each
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_rows_are_images_and_each_by_itself(transformer, dtype, images):
    X = as_dtype(images, dtype)
    found = transformer.transform(X)
    assert found.dtype == dtype
    assert found.shape == (30, 144 if isinstance(transformer, DigitNormalizer) else 140)

    shaped = clone(transformer).set_params(image_shape=(10, 14))
    rows = shaped.fit_transform(X.reshape(30, -1))
    np.testing.assert_array_equal(rows, found)
    single = np.concatenate([transformer.transform(image[None]) for image in X])
    np.testing.assert_allclose(single, found, atol=1 if dtype == "uint8" else 1e-6)
    assert np.abs(found.reshape(30, -1)[1:] - found[0] / 1.0).max() > 0.1


@each
def test_pixels_are_rounded_fractions(transformer, images):
    exact = transformer.transform(images / 255) * 255
    assert exact.max() > 100
    np.testing.assert_allclose(transformer.transform(images), exact, atol=0.501)


@each
@pytest.mark.parametrize("dtype", ["f2", ">f4", "i8", "u2", "O", "?"])
def test_other_dtypes_become_float64(transformer, dtype, images):
    given = (images[:3] > 99).astype(dtype)
    expected = transformer.transform((images[:3] > 99).astype(float))
    found = transformer.transform(given)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, expected)


OF_INTEGERS = {
    "int64": lambda a: a.astype("i8"),
    "uint64": lambda a: a.astype("u8"),
    "big-endian": lambda a: a.astype(">i4"),
    "list": lambda a: a.astype(int).tolist(),
    "tensor": lambda a: torch.tensor(a.astype("i8")),
    "tensor of uint16": lambda a: torch.tensor(a.astype("i8")).to(torch.uint16),
    "pandas": lambda a: pd.DataFrame(a.reshape(len(a), -1).astype("i8")),
    "Int64": lambda a: pd.DataFrame(a.reshape(len(a), -1)).astype("Int64"),
    "pandas of >i4": lambda a: pd.DataFrame(a.reshape(len(a), -1).astype(">i4")),
}


@pytest.mark.parametrize("transformer", TRANSFORMERS[:2], ids=lambda t: str(t)[:6])
@pytest.mark.parametrize("kind", OF_INTEGERS)
def test_integers_that_are_pixels_come_out_as_uint8(transformer, kind, images):
    """A model behind it reads them as it reads those of uint8."""
    transformer = clone(transformer).set_params(image_shape=(10, 14))
    expected = transformer.transform(images.reshape(30, -1))
    given = OF_INTEGERS[kind]
    fitted = clone(transformer).fit(given(images))
    for one in (transformer, fitted, clone(transformer).fit(images)):
        found = one.transform(given(images))
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)
    # What fit has found holds for dark images, too.
    dark = images[:4] // 20
    assert fitted.transform(given(dark)).dtype == np.uint8


@pytest.mark.parametrize("transformer", TRANSFORMERS[:2], ids=lambda t: str(t)[:6])
@pytest.mark.parametrize("factor", [1 / 16, 2])
def test_other_integers_are_numbers(transformer, factor, images):
    numbers = (images.astype(float) * factor).astype(np.int64)
    expected = transformer.transform(numbers.astype(float))
    fitted = clone(transformer).fit(numbers)
    for one in (transformer, fitted):
        found = one.transform(numbers)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, expected)
    few = fitted.transform(images.astype(np.int64))
    np.testing.assert_array_equal(few, transformer.transform(images.astype(float)))


@pytest.mark.parametrize("asarray", [torch.asarray, array_api_strict.asarray])
def test_pixels_of_other_namespaces_come_out_as_uint8(asarray, images):
    expected = Deskew().transform(images)
    with config_context(array_api_dispatch=True):
        found = Deskew().fit_transform(asarray(images.astype(np.int64)))
    np.testing.assert_array_equal(np.from_dlpack(found), expected)
    assert str(found.dtype).endswith("uint8")


@each
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_model_behind_it_reads_integers_on_one_scale(transformer, model, digits):
    """The oracle is what is learnt and predicted of uint8."""
    X = (digits[0][:300] * 255).round().astype(np.uint8)
    y = digits[1][:300]
    step = DigitNormalizer(size=8, digit_size=8)
    step = step if isinstance(transformer, DigitNormalizer) else clone(transformer)
    expected = make_pipeline(step, clone(model)).fit(X, y)
    proba = expected.predict_proba(X)
    assert expected.score(X, y) > 0.5
    # DigitNormalizer makes fractions of them, which are not rounded.
    tolerance = {"rtol": 0.2, "atol": 0.05} if step.get_params().get("size") else {}
    for dtype in ("int64", "uint16", "int32"):
        wide = X.astype(dtype)
        found = make_pipeline(clone(step), clone(model)).fit(wide, y)
        for one in (found, expected):
            for query in (wide, X):
                got = one.predict_proba(query)
                np.testing.assert_allclose(got, proba, **tolerance or {"rtol": 1e-6})
            one.predict(wide[:1])  # does not warn


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


LAYOUTS = {
    "fortran": np.asfortranarray,
    "rows backwards": lambda a: a[::-1].copy()[::-1],
    "mirrored": lambda a: a[..., ::-1].copy()[..., ::-1],
    "strided": lambda a: a.repeat(2, axis=-1)[..., ::2],
    "read-only": read_only,
    "list": np.ndarray.tolist,
}


@each
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("flat", [False, True])
def test_memory_of_any_layout(transformer, layout, flat, images):
    plain = images[:9, :, 2:12] / 255
    plain = plain.reshape(9, 100) if flat else np.ascontiguousarray(plain)
    expected = transformer.transform(plain.copy())
    before = plain.copy()
    np.testing.assert_array_equal(
        transformer.transform(LAYOUTS[layout](plain)), expected
    )
    np.testing.assert_array_equal(plain, before)


@each
def test_memory_mapped_images(transformer, images, tmp_path):
    np.save(tmp_path / "X.npy", images)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    found = clone(transformer).fit(mapped).transform(mapped)
    np.testing.assert_array_equal(found, transformer.transform(images))


@each
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("asarray", [torch.asarray, array_api_strict.asarray])
def test_other_namespaces(transformer, dtype, asarray, images):
    X = as_dtype(images, dtype)
    expected = transformer.transform(X)
    with config_context(array_api_dispatch=True):
        found = clone(transformer).fit_transform(asarray(X.copy()))
    assert type(found) is type(asarray(X[0].copy()))
    assert str(dtype) in str(found.dtype)
    np.testing.assert_array_equal(np.asarray(found), expected)


@pytest.mark.gpu
@each
def test_on_a_gpu(transformer, images, cuda):
    """As on the CPU, whose results other tests compare with SciPy's."""
    on_cpu = clone(transformer).set_params(device="cpu")
    on_gpu = clone(transformer).set_params(device="cuda")
    expected = on_cpu.transform(images / 255)
    assert_near = partial(np.testing.assert_allclose, desired=expected, atol=1e-9)
    assert_near(on_gpu.fit_transform(images / 255))
    # The order of a sum decides no grey level.
    pixels = on_gpu.fit_transform(images)
    np.testing.assert_array_equal(pixels, on_cpu.transform(images))
    with config_context(array_api_dispatch=True):
        found = transformer.transform(torch.asarray(images / 255, device="cuda"))
    assert str(found.device) == "cuda:0"
    assert_near(found.cpu())


@each
def test_names_and_frames(transformer, images):
    X = images[:4, :, :10].reshape(4, 100)
    frame = pd.DataFrame(
        X, columns=[f"pixel{n}" for n in range(100)], index=list("abcd")
    )
    plain = clone(transformer).fit_transform(X)

    for library in ("pandas", "polars"):
        model = clone(transformer).set_output(transform=library)
        found = model.fit_transform(frame)
        assert list(found.columns) == model.get_feature_names_out().tolist()
        np.testing.assert_array_equal(found.to_numpy(), plain)
        if library == "pandas":
            assert found.index.tolist() == list("abcd")

    names = model.get_feature_names_out()
    if isinstance(transformer, DigitNormalizer):
        assert names.tolist() == [f"digitnormalizer{n}" for n in range(144)]
    else:
        assert names.tolist() == frame.columns.tolist()
        with pytest.raises(NotFittedError, match="not fitted"):
            clone(transformer).get_feature_names_out()
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(frame[frame.columns[::-1]])


@each
def test_nothing_is_learnt(transformer, images):
    """Unfitted, cloned and pickled transformers return the same."""
    fitted = clone(transformer).fit(images)
    assert fitted.n_features_in_ == 140
    expected = fitted.transform(images)
    for other in (
        clone(fitted),
        pickle.loads(pickle.dumps(fitted)),
        clone(fitted).fit(1 - images),
    ):
        np.testing.assert_array_equal(other.transform(images), expected)


@each
def test_blank_images_stay_blank_beside_others(transformer, images):
    both = images / 255
    both[::2] = 0
    found = transformer.transform(both)
    assert not found[::2].any()
    np.testing.assert_array_equal(
        found[1::2], transformer.transform(images[1::2] / 255)
    )
    assert found[1::2].any(1).all()


@each
def test_features_that_make_no_square_are_one_row(transformer, images):
    with pytest.warns(
        UserWarning, match=r"X has 140 features, not a square number: .*Pass ima"
    ):
        found = transformer.transform(images.reshape(30, 140))
    np.testing.assert_array_equal(
        found, transformer.transform(images.reshape(30, 1, 140))
    )


@each
def test_a_single_image_is_told_from_rows(transformer):
    """An array (h, w) or (h, w, channels) would be read as h images."""
    photograph = np.eye(20, 18)
    fresh = clone(transformer)
    fitted = clone(transformer).fit(np.ones((2, 28, 28)))
    message = r"X has 18 features, but .* expecting 784 .* pass X\[np.newaxis\]"
    for given in (photograph, photograph.tolist(), pd.DataFrame(photograph)):
        with pytest.raises(ValueError, match=message):
            fitted.transform(given)

    for channels in (1, 3, 4):
        X = np.stack([photograph] * channels, axis=-1)
        with pytest.raises(ValueError, match=r"a single image with channels") as error:
            fresh.fit(X)
        (cure,) = re.findall("pass (.*)\\.$", str(error.value))
        found = fresh.transform(eval(cure, {"X": X, "np": np}))
        np.testing.assert_array_equal(found, fresh.transform(photograph[None]))


WRONG = {
    "sparse": (sp.csr_array(np.eye(4)), TypeError, "Sparse data was passed"),
    "one image's row": (np.zeros(4), ValueError, "Expected 2D array, got 1D array"),
    "colours": (
        np.zeros((2, 4, 4, 3)),
        ValueError,
        r"shape \(2, 4, 4, 3\), .* np.asarray\(X\).mean",
    ),
    "axes": (
        np.zeros((1, 1, 1, 4, 4)),
        ValueError,
        r"\(1, 1, 1, 4, 4\), but .* \(n, h, w\)",
    ),
    "nothing": (np.zeros((0, 4, 4)), ValueError, "Found array with 0 sample"),
    "no pixels": (
        np.zeros((4, 0, 4)),
        ValueError,
        r"shape \(4, 0, 4\): images must have",
    ),
    "nan": (np.full((2, 4, 4), np.nan), ValueError, "contains NaN"),
    "inf": (np.full((2, 4, 4), np.inf), ValueError, "contains infinity"),
    "words": ([["a", "b", "c", "d"]], ValueError, "could not convert string to float"),
    "complex": (np.ones((2, 4, 4), complex), ValueError, "Complex data not supported"),
    "None": (None, ValueError, "X is None, but images are expected: pass a list of"),
    "a number": (3.5, ValueError, "X is a float, but images are expected"),
    "a dict": ({"a": 1}, ValueError, "X is a dict, but images are expected"),
    "an empty list": ([], ValueError, "X is an empty list, without images"),
    "ragged": (
        [[1, 2, 3, 4], [1, 2]],
        ValueError,
        r"rows of different lengths: X\[0\] has 4 numbers, and X\[1\] has 2",
    ),
}


@pytest.mark.parametrize("transformer", [Deskew(), CenterByMass()], ids=str)
def test_images_of_several_sizes_need_a_normaliser(transformer):
    images = [np.eye(9), np.eye(12), np.eye(9, 8)]
    message = r"X is a list of .* sizes, such as \(9, 9\) and \(12, 12\), but"
    for method in (transformer.fit, transformer.transform, transformer.fit_transform):
        with pytest.raises(ValueError, match=message) as error:
            method(images)

    cure = re.findall(r"fit (make_pipeline\(.*\))\.$", str(error.value))[0]
    names = {
        "DigitNormalizer": DigitNormalizer,
        type(transformer).__name__: lambda _: 0,
    }
    assert eval(cure, {**names, "make_pipeline": lambda *steps: len(steps)}) == 2
    found = make_pipeline(DigitNormalizer(), transformer).fit_transform(images)
    assert found.shape == (3, 784)


@each
@pytest.mark.parametrize("kind", WRONG)
def test_other_inputs_are_errors(transformer, kind):
    X, error, words = WRONG[kind]
    fresh = clone(transformer)
    for method in (fresh.fit, fresh.transform):
        with pytest.raises(error, match=words):
            method(X)
    assert not hasattr(fresh, "n_features_in_")


@each
@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ({"image_shape": 28}, "The 'image_shape' parameter of"),
        ({"image_shape": (28,)}, r"must be \(height, width\), .* got \(28,\)"),
        ({"image_shape": (0, 28)}, r"must be \(height, width\), .* got \(0, 28\)"),
        ({"image_shape": (2.0, 2)}, r"must be \(height, width\), .* got \(2.0, 2\)"),
        ({"image_shape": (2, 2, 1)}, r"must be \(height, width\), .* got \(2, 2, 1\)"),
        (
            {"image_shape": (3, 2)},
            r"image_shape=\(3, 2\) is that of 6 features, but X has 4",
        ),
        ({"device": "tpu"}, "device='tpu' is none of 'auto', 'cpu'"),
        ({"device": None}, "The 'device' parameter of"),
    ],
    ids=str,
)
def test_parameters(transformer, parameter, words):
    with pytest.raises(ValueError, match=words):
        clone(transformer).set_params(**parameter).fit(np.eye(4))
