"""Displays draw the values that models, histories and searches hold."""

import sys
from functools import partial

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits._plotting import BLUE, ORANGE
from skdigits.inspection import (
    DigitGridDisplay,
    LearningCurveDisplay,
    LearningRateSearchDisplay,
    TemplatesDisplay,
    WeightsDisplay,
)
from skdigits.model_selection import BatchedGridSearchCV, BatchedRandomizedSearchCV

matplotlib.use("Agg")
from matplotlib import pyplot as plt

RATES = np.array([0.001, 0.01, 0.1])
DISPLAYS = [
    DigitGridDisplay,
    LearningCurveDisplay,
    LearningRateSearchDisplay,
    TemplatesDisplay,
    WeightsDisplay,
]


@pytest.fixture(autouse=True)
def no_figure_stays():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def softmax(digits):
    X, y = digits
    model = SoftmaxRegression(0.1, max_iter=4, tol=None, random_state=0)
    return model.fit(X[:500], y[:500], X_val=X[500:700], y_val=y[500:700])


@pytest.fixture(scope="module")
def templates(digits):
    X, y = digits
    return TemplateMatchingClassifier().fit(X[:500], y[:500])


@pytest.fixture(scope="module")
def search(digits):
    X, y = digits
    model = SoftmaxRegression(max_iter=3, tol=None, random_state=0)
    grid = {"learning_rate_init": RATES[[2, 0, 1]], "momentum": [0.5, 0.9]}
    search = BatchedGridSearchCV(model, grid, cv=3, return_epoch_scores=True)
    return search.fit(X[:500], y[:500])


def tiles(display, shape):
    """Return the framed tiles of the mosaic, as they are visible."""
    sheet = display.image_.get_array().filled(np.nan)
    (frames,) = display.ax_.collections
    corners = [path.vertices.min(0) + 0.5 for path in frames.get_paths()]
    height, width = shape
    return np.array(
        [sheet[int(y) : int(y) + height, int(x) : int(x) + width] for x, y in corners]
    )


def texts(display):
    return [text.get_text() for text in display.texts_]


def drawn(lines):
    """Return the coordinates of lines by label."""
    return {line.get_label(): np.array(line.get_data()) for line in lines}


class TestLearningCurve:
    def test_losses_are_those_of_the_history(self, softmax):
        display = LearningCurveDisplay.from_estimator(softmax)
        lines = drawn(display.lines_)
        history = softmax.history_

        np.testing.assert_array_equal(
            lines["training"], [[1, 2, 3, 4], history["train_loss"]]
        )
        np.testing.assert_array_equal(
            lines["validation"][1], history["validation_loss"]
        )
        assert [line.get_linestyle() for line in display.lines_] == ["-", "--"]
        assert [line.get_color() for line in display.lines_] == [BLUE, ORANGE]
        assert display.ax_.get_xlabel() == "Epoch"
        assert all(tick == int(tick) for tick in display.ax_.get_xticks())

    @pytest.mark.parametrize(
        ("kind", "column", "label"),
        [
            ("score", "validation_score", "Validation accuracy"),
            ("learning_rate", "learning_rate", "Learning rate (end of the epoch)"),
        ],
    )
    def test_other_columns(self, softmax, kind, column, label):
        display = LearningCurveDisplay.from_estimator(softmax, kind=kind)
        (line,) = display.lines_
        np.testing.assert_array_equal(line.get_ydata(), softmax.history_[column])
        assert display.ax_.get_ylabel() == label

    def test_all_has_the_score_on_the_right(self, softmax):
        display = LearningCurveDisplay.from_estimator(softmax, kind="all")
        (score,) = display.score_ax_.lines
        np.testing.assert_array_equal(
            score.get_ydata(), softmax.history_["validation_score"]
        )
        assert len(display.ax_.lines) == 2
        assert display.score_ax_.yaxis.get_label_position() == "right"

    def test_several_models_have_a_colour_each(self, softmax, digits):
        other = SoftmaxRegression(max_iter=2, tol=None).fit(*digits)
        display = LearningCurveDisplay.from_estimator({"a": softmax, "b": other})
        # The other model held out no samples, so that it has a single line.
        one, dashed, two = display.lines_
        assert one.get_color() == dashed.get_color() != two.get_color()
        np.testing.assert_array_equal(two.get_ydata(), other.loss_curve_)
        legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
        assert legend == ["a", "b", "training", "validation"]

    def test_histories_from_elsewhere(self):
        losses = [2.0, 0.5, 0.01]
        display = LearningCurveDisplay.from_history({"train_loss": losses}, "theirs")
        np.testing.assert_array_equal(display.lines_[0].get_data(), [[1, 2, 3], losses])
        # The largest loss is more than 20 times the smallest.
        assert display.ax_.get_yscale() == "log"

        history = pd.DataFrame({"epoch": [5, 6], "train_loss": [1.0, 0.9]})
        display = LearningCurveDisplay.from_history(history)
        np.testing.assert_array_equal(display.lines_[0].get_xdata(), [5, 6])
        assert display.ax_.get_yscale() == "linear"

        display = LearningCurveDisplay(
            {"$a_$": {"train_loss": losses}, "b": history}
        ).plot()
        np.testing.assert_array_equal(display.lines_[0].get_ydata(), losses)
        np.testing.assert_array_equal(
            display.lines_[1].get_data(), [[5, 6], [1.0, 0.9]]
        )
        display.figure_.canvas.draw()

    @pytest.mark.parametrize("own", [True, False])
    def test_long_names_leave_room_for_the_curves(self, own):
        names = ["_short", *(f"{'a long name ' * 9}{number}" for number in range(5))]
        history = {"train_loss": [2.0, 1.0], "validation_loss": [2.0, 1.5]}
        ax = None
        if not own:
            _, ax = plt.subplots(figsize=(7, 6), layout="constrained")
        display = LearningCurveDisplay(dict.fromkeys(names, history)).plot(ax)
        display.ax_.set_title("a title")
        display.figure_.canvas.draw()
        legend = display.ax_.get_legend()
        box = legend.get_window_extent()
        page = display.figure_.bbox

        assert len(legend.get_texts()) == 8
        assert page.x0 <= box.x0 < box.x1 <= page.x1
        label = display.ax_.xaxis.label.get_window_extent()
        assert page.y0 <= box.y0 < box.y1 <= label.y0
        pixels = display.ax_.get_window_extent().height
        assert pixels > 150

    def test_invalid_histories(self, softmax):
        with pytest.raises(
            ValueError, match=r"history of model is no table: .* each a list"
        ):
            LearningCurveDisplay.from_history({"train_loss": 2.0})
        with pytest.raises(ValueError, match="mine has a column that is not numeric"):
            LearningCurveDisplay.from_history({"train_loss": ["high", "low"]}, "mine")

        with pytest.raises(
            TypeError, match="must be a dict of DataFrames by name, got DataF"
        ):
            LearningCurveDisplay(softmax.history_).plot()
        with pytest.raises(
            ValueError, match=r"keys that are the same as text: \[1, '1'\]"
        ):
            LearningCurveDisplay.from_estimator({1: softmax, "1": softmax})

    def test_the_model_inside_other_estimators(self, digits):
        X, y = digits
        inner = SoftmaxRegression(max_iter=2, tol=None, random_state=0)
        pipeline = make_pipeline(FrozenEstimator(MinMaxScaler().fit(X)), inner)
        grid = GridSearchCV(pipeline, {"softmaxregression__alpha": [0.1]}, cv=2).fit(
            X, y
        )
        display = LearningCurveDisplay.from_estimator(FrozenEstimator(grid))
        expected = grid.best_estimator_[-1].loss_curve_
        np.testing.assert_array_equal(display.lines_[0].get_ydata(), expected)

    def test_errors(self, templates, digits):
        with pytest.raises(TypeError, match="history_, which TemplateMatching"):
            LearningCurveDisplay.from_estimator(templates)
        with pytest.raises(NotFittedError, match="not fitted"):
            LearningCurveDisplay.from_estimator(SoftmaxRegression())

        model = SoftmaxRegression(max_iter=1, tol=None).fit(*digits)
        with pytest.raises(ValueError, match="no samples were held out"):
            LearningCurveDisplay.from_estimator(model, kind="score")
        with pytest.raises(ValueError, match="kind='speed' is none of"):
            LearningCurveDisplay.from_estimator(model, kind="speed")

        grid = GridSearchCV(model, {"alpha": [0.1]}, cv=2, refit=False).fit(*digits)
        with pytest.raises(ValueError, match="refit=False"):
            LearningCurveDisplay.from_estimator(grid)
        assert plt.get_fignums() == []


class TestTemplates:
    def test_a_tile_is_a_class_mean(self, templates, digits):
        X, y = digits
        display = TemplatesDisplay.from_estimator(templates)
        means = [X[:500][y[:500] == digit].mean(0).reshape(8, 8) for digit in range(10)]
        np.testing.assert_allclose(tiles(display, (8, 8)), means, rtol=1e-12)
        assert texts(display) == list("0123456789")
        assert display.image_.get_clim() == (0, 1)

    def test_classes_of_several_templates_start_new_rows(self, digits):
        X, y = digits
        names = np.array(["zero", "one", "a name much too long to be shown in full"])
        model = TemplateMatchingClassifier(n_templates=3, random_state=0)
        model.fit(X[y < 3], names[y[y < 3]])
        display = TemplatesDisplay.from_estimator(model)
        found = tiles(display, (8, 8))

        np.testing.assert_allclose(
            found, model.templates_.reshape(-1, 8, 8), rtol=1e-12
        )

        labels = [label.get_text() for label in display.ax_.get_yticklabels()]
        assert labels == ["a name much too lon…", "one", "zero"]
        assert display.texts_ == []

    def test_shapes_and_colours(self, rng):
        X = rng.random((6, 24))
        y = [0, 0, 0, 1, 1, 1]
        model = TemplateMatchingClassifier().fit(X, y)
        with pytest.raises(ValueError, match="24 features are no square image: pass"):
            TemplatesDisplay.from_estimator(model)
        with pytest.raises(ValueError, match="is that of 25 features"):
            TemplatesDisplay.from_estimator(model, image_shape=(5, 5))
        with pytest.raises(ValueError, match="has 2 channels"):
            TemplatesDisplay.from_estimator(model, image_shape=(3, 4, 2))

        wide = TemplatesDisplay.from_estimator(model, image_shape=(4, 6))
        means = np.array([X[:3].mean(0), X[3:].mean(0)])
        np.testing.assert_allclose(tiles(wide, (4, 6)), means.reshape(2, 4, 6))

        colour = TemplatesDisplay.from_estimator(model, image_shape=(2, 4, 3))
        sheet = colour.image_.get_array()
        opaque = sheet[sheet[:, :, 3] == 1][:, :3]
        np.testing.assert_allclose(np.sort(opaque.ravel()), np.sort(means.ravel()))

    def test_other_estimators_are_refused(self, softmax):
        wanted = "draws a fitted TemplateMatchingClassifier, got SoftmaxRegression"
        with pytest.raises(TypeError, match=wanted):
            TemplatesDisplay.from_estimator(softmax)
        with pytest.raises(NotFittedError, match="not fitted"):
            TemplatesDisplay.from_estimator(TemplateMatchingClassifier())


class TestWeights:
    def test_a_tile_is_a_row_of_coef(self, softmax):
        display = WeightsDisplay.from_estimator(softmax)
        found = tiles(display, (8, 8))
        np.testing.assert_array_equal(found, softmax.coef_.reshape(10, 8, 8))
        low, high = display.image_.get_clim()
        assert -low == high == np.abs(softmax.coef_).max()
        assert texts(display) == list("0123456789")

    def test_hidden_units(self, digits):
        X, y = digits
        model = MLPClassifierTorch((12,), max_iter=2, tol=None, random_state=0)
        model.fit(X, y)
        weights = model.coefs_[0].T
        display = WeightsDisplay.from_estimator(model)

        np.testing.assert_array_equal(tiles(display, (8, 8)), weights.reshape(12, 8, 8))
        assert texts(display) == []

        display = WeightsDisplay.from_estimator(model, n_units=3)
        largest = sorted(np.argsort((weights**2).sum(1))[-3:])
        assert texts(display) == [str(unit) for unit in largest]

        found = tiles(display, (8, 8))
        np.testing.assert_array_equal(found, weights[largest].reshape(3, 8, 8))
        with pytest.raises(ValueError, match="n_units=0 must be a whole number"):
            WeightsDisplay.from_estimator(model, n_units=0)

    def test_kernels_are_standardised_with_channels_side_by_side(self, digits):
        X, y = digits
        X = np.repeat(X[:200], 3, axis=1) * np.tile([1, 0.5, 0.2], 64)
        model = ConvNetClassifier(
            (4,), image_shape=(8, 8, 3), max_iter=1, random_state=0
        )
        display = WeightsDisplay.from_estimator(model.fit(X, y[:200]))
        found = tiles(display, (5, 15))

        np.testing.assert_allclose(found.mean((1, 2)), 0, atol=1e-12)
        np.testing.assert_allclose((found**2).sum((1, 2)), 1)

        # The green channel of the third kernel.
        kernel = model.coefs_[0][2, 1].ravel()
        correlation = np.corrcoef(found[2, :, 5:10].ravel(), kernel)[0, 1]
        assert correlation == pytest.approx(1)

    def test_the_shape_of_convnets_is_checked_too(self, digits):
        X = digits[0][:40, :63]
        y = digits[1][:40]
        model = ConvNetClassifier((2,), max_iter=1, random_state=0)
        with pytest.warns(UserWarning, match="do not make a square image"):
            model.fit(X, y)
        with pytest.raises(ValueError, match="is that of 297 features, but X has 63"):
            WeightsDisplay.from_estimator(model, image_shape=(3, 99))
        assert WeightsDisplay.from_estimator(model).weights.shape == (2, 5, 5)

    def test_scikit_learn_has_the_second_of_two_classes(self, digits):
        X, y = digits
        words = np.array(["no", "yes"])[y[y < 2]]
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
        display = WeightsDisplay.from_estimator(model.fit(X[y < 2], words))
        assert texts(display) == ["yes"]
        found = tiles(display, (8, 8))
        np.testing.assert_array_equal(found, model[-1].coef_.reshape(1, 8, 8))

    def test_other_estimators_are_refused(self, templates):
        with pytest.raises(TypeError, match="ConvNetClassifier, got TemplateMatching"):
            WeightsDisplay.from_estimator(templates)


class TestDigitGrid:
    def test_wrong_predictions_are_marked(self, templates, digits):
        X, y = digits
        rows = np.arange(500, 560)
        display = DigitGridDisplay.from_estimator(templates, X, y, rows=rows)
        np.testing.assert_array_equal(tiles(display, (8, 8)), X[rows].reshape(-1, 8, 8))
        pairs = list(zip(y[rows], templates.predict(X[rows]), strict=True))
        assert 0 < sum(a != b for a, b in pairs) < 20
        assert texts(display) == [f"{a}→{b}" if a != b else str(a) for a, b in pairs]
        colors = [text.get_color() for text in display.texts_]
        assert colors == [ORANGE if a != b else "black" for a, b in pairs]

    @pytest.mark.parametrize("convert", [pd.DataFrame, torch.tensor, np.ndarray.tolist])
    def test_other_containers_and_masks(self, templates, digits, convert):
        X, y = digits
        mask = np.arange(50) % 7 == 3
        display = DigitGridDisplay.from_predictions(
            convert(X[:50]), pd.Series(y[:50]), torch.tensor(y[:50]), rows=mask
        )
        np.testing.assert_array_equal(
            tiles(display, (8, 8)), X[:50][mask].reshape(-1, 8, 8)
        )
        assert texts(display) == [str(label) for label in y[:50][mask]]

        again = DigitGridDisplay.from_estimator(
            templates, convert(X[:50]), rows=[-1, 2]
        )
        np.testing.assert_array_equal(
            tiles(again, (8, 8)), X[[49, 2]].reshape(-1, 8, 8)
        )
        assert texts(again) == [str(label) for label in templates.predict(X[[49, 2]])]

    def test_pixels_and_other_scales(self, rng):
        pixels = rng.integers(0, 200, (120, 5, 7)).astype(np.uint8)
        display = DigitGridDisplay.from_predictions(pixels)
        np.testing.assert_array_equal(tiles(display, (5, 7)), pixels[:100])
        assert display.image_.get_clim() == (0, 255)
        assert display.texts_ == []

        values = rng.normal(size=(3, 35))
        display = DigitGridDisplay.from_predictions(values, image_shape=(5, 7))
        assert display.image_.get_clim() == (values.min(), values.max())

        colours = pixels[:4].reshape(4, 35, 1).repeat(3, 2)
        colour = DigitGridDisplay.from_predictions(colours, image_shape=(5, 7, 3))
        sheet = colour.image_.get_array()
        np.testing.assert_allclose(sheet[:5, :7, 1] * 255, pixels[0])

    def test_the_model_knows_the_shape(self, rng):
        X = rng.random((20, 24))
        y = np.arange(20) % 2
        model = ConvNetClassifier((2,), image_shape=(4, 6), max_iter=1).fit(X, y)
        display = DigitGridDisplay.from_estimator(model, X, y, n_columns=4)
        np.testing.assert_array_equal(tiles(display, (4, 6)), X.reshape(-1, 4, 6))

    def test_errors(self, templates, digits):
        X, y = digits
        with pytest.raises(ValueError, match="X has 1797 samples, but y has 5 labels"):
            DigitGridDisplay.from_estimator(templates, X, y[:5])

        invalid = (
            [1797],
            [0.5],
            np.ones(3, bool),
            1797,
            "all",
            [[0, 1]],
            [[0], [1, 2]],
            None.__eq__,
        )
        for rows in invalid:
            with pytest.raises(ValueError, match="X, which has 1797 samples"):
                DigitGridDisplay.from_estimator(templates, X, y, rows=rows)

        with pytest.raises(ValueError, match="no samples to draw"):
            DigitGridDisplay.from_predictions(X, y, rows=[])
        with pytest.raises(ValueError, match=r"y_true has shape \(1797, 2\), several"):
            DigitGridDisplay.from_predictions(X, np.ones((1797, 2)))
        with pytest.raises(
            ValueError, match=r"y_pred has shape \(5,\), but \(1797,\) is"
        ):
            DigitGridDisplay.from_predictions(X, y, y[:5])
        with pytest.raises(ValueError, match="n_columns=0 must be a whole number"):
            DigitGridDisplay.from_predictions(X, y, n_columns=0)
        with pytest.raises(NotFittedError, match="not fitted"):
            DigitGridDisplay.from_estimator(TemplateMatchingClassifier(), X, y)

    def test_rows_can_be_a_number_or_a_slice(self, digits):
        X, _ = digits
        found = DigitGridDisplay.from_predictions(X, rows=5)
        np.testing.assert_array_equal(tiles(found, (8, 8)), X[[5]].reshape(-1, 8, 8))

        found = DigitGridDisplay.from_predictions(X, rows=slice(9, 2, -3))
        np.testing.assert_array_equal(
            tiles(found, (8, 8)), X[[9, 6, 3]].reshape(-1, 8, 8)
        )

    def test_labels_that_cannot_be_compared(self, templates, digits):
        X = digits[0][:3]
        y = digits[1][:3]
        with pytest.raises(
            ValueError, match="y_pred has labels such as 0, but y_true such as"
        ):
            DigitGridDisplay.from_predictions(X, y.astype(str), y)
        with pytest.raises(
            ValueError, match=r"output of TemplateMatching.* such as 0, but y such as"
        ):
            DigitGridDisplay.from_estimator(templates, X, y.astype(str))
        for which in ("y_true", "y_pred"):
            with pytest.raises(ValueError, match=f"{which} has NaN or infinity"):
                DigitGridDisplay.from_predictions(X, **{which: [0, np.nan, 2]})

        found = DigitGridDisplay.from_predictions(X, y, y[:, None])
        assert texts(found) == ["0", "1", "2"]

    def test_invalid_images(self, templates, digits):
        X, y = digits
        with pytest.raises(
            ValueError, match=r"shape \(64,\), but .* X\[\[0\]\] instead"
        ):
            DigitGridDisplay.from_predictions(X[0])
        with pytest.raises(
            ValueError, match=r"shape \(64,\), but .* X\[\[0\]\] instead"
        ):
            DigitGridDisplay.from_estimator(templates, X[0])
        with pytest.raises(ValueError, match="X has dtype <U4, but real numbers"):
            DigitGridDisplay.from_predictions(np.full((2, 4), "dark"))
        with pytest.raises(
            ValueError, match=r"X has values that are no numbers .*'dark'"
        ):
            DigitGridDisplay.from_predictions(np.full((2, 4), "dark", dtype=object))

        sparse = csr_array(X[:200])
        model = LogisticRegression(C=0.01).fit(sparse, y[:200])
        found = DigitGridDisplay.from_estimator(model, sparse.tocoo(), rows=[7, 3])
        np.testing.assert_array_equal(tiles(found, (8, 8)), X[[7, 3]].reshape(-1, 8, 8))

    def test_anything_that_predicts(self, digits):
        X, y = digits

        class Constant:
            def predict(self, X):
                return np.full(len(X), 4)

        found = DigitGridDisplay.from_estimator(Constant(), X, y, rows=[3, 4])
        assert texts(found) == ["3→4", "4"]

        # It has cv_results_, but is no search.
        ridge = RidgeClassifierCV(store_cv_results=True).fit(X[:50], y[:50])
        found = DigitGridDisplay.from_estimator(ridge, X, rows=[3, 4])
        assert texts(found) == [str(label) for label in ridge.predict(X[3:5])]
        with pytest.raises(
            AttributeError, match="MinMaxScaler has no predict, and labels"
        ):
            DigitGridDisplay.from_estimator(MinMaxScaler().fit(X), X)

    def test_dollars_are_no_mathematics(self, digits):
        words = np.array(["$a_$", "$b_$"])[digits[1][:4] % 2]
        found = DigitGridDisplay.from_predictions(digits[0][:4], words)
        found.figure_.canvas.draw()
        assert texts(found) == words.tolist()
        X = digits[0][:40]
        y = np.array(["$a_$", "$b_$"])[digits[1][:40] % 2]
        model = TemplateMatchingClassifier(n_templates=2, random_state=0).fit(X, y)
        TemplatesDisplay.from_estimator(model).figure_.canvas.draw()


class TestLearningRateSearch:
    def test_scores_are_those_of_the_search(self, search):
        display = LearningRateSearchDisplay.from_estimator(search)
        lines = drawn(display.lines_)
        results = pd.DataFrame(search.cv_results_)
        assert list(lines) == ["momentum=0.5", "momentum=0.9"]

        bands = display.ax_.collections
        for momentum, band in zip([0.5, 0.9], bands, strict=True):
            own = results[results["param_momentum"] == momentum]
            own = own.sort_values("param_learning_rate_init")
            mean = own["mean_test_score"]
            std = own["std_test_score"]
            np.testing.assert_allclose(lines[f"momentum={momentum}"], [RATES, mean])
            edge = band.get_paths()[0].vertices[:, 1]
            assert edge.max() == pytest.approx((mean + std).max())
            assert edge.min() == pytest.approx((mean - std).min())
        assert display.ax_.get_xscale() == "log"
        assert display.ax_.get_ylabel() == "Test accuracy, mean ± std of 3 folds"

    def test_scores_by_epoch(self, search):
        display = LearningRateSearchDisplay.from_estimator(search, kind="epoch")
        expected = {
            tuple(each) for each in search.cv_results_["mean_test_score_by_epoch"]
        }
        assert {tuple(line.get_ydata()) for line in display.lines_} == expected
        assert all(list(line.get_xdata()) == [1, 2, 3] for line in display.lines_)

        looks = {(line.get_label(), line.get_color()) for line in display.lines_}
        # As many colours as learning rates, as many styles as momenta.
        assert len(looks) == 3
        styles = [line.get_linestyle() for line in display.lines_]
        assert styles == ["-"] * 3 + ["--"] * 3

    def test_failed_candidates_are_left_out(self, search):
        frame = LearningRateSearchDisplay.from_estimator(search).scores
        frame.loc[frame["learning_rate"] == 0.1, "mean"] = np.nan
        display = LearningRateSearchDisplay(frame, n_splits=3).plot()
        for line in display.lines_:
            np.testing.assert_array_equal(line.get_xdata(), RATES[:2])
        with pytest.raises(ValueError, match="all their scores are NaN"):
            LearningRateSearchDisplay(frame.assign(mean=np.nan)).plot()

    def test_several_metrics_without_refit(self, digits):
        X, y = digits
        model = make_pipeline(MinMaxScaler(), SoftmaxRegression(max_iter=2, tol=None))
        grid = {"softmaxregression__learning_rate_init": RATES}
        scoring = ["accuracy", "neg_log_loss"]
        search = BatchedGridSearchCV(model, grid, cv=2, scoring=scoring, refit=False)
        search.fit(X[:200], y[:200])
        display = LearningRateSearchDisplay.from_estimator(
            search, metric="neg_log_loss"
        )
        expected = search.cv_results_["mean_test_neg_log_loss"]

        np.testing.assert_array_equal(display.lines_[0].get_ydata(), expected)
        assert display.ax_.get_ylabel().startswith("Test neg log loss")
        with pytest.raises(ValueError, match=r"one of \['accuracy', 'neg_log_loss'\]"):
            LearningRateSearchDisplay.from_estimator(search)

    def test_a_random_search_has_points(self, digits):
        X, y = digits
        model = SoftmaxRegression(max_iter=1, tol=None)
        rates = {"learning_rate_init": [0.01, 0.1], "alpha": [0.1, 0.2, 0.3, 0.4]}
        search = BatchedRandomizedSearchCV(model, rates, n_iter=3, cv=2, random_state=1)
        display = LearningRateSearchDisplay.from_estimator(search.fit(X[:200], y[:200]))
        (points,) = display.lines_
        assert points.get_linestyle() == "None"
        expected = search.cv_results_["mean_test_score"]
        np.testing.assert_array_equal(np.sort(points.get_ydata()), np.sort(expected))

    def test_convnets_and_a_single_rate(self, digits):
        X, y = digits
        model = ConvNetClassifier((4,), max_iter=2, random_state=0)
        options = {"cv": 2, "return_epoch_scores": True}
        search = BatchedGridSearchCV(model, {"learning_rate_init": [0.01]}, **options)
        search.fit(X[:200], y[:200])
        display = LearningRateSearchDisplay.from_estimator(search)
        expected = search.cv_results_["mean_test_score"]
        np.testing.assert_array_equal(display.lines_[0].get_data(), [[0.01], expected])

        (line,) = display.plot(kind="epoch").lines_
        expected = search.cv_results_["mean_test_score_by_epoch"][0]
        np.testing.assert_array_equal(line.get_ydata(), expected)

    def test_scores_by_epoch_that_were_not_wanted(self, search, digits):
        X, y = digits
        plain = clone(search).set_params(return_epoch_scores=False)
        display = LearningRateSearchDisplay.from_estimator(plain.fit(X[:200], y[:200]))
        assert len(display.lines_) == 2
        with pytest.raises(ValueError, match=r"Set return_epoch_scores=True .* again"):
            display.plot(kind="epoch")

    def test_errors(self, softmax, search, digits):
        X, y = digits
        with pytest.raises(
            TypeError, match="got SoftmaxRegression, which has no cv_results_"
        ):
            LearningRateSearchDisplay.from_estimator(softmax)
        with pytest.raises(NotFittedError, match="not fitted"):
            LearningRateSearchDisplay.from_estimator(BatchedGridSearchCV(softmax, {}))

        tree = GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, cv=2)
        tree.fit(X, y)
        with pytest.raises(
            ValueError, match=r"no learning_rate_init: .* \['max_depth'\]"
        ):
            LearningRateSearchDisplay.from_estimator(tree)
        with pytest.raises(ValueError, match="parameter='depth' was not searched over"):
            LearningRateSearchDisplay.from_estimator(tree, parameter="depth")
        with pytest.raises(
            ValueError, match=r"mean_test_…_by_epoch\. Set return_epoch_scores=True"
        ):
            LearningRateSearchDisplay.from_estimator(
                tree, kind="epoch", parameter="max_depth"
            )
        with pytest.raises(ValueError, match="metric='f1' is none of"):
            LearningRateSearchDisplay.from_estimator(search, metric="f1")

    @pytest.mark.parametrize("kind", ["rate", "epoch"])
    def test_other_parameters(self, search, digits, kind):
        found = LearningRateSearchDisplay.from_estimator(
            search, parameter="momentum", kind=kind
        )
        if kind == "rate":
            assert found.ax_.get_xlabel() == "momentum"
        else:
            assert found.figure_.axes[1].get_ylabel() == "momentum"

        model = SoftmaxRegression(max_iter=1, tol=None)
        grid = {"momentum": [0.0, 0.5], "loss": ["cross_entropy", "softmax_mse"]}
        bad = BatchedGridSearchCV(model, grid, cv=2).fit(digits[0][:90], digits[1][:90])
        with pytest.raises(
            ValueError, match=r"'momentum' was searched over 0.0, but only posi"
        ):
            LearningRateSearchDisplay.from_estimator(
                bad, parameter="momentum", kind=kind
            )
        with pytest.raises(
            ValueError, match="'loss' was searched over 'cross_entropy', but"
        ):
            LearningRateSearchDisplay.from_estimator(bad, parameter="loss", kind=kind)


class Searched(BaseEstimator):
    """A finished search, in which each candidate has another score."""

    n_splits_ = 1
    refit = False
    scoring = "accuracy"

    def __init__(self, params):
        self.params = params

    def fit(self):
        self.cv_results_ = {
            "params": list(self.params),
            "mean_test_score": np.arange(len(self.params)) + 1.0,
            "std_test_score": np.zeros(len(self.params)),
        }
        return self


class TestCandidates:
    @pytest.mark.parametrize(
        ("grid", "labels"),
        [
            ({"alpha": [0.0001, 0.00010001]}, ["alpha=0.0001", "alpha=0.00010001"]),
            (
                {"alpha": [1.0001, 1.0002, 0.1]},
                ["alpha=1.0001", "alpha=1.0002", "alpha=0.1"],
            ),
            ({"alpha": [1, 1 + 1e-9]}, ["alpha=1", "alpha=1.0000000010000001"]),
            (
                {"a__alpha": [1, 2], "b__alpha": [2, 1], "c__n": [np.arange(2)]},
                [
                    f"a__alpha={a}, b__alpha={b}, n=[0 1]"
                    for a in (1, 2)
                    for b in (2, 1)
                ],
            ),
            # NumPy abbreviates the text of long arrays.
            ({"x": [np.arange(2000), np.arange(2000) ** 2]}, None),
            ({"x": [1, "1"]}, ["x=1", "x=1 (2)"]),
        ],
    )
    def test_every_candidate_is_drawn(self, grid, labels):
        params = ParameterGrid({**grid, "learning_rate_init": [0.01, 0.1]})
        found = LearningRateSearchDisplay.from_estimator(Searched(params).fit())
        drawn_scores = np.concatenate([line.get_ydata() for line in found.lines_])
        assert sorted(drawn_scores) == list(range(1, len(params) + 1))
        assert all(len(line.get_xdata()) == 2 for line in found.lines_)
        assert labels is None or [line.get_label() for line in found.lines_] == labels

    def test_the_last_result_of_a_repeated_candidate_counts(self):
        first = {"learning_rate_init": 0.1, "model": SoftmaxRegression(), "n": [1, 2]}
        again = {"n": (1, 2), "learning_rate_init": 0.1, "model": SoftmaxRegression()}
        again["n"] = [1, 2]
        other = {
            "learning_rate_init": 0.1,
            "model": SoftmaxRegression(0.5),
            "n": [1, 2],
        }
        params = [first, {**first, "learning_rate_init": 0.2}, other, again]
        found = LearningRateSearchDisplay.from_estimator(Searched(params).fit()).scores

        assert found["mean"].tolist() == [2, 3, 4]
        assert found["setting"].nunique() == 2

    def test_the_axis_names_one_of_two_rates(self):
        names = ["a__learning_rate_init", "b__learning_rate_init"]
        params = ParameterGrid({name: [0.1, 1.0] for name in names})
        found = LearningRateSearchDisplay.from_estimator(
            Searched(params).fit(), parameter=names[0]
        )
        assert found.ax_.get_xlabel() == names[0]
        assert list(drawn(found.lines_)) == [f"{names[1]}=0.1", f"{names[1]}=1"]


@pytest.fixture
def draw(request, softmax, templates, search, digits):
    """Return a function that makes the Display and draws it."""
    others = {TemplatesDisplay: templates, LearningRateSearchDisplay: search}
    if request.param is DigitGridDisplay:
        return lambda **ax: DigitGridDisplay.from_predictions(digits[0][:3], **ax)
    return partial(request.param.from_estimator, others.get(request.param, softmax))


@pytest.mark.parametrize("draw", DISPLAYS, indirect=True)
class TestAxes:
    def test_given_axes_are_drawn_on(self, draw):
        figure, (left, right) = plt.subplots(1, 2)
        shown = draw(ax=left)
        assert shown.ax_ is left
        assert shown.figure_ is figure
        assert left.has_data()
        assert shown.plot(right) is shown
        assert right.has_data()
        assert plt.get_fignums() == [figure.number]

    def test_an_array_of_axes_is_refused(self, draw):
        _, several = plt.subplots(1, 2)
        with pytest.raises(
            TypeError, match=r"one matplotlib Axes, got ndarray.* axes\[0, 0\]"
        ):
            draw(ax=several)

    def test_a_second_plot_leaves_one_figure(self, draw):
        first = draw().figure_
        second = draw().plot().figure_
        assert second is not first
        assert plt.get_fignums() == [first.number, second.number]

    def test_without_matplotlib(self, draw, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
        with pytest.raises(ImportError, match=r"pip install matplotlib$"):
            draw()
