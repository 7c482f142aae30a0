"""Nearest-template classification: distances, class sums and the temperature."""

import math
from functools import partial

import torch
from scipy.optimize import brentq
from torch import Tensor

from skdigits.engine.batches import Data, as_floats
from skdigits.engine.dense import product
from skdigits.engine.ranks import Ranks
from skdigits.engine.sparse import Rows, SparseRows
from skdigits.engine.types import Workers

CHUNK_ROWS = 2048
# Of many templates, or of many features, fewer samples are compared at once.
CHUNK_DISTANCES = 2**22
CHUNK_NUMBERS = 2**21
# Smaller differences between distances count as zero: their reciprocals overflow.
SMALLEST_SCALE = 1e-300
LOG_RANGE = math.log(1e3)


def squared(X: Tensor, templates: Tensor) -> Tensor:
    """Return the means over features (N, M) of ``(x − t)²``.

    Computed as ``‖x‖² − 2 x·t + ‖t‖²`` for samples X (N, D) and templates (M, D), after
    subtracting the templates' mean from both: otherwise, the distances of samples far
    from the origin would suffer from cancellation.
    """
    centre = templates.mean(0)
    X = X - centre
    templates = templates - centre
    products = product(X[None], templates.T[None])[0].mul_(-2)
    products.add_(templates.square().sum(1))

    # vector_norm needs no squared copy of X, as X.square().sum(1) would.
    norms = torch.linalg.vector_norm(X, dim=1, keepdim=True)
    return products.addcmul_(norms, norms).clamp_min_(0).div_(X.shape[1])


def absolute(X: Tensor, templates: Tensor) -> Tensor:
    """Return the means over features (N, M) of ``|x − t|``."""
    return torch.cdist(X, templates, p=1) / X.shape[1]


def cosine(X: Tensor, templates: Tensor) -> Tensor:
    """Return ``1 − cos(x, t)`` (N, M), which is 1 if x or t is zero."""
    return 1 - product(_unit(X)[None], _unit(templates).T[None])[0]


def _unit(vectors: Tensor) -> Tensor:
    """Return vectors (N, D) scaled to norm 1; zero vectors stay zero."""
    # Unscaled, the squares of tiny or huge entries would leave the range of the dtype.
    tiny = torch.finfo(vectors.dtype).tiny
    largest = vectors.abs().amax(1, keepdim=True)
    return torch.nn.functional.normalize(vectors / largest.clamp_min(tiny))


METRICS = {"mse": squared, "mae": absolute, "cosine": cosine}


def class_sums(
    data: Data, n_classes: int, dtype: torch.dtype, workers: Workers | None = None
) -> tuple[Tensor, Tensor]:
    """Return the weighted sum of samples (C, D) and the weight (C,) of each class.

    Both are float64. Samples without weights are summed in ``dtype`` within chunks of
    2,048, and in float64 over the chunks. With weights, all sums are in float64,
    because float32 cannot hold weights of any size. So are those of sparse samples, of
    which only the entries are added up. ``workers`` share the chunks, and the result is
    the same for any number of them.
    """
    if data.weight is not None:
        dtype = torch.float64
    device = data.X.device
    sums = torch.zeros(n_classes, data.X.shape[1], dtype=torch.float64, device=device)
    counts = torch.zeros(n_classes, dtype=torch.float64, device=device)
    if isinstance(data.X, SparseRows):
        return _add_entries(data, data.X, sums, counts)

    of_chunk = partial(_sums_of_chunk, data, dtype)
    starts = range(0, len(data.X), CHUNK_ROWS)
    each = map(of_chunk, starts)
    for classes, own_sums, own_counts in (
        each if workers is None else workers.each(of_chunk, starts)
    ):
        sums[classes] += own_sums
        counts[classes] += own_counts
    return sums, counts


def _sums_of_chunk(
    data: Data, dtype: torch.dtype, start: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the classes of a chunk, the sum of samples and the weight of each."""
    chunk = slice(start, start + CHUNK_ROWS)
    # Of many classes, a chunk has samples of a few.
    classes, places = data.codes[chunk].unique(return_inverse=True)
    found = torch.arange(len(classes), device=data.X.device)[:, None]
    member = (places == found).to(dtype)
    if data.weight is not None:
        member = member * data.weight[chunk]

    X = as_floats(data.X[chunk], dtype)
    return classes, product(member[None], X[None])[0], member.sum(1)


def _add_entries(
    data: Data, X: SparseRows, sums: Tensor, counts: Tensor
) -> tuple[Tensor, Tensor]:
    """Add the entries of sparse samples, and their weights, to those of each class."""
    weight = data.weight
    if weight is None:
        weight = counts.new_ones(len(X))
    counts.index_add_(0, data.codes, weight)

    start = 0
    flat = sums.view(-1)
    for chunk in X.split(CHUNK_ROWS):
        samples, columns, values = chunk.entries()
        samples += start
        places = data.codes[samples].mul_(X.n_features).add_(columns)
        flat.index_add_(0, places, as_floats(values, sums.dtype) * weight[samples])
        start += len(chunk)
    return sums, counts


def class_means(sums: Tensor, counts: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the mean (C, D) of each class, zero for a class without samples."""
    divisors = torch.where(counts > 0, counts, 1)
    return (sums / divisors[:, None]).to(dtype)


def chunk_size(n_templates: int, n_features: int) -> int:
    """Return how many samples are compared with so many templates at once."""
    bounds = (CHUNK_ROWS, CHUNK_DISTANCES // n_templates, CHUNK_NUMBERS // n_features)
    return max(1, min(bounds))


def class_distances(
    X: Rows,
    templates: Tensor,
    counts: Tensor,
    metric: str,
    workers: Workers | None = None,
) -> Tensor:
    """Return the distance (N, C) of each sample to the nearest template of each class.

    ``templates`` (C · n, D) are sorted by class. A class whose count (C,) is 0 is at
    infinity. Distances are computed in the wider dtype of X and templates, and in the
    templates' own if X holds pixels. ``workers`` share the samples.
    """
    if X.is_floating_point():
        templates = templates.to(torch.promote_types(templates.dtype, X.dtype))

    # Allocated first: small results kept between large temporaries fragment the heap.
    distances = templates.new_empty(len(X), len(counts))
    size = chunk_size(*templates.shape)

    def compare(start: int) -> Tensor:
        chunk = as_floats(X[start : start + size], templates.dtype)
        each = METRICS[metric](chunk, templates)
        return each.view(len(chunk), len(counts), -1).amin(2)

    # Written in this thread: an inference mode around it belongs to it alone.
    starts = range(0, len(X), size)
    found = map(compare, starts) if workers is None else workers.each(compare, starts)
    for start, nearest in zip(starts, found, strict=True):
        distances[start : start + size] = nearest
    return distances.masked_fill_(counts == 0, torch.inf)


def underflow(X: Tensor, templates: Tensor, counts: Tensor, distances: Tensor) -> bool:
    """Return whether distances (N, C) are too small for their dtype to tell classes.

    They are, if the largest distance of a sample is no normal number, although the
    sample differs from all templates of a class. Classes whose count (C,) is 0 have
    none.
    """
    seen = counts > 0
    faint = distances[:, seen].amax(1) < torch.finfo(distances.dtype).tiny
    if not faint.any():
        return False

    # Without squares, a distance is 0 only if the sample equals a template.
    exact = class_distances(X[faint], templates, counts, "mae")
    return bool((exact[:, seen] > 0).any())


def likeliest_temperature(
    distances: Tensor, data: Data, ranks: Ranks | None = None
) -> float:
    """Return the T for which ``softmax(−distances / T)``, (N, C), is likeliest.

    The mean negative log-likelihood is convex in β = 1/T. The best T is therefore where
    its slope, ``mean(own distance − expected distance)``, is zero. The search is
    limited to a factor of 1,000 around the mean range of a sample's distances: if every
    sample is nearest to its own class, the best T would be 0. With ``ranks``, means are
    those of the samples of all of them.
    """

    def summed(values: Tensor) -> float:
        total = values.sum()
        if ranks is not None:
            (total,) = ranks.summed([total])
        return total.item()

    own = distances.gather(1, data.codes[:, None])[:, 0].double()
    n_samples = len(own) if ranks is None else summed(torch.ones_like(own))
    weight: Tensor | float = 1 / n_samples
    if data.weight is not None:
        weight = data.weight / summed(data.weight)

    # Transposed to (C, N), the softmax over few classes takes a tenth of the time.
    seen = distances.isfinite().all(0)
    if ranks is not None:
        (absent,) = ranks.summed([(~seen).double()])
        seen = absent == 0
    distances = distances[:, seen].T.contiguous().double()
    scale = summed((distances.amax(0) - distances.amin(0)) * weight)
    if scale < SMALLEST_SCALE:
        return 1.0

    def slope(log_beta: float) -> float:
        proba = torch.softmax(distances * (-math.exp(log_beta) / scale), 0)
        return summed((own - proba.mul_(distances).sum(0)) * weight)

    for bound in (-LOG_RANGE, LOG_RANGE):
        if slope(bound) * bound <= 0:
            return scale * math.exp(-bound)
    return scale * math.exp(-brentq(slope, -LOG_RANGE, LOG_RANGE, xtol=1e-13))
