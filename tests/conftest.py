"""Fixtures, and how the suite treats the machine that it runs on."""

import math
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_cuda import fake_cuda
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, _multilayer_perceptron
from sklearn.utils.estimator_checks import check_estimator

from skdigits._input_checks import check_samples
from skdigits.datasets import load_mnist
from skdigits.engine.sizes import SIZES
from skdigits.engine.types import Hyper, Plan
from skdigits.training.fitted import set_fitted_attributes
from skdigits.training.messages import after_training, emit
from skdigits.training.session import prepare, run

CUDA = ["fake", "fake-rounding", *(["real"] if torch.cuda.is_available() else [])]
ABSENT = r"cupy|dpnp|cuda|XPU|MPS"
os.environ.setdefault("MPLBACKEND", "Agg")  # pictures are drawn, not shown
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(
        1
    )  # one worker a core: threads would only wait for each other


def chromium():
    """Return the path of Chromium or a relative of it, None if there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


def pytest_addoption(parser):
    parser.addoption(
        "--cuda",
        choices=["fake", "fake-rounding"],
        help="run each test with a fake CUDA device, where device='auto' computes",
    )


def pytest_collection_modifyitems(config, items):
    reasons = {}
    if not Path(os.environ.get("SKDIGITS_DATA", "/nowhere"), "mnist").is_dir():
        reasons["mnist"] = (
            "needs the real MNIST: set SKDIGITS_DATA to the folder that holds mnist/"
        )
    if chromium() is None:
        reasons["browser"] = "needs Chromium: apt-get install chromium"
    with_cuda = config.getoption("--cuda", None) is not None
    for item in items:
        about_the_host = item.get_closest_marker("host")
        if with_cuda and about_the_host:
            item.add_marker(pytest.mark.skip(reason=about_the_host.args[0]))
        for name, reason in reasons.items():
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def resize(monkeypatch):
    """A function that changes how much a CPU computes at once."""

    def change(**values):
        monkeypatch.setitem(SIZES, "cpu", SIZES["cpu"]._replace(**values))

    return change


@pytest.fixture(params=CUDA)
def cuda(request):
    """Two CUDA devices, as `FakeCuda`, or None for those of this machine."""
    if request.param == "real":
        yield None
        return
    with fake_cuda(2, rounding=request.param == "fake-rounding") as device:
        yield device
    assert not device.problems


@pytest.fixture(autouse=True)
def cuda_of_all_tests(request):
    """The device of ``--cuda``, for tests that ask for none."""
    kind = request.config.getoption("--cuda", None)
    if kind is None or "cuda" in request.fixturenames:
        yield
        return
    with fake_cuda(rounding=kind == "fake-rounding"):
        yield


@pytest.fixture(scope="session")
def digits():
    """scikit-learn's 1,797 digits, in [0, 1]: X (n, 64) float64, y."""
    X, y = load_digits(return_X_y=True)
    return X / 16, y


@pytest.fixture(scope="session")
def iris():
    """Iris, standardised."""
    X, y = load_iris(return_X_y=True)
    return (X - X.mean(0)) / X.std(0), y


@pytest.fixture(scope="session")
def mnist():
    """MNIST with its official split: X_train, X_test, y_train, y_test; pixels uint8."""
    mnist = load_mnist()
    return (
        mnist.data[mnist.train],
        mnist.data[mnist.test],
        mnist.target[mnist.train],
        mnist.target[mnist.test],
    )


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window. It is closed before another module's event loop."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # In containers, the sandbox has no rights.
        found = driver.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox"]
        )
        yield found
        found.close()


@pytest.fixture
def stratified_mlpclassifier(monkeypatch):
    """MLPClassifier that stratifies its validation split, as its documentation has it.

    The code of scikit-learn 1.9 does so for two classes only.
    """

    def split(X, y, *, stratify, **options):
        return train_test_split(X, y, stratify=y.argmax(1), **options)

    monkeypatch.setattr(_multilayer_perceptron, "train_test_split", split)
    return MLPClassifier


@pytest.fixture(scope="session")
def assert_checks_pass():
    """Run scikit-learn's checks of an estimator; return their names.

    A check may be left out for a namespace or a device of other machines only, and no
    warning may come but the ``expected`` ones.
    """
    absent = ABSENT.replace("cuda|", "") if torch.cuda.is_available() else ABSENT

    def check(estimator, expected):
        with pytest.warns() as caught:
            results = check_estimator(estimator, on_fail=None)
        for result in results:
            if result["status"] == "skipped":
                assert re.search(absent, str(result["exception"])), result
            else:
                name = result["check_name"]
                assert result["status"] == "passed", (name, result["exception"])
                assert not result["expected_to_fail"]
        told = [f"{one.category} {one.message}" for one in caught]
        assert not [text for text in told if not re.search(expected, text)]
        return [result["check_name"] for result in results]

    return check


@pytest.fixture
def rng():
    """A generator, the same for every test."""
    return np.random.default_rng(0)


@pytest.fixture
def make_hyper():
    """Build `Hyper` of K models from numbers or lists of K numbers."""
    defaults = {
        "learning_rate_init": 0.1,
        "alpha": 0.0,
        "momentum": 0.9,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-8,
        "weight_decay": 0.01,
        "power_t": 0.5,
        "dropout": 0.0,
    }

    def make(n_models=1, **values):
        columns = {
            name: torch.as_tensor(value, dtype=torch.float64).expand(n_models)
            for name, value in (defaults | values).items()
        }
        return Hyper(**columns)

    return make


@pytest.fixture
def make_plan():
    """Build `Plan` from what differs from plain full-batch descent."""

    def make(**values):
        defaults = Plan(
            solver="sgd",
            learning_rate="constant",
            batch_size=200,
            max_iter=10,
            epochs=10,
            shuffle=True,
            nesterovs_momentum=True,
            tol=-math.inf,
            n_iter_no_change=10,
            early_stopping=False,
            stop_by_loss=False,
            label_smoothing=0.0,
            max_fun=15000,
            ftol=64 * np.finfo(float).eps,
            distort=None,
            noise_seeds=(0,),
        )
        return defaults._replace(**values)

    return make


@pytest.fixture(scope="session")
def fit_together():
    """Fit models that differ in batchable parameters, in one run."""

    def fit(models, X, y):
        samples = check_samples(models[0], X, y, None, reset=True)
        session = prepare(models, [samples])
        runs = run(session)
        for model, result in zip(models, runs, strict=True):
            set_fitted_attributes(model, session, result)
        for model, result in zip(models, runs, strict=True):
            emit(after_training(model, result, session, partial=False))

    return fit
