"""The templates of a classifier, as images."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from skdigits._arrays import to_numpy
from skdigits._template_matching import TemplateMatchingClassifier
from skdigits.inspection import _mosaic
from skdigits.inspection._display import model_of

# More templates of a class go into further rows of images.
MOST_COLUMNS = 32


class TemplatesDisplay(_mosaic.MosaicDisplay):
    """The templates of a `TemplateMatchingClassifier`, one image each.

    `from_estimator` creates the display and draws it.

    Parameters
    ----------
    templates : ndarray of shape (n_templates, height, width) or \
            (n_templates, height, width, 3)
        Templates as images, class by class.
    template_classes : ndarray of shape (n_templates,)
        Class of each template.

    Attributes
    ----------
    image_ : matplotlib.image.AxesImage
        Image that contains all templates.
    texts_ : list of matplotlib.text.Text
        Class above each template, if every class has one template. Otherwise empty: the
        classes are then at the left of their rows of images.
    ax_ : matplotlib.axes.Axes
        Axes with the templates.
    figure_ : matplotlib.figure.Figure
        Figure of the axes.

    See Also
    --------
    WeightsDisplay : The weights of a model that is trained by gradients.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import TemplateMatchingClassifier
    >>> from skdigits.inspection import TemplatesDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> model = TemplateMatchingClassifier().fit(X / 16, y)
    >>> display = TemplatesDisplay.from_estimator(model)
    >>> [text.get_text() for text in display.texts_]
    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']
    >>> plt.close(display.figure_)
    """

    def __init__(self, templates, template_classes):
        self.templates = templates
        self.template_classes = template_classes

    @classmethod
    def from_estimator(cls, estimator, *, image_shape=None, ax=None):
        """Draw the templates of a fitted classifier.

        Parameters
        ----------
        estimator : TemplateMatchingClassifier
            Fitted classifier, or a Pipeline or search around one.
        image_shape : tuple of int, default=None
            Shape of the templates: ``(height, width)`` or ``(height, width, 3)``. None
            stands for square images.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None opens a new figure.

        Returns
        -------
        TemplatesDisplay
            The display of the templates.

        Raises
        ------
        TypeError
            If the estimator is not a TemplateMatchingClassifier.
        ValueError
            If ``image_shape`` does not fit the number of features.
        """
        model = model_of(estimator, (TemplateMatchingClassifier,), cls.__name__)
        templates = to_numpy(model.templates_)
        shape = _mosaic.check_image_shape(image_shape, templates.shape[1])

        images = _mosaic.as_images(templates, shape)
        return cls(images, to_numpy(model.template_classes_))._drawn(ax)

    def plot(self, ax=None, *, cmap="gray_r", colorbar=True):
        """Draw the templates.

        A figure that `from_estimator` opened is closed.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None opens a new figure.
        cmap : str or matplotlib Colormap, default="gray_r"
            Colour map of grey templates. Not used for templates with 3 channels.
        colorbar : bool, default=True
            Whether to draw a colour bar beside grey templates.

        Returns
        -------
        self : TemplatesDisplay
            The display.
        """
        images = np.asarray(self.templates)
        classes = np.asarray(self.template_classes)
        _, firsts, counts = np.unique(classes, return_index=True, return_counts=True)
        grey = images.ndim == 3
        labels, n_columns, cells = _arrange(classes, counts)
        layout = _mosaic.lay_out(images.shape[1:3], cells, n_columns, labels, ax)

        # Inches of the colour bar and of the labels at the left.
        beside = (0.9 if grey else 0) + (0 if labels else 1)
        self._begin(ax, _mosaic.size_in_inches(layout, beside))
        limits = _mosaic.brightness_limits(images)
        self._draw_mosaic(images, layout, labels, limits=limits, cmap=cmap)
        if not labels:
            self._label_blocks(classes[firsts], layout.corners[firsts])
        if colorbar and grey:
            self._add_colorbar(layout, "Value of a pixel")
        return self

    def _label_blocks(self, classes: Iterable[object], corners: np.ndarray) -> None:
        """Write the class of each block at the left of its first row of images."""
        middles = corners[:, 0] + (self.templates.shape[1] - 1) / 2
        labels = _mosaic.short_labels(classes)
        self.ax_.set_yticks(middles, labels, parse_math=False)
        self.ax_.tick_params(axis="y", length=0)


def _arrange(
    classes: np.ndarray, counts: np.ndarray
) -> tuple[list[str], int, np.ndarray]:
    """Return the labels above templates, the number of columns, and the cells."""
    # Several templates of a class are a block, which has its label at the left.
    if counts.max() > 1:
        n_columns = min(counts.max(), MOST_COLUMNS)
        return [], n_columns, _block_cells(counts, n_columns)

    labels = _mosaic.short_labels(classes)
    most = 5 if len(classes) <= 10 else 10
    n_columns = _mosaic.columns_for(labels, min(most, len(classes)))
    return labels, n_columns, np.arange(len(classes))


def _block_cells(counts: np.ndarray, n_columns: int) -> np.ndarray:
    """Return the cells of all templates, where each class starts a new row of cells."""
    n_rows = -(-counts // n_columns)
    starts = (n_rows.cumsum() - n_rows) * n_columns
    return np.concatenate(
        [start + np.arange(count) for start, count in zip(starts, counts, strict=True)]
    )
