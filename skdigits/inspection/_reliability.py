"""Calibration: whether a model is right as often as its probabilities say."""

import numpy as np
import pandas as pd

from skdigits.inspection._answers import Answers, answers, is_estimator, true_labels
from skdigits.inspection._display import whole_number


def reliability(estimator_or_probabilities, X, y, *, n_bins=15):
    """Compare the confidence of models with their accuracy.

    Parameters
    ----------
    estimator_or_probabilities : estimator, array-like (n_samples, n_classes), or dict
        Fitted classifier, whose ``predict_proba`` is called once; or probabilities,
        with columns in the order of ``np.unique(y)``; or a dict with several of these
        by name.
    X : {array-like, sparse matrix} of shape (n_samples, n_features) or None
        Samples. None is enough if only probabilities are passed.
    y : array-like of shape (n_samples,)
        True labels of the samples. The estimators must know all of them.
    n_bins : int, default=15
        Number of bins of equal width that divide [0, 1] for ``ece``. A value on an edge
        belongs to the lower bin, as in :func:`sklearn.calibration.calibration_curve`.

    Returns
    -------
    DataFrame of float64
        One row for each model. The index has the keys of the dict. A single model is
        named by its class, and an array is named ``"probabilities"``. The columns:

        - accuracy : fraction of samples whose most probable class is the true class.
        - confidence : mean probability of the most probable class.
        - ece : expected calibration error, :math:`\\sum_b \\frac{n_b}{n} |a_b - c_b|`,
          with the accuracy :math:`a_b` and mean confidence :math:`c_b` of the
          :math:`n_b` samples whose confidence is in bin b.
        - ece_expected : mean ``ece`` of a perfectly calibrated model with the same
          confidences, which is above 0 because the number of samples is finite. An
          ``ece`` near or below ``ece_expected`` is no sign of bad calibration.
        - nll : mean of :math:`-\\log p` of the true class, in nats.
        - brier : mean over samples of :math:`\\sum_k (p_k - [y = k])^2`, between 0 and
          2.

    Raises
    ------
    AttributeError
        If an estimator has no ``predict_proba``.
    ValueError
        If n_bins is not an integer of at least 1; if X, y and the probabilities differ
        in length; if y has several labels per sample, or a label that an estimator has
        never seen; or if probabilities have the wrong shape, are not finite, or do not
        sum to 1 within 0.001.

    See Also
    --------
    confidences : Confidence of each sample, to draw a calibration curve.
    sklearn.calibration.CalibratedClassifierCV : Improves the probabilities.

    Notes
    -----
    Let :math:`c_i` be the confidences in bin b, and :math:`S_b` the number of successes
    of independent trials with the probabilities :math:`c_i`. Then ``ece_expected`` is
    :math:`\\frac{1}{n} \\sum_b E|S_b - \\sum_i c_i|`, computed from the exact
    distribution of :math:`S_b`.

    ``nll`` replaces a probability of 0 by the smallest normal number of its dtype.
    :func:`sklearn.metrics.log_loss` replaces all probabilities below the precision of
    the dtype, so a sample adds at most 15.9 in float32.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On Calibration of Modern Neural
       Networks", ICML 2017.

    Examples
    --------
    >>> from skdigits.inspection import reliability
    >>> proba = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]]
    >>> reliability(proba, None, ["no", "yes", "yes", "yes"]).round(3).T
                  probabilities
    accuracy              0.750
    confidence            0.750
    ece                   0.400
    ece_expected          0.350
    nll                   0.646
    brier                 0.450
    """
    n_bins = whole_number("n_bins", n_bins)
    y = true_labels(X, y)
    models = estimator_or_probabilities

    if isinstance(models, dict):
        if not models:
            raise ValueError(
                "The dict of models is empty: enter an estimator or probabilities."
            )
        figures = {
            name: _figures(answers(model, X, y, name), n_bins)
            for name, model in models.items()
        }
    else:
        # The single row of the table needs a name, too.
        name = type(models).__name__ if is_estimator(models) else "probabilities"
        figures = {name: _figures(answers(models, X, y), n_bins)}

    return pd.DataFrame.from_dict(figures, orient="index", dtype=np.float64)


def confidences(estimator_or_probabilities, X, y):
    """Return for each sample whether a model is right, and how confident it is.

    Parameters
    ----------
    estimator_or_probabilities : estimator or array-like of shape (n_samples, n_classes)
        Fitted classifier, whose ``predict_proba`` is called once; or probabilities,
        with columns in the order of ``np.unique(y)``.
    X : {array-like, sparse matrix} of shape (n_samples, n_features) or None
        Samples. None is enough if probabilities are passed.
    y : array-like of shape (n_samples,)
        True labels of the samples. An estimator must know all of them.

    Returns
    -------
    correct : int64 ndarray of shape (n_samples,)
        1 if the most probable class is the true class, otherwise 0. Of equally probable
        classes, the first counts as predicted.
    confidence : float64 ndarray of shape (n_samples,)
        Probability of the most probable class, in [0, 1].

    Raises
    ------
    AttributeError
        If the estimator has no ``predict_proba``.
    ValueError
        If y or the probabilities are not as described, as in `reliability`.

    See Also
    --------
    reliability : Summary of all samples.
    sklearn.calibration.CalibrationDisplay : Draws the calibration curve.

    Examples
    --------
    The points of a calibration curve, accuracy against confidence:

    >>> from sklearn.calibration import calibration_curve
    >>> from skdigits.inspection import confidences
    >>> proba = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]]
    >>> correct, confidence = confidences(proba, None, ["no", "yes", "yes", "yes"])
    >>> accuracy, sure = calibration_curve(correct, confidence, n_bins=5)
    >>> accuracy.round(2).tolist(), sure.round(2).tolist()
    ([1.0, 0.5, 1.0], [0.6, 0.75, 0.9])

    ``CalibrationDisplay.from_predictions(correct, confidence)`` draws it.
    """
    return _confidences(answers(estimator_or_probabilities, X, true_labels(X, y)))


def _confidences(found: Answers) -> tuple[np.ndarray, np.ndarray]:
    """Return whether the likeliest class is true (n,), and its probability (n,)."""
    best = found.proba.argmax(1)
    # Rounded probabilities may leave [0, 1] by the tolerance of the sum.
    confidence = found.proba.max(1).astype(np.float64).clip(0, 1)
    return (best == found.codes).astype(np.int64), confidence


def _figures(found: Answers, n_bins: int) -> dict[str, float]:
    """Return the columns of one row of the table."""
    correct, confidence = _confidences(found)
    edges = np.linspace(0, 1, n_bins + 1)
    bins = np.searchsorted(edges[1:-1], confidence)
    # The sum of these differences over a bin is n_b (a_b − c_b).
    gaps = np.bincount(bins, weights=correct - confidence)
    noise = [_deviation(confidence[bins == each]) for each in np.unique(bins)]

    likelihood = found.of_true.clip(np.finfo(found.proba.dtype).tiny)
    # In float64 also for float32, because the sums run over all samples.
    errors = found.proba.astype(np.float64)
    errors[np.arange(len(errors)), found.codes] -= 1

    return {
        "accuracy": correct.mean(),
        "confidence": confidence.mean(),
        "ece": np.abs(gaps).sum() / len(correct),
        "ece_expected": sum(noise) / len(correct),
        "nll": -np.log(likelihood, dtype=np.float64).mean(),
        "brier": (errors**2).sum(1).mean(),
    }


def _deviation(chances: np.ndarray) -> float:
    """Return the mean distance of the number of successes from its mean.

    Each trial succeeds with its own chance c. The generating function of the number of
    successes is the product of the polynomials ``1 − c + c z``.
    """
    factors = np.column_stack([1 - chances, chances])
    # Multiply in pairs by FFT: one after the other would take quadratic time.
    while len(factors) > 1:
        if len(factors) % 2:
            one = np.eye(1, factors.shape[1])
            factors = np.concatenate([factors, one])
        length = 2 * factors.shape[1] - 1
        spectra = np.fft.rfft(factors, length)
        factors = np.fft.irfft(spectra[::2] * spectra[1::2], length)

    successes = np.arange(factors.shape[1])
    return factors[0] @ np.abs(successes - chances.sum())
