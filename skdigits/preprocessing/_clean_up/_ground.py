"""The ground of a page, and on which side of it the ink is."""

import numpy as np
from scipy import ndimage

from skdigits.preprocessing._clean_up._levels import reduced

# The shorter side of the small image on which the polarity is judged, in pixels.
COARSE = 32
# The rim of a drawing has exactly one value on this part of its way.
FLAT = 0.3
# No other value is as frequent as this part of it: the rim of a shadow would be.
OTHER = 0.35
# The ground is even if most of it varies by this part of the strength of the ink.
EVEN = 0.25
# Pixels below this part of the strength are ground.
GROUND = 0.2
# The width of the blur before the ground is taken: the brightest of many noisy pixels
# would lie far above the paper. In pixels.
BLUR = 0.8
# Paper in shadow is brighter than this part of the brightest ground; without a limit,
# the noise of black corners would be divided by next to nothing.
DARKEST_GROUND = 0.1


def flat_ground(grey: np.ndarray) -> float | None:
    """Return the one value of a drawing's ground, or None for photographs."""
    rim = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    values, counts = np.unique(rim, return_counts=True)
    *_, second, most = np.sort([0, *counts])
    if most <= FLAT * rim.size or second > OTHER * most:
        return None
    return float(values[counts.argmax()])


def is_dark(grey: np.ndarray) -> bool:
    """Return whether strokes are darker than what surrounds them.

    Medians over wide windows follow the page, so that desks and shadows hardly count.
    """
    small = reduced(grey, max(1, min(grey.shape) // COARSE))
    window = max(5, int(0.7 * min(small.shape)) | 1)
    differences = small - ndimage.median_filter(small, window, mode="reflect")
    darker = np.square(differences.clip(max=0)).sum()
    return bool(darker >= np.square(differences.clip(min=0)).sum())


def contrast(
    grey: np.ndarray, dark: bool, window: int, smoothed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far pixels differ from the ground towards the ink, sharp and blurred.

    The ground is a closing over a window that is wider than strokes, smoothed, both in
    pixels. Dark ink takes a part of the light away, so its difference is divided by the
    ground: strokes in the shadow count as much as others.
    """
    height = grey if dark else -grey
    soft = ndimage.gaussian_filter(height, BLUR, mode="nearest")
    ground = ndimage.grey_closing(soft, (window, window), mode="nearest")
    ground = ndimage.uniform_filter(ground, smoothed, mode="nearest")

    light = np.maximum(ground, DARKEST_GROUND * ground.max()) if dark else 1.0
    blurred = (ground - soft) / light
    middle = np.median(blurred)
    return (ground - height) / light - middle, blurred - middle


def is_even(grey: np.ndarray, soft: np.ndarray, strength: float) -> bool:
    """Return whether the page is as bright everywhere, strokes left out."""
    is_ground = ~ndimage.binary_dilation(soft > GROUND * strength)
    if not is_ground.any():
        return False
    low, high = np.percentile(grey[is_ground], [10, 90])
    return bool(high - low <= EVEN * strength)
