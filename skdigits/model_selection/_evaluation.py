"""Evaluating candidates: as many in one run as pays and as fit into memory."""

import logging
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, TypeVar

from skdigits._arrays import training_device
from skdigits._fitting import SOLVERS
from skdigits.engine.batches import BLOCK_ROWS
from skdigits.engine.networks import DenseNetwork
from skdigits.engine.optimizers import N_MOMENTS
from skdigits.engine.predict import CHUNK_ROWS
from skdigits.model_selection._folds import (
    Material,
    joined,
    separate_material,
    shared_material,
)
from skdigits.model_selection._grouping import Group
from skdigits.model_selection._jobs import CallbackError, Job, Outcome
from skdigits.model_selection._runs import train_and_score

T = TypeVar("T")
LOGGER = logging.getLogger(__name__)

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
    for material in _until_error(_materials(job)):
        for group in job.groups:
            runs = (
                train_and_score(job, *part) for part in _parts(job, group, material)
            )
            outcomes += [outcome for some in _until_error(runs) for outcome in some]
    job.context.call_on_fit_task_end(estimator=job.search)
    return outcomes


def _until_error(items: Iterator[T]) -> Iterator[T]:
    """The items before one that raises an error; those of callbacks are everybody's."""
    try:
        yield from items
    except CallbackError as error:
        raise error.__cause__ or error from None
    except Exception as error:
        LOGGER.info("Not batched, to be evaluated one by one: %r", error)


def _materials(job: Job) -> Iterator[Material]:
    first = job.groups[0].rows[0][0]
    rows = job.X, job.y, job.weight, job.splits, job.scoring
    # What balances the classes is of each fold by itself, as a prefix is.
    if first.prefix is None and first.model.class_weight != "balanced":
        yield from shared_material(first.model, *rows)
    else:
        alone = separate_material(first.prefix, first.model, *rows)
        yield from joined(alone, job.memory / 2)


def _parts(
    job: Job, group: Group, material: Material
) -> Iterator[tuple[Group, Material]]:
    """A group and its folds in pieces, each the work of one run."""
    seeds, folds, columns = _piece(job, group, material)
    for row in range(0, len(group.rows), seeds):
        for fold in range(0, len(material.folds), folds):
            some = material._replace(folds=material.folds[fold : fold + folds])
            for column in range(0, group.width, columns):
                part = Group(group.rows[row : row + seeds])
                yield part.columns(column, column + columns), some


def _piece(job: Job, group: Group, material: Material) -> tuple[int, int, int]:
    """How many seeds, folds and candidates of each fit into one run: streams first."""
    model, rows = group.rows[0][0].model, material.rows[0]
    network = model._network(rows.X.shape[1], len(rows.classes))
    if not isinstance(network, DenseNetwork) or _is_large(model, network, rows.X):
        return 1, 1, 1
    stream, each = _costs(model, network.layer_sizes, material)
    at_once = max(1, int(job.memory // (stream + each)))
    seeds = min(len(group.rows), at_once)
    folds = max(1, min(len(material.folds), at_once // seeds))
    columns = int((job.memory / (seeds * folds) - stream) // each)
    return seeds, folds, max(1, min(group.width, columns))


def _n_params(sizes: tuple[int, ...]) -> int:
    return sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))


def _is_large(model: Any, network: DenseNetwork, X: Any) -> bool:
    """Whether a model is better trained alone."""
    state = _n_params(network.layer_sizes) * N_MOMENTS[model.solver]
    return training_device(model.device, X).type == "cpu" and state > LARGEST_BATCHED


def _costs(model: Any, sizes: tuple[int, ...], material: Material) -> tuple[int, int]:
    """Bytes that a stream takes, and each of its models beside it, at most.

    Of a stream, the rows of a batch twice, and their order; of a model, parameters as they
    are, as they were and as gradients, the optimizer's moments, what the layers hold of a
    batch or of the rows that are predicted at once, logits and targets whose loss is computed
    at once, and the logits to score.
    """
    fold = material.folds[0]
    n_rows, n_tested = len(fold.rows), len(fold.split.test)
    batch = min(
        n_rows, model._auto_batch if model.batch_size == "auto" else model.batch_size
    )
    batch = CHUNK_ROWS if model.solver in SOLVERS else batch
    layers = 3 * min(batch, n_rows) + min(CHUNK_ROWS, n_tested)
    numbers = _n_params(sizes) * (3 + 2 * N_MOMENTS[model.solver])
    compared = 5 * min(n_rows, max(batch, BLOCK_ROWS))
    numbers += layers * sum(sizes[1:]) + (compared + 2 * n_tested) * sizes[-1]
    return 16 * min(batch, n_rows) * sizes[0] + 16 * n_rows, 8 * numbers
