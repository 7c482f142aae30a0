"""Samples of which few features differ from 0: dense where they are computed with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor


@dataclass(frozen=True)
class SparseRows:
    """Samples (N, D) as compressed sparse rows: takes the place of a tensor X.

    Slices and `index_select` return dense tensors, and so does `to` of all samples: a
    batch is made dense on the device, and the rest stays as it is. `split` and `rows`
    return sparse samples.

    Parameters
    ----------
    bounds : Tensor of shape (N + 1,) and dtype int64
        Sample n has the entries from ``bounds[n]`` to ``bounds[n + 1]``.
    columns : Tensor of shape (n_entries,)
        Feature of each entry; a sample has at most one entry for each feature.
    values : Tensor of shape (n_entries,)
        Value of each entry: floating, or uint8 for pixels. All other values are 0.
    n_features : int
        D.
    """

    bounds: Tensor
    columns: Tensor
    values: Tensor
    n_features: int

    def __len__(self) -> int:
        """Return N."""
        return len(self.bounds) - 1

    @property
    def shape(self) -> tuple[int, int]:
        """N and D."""
        return len(self), self.n_features

    @property
    def dtype(self) -> torch.dtype:
        """Data type of the values."""
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        """Device of the values."""
        return self.values.device

    def numel(self) -> int:
        """Return the number of values, zeros included."""
        return len(self) * self.n_features

    def is_floating_point(self) -> bool:
        """Return whether the values are floating, and not pixels."""
        return self.values.is_floating_point()

    @property
    def places(self) -> slice:
        """Where the entries of these samples are; others may share the memory."""
        return slice(int(self.bounds[0]), int(self.bounds[-1]))

    def entries(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the sample, the feature and the value of each entry."""
        columns = self.columns[self.places]
        samples = torch.arange(len(self), device=self.device)
        samples = samples.repeat_interleave(
            self.bounds.diff(), output_size=len(columns)
        )
        return samples, columns, self.values[self.places]

    def aminmax(self) -> tuple[Tensor, Tensor]:
        """Return the smallest and the largest value, zeros included."""
        values = self.values[self.places]
        if not len(values):
            zero = self.values.new_zeros(())
            return zero, zero
        smallest, largest = values.aminmax()
        if len(values) == self.numel():
            return smallest, largest
        return smallest.clamp_max(0), largest.clamp_min(0)

    def to(self, dtype: torch.dtype) -> Tensor:
        """Return all samples as a dense tensor (N, D) of a dtype."""
        dense = torch.zeros(self.shape, dtype=dtype, device=self.device)
        return self._write(dense)

    def _write(self, dense: Tensor) -> Tensor:
        """Write the entries into zeros (N, D), and return these."""
        samples, columns, values = self.entries()
        places = samples.mul_(self.n_features).add_(columns)
        dense.view(-1).scatter_(0, places, values.to(dense.dtype))
        return dense

    def rows(self, positions: Tensor) -> "SparseRows":
        """Return some samples, which stay sparse."""
        starts = self.bounds[positions]
        counts = self.bounds[positions + 1] - starts
        bounds = torch.nn.functional.pad(counts.cumsum(0), (1, 0))

        n_entries = int(bounds[-1])
        shifts = (starts - bounds[:-1]).repeat_interleave(counts, output_size=n_entries)
        chosen = torch.arange(n_entries, device=self.device).add_(shifts)
        columns = self.columns.index_select(0, chosen)
        values = self.values.index_select(0, chosen)
        return SparseRows(bounds, columns, values, self.n_features)

    def index_select(
        self, dim: int, positions: Tensor, *, out: Tensor | None = None
    ) -> Tensor:
        """Return some samples (n, D), as `torch.index_select` does for dim 0."""
        some = self.rows(positions)
        return some.to(self.dtype) if out is None else some._write(out.zero_())

    def __getitem__(self, some: slice) -> Tensor:
        """Return a slice of the samples (n, D)."""
        return self.sliced(some)

    def sliced(self, some: slice, *, out: Tensor | None = None) -> Tensor:
        """Return a slice of the samples (n, D), in ``out`` if passed."""
        start, stop, step = some.indices(len(self))
        if step != 1:
            chosen = torch.arange(start, stop, step, device=self.device)
            return self.index_select(0, chosen, out=out)
        part = self._between(start, stop)
        return part.to(self.dtype) if out is None else part._write(out.zero_())

    def split(self, size: int) -> Iterator["SparseRows"]:
        """Yield consecutive samples, ``size`` at a time, which stay sparse."""
        for start in range(0, len(self), size):
            yield self._between(start, min(start + size, len(self)))

    def _between(self, start: int, stop: int) -> "SparseRows":
        # The entries are shared: bounds need not begin at 0.
        bounds = self.bounds[start : max(start, stop) + 1]
        return SparseRows(bounds, self.columns, self.values, self.n_features)


Rows: TypeAlias = Tensor | SparseRows
"""Samples (N, D), dense or sparse."""


def select_rows(X: Rows, positions: Tensor) -> Rows:
    """Return some samples; sparse ones stay sparse."""
    if isinstance(X, SparseRows):
        return X.rows(positions)
    return X.index_select(0, positions)


def slice_rows(X: Rows, some: slice, *, out: Tensor | None = None) -> Tensor:
    """Return a slice of the samples (n, D), which is dense, in ``out`` if passed."""
    if isinstance(X, SparseRows):
        return X.sliced(some, out=out)
    return X[some] if out is None else out.copy_(X[some])


def join_rows(parts: Sequence[Rows]) -> Rows:
    """Return samples one after the other; all of them are dense, or all are sparse."""
    dense = [part for part in parts if isinstance(part, Tensor)]
    if len(dense) == len(parts):
        return torch.cat(dense)

    sparse = [part for part in parts if isinstance(part, SparseRows)]
    counts = torch.cat([part.bounds.diff() for part in sparse])
    return SparseRows(
        torch.nn.functional.pad(counts.cumsum(0), (1, 0)),
        torch.cat([part.columns[part.places] for part in sparse]),
        torch.cat([part.values[part.places] for part in sparse]),
        sparse[0].n_features,
    )
