"""What is no page is refused by all functions that take one."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skdigits.preprocessing import find_digits, find_ink


@pytest.mark.parametrize("function", [find_ink, find_digits])
@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3)), r"image has shape \(4, 4, 3\) .*image.mean\(axis=-1\)"),
        (np.zeros(9), r"image has shape \(9,\)"),
        (np.zeros((0, 5)), r"image has shape \(0, 5\)"),
        (np.array([["a"]]), "dtype <U1"),
        (np.array([[1.0, np.nan]]), "image contains NaN or infinity"),
        (np.zeros((4, 4, 4)), r"by image\[\.\.\., :3\]\.mean\(axis=-1\)"),
        (np.zeros((4, 4, 1)), r"take image\[\.\.\., 0\]"),
        (np.zeros((2, 50, 60)), r"one image at a time, such as image\[0\]"),
        ([np.zeros((5, 6)), np.zeros((7, 6))], r"a list of 2 images, .* image\[0\]"),
        ([Image.new("RGB", (9, 9))], r"a list of 1 images, .* image\[0\]"),
        ([[1, 2], [3]], "image makes no array .*all its rows one length"),
        ("a.png", r"image='a.png' is the name of a file, .* PIL.Image.open\(image\)"),
        (Path("a.png"), r"Path\('a.png'\) is the name of a file"),
        (None, r"image is None, but a page .* or what PIL.Image.open returns"),
        (3.5, r"image is a float, but a page is an array"),
        ({"page": 1}, r"image is a dict, but a page is an array"),
        (["a.png"], r"list of names of files, .* PIL.Image.open\(image\[0\]\)"),
    ],
)
def test_what_is_no_page_is_refused(function, image, message):
    with pytest.raises(ValueError, match=message):
        function(image)
