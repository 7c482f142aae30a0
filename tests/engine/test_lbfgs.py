"""L-BFGS: its objective in chunks, and what it returns."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy.optimize import check_grad
from small_networks import initial_params, initial_state, make_targets

from skdigits.engine import lbfgs
from skdigits.engine.batches import Data
from skdigits.engine.coordinates import Coordinates
from skdigits.engine.dense import DenseNetwork
from skdigits.engine.losses import LOSSES
from skdigits.engine.network import select
from skdigits.engine.types import Workers


def solve(network, data, plan, hyper, **options):
    rng = np.random.RandomState(0)
    state = initial_state(network, "lbfgs", [rng], len(hyper.alpha))
    return lbfgs.minimise(network, data, plan, hyper, state, [rng], **options)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty_per_sample", [True, False])
def test_the_gradient_in_chunks_is_that_of_the_objective(
    loss, penalty_per_sample, data, make_step_hyper, resize
):
    network = DenseNetwork(
        (64, 3, 10), loss, "tanh", penalty_per_sample=penalty_per_sample
    )
    params = initial_params(network)
    targets = make_targets(10, 0.0, data.X)
    hyper = make_step_hyper(params, alpha=0.5)

    coordinates = Coordinates(params)

    def objective(vector):
        return lbfgs.objective_and_gradients(
            network, coordinates.params(vector), data, targets, hyper
        )

    start = coordinates.vector(params)
    whole, _ = objective(start)
    resize(chunk_samples=64)
    chunked, _ = objective(start)
    assert chunked.item() == pytest.approx(whole.item(), rel=1e-13)
    error = check_grad(
        lambda x: objective(x)[0].item(),
        lambda x: coordinates.gradient(objective(x)[1]),
        start,
    )
    assert error < 1e-5
    assert np.abs(coordinates.gradient(objective(start)[1])).max() > 1e-3


def test_many_equal_one_by_one(data, make_hyper, make_plan):
    network = DenseNetwork((64, 5, 10), "cross_entropy")
    plan, hyper = make_plan(epochs=20, tol=1e-4), make_hyper(2, alpha=[0.1, 10])
    together = solve(network, data, plan, hyper)
    for k, found in enumerate(together):
        (alone,) = solve(network, data, plan, select(hyper, torch.tensor([k])))
        assert found.epochs[-1].train_loss == alone.epochs[-1].train_loss
        assert all(map(torch.equal, found.state.params, alone.state.params))
    assert together[0].epochs[-1].train_loss < together[1].epochs[-1].train_loss


def test_losses_fall_and_are_counted(data, make_hyper, make_plan):
    seen = []
    (found,) = solve(
        DenseNetwork((64, 10), "cross_entropy"),
        data,
        make_plan(epochs=7, tol=0.0),
        make_hyper(alpha=1.0),
        observer=lambda models, epochs, params, runs: seen.append(
            (models, *epochs, params[0])
        ),
    )
    assert found.status == "max_iter"
    assert [epoch.epoch for epoch in found.epochs] == list(range(1, 8))
    assert [(models, epoch) for models, epoch, _ in seen] == [
        ([0], e) for e in found.epochs
    ]
    assert torch.equal(seen[-1][-1], found.state.params[0])
    assert not torch.equal(seen[-2][-1], found.state.params[0])
    losses = [epoch.train_loss for epoch in found.epochs]
    assert losses == sorted(losses, reverse=True)
    assert found.state.progress.epochs == 7


def test_a_start_at_the_minimum_is_one_record(make_hyper, make_plan):
    data = Data(torch.ones(3, 2), torch.zeros(3, dtype=torch.int64))
    network = DenseNetwork((2, 1), "cross_entropy", weight_init="zeros")
    (found,) = solve(network, data, make_plan(tol=1e-4), make_hyper(1))
    assert found.status == "converged"
    assert [epoch.train_loss for epoch in found.epochs] == [0.0]


def test_an_objective_that_is_not_finite_is_divergence(data, make_hyper, make_plan):
    huge = data._replace(X=data.X * 1e308)
    network = DenseNetwork((64, 10), "cross_entropy", weight_init="normal")
    (found,) = solve(network, huge, make_plan(tol=1e-4), make_hyper(1))
    assert found.status == "diverged"
    start = initial_params(network)
    assert all(map(torch.equal, found.state.params, start))


def test_pixels_become_floats_where_they_are_used(
    digits, make_step_hyper, monkeypatch, resize
):
    """At most one chunk a thread is in memory, and results are those of one thread."""
    X = torch.from_numpy((digits[0] * 255).astype(np.uint8))
    data = Data(X, torch.from_numpy(digits[1]))
    network = DenseNetwork((64, 10), "cross_entropy")
    params = tuple(p.float() for p in initial_params(network))
    targets = make_targets(10, 0.0, params[0])
    hyper = make_step_hyper(params, alpha=0.5)
    resize(chunk_samples=100)

    # Two threads of torch would round differently.
    def alone():
        torch.get_num_threads()
        torch.set_num_threads(1)

    def objective(n_threads):
        with ThreadPoolExecutor(n_threads, "chunks", alone) as pool:
            return lbfgs.objective_and_gradients(
                network, params, data, targets, hyper, Workers(n_threads, pool)
            )

    n_threads = torch.get_num_threads()
    expected = objective(1)
    places = set()
    made = lbfgs.batches

    def noted(data, *rest):
        assert len(data.X) <= 100
        places.add(threading.current_thread().name)
        return made(data, *rest)

    monkeypatch.setattr(lbfgs, "batches", noted)
    found = objective(2)
    torch.set_num_threads(n_threads)
    assert places <= {"chunks_0", "chunks_1"}
    assert torch.equal(found[0], expected[0])
    assert all(map(torch.equal, found[1], expected[1]))
