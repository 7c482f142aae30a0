"""
Range test or sweep?
====================

There are two quick ways to find a learning rate. The *range test* (L. N. Smith, 2017)
trains one model for a hundred steps, raises the learning rate with every step, and
records the training loss. The *sweep* trains one model per learning rate for an epoch,
and scores the models on samples that they have not seen. Small models, such as these,
train in one run. The range test is famous. The sweep measures what matters: the
accuracy on new samples.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedShuffleSplit, train_test_split

from skdigits import MLPClassifierTorch
from skdigits.model_selection import (
    BatchedGridSearchCV,
    learning_rate_range_test,
    learning_rate_sweep,
)

plt.style.use("seaborn-v0_8-colorblind")

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.5, stratify=y, random_state=0
)
model = MLPClassifierTorch(batch_size=32, max_iter=20, tol=None, random_state=0)

# %%
# The range test
# --------------
# The test trains a clone, so the model itself does not change. The result has one
# suggestion for each common rule: the learning rate at which the loss falls most
# steeply, a tenth of the learning rate at which the loss is smallest, and the middle of
# the longest interval in which the loss falls (the *valley*).

test = learning_rate_range_test(model, X_train, y_train, random_state=0)
for rule, rate in test.suggestions.items():
    print(f"{rule}: {rate:.2g}")

figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
test.plot(ax=ax)
plt.show()

# %%
# The sweep
# ---------
# The sweep trains sixteen models for one epoch each, and scores them on held-out
# samples.

sweep = learning_rate_sweep(model, X_train, y_train)
print(f"best: {sweep.best_rate:.2g}")

figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
sweep.plot(ax=ax)
plt.show()

# %%
# Which suggestion was right?
# ---------------------------
# The accuracy at the end of training decides. Here, we train for 20 epochs at each of
# thirteen learning rates. All suggestions are on the plateau, where differences of a
# few digits are chance. But the range test uses only the training loss of one model,
# and you have to choose one of its rules.

search = BatchedGridSearchCV(
    model,
    {"learning_rate_init": np.geomspace(1e-4, 1, 13)},
    cv=StratifiedShuffleSplit(1, test_size=0.25, random_state=0),
    refit=False,
).fit(X_train, y_train)
rates = test.suggestions | {"sweep": sweep.best_rate}
looks = zip(("C1", "C2", "C3", "C0"), (":", "--", "-.", "-"), strict=True)

figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
for (rule, rate), (color, style) in zip(rates.items(), looks, strict=True):
    ax.axvline(
        rate,
        color=color,
        linestyle=style,
        label=f"{rule.replace('_', ' ')}: {rate:.2g}",
    )
results = search.cv_results_
ax.plot(
    results["param_learning_rate_init"], results["mean_test_score"], "o-", color="0.3"
)
ax.set(
    xscale="log",
    xlabel="Learning rate",
    ylabel="Held-out accuracy",
    title="After 20 epochs, and what was suggested",
)
ax.legend()
plt.show()
