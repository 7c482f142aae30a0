"""
Look at the mistakes
====================

An accuracy says how many predictions are wrong. Which ones, and how surely, says what to do
about it: more data, other preprocessing, or nothing, as nobody could read that digit.
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
# Which digits are taken for which
# --------------------------------
# scikit-learn's confusion matrix serves. Its colours end at the most frequent mistake here, as
# the many digits that are right would drown the few that are not.

counts = confusion_matrix(y_test, predicted)
most = (counts - np.diag(np.diag(counts))).max()
figure, ax = plt.subplots(figsize=(5.4, 5), layout="constrained")
ConfusionMatrixDisplay(counts, display_labels=model.classes_).plot(
    ax=ax, cmap="Blues", colorbar=False, im_kw={"vmax": 1.5 * most}
)
ax.set(title="Test digits, counted", xlabel="predicted", ylabel="true")
plt.show()

# %%
# :func:`~skdigits.inspection.confusion_pairs` is the same as a list, most confused first, with
# the rows.

pairs = confusion_pairs(predicted, None, y_test)
pairs.head()

# %%
# The rows of the three commonest confusions:

rows = [row for some in pairs["rows"].head(3) for row in some]
DigitGridDisplay.from_predictions(X_test, y_test, predicted, rows=rows)
plt.show()

# %%
# Surely wrong
# ------------
# :func:`~skdigits.inspection.top_losses` finds the digits whose true label the model thinks
# least likely. In a data set that was labelled by hand, the first of them are the labels to
# check.

worst = top_losses(model, X_test, y_test, k=20)
worst.head().round(4)

# %%

display = DigitGridDisplay.from_predictions(
    X_test, y_test, predicted, rows=worst["row"]
)
display.ax_.set_title("The 20 largest losses")
plt.show()
