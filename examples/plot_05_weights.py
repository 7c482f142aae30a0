"""
What weights look like
======================

A linear model has a weight for each pixel and class, so its weights are ten images. The
average of a digit shows what the digit looks like. The weights of a digit show how it
differs from the other digits.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits.inspection import WeightsDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.5, stratify=y, random_state=0
)

# %%
# Softmax regression
# ------------------
# A bright pixel is evidence for the digit if its weight is red, and evidence against
# the digit if its weight is blue. The middle of a 0 is blue, because a 0 has no ink
# there.

linear = SoftmaxRegression(0.1, max_iter=50, tol=None, random_state=0).fit(
    X_train, y_train
)
print(f"test accuracy: {linear.score(X_test, y_test):.3f}")

WeightsDisplay.from_estimator(linear)
plt.show()

# %%
# Weights under a penalty
# -----------------------
# The penalty ``alpha`` keeps weights small. With a small penalty, the model uses every
# pixel that helps with some training digit. With a large penalty, the weights approach
# the average of the digit minus the average of all digits, and look like templates.

figure, axes = plt.subplots(3, 1, figsize=(5, 8), layout="constrained")
for ax, alpha in zip(axes, (0.0001, 0.01, 1), strict=True):
    model = SoftmaxRegression(solver="lbfgs", alpha=alpha, max_iter=1000)
    score = model.fit(X_train, y_train).score(X_test, y_test)
    WeightsDisplay.from_estimator(model, ax=ax)
    ax.set_title(f"alpha={alpha}: test accuracy {score:.3f}")
plt.show()

averages = np.array([X_train[y_train == digit].mean(axis=0) for digit in range(10)])
averages -= X_train.mean(axis=0)
correlation = np.corrcoef(model.coef_.ravel(), averages.ravel())[0, 1]
print(f"correlation with the averages: {correlation:.3f}")

# %%
# A hidden layer
# --------------
# The units of a hidden layer do not belong to single digits. Each unit detects a
# stroke, an edge or an empty place that several digits share. The second layer combines
# the units.

mlp = MLPClassifierTorch(
    36, alpha=1, batch_size=64, max_iter=60, tol=None, random_state=0
)
mlp.fit(X_train, y_train)
print(f"test accuracy: {mlp.score(X_test, y_test):.3f}")

WeightsDisplay.from_estimator(mlp)
plt.show()

# %%
# A convolution
# -------------
# A convolutional network slides small kernels of weights over the image, here of 5 × 5
# pixels.

net = ConvNetClassifier((12, 24), max_iter=10, random_state=0).fit(X_train, y_train)
print(f"test accuracy: {net.score(X_test, y_test):.3f}")

WeightsDisplay.from_estimator(net)
plt.show()
