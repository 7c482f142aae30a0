"""scikit-learn's examples and user guide of MLPClassifier, with one import changed.

Each also runs with scikit-learn's MLPClassifier, whose results are expected.
"""

import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_circles, make_classification, make_moons
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdigits import MLPClassifierTorch

EXAMPLES = Path(__file__).parent.parent / "examples"
OURS = "from skdigits import MLPClassifierTorch as MLPClassifier\n"
THEIRS = "from sklearn.neural_network import MLPClassifier\n"

# The scripts silence this warning from the module sklearn, but not from skdigits.
UNFINISHED = "ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning"

X_GUIDE = [[0.0, 0.0], [1.0, 1.0]]
LBFGS = {"solver": "lbfgs", "alpha": 1e-5, "random_state": 1}


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a script with MLPClassifierTorch and with MLPClassifier.

    For each, return the variables, with the figure, and the printed scores and losses.
    """
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda: None)

    def run_one(name, source):
        variables = {"__name__": "__main__"}
        exec(compile(source, name, "exec"), variables)
        variables["figure"] = plt.gcf()
        found = re.findall(r"(\w+) set (\w+): (.+)", capsys.readouterr().out)
        return variables, [float(value) for _, _, value in found]

    def run_both(name):
        source = (EXAMPLES / name).read_text(encoding="utf-8")
        assert source.count(OURS) == 1
        assert "sklearn.neural_network" not in source
        return [run_one(name, source.replace(OURS, line)) for line in (OURS, THEIRS)]

    yield run_both
    plt.close("all")


@pytest.mark.slow
@pytest.mark.filterwarnings(UNFINISHED)
def test_training_curves(run):
    (ours, printed), (theirs, expected) = run("plot_mlp_training_curves.py")
    assert len(printed) == len(expected) == 4 * 7 * 2
    for name, ax, expected_ax in zip(
        ("iris", "digits", "circles", "moons"),
        ours["figure"].axes, theirs["figure"].axes, strict=True,
    ):  # fmt: skip
        curves = [
            [line.get_ydata() for line in a.get_lines()] for a in (ax, expected_ax)
        ]
        assert ax.get_title() == name
        for curve, expected_curve in zip(*curves, strict=True):
            # Several batches are drawn in another order, one batch is the same.
            if name == "digits":
                assert len(curve) == len(expected_curve)
                assert curve[0] == pytest.approx(expected_curve[0], rel=1e-8)
                assert curve[-1] == pytest.approx(expected_curve[-1], rel=0.5, abs=0.02)
            else:
                np.testing.assert_allclose(curve, expected_curve, rtol=1e-6)
    digits = slice(14, 28)
    np.testing.assert_allclose(printed[digits][::2], expected[digits][::2], atol=0.02)
    del printed[digits], expected[digits]
    np.testing.assert_allclose(printed, expected, atol=2e-6)


@pytest.mark.slow
def test_alpha(run):
    (ours, _), (theirs, _) = run("plot_mlp_alpha.py")
    panels = [[ax for ax in v["figure"].axes if ax.texts] for v in (ours, theirs)]
    assert len(panels[0]) == 15
    for ax, expected in zip(*panels, strict=True):
        assert ax.get_title() == expected.get_title()
    # Both stop once the loss falls by less than a factor of 2e-9, before the minimum.
    # Rounding decides when, so one sample in forty may be classified differently, and
    # the losses of scikit-learn's own models vary: by a tenth for the smallest alpha.
    scores = [[float(ax.texts[0].get_text()) for ax in axes] for axes in panels]
    np.testing.assert_allclose(*scores, atol=0.051)
    assert np.equal(*scores).sum() >= 12
    assert max(scores[0]) >= 0.95
    for model, pipe in zip(ours["classifiers"], theirs["classifiers"], strict=True):
        losses = losses_by_rounding(pipe, theirs["X_train"], theirs["y_train"])
        margin = np.ptp(losses) + 1e-4 * max(losses)
        assert min(losses) - margin <= model[-1].loss_ <= max(losses) + margin


def losses_by_rounding(pipe, X, y, n_repeats=10):
    """Fit copies of a Pipeline to samples with errors of 1e-14; return their losses."""
    rng = np.random.default_rng(0)
    noise = 1e-14 * rng.standard_normal((n_repeats, *X.shape))
    return [clone(pipe).fit(X * (1 + one), y)[-1].loss_ for one in noise]


@pytest.mark.slow
@pytest.mark.mnist
@pytest.mark.filterwarnings(UNFINISHED)
def test_mnist_filters(run):
    (ours, printed), (theirs, expected) = run("plot_mnist_filters.py")
    np.testing.assert_allclose(printed, expected, atol=0.01)
    assert min(expected) > 0.9
    coefs, expected = (variables["mlp"].coefs_[0].T for variables in (ours, theirs))
    assert [ax.images[0].get_array().shape for ax in ours["figure"].axes] == [
        (28, 28)
    ] * 16
    for ax, coef in zip(ours["figure"].axes, coefs, strict=False):
        np.testing.assert_array_equal(ax.images[0].get_array(), coef.reshape(28, 28))
    alike = [np.corrcoef(pair)[0, 1] for pair in zip(coefs, expected, strict=True)]
    # Both start from the same weights, but draw the batches in another order.
    assert np.median(alike) > 0.8


def both(X, y, settings):
    """Both classifiers, fitted with the same settings."""
    return [
        Model(**settings).fit(X, y) for Model in (MLPClassifierTorch, MLPClassifier)
    ]


def assert_alike(ours, theirs, X, rtol=1e-6):
    """Compare all attributes and predictions that the guide shows."""
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.n_outputs_ == theirs.n_outputs_
    assert ours.out_activation_ == theirs.out_activation_
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=rtol)
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            np.testing.assert_allclose(a, b, rtol=rtol * 10, atol=rtol)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(
        ours.predict_proba(X), theirs.predict_proba(X), atol=rtol
    )


def test_the_guides_two_classes():
    ours, theirs = both(X_GUIDE, [0, 1], LBFGS | {"hidden_layer_sizes": (5, 2)})
    assert ours.predict([[2.0, 2.0], [-1.0, -2.0]]).tolist() == [1, 0]
    assert [coef.shape for coef in ours.coefs_] == [(2, 5), (5, 2), (2, 1)]
    np.testing.assert_allclose(
        ours.predict_proba([[2.0, 2.0], [1.0, 2.0]]),
        [[1.967e-4, 9.998e-1]] * 2,
        rtol=1e-3,
    )  # as printed in the guide
    assert_alike(ours, theirs, [[2.0, 2.0], [-1.0, -2.0], [1.0, 2.0]])
    as_printed = repr(theirs).replace("MLPClassifier", "MLPClassifierTorch")
    assert repr(ours).split() == as_printed.split()


@pytest.mark.parametrize("kind", [int, float])
def test_the_guides_several_labels(kind):
    y = np.array([[0, 1], [1, 1]], dtype=kind).tolist()
    ours, theirs = both(X_GUIDE, y, LBFGS | {"hidden_layer_sizes": (15,)})
    assert ours.predict([[1.0, 2.0]]).tolist() == [[1, 1]]
    assert ours.predict([[0.0, 0.0]]).tolist() == [[0, 1]]
    assert [coef.shape for coef in ours.coefs_] == [(2, 15), (15, 2)]
    assert_alike(ours, theirs, [[1.0, 2.0], [0.0, 0.0]])


@pytest.mark.filterwarnings(UNFINISHED)
def test_the_guides_warm_start():
    settings = {"hidden_layer_sizes": (15,), "random_state": 1}
    model = MLPClassifierTorch(max_iter=1, warm_start=True, **settings)
    losses = [model.fit(X_GUIDE, [0, 1]).loss_ for _ in range(10)]
    # MLPClassifier resets its moments in every fit, and skdigits continues them, as one
    # fit of ten epochs does.
    uninterrupted = MLPClassifier(max_iter=10, **settings).fit(X_GUIDE, [0, 1])
    np.testing.assert_allclose(losses, uninterrupted.loss_curve_, rtol=1e-8)
    assert losses[-1] < losses[0]


@pytest.mark.filterwarnings(UNFINISHED)
def test_the_example_in_the_docstring():
    X, y = make_classification(n_samples=100, random_state=1)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, stratify=y, random_state=1
    )
    ours, theirs = both(X_train, y_train, {"random_state": 1, "max_iter": 300})
    np.testing.assert_allclose(
        ours.predict_proba(X_test[:1]), [[0.0383, 0.961]], atol=1e-3
    )
    assert ours.predict(X_test[:5, :]).tolist() == [1, 0, 1, 0, 1]
    assert ours.score(X_test, y_test) == theirs.score(X_test, y_test) > 0.8
    assert_alike(ours, theirs, X_test)


DATA_SETS = {
    "moons": make_moons(noise=0.3, random_state=0),
    "circles": make_circles(noise=0.2, factor=0.5, random_state=1),
}


@pytest.mark.parametrize("name", DATA_SETS)
def test_the_comparison_of_classifiers(name):
    X, y = DATA_SETS[name]
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.4, random_state=42
    )
    settings = {"alpha": 1, "max_iter": 1000, "random_state": 42}
    ours, theirs = (
        make_pipeline(StandardScaler(), Model(**settings)).fit(X_train, y_train)
        for Model in (MLPClassifierTorch, MLPClassifier)
    )
    assert ours.score(X_test, y_test) == theirs.score(X_test, y_test) > 0.8
    assert_alike(ours[-1], theirs[-1], StandardScaler().fit_transform(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["lbfgs", "adam", "sgd"])
@pytest.mark.parametrize("name", DATA_SETS)
def test_two_classes_in_batches(name, solver):
    X, y = DATA_SETS[name]
    settings = {"solver": solver, "max_iter": 30, "random_state": 0, "shuffle": False}
    ours, theirs = both(
        X, y, settings | {"hidden_layer_sizes": (10, 5), "batch_size": 32}
    )
    assert_alike(ours, theirs, X)
    assert ours.loss_ < ours.loss_curve_[0]


@pytest.mark.slow
@pytest.mark.parametrize(("options", "n_samples"), [([], 1347), (["--shards"], 674)])
def test_torchrun_fit(options, n_samples):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*launcher, "--nproc-per-node=2", str(EXAMPLES / "torchrun_fit.py")]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=True, timeout=120
    )
    first, second = done.stdout.splitlines()
    assert first == f"2 ranks, {n_samples} samples on the first"
    accuracy = float(second.removeprefix("Accuracy ").partition(" ")[0])
    assert accuracy > 0.95
    assert second.endswith("after 20 epochs")


@pytest.mark.slow
def test_distributed_search():
    pytest.importorskip("distributed", reason="distributed is an extra")
    command = [sys.executable, str(EXAMPLES / "distributed_search.py")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=240
    )
    first, rate, score = done.stdout.splitlines()
    assert first == "16 rates in 5 folds on 2 workers"
    assert 0.01 < float(rate.rpartition(" ")[2]) <= 1
    assert float(score.rpartition(" ")[2]) > 0.9
