"""What the perceptron and the convolutional network have in common."""

from sklearn.callback import CallbackSupportMixin
from sklearn.utils.metaestimators import available_if

from skdigits._base import TorchClassifier
from skdigits._fitting import fit_many, is_stochastic, network_logits
from skdigits._held_out import Given
from skdigits._parameters import EPSILON
from skdigits.engine.losses import LOGISTIC


def last_layer(loss, n_classes, multilabel):
    """Number of outputs, and their loss: the logistic one for two classes and for labels."""
    if multilabel and loss != "cross_entropy":
        raise ValueError(
            f"loss={loss!r} compares the classes of a row, but y has labels, of "
            "which a row may have several: set loss='cross_entropy'."
        )
    logistic = loss == "cross_entropy" and (multilabel or n_classes == 2)
    n_outputs = 1 if logistic and not multilabel else n_classes
    return n_outputs, LOGISTIC if logistic else loss


class LayeredClassifier(CallbackSupportMixin, TorchClassifier):
    """A network with hidden layers, of which `coefs_` and `intercepts_` are the fitted state.

    Subclasses add ``__init__`` and ``_network``.
    """

    _takes_labels = True
    _ftol = 1e7 * EPSILON  # SciPy's own, as in MLPClassifier

    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
    ):
        """Fit the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, float32 or float64; uint8 are pixels and read as ``X / 255``.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels: numbers, strings or booleans; or zeros and ones, a column for each label.
        sample_weight : array-like of shape (n_samples,), default=None
            How often each row counts; default: once. Rows of weight 0 are left out,
            and classes that have no others.
        X_val, y_val : array-like, default=None
            Rows to measure the model by after every epoch, with their labels; with
            ``early_stopping``, in the place of a part of X.
        sample_weight_val : array-like of shape (n_val,), default=None
            How often each of these counts; default: once.

        Returns
        -------
        self : object
            The fitted model.

        Raises
        ------
        ValueError
            If a parameter, X, y, the weights or the validation set are not as described.
        """
        given = Given(X_val, y_val, sample_weight_val)
        fit_many([self], X, y, sample_weight, given=given)
        return self

    @available_if(is_stochastic)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Go on training for one epoch over these rows.

        Not to be had with ``solver="lbfgs"``.

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
        self : object
            The model, trained further.

        Raises
        ------
        ValueError
            As in ``fit``; if the first call lacks ``classes``; with ``early_stopping``.
        """
        fit_many([self], X, y, sample_weight, incremental=True, classes=classes)
        return self

    def _install(self, weights, biases, network):
        self.coefs_ = _turned(weights)
        self.intercepts_ = biases
        self.n_layers_ = len(weights) + 1
        self.n_outputs_ = network.shapes[-1][0]
        self.out_activation_ = "logistic" if network.loss == LOGISTIC else "softmax"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = self.loss == "cross_entropy"
        return tags

    def _weights(self):
        return _turned(self.coefs_)

    def _biases(self):
        return self.intercepts_

    @property
    def _fitted_array(self):
        return self.coefs_[0]

    def _logits(self, X):
        return network_logits(self, X)


def _turned(weights):
    """Weights with outputs first as such with inputs first, and back; not of convolutions."""
    return [weight.T if weight.ndim == 2 else weight for weight in weights]
