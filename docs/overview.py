"""The picture in the README, on MNIST: python docs/overview.py (about two minutes)."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from sklearn.model_selection import StratifiedShuffleSplit

from skdigits import (
    ConvNetClassifier,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.datasets import load_mnist
from skdigits.inspection import (
    DigitGridDisplay,
    LearningRateSearchDisplay,
    TemplatesDisplay,
    WeightsDisplay,
    top_losses,
)
from skdigits.model_selection import BatchedGridSearchCV

mpl.use("Agg")
import matplotlib.pyplot as plt

PICTURE = Path(__file__).parent / "_static" / "overview.png"


def main() -> None:
    mnist = load_mnist()
    X = mnist.data[mnist.train]
    y = mnist.target[mnist.train]
    X_test = mnist.data[mnist.test]
    y_test = mnist.target[mnist.test]

    softmax = SoftmaxRegression(
        0.1, batch_size=64, max_iter=5, tol=None, random_state=0
    )
    search = BatchedGridSearchCV(
        softmax,
        {
            "learning_rate_init": np.geomspace(0.0003, 3, 9)
            .round(4)
            .tolist()
        },
        cv=StratifiedShuffleSplit(1, test_size=10_000, random_state=0),
        return_epoch_scores=True,
    ).fit(X, y)
    templates = TemplateMatchingClassifier().fit(X, y)
    network = ConvNetClassifier(
        max_iter=4, augment="shift", random_state=0
    ).fit(X, y)
    worst = top_losses(network, X_test, y_test, 24)["row"].to_numpy()

    # Small and dense enough that a phone, which is four inches wide, shows the labels.
    fig, axes = plt.subplots(
        2, 2, figsize=(8.6, 5.8), height_ratios=[4, 7], layout="constrained"
    )
    fig.get_layout_engine().set(wspace=0.06)
    TemplatesDisplay.from_estimator(templates).plot(axes[0, 0])
    WeightsDisplay.from_estimator(search).plot(axes[0, 1])
    LearningRateSearchDisplay.from_estimator(search, kind="epoch").plot(
        axes[1, 0]
    )
    grid = DigitGridDisplay.from_estimator(
        network, X_test, y_test, rows=worst
    )
    grid.plot(axes[1, 1])

    # The picture is part of the repository, so its accuracies are stated, not computed.
    titles = (
        "Average digits: 82 % right",
        "Weights of a linear model: 92 %",
        "Nine learning rates in one run",
        "A ConvNet's largest losses: 99.4 %",
    )
    for ax, title in zip(axes.flat, titles, strict=True):
        ax.set_title(title)

    PICTURE.parent.mkdir(exist_ok=True)
    fig.savefig(PICTURE, dpi=120)


if __name__ == "__main__":
    main()
