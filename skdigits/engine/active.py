"""Models that are still training: a rectangle of models and the samples they see."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from skdigits.engine.batches import Batch, Data
from skdigits.engine.network import select
from skdigits.engine.replay import StepBlock
from skdigits.engine.solvers import Moving
from skdigits.engine.types import Hyper, Params, State, StepHyper


class Replicas(NamedTuple):
    """The samples of each replica, and the generators of their orders and noise.

    ``dropout`` and ``distortion`` are seeded anew in every epoch, by ``noise_seeds``;
    they are empty if there is no such noise. ``whole_batch`` is the batch of all
    samples if every step sees the same one, and else empty.
    """

    data: Data
    validation: Data | None
    rngs: list[np.random.RandomState]
    dropout: list[Generator]
    distortion: list[Generator]
    noise_seeds: tuple[int, ...]
    whole_batch: list[Batch]


class ActiveModels(NamedTuple):
    """K = R · M models in R replicas of M models each, in their order.

    ``numbers`` (R, M) identify the models, ``running`` (R, M) marks those that have not
    ended. ``totals`` (K,), float64 on the host, are the total weights of their samples.
    ``local`` are the hyper-parameters beside the parameters. ``best`` are the
    parameters to return to. ``moving`` holds the numbers of the state, and ``spare``
    those of the state before it if nobody can have kept them. ``block`` takes steps of
    these models on a GPU.
    """

    numbers: Tensor
    running: Tensor
    totals: Tensor
    replicas: Replicas
    hyper: Hyper
    local: StepHyper
    state: State
    best: Params
    moving: Moving | None = None
    spare: Moving | None = None
    block: StepBlock | None = None


def without(active: ActiveModels, ended: Tensor) -> ActiveModels:
    """Return the smallest rectangle with all running models but the ended ones (R, M).

    A model that has ended is computed, and not looked at, until its whole column or its
    whole replica has ended: models are rows of one product, and none reaches another.
    """
    running = active.running & ~ended
    replicas = torch.nonzero(running.any(1)).flatten()
    columns = torch.nonzero(running.any(0)).flatten()
    if len(replicas) * len(columns) == running.numel():
        return active._replace(running=running)

    if active.block is not None:
        active.block.release()  # interrupted runs may refer to it for another epoch
    # A rectangle, not a list of models: products need as many models in each replica.
    rectangle = (replicas[:, None], columns)
    models = (replicas[:, None] * running.shape[1] + columns).flatten()
    return ActiveModels(
        active.numbers[rectangle],
        running[rectangle],
        active.totals[models],
        _select_replicas(active.replicas, replicas),
        select(active.hyper, models),
        select(active.local, models),
        select(active.state, models),
        select(active.best, models),
    )


def _select_replicas(replicas: Replicas, chosen: Tensor) -> Replicas:
    """Return some of the replicas."""
    # Shared by all columns, a single replica leaves only with its last model.
    if len(replicas.rngs) == 1:
        return replicas

    validation = replicas.validation
    places = chosen.tolist()
    return Replicas(
        replicas.data.replicas(chosen),
        None if validation is None else validation.replicas(chosen),
        [replicas.rngs[place] for place in places],
        [replicas.dropout[place] for place in places if replicas.dropout],
        [replicas.distortion[place] for place in places if replicas.distortion],
        tuple(replicas.noise_seeds[place] for place in places),
        whole_batch=[],  # it was repeated for the number of models there were
    )
