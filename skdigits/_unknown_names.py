"""Parameters that a classifier lacks, and the ones that users mean by them."""

from difflib import get_close_matches
from inspect import signature

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
        "sample_weight",
        "weights of samples are sample_weight",
        "sample_weights weight weights",
    ),
]


def unknown_name(cls: type, method: str, name: str) -> str:
    """Return the text of an error about a keyword that a method does not have."""
    own = [
        key
        for key in signature(getattr(cls, method)).parameters
        if key not in ("self", "unknown")
    ]
    of_constructor = signature(cls).parameters
    of_fit = signature(cls.fit).parameters  # type: ignore[attr-defined]
    everywhere = sorted({*own, *of_constructor, *of_fit} - {"self", "unknown"})

    meant = f"its parameters are {', '.join(own)}"
    close = get_close_matches(name, everywhere, 1)
    if name in of_constructor:
        meant = f"it is a parameter of the constructor, {cls.__name__}({name}=...)"
    elif close:
        meant = f"perhaps {close[0]} is meant"
    for parameter, text, others in MEANT:
        if name in others.split() and parameter in everywhere:
            meant = text

    call = cls.__name__ if method == "__init__" else f"{cls.__name__}.{method}"
    return f"{call}() got an unexpected keyword argument '{name}': {meant}."
