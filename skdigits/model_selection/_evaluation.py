"""Evaluating candidates: as many in one run as pays and as fit into memory."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from skdigits._fitting import crossing
from skdigits.engine.optimizers import N_MOMENTS
from skdigits.model_selection._folds import (
    Material,
    joined,
    shared_material,
    transformed_material,
)
from skdigits.model_selection._grouping import Group
from skdigits.model_selection._jobs import CallbackError, Job, Outcome
from skdigits.model_selection._runs import train_and_score

# Beyond so many numbers in its optimizer's state, a model on a CPU keeps the cores busy by
# itself, and is trained alone; docs/design.md has the measurements.
LARGEST_BATCHED = 200_000


def evaluate(job: Job) -> list[Outcome]:
    """Evaluate all candidates of a job in all its folds, as far as they can be batched.

    What raises an error is left to be evaluated one by one, where scikit-learn's own code
    decides what becomes of it.
    """
    outcomes: list[Outcome] = []
    job.context.call_on_fit_task_begin(estimator=job.search)
    try:
        for material in _materials(job):
            for group in job.groups:
                for part, some in _parts(job, group, material):
                    outcomes += train_and_score(job, part, some)
    except CallbackError as error:
        raise error.__cause__ or error from None
    except Exception:
        pass  # what is missing is evaluated one by one, and raises it again
    job.context.call_on_fit_task_end(estimator=job.search)
    return outcomes


def _materials(job: Job) -> Iterator[Material]:
    first = job.groups[0].rows[0][0]
    rows = job.X, job.y, job.weight, job.splits, job.scoring
    if first.prefix is None:
        yield from shared_material(first.model, *rows)
    else:
        alone = transformed_material(first.prefix, first.model, *rows)
        yield from joined(alone, job.memory / 2)


def _parts(job: Job, group: Group, material: Material) -> Iterator[tuple[Group, Material]]:
    """A group and its folds in pieces, each the work of one run."""
    most = _most_models(job, group.rows[0][0].model, material)
    seeds, width = len(group.rows), len(group.rows[0])
    folds_at_once = max(1, min(len(material.folds), most // seeds))
    columns_at_once = max(1, min(width, most // (seeds * folds_at_once)))
    rows = [group] if most >= seeds else [Group([row]) for row in group.rows]
    for first in range(0, len(material.folds), folds_at_once):
        folds = material.folds[first : first + folds_at_once]
        for some in rows:
            for start in range(0, width, columns_at_once):
                part = some.columns(start, start + columns_at_once)
                yield part, material._replace(folds=folds)


def _most_models(job: Job, model: Any, material: Material) -> int:
    """How many models one run may hold."""
    rows = material.rows[0]
    network, data, like = crossing(model, rows)
    sizes = network.layer_sizes
    n_params = sum((a + 1) * b for a, b in pairwise(sizes))
    state = n_params * N_MOMENTS[model.solver]
    if like.device.type == "cpu" and state > LARGEST_BATCHED:
        return 1
    batch = 200 if model.batch_size == "auto" else model.batch_size
    tested = len(material.folds[0].test.y)
    numbers = n_params * (3 + 2 * N_MOMENTS[model.solver])
    numbers += 3 * min(batch, data.n_rows) * sum(sizes[1:]) + 2 * tested * sizes[-1]
    return max(1, int(job.memory // (numbers * like.element_size())))
