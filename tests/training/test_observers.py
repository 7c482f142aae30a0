"""Callbacks, and what Ctrl-C leaves."""

import copy
import inspect

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits.engine import lbfgs, train
from skdigits.model_selection import BatchedGridSearchCV, _search

SIX = {"max_iter": 6, "tol": None, "random_state": 0}
MODELS = [
    SoftmaxRegression(max_iter=6, tol=None, random_state=0),
    SoftmaxRegression(solver="lbfgs", max_iter=6, tol=None),
    MLPClassifierTorch(8, max_iter=6, tol=None, random_state=0, dropout=0.2),
    ConvNetClassifier(
        2, learning_rate="constant", batch_size=600, dropout=0.2, augment="shift", **SIX
    ),
]
models = pytest.mark.parametrize(
    "model", MODELS, ids=["softmax", "lbfgs", "mlp", "conv"]
)


class Recorder:
    """Counts the tasks that end, and does something at one of them."""

    def __init__(self, act=None, at=None):
        self.act, self.at, self.ends, self.set_up, self.torn_down = act, at, 0, 0, 0

    def setup(self, estimator, context):
        self.set_up += 1

    def teardown(self, estimator, context):
        self.torn_down += 1

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            self.ends += 1
            if self.ends == self.at:
                return self.act()
        return None


def stop():
    return True


def interrupt():
    raise KeyboardInterrupt("pressed")


def fail():
    raise ZeroDivisionError("of a callback")


def after(model, n_epochs, X, y):
    return clone(model).set_params(max_iter=n_epochs).fit(X, y)


@models
def test_a_callback_sees_the_model_after_every_epoch(model, digits):
    X, y = digits
    monitor = ScoringMonitor(scoring="neg_log_loss")
    clone(model).set_callbacks(monitor).fit(X, y)
    log = monitor.get_logs().data_as_pandas
    epochs = log.loc[log["task_name"] == "epoch", "neg_log_loss"]
    assert len(epochs) == 6
    expected = [-log_loss(y, after(model, n, X, y).predict_proba(X)) for n in (1, 3, 6)]
    np.testing.assert_allclose(epochs.iloc[[0, 2, 5]], expected, rtol=1e-9)


@models
def test_a_request_to_stop_is_honoured(model, digits):
    callback = Recorder(stop, at=3)
    stopped = clone(model).set_callbacks(callback).fit(*digits)
    assert stopped.n_iter_ == 3
    assert (callback.set_up, callback.ends, callback.torn_down) == (1, 3, 1)
    expected = after(model, 3, *digits)
    np.testing.assert_array_equal(
        stopped.predict_proba(digits[0]), expected.predict_proba(digits[0])
    )


def test_callbacks_change_nothing(digits):
    model = MODELS[2]
    told = (
        clone(model)
        .set_callbacks(Recorder(), ScoringMonitor(scoring="accuracy"))
        .fit(*digits)
    )
    np.testing.assert_array_equal(told.coefs_[0], clone(model).fit(*digits).coefs_[0])


def test_fitted_models_are_made_for_those_only_who_ask(digits, monkeypatch):
    made = []
    monkeypatch.setattr(
        "skdigits.training.observers.snapshot", lambda *a, **k: made.append(1)
    )
    callback = Recorder()
    clone(MODELS[0]).set_callbacks(callback).fit(*digits)
    assert (
        "fitted_estimator" not in inspect.signature(callback.on_fit_task_end).parameters
    )
    assert callback.ends == 6
    assert not made


class Looker(Recorder):
    """Takes the models that callbacks may look at."""

    def __init__(self, take):
        super().__init__()
        self.take = take

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name == "epoch":
            self.take(fitted_estimator)


def assert_alike(found, expected, rtol=0.0):
    assert found.n_iter_ == expected.n_iter_
    assert len(found.history_) == len(expected.history_) >= found.n_iter_
    np.testing.assert_allclose(found.loss_curve_, expected.loss_curve_, rtol)
    assert found.t_ == expected.t_
    for one, other in zip(found._layers, expected._layers, strict=True):
        np.testing.assert_allclose(one[0], other[0], rtol, atol=rtol)


def trained_on(model, X, y):
    """A model after one more epoch, or after the iterations of another fit."""
    if model.solver == "lbfgs":
        return model.set_params(warm_start=True, max_iter=2).fit(X, y)
    return model.set_params(early_stopping=False).partial_fit(X, y)


@models
def test_callbacks_get_whole_models_that_train_on(model, digits):
    seen = []
    whole = clone(model)
    whole.set_callbacks(Looker(lambda one: seen.append((one, copy.deepcopy(one)))))
    whole.fit(*digits)
    assert_alike(whole, clone(model).fit(*digits))
    assert len(seen) == 6
    for n, (one, same) in list(enumerate(seen, 1))[::3]:
        expected = after(model, n, *digits)
        assert_alike(one, expected)
        for given in (one, same):
            trained_on(given, *digits)
        trained_on(expected, *digits)
        np.testing.assert_array_equal(one._layers[0][0], expected._layers[0][0])
        np.testing.assert_array_equal(same._layers[0][0], expected._layers[0][0])
    assert_alike(whole, clone(model).fit(*digits))


def test_a_model_may_be_trained_on_while_it_trains(digits):
    """Without its callbacks, which would call themselves."""
    callback = Looker(
        lambda one: one.set_params(warm_start=True, max_iter=1).fit(*digits)
    )
    model = clone(MODELS[2]).set_callbacks(callback).fit(*digits)
    assert_alike(model, clone(MODELS[2]).fit(*digits))
    assert (callback.set_up, callback.torn_down) == (1, 1)


@pytest.mark.parametrize("warm_start", [False, True])
def test_scorers_get_whole_models_that_train_on(warm_start, digits):
    seen = []

    def scorer(model, X, y):
        seen.append(copy.deepcopy(model))
        return len(seen)

    X, y = digits[0][:300], digits[1][:300]
    given = {"X_val": X[:50], "y_val": y[:50]}
    model = clone(MODELS[0]).set_params(scoring=scorer, warm_start=warm_start)
    model.fit(X, y, **given)
    n_seen = len(seen)
    assert n_seen == 6
    for n, one in list(enumerate(seen, 1))[::2]:
        expected = after(MODELS[0], n, X, y)
        assert_alike(one, expected)
        assert one.history_["validation_score"].tolist()[:-1] == list(range(1, n))
        trained_on(one.set_params(scoring=None), X, y)
        np.testing.assert_array_equal(one.coef_, trained_on(expected, X, y).coef_)

    if warm_start:  # its past is there, and is not shared
        model.fit(X, y, **given)
        assert [len(one.history_) for one in seen[n_seen:]] == [7, 8, 9, 10, 11, 12]
        assert len(model.history_) == 12


@pytest.mark.parametrize("model", MODELS[:3], ids=["softmax", "lbfgs", "mlp"])
def test_scorers_of_searches_get_whole_models_that_train_on(model, digits):
    X, y = digits[0][:300], digits[1][:300]
    seen = []

    def scorer(model, X, y):
        seen.append(copy.deepcopy(model))
        return model.score(X, y)

    folds = [(np.arange(200), np.arange(200, 300))]
    options = {"cv": folds, "return_epoch_scores": True, "refit": False}
    BatchedGridSearchCV(
        clone(model), {"alpha": [1e-4, 1e-3]}, scoring=scorer, **options
    ).fit(X, y)
    own = [one for one in seen if one.alpha == 1e-3]
    assert len(own) == 7  # and once at the end
    for n, one in list(enumerate(own[:6], 1))[::2]:
        expected = after(clone(model).set_params(alpha=1e-3), n, X[:200], y[:200])
        assert_alike(one, expected, 1e-9)
        found = trained_on(one, X[:200], y[:200])
        assert_alike(found, trained_on(expected, X[:200], y[:200]), 1e-7)


def test_callbacks_are_torn_down_after_an_error(digits):
    callback = Recorder(fail, at=2)
    model = clone(MODELS[0]).set_callbacks(callback)
    with pytest.raises(ZeroDivisionError, match="of a callback"):
        model.fit(*digits)
    assert callback.torn_down == 1
    assert not hasattr(model, "coef_")


class Ends(Recorder):
    """Notes the name of each task that ends."""

    def setup(self, estimator, context):
        self.names = []

    def on_fit_task_end(self, estimator, context):
        self.names.append(context.task_name)


def test_a_fit_has_ended_before_its_warning_is_an_error(digits):
    callback = Ends()
    model = SoftmaxRegression(solver="sgd", max_iter=2, random_state=0)
    # pytest's configuration makes errors of warnings.
    with pytest.raises(ConvergenceWarning, match="hasn't converged"):
        model.set_callbacks(callback).fit(*digits)
    assert callback.names == ["epoch", "epoch", "fit"]
    assert model.n_iter_ == 2


@pytest.mark.parametrize("Search", [GridSearchCV, BatchedGridSearchCV])
def test_callbacks_of_a_model_are_told_in_a_search_and_a_pipeline(Search, digits):
    X, y = digits[0][:300], digits[1][:300]
    callback = Recorder()
    model = clone(MODELS[0]).set_callbacks(callback)
    pipeline = make_pipeline(StandardScaler(), model)
    search = Search(pipeline, {"softmaxregression__alpha": [0, 1]}, cv=2).fit(X, y)
    assert callback.ends == 5 * 6
    plain = GridSearchCV(
        make_pipeline(StandardScaler(), MODELS[0]),
        {"softmaxregression__alpha": [0, 1]},
        cv=2,
    ).fit(X, y)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"]
    )


@models
def test_an_interrupt_leaves_the_last_whole_epoch(model, digits):
    interrupted = clone(model).set_callbacks(Recorder(interrupt, at=3))
    with pytest.warns(
        UserWarning, match=r"interrupted by user: .* last whole epoch, 3\."
    ):
        interrupted.fit(*digits)
    assert interrupted.n_iter_ == len(interrupted.loss_curve_) == 3
    expected = after(model, 3, *digits)
    np.testing.assert_array_equal(
        interrupted.predict_proba(digits[0]), expected.predict_proba(digits[0])
    )


def interrupt_in_call(monkeypatch, module, name, number):
    """Press Ctrl-C in one call of a function."""
    original, calls = getattr(module, name), []

    def function(*args, **kwargs):
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt("pressed")
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, function)


@pytest.mark.parametrize(
    "model", [MODELS[0], *MODELS[2:]], ids=["softmax", "mlp", "conv"]
)
def test_training_goes_on_where_it_was_interrupted(model, digits, monkeypatch):
    X, y = digits
    whole = clone(model).fit(X, y)
    interrupted = clone(model).set_params(warm_start=True)
    with monkeypatch.context() as patch:
        interrupt_in_call(patch, train, "take_steps", 3)  # in the third epoch
        with pytest.warns(UserWarning, match="last whole epoch, 2"):
            interrupted.fit(X, y)
    interrupted.set_params(max_iter=4).fit(X, y)
    np.testing.assert_allclose(
        interrupted.predict_proba(X), whole.predict_proba(X), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("model", "module", "name"),
    [(MODELS[0], train, "take_steps"), (MODELS[1], lbfgs, "objective_and_gradients")],
    ids=["sgd", "lbfgs"],
)
def test_before_the_first_epoch_there_is_nothing_to_leave(
    model, module, name, digits, monkeypatch
):
    interrupt_in_call(monkeypatch, module, name, 1)
    model = clone(model)
    with pytest.raises(KeyboardInterrupt, match="pressed"):
        model.fit(*digits)
    assert not hasattr(model, "coef_")


def test_an_interrupted_pipeline_keeps_its_model(digits):
    pipeline = make_pipeline(StandardScaler(), clone(MODELS[0]))
    pipeline[-1].set_callbacks(Recorder(interrupt, at=2))
    with pytest.warns(UserWarning, match="last whole epoch, 2"):
        pipeline.fit(*digits)
    assert pipeline.score(*digits) > 0.8


@pytest.mark.filterwarnings("ignore:Training interrupted by user")
@pytest.mark.parametrize("Search", [GridSearchCV, BatchedGridSearchCV])
def test_an_interrupt_ends_a_search(Search, digits, monkeypatch):
    X, y = digits[0][:300], digits[1][:300]
    interrupt_in_call(monkeypatch, train, "take_steps", 8)
    with pytest.raises(
        KeyboardInterrupt, match=r"^A fit of SoftmaxRegression was interrupted|^pressed"
    ):
        Search(clone(MODELS[0]), {"alpha": [0, 1]}, cv=2).fit(X, y)


def test_callbacks_of_a_whole_pipeline_are_told_in_a_search(digits):
    X, y = digits[0][:300], digits[1][:300]
    counts = []
    for Search in (GridSearchCV, BatchedGridSearchCV):
        callback = Recorder()
        pipeline = make_pipeline(StandardScaler(), clone(MODELS[0])).set_callbacks(
            callback
        )
        Search(pipeline, {"softmaxregression__alpha": [0, 1]}, cv=2).fit(X, y)
        counts.append(callback.set_up)
    assert counts == [5, 5]


@pytest.mark.filterwarnings("ignore:Training interrupted by user")
def test_an_interrupted_refit_ends_the_search(digits, monkeypatch):
    X, y = digits[0][:300], digits[1][:300]
    pipeline = make_pipeline(StandardScaler(), clone(MODELS[0]))
    search = BatchedGridSearchCV(
        pipeline, {"softmaxregression__alpha": [0, 1e-9]}, cv=2, refit_epochs="best"
    )
    monkeypatch.setattr(_search, "best_number_of_epochs", lambda *_: (0, 3, 0.9))
    interrupt_in_call(
        monkeypatch, train, "take_steps", 6 + 2
    )  # in the refit's second epoch
    with pytest.raises(KeyboardInterrupt, match="pressed"):
        search.fit(X, y)


def test_an_interrupt_by_a_scorer_ends_a_search_by_lbfgs_at_once(digits):
    X, y = digits[0][:300], digits[1][:300]
    calls = []

    def scorer(model, X, y):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt("pressed")
        return model.score(X, y)

    options = {"cv": 2, "scoring": scorer, "return_epoch_scores": True}
    search = BatchedGridSearchCV(clone(MODELS[1]), {"alpha": [0, 1]}, **options)
    with pytest.raises(KeyboardInterrupt, match="pressed"):
        search.fit(X, y)
    assert len(calls) == 3


def test_an_early_stopper_that_is_interrupted_returns_to_its_best_epoch(digits):
    scores = iter([0.1, 0.9, 0.2, 0.3])
    model = clone(MODELS[0]).set_params(
        early_stopping=True, scoring=lambda model, X, y: next(scores)
    )
    model.set_callbacks(Recorder(interrupt, at=3))
    with pytest.warns(
        UserWarning, match="that of its best epoch up to its last whole epoch, 3"
    ):
        model.fit(*digits)
    expected = clone(MODELS[0]).set_params(early_stopping=True, max_iter=2)
    scores = iter([0.1, 0.9])
    expected.set_params(scoring=lambda model, X, y: next(scores)).fit(*digits)
    np.testing.assert_array_equal(model.coef_, expected.coef_)
