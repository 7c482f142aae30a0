"""What the reference says is what the code has: numpydoc, defaults, attributes, names."""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpydoc.docscrape import get_doc_object
from numpydoc.validate import Validator, validate

import skdigits
from skdigits import SoftmaxRegression

DOCS = Path(__file__).parent.parent / "docs"
PACKAGES = ["skdigits"] + [
    f"skdigits.{module.name}"
    for module in pkgutil.iter_modules(skdigits.__path__)
    if not module.name.startswith("_") and module.name != "engine"  # which is no API
]
# What numpydoc may find, as in scikit-learn's own such test, but with fewer of its codes.
EXCUSED = {"RT02"}  # ``self : object`` has a name that scikit-learn's users know
EXCUSED_BUT_IN_CLASSES = {"ES01"}  # a summary and parameters can say all of a function
EXCUSED_IN_METHODS = {
    "SA01",
    "EX01",
}  # which stand side by side, in the class's own example
ARGUMENTS = {  # of estimators that cannot do without
    "BatchedGridSearchCV": {"param_grid": {"alpha": [0, 1]}},
    "BatchedRandomizedSearchCV": {
        "param_distributions": {"alpha": [0, 1]},
        "n_iter": 2,
    },
}


def exported(package):
    """Public functions and classes of a package by their names."""
    module = importlib.import_module(package)
    found = {name: getattr(module, name) for name in getattr(module, "__all__", [])}
    return {
        f"{package}.{name}": thing for name, thing in found.items() if callable(thing)
    }


def written_here(cls):
    """Public methods and properties that are not scikit-learn's."""
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
    """numpydoc looks for the line of a ``def`` or ``class``, of which a package has none."""

    source_file_def_line = 1

    def __init__(self, obj_name):
        super().__init__(get_doc_object(self._load_obj(obj_name)))


def entries(thing, section):
    """Name, type and description of each thing that a section describes."""
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
def test_errors_are_told_of(name):
    """Those raised on the spot, and the one for data that are not as described."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(FUNCTIONS[name])))
    raised = {
        node.exc.func.id
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    }
    if {"X", "path"} & set(inspect.signature(FUNCTIONS[name]).parameters):
        raised.add("ValueError")
    told = {kind for _, kind, _ in entries(FUNCTIONS[name], "Raises")}
    assert raised <= told


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
    # As scikit-learn has it, only what is "only" there at times need not be.
    always = {n for n, _, text in entries(cls, "Attributes") if "only with" not in text}
    assert always <= fitted <= names(cls, "Attributes")


@pytest.mark.parametrize("name", OTHERS)
def test_attributes_of_other_classes_are_those_they_set(name):
    """What a picture or a result has is described as a parameter or as an attribute."""
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
