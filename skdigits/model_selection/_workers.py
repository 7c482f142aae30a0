"""Work that is handed out to joblib's workers, and again where one of them is lost."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from joblib.parallel import BACKENDS, get_active_backend
from sklearn.utils.parallel import Parallel, delayed

from skdigits._input_checks import warn_user

# How often the rest of the work is handed out again if nothing more gets finished.
TRIES = 3
# Errors of these packages are about the workers. Those of the work are others.
ENGINES = {"joblib", "distributed", "dask", "ray", "concurrent"}
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
    """Return whether the user has chosen joblib's backend.

    The default one changes with the hint; one that was chosen does not.
    """
    hints = ("threads", "processes")
    return len({type(get_active_backend(prefer=hint)[0]) for hint in hints}) == 1


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
        try:
            _hand_out_once(work, left, n_jobs, pre_dispatch, results, finished)
        except Exception as error:
            if type(error).__module__.split(".")[0] not in ENGINES:
                raise
            tries = 1 if len(results) > n_before else tries + 1
            left = [number for number in left if number not in results]
            lost = f"{type(error).__name__}: {error}"
            if tries > TRIES:
                raise RuntimeError(
                    f"Workers were lost {tries} times in a row while they had "
                    f"{_listed(work, left)}. The last error is {lost}. If a worker "
                    "has too little memory, give it more, or lower working_memory."
                ) from error
            warn_user(
                f"A worker was lost ({lost}). {len(results)} of {len(work)} pieces are "
                f"finished and kept; {len(left)} are handed out again.",
                RuntimeWarning,
            )
    return [results[number] for number in range(len(work))]


def _hand_out_once(
    work: Sequence[Work],
    numbers: Sequence[int],
    n_jobs: int | None,
    pre_dispatch: int | str,
    results: dict[int, Any],
    finished: Callable[[int, Any], None] | None,
) -> None:
    """Fill in results as they arrive."""
    parallel = Parallel(
        n_jobs, return_as="generator_unordered", pre_dispatch=pre_dispatch, batch_size=1
    )
    calls = (
        delayed(_numbered)(
            number, work[number].function, *work[number].args, **work[number].options
        )
        for number in numbers
    )
    with closing(parallel(calls)) as arriving:
        for number, result in arriving:
            results[number] = result
            if finished is not None:
                finished(number, result)


def _numbered(
    number: int, function: Callable[..., Any], *args: Any, **options: Any
) -> tuple[int, Any]:
    """Return what a function returns, with a number: results come in any order."""
    return number, function(*args, **options)


def _listed(work: Sequence[Work], numbers: Sequence[int]) -> str:
    """Return the names of some work, and how many more there are."""
    names = [work[number].name for number in numbers[:3]]
    more = len(numbers) - len(names)
    return "; ".join(names) + (f" and {more} more" if more else "")
