"""Limits on how much of the code a reader has to hold in mind."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "skdigits"
STRUCTURE = runpy.run_path(str(ROOT / "benchmarks/structure.py"))


@pytest.fixture(scope="module")
def modules():
    return STRUCTURE["read"](PACKAGE)


@pytest.fixture(scope="module")
def walks():
    return STRUCTURE["walks"]()


def test_the_measures_see_the_package(modules):
    assert len(modules) > 60
    assert len(STRUCTURE["bodies"](modules)) > 600


def test_the_measures_count(tmp_path):
    code = '''
def packed(a: int, b: Any):
    """Do nothing."""
    # A comment.
    x, y = a, b
    z = x
'''
    (tmp_path / "module.py").write_text(code + "    z = y\n" * 8)
    found = STRUCTURE["read"](tmp_path)
    assert [len(lines) for lines in STRUCTURE["bodies"](found).values()] == [10]
    packed, n_long = STRUCTURE["without_blank_line"](found)
    assert (len(packed), n_long) == (1, 1)
    assert STRUCTURE["comment_share"](found) == pytest.approx(1 / 13)
    assert STRUCTURE["paired_share"](found) == pytest.approx(1 / 10)
    assert STRUCTURE["any_share"](found) == pytest.approx(1 / 2)


def test_functions_are_short(modules):
    lengths = {
        place: len(lines) for place, lines in STRUCTURE["bodies"](modules).items()
    }
    too_long = {place: length for place, length in lengths.items() if length > 50}
    assert not too_long
    assert sorted(lengths.values())[len(lengths) // 2] <= 8


def test_long_functions_have_stages(modules):
    packed, n_long = STRUCTURE["without_blank_line"](modules)
    assert len(packed) <= n_long / 4, packed


def test_comments_say_why(modules):
    assert 0.02 <= STRUCTURE["comment_share"](modules) <= 0.05


def test_one_assignment_a_line(modules):
    assert STRUCTURE["paired_share"](modules) <= 0.01


def test_arguments_have_types(modules):
    assert STRUCTURE["any_share"](modules) <= 0.05


@pytest.mark.parametrize(
    ("name", "functions", "modules", "depth"),
    [("MLPClassifierTorch.fit", 80, 14, 9), ("BatchedGridSearchCV.fit", 130, 22, 13)],
)
def test_a_call_is_a_short_walk(name, functions, modules, depth, walks):
    walk = walks[name]
    assert len(walk.functions) <= functions
    assert len(walk.modules) <= modules, sorted(walk.modules)
    assert walk.depth <= depth
    # It did see the way from the estimator to its steps.
    assert {"engine/train.py", "engine/solvers.py"} < walk.modules


def test_no_module_only_hands_on_names(modules):
    """But for packages, whose ``__init__`` says what is public."""
    for module in modules:
        if module.path.name != "__init__.py":
            kinds = {type(node).__name__ for node in module.tree.body}
            assert kinds - {"Import", "ImportFrom", "Expr"}, module.path
