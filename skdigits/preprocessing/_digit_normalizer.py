"""Normalisation of grey images to digits like MNIST's."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import ClassNamePrefixFeaturesOutMixin
from torch import Tensor

from skdigits._arrays import isolated, to_numpy
from skdigits._input_checks import COUNT, FRACTION, warn_user
from skdigits._parameters import StrOptions
from skdigits.engine.images import normalise
from skdigits.preprocessing._base import IMAGE_SHAPE, ImageTransformer
from skdigits.preprocessing._clean_up import find_ink
from skdigits.preprocessing._images import Images, list_of_images

# Images of up to this side, in pixels, are digits that somebody has cut out, as MNIST's
# are: they show no page that could be cleaned, and their strokes are a few pixels wide.
LARGEST_CUT_OUT = 40
# A warning names so many images without a digit, and the number of the others.
N_NAMED = 20


class Settings(TypedDict):
    """Arguments of `skdigits.engine.images.normalise`."""

    size: int
    digit_size: int
    threshold: float
    inverted: bool | None


class DigitNormalizer(ClassNamePrefixFeaturesOutMixin, ImageTransformer):
    """Turn grey images into digits like MNIST's: bright on black, of one size, centred.

    With this transformer as the first step of a Pipeline, a classifier that was trained
    on MNIST reads photographs and scans of any size. MNIST's own digits hardly change.

    Parameters
    ----------
    size : int, default=28
        Height and width of the resulting images, in pixels.
    digit_size : int, default=20
        Length of the longer side of the digit after scaling, in pixels; at most
        ``size``.
    invert : bool or "auto", default="auto"
        Whether the foreground (the digit) is darker than the background. ``"auto"``
        decides for each image: the background is the median of the image's border, and
        the foreground is the side, darker or brighter, with the larger difference from
        the background.
    threshold : float, default=0.2
        Fraction of the largest difference from the background. Pixels above this
        fraction count as foreground when the transformer searches for the bounds of the
        digit. In [0, 1).
    clean_up : bool, default=True
        Whether pages are cleaned first, see `find_ink`: uneven light, a desk around the
        sheet, ruled lines, printed boxes and specks are taken off. A page is an image
        of which both sides exceed 40 pixels; smaller ones, such as MNIST's, are not
        cleaned. A page takes 10 to 100 ms. Switch it off for large images of digits
        that are clean already, and for ONNX graphs of images larger than 40 pixels.
    image_shape : tuple (height, width), default=None
        Shape of the images if X holds them in rows. None stands for square images. If
        the number of features is not a square number, None stands for images of one row
        of pixels, with a warning.
    device : str or torch.device, default="auto"
        Device to compute on: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, …. ``"auto"`` is the
        device of X if X is a tensor under array API dispatch, otherwise CUDA if
        available, otherwise the CPU.

    Attributes
    ----------
    n_features_in_ : int
        Number of pixels in an image, if all images passed to ``fit`` have one size.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the pixels, if X has column names.

    See Also
    --------
    CenterByMass : Only centres digits.
    Deskew : Makes digits upright, for use after this transformer.
    find_ink : Cleans a page, and shows what is left of it.
    skdigits.datasets.read_image_folder : Reads image files, of several sizes too.

    Notes
    -----
    With ``clean_up=True``, a page is replaced by its ink as `find_ink` finds it, bright
    on black, and ``invert`` decides which side is ink unless it is ``"auto"``. A page
    that shows nothing but noise has no ink.

    The row of an image without ink is 0, and a UserWarning lists the positions of all
    such pages in X: ``no digit in X[3], X[7]``. Leave these rows out of predictions:
    ``rows.any(axis=1)`` is False for them.

    Each image is then transformed in four steps:

    1. The background is the median of the border pixels, and the foreground is every
       difference from the background towards the darker or the brighter side.
       Differences of less than six standard deviations of the background are noise and
       become 0. This limit is estimated from the quartile of the border pixels on the
       side without foreground, and is at most half the largest difference. If
       ``invert`` is a bool, the border itself may be foreground. This is assumed if the
       largest difference on the foreground's side is less than a quarter of the largest
       difference on the other side. The background is then the brightest value (the
       darkest value if ``invert=False``).
    2. The image is cropped to the foreground, and its longer side is scaled to
       ``digit_size``. The aspect ratio is kept. Pixels of a reduced image are means
       over the area that they cover; enlarged images are interpolated linearly.
    3. The digit is moved by whole pixels so that its centre of mass is at
       ``(size // 2, size // 2)``, ±½, as in MNIST. If foreground would be cut off, the
       digit is placed as near to this position as ``size`` allows.
    4. The largest value becomes 1, or 255 in uint8. An image of a single value becomes
       0.

    Pass a single image as a list, ``[image]``: an array of shape (h, w) is read as h
    rows of pixels. A Pillow image becomes grey as in
    `skdigits.datasets.read_image_folder`, with its palette, transparency and EXIF
    orientation. Images of modes "I" and "F" and of 16 bits keep their values.

    In an image that is not cleaned, the background is a single value, and everything
    that differs from it is foreground: lines, specks, shadows, and the noise of a blank
    page. Raise ``threshold`` (for example to 0.4) if such an image has lines.

    MNIST's own digits were made from scans in this way [1]_.

    References
    ----------
    .. [1] Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits",
       1998.

    Examples
    --------
    A classifier trained on small digits reads large ones, dark on bright:

    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.preprocessing import DigitNormalizer
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = SoftmaxRegression(0.1, max_iter=5, tol=None)
    >>> model = make_pipeline(DigitNormalizer(), classifier)
    >>> large = X[1000:].reshape(-1, 8, 8).repeat(9, axis=1).repeat(9, axis=2)
    >>> photographs = 200 - 8 * large
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
        "clean_up": ["boolean"],
    }
    _any_size = True
    # Whether digits of the images in ``fit`` have values to 255, and not to 1.
    _fitted_to_bytes = True

    def __init__(
        self,
        *,
        size=28,
        digit_size=20,
        invert="auto",
        threshold=0.2,
        clean_up=True,
        image_shape=None,
        device="auto",
    ):
        self.size = size
        self.digit_size = digit_size
        self.invert = invert
        self.threshold = threshold
        self.clean_up = clean_up
        self.image_shape = image_shape
        self.device = device

    @isolated()
    def transform(self, X):
        """Turn images into digits like MNIST's; the transformer need not be fitted.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, height, width)
            Images with values of any range; or a list of arrays of shape (height,
            width) or of Pillow images of any mode. Images in rows must have as many
            features as in ``fit``; other images may have any size.

        Returns
        -------
        ndarray of shape (n_samples, size * size)
            Digits in rows, in the dtype of X: from 0 to 255 in uint8, from 0 to 1 in
            float32 and float64. Any other dtype becomes float64, and so do lists of
            several dtypes. Pillow images with up to 8 bits per channel become uint8.
            The row of an image without a digit is 0.

        Raises
        ------
        ValueError
            If a parameter or X is invalid, for example if X is a single image. If the
            file of a Pillow image is damaged, the message names the file.

        Warns
        -----
        UserWarning
            If pages have no digit, with their positions in X.
        """
        return super().transform(X)

    @property
    def _n_features_out(self) -> int:
        return self.size**2

    def _n_out(self, n_pixels: int) -> int:
        return self.size**2

    def _function(self) -> Callable[[Tensor], Tensor]:
        settings = self._settings()
        if self.clean_up:
            return partial(_cleaned, settings=settings)
        return partial(normalise, **settings)

    def _settings(self) -> Settings:
        """Return the arguments of the engine's function."""
        # A relation of two parameters, which _parameter_constraints cannot express.
        if self.digit_size > self.size:
            raise ValueError(
                f"digit_size={self.digit_size} is more than size={self.size}: a digit "
                "must fit into its image. Make size larger, or digit_size smaller."
            )

        return Settings(
            size=int(self.size),
            digit_size=int(self.digit_size),
            threshold=float(self.threshold),
            inverted=None if self.invert == "auto" else bool(self.invert),
        )

    def _check(self, X: ArrayLike, *, reset: bool) -> Images | list[np.ndarray]:
        images = list_of_images(X)
        if images is None:
            checked = super()._check(X, reset=reset)
            if reset:
                self._fitted_to_bytes = str(checked.X.dtype).endswith("uint8")
            return checked

        # A list of images has neither features nor a namespace, so a new fit deletes
        # these attributes.
        if reset:
            for name in ("n_features_in_", "feature_names_in_", "_fitted_array"):
                vars(self).pop(name, None)
            self._fitted_to_bytes = {one.dtype for one in images} == {np.dtype("u1")}
        return images

    def _transformed(self, images: Images | list[np.ndarray]) -> ArrayLike:
        """Return rows, with a warning of blank pages."""
        if isinstance(images, Images):
            made = super()._transformed(images)
            is_page = np.full(images.X.shape[0], _is_page(images.shape))
        else:
            made = self._transformed_one_by_one(images)
            is_page = np.array([_is_page(image.shape) for image in images])

        if self.clean_up and is_page.any():
            _warn_of_blank_images(is_page & ~to_numpy(made).any(axis=1))
        return made

    def _transformed_one_by_one(self, images: list[np.ndarray]) -> np.ndarray:
        """Return rows of images of any sizes."""
        dtypes = {image.dtype for image in images}
        dtype = dtypes.pop() if len(dtypes) == 1 else np.dtype(np.float64)
        made = np.empty((len(images), self._n_features_out), dtype)

        # The engine takes images of one shape; one call for each shape is faster than
        # one for each image.
        for shape in {image.shape for image in images}:
            places = [n for n, image in enumerate(images) if image.shape == shape]
            same = [images[n] for n in places]
            stack = np.stack(same, dtype=dtype, casting="unsafe")
            made[places] = super()._transformed(Images(stack, shape))

        return made


def _cleaned(images: Tensor, *, settings: Settings) -> Tensor:
    """Normalise images (B, h, w), of which pages are replaced by their ink."""
    if not _is_page(images.shape[1:]):
        return normalise(images, **settings)

    dark = settings["inverted"]
    inks = np.stack([find_ink(page, dark=dark) for page in images.cpu().numpy()])
    found = torch.from_numpy(inks).to(images)
    return normalise(found, **{**settings, "inverted": False})


def _is_page(shape: Sequence[int]) -> bool:
    """Return whether images of such a shape are cleaned."""
    return min(shape) > LARGEST_CUT_OUT


def _warn_of_blank_images(is_blank: np.ndarray) -> None:
    """Warn of images in which there is no digit."""
    blank = np.flatnonzero(is_blank)
    if not blank.size:
        return

    named = ", ".join(f"X[{place}]" for place in blank[:N_NAMED])
    others = len(blank) - N_NAMED
    if others > 0:
        named += f" and {others} others"
    subject = "its row is" if len(blank) == 1 else "their rows are"
    warn_user(
        f"no digit in {named}: {subject} 0. Leave such images out; rows.any(axis=1) of "
        "the result tells them."
    )
