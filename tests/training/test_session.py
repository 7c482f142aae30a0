"""Sessions: models that train together, continued training, histories."""

import copy
from contextlib import nullcontext

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info, threadpool_limits

from skdigits import MLPClassifierTorch, SoftmaxRegression
from skdigits.engine import lbfgs
from skdigits.engine.types import Hyper
from skdigits.training.settings import BATCHABLE

SETTINGS = [
    (SoftmaxRegression, {}),
    (SoftmaxRegression, {"solver": "adam", "loss": "sigmoid_mse"}),
    (SoftmaxRegression, {"learning_rate": "one_cycle"}),
    (MLPClassifierTorch, {"hidden_layer_sizes": 12, "dropout": 0.3}),
    (
        MLPClassifierTorch,
        {"hidden_layer_sizes": 12, "solver": "adamw", "shuffle": False},
    ),
    (MLPClassifierTorch, {"hidden_layer_sizes": 12, "learning_rate": "invscaling"}),
]
going_on = pytest.mark.parametrize(
    ("Model", "settings"),
    SETTINGS,
    ids=lambda value: str(getattr(value, "__name__", value)),
)


def make(Model, settings, **more):
    return Model(batch_size=100, tol=None, random_state=0, **settings, **more)


def test_batchable_parameters_are_parameters():
    assert Hyper._fields == BATCHABLE
    assert set(BATCHABLE) <= MLPClassifierTorch().get_params().keys()
    assert set(BATCHABLE) - {"dropout"} <= SoftmaxRegression().get_params().keys()


@going_on
def test_a_grid_in_one_run_is_its_fits_one_by_one(
    Model, settings, digits, fit_together
):
    X, y = digits
    rates = [0.1, 0.01, 0.001]
    together = [make(Model, settings, max_iter=3, learning_rate_init=r) for r in rates]
    fit_together(together, X, y)
    for rate, found in zip(rates, together, strict=True):
        alone = make(Model, settings, max_iter=3, learning_rate_init=rate).fit(X, y)
        np.testing.assert_allclose(
            found.predict_proba(X), alone.predict_proba(X), rtol=1e-8
        )
        np.testing.assert_allclose(found.loss_curve_, alone.loss_curve_, rtol=1e-10)


@going_on
def test_partial_fits_are_the_epochs_of_a_fit(Model, settings, digits):
    X, y = digits
    whole = make(Model, settings, max_iter=4).fit(X, y)
    parts = make(Model, settings, max_iter=4)
    for _ in range(4):
        parts.partial_fit(X, y, classes=range(10))
    np.testing.assert_allclose(
        parts.predict_proba(X), whole.predict_proba(X), rtol=1e-10
    )
    assert parts.loss_curve_ == pytest.approx(whole.loss_curve_, rel=1e-12)
    assert parts.t_ == whole.t_ == 4 * len(X)
    assert parts.history_["epoch"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("Model", "settings"),
    [pair for pair in SETTINGS if pair[1].get("learning_rate") != "one_cycle"],
)
def test_warm_starts_are_the_epochs_of_a_fit(Model, settings, digits):
    X, y = digits
    whole = make(Model, settings, max_iter=5).fit(X, y)
    warm = make(Model, settings, max_iter=2, warm_start=True).fit(X, y)
    assert warm.n_iter_ == 2
    warm.set_params(max_iter=3).fit(X, y)
    np.testing.assert_allclose(
        warm.predict_proba(X), whole.predict_proba(X), rtol=1e-10
    )
    assert warm.n_iter_ == 3
    assert len(warm.history_) == len(warm.loss_curve_) == 5


def test_a_warm_one_cycle_has_a_new_cycle(digits):
    model = SoftmaxRegression(
        learning_rate="one_cycle", max_iter=4, warm_start=True, random_state=0
    )
    model.fit(*digits).fit(*digits)
    rates = model.history_["learning_rate"].to_numpy()
    np.testing.assert_allclose(rates[:4], rates[4:])


def test_partial_fit_takes_rows_as_they_come(digits):
    X, y = digits
    model = SoftmaxRegression(0.1, random_state=0)
    for _ in range(10):
        for rows in np.array_split(np.arange(1200), 7):
            model.partial_fit(X[rows], y[rows], classes=range(10))
    assert model.score(X[1200:], y[1200:]) > 0.88


def test_warm_start_needs_the_same_problem(iris):
    X, y = iris
    model = MLPClassifierTorch(5, max_iter=2, tol=None, warm_start=True).fit(X, y)
    with pytest.raises(
        ValueError, match=r"Previously got \[0 1 2\], `y` has \[1 2 3\]"
    ):
        model.fit(X, y + 1)
    with pytest.raises(ValueError, match="4 features as input"):
        model.fit(X[:, :2], y)
    model.set_params(hidden_layer_sizes=6)
    with pytest.raises(
        ValueError, match=r"shapes \[\(5, 4\), \(3, 5\)\], but its parameters"
    ):
        model.fit(X, y)


@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning"
)  # soon over
@pytest.mark.parametrize("harder", [{"augment": "affine"}, {"dropout": 0.8}])
def test_the_best_loss_is_that_of_the_same_task(harder, digits):
    """Against one that is out of reach now, training would stop after 4 epochs."""
    model = MLPClassifierTorch(32, max_iter=15, random_state=0, n_iter_no_change=3)
    model.set_params(warm_start=True, learning_rate_init=0.01)
    before = model.fit(*digits).best_loss_
    model.set_params(**harder).fit(*digits)
    assert model.n_iter_ > 8
    assert min(model.loss_curve_[15:]) > before


def test_without_warm_start_fit_begins_anew(iris):
    X, y = iris
    model = SoftmaxRegression(max_iter=3, tol=None, random_state=0)
    first = model.fit(X, y).coef_
    np.testing.assert_array_equal(model.fit(X, y).coef_, first)
    assert model.fit(X[:, :2], y[::-1]).coef_.shape == (3, 2)


def test_history(digits):
    model = SoftmaxRegression(
        0.1, learning_rate="one_cycle", max_iter=6, early_stopping=True, random_state=0
    ).fit(*digits)
    history = model.history_
    assert isinstance(history, pd.DataFrame)
    columns = "epoch learning_rate train_loss validation_loss validation_score seconds"
    assert history.columns.tolist() == columns.split()
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert history["seconds"].is_monotonic_increasing
    assert history["learning_rate"].argmax() == 1  # the summit is at 30 %
    assert history["train_loss"].tolist() == model.loss_curve_
    assert history["validation_score"].tolist() == model.validation_scores_
    assert history["validation_loss"].between(0.01, 2.5).all()
    without = SoftmaxRegression(max_iter=2, tol=None).fit(*digits).history_
    assert without[["validation_loss", "validation_score"]].isna().all(axis=None)


def test_early_stopping_validates_on_rows_that_were_set_aside(digits):
    """Rows with random labels cannot be predicted unless they were learnt from."""
    X, _ = digits
    y = np.random.default_rng(0).integers(2, size=len(X))
    model = MLPClassifierTorch(
        300, early_stopping=True, validation_fraction=0.3, max_iter=120, tol=None,
        learning_rate_init=0.01, random_state=0,
    ).fit(X, y)  # fmt: skip
    assert max(model.validation_scores_) < 0.62
    assert model.loss_curve_[-1] < 0.5


@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
@pytest.mark.parametrize(
    ("Model", "settings"),
    [
        (SoftmaxRegression, {"alpha": 0.1}),
        (
            MLPClassifierTorch,
            {"alpha": 1.0, "hidden_layer_sizes": 5, "activation": "tanh"},
        ),
    ],
)
def test_weights_are_repetitions(Model, settings, solver, iris, rng):
    X, y = iris
    weight = rng.integers(0, 4, len(X))
    if solver == "lbfgs":
        settings = settings | {"tol": 1e-8, "max_iter": 5000}
    else:
        settings = settings | {"tol": None, "max_iter": 50, "batch_size": "auto"}
        X, y, weight = X[:60], y[:60], weight[:60]  # one batch, repeated or not
    model = Model(solver=solver, random_state=0, **settings)
    found = clone(model).fit(X, y, weight).predict_proba(X)
    repeated = clone(model).fit(X.repeat(weight, axis=0), y.repeat(weight))
    np.testing.assert_allclose(found, repeated.predict_proba(X), rtol=1e-6, atol=1e-9)
    assert np.abs(clone(model).fit(X, y).predict_proba(X) - found).max() > 1e-4


def test_minibatches_by_weight_are_repetitions_on_the_average(digits):
    """Over many seeds, a weight of 3 has the effect of three repetitions."""
    X, y = (array[:240] for array in digits)
    weight = np.where(y < 5, 3, 1)
    rows = np.repeat(np.arange(len(X)), weight)
    settings = {"batch_size": 32, "max_iter": 20, "tol": None}
    scores = {"weighted": [], "repeated": [], "plain": []}
    for seed in range(20):
        model = SoftmaxRegression(0.02, random_state=seed, **settings)
        shares = {
            # As many steps for both: the weighted rows are seen twice as often.
            "weighted": model.set_params(max_iter=40)
            .fit(X, y, weight)
            .predict_proba(X),
            "plain": model.fit(X, y).predict_proba(X),
            "repeated": model.set_params(max_iter=20)
            .fit(X[rows], y[rows])
            .predict_proba(X),
        }
        for name, proba in shares.items():
            scores[name].append(proba[:, :5].sum(1).mean())
    means = {name: np.mean(values) for name, values in scores.items()}
    error = np.std(scores["weighted"]) / np.sqrt(20) + np.std(
        scores["repeated"]
    ) / np.sqrt(20)
    assert abs(means["weighted"] - means["repeated"]) < max(4 * error, 2e-3)
    assert abs(means["plain"] - means["repeated"]) > 5e-3


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"solver": "lbfgs", "tol": 1e-2}, {"solver": "adam"}),
        ({"solver": "adam"}, {"solver": "sgd"}),
        ({"solver": "sgd"}, {"solver": "lbfgs"}),
        ({"solver": "adam"}, {"solver": "adam", "early_stopping": True}),
        (
            {"solver": "sgd", "early_stopping": True},
            {"solver": "sgd", "early_stopping": False},
        ),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_warm_start_with_other_settings_goes_on_from_the_parameters(
    before, after, digits
):
    """The next solver starts where one ended; a cold one would start at log 10."""
    X, y = digits
    model = SoftmaxRegression(0.05, max_iter=30, warm_start=True, random_state=0)
    first = model.set_params(**before).fit(X, y).loss_
    model.set_params(**after, learning_rate_init=1e-4, max_iter=3).fit(X, y)
    assert model.n_iter_ == 3
    assert model.loss_ < 1.2 * first < 1.0


def test_warnings_as_errors_leave_every_model_of_a_run_fitted(digits, fit_together):
    models = [SoftmaxRegression(rate, max_iter=2) for rate in (0.1, 0.01)]
    with pytest.raises(ConvergenceWarning, match="Maximum iterations"):
        fit_together(models, *digits)
    assert all(model.score(*digits) > 0.5 for model in models)
    assert all(model.n_features_in_ == 64 for model in models)


def test_partial_fit_warns_of_divergence(digits):
    model = SoftmaxRegression(1e300).partial_fit
    with pytest.warns(ConvergenceWarning, match="diverged"):
        model(*digits, classes=range(10))


def test_a_model_that_stopped_early_in_a_run_goes_on_as_if_alone(digits, fit_together):
    """Also the generator of row orders is as the model itself left it."""
    X, y = digits
    settings = {
        "warm_start": True,
        "random_state": 0,
        "n_iter_no_change": 2,
        "tol": 0.05,
    }
    rates = [1e-5, 0.01]
    together = [SoftmaxRegression(rate, max_iter=20, **settings) for rate in rates]
    fit_together(together, X, y)
    assert together[0].n_iter_ < together[1].n_iter_
    for rate, model in zip(rates, together, strict=True):
        alone = SoftmaxRegression(rate, max_iter=20, **settings).fit(X, y)
        for one in (alone, model):
            one.set_params(max_iter=2, tol=None).fit(X, y)
        np.testing.assert_allclose(model.coef_, alone.coef_, rtol=1e-8, atol=1e-12)


def test_rows_to_validate_on_stay_the_same_as_training_goes_on(digits):
    """With random labels, learning from them would be seen."""
    X, y = digits[0], np.random.default_rng(0).integers(2, size=len(digits[1]))
    model = MLPClassifierTorch(
        200, early_stopping=True, validation_fraction=0.3, max_iter=30, tol=None,
        learning_rate_init=0.01, warm_start=True, random_state=0,
    )  # fmt: skip
    for _ in range(4):
        model.fit(X, y)
    assert model.loss_ < 0.5
    assert max(model.validation_scores_) < 0.6


def test_the_row_of_a_diverged_epoch_gives_way_to_the_next(digits):
    X, y = digits
    model = SoftmaxRegression(0.1, random_state=0, batch_size=100)
    untroubled = clone(model)
    for _ in range(3):
        model.partial_fit(X, y, classes=range(10))
        untroubled.partial_fit(X, y, classes=range(10))
    with pytest.warns(ConvergenceWarning, match="in epoch 4"):
        model.set_params(learning_rate_init=1e300).partial_fit(X, y)
    assert model.history_["epoch"].tolist() == [1, 2, 3, 4]
    assert not np.isfinite(model.loss_)
    model.set_params(learning_rate_init=0.1).partial_fit(X, y)
    untroubled.partial_fit(X, y)
    assert model.history_["epoch"].tolist() == [1, 2, 3, 4]
    # As if it had never happened, to the order of the rows.
    np.testing.assert_array_equal(model.coef_, untroubled.coef_)
    assert model.loss_curve_ == untroubled.loss_curve_


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_the_users_own_random_state_is_not_kept(solver, digits):
    state = np.random.RandomState(0)
    model = SoftmaxRegression(solver=solver, max_iter=2, tol=None, random_state=state)
    model.fit(*digits)
    kept = copy.deepcopy(model._checkpoint)
    state.random_sample(1000)
    np.testing.assert_equal(model._checkpoint, kept)


def test_a_checkpoint_mapped_model_goes_on(digits, tmp_path):
    X, y = digits
    model = MLPClassifierTorch(9, max_iter=2, tol=None, random_state=0).fit(X, y)
    joblib.dump(model, tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    np.testing.assert_array_equal(
        mapped.partial_fit(X, y).coefs_[0], model.partial_fit(X, y).coefs_[0]
    )


def test_bookkeeping_goes_on_to_the_last_bit(digits):
    model = SoftmaxRegression(
        0.1, early_stopping=True, max_iter=5, tol=None, warm_start=True, random_state=0
    ).fit(*digits)
    best, coef = model.best_validation_score_, model.coef_.copy()
    assert float(np.float32(best)) != best
    # At a rate that changes nothing, equal scores are no improvement.
    model.set_params(learning_rate_init=1e-12).fit(*digits)
    assert model.best_validation_score_ == best
    np.testing.assert_array_equal(model.coef_, coef)


def test_a_warm_start_under_another_loss_has_a_best_loss_of_its_own(digits):
    model = SoftmaxRegression(
        0.01, loss="softmax_mse", max_iter=20, tol=None, warm_start=True, random_state=0
    ).fit(*digits)
    model.set_params(loss="cross_entropy", max_iter=30, tol=1e-4)
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
        model.fit(*digits)
    assert model.n_iter_ == 30


def test_a_warm_start_with_early_stopping_learns_other_labels(digits):
    X, y = digits
    model = SoftmaxRegression(
        0.1, early_stopping=True, max_iter=30, tol=None, warm_start=True, random_state=0
    )
    assert model.fit(X, y).score(X, y) > 0.9
    assert model.fit(X, 9 - y).score(X, 9 - y) > 0.8


@pytest.mark.parametrize("fails", [False, True])
def test_scipys_threads_rest_while_lbfgs_runs(fails, iris, monkeypatch):
    seen, objective = [], lbfgs.objective_and_gradients

    def blas_threads():
        return {
            library["num_threads"]
            for library in threadpool_info()
            if library["prefix"] == "libscipy_openblas"
        }

    def spy(*arguments):
        seen.append(blas_threads())
        return {}["lost"] if fails else objective(*arguments)

    monkeypatch.setattr(lbfgs, "objective_and_gradients", spy)
    with threadpool_limits(limits=2, user_api="blas"):
        with pytest.raises(KeyError, match="lost") if fails else nullcontext():
            SoftmaxRegression(solver="lbfgs", max_iter=5, tol=None).fit(*iris)
        assert seen == [{1}] * (1 if fails else 6)
        assert blas_threads() == {2}


def test_fits_in_threads_leave_the_threads_of_scipy_alone(iris):
    def fit(max_iter):
        SoftmaxRegression(solver="lbfgs", max_iter=max_iter, tol=None).fit(*iris)

    with threadpool_limits(limits=2, user_api="blas"):
        before = threadpool_info()
        joblib.Parallel(2, backend="threading")(
            joblib.delayed(fit)(n) for n in (5, 60, 10)
        )
        assert threadpool_info() == before


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_numbers_of_numpy_are_numbers(solver, iris):
    """As a grid of np.array([32, 64]) has them."""
    kinds = {int: np.int64, float: np.float64}
    plain = MLPClassifierTorch(
        5, solver=solver, max_iter=3, batch_size=64, dropout=0.1, random_state=0
    )
    params = plain.get_params()
    numpys = {name: kinds.get(type(v), lambda v: v)(v) for name, v in params.items()}
    assert type(numpys["batch_size"]) is np.int64
    found = MLPClassifierTorch(**numpys).fit(*iris).predict_proba(iris[0])
    np.testing.assert_array_equal(found, plain.fit(*iris).predict_proba(iris[0]))
