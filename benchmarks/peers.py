"""What skdigits is measured against: the loops that people write, skorch, bare products."""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Loop:
    """A training loop in plain PyTorch, with a DataLoader or without."""

    def __init__(self, sizes: list[int], rate: float, epochs: int, loader: bool):
        self.sizes, self.rate, self.epochs, self.loader = sizes, rate, epochs, loader

    def fit(self, X: np.ndarray, y: np.ndarray) -> "Loop":
        torch.manual_seed(0)
        rows, codes = torch.from_numpy(X), torch.from_numpy(y)
        self.module = network(self.sizes)
        optimizer = torch.optim.SGD(self.module.parameters(), lr=self.rate)
        for _ in range(self.epochs):
            for X_batch, y_batch in self._batches(rows, codes):
                optimizer.zero_grad()
                nn.functional.cross_entropy(self.module(X_batch), y_batch).backward()
                optimizer.step()
        return self

    def _batches(self, rows: torch.Tensor, codes: torch.Tensor) -> Any:
        if self.loader:
            return DataLoader(TensorDataset(rows, codes), batch_size=64, shuffle=True)
        return ((rows[i], codes[i]) for i in torch.randperm(len(rows)).split(64))

    def score(self, X: np.ndarray, y: np.ndarray) -> float:
        with torch.no_grad():
            return float(
                (self.module(torch.from_numpy(X)).argmax(1).numpy() == y).mean()
            )


def network(sizes: list[int]) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def skorch_classifier(sizes: list[int], rate: float, epochs: int) -> Any:
    from skorch import NeuralNetClassifier

    torch.manual_seed(0)
    return NeuralNetClassifier(
        network(sizes), criterion=nn.CrossEntropyLoss, optimizer=torch.optim.SGD, lr=rate,
        max_epochs=epochs, batch_size=64, iterator_train__shuffle=True, train_split=None,
        verbose=0,
    )  # fmt: skip


class Products:
    """The matrix products of a run and nothing else: forward, and backward by weights."""

    def __init__(self, sizes: list[int], epochs: int):
        self.sizes, self.epochs = sizes, epochs

    @torch.inference_mode()
    def fit(self, X: np.ndarray, y: np.ndarray) -> "Products":
        sizes, batch = self.sizes, torch.from_numpy(X[:64])
        weights = [torch.rand(b, a) for a, b in pairwise(sizes)]
        outputs = [batch.T, *(torch.rand(n, 64) for n in sizes[1:])]
        deltas = [torch.rand(n, 64) for n in sizes]
        gradients = [torch.empty_like(weight) for weight in weights]
        for _ in range(self.epochs * -(-len(X) // 64)):
            for layer, weight in enumerate(weights):
                torch.mm(weight, outputs[layer], out=outputs[layer + 1])
            for layer in reversed(range(len(weights))):
                torch.mm(deltas[layer + 1], outputs[layer].T, out=gradients[layer])
                if layer:
                    torch.mm(weights[layer].T, deltas[layer + 1], out=deltas[layer])
        return self

    def score(self, X: np.ndarray, y: np.ndarray) -> float:
        return float("nan")


class _Block(nn.Module):
    """Two convolutions and a way past them."""

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False), nn.BatchNorm2d(n_out),
        )  # fmt: skip
        self.past = nn.Sequential()
        if stride > 1 or n_in != n_out:
            self.past = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(images) + self.past(images))


def resnet18(n_channels: int, n_outputs: int) -> nn.Sequential:
    """ResNet-18 as in He et al. 2016 and torchvision, for images of so many channels."""
    stages = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
    blocks = [
        block
        for n_in, n_out, stride in stages
        for block in (_Block(n_in, n_out, stride), _Block(n_out, n_out, 1))
    ]
    return nn.Sequential(
        nn.Conv2d(n_channels, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.MaxPool2d(3, 2, 1), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(512, n_outputs),
    )  # fmt: skip
