"""Deskew and CenterByMass on real digits, and the errors that they raise."""

import numpy as np
import pytest
from scipy import ndimage

from skdigits import SoftmaxRegression, TemplateMatchingClassifier
from skdigits.preprocessing import CenterByMass, Deskew

both = pytest.mark.parametrize("transformer", [Deskew(), CenterByMass()], ids=str)


@both
def test_mass_cannot_be_negative(transformer):
    with pytest.raises(
        ValueError, match=r"Negative values in data passed to .*, down to -1. Put"
    ):
        transformer.transform(-np.eye(4))


@both
def test_all_images_must_be_of_one_size(transformer):
    with pytest.raises(
        ValueError, match="put a DigitNormalizer, which makes them alike, in front"
    ):
        transformer.transform([np.eye(3), np.eye(4)])

    fitted = type(transformer)().fit(np.ones((2, 4, 6)))
    with pytest.raises(
        ValueError, match=r"X has 25 pixels an image, but .* is expecting 24 feat"
    ):
        fitted.transform(np.ones((2, 5, 5)))
    given = type(transformer)(image_shape=(6, 4))
    with pytest.raises(
        ValueError, match=r"X has shape \(2, 4, 6\), but image_shape=\(6, 4\)"
    ):
        given.fit(np.ones((2, 4, 6)))


def test_center_by_mass_undoes_a_shift(digits):
    """Digits in a larger field, whose centres of mass SciPy computes."""
    images = np.pad(digits[0][:50].reshape(-1, 8, 8), ((0, 0), (9, 9), (8, 10)))
    rng = np.random.default_rng(0)
    moved = np.stack(
        [np.roll(image, rng.integers(-5, 6, 2), (0, 1)) for image in images]
    )

    found = CenterByMass().transform(moved).reshape(images.shape)
    assert (moved != images).any((1, 2)).sum() > 40
    np.testing.assert_array_equal(
        found, CenterByMass().transform(images).reshape(images.shape)
    )
    places = np.array([ndimage.center_of_mass(image) for image in found])
    assert np.abs(places - 13).max() < 0.5 + 1e-4
    np.testing.assert_array_equal(
        np.sort(found.reshape(50, -1)), np.sort(images.reshape(50, -1))
    )


@pytest.mark.mnist
def test_mnist_is_centred_already(mnist):
    """The target is MNIST's own; one image in ten thousand is a tie."""
    X = mnist[1]
    assert (CenterByMass().transform(X) == X).all(1).mean() > 0.999


@pytest.mark.mnist
@pytest.mark.slow
def test_upright_digits_are_told_apart_better(mnist):
    X_train, X_test, y_train, y_test = mnist
    deskew = Deskew()
    train = deskew.transform(X_train)
    test = deskew.transform(X_test)

    average = TemplateMatchingClassifier()
    assert average.fit(X_train, y_train).score(X_test, y_test) < 0.822
    assert average.fit(train, y_train).score(test, y_test) > 0.865
    linear = SoftmaxRegression(0.1, max_iter=8, tol=None, random_state=0)
    assert linear.fit(train, y_train).score(test, y_test) > 0.955
