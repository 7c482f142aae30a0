"""What belongs to the whole process: flags of its libraries, and which one is fast."""

import os
import platform
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

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

        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """Leave what other threads of a forked child's parent hold."""
        self._lock = threading.Lock()

    @contextmanager
    def changed_by(self, change: Callable[[Value], Value]) -> Iterator[None]:
        """Change the setting within a block to a function of what it was."""
        with self._lock:
            if self._n_users == 0:
                self._before = [self._read()]
                self._write(change(self._before[0]))
            self._n_users += 1

        try:
            yield
        finally:
            with self._lock:
                self._n_users -= 1
                if self._n_users == 0:
                    self._write(self._before.pop())


def hold_interrupts() -> None:
    """Let Ctrl-C do nothing until `release_interrupts` is called.

    A handler that the user has set stays, and so does the default one in other threads
    than the main thread, which no Ctrl-C reaches.
    """
    if _handles_interrupts(signal.default_int_handler):
        signal.signal(signal.SIGINT, _held)


def release_interrupts() -> None:
    """Let Ctrl-C raise a KeyboardInterrupt again, if it is held."""
    if _handles_interrupts(_held):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _held(number: int, frame: FrameType | None) -> None:
    """Do nothing: an interrupt is being dealt with already."""


def _handles_interrupts(handler: Callable[..., Any]) -> bool:
    """Return whether this is the handler of Ctrl-C, in the thread that can set it."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    return in_main_thread and signal.getsignal(signal.SIGINT) is handler


def _cpu_is_intels() -> bool:
    """Return whether the processor is one of Intel's."""
    try:
        found = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        found = platform.processor()
    return "GenuineIntel" in found


def _faster_linear() -> Callable[..., Tensor] | None:
    """Return oneDNN's linear layer where it is faster than products by MKL, else None.

    MKL uses AVX-512 on processors of Intel alone; on others, oneDNN is twice as fast.
    """
    slow = torch.backends.mkl.is_available() and not _cpu_is_intels()
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    if not slow or not wide:
        return None

    # It is a private name of torch's: tried once, as others may be built without it.
    try:
        linear: Any = torch.ops.mkldnn._linear_pointwise.default
        one = torch.full((2, 2), 3.0, dtype=torch.float32, device="cpu")
        found = linear(one, one, None, "none", [], "")
    except (AttributeError, RuntimeError, TypeError):
        return None
    return linear if (found == 18).all() else None


onednn_linear = _faster_linear()
