"""Constraints on the parameters of all estimators, in scikit-learn's form."""

from numbers import Real

import numpy as np
import torch
from sklearn.utils._param_validation import Options, StrOptions

from skdigits._input_checks import (
    COUNT,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    Number,
)
from skdigits.engine.activations import ACTIVATIONS
from skdigits.engine.losses import LOSSES
from skdigits.engine.network import WEIGHT_INITS
from skdigits.engine.schedules import SCHEDULES
from skdigits.engine.solvers import SOLVERS
from skdigits.engine.templates import METRICS

# Tables decide which names are valid: a new solver needs no change here.
CLASSIFIER = {
    "device": [str, torch.device],
    "random_state": ["random_state"],
    "pixels": [StrOptions({"auto"}), "boolean"],
}
TRAINING = {
    **CLASSIFIER,
    "loss": [StrOptions(set(LOSSES))],
    "solver": [StrOptions(set(SOLVERS))],
    "alpha": [NOT_NEGATIVE],
    "batch_size": [StrOptions({"auto"}), COUNT],
    "learning_rate": [StrOptions(set(SCHEDULES))],
    "learning_rate_init": [POSITIVE],
    "power_t": [NOT_NEGATIVE],
    "max_iter": [COUNT],
    "shuffle": ["boolean", StrOptions({"blocks"})],
    "tol": [NOT_NEGATIVE, None],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Number(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "scoring": [str, callable, None],
    "validation_fraction": [Number(Real, 0, 1, closed="neither")],
    "beta_1": [FRACTION],
    "beta_2": [FRACTION],
    "epsilon": [POSITIVE],
    "weight_decay": [NOT_NEGATIVE],
    "n_iter_no_change": [COUNT, Options(Real, {np.inf})],
    "max_fun": [COUNT],
    "label_smoothing": [FRACTION],
    "class_weight": [dict, StrOptions({"balanced"}), None],
    "weight_init": [StrOptions(set(WEIGHT_INITS))],
    "augment": [StrOptions({"shift", "affine", "elastic"}), callable, None],
    "image_shape": ["array-like", None],
}
"""Constraints on the parameters that all classifiers trained by gradients share."""

LINEAR = {
    "solver": [StrOptions({"auto", *SOLVERS})],
    "alpha": [StrOptions({"auto"}), NOT_NEGATIVE],
    "learning_rate_init": [StrOptions({"auto"}), POSITIVE],
}

HIDDEN = {
    "hidden_layer_sizes": ["array-like", COUNT],
    "activation": [StrOptions(set(ACTIVATIONS))],
    # Hidden units that all start at zero would stay equal forever.
    "weight_init": [StrOptions(set(WEIGHT_INITS) - {"zeros"})],
    "dropout": [FRACTION],
}

CONVOLUTIONS = {
    "channels": ["array-like", COUNT],
    "activation": HIDDEN["activation"],
    "weight_init": HIDDEN["weight_init"],
    "dropout": HIDDEN["dropout"],
    "precision": [StrOptions({"auto", "float32", "bfloat16"})],
}

TEMPLATES = {
    **CLASSIFIER,
    "metric": [StrOptions(set(METRICS))],
    "n_templates": [COUNT],
    "temperature": [StrOptions({"auto"}), POSITIVE],
}

SEARCH = {
    "return_epoch_scores": ["boolean"],
    "refit_epochs": [StrOptions({"best"}), None],
    "working_memory": [POSITIVE, None],
}
"""Constraints on the parameters that searches add to those of scikit-learn."""
