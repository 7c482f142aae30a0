"""A search divides its models between all GPUs of a machine."""

from collections import Counter

import numpy as np
import pytest
import sklearn
import torch
from fake_cuda import fake_cuda
from joblib import parallel_config
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdigits import MLPClassifierTorch, SoftmaxRegression
from skdigits._gpus import OWN, allocations, own_gpu
from skdigits.model_selection import (
    BatchedGridSearchCV,
    BatchedHalvingGridSearchCV,
    _execution,
)

FIT = {"max_iter": 3, "tol": None, "random_state": 0}
GRID = {"learning_rate_init": np.geomspace(1e-3, 0.1, 4).tolist()}


@pytest.fixture(scope="module")
def few(digits):
    X, y = digits
    return X[:300], y[:300]


@pytest.fixture
def used(monkeypatch):
    """Models by the device on which their session is prepared."""
    devices = Counter()
    prepare = _execution.prepare

    def noted(models, *args, **options):
        session = prepare(models, *args, **options)
        devices[str(session.data.X.device)] += len(models)
        return session

    monkeypatch.setattr(_execution, "prepare", noted)
    return devices


def scores_of(search):
    names = [name for name in search.cv_results_ if "test_score" in name]
    return np.array([search.cv_results_[name] for name in names])


SEARCHES = {
    "softmax": BatchedGridSearchCV(SoftmaxRegression(**FIT), GRID),
    "seeds": BatchedGridSearchCV(
        MLPClassifierTorch(8, dropout=0.2, **FIT), GRID | {"random_state": [0, 1]}
    ),
    "cuda": BatchedGridSearchCV(SoftmaxRegression(device="cuda", **FIT), GRID),
    "Pipeline": BatchedGridSearchCV(
        make_pipeline(StandardScaler(), SoftmaxRegression(**FIT)),
        {f"softmaxregression__{name}": values for name, values in GRID.items()},
    ),
    "halving": BatchedHalvingGridSearchCV(
        SoftmaxRegression(**FIT), GRID, resource="max_iter", max_resources=4
    ),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_two_gpus_have_half_of_the_models_each(name, few, used):
    search = clone(SEARCHES[name])
    with fake_cuda(1):
        expected = clone(search).fit(*few)
    assert set(used) == {"cuda:0"}
    n_models = used.pop("cuda:0")

    with fake_cuda(2) as device:
        found = search.fit(*few)
    assert not device.problems
    assert set(used) == {"cuda:0", "cuda:1"}
    assert used.total() == n_models
    np.testing.assert_array_equal(scores_of(found), scores_of(expected))


@pytest.mark.parametrize(
    "choose",
    [
        lambda search: search.set_params(n_jobs=1),
        lambda search: search.set_params(estimator__device="cuda:1"),
    ],
    ids=["n_jobs=1", "cuda:1"],
)
def test_what_the_user_has_chosen_holds(choose, few, used):
    search = choose(clone(SEARCHES["softmax"]))
    with fake_cuda(2):
        search.fit(*few)
    assert len(used) == 1


def test_samples_on_a_gpu_stay_there(few, used):
    search = clone(SEARCHES["softmax"]).set_params(refit=False)
    X, y = few
    with fake_cuda(2):
        tensors = (torch.from_numpy(X).to("cuda:1"), torch.from_numpy(y).to("cuda:1"))
        with sklearn.config_context(array_api_dispatch=True):
            search.fit(*tensors)
    assert set(used) == {"cuda:1"}


def test_threads_of_the_user_have_a_gpu_each(few, used):
    with fake_cuda(2), parallel_config("threading", n_jobs=2):
        clone(SEARCHES["softmax"]).fit(*few)
    assert set(used) == {"cuda:0", "cuda:1"}


def test_the_gpu_with_fewest_threads_is_next():
    with fake_cuda(3):
        with own_gpu():
            first = OWN.get()
            with own_gpu():  # it has one
                assert OWN.get() == first
        with own_gpu():
            assert OWN.get() == first
    assert OWN.get() is None
    with fake_cuda(1), own_gpu():
        assert OWN.get() is None


def test_allocations_tell_which_gpus_are_used(monkeypatch):
    """Whichever one is the current device, and whatever it keeps from before."""
    counts = {"cuda:0": 7, "cuda:1": 5, "cuda:2": 0}
    monkeypatch.setattr(
        torch.cuda,
        "memory_stats",
        lambda number: {"allocation.all.allocated": counts[f"cuda:{number}"]},
    )
    assert not allocations()
    with fake_cuda(3):
        before = allocations()
        assert before == counts
        counts["cuda:1"] += 2
        assert set(allocations() - before) == {"cuda:1"}
