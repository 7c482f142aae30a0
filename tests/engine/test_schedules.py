"""Schedules against torch's and scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.neural_network._stochastic_optimizers import SGDOptimizer
from small_networks import initial_state

from skdigits.engine.batches import Data
from skdigits.engine.dense import DenseNetwork
from skdigits.engine.schedules import SCHEDULES
from skdigits.engine.train import train
from skdigits.engine.types import Progress

NONE = torch.zeros(2, dtype=torch.float64)
BEGINNING = Progress(NONE)


@pytest.mark.parametrize(("epochs", "steps"), [(1, 2), (1, 10), (4, 7), (50, 1)])
def test_one_cycle_equals_torchs(epochs, steps, make_hyper):
    hyper = make_hyper(2, learning_rate_init=[0.5, 0.01])
    found = torch.cat(
        [
            SCHEDULES["one_cycle"](
                hyper, BEGINNING._replace(cycle=e), steps, epochs, NONE
            )
            for e in range(epochs)
        ]
    )
    for k, rate in enumerate((0.5, 0.01)):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        theirs = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rate, total_steps=epochs * steps, cycle_momentum=False
        )
        expected = []
        for step in range(epochs * steps):
            expected.append(theirs.get_last_lr()[0])
            optimizer.step()
            if step + 1 < epochs * steps:
                theirs.step()
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-10)


def test_one_cycle_ends_low_and_stays_there(make_hyper):
    hyper = make_hyper(2, learning_rate_init=0.5)
    after = SCHEDULES["one_cycle"](hyper, BEGINNING._replace(cycle=4), 10, 4, NONE)
    np.testing.assert_allclose(after, np.full((10, 2), 0.5 / 250_000), rtol=1e-12)


def test_one_cycle_of_a_single_step_is_taken_at_the_full_rate(make_hyper):
    rates = SCHEDULES["one_cycle"](make_hyper(2), BEGINNING, 1, 1, NONE)
    assert rates.tolist() == [[0.1, 0.1]]


def test_invscaling_equals_scikit_learns(make_hyper):
    hyper = make_hyper(2, learning_rate_init=[0.5, 0.01], power_t=[0.5, 0.3])
    for k, (rate, power_t) in enumerate([(0.5, 0.5), (0.01, 0.3)]):
        theirs = SGDOptimizer([np.zeros(1)], rate, "invscaling", power_t=power_t)
        for seen in (0, 150, 300):
            if seen:
                theirs.iteration_ends(seen)
            found = SCHEDULES["invscaling"](hyper, Progress(NONE + seen), 3, 10, NONE)
            assert found[0, k].item() == pytest.approx(theirs.learning_rate, rel=1e-14)


def test_adaptive_equals_scikit_learns(make_hyper):
    theirs = SGDOptimizer([np.zeros(1)], 0.1, "adaptive")
    for reductions in range(4):
        count = torch.tensor([reductions, 0], dtype=torch.float64)
        found = SCHEDULES["adaptive"](make_hyper(2), BEGINNING, 3, 10, count)
        assert found[0].tolist() == pytest.approx(
            [theirs.learning_rate, 0.1], rel=1e-12
        )
        assert not theirs.trigger_stopping("", False)


def test_constant_is_constant(make_hyper, make_plan):
    """No schedule changes it, however far training and reductions have come."""
    assert SCHEDULES["constant"] is None
    network = DenseNetwork((1, 2), "cross_entropy")
    data = Data(torch.zeros(6, 1), torch.arange(6) % 2)
    state = initial_state(network, "sgd", [np.random.RandomState(0)], 2)
    stopping = state.stopping._replace(n_lr_reductions=NONE + 5)
    progress = Progress(NONE + 999, 9, 99, 9)
    state = state._replace(stopping=stopping, progress=progress)

    rngs = [np.random.RandomState(0)]
    plan = make_plan(batch_size=2, epochs=3)
    runs = train(network, data, plan, make_hyper(2), state, rngs)
    rates = [[epoch.learning_rate for epoch in run.epochs] for run in runs]
    assert rates == [[0.1] * 3] * 2
