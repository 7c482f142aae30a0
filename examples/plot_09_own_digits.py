"""
Digits of one's own
===================

A photograph of a digit on paper is large, dark on bright, uneven, and off the middle. What a
model has been trained on is small, bright on black, and centred. The model is not to blame if
it cannot read the one after the other: both have to be made alike.
:class:`~skdigits.preprocessing.DigitNormalizer` makes digits like MNIST's of any grey images.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skdigits import MLPClassifierTorch
from skdigits.preprocessing import DigitNormalizer

plt.style.use("seaborn-v0_8-colorblind")

X, y = load_digits(return_X_y=True)
pixels = (X * 255 / 16).astype(np.uint8)
X_train, X_test, y_train, y_test = train_test_split(
    pixels, y, test_size=0.5, stratify=y, random_state=0
)

# %%
# Pages
# -----
# Stand-ins for photographs: each test digit, enlarged by its own factor, in ink of its own
# darkness, somewhere on a page of grey and grainy paper.

rng = np.random.default_rng(0)


def photograph(row):
    """A page of 80 x 60 pixels, with the digit somewhere on it."""
    page = rng.normal(rng.uniform(190, 240), 3, size=(80, 60))
    factor, ink = rng.integers(3, 7), rng.uniform(0.5, 0.7)
    digit = np.kron(row.reshape(8, 8), np.ones((factor, factor)))
    top, left = (rng.integers(0, length - len(digit)) for length in page.shape)
    page[top : top + len(digit), left : left + len(digit)] -= ink * digit
    return page.clip(0, 255).astype(np.uint8)


pages = np.array([photograph(row) for row in X_test])

# %%
# Made alike
# ----------
# The normaliser finds the ground, turns dark ink to bright, crops to the ink, scales its
# longer side, and puts the centre of mass in the middle. Of a page and of the small image it
# was made from, it makes nearly the same.

normalizer = DigitNormalizer(size=16, digit_size=12)
lines = {
    "page": pages,
    "made of\nthe page": normalizer.fit_transform(pages).reshape(-1, 16, 16),
    "made of\nthe digit": normalizer.fit_transform(X_test).reshape(-1, 16, 16),
    "digit": X_test.reshape(-1, 8, 8),
}
figure, axes = plt.subplots(4, 8, figsize=(7, 4.2), layout="constrained")
for line, (name, images) in zip(axes, lines.items(), strict=True):
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for ax, image in zip(line, images, strict=False):
        ax.imshow(image, cmap="gray", vmin=0, vmax=255)
        ax.set(xticks=[], yticks=[])
figure.suptitle("Two different images become alike")
plt.show()

# %%
# What it is worth
# ----------------
# Three models learn from the small digits and read the pages. The first is shown the pages as
# they are, shrunk to the size it knows. The second is shown them in bright ink on black. The
# third has the normaliser in front, in a Pipeline: what it is trained on and what it reads are
# made in the same way.


def shrunk(pages):
    """Pages as images of 8 x 8 pixels, each a mean of the page."""
    square = pages[:, 10:70, :].reshape(len(pages), 60, 60)
    wide = np.kron(square, np.ones((1, 2, 2)))
    return (
        wide.reshape(-1, 8, 15, 8, 15)
        .mean(axis=(2, 4))
        .reshape(-1, 64)
        .astype(np.uint8)
    )


settings = {"batch_size": 64, "max_iter": 30, "tol": None, "random_state": 0}
plain = MLPClassifierTorch(100, **settings).fit(X_train, y_train)
normalised = make_pipeline(normalizer, MLPClassifierTorch(100, **settings)).fit(
    X_train, y_train
)
scores = {
    "digits, as trained on": plain.score(X_test, y_test),
    "pages, shrunk": plain.score(shrunk(pages), y_test),
    "pages, shrunk and inverted": plain.score(255 - shrunk(pages), y_test),
    "pages, normalised": normalised.score(pages, y_test),
}
figure, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
bars = ax.barh(list(scores), list(scores.values()), color=["0.7", "C0", "C0", "C0"])
ax.bar_label(bars, fmt="%.2f", padding=4)
ax.set(xlabel="accuracy (by guessing: 0.1)", xlim=(0, 1.1), title="Reading pages")
ax.invert_yaxis()
plt.show()
