"""Four classifiers on handwritten digits, from the average image to a ConvNet.

    make demo

The demo trains on scikit-learn's 1,797 digits or, if the environment variable
SKDIGITS_DATA names a folder that contains mnist/, on MNIST. It prints one row per
classifier and writes figures to demo_figures/. Each search selects the learning rate
with the best accuracy on a sixth of the training digits. The average image has no
learning rate; its search selects a metric. The convolutional network uses its default
learning rate and, of MNIST, a part of the training digits.
"""

import os
import sys
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix
from sklearn.model_selection import StratifiedShuffleSplit, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.datasets import load_mnist
from skdigits.inspection import (
    LearningCurveDisplay,
    TemplatesDisplay,
    WeightsDisplay,
    confusion_pairs,
)
from skdigits.model_selection import BatchedGridSearchCV

mpl.use("Agg")
import matplotlib.pyplot as plt

FIGURES = Path("demo_figures")
# Heading and width of each column; the last column is as wide as its text.
COLUMNS = {
    "classifier": 22,
    "accuracy": 8,
    "search s": 8,
    "fit s": 5,
    "best rate": 9,
    "most confused": 0,
}
ASCII = str.maketrans({"→": ">", "×": "x"})
CONVNET_DIGITS = 8_000
CONVNET_EPOCHS = 3


class Progress:
    """A progress bar below the rows, on a terminal; also a callback, for epochs."""

    def __init__(self, total, stream=None):
        self.total = total
        self.done = 0
        self.doing = ""
        self.stream = sys.stdout if stream is None else stream

    def start(self, doing):
        """Show the current task."""
        self.doing = doing
        self.draw()

    def advance(self):
        """Count a finished step."""
        self.done += 1
        self.draw()

    def draw(self):
        bar = "#" * (24 * self.done // self.total)
        self.write(f"[{bar:.<24}] {self.doing}")

    def print(self, *lines):
        """Replace the bar by these lines, and draw the bar below them."""
        self.write("")
        for line in lines:
            print(encodable(line, self.stream), file=self.stream, flush=True)
        if self.done < self.total:
            self.draw()

    def write(self, text):
        """Write over the last line of a terminal."""
        if self.stream.isatty():
            print(f"\r{text:<70}\r{text}", end="", file=self.stream, flush=True)

    def setup(self, estimator, context):
        """Begin to follow a fit."""

    def on_fit_task_begin(self, estimator, context):
        """Begin an epoch."""

    def on_fit_task_end(self, estimator, context):
        """End an epoch."""
        if context.task_name == "epoch":
            self.advance()

    def teardown(self, estimator, context):
        """Stop following a fit."""


def encodable(line, stream):
    """Return a line without the characters that a stream cannot encode."""
    try:
        line.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return line.translate(ASCII)
    return line


def aligned(cells):
    """Return a row of the table; its first and last columns are left-aligned."""
    first, *middle, last = (
        f"{cell:>{width}}" for cell, width in zip(cells, COLUMNS.values(), strict=True)
    )
    return "  ".join([f"{first.strip():<{COLUMNS['classifier']}}", *middle, last])


def load():
    """Return name, X_train, X_test, y_train, y_test and epochs; pixels are 0 to 255."""
    if Path(os.environ.get("SKDIGITS_DATA", "nowhere"), "mnist").is_dir():
        mnist = load_mnist()
        X = mnist.data
        y = mnist.target
        train = mnist.train
        test = mnist.test
        return "MNIST", X[train], X[test], y[train], y[test], 5

    X, y = load_digits(return_X_y=True)
    pixels = (X * 255 / 16).round().astype(np.uint8)
    split = train_test_split(pixels, y, test_size=0.25, stratify=y, random_state=0)
    return "scikit-learn's digits", *split, 30


def fractions(X):
    """Scale pixels to [0, 1], as float32."""
    return X.astype(np.float32) / 255


def searches(epochs):
    """Yield the name and the grid search of each classifier, in a pipeline."""
    run = {"batch_size": 64, "max_iter": epochs, "tol": None, "random_state": 0}
    models = {
        "average image": (
            TemplateMatchingClassifier(),
            {"metric": ["mse", "mae", "cosine"]},
        ),
        "softmax regression": (
            SoftmaxRegression(**run),
            {"learning_rate_init": [0.003, 0.01, 0.03, 0.1, 0.3, 1.0]},
        ),
        "MLP, 128 hidden units": (
            MLPClassifierTorch(128, **run),
            {"learning_rate_init": [0.0003, 0.001, 0.003, 0.01]},
        ),
    }

    # A single split, rather than folds, keeps the demo short.
    held_out = StratifiedShuffleSplit(1, test_size=1 / 6, random_state=0)
    for name, (model, grid) in models.items():
        pipeline = Pipeline(
            [("scale", FunctionTransformer(fractions)), ("model", model)]
        )
        grid = {f"model__{parameter}": values for parameter, values in grid.items()}
        yield name, BatchedGridSearchCV(pipeline, grid, cv=held_out)


def most_confused(y_true, y_pred, count=2):
    """Return the most frequent confusions of two digits, such as ``4→9 ×20``."""
    pairs = confusion_pairs(y_pred, None, y_true).head(count)
    return ", ".join(
        f"{row.true}→{row.predicted} ×{row.count}" for row in pairs.itertuples()
    )


def confusion(y_true, y_pred):
    """Plot the confusion matrix, on a colour scale that shows the errors."""
    counts = confusion_matrix(y_true, y_pred)
    # Without this limit, the many right predictions would leave the errors white.
    most = (counts - np.diag(np.diag(counts))).max()
    return ConfusionMatrixDisplay(counts).plot(
        cmap="Blues",
        colorbar=False,
        text_kw={"fontsize": 8},
        im_kw={"vmax": 2 * most},
    )


def save(display, title, name):
    """Save the figure of a display under a title."""
    display.ax_.set_title(title)
    display.figure_.savefig(FIGURES / f"{name}.png", dpi=120, bbox_inches="tight")
    plt.close(display.figure_)


def draw_searched(name, search):
    """Save the templates of the average image, and the weights of the linear model."""
    if name == "average image":
        display = TemplatesDisplay.from_estimator(search)
        save(display, "Templates: the average digits", "templates")
    elif name == "softmax regression":
        display = WeightsDisplay.from_estimator(search)
        save(display, "Weights of softmax regression", "weights")


def searched(name, search, X_train, X_test, y_train, y_test):
    """Search for the best setting of a classifier; return it and its row of cells."""
    predicted = search.fit(X_train, y_train).predict(X_test)
    (best,) = search.best_params_.values()
    best = f"({best})" if isinstance(best, str) else f"{best:g}"
    seconds = np.sum(search.cv_results_["mean_fit_time"])
    return best, [
        name,
        f"{np.mean(predicted == y_test):.2%}",
        f"{seconds:.1f}",
        f"{search.refit_time_:.1f}",
        best,
        most_confused(y_test, predicted),
    ]


def convnet(n_train):
    """Return a convolutional network, and the number of digits to fit it to."""
    n_digits = min(CONVNET_DIGITS, n_train)
    # Train for more epochs on fewer digits.
    epochs = CONVNET_EPOCHS * CONVNET_DIGITS // n_digits
    return ConvNetClassifier(max_iter=epochs, random_state=0), n_digits


def convolved(model, n_digits, X_train, X_test, y_train, y_test):
    """Fit a convolutional network; return its predictions and the cells of its row."""
    start = time.perf_counter()
    model.fit(X_train[:n_digits], y_train[:n_digits])
    seconds = time.perf_counter() - start

    predicted = model.predict(X_test)
    part = "" if n_digits == len(X_train) else f", {n_digits:,} digits"
    return predicted, [
        f"ConvNet{part}",
        f"{np.mean(predicted == y_test):.2%}",
        "none",
        f"{seconds:.1f}",
        f"({model.learning_rate_init:g})",
        most_confused(y_test, predicted),
    ]


def main():
    data, *arrays, epochs = load()
    n_train, n_test = (len(X) for X in arrays[:2])
    FIGURES.mkdir(exist_ok=True)
    model, n_digits = convnet(n_train)
    progress = Progress(total=3 + model.max_iter)
    model.set_callbacks(progress)
    title = f"{data}: {n_train:,} training and {n_test:,} test digits"
    progress.print(title, "", aligned(COLUMNS), "-" * 80)

    trained = {}
    for name, search in searches(epochs):
        progress.start(name)
        best, cells = searched(name, search, *arrays)
        progress.advance()
        progress.print(aligned(cells))
        draw_searched(name, search)
        if name != "average image":
            trained[f"{name}, learning rate {best}"] = search

    progress.start("convolutional network")
    predicted, cells = convolved(model, n_digits, *arrays)
    progress.print(aligned(cells), "")
    curves = LearningCurveDisplay.from_estimator(trained)
    save(curves, "Learning curves", "learning_curves")
    matrix = confusion(arrays[-1], predicted)
    save(matrix, "ConvNet: confusions", "confusion_matrix")
    figures = ", ".join(str(path) for path in sorted(FIGURES.glob("*.png")))
    progress.print(f"Figures: {figures}")


if __name__ == "__main__":
    main()
