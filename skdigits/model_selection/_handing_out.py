"""Handing out a search to joblib's workers: what they get, and who is told."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from joblib import effective_n_jobs, parallel_config
from sklearn.base import clone
from sklearn.callback import CallbackContext
from torch import Tensor

from skdigits._arrays import training_device
from skdigits._base import TorchClassifier
from skdigits._gpus import allocations
from skdigits._input_checks import warn_user
from skdigits._memory_maps import exceeds_memory, rows_in_file
from skdigits.engine.solvers import SOLVERS
from skdigits.model_selection._execution import evaluate_elsewhere
from skdigits.model_selection._grouping import Candidate, Group, fresh
from skdigits.model_selection._jobs import Failure, Job
from skdigits.model_selection._scoring import Outcome
from skdigits.model_selection._workers import (
    Work,
    hand_out,
    has_own_processes,
    is_chosen,
    is_local,
    is_nested,
)
from skdigits.training.messages import larger_than_memory
from skdigits.training.reading import shuffle_of
from skdigits.training.settings import solver_of

if TYPE_CHECKING:
    from skdigits.model_selection._search import Task

Evaluated = tuple[list[Outcome], list[Failure]]


def handed_out(
    task: "Task", jobs: Sequence[Job], contexts: Sequence[CallbackContext]
) -> list[Evaluated]:
    """Evaluate pieces in joblib's workers."""
    n_gpus = torch.cuda.device_count()
    if n_gpus > 1 and any_gpu_will_do(task):
        # Threads, each of which trains on a GPU of its own.
        with parallel_config("threading", n_jobs=n_gpus):
            return handed_out(task, jobs, contexts)

    local = is_local()
    by_blocks: set[int] = set()
    rows_of_file = rows_in_file(task.X)
    if rows_of_file is not None and exceeds_memory(rows_of_file):
        by_blocks = _shuffled(task, jobs)
        jobs = [_reading_by_blocks(job, by_blocks) for job in jobs]

    # Processes of joblib on this machine share its cores, and know their number.
    rows = (task.X, task.y, task.weight, not has_own_processes())
    work = []
    for job, context in zip(jobs, contexts, strict=True):
        bare = job._replace(X=None, y=None, weight=None, heard=[], context=context)
        if not local:
            bare = bare._replace(search=None, store=None, context=None)
        work.append(Work(evaluate_elsewhere, (bare, *rows), {}, job.name()))
    candidates = dict.fromkeys(one for job in jobs for one in job.numbers()[0])
    found = results(task, candidates, work, contexts)
    return _told_of_blocks(task, found, by_blocks) if by_blocks else found


def _shuffled(task: "Task", jobs: Sequence[Job]) -> set[int]:
    """Return the numbers of candidates that would read the file in random order.

    Free memory may differ between workers, which must not decide by themselves.
    """
    groups = [group for job in jobs for group in job.groups]
    seeds = [seed for group in groups for seed in group.seeds]
    return {one.number for seed in seeds for one in seed if _is_shuffled(task, one)}


def _is_shuffled(task: "Task", candidate: Candidate) -> bool:
    model = candidate.model
    X: Any = task.X
    # Otherwise, the samples of each fold are computed, or weighted, in memory.
    in_place = candidate.prefix is None and model.class_weight != "balanced"
    solver = model.solver
    if solver == "auto":
        solver = solver_of(model, len(task.splits[0].train), X.shape[1])

    if not in_place or model.shuffle is not True or SOLVERS[solver].full_batch:
        return False
    try:
        return shuffle_of(model, X, exceeds_memory=True) == "blocks"
    except ValueError:
        return False  # a GPU that only workers have, which get all samples


def _reading_by_blocks(job: Job, candidates: set[int]) -> Job:
    """Return a job in which some candidates shuffle by blocks."""

    def changed(one: Candidate) -> Candidate:
        if one.number not in candidates:
            return one
        return one._replace(model=clone(one.model).set_params(shuffle="blocks"))

    return job._replace(
        groups=[
            Group([[changed(one) for one in some] for some in group.seeds])
            for group in job.groups
        ]
    )


def _told_of_blocks(
    task: "Task", found: Sequence[Evaluated], candidates: set[int]
) -> list[Evaluated]:
    """Add the message on a file that exceeds memory to outcomes of some candidates."""
    note = larger_than_memory(task.X)
    return [
        (
            [
                one._replace(messages=(note, *one.messages))
                if one.candidate in candidates
                else one
                for one in outcomes
            ],
            failures,
        )
        for outcomes, failures in found
    ]


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
                "joblib: it uses all GPUs. Or start one Dask worker for each GPU, "
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


def results(
    task: "Task",
    candidates: Iterable[int],
    work: Sequence[Work],
    contexts: Sequence[CallbackContext],
    pre_dispatch: int | str = "n_jobs",
) -> list[Evaluated]:
    """Return the outcomes and failures of candidates, the work of joblib's workers.

    Workers on other machines reach neither callbacks nor files of a checkpoint: both
    are told here of each result that arrives.
    """
    search = task.search
    _warn_of_one_gpu(task, candidates)
    if is_local():
        return hand_out(work, search.n_jobs, pre_dispatch)

    uses: list[Use] = []
    shared: set[str] = set()

    def finished(number: int, found: tuple[Evaluated, list[Use]]) -> None:
        result, own = found
        if task.store is not None:
            task.store.keep(result[0])
        contexts[number].call_on_fit_task_begin(estimator=search)
        contexts[number].call_on_fit_task_end(estimator=search)
        for one in own:
            if one.gpu not in shared and any(map(one.competes_with, uses)):
                shared.add(one.gpu)
                _warn_of_shared_gpu(one.gpu)
        uses.extend(own)

    work = [
        one._replace(function=_with_gpus, args=(one.function, *one.args))
        for one in work
    ]
    found = hand_out(work, search.n_jobs, pre_dispatch, finished)
    return [result for result, _ in found]


class Use(NamedTuple):
    """A GPU that a process has used, and from when to when, in seconds."""

    gpu: str
    process: int
    begin: float
    end: float

    def competes_with(self, other: "Use") -> bool:
        """Return whether another process has used this GPU at the same time.

        A worker that is started anew only follows the one before it.
        """
        at_once = self.begin < other.end and other.begin < self.end
        return at_once and self.gpu == other.gpu and self.process != other.process


def _with_gpus(
    function: Callable[..., Evaluated], *args: Any, **options: Any
) -> tuple[Evaluated, list[Use]]:
    """Return what a function returns, and the GPUs that it has used."""
    before = allocations()
    begin = time.time()
    result = function(*args, **options)
    new = allocations() - before
    return result, [Use(gpu, os.getpid(), begin, time.time()) for gpu in new]


def _warn_of_shared_gpu(gpu: str) -> None:
    warn_user(
        f"Two workers train on the same GPU ({gpu}), whatever other GPUs there are. "
        "Start one worker for each GPU, with its own CUDA_VISIBLE_DEVICES.",
        RuntimeWarning,
    )
