"""
Three losses for one linear model
=================================

A linear model computes a number for each class, the logit. Training minimises a loss.
Here we compare three losses: the squared error of sigmoids, the squared error of
softmax probabilities, and the cross-entropy. All three are smallest for a model that is
confident and right. They differ in how fast training is, and in how carefully you have
to choose the learning rate.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedShuffleSplit, train_test_split

from skdigits import SoftmaxRegression
from skdigits.inspection import LearningRateSearchDisplay
from skdigits.model_selection import BatchedGridSearchCV

plt.style.use("seaborn-v0_8-colorblind")

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.5, stratify=y, random_state=0
)
LOSSES = {
    "sigmoid_mse": "squared error of sigmoids",
    "softmax_mse": "squared error of softmax",
    "cross_entropy": "cross-entropy",
}

# %%
# At the same learning rate
# -------------------------
# Values of different losses cannot be compared. So we measure the accuracy on a
# validation set after each epoch. With the squared errors, the accuracy falls for many
# epochs although the loss falls as well: a smaller loss need not mean a higher
# accuracy.

figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
looks = zip(("C0", "C2", "C1"), "os^", strict=True)
for (loss, name), (color, marker) in zip(LOSSES.items(), looks, strict=True):
    model = SoftmaxRegression(0.1, loss=loss, max_iter=20, tol=None, random_state=0)
    model.fit(X_train, y_train, X_val=X_test, y_val=y_test)
    ax.plot(
        "epoch",
        "validation_score",
        data=model.history_,
        color=color,
        marker=marker,
        label=name,
    )
ax.set(
    xlabel="epoch",
    ylabel="validation accuracy",
    title="Learning rate 0.1 for all",
    xticks=range(0, 21, 5),
)
ax.grid(alpha=0.3)
ax.legend()
plt.show()

# %%
# At all learning rates
# ---------------------
# This comparison is unfair: the mean of ten squares has smaller gradients from the
# start, and a larger learning rate compensates for some of this. So we try many
# learning rates for each loss. All candidates of a loss train in one run.

search = BatchedGridSearchCV(
    SoftmaxRegression(max_iter=20, tol=None, random_state=0),
    {"learning_rate_init": np.geomspace(0.01, 30, 12).tolist(), "loss": list(LOSSES)},
    cv=StratifiedShuffleSplit(2, test_size=0.25, random_state=0),
).fit(X_train, y_train)

figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
LearningRateSearchDisplay.from_estimator(search, ax=ax)
figure.suptitle("Accuracy after 20 epochs")
plt.show()

# %%
# The squared error of softmax reaches the accuracy of the cross-entropy, but only at
# unusual learning rates, between 2 and 20. The cross-entropy does well over a range of
# learning rates of a factor of a hundred. The squared error of sigmoids needs more
# epochs.
#
# Why: learning from the worst mistakes
# -------------------------------------
# Take two classes, and let *z* be the logit of the true class minus the logit of the
# other. The probability of the true class is then :math:`\sigma(z)`. The slope of the
# cross-entropy is :math:`\sigma(z) - 1`: it is steepest where the model is confident of
# the wrong class. The slope of the squared error has an additional factor
# :math:`\sigma(z)(1 - \sigma(z))`, which vanishes for such samples. So the model learns
# least from its worst mistakes.

z = np.linspace(-8, 8, 200)
p = expit(z)
figure, axes = plt.subplots(1, 2, figsize=(7, 3.2), layout="constrained")
for (name, loss, slope), style in zip(
    (
        ("squared error", (1 - p) ** 2, 2 * (1 - p) ** 2 * p),
        ("cross-entropy", np.log1p(np.exp(-z)), 1 - p),
    ),
    ("--", "-"),
    strict=True,
):
    axes[0].plot(z, loss, style, label=name)
    axes[1].plot(z, slope, style, label=name)
axes[0].set(title="The loss…", xlabel="z", ylabel="loss", ylim=(-0.1, 4))
axes[1].set(title="…and how steeply it falls", xlabel="z", ylabel="− slope")
for ax in axes:
    ax.axvspan(-8, 0, color="0.93", zorder=0)
    ax.text(-7.6, ax.get_ylim()[1] * 0.93, "wrong", va="top")
    ax.text(7.6, ax.get_ylim()[1] * 0.93, "right", va="top", ha="right")
axes[0].legend(loc="center right")
plt.show()
