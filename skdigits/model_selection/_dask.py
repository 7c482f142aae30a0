"""What joblib 1.6 leaves undone in its backend of Dask, where a worker may be lost."""

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any


class NotSentError(Exception):
    """Work did not reach a worker, as there is none, or it has died meanwhile."""


@contextmanager
def mended(backend: Any) -> Iterator[None]:
    """Mend joblib's backend in a block, if it is that of Dask."""
    if type(backend).__module__ != "joblib._dask":
        yield
        return

    held: set[Any] = set()
    coming = backend.waiting_futures
    release = partial(_release, held, coming.futures)
    methods: dict[str, Callable[..., Any]] = {
        "submit": _with_errors(backend.submit, release),
        "configure": _in_workers(backend.configure),
        "retrieval_context": _that_returns(backend.retrieval_context),
    }
    client = backend.client
    vars(backend).update(methods, client=_TellingClient(client))
    coming.add = _that_holds(coming.add, held)
    try:
        yield
    finally:
        backend.client = client
        del coming.add
        for name in methods:
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


def _with_errors(
    submit: Callable[..., Any], release: Callable[[], None]
) -> Callable[..., Any]:
    """Return a function that submits work, whose errors arrive in any case.

    joblib passes results on, and no error that occurs outside of the work, such as that
    of a worker which was killed too often: it would wait without end. What has arrived
    before a result is released.
    """

    def submit_and_listen(func: Any, callback: Callable[[Any], None]) -> Any:
        def arrived(result: Any) -> None:
            release()
            callback(result)

        def listen(future: Any) -> None:
            if future.exception() is not None:
                callback(future.exception())

        future = submit(func, arrived)
        future.add_done_callback(listen)
        return future

    return submit_and_listen


def _that_holds(add: Callable[[Any], None], held: set[Any]) -> Callable[[Any], None]:
    """Return a function that adds a future, and holds it, too."""

    def add_and_hold(future: Any) -> None:
        held.add(future)
        add(future)

    return add_and_hold


def _release(held: set[Any], coming: Collection[Any]) -> None:
    """Let Dask forget futures whose results are here.

    joblib holds the last one: Dask would compute it again if its worker dies.
    """
    arrived = {
        future
        for future in held
        if future.status == "finished" and future not in coming
    }
    held -= arrived
    for future in arrived:
        future.release()


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
