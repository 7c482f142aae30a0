"""Moving, shearing and scaling of images, each by its own foreground.

Images are (B, h, w) tensors of foreground on a background of 0; places are
(row, column), from 0 on.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from skdigits.engine.batches import as_floats

# Few calls, while the copies of a chunk still fit into the processor's cache.
CHUNK_PIXELS = 512 * 28 * 28

# Variance of the rows of foreground, in pixels², below which all lies in one row.
LEAST_VARIANCE = 1e-9

# Six standard deviations of a normal distribution, in distances median to quartile.
NOISE_RANGE = 6 * 1.4826

# Added before a place is rounded, so that rounding errors decide no tie.
TIE = 1e-5


class Moments(NamedTuple):
    """Moments of the foreground, (B,) each, in float64; 0 for blank images."""

    row: Tensor
    column: Tensor
    row_variance: Tensor
    covariance: Tensor


@torch.inference_mode()
def by_chunks(
    function: Callable[[Tensor], Tensor],
    images: Tensor,
    n_out: int,
    device: torch.device,
) -> Tensor:
    """Apply a function to images (N, h, w); return rows (N, n_out) in their own dtype.

    The function is called with one chunk at a time, on the device. It computes on uint8
    images as float64 fractions of 255, and its results for them are rounded, halves up.
    """
    pixels = images.dtype == torch.uint8
    # In float32, the order of a sum would decide some grey levels.
    dtype = torch.float64 if pixels else images.dtype
    made = torch.empty(len(images), n_out, dtype=images.dtype, device=images.device)

    size = max(1, CHUNK_PIXELS // max(images[0].numel(), n_out))
    for chunk, out in zip(images.split(size), made.split(size), strict=True):
        rows = function(as_floats(chunk.to(device), dtype)).flatten(1)
        out.copy_(whole(rows * 255) if pixels else rows)
    return made


def middle(images: Tensor) -> tuple[int, int]:
    """Return the target of a centre of mass: (14, 14) of (28, 28), as in MNIST."""
    return images.shape[-2] // 2, images.shape[-1] // 2


def scaled(images: Tensor) -> Tensor:
    """Scale images that are not blank to a largest value of 1: sums stay finite."""
    largest = images.amax((1, 2), keepdim=True)
    return images / largest.where(largest > 0, 1)


def moments(images: Tensor) -> Moments:
    """Return the first moments of the foreground, and its second moments by row."""
    height, width = images.shape[1:]
    rows = torch.arange(height, dtype=torch.float64, device=images.device)
    columns = torch.arange(width, dtype=torch.float64, device=images.device)

    # One pass over the images: the mass and the first moment of each row suffice.
    weights = torch.stack([torch.ones_like(columns), columns], 1)
    mass, moment = (images.double() @ weights).unbind(2)
    total = mass.sum(1)
    total = total.where(total > 0, 1)
    row = mass @ rows / total
    column = moment.sum(1) / total

    distance = rows - row[:, None]
    variance = (mass * distance.square()).sum(1) / total
    covariance = ((moment - column[:, None] * mass) * distance).sum(1) / total
    return Moments(row, column, variance, covariance)


def shift(images: Tensor, offsets: Tensor, dim: int) -> Tensor:
    """Move each line along ``dim`` by its offset: ``out[i] = images[i - offset]``.

    Offsets are (B, h, 1) for ``dim=2`` and (B, 1, w) or (B, 1, 1) for ``dim=1``. A
    value that falls between two pixels is divided in proportion, which keeps its
    centre. Values that are moved over the edge are lost, and 0 moves in.
    """
    size = images.shape[dim]
    places = torch.arange(size, device=images.device)
    places = places.view((-1, 1) if dim == 1 else (1, -1))
    below = (-offsets).floor()
    fraction = (-offsets - below).to(images.dtype)

    # One pixel of 0 at either end is where every place beyond the edge is read.
    padded = torch.nn.functional.pad(images, (1, 1) if dim == 2 else (0, 0, 1, 1))
    first = (below.clamp(-size - 1, size).long() + 1 + places).expand_as(images)
    moved = padded.gather(dim, first.clamp(0, size + 1))
    return moved.lerp_(padded.gather(dim, (first + 1).clamp_(0, size + 1)), fraction)


def deskew(images: Tensor) -> Tensor:
    """Shear images along their rows until no covariance is left, and centre them.

    Row r moves by ``−covariance / variance · (r − centre)``. As rows stay in one piece,
    this is exact, except for values that are lost over the edge.
    """
    found = moments(scaled(images))
    row, column = middle(images)
    slope = found.covariance / found.row_variance.clamp_min(LEAST_VARIANCE)
    slope = slope.where(found.row_variance > LEAST_VARIANCE, 0)

    height = torch.arange(images.shape[1], device=images.device) - found.row[:, None]
    across = column - found.column[:, None] - slope[:, None] * height
    sheared = shift(images, across[:, :, None], 2)
    return shift(sheared, (row - found.row)[:, None, None], 1)


def centre(images: Tensor) -> Tensor:
    """Move images by whole pixels, until the centre of mass is in the middle, ±½."""
    found = moments(scaled(images))
    row, column = middle(images)
    down = whole(row - found.row)
    right = whole(column - found.column)
    return shift(shift(images, right[:, None, None], 2), down[:, None, None], 1)


def whole(steps: Tensor) -> Tensor:
    """Return the nearest whole number, and the larger of two that are as near."""
    return (steps + 0.5 + TIE).floor()


class Box(NamedTuple):
    """First and last place with foreground (B,) along one axis."""

    first: Tensor
    last: Tensor

    @property
    def size(self) -> Tensor:
        return self.last - self.first + 1


def bounds(occupied: Tensor) -> Box:
    """Return the box of the occupied places (B, n); every image must have one."""
    n = occupied.shape[1]
    first = occupied.byte().argmax(1)
    last = n - 1 - occupied.flip(1).byte().argmax(1)
    return Box(first, last)


def near(box: Box, distance: Tensor, n: int) -> Tensor:
    """Return a mask (B, n) of the places within a distance (B,) of the box."""
    places = torch.arange(n, device=distance.device)
    first = box.first - distance
    last = box.last + distance
    return (places >= first[:, None]) & (places <= last[:, None])


def grey_levels(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the levels (5, B) of images and their largest magnitude (B,).

    The levels are the smallest value, the quartiles of the border and the largest
    value, as fractions of the largest magnitude.
    """
    top_and_bottom = images[:, [0, -1]].flatten(1)
    sides = images[:, :, [0, -1]].flatten(1)
    border = torch.cat([top_and_bottom, sides], 1).sort(1).values
    n = border.shape[1]
    quartiles = [border[:, n * k // 4] for k in (1, 2, 3)]

    # Fractions first: a difference of two levels could overflow.
    levels = torch.stack([images.amin((1, 2)), *quartiles, images.amax((1, 2))])
    largest = levels.abs().amax(0).clamp_min(torch.finfo(images.dtype).tiny)
    return levels / largest, largest


def separate_foreground(images: Tensor, inverted: bool | None) -> tuple[Tensor, Tensor]:
    """Return the difference of pixels from the background, up to 2, and the noise (B,).

    The background is the median of the border, and the foreground lies on the side,
    darker or brighter, that reaches farther. ``inverted`` says instead that it is the
    darker (True) or the brighter (False) side; if this side reaches less than a quarter
    as far as the other one, the border is foreground, and the value at the other end is
    the background. The noise is the distance from the background to the quartile on the
    side without foreground.
    """
    levels, largest = grey_levels(images)
    low, lower, background, upper, high = levels
    below = background - low
    above = high - background

    if inverted is None:
        dark = below > above
        misled = torch.zeros_like(dark)
    else:
        dark = torch.full_like(below, inverted, dtype=torch.bool)
        misled = below < above / 4 if inverted else above < below / 4
    noise = torch.where(dark, upper - background, background - lower).where(~misled, 0)
    background = torch.where(misled, torch.where(dark, high, low), background)

    sign = 1 - 2 * dark.to(images.dtype)
    foreground = images / (sign * largest)[:, None, None]
    foreground.sub_((sign * background)[:, None, None]).clamp_min_(0)
    return foreground, noise


def normalise(
    images: Tensor, size: int, digit_size: int, threshold: float, inverted: bool | None
) -> Tensor:
    """Turn grey images into digits like MNIST's, (B, size, size).

    ``threshold`` is the fraction of the largest foreground value above which a pixel
    belongs to the digit.
    """
    foreground, noise = separate_foreground(images, inverted)
    largest = foreground.amax((1, 2))
    noise_limit = torch.minimum(noise * NOISE_RANGE, largest / 2)
    if noise_limit.any():
        foreground.masked_fill_(foreground < noise_limit[:, None, None], 0)

    limit = torch.maximum(largest * threshold, noise_limit)[:, None]
    rows = bounds(foreground.amax(2) > limit)
    columns = bounds(foreground.amax(1) > limit)
    scale = digit_size / torch.maximum(rows.size, columns.size).double()

    # Cropping leaves the foreground of one resulting pixel around the box, for the
    # strokes' soft edges.
    height, width = foreground.shape[1:]
    in_rows = near(rows, 1 / scale, height).to(foreground.dtype)
    foreground.mul_(in_rows.unsqueeze(2))
    in_columns = near(columns, 1 / scale, width).to(foreground.dtype)
    foreground.mul_(in_columns.unsqueeze(1))

    found = moments(foreground)
    down = resampling(rows, found.row, scale, size, height, images.dtype)
    across = resampling(columns, found.column, scale, size, width, images.dtype)
    return scaled(down @ foreground @ across.mT)


def resampling(
    box: Box, centre: Tensor, scale: Tensor, size: int, length: int, dtype: torch.dtype
) -> Tensor:
    """Return weights (B, size, length) that scale the box and move its centre (B,).

    The box moves by whole pixels, its centre to the middle or as near as the box stays
    inside. Reduced pixels are means over the area that they cover, others lie between
    the two nearest: the identity at scale 1.
    """
    field = torch.arange(size, device=scale.device)
    source = torch.arange(length, device=scale.device, dtype=dtype)
    room = size - (box.size * scale - TIE).ceil()
    start = whole(size // 2 + 0.5 - (centre - box.first + 0.5) * scale)
    start = torch.minimum(start, room).clamp_min(0)

    at = (field - start[:, None] + 0.5) / scale[:, None] - 0.5 + box.first[:, None]
    at = at.to(dtype)[:, :, None]
    reach = (0.5 / scale.clamp_max(1)).to(dtype)[:, None, None]
    covered = torch.minimum(at + reach, source + 0.5)
    covered -= torch.maximum(at - reach, source - 0.5)
    return covered.clamp_min_(0).div_(2 * reach)
