"""Processes, threads and forks give one process's results, on their share of cores.

Results are bit-identical for the same number of threads. Two threads add up the halves
of large products, which rounds differently.
"""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_predict

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
    _arrays,
)

QUICK = {"max_iter": 3, "tol": None, "random_state": 0}
MODELS = [
    TemplateMatchingClassifier(n_templates=2, random_state=0),
    SoftmaxRegression(0.05, batch_size=50, **QUICK),
    SoftmaxRegression(solver="lbfgs", **QUICK),
    MLPClassifierTorch(32, dropout=0.2, **QUICK),
    MLPClassifierTorch(32, early_stopping=True, **QUICK),
    ConvNetClassifier(2, dropout=0.2, augment="shift", learning_rate_init=0.1, **QUICK),
]
NAMES = ["templates", "softmax", "lbfgs", "mlp", "early stopping", "conv"]
each = pytest.mark.parametrize("model", MODELS, ids=NAMES)

in_workers = pytest.mark.parametrize(
    "workers", [pytest.param("loky", marks=pytest.mark.slow), "threading"]
)

WORKERS = {
    "one": {"n_jobs": 1},
    "loky": {"n_jobs": 2, "backend": "loky", "inner_max_num_threads": 1},
    "threading": {"n_jobs": 2, "backend": "threading"},
}


@pytest.fixture(scope="module")
def few(digits):
    return digits[0][:600], digits[1][:600]


@pytest.fixture
def threads():
    """Set the number of PyTorch's threads during a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def reseed(seed):
    """Seed all global random generators."""
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    random.seed(seed)


@each
@in_workers
def test_folds_in_workers_are_those_one_after_the_other(model, workers, few, threads):
    """Results are bit-identical, under any global seed."""
    threads(1)
    found = []
    for seed, how in enumerate(("one", workers, workers)):
        reseed(seed)
        with parallel_config(**WORKERS[how]):
            found.append(cross_val_predict(model, *few, cv=3, method="predict_proba"))
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])
    assert np.ptp(found[0], axis=0).min() > 0.02


@each
def test_more_threads_make_a_difference_of_roundings_at_most(model, few, threads):
    # Little data: the threads of a busy machine wait for each other.
    X, y = few[0][:200], few[1][:200]
    found = []
    for count in (1, 2):
        threads(count)
        found.append(clone(model).fit(X, y).predict_proba(X))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-10)


@in_workers
@pytest.mark.parametrize("model", MODELS[1:4:2], ids=NAMES[1:4:2])
def test_a_search_and_a_bag_in_workers(model, workers, few, threads):
    """The refitted model and all drawn seeds are the same, too."""
    threads(1)
    X, y = few
    search = GridSearchCV(model, {"learning_rate_init": [0.1, 0.001]}, cv=2)
    bag = BaggingClassifier(model, 3, random_state=0)
    found = []
    for how in ("one", workers):
        with parallel_config(**WORKERS[how]):
            found.append((clone(search).fit(X, y), clone(bag).fit(X, y)))
    (search, bag), (other_search, other_bag) = found
    for name in ("split0_test_score", "split1_test_score", "rank_test_score"):
        np.testing.assert_array_equal(
            search.cv_results_[name], other_search.cv_results_[name]
        )
    for one, other in ((search, other_search), (bag, other_bag)):
        np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


@each
def test_fits_and_predictions_in_threads_do_not_meet(model, few):
    """Fit models at once on different samples, and predict with one in many threads."""
    X, y = few
    parts = [(X[at::4], y[at::4]) for at in range(4)]
    expected = [clone(model).fit(*part).predict_proba(X) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(lambda part: clone(model).fit(*part), parts))
        for fitted, proba in zip(models, expected, strict=True):
            np.testing.assert_allclose(fitted.predict_proba(X), proba, rtol=1e-10)
        for proba in pool.map(models[0].predict_proba, [X] * 12):
            np.testing.assert_allclose(proba, expected[0], rtol=1e-10)


def threads_in_two_workers(model, X, y, **how):
    """Return the numbers of threads before, during and after fits in loky's workers."""

    def probe():
        counts = []

        # A verbose fit writes a line after every epoch.
        class Counter:
            def write(self, text):
                counts.append(torch.get_num_threads())
                return len(text)

            def flush(self):
                pass

        _arrays.LARGE = 0  # whatever the model computes is large enough for threads
        before = torch.get_num_threads()
        with contextlib.redirect_stdout(Counter()):
            clone(model).set_params(verbose=True).fit(X, y)
        return before, max(counts), torch.get_num_threads(), len(counts) >= 3

    with parallel_config(backend="loky", n_jobs=2, **how):
        return set(Parallel()(delayed(probe)() for _ in range(4)))


@pytest.mark.parametrize("model", MODELS[1:4:2], ids=NAMES[1:4:2])
def test_a_worker_takes_its_share_of_the_cores(model, few, threads):
    """A fit keeps the number of threads that joblib gives to each worker."""
    threads(2)
    share = max(joblib.cpu_count() // 2, 1)
    found = threads_in_two_workers(model, *few)
    assert found == {(share, share, share, True)}


@pytest.mark.slow
def test_a_worker_takes_as_many_threads_as_it_is_given(few):
    found = threads_in_two_workers(MODELS[3], *few, inner_max_num_threads=2)
    assert found == {(2, 2, 2, True)}


def test_a_fit_leaves_the_number_of_threads_alone(few, threads):
    for count in (1, 2):
        threads(count)
        for model in MODELS:
            clone(model).fit(*few).predict(few[0])
            assert torch.get_num_threads() == count


FORKS = """
import hashlib, multiprocessing, sys, time
from threading import Thread
import numpy as np, torch
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_predict
from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits import _arrays
from skdigits.model_selection import BatchedGridSearchCV, learning_rate_sweep

X, y = load_digits(return_X_y=True)
X, y = X[:600] / 16, y[:600]
y_many = np.arange(20000) % 3
QUICK = {"max_iter": 3, "tol": None, "random_state": 0}
MODELS = [
    TemplateMatchingClassifier(n_templates=2, random_state=0),
    SoftmaxRegression(0.05, batch_size=50, **QUICK),
    SoftmaxRegression(solver="lbfgs", **QUICK),
    MLPClassifierTorch(32, dropout=0.2, **QUICK),
    MLPClassifierTorch(32, early_stopping=True, **QUICK),
    ConvNetClassifier(2, dropout=0.2, augment="shift", learning_rate_init=0.1, **QUICK),
]

def fit(model):
    return clone(model).fit(X, y).predict_proba(X)

def predict(model):
    return model.predict_proba(X)

def search(n_jobs):
    grid = {"learning_rate_init": [0.01, 0.1]}
    found = BatchedGridSearchCV(MODELS[-1], grid, cv=2, n_jobs=n_jobs, refit=False)
    return found.fit(X, y).cv_results_["mean_test_score"]

def sweep():
    many = np.vstack([X] * 10)
    rates = [0.01, 0.1]
    return learning_rate_sweep(MODELS[1], many, np.tile(y, 10), rates=rates).best_rate

def wide_search():
    # Its models train alone, in processes, and are large enough for threads.
    rows = np.random.default_rng(0).random((1000, 784), dtype=np.float32)
    model = MLPClassifierTorch(max_iter=1, tol=None, random_state=0)
    grid = {"hidden_layer_sizes": [300, 400]}
    found = BatchedGridSearchCV(model, grid, cv=2, n_jobs=2, refit=False)
    found.fit(rows, np.arange(1000) % 10)
    return found.batched_.tolist() == [False, False]

def fits_in_threads():
    # One fit begins before the other and ends after it.
    rows = np.random.default_rng(0).normal(size=(20000, 300))
    model = SoftmaxRegression(max_iter=2, tol=None, batch_size=20000, random_state=0)
    longer = clone(model).set_params(max_iter=60)
    fits = [Thread(target=one.fit, args=(rows, y_many)) for one in (longer, model)]
    for thread in fits:
        thread.start()
        time.sleep(0.2)
    for thread in fits:
        thread.join()
    return longer.n_iter_ == 60 and model.n_iter_ == 2

def threads(_):
    return torch.get_num_threads()

def unseeded(_):
    return float(SoftmaxRegression(max_iter=1, tol=None).fit(X, y).loss_)

def around_a_wide_fit():
    # Each step is large enough for threads, which are not forked.
    rows = np.random.default_rng(0).normal(size=(2000, 784))
    model = MLPClassifierTorch(512, max_iter=2, tol=None, random_state=0)
    before = torch.get_num_threads()
    model.fit(rows, np.arange(2000) % 10)
    return before, model.n_iter_, torch.get_num_threads()

def use_threads():
    torch.set_num_threads(2)
    wide = np.random.default_rng(0).normal(size=(1000, 784))
    MLPClassifierTorch(128, max_iter=1, tol=None).fit(wide, np.arange(1000) % 10)

if __name__ == "__main__":
    torch.set_num_threads(1)
    expected = [fit(model) for model in MODELS]
    fitted = [clone(model).fit(X, y) for model in MODELS]
    folds = cross_val_predict(MODELS[3], X, y, cv=2, method="predict_proba")
    scores = search(None)
    best_rate = sweep()
    use_threads()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert set(pool.map(threads, range(4))) == {2}, "threads of a child"
        for found in (pool.map(fit, MODELS), pool.map(predict, fitted)):
            assert all(map(np.array_equal, found, expected)), "a pool"
        assert len(set(pool.map(unseeded, range(6)))) == 6, "seeds of children"
        assert pool.apply(around_a_wide_fit) == (2, 2, 2), "threads after a fit"
    use_threads()
    with parallel_config(backend="multiprocessing", n_jobs=2):
        found = Parallel()(delayed(fit)(model) for model in MODELS)
        assert all(map(np.array_equal, found, expected)), "joblib"
        found = cross_val_predict(MODELS[3], X, y, cv=2, method="predict_proba")
        assert np.array_equal(found, folds), "folds"
        assert np.array_equal(search(2), scores), "a search"
        assert wide_search(), "a search of wide models"
        with _arrays.isolated():
            assert wide_search(), "a search within a block"
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(sweep) == best_rate, "a sweep"
        assert pool.apply(fits_in_threads), "threads in a child"
    assert torch.get_num_threads() == 2, "threads of the parent"
    print(hashlib.sha256(b"".join(proba.tobytes() for proba in expected)).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_children_of_a_parent_that_has_used_threads(few, threads, tmp_path):
    """They neither hang nor differ, nor does a process with another hash seed.

    A child keeps its number of threads outside of fits, which have one thread in it.
    """
    (tmp_path / "forks.py").write_text(FORKS)
    with subprocess.Popen(
        [sys.executable, "-W", "error", tmp_path / "forks.py"],
        env=os.environ | {"PYTHONHASHSEED": "77", "OMP_WAIT_POLICY": "passive"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=120)
        finally:
            # Hanging children would survive their parent.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    threads(1)
    expected = [
        clone(model).fit(*few).predict_proba(few[0]).tobytes() for model in MODELS
    ]
    assert output.strip() == hashlib.sha256(b"".join(expected)).hexdigest(), errors
