"""Models that the tests of searches fit in a moment."""

import pytest

from skdigits import MLPClassifierTorch, SoftmaxRegression

SMALL = {"batch_size": 50, "max_iter": 3, "tol": None, "random_state": 0}


def softmax(**settings):
    return SoftmaxRegression(**SMALL | settings)


def mlp(**settings):
    return MLPClassifierTorch(**{"hidden_layer_sizes": 8} | SMALL | settings)


# Of tests that compare searches, whatever is searched.
in_vain = pytest.mark.filterwarnings("ignore:.* was searched, but has no effect")
