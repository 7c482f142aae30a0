"""Three classifiers on handwritten digits, each with its best learning rate.

    make demo

Trains on scikit-learn's 1,797 digits or, where the environment variable SKDIGITS_DATA names
a folder with mnist/ in it, on MNIST. Prints a table and writes figures to demo_figures/.
The rate of a search is the best on a sixth of the training digits; the average image has no
rate, and the best of three metrics.
"""

import os
from pathlib import Path

import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skdigits import MLPClassifierTorch, SoftmaxRegression, TemplateMatchingClassifier
from skdigits.datasets import load_mnist

mpl.use("Agg")
import matplotlib.pyplot as plt

FIGURES = Path("demo_figures")
BLUE, ORANGE = "#0072B2", "#D55E00"  # distinct to the colour-blind, too


def load():
    """Name, X_train, X_test, y_train, y_test and epochs; pixels from 0 to 255."""
    if Path(os.environ.get("SKDIGITS_DATA", "nowhere"), "mnist").is_dir():
        mnist = load_mnist()
        parts = mnist.train, mnist.test
        X_train, X_test, y_train, y_test = (
            v[part] for v in (mnist.data, mnist.target) for part in parts
        )
        return "MNIST", X_train, X_test, y_train, y_test, 5
    X, y = load_digits(return_X_y=True)
    pixels = (X * 255 / 16).round().astype(np.uint8)
    split = train_test_split(pixels, y, test_size=0.25, stratify=y, random_state=0)
    return "scikit-learn's digits", *split, 30


def fractions(X):
    """Pixels as fractions, float32."""
    return X.astype(np.float32) / 255


def searches(epochs):
    """Name and grid search of each classifier, each in a pipeline."""
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
    held_out = StratifiedShuffleSplit(1, test_size=1 / 6, random_state=0)
    for name, (model, grid) in models.items():
        pipeline = Pipeline([("scale", FunctionTransformer(fractions)), ("model", model)])
        grid = {f"model__{parameter}": values for parameter, values in grid.items()}
        yield name, GridSearchCV(pipeline, grid, cv=held_out)


def most_confused(y_true, y_pred, count=3):
    """The pairs of a digit and what it was most often taken for, such as ``4→9 ×20``."""
    confusion = confusion_matrix(y_true, y_pred)
    np.fill_diagonal(confusion, 0)
    worst = np.argsort(-confusion, axis=None, kind="stable")[:count]
    pairs = [np.unravel_index(index, confusion.shape) for index in worst]
    return ", ".join(f"{true}→{pred} ×{confusion[true, pred]}" for true, pred in pairs)


def images(rows, labels, title, unit, path, *, signed):
    """An image for each class, all on one scale; signed values blue and red about 0."""
    side = int(np.sqrt(rows.shape[1]))
    largest = np.abs(rows).max()
    scale = {"vmin": -largest if signed else 0, "vmax": largest}
    fig, axes = plt.subplots(2, 5, figsize=(7, 3.4), layout="constrained")
    for ax, row, label in zip(axes.flat, rows, labels, strict=True):
        ax.set_axis_off()
        ax.set_title(label, fontsize=10)
        cmap = "RdBu_r" if signed else "gray"
        picture = ax.imshow(row.reshape(side, side), cmap=cmap, **scale)
    fig.suptitle(title)
    fig.colorbar(picture, ax=axes, shrink=0.8, label=unit)
    fig.savefig(path, dpi=120)
    plt.close(fig)


def learning_curves(histories, path):
    """Training loss of each epoch, a line for each classifier."""
    fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
    styles = zip((BLUE, ORANGE), ("o", "s"), strict=True)
    for (name, history), (color, marker) in zip(histories.items(), styles, strict=True):
        ax.plot(
            history["epoch"], history["train_loss"], color=color, marker=marker, markersize=4,
            label=name,
        )  # fmt: skip
    ax.set(xlabel="epoch", ylabel="training loss", title="Learning curves", yscale="log")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(alpha=0.3, which="both")
    fig.legend(loc="outside lower center")
    fig.savefig(path, dpi=120)
    plt.close(fig)


def confusion(name, y_true, y_pred, path):
    """Counts of true against predicted digits, on a scale that shows the errors."""
    counts = confusion_matrix(y_true, y_pred)
    most = (counts - np.diag(np.diag(counts))).max()
    fig, ax = plt.subplots(figsize=(5.4, 5), layout="constrained")
    ConfusionMatrixDisplay(counts).plot(
        ax=ax,
        cmap="Blues",
        colorbar=False,
        text_kw={"fontsize": 8},
        im_kw={"vmax": 1.5 * most},
    )
    ax.set_title(f"{name}: confusions")
    fig.savefig(path, dpi=120)
    plt.close(fig)


def main():
    data, X_train, X_test, y_train, y_test, epochs = load()
    table = Table(title=f"{data}: {len(X_train)} to learn from, {len(X_test)} to be tested on")
    for heading in (
        "classifier",
        "accuracy",
        "search s",
        "fit s",
        "best rate",
        "most confused",
    ):
        table.add_column(heading, justify="left" if heading == "classifier" else "right")
    FIGURES.mkdir(exist_ok=True)
    histories = {}
    for name, search in searches(epochs):
        search.fit(X_train, y_train)
        predicted = search.predict(X_test)
        (best,) = search.best_params_.values()
        best = f"({best})" if isinstance(best, str) else f"{best:g}"
        seconds = np.sum(search.cv_results_["mean_fit_time"])
        table.add_row(
            name, f"{(predicted == y_test).mean():.2%}", f"{seconds:.1f}",
            f"{search.refit_time_:.1f}", best, most_confused(y_test, predicted),
        )  # fmt: skip
        model = search.best_estimator_["model"]
        if isinstance(model, TemplateMatchingClassifier):
            images(model.templates_, model.classes_, "Templates: the average digits", "ink",
                   FIGURES / "templates.png", signed=False)  # fmt: skip
        else:
            histories[f"{name}, learning rate {best}"] = model.history_
        if isinstance(model, SoftmaxRegression):
            images(model.coef_, model.classes_, "Weights of softmax regression", "weight",
                   FIGURES / "weights.png", signed=True)  # fmt: skip
    learning_curves(histories, FIGURES / "learning_curves.png")
    confusion(name, y_test, predicted, FIGURES / "confusion_matrix.png")
    Console(width=100).print(table)
    print(f"Figures: {', '.join(str(path) for path in sorted(FIGURES.glob('*.png')))}")


if __name__ == "__main__":
    main()
