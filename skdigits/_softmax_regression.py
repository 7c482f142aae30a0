"""Softmax (multinomial logistic) regression."""

from skdigits._gradient import EPSILON, GradientClassifier
from skdigits._input_checks import names_what_is_meant
from skdigits._parameters import LINEAR, TRAINING
from skdigits.engine.dense import DenseNetwork


class SoftmaxRegression(GradientClassifier):
    r"""Linear classifier with softmax output, trained by gradients.

    With ``loss="cross_entropy"``, this is multinomial logistic regression. On small,
    dense data, the default parameters give the model of scikit-learn's
    ``LogisticRegression()``, whatever the scale of the features.

    Parameters
    ----------
    learning_rate_init : float or "auto", default="auto"
        Initial learning rate; with ``learning_rate="one_cycle"``, the maximum learning
        rate. ``"auto"`` is 0.01. A number makes ``solver="auto"`` choose a stochastic
        solver. Ignored by ``solver="lbfgs"``.
    loss : {"cross_entropy", "softmax_mse", "sigmoid_mse"}, default="cross_entropy"
        Loss of a sample with logits z and targets t:

        - ``"cross_entropy"``: :math:`-\sum_c t_c \log p_c`, where p = softmax(z).
        - ``"softmax_mse"``: mean of :math:`(p_c - t_c)^2` over the classes.
        - ``"sigmoid_mse"``: mean of :math:`(\sigma(z_c) - t_c)^2` over the classes; the
          probabilities are :math:`\sigma(z_c) / \sum_k \sigma(z_k)`.
    solver : {"auto", "sgd", "adam", "adamw", "lbfgs"}, default="auto"
        Optimiser: ``"sgd"`` is mini-batch gradient descent with momentum. ``"adam"``
        [1]_ and ``"adamw"`` [2]_ adapt the step size of each weight. ``"lbfgs"`` is
        SciPy's L-BFGS on all samples at once, in coordinates that bring all features to
        the same scale.

        ``"auto"`` is ``"lbfgs"`` for data of up to 10,000,000 numbers (samples times
        features), and ``"sgd"`` for larger data. It is also ``"sgd"`` in
        ``partial_fit``, with ``tol=None``, and if a parameter that ``"lbfgs"`` ignores
        differs from its default: ``learning_rate_init``, ``learning_rate``,
        ``batch_size``, ``shuffle``, ``momentum``, ``nesterovs_momentum``,
        ``early_stopping``, ``n_iter_no_change`` or ``augment``. The attribute
        ``solver_`` has the choice.
    weight_init : {"glorot", "he", "normal", "zeros"}, default="zeros"
        Initial weights and biases: ``"glorot"`` draws both uniformly, within
        ``sqrt(6 / (fan_in + fan_out))`` of 0, as MLPClassifier does; ``"he"`` draws
        weights from a normal distribution of variance ``2 / fan_in`` and sets biases to
        0; ``"normal"`` draws both from N(0, 1); ``"zeros"`` sets both to 0.
    alpha : float or "auto", default="auto"
        Strength of the L2 penalty on the weights (not the biases). As in SGDClassifier,
        the penalty is added to the mean loss. ``"auto"`` is 0.0001 with stochastic
        solvers. With L-BFGS, ``"auto"`` corresponds to the default ``C=1`` of
        LogisticRegression: 1 / n for samples of total weight n, or 2 / n for two
        classes.
    batch_size : int or "auto", default="auto"
        Number of samples per step; ``"auto"`` is ``min(200, n_samples)``. If one batch
        holds all samples, each epoch is one step, without shuffling. Ignored by
        ``solver="lbfgs"``.
    learning_rate : str, default="constant"
        Schedule of the learning rate. Ignored by ``solver="lbfgs"``.

        - ``"constant"``: ``learning_rate_init`` throughout.
        - ``"invscaling"``: ``learning_rate_init / (1 + t) ** power_t``, updated after
          every epoch, where t is the number of samples seen so far (with sample
          weights, their total weight).
        - ``"adaptive"``: the learning rate is divided by 5 whenever training stalls
          (see ``n_iter_no_change``), until it is at most 1e-6.
        - ``"one_cycle"``: the learning rate rises along a cosine from
          ``learning_rate_init / 25`` to ``learning_rate_init`` in the first 30 % of all
          steps, then falls along a cosine to ``learning_rate_init / 250000`` [3]_. A
          cycle lasts for ``max_iter`` epochs, or for as many calls of ``partial_fit``.
          ``tol=None`` prevents an earlier stop.
    power_t : float, default=0.5
        Exponent of the learning rate schedule ``learning_rate="invscaling"``.
    max_iter : int, default=200
        Maximum number of epochs, or of iterations with ``solver="lbfgs"``.
    shuffle : bool or "blocks", default=True
        Whether to shuffle the samples before every epoch. ``"blocks"`` is for rows in a
        file that is larger than memory: samples are read in blocks of 1,024 consecutive
        ones, and 64 blocks from all over the file are mixed at a time. Up to 65,536
        samples, this equals True; beyond, samples sorted by class are learnt as well as
        shuffled ones. True becomes ``"blocks"``, with a warning, if X is a
        `numpy.memmap` that exceeds the free memory.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the order of the samples, ``augment`` and the
        validation split. None draws a new seed. The global random generators of NumPy
        and torch are never used.
    tol : float or None, default=0.0001
        Minimum improvement that counts as progress (see ``n_iter_no_change``).
        ``solver="lbfgs"`` stops when no entry of the gradient exceeds ``tol`` in
        absolute value, for features scaled to a standard deviation of about 1. None
        trains for exactly ``max_iter`` epochs, without a warning at the end, and keeps
        an ``"adaptive"`` learning rate constant.
    verbose : bool or int, default=False
        Whether to print the loss after every epoch.
    warm_start : bool, default=False
        Whether ``fit`` continues from the previous fit, for up to ``max_iter`` more
        epochs.
    momentum : float, default=0.9
        Momentum of ``solver="sgd"``, in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether to use Nesterov's momentum in ``solver="sgd"``.
    early_stopping : bool, default=False
        Whether to stop training when the validation score (see ``scoring``) stops
        improving, and to restore the model of the epoch with the best score. With
        ``tol=None``, training runs for all epochs, then restores the best one. The
        validation samples are ``X_val`` if passed to ``fit``, otherwise a part of X. A
        warm start on the same X keeps the same part. Ignored by ``solver="lbfgs"``.
    validation_fraction : float, default=0.1
        Fraction of the samples that ``early_stopping`` sets aside for validation,
        stratified by class.
    scoring : "loss", str, callable or None, default=None
        Validation score. None is the accuracy. Otherwise, the name of a scorer or a
        callable ``scorer(estimator, X, y)`` whose result is better if it is higher. A
        scorer that accepts ``sample_weight`` receives the weights of the validation
        samples, if there are any. With ``"loss"``, ``early_stopping`` monitors the
        validation loss, and the validation score is the accuracy.
    beta_1 : float, default=0.9
        Decay rate of the first moment in ``"adam"`` and ``"adamw"``, in [0, 1).
    beta_2 : float, default=0.999
        Decay rate of the second moment in ``"adam"`` and ``"adamw"``, in [0, 1).
    epsilon : float, default=1e-8
        Small constant added to the denominator of the step of ``"adam"`` and
        ``"adamw"``, which keeps the step finite.
    weight_decay : float, default=0.01
        Weight decay of ``"adamw"``: each step multiplies the weights (not the biases)
        by ``1 - η * weight_decay``, where η is the current learning rate.
    n_iter_no_change : int, default=10
        Patience: maximum number of consecutive epochs in which the training loss (with
        ``early_stopping``, the validation score) does not improve on its best value by
        at least ``tol``. After one more such epoch, training stalls: it stops, or
        divides an ``"adaptive"`` learning rate by 5.
    max_fun : int, default=15000
        Maximum number of evaluations of the objective by ``solver="lbfgs"``.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, which multiplies ``sample_weight``. ``"balanced"`` is
        ``n_samples / (n_classes * np.bincount(y))``, which gives all classes the same
        total weight. Class weights also apply to samples that are set aside for
        validation, but not to ``X_val``.
    label_smoothing : float, default=0.0
        Strength ε of label smoothing: the targets are
        ``(1 - ε) * onehot + ε / n_classes``.
    augment : {"shift", "affine", "elastic"}, callable or None, default=None
        Random distortion of the training images, drawn anew in every epoch. A string is
        the name of a distortion of `skdigits.augmentation` with its default parameters.
        An object of that module has parameters that a search can vary
        (``augment__scale``). A function takes a tensor of shape (n, channels, height,
        width) and a `torch.Generator`, and returns a tensor of the same shape. Not
        available with ``solver="lbfgs"``.
    image_shape : tuple of int, default=None
        Shape of the images for ``augment``: ``(height, width)`` or
        ``(height, width, channels)``. None stands for square images.
    pixels : {"auto"} or bool, default="auto"
        Whether integers in X are pixels, which are scaled to ``X / 255``. ``"auto"``
        decides in the first fit: uint8 values are pixels if one of them exceeds 1.
        Other integers are pixels if all are from 0 to 255, some exceed 16, and a row is
        as long as an image: the number of features is a square number of at least 64,
        or ``image_shape`` is given. All other integers are plain numbers, computed in
        float64. Floats are never scaled.
    device : str or torch.device, default="auto"
        Device to compute on: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, …. ``"auto"`` is the
        device of X if X is a tensor under array API dispatch, otherwise CUDA if
        available, otherwise the CPU.

    Attributes
    ----------
    coef_ : ndarray of shape (n_classes, n_features)
        Weights; for images, each row is the template of a class.
    intercept_ : ndarray of shape (n_classes,)
        Biases of the classes.
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    history_ : DataFrame
        One row per epoch, with the columns ``epoch``, ``learning_rate`` (of the last
        step of the epoch), ``train_loss`` (mean of the objective over the epoch),
        ``validation_loss`` (without penalty), ``validation_score`` and ``seconds``
        (since the start of the fit). ``validation_loss`` and ``validation_score`` are
        NaN without validation samples. The row of a diverged epoch is replaced when
        training continues.
    n_iter_ : int
        Number of epochs of the last fit.
    loss_ : float
        Training loss of the last epoch.
    best_loss_ : float or None
        Smallest training loss of all epochs; None with ``early_stopping``.
    loss_curve_ : list of float
        Training loss after each epoch.
    validation_scores_ : list of float or None
        Validation score after each epoch; None without validation samples.
    best_validation_score_ : float or None
        Highest validation score of all epochs; None without validation samples.
    t_ : int
        Number of samples seen in training; with sample weights, their total weight.
    pixels_ : bool
        Whether integers are read as pixels, ``X / 255``. The first fit decides.
        Predictions, ``partial_fit`` and warm starts follow its decision, whatever the
        dtype of X. If False, uint8 values are plain numbers, too, except after a fit to
        floats within [0, 1] with ``pixels="auto"``.
    solver_ : str
        Solver of the last fit or ``partial_fit``.
    device_ : str
        Device on which the model was fitted.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X has feature names.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : The same model by full-batch solvers.
    MLPClassifierTorch : Network with hidden layers.

    Notes
    -----
    With sample weights :math:`w_i` and logits :math:`z_i = W x_i + b`, the objective is

    .. math::

        \frac{\sum_i w_i \, \ell(z_i, t_i)}{\sum_i w_i} + \frac{\alpha}{2} \|W\|^2,

    as in LogisticRegression with :math:`\alpha = 1 / (C \sum_i w_i)`. ``coef_`` has two
    rows for two classes, too. From the default initial weights, ``"sgd"`` and
    ``"lbfgs"`` keep the sum of the rows at zero.

    ``"lbfgs"`` optimises :math:`V = W \operatorname{diag}(s)` and
    :math:`c = b + W \mu`. The logits are then
    :math:`V \operatorname{diag}(s)^{-1} (x - \mu) + c`, where μ are the means of the
    features. With variances :math:`\sigma_j^2` of the features and
    :math:`h = (C - 1) / C^2` for C classes,
    :math:`s_j = \sqrt{\sigma_j^2 + \alpha / h}` is proportional to the square root of
    the curvature of the objective. The objective and its minimum stay the same.

    Ctrl-C stops training with a warning and keeps the model of the last complete epoch
    (with ``early_stopping``, of the best epoch). Before the end of the first epoch,
    Ctrl-C leaves the estimator unchanged and raises ``KeyboardInterrupt``. In a search,
    Ctrl-C stops the search as well. `skdigits.callbacks.Checkpoint` saves a training to
    a file, from which it continues after the process was killed.

    The model is computed in the dtype of X: in float32 for float32, in float64 for
    float64. Pixels are computed in float32 and converted batch by batch. Integer sample
    weights are equivalent to repeated samples: exactly with L-BFGS, or if one batch
    holds all samples and ``augment`` is off, otherwise on average. If the loss is no
    longer finite, training stops with a warning and keeps the model of the previous
    epoch (with ``early_stopping``, of the best epoch).

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
    >>> model = SoftmaxRegression().fit(X[:1000], y[:1000])
    >>> model.coef_.shape
    (10, 64)
    >>> model.solver_
    'lbfgs'

    With a learning rate, ``solver="auto"`` chooses SGD. The features should then be
    scaled to values near 1:

    >>> model = SoftmaxRegression(0.1, max_iter=30, tol=None, random_state=0)
    >>> round(model.fit(X[:1000] / 16, y[:1000]).score(X[1000:] / 16, y[1000:]), 2)
    0.92
    """

    _parameter_constraints = {**TRAINING, **LINEAR}
    _network_type = DenseNetwork
    _takes_labels = False
    _ftol = 64 * EPSILON  # as in LogisticRegression

    @names_what_is_meant
    def __init__(
        self,
        learning_rate_init="auto",
        *,
        loss="cross_entropy",
        solver="auto",
        weight_init="zeros",
        alpha="auto",
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
        pixels="auto",
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
        self.pixels = pixels
        self.device = device

    def _network(self, n_features, n_classes, multilabel=False):
        return DenseNetwork(
            (n_features, n_classes),
            loss=self.loss,
            weight_init=self.weight_init,
            penalty_per_sample=False,
        )

    @property
    def _layers(self):
        return [(self.coef_.T, self.intercept_)]

    def _set_layers(self, layers, network):
        weight, self.intercept_ = layers[0]
        self.coef_ = weight.T
