"""Blocks of steps over fixed memory: what a GPU replays, taken by the CPU."""

import math

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits.engine import replay, train
from skdigits.engine.replay import StepBlock, blocks_of
from skdigits.model_selection import BatchedGridSearchCV

FIT = {"max_iter": 4, "tol": None, "random_state": 0, "batch_size": 32}
MODELS = {
    "softmax": SoftmaxRegression(**FIT),
    "without momentum": SoftmaxRegression(momentum=0, alpha=0, **FIT),
    "in order": SoftmaxRegression(shuffle=False, **FIT),
    "Adam": MLPClassifierTorch(20, **FIT),
    "AdamW": MLPClassifierTorch((20, 10), solver="adamw", weight_decay=0.1, **FIT),
    "one cycle": MLPClassifierTorch(20, solver="sgd", learning_rate="one_cycle", **FIT),
    "adaptive": SoftmaxRegression(
        learning_rate="adaptive", n_iter_no_change=1, **(FIT | {"tol": 10.0})
    ),  # the rate falls after every second epoch
    "noise": MLPClassifierTorch(20, dropout=0.3, augment="elastic", **FIT),
    "early stopping": MLPClassifierTorch(20, early_stopping=True, **FIT),
    "convolutions": ConvNetClassifier((4, 8), **(FIT | {"max_iter": 2})),
}


@pytest.fixture(scope="module")
def data(digits):
    X, y = digits
    return X[:500].astype(np.float32), y[:500]


@pytest.fixture
def blocks(monkeypatch, resize):
    """Take steps in blocks of at most 4; the runs of each block are counted."""
    runs = []
    take = StepBlock.take

    def counted(block):
        runs.append(block.n_steps)
        take(block)

    monkeypatch.setattr(StepBlock, "take", counted)
    monkeypatch.setattr(train, "REPLAYED", {"cpu"})
    resize(block_steps=4)
    return runs


def weights(model):
    if isinstance(model, SoftmaxRegression):
        return [model.coef_, model.intercept_]
    return [*model.coefs_, *model.intercepts_]


def assert_same(model, other):
    for found, expected in zip(weights(model), weights(other), strict=True):
        np.testing.assert_array_equal(found, expected)
    # Losses of 16 steps are added up in another order, in float64.
    found, expected = (one.history_.drop(columns="seconds") for one in (model, other))
    np.testing.assert_allclose(found, expected, rtol=16 * np.finfo(float).eps)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")  # four epochs are few
@pytest.mark.parametrize("n_samples", [500, 480])
@pytest.mark.parametrize("name", MODELS)
def test_blocks_equal_single_steps(name, n_samples, data, blocks, monkeypatch):
    X, y = (some[:n_samples] for some in data)
    model = clone(MODELS[name]).fit(X, y)
    # Of 15 whole batches, or of 14 where a tenth of the samples is held out.
    n_blocks = 4 if model.early_stopping else 5
    assert blocks == [3] * n_blocks * model.n_iter_

    monkeypatch.setattr(train, "REPLAYED", set())
    assert_same(model, clone(MODELS[name]).fit(X, y))
    assert len(blocks) == n_blocks * model.n_iter_


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_blocks_of_pixels_and_weights(dtype, weighted, data, blocks, monkeypatch):
    X, y = data
    X = (X * 255).astype(dtype) if dtype == np.uint8 else X.astype(dtype)
    weight = np.arange(500.0) if weighted else None
    model = MLPClassifierTorch(20, **FIT).fit(X, y, sample_weight=weight)
    assert blocks
    monkeypatch.setattr(train, "REPLAYED", set())
    assert_same(model, clone(model).fit(X, y, sample_weight=weight))


@pytest.mark.parametrize("together", [False, True], ids=["layers", "joint"])
@pytest.mark.parametrize("solver", ["sgd", "adam", "adamw"])
def test_blocks_of_a_search(solver, together, data, blocks, monkeypatch, resize):
    """All layers of all models may be one parameter, as on a GPU."""
    X, y = data
    model = MLPClassifierTorch(8, solver=solver, weight_decay=0.1, **FIT)
    if together:
        resize(joint_models=math.inf, joint_numbers=math.inf)
    found = searched(model, X.astype(float), y)
    assert blocks
    monkeypatch.setattr(train, "REPLAYED", set())
    resize(joint_models=1)
    expected = searched(model, X.astype(float), y)
    # The CPU has two ways to compute a · b + c, which round differently.
    np.testing.assert_allclose(found, expected, rtol=1e-11 if together else 0)


def searched(model, X, y):
    """Losses (candidates, epochs) of a search in which models diverge, and leave."""
    grid = {
        "learning_rate_init": [0.001, 0.01, 1e300],
        "momentum" if model.solver == "sgd" else "beta_1": [0.5, 0.9],
        "random_state": [0, 1],
    }
    search = BatchedGridSearchCV(
        model, grid, cv=2, scoring="neg_log_loss", return_epoch_scores=True, refit=False
    )
    with pytest.warns(ConvergenceWarning, match="diverged"):
        search.fit(X, y)
    columns = search.cv_results_["mean_test_score_by_epoch"]
    # Those that diverge end in the first epoch.
    assert [len(column) for column in columns].count(1) == 4
    return np.concatenate(columns)


def test_users_code_is_called_for_each_batch(data, blocks):
    calls = []

    def own(images, generator):
        calls.append(len(images))
        return images

    SoftmaxRegression(augment=own, image_shape=(8, 8), **FIT).fit(*data)
    assert not blocks
    assert len(calls) == 4 * 16


def test_a_pass_of_few_steps_is_not_worth_it(data, blocks):
    SoftmaxRegression(**(FIT | {"batch_size": 500})).fit(*data)
    SoftmaxRegression(**(FIT | {"max_iter": 1, "batch_size": 70})).fit(*data)
    assert not blocks


def test_steps_are_captured_once_and_replayed(data, blocks, monkeypatch):
    captures = []

    def captured(call, device, generators):
        captures.append(list(generators))
        return call

    monkeypatch.setattr(replay, "captured", captured)
    model = MLPClassifierTorch(8, dropout=0.5, augment="shift", **FIT).fit(*data)
    # A generator for dropout, and one for distortions.
    assert [len(generators) for generators in captures] == [2]
    assert len(blocks) == 5 * model.n_iter_


@pytest.mark.parametrize(
    ("n_samples", "batch_size", "most", "expected"),
    [
        (48_000, 64, 64, (12, 62)),  # and 6 steps are left over
        (128, 64, 64, (1, 2)),
        (127, 64, 64, (1, 1)),
        (63, 64, 64, (1, 0)),
        (6400, 64, 50, (2, 50)),
    ],
)
def test_few_steps_are_left_over(n_samples, batch_size, most, expected):
    assert blocks_of(n_samples, batch_size, most) == expected
