"""Warnings that can be acted on, from the line that can act; epochs as they pass."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.utils._testing import ignore_warnings

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.engine import lbfgs
from skdigits.model_selection import BatchedGridSearchCV

SMALL_CONV = partial(ConvNetClassifier, 2, tol=1e-4, learning_rate="constant")
BOTH = pytest.mark.parametrize("Model", [SoftmaxRegression, MLPClassifierTorch])
ALL = pytest.mark.parametrize(
    "Model",
    [SoftmaxRegression, MLPClassifierTorch, SMALL_CONV],
    ids=["softmax", "mlp", "conv"],
)


@ALL
def test_too_few_epochs_are_warned_of(Model, digits):
    with pytest.warns(
        ConvergenceWarning, match=r"Maximum iterations \(3\) reached.*tol=None"
    ):
        Model(max_iter=3).fit(*digits)


@ALL
def test_too_few_iterations_are_warned_of(Model, digits):
    message = (
        r"lbfgs failed to converge: Maximum iterations \(3\) .*Raise max_iter or tol"
    )
    with pytest.warns(ConvergenceWarning, match=message):
        Model(solver="lbfgs", max_iter=3).fit(*digits)


@ALL
def test_too_few_evaluations_are_warned_of(Model, digits):
    with pytest.warns(
        ConvergenceWarning, match=r"evaluations \(4\) reached. Raise max_fun"
    ):
        Model(solver="lbfgs", max_fun=4).fit(*digits)


@BOTH
def test_lbfgs_without_tol_runs_for_max_iter(Model, digits):
    assert Model(solver="lbfgs", tol=None, max_iter=12).fit(*digits).n_iter_ == 12


def test_a_loss_that_settled_far_above_guessing_is_warned_of(digits):
    with pytest.warns(ConvergenceWarning, match=r"did not learn: .* which is 10000"):
        SoftmaxRegression(1e4, random_state=0).fit(*digits)


def test_divergence_of_lbfgs_is_not_blamed_on_a_rate(digits):
    model = SoftmaxRegression(solver="lbfgs", weight_init="normal")
    with pytest.warns(
        ConvergenceWarning, match=r"left as it was before. Scale the features"
    ):
        model.fit(digits[0] * 1e307, digits[1])


@ALL
@pytest.mark.parametrize("settings", [{"tol": None}, {"learning_rate": "one_cycle"}])
def test_epochs_that_were_asked_for_are_not(Model, settings, digits):
    assert Model(max_iter=3, **settings).fit(*digits).n_iter_ == 3


@ALL
def test_divergence_is_warned_of_with_its_rate_and_epoch(Model, digits):
    X, y = digits
    model = Model(learning_rate_init=1e300, random_state=0)
    message = r"diverged: .* in epoch 1, .*Lower learning_rate_init, which is 1e\+300"
    with pytest.warns(ConvergenceWarning, match=message):
        model.fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
    assert model.n_iter_ == 1


@ALL
@pytest.mark.parametrize(("scale", "dtype"), [(255, np.float32), (-255, np.float64)])
def test_features_that_are_not_scaled_are_warned_of(Model, scale, dtype, digits):
    X, y = (digits[0] * scale).astype(dtype), digits[1]
    model = Model(max_iter=1, tol=None, learning_rate_init=1e-6)
    images = isinstance(model, ConvNetClassifier) or scale > 0
    cure = "divide them by 255" if images else "StandardScaler"
    with pytest.warns(UserWarning, match=rf"root mean square of \d+, but.*{cure}"):
        model.fit(X, y)


def test_rare_features_that_stand_out_once_standardised_are_not(digits):
    X, y = digits
    wide = StandardScaler().fit_transform(np.hstack([X, np.eye(len(X))[:, :3]]))
    assert wide.max() > 40
    assert SoftmaxRegression(max_iter=1, tol=None).fit(wide, y).n_iter_ == 1


@ALL
def test_bytes_that_are_no_pixels_are_warned_of(Model, digits):
    counts = (digits[0] * 16).astype(np.uint8)
    with pytest.warns(
        UserWarning, match="uint8, which is read as pixels .* largest value is only 16"
    ):
        Model(max_iter=1, tol=None).fit(counts, digits[1])


def test_pixels_and_lbfgs_need_no_scaling(digits):
    X, y = digits[0] * 255, digits[1]
    assert (
        SoftmaxRegression(max_iter=1, tol=None).fit(X.astype(np.uint8), y).n_iter_ == 1
    )
    assert SoftmaxRegression(solver="lbfgs", tol=10.0).fit(X, y).n_iter_ >= 1


@ALL
def test_a_batch_larger_than_the_data_is_warned_of(Model, iris):
    with pytest.warns(
        UserWarning, match="batch_size=500, but there are only 150 samples"
    ):
        Model(batch_size=500, max_iter=1, tol=None).fit(*iris)


def test_a_line_search_without_a_way_down_is_warned_of(digits, monkeypatch):
    """Asked for more digits than float32 has."""
    greedy = {"maxiter": 5000, "maxfun": 50_000, "maxls": 5, "gtol": 0.0, "ftol": 0.0}
    monkeypatch.setattr(lbfgs, "_options", lambda plan: greedy)
    with pytest.warns(
        ConvergenceWarning, match="its line search found no lower objective"
    ):
        SoftmaxRegression(solver="lbfgs").fit(digits[0].astype(np.float32), digits[1])


@pytest.mark.parametrize(
    ("settings", "scale", "dtype", "message"),
    [
        ({"max_iter": 1}, 1, float, "Maximum"),
        ({"max_iter": 1, "tol": None, "batch_size": 5000}, 1, float, "batch_size"),
        (
            {"max_iter": 1, "tol": None, "learning_rate_init": 1e-9},
            255,
            float,
            "root mean square",
        ),
        ({"max_iter": 1, "tol": None}, 16, np.uint8, "uint8"),
    ],
)
def test_warnings_point_to_the_line_that_called_fit(
    settings, scale, dtype, message, digits
):
    X, y = (digits[0] * scale).astype(dtype), digits[1]
    model = SoftmaxRegression(**settings)
    with pytest.warns(match=message) as caught:
        model.fit(X, y)
    assert [w.filename for w in caught] == [__file__]


def test_a_warning_made_an_error_leaves_a_model_that_was_not_fitted(digits):
    model = SoftmaxRegression(max_iter=1, tol=None, learning_rate_init=1e-9)
    with pytest.raises(UserWarning, match="root mean square"):
        model.fit(digits[0] * 255, digits[1])
    assert not hasattr(model, "n_features_in_")


def test_verbose_prints_what_mlpclassifier_prints(
    stratified_mlpclassifier, digits, capsys
):
    for Model in (stratified_mlpclassifier, MLPClassifierTorch):
        with pytest.warns(ConvergenceWarning):
            Model(verbose=True, max_iter=1, early_stopping=True, random_state=0).fit(
                *digits
            )
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == lines[2:]
    assert lines[0].startswith("Iteration 1, loss = ")
    assert lines[1].startswith("Validation score: 0.")


@pytest.mark.parametrize("learning_rate", ["constant", "adaptive"])
@pytest.mark.parametrize("max_iter", [5, 100])
def test_verbose_tells_what_a_lack_of_progress_leads_to(
    learning_rate, max_iter, digits, capsys
):
    """Line by line as MLPClassifier, from the start on, as rows are not shuffled."""
    settings = {
        "hidden_layer_sizes": 4, "solver": "sgd", "learning_rate": learning_rate,
        "tol": 10.0, "n_iter_no_change": 3, "max_iter": max_iter, "shuffle": False,
        "verbose": True, "random_state": 0,
    }  # fmt: skip
    printed = []
    for Model in (MLPClassifier, MLPClassifierTorch):
        with ignore_warnings(category=ConvergenceWarning):
            Model(**settings).fit(*digits)
        printed.append(capsys.readouterr().out.splitlines())
    theirs, ours = printed
    assert ours == theirs
    stalled = "Training loss did not improve more than tol=10.000000 for 3 consecutive"
    stalled += " epochs."
    what = "Setting learning rate to" if learning_rate == "adaptive" else "Stopping."
    assert any(line.startswith(f"{stalled} {what}") for line in theirs)


@pytest.mark.parametrize(("scoring", "what"), [(None, "score"), ("loss", "loss")])
def test_verbose_tells_what_did_not_improve(scoring, what, digits, capsys):
    MLPClassifierTorch(
        4,
        early_stopping=True,
        scoring=scoring,
        tol=10.0,
        n_iter_no_change=1,
        verbose=True,
    ).fit(*digits)
    stalled = (
        f"Validation {what} did not improve more than tol=10.000000 for 1 consecutive"
    )
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"{stalled} epochs. Stopping."


def test_verbose_tells_models_apart(digits, capsys):
    model = SoftmaxRegression(verbose=1, max_iter=1, tol=None)
    grid = {"learning_rate_init": [0.1, 1]}
    BatchedGridSearchCV(model, grid, cv=[(range(99), range(99))], refit=False).fit(
        *digits
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["Model 0", "Model 1"]


def test_silence_otherwise(digits, capsys):
    SoftmaxRegression(max_iter=2, tol=None).fit(*digits)
    assert capsys.readouterr() == ("", "")


@ALL
def test_training_that_ends_worse_than_guessing_is_warned_of(Model, digits):
    """It has not diverged either: the commonest cause of an accuracy of a tenth."""
    X, y = digits
    model = Model(
        learning_rate_init=1e4, solver="sgd", max_iter=3, tol=None, random_state=0
    )
    with pytest.warns(
        ConvergenceWarning, match="did not learn.*which is 10000, or scale"
    ):
        model.fit(X, y)
    assert math.log(10) < model.loss_ < math.inf


def test_a_start_worse_than_guessing_is_no_failure(digits):
    X, y = digits
    model = SoftmaxRegression(
        1e-4, weight_init="normal", max_iter=2, tol=None, random_state=0
    )
    model.fit(X, y)  # does not warn
    assert math.log(11) < model.loss_ < model.loss_curve_[0]


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score"])
@pytest.mark.parametrize(
    "model",
    [
        TemplateMatchingClassifier(),
        SoftmaxRegression(max_iter=2, tol=None, random_state=0),
    ],
    ids=["templates", "softmax"],
)
def test_pixels_on_another_scale_are_warned_of(model, method, digits):
    fractions, y = digits
    pixels = (fractions * 255).round().astype(np.uint8)
    ask = lambda X: getattr(model, method)(X, *([y] if method == "score" else []))  # noqa: E731
    model.fit(pixels, y)
    with pytest.warns(
        UserWarning, match="fitted to pixels as uint8.*has values up to 255: pass"
    ) as got:
        ask(pixels.astype(np.float32))
    assert len(got) == 1
    model.fit(fractions, y)
    with pytest.warns(
        UserWarning, match="pixels of 0 to 255, but its largest value is only 16"
    ):
        ask((fractions * 16).astype(np.uint8))
    np.testing.assert_allclose(
        model.predict_proba(pixels), model.predict_proba(pixels / 255), rtol=1e-3
    )
    model.fit(pixels, y).predict(pixels / 255)  # does not warn


def test_tensors_of_pixels_are_pixels_without_dispatch(digits):
    pixels = (digits[0] * 255).astype(np.uint8)
    model = SoftmaxRegression(max_iter=2, tol=None, random_state=0)
    expected = model.fit(pixels, digits[1]).coef_
    np.testing.assert_array_equal(
        model.fit(torch.from_numpy(pixels), digits[1]).coef_, expected
    )


def test_a_loss_that_ends_far_above_that_of_guessing_is_warned_of(rng):
    """Also where training has stopped as its loss no longer improved."""
    words = np.eye(300)[rng.integers(0, 300, 1000)]
    age = rng.integers(18, 80, 1000)
    model = SoftmaxRegression(solver="sgd", random_state=0)
    with pytest.warns(ConvergenceWarning, match="did not learn: .* scale the features"):
        model.fit(np.column_stack([words, age]), age > 50)
    assert model.n_iter_ < model.max_iter
