"""Samples on their device, and the mini-batches that a pass over them consists of."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from skdigits.engine.sizes import SIZES
from skdigits.engine.sparse import Rows, SparseRows, select_rows, slice_rows
from skdigits.engine.types import Workers

# Read at once, so that a file is read in pieces of a megabyte; mixed at one time.
CONSECUTIVE = 1024
MIXED = 64


class Reader(Protocol):
    """Follows how samples of a file are read, and says how they are shuffled."""

    shuffle: bool | str

    def announce(self, first: int, last: int) -> None:
        """Be told that rows of X from the first to before the last come soon."""

    def check(self, X: Tensor) -> None:
        """Look at samples that were read just now."""

    def finish(self) -> None:
        """Look at all samples if none were read."""


class Data(NamedTuple):
    """Samples on the device where they are used.

    ``X`` (N, D) is floating, or uint8 for pixels, which are read as ``X / 255``. It is
    a tensor, or sparse: what is taken of it is dense.
    ``codes`` (N,) int64 is the class of each sample, or (N, L) whether it has each of L
    labels. ``weight`` (N,) is positive, or None for equal weights.

    Models that train on other samples, or see them in another order, belong to
    different *replicas* of one run, such as folds or seeds. ``samples`` (R, n) are the
    positions in X of each replica's samples. None is a single replica with all of them.

    With ``first``, X is a shard: it holds the samples from this position on, and other
    processes hold the others.
    A ``reader`` follows the reading of X where it is a file.
    """

    X: Rows
    codes: Tensor
    weight: Tensor | None = None
    samples: Tensor | None = None
    first: int | None = None
    reader: Reader | None = None

    @property
    def n_replicas(self) -> int:
        """Number R of replicas."""
        return 1 if self.samples is None else len(self.samples)

    @property
    def n_samples(self) -> int:
        """Number of samples of each replica."""
        return len(self.codes) if self.samples is None else self.samples.shape[1]

    def replicas(self, chosen: Tensor) -> "Data":
        """Return some of the replicas, over the same X."""
        if self.samples is None:
            return self
        return self._replace(samples=self.samples[chosen])

    def lies_in(self, dtype: torch.dtype) -> bool:
        """Return whether slices of X have this dtype and are dense as they lie."""
        return isinstance(self.X, Tensor) and self.X.dtype == dtype

    def take(self, positions: Tensor | slice, memory: Tensor | None = None) -> "Data":
        """Return some samples, which are dense.

        With ``memory``, they are floats of its dtype, and held there. Without it, they
        have the dtype of X, and a slice of a dense X is a part of it.
        """
        weight = self.weight
        if isinstance(positions, slice):
            codes = self.codes[positions]
            weight = None if weight is None else weight[positions]
        else:
            # index_select takes a quarter of the time of indexing.
            codes = self.codes.index_select(0, positions)
            weight = None if weight is None else weight.index_select(0, positions)

        out = None
        if memory is not None and memory.dtype == self.X.dtype:
            out = memory[: len(codes)]
        if isinstance(positions, slice):
            X = slice_rows(self.X, positions, out=out)
        elif isinstance(self.X, SparseRows):
            X = self.X.index_select(0, positions, out=out)
        else:
            X = torch.index_select(self.X, 0, positions, out=out)
        if self.reader is not None:
            self.reader.check(X)
        if memory is not None and out is None:
            floats = memory[: len(X)].copy_(X)
            X = floats.div_(255) if X.dtype == torch.uint8 else floats
        return Data(X, codes, weight)

    def replica(self, number: int) -> "Data":
        """Return a replica with its samples in one piece; sparse ones stay sparse."""
        if self.samples is None:
            return self
        positions = self.samples[number]
        weight = None if self.weight is None else self.weight[positions]
        return Data(select_rows(self.X, positions), self.codes[positions], weight)


class Targets(NamedTuple):
    """How codes become targets of a network's O outputs.

    ``levels`` (2,) are the target of an output for no and for yes, in the dtype and on
    the device of the parameters. With ``one_hot``, each output stands for one of the
    classes that codes count; else codes themselves are 0 for no and 1 for yes.
    """

    levels: Tensor
    n_outputs: int
    one_hot: bool

    def of(self, codes: Tensor) -> Tensor:
        """Return targets (G, O, n) of codes (G, n), or of labels (G, n, O)."""
        if not self.one_hot:
            found = self.levels.index_select(0, codes.flatten())
            return found.view(*codes.shape[:2], self.n_outputs).mT.contiguous()

        # Written sample by sample: a table of all classes would grow by their square.
        own = codes.unsqueeze(1)
        targets = self.levels.new_empty(len(codes), self.n_outputs, codes.size(1))
        targets.copy_(self.levels[0])
        return targets.scatter_(1, own, self.levels[1].expand(own.shape))


class Part(NamedTuple):
    """The samples of a batch that one process has: their places, and those of all."""

    n_samples: int
    places: Tensor


class Batch(NamedTuple):
    """Samples of each of R replicas, ready for arithmetic with K models.

    ``X`` (R, B, D) is floating; ``XT`` (R, D, B) are the same numbers, transposed. The
    rest belongs to the single replica, G = 1, or is repeated for each model, G = K:

    - ``targets`` (G, C, B);
    - ``normalised_weight`` (G, 1, B) or scalar: the factor of each sample in the mean;
    - ``weight`` (G, 1, B) in float64, None if all samples weigh the same;
    - ``total_weight`` (G, 1, 1) in float64, or a float: the denominator of the mean. It
      is that of the batch or, if a batch is part of a sum over chunks, that of all.

    ``part`` is not None if other processes have other samples of the batch.
    """

    X: Tensor
    XT: Tensor
    targets: Tensor
    normalised_weight: Tensor
    weight: Tensor | None
    total_weight: Tensor | float
    part: Part | None = None


def sample_orders(
    rngs: Sequence[np.random.RandomState],
    data: Data,
    batch_size: int,
    shuffle: bool | str,
) -> Tensor | None:
    """Draw a random order (R, n) of each replica's samples; None keeps their order.

    ``shuffle="blocks"`` draws `blocks_mixed`.

    A single batch with all samples is not shuffled: its mean is the same in every
    order, and unshuffled it equals to the last bit for weighted and for repeated
    samples.
    """
    if not shuffle or data.n_samples <= batch_size:
        return data.samples

    drawn = np.stack([DRAWS[shuffle](rng, data.n_samples) for rng in rngs])
    order = torch.from_numpy(drawn).to(data.X.device)
    return order if data.samples is None else data.samples.gather(1, order)


def blocks_mixed(rng: np.random.RandomState, n_samples: int) -> np.ndarray:
    """Draw a random order of samples that are read in blocks of consecutive ones.

    A window mixes at most ``MIXED`` blocks. These come from as many equal parts of all
    samples, one from each: samples that are sorted by class are so in no window. The
    blocks of a part are dealt out at random, one to each window. With a single window,
    the order is that of a permutation.
    """
    n_blocks = math.ceil(n_samples / CONSECUTIVE)
    n_windows = math.ceil(n_blocks / MIXED)
    parts = range(0, n_blocks, n_windows)
    dealt = np.stack([first + rng.permutation(n_windows) for first in parts], axis=1)

    mixed = []
    for blocks in dealt:
        # The last part may have fewer blocks than there are windows.
        window = [
            np.arange(start, min(start + CONSECUTIVE, n_samples))
            for start in CONSECUTIVE * blocks[blocks < n_blocks]
        ]
        mixed.append(rng.permutation(np.concatenate(window)))
    return np.concatenate(mixed)


DRAWS: dict[bool | str, Callable[[np.random.RandomState, int], np.ndarray]] = {
    True: np.random.RandomState.permutation,
    "blocks": blocks_mixed,
}
"""Functions that draw an order, by the parameter ``shuffle``."""


def announced(
    data: Data, order: Tensor, positions: Iterable[Tensor]
) -> Iterator[Tensor]:
    """Yield positions of ``order`` (R, n), and announce their blocks a window ahead.

    The blocks of a window are announced one by one, while the window before it is in
    use. Those of other shards are not.
    """
    assert data.reader is not None
    coming = _blocks_of_windows(order)
    due, first = next(coming, (math.inf, 0))
    n_seen = 0
    for some in positions:
        n_seen += len(some) // len(order)
        while due <= n_seen:
            start = first - (data.first or 0)
            if -CONSECUTIVE < start < len(data.X):
                data.reader.announce(max(start, 0), start + CONSECUTIVE)
            due, first = next(coming, (math.inf, 0))
        yield some


def _blocks_of_windows(order: Tensor) -> Iterator[tuple[float, int]]:
    """Yield first samples of blocks, and after how many samples each is announced."""
    size = CONSECUTIVE * MIXED
    before: set[int] = set()
    for start in range(0, order.shape[1], size):
        window = order[:, start : start + size]
        blocks = window.div(CONSECUTIVE, rounding_mode="floor").unique().tolist()
        # Of a part of the samples, a window lies in more blocks. Samples that lie
        # anywhere would have the whole file read.
        new = [block for block in blocks if block not in before]
        before = set(blocks)
        if len(blocks) > 8 * MIXED * len(order):
            continue
        for number, block in enumerate(new):
            due = start - size + number * size // len(new)
            yield max(0, due), block * CONSECUTIVE


def block_size(data: Data, targets: Targets, batch_size: int) -> int:
    """Return how many batches are gathered at once."""
    sizes = SIZES[data.X.device.type]
    n_samples = min(
        sizes.block_samples,
        sizes.block_targets // targets.n_outputs,
        sizes.block_numbers // data.X.shape[1],
    )
    n_replicas = 1 if data.samples is None else len(data.samples)
    n_steps = n_samples // (batch_size * n_replicas)
    return max(1, min(n_steps, sizes.block_steps))


def _memories(
    shape: tuple[int, int],
    dtype: torch.dtype,
    device: torch.device,
    ahead: Workers | None,
) -> list[Tensor | None]:
    """Return memory for the blocks that are in use or gathered ahead at one time.

    It is reused: memory that comes and goes with each block is mapped anew, and piles
    up in the heaps of threads.
    """
    number = 1 if ahead is None else ahead.number + 2
    with torch.inference_mode(False):  # as in the other thread, which writes here
        return [torch.empty(shape, dtype=dtype, device=device) for _ in range(number)]


def batches(
    data: Data,
    targets: Targets,
    batch_size: int,
    order: Tensor | None = None,
    models_per_replica: int = 1,
    distort: Callable[[Tensor], Tensor] | None = None,
    ahead: Workers | None = None,
) -> Iterator[Batch]:
    """Yield all samples of all replicas, ``batch_size`` of each replica at a time.

    A batch is valid until the next one is drawn, as batches share memory.

    Parameters
    ----------
    data : Data
        N samples in R replicas.
    targets : Targets
        Make targets of codes; batches are computed in their dtype.
    batch_size : int
        Samples of each replica in a batch; the last one may be smaller.
    order : Tensor of shape (R, n), optional
        Positions in X, in the order in which they are seen; default: ``data.samples``.
    models_per_replica : int
        K / R.
    distort : callable, optional
        Distorts the samples (R, B, D) of a batch.
    ahead : Workers, optional
        Gather samples while those before them are in use.
    """
    order = data.samples if order is None else order
    n_replicas = 1 if order is None else len(order)
    dtype = targets.levels.dtype
    n_features = data.X.shape[1]
    step = batch_size * block_size(data, targets, batch_size)
    sizes = (batch_size, data.n_samples % batch_size or batch_size)
    # Filled in on the device: a number of the host would have to be copied there.
    equal_weights = {size: targets.levels.new_full((), 1 / size) for size in sizes}

    # Gathering a block and splitting it costs one call where batches would cost many.
    slices = [slice(start, start + step) for start in range(0, data.n_samples, step)]
    positions: Iterable[Tensor | slice] = slices
    if order is not None:
        chosen = (order[:, one].flatten() for one in slices)
        positions = chosen
        if data.reader is not None:
            positions = announced(data, order, chosen)

    memories: list[Tensor | None] = [None]
    if order is not None or not data.lies_in(dtype):
        shape = (min(step, data.n_samples) * n_replicas, n_features)
        memories = _memories(shape, dtype, data.X.device, ahead)
    each = map if ahead is None else ahead.each
    blocks: Iterable[Data] = each(data.take, positions, itertools.cycle(memories))

    for block in blocks:
        X = cast(Tensor, block.X).view(n_replicas, -1, n_features)
        codes = block.codes.view(n_replicas, -1, *block.codes.shape[1:])
        weight = block.weight
        weight = None if weight is None else weight.view(n_replicas, 1, -1)
        # Targets and weights meet logits model by model; a single replica broadcasts.
        if n_replicas > 1 and models_per_replica > 1:
            codes = codes.repeat_interleave(models_per_replica, 0)
            if weight is not None:
                weight = weight.repeat_interleave(models_per_replica, 0)

        compared = targets.of(codes).split(batch_size, 2)
        parts = X.split(batch_size, 1)
        weights = [None] * len(parts) if weight is None else weight.split(batch_size, 2)

        for X, target, own in zip(parts, compared, weights, strict=True):
            X = X if distort is None else distort(X)
            size = X.size(1)
            if own is None:
                yield Batch(X, X.mT, target, equal_weights[size], None, float(size))
            else:
                total = own.sum(-1, keepdim=True)
                normalised = (own / total).to(dtype)
                yield Batch(X, X.mT, target, normalised, own, total)


def as_floats(X: Rows, dtype: torch.dtype) -> Tensor:
    """Return dense samples for arithmetic: pixels (uint8) become ``X / 255``."""
    if X.dtype == torch.uint8:
        return X.to(dtype).div_(255)
    return X.to(dtype)
