"""Callbacks of scikit-learn's: told of every epoch, and asked whether it was the last."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from sklearn.callback import CallbackContext

from skdigits.engine.types import Epoch, OnEpoch, Params


def fit_begins(estimator: Any, X: Any, y: Any, sample_weight: Any) -> CallbackContext:
    """Set the estimator's callbacks up and tell them that its fit begins."""
    context = estimator._init_callback_context(max_subtasks=estimator.max_iter)
    return context.call_on_fit_task_begin(
        estimator=estimator, X=X, y=y, metadata=_metadata(sample_weight)
    )


def fit_ends(
    context: CallbackContext, estimator: Any, X: Any, y: Any, sample_weight: Any
) -> None:
    """Tell them that it is over."""
    context.call_on_fit_task_end(
        estimator=estimator,
        X=X,
        y=y,
        metadata=_metadata(sample_weight),
        reconstruction_attributes={},
    )


def after_each_epoch(
    estimator: Any,
    context: CallbackContext,
    X: Any,
    y: Any,
    sample_weight: Any,
    as_fitted: Callable[[Params], Any],
) -> OnEpoch | None:
    """What tells them of epochs; None where there are none, who then cost nothing."""
    if not getattr(estimator, "_skl_callbacks", ()):
        return None
    told = {
        "estimator": estimator,
        "X": X,
        "y": y,
        "metadata": _metadata(sample_weight),
    }

    def tell(models: list[int], epochs: list[Epoch], params: Params) -> Sequence[int]:
        def fitted() -> dict[str, Any]:
            attributes: dict[str, Any] = vars(as_fitted(params))
            return attributes

        # Callbacks are users' code, which may want gradients of its own.
        with torch.inference_mode(False):
            epoch = context.subcontext(task_name="epoch").call_on_fit_task_begin(**told)
            stop = epoch.call_on_fit_task_end(**told, reconstruction_attributes=fitted)
        return models if stop else ()

    return tell


def is_part_of_more(context: CallbackContext) -> bool:
    """Whether this fit is one of several that someone is waiting for, as in a search.

    That of a Pipeline's last step is not.
    """
    parent = context.parent
    while parent is not None and parent.estimator_name == "Pipeline":
        parent = parent.parent
    return parent is not None


def _metadata(sample_weight: Any) -> dict[str, Any] | None:
    return None if sample_weight is None else {"sample_weight": sample_weight}
