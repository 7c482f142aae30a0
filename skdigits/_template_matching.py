"""Classification by the nearest template."""

import math
from contextlib import nullcontext
from typing import Any

import numpy as np
from scipy.sparse import issparse, vstack
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.utils.metaestimators import available_if

from skdigits._arrays import (
    compute_dtype,
    from_numpy,
    from_tensor,
    isolated,
    side_by_side,
    to_numpy,
    to_tensor,
    to_torch,
    training_device,
)
from skdigits._base import TorchClassifier
from skdigits._input_checks import (
    check_parameters,
    check_samples,
    names_what_is_meant,
    private_random_state,
    refuse_unknown,
    rollback_on_error,
)
from skdigits._parameters import TEMPLATES
from skdigits._sparse import distinct_rows, with_narrow_indices
from skdigits._targets import check_classes
from skdigits.distributed import RANKS
from skdigits.engine.ranks import own_part
from skdigits.engine.templates import (
    chunk_size,
    class_distances,
    class_means,
    class_sums,
    likeliest_temperature,
    underflow,
)
from skdigits.training.ranks import agree_on_model, samples_of_ranks, together


def _has_means(estimator: "TemplateMatchingClassifier") -> bool:
    # Class means can be updated from sums and counts; k-means centres cannot.
    if estimator.n_templates != 1:
        raise AttributeError(
            "partial_fit is only available for class means, "
            f"but n_templates={estimator.n_templates!r}. Set n_templates=1."
        )
    return True


class TemplateMatchingClassifier(TorchClassifier):
    r"""Classify by the nearest template: one average image per class, or several.

    The model predicts the class of the nearest template. Class means take one pass over
    the samples and need no learning rate.

    Parameters
    ----------
    metric : {"mse", "mae", "cosine"}, default="mse"
        Distance between a sample x and a template t: the mean over features of
        :math:`(x - t)^2` (``"mse"``) or of :math:`|x - t|` (``"mae"``), or one minus
        the cosine of their angle (``"cosine"``).
    n_templates : int, default=1
        Number of templates per class. With 1, the template is the (weighted) mean of
        the class. With more, scikit-learn's k-means finds the templates. If a class has
        fewer distinct samples than templates, its distinct samples become the
        templates, some of them repeated.
    temperature : "auto" or float, default="auto"
        Divisor T of the distances before the softmax (see Notes). ``"auto"`` maximises
        the likelihood of the training labels (temperature scaling [1]_).
    pixels : {"auto"} or bool, default="auto"
        Whether integers in X are pixels, which are scaled to ``X / 255``. ``"auto"``
        decides in the first fit: uint8 values are pixels if one of them exceeds 1.
        Other integers are pixels if all are from 0 to 255, some exceed 16, and the
        number of features is a square number of at least 64. All other integers are
        plain numbers, computed in float64. Floats are never scaled.
    device : str or torch.device, default="auto"
        Device to compute on: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, …. ``"auto"`` is the
        device of X if X is a tensor under array API dispatch, otherwise CUDA if
        available, otherwise the CPU.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial centres of k-means. Not used with ``n_templates=1``. None
        draws a new seed.

    Attributes
    ----------
    templates_ : ndarray of shape (n_classes * n_templates, n_features)
        Templates, class by class; within [0, 1] after a fit to uint8 pixels.
    template_classes_ : ndarray of shape (n_classes * n_templates,)
        Class of each template.
    temperature_ : float
        Temperature, given or fitted, in units of the distance.
    class_count_ : ndarray of shape (n_classes,)
        Total sample weight of each class.
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    pixels_ : bool
        Whether integers are read as pixels, ``X / 255``. The first fit decides.
        Predictions and ``partial_fit`` follow its decision, whatever the dtype of X. If
        False, uint8 values are plain numbers, too, except after a fit to floats within
        [0, 1] with ``pixels="auto"``.
    device_ : str
        Device on which the model was fitted.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X has feature names.

    See Also
    --------
    sklearn.neighbors.NearestCentroid : Nearest class mean, without sample weights.
    SoftmaxRegression : Learns one template per class by gradient descent.

    Notes
    -----
    With d the distance to the nearest template of class c and T the temperature,

    .. math:: P(c \mid x) = \frac{\exp(-d_c(x) / T)}{\sum_k \exp(-d_k(x) / T)}.

    Integer sample weights are equivalent to repeated samples, also with k-means: its
    initial centres are drawn from the distinct samples of the class, and it runs until
    no centre moves.

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

    @names_what_is_meant
    def __init__(
        self,
        metric="mse",
        *,
        n_templates=1,
        temperature="auto",
        pixels="auto",
        device="auto",
        random_state=None,
    ):
        self.metric = metric
        self.n_templates = n_templates
        self.temperature = temperature
        self.pixels = pixels
        self.device = device
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None, **unknown):
        """Compute the templates of each class and the temperature.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training samples: float32, float64, or integers, which may be pixels (see
            ``pixels``).
        y : array-like of shape (n_samples,)
            Class labels: numbers, strings or booleans.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; None gives every sample weight 1. Samples of weight
            0 are left out.
        **unknown : object
            No other parameters are accepted. The error suggests the right name.

        Returns
        -------
        self : TemplateMatchingClassifier
            The fitted model.

        Raises
        ------
        TypeError
            If there is another parameter, or X is not numeric.
        ValueError
            If a parameter, X, y or sample_weight is invalid.
        """
        if unknown:
            refuse_unknown(self, "fit", unknown)
        with isolated(trains=True), rollback_on_error(self):
            ranks = RANKS.get()
            if ranks is None:
                check_parameters(self)
                samples = check_samples(self, X, y, sample_weight, reset=True)
                return self._fit(samples)

            with together(ranks):
                check_parameters(self)
            agree_on_model(ranks, self, None, draws=self.n_templates > 1)
            samples, first = samples_of_ranks(
                ranks, self, X, y, sample_weight, reset=True
            )
            return self._fit(samples, first=first, ranks=ranks)

    @available_if(_has_means)
    def partial_fit(self, X, y, classes=None, sample_weight=None, **unknown):
        """Update the class means with more samples.

        Only available with ``n_templates=1``. With ``temperature="auto"``, each call
        fits the temperature to its own samples. A class without samples so far is never
        predicted.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As in ``fit``.
        y : array-like of shape (n_samples,)
            As in ``fit``.
        classes : array-like of shape (n_classes,), default=None
            All class labels, also of later calls; required in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            As in ``fit``.
        **unknown : object
            As in ``fit``.

        Returns
        -------
        self : TemplateMatchingClassifier
            The updated model.

        Raises
        ------
        TypeError
            As in ``fit``.
        ValueError
            As in ``fit``; also if the first call lacks ``classes``.
        """
        if unknown:
            refuse_unknown(self, "partial_fit", unknown)
        with isolated(trains=True), rollback_on_error(self):
            ranks = RANKS.get()
            fitted = self.__sklearn_is_fitted__()
            if ranks is None:
                check_parameters(self)
                known = check_classes(self, classes)
                samples = check_samples(
                    self, X, y, sample_weight, reset=not fitted, classes=known
                )
                return self._fit(samples, resuming=fitted)

            with together(ranks):
                check_parameters(self)
                known = check_classes(self, classes)
            state = [self._class_sums, self.class_count_] if fitted else None
            agree_on_model(ranks, self, state, draws=False)
            samples, first = samples_of_ranks(
                ranks, self, X, y, sample_weight, reset=not fitted, classes=known
            )
            return self._fit(samples, resuming=fitted, first=first, ranks=ranks)

    def _fit(self, samples, resuming=False, first=None, ranks=None):
        """Fit to samples, with ``ranks`` to those of all of them.

        ``first`` is the position of this rank's shard.
        """
        device = training_device(self.device, samples.X)
        data = to_torch([samples], device)._replace(first=first)
        if ranks is not None:
            data = own_part(ranks, data)
        sums, counts = self._sums_and_counts(
            data, len(samples.classes), resuming, ranks
        )

        if self.n_templates == 1:
            templates = class_means(sums, counts, compute_dtype(data.X))
        else:
            templates = to_tensor(self._centres(samples, first, ranks), device)
            if ranks is not None:
                (templates,) = ranks.summed([templates])

        # The parameter may be set to another value before the next prediction.
        self._metric = self.metric
        self.classes_ = samples.classes
        self.device_ = str(device)
        self._class_sums = from_tensor(sums, samples.X)
        self.class_count_ = from_tensor(counts, samples.X)
        self.templates_ = from_tensor(templates, samples.X)
        template_classes = samples.classes.repeat(self.n_templates)
        self.template_classes_ = from_numpy(template_classes, samples.X)

        # Distances are computed for a given temperature, too: if they overflow, the fit
        # has to fail, not the first prediction.
        with nullcontext() if ranks is None else together(ranks):
            distances = self._distances(data.X)
        self.temperature_ = self.temperature
        if self.temperature == "auto":
            self.temperature_ = likeliest_temperature(distances, data, ranks)
        return self

    def _sums_and_counts(self, data, n_classes, resuming, ranks=None):
        """Return the sum (C, D) and weight (C,) of each class over all calls so far."""
        with _threads(data.X, n_classes) as workers:
            sums, counts = class_sums(data, n_classes, compute_dtype(data.X), workers)
        if ranks is not None:
            sums, counts = ranks.summed([sums, counts])

        # Sums are continued, not the means: these are rounded to the dtype of X.
        if resuming:
            sums += to_tensor(self._class_sums, data.X.device)
            counts += to_tensor(self.class_count_, data.X.device)
        return sums, counts

    def _centres(self, samples, first=None, ranks=None):
        """Return templates (C · n_templates, D) found by k-means within each class.

        Each of several ranks looks for those of some classes; the others are 0.
        """
        # One generator serves all classes, so that their starts differ.
        rng = private_random_state(self.random_state)
        X = samples.X if issparse(samples.X) else to_numpy(samples.X)
        centres = []
        for code in range(len(samples.classes)):
            member = np.flatnonzero(samples.codes == code)
            if first is None:
                own = X[member]
            else:
                mine = member - first
                mine = mine[(mine >= 0) & (mine < X.shape[0])]
                own = _one_after_the_other(ranks.gathered(X[mine]))
            if X.dtype == np.uint8:
                own = own.astype(np.float32)
                # Of sparse samples, only the entries are divided.
                values = own.data if issparse(own) else own
                values /= 255

            own_weight = None
            if samples.weight is not None:
                own_weight = samples.weight[member]
            ours = ranks is None or code % ranks.world == ranks.rank
            centres.append(
                _cluster_centres(own, own_weight, self.n_templates, rng, ours)
            )
        return np.concatenate(centres)

    def _distances(self, X):
        """Return distances (N, C), infinite for a class without templates."""
        templates = to_tensor(self.templates_, X.device)
        counts = to_tensor(self.class_count_, X.device)
        with _threads(X, len(templates)) as workers:
            distances = class_distances(X, templates, counts, self._metric, workers)

        if not distances[:, counts > 0].isfinite().all():
            raise ValueError(
                f"The distances of these samples overflow {distances.dtype}. "
                "Bring X to [0, 1], or to the scale of the samples used for fitting."
            )
        # Cosines do not depend on the size of numbers.
        if self._metric != "cosine" and underflow(X, templates, counts, distances):
            raise ValueError(
                f"The distances of these samples underflow {distances.dtype}, as their "
                "differences from the templates are tiny. Bring X to [0, 1], or pass "
                "float64."
            )
        return distances

    @property
    def _fitted_array(self):
        return self.templates_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        tags.input_tags.sparse = True
        return tags

    def _logits(self, X):
        distances = self._distances(X)
        logits = -distances / self.temperature_

        # Infinite distances, of classes without templates, are no overflow.
        if not (logits.isfinite() == distances.isfinite()).all():
            example = distances[:, 0].amax().item()
            raise ValueError(
                f"temperature={self.temperature_:g} is too small: divided by it, a "
                f"distance such as {example:.3g} overflows {logits.dtype}. "
                "Set temperature='auto'."
            )
        return logits


def _threads(X, n_templates):
    """Return a context with threads that share the chunks of samples of a CPU."""
    n_chunks = 1
    if X.device.type == "cpu":
        n_chunks = math.ceil(len(X) / chunk_size(n_templates, X.shape[1]))
    return side_by_side(n_templates * X.numel(), n_chunks)


def _one_after_the_other(parts: list[Any]) -> Any:
    """Return the rows of several arrays, or sparse matrices, as one."""
    return vstack(parts, "csr") if issparse(parts[0]) else np.concatenate(parts)


def _cluster_centres(
    X: np.ndarray,
    weight: np.ndarray | None,
    n_clusters: int,
    rng: np.random.RandomState,
    ours: bool = True,
) -> np.ndarray:
    """Return k-means centres (n_clusters, D) of samples X (n, D), dense or sparse.

    The initial centres are drawn from the distinct samples. The result therefore
    depends neither on the order of the samples nor on whether one is repeated or has
    weight 2. Unless they are ``ours`` to find, they are zeros, and the generator moves
    along all the same.
    """
    if issparse(X):
        X = with_narrow_indices(X)  # KMeans takes no wider ones
        distinct = distinct_rows(X)
    else:
        distinct = np.unique(X, axis=0)
    if distinct.shape[0] <= n_clusters:
        few = distinct.toarray() if issparse(distinct) else distinct
        return np.resize(few, (n_clusters, X.shape[1])) * few.dtype.type(ours)

    # tol=0 and a limit out of reach: Lloyd's iterations run until no centre moves.
    start, _ = kmeans_plusplus(distinct, n_clusters, random_state=rng)
    if not ours:
        return np.zeros((n_clusters, X.shape[1]), X.dtype)
    model = KMeans(
        n_clusters, init=start, n_init=1, tol=0, max_iter=100_000, random_state=0
    )
    if weight is None:
        return model.fit(X).cluster_centers_

    # KMeans converts weights to the dtype of X, and float32 cannot hold all of them.
    wide = model.fit(X.astype(np.float64), sample_weight=weight)
    return wide.cluster_centers_.astype(X.dtype)
