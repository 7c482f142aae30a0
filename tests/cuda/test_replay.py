"""On CUDA, blocks of steps are captured once as a graph and replayed."""

import numpy as np
import pytest
from fake_cuda import fake_cuda
from sklearn.base import clone

from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits.engine import train
from skdigits.model_selection import BatchedGridSearchCV

FIT = {"max_iter": 3, "tol": None, "random_state": 0, "batch_size": 8}
MODELS = {
    "softmax": SoftmaxRegression(**FIT),
    "schedule": SoftmaxRegression(learning_rate="one_cycle", **FIT),
    "noise": MLPClassifierTorch(8, dropout=0.3, augment="elastic", **FIT),
    "AdamW": MLPClassifierTorch(8, solver="adamw", early_stopping=True, **FIT),
    "convolutions": ConvNetClassifier((2, 4), precision="float32", **FIT),
}


@pytest.fixture(scope="module")
def data(digits):
    X, y = digits
    return X[:600].astype(np.float32), y[:600]


def weights(model):
    if isinstance(model, SoftmaxRegression):
        return [model.coef_]
    return model.coefs_


@pytest.mark.parametrize("name", MODELS)
def test_a_graph_is_captured_once_and_equals_single_steps(name, data, monkeypatch):
    X, y = data
    with fake_cuda() as device:
        model = clone(MODELS[name]).set_params(device="cuda").fit(X, y)
    # 75 steps are two blocks, or 67 of early stopping: the very first one is not
    # replayed.
    (graph,) = device.graphs
    assert graph.n_replays == 2 * 3 - 1
    assert not device.problems

    monkeypatch.setattr(train, "REPLAYED", set())
    with fake_cuda() as device:
        expected = clone(MODELS[name]).set_params(device="cuda").fit(X, y)
    assert not device.graphs
    for found, own in zip(weights(model), weights(expected), strict=True):
        np.testing.assert_array_equal(found, own)
    np.testing.assert_allclose(model.loss_, expected.loss_, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_models_that_leave_are_not_replayed(data, monkeypatch):
    grid = {"learning_rate_init": [0.01, 1e30], "random_state": [0, 1]}
    model = SoftmaxRegression(device="cuda", **(FIT | {"batch_size": 2}))
    search = BatchedGridSearchCV(model, grid, cv=2, scoring="neg_log_loss", refit=False)
    with fake_cuda() as device:
        found = clone(search).fit(*data).cv_results_["mean_test_score"]
    # The first one replays four models, the second one those that are left.
    assert len(device.graphs) == 2
    monkeypatch.setattr(train, "REPLAYED", set())
    with fake_cuda():
        expected = clone(search).fit(*data).cv_results_["mean_test_score"]
    np.testing.assert_array_equal(found, expected)


def test_steps_that_cannot_be_captured_are_launched_one_by_one(data, monkeypatch):
    take = train.StepBlock.take

    def reading(block):
        block.objective.tolist()
        take(block)

    monkeypatch.setattr(train.StepBlock, "take", reading)
    model = SoftmaxRegression(device="cuda", **FIT)
    with fake_cuda(), pytest.warns(RuntimeWarning, match="no graph .* capturing"):
        found = model.fit(*data).coef_
    monkeypatch.undo()
    with fake_cuda():
        expected = clone(model).fit(*data).coef_
    np.testing.assert_array_equal(found, expected)
