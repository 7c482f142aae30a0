"""Random distortions of images (B, channels, h, w), a different one for each image.

Lengths are in pixels of an image 28 pixels long, so that values for MNIST suit other
sizes, too: on other images, the unit is one 28th of the longer side.
"""

import math
from functools import cache

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

LENGTH = 28

EDGES = {"constant": "zeros", "nearest": "border"}
"""Values beyond the edge, in numpy.pad's words and in torch's. For scipy.ndimage, they
are "grid-constant" and "nearest"."""


def scale_of(images: Tensor) -> float:
    """Return the length of a 28th of the longer side, in pixels."""
    return max(images.shape[-2:]) / LENGTH


def uniform(
    shape: tuple[int, ...],
    generator: Generator,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """Return uniform numbers from -1 to 1."""
    # Always drawn in float32, so that a seed means the same in every dtype.
    drawn = torch.rand(shape, generator=generator, device=device, dtype=torch.float32)
    return drawn.mul_(2).sub_(1).to(dtype)


def shifted(images: Tensor, most: float, mode: str, generator: Generator) -> Tensor:
    """Move images by whole pixels, at most ``most`` along each axis and direction."""
    n_images, n_channels, height, width = images.shape
    reach = max(1, round(most * scale_of(images))) if most else 0
    padding = "replicate" if mode == "nearest" else "constant"
    padded = pad(images, [reach] * 4, mode=padding)

    device = images.device
    steps = torch.randint(
        2 * reach + 1, (2, n_images, 1), generator=generator, device=device
    )
    rows = steps[0] + torch.arange(height, device=device)
    columns = steps[1] + torch.arange(width, device=device)

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
    """Return the sources of distorted pixels, as a grid (B, h, w, 2) of `grid_sample`.

    Angles are in degrees, and the scale is relative; each is the largest change in
    either direction. An image is scaled by columns and by rows, sheared along its rows,
    turned and shifted, in this order.
    """
    draws = uniform((len(images), 6), generator, images.dtype, images.device)
    turn = draws[:, 0] * math.radians(rotation)
    slant = draws[:, 1] * math.radians(shear)
    wide, high = (1 + scale * draws[:, 2:4]).reciprocal().T
    across, down = (shift * scale_of(images) * draws[:, 4:]).T

    # The matrix leads from a pixel back to its source, so it undoes the steps in
    # reverse order, in (x, y) about the middle.
    cos = turn.cos()
    sin = turn.sin()
    slope = slant.tan()
    x_x = wide * (cos - slope * sin)
    x_y = wide * (sin + slope * cos)
    y_x = -high * sin
    y_y = high * cos

    # torch measures x and y in halves of the width and of the height.
    height, width = images.shape[-2:]
    aspect = height / width
    x = torch.stack([x_x, x_y * aspect, -(x_x * across + x_y * down) * 2 / width], 1)
    y = torch.stack([y_x / aspect, y_y, -(y_x * across + y_y * down) * 2 / height], 1)
    return affine_grid(torch.stack([x, y], 1), list(images.shape), align_corners=False)


def elastic_steps(
    images: Tensor, alpha: float, sigma: float, generator: Generator
) -> Tensor:
    """Return random steps from pixels to their sources, as differences in a grid.

    The steps (B, h, w, 2) are uniform noise in [-1, 1], smoothed by a Gaussian of
    ``sigma`` and multiplied by ``alpha``.
    """
    n_images, _, height, width = images.shape
    dtype = images.dtype
    device = images.device
    noise = uniform((n_images, 2, height, width), generator, dtype, device)

    scale = scale_of(images)
    down = _gaussian(height, sigma * scale, dtype, device)
    across = _gaussian(width, sigma * scale, dtype, device)

    # Smoothing takes more away from noise on a finer grid: the scale squared makes up.
    steps = (down @ noise @ across).mul_(2 * alpha * scale**2)
    return steps.permute(0, 2, 3, 1) / _sides(width, height, dtype, device)


@cache
def _sides(width: int, height: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the lengths of both sides, in pixels.

    Constants are kept for a device and a shape: making them anew takes longer than
    distorting a small batch, and on a GPU a copy. Graphs of CUDA refer to their memory,
    so none is ever forgotten.
    """
    with torch.inference_mode(False):
        return torch.tensor([width, height], dtype=dtype, device=device)


@cache
def _gaussian(
    side: int, sigma: float, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return the matrix (side, side) that smooths, with zeros beyond the edge."""
    with torch.inference_mode(False):  # it outlives the mode of its first use
        places = torch.arange(side, dtype=torch.float64, device=device)
        distance = places[:, None] - places
        kernel = torch.exp(-((distance / sigma) ** 2) / 2)

        reach = math.ceil(6 * sigma) + 1
        around = torch.arange(-reach, reach + 1, dtype=torch.float64, device=device)
        total = torch.exp(-((around / sigma) ** 2) / 2).sum()
        return (kernel / total).to(dtype)


def resampled(images: Tensor, places: Tensor, mode: str) -> Tensor:
    """Return the images at places (B, h, w, 2), by linear interpolation."""
    return grid_sample(images, places, padding_mode=EDGES[mode], align_corners=False)
