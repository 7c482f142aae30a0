"""Fitted classifiers as plain values and base64, which a page computes with."""

import base64
from typing import Any, TypeAlias

import numpy as np
import torch
from sklearn.base import BaseEstimator

from skdigits._arrays import to_numpy, to_tensor
from skdigits._base import TorchClassifier
from skdigits._convnet import ConvNetClassifier
from skdigits._mlp import MLPClassifierTorch
from skdigits._pixels import WHITE, full_ink
from skdigits._softmax_regression import SoftmaxRegression
from skdigits._template_matching import TemplateMatchingClassifier
from skdigits.draw._steps import (
    THE_SERVER,
    Parts,
    Shape,
    checked_shape,
    own_steps,
    steps_of,
    taken_apart,
)
from skdigits.engine.activations import ACTIVATIONS
from skdigits.engine.standardised import standardised

Record: TypeAlias = dict[str, Any]
"""Values that JSON can hold."""

CLASSIFIERS = (
    TemplateMatchingClassifier,
    SoftmaxRegression,
    MLPClassifierTorch,
    ConvNetClassifier,
)
PAGE_ACTIVATIONS = ("identity", "logistic", "tanh", "relu")  # those of page.js


def exported(
    model: BaseEstimator, image_shape: Shape | None = None, name: str = "model"
) -> Record:
    """Return all that a page needs to know of a fitted model, a parameter of this name.

    Raises
    ------
    TypeError
        If a page cannot compute the model.
    ValueError
        If it predicts several labels of a drawing, its images have colours or an
        unknown shape, or it was fitted to numbers below 0.
    """
    parts = taken_apart(model, name)
    classifier = parts.classifier
    _check_class(classifier)
    steps = steps_of(parts)
    shape = shape_of_rows(parts, image_shape)

    own = parts.normaliser is None
    return {
        "name": parts.name,
        "classes": [str(label) for label in to_numpy(classifier.classes_)],
        "own": own,
        "dark": parts.dark,
        "steps": [*own_steps(shape), *steps] if own else steps,
        **scale(classifier),
        "shape": shape,
        "classifier": _computed(classifier),
    }


def _check_class(classifier: BaseEstimator) -> None:
    # A subclass may compute something else.
    if type(classifier) not in CLASSIFIERS:
        names = ", ".join(cls.__name__ for cls in CLASSIFIERS)
        raise TypeError(
            f"A page cannot compute {type(classifier).__name__}: it takes {names}, "
            "alone or behind DigitNormalizer, Deskew and CenterByMass in a Pipeline. "
            f"{THE_SERVER}"
        )
    if classifier._multilabel:
        raise ValueError(
            f"This {type(classifier).__name__} was fitted to several labels a sample, "
            "but a page shows the one class of a drawing: fit it to one label a "
            "sample, y of shape (n_samples,)."
        )


def shape_of_rows(parts: Parts, image_shape: Shape | None) -> Shape:
    """Return the shape of the images in the rows that a classifier gets."""
    classifier = parts.classifier
    known = [getattr(classifier, "image_shape_", None), image_shape]
    if parts.normaliser is not None:
        # Rows of a normaliser are square, whatever was said of images before it.
        return checked_shape(known[:1], classifier.n_features_in_)

    holders = [classifier, *parts.transformers]
    known += [getattr(one, "image_shape", None) for one in holders]
    return checked_shape(known, classifier.n_features_in_)


def scale(classifier: TorchClassifier) -> Record:
    """Return what full ink is to a classifier, and whether pixels are whole bytes.

    Raises
    ------
    ValueError
        If the classifier was fitted to numbers below 0: a drawing cannot tell which
        of them are ink.
    """
    ink = full_ink(classifier)
    if ink is None:
        smallest, largest, _ = classifier._learnt
        raise ValueError(
            f"{type(classifier).__name__} was fitted to numbers from {smallest:g} to "
            f"{largest:g}, but drawings have a ground of 0: fit it to pixels as uint8, "
            "or put what scales them into a Pipeline. " + THE_SERVER
        )
    if ink != WHITE:
        return {"rounded": False, "ink": ink}
    whole = classifier.pixels_ or classifier._learnt[2]
    return {"rounded": True, "ink": 1.0 if whole else ink}


def _computed(classifier: Any) -> Record:
    if isinstance(classifier, TemplateMatchingClassifier):
        return _templates(classifier)
    return _network(classifier)


def _templates(classifier: TemplateMatchingClassifier) -> Record:
    return {
        "kind": "templates",
        "metric": classifier._metric,
        "temperature": float(classifier.temperature_),
        "seen": [bool(count > 0) for count in to_numpy(classifier.class_count_)],
        "templates": packed(classifier.templates_),
    }


def _network(classifier: Any) -> Record:
    """Return layers, outputs first, and what becomes of the last one's outputs."""
    network = classifier._fitted
    if network.activation not in PAGE_ACTIVATIONS:
        raise TypeError(
            f"A page cannot compute activation={network.activation!r}: it knows "
            f"{', '.join(PAGE_ACTIVATIONS)}. {THE_SERVER}"
        )

    layers = []
    for weight, bias in classifier._layers:
        values = to_numpy(weight)
        values = values.T if values.ndim == 2 else _kernel(values, network.activation)
        layers.append({"weight": packed(values), "bias": packed(bias)})

    if isinstance(classifier, ConvNetClassifier):
        for record, layer in zip(layers, network.convolutions, strict=False):
            record |= {"padding": layer.padding, "pool": layer.pool}
            record["kernel"] = layer.shape
    return {
        "kind": "network",
        "activation": network.activation,
        "log_sigmoid": network.loss == "sigmoid_mse",
        "shape": getattr(classifier, "image_shape_", None),
        "layers": layers,
    }


def _kernel(weight: np.ndarray, activation: str) -> np.ndarray:
    """Return the standardised weights of a convolution."""
    flat = to_tensor(weight, torch.device("cpu")).flatten(1)
    return standardised(flat, ACTIVATIONS[activation].gain).numpy()


def packed(values: Any) -> str:
    """Return numbers as base64 of float32, the first byte the lowest."""
    content = np.ascontiguousarray(to_numpy(values), dtype="<f4").tobytes()
    return base64.b64encode(content).decode("ascii")
