"""Digits on a page: lines of text, or the cells of a grid."""

from skdigits.preprocessing._find_digits._find import find_digits
from skdigits.preprocessing._find_digits._found import FoundDigit

__all__ = ["FoundDigit", "find_digits"]
