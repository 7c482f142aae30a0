"""Finding a learning rate on MNIST: range test and sweep beside the default and a grid.

    python benchmarks/learning_rates.py                # about 5 minutes on two cores
    python benchmarks/learning_rates.py --rows softmax

For each seed, a stratified draw holds out 10,000 of the 60,000 training digits; the
test digits are not used. On the other 50,000, `learning_rate_range_test` suggests three
learning rates in 100 steps, and `learning_rate_sweep` finds the best of 16 after one
epoch, on a tenth of the 50,000 that it holds out itself. With each learning rate, the
model is then trained on the 50,000 for 5 epochs, and scored on the 10,000. *Best of a
grid* is the best learning rate of a finer grid on these same 10,000: about the highest
accuracy within reach. *Default* is the estimator's default. Accuracies are means ±
standard deviations over seeds, learning rates are listed seed by seed, seconds are the
median. The script stores its figures in benchmarks/learning_rates.json and writes a
section of RESULTS.md from them.
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
from sklearn.base import ClassifierMixin, clone
from sklearn.model_selection import train_test_split

from skdigits import MLPClassifierTorch, SoftmaxRegression
from skdigits.datasets import load_mnist
from skdigits.model_selection import learning_rate_range_test, learning_rate_sweep

N_HELD_OUT = 10_000
EPOCHS = 5
FINDERS = {
    "steepest": "range test, steepest",
    "minimum_over_10": "range test, minimum over 10",
    "valley": "range test, valley",
    "sweep": "sweep of one epoch",
    "default": "default",
    "grid": "best of a grid",
}


class Row(NamedTuple):
    """A model for every seed, and a grid of learning rates that holds its best one."""

    name: str
    make: Callable[[int], ClassifierMixin]
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
    """Return learning rates, accuracies (%) and seconds by finder, for one seed."""
    X, X_held_out, y, y_held_out = train_test_split(
        X, y, test_size=N_HELD_OUT, stratify=y, random_state=seed
    )
    model = row.make(seed)

    def accuracy(rate: float | None) -> float:
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
    """Return the table of one model in Markdown."""
    text = [
        f"**{row.name}.**", "",
        "| | learning rate | accuracy, % | behind the grid's best | "
        "seconds to find it |",
        "|---|---|---|---|---|",
    ]  # fmt: skip

    seeds = figures["seeds"]
    for name, title in FINDERS.items():
        rates = ", ".join(f"{seed['rates'][name]:.2g}" for seed in seeds)
        scores = [seed["accuracies"][name] for seed in seeds]
        behind = statistics.mean(
            seed["accuracies"]["grid"] - seed["accuracies"][name] for seed in seeds
        )
        # The default takes no time, and the grid is not meant as a way to find a rate.
        seconds = statistics.median(seed["seconds"][name] for seed in seeds)
        taken = "" if name in ("default", "grid") else f"{seconds:.1f}"
        text.append(
            f"| {title} | {rates} | {statistics.mean(scores):.2f} ± "
            f"{statistics.pstdev(scores):.2f} | {behind:.2f} | {taken} |"
        )

    low = row.grid[0]
    high = row.grid[-1]
    return [
        *text, "",
        f"(The grid: {len(row.grid)} learning rates from {low:g} to {high:g}. "
        f"{figures['where']})", "",
    ]  # fmt: skip


def write(rows: dict[str, Any]) -> None:
    """Write the section of RESULTS.md from all stored figures."""
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
    known: dict[str, Any] = {"rows": {}}
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
    mnist = load_mnist()
    X = mnist.data[mnist.train]
    y = mnist.target[mnist.train]

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
