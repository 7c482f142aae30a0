"""Weights of mean 0 and of one norm for each output, with their backward pass."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import vector_norm

LEAST_SIZE = 1e-12  # nothing is divided by less


class Standardised(NamedTuple):
    """Weights of some layers, standardised, in parts.

    ``centred`` has the weights (O, n) of each layer without the mean of each output.
    All else has a row for each output, one layer after the other: ``mean`` (Σ O, 1);
    ``norms`` (2, Σ O, 1), of centred weights and, times ``resolution``, of weights as
    they are; ``size`` (Σ O, 1), the larger of both; and ``inverse``, one over it.
    Standardised weights are ``centred · factor``.
    """

    centred: list[Tensor]
    mean: Tensor
    norms: Tensor
    size: Tensor
    inverse: Tensor
    factor: Tensor
    gain: float
    resolution: float

    def by_layer(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Return the rows (O, 1) of each layer among those of all."""
        return rows.split_with_sizes([len(weight) for weight in self.centred])

    def backward(self, slopes: Sequence[Tensor]) -> list[Tensor]:
        """Return gradients (O, n) by the weights, given those by standardised ones.

        Gradients come as kernels (O, I, k, k), in any dtype and order in memory.

        With weights w and centred weights c of an output, ``s = max(‖c‖, ε ‖w‖)``, and
        G the gradient by ``c · gain / s``, the gradient by s is ``−gain Σ G c / s²``.
        It becomes b by ‖c‖ or β by ε ‖w‖, whichever is s, and half of it by each where
        they are equal; both are 0 where s is a constant. Those norms have the gradients
        ``c / s`` and ``ε² w / s``. The gradient by c, less its mean, is one by w, and
        ``w = c + mean w``. So the result is

            H − mean H + β ε² (mean w) / s,  with  H = G gain / s + (b + β ε²) c / s.
        """
        sums = torch.empty_like(self.size)
        for slope, centred, total in zip(
            slopes, self.centred, self.by_layer(sums), strict=True
        ):
            torch.sum(_rows(slope, centred), 1, keepdim=True, out=total)
        by_norms = self._by_norms(sums)

        means = torch.empty_like(self.size)
        numbers = (self.size, self.factor, by_norms.sum(0), means)
        columns = map(self.by_layer, numbers)
        found = []
        for slope, centred, size, factor, by_norm, mean in zip(
            slopes, self.centred, *columns, strict=True
        ):
            by_centred = _rows(slope, factor.expand_as(centred))
            by_centred.add_((centred / size).mul_(by_norm))
            torch.mean(by_centred, 1, keepdim=True, out=mean)
            found.append(by_centred)

        means.addcmul_(by_norms[1], self.mean / self.size, value=-1)
        pairs = zip(found, self.by_layer(means), strict=True)
        return [by_weight.sub_(mean) for by_weight, mean in pairs]

    def _by_norms(self, sums: Tensor) -> Tensor:
        """Return b and β ε² (2, Σ O, 1) by ``Σ G c``, whose memory they use up."""
        by_size = sums.mul_(-self.gain).mul_(self.inverse.square())
        share = torch.eq(self.norms, self.size, out=torch.empty_like(self.norms))
        share.sub_(share[0] * share[1], alpha=0.5)

        share[1].mul_(self.resolution**2)
        return share.mul_(by_size)


def _rows(slope: Tensor, factor: Tensor) -> Tensor:
    """Return ``slope · factor`` as rows (O, n), in the dtype of the factor (O, n)."""
    rows = torch.empty(factor.shape, dtype=factor.dtype, device=factor.device)
    torch.mul(slope, factor.view(slope.shape), out=rows.view(slope.shape))
    return rows


def standardise(weights: Sequence[Tensor], gain: float) -> Standardised:
    """Return weights (O, n) of layers with mean 0 and norm ``gain`` for each output.

    Equal weights become 0, but for a trace of rounding errors.
    """
    # On a GPU, a few numbers for each output take as long as all weights: those of all
    # layers share calls.
    n_outputs = [len(weight) for weight in weights]
    numbers = weights[0].new_empty(3, sum(n_outputs), 1)
    centred = []
    for weight, part in zip(
        weights, numbers.split_with_sizes(n_outputs, 1), strict=True
    ):
        mean, spread, norm = part
        torch.mean(weight, 1, keepdim=True, out=mean)
        centred.append(weight - mean)
        vector_norm(centred[-1], dim=1, keepdim=True, out=spread)
        vector_norm(weight, dim=1, keepdim=True, out=norm)

    resolution = torch.finfo(numbers.dtype).eps ** 0.5
    norms = numbers[1:]
    norms[1].mul_(resolution)
    size = norms.amax(0).clamp_min_(LEAST_SIZE)
    inverse = size.reciprocal()
    factor = inverse * gain
    return Standardised(
        centred, numbers[0], norms, size, inverse, factor, gain, resolution
    )


def standardised(weight: Tensor, gain: float) -> Tensor:
    """Return weights (O, n) of a layer with mean 0 and a norm for each output."""
    found = standardise([weight], gain)
    return found.centred[0] * found.factor
