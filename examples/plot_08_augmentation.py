"""
Distorted digits
================

A digit that is moved by two pixels is still the same digit. But for a network that was
never trained on moved digits, it is a different row of numbers.
:mod:`skdigits.augmentation` shifts, rotates, slants and warps training images at
random, anew in every epoch.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skdigits import MLPClassifierTorch
from skdigits.augmentation import RandomAffine, RandomElastic, RandomShift

plt.style.use("seaborn-v0_8-colorblind")

X, y = load_digits(return_X_y=True)
images = np.pad(X.reshape(-1, 8, 8).astype(np.float32) / 16, ((0, 0), (2, 2), (2, 2)))
X_train, X_test, y_train, y_test = train_test_split(
    images.reshape(len(X), 144), y, test_size=0.5, stratify=y, random_state=0
)

# %%
# What distortions do
# -------------------
# ``distort`` returns images as they are in training. Here, the digits have a margin of
# two pixels, so that they have room to move. Lengths are in pixels of an image of
# 28 × 28, and are scaled for images of other sizes: a shift of 5 moves these images of
# 12 × 12 by two pixels.

distortions = {
    "shift": RandomShift(max_shift=5),
    "affine": RandomAffine(rotation=20, scale=0.2, shear=10, shift=5),
    "elastic": RandomElastic(alpha=25, sigma=5, shift=5),
}
samples = {"as it is": np.tile(X_test[0], (9, 1))} | {
    name: distortion.distort(np.tile(X_test[0], (9, 1)), random_state=0)
    for name, distortion in distortions.items()
}

figure, axes = plt.subplots(4, 9, figsize=(7, 3.4), layout="constrained")
for line, (name, rows) in zip(axes, samples.items(), strict=True):
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for ax, row in zip(line, rows, strict=True):
        ax.imshow(row.reshape(12, 12), cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
figure.suptitle("One digit, as nine epochs would see it")
plt.show()

# %%
# What distortions are good for
# -----------------------------
# We train one network without distortions and one network with each distortion. We test
# them on digits that are moved by up to two pixels. The network without distortions
# fails. But distortions have a price: the other networks have more to learn in the same
# time, and their accuracy on unmoved digits is lower. A convolutional network also
# gains on unmoved digits: see
# :ref:`sphx_glr_auto_examples_plot_10_convolutional_network.py`.

moved = {}
for pixels in range(3):
    shift = RandomShift(max_shift=pixels * 28 / 12)
    moved[pixels] = np.vstack([shift.distort(X_test, random_state=n) for n in range(4)])

figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
augments = {"none": None} | distortions
for (name, augment), marker in zip(augments.items(), "os^D", strict=True):
    model = MLPClassifierTorch(
        200,
        augment=augment,
        learning_rate="one_cycle",
        learning_rate_init=0.01,
        batch_size=64,
        max_iter=40,
        tol=None,
        random_state=0,
    ).fit(X_train, y_train)
    scores = [model.score(rows, np.tile(y_test, 4)) for rows in moved.values()]
    ax.plot(list(moved), scores, marker=marker, label=name)
ax.set(
    xlabel="test digits moved by up to (pixels)",
    ylabel="test accuracy",
    xticks=list(moved),
    title="Training on moved digits helps to read moved digits",
)
ax.grid(alpha=0.3)
ax.legend(title="trained with")
plt.show()
