"""Statistics of grey values that the stages of the clean-up share."""

import numpy as np

# The median of absolute values is this part of a normal standard deviation.
MEDIAN_OF_NORMAL = 0.6745


def scaled(image: np.ndarray) -> np.ndarray:
    """Return values up to 1, where 0 stays black, unless some are negative."""
    grey = image.astype(float)
    grey /= np.abs(grey).max() or 1.0
    grey -= min(grey.min(), 0)
    return grey / (grey.max() or 1.0)


def reduced(grey: np.ndarray, factor: int) -> np.ndarray:
    """Return means over squares of ``factor`` pixels; what is left over is cut off."""
    height = grey.shape[0] // factor
    width = grey.shape[1] // factor
    whole = grey[: height * factor, : width * factor]
    means: np.ndarray = whole.reshape(height, factor, width, factor).mean((1, 3))
    return means


def scaled_means(image: np.ndarray, factor: int) -> np.ndarray:
    """Return what `scaled` makes of an image after its reduction."""
    if factor == 1:
        return scaled(image)

    grey = image.astype(float)
    if image.dtype.kind == "f":
        # Sums of huge values would overflow; powers of two round nothing.
        exponent = int(np.frexp(np.abs(grey).max())[1])
        np.ldexp(grey, -exponent, out=grey)
    return scaled(reduced(grey, factor))


def without_hot_pixels(grey: np.ndarray) -> np.ndarray:
    """Bring each pixel into the range of its eight neighbours."""
    height, width = grey.shape
    padded = np.pad(grey, 1, mode="edge")
    neighbours = [
        padded[row : row + height, column : column + width]
        for row in range(3)
        for column in range(3)
        if (row, column) != (1, 1)
    ]
    low = np.minimum.reduce(neighbours)
    return grey.clip(low, np.maximum.reduce(neighbours))


def deviation(values: np.ndarray) -> float:
    """Return the standard deviation of most values, whatever the others are."""
    return float(np.median(np.abs(values)) / MEDIAN_OF_NORMAL)


def fine_noise(grey: np.ndarray) -> float:
    """Return the standard deviation of what changes from pixel to pixel.

    Strokes and light cancel in differences of differences, those of a bold digit that
    fills the image, too.
    """
    changes = grey[1:, 1:] - grey[:-1, 1:] - grey[1:, :-1] + grey[:-1, :-1]
    return deviation(changes) / 2 if changes.size else 0.0


def split(values: np.ndarray, n_bins: int = 128) -> tuple[float, float]:
    """Return Otsu's threshold, and the part of the variance that it explains."""
    low = values.min()
    high = values.max()
    if high <= low:
        return float(low), 0.0

    counts, edges = np.histogram(values, n_bins, (low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    mean = counts @ centres / counts.sum()
    below = counts.cumsum()[:-1]
    excess = (below * mean - (counts * centres).cumsum()[:-1]) ** 2
    between = excess * counts.sum() / (below * (counts.sum() - below))

    best = int(between.argmax())
    total = counts @ (centres - mean) ** 2
    return float(edges[best + 1]), float(between[best] / total)
