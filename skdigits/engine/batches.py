"""Mini-batches: which rows are seen in which order, and as what."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from skdigits.engine.types import Batch, Data


def row_order(
    rng: np.random.RandomState, n_rows: int, batch_size: int, shuffle: bool
) -> Tensor | None:
    """A random order of the rows, or None for the one they are in.

    One batch that holds all rows needs none: its mean is the same in every order, and
    unshuffled it equals to the last bit for weighted and for repeated rows.
    """
    if not shuffle or n_rows <= batch_size:
        return None
    return torch.from_numpy(rng.permutation(n_rows))


def n_batches(n_rows: int, batch_size: int) -> int:
    """Steps of an epoch, the last one possibly shorter."""
    return -(-n_rows // batch_size)


def batches(
    data: Data, table: Tensor, batch_size: int, order: Tensor | None = None
) -> Iterator[Batch]:
    """All rows, ``batch_size`` at a time; ``table`` (C, C) holds each class's targets."""
    if order is not None:
        order = order.to(data.X.device)
    for start in range(0, len(data.X), batch_size):
        rows = slice(start, start + batch_size)
        yield _batch(data.slice(rows) if order is None else data.take(order[rows]), table)


def as_floats(X: Tensor, dtype: torch.dtype) -> Tensor:
    """Rows for arithmetic: pixels (uint8) become ``X / 255``."""
    return X.to(dtype).div_(255) if X.dtype == torch.uint8 else X.to(dtype)


def _batch(rows: Data, table: Tensor) -> Batch:
    X = as_floats(rows.X, table.dtype)
    targets = table.index_select(0, rows.codes).T
    if rows.weight is None:
        return Batch(X, targets, 1 / len(X), len(X))
    total = rows.weight.sum()
    return Batch(X, targets, (rows.weight / total).to(table.dtype), total)
