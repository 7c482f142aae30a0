"""Tables of wrong predictions: by pairs of classes, and by the largest losses."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin

from skdigits.inspection._answers import (
    as_array,
    match_probabilities,
    method,
    predictions,
    samples_for,
    true_labels,
)
from skdigits.inspection._display import whole_number


def confusion_pairs(estimator_or_predictions, X, y):
    """Count how often each class is mistaken for another, and list the samples.

    Parameters
    ----------
    estimator_or_predictions : estimator or array-like of shape (n_samples,)
        Fitted classifier, whose ``predict`` is called once, or predicted labels.
    X : {array-like, sparse matrix} of shape (n_samples, n_features) or None
        Samples to predict. None is enough if predictions are passed.
    y : array-like of shape (n_samples,)
        True labels: numbers, strings or booleans. Labels that the estimator has never
        seen are allowed.

    Returns
    -------
    DataFrame
        One row for each pair of classes that is confused, sorted by decreasing
        ``count``, then by ``true`` and ``predicted``. The table is empty if all
        predictions are right. Its columns:

        - true, predicted : the two classes.
        - count : int. Number of samples of class ``true`` predicted as ``predicted``.
        - share : float in (0, 1]. ``count`` divided by the number of samples of class
          ``true``.
        - rows : int ndarray of shape (count,). Positions of the samples in X,
          ascending.

    Raises
    ------
    AttributeError
        If the estimator has no ``predict``.
    ValueError
        If X, y and the predictions differ in length, y has several labels per sample,
        or only one of y and the predictions holds strings.

    See Also
    --------
    top_losses : The samples with the largest losses.
    sklearn.metrics.ConfusionMatrixDisplay : All pairs as a plot.

    Examples
    --------
    >>> from skdigits.inspection import confusion_pairs
    >>> predictions = ["cat", "dog", "cat", "cat"]
    >>> confusion_pairs(predictions, None, ["cat", "cat", "dog", "dog"])
      true predicted  count  share    rows
    0  dog       cat      2    1.0  [2, 3]
    1  cat       dog      1    0.5     [1]
    """
    y = true_labels(X, y)
    predicted = predictions(estimator_or_predictions, X, y)
    classes, codes = np.unique(np.concatenate([y, predicted]), return_inverse=True)
    true, found = np.split(codes, 2)

    wrong = np.flatnonzero(true != found)
    pairs = pd.DataFrame(
        {"true": true[wrong], "predicted": found[wrong], "rows": wrong}
    )
    # groupby sorts the pairs, so that a stable sort by count settles ties.
    groups = pairs.groupby(["true", "predicted"])["rows"]
    rows = {pair: group.to_numpy() for pair, group in groups}

    # The reshape gives an empty table two columns, too.
    columns = np.array(list(rows), dtype=np.intp).reshape(-1, 2)
    count = np.array([len(each) for each in rows.values()], dtype=np.int64)
    table = pd.DataFrame(
        {
            "true": classes[columns[:, 0]],
            "predicted": classes[columns[:, 1]],
            "count": count,
            "share": count / np.bincount(true)[columns[:, 0]],
            "rows": pd.Series(list(rows.values()), dtype=object),
        }
    )
    return table.sort_values("count", ascending=False, kind="stable", ignore_index=True)


def top_losses(estimator, X, y, k=10):
    """Find the samples with the largest losses.

    Parameters
    ----------
    estimator : estimator
        Fitted classifier. Its ``predict_log_proba`` is called once, or its
        ``predict_proba`` if it has no ``predict_log_proba``.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples.
    y : array-like of shape (n_samples,)
        True labels of the samples. The estimator must know all of them.
    k : int, default=10
        Maximum number of samples to return.

    Returns
    -------
    DataFrame of k rows
        One row for each sample, sorted by decreasing loss; equal losses keep the order
        of X. Its columns:

        - row : int. Position of the sample in X.
        - true : the true class.
        - predicted : the most probable class, the first of equally probable ones.
        - loss : float64. :math:`-\\log p` of the true class, in nats. A probability of
          0 is replaced by the smallest normal number of its dtype, with a loss of 708.4
          in float64 and 87.3 in float32.
        - proba_true, proba_predicted : float64. The probabilities of the two classes.

    Raises
    ------
    AttributeError
        If the estimator has neither ``predict_log_proba`` nor ``predict_proba``.
    ValueError
        If k is not an integer of at least 1, X and y differ in length, y has several
        labels per sample, or y has a label that the estimator has never seen.

    See Also
    --------
    confusion_pairs : Which classes are confused with which others.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import TemplateMatchingClassifier
    >>> from skdigits.inspection import top_losses
    >>> X, y = load_digits(return_X_y=True)
    >>> worst = top_losses(TemplateMatchingClassifier().fit(X, y), X, y, k=3)
    >>> worst[["row", "true", "predicted"]]
        row  true  predicted
    0  1660     4          8
    1  1611     4          8
    2  1662     9          5
    """
    k = whole_number("k", k)
    y = true_labels(X, y)
    log_proba = _log_proba(estimator, samples_for(estimator, X))
    subject = f"The probabilities of {type(estimator).__name__}"
    found = match_probabilities(np.exp(log_proba), y, estimator.classes_, subject)

    # Use logarithms, which are finite where a probability underflows to 0.
    log_true = log_proba[np.arange(len(y)), found.codes]
    smallest = np.log(np.finfo(log_proba.dtype).tiny)
    loss = -np.where(np.isfinite(log_true), log_true, smallest).astype(np.float64)
    best = log_proba.argmax(1)

    rows = np.argsort(-loss, kind="stable")[:k]
    return pd.DataFrame(
        {
            "row": rows,
            "true": y[rows],
            "predicted": found.classes[best[rows]],
            "loss": loss[rows],
            "proba_true": found.of_true[rows].astype(np.float64),
            "proba_predicted": found.proba[rows, best[rows]].astype(np.float64),
        }
    )


def _log_proba(estimator: ClassifierMixin, X: ArrayLike) -> np.ndarray:
    """Return logarithms of probabilities, -inf for 0, by a single call."""
    # The logarithm of 0 is no mistake here, and an estimator may warn of its own.
    with np.errstate(divide="ignore", invalid="ignore"):
        if hasattr(estimator, "predict_log_proba"):
            values = as_array(estimator.predict_log_proba(X))
        else:
            values = as_array(method(estimator, "predict_proba")(X))
            values = np.log(values)
    return values if values.dtype.kind == "f" else values.astype(np.float64)
