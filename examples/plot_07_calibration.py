"""
Overconfident probabilities
===========================

Nine in ten predictions with 90 % confidence should be right. A network that has
memorised its training digits is confident in nearly all its predictions, also in wrong
ones. A single number corrects this: a temperature that divides all logits. No
prediction changes.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from skdigits import MLPClassifierTorch
from skdigits.inspection import confidences, reliability

plt.style.use("seaborn-v0_8-colorblind")

# %%
# Digits that are hard to read
# ----------------------------
# We add noise to all digits, so that some are doubtful. A third of the digits is for
# training, and a third is for testing. The last third is for fitting the temperature.
# Training digits are useless for this, because the network classifies them correctly.

X, y = load_digits(return_X_y=True)
X = X / 16 + np.random.default_rng(0).normal(scale=0.4, size=X.shape)
X_train, X_rest, y_train, y_rest = train_test_split(
    X, y, train_size=600, stratify=y, random_state=0
)
X_held, X_test, y_held, y_test = train_test_split(
    X_rest, y_rest, train_size=600, stratify=y_rest, random_state=0
)
model = MLPClassifierTorch(100, max_iter=300, tol=None, random_state=0).fit(
    X_train, y_train
)
calibrated = CalibratedClassifierCV(FrozenEstimator(model), method="temperature")
calibrated = calibrated.fit(X_held, y_held)

# %%
# In numbers
# ----------
# The expected calibration error (``ece``) is the mean difference between confidence and
# accuracy. With few samples, a part of the error is chance. ``ece_expected`` is the
# expected error of a perfectly calibrated model.

models = {"before": model, "after": calibrated}
reliability(models, X_test, y_test).round(3)

# %%
# As a curve
# ----------
# On the diagonal, a model is right as often as its confidence says. Below the diagonal,
# it is overconfident.

figure, axes = plt.subplots(
    2, 1, figsize=(6, 6.4), height_ratios=[3, 1], sharex=True, layout="constrained"
)
for (name, fitted), marker in zip(models.items(), "os", strict=True):
    correct, confidence = confidences(fitted, X_test, y_test)
    CalibrationDisplay.from_predictions(
        correct,
        confidence,
        n_bins=8,
        strategy="quantile",
        name=name,
        ax=axes[0],
        marker=marker,
    )
    axes[1].hist(confidence, bins=np.linspace(0, 1, 21), histtype="step", linewidth=2)
axes[0].set(
    xlabel="", ylabel="accuracy", title="The same predictions, before and after",
    xlim=(0.25, 1.02), ylim=(0.25, 1.02),
)  # fmt: skip
axes[0].legend(loc="upper left")
axes[1].set(
    xlabel="confidence: probability of the predicted digit", ylabel="test digits"
)
plt.show()
