"""Calibration on MNIST: what one temperature makes of the probabilities of every model.

    python benchmarks/calibration.py                         # about 20 minutes on two cores
    python benchmarks/calibration.py --rows average softmax  # some rows

Every model of the accuracy table trains on 50,000 of the 60,000 training digits, drawn class
by class. The other 10,000 fit one temperature, by `CalibratedClassifierCV(FrozenEstimator(
model), method="temperature")`; the 10,000 test digits are what is measured. Accuracy stays
what it was, as a temperature changes no order of probabilities.

ECE is the expected calibration error, top label, in 15 bins of equal width (Guo et al. 2017);
*by chance* is the mean of what it would be for a model that is right just as often as it
says, on 10,000 digits: no model can be told from a perfect one below that. *Held out* is the
ECE of the digits that the temperature was fitted to: what is left there is no matter of a
temperature. NLL is the mean of −log p of the true class, Brier the squared error summed over
classes. Asked are an ECE of 0.5 % or less and an NLL no worse than before. Enters what it has
measured in benchmarks/calibration.json, and makes a section of RESULTS.md of that.
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

N_HELD_OUT, BINS, ASKED = 10_000, 15, 0.5  # digits, bins, per cent


class Digits(NamedTuple):
    """Digits to learn from, a part of which is held out, and those to be tested by."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def load() -> Digits:
    mnist = load_mnist()
    train, test = mnist.train, mnist.test
    return Digits(
        mnist.data[train], mnist.target[train], mnist.data[test], mnist.target[test]
    )


def measure(row: Row, seed: int, digits: Digits) -> dict[str, Any]:
    """Figures of a model before and after its temperature was fitted, and that."""
    X, X_held_out, y, y_held_out = train_test_split(
        digits.X, digits.y, test_size=N_HELD_OUT, stratify=digits.y, random_state=seed
    )
    model = row.make(seed).fit(X, y)
    calibrated = CalibratedClassifierCV(FrozenEstimator(model), method="temperature")
    calibrated.fit(X_held_out, y_held_out)
    models = {"before": model, "after": calibrated}
    figures = reliability(models, digits.X_test, digits.y_test, n_bins=BINS)
    held_out = reliability(
        {"held out": calibrated}, X_held_out, y_held_out, n_bins=BINS
    )
    figures = pd.concat([figures, held_out])
    (calibrator,) = calibrated.calibrated_classifiers_[0].calibrators
    temperature = 1 / float(calibrator.beta_)
    print(f"{row.name}, {seed}: temperature {temperature:.3f}\n{figures}", flush=True)
    return {"temperature": temperature, **figures.to_dict(orient="index")}


def line(row: Row, figures: dict[str, Any]) -> str:
    """A row of the table: means over seeds."""

    def mean(when: str, name: str, places: int = 2, scale: float = 100) -> str:
        values = [found[when][name] for found in figures["seeds"]]
        return f"{scale * statistics.mean(values):.{places}f}"

    before, after = (mean(when, "nll", 4, 1) for when in ("before", "after"))
    seeds = figures["seeds"]
    met = (
        all(100 * found["after"]["ece"] <= ASKED for found in seeds),
        all(found["after"]["nll"] <= found["before"]["nll"] for found in seeds),
    )
    verdicts = ["✓" if each else "MISSED" for each in met]
    temperature = statistics.mean(found["temperature"] for found in figures["seeds"])
    briers = (mean(when, "brier", 4, 1) for when in ("before", "after"))
    return (
        f"| {row.name} | {mean('after', 'accuracy')} | {temperature:.2f} | "
        f"{mean('before', 'ece')} | **{mean('after', 'ece')}** {verdicts[0]} | "
        f"{mean('after', 'ece_expected')} | {mean('held out', 'ece')} | {before} | "
        f"**{after}** {verdicts[1]} | {' | '.join(briers)} |"
    )


def write(rows: dict[str, Any]) -> None:
    """Write the section of RESULTS.md from all that is known."""
    seeds = min(len(figures["seeds"]) for figures in rows.values())
    text = [
        "# Calibration on MNIST", "",
        f"Made by `python benchmarks/calibration.py`, {seeds} seeds or more a row."
        if seeds > 1 else "Made by `python benchmarks/calibration.py`.", "",
        __doc__.split("\n\n", 2)[2].strip(), "",
        "| | accuracy, % | temperature | ECE before, % | ECE after, % | by chance, % | "
        "held out, % | "
        "NLL before | NLL after | Brier before | Brier after |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    text += [line(ROWS[name], rows[name]) for name in ROWS if name in rows]
    places = sorted({figures["where"] for figures in rows.values()})
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
    known = (
        json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": {}}
    )
    digits = load()
    for name in options.rows:
        found = [measure(ROWS[name], seed, digits) for seed in range(options.seeds)]
        known["rows"][name] = {"seeds": found, "where": where()}
        print(line(ROWS[name], known["rows"][name]), flush=True)
        path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        write(known["rows"])


if __name__ == "__main__":
    main()
