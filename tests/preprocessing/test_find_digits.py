"""Digits are found on pages that are composed of known digits at known places."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import LinearSVC

from skdigits import MLPClassifierTorch, SoftmaxRegression
from skdigits.preprocessing import Deskew, DigitNormalizer, find_digits

PAPER, INK = 220.0, 50.0
SIZE = 6
"""The side of a digit is so many times its 8 pixels."""
LINES = [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9, 0, 1]]


@pytest.fixture(scope="module")
def glyphs(digits):
    """A large digit of each class, cut to its ink, from 0 to 1."""
    return [glyph(digits[0][np.flatnonzero(digits[1] == n)[5]]) for n in range(10)]


@pytest.fixture(scope="module")
def model(digits):
    """A quick classifier of digits, behind a normaliser."""
    X = (255 * digits[0]).astype(np.uint8)
    classifier = SoftmaxRegression(0.1, max_iter=30, tol=None, random_state=0)
    return make_pipeline(DigitNormalizer(), classifier).fit(X, digits[1])


def glyph(row):
    large = ndimage.zoom(np.pad(row.reshape(8, 8), 1), SIZE, order=3)
    large = (3 * large - 1.2).clip(0, 1)
    rows = np.flatnonzero((large > 0.4).any(1))
    columns = np.flatnonzero((large > 0.4).any(0))
    return large[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def composed(glyphs, lines=LINES, gap=14, left=40, top=40, pitch=90, width=500):
    """Return a cover, and the boxes of its digits with their line and place."""
    cover = np.zeros((2 * top + pitch * len(lines), width))
    boxes = []
    for row, line in enumerate(lines):
        column = left
        for place, label in enumerate(line):
            one = glyphs[label]
            up = top + pitch * row
            where = cover[up : up + one.shape[0], column : column + one.shape[1]]
            np.maximum(where, one, out=where)
            right = column + one.shape[1]
            boxes.append((row, place, (up, column, up + one.shape[0], right), label))
            column = right + gap
    return cover, boxes


def page(cover, seed=0):
    noise = np.random.default_rng(seed).normal(0, 3, cover.shape)
    soft = ndimage.gaussian_filter(cover, 0.7)
    return (PAPER + (INK - PAPER) * soft + noise).clip(0, 255).astype(np.uint8)


def overlap(one, other):
    """Return the common part of two boxes, by the area of both."""
    top, left = np.maximum(one[:2], other[:2])
    bottom, right = np.minimum(one[2:], other[2:])
    shared = max(bottom - top, 0) * max(right - left, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def assert_found(found, boxes, least=0.75):
    assert [(one.row, one.column) for one in found] == [box[:2] for box in boxes]
    for one, (_, _, box, _) in zip(found, boxes, strict=True):
        assert overlap(one.box, box) > least


def assert_same(found, others):
    assert len(found) == len(others) > 0
    for one, other in zip(found, others, strict=True):
        assert (one.row, one.column, one.box) == (other.row, other.column, other.box)
        np.testing.assert_array_equal(one.cut_out, other.cut_out)


def clean(image):
    return image


def bright(image):
    return 255 - image


def shadow(image):
    dark = 0.6 + 0.4 / (1 + np.exp((np.arange(image.shape[1]) - 240) / 4))
    return (image * dark).astype(np.uint8)


def falling_light(image):
    return (image * np.linspace(1, 0.5, image.shape[1])).astype(np.uint8)


def ruled(image):
    lines = image.copy()
    lines[10::30] = np.minimum(lines[10::30], 130)
    return lines


def squared(image):
    lines = ruled(image)
    lines[:, 15::30] = np.minimum(lines[:, 15::30], 130)
    return lines


def specks(image):
    dirty = image.copy()
    for row, column in np.random.default_rng(0).integers(3, 300, (15, 2)):
        dirty[row : row + 3, column : column + 3] = INK
    return dirty


def salt(image):
    dirty = image.copy()
    chance = np.random.default_rng(0).random(image.shape)
    dirty[chance < 0.004] = 0
    dirty[chance > 0.996] = 255
    return dirty


KINDS = [clean, bright, shadow, falling_light, ruled, squared, specks, salt]


@pytest.mark.parametrize("kind", KINDS)
def test_lines_are_found_at_their_places(kind, glyphs):
    cover, boxes = composed(glyphs)
    assert_found(find_digits(kind(page(cover))), boxes)


def test_cut_outs_are_read(glyphs, model):
    cover, boxes = composed(glyphs)
    found = find_digits(page(cover))
    expected = model.predict([(255 * one).astype(np.uint8) for one in glyphs])
    read = model.predict([one.cut_out for one in found])
    assert (read == expected[[box[3] for box in boxes]]).all()
    for one in found:
        assert one.cut_out.dtype == np.uint8
        assert max(one.cut_out.shape) <= 40
        assert one.cut_out.max() == 255
        assert not one.cut_out[0].any()
        assert all(type(side) is int for side in one.box)


@pytest.mark.parametrize("angle", [-12, 12])
def test_turned_pages(angle, glyphs, model):
    cover, boxes = composed(glyphs, left=90, top=120)
    turned = ndimage.rotate(cover, -angle, reshape=False, order=1)
    found = find_digits(page(turned))
    assert [(one.row, one.column) for one in found] == [box[:2] for box in boxes]
    straight = model.predict([one.cut_out for one in find_digits(page(cover))])
    assert (model.predict([one.cut_out for one in found]) == straight).mean() > 0.9

    # Middles of boxes turn about the middle of the page.
    turn = np.deg2rad(angle)
    centre = (np.array(cover.shape) - 1) / 2
    for one, (_, _, box, _) in zip(found, boxes, strict=True):
        middle = np.add(box[:2], box[2:]) / 2
        clockwise = [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
        expected = centre + np.array(clockwise) @ (middle - centre)
        middle = np.add(one.box[:2], one.box[2:]) / 2
        assert np.abs(middle - expected).max() < 5


def test_lines_with_slopes_of_their_own(glyphs):
    cover, boxes = composed(glyphs, pitch=110)
    rows, columns = np.indices(cover.shape)
    # The first line rises, the last one falls.
    slope = np.interp(rows, [60, 320], [-0.07, 0.07])
    moved = ndimage.map_coordinates(cover, [rows - slope * columns, columns], order=1)
    found = find_digits(page(np.pad(moved, 30)))
    assert [(one.row, one.column) for one in found] == [box[:2] for box in boxes]


def test_columns_of_text_come_one_after_the_other(glyphs):
    left, boxes = composed(glyphs, [[1, 2], [3, 4, 5]], width=300)
    right, others = composed(glyphs, [[6, 7, 8], [9, 0]], left=60, width=300)
    found = find_digits(page(np.hstack([left, right])))
    shift = np.array([0, 300, 0, 300])
    moved = [(row + 2, place, shift + box, label) for row, place, box, label in others]
    assert_found(found, boxes + moved)


def test_a_gap_in_one_line_makes_no_columns(glyphs):
    cover, boxes = composed(glyphs, [[1, 2]], width=600)
    far = np.roll(cover, 300, axis=1)
    found = find_digits(page(np.maximum(cover, far)))
    assert [(one.row, one.column) for one in found] == [(0, n) for n in range(4)]
    assert overlap(found[0].box, boxes[0][2]) > 0.75


def test_marks_are_no_digits(glyphs):
    cover, boxes = composed(glyphs, [[1, 2, 3, 4], [5, 6, 7, 8]], gap=40)
    for _, _, (_, _, bottom, right), _ in boxes[::3]:
        cover[bottom - 6 : bottom, right + 16 : right + 22] = 1
    for _, _, (top, _, bottom, right), _ in boxes[1::3]:
        middle = (top + bottom) // 2
        cover[middle - 2 : middle + 3, right + 10 : right + 30] = 1
    cover[boxes[2][2][2] - 4 : boxes[2][2][2] + 10, boxes[2][2][3] + 16 :][:, :5] = 1
    assert_found(find_digits(page(cover)), boxes)


def test_flat_digits_are_no_marks(glyphs):
    cover, boxes = composed(glyphs, [[2, 8, 2, 6]])
    row, place, (top, left, bottom, right), label = boxes[2]
    low = ndimage.zoom(glyphs[2], (0.4, 1), order=1)
    cover[top:bottom, left:right] = 0
    cover[top + 15 : top + 15 + len(low), left:right] = low
    boxes[2] = (row, place, (top + 15, left, top + 15 + len(low), right), label)
    assert_found(find_digits(page(cover)), boxes, 0.7)


def test_pieces_of_a_digit_are_put_together(glyphs):
    cover, boxes = composed(glyphs, [[2, 8, 0]])
    whole = find_digits(page(cover))
    top, left, bottom, right = boxes[1][2]
    middle = (top + bottom) // 2
    cover[middle - 1 : middle + 1, left:right] = 0
    assert_found(find_digits(page(cover)), boxes)
    assert overlap(whole[1].box, boxes[1][2]) > 0.75


@pytest.mark.parametrize(("with_model", "gap"), [(False, -2), (True, -3)])
def test_touching_digits_are_cut(with_model, gap, glyphs, model):
    lines = [[3, 8, 2], [6, 4, 7]]
    cover, boxes = composed(glyphs, lines, gap=gap)
    assert ndimage.label(cover > 0.4, np.ones((3, 3)))[1] < 6
    found = find_digits(page(cover), model=model if with_model else None)
    assert_found(found, boxes, 0.7)


class Sure(ClassifierMixin, BaseEstimator):
    """Is sure of digits that are wide, or of those that are narrow."""

    def __init__(self, wide):
        self.wide = wide

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.n_features_in_ = X.shape[1]
        return self

    def predict_proba(self, X):
        columns = X.reshape(-1, 28, 28).max(1) > 100
        sure = np.where((columns.sum(1) > 12) == self.wide, 0.99, 0.5)
        return np.stack([sure, 1 - sure], 1)


@pytest.mark.parametrize("wide", [False, True])
def test_a_model_decides_where_shapes_do_not(wide):
    """Two bars with a bridge between them are one digit, or two."""
    cover = np.zeros((120, 300))
    for left in (40, 140, 240):
        cover[40:80, left : left + 8] = 1
    cover[40:80, 68:76] = 1
    cover[57:62, 40:76] = 1
    reader = make_pipeline(DigitNormalizer(), Sure(wide))
    reader.fit(np.zeros((2, 784), np.uint8), [0, 1])
    rights = [one.box[3] for one in find_digits(page(cover), model=reader)]
    assert len(rights) == (3 if wide else 4)
    np.testing.assert_allclose(rights[-3:], [76, 148, 248], atol=1)


def test_a_classifier_gets_rows(digits, glyphs, model):
    X = model[0].transform((255 * digits[0]).astype(np.uint8))
    bare = SoftmaxRegression(0.1, max_iter=30, tol=None, random_state=0)
    bare.fit(X, digits[1])
    cover, _ = composed(glyphs, [[3, 8, 2]], gap=-2)
    assert_same(
        find_digits(page(cover), model=bare), find_digits(page(cover), model=model)
    )


class Watched(SoftmaxRegression):
    """Keeps what it is asked about."""

    seen = []

    def predict_proba(self, X):
        Watched.seen.append(X)
        return super().predict_proba(X)


WAYS = {
    "alone": lambda one, X, y: one.fit(X, y),
    "frozen": lambda one, X, y: FrozenEstimator(one.fit(X, y)),
    "voting": lambda one, X, y: VotingClassifier([("a", one)], voting="soft").fit(X, y),
    "deskewed": lambda one, X, y: make_pipeline(Deskew(), one).fit(X, y),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("full", "dtype"), [(1, "f8"), (16, "f8"), (255, "u1")])
def test_rows_have_the_numbers_of_the_fit(way, full, dtype, digits, glyphs):
    """A model of fractions is handed uint8, which it reads as fractions."""
    X = (full * digits[0][:300]).astype(dtype)
    watched = Watched(max_iter=2, tol=None, random_state=0)
    model = WAYS[way](watched, X, digits[1][:300])
    Watched.seen.clear()
    find_digits(page(composed(glyphs, [[3, 8, 2]], gap=-2)[0]), model=model)
    assert Watched.seen
    most = max(rows.max() for rows in Watched.seen)
    full = 255 if full == 1 else full
    # Interpolation lowers what Deskew has sheared.
    assert 0.7 * full < most <= full if way == "deskewed" else most == full
    assert {rows.shape[1] for rows in Watched.seen} == {64}


@pytest.mark.parametrize("full", [1, 255])
def test_classifiers_of_others_need_a_normaliser(full, digits, glyphs):
    """What they are handed behind one is on the scale of the fit."""
    X = (full * digits[0][:600]).astype(np.uint8 if full == 255 else np.float64)
    y = digits[1][:600]
    cover, _ = composed(glyphs, [[3, 8, 2]], gap=-2)
    neighbours = KNeighborsClassifier()
    with pytest.raises(ValueError, match=r"model=KNeighborsClassifier does not tell"):
        find_digits(page(cover), model=clone(neighbours).fit(X, y))
    scaled = make_pipeline(MinMaxScaler(), SoftmaxRegression(max_iter=1, tol=None))
    with pytest.raises(ValueError, match=r"as MinMaxScaler does not: put a DigitN"):
        find_digits(page(cover), model=scaled.fit(X, y))

    seen = []
    asked = KNeighborsClassifier.predict_proba
    model = make_pipeline(DigitNormalizer(), neighbours).fit(X, y)
    neighbours.predict_proba = lambda X: [seen.append(X), asked(neighbours, X)][1]
    find_digits(page(cover), model=model)
    assert {rows.max() for rows in seen} == {full}


def test_numbers_below_0_do_not_tell_which_are_ink(digits):
    X, y = digits[0][:200], digits[1][:200]
    model = SoftmaxRegression(max_iter=1, tol=None).fit(2 * X - 1, y)
    with pytest.raises(ValueError, match=r"as SoftmaxRegression does not: put a D"):
        find_digits(np.zeros((9, 9)), model=model)


@pytest.mark.parametrize("wrap", [lambda one: one, FrozenEstimator, make_pipeline])
def test_searches_without_a_refit_hold_no_model(wrap, digits):
    X, y = digits[0][:200], digits[1][:200]
    search = GridSearchCV(GaussianNB(), {"var_smoothing": [0.1]}, cv=2, refit=False)
    for layout in ("free", "cells"):
        with pytest.raises(ValueError, match=r"model=GridSearchCV has .* refit=True"):
            find_digits(np.zeros((9, 9)), model=wrap(search.fit(X, y)), layout=layout)
        with pytest.raises(NotFittedError, match=r"model=\w+ is not fitted"):
            find_digits(np.zeros((9, 9)), model=wrap(clone(search)), layout=layout)


def test_a_model_of_several_labels_is_refused(digits, glyphs):
    X = (255 * digits[0][:300]).astype(np.uint8)
    labels = np.stack([digits[1][:300] > 4, digits[1][:300] % 2], 1).astype(int)
    several = MLPClassifierTorch(8, max_iter=2, tol=None, random_state=0)
    several = make_pipeline(DigitNormalizer(), several).fit(X, labels)
    with pytest.raises(ValueError, match=r"model=Pipeline gives no .* \(n_samples,\)"):
        find_digits(page(composed(glyphs, [[8]])[0]), model=several)


def test_faint_digits_are_found_beside_bold_ones(glyphs):
    cover, boxes = composed(glyphs, [[3, 1, 4], [1, 5, 9]])
    cover[:, boxes[1][2][1] - 5 : boxes[1][2][3] + 5] *= 0.55
    assert_found(find_digits(page(cover)), boxes)


@pytest.mark.parametrize("level", [0, 40, 128, 230])
def test_a_blank_page_has_no_digits(level):
    noise = np.random.default_rng(1).normal(0, 4, (220, 260))
    assert find_digits(level + noise) == []
    assert find_digits(np.full((60, 50), float(level))) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (2, 2), (3, 3), (50, 1), (41, 300)])
def test_pages_of_any_shape(shape):
    noise = np.random.default_rng(0).uniform(size=shape)
    for one in find_digits(noise):
        top, left, bottom, right = one.box
        assert 0 <= top < bottom <= shape[0]
        assert 0 <= left < right <= shape[1]
    assert find_digits(np.zeros(shape)) == []


def test_large_photographs_are_reduced(glyphs):
    cover, boxes = composed(glyphs, [[3, 1, 4]], width=250)
    large = page(cover).repeat(16, 0).repeat(16, 1)
    assert large.size > 10_000_000
    scaled = [(row, place, np.multiply(box, 16), n) for row, place, box, n in boxes]
    assert_found(find_digits(large), scaled)


def test_sums_of_huge_values_do_not_overflow(glyphs):
    cover, boxes = composed(glyphs, [[3, 1, 4]], width=250)
    large = page(cover).repeat(14, 0).repeat(14, 1)
    scaled = [(row, place, np.multiply(box, 14), n) for row, place, box, n in boxes]
    assert_found(find_digits(large * 5e305), scaled)


@pytest.mark.parametrize("times", [2, 6])
def test_larger_digits(times, glyphs):
    cover, boxes = composed(glyphs, [[3, 1, 4]], top=20, left=20, pitch=60, width=200)
    large = page(ndimage.zoom(cover, times, order=1, grid_mode=True, mode="nearest"))
    scaled = [(row, place, np.multiply(box, times), n) for row, place, box, n in boxes]
    assert_found(find_digits(large), scaled)


def test_dtype_scale_and_memory_order_do_not_matter(glyphs):
    image = page(composed(glyphs, [[3, 1], [4, 5]], width=200)[0])
    before = image.copy()
    expected = find_digits(image)
    assert_same(find_digits(image), expected)
    np.testing.assert_array_equal(image, before)

    read_only = np.asfortranarray(image)
    read_only.flags.writeable = False
    assert_same(find_digits(read_only), expected)
    assert_same(find_digits(image.astype(np.int64)), expected)
    assert_same(find_digits(image.astype(np.float64) * 4), expected)
    assert_same(find_digits(image.astype(">u2")), expected)
    assert_same(find_digits(image.tolist()), expected)
    assert_same(find_digits(np.pad(image, 9)[9:-9, 9:-9]), expected)


def test_pictures_of_pillow(glyphs):
    image = page(composed(glyphs, [[3, 1], [4, 5]], width=200)[0])
    expected = find_digits(image)
    assert_same(find_digits(Image.fromarray(image)), expected)
    assert_same(find_digits(Image.fromarray(image).convert("RGB")), expected)


def test_boxes_count_pixels_after_the_turn_of_a_photograph(glyphs):
    image = page(composed(glyphs, [[3, 1], [4, 5]], width=200)[0]).astype(np.uint8)
    lying = Image.fromarray(np.rot90(image))
    lying.getexif()[0x0112] = 6  # turn it clockwise to look at it
    assert_same(find_digits(lying), find_digits(image))


def test_the_side_of_the_ink_can_be_given(glyphs):
    image = page(composed(glyphs, [[3, 1], [4, 5]], width=200)[0])
    assert_same(find_digits(image, dark=True), find_digits(image))
    assert_same(find_digits(255 - image, dark=False), find_digits(255 - image))


def test_parameters_are_checked():
    blank = np.zeros((9, 9))
    with pytest.raises(
        ValueError, match=r"'layout' .* among .'cells', 'free'.. Got 'grid'"
    ):
        find_digits(blank, layout="grid")
    with pytest.raises(ValueError, match=r"keep_empty=True .*pass layout='cells'"):
        find_digits(blank, keep_empty=True)
    with pytest.raises(ValueError, match=r"'dark' .* a bool or None. Got 'yes'"):
        find_digits(blank, dark="yes")
    with pytest.raises(ValueError, match=r"'keep_empty' .* a bool. Got None"):
        find_digits(blank, keep_empty=None)


def test_models_are_checked(digits):
    """Also on a blank page, on which there is nothing to read."""
    blank = np.zeros((9, 9))
    X, y = digits[0][:200], digits[1][:200]
    with pytest.raises(TypeError, match=r"LinearSVC has no predict_proba.*=None"):
        find_digits(blank, model=LinearSVC().fit(X, y))
    with pytest.raises(NotFittedError, match=r"=SoftmaxRegression is not fitted: call"):
        find_digits(blank, model=SoftmaxRegression())
    with pytest.raises(NotFittedError, match=r"model=Pipeline is not fitted: call"):
        find_digits(blank, model=make_pipeline(DigitNormalizer(), SoftmaxRegression()))
    with pytest.raises(TypeError, match=r"=SoftmaxRegression is no fitted .*make_"):
        find_digits(blank, model=SoftmaxRegression)
    with pytest.raises(TypeError, match="model=str is no fitted classifier"):
        find_digits(blank, model="mlp")
    wide = SoftmaxRegression(max_iter=1, tol=None).fit(X[:, :60], y)
    with pytest.raises(ValueError, match=r"model.* 60 features.*image: pass make_"):
        find_digits(blank, model=wide)
