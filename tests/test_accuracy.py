"""The accuracy table: its text, and one row with the benchmark's own settings."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def accuracy():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield runpy.run_path(str(BENCHMARKS / "accuracy.py"))


@pytest.mark.slow
@pytest.mark.mnist
def test_a_plain_perceptron_reaches_its_goal(accuracy, mnist):
    X_train, X_test, y_train, y_test = mnist
    row = accuracy["ROWS"]["mlp_plain"]
    assert 100 * row.make(0).fit(X_train, y_train).score(X_test, y_test) >= row.goal


def test_resnet_18_has_the_parameters_of_the_published_one(accuracy):
    network = accuracy["resnet18"](n_channels=3, n_outputs=1000)
    assert sum(p.numel() for p in network.parameters()) == 11_689_512
    assert network(torch.zeros(2, 3, 28, 28)).shape == (2, 1000)


@pytest.mark.parametrize(
    ("scores", "seconds", "reached"),
    [
        ([99.3, 99.5, 99.4], 59.0, True),
        ([99.3, 99.5, 99.38], 59.0, False),
        ([99.3, 99.5, 99.4], 61.0, False),
    ],
)
def test_a_goal_has_an_accuracy_and_a_time(accuracy, scores, seconds, reached):
    figures = {
        "accuracies": {"test": scores, "shifted": [50.0], "rotated": [60.0]},
        "seconds": [seconds, 1.0, 99.0],
        "parameters": 1234,
    }
    line = accuracy["line"](accuracy["Row"]("a", None, 99.4, "b", 60), figures)
    assert ("✓" in line) == reached
    assert ("not reached" in line) != reached
    assert f"**{np.mean(scores):.2f}** ± {np.std(scores):.2f}" in line
    assert "| 1,234 | 50.0 | 60.0 |" in line


def test_renderings_are_what_they_are_called(accuracy):
    digit = np.zeros((1, 784), dtype=np.uint8)
    digit.reshape(28, 28)[4:24, 10:14] = 255
    found = dict(accuracy["renderings"](digit))
    assert len(found) == 14
    for name, (image,) in found.items():
        dark = "black on white" in name
        assert (image[0, 0], image.max(), image.min()) == (255 * dark, 255, 0)

    sizes = {}
    for name, image in found.items():
        foreground = np.argwhere(image[0] > 128)
        sizes[name] = tuple(np.ptp(foreground, axis=0) + 1)
    assert sizes["as they are"] == (20, 4)
    assert sizes["200 × 200, nearest"] == pytest.approx(
        (20 * 200 / 28, 4 * 200 / 28), abs=1
    )
    assert sizes["64 × 48, anti-aliased"] == pytest.approx(
        (20 * 48 / 28, 4 * 48 / 28), abs=1
    )
    stretched = sizes["64 × 48, stretched to that, nearest"]
    assert stretched == pytest.approx((20 * 64 / 28, 4 * 48 / 28), abs=1)


def test_seconds_to_an_accuracy_are_those_of_the_first_epoch_that_has_it(accuracy):
    scores, seconds = [0.98, 0.991, 0.995, 0.993], [1.0, 2.0, 3.0, 4.0]
    assert accuracy["first_above"](scores, seconds, 99.0) == 2.0
    assert accuracy["first_above"](scores, seconds, 99.4) == 3.0
    assert accuracy["first_above"](scores, seconds, 99.6) is None
