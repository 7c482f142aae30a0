"""Train the models of the guide's page "Draw", and put their page beside it.

The process starts before the gallery's examples run. The page is made again when the
package's code of it, or this file, has changed.
"""

import hashlib
import multiprocessing
import os
import shutil
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

N_DIGITS = 20_000
RUNNING: list[Future] = []


def write(file: Path) -> None:
    """Train four models on a part of MNIST, and write their page."""
    from sklearn.pipeline import make_pipeline

    from skdigits import (
        ConvNetClassifier,
        MLPClassifierTorch,
        SoftmaxRegression,
        TemplateMatchingClassifier,
    )
    from skdigits.datasets import load_mnist
    from skdigits.draw import page
    from skdigits.preprocessing import DigitNormalizer

    mnist = load_mnist()
    X, y = mnist.data[:N_DIGITS], mnist.target[:N_DIGITS]
    fast = {"tol": None, "random_state": 0}
    models = [
        TemplateMatchingClassifier(),
        SoftmaxRegression(0.1, batch_size=64, max_iter=5, **fast),
        MLPClassifierTorch(64, learning_rate_init=0.003, max_iter=6, **fast),
        ConvNetClassifier(max_iter=3, augment="affine", random_state=0),
    ]
    # MNIST's digits are normalised already, and drawings will be.
    normaliser = DigitNormalizer().fit(X[:1])
    first, *others = (make_pipeline(normaliser, model.fit(X, y)) for model in models)

    file.parent.mkdir(parents=True, exist_ok=True)
    page(first, file, title="Four classifiers of one stroke", compare=others)


def made(app: Sphinx) -> Path:
    """Return the file of the page, whose name changes with the code."""
    package = Path(__file__).parents[2] / "skdigits" / "draw"
    parts = [Path(__file__), *sorted(package.glob("*.*"))]
    code = b"".join(part.read_bytes() for part in parts)
    name = f"draw_{hashlib.sha256(code).hexdigest()[:16]}.html"
    return Path(app.srcdir, "auto_figures", name)


def start(app: Sphinx) -> None:
    """Start to train, unless the page is there."""
    if made(app).exists():
        return
    # The processes of figures and the gallery share the cores: threads would only wait.
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    RUNNING.append(pool.submit(write, made(app)))
    pool.shutdown(wait=False)
    os.environ.pop("OMP_NUM_THREADS")
    os.environ |= {} if before is None else {"OMP_NUM_THREADS": before}


def finish(app: Sphinx, error: Exception | None) -> None:
    """Copy the page to where the guide looks for it."""
    for training in RUNNING:
        if failure := training.exception():
            raise ExtensionError(f"the page to draw on fails: {failure!r}", failure)
    RUNNING.clear()
    if error is None and app.builder.format == "html":
        folder = Path(app.outdir, "_static")
        folder.mkdir(exist_ok=True)
        shutil.copyfile(made(app), folder / "draw.html")


def setup(app: Sphinx) -> dict:
    """Connect to the stages of a build."""
    app.connect("builder-inited", start, priority=110)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
