"""A page is drawn with the boxes, labels and probabilities of its digits."""

import re

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline

from skdigits import SoftmaxRegression
from skdigits._plotting import BLUE, ORANGE
from skdigits.inspection import DigitsOnPageDisplay
from skdigits.preprocessing import DigitNormalizer, FoundDigit, find_digits

matplotlib.use("Agg")
from matplotlib import pyplot as plt

# Top and left of each digit, which is 8 × 8 blocks of 7 pixels.
SIDE = 7
LINES = [(40, 40), (40, 120), (40, 200), (170, 40), (170, 120)]
CELLS = [(0, 0), (0, 2), (1, 1)]


@pytest.fixture(autouse=True)
def no_figure_stays():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def pixels(digits):
    X, y = digits
    return (X * 240).astype(np.uint8), y


@pytest.fixture(scope="module")
def reader(pixels):
    X, y = pixels
    classifier = SoftmaxRegression(random_state=0)
    return make_pipeline(DigitNormalizer(), classifier).fit(X[:1000], y[:1000])


def covered(X, places, shape):
    """Return a page, dark on bright, with one digit of X at each place."""
    page = np.full(shape, 240, np.uint8)
    for row, (top, left) in zip(X, places, strict=True):
        large = row.reshape(8, 8).repeat(SIDE, 0).repeat(SIDE, 1)
        page[top : top + len(large), left : left + len(large)] -= large
    return page


@pytest.fixture(scope="module")
def page(pixels):
    return covered(pixels[0][1000:1005], LINES, (270, 300))


@pytest.fixture(scope="module")
def grid(pixels):
    """Two rows of three cells, of 90 × 90 pixels, three of which hold a digit."""
    places = [(40 + 90 * row, 40 + 90 * column) for row, column in CELLS]
    page = covered(pixels[0][1000:1003], places, (220, 320))
    for line in range(3):
        page[20 + 90 * line : 23 + 90 * line, 20:293] = 60
    for line in range(4):
        page[20:203, 20 + 90 * line : 23 + 90 * line] = 60
    return page


def texts(drawn):
    return [text.get_text() for text in drawn]


def colors(display):
    found = [to_hex(box.get_edgecolor()).upper() for box in display.boxes_]
    for drawn in (display.texts_, display.percents_):
        assert [to_hex(text.get_color()).upper() for text in drawn] == found
    return found


class TestFromEstimator:
    def test_boxes_are_drawn_around_the_ink(self, reader, page):
        display = DigitsOnPageDisplay.from_estimator(reader, page)
        assert list(display.ax_.patches) == display.boxes_
        assert len(display.boxes_) == len(LINES)
        for (top, left), box in zip(LINES, display.boxes_, strict=True):
            rows, columns = np.nonzero(page[top : top + 56, left : left + 56] < 140)
            # Pixel 0 reaches from -0.5 to 0.5.
            expected = [
                left + columns.min() - 0.5,
                top + rows.min() - 0.5,
                left + columns.max() + 0.5,
                top + rows.max() + 0.5,
            ]
            # The pale first and last pixels of a stroke may belong to the digit.
            assert box.get_bbox().extents == pytest.approx(expected, abs=SIDE + 1)

    def test_corners_are_those_of_the_boxes(self, reader, page):
        display = DigitsOnPageDisplay.from_estimator(reader, page)
        found = find_digits(page, model=reader)
        for digit, box in zip(found, display.boxes_, strict=True):
            left, top, right, bottom = box.get_bbox().extents + 0.5
            assert (top, left, bottom, right) == digit.box

    def test_texts_are_what_the_model_says(self, reader, page, pixels):
        display = DigitsOnPageDisplay.from_estimator(reader, page)
        labels = reader.predict(pixels[0][1000:1005])
        assert texts(display.texts_) == labels.astype(str).tolist()

        cut_outs = [digit.cut_out for digit in find_digits(page, model=reader)]
        largest = 100 * reader.predict_proba(cut_outs).max(axis=1)
        shown = [float(text.removesuffix(" %")) for text in texts(display.percents_)]
        np.testing.assert_array_equal(shown, np.floor(largest))

    def test_texts_stand_above_and_below_their_box(self, reader, page):
        display = DigitsOnPageDisplay.from_estimator(reader, page)
        display.figure_.canvas.draw()
        for above, box, below in zip(
            display.texts_, display.boxes_, display.percents_, strict=True
        ):
            drawn = box.get_window_extent()
            assert above.get_window_extent().y0 > drawn.y1
            assert below.get_window_extent().y1 < drawn.y0
            for text in (above, below):
                extent = text.get_window_extent()
                middle = (extent.x0 + extent.x1) / 2
                assert middle == pytest.approx((drawn.x0 + drawn.x1) / 2, abs=1)

    def test_the_page_is_drawn_in_grey(self, reader, page):
        display = DigitsOnPageDisplay.from_estimator(reader, page)
        np.testing.assert_array_equal(display.image_.get_array(), page)
        assert display.image_.cmap.name == "gray"
        assert display.image_.get_clim() == (0, 255)

    def test_cells_are_read_row_by_row(self, reader, grid, pixels):
        display = DigitsOnPageDisplay.from_estimator(reader, grid, layout="cells")
        labels = reader.predict(pixels[0][1000:1003])
        assert texts(display.texts_) == labels.astype(str).tolist()
        assert [(digit.row, digit.column) for digit in display.found] == CELLS

    def test_labels_may_be_strings(self, pixels, page):
        X, y = pixels
        names = np.array([f"${digit}$" for digit in range(10)])
        model = make_pipeline(DigitNormalizer(), SoftmaxRegression(random_state=0))
        model.fit(X[:1000], names[y[:1000]])
        display = DigitsOnPageDisplay.from_estimator(model, page)
        assert texts(display.texts_) == model.predict(X[1000:1005]).tolist()
        # Dollar signs are no mathematics.
        assert not any(text.get_parse_math() for text in display.texts_)

    def test_a_picture_of_pillow_is_a_page(self, reader, page):
        display = DigitsOnPageDisplay.from_estimator(reader, page)
        colour = np.stack([page] * 3, axis=-1)
        exif = Image.Exif()
        exif[0x0112] = 6  # turn it clockwise to look at it
        lying = Image.fromarray(np.rot90(colour))
        lying.getexif().update(exif)

        again = DigitsOnPageDisplay.from_estimator(reader, lying)
        np.testing.assert_array_equal(again.image_.get_array(), page)
        assert texts(again.texts_) == texts(display.texts_)

    def test_labels_alone_without_predict_proba(self, pixels, page):
        X, y = pixels
        model = make_pipeline(DigitNormalizer(), RidgeClassifier())
        model.fit(X[:1000], y[:1000])
        display = DigitsOnPageDisplay.from_estimator(model, page)
        cut_outs = [digit.cut_out for digit in find_digits(page)]
        assert texts(display.texts_) == model.predict(cut_outs).astype(str).tolist()
        assert display.percents_ == []
        assert {to_hex(box.get_edgecolor()).upper() for box in display.boxes_} == {BLUE}
        assert display.ax_.get_title() == "5 digits"

    @pytest.mark.parametrize("wrap", [lambda model: model, FrozenEstimator])
    def test_a_classifier_without_normaliser_gets_its_images(self, reader, page, wrap):
        display = DigitsOnPageDisplay.from_estimator(wrap(reader[-1]), page)
        whole = DigitsOnPageDisplay.from_estimator(reader, page)
        assert texts(display.texts_) == texts(whole.texts_)
        assert texts(display.percents_) == texts(whole.percents_)

    def test_a_page_bright_on_black(self, reader, page):
        display = DigitsOnPageDisplay.from_estimator(reader, 255 - page, dark=False)
        whole = DigitsOnPageDisplay.from_estimator(reader, page)
        assert texts(display.texts_) == texts(whole.texts_)

    @pytest.mark.parametrize("layout", ["free", "cells"])
    @pytest.mark.parametrize("model", ["reader", "ridge"])
    def test_a_blank_page_says_so(self, reader, pixels, layout, model):
        if model == "ridge":
            X, y = pixels
            reader = make_pipeline(DigitNormalizer(), RidgeClassifier()).fit(X, y)
        blank = np.random.default_rng(0).normal(220, 3, (150, 200))
        display = DigitsOnPageDisplay.from_estimator(reader, blank, layout=layout)
        assert display.ax_.get_title() == "No digit found"
        assert display.image_.get_array().shape == blank.shape
        assert display.boxes_ == display.texts_ == display.percents_ == []

    def test_errors(self, reader, page):
        draw = DigitsOnPageDisplay.from_estimator
        with pytest.raises(ValueError, match=r"image has shape \(9, 9, 3\).*make it"):
            draw(reader, np.zeros((9, 9, 3)))
        with pytest.raises(ValueError, match="'layout' parameter of find_digits"):
            draw(reader, page, layout="lines")
        stroke = np.full((150, 200), 220)
        stroke[50:90, 100:106] = 40
        with pytest.raises(ValueError, match="layout='cells' found no grid"):
            draw(reader, stroke, layout="cells")
        with pytest.raises(TypeError, match="SoftmaxRegression is a class: pass a"):
            draw(SoftmaxRegression, page)
        with pytest.raises(NotFittedError, match="estimator=SoftmaxRegression is not"):
            draw(SoftmaxRegression(), page)
        with pytest.raises(ValueError, match="image is None, but a page is"):
            draw(reader, None)
        ridge = RidgeClassifier().fit(np.eye(4), [0, 1, 2, 3])
        with pytest.raises(ValueError, match="estimator=RidgeClassifier does not tell"):
            draw(ridge, page)
        with pytest.raises(AttributeError, match="DigitNormalizer has no predict, and"):
            draw(reader[0], page)
        iris = LogisticRegression().fit(np.eye(3), [0, 1, 2])
        with pytest.raises(ValueError, match="3 features, which are no square"):
            draw(iris, page)

    @pytest.mark.parametrize("doubtful", [-0.1, 1.5, np.nan, "0.8", None, True])
    def test_doubtful_is_a_probability(self, reader, page, doubtful):
        with pytest.raises(
            ValueError, match=rf"doubtful={re.escape(repr(doubtful))} must be a prob"
        ):
            DigitsOnPageDisplay.from_estimator(reader, page, doubtful=doubtful)


@pytest.fixture
def found():
    cut_out = np.zeros((20, 10), np.uint8)
    return [
        FoundDigit(0, 0, (10, 20, 40, 35), cut_out),
        FoundDigit(0, 1, (10, 60, 42, 80), cut_out),
        FoundDigit(1, 0, (60, 20, 90, 26), cut_out),
    ]


class TestFromPredictions:
    blank = np.full((100, 120), 200, np.uint8)

    def test_the_doubtful_stand_out(self, found):
        labels = ["one", "two", "three"]
        draw = DigitsOnPageDisplay.from_predictions
        display = draw(self.blank, found, labels, [0.9, 0.7999, 0.8])
        assert texts(display.texts_) == labels
        # Rounded down: 79.99 are not 80 percent.
        assert texts(display.percents_) == ["90 %", "79 %", "80 %"]
        assert colors(display) == [BLUE, ORANGE, BLUE]
        assert display.ax_.get_title() == "3 digits, 1 doubtful"

        stricter = draw(self.blank, found, labels, [0.9, 0.7999, 0.8], doubtful=0.9)
        assert colors(stricter) == [BLUE, ORANGE, ORANGE]
        lenient = draw(self.blank, found, labels, [0.0, 0.1, 0.2], doubtful=0)
        assert colors(lenient) == [BLUE, BLUE, BLUE]

    def test_percents_are_not_one_less(self, found):
        percents = np.arange(101)
        display = DigitsOnPageDisplay.from_predictions(
            self.blank, found[:1] * 101, percents, percents / 100
        )
        assert texts(display.percents_) == [f"{percent} %" for percent in percents]

    def test_rows_of_all_classes(self, found):
        proba = [[0.1, 0.9], [0.4, 0.6], [1.0, 0.0]]
        display = DigitsOnPageDisplay.from_predictions(
            self.blank, found, [1, 1, 0], proba
        )
        assert texts(display.percents_) == ["90 %", "60 %", "100 %"]

    def test_empty_cells_are_left_out(self, found):
        cells = [FoundDigit(0, 0, (0, 0, 50, 50), None), *found]
        display = DigitsOnPageDisplay.from_predictions(self.blank, cells, [1, 2, 3])
        assert len(display.boxes_) == 3
        assert display.percents_ == []

    def test_no_digits(self):
        display = DigitsOnPageDisplay.from_predictions(self.blank, [], [], [])
        assert display.ax_.get_title() == "No digit found"

    def test_given_axes_are_drawn_on(self, found):
        figure, (left, right) = plt.subplots(1, 2)
        display = DigitsOnPageDisplay.from_predictions(
            self.blank, found, [1, 2, 3], ax=left
        )
        assert display.ax_ is left
        assert display.figure_ is figure
        assert len(left.patches) == 3
        assert display.plot(right, cmap="bone") is display
        assert len(right.patches) == 3
        assert display.image_.cmap.name == "bone"
        assert plt.get_fignums() == [figure.number]

    def test_the_constructor_takes_pictures_of_pillow(self, found):
        page = np.linspace(0, 255, 12000).astype(np.uint8).reshape(100, 120)
        picture = Image.fromarray(page).convert("RGB")
        display = DigitsOnPageDisplay(picture, found, [1, 2, 3]).plot()
        np.testing.assert_array_equal(display.image_.get_array(), page)
        assert texts(display.texts_) == ["1", "2", "3"]

        colours = DigitsOnPageDisplay(np.asarray(picture), found, [1, 2, 3])
        with pytest.raises(ValueError, match=r"shape \(100, 120, 3\) .*make it grey"):
            colours.plot()

    def test_a_second_plot_leaves_one_figure(self, found):
        display = DigitsOnPageDisplay.from_predictions(self.blank, found, [1, 2, 3])
        first = display.figure_
        second = display.plot().figure_
        assert second is not first
        assert plt.get_fignums() == [second.number]

    def test_errors(self, found):
        draw = DigitsOnPageDisplay.from_predictions
        with pytest.raises(ValueError, match=r"labels has shape \(2,\), but \(3,\)"):
            draw(self.blank, found, [1, 2])
        with pytest.raises(ValueError, match=r"labels has shape \(2,\), but \(0,\)"):
            draw(self.blank, [], [1, 2])
        with pytest.raises(ValueError, match=r"shape \(2,\).*there are 3 digits with"):
            draw(self.blank, found, [1, 2, 3], [0.5, 0.5])
        with pytest.raises(ValueError, match=r"within \[0, 1\].*from -2 to 3.*logits"):
            draw(self.blank, found, [1, 2, 3], [-2, 3, 0.5])
        with pytest.raises(ValueError, match=r"within \[0, 1\], but range from nan"):
            draw(self.blank, found, [1, 2, 3], [np.nan, 0.5, 0.5])
        with pytest.raises(TypeError, match=r"found holds ndarray.*find_digits"):
            draw(self.blank, [found[0].cut_out], [1])
        with pytest.raises(TypeError, match=r"found holds Image, but digits of"):
            draw(found, Image.fromarray(self.blank), [1, 2, 3])
        with pytest.raises(TypeError, match=r"one matplotlib Axes, got ndarray"):
            draw(self.blank, found, [1, 2, 3], ax=plt.subplots(1, 2)[1])
        with pytest.raises(ValueError, match="image contains NaN or infinity"):
            draw(np.full((50, 50), np.nan), [], [])
