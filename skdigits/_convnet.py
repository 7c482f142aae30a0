"""The convolutional network."""

from skdigits._gradient import FULL_BATCH, GradientClassifier, last_layer
from skdigits._image_shapes import shape_of_images
from skdigits._input_checks import layer_sizes, names_what_is_meant
from skdigits._parameters import CONVOLUTIONS, TRAINING
from skdigits.engine.convnet import ConvNetwork
from skdigits.engine.solvers import stochastic_solvers


class ConvNetClassifier(GradientClassifier):
    r"""Convolutional network for small images, trained by gradients.

    The network has convolutions, pooling between the convolutions, and a linear last
    layer. It does not use batch statistics. The parameters are those of
    `MLPClassifierTorch`, with defaults for images.

    Parameters
    ----------
    channels : int or array-like of int, default=(24, 48, 96)
        Number of channels of each convolution. The first convolution has kernels of 5 ×
        5 pixels, the others of 3 × 3. If a convolution has more channels than the
        previous one, 2 × 2 max pooling halves the image before it.
    image_shape : tuple of int, default=None
        Shape of the images: ``(height, width)``, or ``(height, width, channels)`` if
        the channels of a pixel are adjacent, as in ``images.reshape(len(images), -1)``
        for images of shape (n, height, width, channels). None stands for square images.
        If the number of features is not a square number, None stands for a single row
        of pixels, with a warning.
    activation : {"identity", "logistic", "tanh", "relu"}, default="relu"
        Activation function of all layers but the last.
    solver : {"sgd", "adam", "adamw", "lbfgs"}, default="adamw"
        Optimiser: ``"sgd"`` is mini-batch gradient descent with momentum; ``"adam"``
        [1]_ and ``"adamw"`` [2]_ adapt the step size of each weight; ``"lbfgs"`` is
        SciPy's L-BFGS on all samples at once.
    alpha : float, default=0.0001
        Strength of the L2 penalty on the weights of the last layer. As in
        MLPClassifier, the penalty is divided by the total sample weight of the batch.
        Other weights have no penalty, because their scale has no effect on the model.
    batch_size : int or "auto", default="auto"
        Number of samples per step; ``"auto"`` is ``min(128, n_samples)``. If one batch
        holds all samples, each epoch is one step, without shuffling. Ignored by
        ``solver="lbfgs"``.
    learning_rate : str, default="one_cycle"
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
    learning_rate_init : float, default=0.01
        Initial learning rate; with ``learning_rate="one_cycle"``, the maximum learning
        rate. Ignored by ``solver="lbfgs"``.
    power_t : float, default=0.5
        Exponent of the learning rate schedule ``learning_rate="invscaling"``.
    max_iter : int, default=10
        Maximum number of epochs, or of iterations with ``solver="lbfgs"``.
    shuffle : bool or "blocks", default=True
        Whether to shuffle the samples before every epoch. ``"blocks"`` is for rows in a
        file that is larger than memory: samples are read in blocks of 1,024 consecutive
        ones, and 64 blocks from all over the file are mixed at a time. Up to 65,536
        samples, this equals True; beyond, samples sorted by class are learnt as well as
        shuffled ones. True becomes ``"blocks"``, with a warning, if X is a
        `numpy.memmap` that exceeds the free memory.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the order of the samples, dropout, ``augment`` and
        the validation split. None draws a new seed. The global random generators of
        NumPy and torch are never used.
    tol : float or None, default=None
        Minimum improvement that counts as progress (see ``n_iter_no_change``).
        ``solver="lbfgs"`` stops when no entry of the gradient exceeds ``tol`` in
        absolute value. None trains for exactly ``max_iter`` epochs, without a warning
        at the end, and keeps an ``"adaptive"`` learning rate constant.
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
    loss : {"cross_entropy", "softmax_mse", "sigmoid_mse"}, default="cross_entropy"
        Loss of a sample with logits z and targets t:

        - ``"cross_entropy"``: :math:`-\sum_c t_c \log p_c`, where p = softmax(z).
        - ``"softmax_mse"``: mean of :math:`(p_c - t_c)^2` over the classes.
        - ``"sigmoid_mse"``: mean of :math:`(\sigma(z_c) - t_c)^2` over the classes; the
          probabilities are :math:`\sigma(z_c) / \sum_k \sigma(z_k)`.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, which multiplies ``sample_weight``. ``"balanced"`` is
        ``n_samples / (n_classes * np.bincount(y))``, which gives all classes the same
        total weight. Class weights also apply to samples that are set aside for
        validation, but not to ``X_val``.
    label_smoothing : float, default=0.0
        Strength ε of label smoothing: the targets are
        ``(1 - ε) * onehot + ε / n_classes``.
    dropout : float, default=0.0
        Fraction of the outputs of the last convolution that are dropped at random for
        each training sample, in [0, 1) [4]_. Ignored by ``solver="lbfgs"``.
    weight_init : {"glorot", "he", "normal"}, default="he"
        Initial weights and biases: ``"glorot"`` draws both uniformly, within
        ``sqrt(6 / (fan_in + fan_out))`` of 0 (``sqrt(2 / …)`` with
        ``activation="logistic"``), as MLPClassifier does; ``"he"`` draws weights from a
        normal distribution of variance ``2 / fan_in`` and sets biases to 0;
        ``"normal"`` draws both from N(0, 1).
    augment : {"shift", "affine", "elastic"}, callable or None, default=None
        Random distortion of the training images, drawn anew in every epoch. A string is
        the name of a distortion of `skdigits.augmentation` with its default parameters.
        An object of that module has parameters that a search can vary
        (``augment__scale``). A function takes a tensor of shape (n, channels, height,
        width) and a `torch.Generator`, and returns a tensor of the same shape. Not
        available with ``solver="lbfgs"``.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of the computation. ``"auto"`` uses the dtype of X, but trains the
        convolutions in bfloat16 if X is float32 or pixels and the device computes
        bfloat16 faster: GPUs since Ampere, and CPUs with AVX512-BF16 or AMX.
        ``"float32"`` computes in float32, also for float64 X, which is ten times as
        fast as float64. ``"bfloat16"`` trains the convolutions in bfloat16 on any
        device. Predictions are never computed in bfloat16.
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
    coefs_ : list of ndarray
        Weights of each layer. A convolution has shape (n_out, n_in, size, size), and
        the network standardises its weights before use. The last layer has shape
        (n_features_out, n_outputs), with features in the order (row, column, channel).
    intercepts_ : list of ndarray of shape (n_out,)
        Biases of each layer.
    image_shape_ : tuple of int
        Shape of the images, ``(height, width, channels)``.
    n_layers_ : int
        Number of layers, including the input and output layers but not pooling.
    n_outputs_ : int
        Number of units in the last layer: one per class or label, but a single unit for
        two classes with ``loss="cross_entropy"``.
    out_activation_ : str
        Activation function of the last layer: ``"logistic"`` for multilabel targets,
        and for two classes with ``loss="cross_entropy"``; otherwise ``"softmax"``.
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted; for multilabel targets, the column numbers of y.
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
    MLPClassifierTorch : Network without convolutions: faster, and for any features.
    skdigits.preprocessing.DigitNormalizer : Turns images into digits like MNIST's.

    Notes
    -----
    A convolution computes :math:`f(\mathrm{pool}(\hat W * x + b))` of the channels x of
    an image, with the activation function f. It standardises the weights of each output
    channel,

    .. math:: \hat W_o = g \, \frac{W_o - \overline{W_o}}{\|W_o - \overline{W_o}\|},

    where 1 / g is the standard deviation of f for a standard normal input [5]_. As with
    batch normalisation, signals keep their scale from layer to layer. Unlike batch
    normalisation, the samples of a batch do not influence each other, and a batch may
    hold a single sample. A convolution pads with zeros if a side would otherwise shrink
    to half of its length or less. The objective is that of `MLPClassifierTorch`, with
    the weights W before standardisation.

    With ``loss="cross_entropy"``, two classes share one logistic output. Multilabel
    targets are an indicator matrix of shape (n_samples, n_labels), and each label has
    one logistic output.

    Ctrl-C stops training with a warning and keeps the model of the last complete epoch
    (with ``early_stopping``, of the best epoch). Before the end of the first epoch,
    Ctrl-C leaves the estimator unchanged and raises ``KeyboardInterrupt``. In a search,
    Ctrl-C stops the search as well. `skdigits.callbacks.Checkpoint` saves a training to
    a file, from which it continues after the process was killed.

    The model is computed in the dtype of X: in float32 for float32, in float64 for
    float64 (see ``precision``). Pixels are computed in float32 and converted batch by
    batch. Integer sample weights are equivalent to repeated samples: exactly if one
    batch holds all samples and ``dropout`` and ``augment`` are off, otherwise on
    average. If the loss is no longer finite, training stops with a warning and keeps
    the model of the previous epoch (with ``early_stopping``, of the best epoch).

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
    _network_type = ConvNetwork

    @names_what_is_meant
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
        pixels="auto",
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
        self.pixels = pixels
        self.device = device

    def _network(self, n_features, n_classes, multilabel=False):
        n_outputs, loss = last_layer(self.loss, n_classes, multilabel)
        channels = layer_sizes("channels", self.channels)
        if not channels:
            raise ValueError(
                "channels=() leaves no convolution: pass the number of channels of "
                "each, such as (24, 48), or use SoftmaxRegression."
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
        """Return the precision of convolutions; L-BFGS needs that of the weights."""
        if self.solver not in FULL_BATCH:
            return self.precision

        if self.precision == "bfloat16":
            raise ValueError(
                f"precision='bfloat16' is too coarse for solver={self.solver!r}: set "
                f"precision='float32', or solver to {stochastic_solvers()}."
            )
        return "float32"

    def _set_layers(self, layers, network):
        super()._set_layers(layers, network)
        self.image_shape_ = network.image_shape
