"""Fitted attributes: plain arrays and numbers that a run leaves on its estimator."""

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from skdigits._arrays import from_tensor, is_pixels, to_numpy
from skdigits._input_checks import Samples
from skdigits.engine.network import Network
from skdigits.engine.solvers import SOLVERS
from skdigits.engine.types import Epoch, Params, Run
from skdigits.training.checkpoint import Checkpoint
from skdigits.training.settings import monitored_settings

if TYPE_CHECKING:
    from skdigits._gradient import GradientClassifier
    from skdigits.training.session import Session


def set_fitted_attributes(
    model: "GradientClassifier", session: "Session", run: Run, replica: int = 0
) -> None:
    """Make an estimator the fitted model, by its run in a session and its replica."""
    history = pd.DataFrame(run.epochs, columns=Epoch._fields)
    first = run.epochs[0].epoch
    if first > 1:
        # The last epoch of the past is replaced if it diverged and was trained again.
        past = model.history_
        history = pd.concat([past[past["epoch"] < first], history], ignore_index=True)

    params = run.state.params
    set_parameters(model, session.template, params, session.samples, session.network)
    set_history(model, history)
    model.n_iter_ = len(run.epochs)  # a warm start counts from 1 again
    model.t_ = int(run.state.progress.seen)

    state = run.state
    model._checkpoint = Checkpoint(
        solver=model.solver,
        monitored=monitored_settings(model),
        moments=[[to_numpy(tensor[0]) for tensor in group] for group in state.moments],
        stopping=[values.item() for values in state.stopping],
        seen=state.progress.seen.item(),
        epochs=state.progress.epochs,
        steps=state.progress.steps,
        cycle=state.progress.cycle,
        rng=run.rng,
        split_rng=session.start.split_rngs[replica],
        noise_seed=session.start.noise_seeds[replica],
    )


def set_parameters(
    model: "GradientClassifier",
    template: "GradientClassifier",
    params: Params,
    samples: Samples,
    network: Network,
) -> None:
    """Let an estimator predict by the parameters of one model, K = 1."""
    for name in ("n_features_in_", "feature_names_in_"):
        if name in vars(template):
            setattr(model, name, getattr(template, name))

    layers = [
        (from_tensor(weight, samples.X), from_tensor(bias, samples.X))
        for weight, bias in network.to_layers(params)
    ]
    model._set_layers(layers, network)
    model.classes_ = samples.classes
    model._multilabel = samples.multilabel
    model._pixels = is_pixels(samples.X)
    model.device_ = str(params[0].device)


def set_history(model: "GradientClassifier", history: pd.DataFrame) -> None:
    """Set the history, and the attributes that scikit-learn derives from it."""
    losses = history["train_loss"].tolist()
    scores = history["validation_score"].tolist()
    stops_early = model.early_stopping and not SOLVERS[model.solver].full_batch
    validated = stops_early or history["validation_score"].notna().any()

    model.history_ = history
    model.n_iter_ = len(history)
    model.loss_ = losses[-1]
    model.loss_curve_ = losses
    model.best_loss_ = None if stops_early else float(np.nanmin([np.inf, *losses]))
    model.validation_scores_ = scores if validated else None

    finite = [score for score in scores if not math.isnan(score)]
    best = max(finite, default=math.nan)
    model.best_validation_score_ = best if validated else None


def snapshot(
    template: "GradientClassifier", samples: Samples, network: Network, params: Params
) -> "GradientClassifier":
    """Return an estimator that predicts by the parameters of a model in training."""
    # No clone: a scorer among the parameters may be large.
    model = type(template)(**template.get_params(deep=False))
    set_parameters(model, template, params, samples, network)
    return model
