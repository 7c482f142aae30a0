"""The steps from a drawing to a classifier: a Pipeline taken apart, or steps of ours.

Steps are dictionaries that the page reads: each ``kind`` is a function of page.js.
"""

from typing import Any, NamedTuple, TypeAlias

from sklearn.base import BaseEstimator

from skdigits._fitted_models import fitted_steps
from skdigits._image_shapes import shape_of_images
from skdigits.preprocessing import CenterByMass, Deskew, DigitNormalizer

Shape: TypeAlias = tuple[int, int]
"""Height and width of an image."""
Step: TypeAlias = dict[str, Any]
"""What a step does, and with which numbers."""

MOVING = {Deskew: "deskew", CenterByMass: "centre"}
# MNIST's digits are 20 pixels long in images of 28.
DIGIT = 20 / 28


class Parts(NamedTuple):
    """A fitted classifier, and the transformers in front of it."""

    transformers: list[Any]
    classifier: Any

    @property
    def name(self) -> str:
        """The parts in words."""
        every = [*self.transformers, self.classifier]
        return " → ".join(type(one).__name__ for one in every)

    @property
    def normaliser(self) -> DigitNormalizer | None:
        """The first transformer that makes drawings of any size alike."""
        each = (one for one in self.transformers if isinstance(one, DigitNormalizer))
        return next(each, None)

    @property
    def dark(self) -> bool:
        """Whether drawings have to be dark on bright."""
        return self.normaliser is not None and self.normaliser.invert is True


def taken_apart(model: BaseEstimator, name: str = "model") -> Parts:
    """Return the parts of a fitted model, which is a parameter of this name.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    TypeError
        If this is no classifier, or a class of them.
    ValueError
        If a search did not refit its best candidate, or a Pipeline has no steps.
    """
    if isinstance(model, type) or not hasattr(model, "fit"):
        found = repr(model) if isinstance(model, type) else type(model).__name__
        raise TypeError(
            f"{name} must be a fitted classifier or Pipeline, got {found}: pass what "
            "fit returns."
        )

    *transformers, classifier = fitted_steps(model, name)
    if not hasattr(classifier, "classes_"):
        raise TypeError(
            f"{name}: {type(classifier).__name__} has no classes_, and only a "
            "classifier says what a drawing shows. Pass one, or a Pipeline that ends "
            "with one."
        )
    return Parts(transformers, classifier)


def checked_shape(known: list[Any], n_features: int) -> Shape:
    """Return the first shape that is known of images of ``n_features``, or a square.

    Raises
    ------
    ValueError
        If images have colours, or there is no square of so many pixels.
    """
    given = next((one for one in known if one is not None), None)
    height, width, channels = shape_of_images(given, n_features)
    if channels != 1:
        raise ValueError(
            f"image_shape={given!r} has {channels} channels, but drawings are grey: "
            "fit the classifier to grey images of shape (height, width)."
        )
    if given is None and height != width:
        raise ValueError(
            f"image_shape=None stands for square images, but {n_features} features "
            "are none: pass image_shape=(height, width)."
        )
    return height, width


def own_steps(shape: Shape) -> list[Step]:
    """Return the steps that make an image of a shape of a drawing.

    The digit has the size that it has in MNIST's images, beside the shorter side.
    """
    size = min(shape)
    first = _step(own_normaliser(shape))
    if shape == (size, size):
        return [first]

    # The middle of the square comes to lie on the middle of the image.
    top, left = (side // 2 - size // 2 for side in shape)
    height, width = shape
    pad = {"kind": "pad", "height": height, "width": width, "top": top, "left": left}
    return [first, pad]


def own_normaliser(shape: Shape) -> DigitNormalizer:
    """Return the transformer that makes a square image of a drawing."""
    size = min(shape)
    digit_size = max(1, round(size * DIGIT))
    return DigitNormalizer(size=size, digit_size=digit_size, clean_up=False)


def steps_of(parts: Parts) -> list[Step]:
    """Return what the transformers do.

    Raises
    ------
    TypeError
        If there is one that a page cannot compute.
    """
    return [_step(one) for one in parts.transformers]


def _step(transformer: BaseEstimator) -> Step:
    if type(transformer) in MOVING:
        return {"kind": MOVING[type(transformer)]}
    if type(transformer) is not DigitNormalizer:
        raise TypeError(
            f"A page cannot compute {type(transformer).__name__}: in front of a "
            "classifier of skdigits, it takes DigitNormalizer, Deskew and "
            f"CenterByMass. {THE_SERVER}"
        )

    # A drawing has no light, lines or specks that clean_up could take off.
    return {
        "kind": "normalise",
        "size": int(transformer.size),
        "digit_size": int(transformer.digit_size),
        "threshold": float(transformer.threshold),
        "inverted": None if transformer.invert == "auto" else bool(transformer.invert),
    }


THE_SERVER = (
    "For any other classifier, save it with joblib.dump(model, 'model.joblib') and "
    "run: python -m skdigits.draw model.joblib"
)
