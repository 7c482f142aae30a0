"""
The average image
=================

The simplest model averages all training images of each digit. It classifies a new image
as the digit with the closest average. No weights are trained, and nine in ten digits
are classified correctly.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skdigits import TemplateMatchingClassifier
from skdigits.inspection import TemplatesDisplay

plt.style.use("seaborn-v0_8-colorblind")

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.5, stratify=y, random_state=0
)
model = TemplateMatchingClassifier(metric="mse").fit(X_train, y_train)
print(f"accuracy: {model.score(X_test, y_test):.3f}")

# %%
# The whole model is ten images, its *templates*. If people write a digit in different
# ways, its template is a blur of these ways.

TemplatesDisplay.from_estimator(model)
plt.show()

# %%
# Smallest distance, largest score
# --------------------------------
# The mean squared error between an image and a template is a *distance*. The smallest
# distance is the best, so the prediction is the ``argmin``. A probability is a *score*.
# The largest score is the best. Taking the ``argmax`` of a distance by mistake raises
# no error, but finds the digit that looks least like the image.

distances = ((X_test[:, np.newaxis] - model.templates_) ** 2).mean(axis=2)
closest = model.classes_[distances.argmin(axis=1)]
farthest = model.classes_[distances.argmax(axis=1)]
assert (closest == model.predict(X_test)).all()
print(f"accuracy by argmin of the distance: {np.mean(closest == y_test):.3f}")
print(f"accuracy by argmax of the distance: {np.mean(farthest == y_test):.3f}")

# %%
# The model turns distances into probabilities: ``softmax(-distance / temperature)``.
# The temperature is fitted so that the true labels of the training digits become as
# probable as possible. An image halfway between two templates gets similar
# probabilities for both.

probabilities = model.predict_proba(X_test)
# We pick a digit that the model is unsure of.
row = np.abs(probabilities.max(axis=1) - 0.6).argmin()

figure, axes = plt.subplots(
    1, 3, figsize=(7, 2.6), width_ratios=[1, 1.6, 1.6], layout="constrained"
)
axes[0].imshow(X_test[row].reshape(8, 8), cmap="gray")
axes[0].set_title(f"a {y_test[row]}")
axes[0].set_axis_off()
for ax, values, best, name in (
    (axes[1], distances[row], np.argmin, "distance (MSE)"),
    (axes[2], probabilities[row], np.argmax, "probability"),
):
    colors = ["C2" if n == best(values) else "C0" for n in range(10)]
    ax.bar(model.classes_, values, color=colors)
    ax.set(xticks=range(10), xlabel="template of", title=f"{name}: {best.__name__}")
plt.show()

# %%
# Other distances, more templates
# -------------------------------
# The mean absolute error and the cosine are other distances. A digit that is written in
# several ways can have several templates, which k-means finds. With sixteen templates
# per digit, 98 % of the test digits are classified correctly. The model has then nearly
# memorised all training digits.

counts = [1, 2, 4, 8, 16]
names = {"mse": "squared error", "mae": "absolute error", "cosine": "cosine"}
figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
for (metric, name), marker in zip(names.items(), "os^", strict=True):
    scores = [
        TemplateMatchingClassifier(metric, n_templates=n, random_state=0)
        .fit(X_train, y_train)
        .score(X_test, y_test)
        for n in counts
    ]
    ax.plot(counts, scores, marker=marker, label=name)
ax.set_xscale("log", base=2)
ax.set_xticks(counts, counts)
ax.set(
    xlabel="templates per digit",
    ylabel="test accuracy",
    title="More templates, fewer errors",
)
ax.grid(alpha=0.3)
ax.legend(title="distance")
plt.show()
