"""The demo prints as it goes, with a bar on terminals, in whatever signs they have."""

import io
import runpy
from pathlib import Path

import numpy as np
import pytest

from skdigits import SoftmaxRegression

DEMO = Path(__file__).parent.parent / "examples" / "demo.py"


class Stream(io.TextIOWrapper):
    """A stream that may be a terminal, and knows when it was flushed."""

    def __init__(self, encoding, terminal):
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding=encoding, newline="")
        self.terminal = terminal

    def isatty(self):
        return self.terminal

    def shown(self):
        """Return what has been flushed."""
        return self.bytes.getvalue().decode(self.encoding)


@pytest.fixture(scope="module")
def demo():
    return runpy.run_path(str(DEMO), run_name="demo")


CELLS = ["MLP, 128 hidden units", "97.91%", "5.2", "1.4", "0.003", "4→9 ×120, 7→2 ×113"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("terminal", [True, False])
def test_rows_are_printed_at_once(demo, encoding, terminal):
    stream = Stream(encoding, terminal)
    progress = demo["Progress"](total=4, stream=stream)
    progress.print(demo["aligned"](demo["COLUMNS"]))
    progress.start("perceptron")
    progress.advance()
    progress.print(demo["aligned"](CELLS))

    shown = stream.shown()
    confused = "4→9 ×120, 7→2 ×113" if encoding == "utf-8" else "4>9 x120, 7>2 x113"
    assert confused in shown
    assert ("[######..................] perceptron" in shown) == terminal
    # What a terminal shows: each carriage return begins the line anew.
    lines = [line.split("\r")[-1] for line in shown.split("\n")]
    heading, row = lines[0], lines[1]
    assert heading.index("accuracy") + 8 == row.index("97.91%") + 6
    assert heading.index("best rate") + 9 == row.index("0.003") + 5
    assert heading.index("most confused") == row.index(confused)
    assert len(row) <= 80


def test_the_bar_follows_the_epochs_of_a_fit(demo, digits):
    stream = Stream("ascii", True)
    progress = demo["Progress"](total=5, stream=stream)
    progress.start("softmax regression")
    model = SoftmaxRegression(0.1, max_iter=4, tol=None).set_callbacks(progress)
    model.fit(*digits)
    assert progress.done == 4
    bars = [part[:26] for part in stream.shown().split("\r") if part.startswith("[")]
    assert [bar.count("#") for bar in bars[::2]] == [0, 4, 9, 14, 19]
    progress.advance()
    stream.bytes.truncate(stream.bytes.seek(0))
    progress.print("end")
    assert stream.shown().split("\r")[-1] == "end\n"


def test_a_part_of_mnist_is_named(demo, digits):
    X, y = digits
    model, n_digits = demo["convnet"](60_000)
    assert n_digits == 8_000
    alone, all_digits = demo["convnet"](1347)
    assert all_digits == 1347
    assert model.max_iter < alone.max_iter

    small = SoftmaxRegression(0.1, max_iter=2, tol=None)
    arrays = X[:300], X[300:], y[:300], y[300:]
    predicted, cells = demo["convolved"](small, 100, *arrays)
    assert cells[0] == "ConvNet, 100 digits"
    assert cells[1] == f"{np.mean(predicted == y[300:]):.2%}"
    assert demo["convolved"](small, 300, *arrays)[1][0] == "ConvNet"
