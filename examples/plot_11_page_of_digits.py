"""
A page of digits
================

A photograph of a note shows many digits, and a classifier reads one at a time.
:func:`~skdigits.preprocessing.find_digits` finds the digits of a page and cuts them
out, and :class:`~skdigits.inspection.DigitsOnPageDisplay` draws what a model reads.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline

from skdigits import MLPClassifierTorch
from skdigits.inspection import DigitsOnPageDisplay
from skdigits.preprocessing import DigitNormalizer, find_digits

X, y = load_digits(return_X_y=True)
pixels = (X * 255 / 16).astype(np.uint8)
X_train, X_test, y_train, y_test = pixels[:1300], pixels[1300:], y[:1300], y[1300:]

# %%
# A reader
# --------
# The normaliser brings training digits and cut-outs to the same form.

reader = make_pipeline(
    DigitNormalizer(size=16, digit_size=12),
    MLPClassifierTorch(100, batch_size=64, max_iter=30, tol=None, random_state=0),
)
reader.fit(X_train, y_train)

# %%
# A note
# ------
# Our stand-in for a photograph is a sheet with a phone number and a postcode, made of
# digits that the reader has not seen. The light falls off to the right.

rng = np.random.default_rng(1)
# Pixels of the note for each pixel of a digit.
SCALE = 5


def written(digit):
    """Return a random test digit of this class, enlarged, from 0 to 1."""
    row = X_test[rng.choice(np.flatnonzero(y_test == digit))]
    return np.kron(row.reshape(8, 8) / 255, np.ones((SCALE, SCALE)))


note = np.zeros((260, 560))
for top, text in [(40, "069 5550142"), (160, "10115")]:
    for place, letter in enumerate(text):
        if letter != " ":
            left = 40 + 46 * place
            note[top : top + 8 * SCALE, left : left + 8 * SCALE] = written(int(letter))

light = np.linspace(1, 0.6, 560)
photograph = light * (225 - 170 * note) + rng.normal(0, 3, note.shape)

display = DigitsOnPageDisplay.from_estimator(reader, photograph)
plt.show()

# %%
# The number is 069 5550142. Two digits are read wrongly, and both are orange: the
# probability of what was read is below 0.8. Digits come line by line, so that the line
# of each tells which number it belongs to.

lines = [[], []]
for digit, label in zip(display.found, display.labels, strict=True):
    lines[digit.row].append(str(label))
for line in lines:
    print("".join(line))

# %%
# A sudoku
# --------
# In a printed grid, each digit stands in a cell: ``layout="cells"`` finds the lines,
# and the row and column of each cell. Empty cells stay 0 in the array.

puzzle = np.array([[1, 0, 0, 4], [0, 0, 2, 0], [0, 3, 0, 0], [4, 0, 0, 2]])
sheet = np.zeros((360, 360))
for row, column in np.argwhere(puzzle):
    top = 40 + 70 * row + 16
    left = 40 + 70 * column + 16
    cell = written(puzzle[row, column])
    sheet[top : top + 8 * SCALE, left : left + 8 * SCALE] = cell
for line in range(40, 360, 70):
    sheet[line : line + 2, 40:322] = 0.9
    sheet[40:322, line : line + 2] = 0.9
photograph = 225 - 170 * sheet + rng.normal(0, 3, sheet.shape)

found = find_digits(photograph, layout="cells")
cut_outs = [digit.cut_out for digit in found]
labels = reader.predict(cut_outs)

board = np.zeros((4, 4), dtype=int)
for digit, label in zip(found, labels, strict=True):
    board[digit.row, digit.column] = label
print(board)
print("cells that were read wrongly:", np.count_nonzero(board != puzzle))

# %%
# ``from_predictions`` draws what was found and read before.

proba = reader.predict_proba(cut_outs)
_, ax = plt.subplots(figsize=(4.5, 4.8), layout="constrained")
DigitsOnPageDisplay.from_predictions(photograph, found, labels, proba, ax=ax)
plt.show()
