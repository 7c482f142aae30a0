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
            Training samples: float32, float64 or uint8 pixels, read as ``X / 255``.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels: numbers, strings or booleans; or multilabel targets, a column
            of zeros and ones for each label.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; None gives every sample weight 1. Samples of weight
            0 are left out, and so are classes without other samples.
        X_val : array-like of shape (n_val, n_features), default=None
            Validation samples, evaluated after every epoch. With ``early_stopping``,
            they replace the part of X that would be set aside.
        y_val : array-like, default=None
            Class labels of the validation samples, in the format of y.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of the validation samples; None gives every sample weight 1.

        Returns
        -------
        self : object
            The fitted model.

        Raises
        ------
        ValueError
            If a parameter, X, y, the weights or the validation set are invalid.
        """
        given = Given(X_val, y_val, sample_weight_val)
        fit_many([self], X, y, sample_weight, given=given)
        return self

    @available_if(is_stochastic)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one more epoch, on the given samples.

        Not available with ``solver="lbfgs"``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples: float32, float64 or uint8 pixels, read as ``X / 255``.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels: numbers, strings or booleans; or multilabel targets, a column
            of zeros and ones for each label.
        classes : array-like of shape (n_classes,), default=None
            All class labels that will occur; required in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; None gives every sample weight 1.

        Returns
        -------
        self : object
            The model after the epoch.

        Raises
        ------
        ValueError
            If a parameter, X, y or the weights are invalid, if the first call lacks
            ``classes``, or with ``early_stopping``.
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
