"""The digits that a plain perceptron confuses, for the guide.

    python benchmarks/guide.py            # under a minute on two cores
    python benchmarks/guide.py --seeds 1  # a third of it

Trains the row ``mlp_plain`` of benchmarks/accuracy.py on the 60,000 training digits,
and counts its confusions among the 10,000 test digits by
`skdigits.inspection.confusion_pairs`, first by true and predicted digit, then for each
pair of digits either way round. Writes a section of RESULTS.md.
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
    """Return the mistakes (pairs × seeds), and the total of each seed."""
    mnist = load_mnist()
    X = mnist.data
    y = mnist.target
    row = ROWS["mlp_plain"]

    counts = {}
    for seed in seeds:
        model = row.make(seed).fit(X[mnist.train], y[mnist.train])
        predicted = model.predict(X[mnist.test])
        pairs = confusion_pairs(predicted, None, y[mnist.test])
        counts[seed] = pairs.set_index(["true", "predicted"])["count"]
        print(f"{row.name}, {seed}: {counts[seed].sum()} mistakes", flush=True)

    table = pd.DataFrame(counts).fillna(0).astype(int)
    return table, table.sum().tolist()


def either_way(table: pd.DataFrame) -> pd.DataFrame:
    """Add up the counts of 4 for 9 and of 9 for 4, and so on."""
    both = pd.MultiIndex.from_tuples([tuple(sorted(pair)) for pair in table.index])
    return table.set_axis(both).groupby(level=[0, 1]).sum()


def lines(table: pd.DataFrame, sign: str, named: list[tuple[int, int]]) -> list[str]:
    """Return rows for the most frequent pairs, and for the named ones at any place."""
    order = table.assign(total=table.sum(axis=1)).sort_values("total", ascending=False)

    text = []
    for place, pair in enumerate(order.index, 1):
        if place <= N_PAIRS or pair in named:
            each = " | ".join(map(str, table.loc[pair, :]))
            total = table.loc[pair, :].sum()
            text.append(
                f"| {place} | {pair[0]} {sign} {pair[1]} | {each} | **{total}** |"
            )
    return text


def section(table: pd.DataFrame, totals: list[int]) -> list[str]:
    seeds = " | ".join(f"seed {seed}" for seed in table)
    ruler = "|" + "---|" * (3 + len(totals))

    return [
        "# Confusions on MNIST", "",
        f"Made by `python benchmarks/guide.py`: {ROWS['mlp_plain'].name} of the table "
        f"above, {len(totals)} seeds, on the 10,000 test digits. Mistakes in all: "
        f"{', '.join(map(str, totals))}. {where()}.", "",
        "By true and predicted digit:", "",
        f"| place | true → predicted | {seeds} | together |", ruler,
        *lines(table, "→", []), "",
        "Either way round, with the classic pairs at any place:", "",
        f"| place | pair | {seeds} | together |", ruler,
        *lines(either_way(table), "/", CLASSIC),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=3, help="networks (default: 3)")
    table, totals = count(range(parser.parse_args().seeds))

    text = section(table, totals)
    print("\n".join(text))
    # Counts of fewer than three seeds are too uncertain to be stored.
    if len(totals) >= 3:
        enter(text)


if __name__ == "__main__":
    main()
