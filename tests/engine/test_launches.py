"""How many kernels a step launches on a GPU; and that they are counted right."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from launches import counted_launches, launches_per_step
from sklearn.base import clone
from sklearn.model_selection import KFold
from torch.nn.functional import conv2d

from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits.engine import convnet, train
from skdigits.engine.sizes import GPU, SIZES
from skdigits.model_selection import BatchedGridSearchCV

A = torch.arange(24.0).view(2, 3, 4)
SQUARE = torch.arange(16.0).view(4, 4)
IMAGES = torch.ones(2, 3, 8, 8)
KERNEL = torch.ones(4, 3, 3, 3)
FREE = {
    "views": lambda: A.mT.unsqueeze(0)[0, :, :1].expand(2, 5, 3).unbind(),
    "contiguous": lambda: A.flatten().reshape(4, 6).contiguous().view_as(A),
    "no conversion": lambda: A.to(torch.float32).float().to_dense().cpu(),
    "memory": lambda: (torch.empty(3), A.new_empty(2), torch.empty_like(A)),
    "metadata": lambda: (A.detach().squeeze().numel(), A.is_same_size(A), len(A)),
    "parts": lambda: (A.split(2, 2), A.chunk(2), A.movedim(0, 1), A.diagonal()),
}
LAUNCHED = {
    "a copy": (lambda: A.mT.flatten(), 1),
    "another copy": (lambda: A.mT.contiguous().clone(), 2),
    "conversion": (lambda: A.double(), 1),
    "arithmetic": (lambda: (A * A + 1).sum(), 3),
    "in place": (lambda: A.clone().mul_(2).add_(1), 3),
    "written": (lambda: torch.sum(A, 0, out=torch.empty(3, 4)), 1),
    "joined": (lambda: (torch.stack([A, A]), torch.cat([A, A])), 2),
    "product": (lambda: SQUARE @ SQUARE.T, 1),
    "product of several": (lambda: A @ A.mT, 1),
    "read": (lambda: A[0, 0, 0].item(), 1),
    "several at once": (lambda: torch._foreach_mul_([A.clone(), A.clone()], 2), 3),
    "convolution": (lambda: conv2d(IMAGES, KERNEL), 1),
    "convolution and bias": (lambda: conv2d(IMAGES, KERNEL, IMAGES[0, 0, 0, :4]), 2),
}


@pytest.mark.parametrize("mode", [nullcontext, torch.inference_mode])
@pytest.mark.parametrize("name", FREE)
def test_views_launch_nothing(name, mode):
    with mode(), counted_launches() as launches:
        FREE[name]()
    assert (launches.total, dict(launches.by_name)) == (0, {})


@pytest.mark.parametrize("mode", [nullcontext, torch.inference_mode])
@pytest.mark.parametrize("name", LAUNCHED)
def test_all_else_launches(name, mode):
    run, expected = LAUNCHED[name]
    with mode(), counted_launches() as launches:
        run()
    assert launches.total == expected, launches.by_name


def test_a_backward_pass_launches_each_gradient():
    kernel = KERNEL.clone().requires_grad_()
    found = conv2d(IMAGES, kernel)
    with counted_launches() as launches:
        torch.autograd.grad(found, kernel, torch.ones_like(found))
    # One for ones, and one for the kernel's gradient: nothing asks for the images'.
    assert dict(launches.by_name) == {"ones_like": 1, "convolution_backward": 1}


def test_what_surrounds_the_steps_counts_nothing():
    def run(n_steps):
        total = A + A + A
        for _ in range(n_steps):
            total = (total * 2).exp()

    found = launches_per_step(run, 3)
    assert found.total == 2
    assert {name: n for name, n in found.by_name.items() if n} == {"mul": 1, "exp": 1}


# Most launches of a step on a GPU, from the plan to speed it up.
BUDGETS = {
    "softmax": (SoftmaxRegression(batch_size=64), 14),
    "network": (MLPClassifierTorch(8), 30),
}


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Let the CPU compute as much at once as a GPU does, in blocks."""
    monkeypatch.setitem(SIZES, "cpu", GPU)
    monkeypatch.setattr(train, "REPLAYED", {"cpu"})


def launches_of(model, n_steps, grid=None):
    """Launches of a step, of one model or of all in a search over 5 folds."""
    batch_size = 64 if model.batch_size == 64 else 200
    model = clone(model).set_params(max_iter=1, tol=None, random_state=0)
    rng = np.random.RandomState(0)
    n_folds = 1 if grid is None else 5
    n_samples = 2 * n_steps * batch_size * n_folds // max(1, n_folds - 1)
    X = rng.uniform(size=(n_samples, 20)).astype(np.float32)
    y = np.arange(n_samples) % 10

    def run(n):
        some = slice(0, n * batch_size * n_folds // max(1, n_folds - 1))
        if grid is None:
            model.fit(X[some], y[some])
        else:
            search = BatchedGridSearchCV(
                model, grid, cv=KFold(n_folds), refit=False, working_memory=1e5
            )
            search.fit(X[some], y[some])

    return launches_per_step(run, n_steps)


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("name", BUDGETS)
def test_a_step_launches_few_kernels(name):
    model, budget = BUDGETS[name]
    found = launches_of(model, 64)
    assert found.total <= budget, found.by_name


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("name", BUDGETS)
def test_a_search_launches_as_few_as_a_fit(name):
    model, _ = BUDGETS[name]
    rates = {"learning_rate_init": list(np.geomspace(1e-3, 0.1, 40))}
    alone = launches_of(model, 64)
    found = launches_of(model, 64, rates)
    assert found.total <= 1.05 * alone.total, found.by_name


@pytest.fixture(scope="module")
def noise():
    """As many images of MNIST's size as a test takes, and their classes."""
    rng = np.random.default_rng(0)
    images = rng.random((256, 784), dtype=np.float32)
    return images, np.arange(256) % 10


def launches_of_images(model, noise, batch_size):
    """Launches of a step of a classifier."""

    def run(n_steps):
        some = slice(n_steps * batch_size)
        clone(model).set_params(**plan).fit(*(array[some] for array in noise))

    plan = {"batch_size": batch_size, "max_iter": 1, "tol": None, "random_state": 0}
    return launches_per_step(run, 4)


def launches_of_search(model, grid, noise, batch_size, n_folds=1):
    """Launches of a step of all models of a search, folds included."""

    def run(n_steps):
        folds = np.arange(n_folds * n_steps * batch_size).reshape(n_folds, -1)
        splits = [(fold, np.arange(10)) for fold in folds]
        search = BatchedGridSearchCV(
            clone(model).set_params(**plan), grid, cv=splits, refit=False
        )
        assert search.fit(*noise).batched_.all()

    plan = {"batch_size": batch_size, "max_iter": 1, "tol": None, "random_state": 0}
    return launches_per_step(run, 2)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_convnet(precision, as_on_a_gpu, noise):
    found = launches_of_images(ConvNetClassifier(precision=precision), noise, 16)
    # Each layer has its convolution and both of its gradients, at least.
    assert found.by_name["convolution_backward"] >= 3
    assert found.total <= 150, found.by_name


@pytest.mark.parametrize(("n_rates", "n_folds"), [(6, 1), (2, 3)])
def test_six_convnets_at_once(n_rates, n_folds, noise, as_on_a_gpu, monkeypatch):
    monkeypatch.setattr(convnet, "grouped", lambda device: True)
    rates = {"learning_rate_init": list(np.geomspace(1e-4, 1e-2, n_rates))}
    model = ConvNetClassifier(dropout=0.1)
    six = launches_of_search(model, rates, noise, 16, n_folds)
    one = launches_of_images(model, noise, 16)
    assert six.by_name["convolution_backward"] == one.by_name["convolution_backward"]
    assert six.total <= 1.3 * one.total, six.by_name
