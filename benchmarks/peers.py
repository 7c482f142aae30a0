"""The peers of skdigits: loops in plain PyTorch, skorch, and bare matrix products."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class Loop:
    """A training loop in plain PyTorch, with a DataLoader or without."""

    def __init__(self, sizes: list[int], rate: float, epochs: int, loader: bool):
        self.sizes = sizes
        self.rate = rate
        self.epochs = epochs
        self.loader = loader

    def fit(self, X: np.ndarray, y: np.ndarray) -> "Loop":
        torch.manual_seed(0)
        samples = torch.from_numpy(X)
        targets = torch.from_numpy(y)
        self.module = network(self.sizes)
        optimizer = torch.optim.SGD(self.module.parameters(), lr=self.rate)

        for _ in range(self.epochs):
            for X_batch, y_batch in self._batches(samples, targets):
                optimizer.zero_grad()
                nn.functional.cross_entropy(self.module(X_batch), y_batch).backward()
                optimizer.step()
        return self

    def _batches(
        self, samples: Tensor, targets: Tensor
    ) -> Iterable[tuple[Tensor, Tensor]]:
        if self.loader:
            data = TensorDataset(samples, targets)
            return DataLoader(data, batch_size=64, shuffle=True)
        order = torch.randperm(len(samples)).split(64)
        return ((samples[i], targets[i]) for i in order)

    def score(self, X: np.ndarray, y: np.ndarray) -> float:
        with torch.no_grad():
            predicted = self.module(torch.from_numpy(X)).argmax(1).numpy()
        return float((predicted == y).mean())


def network(sizes: list[int]) -> nn.Sequential:
    """Return linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def skorch_classifier(sizes: list[int], rate: float, epochs: int) -> BaseEstimator:
    from skorch import NeuralNetClassifier  # type: ignore[import-untyped]

    torch.manual_seed(0)
    return NeuralNetClassifier(
        network(sizes), criterion=nn.CrossEntropyLoss, optimizer=torch.optim.SGD,
        lr=rate, max_epochs=epochs, batch_size=64, iterator_train__shuffle=True,
        train_split=None, verbose=0,
    )  # fmt: skip


class Products:
    """The matrix products of a training run alone: forward, and backward by weights."""

    def __init__(self, sizes: list[int], epochs: int):
        self.sizes = sizes
        self.epochs = epochs

    @torch.inference_mode()
    def fit(self, X: np.ndarray, y: np.ndarray) -> "Products":
        sizes = self.sizes
        batch = torch.from_numpy(X[:64])
        weights = [torch.rand(b, a) for a, b in pairwise(sizes)]
        outputs = [batch.T, *(torch.rand(n, 64) for n in sizes[1:])]
        deltas = [torch.rand(n, 64) for n in sizes]
        gradients = [torch.empty_like(weight) for weight in weights]

        for _ in range(self.epochs * -(-len(X) // 64)):
            for layer, weight in enumerate(weights):
                torch.mm(weight, outputs[layer], out=outputs[layer + 1])
            for layer in reversed(range(len(weights))):
                torch.mm(deltas[layer + 1], outputs[layer].T, out=gradients[layer])
                # Nothing needs the gradient of the input.
                if layer:
                    torch.mm(weights[layer].T, deltas[layer + 1], out=deltas[layer])
        return self

    def score(self, X: np.ndarray, y: np.ndarray) -> float:
        return float("nan")


class _Block(nn.Module):
    """Two convolutions with a shortcut past them."""

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(n_out),
        )

        self.shortcut = nn.Sequential()
        if stride > 1 or n_in != n_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(self.body(images) + self.shortcut(images))


def resnet18(n_channels: int, n_outputs: int) -> nn.Sequential:
    """Return a ResNet-18 as in He et al. (2016) and torchvision."""
    blocks = []
    for n_in, n_out, stride in (
        (64, 64, 1),
        (64, 128, 2),
        (128, 256, 2),
        (256, 512, 2),
    ):
        blocks += [_Block(n_in, n_out, stride), _Block(n_out, n_out, 1)]

    return nn.Sequential(
        nn.Conv2d(n_channels, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(512, n_outputs),
    )


def plain_convnet() -> nn.Sequential:
    """Return the layers of a ConvNetClassifier for 28 × 28 images, untrained."""
    return nn.Sequential(
        nn.Conv2d(1, 24, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(48, 96, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(96 * 3 * 3, 10),
    ).eval()
