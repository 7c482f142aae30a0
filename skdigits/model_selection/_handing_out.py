"""Handing out a search to joblib's workers: what they get, and who is told."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from joblib import effective_n_jobs
from sklearn.base import clone
from sklearn.callback import CallbackContext

from skdigits._arrays import training_device
from skdigits._input_checks import warn_user
from skdigits._memory_maps import exceeds_memory, rows_in_file
from skdigits.model_selection._execution import Failure, Job, evaluate_elsewhere
from skdigits.model_selection._grouping import Candidate, Group
from skdigits.model_selection._scoring import Outcome
from skdigits.model_selection._workers import (
    Work,
    hand_out,
    has_own_processes,
    is_local,
)

if TYPE_CHECKING:
    from skdigits.model_selection._search import Task


def handed_out(
    task: "Task", jobs: Sequence[Job], contexts: Sequence[CallbackContext]
) -> list[tuple[list[Outcome], list[Failure]]]:
    """Evaluate pieces in joblib's workers."""
    local = is_local()
    if has_own_processes():
        _warn_of_one_gpu(task, jobs)
    rows_of_file = rows_in_file(task.X)
    if rows_of_file is not None and exceeds_memory(rows_of_file):
        jobs = [_by_blocks(job) for job in jobs]
    # Processes of joblib on this machine share its cores, and know their number.
    rows = (task.X, task.y, task.weight, not has_own_processes())
    work = []
    for job, context in zip(jobs, contexts, strict=True):
        bare = job._replace(X=None, y=None, weight=None, heard=[], context=context)
        if not local:
            bare = bare._replace(search=None, store=None, context=None)
        work.append(Work(evaluate_elsewhere, (bare, *rows), {}, job.name()))
    return results(task, work, contexts)


def _warn_of_one_gpu(task: "Task", jobs: Sequence[Job]) -> None:
    """Warn if several processes of this machine train on the same GPU."""
    if not torch.cuda.is_available():
        return
    model = jobs[0].groups[0].seeds[0][0].model
    device = training_device(model.device, task.X)
    if device.type == "cuda":
        n_workers = effective_n_jobs(task.search.n_jobs)
        warn_user(
            f"{n_workers} processes train on {device}, whatever other GPUs there are. "
            "Search in one process, with n_jobs=None and no backend of joblib: it "
            "keeps a GPU busy. Or start one Dask worker for each GPU, with its own "
            "CUDA_VISIBLE_DEVICES, and search within joblib.parallel_config('dask').",
            RuntimeWarning,
        )


def _by_blocks(job: Job) -> Job:
    """Return a job whose models read a file in blocks if they shuffle.

    Free memory may differ between workers, which must not decide by themselves.
    """
    return job._replace(
        groups=[
            Group([[_read_by_blocks(one) for one in seed] for seed in group.seeds])
            for group in job.groups
        ]
    )


def _read_by_blocks(candidate: Candidate) -> Candidate:
    model = clone(candidate.model)
    if model.shuffle is True:
        model.set_params(shuffle="blocks")
    return candidate._replace(model=model)


def results(
    task: "Task",
    work: Sequence[Work],
    contexts: Sequence[CallbackContext],
    pre_dispatch: int | str = "n_jobs",
) -> list[tuple[list[Outcome], list[Failure]]]:
    """Return the outcomes and failures of work in joblib's workers.

    Workers on other machines reach neither callbacks nor files of a checkpoint: both
    are told here of each result that arrives.
    """
    search = task.search
    if is_local():
        return hand_out(work, search.n_jobs, pre_dispatch)

    def finished(number: int, result: tuple[list[Outcome], list[Failure]]) -> None:
        if task.store is not None:
            task.store.keep(result[0])
        contexts[number].call_on_fit_task_begin(estimator=search)
        contexts[number].call_on_fit_task_end(estimator=search)

    return hand_out(work, search.n_jobs, pre_dispatch, finished)
