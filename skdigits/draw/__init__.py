"""Draw a digit, and see what classifiers make of it.

`page` writes a fitted classifier into one HTML file that needs no network: one draws
with a mouse, a pen or a finger, and sees the picture that the classifier gets, its
logits, its probabilities and its answer. `DrawDisplay` shows the page in a notebook.

The page computes by itself, with the weights that are inside of it, and takes the
classifiers of skdigits alone or behind `DigitNormalizer`, `Deskew` and `CenterByMass`.
Any other classifier of images is drawn for by a server on this machine, which asks the
model itself, and can file labelled drawings::

    python -m skdigits.draw --demo
    python -m skdigits.draw model.skops --html digits.html
    python -m skdigits.draw model.joblib --save drawings

Examples
--------
>>> from sklearn.datasets import load_digits
>>> from sklearn.pipeline import make_pipeline
>>> from skdigits import SoftmaxRegression
>>> from skdigits.draw import page
>>> from skdigits.preprocessing import DigitNormalizer
>>> X, y = load_digits(return_X_y=True)
>>> model = make_pipeline(DigitNormalizer(), SoftmaxRegression(max_iter=5, tol=None))
>>> html = page(model.fit(X, y), title="Digits")
>>> html.startswith("<!DOCTYPE html>"), "<title>Digits</title>" in html
(True, True)
"""

from skdigits.draw._display import DrawDisplay
from skdigits.draw._page import page

__all__ = ["DrawDisplay", "page"]
