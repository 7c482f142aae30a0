"""Parameters that a classifier lacks, and the ones that users mean by them."""

from collections.abc import Callable
from difflib import get_close_matches
from inspect import signature
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

# A parameter, what to say of it, and the names by which users look for it.
MEANT = [
    (
        "learning_rate_init",
        "the learning rate is learning_rate_init",
        "lr eta eta0 rate step_size initial_lr max_lr",
    ),
    (
        "max_iter",
        "the number of epochs is max_iter",
        "epochs n_epochs num_epochs max_epochs n_iter nb_epoch",
    ),
    ("alpha", "the strength of the penalty is alpha, large where C is small", "C"),
    (
        "alpha",
        "the strength of the penalty is alpha",
        "penalty l2 reg reg_lambda l2_regularization",
    ),
    (
        "X_val",
        "fit(X, y, X_val=..., y_val=...) takes a validation set",
        "eval_set validation_data validation_set val_data x_val X_valid y_valid",
    ),
    (
        "n_iter_no_change",
        "with early_stopping=True, the patience is n_iter_no_change",
        "patience early_stopping_rounds",
    ),
    ("solver", "the optimiser is solver", "optimizer optimiser optim algorithm"),
    (
        "hidden_layer_sizes",
        "the sizes of the layers are hidden_layer_sizes",
        "hidden_size hidden_layers layers n_hidden units",
    ),
    ("random_state", "the seed is random_state", "seed random_seed manual_seed"),
    ("batch_size", "the size of a batch is batch_size", "batch bs minibatch_size"),
    ("loss", "the loss is loss", "criterion objective loss_function"),
    (
        "dropout",
        "the fraction of dropped units is dropout",
        "p drop drop_rate dropout_rate",
    ),
    ("weight_decay", "the decay of weights is weight_decay", "wd"),
    ("epsilon", "the small constant of Adam is epsilon", "eps"),
    ("beta_1", "the decay rates of Adam are beta_1 and beta_2", "betas"),
    ("device", "device='cuda' takes the GPU", "gpu use_gpu cuda use_cuda"),
    (
        "max_iter",
        "callbacks are set by a method, model.set_callbacks(...)",
        "callbacks callback",
    ),
    (
        "sample_weight",
        "weights of samples are sample_weight",
        "sample_weights weight weights",
    ),
]


def unknown_name(cls: type, method: str, name: str) -> str:
    """Return the text of an error about a keyword that a method does not have."""
    meant = meaning(cls, method, name)
    if not meant:
        meant = f"its parameters are {', '.join(_keywords(getattr(cls, method)))}"
    call = cls.__name__ if method == "__init__" else f"{cls.__name__}.{method}"
    return f"{call}() got an unexpected keyword argument '{name}': {meant}."


def unknown_parameter(estimator: "BaseEstimator", name: str) -> str:
    """Return the text of an error about a name that ``set_params`` does not know."""
    meant = meaning(type(estimator), "__init__", name)
    hint = f": {meant}" if meant else ""
    # scikit-learn's own words, with the hint before what may be a page of names.
    return (
        f"Invalid parameter {name!r} for estimator {estimator}{hint}. Valid parameters "
        f"are: {sorted(estimator.get_params(deep=False))}."
    )


def meaning(cls: type, method: str, name: str) -> str:
    """Return what a user means by a keyword that a method lacks; empty if unclear."""
    own = _keywords(getattr(cls, method))
    of_constructor = _keywords(cls)
    of_fit = _keywords(cls.fit)  # type: ignore[attr-defined]
    everywhere = sorted({*own, *of_constructor, *of_fit})

    for parameter, text, others in MEANT:
        if name in others.split() and parameter in everywhere:
            return text
    if name in of_constructor:
        return f"it is a parameter of the constructor, {cls.__name__}({name}=...)"
    if name in of_fit:
        return f"it is a parameter of fit, {cls.__name__}().fit(X, y, {name}=...)"
    close = get_close_matches(name, everywhere, 1)
    return f"perhaps {close[0]} is meant" if close else ""


def _keywords(function: Callable[..., object]) -> list[str]:
    """Return the names of the parameters that a user may pass."""
    names = signature(function).parameters
    return [name for name in names if name not in ("self", "unknown")]
