"""The classifier that reads the digits that benchmarks find on pages."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.pipeline import Pipeline, make_pipeline

from skdigits import ConvNetClassifier
from skdigits.datasets import load_mnist
from skdigits.preprocessing import DigitNormalizer


def reader(saved: Path | None = None) -> Pipeline:
    """Return a ConvNet behind a `DigitNormalizer`.

    It has learnt from MNIST's 60,000 training digits, shifted by up to two pixels, in
    four epochs, which takes about a minute on two cores. ``saved`` is the file of a
    classifier to take instead, as joblib saves it.
    """
    normaliser = DigitNormalizer()
    if saved is not None:
        return make_pipeline(normaliser, joblib.load(saved))

    mnist: Any = load_mnist()
    network = ConvNetClassifier(max_iter=4, augment="shift", random_state=0)
    network.fit(mnist.data[mnist.train], mnist.target[mnist.train])
    return make_pipeline(normaliser, network)


def test_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return MNIST's 10,000 test digits, which chose nothing."""
    mnist: Any = load_mnist()
    return mnist.data[mnist.test], mnist.target[mnist.test]
