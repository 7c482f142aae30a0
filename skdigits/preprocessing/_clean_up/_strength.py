"""How strong the ink of a page is, and how much of it noise may hide."""

import numpy as np

from skdigits.preprocessing._clean_up._levels import deviation, fine_noise

# Noise seldom exceeds so many standard deviations; ink does.
NOISE = 4
# The strongest differences of a page exceed the noise by this factor, or it is blank:
# of a million pixels of noise, the largest one lies at five.
INK = 6
# The blur makes neighbours alike: noise is larger than its changes by this factor.
BLURRED = 3
# Weaker contrasts with the ground, as parts of it, are the grain of the paper.
FAINTEST = 0.06
# Differences below this part of the largest one say nothing about the strength of ink.
FAINT = 0.15
# The changes of a bold digit can pass for noise: it never hides more than this part of
# the ink.
HIDDEN = 0.5


def noise_of(soft: np.ndarray) -> float:
    """Return the standard deviation of the noise in blurred differences."""
    return min(deviation(soft), BLURRED * fine_noise(soft))


def hidden(noise: float, strength: float) -> float:
    """Return the difference up to which ink cannot be told from noise."""
    return min(NOISE * noise, HIDDEN * strength)


def strength_of_ink(soft: np.ndarray, noise: float) -> float:
    """Return the difference from the ground that most of the ink has, or 0."""
    largest = soft.max()
    strong = soft[soft > max(hidden(noise, largest), FAINT * largest)]
    return float(np.percentile(strong, 75)) if strong.size else 0.0


def is_blank(strength: float, noise: float) -> bool:
    """Return whether what is strongest on a page is noise, or the grain of paper."""
    return strength <= max(INK * noise, FAINTEST)
