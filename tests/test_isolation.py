"""Settings of torch around a fit or a prediction do not leak into it."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
    _allocator,
    _arrays,
)
from skdigits.model_selection import BatchedGridSearchCV
from skdigits.preprocessing import DigitNormalizer

QUICK = {"max_iter": 2, "tol": None, "random_state": 0}
MODELS = {
    "softmax": SoftmaxRegression(**QUICK),
    "lbfgs": SoftmaxRegression(solver="lbfgs", **QUICK),
    "mlp": MLPClassifierTorch(8, dropout=0.2, **QUICK),
    "convnet": ConvNetClassifier((4, 8), augment="elastic", **QUICK),
    "templates": TemplateMatchingClassifier(n_templates=2, random_state=0),
}


@contextmanager
def setting(change, value, back):
    change(value)
    try:
        yield
    finally:
        change(back)


AROUND = {
    "autocast": lambda: torch.autocast("cpu"),
    "autocast to float16": lambda: torch.autocast("cpu", torch.float16),
    "dtype": lambda: setting(torch.set_default_dtype, torch.bfloat16, torch.float32),
    "device": lambda: torch.device("meta"),
    "deterministic": lambda: setting(torch.use_deterministic_algorithms, True, False),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "no oneDNN": lambda: setting(
        partial(setattr, torch.backends.mkldnn, "enabled"), False, True
    ),
    "coarse products": lambda: setting(
        torch.set_float32_matmul_precision, "medium", "highest"
    ),
}


@pytest.fixture(scope="module")
def few():
    X, y = load_digits(return_X_y=True)
    return (X[:200] / 16).astype(np.float32), y[:200]


def results(name, X, y):
    """Return everything that is learnt and predicted, by a new fit."""
    model = clone(MODELS[name]).set_params(device="cpu").fit(X, y)
    found = [model.predict_proba(X)]
    for attribute in ("coef_", "coefs_", "templates_"):
        if hasattr(model, attribute):
            found += list(getattr(model, attribute))
    return found


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("name", MODELS)
def test_what_is_set_around_changes_nothing(name, around, few):
    expected = results(name, *few)
    with AROUND[around]():
        found = results(name, *few)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("around", ["autocast", "no oneDNN", "coarse products"])
def test_what_is_set_around_is_there_again(around, few):
    with AROUND[around]():
        before = surroundings()
        results("convnet", *few)
        BatchedGridSearchCV(MODELS["mlp"], {"alpha": [0, 1]}, cv=2).fit(*few)
        DigitNormalizer(device="cpu").fit_transform(few[0])
        assert surroundings() == before


def surroundings():
    onednn = torch.backends.mkldnn
    return (
        torch.is_autocast_enabled("cpu"),
        onednn.enabled,
        onednn.matmul.fp32_precision,
        onednn.conv.fp32_precision,
        torch.get_num_threads(),
    )


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def four_cores(monkeypatch):
    monkeypatch.setattr(_arrays, "n_cores", lambda: 4)


@pytest.mark.parametrize("name", MODELS)
def test_small_work_does_not_depend_on_the_number_of_threads(
    name, few, threads, four_cores
):
    threads(1)
    expected = results(name, *few)
    for number in (2, 4):
        threads(number)
        found = results(name, *few)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_lbfgs_does_not_depend_on_the_number_of_threads(threads, four_cores):
    """Threads share the chunks of so many samples, and add up the same sums."""
    rng = np.random.default_rng(0)
    X = rng.random((9000, 64), dtype=np.float32)
    y = (X[:, :10].argmax(1) + (rng.random(9000) < 0.1)) % 10
    model = MLPClassifierTorch(200, solver="lbfgs", max_iter=3, random_state=0, tol=0)
    found = []
    for number in (1, 2, 4):
        threads(number)
        with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge"):
            found.append(clone(model).fit(X, y).coefs_)
    for other in found[1:]:
        for one, expected in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(one, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_samples_gathered_ahead_are_the_same(dtype, threads, four_cores, monkeypatch):
    """A second thread gathers them, in epochs of more than one block."""
    rng = np.random.default_rng(0)
    X = (rng.random((3000, 300)) * 255).astype(dtype) / (
        255 if dtype != np.uint8 else 1
    )
    X = X.astype(dtype)
    y = X[:, :5].argmax(1)
    weight = rng.random(3000)
    model = SoftmaxRegression(max_iter=3, tol=None, random_state=0)
    threads(1)
    expected = clone(model).fit(X, y, weight).coef_

    gathered = []
    submit = ThreadPoolExecutor.submit
    monkeypatch.setattr(
        ThreadPoolExecutor, "submit", lambda *args: gathered.append(1) or submit(*args)
    )
    threads(2)
    np.testing.assert_array_equal(clone(model).fit(X, y, weight).coef_, expected)
    assert len(gathered) == 3 * 3


@pytest.mark.parametrize(
    ("n_samples", "others"),
    [
        (3000, {"shuffle": False}),
        (3000, {"solver": "lbfgs"}),
        (1000, {}),
        (3000, {"batch_size": 3000}),
    ],
)
def test_no_thread_starts_where_nothing_is_gathered_ahead(
    n_samples, others, threads, four_cores, monkeypatch
):
    monkeypatch.setattr(_arrays, "DEALT", math.inf)
    rng = np.random.default_rng(0)
    X = rng.random((n_samples, 300), dtype=np.float32)
    y = X[:, :5].argmax(1)
    started = []
    start = threading.Thread.start
    monkeypatch.setattr(
        threading.Thread, "start", lambda thread: started.append(1) or start(thread)
    )
    threads(2)
    model = SoftmaxRegression(max_iter=2, tol=None, random_state=0).set_params(**others)
    assert model.fit(X, y).n_iter_ == 2
    assert not started


def test_large_templates_within_an_inference_mode(threads, four_cores, monkeypatch):
    """The mode belongs to a thread, and others share the samples."""
    monkeypatch.setattr(_arrays, "DEALT", 0)
    X = np.random.default_rng(0).random((5000, 10), dtype=np.float32)
    y = X.argmax(1)
    threads(2)
    expected = TemplateMatchingClassifier().fit(X, y).predict(X)
    with torch.inference_mode():
        found = TemplateMatchingClassifier().fit(X, y).predict(X)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("metric", ["mse", "mae", "cosine"])
def test_templates_do_not_depend_on_the_number_of_threads(
    metric, threads, four_cores, monkeypatch
):
    """Threads share the chunks of samples."""
    rng = np.random.default_rng(0)
    X = rng.random((9000, 20), dtype=np.float32)
    y = X[:, :10].argmax(1)
    monkeypatch.setattr(_arrays, "DEALT", 0)
    found = []
    for number in (1, 2, 4):
        threads(number)
        model = TemplateMatchingClassifier(metric).fit(X, y)
        found.append((model.templates_, model.predict_proba(X)))
    for templates, proba in found[1:]:
        np.testing.assert_array_equal(templates, found[0][0])
        np.testing.assert_array_equal(proba, found[0][1])


@pytest.mark.parametrize("by_epoch", [False, True])
@pytest.mark.parametrize("number", [2, 3, 4])
@pytest.mark.parametrize(
    ("model", "grid"),
    [
        ("mlp", {"learning_rate_init": [0.001, 0.01, 0.1], "alpha": [0, 1]}),
        ("softmax", {"random_state": [0, 1], "learning_rate_init": [0.01, 1e30]}),
    ],
)
def test_models_dealt_out_to_threads_are_those_fitted_by_themselves(
    model, grid, number, by_epoch, few, threads, four_cores, monkeypatch
):
    """scikit-learn fits each one alone, in float64."""
    X, y = few
    X = X.astype(np.float64)
    options = {"cv": 3, "scoring": "neg_log_loss", "refit": False}
    threads(1)
    with np.errstate(all="ignore"):
        expected = GridSearchCV(MODELS[model], grid, **options)
        fit_quietly(expected, X, y)

    dealt = []
    submit = ThreadPoolExecutor.submit
    monkeypatch.setattr(
        ThreadPoolExecutor, "submit", lambda *args: dealt.append(1) or submit(*args)
    )
    monkeypatch.setattr(_arrays, "DEALT", 0)
    threads(number)
    found = BatchedGridSearchCV(
        MODELS[model], grid, return_epoch_scores=by_epoch, **options
    )
    fit_quietly(found, X, y)
    assert len(dealt) >= number
    assert found.batched_.all()
    for name in ("split0_test_score", "split2_test_score"):
        np.testing.assert_allclose(
            found.cv_results_[name], expected.cv_results_[name], rtol=1e-8
        )


def fit_quietly(search, X, y):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(X, y)


def test_fits_in_several_threads_leave_their_number_alone(few, threads):
    threads(3)
    outside = []
    begun = threading.Barrier(3)

    def fit(model):
        begun.wait()
        model.fit(*few)
        outside.append(torch.get_num_threads())

    models = [SoftmaxRegression(max_iter=n, tol=None) for n in (1, 20, 100)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(fit, models))
    assert outside == [3, 3, 3]
    assert torch.get_num_threads() == 3


def test_a_thread_keeps_a_number_of_its_own(few, threads):
    """Also if it fits while another thread does."""
    threads(4)
    inside = threading.Event()
    done = threading.Event()
    numbers = []

    def other():
        torch.get_num_threads()  # takes the process's number, at a thread's first use
        torch.set_num_threads(2)
        inside.wait()
        SoftmaxRegression(max_iter=1, tol=None).fit(*few)
        numbers.append(torch.get_num_threads())
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    threads(4)
    with _arrays.isolated():
        inside.set()
        done.wait()
    thread.join()
    assert numbers == [2]
    assert torch.get_num_threads() == 4


def test_threads_that_begin_beside_others_have_the_user_s_number(threads):
    """They read torch's number at their first use, while others compute in one."""
    threads(3)
    found = []

    def enter(n_blocks):
        for _ in range(n_blocks):
            with _arrays.isolated():
                found.append(torch.get_num_threads())
        found.append(-torch.get_num_threads())

    for _ in range(30):
        short = [threading.Thread(target=enter, args=(20,)) for _ in range(6)]
        for thread in short:
            thread.start()
        for thread in short:
            thread.join()
    assert set(found) == {1, -3}
    assert torch.get_num_threads() == 3


def test_threads_of_a_pool_compute_alone(threads, four_cores):
    threads(4)
    with _arrays.isolated(), _arrays.side_by_side(1e12, 4) as workers:
        numbers = list(workers.each(lambda _: torch.get_num_threads(), range(8)))
    assert set(numbers) == {1}


class Probe(ClassifierMixin, BaseEstimator):
    """A classifier of somebody else's, which keeps what it finds around its fit."""

    found: ClassVar[list] = []

    def __init__(self, alpha=0):
        self.alpha = alpha

    def fit(self, X, y):
        self.found.append((torch.get_num_threads(), torch.is_autocast_enabled("cpu")))
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.repeat(self.classes_[:1], len(X))


def test_other_estimators_of_a_search_keep_the_user_s_settings(few, threads):
    threads(2)
    Probe.found.clear()
    with torch.autocast("cpu"):
        BatchedGridSearchCV(Probe(), {"alpha": [0, 1]}, cv=2).fit(*few)
    assert set(Probe.found) == {(2, True)}
    assert len(Probe.found) == 5


def test_a_fit_that_fails_leaves_the_number_of_threads_alone(few, threads):
    threads(2)
    with pytest.raises(ValueError, match="inconsistent numbers"):
        SoftmaxRegression().fit(few[0], few[1][:-1])
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    "train",
    [
        lambda X, y: SoftmaxRegression(max_iter=1, tol=None).fit(X, y),
        lambda X, y: SoftmaxRegression(solver="lbfgs", max_iter=1, tol=None).fit(X, y),
        lambda X, y: SoftmaxRegression().partial_fit(X, y, np.unique(y)),
        lambda X, y: TemplateMatchingClassifier().fit(X, y),
        lambda X, y: BatchedGridSearchCV(
            SoftmaxRegression(max_iter=1, tol=None), {"alpha": [0, 1]}, cv=2
        ).fit(X, y),
    ],
)
def test_only_what_trains_keeps_freed_memory(train, few, monkeypatch):
    """Where a variable tells glibc to return it, as on workers of Dask."""
    calls = []

    class Recorder:
        def mallopt(self, parameter, value):
            calls.append((parameter, value))

        def malloc_trim(self, pad):
            calls.append("trim")

    trim_threshold = -1  # of glibc's malloc.h
    monkeypatch.setattr(_allocator, "_libc", Recorder())
    monkeypatch.setattr(_allocator, "_trim", 65536)
    monkeypatch.setattr(_arrays, "is_trimmed", True)
    X, y = few
    model = train(X, y)
    values = [call[1] for call in calls if call[0] == trim_threshold]
    assert values[0] > 2**25
    assert values[-1] == 65536
    assert calls[-1] == "trim"

    calls.clear()
    model.predict(X)
    model.predict(X[:1])
    model.score(X, y)
    assert calls == []
