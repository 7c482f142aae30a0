"""How much of the code a reader has to hold in mind, as numbers.

``python benchmarks/structure.py`` measures skdigits. Pass folders or files to measure
others beside it: ``python benchmarks/structure.py skdigits path/to/optax``.

- The first table counts lines, comments and the like; tests are left out.
- The second follows calls: how many functions, in how many modules and how deep, a fit
  and a search run through. Only frames of the package count, and comprehensions do not.
"""

import argparse
import ast
import os
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
LONG = 10  # body lines from which a function needs blank lines between its stages
SHARED_LINES = 6
MANY_PLACES = 8  # what stands in more places than this is a habit of the language
COMPREHENSIONS = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<module>"}


class Module(NamedTuple):
    """A parsed file, with its lines."""

    path: Path
    tree: ast.Module
    lines: list[str]


class Walk(NamedTuple):
    """Functions that a call ran through, by the depth at which each was first seen."""

    functions: dict[tuple[str, str], int]
    depth: int

    @property
    def modules(self) -> set[str]:
        return {module for module, _ in self.functions}


def read(package: Path) -> list[Module]:
    """All modules of a package but its tests."""
    paths = [package] if package.is_file() else sorted(package.rglob("*.py"))
    paths = [p for p in paths if "tests" not in p.relative_to(package).parts]
    texts = [path.read_text(encoding="utf-8") for path in paths]
    return [
        Module(path, ast.parse(text), text.splitlines())
        for path, text in zip(paths, texts, strict=True)
    ]


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods of a module, nested ones too."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body(module: Module, function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Lines of a function after its signature and docstring."""
    statements = function.body
    if ast.get_docstring(function) is not None:
        statements = statements[1:]

    if not statements:
        return []
    return module.lines[statements[0].lineno - 1 : function.end_lineno]


def bodies(modules: list[Module]) -> dict[str, list[str]]:
    """The body of every function that has one, by its place."""
    found = {}
    for module in modules:
        for function in functions(module):
            lines = body(module, function)
            if lines:
                found[f"{module.path}:{function.lineno} {function.name}"] = lines
    return found


def without_blank_line(modules: list[Module]) -> tuple[list[str], int]:
    """Places of long functions in one block, and the number of all long ones."""
    long = {
        place: lines for place, lines in bodies(modules).items() if len(lines) >= LONG
    }
    packed = [place for place, lines in long.items() if all(map(str.strip, lines))]
    return packed, len(long)


def comment_share(modules: list[Module]) -> float:
    """Lines that hold nothing but a comment, among all lines that are not blank."""
    lines = [
        line.strip() for module in modules for line in module.lines if line.strip()
    ]
    return sum(line.startswith("#") for line in lines) / len(lines)


def paired_share(modules: list[Module]) -> float:
    """Assignments such as ``a, b = x, y``, among all assignments."""
    nodes = [
        node
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Assign)
    ]
    paired = [
        node
        for node in nodes
        if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple)
    ]
    return len(paired) / len(nodes)


def any_share(modules: list[Module]) -> float | None:
    """Arguments annotated with ``Any`` alone, among those with an annotation."""
    annotations = []
    for module in modules:
        for function in functions(module):
            given = function.args
            arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs]
            arguments += [one for one in (given.vararg, given.kwarg) if one is not None]
            annotations += [
                one.annotation for one in arguments if one.annotation is not None
            ]

    if not annotations:
        return None
    return sum(ast.unparse(one) == "Any" for one in annotations) / len(annotations)


def shared_places(modules: list[Module]) -> list[tuple[str, str]]:
    """Pairs of places that share six lines or more, each pair as long as it goes."""
    texts = [_lines_that_count(module) for module in modules]
    places = defaultdict(list)
    for number, text in enumerate(texts):
        for start in range(len(text) - SHARED_LINES + 1):
            window = tuple(line for _, line in text[start : start + SHARED_LINES])
            places[window].append((number, start))

    found = []
    for where in places.values():
        if len(where) <= MANY_PLACES:
            found += [pair for pair in combinations(where, 2) if _begins(texts, *pair)]
    return [
        tuple(f"{modules[n].path}:{texts[n][start][0]}" for n, start in pair)
        for pair in found
    ]


def _lines_that_count(module: Module) -> list[tuple[int, str]]:
    """Numbered lines but blank ones, comments, imports and lone punctuation."""
    skipped = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            skipped |= set(range(node.lineno, node.end_lineno + 1))

    numbered = [
        (n, line.strip()) for n, line in enumerate(module.lines, 1) if n not in skipped
    ]
    return [
        (n, line)
        for n, line in numbered
        if any(map(str.isalnum, line)) and not line.startswith("#")
    ]


def _begins(texts: list, one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether the lines before two places differ, so that a run begins there."""
    (a, i), (b, j) = one, other
    if a == b and j - i < SHARED_LINES:
        return False
    return i == 0 or j == 0 or texts[a][i - 1][1] != texts[b][j - 1][1]


def walk(call: Callable[[], object], package: Path) -> Walk:
    """Follow a call through a package's functions."""
    found: dict[tuple[str, str], int] = {}
    inside = str(package) + os.sep
    depth = deepest = 0

    def profile(frame, event, _):
        nonlocal depth, deepest
        code = frame.f_code
        if not code.co_filename.startswith(inside) or code.co_name in COMPREHENSIONS:
            return
        if event == "call":
            depth += 1
            deepest = max(deepest, depth)
            module = code.co_filename.removeprefix(inside)
            found.setdefault((module, code.co_qualname), depth)
        elif event == "return":
            depth -= 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(before)
    return Walk(found, deepest)


def walks() -> dict[str, Walk]:
    """What a fit and a search run through, with the estimators' defaults."""
    # This checkout, whatever is installed.
    sys.path.insert(0, str(ROOT))

    from sklearn.datasets import load_digits

    import skdigits
    from skdigits import MLPClassifierTorch
    from skdigits.model_selection import BatchedGridSearchCV

    X, y = load_digits(return_X_y=True)
    X = X / 16
    model = MLPClassifierTorch(max_iter=2)
    search = BatchedGridSearchCV(model, {"learning_rate_init": [0.1, 0.01, 0.001]})
    package = Path(skdigits.__file__).parent

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)  # so that what happens once a process does not count
        return {
            "MLPClassifierTorch.fit": walk(lambda: model.fit(X, y), package),
            "BatchedGridSearchCV.fit": walk(lambda: search.fit(X, y), package),
        }


def at(values: list[int], share: float) -> int:
    """The value below which a share of all values lies."""
    return sorted(values)[int(share * len(values))]


def percent(share: float | None) -> str:
    """A share, or a dash where there is none."""
    return "–" if share is None else f"{100 * share:.1f}"


def measures(package: Path) -> dict[str, str]:
    """All that is counted of a package's files, ready to print."""
    modules = read(package)
    lines = [len(module.lines) for module in modules]
    lengths = [len(one) for one in bodies(modules).values()]
    packed, n_long = without_blank_line(modules)
    return {
        "module lines, median / p90": f"{median(lines):.0f}/{at(lines, 0.9)}",
        "body lines of a function, median / p90 / longest": (
            f"{median(lengths):.0f}/{at(lengths, 0.9)}/{max(lengths)}"
        ),
        "comments on lines of their own, %": percent(comment_share(modules)),
        "long functions without a blank line": f"{len(packed)}/{n_long}",
        "`a, b = x, y` among assignments, %": percent(paired_share(modules)),
        "annotated arguments that are `Any`, %": percent(any_share(modules)),
        "pairs of places that share six lines": str(len(shared_places(modules))),
    }


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """A Markdown table."""
    for row in (header, ["---"] * len(header), *rows):
        print(f"| {' | '.join(row)} |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("packages", nargs="*", type=Path, default=[ROOT / "skdigits"])
    parser.add_argument(
        "--steps", action="store_true", help="list the functions of each walk"
    )
    options = parser.parse_args()

    columns = [measures(package) for package in options.packages]
    rows = [[name, *(column[name] for column in columns)] for name in columns[0]]
    print_table(["", *(package.name for package in options.packages)], rows)

    found = walks()
    print_table(
        ["", "functions", "modules", "deep"],
        [
            [name, str(len(one.functions)), str(len(one.modules)), str(one.depth)]
            for name, one in found.items()
        ],
    )
    if options.steps:
        for one in found.values():
            for (module, name), depth in one.functions.items():
                print(f"{'  ' * depth}{name}  ({module})")


if __name__ == "__main__":
    main()
