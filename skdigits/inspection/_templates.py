"""The templates of a classifier, as images."""

import numpy as np

from skdigits._arrays import to_numpy
from skdigits._template_matching import TemplateMatchingClassifier
from skdigits.inspection import _mosaic
from skdigits.inspection._display import Display, model_of

MOST_COLUMNS = 32


class TemplatesDisplay(Display):
    """The templates of a `TemplateMatchingClassifier`, an image each.

    Made by `from_estimator`, which draws at once.

    Parameters
    ----------
    templates : ndarray of shape (n_templates, height, width) or \
            (n_templates, height, width, 3)
        Images, class by class.
    template_classes : ndarray of shape (n_templates,)
        The class of each.

    Attributes
    ----------
    image_ : matplotlib.image.AxesImage
        All templates as one image.
    texts_ : list of matplotlib.text.Text
        The class above each template, where every class has but one; else empty, as the
        classes then stand at the left of their rows.
    ax_ : matplotlib.axes.Axes
        Axes with the image.
    figure_ : matplotlib.figure.Figure
        Figure of the axes.

    See Also
    --------
    WeightsDisplay : What a model that is trained by gradients has learnt instead.

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
            Fitted; a Pipeline that ends with one, or a search that found one.
        image_shape : tuple of int, default=None
            ``(height, width)`` or ``(height, width, 3)`` of the images; None: square.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None: those of a new figure.

        Returns
        -------
        TemplatesDisplay
            What was drawn.

        Raises
        ------
        TypeError
            If it is another estimator.
        ValueError
            If ``image_shape`` is not that of the rows it was fitted to.
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
            Axes to draw on; None: those of a new figure.
        cmap : str or matplotlib Colormap, default="gray_r"
            Colours of the values, unless the images have their own.
        colorbar : bool, default=True
            Whether to explain them beside the image.

        Returns
        -------
        self : TemplatesDisplay
            The display.
        """
        images, classes = np.asarray(self.templates), np.asarray(self.template_classes)
        _, firsts, counts = np.unique(classes, return_index=True, return_counts=True)
        labels = (
            [_mosaic.short(label) for label in classes] if counts.max() == 1 else []
        )
        if labels:
            most = 5 if len(images) <= 10 else 10
            n_columns = _mosaic.columns_for(labels, min(most, len(images)))
            cells = np.arange(len(images))
        else:
            n_columns = min(counts.max(), MOST_COLUMNS)
            cells = _cells(counts, n_columns)
        layout = _mosaic.lay_out(images.shape[1:3], cells, n_columns, labels, ax)
        grey = images.ndim == 3
        beside = (0.9 if grey else 0) + (0 if labels else 1)
        self._begin(ax, _mosaic.size_in_inches(layout, beside))
        limits = _mosaic.brightness_limits(images)
        self.image_ = _mosaic.draw(self.ax_, images, layout, limits=limits, cmap=cmap)
        self.texts_ = _mosaic.write(self.ax_, labels, layout)
        if not labels:
            self._label_rows(classes[firsts], layout.corners[firsts])
        if colorbar and grey:
            _mosaic.explain(self.ax_, self.image_, layout, "Value of a pixel")
        return self

    def _label_rows(self, classes, corners):
        """The class of each block at the left of its first row."""
        middles = corners[:, 0] + (self.templates.shape[1] - 1) / 2
        self.ax_.set_yticks(
            middles, [_mosaic.short(label) for label in classes], parse_math=False
        )
        self.ax_.tick_params(axis="y", length=0)


def _cells(counts, n_columns):
    """Cells of templates, those of each class from the start of a row."""
    rows = -(-counts // n_columns)
    starts = (rows.cumsum() - rows) * n_columns
    return np.concatenate(
        [start + np.arange(count) for start, count in zip(starts, counts, strict=True)]
    )
