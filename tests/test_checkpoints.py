"""What is killed goes on from its checkpoint, to the last bit of the whole training."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import clone
from sklearn.callback import FitCallback
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    _files,
    callbacks,
)
from skdigits.callbacks import Checkpoint, load_checkpoint
from skdigits.engine import lbfgs, train
from skdigits.model_selection import (
    BatchedGridSearchCV,
    BatchedHalvingGridSearchCV,
    BatchedRandomizedSearchCV,
    _execution,
    _one_by_one,
)
from skdigits.training import observers

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SEVEN = {"max_iter": 7, "random_state": 0, "batch_size": 40}
KINDS = {
    "sgd": SoftmaxRegression(solver="sgd", learning_rate="adaptive", tol=0.1, **SEVEN),
    "stopping": MLPClassifierTorch(
        6, learning_rate_init=0.03, early_stopping=True, dropout=0.2, **SEVEN
    ),
    "one cycle": MLPClassifierTorch(
        6, solver="adamw", learning_rate="one_cycle", tol=None, **SEVEN
    ),
    "augment": ConvNetClassifier(
        2, augment="shift", tol=None, **SEVEN | {"max_iter": 5}
    ),
    "lbfgs": SoftmaxRegression(solver="lbfgs", max_iter=9, tol=None, random_state=0),
    "lbfgs by default": SoftmaxRegression(max_iter=9, random_state=0),
    "mlp by lbfgs": MLPClassifierTorch(5, solver="lbfgs", max_iter=9, random_state=0),
    "bfloat16": ConvNetClassifier(2, precision="bfloat16", tol=None, **SEVEN),
}
each = pytest.mark.parametrize("kind", KINDS)
ALWAYS = {"every_n_epochs": 1}


class Killed(Exception):  # noqa: N818 (no error of the package)
    """Stands for a signal that no code can handle."""


class Killer:
    """Ends the process, as far as Python can, after an epoch; counts epochs.

    Or it presses Ctrl-C then, if that is the ``error``.
    """

    def __init__(self, at=None, error=Killed):
        self.at, self.epochs, self.error = at, 0, error

    def setup(self, estimator, context):
        pass

    teardown = setup

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            self.epochs += 1
            if self.epochs == self.at:
                raise self.error("by a signal")


@pytest.fixture(scope="module")
def few(digits):
    return digits[0][:150].astype(np.float32), digits[1][:150]


def killed(model, path, at, X, y, **options):
    """Train until an epoch that is not saved any more, and lose the model."""
    checkpoint = Checkpoint(path, **options.pop("every", ALWAYS))
    model = clone(model).set_callbacks(Killer(at), checkpoint)
    with pytest.raises(Killed, match="by a signal"):
        model.fit(X, y, **options)


def assert_same(found, expected):
    """Compare all that is fitted, bit by bit, but how long it took."""
    for one, other in zip(found._layers, expected._layers, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    histories = [one.history_.drop(columns="seconds") for one in (found, expected)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    np.testing.assert_equal(tuple(found._checkpoint), tuple(expected._checkpoint))
    for name in ("n_iter_", "t_", "loss_curve_", "loss_", "best_loss_", "device_"):
        assert getattr(found, name) == getattr(expected, name)
    assert (found.validation_scores_ is None) == (expected.validation_scores_ is None)


@each
def test_a_killed_fit_goes_on_to_the_last_bit(kind, few, tmp_path):
    expected = clone(KINDS[kind]).fit(*few)
    path = tmp_path / "fit"
    killed(KINDS[kind], path, 4, *few)
    counter = Killer()
    found = clone(KINDS[kind]).set_callbacks(counter, Checkpoint(path)).fit(*few)
    assert_same(found, expected)
    assert counter.epochs == expected.n_iter_ - 3 > 0  # three were saved
    if found.solver != "lbfgs":
        for one in (found, expected):
            one.set_params(early_stopping=False).partial_fit(*few)
        assert_same(found, expected)


def test_no_evaluation_of_lbfgs_is_repeated(few, tmp_path, monkeypatch):
    counts = []

    def counted(*args, **kwargs):
        counts.append(1)
        return original(*args, **kwargs)

    original = lbfgs.objective_and_gradients
    monkeypatch.setattr(lbfgs, "objective_and_gradients", counted)
    clone(KINDS["lbfgs"]).fit(*few)
    whole = len(counts)
    killed(KINDS["lbfgs"], tmp_path / "fit", 5, *few)
    clone(KINDS["lbfgs"]).set_callbacks(Checkpoint(tmp_path / "fit")).fit(*few)
    # Only the evaluations of the fifth iteration, which was not saved.
    assert whole < len(counts) - whole <= whole + 3


def warm(model, few):
    return clone(model).set_params(warm_start=True).fit(*few)


SITUATIONS = {
    "validation set": {"X_val": slice(0, 30), "y_val": slice(0, 30)},
    "weights": {"sample_weight": np.linspace(0, 2, 150)},
    "labels": {},
    "two classes": {},
    "own generator": {},
    "warm start": {},
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_in_every_situation(situation, few, tmp_path):
    X, y = few
    options = dict(SITUATIONS[situation])
    if situation == "validation set":
        options = {"X_val": X[:30], "y_val": y[:30]}
    elif situation == "labels":
        y = (y[:, None] < [3, 6]).astype(int)
    elif situation == "two classes":
        y = np.where(y < 5, "low", "high")

    def make():
        model = clone(KINDS["stopping"])
        if situation == "own generator":
            return model.set_params(random_state=np.random.RandomState(3))
        return warm(model, (X, y)) if situation == "warm start" else model

    expected = make().fit(X, y, **options)
    path = tmp_path / "fit"
    first = make().set_callbacks(Killer(4), Checkpoint(path, **ALWAYS))
    with pytest.raises(Killed, match="by a signal"):
        first.fit(X, y, **options)
    found = make().set_callbacks(Checkpoint(path)).fit(X, y, **options)
    assert_same(found, expected)
    if situation == "own generator":  # where the whole fit has left it
        numbers = [one.random_state.randint(2**31, size=3) for one in (found, expected)]
        np.testing.assert_array_equal(*numbers)


KILLS = """
import os, pickle, random, signal, sys, time, warnings
from pathlib import Path
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from skdigits import MLPClassifierTorch, SoftmaxRegression
from skdigits.callbacks import Checkpoint
from skdigits.model_selection import BatchedGridSearchCV

warnings.simplefilter("ignore")
X, y = load_digits(return_X_y=True)
X, y = (X[:150] / 16).astype(np.float32), y[:150]
options = {"max_iter": 15, "tol": None, "random_state": 0, "batch_size": 50}
mlp = MLPClassifierTorch(
    6, early_stopping=True, validation_fraction=0.3, dropout=0.2, **options
)
one_cycle = SoftmaxRegression(solver="sgd", learning_rate="one_cycle", **options)
lbfgs = SoftmaxRegression(solver="lbfgs", max_iter=15, tol=None)
search = BatchedGridSearchCV(
    clone(mlp).set_params(max_iter=4), {"batch_size": [20, 30, 50]}, cv=2
)
models = {mlp: 16, one_cycle: 14, lbfgs: 14, search: 6}  # and the times to kill each

def result(model):
    if isinstance(model, BatchedGridSearchCV):
        scores = [model.cv_results_[f"split{n}_test_score"].tolist() for n in (0, 1)]
        return scores, result(model.best_estimator_)
    return [[a.tolist() for a in pair] for pair in model._layers], model.loss_curve_

def forked(function):
    child = os.fork()
    if child == 0:
        try:
            function()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    return child

def train(model, path):
    checkpoint = Checkpoint(path, every_n_epochs=1)
    model = clone(model).set_callbacks(checkpoint).fit(X, y)
    Path(f"{path}.result").write_bytes(pickle.dumps(result(model)))

def present(place):
    # What changes with every write.
    if place.is_dir():
        return len(list(place.iterdir()))
    return place.exists() and place.stat().st_mtime_ns

def killed(child, place, rng):
    # After a few writes and milliseconds, unless the child has ended.
    for _ in range(rng.randrange(5)):
        before = present(place)
        while present(place) == before:
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            time.sleep(0.0005)
    time.sleep(rng.uniform(0, 0.005))
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
    return bool(status)

rng = random.Random(0)
struck = 0
for number, (model, n_kills) in enumerate(models.items()):
    whole = result(clone(model).fit(X, y))
    rounds = kills = 0
    while kills < n_kills:
        place = Path(sys.argv[1], f"{number}-{rounds}")
        if killed(forked(lambda: train(model, place)), place, rng):
            kills += 1
        else:
            rounds += 1
    assert os.waitpid(forked(lambda: train(model, place)), 0)[1] == 0
    for found in Path(sys.argv[1]).glob(f"{number}-*.result"):
        assert pickle.loads(found.read_bytes()) == whole, found
    struck += kills
print(struck)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forking is for Unix")
def test_kill_minus_nine_at_50_random_moments(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLS, tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "50", done.stderr


def forbid_training(monkeypatch):
    def fails(*args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr(train, "take_steps", fails)
    monkeypatch.setattr(lbfgs, "objective_and_gradients", fails)


@pytest.mark.parametrize("kind", ["stopping", "lbfgs"])
def test_what_has_ended_is_not_trained_again(kind, few, tmp_path, monkeypatch):
    expected = clone(KINDS[kind]).set_callbacks(Checkpoint(tmp_path / "fit")).fit(*few)
    forbid_training(monkeypatch)
    found = clone(KINDS[kind]).set_callbacks(Checkpoint(tmp_path / "fit")).fit(*few)
    assert_same(found, expected)
    loaded = load_checkpoint(str(tmp_path / "fit"))
    assert_same(loaded, expected)
    assert not hasattr(loaded, "_skl_callbacks")
    np.testing.assert_array_equal(
        loaded.predict_proba(few[0]), found.predict_proba(few[0])
    )


@pytest.mark.parametrize("kind", ["sgd", "one cycle", "lbfgs"])
def test_the_model_of_a_running_training_is_whole(kind, few, tmp_path):
    model = clone(KINDS[kind]).set_params(tol=None)
    killed(model, tmp_path / "fit", 5, *few)
    loaded = load_checkpoint(tmp_path / "fit")
    assert loaded.n_iter_ == len(loaded.loss_curve_) == len(loaded.history_) == 4
    if kind != "one cycle":  # which depends on the number of planned epochs
        shorter = clone(model).set_params(max_iter=4).fit(*few)
        loaded.set_params(max_iter=4)
        assert_same(loaded, shorter)
        both = (loaded, shorter)
        for one in both:
            one.set_params(warm_start=True).fit(*few)
        assert_same(*both)
        assert loaded.score(*few) > 0.5


@pytest.mark.parametrize(
    ("every", "saved"),
    [
        ({"every_n_epochs": 1}, 4),
        ({"every_n_epochs": 3}, 3),
        ({"every_n_minutes": 0}, 4),
        ({"every_n_epochs": 2, "every_n_minutes": 1e9}, 4),
        ({"every_n_minutes": 1e9}, None),
    ],
)
def test_how_often_the_file_is_written(every, saved, few, tmp_path):
    model = clone(KINDS["sgd"]).set_params(tol=None)
    killed(model, tmp_path / "fit", 5, *few, every=every)
    if saved is None:
        with pytest.raises(FileNotFoundError, match=r"no checkpoint .*fit"):
            load_checkpoint(tmp_path / "fit")
    else:
        assert load_checkpoint(tmp_path / "fit").n_iter_ == saved
    found = clone(model).set_callbacks(Checkpoint(tmp_path / "fit", **every)).fit(*few)
    assert_same(found, clone(model).fit(*few))
    assert_same(load_checkpoint(tmp_path / "fit"), found)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"alpha": 0.5}, r"not ended\. It .* alpha was 'auto' and is 0.5\. Fit with"),
        ({"X": 1}, r"differs in: X\. "),
        ({"y": 1}, r"differs in: y\. "),
        ({"sample_weight": 1}, r"differs in: sample_weight\. "),
        ({"X_val": 1}, r"differs in: X_val or y_val\. "),
    ],
)
def test_another_training_is_refused(change, text, few, tmp_path):
    killed(KINDS["sgd"], tmp_path / "fit", 3, *few)
    before = (tmp_path / "fit").read_bytes()
    X, y = few[0].copy(), few[1].copy()
    options = {}
    if "X" in change:
        X[0, 20] += 1e-3
    if "y" in change:
        y[0] = 3
    if "sample_weight" in change:
        options["sample_weight"] = np.full(150, 2.0)
    if "X_val" in change:
        options |= {"X_val": X[:9], "y_val": y[:9]}
    model = clone(KINDS["sgd"]).set_callbacks(Checkpoint(tmp_path / "fit"))
    if "alpha" in change:
        model.set_params(**change)
    with pytest.raises(ValueError, match="fit' belongs to another training.*" + text):
        model.fit(X, y, **options)
    assert (tmp_path / "fit").read_bytes() == before
    assert not hasattr(model, "classes_")
    model.set_params(alpha=KINDS["sgd"].alpha, verbose=0).fit(*few)  # it still goes on


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"label,pixel0\n", r"is no checkpoint of skdigits\. "),
        (b"", r"is no checkpoint of skdigits\. "),
        (None, "cannot be read: .* copied in part, delete it"),
    ],
)
def test_other_files_are_left_alone(content, text, few, tmp_path):
    path = tmp_path / "mine"
    if content is None:
        killed(KINDS["sgd"], path, 3, *few)
        content = path.read_bytes()[:-30]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"mine' {text}"):
        clone(KINDS["sgd"]).set_callbacks(Checkpoint(path)).fit(*few)
    with pytest.raises(ValueError, match=f"mine' {text}"):
        load_checkpoint(path)
    assert path.read_bytes() == content


def test_a_write_that_fails_leaves_the_old_file(few, tmp_path, monkeypatch):
    killed(KINDS["sgd"], tmp_path / "fit", 3, *few)
    before = (tmp_path / "fit").read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(callbacks.os, "fsync", full)
    model = clone(KINDS["sgd"]).set_callbacks(Checkpoint(tmp_path / "fit"))
    with pytest.warns(RuntimeWarning, match=r"fit'\) was not written: .*No space left"):
        model.fit(*few)
    assert (tmp_path / "fit").read_bytes() == before
    monkeypatch.undo()
    assert_same(model, clone(KINDS["sgd"]).fit(*few))


def test_what_cannot_be_saved_says_so_at_once(few, tmp_path):
    model = MLPClassifierTorch(
        3, image_shape=(8, 8), augment=lambda images, generator: images, **SEVEN
    )
    model.set_callbacks(counter := Killer(), Checkpoint(tmp_path / "fit"))
    with pytest.raises(
        ValueError, match="fit' cannot hold a parameter: define functions"
    ):
        model.fit(*few)
    assert counter.epochs == 1


def test_wrong_uses_are_named(few, tmp_path):
    assert isinstance(Checkpoint(tmp_path), FitCallback)
    with pytest.raises(ValueError, match="every_n_epochs=0 must be a positive integer"):
        Checkpoint(tmp_path, every_n_epochs=0)
    with pytest.raises(ValueError, match="every_n_minutes=-1 must be a number of 0"):
        Checkpoint(tmp_path, every_n_minutes=-1)

    checkpoint = Checkpoint(tmp_path / "fit")
    pipeline = make_pipeline(StandardScaler(), SoftmaxRegression())
    with pytest.raises(TypeError, match=r"continue a Pipeline: .* such as pipeline"):
        clone(pipeline).set_callbacks(checkpoint).fit(*few)
    with pytest.raises(TypeError, match=r"continue a GridSearchCV: .* on a batched"):
        GridSearchCV(SoftmaxRegression(), {}).set_callbacks(checkpoint).fit(*few)
    several = GridSearchCV(
        clone(KINDS["sgd"]).set_callbacks(checkpoint), {}, error_score="raise", cv=2
    )
    with pytest.raises(ValueError, match=r"fit'\) is set on a model that a search"):
        several.fit(*few)
    # Here, nothing tells that there are several: each fit replaces the one before.
    found = cross_val_score(several.estimator, *few, error_score="raise", cv=2)
    np.testing.assert_array_equal(found, cross_val_score(KINDS["sgd"], *few, cv=2))
    (tmp_path / "fit").unlink()
    killed(KINDS["sgd"], tmp_path / "fit", 3, *few)
    with pytest.raises(ValueError, match=r"differs in: X; y\. "):
        cross_val_score(several.estimator, *few, error_score="raise", cv=2)


@pytest.mark.parametrize(
    ("place", "error", "text"),
    [
        (
            "no/where",
            FileNotFoundError,
            r"where'\) cannot be .* create the folder .*no'",
        ),
        ("", IsADirectoryError, "is a folder: name a file in it, .*model.checkpoint'"),
        ("file/fit", NotADirectoryError, "fit'.* cannot be .*file' is a file, and not"),
        (
            "locked/fit",
            PermissionError,
            "fit'.* cannot be written: No .*locked'. Choose",
        ),
    ],
)
def test_a_place_that_cannot_be_written_is_named(
    place, error, text, few, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "locked").mkdir()
    original = _files.tempfile.TemporaryFile

    def temporary(dir):  # noqa: A002 (its name)
        if dir == tmp_path / "locked":  # no bits stop root
            raise PermissionError(13, "No permission")
        return original(dir=dir)

    monkeypatch.setattr(_files.tempfile, "TemporaryFile", temporary)
    counter = Killer()
    model = clone(KINDS["sgd"]).set_callbacks(counter, Checkpoint(tmp_path / place))
    with pytest.raises(error, match=text):
        model.fit(*few)
    assert counter.epochs == 0
    assert not hasattr(model, "classes_")
    if place:
        with pytest.raises(error, match=text):
            grid().set_callbacks(Checkpoint(tmp_path / place)).fit(*few)
    assert sorted(os.listdir(tmp_path)) == ["file", "locked"]
    with pytest.raises(TypeError, match="path=3 must be a str or path-like"):
        Checkpoint(3)


class Clock:
    """Seconds that pass when this says so, and the epochs after which is written."""

    def __init__(self, monkeypatch, write_takes):
        self.now, self.epochs, self.written, self.takes = 0.0, 0, [], write_takes
        monkeypatch.setattr(observers, "write", self.write)
        monkeypatch.setattr(observers.time, "monotonic", lambda: self.now)

    def write(self, path, *parts):
        self.written.append((path.name, self.epochs))
        self.now += self.takes

    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            self.epochs += 1
            self.now += 0.25


@pytest.mark.parametrize(
    ("takes", "every", "expected"),
    [
        (0.001, {}, [1, 5, 9, 13, 17, 20]),  # a second
        (0.1, {}, [1, 9, 17, 20]),  # 20 writes
        (60.0, {}, [1, 20]),
        (60.0, {"every_n_epochs": 7}, [7, 14, 20]),
        (0.0, {"every_n_minutes": 1.5 / 60}, [6, 12, 18, 20]),
        (0.0, {"every_n_epochs": 9, "every_n_minutes": 2 / 60}, [8, 9, 17, 18, 20]),
    ],
)
def test_writing_takes_a_small_part_of_the_time(
    takes, every, expected, few, tmp_path, monkeypatch
):
    """The other file does not change when this one is due."""
    clock = Clock(monkeypatch, takes)
    both = [
        Checkpoint(tmp_path / "one", **every),
        Checkpoint(tmp_path / "two", **every),
    ]
    if takes == 0:
        both[1] = Checkpoint(tmp_path / "two", every_n_epochs=1)
    elif every or takes > 1:
        both = both[:1]
    model = clone(KINDS["sgd"]).set_params(max_iter=20, tol=None)
    model.set_callbacks(clock, *both).fit(*few)
    assert [epoch for name, epoch in clock.written if name == "one"] == expected


@pytest.mark.parametrize("kind", ["sgd", "stopping", "one cycle", "lbfgs"])
@pytest.mark.parametrize("when", [None, "before", "after"])
def test_what_ctrl_c_advises_works(kind, when, few, tmp_path):
    """The same fit again, with a warm start or without, and the same script."""
    expected = clone(KINDS[kind]).fit(*few)
    checkpoint = Checkpoint(tmp_path / "fit")
    model = clone(KINDS[kind]).set_params(warm_start=when == "before")
    model.set_callbacks(counter := Killer(4, KeyboardInterrupt), checkpoint)
    with pytest.warns(UserWarning, match=r"epoch, 4\. To continue, run the same fit"):
        model.fit(*few)
    assert model.n_iter_ == load_checkpoint(tmp_path / "fit").n_iter_ == 4
    content = (tmp_path / "fit").read_bytes()

    model.set_params(warm_start=when is not None).fit(*few)
    assert_same(model, expected)
    assert counter.epochs == expected.n_iter_

    (tmp_path / "fit").write_bytes(content)
    script = clone(KINDS[kind]).set_params(warm_start=when == "before")
    assert_same(script.set_callbacks(checkpoint).fit(*few), expected)


def test_a_warm_start_that_is_interrupted_goes_on(few, tmp_path):
    """Twice, in this process; each fit is of as many epochs as without interrupts."""
    expected = warm(KINDS["one cycle"], few)
    loss_before = expected.loss_curve_[-1]
    expected.fit(*few)
    model = warm(KINDS["one cycle"], few)
    for at, n_iter in ((2, 2), (3, 5), (None, 7)):
        checkpoint = Checkpoint(tmp_path / "fit")
        model.set_callbacks(counter := Killer(at, KeyboardInterrupt), checkpoint)
        if at is None:
            model.fit(*few)
        else:
            text = rf"last whole epoch, {7 + n_iter} \({n_iter} of this call\)\. "
            with pytest.warns(UserWarning, match=text):
                model.fit(*few)
        assert model.n_iter_ == n_iter
    assert counter.epochs == 2
    assert_same(model, expected)
    assert len(model.loss_curve_) == 14
    assert model.loss_curve_[6] == loss_before

    # A further fit is another one, from a model that has ended.
    expected.fit(*few)
    assert_same(model.fit(*few), expected)
    assert len(model.loss_curve_) == 21


def test_an_interrupt_that_cannot_be_saved_says_how_to_go_on(
    few, tmp_path, monkeypatch
):
    model = clone(KINDS["sgd"]).set_params(tol=None)
    longer = clone(model).set_params(max_iter=10).fit(*few)
    checkpoint = Checkpoint(tmp_path / "fit", every_n_epochs=2)
    model.set_callbacks(Killer(3, KeyboardInterrupt), checkpoint)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(callbacks.os, "fsync", full)
    with (
        pytest.warns(RuntimeWarning, match="was not written: .*No space left"),
        pytest.warns(UserWarning, match=r"set_callbacks\(\), set warm_start=True"),
    ):
        model.fit(*few)
    assert model.n_iter_ == 3
    model.set_callbacks().set_params(warm_start=True).fit(*few)
    assert model.loss_curve_ == longer.loss_curve_


def test_ended_trainings_give_way_to_others(few, tmp_path, monkeypatch):
    """The file of one that has ended stays until the next one is saved."""
    path = tmp_path / "fit"
    X, y = few
    for n_samples in (100, 120, 150):
        model = clone(KINDS["stopping"]).set_callbacks(Checkpoint(path))
        model.fit(X[:n_samples], y[:n_samples])
        expected = clone(KINDS["stopping"]).fit(X[:n_samples], y[:n_samples])
        assert_same(model, expected)
        assert_same(load_checkpoint(path), expected)

    before = path.read_bytes()
    killed(KINDS["sgd"], path, 3, X, y, every={"every_n_epochs": 5})
    assert path.read_bytes() == before
    killed(KINDS["sgd"], path, 3, X, y, every={"every_n_epochs": 2})
    assert load_checkpoint(path).n_iter_ == 2
    with pytest.raises(ValueError, match=r"another training, which has not ended\. It"):
        clone(KINDS["stopping"]).set_callbacks(Checkpoint(path)).fit(X, y)
    assert load_checkpoint(path).n_iter_ == 2

    clone(KINDS["sgd"]).set_callbacks(Checkpoint(path)).fit(X, y)
    forbid_training(monkeypatch)
    clone(KINDS["sgd"]).set_callbacks(Checkpoint(path)).fit(X, y)


def test_three_nights_that_are_killed_and_run_again(few, tmp_path):
    X, y = few
    options = {"X_val": X[:40], "y_val": y[:40]}
    model = clone(KINDS["stopping"]).set_params(warm_start=True)
    expected = clone(model)
    for n_samples in (90, 120, 150):
        expected.fit(X[40:n_samples], y[40:n_samples], **options)
        for at in (3, None):
            if (tmp_path / "model.joblib").exists():
                model = joblib.load(tmp_path / "model.joblib")
            checkpoint = Checkpoint(tmp_path / "night.checkpoint", **ALWAYS)
            model.set_callbacks(counter := Killer(at), checkpoint)
            if at is None:
                model.fit(X[40:n_samples], y[40:n_samples], **options)
                joblib.dump(model.set_callbacks(), tmp_path / "model.joblib")
            else:
                with pytest.raises(Killed, match="by a signal"):
                    model.fit(X[40:n_samples], y[40:n_samples], **options)
        assert_same(model, expected)
        assert counter.epochs == expected.n_iter_ - 2


def test_a_generator_that_has_moved_on_is_named(few, tmp_path):
    model = clone(KINDS["sgd"]).set_params(random_state=np.random.RandomState(0))
    model.set_callbacks(Killer(3, KeyboardInterrupt), Checkpoint(tmp_path / "fit"))
    with pytest.warns(UserWarning, match="or the same script"):
        model.fit(*few)
    with pytest.raises(
        ValueError, match="random_state, a generator that moves on: pass"
    ):
        model.fit(*few)


@pytest.mark.parametrize("kind", ["stopping", "lbfgs"])
def test_others_read_the_file_as_well(kind, few, tmp_path):
    """Of a training that goes on, and of one that has ended."""
    for at in (3, None):
        if at is not None:
            killed(KINDS[kind], tmp_path / "fit", at, *few)
        else:
            clone(KINDS[kind]).set_callbacks(Checkpoint(tmp_path / "fit")).fit(*few)
        expected = load_checkpoint(tmp_path / "fit")
        assert_same(joblib.load(tmp_path / "fit"), expected)
        with open(tmp_path / "fit", "rb") as file:
            assert_same(pickle.load(file), expected)


def test_models_that_others_have_saved_are_theirs_to_read(few, tmp_path):
    model = clone(KINDS["sgd"]).fit(*few)
    joblib.dump(model, tmp_path / "joblib")
    joblib.dump(model, tmp_path / "compressed", compress=3)
    (tmp_path / "pickle").write_bytes(pickle.dumps(model))
    skops.io.dump(model, tmp_path / "skops")
    for path in tmp_path.iterdir():
        with pytest.raises(
            ValueError, match=rf"{path.name}' is no .*\. joblib.load reads"
        ):
            load_checkpoint(path)
        with pytest.raises(
            ValueError, match=rf"{path.name}' is no .*It is left as it is"
        ):
            clone(model).set_callbacks(Checkpoint(path)).fit(*few)


class Unpicklable(Killer):
    def __reduce__(self):
        raise TypeError("no pickles of this")


def test_the_file_knows_nothing_of_other_callbacks(few, tmp_path):
    """They need not be pickled, and it does not grow with their records of epochs."""
    model = clone(KINDS["sgd"]).set_params(max_iter=40, tol=None)
    model.set_callbacks(Unpicklable(), Checkpoint(tmp_path / "fit")).fit(*few)
    fitted = clone(model).set_callbacks().fit(*few)
    assert vars(load_checkpoint(tmp_path / "fit")).keys() == vars(fitted).keys()
    sizes = []
    for at in (10, 40):
        killed(model, tmp_path / f"{at}", at, *few)
        sizes.append((tmp_path / f"{at}").stat().st_size)
    assert sizes[1] - sizes[0] < 30 * 8 * 10  # six numbers an epoch


def test_behind_the_steps_of_a_pipeline(few, tmp_path):
    pipeline = make_pipeline(StandardScaler(), clone(KINDS["one cycle"]))
    expected = clone(pipeline).fit(*few)
    for callbacks_, kills in (([Killer(4)], True), ([], False)):
        found = clone(pipeline)
        found[-1].set_callbacks(*callbacks_, Checkpoint(tmp_path / "fit", **ALWAYS))
        if kills:
            with pytest.raises(Killed, match="by a signal"):
                found.fit(*few)
        else:
            found.fit(*few)
    assert_same(found[-1], expected[-1])


# Searches.


def grid(**options):
    model = clone(KINDS["sgd"]).set_params(max_iter=4, tol=None)
    candidates = {"batch_size": [20, 30, 50], "alpha": [0, 1e-3]}
    return BatchedGridSearchCV(model, candidates, cv=2, **options)


def by_steps():
    pipeline = make_pipeline(
        StandardScaler(), clone(KINDS["stopping"]).set_params(validation_fraction=0.3)
    )
    candidates = {"mlpclassifiertorch__batch_size": [10, 20, 50]}
    return BatchedGridSearchCV(pipeline, candidates, cv=2, return_epoch_scores=True)


def drawn():
    candidates = {"alpha": [0, 1e-3], "max_iter": [3, 4, 5]}
    model = clone(KINDS["lbfgs"])
    return BatchedRandomizedSearchCV(model, candidates, n_iter=5, random_state=0, cv=2)


def halving():
    model = clone(KINDS["sgd"]).set_params(tol=None)
    candidates = {"alpha": [0, 1e-3], "batch_size": [20, 50]}
    return BatchedHalvingGridSearchCV(
        model, candidates, cv=2, resource="max_iter", min_resources=2, max_resources=4,
        factor=2, random_state=0,
    )  # fmt: skip


def one_by_one():
    grid = {"max_depth": [1, 2]}
    return BatchedGridSearchCV(RandomForestClassifier(3, random_state=0), grid, cv=2)


SEARCHES = [grid, by_steps, drawn, halving, one_by_one]


class Counted:
    """A function that is counted, and that ends the process in one of its calls."""

    def __init__(self, function, at=None):
        self.original, self.at, self.calls = function, at, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt("pressed")
        return self.original(*args, **kwargs)


def assert_same_results(found, expected):
    for name, values in expected.cv_results_.items():
        if "time" not in name:
            np.testing.assert_equal(list(found.cv_results_[name]), list(values))


@pytest.mark.parametrize("make", SEARCHES, ids=lambda make: make.__name__)
def test_a_killed_search_repeats_nothing(make, few, tmp_path, monkeypatch):
    place = (_execution, "train_and_score")
    if make is one_by_one:
        place = (_one_by_one, "fit_and_score")
    original = getattr(*place)
    counted = Counted(original)
    monkeypatch.setattr(*place, counted)
    expected = make().fit(*few)
    whole = counted.calls
    assert whole >= 3

    monkeypatch.setattr(*place, Counted(original, at=3))
    with pytest.raises(KeyboardInterrupt, match="pressed"):
        make().set_callbacks(Checkpoint(tmp_path / "search")).fit(*few)
    with pytest.raises(FileNotFoundError, match="search' has not ended"):
        load_checkpoint(tmp_path / "search")

    monkeypatch.setattr(*place, rest := Counted(original))
    found = make().set_callbacks(Checkpoint(tmp_path / "search")).fit(*few)
    assert rest.calls == whole - 2
    assert_same_results(found, expected)
    assert found.best_params_ == expected.best_params_
    again = make().set_callbacks(Checkpoint(tmp_path / "search")).fit(*few)
    assert rest.calls == whole - 2
    loaded = load_checkpoint(tmp_path / "search")
    for one in (found, again, loaded):
        np.testing.assert_array_equal(
            one.predict_proba(few[0]), expected.predict_proba(few[0])
        )
        assert not hasattr(one.best_estimator_, "_skl_callbacks")
    assert not hasattr(loaded, "_skl_callbacks")


@pytest.mark.parametrize("make", [grid, by_steps, halving], ids=lambda f: f.__name__)
def test_other_runs_repeat_nothing(make, few, tmp_path, monkeypatch):
    """What has ended is known by candidate and fold, however runs are divided."""
    original = _execution.train_and_score
    trained = []

    def counted(*args):
        outcomes = original(*args)
        trained.extend(outcomes)
        return outcomes

    expected = make().fit(*few)
    monkeypatch.setattr(_execution, "train_and_score", counted)
    make().fit(*few)
    whole = len(trained)
    trained.clear()

    alone = make().set_params(working_memory=1e-6)
    alone.set_callbacks(Checkpoint(tmp_path / "search"))
    killed = Counted(counted, at=3)
    monkeypatch.setattr(_execution, "train_and_score", killed)
    with pytest.raises(KeyboardInterrupt, match="pressed"):
        alone.fit(*few)
    assert len(trained) == 2

    monkeypatch.setattr(_execution, "train_and_score", rest := Counted(counted))
    found = make().set_callbacks(Checkpoint(tmp_path / "search")).fit(*few)
    assert len(trained) == whole
    assert rest.calls < whole - 2  # other runs: models train together
    assert_same_results(found, expected)


@pytest.mark.parametrize("scoring", [None, "accuracy"], ids=["batched", "one by one"])
@pytest.mark.filterwarnings("default::sklearn.exceptions.ConvergenceWarning")
def test_warnings_of_what_has_ended_are_given_again(scoring, few, tmp_path):
    model = clone(KINDS["sgd"]).set_params(tol=1e-9, scoring=scoring)
    search = BatchedGridSearchCV(model, {"alpha": [0, 1e-3]}, cv=2, refit=False)
    search.set_callbacks(Checkpoint(tmp_path / "search"))
    texts = []
    for _ in range(2):
        with pytest.warns(ConvergenceWarning) as caught:
            search.fit(*few)
        texts.append([str(one.message) for one in caught])
    assert search.batched_.all() == (scoring is None)
    assert texts[0] == texts[1]
    assert texts[0][0].endswith("(4 fits)")


def test_a_killed_refit_goes_on(few, tmp_path, monkeypatch):
    expected = by_steps().fit(*few)
    steps = Counted(train.take_steps)
    monkeypatch.setattr(train, "take_steps", steps)
    by_steps().set_callbacks(Checkpoint(tmp_path / "whole")).fit(*few)
    killed_at = steps.calls - 2
    monkeypatch.setattr(train, "take_steps", Counted(steps.original, at=killed_at))
    with pytest.raises(KeyboardInterrupt, match="interrupted"):
        by_steps().set_callbacks(Checkpoint(tmp_path / "search")).fit(*few)

    monkeypatch.setattr(train, "take_steps", rest := Counted(steps.original))
    found = by_steps().set_callbacks(Checkpoint(tmp_path / "search")).fit(*few)
    assert rest.calls == 3
    assert_same(found.best_estimator_[-1], expected.best_estimator_[-1])


def test_a_search_that_has_ended_gives_way(few, tmp_path):
    """With all its files, but no other ones; also if that is interrupted."""
    X, y = few
    path = tmp_path / "search"
    path.mkdir()
    others = ["refit.txt", "0123456789abcdef0123", "mine"]
    for name in others:
        (path / name).write_text("mine")
    grid().set_callbacks(Checkpoint(path)).fit(X, y)
    n_files = len(os.listdir(path))
    assert n_files > 5

    nights = [(X[:n_samples], y[:n_samples]) for n_samples in (140, 130, 120)]
    for night in nights:
        found = grid().set_callbacks(Checkpoint(path)).fit(*night)
        assert_same_results(found, grid().fit(*night))
        assert len(os.listdir(path)) == n_files
        assert_same(load_checkpoint(path).best_estimator_, found.best_estimator_)
    assert {(path / name).read_text() for name in others} == {"mine"}
    with pytest.raises(ValueError, match="is part of a search, and is left as it is"):
        clone(KINDS["sgd"]).set_callbacks(Checkpoint(path / "fingerprint")).fit(X, y)


def test_a_folder_that_is_half_cleared_is_cleared_again(few, tmp_path, monkeypatch):
    X, y = few
    expected = grid().fit(X[:130], y[:130])
    original = Path.unlink
    n_struck = 0
    for at in range(1, 20):
        path = tmp_path / f"{at}"
        grid().set_callbacks(Checkpoint(path)).fit(X, y)
        with monkeypatch.context() as patch:
            counted = Counted(original, at)
            patch.setattr(Path, "unlink", lambda path, c=counted: c(path))
            try:
                grid().set_callbacks(Checkpoint(path)).fit(X[:130], y[:130])
            except KeyboardInterrupt:
                n_struck += 1
        found = grid().set_callbacks(Checkpoint(path)).fit(X[:130], y[:130])
        assert_same_results(found, expected)
        if counted.calls < at:
            break
    assert n_struck == at - 1 > 5


def test_another_search_is_refused(few, tmp_path, monkeypatch):
    path = tmp_path / "search"
    with monkeypatch.context() as patch:
        original = _execution.train_and_score
        patch.setattr(_execution, "train_and_score", Counted(original, at=3))
        with pytest.raises(KeyboardInterrupt, match="pressed"):
            grid().set_callbacks(Checkpoint(path)).fit(*few)
    with pytest.raises(ValueError, match=r"search' belongs to another .*: y; folds"):
        grid().set_callbacks(Checkpoint(path)).fit(few[0], few[1][::-1])
    with pytest.raises(ValueError, match=r"scoring was None and is 'roc_auc_ovr'\. "):
        grid(scoring="roc_auc_ovr").set_callbacks(Checkpoint(path)).fit(*few)
    grid(verbose=1, n_jobs=1).set_callbacks(Checkpoint(path)).fit(*few)

    random = grid()
    random.cv = KFold(2, shuffle=True)
    random.set_callbacks(Checkpoint(tmp_path / "random")).fit(*few)
    (tmp_path / "random" / "search").unlink()  # as if it had not ended
    with pytest.raises(ValueError, match=r"folds \(pass a cv with a random_state\)"):
        random.fit(*few)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match=r"needs a folder, and .*file' is a file"):
        grid().set_callbacks(Checkpoint(tmp_path / "file")).fit(*few)


def test_failures_of_a_search_are_tried_again(few, tmp_path):
    forest = one_by_one()
    forest.param_grid = {"max_depth": [1, -1]}
    forest.set_callbacks(Checkpoint(tmp_path / "search"))
    with (
        pytest.warns(UserWarning, match="scores are non-finite"),
        pytest.warns(FitFailedWarning, match="2 fits failed"),
    ):
        forest.fit(*few)
    with (
        pytest.warns(UserWarning, match="scores are non-finite"),
        pytest.warns(FitFailedWarning, match="2 fits failed"),
    ):
        forest.fit(*few)
    assert np.isnan(forest.cv_results_["mean_test_score"]).tolist() == [False, True]
