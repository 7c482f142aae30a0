"""K models at once equal K models one by one; one that has ended affects no other."""

import math

import numpy as np
import pytest
import torch
from small_networks import initial_params, initial_state

from skdigits.engine.dense import DenseNetwork
from skdigits.engine.losses import LOSSES
from skdigits.engine.network import select
from skdigits.engine.schedules import SCHEDULES
from skdigits.engine.solvers import SOLVERS
from skdigits.engine.train import train

RATES = [0.3, 0.03, 0.003]
STOCHASTIC = [name for name, solver in SOLVERS.items() if not solver.full_batch]


@pytest.fixture
def data(data):
    """Ninety of the digits: the more batches of unequal size, the better."""
    return data.take(torch.arange(90))


def run(network, data, plan, hyper, **options):
    rng = np.random.RandomState(0)
    state = initial_state(network, plan.solver, [rng], len(hyper.alpha))
    return train(network, data, plan, hyper, state, [rng], **options)


def run_replicas(network, data, plan, hyper, seeds, samples, **options):
    """A run of several replicas, each with samples and a seed of its own."""
    rngs = [np.random.RandomState(seed) for seed in seeds]
    state = initial_state(network, plan.solver, rngs, len(hyper.alpha))
    plan = plan._replace(noise_seeds=tuple(seeds))
    data = data._replace(samples=samples)
    minimise = SOLVERS[plan.solver].minimise or train
    return minimise(network, data, plan, hyper, state, rngs, **options)


def assert_same(found, expected, rtol=1e-10):
    assert found.status == expected.status
    assert len(found.epochs) == len(expected.epochs)
    for ours, theirs in zip(found.state.params, expected.state.params, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-13)
    losses = [[epoch.train_loss for epoch in run.epochs] for run in (found, expected)]
    np.testing.assert_allclose(*losses, rtol=rtol)


@pytest.mark.parametrize("solver", STOCHASTIC)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("hidden", [(), (12,)])
def test_many_at_once_equal_one_by_one(
    solver, schedule, loss, hidden, data, make_hyper, make_plan
):
    network = DenseNetwork((64, *hidden, 10), loss)
    plan = make_plan(
        solver=solver, learning_rate=schedule, batch_size=25, epochs=4, max_iter=4
    )
    hyper = make_hyper(
        3, learning_rate_init=RATES, alpha=[0, 0.1, 1], dropout=[0.0, 0.2, 0.4]
    )
    together = run(network, data, plan, hyper)
    for k in range(3):
        (alone,) = run(network, data, plan, select(hyper, torch.tensor([k])))
        assert_same(together[k], alone)
    assert together[0].epochs[-1].train_loss != together[1].epochs[-1].train_loss


@pytest.mark.parametrize("hidden", [(), (12,)])
def test_a_diverging_neighbour_changes_nothing(hidden, data, make_hyper, make_plan):
    network = DenseNetwork((64, *hidden, 10), "cross_entropy")
    plan = make_plan(batch_size=25, epochs=4)
    wild, tame = run(
        network, data, plan, make_hyper(2, learning_rate_init=[1e200, 0.1], alpha=1)
    )
    (alone,) = run(network, data, plan, make_hyper(1, alpha=1))
    assert wild.status == "diverged"
    assert all(p.isfinite().all() for p in wild.state.params)
    assert_same(tame, alone)


def test_a_diverged_model_is_what_it_was_an_epoch_before(data, make_hyper, make_plan):
    network = DenseNetwork((64, 10), "cross_entropy")
    hyper = make_hyper(1, learning_rate_init=1e200, alpha=1)
    (wild,) = run(network, data, make_plan(batch_size=25), hyper)
    assert len(wild.epochs) == 1
    assert math.isnan(wild.epochs[0].train_loss) or math.isinf(
        wild.epochs[0].train_loss
    )
    start = initial_params(network)
    assert all(map(torch.equal, wild.state.params, start))


@pytest.mark.parametrize(
    ("solver", "settings"),
    [("sgd", {"alpha": 1e4, "momentum": 0.5}), ("adamw", {"weight_decay": 1e3})],
)
def test_a_model_that_diverges_late_goes_back_one_epoch(
    solver, settings, data, make_hyper, make_plan
):
    """By then, its epochs are written to memory that earlier ones had."""
    network = DenseNetwork((64, 10), "cross_entropy")
    hyper = make_hyper(1, learning_rate_init=1, **settings)
    plan = make_plan(solver=solver, batch_size=25, epochs=100)
    (found,) = run(network, data, plan, hyper)
    assert found.status == "diverged"
    n_epochs = len(found.epochs)
    assert n_epochs > 3

    shorter = plan._replace(epochs=n_epochs - 1)
    (expected,) = run(network, data, shorter, hyper)
    for ours, theirs in zip(found.state.params, expected.state.params, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("n_models", [1, 2])
@pytest.mark.parametrize("who", ["observer", "score"])
def test_parameters_that_others_may_keep_are_never_written_to(
    solver, n_models, who, data, make_hyper, make_plan
):
    kept = []

    def observe(models, epochs, params, runs):
        kept.append((params, [p.clone() for p in params]))
        return ()

    def score(params, finite, runs):
        kept.append((params, [p.clone() for p in params]))
        return torch.zeros(len(finite), dtype=torch.float64)

    network = DenseNetwork((64, 5, 10), "cross_entropy")
    plan = make_plan(solver=solver, batch_size=25, epochs=5)
    options = {"observer": observe}
    if who == "score":
        options = {"score": score, "validation": data}
    run(network, data, plan, make_hyper(n_models), **options)
    assert len(kept) == 5
    for params, copies in kept:
        assert all(map(torch.equal, params, copies))


def test_models_stop_by_themselves(data, make_hyper, make_plan):
    network = DenseNetwork((64, 10), "cross_entropy")
    plan = make_plan(epochs=150, tol=1e-2, n_iter_no_change=3)
    hyper = make_hyper(3, learning_rate_init=[1e-7, 0.1, 0.03])
    together = run(network, data, plan, hyper)
    assert [run.status for run in together] == ["converged", "converged", "converged"]
    assert len({len(run.epochs) for run in together}) == 3
    for k in range(3):
        (alone,) = run(network, data, plan, select(hyper, torch.tensor([k])))
        assert_same(together[k], alone)


def test_early_stopping_returns_to_each_models_best_epoch(data, make_hyper, make_plan):
    network = DenseNetwork((64, 10), "cross_entropy")
    validation = data.take(torch.arange(60, 90))
    training = data.take(torch.arange(60))
    plan = make_plan(epochs=12, early_stopping=True, batch_size=20)
    hyper = make_hyper(2, learning_rate_init=[3.0, 0.01])
    for k, found in enumerate(
        run(network, training, plan, hyper, validation=validation)
    ):
        scores = [epoch.validation_score for epoch in found.epochs]
        best = int(np.argmax(scores)) + 1
        assert best < 12 or k == 1
        shorter = plan._replace(epochs=best, early_stopping=False)
        (expected,) = run(network, training, shorter, select(hyper, torch.tensor([k])))
        for ours, theirs in zip(found.state.params, expected.state.params, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10)
        logits = network.logits(found.state.params, validation.X[None])
        hit = network.to_scores(logits)[0].argmax(0) == validation.codes
        expected = (hit * validation.weight).sum() / validation.weight.sum()
        assert max(scores) == pytest.approx(expected.item(), rel=1e-12)


def test_an_observer_sees_every_epoch_of_every_model(data, make_hyper, make_plan):
    seen = []
    runs = run(
        DenseNetwork((64, 10), "cross_entropy"),
        data,
        make_plan(epochs=3),
        make_hyper(2),
        observer=lambda models, epochs, params, runs: (
            seen.append((models, epochs, params[0])) or ()
        ),
    )
    assert [models for models, _, _ in seen] == [[0, 1]] * 3
    assert [epochs for _, epochs, _ in seen] == [
        [run.epochs[e] for run in runs] for e in range(3)
    ]
    last = torch.cat([run.state.params[0] for run in runs])
    assert torch.equal(seen[-1][2], last)
    assert not torch.equal(seen[-2][2], last)


def test_the_training_loss_is_the_mean_objective_of_the_epoch(
    data, make_hyper, make_plan
):
    """At a learning rate that changes nothing, it is that of the initial weights."""
    network = DenseNetwork((64, 5, 10), "cross_entropy", penalty_per_sample=False)
    hyper = make_hyper(1, learning_rate_init=1e-300, alpha=0.2)
    (found,) = run(network, data, make_plan(epochs=1, batch_size=17), hyper)
    start = initial_params(network)
    logits = network.to_scores(network.logits(start, data.X[None]))[0].T
    losses = torch.nn.functional.cross_entropy(logits, data.codes, reduction="none")
    squares = sum(p.square().sum() for p in start[::2])
    expected = (losses * data.weight).sum() / data.weight.sum() + 0.1 * squares
    assert found.epochs[0].train_loss == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("hidden", [(), (12,)])
def test_replicas_equal_runs_of_their_own(solver, hidden, data, make_hyper, make_plan):
    """Each replica has its own samples, weights, seeds, orders and dropout masks."""
    network = DenseNetwork((64, *hidden, 10), "cross_entropy", weight_init="glorot")
    plan = make_plan(
        solver=solver,
        learning_rate="invscaling",
        batch_size=25,
        epochs=3,
        nesterovs_momentum=False,
    )
    settings = {
        "learning_rate_init": RATES[:2] * 3,
        "alpha": 1,
        "dropout": [0, 0.4] * 3,
    }
    hyper = make_hyper(6, **settings)
    samples = torch.stack([torch.arange(60), torch.arange(30, 90), torch.arange(60)])
    together = run_replicas(network, data, plan, hyper, (0, 0, 7), samples)
    for k, found in enumerate(together):
        replica = k // 2
        (alone,) = run_replicas(
            network,
            data.take(samples[replica]),
            plan,
            select(hyper, torch.tensor([k])),
            (0, 0, 7)[replica : replica + 1],
            None,
        )
        assert_same(found, alone)
    assert together[0].epochs[-1].train_loss != together[2].epochs[-1].train_loss
    assert together[0].epochs[-1].train_loss != together[4].epochs[-1].train_loss


def test_replicas_end_when_they_would_alone(data, make_hyper, make_plan):
    """Some stop, one diverges, and the others are not affected."""
    network = DenseNetwork((64, 10), "cross_entropy")
    plan = make_plan(epochs=150, tol=1e-2, n_iter_no_change=3, batch_size=40)
    hyper = make_hyper(
        6, learning_rate_init=[1e-7, 1e200, 0.1, 0.2, 0.03, 0.3], alpha=1e-3
    )
    samples = torch.stack([torch.arange(45), torch.arange(45, 90)])
    together = run_replicas(network, data, plan, hyper, (1, 2), samples)
    assert [run.status for run in together].count("diverged") == 1
    assert len({len(run.epochs) for run in together}) > 3
    for k, found in enumerate(together):
        (alone,) = run_replicas(
            network,
            data,
            plan,
            select(hyper, torch.tensor([k])),
            [(1, 2)[k // 3]],
            samples[[k // 3]],
        )
        assert_same(found, alone)
        for ours, theirs in zip(found.rng_state, alone.rng_state, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_replicas_validate_on_samples_of_their_own(data, make_hyper, make_plan):
    network = DenseNetwork((64, 10), "cross_entropy")
    plan = make_plan(epochs=12, early_stopping=True, batch_size=20)
    hyper = make_hyper(4, learning_rate_init=[3.0, 0.01] * 2)
    samples = torch.stack([torch.arange(60), torch.arange(30, 90)])
    held_out = torch.stack([torch.arange(60, 90), torch.arange(30)])
    options = {"validation": data._replace(samples=held_out)}
    together = run_replicas(network, data, plan, hyper, (1, 2), samples, **options)
    for k, found in enumerate(together):
        options = {"validation": data.take(held_out[k // 2])}
        chosen = (
            data.take(samples[k // 2]),
            plan,
            select(hyper, torch.tensor([k])),
            [1 + k // 2],
        )
        (alone,) = run_replicas(network, *chosen, None, **options)
        assert_same(found, alone)
        scores = [
            [epoch.validation_score for epoch in run.epochs] for run in (found, alone)
        ]
        assert scores[0] == pytest.approx(scores[1], rel=1e-12)


def sprinkled(samples, generator):
    """Samples (B, D) times noise of their own."""
    noise = torch.rand(samples.shape, generator=generator, dtype=samples.dtype)
    return samples * (0.5 + noise)


@pytest.mark.parametrize("batch_size", [25, 60])
@pytest.mark.parametrize("hidden", [(), (12,)])
def test_replicas_are_distorted_as_they_would_be_alone(
    hidden, batch_size, data, make_hyper, make_plan
):
    """Also if one batch holds all samples, and after a replica has left."""
    network = DenseNetwork((64, *hidden, 10), "cross_entropy", weight_init="glorot")
    plan = make_plan(batch_size=batch_size, epochs=4, distort=sprinkled)
    rates = [1e200, 1e200, 0.1, 0.03, 0.1, 0.2]  # the first replica diverges and leaves
    hyper = make_hyper(6, learning_rate_init=rates, alpha=1e-3, dropout=[0, 0.4] * 3)
    samples = torch.stack(
        [torch.arange(60), torch.arange(30, 90), torch.arange(30, 90)]
    )
    together = run_replicas(network, data, plan, hyper, (0, 5, 7), samples)
    assert [found.status for found in together] == ["diverged"] * 2 + ["max_iter"] * 4
    for k, found in list(enumerate(together))[2:]:
        seed = (0, 5, 7)[k // 2]
        alone = data.take(samples[k // 2])
        one = select(hyper, torch.tensor([k]))
        (expected,) = run_replicas(network, alone, plan, one, [seed], None)
        assert_same(found, expected)
        plain = plan._replace(distort=None)
        (undistorted,) = run_replicas(network, alone, plain, one, [seed], None)
        assert found.epochs[0].train_loss != undistorted.epochs[0].train_loss


@pytest.mark.parametrize("batch_size", [25, 90])
def test_distorted_samples_are_those_trained_on_and_new_in_every_epoch(
    batch_size, data, make_hyper, make_plan
):
    """As if each epoch had been given the distorted samples; the loss is theirs."""
    network = DenseNetwork((64, 10), "cross_entropy")
    seen = []

    def recorded(samples, generator):
        seen.append(sprinkled(samples, generator).clone())
        return seen[-1]

    plan = make_plan(batch_size=batch_size, epochs=3, shuffle=False, distort=recorded)
    (found,) = run(network, data, plan, make_hyper(1), validation=data)
    epochs = torch.cat(seen).view(3, 90, 64)
    assert not any(
        torch.isclose(epochs[e], epochs[e - 1]).all(1).any() for e in range(3)
    )
    state = initial_state(network, "sgd", [np.random.RandomState(0)], 1)
    plain = plan._replace(distort=None, epochs=1)
    for samples, record in zip(epochs, found.epochs, strict=True):
        given = data._replace(X=samples)
        rngs = [np.random.RandomState(0)]
        (step,) = train(
            network, given, plain, make_hyper(1), state, rngs, validation=data
        )
        state = step.state
        assert record.train_loss == pytest.approx(step.epochs[0].train_loss, rel=1e-12)
        assert record.validation_loss == pytest.approx(
            step.epochs[0].validation_loss, rel=1e-12
        )
    for ours, theirs in zip(found.state.params, state.params, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
