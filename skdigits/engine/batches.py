"""Mini-batches: which rows are seen in which order, and as what."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from skdigits.engine.types import Batch, Data, Network

BLOCK_ROWS = (
    1024  # rows gathered at once: few calls, and still in the processor's cache
)


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
    data: Data,
    table: Tensor,
    batch_size: int,
    order: Tensor | None = None,
    per_stream: int = 1,
    distort: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[Batch]:
    """All rows of all streams, ``batch_size`` of each at a time.

    ``table`` (C, O) holds each class's targets; ``order`` (S, n), positions in X, is that of
    ``data.rows`` unless given; ``per_stream`` is the number of models in each, K / S;
    ``distort`` makes other rows of the rows (S, B, D) of a batch.
    """
    order = data.rows if order is None else order
    sizes = {min(batch_size, data.n_rows), data.n_rows % batch_size or batch_size}
    shares = {size: table.new_tensor(1 / size) for size in sizes}
    for start in range(0, data.n_rows, block_rows(data, batch_size)):
        places = slice(start, start + block_rows(data, batch_size))
        rows, weight = _gather(data, order, places, per_stream)
        parts = as_floats(rows.X, table.dtype).split(batch_size, 1)
        parts = parts if distort is None else map(distort, parts)
        targets = _targets(table, rows.codes).split(batch_size, 2)
        if weight is None:
            for X, target in zip(parts, targets, strict=True):
                size = X.size(1)
                yield Batch(X, X.mT, target, shares[size], None, float(size))
        else:
            weights = weight.split(batch_size, 2)
            for X, target, own in zip(parts, targets, weights, strict=True):
                total = own.sum(-1, keepdim=True)
                share = (own / total).to(table.dtype)
                yield Batch(X, X.mT, target, share, own, total)


def block_rows(data: Data, batch_size: int) -> int:
    """Rows of each stream that are gathered at once, whole batches."""
    return batch_size * max(1, BLOCK_ROWS // (batch_size * data.n_streams))


def summed_loss(
    network: Network, logits: list[Tensor], compared: list[Batch]
) -> Tensor:
    """Loss (K,) in float64 of logits (K, C, B) of some batches, summed over rows by weight."""
    losses = network.losses(
        _joined(logits), _joined([batch.targets for batch in compared])
    )
    weights = [batch.weight for batch in compared if batch.weight is not None]
    if not weights:
        return losses.sum(-1, dtype=torch.float64)
    return (losses * _joined(weights).squeeze(1)).sum(-1)


def _joined(parts: list[Tensor]) -> Tensor:
    """Parts (…, B) in one piece, along the rows."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


def as_floats(X: Tensor, dtype: torch.dtype) -> Tensor:
    """Rows for arithmetic: pixels (uint8) become ``X / 255``."""
    return X.to(dtype).div_(255) if X.dtype == torch.uint8 else X.to(dtype)


def _gather(
    data: Data, order: Tensor | None, places: slice, per_stream: int
) -> tuple[Data, Tensor | None]:
    """Rows X (S, r, D), codes (G, r, …) and weights (G, 1, r) at some places of an order."""
    if order is None:
        X, codes = data.X[places], data.codes[places]
        weight = None if data.weight is None else data.weight[places]
    else:
        X, codes, weight, _ = data.take(order[:, places].flatten())
    n_streams = data.n_streams
    X = X.view(n_streams, -1, X.shape[1])
    codes = codes.view(n_streams, -1, *codes.shape[1:])
    weight = None if weight is None else weight.view(n_streams, 1, -1)
    if n_streams > 1 and per_stream > 1:
        codes = codes.repeat_interleave(per_stream, 0)
        weight = None if weight is None else weight.repeat_interleave(per_stream, 0)
    return Data(X, codes), weight


def _targets(table: Tensor, codes: Tensor) -> Tensor:
    """Targets (G, O, r) of codes (G, r), each output's in consecutive places.

    Codes (G, r, L) are of L labels, which are outputs themselves.
    """
    found = table.T.index_select(1, codes.flatten()).view(-1, *codes.shape)
    return found.transpose(0, 1) if codes.dim() == 2 else found[0].mT.contiguous()
