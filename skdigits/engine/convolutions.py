"""Convolutional networks without batch statistics: their weights are standardised instead."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.backends import cudnn
from torch.linalg import vector_norm
from torch.nn.functional import conv2d, max_pool2d

from skdigits.engine.gradients import Gradients
from skdigits.engine.losses import OUTPUTS
from skdigits.engine.networks import ACTIVATIONS, LayeredNetwork, dropout_mask
from skdigits.engine.types import Batch, Hyper, Params

FIRST_KERNEL, KERNEL = 5, 3  # pixels a side
MNIST_PIXELS = 28 * 28
CHUNK_IMAGES = 128  # of so many pixels: what the layers hold of so many stays in the processor's cache
GPU_IMAGES = 4096  # on a GPU, that it fits into memory
GAINS = {"identity": 1.0, "logistic": 4.8, "tanh": 1.59, "relu": 1.7139}
"""One over the standard deviation of the activation of a standard normal input."""


class Convolution(NamedTuple):
    """A layer: its weights' shape (O, I, k, k), padding and pooling, by rows and columns."""

    shape: tuple[int, int, int, int]
    padding: tuple[int, int]
    pool: tuple[int, int]


@dataclass(frozen=True)
class ConvNetwork(LayeredNetwork):
    """Convolutions, each with its activation, and a linear layer.

    Between two layers of which the second has more channels, the largest of each 2 × 2 values
    goes on. A convolution is padded where it would leave no more than half of a side.

    Parameters
    ----------
    image_shape : tuple of int
        ``(height, width, channels)`` of the images that rows are, the channels of a pixel
        side by side.
    channels : tuple of int
        Of each convolution.
    n_outputs : int
        One for each class or label, or one for two classes.
    loss, activation, weight_init, penalty_per_row
        As in `LayeredNetwork`.
    precision : {"auto", "float32", "bfloat16"}
        What convolutions are computed in while training: ``"auto"`` is bfloat16 where the
        device is faster by it and parameters are float32, else the dtype of these.

    The penalty is on the last layer's weights alone: the loss does not change with the size of
    weights that are standardised, and a penalty would have no minimum but at size 0.

    Notes
    -----
    The weights of each channel are standardised, ``gain · (W − mean W) / ‖W − mean W‖``, with
    the gain of the activation (Brock, De, Smith 2021): signals then keep their size from layer
    to layer, as by batch normalisation, and no image depends on those beside it.
    """

    image_shape: tuple[int, int, int]
    channels: tuple[int, ...]
    n_outputs: int
    loss: str
    activation: str = "relu"
    weight_init: str = "he"
    penalty_per_row: bool = True
    precision: str = "auto"

    @cached_property
    def convolutions(self) -> list[Convolution]:
        """The layers but the last."""
        return self._layers[0]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """(O, I, k, k) of each convolution, and (O, features) of the last layer."""
        convolutions, features = self._layers
        return [*(layer.shape for layer in convolutions), (self.n_outputs, features)]

    @property
    def layout(self) -> tuple[Any, ...]:
        """Shapes of images and of weights."""
        return (self.image_shape, *self.shapes)

    def penalty(self, params: Params, hyper: Hyper, total: Tensor | float) -> Tensor:
        """L2 penalty (K,) on the last layer, summed over rows of this total weight."""
        return super().penalty(params[-2:], hyper, total)

    @cached_property
    def _layers(self) -> tuple[list[Convolution], int]:
        """The convolutions, and how many numbers they leave of an image."""
        *sides, n_in = self.image_shape
        layers, more = [], (*self.channels[1:], 0)
        for number, (n_out, following) in enumerate(
            zip(self.channels, more, strict=True)
        ):
            size = KERNEL if number else FIRST_KERNEL
            padding = [0 if size - 1 < side / 2 else size // 2 for side in sides]
            pairs = zip(sides, padding, strict=True)
            sides = [side - size + 1 + 2 * padded for side, padded in pairs]
            pool = [min(side, 2) if following > n_out else 1 for side in sides]
            sides = [side // step for side, step in zip(sides, pool, strict=True)]
            shape = (n_out, n_in, size, size)
            layers.append(
                Convolution(shape, (padding[0], padding[1]), (pool[0], pool[1]))
            )
            n_in = n_out
        return layers, n_in * math.prod(sides)

    def gradients(
        self,
        params: Params,
        batch: Batch,
        hyper: Hyper,
        generators: Sequence[Generator],
    ) -> tuple[Tensor, Gradients]:
        """Logits (K, C, B) of a batch, and the gradients, in the order of the parameters.

        One model after the other, by autograd. ``generators``, one a stream, drive dropout;
        none, and there is no dropout.
        """
        n_models, (n_streams, n_rows, _) = len(params[0]), batch.X.shape
        masks = None
        if generators:
            features = params[0].new_empty(n_models, self.shapes[-1][1], n_rows)
            masks = dropout_mask(features, hyper.dropout, generators).mT
        targets, share = (
            tensor.expand(n_models, *tensor.shape[-2:])
            for tensor in (batch.targets, torch.atleast_3d(batch.share))
        )
        models = [
            self._model_gradients(
                tuple(p[k] for p in params),
                batch.X[k * n_streams // n_models],
                targets[k],
                share[k].expand(1, n_rows),
                None if masks is None else masks[k],
            )
            for k in range(n_models)
        ]
        logits = torch.stack([model[0] for model in models])
        gradients = [
            torch.stack(each) for each in zip(*(m[1] for m in models), strict=True)
        ]
        strength = self._strength(batch, hyper, logits.dtype)
        if strength is not None:
            gradients[-2].addcmul_(strength, params[-2])
        return logits, tuple(gradients)

    def _model_gradients(
        self,
        params: Params,
        rows: Tensor,
        targets: Tensor,
        share: Tensor,
        mask: Tensor | None,
    ) -> tuple[Tensor, Params]:
        """Logits (C, B) of one model's rows (B, D), and gradients summed over chunks."""
        found, sums = [], tuple(map(torch.zeros_like, params))
        size = self._chunk_size(rows.device)
        for start in range(0, len(rows), size):
            some = slice(start, start + size)
            # Autograd takes no part in what belongs to inference mode: it gets copies.
            with torch.inference_mode(False), exact_convolutions(rows.device):
                leaves = tuple(p.clone().requires_grad_() for p in params)
                kept = None if mask is None else mask[some].clone()
                logits = self._forward(
                    leaves, rows[some].clone(), kept, self._dtype(params)
                )
                delta = OUTPUTS[self.loss].gradient(logits.detach(), targets[:, some])
                delta.mul_(share[:, some])
                slopes = torch.autograd.grad(logits, leaves, delta)
            for total, slope in zip(sums, slopes, strict=True):
                total += slope
            found.append(logits.detach())
        return torch.cat(found, 1), sums

    def _dtype(self, params: Params) -> torch.dtype:
        """What to train in."""
        own = params[0].dtype
        fast = self.precision == "auto" and bfloat16_is_fast(params[0].device)
        wanted = self.precision == "bfloat16" or fast
        return torch.bfloat16 if wanted and own == torch.float32 else own

    def _logits(self, params: Params, X: Tensor) -> Tensor:
        """Logits (K, C, B) for rows X (S, B, D), a chunk at a time."""
        n_models, size = len(params[0]), self._chunk_size(X.device)
        models = []
        with exact_convolutions(X.device):
            for k in range(n_models):
                own, chunks = (
                    tuple(p[k] for p in params),
                    X[k * len(X) // n_models].split(size),
                )
                models.append(
                    torch.cat([self._forward(own, rows) for rows in chunks], 1)
                )
        return torch.stack(models)

    def _chunk_size(self, device: torch.device) -> int:
        """Images that pass through the layers together."""
        most = CHUNK_IMAGES if device.type == "cpu" else GPU_IMAGES
        pixels = self.image_shape[0] * self.image_shape[1]
        return max(1, min(most, most * MNIST_PIXELS // pixels))

    def _forward(
        self,
        params: Params,
        rows: Tensor,
        mask: Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Logits (C, B) of one model for rows (B, D); convolutions are computed in a dtype."""
        # Channels last in memory, as oneDNN and Tensor Cores like them.
        images = rows.view(-1, *self.image_shape).permute(0, 3, 1, 2).to(dtype)
        gain, activation = GAINS[self.activation], ACTIVATIONS[self.activation].value
        *pairs, (weight, bias) = zip(params[::2], params[1::2], strict=True)
        for layer, (own, shift) in zip(self.convolutions, pairs, strict=True):
            kernel = standardised(own, gain).view(layer.shape).to(dtype)
            kernel = kernel.contiguous(memory_format=torch.channels_last)
            images = conv2d(
                images, kernel, shift[:, 0].to(dtype), padding=layer.padding
            )
            images = images if layer.pool == (1, 1) else max_pool2d(images, layer.pool)
            images = activation(images)
        features = images.permute(0, 2, 3, 1).flatten(1).to(weight.dtype)
        features = features if mask is None else features * mask
        return torch.addmm(bias.T, features, weight.T).T


def standardised(weight: Tensor, gain: float) -> Tensor:
    """Weights (O, n) with mean 0 and norm ``gain`` for each output.

    Those that are all the same become 0, but for a trace of rounding errors.
    """
    centred = weight - weight.mean(1, keepdim=True)
    least = (
        vector_norm(weight, dim=1, keepdim=True) * torch.finfo(weight.dtype).eps ** 0.5
    )
    size = torch.maximum(vector_norm(centred, dim=1, keepdim=True), least)
    return centred * (gain / size.clamp_min(1e-12))


def exact_convolutions(device: torch.device) -> AbstractContextManager[None]:
    """Let cuDNN give the same results every time, and compute float32 as such, not as TF32."""
    if device.type == "cpu":
        return nullcontext()
    return cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


@cache
def bfloat16_is_fast(device: torch.device) -> bool:
    """Whether a device has instructions for products of bfloat16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    found: dict[str, Any] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # of torch 2.11
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
