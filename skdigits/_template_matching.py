"""Classification by the nearest template."""

import numpy as np
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.utils.metaestimators import available_if

from skdigits._arrays import (
    compute_dtype,
    from_numpy,
    from_tensor,
    is_pixels,
    to_data,
    to_numpy,
    to_tensor,
    training_device,
)
from skdigits._base import TorchClassifier
from skdigits._parameters import TEMPLATES, check_parameters
from skdigits._validation import (
    check_classes,
    check_rows,
    private_random_state,
    unharmed,
)
from skdigits.engine.templates import (
    class_distances,
    class_means,
    class_sums,
    likeliest_temperature,
)


def _has_means(estimator):
    if estimator.n_templates != 1:
        raise AttributeError(
            "partial_fit is only available for class means, "
            f"but n_templates={estimator.n_templates!r}. Set n_templates=1."
        )
    return True


class TemplateMatchingClassifier(TorchClassifier):
    r"""Classify by the nearest template: the class's average image, or several of them.

    The oldest way to read digits: a row is of the class whose templates it differs from
    least. Class means are found in one pass over the rows, with no step size to choose.

    Parameters
    ----------
    metric : {"mse", "mae", "cosine"}, default="mse"
        Distance of a row x from a template t: the mean over features of
        :math:`(x - t)^2` or of :math:`|x - t|`, or one minus the cosine of their angle.
    n_templates : int, default=1
        Templates per class: 1 is the (weighted) mean of its rows; more are the centres
        that scikit-learn's k-means finds in them. A class with fewer distinct rows has
        each of them as a template, some of them repeated.
    temperature : "auto" or float, default="auto"
        Scale of the distances in the probabilities. ``"auto"`` is the one that makes the
        labels of the training rows likeliest (temperature scaling [1]_).
    device : str, default="auto"
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, …; ``"auto"`` is that of a tensor X under array
        API dispatch, else CUDA where there is one, else the CPU.
    random_state : int, RandomState instance or None, default=None
        Drives the starts of k-means; without meaning for class means.

    Attributes
    ----------
    templates_ : ndarray of shape (n_classes * n_templates, n_features)
        The templates, class by class; of pixels, in [0, 1].
    template_classes_ : ndarray of shape (n_classes * n_templates,)
        The class of each template.
    temperature_ : float
        The temperature in use, in units of the distance.
    class_count_ : ndarray of shape (n_classes,)
        Weight of all rows of each class.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    device_ : str
        Where it was fitted.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X had any.

    See Also
    --------
    sklearn.neighbors.NearestCentroid : Class means without weights, by distance alone.
    SoftmaxRegression : Learns its templates, one per class, by their effect.

    Notes
    -----
    With d the distance to the nearest template of class c and T the temperature,

    .. math:: P(c \mid x) = \frac{\exp(-d_c(x) / T)}{\sum_k \exp(-d_k(x) / T)}.

    Integer weights equal repeated rows, for k-means too: its starts are drawn from the
    distinct rows of the class, and it runs until nothing moves.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On Calibration of Modern Neural
       Networks", ICML 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import TemplateMatchingClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = TemplateMatchingClassifier().fit(X[:1000], y[:1000])
    >>> model.templates_.shape
    (10, 64)
    >>> round(model.score(X[1000:], y[1000:]), 2)
    0.89
    """

    _parameter_constraints = TEMPLATES

    def __init__(
        self,
        metric="mse",
        *,
        n_templates=1,
        temperature="auto",
        device="auto",
        random_state=None,
    ):
        self.metric = metric
        self.n_templates = n_templates
        self.temperature = temperature
        self.device = device
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        """Find the templates.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, float32 or float64; uint8 are pixels and read as ``X / 255``.
        y : array-like of shape (n_samples,)
            Labels: numbers, strings or booleans.
        sample_weight : array-like of shape (n_samples,), default=None
            How often each row counts; default: once. Rows of weight 0 are left out.

        Returns
        -------
        self : TemplateMatchingClassifier
            The fitted model.

        Raises
        ------
        ValueError
            If a parameter, X, y or the weights are not as described.
        """
        with unharmed(self):
            check_parameters(self)
            rows = check_rows(self, X, y, sample_weight, reset=True)
            return self._fit(rows)

    @available_if(_has_means)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Take in more rows: the templates become the means of all rows so far.

        To be had with ``n_templates=1`` only. An automatic temperature is fitted to the
        rows of the latest call. A class without rows so far is never predicted.

        Parameters
        ----------
        X, y : array-like
            As in ``fit``.
        classes : array-like of shape (n_classes,), default=None
            All labels there will be; needed in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            As in ``fit``.

        Returns
        -------
        self : TemplateMatchingClassifier
            The model, taught further.

        Raises
        ------
        ValueError
            As in ``fit``; if the first call lacks ``classes``.
        """
        with unharmed(self):
            check_parameters(self)
            known = check_classes(self, classes)
            fitted = self.__sklearn_is_fitted__()
            rows = check_rows(
                self, X, y, sample_weight, reset=not fitted, classes=known
            )
            return self._fit(rows, resuming=fitted)

    def _fit(self, rows, resuming=False):
        device = training_device(self.device, rows.X)
        data = to_data(rows.X, rows.codes, rows.weight, device)
        dtype = compute_dtype(data.X)
        sums, counts = class_sums(data, len(rows.classes), dtype)
        if resuming:
            sums += to_tensor(self._class_sums, device)
            counts += to_tensor(self.class_count_, device)
        if self.n_templates == 1:
            templates = class_means(sums, counts, dtype)
        else:
            templates = to_tensor(self._centres(rows), device)
        self.classes_ = rows.classes
        self.device_, self._pixels = str(device), is_pixels(rows.X)
        self._class_sums = from_tensor(sums, rows.X)
        self.class_count_ = from_tensor(counts, rows.X)
        self.templates_ = from_tensor(templates, rows.X)
        self.template_classes_ = from_numpy(
            rows.classes.repeat(self.n_templates), rows.X
        )
        distances = self._distances(data.X)
        self.temperature_ = self.temperature
        if self.temperature == "auto":
            self.temperature_ = likeliest_temperature(distances, data)
        return self

    def _centres(self, rows):
        """Templates (C · n_templates, D) found by k-means in the rows of each class."""
        rng = private_random_state(self.random_state)
        X, weight = to_numpy(rows.X), rows.weight
        centres = []
        for code in range(len(rows.classes)):
            member = rows.codes == code
            own = X[member] / np.float32(255) if X.dtype == np.uint8 else X[member]
            own_weight = None if weight is None else weight[member]
            centres.append(_cluster_centres(own, own_weight, self.n_templates, rng))
        return np.concatenate(centres)

    def _distances(self, X):
        """Distance of every row to every class, infinite where a class has no template."""
        arrays = (
            to_tensor(array, X.device) for array in (self.templates_, self.class_count_)
        )
        templates, counts = arrays
        distances = class_distances(X, templates, counts, self.metric)
        if not distances[:, counts > 0].isfinite().all():
            raise ValueError(
                f"The distances of these rows overflow {distances.dtype}. Bring X to [0, 1], "
                "or to the scale of the rows that the templates were made of."
            )
        return distances

    @property
    def _fitted_array(self):
        return self.templates_

    def _logits(self, X):
        distances = self._distances(X)
        logits = -distances / self.temperature_
        if not (logits.isfinite() == distances.isfinite()).all():
            raise ValueError(
                f"temperature={self.temperature_:g} is too small for distances such as "
                f"{distances[:, 0].amax().item():.3g}, whose ratio overflows {logits.dtype}. "
                "Set temperature='auto'."
            )
        return logits


def _cluster_centres(X, weight, n_clusters, rng):
    """Centres (n_clusters, D) of rows X (n, D), by Lloyd's iterations until none moves.

    The start is drawn from the distinct rows, so that neither the order of the rows nor
    the way in which one counts twice, by weight or by repetition, makes a difference.
    """
    distinct = np.unique(X, axis=0)
    if len(distinct) <= n_clusters:
        return np.resize(distinct, (n_clusters, X.shape[1]))
    start, _ = kmeans_plusplus(distinct, n_clusters, random_state=rng)
    model = KMeans(
        n_clusters, init=start, n_init=1, tol=0, max_iter=100_000, random_state=0
    )
    if weight is None:
        return model.fit(X).cluster_centers_
    # KMeans takes weights in the dtype of the rows, and float32 has no room for all.
    wide = model.fit(X.astype(np.float64), sample_weight=weight)
    return wide.cluster_centers_.astype(X.dtype)
