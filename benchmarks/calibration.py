"""Calibration on MNIST: each model before and after temperature scaling.

    python benchmarks/calibration.py                 # about 20 minutes on two cores
    python benchmarks/calibration.py --rows average  # some rows

Each model of the accuracy table is trained on 50,000 of the 60,000 training digits, a
stratified draw. The other 10,000 fit one temperature, by `CalibratedClassifierCV(
FrozenEstimator(model), method="temperature")`. All figures but *held out* are measured
on the 10,000 test digits. The accuracy does not change, as a temperature keeps the
order of the probabilities.

ECE is the expected calibration error of the predicted class, in 15 bins of equal width
(Guo et al. 2017). *By chance* is the ECE that a perfectly calibrated model shows on
10,000 digits, on average: below it, no model can be told from a perfect one. *Held out*
is the ECE on the digits that fitted the temperature: an error that is left there is one
that no temperature can remove. NLL is the mean of −log p of the true class, Brier the
squared error summed over classes. The goals are an ECE of 0.5 % or less, and an NLL no
larger than before. The script stores its figures in benchmarks/calibration.json and
writes a section of RESULTS.md from them.
"""

import argparse
import json
import statistics
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from accuracy import ROWS, Row, where
from report import HERE, enter
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from skdigits.datasets import load_mnist
from skdigits.inspection import reliability

N_HELD_OUT = 10_000
BINS = 15
GOAL = 0.5  # largest ECE, in per cent


class Digits(NamedTuple):
    """Training digits, from which each seed holds out a part, and test digits."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def load() -> Digits:
    mnist = load_mnist()
    train = mnist.train
    test = mnist.test
    return Digits(
        mnist.data[train], mnist.target[train], mnist.data[test], mnist.target[test]
    )


def measure(row: Row, seed: int, digits: Digits) -> dict[str, Any]:
    """Return a model's figures before and after calibration, and its temperature."""
    X, X_held_out, y, y_held_out = train_test_split(
        digits.X, digits.y, test_size=N_HELD_OUT, stratify=digits.y, random_state=seed
    )
    model = row.make(seed).fit(X, y)
    calibrated = CalibratedClassifierCV(FrozenEstimator(model), method="temperature")
    calibrated.fit(X_held_out, y_held_out)

    figures = reliability(
        {"before": model, "after": calibrated},
        digits.X_test,
        digits.y_test,
        n_bins=BINS,
    )
    held_out = reliability(
        {"held out": calibrated}, X_held_out, y_held_out, n_bins=BINS
    )
    figures = pd.concat([figures, held_out])

    # scikit-learn multiplies by an inverse temperature.
    (calibrator,) = calibrated.calibrated_classifiers_[0].calibrators
    temperature = 1 / float(calibrator.beta_)
    print(f"{row.name}, {seed}: temperature {temperature:.3f}\n{figures}", flush=True)
    return {"temperature": temperature, **figures.to_dict(orient="index")}


def line(row: Row, figures: dict[str, Any]) -> str:
    """Return a row of the table in Markdown: means over seeds."""
    seeds = figures["seeds"]

    def mean(when: str, name: str) -> float:
        return float(statistics.mean(found[when][name] for found in seeds))

    def percent(when: str, name: str) -> str:
        return f"{100 * mean(when, name):.2f}"

    small_error = all(100 * found["after"]["ece"] <= GOAL for found in seeds)
    no_worse = all(found["after"]["nll"] <= found["before"]["nll"] for found in seeds)
    temperature = statistics.mean(found["temperature"] for found in seeds)
    return (
        f"| {row.name} | {percent('after', 'accuracy')} | {temperature:.2f} | "
        f"{percent('before', 'ece')} | "
        f"**{percent('after', 'ece')}** {mark(small_error)} | "
        f"{percent('after', 'ece_expected')} | {percent('held out', 'ece')} | "
        f"{mean('before', 'nll'):.4f} | "
        f"**{mean('after', 'nll'):.4f}** {mark(no_worse)} | "
        f"{mean('before', 'brier'):.4f} | {mean('after', 'brier'):.4f} |"
    )


def mark(reached: bool) -> str:
    return "✓" if reached else "not reached"


def write(rows: dict[str, Any]) -> None:
    """Write the section of RESULTS.md from all stored figures."""
    seeds = min(len(figures["seeds"]) for figures in rows.values())
    made = "Made by `python benchmarks/calibration.py`"
    places = sorted({figures["where"] for figures in rows.values()})

    text = [
        "# Calibration on MNIST", "",
        f"{made}, {seeds} seeds or more a row." if seeds > 1 else f"{made}.", "",
        __doc__.split("\n\n", 2)[2].strip(), "",
        "| | accuracy, % | temperature | ECE before, % | ECE after, % | by chance, % | "
        "held out, % | NLL before | NLL after | Brier before | Brier after |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    text += [line(ROWS[name], rows[name]) for name in ROWS if name in rows]
    enter([*text, "", "; ".join(places) + "."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--seeds", type=int, default=1, help="runs of each row (default: 1)"
    )
    parser.add_argument(
        "--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW"
    )
    options = parser.parse_args()

    path = HERE / "calibration.json"
    known: dict[str, Any] = {"rows": {}}
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
    digits = load()

    # Every row is stored at once, as the next one may take minutes.
    for name in options.rows:
        found = [measure(ROWS[name], seed, digits) for seed in range(options.seeds)]
        known["rows"][name] = {"seeds": found, "where": where()}
        print(line(ROWS[name], known["rows"][name]), flush=True)
        path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        write(known["rows"])


if __name__ == "__main__":
    main()
