"""TemplateMatchingClassifier against NearestCentroid, KMeans and published figures."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import log_loss
from sklearn.neighbors import NearestCentroid

from skdigits import TemplateMatchingClassifier

# Fraction of each digit of the MNIST test set that is nearest to its average image.
PUBLISHED = {
    "mae": [.8153, .9982, .4234, .6089, .6680, .3262, .7871, .7646, .4425, .7760],
    "mse": [.8959, .9621, .7568, .8059, .8259, .6861, .8633, .8327, .7372, .8067],
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:self.within_class_std_dev_:UserWarning")
def test_means_are_nearest_centroids(digits):
    X, y = digits
    ours = TemplateMatchingClassifier().fit(X, y)
    theirs = NearestCentroid().fit(X, y)
    np.testing.assert_allclose(
        ours.templates_, theirs.centroids_, rtol=1e-12, atol=1e-14
    )
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_array_equal(ours.template_classes_, theirs.classes_)


def test_weights_are_averages_with_weights(digits, rng):
    X, y = digits
    weight = rng.uniform(0, 2, len(X))
    model = TemplateMatchingClassifier().fit(X, y, weight)
    for c in range(10):
        expected = np.average(X[y == c], axis=0, weights=weight[y == c])
        np.testing.assert_allclose(
            model.templates_[c], expected, rtol=1e-10, atol=1e-12
        )


@pytest.mark.mnist
@pytest.mark.parametrize("metric", PUBLISHED)
@pytest.mark.parametrize("as_floats", [False, True])
def test_average_images_of_mnist_are_the_published_ones(metric, as_floats, mnist):
    X_train, X_test, y_train, y_test = mnist
    if as_floats:
        X_train = X_train.astype(np.float32) / 255
        X_test = X_test.astype(np.float32) / 255
    predicted = TemplateMatchingClassifier(metric).fit(X_train, y_train).predict(X_test)
    found = [round((predicted[y_test == c] == c).mean(), 4) for c in range(10)]
    assert found == PUBLISHED[metric]


@pytest.mark.parametrize("metric", ["mse", "mae", "cosine"])
def test_partial_fit_of_parts_is_fit_of_the_whole(metric, digits, rng):
    X, y = digits
    weight = rng.uniform(0, 2, len(X))
    whole = TemplateMatchingClassifier(metric, temperature=0.1).fit(X, y, weight)

    parts = TemplateMatchingClassifier(metric, temperature=0.1)
    for part in np.array_split(np.arange(len(X)), 7):
        parts.partial_fit(
            X[part], y[part], classes=range(10), sample_weight=weight[part]
        )

    np.testing.assert_allclose(parts.templates_, whole.templates_, rtol=1e-12)
    np.testing.assert_allclose(parts.class_count_, whole.class_count_, rtol=1e-12)
    np.testing.assert_allclose(
        parts.predict_proba(X), whole.predict_proba(X), rtol=1e-8
    )


def test_a_class_without_samples_so_far_is_never_predicted(digits):
    X, y = digits
    few = y < 3
    model = TemplateMatchingClassifier().partial_fit(X[few], y[few], classes=range(10))
    assert set(model.predict(X)) == {0, 1, 2}
    proba = model.predict_proba(X)
    np.testing.assert_allclose(proba.sum(1), 1)
    assert proba[:, 3:].max() < 1e-300
    assert model.partial_fit(X, y).score(X, y) > 0.8


def test_many_templates_are_a_minimum_of_k_means(digits):
    """KMeans, started from the fitted templates, does not move them."""
    X, y = digits
    model = TemplateMatchingClassifier(n_templates=4, random_state=0).fit(X, y)
    assert model.templates_.shape == (40, 64)
    assert model.template_classes_.tolist() == [c for c in range(10) for _ in range(4)]

    for c in range(10):
        centres = model.templates_[model.template_classes_ == c]
        again = KMeans(4, init=centres, n_init=1, tol=0).fit(X[y == c])
        np.testing.assert_allclose(
            again.cluster_centers_, centres, rtol=1e-10, atol=1e-12
        )

    assert model.score(X, y) > TemplateMatchingClassifier().fit(X, y).score(X, y) + 0.03


def test_many_templates_by_weight_are_the_templates_of_repeated_samples(digits, rng):
    X, y = (array[:400] for array in digits)
    weight = rng.integers(0, 4, len(X))
    weighted = TemplateMatchingClassifier(n_templates=3, random_state=0).fit(
        X, y, weight
    )

    order = rng.permutation(weight.sum())
    repeated = TemplateMatchingClassifier(n_templates=3, random_state=0).fit(
        X.repeat(weight, axis=0)[order], y.repeat(weight)[order]
    )
    np.testing.assert_allclose(weighted.templates_, repeated.templates_, atol=1e-10)


def test_a_class_with_fewer_samples_than_templates_has_each_as_one():
    X = np.array([[0.0], [1.0], [1.0], [5.0], [6.0], [7.0]])
    model = TemplateMatchingClassifier(n_templates=3).fit(X, [0, 0, 0, 1, 1, 1])
    assert sorted(set(model.templates_[:3, 0])) == [0.0, 1.0]
    assert model.templates_[3:, 0].tolist() == [5.0, 6.0, 7.0]


def test_partial_fit_is_not_available_with_many_templates(digits):
    with pytest.raises(AttributeError, match="partial_fit"):
        TemplateMatchingClassifier(n_templates=2).partial_fit(*digits)


@pytest.mark.parametrize("metric", ["mse", "mae", "cosine"])
def test_the_automatic_temperature_is_the_likeliest(metric, digits):
    X, y = digits
    auto = TemplateMatchingClassifier(metric).fit(X, y)
    found = log_loss(y, auto.predict_proba(X))
    for factor in (0.8, 0.95, 1.05, 1.25):
        other = TemplateMatchingClassifier(
            metric, temperature=auto.temperature_ * factor
        )
        assert log_loss(y, other.fit(X, y).predict_proba(X)) > found + 1e-5


def test_probabilities_are_the_softmax_of_distances(digits):
    X, y = digits
    model = TemplateMatchingClassifier("mae", temperature=0.05).fit(X, y)
    distances = np.abs(X[:50, None] - model.templates_).mean(2)
    expected = np.exp(-distances / 0.05)
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X[:50]), expected, rtol=1e-10)


def test_pixels_are_read_as_fractions(digits):
    X, y = digits
    pixels = (X * 255).astype(np.uint8)
    ours = TemplateMatchingClassifier().fit(pixels, y)
    same = TemplateMatchingClassifier().fit((pixels / 255).astype(np.float32), y)
    assert ours.templates_.dtype == np.float32
    np.testing.assert_allclose(ours.templates_, same.templates_, rtol=1e-6)
    np.testing.assert_array_equal(ours.predict(pixels), same.predict(pixels / 255))


@pytest.mark.parametrize(("dtype", "scale"), [(np.float32, 1e30), (np.float64, 1e200)])
def test_samples_whose_distances_overflow_are_an_error(dtype, scale, iris):
    X = iris[0].astype(dtype)
    y = iris[1]
    with pytest.raises(ValueError, match=r"overflow torch.float.*Bring X to"):
        TemplateMatchingClassifier().fit(X * dtype(scale), y)
    model = TemplateMatchingClassifier().fit(X, y)
    with pytest.raises(ValueError, match=r"overflow torch.float.*Bring X to"):
        model.predict_proba(X * dtype(scale))


@pytest.mark.parametrize("metric", ["mse", "mae", "cosine"])
@pytest.mark.parametrize(("dtype", "scale"), [("f4", 1e-23), ("f8", 1e-200)])
def test_distances_that_underflow_are_an_error(metric, dtype, scale, iris):
    """Squares are 0, and every class is as near as the first one."""
    tiny = (iris[0] * scale).astype(dtype)
    model = TemplateMatchingClassifier(metric).fit(iris[0].astype(dtype), iris[1])
    expected = model.predict(iris[0].astype(dtype))
    found = TemplateMatchingClassifier(metric)
    if metric == "mse":
        with pytest.raises(ValueError, match=r"underflow torch.float.*Bring X to"):
            found.fit(tiny, iris[1])
        assert not hasattr(found, "classes_")
    else:
        found.fit(tiny, iris[1])
        np.testing.assert_array_equal(found.predict(tiny), expected)


def test_samples_that_equal_their_templates_do_not_underflow():
    X = np.zeros((4, 3), dtype=np.float32)
    model = TemplateMatchingClassifier().partial_fit(X, [0] * 4, classes=[0, 1])
    np.testing.assert_array_equal(model.predict(X), [0] * 4)
    same = TemplateMatchingClassifier().fit(X + 7, [0, 1, 0, 1])
    np.testing.assert_array_equal(same.predict_proba(X + 7), np.full((4, 2), 0.5))
    # Each class has every sample among its templates.
    X = np.array([[0.0], [1.0], [2.0]] * 2)
    several = TemplateMatchingClassifier(n_templates=3, random_state=0)
    proba = several.fit(X, [0, 0, 0, 1, 1, 1]).predict_proba(X)
    np.testing.assert_array_equal(proba, np.full((6, 2), 0.5))


def test_a_temperature_too_small_is_an_error_and_not_a_nan(iris):
    X = iris[0].astype(np.float32)
    model = TemplateMatchingClassifier(temperature=1e-300).fit(X, iris[1])
    with pytest.raises(
        ValueError, match=r"temperature=1e-300 is too small: .* overflows"
    ):
        model.predict_proba(X)


def test_samples_that_hardly_differ_have_a_temperature(iris):
    X, y = iris
    model = TemplateMatchingClassifier().fit(X * 1e-152, y)
    assert model.temperature_ == 1.0
    assert model.score(X * 1e-152, y) > 0.8


def test_parameters_set_after_the_fit_change_no_templates(digits):
    X, y = digits
    model = TemplateMatchingClassifier().fit(X, y)
    expected = model.predict_proba(X)
    found = model.set_params(n_templates=2, temperature=3.0).predict_proba(X)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("scale", [1e-60, 1e-40, 1e60])
def test_k_means_takes_weights_of_any_size_in_float32(scale, digits, rng):
    X = digits[0][:300].astype(np.float32)
    y = digits[1][:300]
    weight = rng.uniform(0.1, 2, 300)
    model = TemplateMatchingClassifier(n_templates=2, random_state=0)
    expected = model.fit(X, y, weight).templates_
    found = model.fit(X, y, weight * scale).templates_
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
