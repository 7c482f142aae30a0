"""How models do on rows that they do not learn from."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from skdigits.engine.batches import batches
from skdigits.engine.types import Data, Network, Params, Plan, Score

EVALUATION_ROWS = 2048


def measure(
    network: Network,
    params: Params,
    validation: Data | None,
    table: Tensor,
    score: Score | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean loss (K,) and score (K,) on the validation rows, NaN where there are none.

    Both in float64 on the host. The score is the accuracy unless there is another.
    """
    if validation is None:
        nothing = torch.full(
            (len(params[0]),), torch.nan, dtype=torch.float64, device="cpu"
        )
        return nothing, nothing
    losses, hits, totals = [], [], []
    per_stream = len(params[0]) // validation.n_streams
    for batch in batches(validation, table, EVALUATION_ROWS, per_stream=per_stream):
        loss, hit = network.evaluate(params, batch)
        losses.append(loss)
        hits.append(hit)
        totals.append(batch.total)
    loss = _mean(losses, totals)
    return loss, _mean(hits, totals) if score is None else score(
        params, loss.isfinite()
    )


def validation_merit(plan: Plan, loss: Tensor, score: Tensor) -> Tensor:
    """What models (K,) stop by where they stop early: the higher, the better."""
    return -loss if plan.stop_by_loss else score


def _mean(values: list[Tensor], totals: list[Any]) -> Tensor:
    """Mean (K,) on the host of values (K,) of batches, by the weight of their rows."""
    columns = torch.stack(values).cpu()
    host = partial(torch.as_tensor, dtype=torch.float64, device="cpu")
    weights = torch.stack([host(total).flatten() for total in totals])
    return (columns * weights).sum(0) / weights.sum(0)
