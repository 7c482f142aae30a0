"""Accuracy and log-loss of many models on a GPU, all of which are read at once.

A GPU has to finish its work for each read: reads of single scores would take longer
than the training of small models.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from sklearn import get_config
from torch import Tensor

from skdigits._base import log_proba
from skdigits.model_selection._metrics import METRICS, has_all_classes
from skdigits.model_selection._scoring import (
    Known,
    Scoring,
    ScoringData,
    as_metric,
    needs_predictions_only,
    scorers_of,
    targets_of,
)


class Answers(NamedTuple):
    """True classes of N samples on a GPU: codes (N,), and their shares (N,).

    Shares sum to 1; None if all are the same.
    """

    codes: Tensor
    share: Tensor | None


def accuracy(logits: Tensor, answers: Answers) -> Tensor:
    """Return the share (K,) of right predictions by logits (K, N, C), by weight."""
    return _mean((logits.argmax(2) == answers.codes).double(), answers)


def log_loss(logits: Tensor, answers: Answers) -> Tensor:
    """Return the mean (K,) of minus the log-probability of the true class, by weight.

    Probabilities are kept from 0 and 1, as in scikit-learn.
    """
    own = answers.codes.expand(len(logits), -1).unsqueeze(2)
    likelihood = log_proba(logits).gather(2, own).squeeze(2).exp()
    smallest = torch.finfo(logits.dtype).eps
    losses = likelihood.clamp(smallest, 1 - smallest).log().neg()
    return _mean(losses.double(), answers)


def _mean(values: Tensor, answers: Answers) -> Tensor:
    """Return the mean (K,) of values (K, N) by weight."""
    # Equal numbers of hits are equal scores, to the last bit, and so are equal rows,
    # which a product may add up in another order each.
    if answers.share is None:
        return values.sum(1) / len(answers.codes)
    return (values * answers.share).sum(1)


THERE = {
    METRICS["accuracy_score"].function: accuracy,
    METRICS["log_loss"].function: log_loss,
}
"""Functions of logits and answers, by those that compute the same on the host."""


class Scores(NamedTuple):
    """Scores of K models on a GPU: ``finite`` (K,), and (K,) by metric."""

    finite: Tensor
    by_name: dict[str, Tensor]


def scores_of(
    scoring: Scoring,
    data: ScoringData,
    classes: np.ndarray,
    logits: Tensor,
    answers: Callable[[], Answers],
) -> Scores | None:
    """Return scores of models by their logits (K, N, C), without reading from a GPU.

    ``answers`` returns those of the data. Returns None if the host has to compute some
    metric.
    """
    scorers = _metrics_of(scoring)
    targets = targets_of(data, classes)
    # Routing decides which of several scorers gets the weights.
    routed = bool(data.params) and get_config()["enable_metadata_routing"]
    if not scorers or targets is None or (routed and len(scorers) > 1):
        return None
    losses = [one for one in scorers.values() if one[0] is log_loss]
    if losses and not has_all_classes(targets):
        return None

    finite = logits.amax(2).isfinite().all(1)
    found = {
        name: torch.where(finite, sign * compute(logits, answers()), torch.nan)
        for name, (compute, sign) in scorers.items()
    }
    return Scores(finite, found)


def _metrics_of(scoring: Scoring) -> dict[str, tuple[Callable[..., Tensor], int]]:
    """Return functions and signs by metric; none if one of them is missing."""
    if not needs_predictions_only(scoring.scorer):
        return {}

    found = {}
    for name, one in scorers_of(scoring).items():
        metric = as_metric(one)
        if metric is None or metric.options or metric.function not in THERE:
            return {}
        found[name] = (THERE[metric.function], metric.sign)
    return found


def answers_of(data: ScoringData, device: torch.device) -> Answers:
    """Return the answers of scoring data on a device."""
    assert data.codes is not None
    codes = torch.from_numpy(data.codes).to(device)
    weight = data.params.get("sample_weight")
    if weight is None:
        return Answers(codes, None)
    weight = np.asarray(weight, dtype=float)
    return Answers(codes, torch.from_numpy(weight / weight.sum()).to(device))


def read(found: Sequence[Scores]) -> list[Known]:
    """Return the scores of all folds on the host, after a single read."""
    columns = [
        torch.stack([one.finite.double(), *one.by_name.values()]) for one in found
    ]
    sizes = [column.shape[1] for column in columns]
    parts = torch.cat(columns, 1).cpu().split(sizes, 1)
    return [
        Known(
            (rows[0] > 0).tolist(),
            dict(zip(one.by_name, rows[1:].numpy(), strict=True)),
        )
        for one, rows in zip(found, parts, strict=True)
    ]
