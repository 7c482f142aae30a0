"""RESULTS.md: its sections, and the goals in the calibration table."""

import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def calibration():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield runpy.run_path(str(BENCHMARKS / "calibration.py"))


def test_a_section_replaces_its_previous_version_only(tmp_path):
    script = runpy.run_path(str(BENCHMARKS / "report.py"))
    enter, path = script["enter"], tmp_path / "RESULTS.md"
    enter.__globals__["HERE"] = tmp_path
    for section in (
        ["# One", "", "1", "", "## Its part"],
        ["# Two", "2"],
        ["# Three", "3"],
    ):
        enter(section)
    enter(["# Two", "", "two", ""])
    enter(["# One", "", "one"])
    expected = "# One\n\none\n\n# Two\n\ntwo\n\n# Three\n3\n"
    assert path.read_text(encoding="utf-8") == expected


def test_entering_the_same_section_again_changes_nothing(tmp_path):
    script = runpy.run_path(str(BENCHMARKS / "report.py"))
    before = (BENCHMARKS / "RESULTS.md").read_text(encoding="utf-8")
    (tmp_path / "RESULTS.md").write_text(before, encoding="utf-8")
    script["enter"].__globals__["HERE"] = tmp_path
    after_speed = before.index("\n# ")
    script["enter"](before[:after_speed].split("\n"))
    assert (tmp_path / "RESULTS.md").read_text(encoding="utf-8") == before


@pytest.mark.parametrize(
    ("ece", "nll", "marks"),
    [
        (0.005, 0.2, ["✓", "✓"]),
        (0.0051, 0.2, ["not reached", "✓"]),
        (0.004, 0.3, ["✓", "not reached"]),
    ],
)
def test_calibration_error_and_likelihood_have_a_goal(calibration, ece, nll, marks):
    figures = {
        "accuracy": 0.9,
        "ece": 0.02,
        "ece_expected": 0.001,
        "nll": 0.25,
        "brier": 0.1,
    }
    seed = {"before": figures, "after": {**figures, "ece": ece, "nll": nll}}
    seed |= {"held out": {**figures, "ece": 0.003}, "temperature": 1.5}
    line = calibration["line"](calibration["ROWS"]["average"], {"seeds": [seed]})
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[:4] == ["average image", "90.00", "1.50", "2.00"]
    assert cells[4:7] == [f"**{100 * ece:.2f}** {marks[0]}", "0.10", "0.30"]
    assert cells[7:] == ["0.2500", f"**{nll:.4f}** {marks[1]}", "0.1000", "0.1000"]
