"""Scores in chunks."""

import numpy as np
import torch

from skdigits.engine import predict
from skdigits.engine.networks import DenseNetwork


def test_chunks_make_no_difference(digits, monkeypatch):
    X = torch.from_numpy(digits[0][:100])
    network = DenseNetwork((64, 7, 10), "sigmoid_mse", "tanh")
    params = network.initial(np.random.RandomState(0), 1, X[:0])
    whole = predict.predict_scores(network, params, X)
    monkeypatch.setattr(predict, "CHUNK_ROWS", 32)
    np.testing.assert_allclose(
        predict.predict_scores(network, params, X), whole, rtol=1e-12
    )
    hidden = np.tanh(X.numpy() @ params[0][0].numpy().T + params[1][0].numpy().T)
    logits = hidden @ params[2][0].numpy().T + params[3][0].numpy().T
    np.testing.assert_allclose(whole[0], -np.log1p(np.exp(-logits)), rtol=1e-10)


def test_pixels_score_as_their_fractions():
    X = torch.arange(256, dtype=torch.uint8).view(4, 64)
    network = DenseNetwork((64, 3), "cross_entropy")
    params = network.initial(np.random.RandomState(0), 1, torch.zeros(0))
    found = predict.predict_scores(network, params, X)
    expected = predict.predict_scores(network, params, X.float() / 255)
    assert torch.equal(found, expected)
