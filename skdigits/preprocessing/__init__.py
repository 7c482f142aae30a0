"""Images made alike before they are learnt from.

`Deskew` sets digits upright and `CenterByMass` in the middle; `DigitNormalizer` makes
digits like MNIST's of any grey images, photographs included. None of them learns anything.
"""

from skdigits.preprocessing._digit_normalizer import DigitNormalizer
from skdigits.preprocessing._moments import CenterByMass, Deskew

__all__ = ["CenterByMass", "Deskew", "DigitNormalizer"]
