"""Memory that the C library keeps while models train.

Dask sets ``MALLOC_TRIM_THRESHOLD_`` for its workers. Freed memory then goes back to the
system at once, and is mapped and cleared anew for the buffers of the next batch: a fit
takes twice the time. ``mallopt`` of glibc changes this for a while.
"""

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Parameters of mallopt, from glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
# Freed memory below the first size is kept. Buffers below the second one, the largest
# that glibc takes, are not mapped one by one.
KEPT = 2**30
MAPPED = 2**25
# What glibc does if only the other one is set, in bytes.
USUAL = 2**17


def _set_by_user(name: str) -> int | None:
    """Return what a variable has told glibc when this process began."""
    try:
        return int(os.environ[name])
    except (KeyError, ValueError):
        return None


_trim = _set_by_user("MALLOC_TRIM_THRESHOLD_")
_mapped = _set_by_user("MALLOC_MMAP_THRESHOLD_")
_libc: Any = None
if (_trim is not None or _mapped is not None) and os.name == "posix":
    _libc = ctypes.CDLL(None)
    if not hasattr(_libc, "mallopt"):
        _libc = None


# Whether freed memory goes back before the next batch wants it.
is_trimmed = _libc is not None


_lock = threading.Lock()
_n_blocks = 0


def _remember_fork() -> None:
    """Forget the blocks of the parent's threads, which a forked child does not have."""
    global _lock, _n_blocks
    _lock = threading.Lock()
    _n_blocks = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_remember_fork)


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep freed memory for the next buffers, whatever the variables say.

    The last of several blocks, in whatever threads, gives it back.
    """
    global _n_blocks
    with _lock:
        _n_blocks += 1
        _libc.mallopt(M_TRIM_THRESHOLD, KEPT)
        _libc.mallopt(M_MMAP_THRESHOLD, MAPPED)
    try:
        yield
    finally:
        with _lock:
            _n_blocks -= 1
            if not _n_blocks:
                _libc.mallopt(M_TRIM_THRESHOLD, USUAL if _trim is None else _trim)
                _libc.mallopt(M_MMAP_THRESHOLD, USUAL if _mapped is None else _mapped)
                _libc.malloc_trim(0)
