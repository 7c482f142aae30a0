"""Transformers that make images alike before training.

`Deskew` makes digits upright and `CenterByMass` centres them; `DigitNormalizer` turns
grey images of any kind, photographs included, into digits like MNIST's. None of them
learns anything.
"""

from skdigits.preprocessing._digit_normalizer import DigitNormalizer
from skdigits.preprocessing._moments import CenterByMass, Deskew

__all__ = ["CenterByMass", "Deskew", "DigitNormalizer"]
