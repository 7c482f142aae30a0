"""Mini-batches: which rows are seen in which order, and as what."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from skdigits.engine.types import Batch, Data

BLOCK_ROWS = 1024  # rows gathered at once: few calls, and still in the processor's cache


def row_orders(
    rngs: Sequence[np.random.RandomState], data: Data, batch_size: int, shuffle: bool
) -> Tensor | None:
    """A random order (S, n) of the rows of each stream, or None for the one they are in.

    One batch that holds all rows needs none: its mean is the same in every order, and
    unshuffled it equals to the last bit for weighted and for repeated rows.
    """
    if not shuffle or data.n_rows <= batch_size:
        return data.rows
    drawn = np.stack([rng.permutation(data.n_rows) for rng in rngs])
    order = torch.from_numpy(drawn).to(data.X.device)
    return order if data.rows is None else data.rows.gather(1, order)


def n_batches(n_rows: int, batch_size: int) -> int:
    """Steps of an epoch, the last one possibly shorter."""
    return -(-n_rows // batch_size)


def batches(
    data: Data, table: Tensor, batch_size: int, order: Tensor | None = None
) -> Iterator[Batch]:
    """All rows of all streams, ``batch_size`` of each at a time.

    ``table`` (C, C) holds each class's targets; ``order`` (S, n), positions in X, is that of
    ``data.rows`` unless given.
    """
    order = data.rows if order is None else order
    sizes = {min(batch_size, data.n_rows), data.n_rows % batch_size or batch_size}
    shares = {size: table.new_tensor(1 / size) for size in sizes}
    block = batch_size * max(1, BLOCK_ROWS // (batch_size * data.n_streams))
    for start in range(0, data.n_rows, block):
        rows, weight = _gather(data, order, slice(start, start + block))
        X, targets = as_floats(rows.X, table.dtype), _targets(table, rows.codes)
        parts = zip(X.split(batch_size, 1), targets.split(batch_size, 3), strict=True)
        if weight is None:
            for X, targets in parts:
                yield Batch(X, targets, shares[X.shape[1]], float(X.shape[1]))
        else:
            for (X, targets), part in zip(parts, weight.split(batch_size, 3), strict=True):
                total = part.sum(-1, keepdim=True)
                yield Batch(X, targets, (part / total).to(table.dtype), total)


def as_floats(X: Tensor, dtype: torch.dtype) -> Tensor:
    """Rows for arithmetic: pixels (uint8) become ``X / 255``."""
    return X.to(dtype).div_(255) if X.dtype == torch.uint8 else X.to(dtype)


def _gather(data: Data, order: Tensor | None, rows: slice) -> tuple[Data, Tensor | None]:
    """Rows X (S, r, D), codes (S, r) and weights (S, 1, 1, r) at some places of an order."""
    if order is None:
        part = Data(data.X[rows][None], data.codes[rows][None])
        weight = None if data.weight is None else data.weight[rows]
    else:
        taken = data.take(order[:, rows].flatten())
        shape = (len(order), -1)
        part = Data(taken.X.view(*shape, data.X.shape[1]), taken.codes.view(shape))
        weight = taken.weight
    return part, None if weight is None else weight.view(len(part.X), 1, 1, -1)


def _targets(table: Tensor, codes: Tensor) -> Tensor:
    """Targets (S, 1, C, r) of codes (S, r), each class's in consecutive places."""
    found = table.T.index_select(1, codes.flatten())
    return found.view(len(table), *codes.shape).permute(1, 0, 2).unsqueeze(1)
