"""From logits to predictions: what all estimators have in common."""

import math
from abc import abstractmethod
from typing import Any

import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import Tensor

from skdigits._arrays import (
    from_numpy,
    from_tensor,
    isolated,
    refuse_cuda_tensors,
    to_numpy,
    to_tensor,
)
from skdigits._input_checks import (
    check_query,
    names_what_is_meant,
    prediction_device,
)
from skdigits._versions import Versioned


def log_proba(logits: Tensor) -> Tensor:
    """Return the log-softmax over the classes, at least log of the smallest number."""
    # Probabilities and log-probabilities then agree everywhere, and no sample has an
    # infinite log-loss.
    smallest = math.log(torch.finfo(logits.dtype).tiny)
    # Over few classes, a softmax along columns takes a thirtieth of the time.
    found = torch.log_softmax(logits.mT, -2).mT
    return found.clamp_min(smallest).contiguous()


def _proba_of_labels(logits: Tensor) -> Tensor:
    """Return the sigmoid of each logit, kept from 0 and 1 for finite logarithms."""
    limits = torch.finfo(logits.dtype)
    return torch.sigmoid(logits).clamp_(limits.tiny, 1 - limits.eps / 2)


class TorchClassifier(Versioned, ClassifierMixin, BaseEstimator):
    """A classifier whose probabilities are the softmax or the sigmoid of logits.

    Classes compete by a softmax; each of several labels has its own sigmoid.

    Subclasses add ``__init__``, ``fit`` and the two members marked abstract.
    """

    _multilabel = False  # whether the model was fitted to multilabel targets
    _doubts = True  # whether numbers that may mean something else are warned of
    # Models of versions without ``pixels_`` read uint8 as pixels, whatever the fit was.
    _learnt = (-math.inf, math.inf, True)

    set_params = names_what_is_meant(BaseEstimator.set_params)

    @abstractmethod
    def _logits(self, X: Tensor) -> Tensor:
        """Return logits (n_samples, n_classes) of checked samples."""

    @property
    @abstractmethod
    def _fitted_array(self) -> Any:
        """One of the fitted arrays, which share one namespace and one device."""

    @isolated()
    def predict(self, X):
        """Predict the class of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples; integers are read as in the fit (see ``pixels_``).

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

    @isolated()
    def predict_proba(self, X):
        """Predict the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples; integers are read as in the fit (see ``pixels_``).

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Positive probabilities, in the order of ``classes_``. The probabilities of a
            sample sum to 1. After a multilabel fit, they are the independent
            probabilities of the labels.

        Raises
        ------
        ValueError
            If X is invalid or has other features than in ``fit``.
        sklearn.exceptions.NotFittedError
            If the model is not fitted.
        """
        X, logits = self._checked_logits(X, "predict_proba")
        proba = (
            _proba_of_labels(logits) if self._multilabel else log_proba(logits).exp()
        )
        return from_tensor(proba, X)

    @isolated()
    def predict_log_proba(self, X):
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples; integers are read as in the fit (see ``pixels_``).

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Log-probabilities, in the order of ``classes_``. All are finite: the minimum
            is the logarithm of the smallest normal number, -87.3 in float32 and -708.4
            in float64.

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
            _proba_of_labels(logits).log() if labels else log_proba(logits), X
        )

    @isolated()
    def decision_function(self, X):
        """Compute the confidence score of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples; integers are read as in the fit (see ``pixels_``).

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples,)
            Scores whose softmax gives the probabilities: the logits, or with
            ``loss="sigmoid_mse"`` their log-sigmoids. For templates, the scores are
            -distance / temperature, and -inf for a class without a template. For two
            classes, the result has shape (n_samples,): the score of the second class
            minus the score of the first, which is positive if the second class is
            predicted. After a multilabel fit, the score of a label is its logit, which
            is positive if the label is predicted.

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

    def score(self, X, y, sample_weight=None):
        """Compute the accuracy of predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples; integers are read as in the fit (see ``pixels_``).
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            True classes, or which labels each sample has.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of samples.

        Returns
        -------
        float
            Fraction of the samples whose class, or labels, are all predicted.

        Raises
        ------
        TypeError
            If y or the weights are tensors on a GPU without array API dispatch.
        ValueError
            If X is invalid or has other features than in ``fit``.
        sklearn.exceptions.NotFittedError
            If the model is not fitted.
        """
        refuse_cuda_tensors(y=y, sample_weight=sample_weight)
        return super().score(X, y, sample_weight)

    def _checked_logits(self, X, method):
        """Check X; return X as an array, and its checked logits."""
        X = check_query(self, X, "_fitted_array", method)
        samples = to_tensor(X, prediction_device(self.device, X))
        return X, self._finite(self._logits(samples))

    def _finite(self, logits: Tensor) -> Tensor:
        """Return the logits, after checking that none of them has overflowed."""
        # A class without templates has -inf; an overflow shows in the largest logit.
        if not all(map(math.isfinite, logits.amax(1).aminmax())):
            raise ValueError(
                f"The logits of {type(self).__name__} overflow {logits.dtype} for "
                "these samples. Bring X to the scale of the training samples, or to "
                "[0, 1]."
            )
        return logits

    def __setstate__(self, state):
        # In version 0.1, ``pixels_`` was private.
        if "_pixels" in state:
            state = {**state, "pixels_": state["_pixels"]}
            del state["_pixels"]
        super().__setstate__(state)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "classes_")
