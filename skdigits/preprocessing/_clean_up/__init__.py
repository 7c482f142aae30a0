"""Ink apart from its page: light, desk, printed lines and specks are taken off."""

from skdigits.preprocessing._clean_up._ink import find_ink

__all__ = ["find_ink"]
