"""The convolutional network."""

from skdigits._layered import LayeredClassifier, last_layer
from skdigits._parameters import CONVOLUTIONS, TRAINING, layer_sizes, shape_of_images
from skdigits.engine.convolutions import ConvNetwork


class ConvNetClassifier(LayeredClassifier):
    r"""Convolutional network for small images, trained by gradients.

    A few convolutions, pooling between them, and a linear layer on top; no batch statistics.
    Its parameters are those of `MLPClassifierTorch`, its defaults are for images.

    Parameters
    ----------
    channels : int or array-like of int, default=(24, 48, 96)
        Channels of each convolution. The first has kernels of 5 × 5 pixels, others of 3 × 3.
        Before one that has more channels than the one before it, the image is halved, by the
        largest of each 2 × 2 values.
    image_shape : tuple of int, default=None
        ``(height, width)``, or ``(height, width, channels)`` where the channels of a pixel
        stand side by side, as in ``images.reshape(len(images), -1)`` of images of shape
        (n, height, width, channels); None: square, or, with a warning, a single row of pixels.
    activation : {"identity", "logistic", "tanh", "relu"}, default="relu"
        Of the convolutions.
    solver : {"sgd", "adam", "adamw", "lbfgs"}, default="adamw"
        ``"sgd"`` is gradient descent by mini-batches with momentum; ``"adam"`` [1]_ and
        ``"adamw"`` [2]_ adapt the step of every weight; ``"lbfgs"`` is SciPy's L-BFGS on
        all rows at once.
    alpha : float, default=0.0001
        Strength of the L2 penalty on the weights of the last layer, divided by the weight of
        the batch as in MLPClassifier; the size of all others does not matter.
    batch_size : int or "auto", default="auto"
        Rows per step; ``"auto"`` is ``min(128, n_samples)``. One batch with all rows takes one
        unshuffled step per epoch. Ignored by ``"lbfgs"``.
    learning_rate : {"constant", "invscaling", "adaptive", "one_cycle"}, default="one_cycle"
        Schedule of the learning rate, for all solvers but ``"lbfgs"``:

        - ``"constant"``: ``learning_rate_init`` throughout.
        - ``"invscaling"``: ``learning_rate_init / (1 + t) ** power_t`` from epoch to epoch, t
          the number of rows seen (their weight, where they have one).
        - ``"adaptive"``: divided by 5 each time training stalls, see ``n_iter_no_change``,
          until it is 1e-6 or less.
        - ``"one_cycle"``: up from 1/25 of ``learning_rate_init`` within 30 % of all steps,
          then down to 1/250,000, along cosines [3]_. A cycle lasts ``max_iter`` epochs, or
          as many calls of ``partial_fit``.
    learning_rate_init : float, default=0.01
        Learning rate, or its largest value in a cycle. Ignored by ``"lbfgs"``.
    power_t : float, default=0.5
        Exponent of ``learning_rate="invscaling"``.
    max_iter : int, default=10
        Most epochs to train for; of ``"lbfgs"``, iterations.
    shuffle : bool, default=True
        Whether to draw a new order of the rows for every epoch.
    random_state : int, RandomState instance or None, default=None
        Drives initial weights, order of rows, dropout, distortions and validation split. None
        draws a fresh seed; NumPy's and torch's global generators are never used.
    tol : float or None, default=None
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
        X, the same whenever a warm start goes on. While ``tol`` is None it does not stop, but
        does return. Ignored by ``"lbfgs"``.
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
    loss : {"cross_entropy", "softmax_mse", "sigmoid_mse"}, default="cross_entropy"
        Of a row with logits z and target t: :math:`-\sum_c t_c \log p_c` with p the softmax
        of z; the mean over classes of :math:`(p_c - t_c)^2`; or of
        :math:`(\sigma(z_c) - t_c)^2`, whose probabilities are
        :math:`\sigma(z_c) / \sum_k \sigma(z_k)`.
    class_weight : dict, "balanced" or None, default=None
        What rows of each class count, times their ``sample_weight``: ``"balanced"`` is
        ``n_samples / (n_classes * np.bincount(y))``, each class as much as any other. It
        counts for rows that are set aside as well, but not for those passed as ``X_val``.
    label_smoothing : float, default=0.0
        The ε of the targets ``(1 - ε) * onehot + ε / n_classes``.
    dropout : float, default=0.0
        Part of what the last convolution hands on that is left out of each row's step, in
        [0, 1) [4]_. Ignored by ``"lbfgs"``.
    weight_init : {"glorot", "he", "normal"}, default="he"
        Start: ``"glorot"`` is uniform as in MLPClassifier, weights and biases within
        ``sqrt(6 / (fan_in + fan_out))`` (for logistic units ``sqrt(2 / …)``); ``"he"`` normal
        of variance ``2 / fan_in`` with biases 0; ``"normal"`` N(0, 1) throughout.
    augment : {"shift", "affine", "elastic"}, callable or None, default=None
        How images are distorted, at random and anew in every epoch, while the model is
        trained: one of `skdigits.augmentation` with its defaults, or an object of there, whose
        parameters can be searched over (``augment__scale``), or a function of a tensor
        (n, channels, height, width) and a `torch.Generator` that returns such a tensor. Not to
        be had with ``"lbfgs"``.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        ``"auto"`` computes in the dtype of X, and trains the convolutions in bfloat16 where X
        is float32 or pixels and the device is faster by it: GPUs since Ampere, and CPUs with
        AVX512-BF16 or AMX. ``"float32"`` computes in that, float64 X included, which has a
        tenth of its speed; ``"bfloat16"`` trains in that on any device. Predictions are
        never made in bfloat16.
    device : str, default="auto"
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, …; ``"auto"`` is that of a tensor X under array
        API dispatch, else CUDA where there is one, else the CPU.

    Attributes
    ----------
    coefs_ : list of ndarray
        Weights of each layer: of convolutions (n_out, n_in, size, size), which the network
        standardises before it uses them; at last (n_features_out, n_outputs), features in the
        order of (row, column, channel).
    intercepts_ : list of ndarray of shape (n_out,)
        Biases of each layer.
    image_shape_ : tuple of int
        ``(height, width, channels)`` of the images.
    n_layers_ : int
        Layers, input and output among them, pooling not.
    n_outputs_ : int
        Units of the last layer: classes or labels, and one for two classes.
    out_activation_ : str
        ``"softmax"``, or ``"logistic"`` for two classes or for labels.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted; of multilabel targets the numbers of their columns.
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
    MLPClassifierTorch : Without convolutions: faster, and for features of any kind.
    skdigits.preprocessing.DigitNormalizer : Makes digits like MNIST's of any images.

    Notes
    -----
    A layer computes, of the channels x of an image, :math:`f(\mathrm{pool}(\hat W * x + b))`,
    where the weights of each of its own channels are standardised,

    .. math:: \hat W_o = g \, \frac{W_o - \overline{W_o}}{\|W_o - \overline{W_o}\|},

    with g one over the standard deviation of f for a normal input [5]_. As with batch
    normalisation, signals neither fade nor grow from layer to layer; unlike there, an image
    has no influence on those beside it, and one row is enough. Convolutions are padded with
    zeros where they would leave no more than half of a side. The objective is that of
    `MLPClassifierTorch`, with the weights W that are standardised.

    Two classes have one logistic output, with ``loss="cross_entropy"``; so has each label of
    multilabel targets, an indicator matrix of shape (n_samples, n_labels). Ctrl-C ends
    training with a warning and leaves the model of the last whole epoch (with
    ``early_stopping``, of the best); before the end of the first, and in ``partial_fit``, it
    leaves everything as it was, and raises. Inside a search it goes on to stop that, too.

    All is computed in the dtype of X: float32, float64, or float32 for pixels (uint8), which
    are read batch by batch; but see ``precision``. Integer weights equal repeated rows where
    one batch holds all rows and nothing is dropped out or distorted; otherwise nearly so, on
    the average. A model whose loss
    is no longer finite is left as it was an epoch before (with ``early_stopping``, it is that
    of its best epoch), with a warning.

    References
    ----------
    .. [1] D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
    .. [2] I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    .. [3] L. N. Smith, N. Topin, "Super-Convergence", arXiv:1708.07120, 2018.
    .. [4] N. Srivastava et al., "Dropout", JMLR 15, 2014.
    .. [5] A. Brock, S. De, S. L. Smith, "Characterizing Signal Propagation to Close the
       Performance Gap in Unnormalized ResNets", ICLR 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import ConvNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X / 16
    >>> model = ConvNetClassifier((8, 16), random_state=0).fit(X[:1000], y[:1000])
    >>> [coef.shape for coef in model.coefs_]
    [(8, 1, 5, 5), (16, 8, 3, 3), (256, 10)]
    >>> model.score(X[1000:], y[1000:]) > 0.9
    True
    """

    _parameter_constraints = {**TRAINING, **CONVOLUTIONS}
    _reads_images = True
    _auto_batch = 128

    def __init__(
        self,
        channels=(24, 48, 96),
        *,
        image_shape=None,
        activation="relu",
        solver="adamw",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="one_cycle",
        learning_rate_init=0.01,
        power_t=0.5,
        max_iter=10,
        shuffle=True,
        random_state=None,
        tol=None,
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
        loss="cross_entropy",
        class_weight=None,
        label_smoothing=0.0,
        dropout=0.0,
        weight_init="he",
        augment=None,
        precision="auto",
        device="auto",
    ):
        self.channels = channels
        self.image_shape = image_shape
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
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
        self.loss = loss
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.dropout = dropout
        self.weight_init = weight_init
        self.augment = augment
        self.precision = precision
        self.device = device

    def _network(self, n_features, n_classes, multilabel=False):
        n_outputs, loss = last_layer(self.loss, n_classes, multilabel)
        channels = layer_sizes("channels", self.channels)
        if not channels:
            raise ValueError(
                "channels=() leaves no convolution: give the channels of each, such as "
                "(24, 48), or use SoftmaxRegression."
            )
        return ConvNetwork(
            shape_of_images(self.image_shape, n_features),
            channels,
            n_outputs,
            loss=loss,
            activation=self.activation,
            weight_init=self.weight_init,
            precision=self._precision_of_training(),
        )

    def _precision_of_training(self):
        """That of the parameters for L-BFGS: by less, its line search would lose the way."""
        if self.solver == "lbfgs" and self.precision == "bfloat16":
            raise ValueError(
                "precision='bfloat16' is too coarse for solver='lbfgs': set "
                "precision='float32', or solver to 'sgd', 'adam' or 'adamw'."
            )
        return "float32" if self.solver == "lbfgs" else self.precision

    def _fitted_network(self):
        # What it was fitted with, whatever the parameters are now.
        fitted = {"channels": [coef.shape[0] for coef in self.coefs_[:-1]]}
        fitted |= {"image_shape": self.image_shape_, "precision": "float32"}
        model = type(self)(**self.get_params(deep=False) | fitted)
        return model._network(self.n_features_in_, len(self.classes_), self._multilabel)

    def _layout(self):
        return (self.image_shape_, *super()._layout())

    def _install(self, weights, biases, network):
        super()._install(weights, biases, network)
        self.image_shape_ = network.image_shape
