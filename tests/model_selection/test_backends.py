"""Searches on backends of joblib give the results of one process, also after losses."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from contextlib import nullcontext, suppress
from itertools import count, cycle, product
from types import SimpleNamespace

import joblib
import numpy as np
import pandas
import pytest
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_digits
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdigits import (
    ConvNetClassifier,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits import _memory_maps as memory_maps
from skdigits._gpus import allocations
from skdigits.callbacks import Checkpoint
from skdigits.model_selection import BatchedGridSearchCV, BatchedHalvingGridSearchCV
from skdigits.model_selection import _handing_out as handing_out
from skdigits.model_selection import _workers as workers_module
from skdigits.model_selection._folds import Split
from skdigits.model_selection._grouping import Candidate, Group
from skdigits.model_selection._jobs import Job
from skdigits.model_selection._pieces import division
from skdigits.model_selection._workers import TRIES, Work, first_few, hand_out

distributed = pytest.importorskip("distributed", reason="distributed is an extra")
dask = pytest.importorskip("dask", reason="distributed is an extra")
tcp = pytest.importorskip("distributed.comm.tcp")
CommClosedError = pytest.importorskip("distributed.comm").CommClosedError
nbytes = pytest.importorskip("distributed.utils").nbytes

RATES = [0.01, 0.03, 0.1, 0.3]
CLUSTER = {
    # A worker that is killed once is an error at once.
    "distributed.scheduler.allowed-failures": 0,
    # A busy machine starts another one in more than the usual 15 seconds.
    "distributed.deploy.lost-worker-timeout": "10 minutes",
}


@pytest.fixture(scope="module")
def data():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


@pytest.fixture(scope="module")
def whole_client():
    with (
        dask.config.set(CLUSTER),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def client(whole_client):
    # One may have been killed: with one worker, joblib computes in the client.
    whole_client.wait_for_workers(2)
    return whole_client


def softmax(**options):
    options = {"max_iter": 3, "tol": None, "random_state": 0} | options
    return SoftmaxRegression(**options)


SEARCHES = {
    "SGD": lambda: BatchedGridSearchCV(softmax(), {"learning_rate_init": RATES}),
    "L-BFGS": lambda: BatchedGridSearchCV(
        softmax(solver="lbfgs", max_iter=20), {"alpha": RATES}
    ),
    "Pipeline": lambda: BatchedGridSearchCV(
        make_pipeline(StandardScaler(), softmax()),
        {
            "softmaxregression__learning_rate_init": RATES,
            "standardscaler__with_std": [True, False],
        },
    ),
    "seeds": lambda: BatchedGridSearchCV(softmax(), {"random_state": [0, 1, 2]}),
    "train scores": lambda: BatchedGridSearchCV(
        softmax(),
        {"learning_rate_init": RATES},
        return_train_score=True,
        return_epoch_scores=True,
        scoring=["accuracy", "neg_log_loss"],
        refit=False,
    ),
    "alone": lambda: BatchedGridSearchCV(
        ConvNetClassifier((4,), max_iter=1, tol=None, random_state=0),
        {"learning_rate_init": RATES[:2]},
        cv=2,
    ),
    "of scikit-learn": lambda: BatchedGridSearchCV(
        SGDClassifier(max_iter=3, tol=None, random_state=0), {"alpha": RATES}
    ),
    "halving": lambda: BatchedHalvingGridSearchCV(
        softmax(), {"learning_rate_init": RATES}, resource="max_iter", max_resources=8
    ),
}


def scores_of(search):
    return {
        name: column
        for name, column in search.cv_results_.items()
        if "test_" in name or "train_" in name
    }


def assert_same_results(search, other):
    ours = scores_of(search)
    others = scores_of(other)
    assert ours.keys() == others.keys()
    for name, column in ours.items():
        # Scores by epoch are arrays of arrays.
        found, known = (np.vstack(list(some)) for some in (column, others[name]))
        np.testing.assert_array_equal(found, known, err_msg=name)


def on_backend(name, client):
    options = {} if name == "dask" else {"n_jobs": 2}
    return joblib.parallel_config(name, **options)


@pytest.mark.parametrize("backend", ["threading", "loky", "dask"])
@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.filterwarnings("ignore:Maximum number of iteration reached")
def test_results_are_those_of_one_process(kind, backend, data, client):
    X, y = data
    weight = np.where(np.arange(len(y)) % 3, 1.0, 0.5)
    params = {"sample_weight": weight} if kind in ("SGD", "L-BFGS") else {}
    one = SEARCHES[kind]().fit(X, y, **params)
    with on_backend(backend, client):
        several = SEARCHES[kind]().fit(X, y, **params)
    assert_same_results(several, one)
    # All that was to be learnt was learnt: equal scores are no accident.
    assert np.nanmax(one.cv_results_[next(iter(scores_of(one)))]) > 0.2


@pytest.mark.parametrize(
    ("sizes", "n_workers", "least", "narrowest"),
    [
        ((1, 5, 32), 2, 4, 8),
        ((16, 1, 1), 4, 4, 1),
        ((16, 5, 1), 4, 8, 1),
        ((1, 5, 8), 16, 16, 1),
        ((1, 5, 64), 8, 16, 8),
        ((1, 1, 1), 8, 1, 1),
        ((3, 3, 3), 100, 27, 1),
    ],
)
def test_pieces_are_enough_and_wide(sizes, n_workers, least, narrowest):
    cut = division(*sizes, n_workers)
    assert np.prod(cut) >= least
    assert all(1 <= parts <= size for parts, size in zip(cut, sizes, strict=True))
    # Columns are cut last.
    assert cut[2] == 1 or cut[:2] == sizes[:2]
    assert sizes[2] // cut[2] >= narrowest


def test_pieces_are_there_for_any_sizes():
    sizes = [1, 2, 3, 5, 8, 9, 17, 40, 81, 98]
    for n_seeds, n_folds, n_columns in product(sizes[:4], sizes[:5], sizes):
        for n_workers in range(2, 33):
            cut = division(n_seeds, n_folds, n_columns, n_workers)
            n_cells = n_seeds * n_folds * n_columns
            assert min(n_workers, n_cells) <= np.prod(cut) <= n_cells


def test_threads_that_share_memory_are_a_choice(data):
    one = SEARCHES["SGD"]().fit(*data)
    with joblib.parallel_config(require="sharedmem", n_jobs=2):
        several = SEARCHES["SGD"]().fit(*data)
    assert_same_results(several, one)


def recorded_work(search, X, y, monkeypatch, n_jobs):
    """Return the work of a search that goes to threads."""
    recorded = []

    def hand_out_here(work, *args, **options):
        recorded.extend(work)
        return hand_out(work, *args, **options)

    monkeypatch.setattr(handing_out, "hand_out", hand_out_here)
    with joblib.parallel_config("threading", n_jobs=n_jobs):
        search.fit(X, y)
    return recorded


def test_pieces_cover_each_candidate_and_fold_once(data, monkeypatch):
    grid = {"learning_rate_init": RATES, "random_state": [0, 1], "alpha": [0, 1e-3]}
    search = BatchedGridSearchCV(softmax(max_iter=1), grid, cv=3, refit=False)
    work = recorded_work(search, *data, monkeypatch, n_jobs=7)
    cells = []
    for one in work:
        candidates, folds = one.args[0].numbers()
        cells += product(candidates, folds)
    assert len(work) >= 7
    assert sorted(cells) == list(product(range(16), range(3)))


def test_a_task_without_its_rows_is_small(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.random((20_000, 50), dtype=np.float32)
    y = rng.integers(10, size=len(X))
    grid = {"learning_rate_init": list(np.geomspace(0.01, 1, 32))}
    search = BatchedGridSearchCV(softmax(max_iter=1), grid, refit=False)
    work = recorded_work(search, X, y, monkeypatch, n_jobs=2)
    for one in work:
        # The positions of the samples of its fold, eight bytes each, and little more.
        assert len(pickle.dumps(one.args[0]._replace(search=None))) < 200_000
        assert one.args[1] is X
        assert one.args[2] is y


def test_samples_reach_a_dask_worker_once(client, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.random((20_000, 200), dtype=np.float32)
    y = rng.integers(10, size=len(X))
    grid = {"learning_rate_init": RATES}
    search = BatchedGridSearchCV(softmax(max_iter=1), grid, refit=False)

    def received(dask_worker):
        return sum(one["total"] for one in dask_worker.transfer_incoming_log)

    sent = []
    original = tcp.to_frames

    async def noting_size(*args, **options):
        frames = await original(*args, **options)
        sent.append(sum(map(nbytes, frames)))
        return frames

    before = client.run(received)
    # The scheduler is in this process, too.
    monkeypatch.setattr(tcp, "to_frames", noting_size)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*large (graph|object)")
        with joblib.parallel_config("dask"):
            search.fit(X, y)
    after = client.run(received)
    # They go to the scheduler once, and once to a worker; others have them from there.
    large = sorted(size for size in sent if size > 3e6)
    assert sum(large) <= 2 * 1.01 * (X.nbytes + y.nbytes)
    assert len(large) == 2
    assert sum(sent) - sum(large) > 5 * 8 * len(X)  # the samples of five pieces
    from_workers = sum(after.values()) - sum(before.values())
    assert from_workers <= (len(after) - 1) * 1.1 * (X.nbytes + y.nbytes)


class DiesOnce(TransformerMixin, BaseEstimator):
    """Kills its process once, at the fourth of all fits, which it counts with files."""

    def __init__(self, folder):
        self.folder = folder

    def fit(self, X, y=None):
        number = len(os.listdir(self.folder))
        with open(os.path.join(self.folder, f"{number}-{os.urandom(4).hex()}"), "w"):
            pass
        # Two may be the fourth at the same time.
        if number >= 3:
            with (
                suppress(FileExistsError),
                open(os.path.join(self.folder, "died"), "x"),
            ):
                os.kill(os.getpid(), signal.SIGKILL)
        self.fitted_ = True
        return self

    def transform(self, X):
        return X


@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_what_a_lost_worker_had_is_done_again(backend, data, client, tmp_path):
    X, y = data

    def search(step):
        model = make_pipeline(step, softmax())
        grid = {"softmaxregression__learning_rate_init": RATES}
        return BatchedGridSearchCV(model, grid, cv=8, refit=False)

    one = search("passthrough").fit(X, y)
    again = search(DiesOnce(str(tmp_path)))
    with on_backend(backend, client), warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        again.fit(X, y)
    assert_same_results(again, one)
    # The lost piece and its neighbours run again; four pieces of two folds are made.
    n_fits = len(list(tmp_path.glob("*-*")))
    assert 8 < n_fits <= 8 + 4
    lost = [str(one.message) for one in noted if "was lost" in str(one.message)]
    assert len(lost) == 1


def test_a_progress_bar_ends_whole_after_a_loss(data, tmp_path, capsys):
    pytest.importorskip("rich")
    model = make_pipeline(DiesOnce(str(tmp_path)), softmax())
    grid = {"softmaxregression__learning_rate_init": RATES}
    search = BatchedGridSearchCV(model, grid, cv=8, refit=False)
    search.set_callbacks(ProgressBar(max_propagation_depth=None))
    with (
        joblib.parallel_config("loky", n_jobs=2),
        pytest.warns(RuntimeWarning, match="A worker was lost"),
    ):
        search.fit(*data)
    bars = [line for line in capsys.readouterr().out.splitlines() if "Batched" in line]
    # The fit, the search, four pieces with a run or two each; none is there twice.
    assert len(bars) in range(2 + 4 + 4, 2 + 4 + 8 + 1)
    assert sum("batched-runs" in line for line in bars) == 4
    assert all("100%" in line for line in bars)


def test_rows_of_a_monitor_that_come_twice_are_the_same(data, tmp_path):
    def monitored(step):
        monitor = ScoringMonitor(scoring="accuracy")
        model = make_pipeline(step, softmax(solver="sgd").set_callbacks(monitor))
        grid = {"softmaxregression__learning_rate_init": RATES[:2]}
        search = BatchedGridSearchCV(model, grid, cv=4, refit=False)
        return search, monitor

    one, expected = monitored("passthrough")
    one.fit(*data)
    search, monitor = monitored(DiesOnce(str(tmp_path)))
    with (
        joblib.parallel_config("loky", n_jobs=2),
        pytest.warns(RuntimeWarning, match="A worker was lost"),
    ):
        search.fit(*data)

    def rows(log):
        some = log.data_as_pandas.drop_duplicates("task_id_path", keep="last")
        return some[["task_id_path", "accuracy"]].dropna()

    found = rows(monitor.get_logs())
    assert len(found) >= 2 * 4 * 3  # candidates, folds, epochs
    pandas.testing.assert_frame_equal(
        found.reset_index(drop=True),
        rows(expected.get_logs()).reset_index(drop=True),
    )


def test_work_that_loses_its_workers_again_and_again_is_named(monkeypatch):
    tries = []

    def lose_workers(work, numbers, n_jobs, pre_dispatch, given):
        tries.append(list(numbers))
        given += numbers[:2]
        if len(tries) == 2:
            yield 1, "done"
        yield TerminatedWorkerError("killed"), None

    monkeypatch.setattr(workers_module, "_hand_out_once", lose_workers)
    work = [Work(print, (), {}, f"candidate {number}") for number in range(6)]
    with (
        pytest.warns(RuntimeWarning, match="A worker was lost") as noted,
        pytest.raises(
            RuntimeError,
            match=rf"lost {TRIES + 1} times in a row while they had candidate 0; "
            r"candidate 2\. .*TerminatedWorkerError: killed.*memory",
        ),
    ):
        hand_out(work, 2)
    assert "1 of 6 pieces are finished and kept; 5" in str(noted[-1].message)
    # What is finished is not handed out again, and counts as progress.
    assert tries == [[0, 1, 2, 3, 4, 5]] * 2 + [[0, 2, 3, 4, 5]] * TRIES


def test_names_of_work_stay_short():
    candidates = [Candidate(n, None, None, softmax(), {}, {}, {}) for n in range(4000)]
    splits = [Split(number, np.arange(2), np.arange(2)) for number in range(6)]
    rest = [None] * 7
    job = Job([Group([candidates[:2000], candidates[2000:]])], splits, *rest)
    expected = (
        "candidates 0, 1, 2, 3, 4 and 3995 more in folds 0, 1, 2, 3, 4 and 1 more"
    )
    assert job.name() == expected
    few = job._replace(groups=[Group([candidates[7:12]])], splits=splits[:1])
    assert few.name() == "candidates 7, 8, 9, 10, 11 in folds 0"
    names = first_few([job.name()] * 100, "; ")
    assert names.count("candidates") == 5
    assert names.endswith("; ".join([expected] * 2) + " and 95 more")


class Unreadable:
    """Cannot be unpickled."""

    def __reduce__(self):
        return int, ("no number",)


class Unwritable:
    """Cannot be pickled."""

    def __reduce__(self):
        raise ValueError("nobody pickles this")


@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_arguments_that_cannot_be_pickled_are_an_error(backend, client):
    work = [Work(print, (Unwritable(),), {}, "a call")] * 2
    with (
        on_backend(backend, client),
        pytest.raises(Exception, match=r"Could not (pickle|serialize)"),
    ):
        hand_out(work, None)


@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_arguments_that_cannot_be_unpickled_are_an_error(backend, client):
    work = [Work(print, (Unreadable(),), {}, "a call")] * 2
    with (
        on_backend(backend, client),
        pytest.raises(Exception, match=r"un-serialize|no number|deserializ"),
    ):
        hand_out(work, None)


def test_errors_of_the_work_are_not_taken_for_lost_workers():
    def fails():
        raise FileNotFoundError("no such file")

    with (
        joblib.parallel_config("threading", n_jobs=2),
        pytest.raises(FileNotFoundError, match="no such file"),
    ):
        hand_out([Work(fails, (), {}, "a call")], None)


def test_callbacks_hear_of_each_piece_that_comes_from_afar(data, client):
    class Counts:
        """Counts tasks that begin and end; it cannot be pickled."""

        def __init__(self):
            self.lock = threading.Lock()
            self.open = []
            self.begun = []

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            self.begun.append(context.task_name)
            self.open.append(context.task_name)

        def on_fit_task_end(self, estimator, context):
            self.open.remove(context.task_name)
            return False

    search = BatchedGridSearchCV(softmax(), {"learning_rate_init": RATES}, refit=False)
    counts = Counts()
    search.set_callbacks(counts)
    with joblib.parallel_config("dask"):
        search.fit(*data)
    assert not counts.open
    assert counts.begun.count("batched-runs") == 5  # one for each fold


def test_warnings_arrive_once(data, client):
    search = BatchedGridSearchCV(
        softmax(tol=1e-4), {"learning_rate_init": RATES}, refit=False
    )
    with joblib.parallel_config("dask"), pytest.warns(ConvergenceWarning) as noted:
        search.fit(*data)
    assert [one for one in noted if "20 fits" in str(one.message)]
    assert len([one for one in noted if "converge" in str(one.message)]) == 1


@pytest.fixture
def cuda(monkeypatch):
    """A GPU that is not there: nothing is evaluated."""

    def on_cuda(device, X):
        return torch.device("cuda:0" if device in ("auto", "cuda") else device)

    monkeypatch.setattr(handing_out, "training_device", on_cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        handing_out, "hand_out", lambda work, *rest: [([], [])] * len(work)
    )


OWN_SCORE = softmax(early_stopping=True, scoring="accuracy")
ON_CUDA = {
    "batched": (softmax(), {"alpha": [0, 1]}),
    "one by one": (OWN_SCORE, {"alpha": [0, 1]}),
    "in a Pipeline": (make_pipeline(StandardScaler(), OWN_SCORE), {}),
    "in an ensemble": (BaggingClassifier(softmax()), {"max_samples": [0.5, 1.0]}),
    "one of several": (OWN_SCORE, {"device": ["here", "cpu", "cuda"]}),
    "templates": (TemplateMatchingClassifier(), {"metric": ["euclidean"]}),
}


@pytest.mark.parametrize("kind", ON_CUDA)
def test_processes_on_one_gpu_are_no_secret(kind, data, cuda):
    search = BatchedGridSearchCV(*ON_CUDA[kind], n_jobs=2, refit=False)
    # Without a backend of one's choice, models train together in this process.
    chosen = kind == "batched"
    with (
        joblib.parallel_config("loky") if chosen else nullcontext(),
        pytest.warns(
            RuntimeWarning, match="2 processes train on cuda:0.*one Dask worker for"
        ),
        pytest.raises(ValueError, match="No fits were performed"),
    ):
        search.fit(*data)


@pytest.mark.parametrize(
    ("model", "n_jobs"),
    [
        (OWN_SCORE, 1),
        (clone(OWN_SCORE).set_params(device="cpu"), 2),
        (SGDClassifier(), 2),
    ],
    ids=["one process", "the CPU", "of scikit-learn"],
)
@pytest.mark.filterwarnings("error")
def test_processes_without_a_gpu_are_not_warned_of(model, n_jobs, data, cuda):
    search = BatchedGridSearchCV(model, {"alpha": [0, 1]}, refit=False, n_jobs=n_jobs)
    with (
        joblib.parallel_config("loky"),
        pytest.raises(ValueError, match="No fits were performed"),
    ):
        search.fit(*data)


def on_gpu(name):
    """Let a worker find that each piece takes memory of a GPU, all at one time."""
    numbers = count(1)
    handing_out.allocations = lambda: Counter({name: next(numbers)})
    handing_out.time = SimpleNamespace(time=cycle([0.0, 1.0]).__next__)


def on_one_gpu():
    on_gpu("GPU-5e0f")


def on_one_gpu_each():
    on_gpu(f"GPU-{os.getpid()}")


def on_their_gpus():
    handing_out.allocations = allocations
    handing_out.time = time


@pytest.fixture
def workers(client):
    """Each of two workers searches, and has its own GPU or that of the other."""

    def search(gpus):
        client.run(gpus)
        model = softmax(tol=None)
        found = BatchedGridSearchCV(model, {"learning_rate_init": RATES}, refit=False)
        with joblib.parallel_config("dask"):
            return found.fit(*load_digits(return_X_y=True))

    yield search
    client.run(on_their_gpus)


def test_workers_of_a_cluster_with_the_same_gpu_are_no_secret(workers):
    with pytest.warns(
        RuntimeWarning, match=r"Two workers .* same GPU \(GPU-5e0f\)"
    ) as noted:
        workers(on_one_gpu)
    assert len(noted) == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("gpus", [on_one_gpu_each, on_their_gpus])
def test_workers_with_a_gpu_each_are_not_warned_of(gpus, workers):
    assert workers(gpus).cv_results_["mean_test_score"].max() > 0.8


def test_a_worker_that_is_started_anew_follows_the_one_before():
    first = handing_out.Use("GPU-1", 100, 0.0, 5.0)
    assert first._replace(process=200, begin=4.0, end=9.0).competes_with(first)
    assert first._replace(process=200, begin=1.0, end=2.0).competes_with(first)
    assert not first._replace(process=200, begin=5.5, end=9.0).competes_with(first)
    assert not first._replace(begin=4.0).competes_with(first)
    assert not first._replace(gpu="GPU-2", process=200).competes_with(first)


class OneAtATime(TransformerMixin, BaseEstimator):
    """Fits one at a time in each process, or raises an error."""

    def __init__(self, folder):
        self.folder = folder

    def fit(self, X, y=None):
        path = os.path.join(self.folder, str(os.getpid()))
        with open(path, "x"):
            time.sleep(0.05)
        os.remove(path)
        self.fitted_ = True
        return self

    def transform(self, X):
        return X


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("model", ["batched", "one by one"])
def test_searches_within_cross_validation_share_the_workers(
    model, n_jobs, data, client, tmp_path
):
    """As of scikit-learn's searches: a worker that waits has room for another piece."""
    own = {} if model == "batched" else {"early_stopping": True, "scoring": "accuracy"}
    search = BatchedGridSearchCV(
        make_pipeline(OneAtATime(str(tmp_path)), softmax(solver="sgd", **own)),
        {"softmaxregression__learning_rate_init": RATES[:2]},
        cv=3,
        n_jobs=n_jobs,
        error_score="raise",
    )
    expected = cross_val_score(clone(search).set_params(n_jobs=None), *data, cv=4)
    with joblib.parallel_config("dask"):
        found = cross_val_score(search, *data, cv=4, error_score="raise")
    np.testing.assert_array_equal(found, expected)


def dies_once(folder, number):
    """Return a number, but for the first one of all calls, which ends its process."""
    try:
        with open(os.path.join(folder, "died"), "x"):
            os.kill(os.getpid(), signal.SIGKILL)
    except FileExistsError:
        return number


def hand_out_in_worker(folder, other):
    """Hand out work in a worker, to another one while that lives; return warnings."""
    work = [Work(dies_once, (folder, number), {}, "a call") for number in range(4)]
    with (
        joblib.parallel_config("dask", workers=[other], allow_other_workers=True),
        warnings.catch_warnings(record=True) as noted,
    ):
        warnings.simplefilter("always")
        return hand_out(work, None), [str(one.message) for one in noted]


def test_a_search_in_a_worker_outlives_another_one(client, tmp_path):
    here, other = client.scheduler_info()["workers"]
    future = client.submit(hand_out_in_worker, str(tmp_path), other, workers=[here])
    found, texts = future.result()
    assert found == list(range(4))
    assert len([text for text in texts if "A worker was lost" in text]) == 1


class Dies(TransformerMixin, BaseEstimator):
    """Kills its process at each fit."""

    def fit(self, X, y=None):
        os.kill(os.getpid(), signal.SIGKILL)


def test_work_that_kills_each_worker_of_dask_is_named(data, client, monkeypatch):
    """It does not reach this process, either, when a single worker is left."""
    monkeypatch.setattr(workers_module, "TRIES", 1)  # a worker takes seconds to start
    search = BatchedGridSearchCV(
        make_pipeline(Dies(), softmax()), {"softmaxregression__alpha": [0, 1]}, cv=2
    )
    with (
        joblib.parallel_config("dask"),
        pytest.warns(RuntimeWarning, match="A worker was lost.*0 of 2 pieces"),
        pytest.raises(
            RuntimeError,
            match=r"lost 2 times in a row while they had candidates 0, 1 in "
            "folds 0; candidates 0, 1 in folds 1.*KilledWorker.*give it more",
        ),
    ):
        search.fit(*data)


def test_rows_that_could_not_be_sent_are_sent_again(data, client, monkeypatch):
    """As to a worker that dies meanwhile: joblib would wait without end."""
    original = client.scatter
    calls = []

    async def fails_once(*args, **options):
        calls.append(args)
        if len(calls) == 1:
            raise CommClosedError("while rows were sent")
        return await original(*args, **options)

    monkeypatch.setattr(client, "scatter", fails_once)
    several = SEARCHES["SGD"]()
    with (
        joblib.parallel_config("dask"),
        pytest.warns(RuntimeWarning, match="A worker was lost .*while rows were sent"),
    ):
        several.fit(*data)
    assert_same_results(several, SEARCHES["SGD"]().fit(*data))
    assert len(calls) > 1


class Counted:
    """Scores like accuracy, and leaves a file for each model that it scores."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, model, X, y):
        fold = joblib.hash(np.asarray(y))[:8]
        name = f"{model.learning_rate_init}-{fold}-{os.urandom(4).hex()}"
        with open(os.path.join(self.folder, name), "w"):
            pass
        return np.mean(model.predict(X) == y)


class InterruptsAfter:
    """Interrupts a search after some of its pieces."""

    def __init__(self, n_pieces):
        self.n_pieces = n_pieces

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.n_pieces -= context.task_name in ("batched-runs", EACH)
        if not self.n_pieces:
            raise KeyboardInterrupt("after some pieces")


EACH = "candidate-split-evaluation"


def busy_threads(dask_worker):
    return len(dask_worker.active_threads)


@pytest.mark.parametrize("model", ["batched", "one by one"])
@pytest.mark.parametrize(("backend", "n_jobs"), [("loky", 3), ("threading", 7), (0, 0)])
def test_a_checkpoint_of_dask_goes_on_anywhere(
    model, backend, n_jobs, data, client, tmp_path
):
    """On another number of workers: other pieces, and no model is trained again."""
    folder = tmp_path / "scored"
    folder.mkdir()
    own = {} if model == "batched" else {"early_stopping": True, "scoring": "accuracy"}
    search = BatchedGridSearchCV(
        softmax(solver="sgd", **own),
        {"learning_rate_init": RATES},
        scoring=Counted(str(folder)),
        refit=False,
    )
    expected = clone(search).set_params(scoring="accuracy").fit(*data)
    checkpoint = Checkpoint(tmp_path / "search")
    search.set_callbacks(checkpoint, InterruptsAfter(3))
    with (
        joblib.parallel_config("dask"),
        pytest.warns(UserWarning, match="tasks which were still being processed"),
        pytest.raises(KeyboardInterrupt, match="after some pieces"),
    ):
        search.fit(*data)
    # What workers still have is lost. They finish it when Dask has forgotten it, too.
    while any(client.processing().values()) or any(client.run(busy_threads).values()):
        time.sleep(0.01)
    for path in folder.iterdir():
        path.unlink()

    search.set_callbacks(checkpoint)
    with joblib.parallel_config(backend, n_jobs=n_jobs) if backend else nullcontext():
        search.fit(*data)
    assert_same_results(search, expected)
    # Pieces on two workers have a fold each, and scikit-learn's have one model.
    n_known = 3 * len(RATES) if model == "batched" else 3
    scored = [path.name.rsplit("-", 1)[0] for path in folder.iterdir()]
    assert len(set(scored)) == len(scored) == 5 * len(RATES) - n_known


class InChunks:
    """An array in a file, as zarr and h5py have them: it takes slices, no positions."""

    def __init__(self, values):
        self.values = values
        self.shape = values.shape
        self.dtype = values.dtype
        self.ndim = values.ndim
        self.chunks = (100, *values.shape[1:])

    def __len__(self):
        return len(self.values)

    def __getitem__(self, key):
        if not isinstance(key, slice):
            raise ValueError("only slices")
        return self.values[key]

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


@pytest.mark.parametrize("kind", ["SGD", "of scikit-learn", "halving"])
@pytest.mark.filterwarnings("ignore:Maximum number of iteration reached")
def test_arrays_in_chunks(kind, data):
    X, y = data
    weight = np.where(np.arange(len(y)) % 3, 1.0, 0.5)
    groups = np.arange(len(y)) % 7
    of_dask = pytest.importorskip("dask.array").from_array

    def search():
        return SEARCHES[kind]().set_params(cv=GroupKFold(3))

    one = search().fit(X, y, sample_weight=weight, groups=groups)
    for kept in (InChunks, of_dask):
        several = search().fit(
            kept(X), kept(y), sample_weight=kept(weight), groups=kept(groups)
        )
        assert_same_results(several, one)
    # The weights did something.
    scores = one.cv_results_["mean_test_score"]
    unweighted = search().fit(X, y, groups=groups).cv_results_["mean_test_score"]
    assert not np.array_equal(scores, unweighted)


@pytest.mark.parametrize("backend", ["threading", "loky", "dask"])
def test_one_process_looks_at_free_memory_for_all(
    backend, data, client, tmp_path, monkeypatch
):
    rng = np.random.default_rng(0)
    # Blocks make no difference to fewer samples than a window has.
    y = np.arange(70_000) * 4 // 70_000
    X = rng.normal(size=(len(y), 4)).astype(np.float32)
    X[np.arange(len(y)), y] += 1
    np.save(tmp_path / "X.npy", X)
    X_in_file = np.load(tmp_path / "X.npy", mmap_mode="r")
    folds = [(np.arange(len(y)), np.arange(0, len(y), 7))]

    def searched(free, *steps, **options):
        model = softmax(solver="sgd", max_iter=1, batch_size=512, **options)
        search = BatchedGridSearchCV(
            make_pipeline(*steps, model),
            {"softmaxregression__learning_rate_init": RATES},
            cv=folds,
            scoring="neg_log_loss",
            refit=False,
        )
        memory = iter(free)
        monkeypatch.setattr(memory_maps, "free_memory", lambda: next(memory))
        return search.fit(X_in_file, y)

    whole, blocks = (searched([np.inf], shuffle=how) for how in (True, "blocks"))
    assert not np.array_equal(
        whole.cv_results_["mean_test_score"], blocks.cv_results_["mean_test_score"]
    )
    with on_backend(backend, client):
        with pytest.warns(UserWarning, match=r"exceed the memory.*\(4 fits\)") as told:
            assert_same_results(searched([X.nbytes - 1]), blocks)
        assert len(told) == 1
        assert_same_results(searched([X.nbytes]), whole)
        # Rows of a fold that are scaled or weighted are in memory.
        scaled = searched([0], StandardScaler())
        balanced = searched([0], class_weight="balanced")
    assert_same_results(scaled, searched([], StandardScaler()))
    assert_same_results(balanced, searched([], class_weight="balanced"))


def test_a_gpu_that_only_workers_have_is_theirs(data, tmp_path, monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("this process has one")
    np.save(tmp_path / "X.npy", data[0])
    X_in_file = np.load(tmp_path / "X.npy", mmap_mode="r")
    monkeypatch.setattr(memory_maps, "free_memory", lambda: 0)
    search = BatchedGridSearchCV(softmax(solver="sgd"), {"device": ["cuda", "cpu"]})
    with (
        joblib.parallel_config("threading", n_jobs=2),
        pytest.warns(FitFailedWarning, match="torch finds 0 CUDA devices"),
        pytest.warns(UserWarning, match="test scores are non-finite"),
        pytest.warns(UserWarning, match="exceed the memory"),
    ):
        search.fit(X_in_file, data[1])
    assert search.best_params_ == {"device": "cpu"}


def test_an_interrupted_search_leaves_its_workers(data, client):
    search = BatchedGridSearchCV(
        softmax(max_iter=100), {"learning_rate_init": RATES}, cv=20, refit=False
    )
    search.set_callbacks(InterruptsAfter(1))

    with (
        joblib.parallel_config("dask"),
        pytest.warns(UserWarning, match="tasks which were still being processed"),
        pytest.raises(KeyboardInterrupt, match="after some pieces"),
    ):
        search.fit(*data)
    # Workers have no more than what they were given before the interruption.
    waiting = sum(len(tasks) for tasks in client.processing().values())
    assert waiting <= 2


COUNT_FAULTS = """
import resource
import numpy as np
import torch
from skdigits import MLPClassifierTorch
torch.set_num_threads(1)
rng = np.random.default_rng(0)
X = rng.random((6_000, 784), dtype=np.float32)
y = rng.integers(10, size=len(X))
model = MLPClassifierTorch(128, batch_size=64, max_iter=2, tol=None, random_state=0)
model.fit(X, y)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
model.fit(X, y)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc has this variable")
def test_fits_keep_their_memory_where_dask_returns_it():
    environment = os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", COUNT_FAULTS],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    # Each of 188 steps would map hundreds of pages anew.
    assert int(done.stdout) < 5_000
