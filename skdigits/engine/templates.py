"""Nearest-template classification: distances, class sums and the temperature."""

import math

import torch
from scipy.optimize import brentq
from torch import Tensor

from skdigits.engine.batches import as_floats
from skdigits.engine.types import Data

CHUNK_ROWS = 2048
SMALLEST_SCALE = (
    1e-300  # below, distances are all the same, and their reciprocals infinite
)
LOG_RANGE = math.log(1e3)  # temperatures are sought within a factor e^LOG_RANGE


def squared(X: Tensor, templates: Tensor) -> Tensor:
    """Mean over features of ``(x − t)²``, (N, M) for rows X (N, D) and templates (M, D).

    As ``‖x‖² − 2 x·t + ‖t‖²`` about the templates' mean: without the shift, rows far
    from the origin would lose their distances to cancellation.
    """
    centre = templates.mean(0)
    X, templates = X - centre, templates - centre
    products = torch.addmm(templates.square().sum(1), X, templates.T, alpha=-2)
    norms = torch.linalg.vector_norm(
        X, dim=1, keepdim=True
    )  # reads X once, squares it not
    return products.addcmul_(norms, norms).clamp_min_(0).div_(X.shape[1])


def absolute(X: Tensor, templates: Tensor) -> Tensor:
    """Mean over features of ``|x − t|``."""
    return torch.cdist(X, templates, p=1) / X.shape[1]


def cosine(X: Tensor, templates: Tensor) -> Tensor:
    """``1 − cos(x, t)``; a row or template of zeros is at distance 1 of everything."""
    return 1 - _unit(X) @ _unit(templates).T


def _unit(rows: Tensor) -> Tensor:
    # Divided by the largest entry first, as squares of tiny or huge ones leave the range.
    rows = rows / rows.abs().amax(1, keepdim=True).clamp_min(
        torch.finfo(rows.dtype).tiny
    )
    return torch.nn.functional.normalize(rows)


METRICS = {"mse": squared, "mae": absolute, "cosine": cosine}


def class_sums(data: Data, n_classes: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weighted sum of each class's rows (C, D) and of their weights (C,), in float64.

    Rows are summed in ``dtype`` over chunks of 2,048 and in float64 over the chunks; those
    with weights in float64 throughout, as float32 has no room for weights of any size.
    """
    dtype = dtype if data.weight is None else torch.float64
    sums = torch.zeros(
        n_classes, data.X.shape[1], dtype=torch.float64, device=data.X.device
    )
    counts = torch.zeros(n_classes, dtype=torch.float64, device=data.X.device)
    classes = torch.arange(n_classes, device=data.X.device)[:, None]
    for start in range(0, len(data.X), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        member = (data.codes[rows] == classes).to(dtype)
        if data.weight is not None:
            member = member * data.weight[rows]
        sums += member @ as_floats(data.X[rows], dtype)
        counts += member.sum(1)
    return sums, counts


def class_means(sums: Tensor, counts: Tensor, dtype: torch.dtype) -> Tensor:
    """Mean of each class (C, D), zeros for a class without rows."""
    return (sums / torch.where(counts > 0, counts, 1)[:, None]).to(dtype)


def class_distances(
    X: Tensor, templates: Tensor, counts: Tensor, metric: str
) -> Tensor:
    """Distance to the nearest template of each class, (N, C).

    ``templates`` (C · n, D) lie class by class; a class whose count (C,) is 0 is at
    infinity. Computed in the wider of the dtypes of rows and templates; pixels have none.
    """
    if X.is_floating_point():
        templates = templates.to(torch.promote_types(templates.dtype, X.dtype))
    # Allocated first: small results between chunks that come and go break up the heap.
    found = templates.new_empty(len(X), len(counts))
    for chunk, nearest in zip(
        X.split(CHUNK_ROWS), found.split(CHUNK_ROWS), strict=True
    ):
        each = METRICS[metric](as_floats(chunk, templates.dtype), templates)
        torch.amin(each.view(len(chunk), len(counts), -1), 2, out=nearest)
    return found.masked_fill_(counts == 0, torch.inf)


def likeliest_temperature(distances: Tensor, data: Data) -> float:
    """The T that makes ``softmax(−distances / T)``, (N, C), likeliest, within its bounds.

    The mean negative log-likelihood is convex in β = 1/T, so the T sought is where its
    slope, ``mean(own distance − expected distance)``, crosses zero. It is sought within a
    factor of 1,000 of the mean range of a row's distances: where every row is nearest its
    own class, the likeliest T would be 0.
    """
    share = (
        1 / len(distances) if data.weight is None else data.weight / data.weight.sum()
    )
    own = distances.gather(1, data.codes[:, None])[:, 0].double()
    # Classes that have rows, as (C, N): a tenth of the time of a softmax over short rows.
    distances = distances[:, distances.isfinite().all(0)].T.contiguous().double()
    scale = ((distances.amax(0) - distances.amin(0)) * share).sum().item()
    if scale < SMALLEST_SCALE:
        return 1.0

    def slope(log_beta: float) -> float:
        proba = torch.softmax(distances * (-math.exp(log_beta) / scale), 0)
        return ((own - proba.mul_(distances).sum(0)) * share).sum().item()

    for bound in (-LOG_RANGE, LOG_RANGE):
        if slope(bound) * bound <= 0:
            return scale * math.exp(-bound)
    return scale * math.exp(-brentq(slope, -LOG_RANGE, LOG_RANGE, xtol=1e-13))
