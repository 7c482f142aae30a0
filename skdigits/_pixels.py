"""What integers mean: pixels, which are read as ``X / 255``, or plain numbers.

The first fit decides, and every later call on the model follows it: the same numbers
have the same predictions, whatever their dtype, or a warning says why not.

A model keeps ``pixels_``, whether integers are pixels, and ``_learnt``: the smallest
and the largest number of the first fit, and whether these were floats within [0, 1]
under ``pixels="auto"``, beside which uint8 is read as pixels, too.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from skdigits._arrays import Array, cast, to_tensor
from skdigits.engine.sparse import Rows

if TYPE_CHECKING:
    from skdigits._base import TorchClassifier

WHITE = 255
DARK = 32  # images of pixels, 0 to 255, reach at least this
BRIGHT = 1.5  # fractions of white that were resampled may be a little above 1
GREYS = 16  # counts and digits of four bits reach this, pixels go beyond
SMALLEST_IMAGE = 64  # features
CHUNK = 2**19  # numbers that are compared at once


class Given(NamedTuple):
    """Checked samples as given: their name, that of their dtype, and their range."""

    name: str
    dtype: str
    smallest: float
    largest: float
    samples: Rows

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.samples.shape[1]

    @property
    def integers(self) -> bool:
        """Whether they have a dtype of integers."""
        return "int" in self.dtype

    @property
    def in_range(self) -> bool:
        """Whether all values are those that pixels can have."""
        return self.smallest >= 0 and self.largest <= WHITE

    @property
    def like_images(self) -> bool:
        """Whether integers have the range of an image's pixels, not that of counts."""
        return self.in_range and self.largest > GREYS

    def exceeds(self, limit: float) -> bool:
        """Return whether most values of a row exceed a limit, zeros left out.

        The largest value tells nothing: a MinMaxScaler leaves a pixel as it is that was
        dark in all training images. Of MNIST, scaled by ten images, at most 35 % of a
        row are beyond 1.5, and of pixels 0 to 255 no less than 95 %. A row with fewer
        values beyond than an image has rows says nothing, either.
        """
        if self.largest <= limit:
            return False
        parts: Iterable[Rows] = [self.samples]
        if isinstance(self.samples, Tensor):
            parts = self.samples.split(max(1, CHUNK // self.n_features))

        return any(_exceeds(part, limit) for part in parts)


def _exceeds(samples: Rows, limit: float) -> bool:
    """Return whether most values of a row exceed a limit, and not just a few."""
    if isinstance(samples, Tensor):
        # Counting takes several times as long as a maximum, and few rows need it.
        samples = samples[samples.amax(1) > limit]
        beyond = (samples > limit).sum(1)
    else:
        rows, _, values = samples.entries()
        beyond = rows[values > limit].bincount(minlength=len(samples))

    enough = beyond.square() >= samples.shape[1]
    if not enough.any():
        return False
    if isinstance(samples, Tensor):
        present = (samples[enough] != 0).sum(1)
    else:
        present = rows[values != 0].bincount(minlength=len(samples))[enough]
    return bool((2 * beyond[enough] > present).any())


def image_sized(model: "TorchClassifier", n_features: int) -> bool:
    """Return whether samples with so many features may be images."""
    if getattr(model, "image_shape", None) is not None:
        return True
    return n_features >= SMALLEST_IMAGE and math.isqrt(n_features) ** 2 == n_features


def look_like_pixels(model: "TorchClassifier", given: Given) -> bool:
    """Return whether ``pixels="auto"`` reads these integers as pixels."""
    if given.dtype == "uint8":
        return given.largest > 1  # 0 and 1 are dummies of categories
    return given.like_images and image_sized(model, given.n_features)


def images_of_integers(X: Array, decided: bool | None = None) -> Array:
    """Return integers in images as uint8 if they are pixels, else as float64.

    They are what an earlier call has ``decided``, or what their range tells. Floats
    and uint8 stay as they are.
    """
    if not getattr(X.dtype, "isnative", True):
        X = cast(X, X.dtype.name)
    dtype = str(X.dtype).rpartition(".")[2]
    if "int" not in dtype or dtype == "uint8":
        return X

    device = X.device if isinstance(X, Tensor) else torch.device("cpu")
    samples = to_tensor(X, device)
    smallest, largest = (bound.item() for bound in samples.aminmax())
    given = Given("X", dtype, smallest, largest, samples)
    pixels = given.like_images if decided is None else decided and given.in_range
    return cast(X, "uint8" if pixels else "float64")


def read_integers(model: "TorchClassifier", X: Array, given: Given) -> Array:
    """Return integers as a model reads them: pixels as uint8, else float64."""
    if not _reads_pixels(model, given):
        return cast(X, "float64")
    if not given.in_range:
        numbers: Any = cast(X, "float64")
        fractions: Array = numbers / float(WHITE)
        return fractions
    return X if given.dtype == "uint8" else cast(X, "uint8")


def _reads_pixels(model: "TorchClassifier", given: Given) -> bool:
    return model.pixels_ or (given.dtype == "uint8" and model._learnt[2])


def doubt(model: "TorchClassifier", given: Given, fresh: bool) -> str:
    """Return a warning of numbers that may mean something else; empty if there is none.

    Raises
    ------
    ValueError
        If a ``fresh`` fit has ``pixels=True``, and integers that are no pixels.
    """
    if not given.integers:
        return _doubt_about_floats(model, given, fresh)
    if not _reads_pixels(model, given):
        return _doubt_about_numbers(model, given, fresh)

    if not given.in_range:
        text = _out_of_range(model, given)
        if fresh:
            raise ValueError(text)
        return text
    if 0 < given.largest < DARK and (fresh or not model.pixels_):
        return (
            f"{given.name} is {given.dtype}, which is read as pixels of 0 to 255, but "
            f"its largest value is only {given.largest:g}: if the features are not "
            "such pixels, set pixels=False and fit again, or pass them as floats."
        )
    return ""


def _doubt_about_floats(model: "TorchClassifier", given: Given, fresh: bool) -> str:
    name = type(model).__name__
    found = f"{given.name} is {given.dtype} and has values up to {given.largest:g}"
    if model.pixels_ and fresh:
        return (
            f"pixels=True reads integers as X / 255, but {found}, which are taken as "
            "they are: pass pixels as uint8, or divide them by 255."
        )
    if model.pixels_:
        return (
            f"{name} was fitted to pixels as uint8 or other integers, which it reads "
            f"as 0 to 1, but {found}: pass pixels as uint8 here too, or divide them by "
            "255."
        )

    brighter = model._learnt[2] and given.like_images
    if fresh or not brighter or not image_sized(model, given.n_features):
        return ""
    if not given.exceeds(BRIGHT):
        return ""
    return (
        f"{name} was fitted to numbers from 0 to 1, but {found}: pass pixels as uint8, "
        "or divide them by 255."
    )


def _doubt_about_numbers(model: "TorchClassifier", given: Given, fresh: bool) -> str:
    """Return a warning of integers that are read as plain numbers."""
    may_be_images = image_sized(model, given.n_features)
    if fresh:
        wrapped = given.dtype == "int8" and given.smallest < -GREYS and may_be_images
        return f"{_range(given)}. {_wrapped(given)}" if wrapped else ""

    smallest, largest, _ = model._learnt
    learnt = max(largest, -smallest)
    if not given.exceeds(max(GREYS, BRIGHT * learnt)):
        return ""
    if given.dtype != "uint8" and not may_be_images:
        return ""
    return (
        f"{_range(given)}, which {type(model).__name__} reads as plain numbers, as it "
        f"was fitted to numbers of at most {learnt:g}. Bring {given.name} to that "
        "scale; for pixels, fit to uint8, and pass uint8 here, too."
    )


def _out_of_range(model: "TorchClassifier", given: Given) -> str:
    cure = "divide other pixels by their largest value, and set pixels=False otherwise."
    if given.dtype == "int8":
        cure = _wrapped(given)
    return (
        f"{_range(given)}, but {type(model).__name__} reads integers as pixels of 0 "
        f"to 255, such as uint8, and divides them by 255: {cure}"
    )


def _range(given: Given) -> str:
    bounds = f"from {given.smallest:g} to {given.largest:g}"
    return f"{given.name} is {given.dtype} and has values {bounds}"


def _wrapped(given: Given) -> str:
    return (
        f"If {given.name} holds pixels, values above 127 have become negative in int8: "
        f"pass {given.name}.view(np.uint8)."
    )


def full_ink(estimator: "TorchClassifier") -> float | None:
    """Return the number of full ink in the images that a model was fitted to.

    255 stands for uint8, which a model of fractions reads as well. None are numbers
    below 0: nobody knows which of them are ink.
    """
    smallest, largest, fractions = estimator._learnt
    if estimator.pixels_ or fractions:
        return float(WHITE)
    # Numbers up to 255 are uint8 that pixels=False takes as they are.
    return None if smallest < 0 else float(largest) or 1.0
