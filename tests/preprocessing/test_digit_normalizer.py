"""DigitNormalizer turns any rendering of a digit into one like MNIST's."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from skdigits import SoftmaxRegression
from skdigits.preprocessing import DigitNormalizer, FoundDigit


@pytest.fixture(scope="module")
def large(digits):
    """40 of scikit-learn's digits, enlarged to 90 x 90, smooth, from 0 to 1."""
    return np.stack(
        [ndimage.zoom(row.reshape(8, 8), 90 / 8, order=1) for row in digits[0][:40]]
    )


def normalised(X, **parameters):
    """Normalised images (n, 28, 28), which were not cleaned before."""
    normaliser = DigitNormalizer(clean_up=False, **parameters)
    return normaliser.transform(X).reshape(-1, 28, 28)


def placed(images, height, width, seed=0):
    """Each image at a random place in a larger field of zeros."""
    rng = np.random.default_rng(seed)
    fields = np.zeros((len(images), height, width), images.dtype)
    for field, image in zip(fields, images, strict=True):
        row = rng.integers(height - image.shape[0] + 1)
        column = rng.integers(width - image.shape[1] + 1)
        field[row : row + image.shape[0], column : column + image.shape[1]] = image
    return fields


def test_shrunk_as_pillow_does(rng):
    """A box of 60 x 42 pixels, all foreground, whose centre is near its middle."""
    box = rng.uniform(0.5, 1, (60, 42)).astype(np.float32)
    small = np.asarray(Image.fromarray(box).resize((14, 20), Image.Resampling.BOX))
    row, column = (round(14 - place + 1e-9) for place in ndimage.center_of_mass(small))
    expected = np.zeros((28, 28))
    expected[row : row + 20, column : column + 14] = small / small.max()
    found = normalised(placed(box[None], 150, 99))
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_position_contrast_and_background_do_not_matter(large):
    expected = normalised(large)
    assert expected.min() == 0
    np.testing.assert_array_equal(expected.max((1, 2)), 1)
    for same in (
        placed(large, 200, 130),
        0.2 + 0.1 * large,
        0.9 - 0.5 * large,
        1e300 * large - 1e300,
        1e-300 * large,
        -7 - large,
    ):
        np.testing.assert_allclose(normalised(same), expected, atol=1e-9)


@pytest.mark.parametrize("side", [8, 9, 20, 28, 64, 200])
def test_digits_are_20_long_and_in_the_middle(side, digits):
    images = [
        ndimage.zoom(row.reshape(8, 8), side / 8, order=0) for row in digits[0][:30]
    ]
    for made in normalised(images):
        foreground = made > 0.2
        longer = max(np.ptp(places) + 1 for places in foreground.nonzero())
        assert abs(longer - 20) <= 2
        assert np.abs(np.array(ndimage.center_of_mass(made)) - 14).max() < 0.7


def test_direction_of_the_foreground(large):
    """The right ``invert`` equals "auto"; the wrong one shows the background."""
    expected = normalised(large)
    np.testing.assert_array_equal(normalised(large, invert=False), expected)
    np.testing.assert_allclose(normalised(1 - large, invert=True), expected, atol=1e-12)
    assert np.abs(normalised(large, invert=True) - expected).mean() > 0.3


def test_a_highlight_is_no_foreground_with_invert(large):
    """The glare on grey paper is farther from the paper than the dark digit."""
    paper = 0.5 - 0.3 * placed(large, 120, 120)
    expected = normalised(paper)
    paper[:, :3, :3] = 1
    np.testing.assert_allclose(normalised(paper, invert=True), expected, atol=1e-9)


def test_foreground_at_the_border(large):
    """With ``invert``, the foreground may cover more than half of the border."""
    strokes = (large > 0.5).astype(float)
    for image, expected in zip(strokes, normalised(strokes), strict=True):
        rows = np.flatnonzero((image > 0.2).any(1))
        columns = np.flatnonzero((image > 0.2).any(0))
        cropped = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        found = normalised([cropped], invert=False)[0]
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.98

    # An upright ring, whose border is all foreground.
    bar = np.ones((1, 40, 12))
    bar[0, 10:30, 4:8] = 0
    for image, invert in ((bar, False), (1 - bar, True)):
        made = normalised(image, invert=invert)[0]
        assert made[5, 14] == made[14, 12] == 1
        assert made[14, 14] == 0


@pytest.mark.parametrize(
    "colours", [(0.85, -0.6), (0.1, 0.7)], ids=["paper", "blackboard"]
)
def test_noise_in_the_background(colours, large, rng):
    """Noise changes neither the crop nor the background."""
    background, contrast = colours
    clean = placed((large > 0.5).astype(float), 240, 180)
    noisy = background + contrast * clean + rng.normal(0, 0.03, clean.shape)

    found = normalised(noisy)
    expected = normalised(clean)
    for one, other in zip(found, expected, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.96
    outside = ndimage.binary_dilation(expected > 0, iterations=2, axes=(1, 2))
    assert found[~outside].max() == 0


def test_one_pixel_is_a_blot_in_the_middle():
    images = np.zeros((3, 31, 17), dtype=np.uint8)
    images[0, 0, 0] = 9
    images[1, 15, 8] = 1
    images[2, 30, 3] = 255

    found = normalised(images)
    assert found.dtype == np.uint8
    for blot in found:
        np.testing.assert_array_equal(blot, found[1])
        assert blot.max() == 255
        assert abs((blot[14] > 127).sum() - 20) <= 1
        np.testing.assert_allclose(ndimage.center_of_mass(blot), 14, atol=0.51)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_images_of_one_value_are_blank(dtype):
    for value in (0, 0.3, 255):
        image = np.full((2, 40, 30), value).astype(dtype)
        made = normalised(image)
        assert made.dtype == dtype
        assert not made.any()


def test_all_foreground_stays_in_the_image():
    """A comet, whose tail would be cut off if its centre of mass were in the middle."""
    comet = np.zeros((1, 100, 100))
    comet[0, 10:90, 50] = 0.3
    comet[0, 80:90, 40:60] = 1
    made = normalised(comet)[0]
    rows = np.flatnonzero(made.any(1))
    assert len(rows) in (20, 21)
    assert made.sum(1)[:3].max() > 0


def test_images_of_any_size_in_a_list(large):
    images = [image[:: 1 + n % 3, :: 1 + n % 2] for n, image in enumerate(large)]
    found = DigitNormalizer().transform(images)
    assert found.shape == (40, 784)
    for image, made in zip(images, found, strict=True):
        np.testing.assert_allclose(
            made, DigitNormalizer().transform([image])[0], atol=1e-9
        )
    for given in (tuple(images), _objects(images)):
        np.testing.assert_array_equal(DigitNormalizer().fit_transform(given), found)


def test_lists_keep_the_dtype_that_all_have(large):
    pixels = [(255 * image).astype(np.uint8) for image in large[:4]]
    assert DigitNormalizer().transform(pixels).dtype == np.uint8
    floats = [image.astype(np.float32) for image in large[:4]]
    assert DigitNormalizer().transform(floats).dtype == np.float32
    both = DigitNormalizer().transform(pixels + floats)
    assert both.dtype == np.float64
    np.testing.assert_allclose(
        both[:4], DigitNormalizer().transform(pixels) / 255, atol=0.002
    )


def _objects(images):
    array = np.empty(len(images), dtype=object)
    array[:] = images
    return array


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (
            np.zeros((5, 5, 3)),
            r"X\[1\] has shape \(5, 5, 3\), .* by np.asarray\(X\[1\]\).mean\(ax",
        ),
        (
            np.zeros(25),
            r"X\[1\] has shape \(25,\), but grey images .* \(h, w\) each in a list",
        ),
        (np.zeros((0, 5)), r"X\[1\] has shape \(0, 5\): an image must have pixels"),
        (np.full((5, 5), np.nan), r"X\[1\] contains NaN or infinity"),
        (np.full((2, 2), "a"), r"X\[1\] is no image, a 2-D array of numbers"),
        (None, r"X\[1\] is None, .* cut_out of an empty cell is: leave it out"),
        ("a.png", r"X\[1\]='a.png' is the name of a file, .*Image.open\(file\) for "),
        (Path("a.png"), r"X\[1\]=\w*Path\('a.png'\) is the name of a file"),
        (
            FoundDigit(0, 0, (0, 0, 5, 5), np.eye(5, dtype=np.uint8)),
            r"X\[1\] is a FoundDigit: .* \[digit.cut_out for digit in X\]",
        ),
    ],
)
def test_other_elements_of_a_list_are_errors(image, words):
    fitted = DigitNormalizer().fit(np.eye(9))
    for method in (fitted.fit, fitted.transform):
        with pytest.raises(ValueError, match=words):
            method([np.eye(5), image])
    assert fitted.n_features_in_ == 9


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"digit_size": 29}, "digit_size=29 is more than size=28"),
        ({"digit_size": 0}, "The 'digit_size' parameter"),
        ({"size": 28.0}, "The 'size' parameter"),
        ({"threshold": 1.0}, "The 'threshold' parameter"),
        ({"invert": "yes"}, "The 'invert' parameter"),
    ],
    ids=str,
)
def test_parameters(parameters, words):
    for method in ("fit", "transform"):
        with pytest.raises(ValueError, match=words):
            getattr(DigitNormalizer(**parameters), method)(np.eye(9))


def test_other_sizes(large):
    found = DigitNormalizer(size=9, digit_size=7).fit(large)
    made = found.transform(large).reshape(-1, 9, 9)
    assert len(found.get_feature_names_out()) == 81
    extents = [np.ptp((image > 0.2).nonzero(), axis=1).max() + 1 for image in made]
    assert set(extents) <= {6, 7}


def test_a_model_of_small_digits_reads_photographs(digits):
    """A Pipeline fitted to rows predicts for arrays of images and for lists of them."""
    X, y = digits
    model = make_pipeline(
        DigitNormalizer(), SoftmaxRegression(0.1, max_iter=8, tol=None, random_state=0)
    )
    model.fit(X[:1200], y[:1200])
    expected = model.score(X[1200:], y[1200:])
    assert expected > 0.88
    images = 240 - 200 * X[1200:].reshape(-1, 8, 8).repeat(7, 1).repeat(7, 2)
    assert model.score(images, y[1200:]) > expected - 0.02
    assert model.score(list(images), y[1200:]) > expected - 0.02


def _resized(images, size, method):
    return np.stack(
        [np.asarray(Image.fromarray(i).resize((size, size), method)) for i in images]
    )


RENDERINGS = {
    "black on white": lambda images: 255 - images,
    "nearest 200": lambda images: _resized(images, 200, Image.Resampling.NEAREST),
    "lanczos 200": lambda images: 255 - _resized(images, 200, Image.Resampling.LANCZOS),
    "nearest 64x48": lambda images: placed(
        _resized(images, 48, Image.Resampling.NEAREST), 64, 48
    ),
    "bilinear 64x48": lambda images: (
        255 - placed(_resized(images, 48, Image.Resampling.BILINEAR), 64, 48)
    ),
}


@pytest.mark.mnist
def test_mnist_is_hardly_changed(mnist):
    X = mnist[1]
    differences = np.abs(DigitNormalizer().transform(X).astype(int) - X).max(1)
    assert (differences <= 1).mean() > 0.98


@pytest.fixture(scope="module")
def readers(mnist):
    """A model trained on MNIST as it is, and one behind a DigitNormalizer."""
    X = mnist[0][:20000]
    y = mnist[2][:20000]
    plain = SoftmaxRegression(0.1, max_iter=8, tol=None, random_state=0)
    behind = make_pipeline(DigitNormalizer(clean_up=False), clone(plain))
    return plain.fit(X, y), behind.fit(X, y)


@pytest.mark.mnist
@pytest.mark.parametrize("rendering", RENDERINGS)
def test_renderings_of_test_digits_are_read_as_the_originals(rendering, mnist, readers):
    plain, behind = readers
    X = mnist[1][:2000]
    y = mnist[3][:2000]
    original = plain.score(X, y)
    images = RENDERINGS[rendering](X.reshape(-1, 28, 28))
    assert original > 0.86
    rows = DigitNormalizer(clean_up=False).transform(images)
    assert plain.score(rows, y) > original - 0.01
    assert behind.score(images, y) > original - 0.01


@pytest.mark.mnist
@pytest.mark.parametrize("rendering", RENDERINGS)
def test_the_clean_up_leaves_clean_digits_alone(rendering, mnist, readers):
    X = mnist[1][:200]
    images = RENDERINGS[rendering](X.reshape(-1, 28, 28))
    cleaned = readers[0].predict(DigitNormalizer().transform(images))
    rows = DigitNormalizer(clean_up=False).transform(images)
    assert (cleaned == readers[0].predict(rows)).mean() > 0.96


@pytest.mark.parametrize(
    ("X", "words"),
    [
        ("a.png", r"X='a.png' is the name of a file, .* \[PIL.Image.open\(X\)\]"),
        (Path("a.png"), r"X=\w*Path\('a.png'\) is the name of a file"),
        (["a.png"], r"X\[0\]='a.png' is the name of a file"),
        ([], "X is an empty list, without images, such as a blank page gives"),
        (
            FoundDigit(0, 0, (0, 0, 5, 5), np.eye(5, dtype=np.uint8)),
            r"X is a FoundDigit: pass a list of one, \[X.cut_out\]",
        ),
    ],
)
def test_what_holds_no_pixels_is_an_error(X, words):
    fitted = DigitNormalizer().fit(np.eye(9))
    for method in (fitted.fit, fitted.transform):
        with pytest.raises(ValueError, match=words):
            method(X)


def test_a_column_may_have_the_name_of_an_attribute():
    rows = np.random.default_rng(0).random((3, 4))
    frame = pd.DataFrame(rows, columns=["cut_out", "a", "b", "c"])
    np.testing.assert_array_equal(
        DigitNormalizer().fit_transform(frame), DigitNormalizer().fit_transform(rows)
    )
