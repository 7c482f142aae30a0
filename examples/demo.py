"""Three classifiers on handwritten digits, each with its best learning rate.

    make demo

Trains on scikit-learn's 1,797 digits or, if the environment variable SKDIGITS_DATA
names a folder that contains mnist/, on MNIST. Prints a table and writes figures to
demo_figures/. Each search picks the learning rate that does best on a sixth of the
training digits. The average image has no learning rate: its search picks a metric.
"""

import os
from pathlib import Path

import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix
from sklearn.model_selection import StratifiedShuffleSplit, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skdigits import MLPClassifierTorch, SoftmaxRegression, TemplateMatchingClassifier
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


def most_confused(y_true, y_pred, count=3):
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
        im_kw={"vmax": 1.5 * most},
    )


def save(display, title, name):
    """Save the figure of a display under a title."""
    display.ax_.set_title(title)
    display.figure_.savefig(FIGURES / f"{name}.png", dpi=120, bbox_inches="tight")
    plt.close(display.figure_)


def show_results(results, title):
    """Print the table: a row of cells for each classifier."""
    table = Table(title=title)
    table.add_column("classifier")
    headings = ("accuracy", "search s", "fit s", "best rate", "most confused")
    for heading in headings:
        table.add_column(heading, justify="right")

    for cells in results:
        table.add_row(*cells)
    Console(width=100).print(table)


def main():
    data, X_train, X_test, y_train, y_test, epochs = load()
    FIGURES.mkdir(exist_ok=True)

    results = []
    trained = {}
    for name, search in searches(epochs):
        search.fit(X_train, y_train)
        predicted = search.predict(X_test)
        (best,) = search.best_params_.values()
        best = f"({best})" if isinstance(best, str) else f"{best:g}"
        seconds = np.sum(search.cv_results_["mean_fit_time"])
        results.append((
            name, f"{(predicted == y_test).mean():.2%}", f"{seconds:.1f}",
            f"{search.refit_time_:.1f}", best, most_confused(y_test, predicted),
        ))  # fmt: skip

        if name == "average image":
            display = TemplatesDisplay.from_estimator(search)
            save(display, "Templates: the average digits", "templates")
        else:
            trained[f"{name}, learning rate {best}"] = search
        if name == "softmax regression":
            display = WeightsDisplay.from_estimator(search)
            save(display, "Weights of softmax regression", "weights")

    curves = LearningCurveDisplay.from_estimator(trained)
    save(curves, "Learning curves", "learning_curves")
    save(confusion(y_test, predicted), f"{name}: confusions", "confusion_matrix")

    sizes = f"{len(X_train)} training and {len(X_test)} test digits"
    show_results(results, f"{data}: {sizes}")
    print(f"Figures: {', '.join(str(path) for path in sorted(FIGURES.glob('*.png')))}")


if __name__ == "__main__":
    main()
