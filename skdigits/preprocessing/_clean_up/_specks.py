"""Parts of the ink that belong to no digit: specks, and what runs along the edge."""

import numpy as np
from scipy import ndimage

EIGHT = np.ones((3, 3))
# A part along this much of a side of the image is an edge or a shadow, not a stroke.
ALONG_SIDE = 0.8
# Something this high, as part of the shorter side, must be left: else the image is cut
# close to the digit, which itself runs along its sides.
LEFT = 0.2
# A part by itself is at least so large, in squares of the stroke's width …
OWN_PART = 0.8
# … and in parts of the largest one; a speck is smaller.
OF_LARGEST = 0.03
# At the rim of the image, a part is the corner of a shadow unless it is at least this
# part of the largest one, as a digit is that the image cuts off.
CUT_OFF = 0.5
# A piece of a broken stroke lies within this distance, in widths of the stroke …
REACH = 1.0
# … and is at least so large, in squares of that width.
PIECE = 0.15
# A stroke is so many times as wide as the mean distance of its pixels to its edge.
WIDTH_BY_DISTANCE = 4


def without_edges(ink: np.ndarray) -> np.ndarray:
    """Drop parts that hold a corner of the image or run along one of its sides."""
    labels, n_parts = ndimage.label(ink, EIGHT)
    is_edge = np.zeros(n_parts + 1, bool)
    is_edge[labels[[0, 0, -1, -1], [0, -1, 0, -1]]] = True
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        counts = np.bincount(side, minlength=n_parts + 1)
        is_edge |= counts >= ALONG_SIDE * len(side)

    is_edge[0] = False
    kept = ink & ~is_edge[labels]
    tall = LEFT * min(ink.shape)
    lengths = [
        max(where[0].stop - where[0].start, where[1].stop - where[1].start)
        for number, where in enumerate(ndimage.find_objects(labels), 1)
        if not is_edge[number]
    ]
    return kept if max(lengths, default=0) >= tall else ink


def without_specks(ink: np.ndarray) -> np.ndarray:
    """Drop parts that are small beside the stroke; pieces of a broken one stay."""
    labels, n_parts = ndimage.label(ink, EIGHT)
    if n_parts < 2:
        return ink

    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest = sizes.argmax()
    depth = ndimage.distance_transform_edt(ink)
    width = WIDTH_BY_DISTANCE * depth[labels == largest].mean()

    keep = sizes >= max(OWN_PART * width**2, OF_LARGEST * sizes[largest])
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    at_rim = np.bincount(rim, minlength=n_parts + 1) > 0
    keep &= ~at_rim | (sizes >= CUT_OFF * sizes[largest])
    distance = ndimage.distance_transform_edt(~keep[labels])
    near = np.zeros(n_parts + 1, bool)
    near[labels[ink & (distance <= REACH * width + 1)]] = True
    keep |= near & (sizes >= PIECE * width**2)
    keep[0] = False
    kept: np.ndarray = keep[labels]
    return kept
