"""Images moved, sheared and scaled: each by its own ink, all of a chunk at once.

Images are (B, h, w) tensors of ink on a ground of 0; places are (row, column), from 0 on.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from skdigits.engine.batches import as_floats

CHUNK_PIXELS = 512 * 28 * 28  # few calls, and a chunk's copies still in the cache
LEAST_VARIANCE = 1e-9  # of the rows of ink, in pixels²: below, it all lies in one
NOISE_RANGE = 6 * 1.4826  # six standard deviations, by the distance of the quartiles
TIE = 1e-5  # added before a place is rounded, so that rounding errors decide none


class Moments(NamedTuple):
    """Of ink, (B,) each, in float64; 0 where there is none."""

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
    """What a function makes of images (N, h, w), as rows (N, n_out) in their own dtype.

    It is given a chunk at a time, on the device; uint8 as float32 fractions of 255, of
    which the result is rounded.
    """
    pixels = images.dtype == torch.uint8
    made = torch.empty(len(images), n_out, dtype=images.dtype, device=images.device)
    size = max(1, CHUNK_PIXELS // (max(images[0].numel(), n_out)))
    for chunk, out in zip(images.split(size), made.split(size), strict=True):
        dtype = torch.float32 if pixels else images.dtype
        rows = function(as_floats(chunk.to(device), dtype)).flatten(1)
        out.copy_(rows.mul(255).round_() if pixels else rows)
    return made


def middle(images: Tensor) -> tuple[int, int]:
    """Where a centre of mass belongs: (14, 14) of (28, 28), as it is in MNIST."""
    return images.shape[-2] // 2, images.shape[-1] // 2


def scaled(images: Tensor) -> Tensor:
    """Images whose largest value is 1, so that sums are finite; blank ones as they are."""
    largest = images.amax((1, 2), keepdim=True)
    return images / largest.where(largest > 0, 1)


def moments(images: Tensor) -> Moments:
    """First moments of ink, and the second ones by row."""
    rows, columns = (
        torch.arange(size, dtype=torch.float64, device=images.device)
        for size in images.shape[1:]
    )
    # The mass of each row and its first moment: all that is needed, in one product.
    weights = torch.stack([torch.ones_like(columns), columns], 1).to(images.dtype)
    mass, moment = (images @ weights).double().unbind(2)
    total = mass.sum(1)
    total = total.where(total > 0, 1)
    row, column = mass @ rows / total, moment.sum(1) / total
    height = rows - row[:, None]
    variance = (mass * height.square()).sum(1) / total
    covariance = ((moment - column[:, None] * mass) * height).sum(1) / total
    return Moments(row, column, variance, covariance)


def shift(images: Tensor, offsets: Tensor, dim: int) -> Tensor:
    """Move each line along ``dim`` by its offset: ``out[i] = images[i - offset]``.

    Offsets are (B, h, 1) for ``dim=2`` and (B, 1, w) or (B, 1, 1) for ``dim=1``. Between two
    pixels, ink is shared in proportion, which keeps its sum and its centre; beyond the
    edge there is none, and what is moved there is lost.
    """
    size = images.shape[dim]
    places = torch.arange(size, device=images.device).view(
        (-1, 1) if dim == 1 else (1, -1)
    )
    below = (-offsets).floor()
    share = (-offsets - below).to(images.dtype)
    first = (below.clamp(-size - 1, size).long() + 1 + places).expand_as(images)
    padding = (1, 1) if dim == 2 else (0, 0, 1, 1)
    padded = torch.nn.functional.pad(images, padding)
    moved = padded.gather(dim, first.clamp(0, size + 1))
    return moved.lerp_(padded.gather(dim, (first + 1).clamp_(0, size + 1)), share)


def deskew(images: Tensor) -> Tensor:
    """Shear images along their rows and centre them: no covariance of row and column is left.

    Row r moves by ``−covariance / variance · (r − centre)``; as rows of ink stay in one piece,
    this is exact, but for what is lost over the edge.
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
    down, right = whole(row - found.row), whole(column - found.column)
    return shift(shift(images, right[:, None, None], 2), down[:, None, None], 1)


def whole(steps: Tensor) -> Tensor:
    """The nearest whole number; of two, the larger."""
    return (steps + 0.5 + TIE).floor()


class Box(NamedTuple):
    """First and last place with ink (B,) along one axis."""

    first: Tensor
    last: Tensor

    @property
    def size(self) -> Tensor:
        return self.last - self.first + 1


def bounds(inked: Tensor) -> Box:
    """The box of the places (B, n) with ink, of which every image has one."""
    n = inked.shape[1]
    first = inked.byte().argmax(1)
    return Box(first, n - 1 - inked.flip(1).byte().argmax(1))


def near(box: Box, distance: Tensor, n: int) -> Tensor:
    """Which of n places (B, n) lie in the box or no farther from it than a distance (B,)."""
    places = torch.arange(n, device=distance.device)
    first, last = box.first - distance, box.last + distance
    return (places >= first[:, None]) & (places <= last[:, None])


def ink_of(images: Tensor, inverted: bool | None) -> tuple[Tensor, Tensor]:
    """How far pixels differ from the ground towards the ink, up to 2; and the noise (B,).

    The ground is the median of the border, and ink lies on the side that reaches farther.
    ``inverted`` says that it is the darker, or the brighter, side: where that reaches not a
    quarter as far as the other, the border is ink, and the ground at the other end. Noise is
    the distance from the ground to the quartile on the side without ink.
    """
    border = torch.cat(
        [images[:, [0, -1]].flatten(1), images[:, :, [0, -1]].flatten(1)], 1
    )
    border = border.sort(1).values
    n = border.shape[1]
    parts = [images.amin((1, 2)), *(border[:, n * k // 4] for k in (1, 2, 3))]
    levels = torch.stack([*parts, images.amax((1, 2))])
    largest = levels.abs().amax(0).clamp_min(torch.finfo(images.dtype).tiny)
    low, lower, ground, upper, high = levels / largest
    below, above = ground - low, high - ground
    dark, misled = below > above, torch.zeros_like(ground, dtype=torch.bool)
    if inverted is not None:
        misled = below < above / 4 if inverted else above < below / 4
        dark = torch.full_like(dark, inverted)
    noise = torch.where(dark, upper - ground, ground - lower).where(~misled, 0)
    ground = torch.where(misled, torch.where(dark, high, low), ground)
    sign = 1 - 2 * dark.to(images.dtype)
    ink = images / (sign * largest)[:, None, None]
    return ink.sub_((sign * ground)[:, None, None]).clamp_min_(0), noise


def normalise(
    images: Tensor, size: int, digit_size: int, threshold: float, inverted: bool | None
) -> Tensor:
    """Digits as MNIST has them, (B, size, size), of any grey images.

    ``threshold`` is the share of the most ink above which a pixel belongs to the digit.
    """
    ink, noise = ink_of(images, inverted)
    most = ink.amax((1, 2))
    faint = torch.minimum(noise * NOISE_RANGE, most / 2)
    if faint.any():
        ink.masked_fill_(ink < faint[:, None, None], 0)
    least = torch.maximum(most * threshold, faint)[:, None]
    boxes = [bounds(ink.amax(axis) > least) for axis in (2, 1)]
    scale = digit_size / torch.maximum(boxes[0].size, boxes[1].size).double()
    for box, axis in zip(boxes, (2, 1), strict=True):
        ink.mul_(
            near(box, 1 / scale, ink.shape[3 - axis]).to(ink.dtype).unsqueeze(axis)
        )
    found = moments(ink)
    down, across = (
        resampling(box, place, scale, size, length, ink.dtype)
        for box, place, length in zip(boxes, found[:2], ink.shape[1:], strict=True)
    )
    return scaled(down @ ink @ across.mT)


def resampling(
    box: Box, centre: Tensor, scale: Tensor, size: int, length: int, dtype: torch.dtype
) -> Tensor:
    """Weights (B, size, length) that scale the box and put the centre (B,) in the middle.

    The box moves by whole pixels and stays in the field. Shrunk pixels are means over the area
    that they cover, others lie between the two nearest: the identity at scale 1.
    """
    field = torch.arange(size, device=scale.device)
    source = torch.arange(length, device=scale.device, dtype=dtype)
    room = size - (box.size * scale - TIE).ceil()
    start = whole(size // 2 + 0.5 - (centre - box.first + 0.5) * scale)
    start = torch.minimum(start, room).clamp_min(0)
    at = (field - start[:, None] + 0.5) / scale[:, None] - 0.5 + box.first[:, None]
    at, reach = (
        at.to(dtype)[:, :, None],
        (0.5 / scale.clamp_max(1)).to(dtype)[:, None, None],
    )
    covered = torch.minimum(at + reach, source + 0.5)
    covered -= torch.maximum(at - reach, source - 0.5)
    return covered.clamp_min_(0).div_(2 * reach)
