"""Ranks: processes that train one model together, each on its part of every batch.

All ranks take the same steps, as the sums that a step needs are those of all of them:
numbers of samples and weights are known to all ranks, and the gradients of a step are
added up in one message. So nothing else is exchanged but the losses of an epoch.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, pairwise
from typing import Any, NamedTuple, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from skdigits.engine.batches import Batch, Data, Part, Targets, announced
from skdigits.engine.network import Gradients
from skdigits.engine.types import Params, Workers

Value = TypeVar("Value")


class Ranks(NamedTuple):
    """The processes of a group of torch.distributed, of which this one is ``rank``.

    ``group`` is the process group. With ``shards``, each rank has samples of its own.
    """

    rank: int
    world: int
    group: Any = None
    shards: bool = False

    def summed(
        self,
        parts: Sequence[Tensor],
        memory: Tensor | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> list[Tensor]:
        """Return the sums of tensors over the ranks, which have the same bits on all.

        The tensors have one dtype and device, and travel in one message, in ``memory``
        if passed. ``meanwhile`` is called while it travels.
        """
        flat = torch.cat([part.reshape(-1) for part in parts], out=memory)
        with self._hearing():
            message = dist.all_reduce(flat, group=self.group, async_op=True)
        if meanwhile is not None:
            meanwhile()
        with self._hearing():
            message.wait()
        sums = flat.split([part.numel() for part in parts])
        return [one.view(part.shape) for one, part in zip(sums, parts, strict=True)]

    def summed_on(self, like: Tensor, values: Tensor) -> Tensor:
        """Return the sums of values on the host, added up on the device of a tensor."""
        (sums,) = self.summed([values.to(like.device)])
        return sums.to(values.device)

    def first(self, value: Value) -> Value:
        """Return the value that rank 0 passes, on all ranks."""
        values = [value]
        source = dist.get_global_rank(self.group, 0)
        with self._hearing():
            dist.broadcast_object_list(values, source, self.group)
        return values[0]

    def gathered(self, value: Value) -> list[Value]:
        """Return the values of all ranks, in their order, on all ranks."""
        values = cast(list[Value], [None] * self.world)
        with self._hearing():
            dist.all_gather_object(values, value, self.group)
        return values

    @contextmanager
    def _hearing(self) -> Iterator[None]:
        """Tell users what may be behind an error of a message."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            # The first line; others are where it happened in torch.
            text = (str(error).splitlines() or [""])[0]
            raise RuntimeError(
                f"A message between ranks failed, on rank {self.rank} of {self.world}: "
                f"{text} Another rank may have ended, by an error of its own or for "
                "want of memory: see what it has printed. Or it has made other calls: "
                "all ranks must enter data_parallel, and fit equally often."
            ) from error


class Exchange:
    """Adds the gradients of a step up, and draws the next batch in the meantime.

    A message takes about as long as a rank takes to gather its samples of a batch.
    """

    def __init__(self, ranks: Ranks, params: Params) -> None:
        self._ranks = ranks
        self._message = params[0].new_empty(sum(p.numel() for p in params))
        self._batches: Iterator[Batch] = iter(())
        self._next: list[Batch] = []  # or none, at the end

    def batches(self, *args: Any, **keywords: Any) -> Iterator[Batch]:
        """Yield this rank's samples of each batch, as `own_batches`."""
        self._batches = own_batches(self._ranks, *args, **keywords)
        self._draw()

        while self._next:
            yield self._next.pop()
            if not self._next:
                self._draw()

    def sums(self, gradients: Gradients) -> Gradients:
        """Return the sums of gradients over the ranks.

        The batch of the gradients is not valid afterwards.
        """
        parts = [one.to_dense() for one in gradients]
        return tuple(self._ranks.summed(parts, self._message, self._draw))

    def _draw(self) -> None:
        self._next[:] = islice(self._batches, 1)


def own_part(ranks: Ranks, data: Data) -> Data:
    """Return the samples of a single replica that this rank sums over, in their order.

    There may be none. They lie in X, without a copy.
    """
    size = math.ceil(data.n_samples / ranks.world)
    own = slice(ranks.rank * size, (ranks.rank + 1) * size)
    local = data if data.first is None else _shard(data)
    if data.samples is not None:
        order = data.samples[0]
        chosen = order[own]
        if data.first is not None:
            chosen = order[_in_shard(data, order)] - data.first
        return local._replace(samples=chosen[None])
    if data.first is not None:
        return local

    parts = dict(enumerate(data.X.split(size)))
    weight = None if data.weight is None else data.weight[own]
    return Data(parts.get(ranks.rank, data.X[:0]), data.codes[own], weight)


def _shard(data: Data) -> Data:
    """Return the samples of this rank's shard, at their positions in X."""
    assert data.first is not None
    own = slice(data.first, data.first + len(data.X))
    weight = None if data.weight is None else data.weight[own]
    return Data(data.X, data.codes[own], weight, reader=data.reader)


def _in_shard(data: Data, order: Tensor) -> Tensor:
    """Return which of some positions (n,) are those of samples in this rank's shard."""
    assert data.first is not None
    return (order >= data.first) & (order < data.first + len(data.X))


def own_batches(
    ranks: Ranks,
    data: Data,
    targets: Targets,
    batch_size: int,
    order: Tensor | None = None,
    models_per_replica: int = 1,
    distort: Callable[[Tensor], Tensor] | None = None,
    ahead: Workers | None = None,
) -> Iterator[Batch]:
    """Yield this rank's samples of each batch; there may be none of them.

    Arguments are those of `skdigits.engine.batches.batches`, for a single model.
    Weights are those of the whole batch, and so is what ``distort`` draws.
    """
    order = data.samples if order is None else order
    device = data.X.device
    n_samples = data.n_samples
    positions = torch.arange(n_samples, device=device) if order is None else order[0]
    places, bounds = _places(ranks, data, positions, batch_size)
    most = max(end - start for start, end in pairwise(bounds))
    memory = targets.levels.new_empty(most, data.X.shape[1])
    local = data if data.first is None else _shard(data)
    wholes: Iterable[Tensor] = positions.split(batch_size)
    if order is not None and data.reader is not None:
        wholes = announced(data, order, wholes)

    for whole, start, end in zip(wholes, bounds, bounds[1:], strict=False):
        part = Part(len(whole), places[start:end])
        own_positions = whole[part.places]
        taken = local.take(own_positions - (data.first or 0), memory)
        X = cast(Tensor, taken.X)
        if distort is not None:
            X = _distorted(data, distort, whole, part, X)
        yield _batch(data, targets, whole, part, X, taken.codes)


def _places(
    ranks: Ranks, data: Data, positions: Tensor, batch_size: int
) -> tuple[Tensor, list[int]]:
    """Return the places in its batch of each of the rank's samples, batch by batch.

    The list has the bounds of the batches among them.
    """
    every = torch.arange(len(positions), device=positions.device)
    within = every % batch_size
    if data.first is None:
        is_own = within % ranks.world == ranks.rank
    else:
        is_own = _in_shard(data, positions)

    starts = every[::batch_size].contiguous()  # torch warns of others
    chosen = every[is_own]
    bounds = torch.searchsorted(chosen, starts).tolist()
    return within[is_own], [*bounds, len(chosen)]


def _distorted(
    data: Data,
    distort: Callable[[Tensor], Tensor],
    whole: Tensor,
    part: Part,
    own: Tensor,
) -> Tensor:
    """Return the rank's samples (n, D) of a batch that is distorted as a whole.

    The samples of other shards, which no distortion of ours depends on, are zeros.
    """
    if data.first is None:
        every = data.take(whole, own.new_empty(len(whole), own.shape[1])).X
    else:
        every = own.new_zeros(len(whole), own.shape[1])
        every[part.places] = own
    return distort(cast(Tensor, every)[None])[0, part.places]


def _batch(
    data: Data, targets: Targets, whole: Tensor, part: Part, X: Tensor, codes: Tensor
) -> Batch:
    """Return the samples X (n, D) of a rank as part of a batch, with its weights."""
    compared = targets.of(codes[None])
    X = X[None]
    if data.weight is None:
        share = targets.levels.new_full((), 1 / len(whole))
        return Batch(X, X.mT, compared, share, None, float(len(whole)), part)

    weights = data.weight[whole]
    total = weights.sum().view(1, 1, 1)
    own = weights[part.places].view(1, 1, -1)
    share = (own / total).to(targets.levels.dtype)
    return Batch(X, X.mT, compared, share, own, total, part)
