"""Speed, size and agreement of the page of `skdigits.draw`, in Chromium.

    python benchmarks/draw.py    # about two minutes on two cores

Each classifier has its default size (the perceptron 64 hidden units) and learns from
2,000 of MNIST's training digits, behind a `DigitNormalizer`. The stroke is a drawn
seven. A prediction goes from the 420 × 420 pixels of the drawing to the probabilities;
the median and the slowest of 200 count. *Rows* and *images* are the largest differences
of probabilities between the page and Python on 1,000 test digits, given to the
classifier as rows, and to the Pipeline as images. The goals are 30 ms, 400 KiB for the
ConvNet, and 1e-5. The script writes a section of RESULTS.md.
"""

import base64
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import where
from playwright.sync_api import Page, sync_playwright
from report import enter
from sklearn.pipeline import Pipeline, make_pipeline

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.datasets import load_mnist
from skdigits.draw import page
from skdigits.preprocessing import DigitNormalizer

N_TRAIN = 2_000
N_TEST = 1_000
N_TURNS = 200
SHORT = {"max_iter": 3, "tol": None, "random_state": 0}
SEVEN = [(0.3, 0.25), (0.7, 0.22), (0.72, 0.3), (0.55, 0.55), (0.45, 0.8)]
TIMES = """n => {
  const bytes = ink.bytes();
  const times = [];
  for (let i = 0; i < n; i++) {
    const start = performance.now();
    read(data.models[0], bytes, SIDE, SIDE);
    times.push(performance.now() - start);
  }
  return times;
}"""
ROWS = "rows => rows.map(r => skdigits.classify(0, r).probabilities)"
IMAGES = "rows => rows.map(r => skdigits.read(0, r, 28, 28).probabilities)"


def models() -> dict[str, Pipeline]:
    """Return fitted models by the names of the table."""
    mnist: Any = load_mnist()
    X, y = mnist.data[:N_TRAIN], mnist.target[:N_TRAIN]
    classifiers = {
        "TemplateMatchingClassifier": TemplateMatchingClassifier(),
        "SoftmaxRegression": SoftmaxRegression(**SHORT),
        "MLPClassifierTorch(64)": MLPClassifierTorch(64, **SHORT),
        "ConvNetClassifier": ConvNetClassifier(**SHORT),
    }
    return {
        name: make_pipeline(DigitNormalizer(), one).fit(X, y)
        for name, one in classifiers.items()
    }


def stroke(tab: Page) -> None:
    """Draw a seven."""
    box = tab.locator("#canvas").bounding_box()
    assert box is not None
    places = [
        (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in SEVEN
    ]
    tab.mouse.move(*places[0])
    tab.mouse.down()
    for place in places[1:]:
        tab.mouse.move(*place, steps=5)
    tab.mouse.up()


def measure(tab: Page, model: Pipeline, X: np.ndarray) -> list[str]:
    """Return the cells of a model."""
    file = Path(tempfile.mkdtemp(), "page.html")
    size = len(page(model, file).encode()) / 1024
    tab.goto(file.as_uri())
    stroke(tab)
    times = np.array(tab.evaluate(TIMES, N_TURNS))

    rows = [base64.b64encode(row).decode() for row in X]
    by_rows = np.array(tab.evaluate(ROWS, rows)) - model[-1].predict_proba(X)
    images = X.reshape(-1, 28, 28)
    by_images = np.array(tab.evaluate(IMAGES, rows)) - model.predict_proba(images)
    return [
        f"{np.median(times):.1f}",
        f"{times.max():.1f}",
        f"{size:.0f}",
        f"{abs(by_rows).max():.0e}",
        f"{abs(by_images).max():.0e}",
    ]


def main() -> None:
    """Measure every model, and write the table."""
    mnist: Any = load_mnist()
    X = mnist.data[mnist.test][:N_TEST]
    lines = [
        "# A page to draw on",
        "",
        "Made by `python benchmarks/draw.py`.",
        "",
        *(__doc__ or "").split("\n\n", 2)[2].rsplit(" The script", 1)[0].splitlines(),
        "",
        "| model | median ms | slowest ms | KiB | rows | images |",
        "|---|---|---|---|---|---|",
    ]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, model in models().items():
            cells = measure(browser.new_page(), model, X)
            lines.append(f"| {name} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
        version = browser.version
        browser.close()

    enter([*lines, "", f"({where()}, Chromium {version})"])


if __name__ == "__main__":
    main()
