"""Work that is handed out to joblib's workers, and again where one of them is lost."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from joblib.parallel import BACKENDS, get_active_backend
from sklearn.utils.parallel import Parallel, delayed

from skdigits._gpus import own_gpu
from skdigits._input_checks import warn_user
from skdigits.model_selection._dask import NotSentError, mended

# How often the rest of the work is handed out again if nothing more gets finished.
TRIES = 3
FEW = 5  # names that an error lists
# Errors of these packages with these names are about a worker that is gone. Others
# would come again, such as those of arguments that cannot be unpickled.
ENGINES = {"joblib", "distributed", "ray", "concurrent", "asyncio"}
LOSSES = {
    "TerminatedWorkerError",
    "ShutdownExecutorError",
    "KilledWorker",
    "CancelledError",
    "FutureCancelledError",
    "CommClosedError",
    "WorkerCrashedError",
    "ActorDiedError",
    "RayActorError",
    "NodeDiedError",
}
# Their workers run on this machine, and reach what this process has opened.
THREADS = ("sequential", "threading")
PROCESSES = ("loky", "multiprocessing")


class Work(NamedTuple):
    """A call to make in a worker. ``name`` tells users what it is about."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any]
    name: str


def is_chosen() -> bool:
    """Return whether the user has chosen joblib's backend, outside of its workers.

    The default one changes with the hint; one that was chosen does not. Workers of Dask
    hand out again, as with scikit-learn's searches: one that waits has room for others.
    """
    hints = ("threads", "processes")
    try:
        found = [get_active_backend(prefer=hint)[0] for hint in hints]
    except ValueError:
        return True  # something was chosen that excludes processes
    return type(found[0]) is type(found[1]) and not found[0].nesting_level


def is_nested() -> bool:
    """Return whether this is a worker of joblib itself."""
    return bool(get_active_backend()[0].nesting_level)


def is_local() -> bool:
    """Return whether workers run on this machine, as those of joblib's own backends."""
    return _is_one_of(THREADS) or has_own_processes()


def has_own_processes() -> bool:
    """Return whether workers are processes that joblib itself has started."""
    return _is_one_of(PROCESSES)


def _is_one_of(names: Sequence[str]) -> bool:
    backend, _ = get_active_backend()
    # Ray's is a subclass of joblib's.
    return type(backend) in {BACKENDS.get(name) for name in names}


def hand_out(
    work: Sequence[Work],
    n_jobs: int | None,
    pre_dispatch: int | str = "n_jobs",
    finished: Callable[[int, Any], None] | None = None,
) -> list[Any]:
    """Return the results of work that joblib's workers do, in its order.

    Work that is lost with its worker is handed out again; what is finished is kept.

    Parameters
    ----------
    work : sequence of Work
        The calls, whose arguments are arrays where they are large: backends send those
        once, or not at all.
    n_jobs : int or None
        As in joblib.
    pre_dispatch : int or str, default="n_jobs"
        How many calls wait at workers. By default each worker has one: when this
        process is interrupted, they stop after it.
    finished : callable, default=None
        Function of a number and its result, called for each that arrives.

    Raises
    ------
    RuntimeError
        If workers are lost again and again, and no work is finished in between.
    """
    results: dict[int, Any] = {}
    tries = 0
    while len(results) < len(work):
        n_before = len(results)
        left = [number for number in range(len(work)) if number not in results]
        given: list[int] = []
        lost = None
        with closing(_hand_out_once(work, left, n_jobs, pre_dispatch, given)) as found:
            for number, result in found:
                if isinstance(number, Exception):
                    lost = number
                    break
                results[number] = result
                if finished is not None:
                    finished(number, result)
        if lost is None:
            break
        tries = 1 if len(results) > n_before else tries + 1
        _tell_of_loss(lost, tries, work, results, given)
    return [results[number] for number in range(len(work))]


def _tell_of_loss(
    lost: Exception,
    tries: int,
    work: Sequence[Work],
    results: dict[int, Any],
    given: Sequence[int],
) -> None:
    """Warn of a lost worker, or raise an error after too many in a row."""
    text = f"{type(lost).__name__}: {lost}"
    if tries > TRIES:
        missing = [work[number].name for number in given if number not in results]
        raise RuntimeError(
            f"Workers were lost {tries} times in a row while they had "
            f"{first_few(missing, '; ')}. The last error is {text}. If a worker has "
            "too little memory, give it more, or lower working_memory."
        ) from lost
    warn_user(
        f"A worker was lost ({text}). {len(results)} of {len(work)} pieces are "
        f"finished and kept; {len(work) - len(results)} are handed out again.",
        RuntimeWarning,
    )


def _hand_out_once(
    work: Sequence[Work],
    numbers: Sequence[int],
    n_jobs: int | None,
    pre_dispatch: int | str,
    given: list[int],
) -> Generator[tuple[int | Exception, Any]]:
    """Yield numbers and results as they arrive; at last an error if a worker is lost.

    The numbers that workers were given are added to ``given``.
    """
    options = {"n_jobs": n_jobs, "pre_dispatch": pre_dispatch, "batch_size": 1}

    def calls() -> Iterator[Any]:
        for number in numbers:
            given.append(number)
            one = work[number]
            yield delayed(_numbered)(number, one.function, *one.args, **one.options)

    backend, _ = get_active_backend()
    if not backend.supports_return_generator:
        yield from Parallel(**options)(calls())
        return
    parallel = Parallel(return_as="generator_unordered", **options)
    with mended(backend), closing(parallel(calls())) as arriving:
        while True:
            try:
                number, result = next(arriving)
            except StopIteration:
                return
            except Exception as error:
                if not _is_loss(error):
                    raise
                yield error, None
                return
            yield number, result


def _is_loss(error: Exception) -> bool:
    """Return whether an error says that a worker is gone."""
    package = type(error).__module__.split(".")[0]
    of_engine = package in ENGINES and type(error).__name__ in LOSSES
    return of_engine or isinstance(error, NotSentError)


def _numbered(
    number: int, function: Callable[..., Any], *args: Any, **options: Any
) -> tuple[int, Any]:
    """Return what a function returns, with a number: results come in any order."""
    with own_gpu():
        return number, function(*args, **options)


def first_few(names: Sequence[object], separator: str = ", ") -> str:
    """Return the first few names, and how many more there are."""
    shown = separator.join(map(str, names[:FEW]))
    more = len(names) - FEW
    return f"{shown} and {more} more" if more > 0 else shown
