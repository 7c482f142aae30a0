"""A loaded model predicts, and continues training, like the saved one."""

import copy
import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn.base import clone

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)

SHORT = {
    "max_iter": 6,
    "tol": None,
    "random_state": 0,
    "learning_rate_init": 0.01,
    "batch_size": 50,
}
MODELS = {
    "means": TemplateMatchingClassifier("cosine"),
    "centres": TemplateMatchingClassifier(n_templates=2, random_state=0),
    "softmax": SoftmaxRegression(
        solver="sgd",
        learning_rate="adaptive",
        class_weight={"a": 2.0},
        **SHORT | {"tol": 1e-3, "learning_rate_init": 0.1},
    ),
    "lbfgs": SoftmaxRegression(solver="lbfgs", max_iter=6, tol=None, warm_start=True),
    "mlp": MLPClassifierTorch((9, 7), dropout=0.2, learning_rate="one_cycle", **SHORT),
    "adamw": MLPClassifierTorch(
        [9], solver="adamw", **SHORT | {"random_state": np.random.RandomState(0)}
    ),
    "stopping": MLPClassifierTorch(9, early_stopping=True, warm_start=True, **SHORT),
    "convnet": ConvNetClassifier((3, 5), dropout=0.2, augment="shift", **SHORT),
}
# A few epochs suffice for these tests.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
each = pytest.mark.parametrize("name", MODELS)
going_on = pytest.mark.parametrize("name", sorted(set(MODELS) - {"centres"}))


def by_pickle(protocol):
    return lambda model, path: pickle.loads(pickle.dumps(model, protocol))


def by_joblib(mmap_mode=None, compress=0):
    def through(model, path):
        joblib.dump(model, path / "model.joblib", compress=compress)
        return joblib.load(path / "model.joblib", mmap_mode=mmap_mode)

    return through


def by_skops(model, path):
    data = skops.io.dumps(model)
    return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))


WAYS = {f"pickle {n}": by_pickle(n) for n in range(2, pickle.HIGHEST_PROTOCOL + 1)} | {
    "deepcopy": lambda model, path: copy.deepcopy(model),
    "joblib": by_joblib(),
    "joblib compressed": by_joblib(compress=3),
    "joblib mapped": by_joblib(mmap_mode="r"),
    "skops": by_skops,
}
ways = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(scope="module")
def few(digits):
    return digits[0][:200], np.array(list("abcdefghij"))[digits[1][:200]]


def fitted(name, few):
    # A deep copy, as clones would share and advance a RandomState instance.
    return copy.deepcopy(MODELS[name]).fit(*few)


def go_on(model, few):
    """Continue training, by a warm start or a partial fit."""
    if getattr(model, "warm_start", False):
        return model.fit(*few)
    return model.partial_fit(*few)


def assert_same(one, other, X):
    """Compare bit by bit, all but the seconds of training."""
    assert vars(one).keys() == vars(other).keys()
    for method in ("predict_proba", "decision_function", "predict"):
        found, expected = (getattr(model, method)(X) for model in (one, other))
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    if hasattr(one, "history_"):
        pasts = [model.history_.drop(columns="seconds") for model in (one, other)]
        pd.testing.assert_frame_equal(*pasts, check_exact=True)
        assert one.loss_curve_ == other.loss_curve_


@each
@ways
def test_what_comes_back_is_the_same(name, way, few, tmp_path):
    model = fitted(name, few)
    assert_same(WAYS[way](model, tmp_path), model, few[0])
    # Guessing would score half of this.
    assert model.score(*few) > 0.2


@going_on
@ways
def test_what_comes_back_goes_on_the_same(name, way, few, tmp_path):
    model, more = fitted(name, few), tuple(array[:150] for array in few)
    loaded = WAYS[way](go_on(model, more), tmp_path)
    assert_same(loaded, model, few[0])
    before = model.predict_proba(few[0])
    for one in (model, loaded):
        go_on(go_on(one, more), few)
    assert_same(loaded, model, few[0])
    assert np.abs(model.predict_proba(few[0]) - before).max() > 1e-9


@ways
def test_a_model_of_several_labels_a_row(way, few, tmp_path):
    X, Y = few[0], (few[1][:, None] < np.array(["c", "f", "h"])).astype(int)
    model = MLPClassifierTorch(9, **SHORT).fit(X, Y)
    loaded = WAYS[way](model, tmp_path)
    assert_same(loaded, model, X)
    assert model.predict(X).shape == Y.shape
    assert_same(loaded.partial_fit(X, Y), model.partial_fit(X, Y), X)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@ways
def test_a_convolutional_network_in_float32(precision, way, few, tmp_path):
    settings = SHORT | {"max_iter": 2, "precision": precision}
    model = ConvNetClassifier((3, 5), **settings).fit(*few)
    loaded = WAYS[way](model, tmp_path)
    kept = [array for group in loaded._checkpoint.moments for array in group]
    assert len(kept) == 12
    assert {array.dtype for array in (*kept, *loaded.coefs_)} == {np.dtype(np.float32)}
    assert_same(loaded.partial_fit(*few), model.partial_fit(*few), few[0])
    assert model.score(*few) > 0.2


@pytest.mark.parametrize("name", ["softmax", "mlp", "convnet"])
@ways
def test_a_warm_start_goes_on_the_same(name, way, few, tmp_path):
    model = fitted(name, few).set_params(warm_start=True)
    loaded = WAYS[way](model, tmp_path)
    for one in (model, loaded):
        one.fit(*few)
    assert_same(loaded, model, few[0])
    assert len(model.history_) > model.n_iter_


@each
def test_skops_has_to_trust_skdigits_only(name, few):
    data = skops.io.dumps(fitted(name, few))
    untrusted = skops.io.get_untrusted_types(data=data)
    assert {kind.split(".")[0] for kind in untrusted} == {"skdigits"}


@each
def test_an_unfitted_model_comes_back(name, tmp_path):
    model = clone(MODELS[name]).set_params(random_state=5)
    for through in WAYS.values():
        assert repr(through(model, tmp_path)) == repr(model)


@each
def test_a_model_whose_device_is_gone_predicts_on_the_cpu(name, few, tmp_path):
    model = fitted(name, few)
    expected = model.predict_proba(few[0])
    model.device = model.device_ = f"cuda:{torch.cuda.device_count()}"
    loaded = by_joblib(mmap_mode="r")(model, tmp_path)
    assert loaded.device_ == model.device_
    with pytest.warns(UserWarning, match="Computing on the CPU: device='cuda:"):
        np.testing.assert_array_equal(loaded.predict_proba(few[0]), expected)
    assert loaded.set_params(device="cpu").fit(*few).device_ == "cpu"


OPEN = """
import pickle, sys, warnings
import numpy as np, torch
assert not torch.cuda.is_available()
with open(sys.argv[1], "rb") as file:
    X, saved = pickle.load(file)
for model, expected in saved:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        proba = model.predict_proba(X)
    np.testing.assert_allclose(proba, expected, rtol=1e-8)
    print(type(proba).__module__, *[str(w.message).split(":")[0] for w in caught])
"""


@pytest.mark.gpu
def test_what_was_fitted_on_cuda_opens_without(few, tmp_path, cuda):
    saved = []
    for name in ("means", "softmax", "mlp", "convnet"):
        model = copy.deepcopy(MODELS[name]).set_params(device="cuda").fit(*few)
        assert model.device_ == "cuda:0"
        saved.append((model, model.predict_proba(few[0])))
    (tmp_path / "models").write_bytes(pickle.dumps((few[0], saved)))
    done = subprocess.run(
        [sys.executable, "-c", OPEN, tmp_path / "models"],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "numpy Computing on the CPU\n" * 4, done.stderr
