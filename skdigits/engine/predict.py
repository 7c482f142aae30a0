"""Scores of many rows, a chunk at a time."""

import torch
from torch import Tensor

from skdigits.engine.batches import as_floats
from skdigits.engine.types import Network, Params

CHUNK_ROWS = 2048


@torch.inference_mode()
def predict_scores(network: Network, params: Params, X: Tensor) -> Tensor:
    """Scores (K, N, C) of K networks for rows X (N, D); uint8 rows are pixels.

    Their softmax over the classes are the probabilities.
    """
    dtype, first = params[0].dtype, X[:CHUNK_ROWS]
    scores = network.scores(params, as_floats(first, dtype)[None])
    if len(X) == len(first):
        return scores.mT
    # Allocated first: small results between chunks that come and go break up the heap.
    found = scores.new_empty(*scores.shape[:2], len(X))
    found[..., :CHUNK_ROWS] = scores
    for start in range(CHUNK_ROWS, len(X), CHUNK_ROWS):
        rows = as_floats(X[start : start + CHUNK_ROWS], dtype)
        found[..., start : start + CHUNK_ROWS] = network.scores(params, rows[None])
    return found.mT
