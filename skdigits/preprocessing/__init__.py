"""Transformers that bring images to the same form before training.

`Deskew` makes digits upright, and `CenterByMass` centres them. `DigitNormalizer` turns
grey images of any kind, including photographs, into digits like MNIST's. These
transformers are stateless: they learn nothing from the samples. `find_ink` cleans one
page, and `find_digits` cuts out the digits of a page.
"""

from skdigits.preprocessing._clean_up import find_ink
from skdigits.preprocessing._digit_normalizer import DigitNormalizer
from skdigits.preprocessing._find_digits import FoundDigit, find_digits
from skdigits.preprocessing._moments import CenterByMass, Deskew

__all__ = [
    "CenterByMass",
    "Deskew",
    "DigitNormalizer",
    "FoundDigit",
    "find_digits",
    "find_ink",
]
