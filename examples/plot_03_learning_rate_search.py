"""
Search for a learning rate
==========================

A guessed learning rate is the most common reason why a network does badly. The remedy
is to try many learning rates. The models of such a search differ only in a number. So
:class:`~skdigits.model_selection.BatchedGridSearchCV` trains all of them, on all folds,
as one batch of models. It has the parameters of
:class:`~sklearn.model_selection.GridSearchCV`: only the import changes.
"""

from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skdigits import SoftmaxRegression
from skdigits.inspection import LearningRateSearchDisplay
from skdigits.model_selection import BatchedGridSearchCV

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.5, stratify=y, random_state=0
)
pipeline = make_pipeline(
    MinMaxScaler(),
    SoftmaxRegression(batch_size=32, max_iter=20, tol=None, random_state=0),
)
grid = {"softmaxregression__learning_rate_init": np.geomspace(1e-3, 10, 9).tolist()}

# %%
# Both searches train nine models on each of three folds, and find the same scores. (At
# learning rates so large that training becomes unstable, rounding errors grow into
# differences.)

found = {}
for Search in (GridSearchCV, BatchedGridSearchCV):
    begin = perf_counter()
    search = found[Search.__name__] = Search(pipeline, grid, cv=3).fit(X_train, y_train)
    print(f"{Search.__name__}: {perf_counter() - begin:.2f} s")

one_by_one, batched = (
    search.cv_results_["mean_test_score"] for search in found.values()
)
# We compare the learning rates up to 1.
np.testing.assert_allclose(batched[:7], one_by_one[:7], atol=0.005)
print(search.best_params_, f"test accuracy: {search.score(X_test, y_test):.3f}")

# %%
# Score against learning rate
# ---------------------------
# The plot shows the mean and the standard deviation over the folds. If the learning
# rate is too small, 20 epochs are not enough. If it is too large, training is unstable.

figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
LearningRateSearchDisplay.from_estimator(search, ax=ax)
plt.show()

# %%
# Score by epoch
# --------------
# With ``return_epoch_scores=True``, the batched search scores all models after every
# epoch. With ``refit_epochs="best"``, it also uses these scores: it selects the best
# pair of learning rate and number of epochs, and refits with this pair.

search.set_params(refit_epochs="best").fit(X_train, y_train)
epochs = search.best_n_epochs_
print(f"{search.best_params_} for {epochs} epochs: {search.best_score_:.3f}")

figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
LearningRateSearchDisplay.from_estimator(search, kind="epoch", ax=ax)
plt.show()
