"""From logits to predictions: what all estimators have in common."""

import math
from abc import abstractmethod
from typing import Any

import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import Tensor

from skdigits._arrays import (
    from_numpy,
    from_tensor,
    prediction_device,
    to_numpy,
    to_tensor,
)
from skdigits._reporting import warn_of_other_pixels
from skdigits._validation import check_query


def _log_proba(logits: Tensor) -> Tensor:
    """Log-softmax over the classes, kept from where the probability would be 0.

    So that the two agree everywhere, and no row has an infinite log-loss.
    """
    smallest = math.log(torch.finfo(logits.dtype).tiny)
    return torch.log_softmax(logits, 1).clamp_min(smallest)


def _proba_of_labels(logits: Tensor) -> Tensor:
    """Sigmoid of each logit, kept from 0 and from 1: a label's opposite has one, too."""
    limits = torch.finfo(logits.dtype)
    return torch.sigmoid(logits).clamp_(limits.tiny, 1 - limits.eps / 2)


class TorchClassifier(ClassifierMixin, BaseEstimator):
    """A classifier whose probabilities are the softmax of logits, of labels the sigmoid.

    Subclasses add ``__init__``, ``fit`` and the two members marked abstract.
    """

    _takes_labels = False  # several a row
    _multilabel = False
    _reads_images = False
    _auto_batch = 200  # rows
    precision = "auto"
    _pixels = False  # whether it was fitted to uint8

    @abstractmethod
    def _logits(self, X: Tensor) -> Tensor:
        """Logits (n_samples, n_classes) of checked rows."""

    @property
    @abstractmethod
    def _fitted_array(self) -> Any:
        """One of the fitted arrays: all are in one namespace, on one device."""

    def predict(self, X):
        """Predict the class of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples; uint8 pixels are read as ``X / 255``.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            Most probable class of each sample; the first in ``classes_`` if several are
            equally probable. After a multilabel fit, 1 for each label of probability
            above 0.5, else 0.

        Raises
        ------
        ValueError
            If X is invalid or has other features than in ``fit``.
        sklearn.exceptions.NotFittedError
            If the model is not fitted.
        """
        X, logits = self._checked_logits(X, "predict")
        if self._multilabel:
            return from_tensor((logits > 0).long(), X)
        return from_numpy(self.classes_[to_numpy(logits.argmax(1))], X)

    def predict_proba(self, X):
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples; uint8 pixels are read as ``X / 255``.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Positive probabilities, in the order of ``classes_``. The probabilities of a
            sample sum to 1, except after a multilabel fit, where each label has a
            probability of its own.

        Raises
        ------
        ValueError
            If X is invalid or has other features than in ``fit``.
        sklearn.exceptions.NotFittedError
            If the model is not fitted.
        """
        X, logits = self._checked_logits(X, "predict_proba")
        proba = (
            _proba_of_labels(logits) if self._multilabel else _log_proba(logits).exp()
        )
        return from_tensor(proba, X)

    def predict_log_proba(self, X):
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples; uint8 pixels are read as ``X / 255``.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Finite log-probabilities, no less than the logarithm of the smallest normal
            number: -87.3 in float32, -708.4 in float64.

        Raises
        ------
        ValueError
            If X is invalid or has other features than in ``fit``.
        sklearn.exceptions.NotFittedError
            If the model is not fitted.
        """
        X, logits = self._checked_logits(X, "predict_log_proba")
        labels = self._multilabel
        return from_tensor(
            _proba_of_labels(logits).log() if labels else _log_proba(logits), X
        )

    def decision_function(self, X):
        """Compute the confidence score of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples; uint8 pixels are read as ``X / 255``.

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples,)
            Scores whose softmax gives the probabilities: the logits, their log-sigmoids
            with ``loss="sigmoid_mse"``, or -distance / temperature, which is -inf for a
            class without a template. Two classes have one score, of the second minus of
            the first, which is positive if the second is predicted. After a multilabel
            fit, the score of a label is its logit, which is positive if the label is
            predicted.

        Raises
        ------
        ValueError
            If X is invalid or has other features than in ``fit``.
        sklearn.exceptions.NotFittedError
            If the model is not fitted.
        """
        X, logits = self._checked_logits(X, "decision_function")
        two = logits.shape[1] == 2 and not self._multilabel
        return from_tensor(logits[:, 1] - logits[:, 0] if two else logits, X)

    def _fitted_network(self) -> Any:
        """The network that was fitted, of those that are one."""
        return self._network(self.n_features_in_, len(self.classes_), self._multilabel)

    def _layout(self) -> tuple[Any, ...]:
        """That of the fitted network, in which it can be trained further."""
        return tuple(tuple(weight.shape) for weight in self._weights())

    def _checked_logits(self, X: Any, method: str) -> tuple[Any, Tensor]:
        X = check_query(self, X, method)
        rows = to_tensor(X, prediction_device(self.device, X))
        warn_of_other_pixels(self, rows)
        return X, self._finite(self._logits(rows))

    def _finite(self, logits: Tensor) -> Tensor:
        # -inf is a class that cannot be; anything else that is not finite has overflowed,
        # and shows in the largest.
        if not all(map(math.isfinite, logits.amax(1).aminmax())):
            raise ValueError(
                f"The logits of {type(self).__name__} overflow {logits.dtype} for these rows. "
                "Bring X to the scale of the rows it was fitted on, or to [0, 1]."
            )
        return logits

    def __getstate__(self):
        # The history as arrays: a DataFrame is nothing that skops can store.
        state = dict(super().__getstate__())
        if "history_" in state:
            history = state["history_"]
            state["history_"] = {name: history[name].to_numpy() for name in history}
        return state

    def __setstate__(self, state):
        if "history_" in state:
            state = {**state, "history_": pd.DataFrame(state["history_"])}
        super().__setstate__(state)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "classes_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        return tags
