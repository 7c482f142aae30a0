"""The published path: the aim of the search, and the verdicts."""

import runpy
from pathlib import Path

import numpy as np
import pytest

PUBLISHED = runpy.run_path(
    str(Path(__file__).parent.parent / "benchmarks" / "published.py")
)


@pytest.mark.slow
@pytest.mark.mnist
def test_the_aim_of_the_search_is_reached(mnist):
    X_train, X_test, y_train, y_test = mnist
    X_train, X_test = (X.astype(np.float32) / 255 for X in (X_train, X_test))
    assert PUBLISHED["searched"](0).fit(X_train, y_train).score(X_test, y_test) >= 0.92


MAE = PUBLISHED["MAE"]
EXACT = [float(f"0{figure}") for figure in MAE.split()]


@pytest.mark.parametrize(
    ("published", "digits", "mean", "spread", "verdict"),
    [
        ("0.6610", MAE, 0.66101, 0.0, "equal to 4 decimals"),
        ("0.6610", MAE, 0.6611, 0.0, "not reached"),
        ("0.6610", MAE.replace(".8153", ".8154"), 0.6610, 0.0, "not reached"),
        ("0.8372", "", 0.8290, 0.002, "reproduced"),
        ("0.9783, 0.9824", "", 0.9682, 0.0008, "not reproduced"),
        ("0.9783, 0.9824", "", 0.9690, 0.0, "not reproduced"),
        ("0.1405", "", 0.12, 0.03, "within 2 spreads"),
        ("≥ 0.985 (aim)", "", 0.9849, 0.1, "not reached"),
        ("≥ 0.985 (aim)", "", 0.986, 0.0, "reached"),
    ],
)
def test_verdicts(published, digits, mean, spread, verdict):
    row = PUBLISHED["Row"]("any", published, None, digits)
    assert row.verdict(mean, spread, EXACT) == verdict
