"""Arrays that lie in a mapped file, and the memory that is free to hold them."""

import math
import mmap
import os
import sys
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PROCESS = Path("/proc/self/cgroup")
MEMORY = Path("/proc/meminfo")
GROUPS = Path("/sys/fs/cgroup")
# Hints to the system, of which Windows has none; Python has no name for the second.
WILL_NEED = getattr(mmap, "MADV_WILLNEED", None)
COLD = 20 if sys.platform == "linux" else None
AT_ONCE = 2**17  # bytes: Linux takes no more of a hint than a disk is set to
CACHE = ("active_file", "inactive_file")  # that gives way to whatever is read next
LIMITS = {
    "memory.max": ("memory.current", ""),
    "memory.limit_in_bytes": ("memory.usage_in_bytes", "total_"),
}
"""Names of a limit, beside its usage and the prefix of sums, in versions 2 and 1."""

DECIDED = ContextVar("whether someone else has looked at free memory", default=False)
"""Set where processes share a search: all of them shuffle as the first one decides."""


class MappedRows(NamedTuple):
    """Where rows lie in a mapped file: ``size`` bytes each, from ``start`` on."""

    file: mmap.mmap
    start: int
    size: int
    number: int

    def announce(self, first: int, last: int) -> None:
        """Let the system read rows from the first to before the last, and go on."""
        if WILL_NEED is not None:
            self._advise(WILL_NEED, first, last)

    def release(self, first: int, last: int) -> None:
        """Let the system take the memory of these rows first if it needs some.

        Otherwise it finds none for the rows that are announced, within a cgroup, and
        reads them later, with much around them.
        """
        if COLD is not None:
            self._advise(COLD, first, last)

    def _advise(self, hint: int, first: int, last: int) -> None:
        begin = self.start + first * self.size
        end = self.start + min(last, self.number) * self.size
        # These are hints: a file that was closed, or an old Linux, does without.
        with suppress(OSError, ValueError):
            for place in range(begin - begin % mmap.PAGESIZE, end, AT_ONCE):
                self.file.madvise(hint, place, min(AT_ONCE, end - place))


def rows_in_file(X: Any) -> MappedRows | None:
    """Return where the rows of a NumPy array lie in a mapped file; None if in none.

    These are arrays whose memory a tensor can share: others are copied into memory.
    """
    if not isinstance(X, np.ndarray) or X.ndim != 2 or not X.size:
        return None
    base: Any = X
    while base is not None and not isinstance(base, mmap.mmap):
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    if base is None or min(X.strides) < 0 or not X.flags.aligned:
        return None
    # The rows of a file by columns lie all over it.
    if X.shape[1] > 1 and X.strides[1] != X.itemsize:
        return None

    whole = np.frombuffer(base, dtype=np.uint8)
    start = X.ctypes.data - whole.ctypes.data
    return MappedRows(base, start, X.strides[0], len(X))


def exceeds_memory(rows: MappedRows) -> bool:
    """Return whether rows are larger than the memory that is free."""
    return not DECIDED.get() and rows.size * rows.number > free_memory()


def free_memory() -> float:
    """Return the bytes of memory that a process can have, within its cgroup.

    Cached files count as free. Where the system does not tell, this is infinite.
    """
    found = math.inf
    if MEMORY.exists():
        found = min(found, 1024 * _numbers(MEMORY).get("MemAvailable:", math.inf))
    elif hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found = float(os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE)
    return min([found, *map(_free_in, _groups())])


def _groups() -> list[Path]:
    """Return the folders of this process's memory cgroup and of those around it."""
    found = []
    lines = PROCESS.read_text().splitlines() if PROCESS.exists() else []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = GROUPS / "memory" if controllers else GROUPS
        # In a container, the path may be that of its host: then the root is its group.
        here = root / path.lstrip("/")
        found += [
            group for group in (here, *here.parents) if group.is_relative_to(root)
        ]
    return found


def _free_in(group: Path) -> float:
    """Return what a cgroup leaves free; infinity if it has no limit."""
    for name, (usage, prefix) in LIMITS.items():
        try:
            limit = (group / name).read_text().strip()
            used = int((group / usage).read_text())
            counts = _numbers(group / "memory.stat")
        except OSError:
            continue
        if limit != "max":
            cached = sum(counts.get(prefix + part, 0) for part in CACHE)
            return float(int(limit) - used + cached)
    return math.inf


def _numbers(path: Path) -> dict[str, int]:
    """Return the number on each line of a file, by the word before it."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1}
