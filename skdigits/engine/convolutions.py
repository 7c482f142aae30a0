"""Convolutions of K models at once, each with its activation, and their way back.

K models are K groups of channels of one image: a grouped convolution computes all of
them in one call. Images are channels last in memory, as oneDNN and Tensor Cores like
them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from skdigits.engine.activations import Activation

aten: Any = torch.ops.aten


def grouped(device: torch.device) -> bool:
    """Return whether K models take less time at once than one after the other.

    A single model keeps a CPU busy.
    """
    return device.type == "cuda"


class Convolution(NamedTuple):
    """A layer: shape (O, I, k, k) of its weights; padding and pooling of both axes."""

    shape: tuple[int, int, int, int]
    padding: tuple[int, int]
    pool: tuple[int, int]


class Pass(NamedTuple):
    """A layer's inputs and outputs of some images, as its backward pass reads them.

    ``images`` (B, G · I, ·, ·) and ``kernel`` (K · O, I, k, k) make ``whole``, before
    pooling. ``places`` are those of the largest values, or None without pooling.
    """

    images: Tensor
    kernel: Tensor
    groups: int
    whole: Tensor
    places: Tensor | None
    output: Tensor


def forward(
    layer: Convolution,
    activation: Activation,
    images: Tensor,
    kernel: Tensor,
    bias: Tensor,
    groups: int,
) -> Pass:
    """Pass images (B, G · I, ·, ·) through a layer of K models in G groups."""
    whole = conv2d(images, kernel, bias, padding=layer.padding, groups=groups)

    # Pooling and a rising activation commute, and pooling first is cheaper.
    pooled = whole
    places = None
    if layer.pool != (1, 1):
        pooled, places = max_pool2d(whole, layer.pool, return_indices=True)
    output = activation.value(pooled)
    return Pass(images, kernel, groups, whole, places, output)


def backward(
    layers: Sequence[Convolution],
    activation: Activation,
    passes: list[Pass],
    slope: Tensor,
) -> list[tuple[Tensor, Tensor]]:
    """Return the gradients by kernel and bias of each layer; ``slope`` is the output's.

    Autograd would compute the same, but launches more. ``passes`` are used up: what a
    layer holds is freed before the next one needs memory.
    """
    once = (1, 1)
    nothing = (0, 0)
    found = []
    for layer in reversed(layers):
        passed = passes.pop()
        slope = activation.backward(slope, passed.output)
        if passed.places is not None:
            window = (layer.pool, layer.pool, nothing, once, False)
            slope = aten.max_pool2d_with_indices_backward(
                slope, passed.whole, *window, passed.places
            )

        geometry = (once, layer.padding, once, False, nothing, passed.groups)
        wanted = (bool(passes), True, True)  # nothing by the samples
        sizes = [len(passed.kernel)]
        slope, by_kernel, by_bias = aten.convolution_backward(
            slope, passed.images, passed.kernel, sizes, *geometry, wanted
        )
        found.append((by_kernel, by_bias))
    return found[::-1]


def kernel_of(
    weight: Tensor, factor: Tensor, layer: Convolution, dtype: torch.dtype
) -> Tensor:
    """Return ``weight · factor``, of shape (K · O, n), as a kernel of some dtype."""
    shape = (len(weight), *layer.shape[1:])
    kernel = torch.empty(
        shape,
        dtype=dtype,
        device=weight.device,
        memory_format=torch.channels_last,
    )
    torch.mul(weight.view(shape), factor[..., None, None], out=kernel)
    return kernel


def as_channels(images: Tensor) -> Tensor:
    """Return images (G, B, h, w, C) as (B, G · C, h, w)."""
    return images.permute(1, 2, 3, 0, 4).flatten(3).permute(0, 3, 1, 2)


def as_groups(images: Tensor, groups: int) -> Tensor:
    """Return images (B, G · C, h, w) as (G, B, h, w, C)."""
    last: Tensor = images.permute(0, 2, 3, 1).unflatten(3, (groups, -1))
    return last.permute(3, 0, 1, 2, 4)
