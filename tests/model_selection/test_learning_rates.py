"""The range test and the sweep of learning rates."""

import math
import pickle
import re
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, ShuffleSplit, StratifiedShuffleSplit
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from small_models import mlp, softmax

from skdigits import ConvNetClassifier, TemplateMatchingClassifier
from skdigits.model_selection import learning_rate_range_test, learning_rate_sweep
from skdigits.model_selection._range_test import find_model
from skdigits.model_selection._suggestions import lack_of_minimum, suggest

NAMES = ["steepest", "minimum_over_10", "valley"]


def by_hand(X, y, batches, rates, weight=None, momentum=0.9, alpha=0.0):
    """Losses of softmax regression from zeros, by torch's own SGD, before each step."""
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    weight = torch.ones(len(X)).double() if weight is None else torch.from_numpy(weight)
    layer = torch.nn.Linear(X.shape[1], 10, dtype=torch.float64)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    # scikit-learn's momentum has the rate within the velocity, torch's has not.
    velocity = [torch.zeros_like(parameter) for parameter in layer.parameters()]
    losses = []
    for rows, rate in zip(batches, rates, strict=False):
        each = torch.nn.functional.cross_entropy(
            layer(X[rows]), y[rows], reduction="none"
        )
        loss = (each * weight[rows]).sum() / weight[rows].sum()
        loss = loss + alpha / 2 * layer.weight.square().sum()
        layer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        with torch.no_grad():
            for parameter, v in zip(layer.parameters(), velocity, strict=True):
                v.mul_(momentum).sub_(rate * parameter.grad)
                parameter.add_(v)
    return losses


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_losses_are_those_of_a_loop_by_hand(digits, momentum):
    X, y = digits
    model = softmax(momentum=momentum, nesterovs_momentum=False, alpha=0.01)
    test = learning_rate_range_test(
        model, X, y, n_steps=40, min_rate=1e-4, random_state=3
    )
    order = np.random.RandomState(3)
    batches = np.concatenate([order.permutation(len(X)) for _ in range(2)])[:2000]
    rates = np.geomspace(1e-4, 10, 40)
    expected = by_hand(
        X, y, batches.reshape(40, 50), rates, momentum=momentum, alpha=0.01
    )
    taken = len(test.losses)
    assert taken > 30
    np.testing.assert_allclose(test.losses, expected[:taken], rtol=1e-6)
    np.testing.assert_allclose(test.learning_rates, rates[:taken])
    assert test.losses[0] == pytest.approx(
        math.log(10)
    )  # before the step, not after it


def test_adam_keeps_its_moments_from_step_to_step(digits):
    X, y = digits
    model = softmax(solver="adam", epsilon=1e-15, alpha=0.0, shuffle=False)
    test = learning_rate_range_test(model, X, y, n_steps=30, max_rate=0.1)
    layer = torch.nn.Linear(64, 10, dtype=torch.float64)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    adam, expected = torch.optim.Adam(layer.parameters(), eps=1e-15), []
    for step, rate in enumerate(np.geomspace(1e-6, 0.1, 30)):
        rows = slice(50 * step, 50 * step + 50)
        logits = layer(torch.from_numpy(X[rows]))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y[rows]))
        expected.append(loss.item())
        adam.zero_grad()
        loss.backward()
        adam.param_groups[0]["lr"] = rate
        adam.step()
    np.testing.assert_allclose(test.losses, expected, rtol=1e-8)
    assert expected[-1] < 1.5


@pytest.mark.parametrize("noise", [{"dropout": 0.3}, {"augment": "shift"}])
def test_noise_is_another_in_each_step_and_the_same_in_each_test(few, noise):
    """With a rate of nearly 0, the loss of equal samples is constant without noise."""
    still = {"n_steps": 20, "min_rate": 1e-20, "max_rate": 1e-19}
    model = mlp(batch_size=240, shuffle=False)
    without = learning_rate_range_test(model, *few, **still).losses
    assert np.ptp(without) < 1e-12
    model.set_params(**noise)
    once, again = (
        learning_rate_range_test(model, *few, **still).losses for _ in range(2)
    )
    np.testing.assert_array_equal(once, again)
    assert len(np.unique(once.round(12))) == 20


def test_weights_count_and_rows_of_no_weight_do_not(digits):
    X, y = digits
    rng = np.random.RandomState(0)
    weight = rng.randint(0, 3, len(X)).astype(float)
    spoilt, kept = X.copy(), np.flatnonzero(weight)
    spoilt[weight == 0] = 1e6
    model = softmax(momentum=0.0, alpha=0.0, shuffle=False)
    test = learning_rate_range_test(model, spoilt, y, sample_weight=weight, n_steps=20)
    batches = kept[:1000].reshape(20, 50)
    expected = by_hand(X, y, batches, np.geomspace(1e-6, 10, 20), weight, 0.0)
    np.testing.assert_allclose(test.losses, expected[: len(test.losses)], rtol=1e-6)


def test_balanced_classes_are_their_sample_weights(digits):
    X, y = digits[0][:400], np.minimum(digits[1][:400], 1)
    found = learning_rate_range_test(softmax(class_weight="balanced"), X, y, n_steps=30)
    weight = compute_sample_weight("balanced", y)
    expected = learning_rate_range_test(
        softmax(), X, y, n_steps=30, sample_weight=weight
    )
    pd.testing.assert_frame_equal(found.to_frame(), expected.to_frame())
    unbalanced = learning_rate_range_test(softmax(), X, y, n_steps=30)
    assert not np.allclose(found.losses[:20], unbalanced.losses[:20])


def test_smoothing_is_the_mean_weighted_by_age(digits):
    test = learning_rate_range_test(softmax(), *digits, n_steps=40, smoothing=0.7)
    n = len(test.losses)
    expected = [
        np.average(test.losses[: t + 1], weights=0.7 ** np.arange(t, -1, -1))
        for t in range(n)
    ]
    np.testing.assert_allclose(test.smoothed_losses, expected)
    raw = learning_rate_range_test(softmax(), *digits, n_steps=40, smoothing=0.0)
    np.testing.assert_array_equal(raw.smoothed_losses, raw.losses)


@pytest.mark.parametrize("smoothing", [0.0, 0.8])
def test_the_end_is_four_times_the_least(digits, smoothing):
    test = learning_rate_range_test(softmax(), *digits, smoothing=smoothing)
    allowed = 4 * np.minimum.accumulate(test.smoothed_losses)
    assert test.smoothed_losses[-1] > allowed[-1]
    assert (test.smoothed_losses[:-1] <= allowed[:-1]).all()
    assert test.diverged_at == test.learning_rates[-1] < 10


def test_suggestions_stay_below_where_descent_diverges(digits):
    """With a penalty of 500 ‖W‖² alone, descent would diverge beyond 2 / 1000."""
    model = softmax(alpha=1000.0, weight_init="normal", momentum=0.0)
    test = learning_rate_range_test(model, *digits, n_steps=60)
    assert test.found
    assert all(1e-6 < rate < 2 / 1000 for rate in test.suggestions.values())
    assert 2 / 1000 < test.diverged_at < 0.1


def test_suggestions_of_curves_in_closed_form():
    rates = np.geomspace(1e-6, 10, 141)
    logs = np.log10(rates)
    parabola = 1 + (logs + 2) ** 2
    assert suggest(rates, parabola)["minimum_over_10"] == pytest.approx(1e-3)
    assert suggest(rates, parabola)["steepest"] == pytest.approx(
        1e-6
    )  # where it begins
    assert suggest(rates, parabola, skip=20)["steepest"] == pytest.approx(1e-5)
    swinging = np.where(
        logs < 0, parabola, 5 + 50 * (np.arange(141) % 2)
    )  # once it has diverged
    assert suggest(rates, swinging) == suggest(rates, parabola)
    # 81 rates on the way down to 1e-2: halfway are about 40 steps of 1/20 decade
    assert suggest(rates, parabola)["valley"] == pytest.approx(1e-4, rel=0.13)
    logistic = 2 - 1 / (1 + np.exp(-3 * (logs + 3)))
    assert suggest(rates, logistic)["steepest"] == pytest.approx(1e-3, rel=0.13)


def test_the_valley_may_have_gaps():
    losses = np.array(
        [5.0, 9, 8, 5.5, 7, 6, 9, 5, 4, 9]
    )  # 9 8 7 6 5 4, ending at place 8
    rates = np.arange(1.0, 11.0)
    assert suggest(rates, losses)["valley"] == rates[8 - 6 + 2 + 1]


@pytest.mark.parametrize(
    ("losses", "broken", "why"),
    [
        (np.full(100, 2.3), False, "began at 2.3 and was never below 2.3"),
        (
            np.r_[np.full(50, 2.3), np.linspace(2.3, 10, 30)],
            True,
            "was never below 2.3",
        ),
        (np.linspace(2.3, 0.1, 100), False, "had not risen again.* Raise max_rate"),
        (np.array([2.3]), True, "diverged at the start"),
        (np.array([]), True, "diverged at the start"),
        (np.full(10, 2.3), True, "diverged at the start"),
        (
            np.r_[np.linspace(2.3, 1, 11), np.linspace(1, 5, 40)],
            True,
            "before a tenth of the steps.*Lower min_rate",
        ),
        (
            np.r_[2.3, np.full(8, 5.0), np.linspace(5, 2.2, 60), 14],
            True,
            "never below 2.2",
        ),
    ],
)
def test_no_clear_minimum(losses, broken, why):
    message = lack_of_minimum(losses, 100, broken)
    assert message.startswith("no clear minimum: ")
    assert re.search(why, message)


def test_a_clear_minimum_lacks_nothing():
    falling = np.linspace(2.3, 0.5, 80)
    assert lack_of_minimum(falling, 100, True) == ""
    assert lack_of_minimum(np.r_[falling, np.linspace(0.5, 0.6, 20)], 100, False) == ""


def test_a_loss_that_only_rises_has_no_minimum(digits):
    X, y = digits[0][:600], digits[1][:600]
    assert lack_of_minimum(np.array([2.3, 5, 14]), 20, True)
    for low, high, n_steps in ((8, 1000, 20), (2, 1e6, 100)):
        test = learning_rate_range_test(
            softmax(batch_size=64), X, y, min_rate=low, max_rate=high, n_steps=n_steps
        )
        assert not test.found
        assert "lower min_rate" in test.message
    model = mlp(hidden_layer_sizes=32, batch_size=64)
    test = learning_rate_range_test(model, X, y, min_rate=0.5, max_rate=3, n_steps=20)
    assert len(test.losses) == 2  # a tenth of the steps
    assert "lower min_rate" in test.message


@pytest.mark.parametrize("make", [softmax, mlp])
def test_labels_at_random_have_no_minimum(digits, make):
    X, y = digits
    shuffled = np.random.RandomState(0).permutation(y)
    model = make(batch_size=200)
    test = learning_rate_range_test(model, X, shuffled, n_steps=50)
    assert not test.found
    assert test.suggestions == dict.fromkeys(NAMES)
    assert "no clear minimum" in repr(test)
    assert learning_rate_range_test(model, X, y, n_steps=50).found


def test_a_range_too_low_is_told_of(digits):
    test = learning_rate_range_test(
        softmax(), *digits, min_rate=1e-3, max_rate=0.3, n_steps=30
    )
    assert "Raise max_rate" in test.message
    assert test.diverged_at is None
    assert len(test.losses) == 30


def test_divergence_is_quiet(digits):
    X, y = digits
    test = learning_rate_range_test(
        mlp(solver="sgd", activation="identity"), X * 1e150, y, max_rate=1e30
    )
    assert test.diverged_at == pytest.approx(
        test.learning_rates[len(test.losses) - 1], rel=1
    )
    assert np.isfinite(test.to_frame()).all(axis=None)
    assert not test.found


def global_states():
    return pickle.dumps((np.random.get_state(), torch.get_rng_state().tolist()))  # noqa: NPY002


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(MinMaxScaler(), softmax(random_state=np.random.RandomState(0))),
        mlp(
            early_stopping=True, learning_rate="one_cycle", dropout=0.3, solver="adamw"
        ),
        mlp(augment="shift"),
        softmax(random_state=None),
    ],
    ids=["pipeline", "mlp", "augment", "unseeded"],
)
def test_nothing_is_touched(model, few):
    X, y = few
    model = clone(model).fit(*few)
    before, rows = pickle.dumps(model), X.copy()
    states = global_states()
    X.flags.writeable = False
    first = learning_rate_range_test(model, X, y, n_steps=20)
    sweep = learning_rate_sweep(model, X, y, rates=[0.01, 0.1])
    X.flags.writeable = True
    assert pickle.dumps(model) == before
    assert global_states() == states
    np.testing.assert_array_equal(X, rows)
    assert not hasattr(sweep.search_, "best_estimator_")
    if find_model(model)[1].random_state is not None:
        again = learning_rate_range_test(model, X, y, n_steps=20)
        pd.testing.assert_frame_equal(first.to_frame(), again.to_frame())


@pytest.mark.parametrize("find", [learning_rate_range_test, learning_rate_sweep])
def test_a_random_state_that_is_passed_is_copied(few, find):
    options = {} if find is learning_rate_range_test else {"rates": [0.001, 0.1]}
    state = np.random.RandomState(5)
    before = pickle.dumps(state)
    first, again, seeded = (
        find(mlp(), *few, **options, random_state=each).to_frame()
        for each in (state, state, 5)
    )
    assert pickle.dumps(state) == before
    columns = [name for name in first if name != "fit_seconds"]
    pd.testing.assert_frame_equal(first[columns], again[columns])
    pd.testing.assert_frame_equal(first[columns], seeded[columns])


def test_a_pipeline_is_its_last_step_behind_the_others(digits):
    X, y = digits
    nested = make_pipeline(MinMaxScaler(), make_pipeline(StandardScaler(), softmax()))
    found = learning_rate_range_test(nested, X, y, n_steps=30)
    seen = StandardScaler().fit_transform(MinMaxScaler().fit_transform(X))
    expected = learning_rate_range_test(softmax(), seen, y, n_steps=30)
    pd.testing.assert_frame_equal(found.to_frame(), expected.to_frame())
    assert found.parameter == "pipeline__softmaxregression__learning_rate_init"
    nested.set_params(**{found.parameter: found.suggestions["valley"]})


def test_the_seed_is_the_estimators_unless_given(digits):
    own, same, other = (
        learning_rate_range_test(
            mlp(random_state=seed), *digits, n_steps=20, random_state=given
        )
        for seed, given in ((5, None), (1, 5), (5, 6))
    )
    pd.testing.assert_frame_equal(own.to_frame(), same.to_frame())
    assert not np.allclose(own.losses[:10], other.losses[:10])


def test_a_convolutional_network_and_pixels(few):
    X, y = few
    model = ConvNetClassifier((4,), batch_size=60, random_state=0)
    test = learning_rate_range_test(model, (X * 255).astype(np.uint8), y, n_steps=25)
    assert test.found
    assert test.losses[0] == pytest.approx(math.log(10), rel=0.3)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (
            {"min_rate": 1.0, "max_rate": 1.0},
            r"min_rate=1\.0 must be less than max_rate=1\.0",
        ),
        ({"min_rate": 0}, "min_rate must be a positive, finite number, got 0"),
        ({"max_rate": math.inf}, "max_rate must be a positive, finite number, got inf"),
        ({"n_steps": 19}, "n_steps must be an integer of 20 or more, got 19"),
        ({"n_steps": 50.0}, r"n_steps must be an integer of 20 or more, got 50\.0"),
        ({"smoothing": 1}, r"smoothing must be a number in \[0, 1\), got 1"),
        ({"random_state": "a"}, "random_state"),
        ({"sample_weight": [1.0]}, "sample_weight"),
    ],
)
def test_bad_settings(few, wrong, match):
    with pytest.raises(ValueError, match=match):
        learning_rate_range_test(softmax(), *few, **wrong)


def test_models_without_a_rate(few):
    for model in (
        TemplateMatchingClassifier(),
        MLPClassifier(),
        make_pipeline(MinMaxScaler()),
    ):
        with pytest.raises(
            TypeError, match=r"step by step, which .* cannot do: pass one"
        ):
            learning_rate_range_test(model, *few)
    with pytest.raises(
        TypeError, match=r"learning_rate_init, which TemplateMatching.* has not"
    ):
        learning_rate_sweep(TemplateMatchingClassifier(), *few)
    for find in (learning_rate_range_test, learning_rate_sweep):
        with pytest.raises(ValueError, match="solver='lbfgs' has no learning rate"):
            find(make_pipeline(MinMaxScaler(), mlp(solver="lbfgs")), *few)


def test_the_sweep_is_scikit_learns_search(digits):
    X, y = digits
    model = make_pipeline(MinMaxScaler(), softmax())
    rates = [0.1, 0.001, 1.0, 0.01]
    found = learning_rate_sweep(model, X, y, rates=rates, max_iter=2, random_state=7)
    name = "softmaxregression__learning_rate_init"
    search = GridSearchCV(
        clone(model).set_params(
            softmaxregression__max_iter=2, softmaxregression__random_state=7
        ),
        {name: sorted(rates)},
        cv=StratifiedShuffleSplit(1, test_size=0.1, random_state=7),
        refit=False,
    ).fit(X, y)
    frame = found.to_frame()
    assert frame["learning_rate"].tolist() == sorted(rates)
    np.testing.assert_allclose(
        frame["mean_test_score"], search.cv_results_["mean_test_score"]
    )
    assert frame["mean_test_score"].nunique() > 2
    assert found.best_rate == search.best_params_[name]
    assert found.search_.batched_.all()
    assert found.parameter == name
    assert (frame["fit_seconds"] > 0).all()


def test_the_sweep_takes_weights_folds_scorers_and_any_model(digits):
    X, y = digits
    weight = np.where(y < 5, 1.0, 0.1)
    model, options = make_pipeline(MinMaxScaler(), softmax(max_iter=1)), {"cv": 3}
    options["scoring"] = "neg_log_loss"
    found = learning_rate_sweep(
        model, X, y, rates=[0.01, 0.1], sample_weight=weight, **options
    ).to_frame()
    grid = {"softmaxregression__learning_rate_init": [0.01, 0.1]}
    expected = GridSearchCV(model, grid, **options, refit=False)
    expected.fit(X, y, softmaxregression__sample_weight=weight)
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_allclose(found[name], expected.cv_results_[name])
    unweighted = learning_rate_sweep(
        model, X, y, rates=[0.01, 0.1], **options
    ).to_frame()
    assert not np.allclose(
        unweighted["mean_test_score"], found["mean_test_score"], 0.01
    )
    others = learning_rate_sweep(
        MLPClassifier(8, random_state=0), X, y, rates=[1e-6, 0.03]
    )
    assert others.best_rate == 0.03


def test_the_sweep_leaves_out_what_diverges(digits):
    X, y = digits
    model = mlp(solver="sgd", activation="identity")
    sweep = learning_rate_sweep(model, X * 16, y, rates=[1e-3, 1e30, 1e-4, 1e200])
    frame = sweep.to_frame()
    assert frame["mean_test_score"].isna().tolist() == [False, False, True, True]
    assert sweep.best_rate in (1e-3, 1e-4)
    hopeless = learning_rate_sweep(model, X, y, rates=[1e200])
    assert hopeless.best_rate is None
    assert "no learning rate has a finite score" in repr(hopeless)


def test_the_sweep_tells_of_the_edge(digits):
    sweep = learning_rate_sweep(softmax(), *digits, rates=[1e-5, 1e-4, 0.1])
    assert "largest one tried" in repr(sweep)
    assert "tried" not in repr(
        learning_rate_sweep(softmax(), *digits, rates=[1e-5, 0.1, 1e5])
    )


@pytest.mark.parametrize(
    "rates", [[], [0.1, -1], [0.1, math.nan], [[0.1, 1.0]], ["a"], 5]
)
def test_bad_rates(few, rates):
    with pytest.raises(ValueError, match="rates must be positive, finite numbers"):
        learning_rate_sweep(softmax(), *few, rates=rates)


def test_bad_settings_of_the_sweep(few):
    with pytest.raises(
        ValueError, match="max_iter must be a whole number of 1 or more, got 0"
    ):
        learning_rate_sweep(softmax(), *few, max_iter=0)
    for find in (learning_rate_range_test, learning_rate_sweep):
        with pytest.raises(
            ValueError, match="The 'alpha' parameter of SoftmaxRegression"
        ):
            find(softmax(alpha=-1), *few)


@pytest.mark.parametrize("model", [softmax(), MLPClassifier(4, random_state=0)])
@pytest.mark.parametrize(
    ("scoring", "match"),
    [
        ("precision", "Target is multiclass but average='binary'"),
        (["accuracy"], r"scoring must be the name of a score.* got \['accuracy'\]"),
        ({"a": "accuracy"}, "scoring must be the name of a score"),
        (lambda *_: 1 // 0, "division"),
    ],
)
def test_what_a_scorer_raises_is_raised(few, model, scoring, match):
    with pytest.raises((ValueError, ZeroDivisionError), match=match):
        learning_rate_sweep(model, *few, rates=[0.1, 1], scoring=scoring)


def test_scores_that_are_not_finite_do_not_count(few):
    def scorer(model, X, y):
        return -model.learning_rate_init if model.learning_rate_init < 1 else math.inf

    sweep = learning_rate_sweep(softmax(), *few, rates=[0.1, 0.5, 1], scoring=scorer)
    assert sweep.best_rate == 0.1
    assert "score -0.1000" in sweep.message


def test_of_equal_scores_the_middle_rate_is_taken(few):
    def scorer(model, X, y):
        return float(0.01 <= model.learning_rate_init <= 1)

    rates = np.geomspace(1e-4, 1e3, 8)
    assert (
        learning_rate_sweep(softmax(), *few, rates=rates, scoring=scorer).best_rate
        == 0.1
    )


@pytest.mark.parametrize("model", [softmax(), make_pipeline(MinMaxScaler(), softmax())])
def test_bad_rows_of_a_sweep_are_told_of_plainly(few, model):
    X, y = few
    spoilt = X.copy()
    spoilt[3, 3] = np.nan
    lonely = np.where(np.arange(240) == 0, 77, y)
    with pytest.raises(
        ValueError, match=r"^sample_weight.shape == \(1,\), expected \(240,\)"
    ):
        learning_rate_sweep(model, X, y, sample_weight=[1.0])
    with pytest.raises(ValueError, match=r"^Input X contains NaN"):
        learning_rate_sweep(softmax(), spoilt, y)
    with pytest.raises(ValueError, match=r"^Unknown label type: continuous"):
        learning_rate_sweep(model, X, y + 0.5)
    with pytest.raises(ValueError, match=r"^Found array with dim 3"):
        learning_rate_sweep(model, X.reshape(-1, 8, 8), y)
    with pytest.raises(ValueError, match=r"^cv=None .*: 50 of 10 classes.* Pass cv"):
        learning_rate_sweep(model, X[:50], y[:50])
    with pytest.raises(
        ValueError, match=r"^cv=None .*11 classes, 1 of the rarest. Pass cv"
    ):
        learning_rate_sweep(model, X, lonely)
    cv = ShuffleSplit(1, test_size=0.2, random_state=0)
    assert (
        learning_rate_sweep(model, X, lonely, rates=[1e-6, 0.1], cv=cv).best_rate == 0.1
    )


def test_a_sweep_of_a_regressor_holds_any_rows_out(few):
    model = MLPRegressor(hidden_layer_sizes=8, random_state=0)
    sweep = learning_rate_sweep(
        model, few[0], few[1] + 0.5, rates=[1e-6, 0.01], max_iter=5
    )
    assert sweep.best_rate == 0.01


def test_a_sweep_of_labels_holds_any_rows_out(digits):
    X, y = digits
    labels = np.column_stack([y > 4, y % 2, y == 0]).astype(int)
    sweep = learning_rate_sweep(mlp(), X, labels, rates=[1e-5, 0.01])
    assert sweep.best_rate == 0.01


def test_pictures(digits):
    test = learning_rate_range_test(softmax(), *digits, n_steps=50)
    ax = Figure().subplots()
    assert test.plot(ax) is ax
    assert ax.get_xscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Learning rate", "Training loss")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), test.losses)
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), test.smoothed_losses)
    marks = [line.get_xdata()[0] for line in ax.lines[2:]]
    assert marks == [test.suggestions[name] for name in NAMES]
    assert len({line.get_marker() for line in ax.lines[2:]}) == 3
    shown = [text.get_text().split(":")[0] for text in ax.get_legend().get_texts()]
    assert shown == [
        "loss of a batch",
        "smoothed",
        "steepest",
        "minimum over 10",
        "valley",
    ]
    low = learning_rate_range_test(softmax(), *digits, max_rate=1e-3, n_steps=20)
    assert low.plot(Figure().subplots()).get_title() == "No clear minimum"

    sweep = learning_rate_sweep(
        mlp(solver="sgd"), *digits, rates=[1e-3, 0.1, 1e200], cv=2
    )
    ax = sweep.plot(Figure().subplots())
    shown = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(shown) == ["best: 0.1", "held out", "no finite score"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == (
        "Learning rate",
        "Score on held-out samples",
    )


def test_pictures_open_figures_and_need_matplotlib(few, monkeypatch):
    model = make_pipeline(MinMaxScaler(), softmax())
    found = (
        learning_rate_range_test(model, *few, n_steps=20),
        learning_rate_sweep(model, *few, rates=[1e-3, 0.1]),
    )
    for each in found:
        ax = each.plot()
        assert plt.get_fignums() == [ax.figure.number]
        plt.close(ax.figure)
        given = Figure().subplots()
        assert each.plot(ax=given) is given
        assert plt.get_fignums() == []
        assert given.has_data()
        name = "softmaxregression__learning_rate_init"
        assert given.get_xlabel() == f"Learning rate ({name})"
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    for each in found:
        with pytest.raises(ImportError, match=r"pip install matplotlib$"):
            each.plot()
