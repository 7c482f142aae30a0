"""Graphs of what `skdigits.engine.images` computes.

The operators and their order are the engine's, so that comparisons of pixels have the
same outcome to the last bit. Images are (N, h, w) tensors whose sizes may be unknown;
numbers of an image are (N, 1).
"""

from typing import NamedTuple

import numpy as np
from onnx import TensorProto

from skdigits.engine.images import LEAST_VARIANCE, NOISE_RANGE, TIE
from skdigits.onnx._graph import Graph

# Shapes, for Reshape: 0 is the size that an axis has, -1 what is left.
COLUMN = np.array([-1, 1])
OF_IMAGES = np.array([-1, 1, 1])
OF_ROWS = np.array([0, -1, 1])
OF_COLUMNS = np.array([0, 1, -1])


class Field(NamedTuple):
    """The sizes of images: scalars, and places 0, 1, … (n,) in float64."""

    height: str
    width: str
    rows: str
    columns: str


class Mass(NamedTuple):
    """Sums over the foreground in float64: (N, h) by rows, and the others (N, 1)."""

    by_row: str
    moment_by_row: str
    total: str
    row: str
    column: str


class Box(NamedTuple):
    """First and last place with foreground along one axis, in float64."""

    first: str
    last: str
    size: str


def whole(graph: Graph, steps: str) -> str:
    """Add the nearest whole numbers, and the larger of two that are as near."""
    return graph.Floor(graph.Add(graph.Add(steps, 0.5), TIE))


def field_of(graph: Graph, images: str) -> Field:
    """Add the sizes of images."""
    sizes = [graph.length(images, axis) for axis in (1, 2)]
    places = [graph.Range(np.array(0), size, np.array(1)) for size in sizes]
    return Field(*sizes, *map(graph.wide.cast, places))


def middle(graph: Graph, size: str) -> str:
    """Add the target of a centre of mass along an axis, a scalar in float64."""
    return graph.wide.cast(graph.Div(size, 2))


def scaled(graph: Graph, images: str) -> str:
    """Scale images that are not blank to a largest value of 1."""
    largest = graph.reduce("ReduceMax", graph.Flatten(images), 1)
    largest = graph.Where(graph.Greater(largest, 0.0), largest, 1.0)
    return graph.Div(images, _of_images(graph, largest))


def mass_of(graph: Graph, images: str, field: Field) -> Mass:
    """Add the mass of the foreground and its centre, 0 for blank images."""
    wide = graph.wide
    columns = wide.Reshape(field.columns, COLUMN)
    weights = wide.Concat(wide.Add(wide.Mul(columns, 0.0), 1.0), columns, axis=1)
    sums = wide.MatMul(wide.cast(images), weights)
    by_row = wide.Gather(sums, np.array(0), axis=2)
    moment_by_row = wide.Gather(sums, np.array(1), axis=2)

    total = wide.reduce("ReduceSum", by_row, 1)
    total = wide.Where(wide.Greater(total, 0.0), total, 1.0)
    rows = wide.Reshape(field.rows, COLUMN)
    row = wide.Div(wide.MatMul(by_row, rows), total)
    column = wide.Div(wide.reduce("ReduceSum", moment_by_row, 1), total)
    return Mass(by_row, moment_by_row, total, row, column)


def slope_of(graph: Graph, mass: Mass, field: Field) -> str:
    """Add the slant (N, 1) in columns a row, 0 for what has no height."""
    wide = graph.wide
    distance = wide.Sub(field.rows, mass.row)
    squares = wide.Mul(mass.by_row, wide.Mul(distance, distance))
    moment = wide.Sub(mass.moment_by_row, wide.Mul(mass.column, mass.by_row))
    products = wide.Mul(moment, distance)
    variance, covariance = [
        wide.Div(wide.reduce("ReduceSum", terms, 1), mass.total)
        for terms in (squares, products)
    ]

    slope = wide.Div(covariance, wide.Max(variance, LEAST_VARIANCE))
    return wide.Where(wide.Greater(variance, LEAST_VARIANCE), slope, 0.0)


def _of_images(graph: Graph, numbers: str) -> str:
    """Add a view of numbers (N, 1) as (N, 1, 1)."""
    return graph.Reshape(numbers, OF_IMAGES)


def shift(graph: Graph, images: str, offsets: str, field: Field, axis: int) -> str:
    """Move each line along an axis by its offset, (N, h, 1) or (N, 1, 1) in float64.

    A value that falls between two pixels is divided in proportion.
    """
    wide = graph.wide
    size = (field.height, field.width)[axis - 1]
    places = (field.rows, field.columns)[axis - 1]
    back = wide.Neg(offsets)
    below = wide.Floor(back)
    fraction = graph.cast(wide.Sub(back, below))

    # One pixel of 0 at either end is where every place beyond the edge is read.
    margin = np.eye(3, dtype=np.int64)[axis]
    padded = graph.Pad(images, np.tile(margin, 2))
    last = wide.cast(graph.Add(size, 1))
    places = wide.Reshape(places, np.array([1, -1, 1] if axis == 1 else [1, 1, -1]))
    first = wide.Add(wide.Add(below, places), 1.0)
    ends = []
    for at in (first, wide.Add(first, 1.0)):
        at = wide.Min(wide.Max(at, 0.0), last)
        at = graph.Expand(graph.Cast(at, to=TensorProto.INT64), graph.Shape(images))
        ends.append(graph.GatherElements(padded, at, axis=axis))

    near, far = ends
    return graph.Add(near, graph.Mul(graph.Sub(far, near), fraction))


def deskew(graph: Graph, images: str) -> str:
    """Shear images along their rows until no covariance is left, and centre them."""
    wide = graph.wide
    field = field_of(graph, images)
    mass = mass_of(graph, scaled(graph, images), field)
    slope = slope_of(graph, mass, field)

    height = wide.Sub(field.rows, mass.row)
    right = wide.Sub(middle(graph, field.width), mass.column)
    across = wide.Reshape(wide.Sub(right, wide.Mul(slope, height)), OF_ROWS)
    down = wide.Sub(middle(graph, field.height), mass.row)
    sheared = shift(graph, images, across, field, 2)
    return shift(graph, sheared, _of_images(graph, down), field, 1)


def centre(graph: Graph, images: str) -> str:
    """Move images by whole pixels, until the centre of mass is in the middle, ±½."""
    wide = graph.wide
    field = field_of(graph, images)
    mass = mass_of(graph, scaled(graph, images), field)
    down = whole(wide, wide.Sub(middle(graph, field.height), mass.row))
    right = whole(wide, wide.Sub(middle(graph, field.width), mass.column))
    moved = shift(graph, images, _of_images(graph, right), field, 2)
    return shift(graph, moved, _of_images(graph, down), field, 1)


def grey_levels(graph: Graph, images: str) -> tuple[list[str], str]:
    """Add the levels of images, as fractions, and their largest magnitude.

    The levels are the smallest value, the quartiles of the border and the largest.
    """
    ends = np.array([0, -1])
    top_and_bottom = graph.Flatten(graph.Gather(images, ends, axis=1))
    sides = graph.Flatten(graph.Gather(images, ends, axis=2))
    border = graph.ascending(graph.Concat(top_and_bottom, sides, axis=1))
    n = graph.length(border, 1)
    at = graph.Div(graph.Mul(n, np.array([1, 2, 3])), 4)
    quartiles = graph.Gather(border, at, axis=1)

    pixels = graph.Flatten(images)
    low = graph.reduce("ReduceMin", pixels, 1)
    high = graph.reduce("ReduceMax", pixels, 1)
    levels = graph.Concat(low, quartiles, high, axis=1)
    tiny = float(np.finfo(graph.dtype).tiny)
    largest = graph.Max(graph.reduce("ReduceMax", graph.Abs(levels), 1), tiny)
    fractions = graph.Div(levels, largest)
    return [graph.Gather(fractions, np.array([k]), axis=1) for k in range(5)], largest


def separate_foreground(
    graph: Graph, images: str, inverted: bool | None
) -> tuple[str, str]:
    """Add the difference of pixels from the background, up to 2, and the noise."""
    levels, largest = grey_levels(graph, images)
    low, lower, background, upper, high = levels
    below = graph.Sub(background, low)
    above = graph.Sub(high, background)

    sign: str | float
    if inverted is None:
        dark = graph.Greater(below, above)
        sign = graph.Where(dark, -1.0, 1.0)
        towards = graph.Where(dark, upper, lower)
        noise = graph.Abs(graph.Sub(towards, background))
    else:
        sign = -1.0 if inverted else 1.0
        reach, other = (below, above) if inverted else (above, below)
        misled = graph.Less(reach, graph.Div(other, 4.0))
        distance = graph.Abs(graph.Sub(upper if inverted else lower, background))
        noise = graph.Where(misled, 0.0, distance)
        background = graph.Where(misled, high if inverted else low, background)

    scale = _of_images(graph, graph.Mul(sign, largest))
    ground = _of_images(graph, graph.Mul(sign, background))
    return graph.Max(graph.Sub(graph.Div(images, scale), ground), 0.0), noise


def bounds(graph: Graph, occupied: str) -> Box:
    """Add the box of the occupied places (N, n)."""
    wide = graph.wide
    marks = graph.Cast(occupied, to=TensorProto.INT32)
    first = wide.cast(graph.ArgMax(marks, axis=1, keepdims=1))
    last = graph.ArgMax(marks, axis=1, keepdims=1, select_last_index=1)
    last = wide.cast(last)
    return Box(first, last, wide.Add(wide.Sub(last, first), 1.0))


def near(graph: Graph, box: Box, distance: str, at: str) -> str:
    """Add a mask (N, n) of the places (n,) within a distance of the box."""
    wide = graph.wide
    before = wide.Less(at, wide.Sub(box.first, distance))
    behind = wide.Greater(at, wide.Add(box.last, distance))
    return wide.Not(wide.Or(before, behind))


def normalise(
    graph: Graph,
    images: str,
    size: int,
    digit_size: int,
    threshold: float,
    inverted: bool | None,
) -> str:
    """Turn grey images into digits like MNIST's, (N, size, size)."""
    wide = graph.wide
    foreground, noise = separate_foreground(graph, images, inverted)
    largest = graph.reduce("ReduceMax", graph.Flatten(foreground), 1)
    noise_limit = graph.Min(graph.Mul(noise, NOISE_RANGE), graph.Div(largest, 2.0))
    is_noise = graph.Less(foreground, _of_images(graph, noise_limit))
    foreground = graph.Where(is_noise, 0.0, foreground)

    limit = graph.Max(graph.Mul(largest, threshold), noise_limit)
    of_rows, of_columns = [
        graph.reduce("ReduceMax", foreground, axis, keepdims=False) for axis in (2, 1)
    ]
    rows = bounds(graph, graph.Greater(of_rows, limit))
    columns = bounds(graph, graph.Greater(of_columns, limit))
    scale = wide.Div(float(digit_size), wide.Max(rows.size, columns.size))

    # The foreground of one resulting pixel around the box stays.
    margin = wide.Div(1.0, scale)
    field = field_of(graph, images)
    in_rows = graph.Reshape(near(graph, rows, margin, field.rows), OF_ROWS)
    in_columns = near(graph, columns, margin, field.columns)
    in_columns = graph.Reshape(in_columns, OF_COLUMNS)
    foreground = graph.Where(graph.And(in_rows, in_columns), foreground, 0.0)

    mass = mass_of(graph, foreground, field)
    down = resampling(graph, rows, mass.row, scale, size, field.rows)
    across = resampling(graph, columns, mass.column, scale, size, field.columns)
    shrunk = graph.MatMul(down, foreground)
    return scaled(graph, graph.MatMul(shrunk, graph.Transpose(across, perm=[0, 2, 1])))


def resampling(
    graph: Graph, box: Box, centre: str, scale: str, size: int, at: str
) -> str:
    """Add weights (N, size, n) that scale the box and move its centre, from places."""
    wide = graph.wide
    length = wide.Ceil(wide.Sub(wide.Mul(box.size, scale), TIE))
    room = wide.Sub(float(size), length)
    offset = wide.Add(wide.Sub(centre, box.first), 0.5)
    start = whole(wide, wide.Sub(size // 2 + 0.5, wide.Mul(offset, scale)))
    start = wide.Max(wide.Min(start, room), 0.0)

    field = np.arange(size, dtype=np.float64)
    target = wide.Div(wide.Add(wide.Sub(field, start), 0.5), scale)
    target = graph.cast(wide.Add(wide.Sub(target, 0.5), box.first))
    target = graph.Reshape(target, OF_ROWS)
    reach = graph.cast(wide.Div(0.5, wide.Min(scale, 1.0)))
    reach = _of_images(graph, reach)

    source = graph.cast(at)
    end = graph.Min(graph.Add(target, reach), graph.Add(source, 0.5))
    begin = graph.Max(graph.Sub(target, reach), graph.Sub(source, 0.5))
    covered = graph.Max(graph.Sub(end, begin), 0.0)
    return graph.Div(covered, graph.Mul(reach, 2.0))
