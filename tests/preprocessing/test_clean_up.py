"""Ink is found on pages whose ink is known."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from skdigits.preprocessing import DigitNormalizer, find_ink

PAPER, INK = 220.0, 50.0


@pytest.fixture(scope="module")
def strokes(digits):
    """Digits, 72 pixels high, on pages (150, 180), from 0 to 1."""
    images = digits[0][[0, 3, 5, 8, 14, 17]].reshape(-1, 8, 8)
    large = [ndimage.zoom(one, 9, order=1) > 0.4 for one in images]
    pages = [np.pad(one, [(40, 38), (30, 78)]) for one in large]
    return [ndimage.gaussian_filter(one.astype(float), 0.8) for one in pages]


def page(stroke):
    return PAPER + (INK - PAPER) * stroke


def clean(stroke, rng):
    return page(stroke)


def bright(stroke, rng):
    return 255 - page(stroke)


def shadow(stroke, rng):
    rows, columns = np.indices(stroke.shape)
    return page(stroke) * (0.6 + 0.4 / (1 + np.exp((rows + columns - 150) / 4)))


def falling_light(stroke, rng):
    return page(stroke) * np.linspace(1, 0.5, stroke.shape[1])


def vignette(stroke, rng):
    rows, columns = (np.linspace(-1, 1, size) ** 2 for size in stroke.shape)
    return page(stroke) * (1 - 0.25 * (rows[:, np.newaxis] + columns))


def desk(stroke, rng):
    framed = np.full(np.add(stroke.shape, 80), 70.0)
    framed[40:-40, 40:-40] = page(stroke)
    return framed


def ruled(stroke, rng):
    lines = page(stroke)
    lines[10::30] = np.minimum(lines[10::30], 120)
    return lines


def squared(stroke, rng):
    lines = ruled(stroke, rng)
    lines[:, 15::30] = np.minimum(lines[:, 15::30], 120)
    return lines


def box(stroke, rng):
    framed = page(stroke)
    for edge in (framed[30:33, 20:115], framed[122:125, 20:115]):
        edge[:] = np.minimum(edge, INK)
    for edge in (framed[30:125, 20:23], framed[30:125, 112:115]):
        edge[:] = np.minimum(edge, INK)
    return framed


def specks(stroke, rng):
    dirty = page(stroke)
    for row, column in rng.integers(3, 140, (8, 2)):
        dirty[row : row + 3, column : column + 3] = INK
    return dirty


def salt_and_pepper(stroke, rng):
    dirty = page(stroke)
    chance = rng.random(stroke.shape)
    dirty[chance < 0.004] = 0
    dirty[chance > 0.996] = 255
    return dirty


KINDS = [
    *(clean, bright, shadow, falling_light, vignette, desk, ruled, squared, box),
    *(specks, salt_and_pepper),
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_known_ink_is_found(kind, strokes):
    rng = np.random.default_rng(0)
    for stroke in strokes:
        dirty = kind(stroke, rng)
        dirty = dirty + rng.normal(0, 3, dirty.shape)
        found = find_ink(dirty.clip(0, 255).astype(np.uint8)) > 0.5
        known = np.pad(stroke, (dirty.shape[0] - stroke.shape[0]) // 2) > 0.5
        assert (found & known).sum() > 0.7 * (found | known).sum()


def test_the_side_of_the_ink_can_be_given(strokes):
    for dark, dirty in ((True, page(strokes[0])), (False, 255 - page(strokes[0]))):
        given = find_ink(dirty, dark=dark)
        np.testing.assert_array_equal(given, find_ink(dirty))
        assert (given > 0.5).any()


@pytest.mark.parametrize("level", [0, 40, 128, 230])
def test_a_blank_page_has_no_ink(level):
    noise = np.random.default_rng(1).normal(0, 4, (120, 160))
    assert not find_ink(level + noise).any()
    assert not find_ink(np.full((60, 50), float(level))).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (2, 2), (50, 1), (41, 300)])
def test_pages_of_any_shape(shape):
    rng = np.random.default_rng(0)
    found = find_ink(rng.uniform(size=shape))
    assert found.shape == shape
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_large_photographs_are_reduced(strokes):
    large = page(strokes[1]).repeat(8, 0).repeat(8, 1)
    found = find_ink(large) > 0.5
    known = strokes[1].repeat(8, 0).repeat(8, 1) > 0.5
    assert (found & known).sum() > 0.7 * (found | known).sum()


def test_memory_order_and_scale_do_not_matter(strokes):
    dirty = np.round(page(strokes[2]))
    expected = find_ink(dirty)
    read_only = np.asfortranarray(dirty)
    read_only.flags.writeable = False
    np.testing.assert_array_equal(find_ink(read_only), expected)
    np.testing.assert_array_equal(find_ink(dirty.astype(np.uint8)), expected)
    np.testing.assert_allclose(find_ink(dirty / 255), expected, atol=1e-9)
    assert (expected > 0.5).any()


def test_pictures_and_tensors_are_read_as_arrays_are(strokes):
    image = page(strokes[2]).round().astype(np.uint8)
    expected = find_ink(image)
    assert expected.max() == 1

    # The indices of this palette are no grey values: they rise as these fall.
    picture = Image.fromarray(255 - image, "P")
    picture.putpalette(np.arange(256)[::-1].repeat(3).astype(np.uint8).tobytes())
    np.testing.assert_array_equal(find_ink(picture, dark=True), expected)
    tensor = torch.tensor(image, dtype=torch.float64, requires_grad=True)
    np.testing.assert_array_equal(find_ink(tensor), expected)


def test_images_of_pillow_are_read_as_a_person_sees_them(strokes):
    grey = np.round(page(strokes[2])).astype(np.uint8)
    expected = find_ink(grey)
    colours = Image.fromarray(grey).convert("RGB")
    palette = Image.fromarray(255 - grey)
    palette.putpalette(np.repeat(np.arange(255, -1, -1), 3).astype(np.uint8).tobytes())
    lying = Image.fromarray(np.rot90(grey))
    lying.getexif()[0x0112] = 6  # turn it clockwise to look at it

    for picture in (Image.fromarray(grey), colours, palette, lying):
        np.testing.assert_array_equal(find_ink(picture), expected)
    assert (expected > 0.5).any()


def test_the_normaliser_cleans_pages(strokes):
    rng = np.random.default_rng(0)
    normaliser = DigitNormalizer(clean_up=True)
    expected = normaliser.transform([page(stroke) for stroke in strokes])
    found = normaliser.transform([squared(stroke, rng) for stroke in strokes])
    plain = DigitNormalizer(clean_up=False).transform(
        [squared(stroke, rng) for stroke in strokes]
    )
    distances = abs(found[:, np.newaxis] - expected).mean(2)
    np.testing.assert_array_equal(distances.argmin(1), range(len(strokes)))
    assert (abs(plain - expected).mean(1) > 2 * distances.diagonal()).all()


def test_digits_that_were_cut_out_stay_as_they_are(digits):
    images = (255 * digits[0][:50]).astype(np.uint8).reshape(-1, 8, 8)
    images = images.repeat(5, axis=1).repeat(5, axis=2)
    np.testing.assert_array_equal(
        DigitNormalizer(clean_up=True).transform(images),
        DigitNormalizer(clean_up=False).transform(images),
    )


def test_blank_pages_are_named(strokes):
    noise = np.random.default_rng(0).normal(200, 3, (90, 90))
    pages = [page(strokes[0]), noise, page(strokes[1]), noise + 20]
    with pytest.warns(UserWarning, match=r"no digit in X\[1\], X\[3\]: their rows are"):
        rows = DigitNormalizer(clean_up=True).transform(pages)
    np.testing.assert_array_equal(rows.any(axis=1), [True, False, True, False])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DigitNormalizer(clean_up=True).transform(pages[::2])
