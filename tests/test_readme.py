"""The figures in the README are the measured ones."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def tables(path):
    """Return the rows of cells of each table, by the heading or bold line above it."""
    found, under = {}, ""
    for line in (ROOT / path).read_text(encoding="utf-8").splitlines():
        if line.startswith("|") and not set(line) <= set("|- "):
            cells = [cell.strip() for cell in line.split("|")[1:-1]]
            found.setdefault(under, []).append(cells)
        elif heading := re.fullmatch(r"#+ (.+)|\*\*(.+?)\.?\*\*", line):
            under = heading[1] or heading[2]
    return found


README, RESULTS = tables("README.md"), tables("benchmarks/RESULTS.md")


@pytest.mark.parametrize(
    "row", README["How fast"][1:], ids=lambda row: f"{row[0]}: {row[2]}"
)
def test_times(row):
    job, own, peer, theirs, speedup, busy = row
    head, *lines = RESULTS[job]
    names = ["median s", "speed-up", "busy speed-up"]
    # Some jobs have been measured on idle cores alone.
    columns = [head.index(name) for name in names if name in head]
    measured = {line[0]: [line[at] for at in columns] for line in lines}
    expected = [theirs, speedup, busy]
    assert measured[peer] == expected[: len(columns)]
    assert any(expected[len(columns) :]) is False
    first = next(found[0] for found in measured.values() if found[1] == "1.00×")
    assert first == own


def test_the_accuracy_of_every_model_is_in_the_readme():
    measured = [
        [name, accuracy, seconds, published]
        for name, accuracy, _, _, published, seconds, *_ in RESULTS[
            "Accuracy on MNIST"
        ][1:]
    ]
    assert len(measured) >= 11
    assert README["How accurate"][1:] == measured
