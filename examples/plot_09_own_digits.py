"""
Your own digits
===============

A photograph of a digit on paper is large, dark on bright, uneven, and off-centre. The
digits that a model was trained on are small, bright on black, and centred. So a model
can read photographs only if both kinds of images have the same form.
:class:`~skdigits.preprocessing.DigitNormalizer` turns any grey images into digits like
MNIST's.
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
# Our stand-ins for photographs are pages of grey, grainy paper. Each shows a test digit
# somewhere on the page, enlarged by a random factor and written in ink of random
# darkness.

rng = np.random.default_rng(0)


def photograph(row):
    """Return a page of 120 x 90 pixels with the digit somewhere on it."""
    page = rng.normal(rng.uniform(190, 240), 3, size=(120, 90))
    factor = rng.integers(3, 7)
    darkness = rng.uniform(0.5, 0.7)
    digit = np.kron(row.reshape(8, 8), np.ones((factor, factor)))

    top = rng.integers(5, 115 - len(digit))
    left = rng.integers(5, 85 - len(digit))
    page[top : top + len(digit), left : left + len(digit)] -= darkness * digit
    return page.clip(0, 255).astype(np.uint8)


X_test = X_test[:200]
y_test = y_test[:200]
pages = np.array([photograph(row) for row in X_test])

# %%
# The same form for both
# ----------------------
# The normaliser first cleans images of more than 40 pixels on both sides: here it takes
# off the grain of the paper, on photographs also shadows, ruled lines and the desk. It
# inverts dark digits, crops the image to the digit, scales its longer side, and moves
# its centre of mass to the middle. A page becomes nearly the same image as the digit
# that it shows.

normalizer = DigitNormalizer(size=16, digit_size=12)
lines = {
    "page": pages,
    "page,\nnormalised": normalizer.fit_transform(pages).reshape(-1, 16, 16),
    "digit,\nnormalised": normalizer.fit_transform(X_test).reshape(-1, 16, 16),
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
# What normalisation is worth
# ---------------------------
# We train on the small digits, and read the pages in three ways. First, the pages are
# shrunk to the size of the training images. Second, they are also inverted, to bright
# on dark. Third, a Pipeline has the normaliser before the model, so training digits and
# pages are normalised in the same way.


def shrunk(pages):
    """Return pages as images of 8 x 8 pixels, by means over blocks."""
    square = pages[:, 16:104, 1:89]
    means = square.reshape(-1, 8, 11, 8, 11).mean(axis=(2, 4))
    return means.reshape(-1, 64).astype(np.uint8)


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
