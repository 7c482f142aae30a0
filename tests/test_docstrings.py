"""The docstrings agree with numpydoc, with the code and with each other."""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpydoc.docscrape import get_doc_object
from numpydoc.validate import Validator, validate
from sklearn.utils._testing import assert_docstring_consistency

import skdigits
from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits.model_selection import (
    BatchedGridSearchCV,
    BatchedHalvingGridSearchCV,
    BatchedHalvingRandomSearchCV,
    BatchedRandomizedSearchCV,
)

DOCS = Path(__file__).parent.parent / "docs"
PACKAGES = ["skdigits"] + [
    f"skdigits.{module.name}"
    for module in pkgutil.iter_modules(skdigits.__path__)
    # The engine and the training session are not part of the public API.
    if not module.name.startswith("_") and module.name not in ("engine", "training")
]
# Codes of numpydoc that are ignored; scikit-learn's own test ignores more of them.
# RT02: scikit-learn's users know the name in ``self : object``.
EXCUSED = {"RT02"}
# ES01: a summary and the parameters can describe a function in full.
EXCUSED_BUT_IN_CLASSES = {"ES01"}
# SA01, EX01: the See Also and the example of the class cover its methods.
EXCUSED_IN_METHODS = {"SA01", "EX01"}
# Arguments of the estimators that cannot be created without any.
ARGUMENTS = {
    "BatchedGridSearchCV": {"param_grid": {"alpha": [0, 1]}},
    "BatchedRandomizedSearchCV": {
        "param_distributions": {"alpha": [0, 1]},
        "n_iter": 2,
    },
    "BatchedHalvingGridSearchCV": {"param_grid": {"alpha": [0, 1]}},
    "BatchedHalvingRandomSearchCV": {"param_distributions": {"alpha": [0, 1]}},
}


def exported(package):
    """Return the public functions and classes of a package by name."""
    module = importlib.import_module(package)
    found = {name: getattr(module, name) for name in getattr(module, "__all__", [])}
    return {
        f"{package}.{name}": thing for name, thing in found.items() if callable(thing)
    }


def written_here(cls):
    """Yield the public methods and properties that skdigits itself defines."""
    for name in dir(cls):
        member = getattr(cls, name)
        function = member.fget if isinstance(member, property) else member
        module = getattr(function, "__module__", None) or ""
        if module.startswith("skdigits") and not name.startswith("_"):
            yield name, member


THINGS = {
    name: thing for package in PACKAGES for name, thing in exported(package).items()
}
CLASSES = {name: thing for name, thing in THINGS.items() if isinstance(thing, type)}
ESTIMATORS = {name: cls for name, cls in CLASSES.items() if hasattr(cls, "fit")}
OTHERS = {name: cls for name, cls in CLASSES.items() if name not in ESTIMATORS}
MEMBERS = {
    f"{path}.{name}": member
    for path, cls in CLASSES.items()
    for name, member in written_here(cls)
}
METHODS = {name: member for name, member in MEMBERS.items() if callable(member)}
CALLABLES = THINGS | METHODS
FUNCTIONS = {name: thing for name, thing in CALLABLES.items() if name not in CLASSES}


class WithoutLine(Validator):
    """Validator without the line of ``def`` or ``class``, which a package lacks."""

    source_file_def_line = 1

    def __init__(self, obj_name):
        super().__init__(get_doc_object(self._load_obj(obj_name)))


def entries(thing, section):
    """Yield the name, type and description of each entry of a section."""
    for entry in get_doc_object(thing, config={"show_class_members": False})[section]:
        for name in entry.name.split(", "):
            yield name, entry.type, " ".join(entry.desc)


def names(thing, *sections):
    return {name for section in sections for name, _, _ in entries(thing, section)}


def test_all_is_found():
    assert {"skdigits.inspection", "skdigits.onnx"} <= set(PACKAGES)
    assert {"skdigits.datasets.read_idx", "skdigits.SoftmaxRegression"} <= set(THINGS)
    assert {"skdigits.ConvNetClassifier.predict_log_proba"} <= set(METHODS)
    assert len(ESTIMATORS) >= 9


@pytest.mark.parametrize("name", [*PACKAGES, *THINGS, *MEMBERS])
def test_numpydoc_finds_no_fault(name):
    excused = EXCUSED if name in CLASSES else EXCUSED | EXCUSED_BUT_IN_CLASSES
    excused = excused | EXCUSED_IN_METHODS if name in MEMBERS else excused
    errors = validate(name, validator_cls=WithoutLine)["errors"]
    assert [error for error in errors if error[0] not in excused] == []


@pytest.mark.parametrize("name", CALLABLES)
def test_parameters_and_defaults_are_the_signature_s(name):
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    expected = {
        stars.get(parameter.kind, "") + parameter.name: parameter.default
        for parameter in inspect.signature(CALLABLES[name]).parameters.values()
        if parameter.name != "self"
    }
    found = {}
    for parameter, kind, _ in entries(CALLABLES[name], "Parameters"):
        default = re.search(r"default=(.+)$", kind)
        assert default or not re.search("default|optional", kind), parameter
        value = eval(default[1], {"np": np}) if default else inspect.Parameter.empty
        found[parameter] = value
    assert list(map(repr, found.items())) == list(map(repr, expected.items()))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors_are_documented(name):
    """Errors raised in the function itself, and the ValueError for invalid data."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(FUNCTIONS[name])))
    raised = {
        node.exc.func.id
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    }
    if {"X", "path"} & set(inspect.signature(FUNCTIONS[name]).parameters):
        raised.add("ValueError")
    documented = {kind for _, kind, _ in entries(FUNCTIONS[name], "Raises")}
    assert raised <= documented


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_attributes_of_estimators_are_the_fitted_ones(name, digits):
    cls = ESTIMATORS[name]
    if cls.__name__ in ARGUMENTS:
        estimator = cls(SoftmaxRegression(max_iter=2), cv=2, **ARGUMENTS[cls.__name__])
    else:
        estimator = cls()
    if "max_iter" in estimator.get_params():
        estimator.set_params(max_iter=2)
    X = pd.DataFrame(digits[0][:60]).add_prefix("pixel")
    estimator.fit(X, digits[1][:60])
    fitted = {
        attribute
        for attribute in {*vars(estimator), *dir(cls)}
        if re.fullmatch(r"[a-z]\w*_", attribute) and hasattr(estimator, attribute)
    }
    # As in scikit-learn, attributes described as "only with …" may be missing.
    always = {n for n, _, text in entries(cls, "Attributes") if "only with" not in text}
    assert always <= fitted <= names(cls, "Attributes")


@pytest.mark.parametrize("name", OTHERS)
def test_attributes_of_other_classes_are_those_they_set(name):
    """Attributes of displays and results are documented, or are parameters."""
    found = set()
    for base in OTHERS[name].__mro__:
        if base.__module__.startswith("skdigits"):
            found |= {
                n for n, member in vars(base).items() if isinstance(member, property)
            }
            found |= set(vars(base).get("__annotations__", ()))
            for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(base)))):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                    found |= {node.attr} if ast.unparse(node.value) == "self" else set()
    public = {attribute for attribute in found if not attribute.startswith("_")}
    described = names(OTHERS[name], "Attributes")
    assert described <= public <= described | names(OTHERS[name], "Parameters")


TRAINED = [SoftmaxRegression, MLPClassifierTorch, ConvNetClassifier]
SEARCHES = [BatchedGridSearchCV, BatchedRandomizedSearchCV]
HALVING = [BatchedHalvingGridSearchCV, BatchedHalvingRandomSearchCV]
PAIRS = [*combinations(TRAINED, 2), tuple(SEARCHES), tuple(HALVING)]
SECTIONS = {
    "Parameters": "include_params",
    "Attributes": "include_attrs",
    "Returns": "include_returns",
}
# Entries of a class, its fit or its partial_fit that differ from the other classes.
OTHER_DESCRIPTIONS = {
    SoftmaxRegression: {
        "solver": "can be 'auto', which needs to say when it is what",
        "learning_rate_init": "can be 'auto', and else makes the solver stochastic",
        "tol": "is for features of one scale, to which L-BFGS brings a linear model",
        "weight_init": "can be 'zeros', which would never train hidden layers",
        "alpha": "is not divided by the weight of the batch",
        "random_state": "drives no dropout without hidden layers",
        "classes_": "has no multilabel targets to tell apart",
    },
    ConvNetClassifier: {
        "alpha": "penalises the last layer only",
        "batch_size": "has 128 as its automatic size",
        "image_shape": "is the input of the network, also without augment",
        "dropout": "acts on the last convolution only",
        "coefs_": "holds convolutions, which have four dimensions",
        "n_layers_": "needs to say that pooling does not count",
    },
    BatchedHalvingRandomSearchCV: {"random_state": "is also the seed of candidates"},
}
# Entries with the same description but another default.
RECIPE = "belongs to the recipe for images: adamw, one cycle of 10 epochs, no early end"
OTHER_DEFAULTS = {
    MLPClassifierTorch: {
        "learning_rate_init": "is 0.001, the default of MLPClassifier",
    },
    ConvNetClassifier: {
        "solver": RECIPE,
        "learning_rate": RECIPE,
        "max_iter": RECIPE,
        "tol": RECIPE,
        "weight_init": "is he, while glorot is what MLPClassifier does",
    },
    BatchedHalvingRandomSearchCV: {
        "min_resources": "is smallest, as in scikit-learn's HalvingRandomSearchCV",
    },
}


def excused(reasons, pair):
    return {name for cls in pair for name in reasons.get(cls, ())}


def documented_by(pair):
    """Yield the pair of classes, then the pair of each of their methods that train."""
    yield pair
    for name in ("fit", "partial_fit"):
        if all(hasattr(cls, name) for cls in pair):
            yield tuple(renamed(cls, name) for cls in pair)


def renamed(cls, name):
    """Return a function with the docstring of a method and a unique name.

    assert_docstring_consistency keys docstrings by ``__name__``: of two ``fit`` methods
    it would keep one, and compare nothing.
    """

    def method():
        raise NotImplementedError

    method.__name__ = f"{cls.__name__}.{name}"
    method.__doc__ = getattr(cls, name).__doc__
    return method


def shared(things, section):
    """Return the names of the entries that all things have."""
    found = [{name for name, _, _ in entries(thing, section)} for thing in things]
    return set.intersection(*found)


def assert_same(things, section, included, other_defaults=()):
    assert_docstring_consistency(
        things, **{SECTIONS[section]: sorted(included)}, ignore_types=other_defaults
    )


def pair_name(pair):
    return "-".join(cls.__name__ for cls in pair)


@pytest.mark.parametrize("pair", PAIRS, ids=pair_name)
def test_descriptions_of_the_same_thing_are_the_same(pair):
    other_descriptions = excused(OTHER_DESCRIPTIONS, pair)
    other_defaults = tuple(excused(OTHER_DEFAULTS, pair))
    compared = set()

    for things in documented_by(pair):
        for section in SECTIONS:
            included = shared(things, section) - other_descriptions
            assert_same(things, section, included, other_defaults)
            compared |= included

    assert compared >= {"X", "self", "scoring", "verbose", "n_features_in_"}
    assert len(compared) >= 25


EXCEPTIONS = [
    (cls, name, reason)
    for group in (OTHER_DESCRIPTIONS, OTHER_DEFAULTS)
    for cls, reasons in group.items()
    for name, reason in reasons.items()
]


@pytest.mark.parametrize(("cls", "name", "reason"), EXCEPTIONS)
def test_exceptions_are_needed(cls, name, reason):
    """The entry differs from that of every other class, for a reason in words."""
    family = TRAINED if cls in TRAINED else HALVING
    others = [other for other in family if other is not cls]
    found = [
        (things, section)
        for other in others
        for things in documented_by((cls, other))
        for section in SECTIONS
        if name in shared(things, section)
    ]

    assert found
    for things, section in found:
        with pytest.raises(AssertionError, match=rf"'{name}'\s+is\s+inconsistent"):
            assert_same(things, section, {name})
    assert len(reason.split()) > 3


@pytest.mark.parametrize("cls", [*TRAINED, *SEARCHES, *HALVING])
def test_entries_do_not_share_a_line(cls):
    """scikit-learn's own checks, and tooltips, look entries up by name."""
    things = [cls, cls.fit, getattr(cls, "partial_fit", cls.fit)]
    for thing in things:
        found = get_doc_object(thing, config={"show_class_members": False})
        listed = [*found["Parameters"], *found["Attributes"]]
        assert [entry.name for entry in listed if "," in entry.name] == []


def test_the_reference_has_every_name_and_no_other():
    place, listed = "", set()
    for line in (DOCS / "api.rst").read_text(encoding="utf-8").splitlines():
        if module := re.match(r"\.\. (?:current|auto)module:: (\S+)", line):
            place = module[1]
            listed.add(place)
        elif re.fullmatch(r"   \w+", line):
            listed.add(f"{place}.{line.strip()}")
    assert listed == {*PACKAGES, *THINGS}


def test_the_reference_has_every_method():
    template = (DOCS / "_templates/autosummary/class.rst").read_text(encoding="utf-8")
    methods = {name.rpartition(".")[2] for name in METHODS}
    assert methods <= set(re.findall(r'"(\w+)"', template))
