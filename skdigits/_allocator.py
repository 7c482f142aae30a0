"""Memory that the C library keeps while models train.

Dask sets ``MALLOC_TRIM_THRESHOLD_`` for its workers. Freed memory then goes back to the
system at once, and is mapped and cleared anew for the buffers of the next batch: a fit
takes twice the time. ``mallopt`` of glibc changes this for a while; see its manual page.
"""

import ctypes
import os

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
_libc = None
if _trim is not None or _mapped is not None:
    _libc = ctypes.CDLL(None) if os.name == "posix" else None
    if not hasattr(_libc, "mallopt"):
        _libc = None


def keep_memory() -> None:
    """Keep freed memory for the next buffers, even if a variable says otherwise."""
    if _libc is not None:
        _libc.mallopt(M_TRIM_THRESHOLD, KEPT)
        _libc.mallopt(M_MMAP_THRESHOLD, MAPPED)


def give_back_memory() -> None:
    """Give freed memory back, as the user's variables say."""
    if _libc is not None:
        _libc.mallopt(M_TRIM_THRESHOLD, USUAL if _trim is None else _trim)
        _libc.mallopt(M_MMAP_THRESHOLD, USUAL if _mapped is None else _mapped)
        _libc.malloc_trim(0)
