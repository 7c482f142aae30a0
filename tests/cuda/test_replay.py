"""On CUDA, blocks of steps are captured once as a graph and replayed."""

import numpy as np
import pytest
from fake_cuda import fake_cuda
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits.engine import replay, train
from skdigits.model_selection import BatchedGridSearchCV

FIT = {"max_iter": 4, "tol": None, "random_state": 0, "batch_size": 8}
MODELS = {
    "softmax": SoftmaxRegression(**FIT),
    "schedule": SoftmaxRegression(learning_rate="one_cycle", **FIT),
    "noise": MLPClassifierTorch(8, dropout=0.3, augment="elastic", **FIT),
    "AdamW": MLPClassifierTorch(8, solver="adamw", early_stopping=True, **FIT),
    "convolutions": ConvNetClassifier((2, 4), precision="float32", **FIT),
}


@pytest.fixture(autouse=True)
def new_devices(monkeypatch):
    monkeypatch.setattr(replay, "_refused", set())
    monkeypatch.setattr(replay, "_streams", {})


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
    assert graph.n_replays == 2 * 4 - 1
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


def of_two(X, y):
    return X, y % 2


def of_a_thousand(X, y):
    return np.repeat(X, 4, 0), np.arange(4 * len(y)) % 1000


KINDS = {
    "float64": lambda X, y: (X.astype(float), y),
    "uint8": lambda X, y: ((255 * X).astype(np.uint8), y),
    "int64": lambda X, y: ((16 * X).astype(np.int64), y),
    "sparse": lambda X, y: (csr_array(X.astype(float)), y),
    "two classes": of_two,
    "a thousand classes": of_a_thousand,
}


@pytest.mark.parametrize("kind", KINDS)
def test_any_samples_and_classes_train_as_on_a_cpu(kind, data):
    X, y = KINDS[kind](*data)
    model = MLPClassifierTorch(8, **(FIT | {"batch_size": len(y) // 75}))
    with fake_cuda() as device:
        found = clone(model).set_params(device="cuda").fit(X, y)
    # Sparse samples are read by the host, batch by batch.
    assert len(device.graphs) == (kind != "sparse")
    expected = clone(model).set_params(device="cpu").fit(X, y)
    assert expected.coefs_[0].dtype == found.coefs_[0].dtype
    # Of some 300 steps, each of which rounds by a few units.
    rtol = 1e4 * np.finfo(found.coefs_[0].dtype).eps
    for own, value in zip(found.coefs_, expected.coefs_, strict=True):
        np.testing.assert_allclose(own, value, rtol=rtol, atol=rtol)


def read_in_each_block(monkeypatch):
    """Let each block be read by the host, which no capture allows."""
    take = train.StepBlock.take

    def reading(block):
        block.objective.tolist()
        take(block)

    monkeypatch.setattr(train.StepBlock, "take", reading)


def test_steps_that_cannot_be_captured_are_launched_one_by_one(data, monkeypatch):
    read_in_each_block(monkeypatch)
    model = SoftmaxRegression(device="cuda", **FIT)
    words = r"cuda:0 could not capture .* not permitted when stream is capturing"
    with fake_cuda() as device, pytest.warns(RuntimeWarning, match=words):
        found = model.fit(*data).coef_
    with fake_cuda() as another:
        clone(model).fit(*data)
    # It is tried once.
    assert (len(device.graphs), len(another.graphs)) == (1, 0)
    monkeypatch.undo()
    with fake_cuda():
        expected = clone(model).fit(*data).coef_
    np.testing.assert_array_equal(found, expected)


def test_noise_that_cannot_be_captured_is_an_error_with_a_cure(data, monkeypatch):
    read_in_each_block(monkeypatch)
    model = MLPClassifierTorch(8, dropout=0.3, device="cuda", **FIT)
    with fake_cuda(), pytest.raises(RuntimeError, match="Fit again: from now on"):
        model.fit(*data)
    with fake_cuda() as device:
        model.fit(*data)
    assert not device.graphs


def test_each_device_captures_on_a_stream_of_its_own(data):
    model = SoftmaxRegression(**FIT)
    with fake_cuda(2) as device:
        first = clone(model).set_params(device="cuda:0").fit(*data)
        second = clone(model).set_params(device="cuda:1").fit(*data)
    assert len(device.graphs) == 2
    np.testing.assert_array_equal(first.coef_, second.coef_)


def test_a_block_of_models_that_leave_gives_its_memory_back(data, monkeypatch):
    released = []
    release = train.StepBlock.release

    def noted(block):
        release(block)
        released.append(vars(block))

    monkeypatch.setattr(train.StepBlock, "release", noted)
    grid = {"learning_rate_init": [0.01, 1e30]}
    model = SoftmaxRegression(device="cuda", **(FIT | {"batch_size": 2}))
    search = BatchedGridSearchCV(model, grid, cv=2, refit=False)
    with fake_cuda(), pytest.warns(ConvergenceWarning, match="diverged"):
        search.fit(*data)
    assert released == [{}]
