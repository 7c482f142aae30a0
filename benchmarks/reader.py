"""The network that reads the digits of composed pages."""

import joblib
from sklearn.pipeline import Pipeline, make_pipeline

from skdigits import ConvNetClassifier
from skdigits.datasets import load_mnist
from skdigits.preprocessing import DigitNormalizer


def reader(path: str | None = None) -> Pipeline:
    """Return a ConvNet behind a normaliser, for lists of images.

    It learns from MNIST's 60,000 training digits in a minute on two idle cores, unless
    ``path`` is the file of one that joblib has saved.
    """
    if path is not None:
        return make_pipeline(DigitNormalizer(), joblib.load(path))

    mnist = load_mnist()
    network = ConvNetClassifier(augment="shift", max_iter=4, random_state=0)
    network.fit(mnist.data[mnist.train], mnist.target[mnist.train])
    return make_pipeline(DigitNormalizer(), network)
