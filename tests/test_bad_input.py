"""Every parameter and every input, with every defect: the error's class and its words.

An error names what is wrong, speaks of no library underneath, and leaves a model as it
was.
"""

import copy
import re
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from PIL import Image
from scipy.sparse import coo_array, csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils._param_validation import InvalidParameterError

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.augmentation import RandomAffine, RandomElastic, RandomShift
from skdigits.model_selection import (
    BatchedGridSearchCV,
    BatchedHalvingGridSearchCV,
    BatchedHalvingRandomSearchCV,
    BatchedRandomizedSearchCV,
)
from skdigits.preprocessing import FoundDigit

NAN, INF = float("nan"), float("inf")

X = np.random.default_rng(0).uniform(size=(12, 4))
y = np.arange(12) % 3
LABELS = (X > 0.5).astype(int)
ONES = np.ones(12)

TEMPLATES = TemplateMatchingClassifier()
SOFTMAX = SoftmaxRegression(max_iter=2, tol=None, random_state=0)
MLP = MLPClassifierTorch(3, max_iter=2, tol=None, random_state=0)
CONV = ConvNetClassifier(2, max_iter=2, random_state=0)
MODELS = [TEMPLATES, SOFTMAX, MLP, CONV]
FITTED = [clone(model).fit(X, y) for model in MODELS]
ASKED = ["predict", "predict_proba", "predict_log_proba", "decision_function"]

every_model = pytest.mark.parametrize(
    "model", MODELS, ids=lambda model: type(model).__name__
)
trained = pytest.mark.parametrize("model", MODELS[1:], ids=["softmax", "mlp", "conv"])
fitted_ones = pytest.mark.parametrize(
    "model", FITTED, ids=lambda model: type(model).__name__
)
INTERNALS = r"aten::|Tensor|ufunc|DATA bounds|dtype and signature|truth value"


@contextmanager
def refused(model, error, message):
    """What is within raises this error, in words of ours, and changes nothing."""
    before = dict(vars(model))
    with pytest.raises(error, match=f"(?s){message}") as caught:
        yield
    assert not re.search(INTERNALS, str(caught.value).split("array=")[0])
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())


def both(model):
    """The model as it is, and as it was fitted before: copies of their own."""
    return clone(model), copy.copy(FITTED[MODELS.index(model)])


def learning(model):
    """The methods that learn, of rows that know their classes."""
    yield model.fit
    if hasattr(model, "partial_fit"):
        yield lambda X, y, weight=None: model.partial_fit(X, y, [0, 1, 2], weight)


# Parameters
# -----------------------------------------------------------------------------

WORDS = ["nonsense", "", 0, True, None, NAN, ["sgd"]]
SWITCH = ["yes", 0, 1, 1.0, None, NAN, []]
COUNT = [0, -1, 1.5, 2.0, NAN, INF, True, "3", None, [3], 1j]
NOT_NEGATIVE = [-1, -1e-9, NAN, INF, -INF, True, "0.1", None, [0.1], 1j, 10**400]
FRACTION = [*NOT_NEGATIVE, 1, 1.5]
SEED = [-1, 2**32, 0.5, NAN, "seed", [1], np.random.default_rng(0)]
DEVICE = [None, 0, True, NAN, ["cpu"]]
PIXELS = ["yes", "", 0, 1.0, None, NAN, []]


def without(values, *allowed):
    return [value for value in values if not any(value is one for one in allowed)]


TRAINING = {
    "learning_rate_init": [0, Fraction(1, 10), *NOT_NEGATIVE],
    "loss": WORDS,
    "solver": WORDS,
    "weight_init": WORDS,
    "alpha": NOT_NEGATIVE,
    "batch_size": [*COUNT, "all"],
    "learning_rate": WORDS,
    "power_t": NOT_NEGATIVE,
    "max_iter": COUNT,
    "shuffle": SWITCH,
    "random_state": SEED,
    "tol": without(NOT_NEGATIVE, None),
    "verbose": [-1, 1.5, NAN, "yes", None, []],
    "warm_start": SWITCH,
    "momentum": without(FRACTION, 1),
    "nesterovs_momentum": SWITCH,
    "early_stopping": SWITCH,
    "validation_fraction": [0, *FRACTION],
    "scoring": [3, True, NAN, ["accuracy"], {"a": "accuracy"}],
    "beta_1": FRACTION,
    "beta_2": FRACTION,
    "epsilon": [0, *NOT_NEGATIVE],
    "weight_decay": NOT_NEGATIVE,
    "n_iter_no_change": [bad for bad in COUNT if bad is not INF],
    "max_fun": COUNT,
    "class_weight": ["even", 3, True, NAN, [1, 1, 1]],
    "label_smoothing": FRACTION,
    "augment": without([*WORDS, 3.5], None),
    "image_shape": [8, 2.5, "8x8", True, NAN],
    "device": DEVICE,
    "pixels": PIXELS,
}
HIDDEN = {
    "hidden_layer_sizes": [value for value in COUNT if value != [3]],
    "activation": WORDS,
    "dropout": FRACTION,
    "weight_init": ["zeros", *WORDS],
}
CONVOLUTIONS = {
    "channels": HIDDEN["hidden_layer_sizes"],
    "precision": ["float64", *WORDS],
}
OF_LAYERS = {name: HIDDEN[name] for name in ("activation", "dropout", "weight_init")}

SEARCHES = {
    "estimator": [None, 3, "softmax", NAN],
    "scoring": ["accurate", 3, True, NAN],
    "n_jobs": [1.5, "all", NAN, []],
    "refit": [0, 1.5, None, NAN],
    "cv": [-1, 1.5, "three", NAN],
    "verbose": [-1, 1.5, "yes", None],
    "pre_dispatch": [None, 1.5, NAN, []],
    "error_score": ["ignore", None, [], {}],
    "return_epoch_scores": SWITCH,
    "return_train_score": SWITCH,
    "refit_epochs": ["last", "", 3, True, NAN],
    "working_memory": [0, *without(NOT_NEGATIVE, None)],
}
HALVING = {
    name: values
    for name, values in SEARCHES.items()
    if name not in ("pre_dispatch", "refit_epochs", "return_epoch_scores")
} | {
    "scoring": [*SEARCHES["scoring"], ["accuracy"], {"a": "accuracy"}],
    "factor": [0, -1, "three", None],
    "resource": [None, 3, NAN, ["max_iter"]],
    "max_resources": [0, -1, 1.5, "exhaust", None],
    "min_resources": [0, -1, 1.5, "auto", None],
    "aggressive_elimination": SWITCH,
    "random_state": SEED,
}
BAD_PARAMETERS = {
    TemplateMatchingClassifier: {
        "metric": WORDS,
        "n_templates": COUNT,
        "temperature": [0, "hot", Fraction(1, 2), *NOT_NEGATIVE],
        "device": DEVICE,
        "pixels": PIXELS,
        "random_state": SEED,
    },
    SoftmaxRegression: TRAINING,
    MLPClassifierTorch: TRAINING | HIDDEN,
    ConvNetClassifier: CONVOLUTIONS | {"augment": TRAINING["augment"]},
    BatchedGridSearchCV: SEARCHES | {"param_grid": [None, 3, "alpha", NAN]},
    BatchedRandomizedSearchCV: SEARCHES
    | {
        "param_distributions": [None, 3, "alpha", NAN],
        "n_iter": [0, -1, 1.5, NAN, None, "ten"],
        "random_state": SEED,
    },
    BatchedHalvingGridSearchCV: HALVING | {"param_grid": [None, 3, "alpha", NAN]},
    BatchedHalvingRandomSearchCV: HALVING
    | {
        "param_distributions": [None, 3, "alpha", NAN],
        "n_candidates": [0, -1, 1.5, NAN, None, "ten"],
    },
}
MADE = {type(model): model for model in MODELS} | {
    BatchedGridSearchCV: BatchedGridSearchCV(SOFTMAX, {"alpha": [0.1]}, cv=3),
    BatchedRandomizedSearchCV: BatchedRandomizedSearchCV(
        SOFTMAX, {"alpha": [0.1]}, n_iter=1, cv=3
    ),
    BatchedHalvingGridSearchCV: BatchedHalvingGridSearchCV(
        SOFTMAX, {"alpha": [0.1]}, cv=3
    ),
    BatchedHalvingRandomSearchCV: BatchedHalvingRandomSearchCV(
        SOFTMAX, {"alpha": [0.1]}, n_candidates=1, cv=3
    ),
}


@pytest.mark.parametrize("Model", BAD_PARAMETERS)
def test_no_parameter_is_forgotten(Model):
    known = BAD_PARAMETERS[Model].keys()
    if Model is ConvNetClassifier:  # of what the MLP has as well, that is checked
        known |= TRAINING.keys() | OF_LAYERS.keys()
        shared = (ConvNetClassifier, MLPClassifierTorch)
        for name in known - BAD_PARAMETERS[Model].keys():
            one, other = (each._parameter_constraints[name] for each in shared)
            assert one is other
    assert known == MADE[Model].get_params(deep=False).keys()
    assert min(map(len, BAD_PARAMETERS[Model].values())) >= 4


@pytest.mark.parametrize(
    ("Model", "name", "value"),
    [
        (Model, name, value)
        for Model, table in BAD_PARAMETERS.items()
        for name, values in table.items()
        for value in values
    ],
    ids=lambda value: getattr(value, "__name__", None) or f"{value!r:.12}",
)
def test_a_bad_parameter(Model, name, value):
    message = f"The '{name}' parameter of {Model.__name__} must be .* Got "
    message += (
        re.escape("[" if isinstance(value, list) else f"{value!r}") + ".* instead"
    )
    models = [clone(MADE[Model])]
    models += [copy.copy(one) for one in FITTED if type(one) is Model]
    for model in models:
        model.set_params(**{name: value})
        for learn in learning(model):
            with refused(model, InvalidParameterError, message):
                learn(X, y)


EARLY = {"early_stopping": True, "validation_fraction": 0.5}
MORE_PARAMETERS = [
    ({"device": device}, f"device={device!r} is none of 'auto', 'cpu', 'cuda'")
    for device in ("", "gpu", "CPU", "cuda:-1", "mps", "meta")
] + [
    (
        {"device": "cuda:77"},
        "device='cuda:77', but torch finds .* CUDA devices.*'auto'",
    ),
    ({"scoring": "accurate"}, "'accurate' is not a valid scoring value"),
    ({"scoring": ""}, "'' is not a valid scoring value"),
    (
        {"scoring": lambda *_: "good", **EARLY},
        "scoring.* must return a number, got '?good",
    ),
    ({"scoring": lambda *_: None, **EARLY}, "scoring.* must return a number, got None"),
    (
        {"scoring": lambda *_: [1, 2], **EARLY},
        r"scoring.* must return a number, got \[1, 2\]",
    ),
    ({"scoring": lambda *_: ONES, **EARLY}, "scoring.* must return a number, got"),
    (
        {"scoring": lambda *_: NAN, **EARLY},
        "scoring=.* gave nan on the validation samples",
    ),
    ({"class_weight": {7: 1}}, r"The classes, \[0, 1, 2\], are not in class_weight"),
    ({"class_weight": {0: -1}}, "class_weight=.*-1.* negative"),
    ({"class_weight": {0: NAN}}, "class_weight.*nan"),
    ({"class_weight": {0: INF}}, "class_weight.*inf"),
    ({"class_weight": {0: "a"}}, "class_weight=.*'a'"),
    ({"class_weight": {0: None}}, "class_weight=.*None"),
    ({"class_weight": {0: 1j}}, "class_weight=.*1j"),
    ({"class_weight": {0: [1, 2]}}, r"class_weight=.*\[1, 2\]"),
    ({"class_weight": {0: 1e308, 1: 1e308}}, "class_weight sums to inf"),
    ({"class_weight": {0: 0, 1: 0, 2: 0}}, "class_weight is zero for all samples"),
    (
        {**EARLY, "validation_fraction": 1e-9},
        "validation_fraction=1e-09 of the samples aside",
    ),
    (
        {**EARLY, "validation_fraction": 0.999},
        "validation_fraction=0.999 of the samples aside",
    ),
]
LAYERS = [
    (10, 0),
    (-3,),
    (2.5,),
    (NAN,),
    ("a",),
    (None,),
    (True,),
    ["3"],
    ((3, 2),),
    {3},
    {},
]


@trained
@pytest.mark.parametrize(("settings", "message"), MORE_PARAMETERS)
def test_a_bad_parameter_that_shows_later(model, settings, message):
    for one in both(model):
        one.set_params(**settings)
        with refused(one, ValueError, message):
            one.fit(X, y)


@pytest.mark.parametrize("sizes", LAYERS, ids=str)
def test_bad_layers(sizes):
    message = (
        f"hidden_layer_sizes must be > 0, got {re.escape(repr(sizes))}: pass an integer"
    )
    for one in both(MLP):
        one.set_params(hidden_layer_sizes=sizes)
        for learn in learning(one):
            with refused(one, ValueError, message):
                learn(X, y)


@pytest.mark.parametrize("sizes", LAYERS[::3], ids=str)
def test_bad_channels(sizes):
    message = f"channels must be > 0, got {re.escape(repr(sizes))}: pass an integer"
    for one in both(CONV):
        one.set_params(channels=sizes)
        with refused(one, ValueError, message):
            one.fit(X, y)


def other_shape(images, generator):
    return images[:, :, :1]


def in_numpy(images, generator):
    return images.numpy()


def infinite(images, generator):
    return images / 0


DISTORTIONS = [
    (
        {"augment": RandomShift},
        "augment=RandomShift is a class: pass an instance of it, as in",
    ),
    (
        {"augment": "affine", "solver": "lbfgs"},
        "augment='affine' changes the samples in every",
    ),
    (
        {"augment": "shift", "image_shape": (3, 3)},
        "image_shape=.3, 3. is that of 9 features,",
    ),
    (
        {"augment": "shift", "image_shape": (2, 2, 2)},
        "image_shape=.2, 2, 2. is that of 8 fe",
    ),
    (
        {"augment": "shift", "image_shape": (4,)},
        "image_shape must be .height, width. or",
    ),
    (
        {"augment": "shift", "image_shape": (4.0, 1)},
        "image_shape must be .height, width. or",
    ),
    (
        {"augment": "shift", "image_shape": (-2, -2)},
        "image_shape must be .height, width. or",
    ),
    (
        {"augment": "shift", "image_shape": (NAN, 2)},
        "image_shape must be .height, width. or",
    ),
    ({"augment": "shift", "image_shape": []}, "image_shape must be .height, width. or"),
    (
        {"augment": other_shape},
        r"augment=.*other_shape.* must return images of the shape",
    ),
    (
        {"augment": in_numpy},
        r"augment=.*in_numpy.* must return .* but returned ndarray",
    ),
    (
        {"augment": RandomAffine(scale=1.5)},
        "'scale' parameter of RandomAffine .* Got 1.5",
    ),
    (
        {"augment": RandomAffine(shear=90)},
        "'shear' parameter of RandomAffine .* Got 90",
    ),
    (
        {"augment": RandomShift(mode="wrap")},
        "'mode' parameter of RandomShift .* Got 'wrap'",
    ),
    (
        {"augment": RandomElastic(sigma=0)},
        "'sigma' parameter of RandomElastic .* Got 0",
    ),
    ({"augment": RandomElastic(NAN)}, "'alpha' parameter of RandomElastic .* Got nan"),
]


@trained
@pytest.mark.filterwarnings(
    "ignore:The cycle of learning_rate"
)  # said before a function is asked
@pytest.mark.parametrize(
    ("settings", "message"), DISTORTIONS, ids=[message for _, message in DISTORTIONS]
)
def test_bad_distortions(model, settings, message):
    for one in both(model):
        one.set_params(**settings)
        for learn in learning(one) if "solver" not in settings else [one.fit]:
            with refused(one, ValueError, message):
                learn(X, y)


@pytest.mark.filterwarnings("ignore:X has 3 features, of which no square can be made")
@trained
def test_distortions_of_what_is_no_square(model):
    for one in both(model):
        one.set_params(augment="shift")
        with refused(
            one, ValueError, "but X has 3 features, of which no square can be made"
        ):
            one.fit(X[:, :3], y)


@trained
def test_distortions_that_leave_no_numbers_are_warned_of(model):
    model = clone(model).set_params(augment=infinite)
    with pytest.warns(match="diverged"):
        model.fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("shape", [(3, 3), (4,), (2, 2, 0), (2.0, 2)], ids=str)
def test_bad_shapes_of_images(shape):
    for one in both(CONV):
        one.set_params(image_shape=shape)
        for learn in learning(one):
            with refused(one, ValueError, "image_shape"):
                learn(X, y)


@pytest.mark.parametrize("device", ["", "gpu", "cuda:-1"])
def test_a_bad_device_of_templates(device):
    for one in both(TEMPLATES):
        one.set_params(device=device)
        for learn in learning(one):
            with refused(
                one, ValueError, f"device={device!r} is none of 'auto', 'cpu'"
            ):
                learn(X, y)


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [(SOFTMAX, "solver", ["sgd"]), (TEMPLATES, "n_templates", None)],
)
def test_bad_parameters_may_be_asked_for_methods(model, name, value):
    """Whether there is a partial_fit is a question that has an answer."""
    assert hasattr(clone(model).set_params(**{name: value}), "partial_fit") in (
        True,
        False,
    )


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"cv": []}, ValueError, "No fits were performed"),
        (
            {"cv": 1},
            ValueError,
            r"'cv' parameter.*an int in the range \[2, inf\).*Got 1",
        ),
        (
            {"cv": 5},
            ValueError,
            "n_splits=5 cannot be greater than the number of members",
        ),
        ({"n_jobs": 0}, ValueError, "n_jobs == 0"),
        ({"scoring": []}, ValueError, "Empty list was given"),
        (
            {"scoring": ["accuracy"]},
            ValueError,
            "For multi-metric scoring, the parameter",
        ),
        (
            {"param_grid": {"alpha": 0.1}},
            TypeError,
            "(?i)alpha.*needs to be a list or a",
        ),
        (
            {"param_grid": {"alpha": []}},
            ValueError,
            "alpha.* need to be a non-empty sequence",
        ),
        (
            {"param_grid": {"alpha": "0.1"}},
            TypeError,
            "(?i)alpha.*needs to be a list or a",
        ),
        (
            {"param_grid": {"rate": [0.1]}},
            ValueError,
            "Invalid parameter 'rate' for estim",
        ),
        (
            {"param_grid": {"alpha": [-1]}},
            ValueError,
            "'alpha' parameter of Softmax.*Got -1",
        ),
        ({"param_grid": {"alpha": [True]}}, ValueError, "'alpha' parameter.*Got True"),
        ({"param_grid": []}, ValueError, "No fits were performed"),
        ({"estimator": SoftmaxRegression}, TypeError, "Expected an estimator instance"),
        (
            {"refit_epochs": "best", "refit": False},
            ValueError,
            "needs a refit, but refit=Fa",
        ),
    ],
)
def test_a_bad_search(settings, error, message):
    search = clone(MADE[BatchedGridSearchCV]).set_params(**settings)
    with pytest.raises(error, match=f"(?s){message}"):
        search.fit(X, y)
    assert not hasattr(search, "best_estimator_")


# Rows
# -----------------------------------------------------------------------------------


def put(value, array=X, dtype=float, place=(3, 1)):
    """The array with this value in one place."""
    array = array.astype(dtype)
    array[place] = value
    return array


def several_sizes():
    """Images of two sizes as NumPy holds them."""
    images = np.empty(12, object)
    images[:] = [np.eye(2), np.eye(3)] * 6
    return images


def frame(*columns, names="abcd"):
    return pd.DataFrame(dict(zip(names, columns, strict=True)))


BAD_X = {
    "NaN": (put(NAN), ValueError, "X contains NaN"),
    "NaN in float32": (put(NAN, dtype=np.float32), ValueError, "X contains NaN"),
    "NaN in a list": (put(NAN).tolist(), ValueError, "X contains NaN"),
    "None in a list": (put(None, dtype=object).tolist(), ValueError, "X contains NaN"),
    "NaN in a tensor": (torch.tensor(put(NAN)), ValueError, "X contains NaN"),
    "missing in a frame": (
        frame(*put(NAN).T).astype("Float64"),
        ValueError,
        "X contains NaN",
    ),
    "infinity": (put(INF), ValueError, "X contains infinity"),
    "minus infinity": (put(-INF), ValueError, "X contains infinity"),
    "infinity in float32": (put(INF, dtype="f"), ValueError, "X contains infinity"),
    "infinity in float16": (put(INF, dtype="e"), ValueError, "X contains infinity"),
    "no rows": (X[:0], ValueError, r"0 sample\(s\) .*minimum of 1 is required"),
    "no features": (X[:, :0], ValueError, r"0 feature\(s\) .*minimum of 1 is required"),
    "one row": (X[0], ValueError, "Expected 2D array, got 1D array.*Reshape your data"),
    "a number": (3.0, ValueError, "Expected 2D array, got scalar array.*Reshape"),
    "nothing": (None, ValueError, r"X is None, .* of shape \(n_samples, n_features\)"),
    "images": (X.reshape(12, 2, 2), ValueError, "Found array with dim 3, .*dim <= 2"),
    "complex": (X + 0j, ValueError, "Complex data not supported"),
    "complex tensor": (torch.tensor(X + 1j), ValueError, "Complex data not supported"),
    "words": (np.full((12, 4), "a"), ValueError, "could not convert string to float"),
    "a word": (
        put("a", dtype=object),
        ValueError,
        "could not convert string to float: 'a'.* are not numbers: 1; encode words",
    ),
    "words in a frame": (
        frame(*X.T[:3], list("abc") * 4),
        ValueError,
        r"could not convert string to float: 'a'\. X has columns that are not "
        r"numbers: 'd'; encode words before the model, .*OneHotEncoder\(.*, \['d'\]\)",
    ),
    "words and dates in a frame": (
        frame(*X.T[:2], list("abc") * 4, pd.date_range("2020", periods=12)),
        ValueError,
        r"are not numbers: 'c', 'd'; encode words .*, \['c'\]\).* leave the others out",
    ),
    "categories in a frame": (
        frame(*X.T[:2], *[pd.Categorical(list("abc") * 4)] * 2),
        ValueError,
        "could not convert string to float.* are not numbers: 'c', 'd'; encode words",
    ),
    "words in polars": (
        pl.DataFrame(dict(zip("abcd", [*X.T[:3], list("abc") * 4], strict=True))),
        ValueError,
        "could not convert string to float.* are not numbers: 'd'; encode words",
    ),
    "dates in a frame": (
        frame(*X.T[:3], pd.date_range("2020", periods=12)),
        TypeError,
        "columns that are not numbers: 'd'; leave them out",
    ),
    "objects": (np.full((12, 4), object()), TypeError, "real number, not 'object'"),
    "a dict": ({"a": 1}, TypeError, "real number, not 'dict'"),
    "ragged": (
        [[1, 2, 3, 4]] * 11 + [[1, 2]],
        ValueError,
        r"rows of different lengths: X\w*\[0\] has 4 numbers, and X\w*\[11\] has 2",
    ),
    "images of several sizes": (
        [np.eye(2), np.eye(3)] * 6,
        ValueError,
        r"a list of images of different sizes, such as \(2, 2\) and \(3, 3\), but "
        r".*make_pipeline\(DigitNormalizer\(\), \w+\(\.\.\.\)\)",
    ),
    "an array of images of several sizes": (
        several_sizes(),
        ValueError,
        "a list of images of different sizes",
    ),
    "digits of a page": (
        [FoundDigit(0, 0, (0, 0, 2, 2), np.eye(2))] * 12,
        ValueError,
        r"\[0\] is a FoundDigit: pass .*\[digit.cut_out for digit in X",
    ),
    "images and an empty cell": (
        [np.eye(2), None] * 6,
        ValueError,
        r"\[1\] is None, .* leave it out",
    ),
    "names of files": (
        ["a.png"] * 12,
        ValueError,
        r"strings, such as 'a.png', .* \[PIL.Image.open\(file\) for file in X",
    ),
    "an empty list": ([], ValueError, "empty list, without images"),
    "NaN in sparse rows": (csr_array(put(NAN)), ValueError, "Input X contains NaN"),
    "infinity in sparse rows": (csr_array(put(INF)), ValueError, "X contains infinity"),
    "complex sparse rows": (
        csr_array(X + 1j),
        ValueError,
        "Complex data not supported",
    ),
    "no sparse rows": (csr_array(X[:0]), ValueError, r"0 sample\(s\) .*minimum of 1"),
    "a sparse row": (coo_array(X[0]), ValueError, "Expected 2D input"),
    "sparse tensor": (
        torch.tensor(X).to_sparse(),
        TypeError,
        r"X is a sparse tensor.*pass X\.to_dense\(\)",
    ),
    "a list of pictures": (
        [Image.new("L", (2, 2))] * 12,
        ValueError,
        r"X is a list of pictures of Pillow, .* pass np.stack\(",
    ),
    "a picture": (
        Image.new("L", (2, 2)),
        ValueError,
        r"X is a picture of Pillow, .* pass np.asarray\(X.convert",
    ),
    "names of two kinds": (
        frame(*X.T, names=["a", 1, "b", 2]),
        TypeError,
        "Feature names are only supported",
    ),
}
bad_x = pytest.mark.parametrize(("bad", "error", "message"), BAD_X.values(), ids=BAD_X)
no_names = pytest.mark.filterwarnings("ignore:X has feature names")


@every_model
@bad_x
@no_names
def test_bad_rows_to_learn_from(model, bad, error, message):
    for one in both(model):
        for learn in learning(one):
            with refused(one, error, message):
                learn(bad, y)
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        clone(model).predict(X)


@fitted_ones
@bad_x
@no_names
def test_bad_rows_to_predict(model, bad, error, message):
    for method in ASKED:
        with refused(model, error, message):
            getattr(model, method)(bad)
    with refused(model, error, message):
        model.score(bad, y)


@trained
@bad_x
@no_names
def test_bad_rows_to_validate_on(model, bad, error, message):
    if bad is None:
        message = "y_val was passed without X_val"
    else:
        # A cure is that of a Pipeline whose steps X went through.
        message = message.partition("; ")[0].replace("X has col", "X_val has col")
        message = rf"The validation set \(X_val, y_val\): .*{message}"
    for one in both(model):
        with refused(one, error, message):
            one.fit(X, y, X_val=bad, y_val=y)


@every_model
@pytest.mark.parametrize("kind", ["complex tensor", "sparse tensor", "NaN in a tensor"])
def test_bad_tensors_under_dispatch(model, kind):
    bad, error, message = BAD_X[kind]
    with sklearn.config_context(array_api_dispatch=True):
        one = clone(model)
        with refused(one, error, message):
            one.fit(bad, torch.tensor(y))
        one.fit(torch.tensor(X), torch.tensor(y))
        for method in ASKED:
            with refused(one, error, message):
                getattr(one, method)(bad)


@fitted_ones
@pytest.mark.parametrize("bad", [X[:, :3], np.hstack([X, X]), X[:, :1].tolist()])
def test_another_number_of_features(model, bad):
    message = (
        f"X has . features, but {type(model).__name__} is expecting 4 features as input"
    )
    for method in [*map(model.__getattribute__, ASKED), lambda X: model.score(X, y)]:
        with refused(model, ValueError, message):
            method(bad)
    with refused(model, ValueError, message):
        model.partial_fit(bad, y)
    if hasattr(model, "history_"):
        with refused(model, ValueError, r"The validation set.*" + message):
            model.fit(X, y, X_val=bad, y_val=y)


@every_model
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            frame(*X.T, names="abce"),
            "unseen at fit time:\n- e\n.*yet now missing:\n- d",
        ),
        (frame(*X.T, names="dcba"), "must be in the same order as they were in fit"),
        (frame(*X.T[:3], names="abc"), "seen at fit time, yet now missing:\n- d"),
        (frame(*X.T, ONES, names="abcde"), "unseen at fit time:\n- e"),
    ],
)
def test_other_names_of_features(model, bad, message):
    model = clone(model).fit(frame(*X.T), y)
    message = (
        "The feature names should match those that were passed during fit.*" + message
    )
    for method in [*map(model.__getattribute__, ASKED), lambda X: model.score(X, y)]:
        with refused(model, ValueError, message):
            method(bad)
    with refused(model, ValueError, message):
        model.partial_fit(bad, y)
    if hasattr(model, "history_"):
        with refused(model, ValueError, message):
            model.fit(frame(*X.T), y, X_val=bad, y_val=y)


@every_model
def test_a_model_that_was_not_fitted(model):
    model = clone(model)
    message = f"This {type(model).__name__} instance is not fitted yet. Call 'fit'"
    for method in [*map(model.__getattribute__, ASKED), lambda X: model.score(X, y)]:
        for rows in (X, put(NAN), None):
            with refused(model, NotFittedError, message):
                method(rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_that_overflow(dtype):
    huge = (np.finfo(dtype).max / 8 * X).astype(dtype)
    for one in both(TEMPLATES):
        for learn in learning(one):
            with refused(
                one, ValueError, r"distances of these samples overflow.*Bring X to \["
            ):
                learn(huge, y)
    for one in map(clone, (SOFTMAX, MLP, CONV)):
        with (
            pytest.warns(match="root mean square of inf"),
            pytest.warns(match="diverged"),
        ):
            one.fit(huge, y)
        assert np.isfinite(one.predict_proba(X)).all()


@fitted_ones
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_queries_that_overflow(model, dtype):
    rows = np.full((2, 4), np.finfo(dtype).max / 8, dtype)
    model = clone(model).fit(X.astype(dtype), y)
    if hasattr(model, "coef_"):
        model.coef_ = 1e6 * np.sign(model.coef_ + 1e-9)
    if hasattr(model, "coefs_"):
        model.coefs_ = [1e6 * np.sign(coef + 1e-9) for coef in model.coefs_]
    for method in ASKED:
        with refused(model, ValueError, "overflow.*Bring X to"):
            getattr(model, method)(rows)


@trained
def test_rows_to_validate_on_that_overflow(model):
    """Told of, whether as an error or a warning: no silent NaN in the history."""
    huge = np.full((3, 4), np.finfo("f").max)
    model = clone(model).fit(X.astype("f"), y)
    for name in ("coef_", "coefs_"):
        if hasattr(model, name):
            value = getattr(model, name)
            scaled = [1e6 * c for c in value] if name == "coefs_" else 1e6 * value
            setattr(model, name, scaled)
    model.set_params(warm_start=True, learning_rate_init=1e-9)
    with pytest.raises(
        (ValueError, UserWarning), match=r"(?i)overflow|X_val|validation"
    ):
        model.fit(X.astype("f"), y, X_val=huge.astype("f"), y_val=[0, 1, 2])


# Labels
# ---------------------------------------------------------------------------------

BAD_Y = {
    "NaN": (put(NAN, y, place=2), ValueError, "y contains NaN"),
    "None in a list": ([None, *y[1:]], ValueError, "y contains NaN: 1 of 12 labels"),
    "missing in a series": (
        pd.Series(y).astype("Int64").mask(y == 1),
        ValueError,
        "y contains NaN: 4 of 12 labels are missing",
    ),
    "a missing word": (
        pd.Series(["a", None, "b"] * 4),
        ValueError,
        "y contains NaN: 4 of 12 labels are missing. Leave out their samples",
    ),
    "a missing string": (
        pd.Series(["a", None, "b"] * 4, dtype="string[python]"),
        ValueError,
        "y contains NaN: 4 of 12 labels",
    ),
    "a missing category": (
        pd.Series(["a", None, "b"] * 4, dtype="category"),
        ValueError,
        "y contains NaN: 4 of 12 labels",
    ),
    "a missing boolean": (
        pd.Series([True, None, False] * 4, dtype="boolean"),
        ValueError,
        "y contains NaN: 4 of 12 labels",
    ),
    "missing in polars": (
        pl.Series(["a", None, "b"] * 4),
        ValueError,
        "y contains NaN: 4 of 12 labels",
    ),
    "infinity": (put(INF, y, place=2), ValueError, "y contains infinity"),
    "one too few": (y[:-1], ValueError, r"inconsistent numbers of samples: \[12, 11\]"),
    "one too many": (
        [*y, 0],
        ValueError,
        r"inconsistent numbers of samples: \[12, 13\]",
    ),
    "none": (y[:0], ValueError, r"inconsistent numbers of samples|0 sample\(s\)"),
    "continuous": (y + X[:, 0], ValueError, "Unknown label type: continuous"),
    "two columns": (
        np.column_stack([y, y]),
        ValueError,
        "y should be a 1d array|y has shape .12, 2.",
    ),
    "three axes": (y[:, None, None], ValueError, "Found array with dim 3, .*dim <= 2"),
    "no columns": (np.zeros((12, 0)), ValueError, r"0 feature\(s\)"),
    "complex": (y + 1j, ValueError, "Complex data not supported"),
    "words and numbers": (
        np.array(["a", 1, 2] * 4, dtype=object),
        ValueError,
        "y has labels",
    ),
    "words and None": (
        np.array(["a", None, "b"] * 4, dtype=object),
        ValueError,
        "y contains NaN: 4 of 12 labels are missing",
    ),
    "objects": (np.array([object()] * 12), ValueError, "Unknown label type"),
    "objects of ints": (
        y.astype(object),
        ValueError,
        r"y has dtype object and holds int: pass y.astype\(int\)",
    ),
    "objects of bools": (
        (y > 0).astype(object),
        ValueError,
        r"y has dtype object and holds bool: pass y.astype\(bool\)",
    ),
    "bytes": (np.array([b"a", b"b"] * 6), TypeError, "Support for labels .* bytes"),
    "ragged": ([[0], [1, 2]] * 6, ValueError, "inhomogeneous shape"),
    "a number": (3, (ValueError, TypeError), "1d array|at least 1 dimension"),
    "a word": ("abc", (ValueError, TypeError), "1d array|at least 1 dimension"),
}
bad_y = pytest.mark.parametrize(("bad", "error", "message"), BAD_Y.values(), ids=BAD_Y)


@every_model
@bad_y
def test_bad_labels_to_learn(model, bad, error, message):
    for one in both(model):
        for learn in learning(one):
            with refused(one, error, message):
                learn(X, bad)


@trained
@bad_y
def test_bad_labels_to_validate_by(model, bad, error, message):
    for one in both(model):
        with refused(
            one, error, rf"The validation set \(X_val, y_val\): .*({message})"
        ):
            one.fit(X, y, X_val=X, y_val=bad)


@every_model
def test_no_labels(model):
    for one in both(model):
        for learn in learning(one):
            with refused(
                one, ValueError, "requires y to be passed, but the target y is None"
            ):
                learn(X, None)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@fitted_ones
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (None, "'y_true' parameter of accuracy_score must be .* Got None instead"),
        (put(NAN, y, place=2), "y_true contains NaN"),
        (y[:-1], r"inconsistent numbers of samples: \[11, 12\]"),
        (y + X[:, 0], "a mix of continuous and"),
        (np.column_stack([y, y]), "a mix of multiclass-multioutput and"),
    ],
)
def test_bad_labels_to_score_by(model, bad, message):
    with refused(model, ValueError, message):
        model.score(X, bad)


INDICATORS = {
    "0 and 2": 2 * LABELS,
    "1 and 2": LABELS + 1,
    "-1 and 1": 2 * LABELS - 1,
    "0 and 2, sparse": csr_array(2 * LABELS),
    "-1 and 1, sparse": csr_array(2 * LABELS - 1),
}


@pytest.mark.parametrize("bad", INDICATORS.values(), ids=INDICATORS)
def test_indicators_are_zeros_and_ones(bad):
    fitted = clone(MLP).fit(X, LABELS)
    for one in (clone(MLP), fitted):
        with refused(one, ValueError, r"y has .*values \[-?\d, \d\]"):
            one.fit(X, bad)
        with refused(one, ValueError, r"y has .*values \[-?\d, \d\]"):
            one.partial_fit(X, bad, classes=[0, 1, 2, 3])
    with refused(
        fitted, ValueError, r"The validation set.*y has .*values \[-?\d, \d\]"
    ):
        fitted.fit(X, LABELS, X_val=X, y_val=bad)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (LABELS * 0.5, "Unknown label type: continuous-multioutput"),
        (put(NAN, LABELS), "y contains NaN"),
        (put(INF, LABELS), "y contains infinity"),
        (LABELS + LABELS[::-1], "y has shape .12, 4., several classes per sample"),
        (LABELS.astype(str), "y has shape .12, 4., several classes per sample"),
        (LABELS[:-1], r"inconsistent numbers of samples: \[12, 11\]"),
        (csr_array(LABELS[:-1]), r"inconsistent numbers of samples: \[12, 11\]"),
        (LABELS + 0j, "Complex data not supported"),
    ],
)
def test_bad_indicators(bad, message):
    fitted = clone(MLP).fit(X, LABELS)
    for one in (clone(MLP), fitted):
        with refused(one, ValueError, message):
            one.fit(X, bad)
    with refused(fitted, ValueError, "The validation set.*" + message):
        fitted.fit(X, LABELS, X_val=X, y_val=bad)


@pytest.mark.parametrize("model", [TEMPLATES, SOFTMAX], ids=["templates", "softmax"])
def test_indicators_where_a_row_has_one_class(model):
    for one in both(model):
        for learn in learning(one):
            for bad in (LABELS, csr_array(LABELS), LABELS > 0):
                with refused(
                    one, ValueError, "y should be a 1d array, got an array of shape"
                ):
                    learn(X, bad)


BAD_CLASSES = {
    "none": (None, "classes must be passed on the first call"),
    "one too few": ([0, 1], r"not among the classes: \[2\].*The classes are \[0, 1\]"),
    "empty": ([], "classes"),
    "NaN": ([0, 1, 2, NAN], "classes.*NaN"),
    "None": ([None, 0, 1, 2], "classes.*None"),
    "words": (["0", "1", "2"], "not among the classes|classes.*'0'"),
    "words and numbers": ([0, "a", 2], "classes.*'a'"),
    "objects": ([object(), object()], "classes"),
    "ragged": ([[0], [1, 2]], "classes"),
    "sparse": (csr_array([[0, 1, 2]]), "classes"),
    "a number": (3, "classes.*3"),
}


@every_model
@pytest.mark.parametrize(("bad", "message"), BAD_CLASSES.values(), ids=BAD_CLASSES)
def test_bad_classes(model, bad, message):
    new, fitted = both(model)
    with refused(new, ValueError, message):
        new.partial_fit(X, y, classes=bad)
    if bad is not None:
        with refused(fitted, ValueError, "classes"):
            fitted.partial_fit(X, y, classes=bad)


@fitted_ones
def test_labels_that_are_new(model):
    with refused(model, ValueError, r"not among the classes: \[9\].*are \[0, 1, 2\]"):
        model.partial_fit(X, put(9, y, int, 2))
    if hasattr(model, "history_"):
        with refused(
            model, ValueError, r"The validation set.*not among the classes: \[9\]"
        ):
            model.fit(X, y, X_val=X, y_val=put(9, y, int, 2))


# Weights
# --------------------------------------------------------------------------------

BAD_WEIGHTS = {
    "negative": (
        put(-1, ONES, place=2),
        "Negative values in data passed to `sample_weight`",
    ),
    "NaN": (put(NAN, ONES, place=2), "sample_weight contains NaN"),
    "infinity": (put(INF, ONES, place=2), "sample_weight contains infinity"),
    "minus infinity": (put(-INF, ONES, place=2), "sample_weight contains infinity"),
    "None": ([None, *ONES[1:]], "sample_weight contains NaN"),
    "one too few": (ONES[:-1], r"sample_weight.shape == \(11,\), expected \(12,\)"),
    "one too many": ([1, *ONES], r"sample_weight.shape == \(13,\), expected \(12,\)"),
    "empty": ([], r"0 sample\(s\)"),
    "all zero": (0 * ONES, "Sample weights must contain at least one non-zero number"),
    "zero": (0, "Sample weights must contain at least one non-zero number"),
    "too large": (
        1e308 * ONES,
        "sample_weight sums to inf, .*scale it so that its sum",
    ),
    "too small": (
        1e-320 * ONES,
        "sample_weight sums to 1.*, .*scale it so that its sum",
    ),
    "a negative number": (-1.0, "Negative values in data passed to `sample_weight`"),
    "a number that is none": (NAN, "sample_weight sums to nan"),
    "two axes": (ONES[:, None], "Sample weights must be 1D array or scalar, got 2D"),
    "a word": ("balanced", "could not convert string to float: 'balanced'"),
    "words": (np.full(12, "a"), "could not convert string to float"),
    "complex": (ONES + 1j, "Complex data not supported"),
    "sparse": (csr_array(ONES[None]), "Sparse data was passed for sample_weight"),
    "a dict": ({0: 1}, "real number, not 'dict'"),
}
bad_weights = pytest.mark.parametrize(
    ("bad", "message"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS
)


@every_model
@bad_weights
def test_bad_weights_to_learn_by(model, bad, message):
    for one in both(model):
        for learn in learning(one):
            with refused(one, (ValueError, TypeError), message):
                learn(X, y, bad)


@trained
@bad_weights
def test_bad_weights_to_validate_by(model, bad, message):
    for one in both(model):
        with refused(one, (ValueError, TypeError), "The validation set.*" + message):
            one.fit(X, y, X_val=X, y_val=y, sample_weight_val=bad)


@fitted_ones
@pytest.mark.parametrize("kind", ["NaN", "infinity", "all zero", "two axes", "complex"])
def test_bad_weights_to_score_by(model, kind):
    bad, message = BAD_WEIGHTS[kind]
    with refused(model, ValueError, message):
        model.score(X, y, bad)


@trained
def test_validation_sets_that_lack_a_part(model):
    for one in both(model):
        with refused(one, ValueError, "X_val was passed without y_val: .* both"):
            one.fit(X, y, X_val=X)
        with refused(one, ValueError, "y_val was passed without X_val: .* both"):
            one.fit(X, y, y_val=y)
        with refused(
            one, ValueError, "sample_weight_val was passed without X_val and y_val"
        ):
            one.fit(X, y, sample_weight_val=ONES)


@pytest.mark.parametrize(("bad", "other"), [(LABELS[:, :3], y), (y, LABELS)])
def test_labels_to_validate_by_are_of_one_kind_with_y(bad, other):
    model = clone(MLP)
    with refused(
        model, ValueError, "The validation set.*y_val must have the form of y"
    ):
        model.fit(X, other, X_val=X, y_val=bad)


# Searches
# -------------------------------------------------------------------------------

TO_SEARCH = (
    {
        f"X, {kind}": (bad, y, None)
        for kind, (bad, *_) in BAD_X.items()
        if "tensor" not in kind
    }
    | {f"y, {kind}": (X, bad, None) for kind, (bad, *_) in BAD_Y.items()}
    | {f"weight, {kind}": (X, y, bad) for kind, (bad, _) in BAD_WEIGHTS.items()}
)


def outcome(search, X, y, weight):
    """The error of a search, but for traces; and what is left of the fit."""
    with pytest.raises((ValueError, TypeError), match=r"\w") as caught:
        search.fit(X, y, **({} if weight is None else {"sample_weight": weight}))
    lines = [
        line for line in str(caught.value).splitlines() if not line.startswith("  ")
    ]
    return type(caught.value), lines, hasattr(search, "best_estimator_")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("given", TO_SEARCH.values(), ids=TO_SEARCH)
def test_a_search_refuses_what_gridsearchcv_refuses(given):
    settings = {"cv": 3, "error_score": "raise"}
    ours = outcome(BatchedGridSearchCV(SOFTMAX, {"alpha": [0.1]}, **settings), *given)
    theirs = outcome(GridSearchCV(SOFTMAX, {"alpha": [0.1]}, **settings), *given)
    assert ours == theirs
    assert not re.search(INTERNALS, ours[1][0].split("array=")[0])
