"""Imports point down only, and nothing heavy is imported that is not used."""

import ast
import subprocess
import sys
from pathlib import Path

import skdigits

ROOT = Path(skdigits.__file__).parent

# From the bottom up; a module may import what stands below it, and its own layer.
LAYERS = [
    ["skdigits.engine"],
    ["skdigits._allocator", "skdigits._gpus"],
    ["skdigits._arrays", "skdigits._memory_maps", "skdigits._sparse"],
    [
        "skdigits._pixels",
        "skdigits._pictures",
        "skdigits._image_lists",
        "skdigits._files",
        "skdigits._fitted_models",
        "skdigits._unknown_names",
        "skdigits._targets",
        "skdigits._columns",
    ],
    ["skdigits._input_checks"],
    [
        "skdigits._parameters",
        "skdigits._image_shapes",
        "skdigits._versions",
    ],
    ["skdigits.augmentation", "skdigits.datasets", "skdigits._plotting"],
    ["skdigits.callbacks", "skdigits.distributed"],
    ["skdigits.training"],
    ["skdigits._base"],
    ["skdigits._gradient", "skdigits._template_matching"],
    ["skdigits._softmax_regression", "skdigits._mlp", "skdigits._convnet"],
    ["skdigits.preprocessing", "skdigits.model_selection"],
    [
        "skdigits.draw",
        "skdigits.inspection",
        "skdigits.onnx",
        "skdigits._show_versions",
    ],
    ["skdigits"],
]
ENGINE_MAY_IMPORT = {"torch", "numpy", "scipy", "skdigits"} | set(
    sys.stdlib_module_names
)


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        yield ".".join(parts).removesuffix(".__init__"), path


def running(path):
    """The syntax tree of a file, without imports that serve annotations only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    return tree


def imports(path):
    """Every module imported anywhere in a file."""
    for node in ast.walk(running(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def imported_names(path):
    """Everything that is imported, with the names taken from modules."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(name):
    for number, members in enumerate(LAYERS[:-1]):
        if any(name == member or name.startswith(member + ".") for member in members):
            return number
    assert name == "skdigits", f"{name} has no layer: enter it in LAYERS"
    return len(LAYERS) - 1


def test_imports_point_down():
    seen = 0
    for name, path in modules():
        for imported in imports(path):
            if imported.split(".")[0] == "skdigits":
                seen += 1
                assert layer(imported) <= layer(name), f"{name} imports {imported}"
    assert seen > 30


def test_the_engine_knows_torch_alone():
    for name, path in modules():
        if name.startswith("skdigits.engine"):
            roots = {imported.split(".")[0] for imported in imports(path)}
            assert roots <= ENGINE_MAY_IMPORT, (
                f"{name} imports {roots - ENGINE_MAY_IMPORT}"
            )


def test_estimators_leave_tensors_to_others():
    estimators = {
        "skdigits._template_matching",
        "skdigits._softmax_regression",
        "skdigits._mlp",
        "skdigits._convnet",
    }
    for name, path in modules():
        if name in estimators:
            assert not any(i.split(".")[0] == "torch" for i in imports(path)), name


# Private names of scikit-learn and of torch move between releases: these modules know
# them. The engine's is oneDNN's linear layer, without which MKL computes.
KNOWING = {
    "skdigits._arrays",
    "skdigits.engine.process",
    "skdigits._input_checks",
    "skdigits._parameters",
    "skdigits._versions",
    "skdigits.training.observers",
    "skdigits.model_selection._search",
    "skdigits.model_selection._scoring",
    "skdigits.onnx._ensembles",
}
# scikit-learn tells third-party estimators to define or to use these.
FOR_DEVELOPERS = {"_parameter_constraints"}
OF_OLDER_VERSIONS = {"_pixels"}  # attributes of stored models


def private_attributes(path):
    """Names of all attributes, and of those that a string may name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        # getattr(scorer, "_score_func", …) is an attribute, too.
        elif isinstance(node, ast.Constant) and str(node.value).isidentifier():
            yield str(node.value)


def own_names():
    """All private names that this package defines."""
    for _, path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield node.name
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                yield node.attr
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


def test_private_names_of_others_are_confined():
    of_tuples = {"_replace", "_fields", "_asdict", "_make"}
    known = set(own_names()) | of_tuples | FOR_DEVELOPERS | OF_OLDER_VERSIONS
    found = {}
    for name, path in modules():
        imported = [
            one
            for one in imported_names(path)
            if one.startswith("sklearn") and "._" in one
        ]
        attributes = {
            one
            for one in private_attributes(path)
            if one.startswith("_") and not one.startswith("__") and one not in known
        }
        if imported or attributes:
            found[name] = (imported, attributes)
    assert found.keys() <= KNOWING, {n: found[n] for n in found.keys() - KNOWING}
    assert found.keys() == KNOWING  # a module that no longer needs any leaves the list


def test_first_fits_import_nothing_heavy():
    """Halving has not to be enabled as in scikit-learn, either."""
    code = """
import sys, numpy as np
from skdigits import SoftmaxRegression, MLPClassifierTorch
from skdigits.model_selection import BatchedHalvingGridSearchCV as Search
for Model in (SoftmaxRegression, MLPClassifierTorch):
    Model(max_iter=2, tol=None).fit(np.eye(4), [0, 1, 0, 1]).predict(np.eye(4))
search = Search(SoftmaxRegression(max_iter=3, tol=None), {"alpha": [0, 1, 2]}, cv=2)
print(search.fit(np.eye(4), [0, 1, 0, 1]).n_resources_)
heavy = ("torch._dynamo", "torch._inductor", "matplotlib")
print([m for m in heavy if m in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[1, 3]", "[]"]
