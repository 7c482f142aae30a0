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
    ["skdigits._arrays", "skdigits._parameters"],
    [
        "skdigits._validation",
        "skdigits._reporting",
        "skdigits.datasets",
        "skdigits._plotting",
    ],
    ["skdigits.augmentation"],
    ["skdigits._base", "skdigits._memory", "skdigits._callbacks", "skdigits._held_out"],
    ["skdigits._fitting"],
    ["skdigits._layered"],
    ["skdigits._template_matching", "skdigits._softmax_regression", "skdigits._mlp"],
    ["skdigits._convnet"],
    ["skdigits.preprocessing", "skdigits.inspection"],
    ["skdigits.model_selection", "skdigits.onnx", "skdigits._show_versions"],
    ["skdigits"],
]
ENGINE_MAY_IMPORT = {"torch", "numpy", "scipy", "skdigits"} | set(
    sys.stdlib_module_names
)


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        yield ".".join(parts).removesuffix(".__init__"), path


def imports(path):
    """Every module imported anywhere in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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
        "skdigits._layered",
        "skdigits._mlp",
        "skdigits._convnet",
    }
    for name, path in modules():
        if name in estimators:
            assert not any(i.split(".")[0] == "torch" for i in imports(path)), name


def test_private_scikit_learn_is_confined():
    """Private helpers move between releases: four modules know them."""
    knowing = {
        "skdigits._arrays",
        "skdigits._parameters",
        "skdigits._validation",
        "skdigits.model_selection._private",
    }
    for name, path in modules():
        private = [
            i for i in imported_names(path) if i.startswith("sklearn") and "._" in i
        ]
        assert not private or name in knowing, (name, private)


def test_a_first_fit_imports_nothing_heavy():
    code = """
import sys, numpy as np
from skdigits import SoftmaxRegression, MLPClassifierTorch
for Model in (SoftmaxRegression, MLPClassifierTorch):
    Model(max_iter=2, tol=None).fit(np.eye(4), [0, 1, 0, 1]).predict(np.eye(4))
print([m for m in ("torch._dynamo", "torch._inductor", "matplotlib") if m in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
