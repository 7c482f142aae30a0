"""Convolutional networks without batch statistics: they standardise weights instead."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from skdigits.engine.activations import ACTIVATIONS
from skdigits.engine.batches import Batch
from skdigits.engine.convolutions import (
    Convolution,
    Pass,
    as_channels,
    as_groups,
    backward,
    forward,
    grouped,
    kernel_of,
)
from skdigits.engine.exactness import exact_convolutions
from skdigits.engine.losses import OUTPUT_LOSSES
from skdigits.engine.network import Gradients, Network, dropout_mask, join
from skdigits.engine.sizes import SIZES
from skdigits.engine.standardised import Standardised, standardise
from skdigits.engine.types import Params, StepHyper

FIRST_KERNEL = 5  # pixels a side
KERNEL = 3
MNIST_PIXELS = 28 * 28
# Images of MNIST's size that pass through the layers together. On a CPU, the outputs of
# so many layers stay in the cache; on a GPU, they fit into memory.
CPU_IMAGES = 128
GPU_IMAGES = 4096
GPU_IMAGES_OF_EACH = 256  # of several models that compute at once


@dataclass(frozen=True)
class ConvNetwork(Network):
    """Convolutions, each with its activation, and a linear layer.

    Between two layers of which the second has more channels, max-pooling keeps the
    largest of each 2 × 2 values. A convolution is padded if it would leave no more than
    half of a side.

    The L2 penalty counts the weights of the last layer alone: the loss does not depend
    on the size of standardised weights, and their penalty would have its minimum at
    size 0.

    Parameters
    ----------
    image_shape : tuple of int
        ``(height, width, channels)``; the channels of a pixel lie side by side.
    channels : tuple of int
        Number of output channels of each convolution.
    n_outputs : int
        Number of outputs: one for each class or label, or one for two classes.
    loss, activation, weight_init, penalty_per_sample
        As in `Network`.
    precision : {"auto", "float32", "bfloat16"}
        Precision of convolutions in training: ``"auto"`` is bfloat16 if that is fast on
        the device and parameters are float32, else the dtype of the parameters.

    Notes
    -----
    The weights of each channel are standardised, ``gain · (W − mean W) / ‖W − mean
    W‖``, with the gain of the activation (Brock, De, Smith 2021). As with batch
    normalisation, signals keep their size from layer to layer; unlike there, no image
    depends on others.
    """

    image_shape: tuple[int, int, int]
    channels: tuple[int, ...]
    n_outputs: int
    loss: str
    activation: str = "relu"
    weight_init: str = "he"
    penalty_per_sample: bool = True
    precision: str = "auto"
    auto_batch_size: ClassVar[int] = 128
    reads_images: ClassVar[bool] = True
    penalised: ClassVar[slice] = slice(-2, -1)  # the weights of the last layer

    @property
    def convolutions(self) -> list[Convolution]:
        """The layers but the last."""
        return self._layers[0]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes (O, I, k, k) of the convolutions, (O, features) of the last layer."""
        convolutions, features = self._layers
        return [*(layer.shape for layer in convolutions), (self.n_outputs, features)]

    @property
    def layout(self) -> tuple[object, ...]:
        """Image shape, and the shapes of all weights."""
        return (self.image_shape, *self.shapes)

    @property
    def n_units(self) -> int:
        """Number of values that the layers compute for a sample, before pooling."""
        height, width, _ = self.image_shape
        return height * width * sum(self.channels) + self.n_outputs

    @cached_property
    def _layers(self) -> tuple[list[Convolution], int]:
        """The convolutions, and the number of features that they make of an image."""
        *sides, n_in = self.image_shape
        layers: list[Convolution] = []
        next_channels = (*self.channels[1:], 0)
        for n_out, following in zip(self.channels, next_channels, strict=True):
            size = KERNEL if layers else FIRST_KERNEL
            padding = [0 if size - 1 < side / 2 else size // 2 for side in sides]
            padded = [
                side + 2 * more for side, more in zip(sides, padding, strict=True)
            ]
            sides = [side - size + 1 for side in padded]

            pool = [min(side, 2) if following > n_out else 1 for side in sides]
            sides = [side // step for side, step in zip(sides, pool, strict=True)]
            shape = (n_out, n_in, size, size)
            layers.append(
                Convolution(shape, (padding[0], padding[1]), (pool[0], pool[1]))
            )
            n_in = n_out
        return layers, n_in * math.prod(sides)

    @property
    def _sides(self) -> list[tuple[int, int]]:
        """Height and width of each convolution's outputs, before pooling."""
        height, width, _ = self.image_shape
        found = []
        for layer in self.convolutions:
            size = layer.shape[-1]
            height += 2 * layer.padding[0] - size + 1
            width += 2 * layer.padding[1] - size + 1
            found.append((height, width))

            height //= layer.pool[0]
            width //= layer.pool[1]
        return found

    @property
    def n_products(self) -> int:
        """Number of multiplications for the logits of an image."""
        total = math.prod(self.shapes[-1])
        for layer, sides in zip(self.convolutions, self._sides, strict=True):
            total += math.prod(layer.shape) * math.prod(sides)
        return total

    def chunk_samples(self, device: torch.device) -> int:
        """Return the number of images that are evaluated at once."""
        most = SIZES[device.type].chunk_numbers // math.prod(self.image_shape)
        return max(1, min(super().chunk_samples(device), most))

    def trains_together(self, n_moments: int, device: torch.device) -> bool:
        """Return whether several models train faster in one run than one by one."""
        return grouped(device)

    def numbers_in_layers(
        self, device: torch.device, batch_size: int, n_scored: int
    ) -> int:
        """Return how many numbers the layers of one of several models hold.

        In training, each value has a gradient. Each that is the largest of a window has
        its place there.
        """
        n_features = self.shapes[-1][1]
        in_training = math.prod(self.image_shape) + 5 * n_features
        in_scoring = math.prod(self.image_shape) + 2 * n_features
        for layer, sides in zip(self.convolutions, self._sides, strict=True):
            n_outputs = layer.shape[0] * math.prod(sides)
            n_windows = n_outputs // math.prod(layer.pool)
            in_training += 2 * n_outputs + 3 * n_windows
            in_scoring += n_outputs + 2 * n_windows

        chunk = self._chunk_size(torch.device("cuda"), 2)
        of_batch = min(batch_size, chunk) * in_training
        return max(of_batch, min(n_scored, chunk) * in_scoring)

    def gradients(
        self,
        params: Params,
        batch: Batch,
        hyper: StepHyper,
        generators: Sequence[Generator],
    ) -> tuple[Tensor, Gradients]:
        """Return logits (K, C, B) of a batch, and gradients in the parameters' order.

        What several models need of their images is computed at once if that is faster.
        """
        n_models = len(params[0])
        n_samples = batch.X.shape[1]
        mask = None
        if generators:
            features = params[0].new_empty(n_models, self.shapes[-1][1], n_samples)
            mask = dropout_mask(features, hyper.dropout, generators, batch.part).mT

        targets = batch.targets.expand(n_models, -1, -1)
        weights = torch.atleast_3d(batch.normalised_weight)
        weights = weights.expand(n_models, 1, n_samples)
        found = []
        for models, own, X in _at_once(params, batch.X):
            kept = None if mask is None else mask[models]
            some = (targets[models], weights[models], kept)
            found.append(self._gradients(own, X, *some))

        logits, *gradients = _joined(found)
        strength = self.strength(batch, hyper, logits.dtype)
        if strength is not None:
            gradients[-2].addcmul_(strength, params[-2])
        return logits, tuple(gradients)

    def _gradients(
        self,
        params: Params,
        X: Tensor,
        targets: Tensor,
        normalised_weight: Tensor,
        mask: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """Return logits (K, C, B) of samples X (R, B, D), and gradients of the loss."""
        weights = self._standardised(params)
        dtype = self._dtype(params)
        size = self._chunk_size(X.device, len(params[0]))
        found = []
        sums: Params = ()
        # A process may have no sample of a batch: a single chunk is empty then.
        for start in range(0, max(1, X.shape[1]), size):
            some = slice(start, start + size)
            kept = None if mask is None else mask[:, some]
            with exact_convolutions(X.device):
                passes = list(self._passes(params, weights, X[:, some], dtype))
                features = _features(passes[-1].output, params, kept)
                logits = _linear(features, params)

                delta = OUTPUT_LOSSES[self.loss].gradient(logits, targets[..., some])
                delta.mul_(normalised_weight[..., some])
                slope = torch.bmm(delta.mT, params[-2])
                slope = slope if kept is None else slope.mul_(kept)
                slopes = self._backward(params, weights, passes, slope)

            found.append(logits)
            by_bias = delta.sum(-1, keepdim=True)
            slopes = (*slopes, torch.bmm(delta, features), by_bias)
            sums = tuple(map(torch.add, sums, slopes)) if sums else slopes
        return torch.cat(found, -1), *sums

    def _backward(
        self,
        params: Params,
        weights: Standardised,
        passes: list[Pass],
        slope: Tensor,
    ) -> Params:
        """Return the convolutions' gradients by ``slope`` (K, B, n), the features'."""
        last = passes[-1].output
        n_channels = last.shape[1] // len(slope)
        images = slope.view(*slope.shape[:2], *last.shape[2:], n_channels)
        slopes = backward(
            self.convolutions,
            ACTIVATIONS[self.activation],
            passes,
            as_channels(images).to(last.dtype),
        )

        by_weights = weights.backward([by_kernel for by_kernel, _ in slopes])
        by_biases = [by_bias.to(slope.dtype) for _, by_bias in slopes]
        pairs = zip(by_weights, by_biases, strict=True)
        flat = [one for pair in pairs for one in pair]
        return tuple(map(Tensor.view_as, flat, params[:-2]))

    def _dtype(self, params: Params) -> torch.dtype:
        """Return the dtype of convolutions in training."""
        own = params[0].dtype
        fast = self.precision == "auto" and bfloat16_is_fast(params[0].device)
        wanted = self.precision == "bfloat16" or fast
        return torch.bfloat16 if wanted and own == torch.float32 else own

    def logits(self, params: Params, X: Tensor) -> Tensor:
        """Return logits (K, C, B) of samples X (R, B, D), a chunk at a time."""
        found = []
        with exact_convolutions(X.device):
            for _, own, samples in _at_once(params, X):
                weights = self._standardised(own)
                size = self._chunk_size(X.device, len(own[0]))
                chunks = []
                for some in samples.split(size, 1):
                    # One layer after the other: those before are freed.
                    for last in self._passes(own, weights, some, X.dtype):
                        images = last.output
                    chunks.append(_linear(_features(images, own), own))
                found.append((torch.cat(chunks, -1),))
        return _joined(found)[0]

    def _chunk_size(self, device: torch.device, n_models: int) -> int:
        """Return how many images pass through the layers together."""
        most = GPU_IMAGES if n_models == 1 else GPU_IMAGES_OF_EACH
        most = CPU_IMAGES if device.type == "cpu" else most
        pixels = self.image_shape[0] * self.image_shape[1]
        return max(1, min(most, most * MNIST_PIXELS // pixels))

    def _standardised(self, params: Params) -> Standardised:
        """Return the weights (K · O, n) of the convolutions, standardised."""
        weights = [weight.flatten(0, 1) for weight in params[:-2:2]]
        return standardise(weights, ACTIVATIONS[self.activation].gain)

    def _passes(
        self, params: Params, weights: Standardised, X: Tensor, dtype: torch.dtype
    ) -> Iterator[Pass]:
        """Pass samples X (R, B, D) through the convolutions, one after the other.

        In the first one, models that see the same images are one group.
        """
        activation = ACTIVATIONS[self.activation]
        images = as_channels(X.view(*X.shape[:2], *self.image_shape)).to(dtype)
        groups = len(X)
        factors = weights.by_layer(weights.factor)
        rows = (weights.centred, factors, params[1:-2:2])
        for layer, centred, factor, bias in zip(self.convolutions, *rows, strict=True):
            kernel = kernel_of(centred, factor, layer, dtype)
            shift = bias.flatten().to(dtype)
            passed = forward(layer, activation, images, kernel, shift, groups)
            yield passed
            images = passed.output
            groups = len(bias)


def _at_once(params: Params, X: Tensor) -> Iterator[tuple[slice, Params, Tensor]]:
    """Yield models that are computed at once, with parameters and samples (R, B, D)."""
    n_models = len(params[0])
    if n_models == 1 or grouped(X.device):
        yield slice(None), params, X
        return

    for k in range(n_models):
        one = slice(k, k + 1)
        replica = k * len(X) // n_models
        yield one, tuple(p[one] for p in params), X[replica : replica + 1]


def _joined(found: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Return one record of all models; a single one is not copied."""
    return found[0] if len(found) == 1 else join(found)


def _features(images: Tensor, params: Params, mask: Tensor | None = None) -> Tensor:
    """Return the features (K, B, n) of images (B, K · C, ·, ·), after dropout."""
    weight = params[-2]
    features = as_groups(images, len(weight)).flatten(2).to(weight.dtype)
    return features if mask is None else features * mask


def _linear(features: Tensor, params: Params) -> Tensor:
    """Return the logits (K, C, B) of features (K, B, n)."""
    weight, bias = params[-2:]
    return torch.baddbmm(bias.mT, features, weight.mT).mT


@cache
def bfloat16_is_fast(device: torch.device) -> bool:
    """Return whether a device has instructions for products of bfloat16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)

    # Before torch 2.11, torch cannot tell what the processor has.
    found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
