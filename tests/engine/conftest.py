"""Fixtures of the engine's tests."""

import numpy as np
import pytest
import torch

from skdigits.engine.types import Data


@pytest.fixture
def data(digits):
    """Two hundred digits with weights, float64."""
    X, y = digits
    weight = np.random.default_rng(1).uniform(0.5, 2, 200)
    return Data(*map(torch.from_numpy, (X[:200], y[:200], weight)))
