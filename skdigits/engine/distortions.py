"""Images (B, channels, h, w) distorted at random, each in a way of its own.

Lengths are in pixels of an image 28 pixels long, so that what suits MNIST suits other sizes:
on an image of another length they are so many 28ths of its longer side.
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

LENGTH = 28
EDGES = {"constant": "zeros", "nearest": "border"}
"""What lies beyond the edge, in numpy.pad's words (scipy.ndimage's "grid-constant" and
"nearest") and in torch's."""


def scale_of(images: Tensor) -> float:
    """Pixels of these images for one of an image that is 28 long."""
    return max(images.shape[-2:]) / LENGTH


def uniform(shape: tuple[int, ...], generator: Generator, like: Tensor) -> Tensor:
    """Numbers from -1 to 1, the same in every dtype."""
    drawn = torch.rand(
        shape, generator=generator, device=like.device, dtype=torch.float32
    )
    return drawn.mul_(2).sub_(1).to(like.dtype)


def shifted(images: Tensor, most: float, mode: str, generator: Generator) -> Tensor:
    """Images moved by whole pixels, up to ``most`` down or up and right or left."""
    n_images, n_channels, *sides = images.shape
    reach = max(1, round(most * scale_of(images))) if most else 0
    padded = pad(
        images, [reach] * 4, mode="replicate" if mode == "nearest" else "constant"
    )
    steps = torch.randint(
        2 * reach + 1, (2, n_images, 1), generator=generator, device=images.device
    )
    rows, columns = (
        step + torch.arange(side, device=images.device)
        for step, side in zip(steps, sides, strict=True)
    )
    places = rows[:, :, None] * padded.shape[3] + columns[:, None, :]
    places = places.view(n_images, 1, -1).expand(-1, n_channels, -1)
    return padded.flatten(2).gather(2, places).view_as(images)


def affine_places(
    images: Tensor,
    rotation: float,
    scale: float,
    shear: float,
    shift: float,
    generator: Generator,
) -> Tensor:
    """Where each pixel of distorted images comes from, as `grid_sample` has it (B, h, w, 2).

    Angles are in degrees, scale is relative, and all are the most either way. An image is
    scaled by columns and by rows, sheared along its rows, turned and shifted.
    """
    draws = uniform((len(images), 6), generator, images)
    turn, slant = (
        draws[:, i] * math.radians(most) for i, most in ((0, rotation), (1, shear))
    )
    wide, high = (1 + scale * draws[:, 2:4]).reciprocal().T
    across, down = (shift * scale_of(images) * draws[:, 4:]).T
    cos, sin, slope = turn.cos(), turn.sin(), slant.tan()
    # From a pixel back to its source, so all in the reverse order, in (x, y) about the middle.
    height, width = images.shape[-2:]
    x_x, x_y = wide * (cos - slope * sin), wide * (sin + slope * cos)
    y_x, y_y = -high * sin, high * cos
    aspect = height / width
    x = torch.stack([x_x, x_y * aspect, -(x_x * across + x_y * down) * 2 / width], 1)
    y = torch.stack([y_x / aspect, y_y, -(y_x * across + y_y * down) * 2 / height], 1)
    return affine_grid(torch.stack([x, y], 1), list(images.shape), align_corners=False)


def elastic_steps(
    images: Tensor, alpha: float, sigma: float, generator: Generator
) -> Tensor:
    """Random steps from each pixel to its source, as differences of places (B, h, w, 2).

    Uniform noise in [-1, 1], smoothed by a Gaussian of ``sigma`` and multiplied by ``alpha``.
    """
    n_images, _, height, width = images.shape
    noise = uniform((n_images, 2, height, width), generator, images)
    scale = scale_of(images)
    down, across = (_gaussian(side, sigma * scale, images) for side in (height, width))
    # Noise on a finer grid is smoothed away by more: the square of the scale makes up for it.
    steps = (down @ noise @ across).mul_(2 * alpha * scale**2)
    return steps.permute(0, 2, 3, 1) / steps.new_tensor([width, height])


def _gaussian(side: int, sigma: float, like: Tensor) -> Tensor:
    """The matrix (side, side) that smooths, as if there were zeros beyond the edge."""
    places = torch.arange(side, dtype=torch.float64, device=like.device)
    reach = math.ceil(6 * sigma) + 1
    around = torch.arange(-reach, reach + 1, dtype=torch.float64, device=like.device)
    total = torch.exp(-((around / sigma) ** 2) / 2).sum()
    distance = places[:, None] - places
    return (torch.exp(-((distance / sigma) ** 2) / 2) / total).to(like.dtype)


def resampled(images: Tensor, places: Tensor, mode: str) -> Tensor:
    """Images read at places (B, h, w, 2), between the four nearest pixels in proportion."""
    return grid_sample(images, places, padding_mode=EDGES[mode], align_corners=False)
