"""Runs of a search fill the memory of a GPU, and are halved if they exceed it."""

import numpy as np
import pytest
import torch
from fake_cuda import fake_cuda
from sklearn.base import clone

from skdigits import MLPClassifierTorch
from skdigits.model_selection import BatchedGridSearchCV, _execution
from skdigits.model_selection._folds import FoldData
from skdigits.model_selection._grouping import Group

RATES = np.geomspace(1e-3, 1e-1, 39).tolist()


@pytest.fixture
def few(digits):
    X, y = digits
    return X[:240], y[:240]


@pytest.fixture
def runs(monkeypatch):
    """Numbers of models of each session."""
    sizes = []
    prepare = _execution.prepare

    def counted(models, *args, **options):
        sizes.append(len(models))
        return prepare(models, *args, **options)

    monkeypatch.setattr(_execution, "prepare", counted)
    return sizes


def search(*more_rates, **options):
    model = MLPClassifierTorch(64, solver="sgd", max_iter=1, tol=None, random_state=0)
    grid = {"learning_rate_init": [*RATES, *more_rates]}
    options = {"cv": 2, "scoring": "neg_log_loss", "refit": False} | options
    return BatchedGridSearchCV(model, grid, **options)


def scores_of(search):
    return search.cv_results_["mean_test_score"]


def test_the_memory_of_the_gpu_decides_how_many_models_train_at_once(few, runs):
    with fake_cuda(memory=2**24):
        parts = search().fit(*few)
    assert max(runs) < 2 * len(RATES)

    runs.clear()
    with fake_cuda(memory=2**28):
        found = search().fit(*few)
    assert runs == [2 * len(RATES)]
    np.testing.assert_allclose(scores_of(found), scores_of(parts), rtol=1e-9)

    # What the user names holds on every device.
    runs.clear()
    with fake_cuda(memory=2**28):
        search(working_memory=2).fit(*few)
    assert max(runs) < 2 * len(RATES)


@pytest.mark.parametrize("last", [0.2, 1e300], ids=["sound", "diverges"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_runs_that_exceed_the_memory_are_halved_and_told_once(last, few, runs):
    """The weights of 80 models take 2.6 MB, those of one 33 kB."""
    tried = search(last, working_memory=1000)
    words = "A run of 80 models needs more memory than the GPU has, and is halved"
    with (
        fake_cuda(memory=2**19),
        pytest.warns(RuntimeWarning, match=words) as caught,
    ):
        tried.fit(*few)
    assert len([one for one in caught if one.category is RuntimeWarning]) == 1
    assert tried.batched_.all()
    # All parts are halved with the one that fails, until they fit.
    assert runs == [80, 40, 20, 10, *[4, 6] * 8]

    with fake_cuda(memory=2**30):
        expected = clone(tried).fit(*few)
    np.testing.assert_allclose(scores_of(tried), scores_of(expected), rtol=1e-9)


def test_a_single_model_that_exceeds_the_memory_is_an_error(few):
    with (
        fake_cuda(memory=2**15),  # the samples take more
        pytest.warns(RuntimeWarning, match="CUDA out of memory"),
        pytest.raises(ValueError, match="All the 78 fits failed"),
    ):
        search(working_memory=1000).fit(*few)


@pytest.mark.parametrize("name", ["columns", "folds", "seeds"])
def test_halves_are_all_of_a_run(name):
    candidates = [[f"{seed}-{column}" for column in range(5)] for seed in range(3)]
    folds = list(range(3))
    if name != "columns":
        candidates = [row[:1] for row in candidates]
    if name == "seeds":
        folds = folds[:1]

    data = FoldData(samples=[], template=None, folds=folds)
    group = Group(candidates)
    halves = _execution._halves(group, data, MemoryError())
    found = [
        (one, fold)
        for part, some in halves
        for row in part.seeds
        for one in row
        for fold in some.folds
    ]
    assert len(halves) == 2
    expected = [(one, fold) for row in candidates for one in row for fold in folds]
    assert sorted(found) == sorted(expected)


def test_one_model_has_no_halves():
    data = FoldData(samples=[], template=None, folds=[0])
    with pytest.raises(MemoryError, match="too large"):
        _execution._halves(Group([["only"]]), data, MemoryError("too large"))


def test_the_host_is_told_too(few, monkeypatch):
    """A run whose models all succeed one by one, but not together."""

    def fails(job, group, fold_data):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(_execution, "train_and_score", fails)
    with pytest.warns(RuntimeWarning, match="Batched runs of 39 .* one by one"):
        found = search(cv=2).fit(*few)
    assert not found.batched_.any()
