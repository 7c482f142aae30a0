"""Whether a model is right as often as it says."""

import numpy as np
import pandas as pd

from skdigits.inspection._answers import answers, is_estimator, true_labels
from skdigits.inspection._display import whole_number


def reliability(estimator_or_probabilities, X, y, *, n_bins=15):
    """Compare how sure models are with how often they are right.

    Parameters
    ----------
    estimator_or_probabilities : estimator, array-like (n_samples, n_classes), or dict
        A fitted classifier, whose ``predict_proba`` is called once; or probabilities, in
        the order of ``np.unique(y)``; or a dict of names with several of them.
    X : array-like of shape (n_samples, n_features) or None
        Rows. None will do where all probabilities are passed.
    y : array-like of shape (n_samples,)
        Their true labels, all of which an estimator must know.
    n_bins : int, default=15
        Number of bins of equal width into which [0, 1] is divided for ``ece``. A value on
        the edge of two counts for the lower one, as in
        :func:`sklearn.calibration.calibration_curve`.

    Returns
    -------
    DataFrame of float64
        A row for each model, by its name in the dict; one that is alone is called by its
        class, or ``"probabilities"``. With these columns:

        - accuracy : share of the rows whose likeliest class is the true one.
        - confidence : mean probability of the likeliest class.
        - ece : expected calibration error, :math:`\\sum_b \\frac{n_b}{n} |a_b - c_b|` with
          the accuracy :math:`a_b` and mean confidence :math:`c_b` of the :math:`n_b` rows
          with a confidence in bin b.
        - ece_expected : what ``ece`` is on the average for a model that is right just as
          often as it says, with these very confidences: no ``ece`` near it, or below it,
          tells of anything but the small number of rows.
        - nll : mean of :math:`-\\log p` of the true class, in nats.
        - brier : mean over rows of :math:`\\sum_k (p_k - [y = k])^2`, between 0 and 2.

    Raises
    ------
    AttributeError
        If an estimator has no ``predict_proba``.
    ValueError
        If n_bins is not a whole number of 1 or more; X, y and the probabilities differ in
        length; y has several labels per row or such as an estimator has never seen;
        probabilities have another shape, are not finite or do not sum to 1 within 0.001.

    See Also
    --------
    confidences : What to draw the curve of.
    sklearn.calibration.CalibratedClassifierCV : To make probabilities better.

    Notes
    -----
    With :math:`c_i` the confidences in bin b and :math:`S_b` the number of hits among as
    many independent trials that succeed with these probabilities, ``ece_expected`` is
    :math:`\\frac{1}{n} \\sum_b E|S_b - \\sum_i c_i|`, computed from the exact distribution of
    :math:`S_b`.

    ``nll`` takes a probability of 0 for the smallest normal number of its dtype, where
    :func:`sklearn.metrics.log_loss` takes all below the dtype's precision for that: in
    float32, it counts no row by more than 15.9.

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
    if not isinstance(models, dict):
        alone = type(models).__name__ if is_estimator(models) else "probabilities"
        return _table({alone: _figures(answers(models, X, y), n_bins)})
    if not models:
        raise ValueError(
            "The dict of models is empty: enter an estimator or probabilities."
        )
    return _table(
        {
            name: _figures(answers(model, X, y, name), n_bins)
            for name, model in models.items()
        }
    )


def confidences(estimator_or_probabilities, X, y):
    """Tell for each row whether a model is right, and how sure it is.

    Parameters
    ----------
    estimator_or_probabilities : estimator or array-like of shape (n_samples, n_classes)
        A fitted classifier, whose ``predict_proba`` is called once; or probabilities, in
        the order of ``np.unique(y)``.
    X : array-like of shape (n_samples, n_features) or None
        Rows. None will do where probabilities are passed.
    y : array-like of shape (n_samples,)
        Their true labels, all of which an estimator must know.

    Returns
    -------
    correct : int64 ndarray of shape (n_samples,)
        1 where the likeliest class, of equally likely ones the first, is the true one;
        else 0.
    confidence : float64 ndarray of shape (n_samples,)
        The probability of the likeliest class, in [0, 1].

    Raises
    ------
    AttributeError
        If the estimator has no ``predict_proba``.
    ValueError
        If y or the probabilities are not as described, as in `reliability`.

    See Also
    --------
    reliability : What all rows say in sum.
    sklearn.calibration.CalibrationDisplay : Draws the curve.

    Examples
    --------
    Accuracy against confidence, as a curve:

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


def _confidences(found):
    best = found.proba.argmax(1)
    confidence = found.proba.max(1).astype(np.float64).clip(0, 1)
    return (best == found.codes).astype(np.int64), confidence


def _table(figures):
    return pd.DataFrame.from_dict(figures, orient="index", dtype=np.float64)


def _figures(found, n_bins):
    """The columns of one row of the table."""
    correct, confidence = _confidences(found)
    bins = np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], confidence)
    gaps = np.bincount(bins, weights=correct - confidence)
    noise = [_deviation(confidence[bins == b]) for b in np.unique(bins)]
    likelihood = found.of_true.clip(np.finfo(found.proba.dtype).tiny)
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


def _deviation(chances):
    """Mean distance of the number of successes from its mean, each with its own chance.

    The distribution of their number has the product of the polynomials ``1 − c + c z`` for
    its generating function: multiplied two by two until one is left.
    """
    factors = np.column_stack([1 - chances, chances])
    while len(factors) > 1:
        if len(factors) % 2:
            one = np.eye(1, factors.shape[1])
            factors = np.concatenate([factors, one])
        length = 2 * factors.shape[1] - 1
        spectra = np.fft.rfft(factors, length)
        factors = np.fft.irfft(spectra[::2] * spectra[1::2], length)
    return factors[0] @ np.abs(np.arange(factors.shape[1]) - chances.sum())
