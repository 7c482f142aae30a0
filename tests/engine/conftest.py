"""Fixtures of the engine's tests."""

import numpy as np
import pytest
import torch

from skdigits.engine.batches import Data
from skdigits.engine.network import step_hyper


@pytest.fixture
def data(digits):
    """Two hundred digits with weights, float64."""
    X, y = digits
    weight = np.random.default_rng(1).uniform(0.5, 2, 200)
    return Data(*map(torch.from_numpy, (X[:200], y[:200], weight)))


@pytest.fixture
def make_step_hyper(make_hyper, make_plan):
    """Build `StepHyper` of the models of parameters, as `make_hyper` builds `Hyper`."""

    def make(params, **values):
        return step_hyper(make_hyper(len(params[0]), **values), make_plan(), params)

    return make
