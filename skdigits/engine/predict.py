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
    dtype = params[0].dtype
    chunks = [
        network.scores(params, as_floats(chunk, dtype)[None]) for chunk in X.split(CHUNK_ROWS)
    ]
    return (chunks[0] if len(chunks) == 1 else torch.cat(chunks, dim=2)).mT
