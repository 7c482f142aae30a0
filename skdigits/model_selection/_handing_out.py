"""Handing out a search to joblib's workers: what they get, and who is told."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import torch
from joblib import effective_n_jobs, parallel_config
from sklearn.base import clone
from sklearn.callback import CallbackContext
from torch import Tensor

from skdigits._arrays import training_device
from skdigits._base import TorchClassifier
from skdigits._input_checks import warn_user
from skdigits._memory_maps import exceeds_memory, rows_in_file
from skdigits.model_selection._execution import Failure, Job, evaluate_elsewhere
from skdigits.model_selection._grouping import Candidate, Group, fresh
from skdigits.model_selection._scoring import Outcome
from skdigits.model_selection._workers import (
    Work,
    hand_out,
    has_own_processes,
    is_chosen,
    is_local,
    is_nested,
)

if TYPE_CHECKING:
    from skdigits.model_selection._search import Task


def handed_out(
    task: "Task", jobs: Sequence[Job], contexts: Sequence[CallbackContext]
) -> list[tuple[list[Outcome], list[Failure]]]:
    """Evaluate pieces in joblib's workers."""
    n_gpus = torch.cuda.device_count()
    if n_gpus > 1 and any_gpu_will_do(task):
        # Threads, each of which trains on a GPU of its own.
        with parallel_config("threading", n_jobs=n_gpus):
            return handed_out(task, jobs, contexts)

    local = is_local()
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
    candidates = dict.fromkeys(one for job in jobs for one in job.numbers()[0])
    return results(task, candidates, work, contexts)


def _warn_of_one_gpu(task: "Task", candidates: Iterable[int]) -> None:
    """Warn if several processes of this machine train on the same GPU."""
    n_workers = effective_n_jobs(task.search.n_jobs)
    if n_workers == 1 or not has_own_processes() or not torch.cuda.is_available():
        return

    for device in _devices(task, candidates):
        if device.type == "cuda":
            warn_user(
                f"{n_workers} processes train on {device}, whatever other GPUs there "
                "are. Search in one process, with n_jobs=None and no backend of "
                "joblib: it keeps a GPU busy. Or start one Dask worker for each GPU, "
                "with its own CUDA_VISIBLE_DEVICES, and search within "
                "joblib.parallel_config('dask').",
                RuntimeWarning,
            )
            return


def _devices(task: "Task", candidates: Iterable[int]) -> Iterator[torch.device]:
    """Yield the devices of this package's models in candidates."""
    for model in _models(task, candidates):
        with suppress(Exception):  # its fit will report it
            yield training_device(model.device, task.X)


def _models(task: "Task", candidates: Iterable[int]) -> Iterator[TorchClassifier]:
    """Yield this package's models in candidates, also inside others."""
    for candidate in candidates:
        try:
            whole = fresh(task.estimator, task.settings[candidate])
            inside = [whole, *whole.get_params().values()]
        except Exception:
            continue  # the setting's own fault, which its fit will report
        yield from (one for one in inside if isinstance(one, TorchClassifier))


def any_gpu_will_do(task: "Task") -> bool:
    """Return whether the models of a search may be divided between all GPUs.

    They may if none names a device with its number, if X is on the host, and if the
    user has not chosen how joblib divides the work.
    """
    chosen = task.search.n_jobs is not None or is_chosen()
    if chosen or is_nested() or isinstance(task.X, Tensor):
        return False
    devices = [str(one.device) for one in _models(task, range(len(task.settings)))]
    return bool(devices) and set(devices) <= {"auto", "cuda"}


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
    candidates: Iterable[int],
    work: Sequence[Work],
    contexts: Sequence[CallbackContext],
    pre_dispatch: int | str = "n_jobs",
) -> list[tuple[list[Outcome], list[Failure]]]:
    """Return the outcomes and failures of candidates, the work of joblib's workers.

    Workers on other machines reach neither callbacks nor files of a checkpoint: both
    are told here of each result that arrives.
    """
    search = task.search
    _warn_of_one_gpu(task, candidates)
    if is_local():
        return hand_out(work, search.n_jobs, pre_dispatch)

    def finished(number: int, result: tuple[list[Outcome], list[Failure]]) -> None:
        if task.store is not None:
            task.store.keep(result[0])
        contexts[number].call_on_fit_task_begin(estimator=search)
        contexts[number].call_on_fit_task_end(estimator=search)

    return hand_out(work, search.n_jobs, pre_dispatch, finished)
