"""Which device is computed on, what it is called, and which tensors are taken."""

import numpy as np
import pytest
import torch
from fake_cuda import fake_cuda
from sklearn import config_context

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits._arrays import training_device

MODELS = [
    SoftmaxRegression(max_iter=1, tol=None),
    SoftmaxRegression(solver="lbfgs", max_iter=1, tol=None),
    MLPClassifierTorch(3, max_iter=1, tol=None),
    ConvNetClassifier(2, max_iter=1),
    TemplateMatchingClassifier(),
]
models = pytest.mark.parametrize("model", MODELS, ids=str)


@models
@pytest.mark.parametrize(
    ("device", "current", "expected"),
    [
        ("auto", 0, "cuda:0"),
        ("cuda", 0, "cuda:0"),
        (torch.device("cuda"), 0, "cuda:0"),
        ("cuda:0", 1, "cuda:0"),
        ("cuda", 1, "cuda:1"),
        ("auto", 1, "cuda:1"),
        ("cuda:1", 0, "cuda:1"),
        ("cpu", 0, "cpu"),
    ],
    ids=str,
)
def test_a_device_has_one_name(model, device, current, expected, digits):
    X, y = (array[:60] for array in digits)
    with fake_cuda(2):
        torch.cuda.set_device(current)
        model.set_params(device=device).fit(X, y)
        assert model.device_ == expected
        assert model.predict(X).shape == (60,)


@models
def test_tensors_stay_on_their_device(model, digits):
    X, y = (array[:60] for array in digits)
    with fake_cuda(2) as device, config_context(array_api_dispatch=True):
        there = torch.from_numpy(X).to("cuda:1")
        model.set_params(device="auto").fit(there, torch.from_numpy(y).to("cuda:1"))
        assert model.device_ == "cuda:1"
        assert model._fitted_array.device == torch.device("cuda:1")
        assert model.predict_proba(there).device == torch.device("cuda:1")
    assert not device.problems


def test_asking_for_a_device_starts_no_cuda(monkeypatch):
    """A process that has started CUDA cannot fork workers that compute on it."""

    def start():
        raise AssertionError("CUDA has been started")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "_lazy_init", start)
    for device in ("auto", "cuda"):
        assert str(training_device(device, np.zeros(1))) == "cuda:0"
