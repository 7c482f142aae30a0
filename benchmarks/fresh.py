"""Figures that need a process of their own: a first fit, and peaks of memory.

``python benchmarks/fresh.py`` prints them all; with the name of a figure, its number.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np

# Nothing of skdigits or torch may be imported before a first fit is timed.


def first_fit() -> float:
    """Return the seconds of an import and a first fit, beyond torch and sklearn."""
    import torch  # noqa: F401
    from sklearn.datasets import load_iris

    start = time.perf_counter()
    from skdigits import MLPClassifierTorch

    X, y = load_iris(return_X_y=True)
    MLPClassifierTorch(max_iter=10, tol=None).fit(X, y)
    return time.perf_counter() - start


def peak_of_mnist(dtype: str, solver: str) -> float:
    """Return the peak of a fit of 3 epochs of MNIST, in MB beside its samples."""
    from skdigits import MLPClassifierTorch, SoftmaxRegression
    from skdigits.datasets import load_mnist

    X, y = load_mnist(return_X_y=True)
    X = X[:60_000].copy()
    y = y[:60_000]
    if dtype == "float32":
        parts = np.array_split(X, 60)
        X = np.concatenate([part.astype(np.float32) / 255 for part in parts])

    kind = SoftmaxRegression if solver == "lbfgs" else MLPClassifierTorch
    model = kind(solver=solver, max_iter=3, tol=None, random_state=0)
    # A first fit loads libraries, which are not to count.
    model.fit(X[:500], y[:500])
    return _peak(lambda: model.fit(X, y))


def peak_of_classes(label: str) -> float:
    """Return the peak of a fit to 3,755 classes, in MB beside its samples."""
    from jobs.job import Digits
    from jobs.training import characters, many_classes
    from peers import Loop

    from skdigits import SoftmaxRegression

    # First fits load libraries, which are not to count.
    some = characters()
    two = some.y[:100] % 2
    SoftmaxRegression(max_iter=1, tol=None).fit(some.X[:100], two)
    Loop([64, 2], 1.0, 1, loader=False).fit(some.X[:100], two)

    none = np.empty(0)
    return _peak(many_classes(Digits(none, none, none, none, quick=True))[label].run)


def _peak(run: Callable[[], object]) -> float:
    """Return by how many MB the peak of memory rises within a call, on Linux."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak counts from here
    before = _peak_so_far()
    run()
    return _peak_so_far() - before


def _peak_so_far() -> float:
    with open("/proc/self/status") as file:
        (kilobytes,) = [words.split()[1] for words in file if words.startswith("VmHWM")]
    return int(kilobytes) * 1024 / 1e6


FIRST = "import and first fit on iris, beyond torch and sklearn"
FIGURES: dict[str, Callable[[], float]] = {
    FIRST: first_fit,
    **{
        f"peak memory over {dtype} input, {solver}": partial(
            peak_of_mnist, dtype, solver
        )
        for dtype in ("float32", "uint8")
        for solver in ("adam", "lbfgs")
    },
    **{
        f"peak memory of 3,755 classes, {label}": partial(peak_of_classes, label)
        for label in ("skdigits", "plain loop")
    },
}
# The unit of each figure, and the most that it may be.
UNITS: dict[str, tuple[str, float | None]] = {
    name: ("MB", 40 if "input" in name else None) for name in FIGURES
} | {FIRST: ("s", 0.4)}


def measure(n_turns: int) -> dict[str, float]:
    """Return the median time of first fits, and the larger of two peaks of memory."""
    found = {FIRST: median(_fresh(FIRST) for _ in range(n_turns))}
    for name in list(FIGURES)[1:]:
        found[name] = max(_fresh(name) for _ in range(min(n_turns, 2)))
    return found


def _fresh(name: str) -> float:
    command = [sys.executable, "-W", "ignore", __file__, name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    if sys.argv[1:]:
        print(FIGURES[sys.argv[1]]())
    else:
        for name, value in measure(1).items():
            print(f"{name}: {value:.2f} {UNITS[name][0]}")
