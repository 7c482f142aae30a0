"""Which candidates may train together."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits.augmentation import RandomAffine, RandomElastic, RandomShift
from skdigits.model_selection._grouping import (
    _alike,
    group_candidates,
    split_pipeline,
)
from skdigits.training.settings import BATCHABLE

PIPELINE = Pipeline([("scale", StandardScaler()), ("model", MLPClassifierTorch())])


def numbers(estimator, settings):
    """Numbers of the candidates, row by row, group by group, prefix by prefix."""
    prefixes = group_candidates(estimator, list(settings))
    return [
        [[[c.number for c in row] for row in g.seeds] for g in groups]
        for groups in prefixes
    ]


@pytest.mark.parametrize("name", BATCHABLE)
def test_batchable_parameters_share_a_row(name):
    assert numbers(MLPClassifierTorch(), [{name: 0.1}, {name: 0.2}, {}]) == [
        [[[0, 1, 2]]]
    ]


@pytest.mark.parametrize(
    "grid",
    [
        {"hidden_layer_sizes": [(5,), (6,), (5, 5)]},
        {"activation": ["relu", "tanh", "logistic"]},
        {"batch_size": [10, 20, "auto"]},
        {"solver": ["sgd", "adam", "lbfgs"]},
        {"loss": ["cross_entropy", "softmax_mse", "sigmoid_mse"]},
        {"learning_rate": ["constant", "adaptive", "one_cycle"]},
        {"max_iter": [1, 2, 3]},
        {"tol": [None, 0.1, 0.2]},
    ],
    ids=lambda grid: next(iter(grid)),
)
def test_all_others_have_groups_of_their_own(grid):
    found = numbers(MLPClassifierTorch(), ParameterGrid(grid))
    assert found == [[[[0]], [[1]], [[2]]]]


@pytest.mark.parametrize("name", BATCHABLE)
def test_convolutional_networks_share_rows_too(name):
    assert numbers(ConvNetClassifier(), [{name: 0.1}, {name: 0.2}, {}]) == [
        [[[0, 1, 2]]]
    ]


@pytest.mark.parametrize(
    "grid",
    [
        {"channels": [(2,), (3,), (2, 3)]},
        {"precision": ["auto", "float32", "bfloat16"]},
        {"image_shape": [(2, 8), (4, 4), (8, 2)]},
        {"augment": [None, "shift", "affine"]},
        {"augment": [RandomElastic(), RandomElastic(30), RandomAffine()]},
        {"augment": [RandomShift()], "augment__max_shift": [1, 2, 3]},
    ],
    ids=str,
)
def test_other_images_have_groups_of_their_own(grid):
    assert numbers(ConvNetClassifier(), ParameterGrid(grid)) == [[[[0]], [[1]], [[2]]]]


def test_equal_distortions_are_the_same():
    settings = [{"augment": RandomElastic(20)}, {"augment": RandomElastic(alpha=20)}]
    for model in (SoftmaxRegression(), MLPClassifierTorch(), ConvNetClassifier()):
        assert numbers(model, settings) == [[[[0, 1]]]]


def test_seeds_are_rows():
    grid = ParameterGrid({"alpha": [0.1, 0.2, 0.3], "random_state": [0, 1]})
    assert numbers(SoftmaxRegression(), grid) == [[[[0, 2, 4], [1, 3, 5]]]]


def test_rows_of_a_group_are_of_one_length():
    settings = [
        {"random_state": s, "alpha": a} for s, a in [(0, 1), (0, 2), (1, 1), (2, 1)]
    ]
    assert numbers(SoftmaxRegression(), settings) == [[[[0, 1]], [[2], [3]]]]


def test_equal_values_are_the_same_however_written():
    settings = [
        {"hidden_layer_sizes": value} for value in ((5, 6), [5, 6], np.array([5, 6]))
    ]
    assert numbers(MLPClassifierTorch(), settings) == [[[[0, 1, 2]]]]


def test_what_we_cannot_batch_is_in_no_group():
    assert numbers(LogisticRegression(), [{"C": 1.0}, {"C": 2.0}]) == []


def test_subclasses_are_batched_like_ours():
    class Own(SoftmaxRegression):
        pass

    settings = [{"alpha": 0.1}, {"alpha": 0.2}]
    assert numbers(Own(), settings) == [[[[0, 1]]]]


@pytest.mark.parametrize("method", ["fit", "predict", "predict_proba", "score"])
def test_subclasses_that_fit_or_predict_otherwise_are_in_no_group(method):
    """A batched run would train and score without their own method."""
    Own = type("Own", (SoftmaxRegression,), {method: lambda self, *args: None})
    assert numbers(Own(), [{"alpha": 0.1}]) == []


@pytest.mark.parametrize(
    "wrong",
    [{"alpha": -1}, {"alpha": "big"}, {"no_such_parameter": 1}, {"loss": "hinge"}],
)
def test_what_is_wrong_is_in_no_group(wrong):
    found = numbers(SoftmaxRegression(), [{"alpha": 1.0}, wrong, {"alpha": 2.0}])
    assert found == [[[[0, 2]]]]


def test_settings_of_the_steps_are_prefixes():
    settings = [
        {"scale__with_mean": True, "model__alpha": 0.1},
        {"scale__with_mean": False, "model__alpha": 0.1},
        {"scale__with_mean": True, "model__alpha": 0.2},
        {"scale__with_mean": True, "model__hidden_layer_sizes": 5},
        {"scale": MinMaxScaler()},
        {"scale": MinMaxScaler(), "model__alpha": 0.2},
        {"scale": "passthrough"},
    ]
    found = numbers(PIPELINE, settings)
    assert found == [[[[0, 2]], [[3]]], [[[1]]], [[[4, 5]]], [[[6]]]]


def test_candidates_know_their_steps_and_model():
    setting = {"scale__with_mean": False, "model__alpha": 0.5}
    group = group_candidates(PIPELINE, [setting])[0][0]
    candidate = group.seeds[0][0]
    assert candidate.name == "model"
    assert candidate.data_settings == {
        "class_weight": None,
        "pixels": "auto",
        "shaped": False,
        "scale__with_mean": False,
    }
    assert candidate.model.alpha == 0.5
    assert candidate.prefix.named_steps["scale"].with_mean is False
    assert PIPELINE.named_steps["model"].alpha == 0.0001


def test_models_of_two_classes_are_apart():
    settings = [{"model": SoftmaxRegression()}, {"model": MLPClassifierTorch()}]
    assert numbers(PIPELINE, settings) == [[[[0]], [[1]]]]


def test_a_pipeline_that_transforms_metadata_is_in_no_group():
    pipeline = Pipeline(PIPELINE.steps, transform_input=["X_valid"])
    assert numbers(pipeline, [{"model__alpha": 0.1}]) == []


def test_seeds_of_a_group():
    grid = ParameterGrid({"alpha": [0.1, 0.2, 0.3], "random_state": [0, 1]})
    ((group,),) = group_candidates(SoftmaxRegression(), list(grid))
    assert group.seeds[0][0].prefix is None
    alphas = [[one.model.alpha for one in candidates] for candidates in group.seeds]
    assert alphas == [[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]]
    seeds = [[one.model.random_state for one in some] for some in group.seeds]
    assert seeds == [[0, 0, 0], [1, 1, 1]]


def test_split_pipeline():
    alone = SoftmaxRegression()
    assert split_pipeline(alone) == (None, alone)
    assert split_pipeline(Pipeline([("model", alone)])) == (None, alone)
    prefix, model = split_pipeline(PIPELINE)
    assert [name for name, _ in prefix.steps] == ["scale"]
    assert model is PIPELINE.steps[-1][1]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ({"a": [1, 2], "b": None}, {"b": None, "a": (1, 2)}, True),
        ({"a": 1}, {"b": 1}, False),
        ({"a": 1}, {"a": 1, "b": 1}, False),
        ({"a": 1}, {"a": 2}, False),
        ({"a": StandardScaler()}, {"a": StandardScaler()}, True),
        ({"a": StandardScaler()}, {"a": StandardScaler(with_mean=False)}, False),
    ],
)
def test_candidates_with_the_same_settings_are_alike(one, other, alike):
    candidates = [SimpleNamespace(settings=one), SimpleNamespace(settings=other)]
    assert len(_alike(candidates, "settings")) == (1 if alike else 2)
