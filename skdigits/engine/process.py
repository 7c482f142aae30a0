"""Settings of the whole process, such as the flags of cuDNN, changed for a while."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ProcessSetting(Generic[Value]):
    """A setting of the process that is changed while anyone needs another value.

    Threads share it: the first one to need the value saves the setting, and the last
    one restores it. Each by itself would restore what another one has set.

    Parameters
    ----------
    read : callable
        Returns the setting.
    write : callable
        Changes the setting.
    """

    def __init__(
        self, read: Callable[[], Value], write: Callable[[Value], object]
    ) -> None:
        self._read = read
        self._write = write
        self._lock = threading.Lock()
        self._before: list[Value] = []
        self._n_users = 0

    @contextmanager
    def changed_to(self, value: Value) -> Iterator[None]:
        """Change the setting within a block."""
        with self._lock:
            if self._n_users == 0:
                self._before = [self._read()]
                self._write(value)
            self._n_users += 1

        try:
            yield
        finally:
            with self._lock:
                self._n_users -= 1
                if self._n_users == 0:
                    self._write(self._before.pop())
