"""Thousands of classes: no tensor of classes by classes, and results are torch's."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skdigits import MLPClassifierTorch, SoftmaxRegression
from skdigits.engine.batches import Data
from skdigits.engine.templates import class_distances, class_sums
from skdigits.model_selection import BatchedGridSearchCV

# Many classes of few samples look like a regression to scikit-learn.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The number of unique classes",
    "ignore::sklearn.exceptions.ConvergenceWarning",
)
N_CLASSES = 5000
N_FEATURES = 16
BATCH = 40
QUICK = {
    "batch_size": BATCH,
    "max_iter": 1,
    "tol": None,
    "random_state": 0,
    "learning_rate_init": 0.1,
}
# Logits of a batch have 200,000 numbers, and those that are evaluated at once a million
# at most. A table of classes by classes would have 25 million.
MOST = 2**20


class LargestTensor(TorchDispatchMode):
    """Notes the size of the largest tensor that torch's operations return."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        sizes = [one.numel() for one in tree_leaves(found) if torch.is_tensor(one)]
        self.largest = max(self.largest, *sizes, 0)
        return found


def make_samples(n_samples, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, N_FEATURES))
    return X, np.arange(n_samples) % N_CLASSES


MODELS = {
    "softmax": SoftmaxRegression(label_smoothing=0.1, **QUICK),
    "weighted": SoftmaxRegression(class_weight="balanced", **QUICK),
    "softmax_mse": SoftmaxRegression(loss="softmax_mse", **QUICK),
    "sigmoid_mse": SoftmaxRegression(loss="sigmoid_mse", **QUICK),
    "lbfgs": SoftmaxRegression(solver="lbfgs", **QUICK),
    "mlp": MLPClassifierTorch(8, **QUICK),
}


@pytest.mark.parametrize("name", MODELS)
def test_no_tensor_has_the_square_of_the_classes(name):
    X, y = make_samples(N_CLASSES)
    model = MODELS[name]
    with LargestTensor() as seen:
        model.fit(X, y)
        model.predict_proba(X[:200])
    assert N_CLASSES * BATCH <= seen.largest <= MOST


def test_nor_with_validation_samples_or_in_a_search():
    X, y = make_samples(2 * N_CLASSES)
    model = SoftmaxRegression(**QUICK)
    with LargestTensor() as seen:
        model.fit(X[:N_CLASSES], y[:N_CLASSES], X_val=X[:2000], y_val=y[:2000])
    assert seen.largest <= MOST

    split = np.arange(N_CLASSES), np.arange(100)
    rates = {"learning_rate_init": [0.1, 0.01]}
    search = BatchedGridSearchCV(model, rates, cv=[split])
    with LargestTensor() as seen:
        search.fit(X[:N_CLASSES], y[:N_CLASSES])
    assert search.batched_.all()
    assert seen.largest <= MOST


def test_nor_where_templates_are_made_and_compared():
    X, y = make_samples(300, seed=2)
    y = y[::-1] * 10
    data = Data(torch.from_numpy(X), torch.from_numpy(y.copy()))
    with LargestTensor() as seen:
        sums, counts = class_sums(data, N_CLASSES, torch.float64)
    assert seen.largest <= len(X) ** 2

    expected = np.zeros((N_CLASSES, N_FEATURES))
    np.add.at(expected, y, X)
    np.testing.assert_allclose(sums, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(counts, np.bincount(y, minlength=N_CLASSES))

    with LargestTensor() as seen:
        # Distances of 300 samples to 10 templates of each class.
        class_distances(data.X, sums.repeat(10, 1), counts, "mse")
    assert seen.largest <= 2**22


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("n_samples", [BATCH * 30, BATCH * 30 - 7])
def test_training_is_a_loop_in_torch(smoothing, n_samples):
    """Whose loss takes the numbers of the classes, not targets."""
    X, _ = make_samples(n_samples)
    y = np.random.default_rng(1).integers(N_CLASSES, size=n_samples)
    # Every class has to be there: listed, not shown.
    model = SoftmaxRegression(
        label_smoothing=smoothing, shuffle=False, momentum=0.0, alpha=0.0, **QUICK
    ).partial_fit(X, y, classes=range(N_CLASSES))

    layer = torch.nn.Linear(N_FEATURES, N_CLASSES, dtype=torch.float64)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    total = 0.0
    for start in range(0, n_samples, BATCH):
        some = slice(start, start + BATCH)
        targets = torch.from_numpy(y[some])
        loss = functional.cross_entropy(
            layer(torch.from_numpy(X[some])), targets, label_smoothing=smoothing
        )
        layer.zero_grad()
        loss.backward()
        total += loss.item() * len(targets)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter -= 0.1 * parameter.grad

    expected = layer.weight.detach().numpy()
    np.testing.assert_allclose(model.coef_, expected, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(
        model.intercept_, layer.bias.detach().numpy(), rtol=1e-9, atol=1e-13
    )
    assert model.loss_ == pytest.approx(total / n_samples, rel=1e-10)


def test_a_weight_for_each_of_many_classes():
    """Labels are looked up, not searched for one by one."""

    class Label(int):
        compared = 0

        def __eq__(self, other):
            Label.compared += 1
            return int(self) == int(other)

        __hash__ = int.__hash__

    n_classes = 1000
    X = np.random.default_rng(0).normal(size=(n_classes, 2))
    weight = {Label(label): 1.0 + label % 2 for label in range(n_classes)}
    model = SoftmaxRegression(class_weight=weight, **QUICK).fit(X, np.arange(n_classes))
    assert len(model.classes_) == n_classes
    assert Label.compared < 20 * n_classes
