"""Parts of a session in threads of their own, with and without observers."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from time import sleep

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

from skdigits import MLPClassifierTorch, SoftmaxRegression, _arrays
from skdigits._arrays import isolated
from skdigits._input_checks import check_samples
from skdigits.model_selection import BatchedGridSearchCV
from skdigits.training import session
from skdigits.training.meeting import Meeting

RATES = [0.1, 0.01, 1e200, 0.3]
FOLDS = [np.arange(n, 148, 4) for n in range(3)]
ENDLESS = 10**9


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return X, y


@pytest.fixture
def four_threads(monkeypatch):
    """As on a machine with four cores, and for work of any size."""
    monkeypatch.setattr(_arrays, "DEALT", 0)
    monkeypatch.setattr(_arrays, "n_cores", lambda: 4)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    assert torch.get_num_threads() == 4
    torch.set_num_threads(before)


def trained(model, iris, *observers):
    """Train a model for each rate and fold; return the runs."""
    models = [
        clone(model).set_params(learning_rate_init=rate) for rate in RATES * len(FOLDS)
    ]
    samples = check_samples(models[0], *iris, None, reset=True)
    with isolated(), np.errstate(all="ignore"):
        prepared = session.prepare(models, [samples], replicas=FOLDS)
        return session.run(prepared, observers)


class Log:
    """Notes what it sees, and stops the second model after two epochs."""

    def __init__(self):
        self.seen = []
        self.threads = set()

    def __call__(self, models, epochs, params, runs):
        self.threads.add(threading.get_ident())
        norms = [p.double().square().sum((1, 2)).tolist() for p in params]
        records = [(epoch.epoch, epoch.train_loss) for epoch in epochs]
        self.seen.append((models, records, norms))
        return [1] if epochs[0].epoch == 2 else []


@pytest.mark.parametrize("early_stopping", [False, True])
def test_an_observer_sees_all_models_in_one_call_an_epoch(
    early_stopping, iris, four_threads
):
    settings = {"max_iter": 6, "n_iter_no_change": 2, "random_state": 0}
    model = MLPClassifierTorch(5, early_stopping=early_stopping, **settings)
    dealt = Log()
    found = trained(model, iris, dealt)

    torch.set_num_threads(1)
    alone = Log()
    expected = trained(model, iris, alone)
    torch.set_num_threads(4)

    assert dealt.threads == {threading.get_ident()}
    assert [models for models, _, _ in dealt.seen] == [m for m, _, _ in alone.seen]
    for (_, records, norms), (_, others, their_norms) in zip(
        dealt.seen, alone.seen, strict=True
    ):
        np.testing.assert_allclose(records, others, rtol=1e-8)
        for one, other in zip(norms, their_norms, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-8)
    assert [run.status for run in found] == [run.status for run in expected]
    assert {"stopped", "diverged"} < {run.status for run in found}


@pytest.mark.parametrize(
    "error", [ValueError("not that one"), KeyboardInterrupt("by the user")]
)
def test_the_error_of_an_observer_ends_all_parts(error, iris, four_threads):
    """Each ends with its epoch, and does not go on to its last one."""

    def observe(models, epochs, params, runs):
        if epochs[0].epoch == 3:
            raise error
        return ()

    model = SoftmaxRegression(max_iter=ENDLESS, tol=None, random_state=0)
    with pytest.raises(type(error), match=str(error)):
        trained(model, iris, observe)


def test_the_error_of_a_part_ends_the_others(iris, four_threads, monkeypatch):
    """They wait for the part at the meeting after the epoch."""
    train = session.train

    def fails(network, data, plan, hyper, *others):
        if hyper.learning_rate_init[0] == RATES[1]:
            raise MemoryError("none left")
        return train(network, data, plan, hyper, *others)

    monkeypatch.setattr(session, "train", fails)
    model = SoftmaxRegression(max_iter=ENDLESS, tol=None, random_state=0)
    with pytest.raises(MemoryError, match="none left"):
        trained(model, iris, Log())


def test_a_part_that_comes_too_late_goes_home(iris):
    is_over = threading.Event()
    is_over.set()
    meeting = Meeting(Log(), is_over)
    with pytest.raises(KeyboardInterrupt, match="The others have ended"):
        meeting.observe([0], [0], [], (), list)


@pytest.mark.parametrize(
    ("owner", "name", "followed"),
    [
        (ThreadPoolExecutor, "submit", False),
        (ThreadPoolExecutor, "submit", True),
        (Future, "set_result", True),
    ],
)
def test_an_interrupt_may_strike_anywhere(
    owner, name, followed, iris, four_threads, monkeypatch
):
    """While parts begin, or while some already have their answers."""
    calls = []
    method = getattr(owner, name)
    caller = threading.get_ident()

    def interrupted(*args, **kwargs):
        # Threads of the pool set the results of their parts in the same way.
        if threading.get_ident() == caller:
            calls.append(1)
            if len(calls) == 2:
                raise KeyboardInterrupt("by the user")
        return method(*args, **kwargs)

    monkeypatch.setattr(owner, name, interrupted)
    model = SoftmaxRegression(max_iter=ENDLESS, tol=None, random_state=0)
    with pytest.raises(KeyboardInterrupt, match="by the user"):
        trained(model, iris, *[Log()] * followed)
    assert len(calls) == 2


def test_augment_functions_of_users_stay_in_the_calling_thread(iris, four_threads):
    threads = set()

    def augment(images, generator):
        threads.add(threading.get_ident())
        return images

    model = SoftmaxRegression(max_iter=3, tol=None, random_state=0)
    plain = trained(model, iris, Log())
    model.set_params(augment=augment, image_shape=(2, 2))
    own = trained(model, iris, Log())
    assert threads == {threading.get_ident()}
    losses = [[run.epochs[-1].train_loss for run in runs] for runs in (plain, own)]
    np.testing.assert_allclose(*losses, rtol=1e-10)


def test_an_interrupt_ends_all_parts_of_a_search(iris, four_threads, monkeypatch):
    """It arrives while the calling thread waits for the first part."""
    waits = []
    result = Future.result

    def interrupted(future, *args):
        if waits:
            return result(future, *args)
        waits.append(future)
        sleep(0.3)
        raise KeyboardInterrupt("by the user")

    monkeypatch.setattr(Future, "result", interrupted)
    model = SoftmaxRegression(max_iter=ENDLESS, tol=None, random_state=0)
    search = BatchedGridSearchCV(model, {"alpha": [0, 1]}, cv=2)
    with pytest.raises(KeyboardInterrupt, match="by the user"):
        search.fit(*iris)
    assert len(waits) == 1


def test_scorers_of_early_stopping_stay_in_the_calling_thread(iris, four_threads):
    """They are users' code, and may depend on settings of their thread."""
    threads = set()

    def scorer(model, X, y):
        threads.add(threading.get_ident())
        return model.score(X, y)

    model = SoftmaxRegression(
        early_stopping=True, scoring=scorer, max_iter=3, tol=None, random_state=0
    )
    grid = {"learning_rate_init": [0.1, 0.2]}
    found = BatchedGridSearchCV(model, grid, cv=3).fit(*iris)
    expected = GridSearchCV(model, grid, cv=3).fit(*iris)
    assert threads == {threading.get_ident()}
    np.testing.assert_allclose(
        found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )
