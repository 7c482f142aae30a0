"""Models that end leave a rectangle of the others."""

import operator
from functools import partial

import numpy as np
import pytest
import torch
from small_networks import initial_state

from skdigits.engine.active import without
from skdigits.engine.batches import batches
from skdigits.engine.dense import DenseNetwork
from skdigits.engine.train import Problem, _all_models, _seed_noise


@pytest.fixture
def make_problem(make_plan):
    """A linear model, with all samples of a replica in one batch."""

    def make(data, distort=None):
        network = DenseNetwork((64, 10), "cross_entropy")
        plan = make_plan(batch_size=30, distort=distort, noise_seeds=(7, 8, 9))
        targets = network.targets(0.0, data.X)
        draw = partial(batches, targets=targets, batch_size=plan.batch_size)
        return Problem(network, plan, targets, None, draw)

    return make


@pytest.fixture
def make_active(data, make_hyper, make_problem):
    """Three replicas of four models each, over samples of their own, in one batch."""

    def make(distort=None, **settings):
        starts = (0, 50, 100)
        samples = torch.stack([torch.arange(start, start + 30) for start in starts])
        own = data._replace(samples=samples)
        hyper = make_hyper(12, learning_rate_init=np.arange(1.0, 13), **settings)
        problem = make_problem(data, distort)
        rngs = [np.random.RandomState(seed) for seed in range(3)]
        state = initial_state(problem.network, "sgd", rngs, 12)
        return _all_models(problem, own, own, hyper, state, rngs)

    return make


@pytest.fixture
def active(make_active):
    return make_active()


@pytest.mark.parametrize(
    ("ended", "left"),
    [
        ([(0, 1)], [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]),  # still computed
        ([(0, 1), (1, 1), (2, 1)], [[0, 2, 3], [4, 6, 7], [8, 10, 11]]),
        ([(1, m) for m in range(4)], [[0, 1, 2, 3], [8, 9, 10, 11]]),
        ([(r, m) for r in (0, 1) for m in range(4)] + [(2, 0)], [[9, 10, 11]]),
    ],
)
def test_what_is_left_is_the_smallest_rectangle(active, ended, left):
    which = torch.zeros_like(active.running)
    for place in ended:
        which[place] = True
    rest = without(active, which)
    assert rest.numbers.tolist() == left
    numbers = rest.numbers.flatten()
    running = [not which.flatten()[number] for number in numbers]
    assert rest.running.flatten().tolist() == running
    assert rest.hyper.learning_rate_init.tolist() == (numbers + 1.0).tolist()
    assert torch.equal(rest.best[0], active.best[0][numbers])
    first_samples = [50 * (row[0] // 4) for row in left]
    assert rest.replicas.data.samples[:, 0].tolist() == first_samples
    assert rest.replicas.validation.samples[:, 0].tolist() == first_samples
    rngs = [active.replicas.rngs[sample // 50] for sample in first_samples]
    assert all(map(operator.is_, rest.replicas.rngs, rngs))
    assert torch.equal(rest.totals, active.totals[numbers])


def test_total_weights_are_those_of_each_replicas_samples(
    active, data, make_hyper, make_problem
):
    expected = [data.weight[start : start + 30].sum() for start in (0, 50, 100)]
    np.testing.assert_allclose(active.totals, np.repeat(expected, 4), rtol=1e-14)

    def totals(data):
        problem = make_problem(data)
        rngs = [np.random.RandomState(0)]
        state = initial_state(problem.network, "sgd", rngs, 1)
        return _all_models(problem, data, None, make_hyper(1), state, rngs).totals

    assert totals(data).tolist() == [data.weight.sum()]
    assert totals(data._replace(weight=None)).tolist() == [200.0]


def test_the_batch_of_all_samples_has_targets_for_every_model(active, data):
    (whole,) = active.replicas.whole_batch
    assert whole.targets.shape == (12, 10, 30)
    assert torch.equal(whole.targets[6].argmax(0), data.codes[50:80])
    np.testing.assert_array_equal(whole.weight[11, 0], data.weight[100:130])


def shuffled(samples, generator):
    return samples[torch.randperm(len(samples), generator=generator)]


def test_distorted_samples_are_no_batch_that_stays(make_active):
    assert len(make_active().replicas.whole_batch) == 1
    assert make_active(shuffled).replicas.whole_batch == []


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_generators_are_there_for_what_is_drawn(make_active, dropout):
    for distort in (None, shuffled):
        replicas = make_active(distort, dropout=dropout).replicas
        assert len(replicas.dropout) == (3 if dropout else 0)
        assert len(replicas.distortion) == (3 if distort else 0)
        generators = replicas.dropout + replicas.distortion
        assert len({id(generator) for generator in generators}) == len(generators)


def numbers(generators):
    return [torch.rand(4, generator=generator).tolist() for generator in generators]


def test_noise_depends_on_epoch_and_seed_alone(make_active):
    """Whatever was drawn before; that of a replica stays its own when others leave."""
    active = make_active(shuffled, dropout=0.5)
    replicas = active.replicas
    _seed_noise(replicas, 3)
    first = numbers(replicas.distortion), numbers(replicas.dropout)
    _seed_noise(replicas, 4)
    other = numbers(replicas.distortion), numbers(replicas.dropout)
    drawn = [tuple(draws) for noise in (*first, *other) for draws in noise]
    # Replicas have the seeds 7, 8 and 9: the second of one epoch is the first of the
    # next.
    assert len(set(drawn)) == 2 * 4
    ended = torch.zeros_like(active.running)
    ended[1] = True
    left = without(active, ended).replicas
    _seed_noise(left, 3)
    assert numbers(left.distortion) == [first[0][0], first[0][2]]
    assert numbers(left.dropout) == [first[1][0], first[1][2]]
