"""Guards of the house rules that a linter does not know."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "skdigits").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
ASSERTING = {
    "raises",
    "warns",
    "check_estimator",
    "refused",
}  # the last is of bad input


def functions(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def named(path):
    return str(path.relative_to(ROOT))


def test_there_is_something_to_guard():
    assert len(MODULES) > 15
    assert len(TESTS) > 15


@pytest.mark.parametrize("path", TESTS, ids=named)
def test_tests_assert(path):
    for function in functions(path):
        if function.name.startswith("test"):
            nodes = list(ast.walk(function))
            names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
            calls = {node.func.id for node in nodes if isinstance(node, ast.Call)
                     and isinstance(node.func, ast.Name)}  # fmt: skip
            asserts = any(isinstance(node, ast.Assert) for node in nodes)
            found = {
                n for n in names | calls if n in ASSERTING or n.startswith("assert_")
            }
            assert asserts or found, f"{path}:{function.lineno}: {function.name}"


@pytest.mark.parametrize("path", TESTS, ids=named)
def test_raises_always_match(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.raises":
            assert any(k.arg == "match" for k in node.keywords), f"{path}:{node.lineno}"
