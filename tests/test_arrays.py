"""Arrays to tensors and back: memory of any kind in, the right namespace out."""

import warnings

import array_api_strict
import numpy as np
import pytest
import torch
from sklearn import config_context

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits._arrays import (
    surely_finite,
    to_tensor,
    training_device,
)
from skdigits._input_checks import prediction_device

CPU = torch.device("cpu")


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        read_only,
        lambda a: a[::-1][::-1],
        lambda a: np.flip(np.flip(a).copy()),
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    ],
    ids=["fortran", "read-only", "twice reversed", "negative strides", "strided"],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64])
def test_any_memory_becomes_the_same_tensor(change, dtype, rng):
    array = (rng.uniform(size=(4, 6)) * 100).astype(dtype)
    tensor = to_tensor(change(array), CPU)
    np.testing.assert_array_equal(tensor.numpy(), array)
    assert tensor.numpy().dtype == dtype


def test_memory_is_shared_even_if_read_only():
    array = read_only(np.zeros((3, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = to_tensor(array, CPU)
    assert tensor.data_ptr() == array.ctypes.data


def test_fits_leave_their_input_alone(digits):
    X, y = digits
    for dtype in (np.float32, np.float64):
        before = X.astype(dtype)
        given = before.copy()
        for model in (
            SoftmaxRegression(
                max_iter=2, tol=None, augment=lambda images, _: images.zero_()
            ),
            MLPClassifierTorch(max_iter=2, tol=None, augment="elastic"),
            ConvNetClassifier(2, max_iter=1, augment=lambda images, _: images.zero_()),
            TemplateMatchingClassifier("cosine"),
        ):
            # One batch, which is no copy.
            model.fit(given[:128], y[:128]).predict_proba(given)
            np.testing.assert_array_equal(given, before)


def test_devices():
    assert training_device("cpu", np.zeros(1)) == CPU
    assert training_device("auto", torch.zeros(1)) == CPU
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert training_device("auto", np.zeros(1)).type == expected


@pytest.mark.parametrize("device", ["gpu", "meta", "mps", "", "cuda:x"])
def test_a_device_that_is_none_is_an_error(device, iris):
    with pytest.raises(
        ValueError, match=f"device='{device}' is none of 'auto', 'cpu', 'cuda'"
    ):
        SoftmaxRegression(device=device).fit(*iris)


def test_a_device_that_is_absent_is_an_error_in_fit_and_a_warning_in_predict(iris):
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ValueError, match=f"device='{absent}', but torch finds"):
        SoftmaxRegression(device=absent).fit(*iris)
    with pytest.warns(UserWarning, match="Computing on the CPU: device="):
        assert prediction_device(absent, iris[0]) == CPU
    model = TemplateMatchingClassifier(device="cpu").fit(*iris)
    expected = model.predict(iris[0])
    with pytest.warns(UserWarning, match="Computing on the CPU"):
        np.testing.assert_array_equal(
            model.set_params(device=absent).predict(iris[0]), expected
        )


@pytest.mark.parametrize(
    "model",
    [
        SoftmaxRegression(max_iter=3, tol=None, random_state=0),
        MLPClassifierTorch(9, max_iter=3, tol=None, random_state=0),
        ConvNetClassifier(2, max_iter=1, augment="shift", random_state=0),
        TemplateMatchingClassifier(),
    ],
    ids=str,
)
def test_tensors_in_tensors_out(model, digits):
    X, y = digits
    expected = model.fit(X, y).predict_proba(X)
    with config_context(array_api_dispatch=True):
        proba = model.fit(torch.from_numpy(X), torch.from_numpy(y)).predict_proba(
            torch.from_numpy(X)
        )
    assert isinstance(proba, torch.Tensor)
    assert not proba.is_inference()  # it may take part in anybody's autograd
    np.testing.assert_allclose(proba, expected, rtol=1e-10)


@pytest.mark.parametrize(
    "model",
    [SoftmaxRegression(max_iter=3, tol=None), TemplateMatchingClassifier()],
    ids=str,
)
def test_rows_of_weight_zero_are_left_out_in_any_namespace(model, digits, rng):
    X, y = (array[:100] for array in digits)
    weight = rng.integers(0, 3, 100).astype(float)
    model.set_params(random_state=0)
    expected = model.fit(X, y, weight).predict_proba(X)
    with config_context(array_api_dispatch=True):
        strict = [array_api_strict.asarray(array) for array in (X, y, weight)]
        found = model.fit(*strict).predict_proba(strict[0])
    np.testing.assert_allclose(np.from_dlpack(found), expected, rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("values", "sure"),
    [
        ([0.0, 1.0], True),
        ([0.0, np.nan], False),
        ([0.0, np.inf], False),
        ([-np.inf, np.inf], False),
    ],
)
def test_what_is_surely_finite(dtype, values, sure):
    X = np.array([values], dtype=dtype)
    assert surely_finite(X) is sure
    assert surely_finite(read_only(X[:, ::-1])) is sure
    assert sure is np.isfinite(X).all().item()


@pytest.mark.parametrize(
    "X",
    [
        np.full((1, 2), np.finfo(np.float32).max),  # finite, but its sum is not
        np.ones((1, 2), dtype=int),
        np.ones((1, 2), dtype=">f8"),
        np.ones((1, 2), dtype=np.float16),
        [[1.0, 2.0]],
    ],
    ids=["huge", "int", "big-endian", "float16", "list"],
)
def test_what_is_not_surely_finite_is_checked_and_taken(X, iris):
    assert not surely_finite(X)
    model = SoftmaxRegression(max_iter=1, tol=None).fit(iris[0][:, :2] * 1e-30, iris[1])
    assert model.predict(X).shape == (1,)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize(
    "model",
    [
        SoftmaxRegression(max_iter=3, tol=None, random_state=0),
        SoftmaxRegression(solver="lbfgs", max_iter=5, tol=None),
        MLPClassifierTorch(
            9, dropout=0.0, max_iter=6, early_stopping=True, random_state=0
        ),
        MLPClassifierTorch(9, max_iter=3, tol=None, random_state=0),
        TemplateMatchingClassifier(n_templates=2, random_state=0),
        ConvNetClassifier(4, max_iter=2, precision="float32", random_state=0),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_gpu_computes_what_the_cpu_computes(model, dtype, digits, cuda):
    X, y = ((digits[0] * 255).astype(dtype), digits[1])
    if dtype != np.uint8:
        X /= 255
    expected = model.set_params(device="cpu").fit(X, y).predict_proba(X)
    found = model.set_params(device="cuda").fit(X, y).predict_proba(X)
    assert model.device_ == "cuda:0"
    assert isinstance(found, np.ndarray)
    # A few thousand units of rounding, of the dtype that the model computes in.
    single = dtype != np.float64 or isinstance(model, ConvNetClassifier)
    precision = np.finfo(np.float32 if single else np.float64)
    np.testing.assert_allclose(found, expected, rtol=1e4 * precision.eps)
