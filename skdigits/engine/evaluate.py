"""Evaluation: scores of many samples, and how models do on validation samples."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from skdigits.engine.batches import Data, Targets, as_floats, batches
from skdigits.engine.network import Network
from skdigits.engine.ranks import Ranks, own_part
from skdigits.engine.sparse import Rows
from skdigits.engine.types import Params, Plan, Run, Score, Workers


@torch.inference_mode()
def predict_scores(
    network: Network, params: Params, X: Rows, workers: Workers | None = None
) -> Tensor:
    """Return scores (K, N, C) of K networks for samples X (N, D); uint8 are pixels.

    Their softmax over the classes are the probabilities. ``workers`` share chunks of
    samples.
    """
    size = network.chunk_samples(X.device)
    if len(X) <= size:
        logits = network.logits(params, as_floats(X, params[0].dtype)[None])
        return network.to_scores(logits).mT

    # In fours, so that two or four threads have the same to do.
    n_chunks = 4 * math.ceil(len(X) / size / 4)
    size = math.ceil(len(X) / n_chunks)
    of_chunk = partial(predict_scores, network, params)
    chunks = X.split(size)
    each = map(of_chunk, chunks) if workers is None else workers.each(of_chunk, chunks)
    first = next(each)
    # Allocated first: small results between chunks that come and go break up the heap.
    found = first.new_empty(len(first), first.size(2), len(X))
    found[..., :size] = first.mT
    for start, scores in zip(range(size, len(X), size), each, strict=True):
        found[..., start : start + size] = scores.mT
    return found.mT


def measure(
    network: Network,
    params: Params,
    validation: Data,
    targets: Targets,
    score: Score | None = None,
    runs: Callable[[], list[Run]] | None = None,
    ranks: Ranks | None = None,
) -> tuple[Tensor, Tensor]:
    """Return mean loss (K,) and score (K,) on validation samples.

    Both are float64 on the host. The score is the accuracy unless there is another,
    which gets the ``runs`` so far. ``ranks`` evaluate a part of the samples each.
    """
    if ranks is not None:
        loss, accuracy = _measured_by(ranks, network, params, validation, targets)
        if score is None:
            return loss, accuracy
        return loss, score(params, loss.isfinite(), runs)

    rows: list[Tensor] = []
    per_replica = len(params[0]) // validation.n_replicas
    size = network.chunk_samples(validation.X.device)
    for batch in batches(validation, targets, size, models_per_replica=per_replica):
        loss, accuracy = network.evaluate(params, batch)
        total = batch.total_weight
        if not isinstance(total, Tensor):
            total = loss.new_full((1,), total)
        rows += [loss, accuracy, total.flatten().expand_as(loss)]

    # Read at once: a GPU has to finish its work for each read.
    columns = torch.stack(rows).cpu().view(-1, 3, len(params[0]))
    losses, accuracies, weights = columns.unbind(1)
    total = weights.sum(0)
    loss = (losses * weights).sum(0) / total
    if score is None:
        return loss, (accuracies * weights).sum(0) / total
    return loss, score(params, loss.isfinite(), runs)


def _measured_by(
    ranks: Ranks, network: Network, params: Params, validation: Data, targets: Targets
) -> tuple[Tensor, Tensor]:
    """Return mean loss (1,) and accuracy (1,) of one model over the ranks' samples."""
    own = own_part(ranks, validation)
    sums = torch.zeros(3, dtype=torch.float64, device="cpu")
    if own.n_samples:
        for batch in batches(own, targets, network.chunk_samples(own.X.device)):
            loss, accuracy = network.evaluate(params, batch)
            total = float(batch.total_weight)
            hits = accuracy.item() * total
            # Equal numbers of hits are equal to the last bit, whoever counts them.
            hits = hits if own.weight is not None else round(hits)
            sums += sums.new_tensor([loss.item() * total, hits, total])

    loss_sum, hits, total = ranks.summed_on(params[0], sums)
    return (loss_sum / total)[None], (hits / total)[None]


def monitored_score(plan: Plan, loss: Tensor, score: Tensor) -> Tensor:
    """Return the score (K,) that early stopping monitors: the higher, the better."""
    return -loss if plan.stop_by_loss else score
