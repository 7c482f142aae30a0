"""Moving, shearing and scaling of images, compared with SciPy and with counting."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from skdigits.engine import images as engine
from skdigits.engine.images import (
    Box,
    by_chunks,
    centre,
    deskew,
    moments,
    resampling,
    scaled,
    shift,
)

CPU = torch.device("cpu")


@pytest.fixture
def blots(rng):
    """Foreground (5, 24, 31) in float64, farther from the edges than it is moved."""
    images = np.zeros((5, 24, 31))
    images[:, 8:18, 9:22] = rng.random((5, 10, 13)) ** 4
    return images


def covariances(image):
    """Centre of mass (2,) and covariance (2, 2), by NumPy with pixels as weights."""
    places = np.indices(image.shape).reshape(2, -1)
    cov = np.cov(places, aweights=image.ravel(), ddof=0)
    return np.average(places, axis=1, weights=image.ravel()), cov


def test_moments(blots):
    found = moments(torch.from_numpy(blots))
    for n, image in enumerate(blots):
        place, cov = covariances(image)
        np.testing.assert_allclose(ndimage.center_of_mass(image), place)
        np.testing.assert_allclose([found.row[n], found.column[n]], place)
        np.testing.assert_allclose(found.row_variance[n], cov[0, 0])
        np.testing.assert_allclose(found.covariance[n], cov[0, 1], atol=1e-12)


@pytest.mark.parametrize("scale", [1e38, 1e-38, 1e-44])
def test_moments_of_any_scale(scale, blots):
    image = torch.from_numpy(blots[:1]).float().mul_(scale)
    expected = covariances(image[0].double().numpy() / scale)[0]
    found = moments(scaled(image))
    np.testing.assert_allclose(torch.stack(found[:2])[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("dim", [1, 2])
def test_shift(dim, blots, rng):
    steps = rng.uniform(-9, 9, size=(5, 24))
    # Whole steps, and steps that move everything out of the image.
    steps[0, :6] = 0, 1, -3, 40, -40, 1e9
    images = torch.from_numpy(blots if dim == 2 else blots.swapaxes(1, 2).copy())
    offsets = torch.from_numpy(steps).unsqueeze(dim)
    found = shift(images, offsets, dim).numpy()
    for n, offset in np.ndenumerate(steps):
        line = ndimage.shift(blots[n], min(offset, 99), order=1, mode="grid-constant")
        np.testing.assert_allclose(
            found[n] if dim == 2 else found[n[0], :, n[1]], line, atol=1e-9
        )


def test_deskew_moves_each_row_by_itself(blots):
    found = deskew(torch.from_numpy(blots)).numpy()
    for image, made in zip(blots, found, strict=True):
        (row, column), cov = covariances(image)
        right = 15 - column - cov[0, 1] / cov[0, 0] * (np.arange(24) - row)
        lines = [
            ndimage.shift(line, step, order=1, mode="grid-constant")
            for line, step in zip(image, right, strict=True)
        ]
        expected = ndimage.shift(lines, (12 - row, 0), order=1, mode="grid-constant")
        np.testing.assert_allclose(made, expected, atol=1e-12)


def test_deskew_leaves_no_covariance(blots):
    assert max(abs(covariances(image)[1][0, 1]) for image in blots) > 0.5
    for image, made in zip(blots, deskew(torch.from_numpy(blots)).numpy(), strict=True):
        place, cov = covariances(made)
        np.testing.assert_allclose(place, (12, 15), atol=1e-9)
        assert abs(cov[0, 1]) < 1e-9
        np.testing.assert_allclose(made.sum(), image.sum())


def test_deskew_of_lines_and_of_nothing():
    images = torch.zeros(4, 9, 9, dtype=torch.float64)
    # A row has no height, so that its slant is unknown.
    images[1, 1, 2:5] = 1 / 3
    images[2, 7, 8] = 0.1
    images[3, torch.arange(1, 8), torch.arange(7, 0, -1)] = 1

    found = deskew(images)
    expected = torch.zeros_like(found)
    expected[1, 4, 3:6] = 1 / 3
    expected[2, 4, 4] = 0.1
    expected[3, 1:8, 4] = 1
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_centre_moves_whole_pixels(blots):
    expected = blots.copy()
    for n, image in enumerate(blots):
        row, column = ndimage.center_of_mass(image)
        steps = (round(float(12 - row)), round(float(15 - column)))
        expected[n] = np.roll(image, steps, (0, 1))

    found = centre(torch.from_numpy(blots))
    assert np.abs(expected - blots).max() > 0.1
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(centre(found), expected)


def test_ties_go_one_way_wherever_they_are():
    """The centre of two pixels lies between them, up to a rounding error."""
    images = torch.zeros(6, 4, 10)
    for n in range(6):
        images[n, 0, n : n + 2] = 0.1 * (n + 1)
    found = (centre(images) > 0).int()
    assert found[0, 2, 5:7].tolist() == [1, 1]
    assert (found == found[0]).all()


@pytest.mark.parametrize("length", [3, 10, 17, 20, 23, 50, 200])
def test_resampling_is_the_mean_over_areas_or_linear(length, rng):
    line = np.concatenate([np.zeros(4), rng.random(length), np.zeros(3)])
    box = Box(torch.tensor([4]), torch.tensor([3 + length]))
    middle = torch.tensor([3.5 + length / 2], dtype=torch.float64)
    scale = torch.tensor([20 / length], dtype=torch.float64)
    weights = resampling(box, middle, scale, 28, len(line), torch.float64)[0].numpy()

    if length >= 20:
        expected = line[4:-3].repeat(20).reshape(20, length).mean(1)
    else:
        at = (np.arange(20) + 0.5) * length / 20 + 3.5
        expected = ndimage.map_coordinates(line, [at], order=1)
    np.testing.assert_allclose((weights @ line)[5:25], expected, atol=1e-12)


def test_resampling_stays_in_the_image():
    box = Box(torch.tensor([0, 0]), torch.tensor([39, 39]))
    ends = torch.tensor([2.0, 37.0], dtype=torch.float64)
    weights = resampling(
        box, ends, torch.full((2,), 0.5, dtype=torch.float64), 28, 40, torch.float64
    )
    np.testing.assert_allclose(weights.sum(1), torch.full((2, 40), 0.5))


@pytest.mark.parametrize("dtype", [torch.float64, torch.uint8])
def test_chunks_are_the_whole(dtype, monkeypatch, rng):
    images = torch.from_numpy(rng.integers(0, 256, (23, 9, 9))).to(dtype)
    whole = by_chunks(deskew, images, 81, CPU)
    monkeypatch.setattr(engine, "CHUNK_PIXELS", 400)
    parts = by_chunks(deskew, images, 81, CPU)

    assert parts.dtype == dtype
    assert parts.shape == (23, 81)
    np.testing.assert_allclose(
        parts, whole, atol=1e-12 if dtype == torch.float64 else 0
    )
    exact = deskew(images.double() / 255).flatten(1) * 255
    if dtype == torch.uint8:
        np.testing.assert_allclose(parts, exact, atol=0.5001)


def test_halves_of_grey_levels_are_rounded_up(rng):
    """However the mean is summed up: its rounding error decides nothing."""
    levels = torch.arange(255)
    pairs = torch.stack([levels, levels + 1], 1).to(torch.uint8)
    images = pairs.repeat(1, 12)[:, None]
    for _ in range(3):
        order = torch.from_numpy(rng.permutation(24))
        made = by_chunks(lambda x, i=order: x[..., i].mean(2), images, 1, CPU)
        assert made[:, 0].tolist() == list(range(1, 256))
