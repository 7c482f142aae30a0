"""The figures in the README are those that were measured."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def tables(path):
    """Rows of cells, by the heading or the line in bold that the table stands under."""
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
    job, ours, peer, theirs, factor = row
    measured = {name: (seconds, times) for name, seconds, *_, times, _ in RESULTS[job]}
    assert measured[peer] == (theirs, factor)
    assert (
        next(seconds for seconds, times in measured.values() if times == "1.00×")
        == ours
    )


def test_of_every_model_the_accuracy_is_told():
    measured = [
        [name, accuracy, seconds, published]
        for name, accuracy, _, _, published, seconds, *_ in RESULTS[
            "Accuracy on MNIST"
        ][1:]
    ]
    assert len(measured) >= 11
    assert README["How accurate"][1:] == measured
