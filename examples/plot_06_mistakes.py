"""
Look at the mistakes
====================

The accuracy tells you how many predictions are wrong. The wrong predictions and their
confidence tell you what to do: collect more data, change the preprocessing, or do
nothing, because nobody could read these digits.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix
from sklearn.model_selection import train_test_split

from skdigits import SoftmaxRegression
from skdigits.inspection import DigitGridDisplay, confusion_pairs, top_losses

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.5, stratify=y, random_state=0
)
model = SoftmaxRegression(0.1, max_iter=50, tol=None, random_state=0).fit(
    X_train, y_train
)
predicted = model.predict(X_test)
print(f"{(predicted != y_test).sum()} of {len(y_test)} test digits are wrong")

# %%
# Which digits are confused
# -------------------------
# We use scikit-learn's confusion matrix. The colour scale ends at twice the most
# frequent mistake. Otherwise, the many correct predictions would hide the few mistakes.

counts = confusion_matrix(y_test, predicted)
most = (counts - np.diag(np.diag(counts))).max()
figure, ax = plt.subplots(figsize=(5.4, 5), layout="constrained")
ConfusionMatrixDisplay(counts, display_labels=model.classes_).plot(
    ax=ax, cmap="Blues", colorbar=False, im_kw={"vmax": 2 * most}
)
ax.set(title="Test digits, counted", xlabel="predicted", ylabel="true")
plt.show()

# %%
# :func:`~skdigits.inspection.confusion_pairs` returns the same counts as a table, with
# the most frequent confusion first, and the rows of ``X_test`` in which it occurs.

pairs = confusion_pairs(predicted, None, y_test)
pairs.head()

# %%
# These are the digits of the three most frequent confusions:

rows = np.concatenate(pairs["rows"].head(3).to_list())
DigitGridDisplay.from_predictions(X_test, y_test, predicted, rows=rows)
plt.show()

# %%
# Confidently wrong
# -----------------
# :func:`~skdigits.inspection.top_losses` finds the digits whose true label has the
# lowest probability. If a data set was labelled by hand, check the labels of these
# digits first.

worst = top_losses(model, X_test, y_test, k=20)
worst.head().round(4)

# %%

display = DigitGridDisplay.from_predictions(
    X_test, y_test, predicted, rows=worst["row"]
)
display.ax_.set_title("The 20 largest losses")
plt.show()
