"""Work that is handed out to joblib's workers, and again where one of them is lost."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import Any, NamedTuple

from joblib.parallel import BACKENDS, get_active_backend
from sklearn.utils.parallel import Parallel, delayed

from skdigits._input_checks import warn_user

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


class NotSentError(Exception):
    """Work did not reach a worker, as there is none, or it has died meanwhile."""


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
    with _dask_mended(), closing(parallel(calls())) as arriving:
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


@contextmanager
def _dask_mended() -> Iterator[None]:
    """Do what joblib 1.6 leaves undone with Dask: see the functions below."""
    backend, _ = get_active_backend()
    if type(backend).__module__ != "joblib._dask":
        yield
        return

    client = backend.client
    mended: dict[str, Callable[..., Any]] = {
        "submit": _with_errors(backend.submit),
        "configure": _in_workers(backend.configure),
        "retrieval_context": _that_returns(backend.retrieval_context),
    }
    vars(backend).update(mended, client=_TellingClient(client))
    try:
        yield
    finally:
        backend.client = client
        for name in mended:
            delattr(backend, name)


class _TellingClient:
    """A client of Dask that tells joblib of work that could not be sent.

    joblib sends work, and the rows that it needs, in a coroutine, and waits without end
    if that fails, as it does where a worker dies meanwhile.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self.loop = self  # joblib asks the loop of its client to run coroutines

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def add_callback(self, function: Callable[..., Any], *args: Any) -> None:
        """Run a coroutine whose last argument, if any, is called with its error."""

        async def run() -> None:
            try:
                await function(*args)
            except Exception as error:
                if not args or not callable(args[-1]):
                    raise
                lost = isinstance(error, OSError)  # those of connections, or no worker
                text = f"{type(error).__name__}: {error}"
                args[-1](NotSentError(text) if lost else error)

        self.client.loop.add_callback(run)


def _with_errors(submit: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that submits work, whose errors arrive in any case.

    joblib passes results on, and no error that occurs outside of the work, such as that
    of a worker which was killed too often: it would wait without end.
    """

    def submit_and_listen(func: Any, callback: Callable[[Any], None]) -> Any:
        def listen(future: Any) -> None:
            if future.exception() is not None:
                callback(future.exception())

        future = submit(func, callback)
        future.add_done_callback(listen)
        return future

    return submit_and_listen


def _in_workers(configure: Callable[..., int]) -> Callable[..., int]:
    """Return a function that finds several workers.

    With a single one, joblib would compute in this process, which work that has killed
    the others would kill, too. Where there is none, workers may be on their way.
    """

    def configure_several(*args: Any, **options: Any) -> int:
        with suppress(TimeoutError):
            return max(2, configure(*args, **options))
        return 2

    return configure_several


def _that_returns(
    waiting: Callable[[], AbstractContextManager[None]],
) -> Callable[[], AbstractContextManager[None]]:
    """Return a context in which a worker's thread waits for others' results.

    The thread returns to its worker also after an error: it could not leave again.
    """

    @contextmanager
    def waiting_and_returning() -> Iterator[None]:
        context = waiting()
        context.__enter__()
        try:
            yield
        finally:
            context.__exit__(None, None, None)

    return waiting_and_returning


def _numbered(
    number: int, function: Callable[..., Any], *args: Any, **options: Any
) -> tuple[int, Any]:
    """Return what a function returns, with a number: results come in any order."""
    return number, function(*args, **options)


def first_few(names: Sequence[object], separator: str = ", ") -> str:
    """Return the first few names, and how many more there are."""
    shown = separator.join(map(str, names[:FEW]))
    more = len(names) - FEW
    return f"{shown} and {more} more" if more > 0 else shown
