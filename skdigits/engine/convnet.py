"""Convolutional networks without batch statistics: they standardise weights instead."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Generator, Tensor
from torch.linalg import vector_norm
from torch.nn.functional import conv2d, max_pool2d

from skdigits.engine.activations import ACTIVATIONS
from skdigits.engine.batches import Batch
from skdigits.engine.exactness import exact_convolutions
from skdigits.engine.losses import OUTPUT_LOSSES
from skdigits.engine.network import Gradients, Network, dropout_mask
from skdigits.engine.sizes import SIZES
from skdigits.engine.types import Params, StepHyper

FIRST_KERNEL = 5  # pixels a side
KERNEL = 3
MNIST_PIXELS = 28 * 28
# Images of MNIST's size that pass through the layers together. On a CPU, the outputs of
# so many layers stay in the cache; on a GPU, they fit into memory.
CPU_IMAGES = 128
GPU_IMAGES = 4096


class Convolution(NamedTuple):
    """A layer: shape (O, I, k, k) of its weights; padding and pooling of both axes."""

    shape: tuple[int, int, int, int]
    padding: tuple[int, int]
    pool: tuple[int, int]


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
    def n_products(self) -> int:
        """Number of multiplications for the logits of an image."""
        convolutions, features = self._layers
        height, width, _ = self.image_shape
        total = features * self.n_outputs
        for layer in convolutions:
            size = layer.shape[-1]
            height += 2 * layer.padding[0] - size + 1
            width += 2 * layer.padding[1] - size + 1
            total += math.prod(layer.shape) * height * width
            height //= layer.pool[0]
            width //= layer.pool[1]
        return total

    def chunk_samples(self, device: torch.device) -> int:
        """Return the number of images that are evaluated at once."""
        most = SIZES[device.type].chunk_numbers // math.prod(self.image_shape)
        return max(1, min(super().chunk_samples(device), most))

    def trains_together(self, n_moments: int, device: torch.device) -> bool:
        """Return False: convolutions of several models do not become one product."""
        return False

    def gradients(
        self,
        params: Params,
        batch: Batch,
        hyper: StepHyper,
        generators: Sequence[Generator],
    ) -> tuple[Tensor, Gradients]:
        """Return logits (K, C, B) of a batch, and gradients in the parameters' order.

        Autograd computes them, one model after the other.
        """
        n_models = len(params[0])
        n_replicas, n_samples, _ = batch.X.shape
        masks: Sequence[Tensor | None] = [None] * n_models
        if generators:
            features = params[0].new_empty(n_models, self.shapes[-1][1], n_samples)
            drawn = dropout_mask(features, hyper.dropout, generators, batch.part)
            masks = drawn.mT.unbind()

        targets = batch.targets.expand(n_models, -1, -1)
        weights = torch.atleast_3d(batch.normalised_weight)
        weights = weights.expand(n_models, 1, n_samples)
        models = []
        for k in range(n_models):
            own = tuple(p[k] for p in params)
            samples = batch.X[k * n_replicas // n_models]
            models.append(
                self._model_gradients(own, samples, targets[k], weights[k], masks[k])
            )

        logits = torch.stack([found for found, _ in models])
        each = zip(*(slopes for _, slopes in models), strict=True)
        gradients = [torch.stack(slopes) for slopes in each]
        strength = self.strength(batch, hyper, logits.dtype)
        if strength is not None:
            gradients[-2].addcmul_(strength, params[-2])
        return logits, tuple(gradients)

    def _model_gradients(
        self,
        params: Params,
        samples: Tensor,
        targets: Tensor,
        normalised_weight: Tensor,
        mask: Tensor | None,
    ) -> tuple[Tensor, Params]:
        """Return logits (C, B) of a model's samples (B, D), and its gradients."""
        found = []
        sums = tuple(map(torch.zeros_like, params))
        size = self._chunk_size(samples.device)
        # A process may have no sample of a batch: a single chunk is empty then.
        for start in range(0, max(1, len(samples)), size):
            some = slice(start, start + size)
            # Autograd refuses tensors of inference mode: it gets copies.
            with torch.inference_mode(False), exact_convolutions(samples.device):
                leaves = tuple(p.clone().requires_grad_() for p in params)
                kept = None if mask is None else mask[some].clone()
                logits = self._forward(
                    leaves, samples[some].clone(), kept, self._dtype(params)
                )

                delta = OUTPUT_LOSSES[self.loss].gradient(
                    logits.detach(), targets[:, some]
                )
                delta.mul_(normalised_weight[:, some])
                slopes = torch.autograd.grad(logits, leaves, delta)

            for total, slope in zip(sums, slopes, strict=True):
                total += slope
            found.append(logits.detach())
        return torch.cat(found, 1), sums

    def _dtype(self, params: Params) -> torch.dtype:
        """Return the dtype of convolutions in training."""
        own = params[0].dtype
        fast = self.precision == "auto" and bfloat16_is_fast(params[0].device)
        wanted = self.precision == "bfloat16" or fast
        return torch.bfloat16 if wanted and own == torch.float32 else own

    def logits(self, params: Params, X: Tensor) -> Tensor:
        """Return logits (K, C, B) of samples X (R, B, D), a chunk at a time."""
        n_models = len(params[0])
        size = self._chunk_size(X.device)
        models = []
        with exact_convolutions(X.device):
            for k in range(n_models):
                own = tuple(p[k] for p in params)
                chunks = X[k * len(X) // n_models].split(size)
                found = [self._forward(own, samples) for samples in chunks]
                models.append(torch.cat(found, 1))
        return torch.stack(models)

    def _chunk_size(self, device: torch.device) -> int:
        """Return how many images pass through the layers together."""
        most = CPU_IMAGES if device.type == "cpu" else GPU_IMAGES
        pixels = self.image_shape[0] * self.image_shape[1]
        return max(1, min(most, most * MNIST_PIXELS // pixels))

    def _forward(
        self,
        params: Params,
        samples: Tensor,
        mask: Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Return logits (C, B) of one model for samples (B, D)."""
        # Channels last in memory, as oneDNN and Tensor Cores like them.
        images = samples.view(-1, *self.image_shape).permute(0, 3, 1, 2).to(dtype)
        activation = ACTIVATIONS[self.activation]
        *pairs, (weight, bias) = zip(params[::2], params[1::2], strict=True)

        for layer, (own, shift) in zip(self.convolutions, pairs, strict=True):
            kernel = standardised(own, activation.gain).view(layer.shape).to(dtype)
            kernel = kernel.contiguous(memory_format=torch.channels_last)
            images = conv2d(
                images, kernel, shift[:, 0].to(dtype), padding=layer.padding
            )
            # Pooling and a rising activation commute, and pooling first is cheaper.
            if layer.pool != (1, 1):
                images = max_pool2d(images, layer.pool)
            images = activation.value(images)

        features = images.permute(0, 2, 3, 1).flatten(1).to(weight.dtype)
        features = features if mask is None else features * mask
        return torch.addmm(bias.T, features, weight.T).T


def standardised(weight: Tensor, gain: float) -> Tensor:
    """Return weights (O, n) with mean 0 and norm ``gain`` for each output.

    Equal weights become 0, but for a trace of rounding errors.
    """
    centred = weight - weight.mean(1, keepdim=True)
    resolution = torch.finfo(weight.dtype).eps ** 0.5
    least = vector_norm(weight, dim=1, keepdim=True) * resolution
    size = torch.maximum(vector_norm(centred, dim=1, keepdim=True), least)
    return centred * (gain / size.clamp_min(1e-12))


@cache
def bfloat16_is_fast(device: torch.device) -> bool:
    """Return whether a device has instructions for products of bfloat16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)

    # Before torch 2.11, torch cannot tell what the processor has.
    found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
