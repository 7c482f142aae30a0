"""The past of a model: kept exactly, in little room, and at no cost to the future."""

import copy
import pickle
import sys
import tracemalloc
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier

from skdigits import MLPClassifierTorch, SoftmaxRegression
from skdigits.training import fitted

COLUMNS = "epoch learning_rate train_loss validation_loss validation_score seconds"
RATE = 0.05


@pytest.fixture(scope="module")
def few(digits):
    return digits[0][:60].astype(np.float32), digits[1][:60]


def make(**settings):
    settings = {"learning_rate_init": RATE, "random_state": 0} | settings
    return SoftmaxRegression(**settings)


def started(few, n_calls=3, **settings):
    model = make(**settings)
    for _ in range(n_calls):
        model.partial_fit(*few, classes=range(10))
    return model


def with_a_long_past(model, n_epochs):
    """Return a copy of a model whose first epoch came many times."""
    state = model.__getstate__()
    history = state["_history"]
    past = {
        name: np.resize(column, n_epochs) for name, column in history["columns"].items()
    }
    history = {"n_past": n_epochs - 1, "n_epochs": n_epochs, "columns": past}
    checkpoint = state["_checkpoint"]._replace(epochs=n_epochs)

    aged = make()
    aged.__setstate__(state | {"_history": history, "_checkpoint": checkpoint})
    assert len(aged.history_) == len(aged.loss_curve_) == n_epochs
    return aged


def calls_of(function, *arguments):
    """Return how many functions, in Python and in C, a call runs through."""
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function(*arguments)
    finally:
        sys.setprofile(before)
    return count


def peak_of(function, *arguments):
    """Return the most memory, in bytes, that Python and NumPy allocate in a call."""
    tracemalloc.start()
    try:
        function(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_no_table_is_made_before_it_is_read(few, monkeypatch):
    made = []
    monkeypatch.setattr(pd.DataFrame, "__init__", lambda self, *_, **__: made.append(1))
    model = started(few)
    model.predict(few[0])
    pickle.loads(pickle.dumps(model))
    assert made == []
    monkeypatch.undo()
    assert len(model.history_) == 3


@pytest.mark.parametrize("validated", [False, True])
def test_a_call_does_not_depend_on_the_past(validated, few):
    given = {"X_val": few[0], "y_val": few[1]} if validated else {}
    young = started(few).partial_fit(*few, **given)
    old = with_a_long_past(young, 100_000)
    grown = [old.loss_curve_, old._history.numbers, old.validation_scores_]
    calls = [partial(one.partial_fit, *few, **given) for one in (young, old)]
    # What happens once comes first, such as an array that makes room for the next ones.
    counts = [[calls_of(call) for _ in range(5)] for call in calls]
    assert counts[0][1:] == counts[1][1:]
    assert old.loss_curve_ is grown[0]
    assert old._history.numbers is grown[1]
    assert old.validation_scores_ is grown[2]
    assert (grown[2] is not None) == validated

    peaks = [peak_of(call) for call in calls]
    # A copy of the pointers to the losses alone would take 800,000 bytes.
    assert peaks[1] < peaks[0] + 100_000
    assert len(old.history_) == 100_006


def test_a_call_that_is_repeatedly_diverging_does_not_either(few):
    old = with_a_long_past(started(few), 100_000)
    old.set_params(learning_rate_init=1e300)
    with pytest.warns(ConvergenceWarning, match="diverged"):
        old.partial_fit(*few)
    grown = old.loss_curve_
    with pytest.warns(ConvergenceWarning, match="diverged"):
        assert peak_of(old.partial_fit, *few) < 200_000
    assert old.loss_curve_ is grown
    assert len(old.history_) == len(grown) == 100_001


@pytest.mark.parametrize("n_calls", [100, 300])
def test_a_call_adds_a_few_bytes_to_a_pickle(n_calls, few):
    model = started(few, 2)
    theirs = MLPClassifier(2).partial_fit(*few, classes=range(10))
    before = [len(pickle.dumps(one)) for one in (model, theirs)]
    for _ in range(n_calls):
        model.partial_fit(*few)
        theirs.partial_fit(*few)
    after = [len(pickle.dumps(one)) for one in (model, theirs)]
    ours, others = np.subtract(after, before) / n_calls
    # A loss and a time; MLPClassifier keeps the losses alone.
    assert ours < 2.5 * others
    assert 16 <= ours < 20


def assert_attributes_agree(model):
    """Compare what a model keeps of its past with the table of it, by pandas."""
    history = model.history_
    assert history.columns.tolist() == COLUMNS.split()
    assert [dtype.kind for dtype in history.dtypes] == list("ifffff")
    assert history.index.equals(pd.RangeIndex(len(history)))
    assert history["epoch"].tolist() == list(range(1, len(history) + 1))

    losses, scores = history["train_loss"], history["validation_score"]
    assert type(model.loss_curve_) is list
    np.testing.assert_array_equal(model.loss_curve_, losses)
    np.testing.assert_array_equal(model.loss_, losses.iloc[-1])
    if model.early_stopping:
        assert model.best_loss_ is None
    else:
        assert model.best_loss_ == min(losses.min(), np.inf)
    if scores.notna().any():
        assert type(model.validation_scores_) is list
        np.testing.assert_array_equal(model.validation_scores_, scores)
        assert model.best_validation_score_ == scores.max()
    else:
        assert model.validation_scores_ is model.best_validation_score_ is None


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("through_a_pickle", [False, True])
def test_every_attribute_is_that_of_the_whole_past(through_a_pickle, few):
    """Whatever happened in it: divergence, validation samples, other solvers."""
    validation = {"X_val": few[0][:20], "y_val": few[1][:20]}
    steps = [
        lambda m: m.partial_fit(*few, classes=range(10)),
        lambda m: m.set_params(learning_rate_init=1e300).partial_fit(*few),
        lambda m: m.partial_fit(*few),
        lambda m: m.set_params(learning_rate_init=RATE).partial_fit(*few),
        lambda m: m.fit(*few, **validation),
        lambda m: m.partial_fit(*few),
        lambda m: m.set_params(learning_rate_init=1e300).fit(*few, **validation),
        lambda m: m.set_params(learning_rate_init=RATE / 10).partial_fit(*few),
        lambda m: m.set_params(early_stopping=True, validation_fraction=0.3).fit(*few),
        lambda m: m.set_params(early_stopping=False, solver="lbfgs").fit(*few),
        lambda m: m.set_params(solver="adam").partial_fit(*few),
        lambda m: m.set_params(warm_start=False).fit(*few),
        lambda m: m.partial_fit(*few),
    ]
    lengths = [1, 2, 2, 2, 6, 7, 8, 8, 12, 16, 17, 4, 5]
    model = make(max_iter=4, tol=None, warm_start=True)
    for step, length in zip(steps, lengths, strict=True):
        model = step(model)
        if through_a_pickle:
            model = pickle.loads(pickle.dumps(model))
        assert len(model.history_) == length
        assert_attributes_agree(model)


def test_the_table_is_what_was_seen_call_by_call(few):
    """Seen by another model that has but the latest epoch."""
    model = make()
    losses, rates = [], []
    for call in range(6):
        model.set_params(learning_rate_init=RATE / (1 + call))
        before = copy.deepcopy(model)
        model.partial_fit(*few, classes=range(10))
        losses.append(before.partial_fit(*few, classes=range(10)).loss_)
        rates.append(RATE / (1 + call))
    assert model.history_["train_loss"].tolist() == losses
    assert model.history_["learning_rate"].tolist() == rates
    assert model.history_["seconds"].between(0, 60).all()
    assert len(set(losses)) == 6


def content(model):
    """Return everything that a model keeps, apart from how long it took."""
    attributes = copy.deepcopy(vars(model))
    history = attributes.pop("_history")
    return attributes, model.history_.to_numpy(), history[1:]


@pytest.mark.parametrize("rate", [RATE, 1e300])
@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_failure_at_the_very_end_is_undone(rate, error, few, monkeypatch):
    """After the past has grown, and after the last epoch has given way to another."""
    validation = {"X_val": few[0][:20], "y_val": few[1][:20]}
    model = make(max_iter=3, tol=None, warm_start=True).fit(*few, **validation)
    model.partial_fit(*few)
    model.set_params(learning_rate_init=rate).partial_fit(*few)
    model.set_params(learning_rate_init=RATE)
    untroubled = copy.deepcopy(model)
    before = content(model)
    lists = model.loss_curve_, model.validation_scores_
    lengths = []

    def fail(one, solver):
        lengths.append(len(one.loss_curve_))
        raise error("at the very end")

    monkeypatch.setattr(fitted, "monitored_settings", fail)
    for method, warm_start in (("partial_fit", 1), ("fit", 1), ("fit", 0)):
        model.set_params(warm_start=bool(warm_start))
        with pytest.raises(error, match="at the very end"):
            getattr(model, method)(*few)
        model.set_params(warm_start=True)
        np.testing.assert_equal(content(model), before)
        assert model.loss_curve_ is lists[0]
        assert model.validation_scores_ is lists[1]
    assert lengths == ([6, 8, 3] if rate == RATE else [5, 7, 3])

    monkeypatch.undo()
    for one in (model, untroubled):
        one.partial_fit(*few).fit(*few)
    assert_attributes_agree(model)
    columns = COLUMNS.split()[:-1]
    pd.testing.assert_frame_equal(
        model.history_[columns], untroubled.history_[columns], check_exact=True
    )
    np.testing.assert_array_equal(model.coef_, untroubled.coef_)


@pytest.mark.parametrize("make_copy", [copy.copy, copy.deepcopy])
def test_copies_go_on_by_themselves(make_copy, few):
    model = started(few)
    other = make_copy(model)
    before = content(model)
    other.set_params(learning_rate_init=RATE / 2)
    other.partial_fit(*few)
    np.testing.assert_equal(content(model), before)
    model.partial_fit(*few).partial_fit(*few)
    for one, length in ((model, 5), (other, 4)):
        assert len(one.history_) == length
        assert_attributes_agree(one)


def test_reading_changes_nothing(few):
    model = MLPClassifierTorch(3, random_state=0).partial_fit(*few, classes=range(10))
    before = dict(vars(model))
    table = model.history_
    table.loc[0, "train_loss"] = -1.0
    model.predict_proba(few[0])
    assert vars(model) == before
    assert all(vars(model)[name] is value for name, value in before.items())
    assert model.history_["train_loss"].tolist() == model.loss_curve_


def test_without_a_fit_there_is_no_history():
    model = SoftmaxRegression()
    assert not hasattr(model, "history_")
    with pytest.raises(
        AttributeError, match="SoftmaxRegression has no history_ before"
    ):
        _ = model.history_


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (MLPClassifierTorch(), MLPClassifier()),
        (SoftmaxRegression(), SGDClassifier(loss="log_loss")),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_call_takes_as_many_steps_as_scikit_learns(ours, theirs, digits):
    few = digits[0][:200], digits[1][:200]
    for model in (ours, theirs):
        model.partial_fit(*few, classes=range(10)).partial_fit(*few)
    assert calls_of(ours.partial_fit, *few) < 1.5 * calls_of(theirs.partial_fit, *few)
