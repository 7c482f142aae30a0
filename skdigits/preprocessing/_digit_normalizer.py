"""Digits like MNIST's, made of any grey images."""

from functools import partial

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin

from skdigits._parameters import COUNT, FRACTION, StrOptions
from skdigits.engine.images import normalise
from skdigits.preprocessing._base import IMAGE_SHAPE, ImageTransformer
from skdigits.preprocessing._images import Images, list_of_images


class DigitNormalizer(ClassNamePrefixFeaturesOutMixin, ImageTransformer):
    """Make digits like MNIST's of any grey images: bright on black, of one size, centred.

    In front of a classifier it has photographs and scans of any size read by what was
    trained on MNIST, whose own digits it hardly changes.

    Parameters
    ----------
    size : int, default=28
        Height and width of the images that are made, in pixels.
    digit_size : int, default=20
        What the longer side of the ink is scaled to, in pixels; at most ``size``.
    invert : bool or "auto", default="auto"
        Whether the ink is darker than the ground. ``"auto"`` finds out for each image: the
        ground is the median of its border, and ink what differs from it most.
    threshold : float, default=0.2
        What counts as ink when its bounds are looked for: whatever differs from the ground
        by more than this share of the largest difference. In [0, 1).
    image_shape : tuple (height, width), default=None
        That of the images which lie in rows. None means square images, or, where the
        number of features is no square, images of one row of pixels, with a warning.
    device : str, default="auto"
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, …; ``"auto"`` is that of a tensor X under array
        API dispatch, else CUDA where there is one, else the CPU.

    Attributes
    ----------
    n_features_in_ : int
        Number of pixels in an image, after a ``fit`` to images of one size.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the pixels, where X had any.

    See Also
    --------
    CenterByMass : Moves digits to the middle and no more.
    Deskew : Sets upright what this one has made.
    skdigits.datasets.read_image_folder : Reads image files of one size.

    Notes
    -----
    For each image:

    1. The ground is the median of the pixels on the border, and ink the difference from it
       towards the darker or the brighter side. Differences of less than six standard
       deviations of the ground are noise and become 0; they are told from the quartile of
       the border on the side without ink, and are half the largest difference at most.
       Where ``invert`` is a bool and that side reaches not a quarter as far as the other, the
       border is ink, and the ground at the other end.
    2. The image is cropped to the ink, and its longer side scaled to ``digit_size``, its
       proportions kept. Pixels are means over the area that they cover; enlarged images
       are interpolated linearly.
    3. It is placed by whole pixels so that its centre of mass is at
       ``(size // 2, size // 2)``, ±½, as in MNIST, or, if ink would be lost, as near as
       ``size`` has room for.
    4. The largest value becomes 1, or 255 of uint8. An image of a single value becomes 0.

    One image is a list of one, ``[image]``: an array (h, w) is taken for h rows of pixels. The
    ground is one value for all of an image, and whatever else stands out from it is ink: even
    out a strong gradient of light first, raise ``threshold`` (0.4, say) where the page has
    lines, and leave out pages without a digit, whose noise would be taken for one.

    MNIST's own digits were made so from scans [1]_.

    References
    ----------
    .. [1] Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998.

    Examples
    --------
    A classifier trained on small digits reads large ones, dark on bright:

    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.preprocessing import DigitNormalizer
    >>> X, y = load_digits(return_X_y=True)
    >>> model = make_pipeline(DigitNormalizer(), SoftmaxRegression(0.1, max_iter=5, tol=None))
    >>> photographs = 200 - 8 * X[1000:].reshape(-1, 8, 8).repeat(9, axis=1).repeat(9, axis=2)
    >>> photographs.shape
    (797, 72, 72)
    >>> bool(model.fit(X[:1000], y[:1000]).score(photographs, y[1000:]) > 0.8)
    True
    """

    _parameter_constraints = {
        **IMAGE_SHAPE,
        "size": [COUNT],
        "digit_size": [COUNT],
        "invert": ["boolean", StrOptions({"auto"})],
        "threshold": [FRACTION],
    }
    _any_size = True

    def __init__(
        self,
        *,
        size=28,
        digit_size=20,
        invert="auto",
        threshold=0.2,
        image_shape=None,
        device="auto",
    ):
        self.size = size
        self.digit_size = digit_size
        self.invert = invert
        self.threshold = threshold
        self.image_shape = image_shape
        self.device = device

    def fit(self, X, y=None):
        """Check parameters and images; nothing is learnt but the number and names of pixels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, height, width)
            Images, or a list of arrays of shape (height, width) each.
        y : object, default=None
            Ignored; here for pipelines to pass.

        Returns
        -------
        self : DigitNormalizer
            The transformer.

        Raises
        ------
        ValueError
            If a parameter or X is not as described.
        """
        return super().fit(X, y)

    def transform(self, X):
        """Make digits like MNIST's; the transformer need not be fitted.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, height, width)
            Images of any range of values, or a list of arrays of shape (height, width)
            each. Rows must have as many features as in ``fit``, images may be of any size.

        Returns
        -------
        ndarray of shape (n_samples, size * size)
            The digits in rows, from 0 to 1 in the dtype of X, of uint8 from 0 to 255; what is
            of any other dtype, or of several, becomes float64.

        Raises
        ------
        ValueError
            If a parameter or X is not as described.
        """
        return super().transform(X)

    @property
    def _n_features_out(self):
        return self.size**2

    def _n_out(self, n_pixels):
        return self.size**2

    def _function(self):
        if self.digit_size > self.size:
            raise ValueError(
                f"digit_size={self.digit_size} is more than size={self.size}: a digit must "
                "fit into its image. Make size larger, or digit_size smaller."
            )
        return partial(
            normalise,
            size=int(self.size),
            digit_size=int(self.digit_size),
            threshold=float(self.threshold),
            inverted=None if self.invert == "auto" else bool(self.invert),
        )

    def _check(self, X, *, reset):
        images = list_of_images(X)
        if images is None:
            return super()._check(X, reset=reset)
        if reset:
            for learnt in {"n_features_in_", "feature_names_in_", "_fitted_array"}:
                vars(self).pop(learnt, None)
        return images

    def _transformed(self, images):
        if isinstance(images, Images):
            return super()._transformed(images)
        dtypes = {image.dtype for image in images}
        made = np.empty(
            (len(images), self._n_features_out),
            dtype=dtypes.pop() if len(dtypes) == 1 else np.float64,
        )
        for shape in {image.shape for image in images}:
            places = [n for n, image in enumerate(images) if image.shape == shape]
            alike = np.stack(
                [images[n] for n in places], dtype=made.dtype, casting="unsafe"
            )
            made[places] = super()._transformed(Images(alike, shape))
        return made
