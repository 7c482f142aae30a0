"""
Three losses for one linear model
=================================

A linear model gives each class a number, its logit. What it learns depends on what it is told
to make small: the squared error of sigmoids, the squared error of softmax probabilities, or
the cross-entropy. All three are least for a model that is right and sure of it. They differ in
how fast they get there, and in how much one has to know about learning rates.
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
# Values of different losses cannot be compared, so we count how many digits of a validation
# set are right after each epoch. Under the squared errors, that number falls for a long time,
# although the loss falls, too: a loss is not an accuracy.

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
# That comparison is unfair: the mean of ten classes' squares has smaller gradients to begin
# with, and a larger learning rate makes up for some of it. So we try many rates for each loss.
# All candidates of a loss are trained in one run.

search = BatchedGridSearchCV(
    SoftmaxRegression(max_iter=20, tol=None, random_state=0),
    {"learning_rate_init": np.geomspace(0.01, 100, 13).tolist(), "loss": list(LOSSES)},
    cv=StratifiedShuffleSplit(2, test_size=0.25, random_state=0),
).fit(X_train, y_train)

figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
LearningRateSearchDisplay.from_estimator(search, ax=ax)
figure.suptitle("Accuracy after 20 epochs")
plt.show()

# %%
# The squared error of softmax gets as far as the cross-entropy, at rates between 2 and 20, but
# not where one would have looked. The cross-entropy does well at rates that differ by a factor
# of a hundred. The squared error of sigmoids would need more epochs.
#
# Why: who is wrong has to learn
# ------------------------------
# Take two classes, and let *z* be by how much the logit of the true one is larger, so that its
# probability is :math:`\sigma(z)`. The slope of the cross-entropy is :math:`\sigma(z) - 1`: it
# is steepest where the model is sure of the wrong class. The slope of a squared error has the
# factor :math:`\sigma(z)(1 - \sigma(z))` besides, and vanishes there, too: the worst mistakes
# are those that least is learnt from.

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
