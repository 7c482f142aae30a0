"""Models that end leave a rectangle of the others."""

import operator

import numpy as np
import pytest
import torch

from skdigits.engine.field import all_models, total_weights
from skdigits.engine.losses import target_table
from skdigits.engine.networks import DenseNetwork
from skdigits.engine.train import initial_state


@pytest.fixture
def make_field(data, make_hyper, make_plan):
    """Three streams of four models each, over rows of their own; everything is one batch."""

    def make(distort=None, **settings):
        rows = torch.stack([torch.arange(start, start + 30) for start in (0, 50, 100)])
        own = data._replace(rows=rows)
        hyper = make_hyper(12, learning_rate=np.arange(1.0, 13), **settings)
        plan = make_plan(batch_size=30, distort=distort, noise_seeds=(7, 8, 9))
        rngs = [np.random.RandomState(seed) for seed in range(3)]
        network = DenseNetwork((64, 10), "cross_entropy")
        state = initial_state(network, "sgd", rngs, 12, data.X[:0])
        table = target_table(10, 0.0, data.X)
        return all_models(own, own, table, plan, hyper, state, rngs)

    return make


@pytest.fixture
def field(make_field):
    return make_field()


@pytest.mark.parametrize(
    ("ended", "left"),
    [
        ([(0, 1)], [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]),  # still computed
        ([(0, 1), (1, 1), (2, 1)], [[0, 2, 3], [4, 6, 7], [8, 10, 11]]),
        ([(1, m) for m in range(4)], [[0, 1, 2, 3], [8, 9, 10, 11]]),
        ([(s, m) for s in (0, 1) for m in range(4)] + [(2, 0)], [[9, 10, 11]]),
    ],
)
def test_what_is_left_is_the_smallest_rectangle(field, ended, left):
    which = torch.zeros_like(field.alive)
    for place in ended:
        which[place] = True
    rest = field.without(which)
    assert rest.models.tolist() == left
    numbers = rest.models.flatten()
    assert rest.alive.flatten().tolist() == [not which.flatten()[n] for n in numbers]
    assert rest.hyper.learning_rate.tolist() == (numbers + 1.0).tolist()
    assert torch.equal(rest.best[0], field.best[0][numbers])
    first_rows = [50 * (row[0] // 4) for row in left]
    assert rest.streams.data.rows[:, 0].tolist() == first_rows
    assert rest.streams.validation.rows[:, 0].tolist() == first_rows
    rngs = [field.streams.rngs[row // 50] for row in first_rows]
    assert all(map(operator.is_, rest.streams.rngs, rngs))
    assert torch.equal(rest.totals, field.totals[numbers])


def test_total_weights_are_those_of_each_streams_rows(field, data):
    expected = [data.weight[start : start + 30].sum() for start in (0, 50, 100)]
    np.testing.assert_allclose(field.totals, np.repeat(expected, 4), rtol=1e-14)
    assert total_weights(data).tolist() == [data.weight.sum()]
    assert total_weights(data._replace(weight=None)).tolist() == [200.0]


def test_the_batch_of_all_rows_has_targets_for_every_model(field, data):
    (whole,) = field.streams.whole
    assert whole.targets.shape == (12, 10, 30)
    assert torch.equal(whole.targets[6].argmax(0), data.codes[50:80])
    np.testing.assert_array_equal(whole.weight[11, 0], data.weight[100:130])


def shuffled(rows, generator):
    return rows[torch.randperm(len(rows), generator=generator)]


def test_distorted_rows_are_no_batch_that_stays(make_field):
    assert len(make_field().streams.whole) == 1
    assert make_field(shuffled).streams.whole == []


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_generators_are_there_for_what_is_drawn(make_field, dropout):
    for distort in (None, shuffled):
        streams = make_field(distort, dropout=dropout).streams
        assert len(streams.dropping) == (3 if dropout else 0)
        assert len(streams.distorting) == (3 if distort else 0)
        generators = streams.dropping + streams.distorting
        assert len({id(generator) for generator in generators}) == len(generators)


def numbers(generators):
    return [torch.rand(4, generator=generator).tolist() for generator in generators]


def test_noise_depends_on_epoch_and_seed_alone(make_field):
    """Whatever was drawn before; that of a stream stays its own when others leave."""
    streams = make_field(shuffled, dropout=0.5).streams
    streams.reseed(3)
    first = numbers(streams.distorting), numbers(streams.dropping)
    streams.reseed(4)
    other = numbers(streams.distorting), numbers(streams.dropping)
    drawn = [tuple(draws) for noise in (*first, *other) for draws in noise]
    # Streams have the seeds 7, 8 and 9: the second of one epoch is the first of the next.
    assert len(set(drawn)) == 2 * 4
    left = streams.take(torch.tensor([0, 2]))
    left.reseed(3)
    assert numbers(left.distorting) == [first[0][0], first[0][2]]
    assert numbers(left.dropping) == [first[1][0], first[1][2]]
