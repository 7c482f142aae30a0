"""What is still training: a rectangle of models, and the rows of each of its streams."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from skdigits.engine.batches import batches
from skdigits.engine.types import Batch, Data, Hyper, Params, Plan, State

DISTORTION = 2**31  # seeds of distortions begin where those of dropout end


class Streams(NamedTuple):
    """The rows of each stream, and what draws their orders and their noise.

    ``dropping`` draws what is dropped out and ``distorting`` how rows are distorted, both
    anew in every epoch by ``seeds``; they are empty where nothing is. ``whole`` is the batch
    of all rows, where they are one that stays the same, and else empty.
    """

    data: Data
    validation: Data | None
    rngs: list[np.random.RandomState]
    dropping: list[Generator]
    distorting: list[Generator]
    seeds: tuple[int, ...]
    whole: list[Batch]

    def take(self, chosen: Tensor) -> "Streams":
        """Some of the streams."""
        if len(self.rngs) == 1:
            return self
        validation = (
            None if self.validation is None else self.validation.streams(chosen)
        )
        places = chosen.tolist()
        return Streams(
            self.data.streams(chosen),
            validation,
            [self.rngs[place] for place in places],
            [self.dropping[place] for place in places if self.dropping],
            [self.distorting[place] for place in places if self.distorting],
            tuple(self.seeds[place] for place in places),
            whole=[],  # is of so many models a stream
        )

    def reseed(self, epoch: int) -> None:
        """Let the noise of an epoch depend on nothing but its number and the seeds."""
        for generator, seed in zip(self.dropping, self.seeds, strict=False):
            generator.manual_seed(seed + epoch)
        for generator, seed in zip(self.distorting, self.seeds, strict=False):
            generator.manual_seed(seed + epoch + DISTORTION)


class Field(NamedTuple):
    """What is still training: S streams of M models each, K = S · M in their order.

    ``models`` (S, M) are their numbers and ``alive`` (S, M) those that have not ended. One
    that has leaves the computation as soon as a whole column or stream has: what remains is
    a rectangle, in which a model that is not alive is computed and not looked at. Beside
    them are the weights ``totals`` (K,) of all their rows, in float64 on the host, their
    hyper-parameters, on the host and where the parameters are, their state, and the
    parameters to return to.
    """

    models: Tensor
    alive: Tensor
    totals: Tensor
    streams: Streams
    hyper: Hyper
    local: Hyper
    state: State
    best: Params

    def orders(self) -> list[Any]:
        """The states of the generators of row orders, of each stream."""
        return [rng.get_state() for rng in self.streams.rngs]

    def without(self, ended: Tensor) -> "Field":
        """The smallest rectangle that holds all models that go on."""
        alive = self.alive & ~ended
        streams, columns = (torch.nonzero(alive.any(axis)).flatten() for axis in (1, 0))
        if len(streams) * len(columns) == alive.numel():
            return self._replace(alive=alive)
        rectangle = streams[:, None], columns
        width = alive.shape[1]
        chosen = (streams[:, None] * width + columns).flatten()
        best = tuple(p[chosen.to(p.device)] for p in self.best)
        hyper, state = self.hyper.take(chosen), self.state.take(chosen)
        return Field(
            self.models[rectangle],
            alive[rectangle],
            self.totals[chosen],
            self.streams.take(streams),
            hyper,
            hyper.to(best[0]),
            state,
            best,
        )


def all_models(
    data: Data,
    validation: Data | None,
    table: Tensor,
    plan: Plan,
    hyper: Hyper,
    state: State,
    rngs: Sequence[np.random.RandomState],
) -> Field:
    """All K models of a state, as many in each stream of the data."""
    like = state.params[0]
    models = torch.arange(len(like), device="cpu").view(len(rngs), -1)
    alive = torch.ones_like(models, dtype=torch.bool)
    whole = []
    if data.n_rows <= plan.batch_size and plan.distort is None:
        whole = list(batches(data, table, plan.batch_size, per_stream=models.shape[1]))
    streams = Streams(
        data,
        validation,
        list(rngs),
        [Generator(like.device) for _ in rngs if hyper.dropout.any()],
        [Generator(like.device) for _ in rngs if plan.distort is not None],
        plan.noise_seeds,
        whole,
    )
    totals = total_weights(data).repeat_interleave(models.shape[1])
    return Field(
        models, alive, totals, streams, hyper, hyper.to(like), state, state.params
    )


def total_weights(data: Data) -> Tensor:
    """The weight (S,) of all rows of each stream, in float64 on the host."""
    if data.weight is None:
        return torch.full(
            (data.n_streams,), data.n_rows, dtype=torch.float64, device="cpu"
        )
    weight = data.weight[None] if data.rows is None else data.weight[data.rows]
    return weight.sum(1).cpu()
