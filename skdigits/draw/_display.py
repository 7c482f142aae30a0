"""The page in a notebook."""

import html
from collections.abc import Sequence

from sklearn.base import BaseEstimator

from skdigits._input_checks import COUNT
from skdigits.draw._page import TITLE, page
from skdigits.draw._steps import Shape


class DrawDisplay:
    """A page to draw on, shown by notebooks.

    Jupyter and other notebooks show the object if it is the last line of a cell. The
    page is that of `page`: it computes in the browser, without the kernel, and stays in
    the saved notebook.

    Parameters
    ----------
    model : estimator
        Fitted classifier of grey images, or a Pipeline that ends with one; see `page`.
    title : str, default="Draw a digit"
        Title of the page.
    compare : estimator or list of estimators, default=None
        More models, which see the same stroke.
    image_shape : tuple (height, width), default=None
        Shape of the images that a model without a `DigitNormalizer` was fitted to. None
        is the model's own ``image_shape``, or a square.
    height : int, default=640
        Height of the page in the notebook, in pixels.

    Attributes
    ----------
    html : str
        The page.
    title : str
        Its title.
    height : int
        Height of the page in the notebook, in pixels.

    See Also
    --------
    page : Writes the page into a file.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from skdigits import TemplateMatchingClassifier
    >>> from skdigits.draw import DrawDisplay
    >>> from skdigits.preprocessing import DigitNormalizer
    >>> X, y = load_digits(return_X_y=True)
    >>> model = make_pipeline(DigitNormalizer(), TemplateMatchingClassifier())
    >>> DrawDisplay(model.fit(X, y))  # the last line of a cell shows the page
    <DrawDisplay: Draw a digit>
    """

    def __init__(
        self,
        model: BaseEstimator,
        *,
        title: str = TITLE,
        compare: BaseEstimator | Sequence[BaseEstimator] | None = None,
        image_shape: Shape | None = None,
        height: int = 640,
    ):
        if not COUNT.is_satisfied_by(height):
            raise ValueError(f"height={height!r} must be a whole number, 1 or more.")
        self.html = page(model, title=title, compare=compare, image_shape=image_shape)
        self.title = title
        self.height = int(height)

    def __repr__(self) -> str:
        return f"<DrawDisplay: {self.title}>"

    def _repr_html_(self) -> str:
        """Return a frame that holds the page, for notebooks."""
        # The page needs scripts, and nothing of the notebook around it.
        return (
            f'<iframe srcdoc="{html.escape(self.html)}" sandbox="allow-scripts" '
            f'title="{html.escape(self.title)}" width="100%" height="{self.height}" '
            'style="border: 0"></iframe>'
        )
