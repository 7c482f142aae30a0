"""RESULTS.md: its sections, and the goals of calibration and of defaults."""

import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

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


@pytest.fixture(scope="module")
def defaults():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield runpy.run_path(str(BENCHMARKS / "defaults.py"))


def figures(score, n_warnings, seconds):
    return {"scores": [score, score], "warnings": n_warnings, "seconds": seconds}


@pytest.mark.parametrize(
    ("own", "verdict"),
    [
        ((0.902, 0, 1.0), "✓"),
        ((0.902, 1, 1.1), "not reached: warnings, seconds"),
        ((0.898, 0, 1.0), "not reached: accuracy"),
    ],
)
def test_defaults_have_a_goal(own, verdict, defaults):
    found = {"own": figures(*own), "other": figures(0.91, 5, 1.0)}
    line = defaults["line"]("iris", found, has_goal=True)
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[0] == "iris"
    assert cells[4:7] == ["91.00 ± 0.00", "1.000", "5"]
    assert cells[7] == verdict
    assert len(defaults["line"]("iris", found, has_goal=False).split("|")) == 9


def test_a_pair_is_compared_in_the_same_folds(defaults):
    X, y = defaults["TABLES"]["iris"]()
    parts = defaults["folds"](X, y, scaled=True)
    assert [len(unseen[1]) for _, unseen in parts] == [30] * 5
    np.testing.assert_allclose(parts[0][0][0].std(0), 1)
    found = defaults["compare"](defaults["PAIRS"]["templates"], parts, 2)
    # The two classifiers predict the same.
    assert found["own"]["scores"] == found["other"]["scores"]
    assert np.mean(found["own"]["scores"]) > 0.8
    assert found["own"]["seconds"] > 0


def test_warnings_of_each_fit_are_counted(defaults):
    class Unsure(DummyClassifier):
        def fit(self, X, y):
            warnings.warn("one", stacklevel=1)
            warnings.warn("one", stacklevel=1)
            return super().fit(X, y)

    parts = defaults["folds"](np.eye(10), np.arange(10) % 2, scaled=False)
    _, scores, n_warnings = defaults["turn"](Unsure, parts)
    assert n_warnings == 10
    assert scores == [0.5] * 5


def test_all_tables_have_several_classes(defaults):
    assert len(defaults["TABLES"]) == 6
    for load in defaults["TABLES"].values():
        X, y = load()
        assert X.shape[0] == len(y)
        assert np.unique(y, return_counts=True)[1].min() > 20
