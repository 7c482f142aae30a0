"""The base of all classifiers trained by gradients: fit, partial_fit and logits."""

import sys
from abc import abstractmethod
from contextlib import nullcontext
from functools import lru_cache, partial

import torch
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.metaestimators import available_if

from skdigits._arrays import deal_chunks, isolated
from skdigits._base import TorchClassifier
from skdigits._input_checks import (
    check_parameters,
    check_samples,
    has_callbacks,
    refuse_unknown,
    rollback_on_error,
)
from skdigits._targets import check_classes
from skdigits.distributed import RANKS
from skdigits.engine.evaluate import predict_scores
from skdigits.engine.losses import LOGISTIC
from skdigits.engine.process import hold_interrupts, release_interrupts
from skdigits.engine.solvers import SOLVERS, stochastic_solvers
from skdigits.engine.types import Latest
from skdigits.training.checkpoint import fitted_params
from skdigits.training.data import ValidationSet, check_validation_set
from skdigits.training.fitted import (
    from_state,
    history_frame,
    set_fitted_attributes,
    to_state,
)
from skdigits.training.messages import after_training, emit, ending
from skdigits.training.observers import EpochPrinter, FitCallbacks, is_part_of_more
from skdigits.training.ranks import (
    agree_on_model,
    agree_on_validation,
    refuse_indivisible,
    samples_of_ranks,
    saved_for_ranks,
    score_of_first,
    together,
)
from skdigits.training.reading import may_wait
from skdigits.training.session import prepare, run
from skdigits.training.settings import working_dtype

EPSILON = sys.float_info.epsilon
# A list, because `in` then also works for an invalid, unhashable solver.
FULL_BATCH = [name for name, solver in SOLVERS.items() if solver.full_batch]


def _is_stochastic(model):
    """Return True, or raise an AttributeError for a full-batch solver."""
    if model.solver in FULL_BATCH:
        raise AttributeError(
            "partial_fit is only available for stochastic optimizers; "
            f"solver={model.solver!r} is not stochastic. Use {stochastic_solvers()}."
        )
    return True


def last_layer(loss, n_classes, multilabel):
    """Return the number of outputs and their loss.

    With two classes, the network has one logistic output; with multilabel targets, it
    has one for each label.
    """
    if multilabel and loss != "cross_entropy":
        raise ValueError(
            f"loss={loss!r} compares the classes of a sample, but y is multilabel: set "
            "loss='cross_entropy', or pass one class per sample."
        )

    if loss != "cross_entropy" or (n_classes != 2 and not multilabel):
        return n_classes, loss
    return (n_classes if multilabel else 1), LOGISTIC


@lru_cache(maxsize=32)
def _made(network_type, settings):
    """Return a network, the same object for the same names and values."""
    return network_type(**dict(settings))


class GradientClassifier(CallbackSupportMixin, TorchClassifier):
    """A classifier whose network is trained by gradients.

    Subclasses add ``__init__``, ``_parameter_constraints``, ``_network`` and
    ``_network_type``, the type of the network. Fitted weights and biases are
    ``coefs_`` and ``intercepts_``; a subclass may override ``_layers`` and
    ``_set_layers`` to store them elsewhere.
    """

    _takes_labels = True
    _saved_in = "file"
    _precision = "auto"
    _ftol = 1e7 * EPSILON  # SciPy's own default, as in MLPClassifier

    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
        **unknown,
    ):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training samples: float32, float64, or integers, which may be pixels (see
            ``pixels``). Sparse samples become dense batch by batch.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels: numbers, strings or booleans. Except in `SoftmaxRegression`, y
            may also be multilabel targets: one column of zeros and ones per label.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; None gives every sample weight 1. Samples of weight
            0 are left out, and so are classes whose samples all have weight 0.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation samples, evaluated after every epoch. With ``early_stopping``,
            they replace the part of X that would be set aside.
        y_val : array-like of shape (n_val,) or (n_val, n_labels), default=None
            Class labels of the validation samples, in the format of y.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of the validation samples; None gives every sample weight 1.
        **unknown : object
            No other parameters are accepted. The error suggests the right name.

        Returns
        -------
        self : object
            The fitted model.

        Raises
        ------
        TypeError
            If there is another parameter, or X is not numeric.
        ValueError
            If a parameter, X, y, the weights or the validation set is invalid.
        """
        if unknown:
            refuse_unknown(self, "fit", unknown)
        validation_set = ValidationSet(X_val, y_val, sample_weight_val)
        latest = Latest()
        try:
            try:
                return self._train(X, y, sample_weight, validation_set, latest=latest)
            except KeyboardInterrupt:
                return self._after_interrupt(latest)
        except KeyboardInterrupt:  # a second one
            return self._after_interrupt(latest)

    @available_if(_is_stochastic)
    def partial_fit(
        self,
        X,
        y,
        classes=None,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
        **unknown,
    ):
        """Train for one more epoch, on the given samples.

        Not available with ``solver="lbfgs"``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training samples: float32, float64, or integers, which may be pixels (see
            ``pixels``).
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels: numbers, strings or booleans. Except in `SoftmaxRegression`, y
            may also be multilabel targets: one column of zeros and ones per label.
        classes : array-like of shape (n_classes,), default=None
            All class labels, also of later calls; required in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; None gives every sample weight 1.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation samples, evaluated after the epoch. ``validation_scores_`` and
            ``history_`` have the results, by which the caller may stop.
        y_val : array-like of shape (n_val,) or (n_val, n_labels), default=None
            Class labels of the validation samples, in the format of y.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of the validation samples; None gives every sample weight 1.
        **unknown : object
            No other parameters are accepted. The error suggests the right name.

        Returns
        -------
        self : object
            The model after the epoch.

        Raises
        ------
        TypeError
            If there is another parameter, or X is not numeric.
        ValueError
            If a parameter, X, y, the weights or the validation set is invalid, if the
            first call lacks ``classes``, or with ``early_stopping=True`` or
            ``class_weight="balanced"``.
        """
        if unknown:
            refuse_unknown(self, "partial_fit", unknown)
        validation_set = ValidationSet(X_val, y_val, sample_weight_val)
        latest = Latest()
        try:
            try:
                return self._train(
                    X,
                    y,
                    sample_weight,
                    validation_set,
                    classes=classes,
                    incremental=True,
                    latest=latest,
                )
            except KeyboardInterrupt:
                return self._after_interrupt(latest)
        except KeyboardInterrupt:  # a second one
            return self._after_interrupt(latest)

    @with_callbacks
    def _train(
        self,
        X,
        y,
        sample_weight=None,
        validation_set=ValidationSet(),  # noqa: B008 (immutable)
        *,
        classes=None,
        incremental=False,
        epochs=None,
        latest=None,
    ):
        """Train in a session, set the fitted attributes and emit the messages.

        With ``incremental``, train for one more epoch of the current learning rate
        cycle, as ``partial_fit`` does. With ``epochs``, train only for that many of the
        ``max_iter`` planned epochs. After an interrupt, ``latest`` holds the last
        complete epoch.
        """
        ranks = RANKS.get()
        meet = nullcontext if ranks is None else partial(together, ranks)
        # One of several processes speaks for all.
        speaks = ranks is None or ranks.rank == 0
        observers = []
        callbacks = None
        with meet():
            check_parameters(self)
            if incremental:
                classes = self._incremental_classes(classes)
            if ranks is not None:
                refuse_indivisible(ranks, self)
            if self.verbose and speaks:
                observers.append(EpochPrinter([self]))
            if speaks and not incremental and has_callbacks(self):
                callbacks = FitCallbacks(self, X, y, sample_weight)
                observers.append(callbacks)

        latest = latest or Latest()
        # An interrupt of one process leaves no model that the others would have, too.
        kept = latest if ranks is None else None

        # Callbacks are set up outside the block, so their teardown runs in any case.
        with isolated(trains=True), rollback_on_error(self, kept):
            session = self._session(
                X, y, sample_weight, validation_set, classes, incremental, callbacks
            )
            with meet():
                if speaks:
                    emit(session.messages)
            latest.session = session
            if callbacks is not None:
                callbacks.follow(session, latest)
            (result,) = run(session, observers, 1 if incremental else epochs, latest)
            if session.data.reader is not None:
                session.data.reader.finish()
            set_fitted_attributes(self, session, result)

        with meet():
            if callbacks is not None:
                callbacks.save(result)
            if self.verbose and speaks:
                for line in ending(self, result, session.plan):
                    print(line)
            if callbacks is not None:
                callbacks.end()
            # Last: a warning may be an error.
            if speaks:
                emit(after_training(self, result, session, incremental or bool(epochs)))
        return self

    def _after_interrupt(self, latest):
        """Restore the model of the last complete epoch, or raise the interrupt again.

        Call this while a KeyboardInterrupt is being handled.
        """
        if latest.runs is None:
            raise
        hold_interrupts()
        try:
            (result,) = latest.runs()
            self._keep(latest.session, result, latest.save)
        finally:
            release_interrupts()
        return self

    def _keep(self, session, result, save):
        """Become the model of an interrupted run, and warn; end a search around it.

        ``save`` writes the run to its checkpoint, if there is one.
        """
        alone = not is_part_of_more(self) and session.ranks is None
        if alone:
            set_fitted_attributes(self, session, result)
        saved = None if save is None else save(result)
        if not alone:
            raise KeyboardInterrupt(f"A fit of {type(self).__name__} was interrupted.")

        if result.status != "diverged":
            result = result._replace(status="interrupted")
        emit(after_training(self, result, session, True, saved))

    def _session(
        self, X, y, sample_weight, validation_set, classes, incremental, callbacks
    ):
        """Check the arguments of fit or partial_fit, and prepare a session."""
        # A first partial_fit starts from scratch like a fit.
        resuming = hasattr(self, "classes_") and (incremental or self.warm_start)
        validates = any(part is not None for part in validation_set)
        given = {"reset": not resuming, "classes": classes}
        given |= {"class_weight": self.class_weight, "takes_labels": self._takes_labels}
        ranks = RANKS.get()
        meet = nullcontext if ranks is None else partial(together, ranks)
        first = None
        if ranks is None:
            # A checkpoint reads the samples before, and so does what compares two sets.
            saves = callbacks is not None and callbacks.checkpoints
            if not (resuming or validates or saves):
                given["may_wait"] = partial(may_wait, self, incremental, sample_weight)
            samples = check_samples(self, X, y, sample_weight, **given)
        else:
            state = [self._layers, self._checkpoint] if resuming else None
            agree_on_model(ranks, self, state, draws=not resuming)
            samples, first = samples_of_ranks(ranks, self, X, y, sample_weight, **given)

        validation_samples = None
        # A later batch, or a shard, tells less of the scale than all samples.
        compares = not (resuming and incremental) and first is None
        with meet():
            if validates:
                validation_samples = check_validation_set(
                    self, validation_set, samples, compares_scales=compares
                )
        saved = None
        if ranks is not None:
            agree_on_validation(ranks, self, validation_samples)
            saved = saved_for_ranks(ranks, callbacks, samples, validation_samples)
        elif callbacks is not None:
            saved = callbacks.saved(samples, validation_samples)

        with meet():
            session = prepare(
                [self],
                [samples],
                validation_samples=validation_samples,
                resuming=resuming,
                incremental=incremental,
                saved=saved,
                first_position=first,
            )
        session = session._replace(incremental=incremental, ranks=ranks)
        if ranks is None or session.score is None:
            return session
        return session._replace(score=score_of_first(ranks, session.score))

    def _incremental_classes(self, classes):
        """Check that partial_fit is possible, and return its classes."""
        if self.early_stopping:
            raise ValueError(
                "partial_fit does not support early_stopping=True, as each call is one "
                "epoch. Call fit, which stops by itself and, with warm_start=True, "
                "continues from this model; or set early_stopping=False, pass X_val "
                "and y_val to each partial_fit, and stop when the last of "
                "validation_scores_ are no better than those before."
            )
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all samples at once, but partial_fit "
                "sees a part of them: pass the result of "
                "sklearn.utils.class_weight.compute_class_weight('balanced', "
                "classes=classes, y=y) as a dict."
            )
        return check_classes(self, classes)

    @abstractmethod
    def _network(self, n_features, n_classes, multilabel=False):
        """Return the network that the parameters describe."""

    @property
    def _fitted(self):
        """The network of the fitted layers, whatever the parameters are now."""
        return _made(self._network_type, self._settings)

    @property
    def _layers(self):
        """Fitted weights, of shape (inputs, outputs) if dense, and biases by layer."""
        return list(zip(self.coefs_, self.intercepts_, strict=True))

    def _set_layers(self, layers, network):
        """Set the fitted attributes of all layers."""
        self.coefs_ = [weight for weight, _ in layers]
        self.intercepts_ = [bias for _, bias in layers]
        self.n_layers_ = len(layers) + 1
        self.n_outputs_ = network.shapes[-1][0]
        self.out_activation_ = "logistic" if network.loss == LOGISTIC else "softmax"

    @property
    def _fitted_array(self):
        return self._layers[0][0]

    def _logits(self, X):
        """Return logits (n_samples, n_classes) of checked samples on their device."""
        network = self._fitted
        params = fitted_params(self, network, X.device)
        if X.is_floating_point():
            # Compute in the wider dtype of samples and parameters, but for pixels in
            # the dtype of the parameters.
            dtype = torch.promote_types(
                params[0].dtype, working_dtype(self._precision, X)
            )
            params = tuple(p.to(dtype) for p in params)
        with deal_chunks(network, X) as workers:
            return predict_scores(network, params, X, workers)[0]

    @property
    def history_(self):
        """Table of all epochs, built anew at each access."""
        if not hasattr(self, "_history"):
            raise AttributeError(
                f"{type(self).__name__} has no history_ before it is fitted: call fit "
                "or partial_fit first."
            )
        return history_frame(self._history)

    def __getstate__(self):
        return to_state(super().__getstate__())

    def __setstate__(self, state):
        super().__setstate__(from_state(state))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = (
            self._takes_labels and self.loss == "cross_entropy"
        )
        return tags
