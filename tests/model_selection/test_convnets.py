"""Searches that train ConvNets at once, as on a GPU, against GridSearchCV."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV, KFold

from skdigits import ConvNetClassifier
from skdigits.engine import convnet
from skdigits.engine.convnet import ConvNetwork
from skdigits.model_selection import (
    BatchedGridSearchCV,
    BatchedHalvingGridSearchCV,
    learning_rate_sweep,
)

SHORT = {"channels": (3, 5), "max_iter": 2, "batch_size": 40, "random_state": 0}
RATES = {"learning_rate_init": [0.003, 0.05]}
SEARCHES = {
    "rates": (SHORT, {**RATES, "dropout": [0.0, 0.4], "alpha": [0.0, 0.1]}),
    "seeds": (SHORT | {"dropout": 0.2}, RATES | {"random_state": [0, 1, 2]}),
    "smoothing": (SHORT | {"label_smoothing": 0.1, "solver": "sgd"}, RATES),
    "another loss": (SHORT | {"loss": "sigmoid_mse", "activation": "tanh"}, RATES),
    "shape": (SHORT | {"image_shape": (4, 4, 4), "channels": (4, 4)}, RATES),
    "distorted": (SHORT | {"augment": "shift"}, RATES | {"random_state": [0, 1]}),
    "lbfgs": (SHORT | {"solver": "lbfgs"}, {"alpha": [0.01, 1.0]}),
    "early": (
        SHORT
        | {"early_stopping": True, "validation_fraction": 0.3, "max_iter": 9}
        | {"n_iter_no_change": 1, "tol": 0.01, "learning_rate": "constant"},
        {"learning_rate_init": [0.0001, 0.003, 0.05, 0.3]},
    ),
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Group the models of a run, in chunks of several batches and parts of them."""
    monkeypatch.setattr(convnet, "grouped", lambda device: True)
    monkeypatch.setattr(convnet, "CPU_IMAGES", 16)


@pytest.fixture
def n_at_once(monkeypatch):
    """Numbers of models of which gradients were computed."""
    found = []
    plain = ConvNetwork.gradients

    def noted(self, params, *args):
        found.append(len(params[0]))
        return plain(self, params, *args)

    monkeypatch.setattr(ConvNetwork, "gradients", noted)
    return found


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("settings", "grid"), SEARCHES.values(), ids=SEARCHES)
def test_search(settings, grid, few, assert_same_search, n_at_once):
    model = ConvNetClassifier(**settings)
    search = assert_same_search(
        model, grid, *few, refit=False, batched=True, by_epoch=True
    )
    scores = search.cv_results_["mean_test_score"]
    assert len(set(scores)) == len(scores)
    together = 1 if model.solver == "lbfgs" else 3 * len(scores)
    assert max(n_at_once) == together


def test_folds_of_different_sizes_with_weights(few, assert_same_search):
    weight = np.random.default_rng(0).uniform(0.1, 2, 240)
    assert_same_search(
        ConvNetClassifier(**SHORT),
        RATES,
        *few,
        fit_params={"sample_weight": weight},
        cv=KFold(7),
        return_train_score=True,
    )


def test_two_classes(few, assert_same_search):
    assert_same_search(ConvNetClassifier(**SHORT), RATES, few[0], few[1] % 2)


def test_memory_bounds_the_number_of_models(few, n_at_once):
    X, y = few
    network = ConvNetwork((8, 8, 1), (3, 5), 10, "cross_entropy")
    each = network.bytes_per_model(torch.device("cpu"), 2, 40, 160, 80)
    grid = {"learning_rate_init": [0.001, 0.003, 0.01, 0.03]}
    scores = []
    for n_models in (12, 5):
        search = BatchedGridSearchCV(
            ConvNetClassifier(**SHORT),
            grid,
            cv=3,
            refit=False,
            working_memory=1.2 * n_models * each / 2**20,
        )
        n_at_once.clear()
        scores.append(search.fit(X, y).cv_results_["mean_test_score"])
        assert 1 < max(n_at_once) <= n_models
    assert search.batched_.all()
    np.testing.assert_allclose(*scores, rtol=1e-10)


def test_models_that_diverge_leave_the_others(few, assert_same_search):
    grid = {"learning_rate_init": [0.003, 1e30, 0.05]}
    model = ConvNetClassifier(**SHORT | {"solver": "sgd", "max_iter": 3})
    with pytest.warns(match="diverged"):
        search = assert_same_search(model, grid, *few, refit=False)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] != scores[1] != scores[2]


def test_halving_continues_them(few):
    grid = {"learning_rate_init": [0.0001, 0.003, 0.05, 0.2]}
    model = ConvNetClassifier(**SHORT, learning_rate="constant")
    options = {"resource": "max_iter", "max_resources": 4, "min_resources": 1}
    search = BatchedHalvingGridSearchCV(
        model, grid, cv=3, factor=2, scoring="neg_log_loss", refit=False, **options
    ).fit(*few)
    assert search.batched_.all()
    for params, n_iter, score in zip(
        search.cv_results_["params"],
        search.cv_results_["n_resources"],
        search.cv_results_["mean_test_score"],
        strict=True,
    ):
        own = {name: [value] for name, value in params.items()}
        oracle = GridSearchCV(
            model.set_params(max_iter=n_iter),
            own,
            cv=3,
            scoring="neg_log_loss",
            refit=False,
        ).fit(*few)
        assert score == pytest.approx(oracle.cv_results_["mean_test_score"][0])


def test_a_sweep(few, n_at_once):
    learning_rate_sweep(ConvNetClassifier(**SHORT), *few, rates=[0.001, 0.01, 0.1])
    assert set(n_at_once) == {3}
