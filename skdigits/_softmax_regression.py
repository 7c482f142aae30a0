"""Softmax (multinomial logistic) regression."""

from sklearn.callback import CallbackSupportMixin
from sklearn.utils.metaestimators import available_if

from skdigits._base import TorchClassifier
from skdigits._fitting import fit_many, is_stochastic, network_logits
from skdigits._held_out import Given
from skdigits._parameters import EPSILON, TRAINING
from skdigits.engine.networks import DenseNetwork


class SoftmaxRegression(CallbackSupportMixin, TorchClassifier):
    r"""Linear classifier with softmax output, trained by gradients.

    Multinomial logistic regression, with ``loss="cross_entropy"``.

    Parameters
    ----------
    learning_rate_init : float, default=0.01
        Learning rate, or its largest value in a cycle. Ignored by ``"lbfgs"``.
    loss : {"cross_entropy", "softmax_mse", "sigmoid_mse"}, default="cross_entropy"
        Of a row with logits z and target t: :math:`-\sum_c t_c \log p_c` with p the softmax
        of z; the mean over classes of :math:`(p_c - t_c)^2`; or of
        :math:`(\sigma(z_c) - t_c)^2`, whose probabilities are
        :math:`\sigma(z_c) / \sum_k \sigma(z_k)`.
    solver : {"sgd", "adam", "adamw", "lbfgs"}, default="sgd"
        ``"sgd"`` is gradient descent by mini-batches with momentum; ``"adam"`` [1]_ and
        ``"adamw"`` [2]_ adapt the step of every weight; ``"lbfgs"`` is SciPy's L-BFGS on
        all rows at once.
    weight_init : {"glorot", "he", "normal", "zeros"}, default="zeros"
        Start: ``"glorot"`` is uniform as in MLPClassifier, weights and biases within
        ``sqrt(6 / (fan_in + fan_out))`` (for logistic units ``sqrt(2 / …)``); ``"he"`` normal
        of variance ``2 / fan_in`` with biases 0; ``"normal"`` N(0, 1) throughout;
        ``"zeros"`` all 0.
    alpha : float, default=0.0001
        Strength of the L2 penalty on the weights, biases spared; added to the
        mean loss as it is, as in SGDClassifier.
    batch_size : int or "auto", default="auto"
        Rows per step; ``"auto"`` is ``min(200, n_samples)``. One batch with all rows takes one
        unshuffled step per epoch. Ignored by ``"lbfgs"``.
    learning_rate : {"constant", "invscaling", "adaptive", "one_cycle"}, default="constant"
        Schedule of the learning rate, for all solvers but ``"lbfgs"``:

        - ``"constant"``: ``learning_rate_init`` throughout.
        - ``"invscaling"``: ``learning_rate_init / (1 + t) ** power_t`` from epoch to epoch, t
          the number of rows seen (their weight, where they have one).
        - ``"adaptive"``: divided by 5 each time training stalls, see ``n_iter_no_change``,
          until it is 1e-6 or less.
        - ``"one_cycle"``: up from 1/25 of ``learning_rate_init`` within 30 % of all steps,
          then down to 1/250,000, along cosines [3]_. A cycle lasts ``max_iter`` epochs, or
          as many calls of ``partial_fit``; to end it, ``tol`` may have to be None.
    power_t : float, default=0.5
        Exponent of ``learning_rate="invscaling"``.
    max_iter : int, default=200
        Most epochs to train for; of ``"lbfgs"``, iterations.
    shuffle : bool, default=True
        Whether to draw a new order of the rows for every epoch.
    random_state : int, RandomState instance or None, default=None
        Drives initial weights, order of rows, distortions and validation split. None draws a
        fresh seed; NumPy's and torch's global generators are never used.
    tol : float or None, default=0.0001
        What counts as progress, see ``n_iter_no_change``; for ``"lbfgs"`` the largest entry
        of the gradient at which it stops. None trains for just ``max_iter`` epochs and does
        not warn of it; an ``"adaptive"`` learning rate then stays as it is.
    verbose : bool or int, default=False
        Whether to print the loss after every epoch.
    warm_start : bool, default=False
        Whether ``fit`` goes on from where the last one ended, for ``max_iter`` more epochs.
    momentum : float, default=0.9
        Momentum of ``"sgd"``, in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether it is Nesterov's.
    early_stopping : bool, default=False
        Whether to stop by ``scoring`` on rows that are not learnt from, and return to the
        epoch where it was best. They are those passed to ``fit`` as ``X_val``, else part of
        X, the same whenever a warm start goes on. Ignored by ``"lbfgs"``.
    validation_fraction : float, default=0.1
        The part to set aside, of each class the same.
    scoring : "loss", str, callable or None, default=None
        What to measure on the rows that are not learnt from: None is the accuracy, else a
        scorer's name or a callable ``scorer(estimator, X, y)``, larger being better, which
        is given ``sample_weight`` if it takes that and there are weights. With
        ``"loss"``, ``early_stopping`` goes by their loss, and the score is the accuracy.
    beta_1 : float, default=0.9
        Decay of the first moment of ``"adam"`` and ``"adamw"``, in [0, 1).
    beta_2 : float, default=0.999
        Decay of their second moment, in [0, 1).
    epsilon : float, default=1e-8
        Keeps their steps finite.
    weight_decay : float, default=0.01
        Decay of the weights in ``"adamw"``, per step and unit of learning rate, biases
        spared.
    n_iter_no_change : int, default=10
        Training stalls after more than this many epochs in a row in which the loss (with
        ``early_stopping``, the validation score) was not better than its best by ``tol``.
        It then stops, or divides the learning rate if that is ``"adaptive"``.
    max_fun : int, default=15000
        Most evaluations of the objective by ``"lbfgs"``.
    class_weight : dict, "balanced" or None, default=None
        What rows of each class count, times their ``sample_weight``: ``"balanced"`` is
        ``n_samples / (n_classes * np.bincount(y))``, each class as much as any other. It
        counts for rows that are set aside as well, but not for those passed as ``X_val``.
    label_smoothing : float, default=0.0
        The ε of the targets ``(1 - ε) * onehot + ε / n_classes``.
    augment : {"shift", "affine", "elastic"}, callable or None, default=None
        How images are distorted, at random and anew in every epoch, while the model is
        trained: one of `skdigits.augmentation` with its defaults, or an object of there, whose
        parameters can be searched over (``augment__scale``), or a function of a tensor
        (n, channels, height, width) and a `torch.Generator` that returns such a tensor. Not to
        be had with ``"lbfgs"``.
    image_shape : tuple of int, default=None
        ``(height, width)`` or ``(height, width, channels)`` of the images that ``augment``
        distorts; None: square.
    device : str, default="auto"
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, …; ``"auto"`` is that of a tensor X under array
        API dispatch, else CUDA where there is one, else the CPU.

    Attributes
    ----------
    coef_ : ndarray of shape (n_classes, n_features)
        Weights: of images, one template per class.
    intercept_ : ndarray of shape (n_classes,)
        Biases.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    history_ : DataFrame
        A row per epoch: ``epoch``, ``learning_rate`` (of its last step), ``train_loss`` (the
        objective, mean over the epoch), ``validation_loss`` (without penalty) and
        ``validation_score`` (both NaN where no rows were held out), ``seconds`` since the
        fit began. That of an epoch that diverged gives way to the next one's.
    n_iter_ : int
        Epochs of the last fit.
    loss_, best_loss_ : float
        Last and smallest training loss; the smallest is None with ``early_stopping``.
    loss_curve_ : list of float
        Training loss after each epoch.
    validation_scores_ : list of float or None
        Validation score after each epoch, where rows were held out.
    best_validation_score_ : float or None
        The best of them.
    t_ : int
        Rows seen in training (their weight, where they have one).
    device_ : str
        Where it was fitted.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X had any.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : The same model by solvers that see all rows.
    MLPClassifierTorch : With hidden layers.

    Notes
    -----
    With weights :math:`w_i` of the rows and logits :math:`z_i = W x_i + b`, the objective is

    .. math:: \frac{\sum_i w_i \, \ell(z_i, t_i)}{\sum_i w_i} + \frac{\alpha}{2} \|W\|^2,

    that of LogisticRegression at :math:`\alpha = 1 / (C \sum_i w_i)`. Two classes have two
    rows of ``coef_`` as well. From the default start, the rows sum to zero by ``"sgd"`` and
    ``"lbfgs"``.

    Ctrl-C ends training with a warning and leaves the model of the last whole epoch (with
    ``early_stopping``, of the best); before the end of the first, and in ``partial_fit``, it
    leaves everything as it was, and raises. Inside a search it goes on to stop that, too.

    All is computed in the dtype of X: float32, float64, or float32 for pixels (uint8), which
    are read batch by batch. Integer weights equal repeated rows exactly where one batch holds
    all rows and nothing is distorted; otherwise nearly so, on the average. A model whose loss
    is no longer finite is left as it was an epoch before (with ``early_stopping``, it is that
    of its best epoch), with a warning.

    References
    ----------
    .. [1] D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
    .. [2] I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    .. [3] L. N. Smith, N. Topin, "Super-Convergence", arXiv:1708.07120, 2018.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import SoftmaxRegression
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X / 16
    >>> model = SoftmaxRegression(0.1, max_iter=30, tol=None, random_state=0)
    >>> model.fit(X[:1000], y[:1000]).coef_.shape
    (10, 64)
    >>> round(model.score(X[1000:], y[1000:]), 2)
    0.92
    """

    _parameter_constraints = TRAINING
    _ftol = 64 * EPSILON  # as in LogisticRegression

    def __init__(
        self,
        learning_rate_init=0.01,
        *,
        loss="cross_entropy",
        solver="sgd",
        weight_init="zeros",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        scoring=None,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        weight_decay=0.01,
        n_iter_no_change=10,
        max_fun=15000,
        class_weight=None,
        label_smoothing=0.0,
        augment=None,
        image_shape=None,
        device="auto",
    ):
        self.learning_rate_init = learning_rate_init
        self.loss = loss
        self.solver = solver
        self.weight_init = weight_init
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.scoring = scoring
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.weight_decay = weight_decay
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.augment = augment
        self.image_shape = image_shape
        self.device = device

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
        y : array-like of shape (n_samples,)
            Labels: numbers, strings or booleans.
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
        self : SoftmaxRegression
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
        self : SoftmaxRegression
            The model, trained further.

        Raises
        ------
        ValueError
            As in ``fit``; if the first call lacks ``classes``; with ``early_stopping``.
        """
        fit_many([self], X, y, sample_weight, incremental=True, classes=classes)
        return self

    def _network(self, n_features, n_classes, multilabel=False):
        return DenseNetwork(
            (n_features, n_classes),
            loss=self.loss,
            weight_init=self.weight_init,
            penalty_per_row=False,
        )

    def _install(self, weights, biases, network):
        (self.coef_,), (self.intercept_,) = weights, biases

    def _weights(self):
        return [self.coef_]

    def _biases(self):
        return [self.intercept_]

    @property
    def _fitted_array(self):
        return self.coef_

    def _logits(self, X):
        return network_logits(self, X)
