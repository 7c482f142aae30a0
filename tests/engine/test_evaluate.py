"""Scores in chunks."""

import numpy as np
import torch
from small_networks import initial_params

from skdigits.engine import evaluate
from skdigits.engine.dense import DenseNetwork


def test_chunks_make_no_difference(digits, resize):
    X = torch.from_numpy(digits[0][:100])
    network = DenseNetwork((64, 7, 10), "sigmoid_mse", "tanh")
    params = initial_params(network)
    whole = evaluate.predict_scores(network, params, X)
    resize(chunk_samples=32)
    np.testing.assert_allclose(
        evaluate.predict_scores(network, params, X), whole, rtol=1e-12
    )
    hidden = np.tanh(X.numpy() @ params[0][0].numpy().T + params[1][0].numpy().T)
    logits = hidden @ params[2][0].numpy().T + params[3][0].numpy().T
    np.testing.assert_allclose(whole[0], -np.log1p(np.exp(-logits)), rtol=1e-10)


def test_pixels_score_as_their_fractions():
    X = torch.arange(256, dtype=torch.uint8).view(4, 64)
    network = DenseNetwork((64, 3), "cross_entropy")
    params = initial_params(network, dtype=torch.float32)
    found = evaluate.predict_scores(network, params, X)
    expected = evaluate.predict_scores(network, params, X.float() / 255)
    assert torch.equal(found, expected)
