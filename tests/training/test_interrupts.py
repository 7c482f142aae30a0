"""Ctrl-C after a whole epoch keeps the model, whatever line of Python it strikes."""

import copy
import gc
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skdigits
from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits.model_selection import BatchedGridSearchCV

PACKAGE = str(Path(skdigits.__file__).parent)
HANDLER = signal.getsignal(signal.SIGINT)
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:Training interrupted by user",
)
SMALL = {"max_iter": 2, "tol": None, "batch_size": 15, "random_state": 0}
MODELS = {
    "mlp": MLPClassifierTorch(2, dropout=0.1, **SMALL),
    "stopping": SoftmaxRegression(
        solver="sgd", early_stopping=True, validation_fraction=0.3, **SMALL
    ),
    "conv": ConvNetClassifier(1, augment="shift", image_shape=(2, 2), **SMALL),
    "lbfgs": SoftmaxRegression(solver="lbfgs", max_iter=2, tol=None),
}


class Tracer:
    """Sees every line of this package once an epoch is whole, and presses Ctrl-C.

    ``lines`` are the distinct lines; ``presses`` those to strike, one after another. A
    line is struck before it is executed. ``goes_on`` sees the lines after it as well.
    """

    def __init__(self, presses=(), goes_on=False):
        self.lines, self.presses, self.whole = {}, list(presses), False
        self.goes_on = goes_on

    def __enter__(self):
        sys.settrace(self.enter)
        if self.goes_on:
            sys.setprofile(self.resume)
        return self

    def __exit__(self, *error):
        sys.setprofile(None)
        sys.settrace(None)

    def enter(self, frame, event, argument):
        inside = frame.f_code.co_filename.startswith(PACKAGE)
        return self.see if inside else None

    def see(self, frame, event, argument):
        if not self.whole:
            # As soon as the first epoch has been left for whoever is interrupted.
            found = frame.f_locals.get("latest")
            if found is None:
                found = getattr(frame.f_locals.get("self"), "latest", None)
            self.whole = getattr(found, "runs", None) is not None
        if event == "line" and self.whole:
            place = (frame.f_code.co_filename, frame.f_lineno)
            if self.presses and place == self.presses[0]:
                self.lines.clear()
                self.presses.pop(0)
                raise KeyboardInterrupt("pressed")
            self.lines.setdefault(place)
        return self.see

    def resume(self, frame, event, argument):
        """Trace again: Python ends it where a tracing function raises an error."""
        if sys.gettrace() is None and event == "return":
            while frame is not None:
                if frame.f_code.co_filename.startswith(PACKAGE):
                    frame.f_trace = self.see
                frame = frame.f_back
            sys.settrace(self.enter)


@pytest.fixture(scope="module")
def tiny():
    X = np.random.default_rng(0).random((30, 4))
    return X, np.arange(30) % 3


@pytest.fixture(autouse=True)
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def fit(model, X, y):
    return model.fit(X, y)


def continue_(model, X, y):
    return model.partial_fit(X, y, classes=range(3))


def assert_kept(model, X):
    """The model predicts, and it is whole."""
    assert 1 <= model.n_iter_ <= 2
    assert model.n_iter_ == len(model.loss_curve_) == len(model.history_)
    assert model.n_features_in_ == 4
    assert np.isfinite(model.predict_proba(X)).all()
    assert torch.get_num_threads() == 4
    assert not torch.is_inference_mode_enabled()
    assert signal.getsignal(signal.SIGINT) is HANDLER


@pytest.mark.parametrize(
    ("name", "call", "step"),
    [
        ("mlp", fit, 1),
        ("stopping", fit, 4),
        ("conv", fit, 8),
        ("lbfgs", fit, 4),
        ("mlp", continue_, 4),
    ],
)
def test_one_press_at_any_line(name, call, step, tiny):
    """Each line for one kind of model, and some for the others."""
    with Tracer() as tracer:
        call(clone(MODELS[name]), *tiny)
    assert len(tracer.lines) > 60
    for line in list(tracer.lines)[::-step]:
        model = clone(MODELS[name])
        with Tracer([line]) as pressed:
            assert call(model, *tiny) is model
        assert not pressed.presses
        assert_kept(model, tiny[0])


def test_two_presses_at_any_lines(tiny):
    with Tracer() as tracer:
        clone(MODELS["mlp"]).fit(*tiny)
    for first in list(tracer.lines)[::120]:
        with Tracer([first], goes_on=True) as handling:
            clone(MODELS["mlp"]).fit(*tiny)
        for second in list(handling.lines)[::5]:
            model = clone(MODELS["mlp"])
            with Tracer([first, second], goes_on=True) as pressed:
                model.fit(*tiny)
            assert not pressed.presses
            assert_kept(model, tiny[0])
    assert len(handling.lines) > 20


SIGNALS = """
import os, random, signal, threading, time, warnings
import numpy as np
from skdigits import SoftmaxRegression, _gradient

signal.signal(signal.SIGINT, signal.default_int_handler)
warnings.simplefilter("ignore")
X = np.random.default_rng(0).random((30, 4))
y = np.arange(30) % 3
handling = threading.Event()
pressed = threading.Event()
original = _gradient.set_fitted_attributes

def slowly(*args):
    # What an interrupt may strike takes long enough to be struck.
    handling.set()
    for _ in range(10):
        time.sleep(0.001)
    original(*args)
    # A press that came later would be one of another fit.
    assert pressed.wait(10)

class Presses:
    # Ctrl-C after the second epoch, and some more while the model is made.
    def __init__(self, number, rng):
        gaps = [rng.uniform(0, 0.003) for _ in range(number)]
        self.thread = threading.Thread(target=self.press, args=(gaps,))
        self.epochs = 0

    def press(self, gaps):
        os.kill(os.getpid(), signal.SIGINT)
        assert handling.wait(10)
        for gap in gaps:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(gap)
        pressed.set()

    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator, context):
        self.epochs += context.task_name == "epoch"
        if self.epochs == 2 and self.thread.ident is None:
            self.thread.start()

_gradient.set_fitted_attributes = slowly
rng = random.Random(0)
kept = 0
for trial in range(36):
    handling.clear()
    pressed.clear()
    presses = Presses(trial % 6, rng)
    model = SoftmaxRegression(
        solver="sgd", max_iter=1_000_000, tol=None, batch_size=15, random_state=trial
    )
    model.set_callbacks(presses).fit(X, y)
    presses.thread.join()
    model.set_callbacks().set_params(max_iter=model.n_iter_)
    same = SoftmaxRegression(**model.get_params()).fit(X, y)
    kept += np.array_equal(same.coef_, model.coef_) and 2 <= model.n_iter_ < 1_000_000
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
print(kept)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends the process there")
def test_any_number_of_presses_within_milliseconds():
    done = subprocess.run(
        [sys.executable, "-c", SIGNALS], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "36", done.stderr


def test_a_handler_of_the_user_stays(tiny):
    """Also while the model is made: it may want to know of every signal."""
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    try:
        with Tracer() as tracer:
            clone(MODELS["mlp"]).fit(*tiny)
        model = clone(MODELS["mlp"])
        with Tracer([list(tracer.lines)[20]]):
            model.fit(*tiny)
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [1]
    assert_kept(model, tiny[0])


def test_what_is_kept_is_the_last_whole_epoch(tiny):
    """Shuffled orders included: training goes on as if nothing had happened."""
    whole = clone(MODELS["mlp"]).set_params(max_iter=3).fit(*tiny)
    with Tracer() as tracer:
        clone(whole).fit(*tiny)
    for line in list(tracer.lines)[::20]:
        model = clone(whole).set_params(warm_start=True)
        with Tracer([line]):
            model.fit(*tiny)
        if model.n_iter_ < 3:
            model.set_params(max_iter=3 - model.n_iter_).fit(*tiny)
        np.testing.assert_array_equal(model.coefs_[0], whole.coefs_[0])


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_fitted_model_survives_as_well(rounds, tiny):
    """Lists that have grown, names of features, and parameters."""
    fitted = MLPClassifierTorch(2, warm_start=True, **SMALL).fit(*tiny)
    with Tracer() as tracer:
        fitted.fit(*tiny)
    models = []
    for line in list(tracer.lines)[::30]:
        model = clone(fitted)
        for _ in range(rounds):
            model.fit(*tiny)
        with Tracer([line]):
            model.fit(*tiny)
        assert model.get_params() == fitted.get_params()
        epochs = 2 * rounds + model.n_iter_
        assert len(model.history_) == len(model.loss_curve_) == epochs
        assert model.history_["train_loss"].tolist() == model.loss_curve_
        models.append(model)
    gc.collect()  # whatever was left half-way must not come back
    assert {model.n_features_in_ for model in models} == {4}


def test_before_the_first_epoch_an_interrupt_is_raised(tiny, monkeypatch):
    def press(*args):
        raise KeyboardInterrupt("pressed")

    monkeypatch.setattr("skdigits.engine.train.take_steps", press)
    model = clone(MODELS["mlp"])
    with pytest.raises(KeyboardInterrupt, match="pressed"):
        model.fit(*tiny)
    assert vars(model).keys() == model.get_params().keys()


def test_it_is_warned_of(tiny):
    with Tracer() as tracer:
        clone(MODELS["mlp"]).fit(*tiny)
    line = list(tracer.lines)[20]
    with (
        pytest.warns(UserWarning, match="interrupted by user: .* last whole epoch, 1"),
        Tracer([line]),
    ):
        clone(MODELS["mlp"]).fit(*tiny)


@pytest.mark.parametrize(
    ("call", "warm_start", "text", "n_iter"),
    [
        (fit, False, r"epoch, 1\. To continue, set warm_start=True and fit again\.", 1),
        (fit, True, r"epoch, 3 \(1 of this call\)\. To continue, fit again\.", 1),
        (
            continue_,
            False,
            r"epoch, 3 \(1 of .* continue, call partial_fit again",
            1,
        ),
    ],
)
def test_the_advice_works(call, warm_start, text, n_iter, tiny):
    """No epoch or two before, one until the press, and one or two after it."""
    model = clone(MODELS["mlp"]).set_params(warm_start=warm_start)
    if "3" in text:
        model.fit(*tiny)
    with Tracer() as tracer:
        call(copy.deepcopy(model), *tiny)
    with pytest.warns(UserWarning, match=text), Tracer([list(tracer.lines)[20]]):
        call(model, *tiny)
    assert model.n_iter_ == n_iter

    n_before = len(model.history_)
    if "set" in text:
        model.set_params(warm_start=True)
    call(model, *tiny)
    whole = clone(MODELS["mlp"]).set_params(max_iter=n_before + model.n_iter_)
    assert model.loss_curve_ == whole.fit(*tiny).loss_curve_
    np.testing.assert_array_equal(model.coefs_[0], whole.coefs_[0])


def test_in_another_thread(tiny):
    """Where no handler of signals could be set."""
    model = clone(MODELS["mlp"])
    lines = []

    def train():
        with Tracer() as tracer:
            clone(model).fit(*tiny)
        lines.extend(tracer.lines)
        with Tracer([lines[100]]):
            model.fit(*tiny)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert_kept(model, tiny[0])


@pytest.mark.parametrize("Search", [GridSearchCV, BatchedGridSearchCV])
def test_a_search_ends_at_any_line(Search, tiny):
    """Anywhere: a search has no model to keep, and must not go on to the next fit."""
    pipeline = make_pipeline(StandardScaler(), SoftmaxRegression(solver="sgd", **SMALL))
    search = Search(pipeline, {"softmaxregression__alpha": [0, 1]}, cv=2)
    tracer = Tracer()
    tracer.whole = True
    with tracer:
        search.fit(*tiny)
    assert len(tracer.lines) > 300
    for line in list(tracer.lines)[::40]:
        pressed = Tracer([line])
        pressed.whole = True
        with pytest.raises(KeyboardInterrupt, match=r"pressed|interrupted"), pressed:
            clone(search).fit(*tiny)
        assert torch.get_num_threads() == 4
