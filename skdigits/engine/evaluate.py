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
    size = network.chunk_samples
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

    losses = []
    accuracies = []
    totals = []
    per_replica = len(params[0]) // validation.n_replicas
    for batch in batches(
        validation, targets, network.chunk_samples, models_per_replica=per_replica
    ):
        loss, accuracy = network.evaluate(params, batch)
        losses.append(loss)
        accuracies.append(accuracy)
        total = torch.as_tensor(batch.total_weight, dtype=torch.float64, device="cpu")
        totals.append(total.flatten())

    weights = torch.stack(totals)
    loss = _weighted_mean(losses, weights)
    if score is None:
        return loss, _weighted_mean(accuracies, weights)
    return loss, score(params, loss.isfinite(), runs)


def _measured_by(
    ranks: Ranks, network: Network, params: Params, validation: Data, targets: Targets
) -> tuple[Tensor, Tensor]:
    """Return mean loss (1,) and accuracy (1,) of one model over the ranks' samples."""
    own = own_part(ranks, validation)
    sums = torch.zeros(3, dtype=torch.float64, device="cpu")
    if own.n_samples:
        for batch in batches(own, targets, network.chunk_samples):
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


def _weighted_mean(values: list[Tensor], weights: Tensor) -> Tensor:
    """Return the mean (K,), on the host, of values (K,) of batches by their weights."""
    columns = torch.stack(values).cpu()
    return (columns * weights).sum(0) / weights.sum(0)
