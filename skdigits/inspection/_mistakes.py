"""Which rows a model gets wrong: by pairs of classes, and the worst of them."""

import numpy as np
import pandas as pd

from skdigits.inspection._answers import (
    as_array,
    matched,
    method,
    needed,
    predictions,
    true_labels,
)
from skdigits.inspection._display import whole_number


def confusion_pairs(estimator_or_predictions, X, y):
    """Count which classes are taken for which others, and tell the rows.

    Parameters
    ----------
    estimator_or_predictions : estimator or array-like of shape (n_samples,)
        A fitted classifier, whose ``predict`` is called once; or the predicted labels.
    X : array-like of shape (n_samples, n_features) or None
        Rows to predict for. None will do where predictions are passed.
    y : array-like of shape (n_samples,)
        The true labels: numbers, strings or booleans. Such as the estimator has never seen
        are confused with whatever it predicts.

    Returns
    -------
    DataFrame
        A row for each pair of classes that is confused, most often confused first; of equal
        ones by ``true``, then ``predicted``. Empty if all is right. With these columns:

        - true, predicted : the classes, never the same.
        - count : int. Rows of the one class that are taken for the other.
        - share : float in (0, 1]. Of all rows whose true class is ``true``.
        - rows : int ndarray of shape (count,). Their positions in X, ascending.

    Raises
    ------
    AttributeError
        If the estimator has no ``predict``.
    ValueError
        If X, y and the predictions differ in length, y has several labels per row, or one
        has words for labels and the other numbers.

    See Also
    --------
    top_losses : The rows that the model is most wrong about.
    sklearn.metrics.ConfusionMatrixDisplay : All pairs as a picture.

    Examples
    --------
    >>> from skdigits.inspection import confusion_pairs
    >>> confusion_pairs(["cat", "dog", "cat", "cat"], None, ["cat", "cat", "dog", "dog"])
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
    groups = pairs.groupby(["true", "predicted"])["rows"]
    rows = {pair: group.to_numpy() for pair, group in groups}  # sorted by pair
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
    """Find the rows that a model is most wrong about.

    Parameters
    ----------
    estimator : estimator
        A fitted classifier. Its ``predict_log_proba`` is called once; or, where it has none,
        its ``predict_proba``.
    X : array-like of shape (n_samples, n_features)
        Rows.
    y : array-like of shape (n_samples,)
        Their true labels, all of which the estimator must know.
    k : int, default=10
        How many rows to return; all of them if there are fewer.

    Returns
    -------
    DataFrame of k rows
        The worst first, of equal ones the first in X. With these columns:

        - row : int. Position in X.
        - true : the true class.
        - predicted : the likeliest class; of equally likely ones the first.
        - loss : float64. :math:`-\\log p` of the true class, in nats. A probability of 0
          counts as the smallest normal number of its dtype: 708.4 in float64, 87.3 in
          float32.
        - proba_true, proba_predicted : float64. The probabilities of the two classes.

    Raises
    ------
    AttributeError
        If the estimator has no probabilities.
    ValueError
        If k is not a whole number of 1 or more, X and y differ in length, y has several
        labels per row or such as the estimator has never seen.

    See Also
    --------
    confusion_pairs : Which classes are taken for which others.

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
    log_proba = _log_proba(estimator, needed(X, estimator))
    who = f"Probabilities of {type(estimator).__name__}"
    found = matched(np.exp(log_proba), y, estimator.classes_, who)
    each = np.arange(len(y))
    least = np.log(np.finfo(log_proba.dtype).tiny)
    log_true = log_proba[each, found.codes]
    loss = -np.where(np.isfinite(log_true), log_true, least).astype(np.float64)
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


def _log_proba(estimator, X):
    """Logarithms of probabilities, -inf of 0, from one call: their own are the sharper."""
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # logarithms of 0 are no mistake
        if hasattr(estimator, "predict_log_proba"):
            values = as_array(estimator.predict_log_proba(X))
        else:
            values = as_array(method(estimator, "predict_proba")(X))
            values = np.log(values)
    return values if values.dtype.kind == "f" else values.astype(np.float64)
