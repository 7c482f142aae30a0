"""Bad input: each kind is an error that names what is wrong and how to mend it."""

import pickle
import warnings
from inspect import currentframe, signature

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.augmentation import RandomShift
from skdigits.model_selection import BatchedGridSearchCV, BatchedHalvingGridSearchCV
from skdigits.preprocessing import Deskew, DigitNormalizer

BOTH = (SoftmaxRegression, MLPClassifierTorch)
ALL = (*BOTH, ConvNetClassifier)
BAD = {
    "solver": "newton",
    "loss": "hinge",
    "alpha": -1,
    "batch_size": 0,
    "learning_rate": "cosine",
    "learning_rate_init": 0,
    "power_t": -0.5,
    "max_iter": 0,
    "shuffle": "yes",
    "random_state": "seed",
    "tol": -1e-3,
    "verbose": -1,
    "warm_start": "yes",
    "momentum": 1.5,
    "nesterovs_momentum": "yes",
    "early_stopping": "yes",
    "validation_fraction": 1.0,
    "beta_1": 1.0,
    "beta_2": 1.0,
    "epsilon": 0,
    "weight_decay": -1,
    "n_iter_no_change": 0,
    "max_fun": 0,
    "label_smoothing": 1.0,
    "weight_init": "orthogonal",
    "augment": "rotate",
    "image_shape": 3,
    "device": 3,
}


@pytest.mark.parametrize("Model", ALL)
@pytest.mark.parametrize(("name", "value"), BAD.items())
def test_a_bad_parameter_is_named(Model, name, value, iris):
    message = (
        f"The '{name}' parameter of {Model.__name__} must be .* Got {value!r} instead"
    )
    with pytest.raises(ValueError, match=message):
        Model(**{name: value}).fit(*iris)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("activation", "gelu"),
        ("dropout", 1.0),
        ("hidden_layer_sizes", 0),
        ("weight_init", "zeros"),
    ],
)
def test_a_bad_parameter_of_hidden_layers_is_named(name, value, iris):
    with pytest.raises(
        ValueError, match=f"The '{name}' parameter of MLPClassifierTorch"
    ):
        MLPClassifierTorch(**{name: value}).fit(*iris)


@pytest.mark.parametrize("sizes", [(10, 0), (-3,), (2.5,), ("a",)])
def test_bad_layer_sizes_are_named(sizes, iris):
    with pytest.raises(ValueError, match="hidden_layer_sizes must be > 0, got"):
        MLPClassifierTorch(sizes).fit(*iris)


@pytest.mark.parametrize(
    ("name", "value"),
    [("metric", "l2"), ("n_templates", 0), ("temperature", 0.0), ("device", None)],
)
def test_a_bad_parameter_of_templates_is_named(name, value, iris):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of TemplateMatching"):
        TemplateMatchingClassifier(**{name: value}).fit(*iris)


def test_every_parameter_is_constrained():
    for Model in (*ALL, TemplateMatchingClassifier):
        assert set(Model().get_params()) == set(Model._parameter_constraints)


MODELS = pytest.mark.parametrize(
    "model",
    [
        TemplateMatchingClassifier(),
        SoftmaxRegression(),
        MLPClassifierTorch(),
        ConvNetClassifier(2),
    ],
    ids=lambda model: type(model).__name__,
)


@MODELS
@pytest.mark.parametrize(
    ("X", "y", "weight", "message"),
    [
        ([[1.0], [np.nan]], [0, 1], None, "Input X contains NaN"),
        ([[1.0], [np.inf]], [0, 1], None, "Input X contains infinity"),
        (np.array([[1.0], [np.nan]]), [0, 1], None, "Input X contains NaN"),
        (np.float32([[1.0], [np.inf]]), [0, 1], None, "Input X contains infinity"),
        ([[1.0], [2.0]], [0, np.nan], None, "Input y contains NaN"),
        ([[1.0], [2.0]], [0, 1, 1], None, "inconsistent numbers of samples"),
        ([1.0, 2.0], [0, 1], None, "Expected 2D array, got 1D array"),
        (np.zeros((0, 3)), [], None, "0 sample"),
        (np.zeros((3, 0)), [0, 1, 0], None, "0 feature"),
        (np.zeros((2, 2, 2)), [0, 1], None, "dim 3"),
        ([["a"], ["b"]], [0, 1], None, "could not convert string to float"),
        ([[1.0], [2.0]], [0.5, 1.7], None, "Unknown label type: continuous"),
        (
            [[1.0], [2.0]],
            [[0, 1], [2, 0]],
            None,
            "y should be a 1d array|several classes",
        ),
        (
            [[1.0], [2.0]],
            None,
            None,
            "requires y to be passed, but the target y is None",
        ),
        (
            [[1.0], [2.0]],
            [0, 1],
            [1, -1],
            "Negative values in data passed to `sample_weight`",
        ),
        (
            [[1.0], [2.0]],
            [0, 1],
            [0, 0],
            "Sample weights must contain at least one non-zero",
        ),
        ([[1.0], [2.0]], [0, 1], [1, 1, 1], "sample_weight.shape == "),
        ([[1.0], [2.0]], [0, 1], [1, np.nan], "Input sample_weight contains NaN"),
    ],
)
def test_bad_rows_are_named(model, X, y, weight, message):
    model = clone(model)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, weight)
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        model.predict([[1.0]])


def quickly(model):
    """A copy that is fitted in a moment, if it is trained at all."""
    model = clone(model)
    return model.set_params(tol=None, max_iter=2) if hasattr(model, "tol") else model


@MODELS
def test_queries_are_checked(model, iris):
    X, y = iris
    model = quickly(model).fit(X, y)
    with pytest.raises(ValueError, match=r"has 2 features, but .* is expecting 4"):
        model.predict(X[:, :2])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.predict_proba(np.full((1, 4), np.nan))
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        model.predict(X[:0])
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        model.predict(X[0])


@MODELS
def test_names_that_are_missing_are_warned_of(model, iris):
    X, y = iris
    model = quickly(model).fit(pd.DataFrame(X, columns=["a", "b", "c", "d"]), y)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(X)


@MODELS
def test_partial_fit_needs_its_classes(model, iris):
    X, y = iris
    model = clone(model)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        model.partial_fit(X, y)
    model.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(
        ValueError, match=r"classes=\[0, 1\], but the model was started with"
    ):
        model.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match=r"not among the classes: \[3\]"):
        model.partial_fit(X, y + 1)
    np.testing.assert_array_equal(model.classes_, [0, 1, 2])


@pytest.mark.parametrize("Model", ALL)
def test_partial_fit_has_its_limits(Model, iris):
    with pytest.raises(
        ValueError, match=r"early_stopping=True, .*Call fit, .*early_stopping=False"
    ):
        Model(early_stopping=True).partial_fit(*iris, classes=[0, 1, 2])
    model = Model(solver="lbfgs")
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'") as error:
        model.partial_fit(*iris)
    assert "only available for stochastic" in str(error.value.__cause__)


@pytest.mark.parametrize("Model", ALL)
def test_early_stopping_needs_rows_of_every_class(Model):
    message = (
        "sets validation_fraction=0.1 of the samples aside.*set early_stopping=False"
    )
    with pytest.raises(ValueError, match=message):
        Model(early_stopping=True).fit([[0.0], [1.0], [2.0]], [0, 0, 1])


def here(caught, line):
    """Whether all warnings point at one line of this file."""
    return {(one.filename, one.lineno) for one in caught} == {(__file__, line)}


@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: make_pipeline(m)])
def test_warnings_point_at_the_users_line(wrap, digits):
    model = wrap(MLPClassifierTorch(5, max_iter=1, batch_size=5000))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        line = currentframe().f_lineno + 1
        model.fit(*digits)
    assert [one.category for one in caught] == [UserWarning, ConvergenceWarning]
    assert here(caught, line)


def test_warnings_of_folds_point_at_the_users_line(digits):
    model = MLPClassifierTorch(5, max_iter=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        line = currentframe().f_lineno + 1
        cross_val_score(model, *digits, cv=3)
    assert len(caught) == 3
    assert here(caught, line)


def test_warnings_of_predictions_point_at_the_users_line(digits):
    X = (digits[0] * 255).astype(np.uint8)
    model = SoftmaxRegression(max_iter=1, tol=None).fit(X, digits[1])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        line = currentframe().f_lineno + 1
        model.score(X.astype(float), digits[1])
    assert "fitted to pixels as uint8" in str(caught[0].message)
    assert here(caught, line)


MEANT = [
    ("C", 1.0, "strength of the penalty is alpha"),
    ("lr", 0.1, "the learning rate is learning_rate_init"),
    ("epochs", 5, "number of epochs is max_iter"),
    ("optimizer", "sgd", "the optimiser is solver"),
    ("seed", 0, "the seed is random_state"),
    ("patience", 3, "the patience is n_iter_no_change"),
    ("eval_set", [], r"fit\(X, y, X_val=..., y_val=...\) takes a validation set"),
    ("momentun", 0.9, "perhaps momentum is meant"),
    ("kernel", "rbf", "its parameters are .*alpha, .*device"),
]


@pytest.mark.parametrize("Model", ALL)
@pytest.mark.parametrize(("name", "value", "message"), MEANT)
def test_constructors_name_the_parameter_that_is_meant(Model, name, value, message):
    start = rf"{Model.__name__}\(\) got an unexpected keyword argument '{name}': "
    with pytest.raises(TypeError, match=start + f".*{message}"):
        Model(**{name: value})


@pytest.mark.parametrize("Model", ALL)
@pytest.mark.parametrize(("name", "value", "message"), MEANT[:-1])
def test_set_params_names_the_parameter_that_is_meant(Model, name, value, message):
    model = Model(alpha=3)
    given = {"alpha": 1, name: value}
    expected = rf"^Invalid parameter '{name}' for estimator {Model.__name__}\("
    expected += rf".*: .*{message}.*\. Valid parameters are: \['.*alpha'"
    with pytest.raises(ValueError, match=f"(?s){expected}"):
        model.set_params(**given)
    assert model.alpha == 3  # nothing is set

    inner = make_pipeline(model)
    nested = make_pipeline(inner)
    step = Model.__name__.lower()
    with pytest.raises(ValueError, match=f"(?s){expected}"):
        inner.set_params(**{f"{step}__{name}": value})
    with pytest.raises(ValueError, match=f"(?s){expected}"):
        nested.set_params(**{f"pipeline__{step}__{name}": value})


def test_set_params_says_what_scikit_learn_says():
    """Where nothing close is known, in its very words."""
    model = TemplateMatchingClassifier()
    with pytest.raises(ValueError, match="Invalid parameter") as theirs:
        BaseEstimator.set_params(model, gamma=1)
    with pytest.raises(ValueError, match="Invalid parameter") as ours:
        model.set_params(gamma=1)
    assert str(ours.value) == str(theirs.value)


def test_set_params_reaches_objects():
    model = MLPClassifierTorch(augment=RandomShift())
    assert model.set_params(augment__max_shift=3).augment.max_shift == 3
    with pytest.raises(ValueError, match="'scale' for estimator RandomShift"):
        model.set_params(augment__scale=0.1)


SEARCHES = (BatchedGridSearchCV, BatchedHalvingGridSearchCV, GridSearchCV)


@pytest.mark.parametrize("Search", SEARCHES)
@pytest.mark.parametrize("name", ["lr", "C"])
def test_searches_name_the_parameter_that_is_meant(Search, name, iris):
    message = {one: text for one, _, text in MEANT}[name]
    model = SoftmaxRegression(max_iter=4, tol=None)
    with pytest.raises(ValueError, match=rf"'{name}' for .*: .*{message}"):
        Search(model, {name: [0.1, 0.2]}, cv=2).fit(*iris)
    options = {"resource": "model__max_iter"} if "Halving" in Search.__name__ else {}
    steps = Pipeline([("model", model)])
    with pytest.raises(ValueError, match=rf"'{name}' for .*: .*{message}"):
        Search(steps, {f"model__{name}": [0.1, 0.2]}, cv=2, **options).fit(*iris)


def test_a_search_names_the_step_of_a_parameter(iris):
    steps = Pipeline([("scale", StandardScaler()), ("model", SoftmaxRegression())])
    message = r"'alpha' for .* name before it: 'model__alpha'\."
    with pytest.raises(ValueError, match=f"(?s){message}"):
        BatchedGridSearchCV(steps, {"alpha": [0.1, 1.0]}, cv=2).fit(*iris)
    with pytest.raises(ValueError, match=r"'nonsense' for .*'verbose'\]\.$"):
        BatchedGridSearchCV(steps, {"nonsense": [0.1, 1.0]}, cv=2).fit(*iris)


@pytest.mark.parametrize("Model", [*ALL, TemplateMatchingClassifier])
def test_fits_name_the_parameter_that_is_meant(Model, iris):
    model = Model()
    start = rf"{Model.__name__}.fit\(\) got an unexpected keyword argument "
    validation = r"its parameters are X, y, sample_weight\."
    if Model is not TemplateMatchingClassifier:
        validation = r"'eval_set': fit\(X, y, X_val=..., y_val=...\) takes a valid"
    for name, message in [
        ("eval_set", validation),
        ("x_val", validation.replace("eval_set", "x_val")),
        ("device", "it is a parameter of the constructor"),
        ("sample_weights", "weights of samples are sample_weight"),
    ]:
        with pytest.raises(TypeError, match=f"{start}.*{message}"):
            model.fit(*iris, **{name: 1})
    if Model is not TemplateMatchingClassifier:
        with pytest.raises(
            TypeError, match=r"it is a parameter of fit, .*X_val=\.\.\."
        ):
            Model(X_val=1)
    with pytest.raises(TypeError, match=r"partial_fit\(\) got .* perhaps classes is"):
        model.partial_fit(*iris, clases=[0, 1, 2])
    with pytest.raises(TypeError, match=f"{start}.*sample_weight"):
        make_pipeline(model).fit(*iris, **{f"{Model.__name__.lower()}__weight": 1})
    assert vars(model).keys() == vars(Model()).keys()


def test_a_learning_rate_as_a_number_is_understood(iris):
    message = "'learning_rate' parameter of .* Got 0.1.* names the schedule: .*"
    with pytest.raises(ValueError, match=message + "learning_rate_init=0.1"):
        MLPClassifierTorch(learning_rate=0.1).fit(*iris)
    with pytest.raises(ValueError, match=message + "learning_rate_init=0.1"):
        MLPClassifierTorch().set_params(learning_rate=0.1).fit(*iris)
    grid = {"learning_rate": [0.1]}
    with pytest.raises(ValueError, match=f"(?s){message}learning_rate_init=0.1"):
        BatchedGridSearchCV(MLPClassifierTorch(), grid, cv=2).fit(*iris)


def test_signatures_are_those_of_the_constructors():
    """Tools read parameters and defaults from them, and clone does."""
    for Model in (*ALL, TemplateMatchingClassifier):
        found = signature(Model).parameters
        assert list(found) == list(signature(Model.__init__).parameters)[1:]
        assert {name: found[name].default for name in found} == Model().get_params()


@MODELS
def test_a_device_may_be_an_object(model, iris):
    device = torch.device("cpu")
    model = quickly(model).set_params(device=device, random_state=0)
    copy = clone(model)
    assert copy.get_params()["device"] == device
    proba = copy.fit(*iris).predict_proba(iris[0])
    assert copy.device_ == "cpu"
    expected = clone(model).set_params(device="cpu").fit(*iris)
    np.testing.assert_array_equal(proba, expected.predict_proba(iris[0]))
    search = GridSearchCV(model, {"device": [device, "cpu"]}, cv=2).fit(*iris)
    assert len(set(search.cv_results_["mean_test_score"])) == 1
    loaded = pickle.loads(pickle.dumps(copy))
    np.testing.assert_array_equal(loaded.predict_proba(iris[0]), proba)
    model.set_params(device=torch.device("meta"))
    with pytest.raises(ValueError, match=r"device=device\(type='meta'\) is none of"):
        model.fit(*iris)


@pytest.mark.parametrize("transformer", [Deskew(), DigitNormalizer()], ids=str)
def test_the_device_of_a_transformer_may_be_an_object(transformer, digits):
    expected = transformer.fit_transform(digits[0][:5])
    transformer = clone(transformer).set_params(device=torch.device("cpu"))
    np.testing.assert_array_equal(transformer.fit_transform(digits[0][:5]), expected)


@pytest.mark.parametrize("wrap", [np.asarray, pd.DataFrame, csr_array])
def test_one_hot_targets_are_warned_of(wrap, iris):
    X, y = iris
    model = MLPClassifierTorch(3, max_iter=2, tol=None, random_state=0)
    for fit in (model.fit, lambda X, y: clone(model).partial_fit(X, y, [0, 1, 2])):
        with pytest.warns(
            UserWarning, match=r"one-hot form, pass y.argmax\(1\), or y.idxmax"
        ):
            fit(X, wrap(np.eye(3)[y].astype(int)))
    labels = np.eye(3)[y].astype(int)
    labels[0] = 1
    assert model.fit(X, wrap(labels))._multilabel  # does not warn
    for Model in (SoftmaxRegression, TemplateMatchingClassifier):
        message = "1d array, got an array of shape .150, 3. instead.*y.(arg|idx)max"
        with pytest.raises(ValueError, match=message):
            Model().fit(X, wrap(np.eye(3)[y].astype(int)))


@MODELS
def test_one_class_is_warned_of(model, iris):
    X, y = iris
    words = y.astype(str)
    with pytest.warns(UserWarning, match="y has one class only, False, .*y == '5'"):
        fitted = quickly(model).fit(X, words == 1)
    assert not fitted.predict(X).any()
    with pytest.warns(UserWarning, match="y has one class only, 2"):
        quickly(model).fit(X, y, sample_weight=(y == 2))
    # A first part of the samples may have one class only.
    assert len(quickly(model).partial_fit(X[:9], y[:9], [0, 1, 2]).classes_) == 3


@MODELS
@pytest.mark.parametrize("dispatch", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(model, dispatch, dtype, iris):
    half = torch.tensor(iris[0]).to(dtype)
    single = half.float().numpy()
    model = quickly(model).set_params(random_state=0)
    expected = clone(model).fit(single, iris[1]).predict_proba(single)
    assert expected.dtype == np.float32
    with config_context(array_api_dispatch=dispatch):
        fitted = clone(model).fit(half, torch.tensor(iris[1]))
        found = fitted.predict_proba(half)
    assert str(found.dtype).endswith("float32")
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@MODELS
@pytest.mark.parametrize("dispatch", [False, True])
def test_tensors_that_require_a_gradient_are_read(model, dispatch, iris):
    X = torch.tensor(iris[0], requires_grad=True)
    weight = torch.linspace(0.5, 1, 150, dtype=torch.float64, requires_grad=True)
    model = quickly(model).set_params(random_state=0)
    plain = weight.detach().numpy()
    expected = clone(model).fit(*iris, plain).predict_proba(iris[0])
    with config_context(array_api_dispatch=dispatch):
        y = torch.tensor(iris[1])
        found = clone(model).fit(X, y, weight).predict_proba(X)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert X.requires_grad
    assert X.grad is None


@MODELS
def test_one_image_is_not_a_table(model, digits):
    fitted = quickly(model).fit(*digits)
    image = digits[0][0].reshape(8, 8)
    message = r"X has 8 features, but .* expecting 64 .* one image, pass X.reshape\(1"
    for method in (fitted.predict, fitted.predict_proba):
        with pytest.raises(ValueError, match=message):
            method(image)
    assert fitted.predict(image.reshape(1, -1)).shape == (1,)


def ends(*args):
    return next(iter(()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"augment": ends}, "augment=.*ends.* raised StopIteration"),
        ({"scoring": ends}, "scoring=.*ends.* raised StopIteration"),
        ({"scoring": ends, "solver": "lbfgs"}, "scoring=.* raised StopIteration"),
    ],
)
def test_a_stop_iteration_of_users_code_is_an_error(settings, message, digits):
    """Within loops of ours it would end them, with a model half trained."""
    X, y = digits[0][:100], digits[1][:100]
    model = MLPClassifierTorch(3, max_iter=3, tol=None, **settings)
    with pytest.raises(RuntimeError, match=message):
        model.fit(X, y, X_val=X, y_val=y)
    assert not hasattr(model, "coefs_")


@pytest.mark.parametrize("Model", [SoftmaxRegression, TemplateMatchingClassifier])
def test_parameter_validation_can_be_skipped(Model, iris):
    """As scikit-learn's estimators do, for users who know their parameters."""
    model = Model(random_state="no generator")
    if Model is SoftmaxRegression:
        model = Model(max_iter=2, tol=None, validation_fraction="unused")
    with pytest.raises(InvalidParameterError, match="must be"):
        model.fit(*iris)
    with config_context(skip_parameter_validation=True):
        assert len(model.fit(*iris).classes_) == 3


def test_labels_beside_pixels_are_warned_of(rng):
    y = np.arange(40) % 10
    X = pd.DataFrame(rng.integers(0, 256, (40, 64))).add_prefix("pixel")
    table = X.assign(label=y)
    model = SoftmaxRegression()
    for given, name in ((table, "'label'"), (table.to_numpy()[:, ::-1], "0")):
        with pytest.warns(UserWarning, match=f"Column {name} of X equals y: .*8 x 8"):
            model.fit(given, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y)
        model.fit(table.assign(label=y[::-1]), y)


def test_one_hot_frames_have_a_cure_that_works(iris):
    X, y = iris
    names = np.array(["a", "b", "c"])[y]
    one_hot = pd.get_dummies(pd.Series(names))
    with pytest.raises(ValueError, match=r"pass the class .* y\.idxmax\(axis=1\)"):
        SoftmaxRegression().fit(X, one_hot)
    model = SoftmaxRegression().fit(X, one_hot.idxmax(axis=1))
    np.testing.assert_array_equal(model.classes_, ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"knows the class of each sample: .*idxmax"):
        MLPClassifierTorch().fit(X, names, X_val=X, y_val=one_hot)


def test_callbacks_are_set_by_a_method():
    with pytest.raises(TypeError, match=r"'callbacks': .*model\.set_callbacks"):
        MLPClassifierTorch(callbacks=[])
