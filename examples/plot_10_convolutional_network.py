"""
From average images to a convolutional network
==============================================

We compare the accuracy and the training time of all classifiers of skdigits on the same
digits.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.augmentation import RandomAffine
from skdigits.inspection import LearningCurveDisplay

plt.style.use("seaborn-v0_8-colorblind")

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X.astype(np.float32) / 16, y, test_size=0.5, stratify=y, random_state=0
)

# %%
# Accuracy against seconds
# ------------------------
# A classifier that trains in epochs records each epoch in ``history_``, with the
# seconds since training began. Samples passed as ``X_val`` are not used for training.
# The model is scored on them after every epoch. The average image takes a single pass
# over the digits.

run = {"batch_size": 64, "tol": None, "random_state": 0}
cycle = run | {"learning_rate": "one_cycle", "learning_rate_init": 0.01}
models = {
    "softmax regression": SoftmaxRegression(0.1, max_iter=30, **run),
    "MLP": MLPClassifierTorch(200, max_iter=30, **cycle),
    "convolutional": ConvNetClassifier((16, 32), max_iter=20, **cycle),
    "convolutional, distorted": ConvNetClassifier(
        (16, 32), max_iter=30, augment=RandomAffine(rotation=5, shift=2), **cycle
    ),
}
# PyTorch's first convolutions are slower, so we run a few before timing anything.
ConvNetClassifier((16, 32), max_iter=1).fit(X_train, y_train)
for model in models.values():
    model.fit(X_train, y_train, X_val=X_test, y_val=y_test)
average = TemplateMatchingClassifier().fit(X_train, y_train).score(X_test, y_test)

figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
ax.axhline(
    1 - average, color="0.4", linestyle=":", label=f"average image: {average:.1%}"
)
for (name, model), marker in zip(models.items(), "os^D", strict=True):
    scores = model.history_["validation_score"]
    ax.plot(
        model.history_["seconds"],
        1 - scores,
        marker=marker,
        markevery=5,
        label=f"{name}: {scores.iloc[-1]:.1%}",
    )
ax.set(
    xscale="log",
    yscale="log",
    xlabel="seconds",
    ylabel="test error",
)
ax.set_yticks([0.3, 0.1, 0.03, 0.01], ["30 %", "10 %", "3 %", "1 %"])
ax.yaxis.minorticks_off()
ax.xaxis.set_major_formatter("{x:g}")
ax.set(title="Errors against time", ylim=(0.005, 0.5))
ax.grid(alpha=0.3)
ax.legend(loc="lower left", fontsize=9)
plt.show()

# %%
# What the distortions do
# -----------------------
# Without distortions, the network soon memorises its training digits: the training loss
# continues to fall, but the validation loss does not. With distortions, the network
# never sees the same image twice.

convolutional = {
    name: model for name, model in models.items() if "convolutional" in name
}
figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
LearningCurveDisplay.from_estimator(convolutional, ax=ax)
figure.suptitle("Training and validation loss")
plt.show()

# %%
# Early stopping
# --------------
# With ``early_stopping``, the network returns to the epoch with the best validation
# score. The validation digits are a tenth of the training digits, so the test digits
# decide nothing.

stopped = ConvNetClassifier((16, 32), max_iter=20, early_stopping=True, **cycle)
stopped.fit(X_train, y_train)
print(f"held-out accuracy: {stopped.best_validation_score_:.3f}")
print(f"test accuracy: {stopped.score(X_test, y_test):.3f}")
