"""scikit-learn's own checks, for every pair of solver, loss and schedule."""

import os
from itertools import combinations, product

import pytest
from sklearn.utils import get_tags

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.engine.losses import LOSSES
from skdigits.engine.schedules import SCHEDULES

# With these settings, each solver reaches the accuracy that the checks demand on a few
# hundred samples, on which the schedule invscaling has to fall slowly. The checks of
# class weights have features of 20 and more, which need a small learning rate in a
# linear model.
EPOCHS = 20
SETTINGS = {
    "sgd": {"learning_rate_init": 0.3, "max_iter": EPOCHS, "power_t": 0.2},
    "adam": {"learning_rate_init": 0.03, "max_iter": EPOCHS, "power_t": 0.2},
    "adamw": {"learning_rate_init": 0.03, "max_iter": EPOCHS, "power_t": 0.2},
}
LINEAR = SETTINGS | {
    "sgd": {"learning_rate_init": 0.01, "max_iter": EPOCHS, "power_t": 0.001}
}


def gradient_trained():
    """Yield every pair of loss, solver and schedule, and every loss with L-BFGS."""
    for Model, settings in (
        (SoftmaxRegression, LINEAR),
        (MLPClassifierTorch, SETTINGS),
    ):
        yield from (Model(loss=loss, solver="lbfgs", max_iter=50) for loss in LOSSES)
        pairs = product(enumerate(settings.items()), enumerate(SCHEDULES))
        for (i, (solver, own)), (j, schedule) in pairs:
            loss = list(LOSSES)[(i + j) % len(LOSSES)]
            yield Model(loss=loss, solver=solver, learning_rate=schedule, **own)


ESTIMATORS = [
    *(
        TemplateMatchingClassifier(metric, n_templates=n)
        for metric, n in product(("mse", "mae", "cosine"), (1, 3))
    ),
    SoftmaxRegression(),
    MLPClassifierTorch(),
    MLPClassifierTorch(
        (5, 4),
        activation="tanh",
        label_smoothing=0.05,
        learning_rate_init=0.02,
        max_iter=EPOCHS,
    ),
    *gradient_trained(),
    ConvNetClassifier(),
]

EXPECTED = (
    "ConvergenceWarning|SkipTestWarning|descent needs it near 1|not make a square image"
    "|y has one class only"
)


SPARSE = {
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_sample_weight_equivalence_on_sparse_data",
}


def test_every_pair_of_settings_is_checked():
    for Model in (SoftmaxRegression, MLPClassifierTorch):
        models = [e for e in ESTIMATORS if type(e) is Model and e.max_iter == EPOCHS]
        parts = [("loss", LOSSES), ("solver", SETTINGS), ("learning_rate", SCHEDULES)]
        for (one, values), (other, others) in combinations(parts, 2):
            found = {(getattr(e, one), getattr(e, other)) for e in models}
            assert found >= set(product(values, others))


def test_array_api_checks_are_on():
    assert os.environ.get("SCIPY_ARRAY_API") == "1", (
        "set SCIPY_ARRAY_API=1, as make test does"
    )
    for estimator in ESTIMATORS:
        tags = get_tags(estimator)
        assert tags.array_api_support
        assert not tags._skip_test
        assert not tags.no_validation
        assert not tags.non_deterministic
        assert not tags.classifier_tags.poor_score
        assert tags.classifier_tags.multi_class


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_check_estimator(estimator, assert_checks_pass):
    """The checks raise no warnings but those of few epochs and large features."""
    names = assert_checks_pass(estimator, EXPECTED)
    assert len(names) > 75
    assert set(names) >= SPARSE
