"""The digits that a plain perceptron confuses, for the guide.

    python benchmarks/guide.py            # under a minute on two cores
    python benchmarks/guide.py --seeds 1  # a third of it

Trains the row ``mlp_plain`` of benchmarks/accuracy.py on the 60,000 training digits, and by
`skdigits.inspection.confusion_pairs` counts what it takes for what among the 10,000 test
digits; then the same whichever of the two it was. Makes a section of RESULTS.md of that.
"""

import argparse

import pandas as pd
from accuracy import ROWS, where
from report import enter

from skdigits.datasets import load_mnist
from skdigits.inspection import confusion_pairs

CLASSIC = [(4, 9), (3, 5), (2, 7)]
N_PAIRS = 10


def count(seeds: range) -> tuple[pd.DataFrame, list[int]]:
    """Mistakes (pairs × seeds), and of each seed all of them, which is their sum."""
    mnist = load_mnist()
    X, y = mnist.data, mnist.target
    counts = {}
    for seed in seeds:
        model = ROWS["mlp_plain"].make(seed).fit(X[mnist.train], y[mnist.train])
        predicted = model.predict(X[mnist.test])
        pairs = confusion_pairs(predicted, None, y[mnist.test])
        counts[seed] = pairs.set_index(["true", "predicted"])["count"]
        print(
            f"{ROWS['mlp_plain'].name}, {seed}: {counts[seed].sum()} mistakes",
            flush=True,
        )
    table = pd.DataFrame(counts).fillna(0).astype(int)
    return table, table.sum().tolist()


def either_way(table: pd.DataFrame) -> pd.DataFrame:
    """The counts of 4 for 9 and 9 for 4 together, and so on."""
    both = pd.MultiIndex.from_tuples([tuple(sorted(pair)) for pair in table.index])
    return table.set_axis(both).groupby(level=[0, 1]).sum()


def lines(table: pd.DataFrame, sign: str, named: list[tuple[int, int]]) -> list[str]:
    """The most frequent pairs, and those that are named wherever they stand."""
    order = table.assign(total=table.sum(axis=1)).sort_values("total", ascending=False)
    places = {pair: place for place, pair in enumerate(order.index, 1)}
    wanted = [pair for pair, at in places.items() if at <= N_PAIRS or pair in named]
    return [
        f"| {places[pair]} | {pair[0]} {sign} {pair[1]} | "
        + " | ".join(map(str, table.loc[pair, :]))
        + f" | **{table.loc[pair, :].sum()}** |"
        for pair in wanted
    ]


def section(table: pd.DataFrame, totals: list[int]) -> list[str]:
    seeds = " | ".join(f"seed {seed}" for seed in table)
    ruler = "|" + "---|" * (3 + len(totals))
    return [
        "# Confusions on MNIST", "",
        f"Made by `python benchmarks/guide.py`: {ROWS['mlp_plain'].name} of the table above, "
        f"{len(totals)} seeds, on the 10,000 test digits. Mistakes in all: "
        + ", ".join(map(str, totals)) + f". {where()}.", "",
        "Which digit is taken for which:", "",
        f"| place | true → predicted | {seeds} | together |", ruler,
        *lines(table, "→", []), "",
        "Either way round, with the classic pairs wherever they stand:", "",
        f"| place | pair | {seeds} | together |", ruler,
        *lines(either_way(table), "/", CLASSIC),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=3, help="networks (default: 3)")
    table, totals = count(range(parser.parse_args().seeds))
    text = section(table, totals)
    print("\n".join(text))
    if len(totals) >= 3:  # fewer tell too little to be kept
        enter(text)


if __name__ == "__main__":
    main()
