"""Finding a learning rate on MNIST: what the range test suggests, and what the sweep finds.

    python benchmarks/learning_rates.py                # about 5 minutes on two cores
    python benchmarks/learning_rates.py --rows softmax

Of the 60,000 training digits, 10,000 are held out, drawn class by class anew for each seed;
the test digits are not looked at. By the other 50,000, `learning_rate_range_test` suggests
three rates in 100 steps, and `learning_rate_sweep` takes the best of 16 after one epoch, on a
tenth of them that it holds out itself. With each of these rates, the model is then trained on
the 50,000 for 5 epochs, and scored on the 10,000. *Best of a grid* is the rate of a finer grid
that is best on just these 10,000, about the most that can be reached; *as it comes* is the
estimator's default. Figures are means ± standard deviations over seeds, rates are those of
each seed, seconds the median. Enters what it has measured in benchmarks/learning_rates.json,
and makes a section of RESULTS.md of that.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from accuracy import where
from report import HERE, enter
from sklearn.base import clone
from sklearn.model_selection import train_test_split

from skdigits import MLPClassifierTorch, SoftmaxRegression
from skdigits.datasets import load_mnist
from skdigits.model_selection import learning_rate_range_test, learning_rate_sweep

N_HELD_OUT, EPOCHS = 10_000, 5
FINDERS = {
    "steepest": "range test, steepest",
    "minimum_over_10": "range test, minimum over 10",
    "valley": "range test, valley",
    "sweep": "sweep of one epoch",
    "default": "as it comes",
    "grid": "best of a grid",
}


class Row(NamedTuple):
    """A model given a seed, and the grid that is to hold its best rate."""

    name: str
    make: Callable[[int], Any]
    grid: np.ndarray


ROWS = {
    "softmax": Row(
        "SoftmaxRegression, SGD with momentum",
        lambda seed: SoftmaxRegression(max_iter=EPOCHS, tol=None, random_state=seed),
        np.geomspace(0.01, 1, 9),
    ),
    "mlp": Row(
        "MLP 128, Adam",
        lambda seed: MLPClassifierTorch(
            128, max_iter=EPOCHS, tol=None, random_state=seed
        ),
        np.geomspace(0.001, 0.02, 7),
    ),
}


def measure(row: Row, seed: int, X: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Rate, accuracy in per cent and seconds by finder, for one seed."""
    X, X_held_out, y, y_held_out = train_test_split(
        X, y, test_size=N_HELD_OUT, stratify=y, random_state=seed
    )
    model = row.make(seed)

    def accuracy(rate: float) -> float:
        fitted = clone(model).set_params(learning_rate_init=rate).fit(X, y)
        return 100 * float(fitted.score(X_held_out, y_held_out))

    start = time.perf_counter()
    test = learning_rate_range_test(model, X, y)
    between = time.perf_counter()
    sweep = learning_rate_sweep(model, X, y)
    end = time.perf_counter()
    for each, rate in ((test, test.suggestions["steepest"]), (sweep, sweep.best_rate)):
        if rate is None:
            raise SystemExit(f"{row.name}, seed {seed}: {each!r}")
    rates = test.suggestions | {"sweep": sweep.best_rate}
    rates["default"] = model.learning_rate_init
    seconds = dict.fromkeys(rates, between - start)
    seconds |= {"sweep": end - between, "default": 0.0}
    grid = {float(rate): accuracy(rate) for rate in row.grid}
    best = max(grid, key=grid.__getitem__)
    found = {name: accuracy(rate) for name, rate in rates.items()}
    return {
        "rates": rates | {"grid": best},
        "accuracies": found | {"grid": grid[best]},
        "seconds": seconds | {"grid": time.perf_counter() - end},
        "grid": {f"{rate:.4g}": score for rate, score in grid.items()},
    }


def lines(row: Row, figures: dict[str, Any]) -> list[str]:
    """The table of one model."""
    text = [
        f"**{row.name}.**", "",
        "| | rate | accuracy, % | behind the grid's best | seconds to find it |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    seeds = figures["seeds"]
    for name, title in FINDERS.items():
        rates = ", ".join(f"{seed['rates'][name]:.2g}" for seed in seeds)
        scores = [seed["accuracies"][name] for seed in seeds]
        behind = statistics.mean(
            seed["accuracies"]["grid"] - seed["accuracies"][name] for seed in seeds
        )
        seconds = statistics.median(seed["seconds"][name] for seed in seeds)
        taken = "" if name in ("default", "grid") else f"{seconds:.1f}"
        text.append(
            f"| {title} | {rates} | {statistics.mean(scores):.2f} ± "
            f"{statistics.pstdev(scores):.2f} | {behind:.2f} | {taken} |"
        )
    low, high, steps = row.grid[0], row.grid[-1], len(row.grid)
    return [
        *text, "",
        f"(The grid: {steps} rates from {low:g} to {high:g}. {figures['where']})", "",
    ]  # fmt: skip


def write(rows: dict[str, Any]) -> None:
    """Write the section of RESULTS.md from all that is known."""
    seeds = min(len(figures["seeds"]) for figures in rows.values())
    text = [
        "# Finding a learning rate, on MNIST", "",
        f"Made by `python benchmarks/learning_rates.py`, {seeds} seeds.", "",
        __doc__.split("\n\n", 2)[2].strip(), "",
    ]  # fmt: skip
    for name in ROWS:
        if name in rows:
            text += lines(ROWS[name], rows[name])
    enter(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--seeds", type=int, default=3, help="runs of each row (default: 3)"
    )
    parser.add_argument(
        "--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW"
    )
    options = parser.parse_args()
    path = HERE / "learning_rates.json"
    known = (
        json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": {}}
    )
    mnist = load_mnist()
    X, y = mnist.data[mnist.train], mnist.target[mnist.train]
    for name in options.rows:
        found = []
        for seed in range(options.seeds):
            found.append(measure(ROWS[name], seed, X, y))
            print(name, seed, json.dumps(found[-1]), flush=True)
        known["rows"][name] = {"seeds": found, "where": where()}
        path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        write(known["rows"])


if __name__ == "__main__":
    main()
