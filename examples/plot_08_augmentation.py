"""
Digits distorted
================

A digit that is moved by two pixels is the same digit; for a network that has seen none like
it, it is a different row of numbers. :mod:`skdigits.augmentation` moves, turns, slants and
wobbles images at random, anew in every epoch, while a model is trained.
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
# What they do
# ------------
# ``distort`` shows what training would see. The digits have a margin of two pixels here, to
# have room to move in. Lengths are given in pixels of an image of 28 × 28, and mean the same
# part of a smaller one: 5 are two pixels of 12.

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
# What they are good for
# ----------------------
# A network is trained without distortions and with each of them, and then shown test digits
# that have been moved, by up to two pixels. The one that has seen none of it is lost. Nothing
# is for free: the others have more to learn in the same time, and are not as good with digits
# that stay where they are. A convolutional network, made for such things, gains by them there,
# too: see :ref:`sphx_glr_auto_examples_plot_10_convolutional_network.py`.

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
    title="Digits that move are known to those who have seen them move",
)
ax.grid(alpha=0.3)
ax.legend(title="trained with")
plt.show()
