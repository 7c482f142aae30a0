"""grey_values: what a person sees in an image of any mode of Pillow."""

import re

import numpy as np
import pytest
from PIL import Image, ImageCms

from skdigits._pictures import grey_values, is_picture
from skdigits.preprocessing import CenterByMass, DigitNormalizer

RAMP = np.arange(0, 256, 5, dtype=np.uint8).reshape(4, 13)
STROKE = np.zeros((20, 16), bool)
STROKE[4:16, 6:9] = True


def to_lab(image):
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    change = ImageCms.buildTransform(*profiles, "RGB", "LAB")
    return ImageCms.applyTransform(image.convert("RGB"), change)


WAYS = {
    "L": lambda image: image,
    "LA": lambda image: image.convert("LA"),
    "La": lambda image: image.convert("LA").convert("La"),
    "P": lambda image: image.quantize(256),
    "PA": lambda image: image.convert("RGBA").convert("PA"),
    "RGB": lambda image: image.convert("RGB"),
    "RGBA": lambda image: image.convert("RGBA"),
    "RGBa": lambda image: image.convert("RGBA").convert("RGBa"),
    "RGBX": lambda image: image.convert("RGB").convert("RGBX"),
    "CMYK": lambda image: image.convert("RGB").convert("CMYK"),
    "YCbCr": lambda image: image.convert("RGB").convert("YCbCr"),
    "HSV": lambda image: image.convert("RGB").convert("HSV"),
    "LAB": to_lab,
}


@pytest.mark.parametrize("mode", WAYS)
def test_greys_come_back_from_every_mode(mode):
    image = WAYS[mode](Image.fromarray(RAMP))
    assert image.mode == mode
    found = grey_values(image)
    assert found.dtype == np.uint8
    # Lightness and inks are rounded on the way.
    assert np.abs(found.astype(int) - RAMP).max() <= (3 if mode == "LAB" else 1)


def test_ink_and_paper_of_one_bit():
    found = grey_values(Image.fromarray(STROKE))
    np.testing.assert_array_equal(found, np.where(STROKE, 255, 0))


@pytest.mark.parametrize(
    ("colour", "expected"),
    [("red", 76.2), ("lime", 149.7), ("blue", 29.1), ("#102030", 29.0)],
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "YCbCr", "HSV"])
def test_colours_become_luma(mode, colour, expected):
    """0.299 red + 0.587 green + 0.114 blue"""
    image = WAYS[mode](Image.new("RGB", (3, 2), colour))
    assert np.abs(grey_values(image) - expected).max() <= 1.5


@pytest.mark.parametrize("mode", ["I", "F", "I;16", "I;16B", "I;16L"])
def test_values_of_more_bits_stay(mode):
    values = np.array([[0, 3, 40000], [7, 5, 1]])
    image = Image.new(mode, (3, 2))
    for (row, column), value in np.ndenumerate(values):
        image.putpixel((column, row), int(value))
    found = grey_values(image)
    np.testing.assert_array_equal(found, values)
    assert found.dtype == {"I": "i4", "F": "f4"}.get(mode, "u2")
    assert found.dtype.isnative


def test_an_index_of_a_palette_is_no_grey_value():
    image = Image.fromarray(STROKE.astype(np.uint8), mode="P")
    image.putpalette([250, 250, 250, 10, 10, 10])
    np.testing.assert_array_equal(grey_values(image), np.where(STROKE, 10, 250))


def on_transparency(ink, mode):
    """A stroke of grey ink where nothing else is; the hidden colour is the same."""
    grey = Image.fromarray(np.full(STROKE.shape, ink, np.uint8))
    if mode.startswith("palette"):
        image = Image.fromarray(STROKE.astype(np.uint8), mode="P")
        image.putpalette([ink] * 6)
        image.info["transparency"] = 0 if mode == "palette" else b"\0\xff"
        return image
    if mode == "key":
        image = Image.fromarray(np.where(STROKE, ink, 99).astype(np.uint8))
        image.info["transparency"] = 99
        return image

    image = Image.merge("LA", [grey, Image.fromarray(255 * STROKE.astype(np.uint8))])
    return WAYS[mode](image.convert("RGBA") if mode[0] in "RP" else image)


MODES = ["LA", "La", "PA", "RGBA", "RGBa", "palette", "palette of alphas", "key"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("ink", "ground"), [(0, 255), (130, 255), (180, 255), (255, 0), (210, 0)]
)
def test_ink_on_transparency_is_seen(mode, ink, ground):
    found = grey_values(on_transparency(ink, mode))
    np.testing.assert_allclose(found, np.where(STROKE, ink, ground), atol=1)


def test_thin_ink_is_seen_through():
    """Half transparent: half of the ink, half of the paper."""
    grey = Image.new("L", (16, 20), 0)
    alpha = Image.fromarray(np.where(STROKE, 128, 0).astype(np.uint8))
    found = grey_values(Image.merge("LA", [grey, alpha]))
    np.testing.assert_array_equal(found, np.where(STROKE, 127, 255))


@pytest.mark.parametrize(("paper", "ink"), [(245, 20), (25, 230)])
def test_a_page_that_was_cut_out_goes_on(paper, ink):
    """Its transparent corners become paper: they would be taken for ink otherwise."""
    grey = np.where(STROKE, ink, paper).astype(np.uint8)
    alpha = np.full(grey.shape, 255, np.uint8)
    alpha[:3, :5] = 0
    image = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
    np.testing.assert_array_equal(grey_values(image), grey)


def test_what_is_wholly_transparent_is_a_blank_page():
    assert (grey_values(Image.new("RGBA", (3, 2), (9, 9, 9, 0))) == 255).all()


TURNED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).T,
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16"])
def test_a_photograph_is_turned_as_the_camera_says(mode, orientation):
    if mode == "I;16":
        image = Image.fromarray(RAMP.astype(np.uint16))
    else:
        image = Image.fromarray(RAMP).convert(mode)
    image.getexif()[0x0112] = orientation
    np.testing.assert_array_equal(grey_values(image), TURNED[orientation](RAMP))
    assert image.size == (13, 4)  # the user's image stays as it is


def test_only_images_of_pillow_are_pictures():
    assert is_picture(Image.new("L", (1, 1)))
    assert not is_picture(RAMP)


def test_transformers_see_what_a_person_sees():
    """All modes, and either ink on transparency, give one digit."""
    grey = np.where(STROKE, 0, 255).astype(np.uint8)
    images = [WAYS[mode](Image.fromarray(grey)) for mode in WAYS]
    images += [Image.fromarray(~STROKE), Image.fromarray(grey.astype(np.uint16) * 257)]
    images += [on_transparency(ink, mode) for ink in (0, 255) for mode in MODES]
    expected = DigitNormalizer().transform([grey])[0]
    assert expected.max() == 255
    assert (expected > 127).sum() > 50

    for given in (images, tuple(images), DigitNormalizer().fit(images) and images):
        found = DigitNormalizer().transform(given)
        # 16 bits make fractions of all.
        np.testing.assert_allclose(255 * found, [expected] * len(images), atol=3)
    assert DigitNormalizer().transform(images[:5]).dtype == np.uint8

    image = Image.fromarray(STROKE.astype(np.uint8), mode="P")
    image.putpalette([0, 0, 0, 200, 200, 200])
    np.testing.assert_array_equal(
        CenterByMass().transform([image]),
        CenterByMass().transform([np.where(STROKE, 200, 0).astype(np.uint8)]),
    )


@pytest.mark.parametrize("transformer", [DigitNormalizer(), CenterByMass()])
def test_one_picture_belongs_in_a_list(transformer):
    for method in (transformer.fit, transformer.transform):
        with pytest.raises(ValueError, match=r"a single one of Pillow: pass .* \[X\]"):
            method(Image.fromarray(RAMP))


@pytest.mark.parametrize("transformer", [DigitNormalizer(), CenterByMass()])
def test_a_damaged_file_is_named(transformer, tmp_path):
    """Pillow reads pixels when they are needed, long after it has opened the file."""
    path = tmp_path / "cut.png"
    Image.effect_noise((40, 40), 50).save(path)
    path.write_bytes(path.read_bytes()[:500])
    message = re.escape(f"X[1], of {path}, is an image that Pillow cannot read")
    with Image.open(path) as image, pytest.raises(ValueError, match=message):
        transformer.transform([RAMP, image])
