"""What a rank does while its messages travel."""

import pytest
import torch

from skdigits.engine import ranks as engine
from skdigits.engine.batches import Data, Targets
from skdigits.engine.ranks import Exchange, Ranks

GRADIENTS = (torch.zeros(1, 1, 1),)
OWN_SAMPLES = [[0, 2], [4, 6], [8]]  # of rank 0 of 2, in batches of 4 of 10 samples


@pytest.fixture
def events(monkeypatch):
    """List what happens: messages that leave and arrive, and samples that are read."""
    found = []

    class Message:
        def wait(self):
            found.append("arrives")

    def leaves(message, group, async_op):
        assert async_op
        found.append("leaves")
        return Message()

    take = Data.take

    def reads(data, places, memory=None):
        found.append(places.tolist())
        return take(data, places, memory)

    monkeypatch.setattr(engine.dist, "all_reduce", leaves)
    monkeypatch.setattr(Data, "take", reads)
    return found


def drawn(exchange):
    X = torch.arange(10.0).view(-1, 1)
    data = Data(X, torch.zeros(10, 1, dtype=torch.int64))
    targets = Targets(torch.tensor([0.0, 1.0]), 1, False)
    return exchange.batches(data, targets, 4)


def rows(batch):
    return batch.X[0, :, 0].int().tolist()


def test_the_next_batch_is_read_while_gradients_travel(events):
    exchange = Exchange(Ranks(0, 2), GRADIENTS)
    seen = []
    for batch in drawn(exchange):
        seen.append(rows(batch))
        exchange.sums(GRADIENTS)

    first, second, third = OWN_SAMPLES
    assert seen == OWN_SAMPLES
    assert events == [
        *[first, "leaves"],
        *[second, "arrives", "leaves"],
        *[third, "arrives", "leaves", "arrives"],
    ]


def test_batches_come_without_messages_too(events):
    """As a batch of all samples, which a fit gathers once."""
    exchange = Exchange(Ranks(0, 2), GRADIENTS)
    assert [rows(batch) for batch in drawn(exchange)] == OWN_SAMPLES
    assert events == OWN_SAMPLES

    exchange.sums(GRADIENTS)
    assert events == [*OWN_SAMPLES, "leaves", "arrives"]


def test_a_pass_that_was_interrupted_leaves_no_batch(events):
    exchange = Exchange(Ranks(0, 2), GRADIENTS)
    for _ in drawn(exchange):
        exchange.sums(GRADIENTS)
        break

    assert [rows(batch) for batch in drawn(exchange)] == OWN_SAMPLES
    assert events.count(OWN_SAMPLES[0]) == 2
