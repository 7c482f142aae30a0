"""What a fitted model of any kind says of a drawing, for the server."""

import math
from collections.abc import Iterable
from itertools import takewhile
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skdigits._arrays import to_numpy
from skdigits._base import TorchClassifier
from skdigits._pixels import WHITE
from skdigits._template_matching import TemplateMatchingClassifier
from skdigits.draw._export import Record, packed, scale
from skdigits.draw._steps import (
    MOVING,
    Shape,
    checked_shape,
    own_normaliser,
    taken_apart,
)
from skdigits.preprocessing import DigitNormalizer

SIDE = 420  # pixels of a drawing, as page.js has it


def _trial() -> np.ndarray:
    """Return the drawing of a tap."""
    rows, columns = np.indices((SIDE, SIDE)) - SIDE // 2
    return ((rows**2 + columns**2 < 16**2) * WHITE).astype(np.uint8)


class Reader:
    """A fitted model, and how drawings become what it takes.

    Drawings are uint8 of shape (420, 420), bright ink on black.

    Parameters
    ----------
    model : estimator
        Any fitted classifier that takes images, or a row of pixels each.
    image_shape : tuple (height, width), default=None
        Shape of the images in rows; None is the model's own, or a square.
    ink : float, default=None
        The number of full ink in the images that the model was fitted to. Classifiers
        of skdigits know it.
    name : str, default="model"
        What messages call the model.

    Raises
    ------
    TypeError
        If the model is no classifier.
    ValueError
        If it cannot read a drawing, answers with several labels, or ``image_shape`` or
        ``ink`` is needed.
    """

    def __init__(
        self,
        model: BaseEstimator,
        image_shape: Shape | None = None,
        ink: float | None = None,
        name: str = "model",
    ):
        self.parts = taken_apart(model, name)
        if np.ndim(self.parts.classifier.classes_[0]) or self._multilabel:
            raise self._several()
        own = list(takewhile(_is_ours, self.parts.transformers))
        self.takes_images = bool(own) and isinstance(own[0], DigitNormalizer)
        self.seen_by = own
        self.ink = self._ink(ink)
        self.shape = self._shape(image_shape)
        self.classes = [str(one) for one in to_numpy(self.parts.classifier.classes_)]
        self._try()

    @property
    def _multilabel(self) -> bool:
        return bool(getattr(self.parts.classifier, "_multilabel", False))

    def _several(self) -> ValueError:
        return ValueError(
            f"This {self.parts.name} answers with several labels, but a drawing is of "
            "one class: fit it to y of shape (n_samples,)."
        )

    def _try(self) -> None:
        """Find out whether the model reads drawings, before the server starts."""
        try:
            self.read(_trial())
        except ValueError:
            raise
        except Exception as error:
            kind = type(error).__name__
            raise ValueError(
                f"{self.parts.name} cannot read a drawing ({kind}: {error})."
            ) from error

    def _ink(self, ink: float | None) -> float:
        """Return the number of full ink; 255 stands for uint8."""
        classifier = self.parts.classifier
        ours = self.seen_by == self.parts.transformers
        if ours and isinstance(classifier, TorchClassifier):
            known = scale(classifier)
            return float(WHITE) if known["rounded"] else known["ink"]

        if ink is None or not (math.isfinite(ink) and ink > 0):
            raise ValueError(
                f"ink={ink!r} must be the number of full ink in the images that "
                f"{self.parts.name} was fitted to: pass --ink 255, --ink 16 or "
                "--ink 1, say."
            )
        if self.takes_images and ink not in (1, WHITE):
            raise ValueError(
                f"ink={ink:g} cannot come from a DigitNormalizer: pass --ink 255 if "
                "the Pipeline was fitted to uint8, else --ink 1."
            )
        return float(ink)

    def _shape(self, image_shape: Shape | None) -> Shape:
        """Return the shape of the images in rows, before any transformer."""
        if self.takes_images:
            return SIDE, SIDE
        first = [*self.parts.transformers, self.parts.classifier][0]
        known = [image_shape, getattr(first, "image_shape_", None)]
        known += [getattr(first, "image_shape", None)]
        # Behind Deskew, the classifier's images are those in the rows.
        if self.seen_by == self.parts.transformers:
            known += [getattr(self.parts.classifier, "image_shape_", None)]
        return checked_shape(known, first.n_features_in_)

    @property
    def record(self) -> Record:
        """What the page has to know of the model."""
        classifier = self.parts.classifier
        templates = isinstance(classifier, TemplateMatchingClassifier)
        found: Record = {
            "name": self.parts.name,
            "classes": self.classes,
            "own": not self.takes_images,
            "shape": self._shape_seen(),
            "distances": templates,
        }
        if templates and len(classifier.templates_) == len(self.classes):
            found["shapes"] = packed(classifier.templates_)
        return found

    def _shape_seen(self) -> Shape:
        sizes = [one.size for one in self.seen_by if isinstance(one, DigitNormalizer)]
        return (int(sizes[-1]), int(sizes[-1])) if sizes else self.shape

    def picture(self, drawing: np.ndarray) -> np.ndarray:
        """Return a drawing in uint8 as the model is handed it."""
        if self.takes_images:
            return WHITE - drawing if self.parts.dark else drawing

        height, width = self.shape
        size = min(self.shape)
        digit = own_normaliser(self.shape).transform(drawing[np.newaxis])
        found = np.zeros(self.shape, np.uint8)
        top = height // 2 - size // 2
        left = width // 2 - size // 2
        found[top : top + size, left : left + size] = digit.reshape(size, size)
        return found

    def read(self, drawing: np.ndarray) -> Record:
        """Return what the model sees of a drawing, and what it answers."""
        picture = self.picture(drawing)
        given: np.ndarray = (
            picture if self.ink == WHITE else picture * (self.ink / WHITE)
        )
        X: Any = given[np.newaxis] if self.takes_images else given.reshape(1, -1)

        seen = X
        for number, transformer in enumerate(self.parts.transformers):
            X = transformer.transform(X)
            if number < len(self.seen_by):
                seen = X
        full = 1.0 if self.takes_images and self.ink != WHITE else self.ink
        return {"image": packed(np.ravel(to_numpy(seen)) / full), **self._answer(X)}

    def _answer(self, X: Any) -> Record:
        classifier = self.parts.classifier
        found: Record = {"probabilities": None, "logits": None}
        if hasattr(classifier, "predict_proba"):
            found["probabilities"] = _numbers(to_numpy(classifier.predict_proba(X))[0])
        scores = self._scores(X)
        if scores is not None:
            found["logits"] = _numbers(scores)
            if isinstance(classifier, TemplateMatchingClassifier):
                found["distances"] = _numbers(-scores * classifier.temperature_)

        label = to_numpy(classifier.predict(X))[0]
        if np.ndim(label):
            raise self._several()
        classes = list(to_numpy(classifier.classes_))
        return {**found, "label": classes.index(label)}

    def _scores(self, X: Any) -> np.ndarray | None:
        """Return the score of each class, if the classifier has any."""
        classifier = self.parts.classifier
        if isinstance(classifier, TorchClassifier):
            _, logits = classifier._checked_logits(X, "decision_function")
            found: np.ndarray = to_numpy(logits)[0]
            return found
        if not hasattr(classifier, "decision_function"):
            return None

        scores = np.asarray(classifier.decision_function(X))[0]
        if scores.ndim == 0:  # of two classes
            return np.array([0.0, scores])
        return scores if len(scores) == len(self.classes) else None


def _is_ours(transformer: object) -> bool:
    return isinstance(transformer, (DigitNormalizer, *MOVING))


def _numbers(values: Iterable[float]) -> list[float | None]:
    """Return numbers that JSON can hold; None stands for infinity."""
    return [float(one) if math.isfinite(one) else None for one in values]


def drawing_of(content: bytes) -> np.ndarray:
    """Return the drawing (420, 420) in the bytes that a page sends.

    Raises
    ------
    ValueError
        If there are too few, or none of them is ink.
    """
    if len(content) != SIDE * SIDE:
        raise ValueError(
            f"A drawing has {SIDE} x {SIDE} bytes, one a pixel, got {len(content)}."
        )
    drawing = np.frombuffer(content, np.uint8).reshape(SIDE, SIDE)
    if not drawing.any():
        raise ValueError("The drawing is empty: draw something first.")
    return drawing
