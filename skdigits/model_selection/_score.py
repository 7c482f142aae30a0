"""The ``score`` of searches, which names what scikit-learn's metrics do not take."""

from typing import Any

from numpy.typing import ArrayLike

from skdigits._arrays import refuse_cuda_tensors


class Scored:
    """A search with scikit-learn's ``score``."""

    def score(self, X: ArrayLike, y: Any = None, **params: Any) -> float:
        """Score the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,), default=None
            Class labels; None for a scorer that needs no labels.
        **params : dict
            Parameters of the scorer.

        Returns
        -------
        float
            Score by ``refit`` where it names a metric, else by ``scoring``, or by the
            ``score`` of the estimator.

        Raises
        ------
        TypeError
            If there is a tensor on a GPU without array API dispatch.
        ValueError
            If X is invalid, or if the search was fitted with ``refit=False`` and
            without a scorer.
        """
        refuse_cuda_tensors(X=X, y=y, **params)
        found: float = super().score(X, y, **params)  # type: ignore[misc]
        return found
