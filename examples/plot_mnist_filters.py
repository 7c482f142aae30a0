"""The first-layer weights of a network trained on MNIST.

    python examples/plot_mnist_filters.py

scikit-learn's example "Visualization of MLP weights on MNIST" with one import changed,
and MNIST loaded by skdigits. Adapted from scikit-learn (BSD-3-Clause), Copyright (c)
2007-2026 The scikit-learn developers.
"""

# Authors: The scikit-learn developers
# SPDX-License-Identifier: BSD-3-Clause
# ruff: noqa: B905, UP031  (the code is as scikit-learn has it)

import warnings

import matplotlib.pyplot as plt
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from skdigits import MLPClassifierTorch as MLPClassifier
from skdigits.datasets import load_mnist

X, y = load_mnist(return_X_y=True)
X = X / 255.0

# Split data into train partition and test partition
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, test_size=0.7)

mlp = MLPClassifier(
    hidden_layer_sizes=(40,),
    max_iter=8,
    alpha=1e-4,
    solver="sgd",
    verbose=10,
    random_state=1,
    learning_rate_init=0.2,
)

# this example won't converge because of resource usage constraints on
# our Continuous Integration infrastructure, so we catch the warning and
# ignore it here
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", category=ConvergenceWarning, module="sklearn")
    mlp.fit(X_train, y_train)

print("Training set score: %f" % mlp.score(X_train, y_train))
print("Test set score: %f" % mlp.score(X_test, y_test))

fig, axes = plt.subplots(4, 4)
# use global min / max to ensure all weights are shown on the same scale
vmin, vmax = mlp.coefs_[0].min(), mlp.coefs_[0].max()
for coef, ax in zip(mlp.coefs_[0].T, axes.ravel()):
    ax.matshow(coef.reshape(28, 28), cmap=plt.cm.gray, vmin=0.5 * vmin, vmax=0.5 * vmax)
    ax.set_xticks(())
    ax.set_yticks(())

plt.show()
