"""Parameters of fit reach the model, the scorer and the splitter."""

import numpy as np
import pytest
import sklearn
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from small_models import softmax

from skdigits.model_selection import BatchedGridSearchCV
from skdigits.model_selection._routing import NOT_BATCHED, model_weight

WEIGHT = np.arange(240) % 3 + 0.5
RATES = {"learning_rate_init": [0.1, 0.01]}
MODEL_RATES = {"model__learning_rate_init": [0.1, 0.01]}


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def piped(model, scale=None):
    return Pipeline([("scale", scale or StandardScaler()), ("model", model)])


@pytest.mark.parametrize(
    ("estimator", "params", "expected"),
    [
        (softmax(), {}, None),
        (softmax(), {"sample_weight": None}, None),
        (softmax(), {"sample_weight": WEIGHT}, WEIGHT),
        (softmax(), {"other": 1}, NOT_BATCHED),
        (softmax(), {"sample_weight": WEIGHT, "other": 1}, NOT_BATCHED),
        (piped(softmax()), {}, None),
        (piped(softmax()), {"model__sample_weight": WEIGHT}, WEIGHT),
        (piped(softmax()), {"model__sample_weight": None}, None),
        (piped(softmax()), {"scale__sample_weight": WEIGHT}, NOT_BATCHED),
        (piped(softmax()), {"model__other": WEIGHT}, NOT_BATCHED),
    ],
)
def test_model_weight(estimator, params, expected):
    assert model_weight(estimator, params) is expected


def test_model_weight_of_a_pipeline_has_to_be_addressed():
    """Pipeline.fit raises an error for one that is not, which is for it to do."""
    assert model_weight(piped(softmax()), {"sample_weight": WEIGHT}) is NOT_BATCHED


@pytest.mark.usefixtures("routing")
def test_model_weight_with_routing():
    model = softmax().set_fit_request(sample_weight=True)
    scale = StandardScaler().set_fit_request(sample_weight=True)
    deaf = StandardScaler().set_fit_request(sample_weight=False)
    params = {"sample_weight": WEIGHT}
    assert model_weight(model, params) is WEIGHT
    assert model_weight(piped(model, deaf), params) is WEIGHT
    assert model_weight(piped(model, scale), params) is NOT_BATCHED
    assert model_weight(piped(model, deaf), {}) is None


@pytest.mark.usefixtures("routing")
def test_model_weight_by_another_name():
    model = softmax().set_fit_request(sample_weight="trust")
    deaf = StandardScaler().set_fit_request(sample_weight=False)
    assert model_weight(piped(model, deaf), {"trust": WEIGHT}) is WEIGHT


@pytest.mark.parametrize("scoring", [None, "accuracy", "neg_log_loss"])
def test_weights_without_routing(scoring, few, assert_same_search):
    """They are given to the scorer as well."""
    params = {"sample_weight": WEIGHT}
    options = {"scoring": scoring, "return_train_score": True}
    assert_same_search(softmax(), RATES, *few, fit_params=params, **options)


def test_weights_matter(few):
    found = [
        BatchedGridSearchCV(softmax(), RATES, cv=3).fit(*few, **params).best_score_
        for params in ({}, {"sample_weight": WEIGHT})
    ]
    assert found[0] != found[1]


def test_weights_as_a_list(few, assert_same_search):
    params = {"sample_weight": WEIGHT.tolist()}
    assert_same_search(softmax(), RATES, *few, fit_params=params)


@pytest.mark.parametrize("zero", [False, True])
def test_weights_of_a_step(zero, few, assert_same_search):
    weight = np.where(np.arange(240) % 7 == 0, 0, WEIGHT) if zero else WEIGHT
    params = {"model__sample_weight": weight}
    assert_same_search(piped(softmax()), MODEL_RATES, *few, fit_params=params)


def test_weights_of_another_step(few, assert_same_search):
    params = {"scale__sample_weight": WEIGHT}
    assert_same_search(
        piped(softmax()), MODEL_RATES, *few, fit_params=params, batched=False
    )


@pytest.mark.parametrize("Search", [BatchedGridSearchCV, GridSearchCV])
def test_weights_that_a_pipeline_does_not_take(Search, few):
    search = Search(piped(softmax()), MODEL_RATES, cv=3, refit=False)
    with pytest.raises(
        ValueError, match=r"Pipeline\.fit does not accept the sample_weight"
    ):
        search.fit(*few, sample_weight=WEIGHT)


@pytest.mark.parametrize("Search", [BatchedGridSearchCV, GridSearchCV])
def test_weights_that_are_wrong(Search, few):
    with pytest.raises(
        ValueError, match=r"All the 6 fits failed(.|\n)*Negative values"
    ):
        Search(softmax(), RATES, cv=3).fit(*few, sample_weight=-WEIGHT)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize(("fit", "score"), [(True, True), (True, False), (False, True)])
def test_weights_with_routing(fit, score, few, assert_same_search):
    model = softmax().set_fit_request(sample_weight=fit)
    scorer = get_scorer("neg_log_loss").set_score_request(sample_weight=score)
    params = {"sample_weight": WEIGHT}
    assert_same_search(model, RATES, *few, fit_params=params, scoring=scorer)


@pytest.mark.usefixtures("routing")
def test_weights_with_routing_and_the_models_own_score(few, assert_same_search):
    model = softmax().set_fit_request(sample_weight=True)
    model.set_score_request(sample_weight=True)
    params = {"sample_weight": WEIGHT}
    assert_same_search(model, RATES, *few, fit_params=params, scoring=None)


@pytest.mark.usefixtures("routing")
def test_weights_by_other_names(few, assert_same_search):
    model = softmax().set_fit_request(sample_weight="trust")
    scorer = get_scorer("neg_log_loss").set_score_request(sample_weight="worth")
    params = {"trust": WEIGHT, "worth": WEIGHT[::-1]}
    assert_same_search(model, RATES, *few, fit_params=params, scoring=scorer)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("elsewhere", [False, True])
def test_weights_with_routing_in_a_pipeline(elsewhere, few, assert_same_search):
    model = softmax().set_fit_request(sample_weight=True)
    scale = StandardScaler().set_fit_request(sample_weight=elsewhere)
    scorer = get_scorer("neg_log_loss").set_score_request(sample_weight=True)
    assert_same_search(
        piped(model, scale),
        MODEL_RATES,
        *few,
        fit_params={"sample_weight": WEIGHT},
        scoring=scorer,
        batched=not elsewhere,
    )


@pytest.mark.usefixtures("routing")
def test_groups_with_routing(few, assert_same_search):
    params = {"groups": np.arange(240) % 3}
    assert_same_search(softmax(), RATES, *few, fit_params=params, cv=GroupKFold(3))


@pytest.mark.parametrize("Search", [BatchedGridSearchCV, GridSearchCV])
def test_parameters_that_fit_does_not_take(Search, few):
    with pytest.raises(
        ValueError, match=r"All the 6 fits failed(.|\n)*unexpected keyword"
    ):
        Search(softmax(), RATES, cv=3).fit(*few, colour="red")
