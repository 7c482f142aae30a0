"""Tensors on CUDA: refused with a cure that works, and taken under dispatch."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.model_selection import GroupKFold

from skdigits import SoftmaxRegression, TemplateMatchingClassifier
from skdigits.augmentation import RandomShift
from skdigits.inspection import (
    DigitGridDisplay,
    TemplatesDisplay,
    WeightsDisplay,
    confidences,
    confusion_pairs,
    reliability,
    top_losses,
)
from skdigits.model_selection import (
    BatchedGridSearchCV,
    BatchedHalvingGridSearchCV,
    BatchedRandomizedSearchCV,
    learning_rate_range_test,
    learning_rate_sweep,
)
from skdigits.preprocessing import Deskew, DigitNormalizer, find_digits

GRID = {"alpha": [0.0, 0.1]}
pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore:.*is deprecated")]


def softmax():
    return SoftmaxRegression(solver="sgd", max_iter=3, tol=None, random_state=0)


@pytest.fixture
def given(digits):
    """Arrays by their names, and fitted estimators."""
    X, y = (array[:120] for array in digits)
    model = softmax().fit(X, y)
    search = BatchedGridSearchCV(softmax(), GRID, cv=2, scoring="accuracy").fit(X, y)
    weight = np.ones(120)
    return {
        "X": X,
        "y": y,
        "sample_weight": weight,
        "X_val": X,
        "y_val": y,
        "sample_weight_val": weight,
        "groups": np.arange(120) % 4,
        "model": model,
        "search": search,
    }


def grouped(a):
    search = BatchedGridSearchCV(softmax(), GRID, cv=GroupKFold(2))
    return search.fit(a["X"], a["y"], groups=a["groups"])


def validated(a):
    values = (a[name] for name in ("X_val", "y_val", "sample_weight_val"))
    names = ("X_val", "y_val", "sample_weight_val")
    return softmax().fit(a["X"], a["y"], **dict(zip(names, values, strict=True)))


def samples(a):
    return a["X"], a["y"], a["sample_weight"]


ENTRANCES = {
    "fit": (lambda a: softmax().fit(*samples(a)), "X y sample_weight"),
    "partial_fit": (
        lambda a: softmax().partial_fit(
            a["X"], a["y"], range(10), sample_weight=a["sample_weight"]
        ),
        "X y sample_weight",
    ),
    "templates": (
        lambda a: TemplateMatchingClassifier().fit(*samples(a)),
        "X y sample_weight",
    ),
    "validation": (validated, "X_val y_val sample_weight_val"),
    "predict": (lambda a: a["model"].predict(a["X"]), "X"),
    "predict_proba": (lambda a: a["model"].predict_proba(a["X"]), "X"),
    "decision_function": (lambda a: a["model"].decision_function(a["X"]), "X"),
    "score": (lambda a: a["model"].score(*samples(a)), "X y sample_weight"),
    "transform": (lambda a: Deskew().transform(a["X"]), "X"),
    "normalise": (lambda a: DigitNormalizer().fit_transform(a["X"]), "X"),
    "distort": (lambda a: RandomShift().distort(a["X"]), "X"),
    "grid": (
        lambda a: BatchedGridSearchCV(softmax(), GRID, cv=2).fit(
            a["X"], a["y"], sample_weight=a["sample_weight"]
        ),
        "X y sample_weight",
    ),
    "random": (
        lambda a: BatchedRandomizedSearchCV(softmax(), GRID, n_iter=2, cv=2).fit(
            a["X"], a["y"]
        ),
        "X y",
    ),
    "halving": (
        lambda a: BatchedHalvingGridSearchCV(softmax(), GRID, cv=2).fit(a["X"], a["y"]),
        "X y",
    ),
    "groups": (grouped, "groups"),
    "search.predict": (lambda a: a["search"].predict(a["X"]), "X"),
    "search.score": (lambda a: a["search"].score(a["X"], a["y"]), "X y"),
    "range test": (
        lambda a: learning_rate_range_test(softmax(), *samples(a)[:2]),
        "X y",
    ),
    "sweep": (lambda a: learning_rate_sweep(softmax(), *samples(a)[:2]), "X y"),
    "display": (
        lambda a: DigitGridDisplay.from_estimator(a["model"], a["X"], a["y"]),
        "X",
    ),
    "confidences": (lambda a: confidences(a["model"], a["X"], a["y"]), "X"),
    "confusion_pairs": (lambda a: confusion_pairs(a["model"], a["X"], a["y"]), "X"),
    "reliability": (lambda a: reliability(a["model"], a["X"], a["y"]), "X"),
    "top_losses": (lambda a: top_losses(a["model"], a["X"], a["y"]), "X"),
}
PAIRS = [
    pytest.param(call, name, id=f"{entrance} {name}")
    for entrance, (call, names) in ENTRANCES.items()
    for name in names.split()
]


def there(array):
    return torch.from_numpy(array).to("cuda:0")


@pytest.mark.parametrize(("call", "name"), PAIRS)
def test_without_dispatch_a_tensor_is_named_with_its_cure(call, name, given, cuda):
    tensor = there(given[name])
    words = f"{name} is a tensor on cuda:0, but arrays.*pass {name}.cpu\\(\\)"
    with pytest.raises(TypeError, match=words):
        call(given | {name: tensor})
    call(given | {name: tensor.cpu()})
    plt.close("all")


@pytest.mark.parametrize("name", ["X", "y"])
def test_a_list_of_tensors_is_named_with_its_cure(name, given, cuda):
    tensors = list(there(given[name]))
    words = rf"{name} is a list of tensors on cuda:0.*pass torch.stack\(tuple\({name}"
    for dispatch in (False, True):
        with (
            config_context(array_api_dispatch=dispatch),
            pytest.raises(TypeError, match=words),
        ):
            softmax().fit(**{"X": given["X"], "y": given["y"], name: tensors})
    cured = torch.stack(tuple(tensors)).cpu()
    softmax().fit(**{"X": given["X"], "y": given["y"], name: cured})


@pytest.mark.parametrize(
    "entrance", [name for name in ENTRANCES if name not in ("groups", "sweep")]
)
def test_under_dispatch_tensors_are_taken(entrance, given, cuda):
    call, _ = ENTRANCES[entrance]
    tensors = {
        name: there(value) if isinstance(value, np.ndarray) else value
        for name, value in given.items()
    }
    with config_context(array_api_dispatch=True):
        tensors["model"] = softmax().fit(tensors["X"], tensors["y"])
        search = BatchedGridSearchCV(softmax(), GRID, cv=2, scoring="accuracy")
        tensors["search"] = search.fit(tensors["X"], tensors["y"])
        assert search.batched_.all()
        found = call(tensors)
    for attribute in ("coef_", "templates_"):
        if hasattr(found, attribute):
            assert str(getattr(found, attribute).device) == "cuda:0"
    plt.close("all")


def test_displays_read_tensors(given, cuda):
    X, y = (there(given[name]) for name in ("X", "y"))
    display = DigitGridDisplay.from_predictions(X, y, y)
    expected = given["X"][: len(display.images)].reshape(-1, 8, 8)
    np.testing.assert_array_equal(display.images, expected)
    page = np.zeros((100, 100))
    page[20:60, 30:40] = 1
    assert len(find_digits(there(page))) == 1
    with config_context(array_api_dispatch=True):
        model = softmax().fit(X, y)
        weights = WeightsDisplay.from_estimator(model).weights
        np.testing.assert_array_equal(weights.reshape(10, 64), model.coef_.cpu())
        TemplatesDisplay.from_estimator(TemplateMatchingClassifier().fit(X, y))
    plt.close("all")
