"""Models for the demo, trained at once."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.pipeline import Pipeline, make_pipeline

from skdigits._convnet import ConvNetClassifier
from skdigits._template_matching import TemplateMatchingClassifier
from skdigits.datasets import load_mnist
from skdigits.datasets._mnist import has_mnist
from skdigits.preprocessing import DigitNormalizer

N_DIGITS = 12_000
# scikit-learn's digits are few, but seen often enough.
EPOCHS = {"MNIST": 4, "scikit-learn": 24}


def demo_models(say: Callable[[str], Any] = print) -> list[Pipeline]:
    """Return a trained ConvNet, and average images, which both take images of any size.

    They learn from MNIST, if it lies on this machine, else from the digits that come
    with scikit-learn. ``say`` is called with what happens.
    """
    mnist = has_mnist()
    source = "MNIST" if mnist else "scikit-learn"
    X, y = _mnist() if mnist else _digits()
    say(f"Training a ConvNet on {len(X):,} digits of {source}, for some seconds …")

    convnet = ConvNetClassifier(
        max_iter=EPOCHS[source], augment="affine", random_state=0
    )
    convnet.fit(X, y)
    templates = TemplateMatchingClassifier().fit(X, y)
    # The digits are normalised already, and drawings will be: those are clean.
    normaliser = DigitNormalizer(clean_up=False).fit(X)
    return [make_pipeline(normaliser, model) for model in (convnet, templates)]


def _mnist() -> tuple[np.ndarray, np.ndarray]:
    mnist: Any = load_mnist()
    return mnist.data[:N_DIGITS], mnist.target[:N_DIGITS]


def _digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    pixels = (X * 15.9).astype(np.uint8).reshape(-1, 8, 8)
    return DigitNormalizer().fit_transform(pixels), y
