"""Distortions by given random numbers equal NumPy's slices and scipy.ndimage's."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from skdigits.engine.distortions import (
    affine_places,
    elastic_steps,
    resampled,
    shifted,
)

# The names of the modes in numpy.pad and in scipy.ndimage.
PADS = {"constant": "constant", "nearest": "edge"}
SCIPYS = {"constant": "grid-constant", "nearest": "nearest"}
each_mode = pytest.mark.parametrize("mode", PADS)
MOST = {"rotation": 30.0, "scale": 0.3, "shear": 25.0, "shift": 3.0}
NOTHING = dict.fromkeys(MOST, 0.0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noisy(*shape, dtype=torch.float64):
    return torch.rand(shape, generator=seeded(9), dtype=torch.float64).to(dtype)


def moved(image, down, right, mode):
    """An image (channels, h, w), moved by whole pixels."""
    reach = max(abs(down), abs(right))
    padded = np.pad(image, [(0, 0), (reach, reach), (reach, reach)], mode=PADS[mode])
    top = reach - down
    left = reach - right
    return padded[:, top : top + image.shape[1], left : left + image.shape[2]]


def moves_of(images, found, most, mode):
    """The move (down, right) of each image, the only one that explains all channels."""
    steps = range(-most, most + 1)
    pairs = [(down, right) for down in steps for right in steps]

    result = []
    for image, other in zip(images.numpy(), found.numpy(), strict=True):
        fits = [
            pair for pair in pairs if np.array_equal(moved(image, *pair, mode), other)
        ]
        assert len(fits) == 1
        result += fits
    return result


@each_mode
@pytest.mark.parametrize(
    ("shape", "reach"),
    [
        ((1, 28, 28), 2),
        ((1, 8, 8), 1),
        ((1, 56, 56), 4),
        ((3, 28, 9), 2),
        ((2, 5, 14), 1),
    ],
)
def test_shifts_are_slices(mode, shape, reach):
    images = noisy(30, *shape)
    found = moves_of(images, shifted(images, 2, mode, seeded()), reach, mode)
    assert {abs(step) for pair in found for step in pair} == set(range(reach + 1))


def test_all_shifts_are_equally_likely():
    # One bright pixel in the middle shows the move, of two pixels at the most.
    images = torch.zeros(20_000, 1, 7, 7)
    images[:, :, 3, 3] = 1
    found = shifted(images, 8, "constant", seeded(1))
    places = found.flatten(1).argmax(1)
    counts = torch.bincount(places, minlength=49).view(7, 7)
    assert counts[1:6, 1:6].sum() == 20_000
    assert stats.chisquare(counts[1:6, 1:6].flatten()).pvalue > 0.001


@pytest.mark.parametrize(
    ("most", "reach"), [(0, 0), (0.1, 1), (1, 1), (3.6, 4), (28, 28)]
)
def test_shifts_reach_as_far_as_said(most, reach):
    images = torch.zeros(3000, 1, 28, 28)
    images[:, :, 14, 14] = 1
    found = shifted(images, most, "constant", seeded(2))
    rows = found.amax((0, 1, 3)).nonzero().flatten() - 14
    assert (rows.min(), rows.max()) == (max(-reach, -14), min(reach, 13))
    seen = found.sum((1, 2, 3)).mean().item()
    lost = 1 - (28 / 57) ** 2 if reach == 28 else 0.0
    assert seen == pytest.approx(1 - lost, abs=0.03 if lost else 0)


def drawn(n_images, seed=0):
    """The numbers that an affine distortion draws, from -1 to 1 (n_images, 6)."""
    return (torch.rand(n_images, 6, generator=seeded(seed)).double() * 2 - 1).numpy()


def forward(draws, most):
    """The (row, column) matrix of one image, which scales, shears and turns it."""
    scaled = np.diag(1 + most["scale"] * draws[[3, 2]])
    slant = math.radians(most["shear"]) * draws[1]
    sheared = np.array([[1, 0], [-math.tan(slant), 1]])
    angle = math.radians(most["rotation"]) * draws[0]
    cos = math.cos(angle)
    sin = math.sin(angle)
    return np.array([[cos, sin], [-sin, cos]]) @ sheared @ scaled


def scipys_affine(image, draws, most, mode):
    """An image (channels, h, w), transformed about its middle by scipy.ndimage."""
    sides = np.array(image.shape[1:])
    middle = (sides - 1) / 2
    back = np.linalg.inv(forward(draws, most))
    shift = most["shift"] * max(sides) / 28 * draws[[5, 4]]
    offset = middle - back @ (middle + shift)
    options = {"offset": offset, "order": 1, "mode": SCIPYS[mode]}
    return np.stack([ndimage.affine_transform(part, back, **options) for part in image])


@each_mode
@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 8, 8), (3, 20, 11), (1, 9, 40)])
@pytest.mark.parametrize(
    "names", [[name] for name in MOST] + [list(MOST)], ids="-".join
)
def test_affine_distortions_are_scipys(names, shape, mode):
    """Also on images that are not square, which a rotation must not squeeze."""
    most = NOTHING | {name: MOST[name] for name in names}
    images = noisy(6, *shape)
    places = affine_places(images, *most.values(), seeded())
    found = resampled(images, places, mode).numpy()

    for image, other, draws in zip(images.numpy(), found, drawn(6), strict=True):
        expected = scipys_affine(image, draws, most, mode)
        np.testing.assert_allclose(other, expected, atol=1e-10)
    assert abs(found - images.numpy()).max() > 0.2


def test_a_square_grows_and_shrinks():
    images = torch.zeros(50, 1, 28, 28, dtype=torch.float64)
    images[..., 8:20, 8:20] = 1
    places = affine_places(images, 0, 0.3, 0, 0, seeded())
    found = resampled(images, places, "constant")
    wide, high = 12 * (1 + 0.3 * drawn(50)[:, 2:4]).T
    np.testing.assert_allclose(found[:, 0, 14].sum(1), wide, rtol=0.05)
    np.testing.assert_allclose(found[:, 0, :, 14].sum(1), high, rtol=0.05)


def test_affine_numbers_are_uniform_and_independent():
    """The numbers are read off the places of neighbours, which show the matrix."""
    images = torch.zeros(4000, 1, 2, 2, dtype=torch.float64)

    def matrix(**most):
        places = affine_places(images, *(NOTHING | most).values(), seeded(3)).numpy()
        right = places[:, 0, 1] - places[:, 0, 0]
        below = places[:, 1, 0] - places[:, 0, 0]
        return right, below, places.mean((1, 2))

    right, _, _ = matrix(rotation=30.0)
    numbers = [np.degrees(np.arctan2(-right[:, 1], right[:, 0])) / 30]
    right, below, _ = matrix(scale=0.3)
    numbers += [(1 / right[:, 0] - 1) / 0.3, (1 / below[:, 1] - 1) / 0.3]
    _, below, _ = matrix(shear=25.0)
    numbers += [np.degrees(np.arctan(below[:, 0])) / 25]
    _, _, middle = matrix(shift=3.0)
    # The image is two pixels long.
    numbers += list(-middle.T * 28 / 2 / 3)

    for values in numbers:
        assert stats.kstest(values, "uniform", args=(-1, 2)).pvalue > 0.001
    correlations = np.corrcoef(numbers) - np.eye(6)
    assert abs(correlations).max() < 4 / math.sqrt(4000)


@each_mode
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_strengths_of_zero_change_nothing(mode, dtype):
    images = noisy(5, 2, 13, 28, dtype=dtype)
    places = affine_places(images, 0, 0, 0, 0, seeded())
    places += elastic_steps(images, 0, 4, seeded())
    np.testing.assert_allclose(
        resampled(images, places, mode), images, atol=100 * torch.finfo(dtype).eps
    )
    assert torch.equal(shifted(images, 0, mode, seeded()), images)


def scipys_steps(shape, alpha, sigma, seed):
    """Steps down and right (n, 2, h, w), in pixels, smoothed by scipy.ndimage."""
    noise = torch.rand(shape[0], 2, *shape[2:], generator=seeded(seed)).double() * 2 - 1
    scale = max(shape[2:]) / 28
    smooth = ndimage.gaussian_filter(
        noise.numpy(), sigma * scale, axes=(2, 3), mode="constant", truncate=12
    )
    # The steps to the right are drawn first.
    return (alpha * scale**2 * smooth)[:, ::-1]


@each_mode
@pytest.mark.parametrize("sigma", [1.5, 4])
@pytest.mark.parametrize("shape", [(4, 1, 28, 28), (3, 3, 28, 15), (3, 1, 8, 8)])
def test_elastic_distortions_are_scipys(shape, sigma, mode):
    images = noisy(*shape)
    steps = scipys_steps(shape, 34, sigma, seed=4)
    found = elastic_steps(images, 34, sigma, seeded(4))
    in_pixels = found.numpy() * [shape[3] / 2, shape[2] / 2]
    np.testing.assert_allclose(
        in_pixels[..., ::-1], np.moveaxis(steps, 1, 3), atol=1e-9
    )

    places = affine_places(images, *MOST.values(), seeded()) + found
    made = resampled(images, places, mode)
    for one, step, draws, distorted in zip(
        images.numpy(), steps, drawn(shape[0]), made, strict=True
    ):
        sides = np.array(shape[2:]).reshape(2, 1, 1)
        away = np.indices(shape[2:]) - (sides - 1) / 2
        away -= MOST["shift"] * sides.max() / 28 * draws[[5, 4]].reshape(2, 1, 1)
        back = np.linalg.inv(forward(draws, MOST))
        source = np.einsum("ij,jhw->ihw", back, away) + (sides - 1) / 2 + step
        expected = [
            ndimage.map_coordinates(part, source, order=1, mode=SCIPYS[mode])
            for part in one
        ]
        np.testing.assert_allclose(distorted, expected, atol=1e-8)


@pytest.mark.parametrize("side", [28, 56])
def test_elastic_steps_are_as_long_as_said(side):
    """Their standard deviation is in 28ths of the side, for any side."""
    images = torch.zeros(400, 1, side, side)
    steps = elastic_steps(images, 34, 3, seeded(5)) * 14
    half = side // 2
    middle = steps[:, half - 1 : half + 1, half - 1 : half + 1]
    expected = 34 / (math.sqrt(3) * 2 * math.sqrt(math.pi) * 3)
    np.testing.assert_allclose(middle.std((0, 1, 2)), [expected, expected], rtol=0.08)
    assert abs(middle.mean()) < 0.15 * expected


@pytest.mark.parametrize(
    "distort",
    [
        lambda images, generator: shifted(images, 2, "nearest", generator),
        lambda images, generator: resampled(
            images, affine_places(images, *MOST.values(), generator), "constant"
        ),
        lambda images, generator: resampled(
            images,
            affine_places(images, 0, 0, 0, 0, generator)
            + elastic_steps(images, 34, 4, generator),
            "constant",
        ),
    ],
    ids=["shift", "affine", "elastic"],
)
def test_distortions_differ_between_images_but_not_between_channels(distort):
    one = ndimage.gaussian_filter(noisy(1, 1, 20, 28).numpy(), (0, 0, 1, 1))
    images = (
        torch.from_numpy(one).expand(12, 3, 20, 28)
        * torch.tensor([1, 2, 3])[:, None, None]
    )
    before = images.clone()

    found = distort(images, seeded(6))
    np.testing.assert_allclose(found[:, 1], 2 * found[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found[:, 2], 3 * found[:, 0], rtol=1e-12)
    assert len({tuple(image.flatten().tolist()) for image in found[:, 0]}) >= 10
    assert torch.equal(images, before)

    # The same numbers are drawn in every dtype.
    single = distort(images.float(), seeded(6))
    np.testing.assert_allclose(single, found, atol=2e-5)
    assert torch.equal(distort(images, seeded(6)), found)
    assert not torch.equal(distort(images, seeded(7)), found)
