"""Other work on the same cores, as on a computer that is not idle.

::

    with load():
        ...  # every core has something else to do, too

Half of the processes run a loop in Python, the others multiply matrices. They end with
the block, and when the process that started them is gone.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ONE_THREAD = {
    f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM")
}


@contextmanager
def load() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Keep every core, two at least, busy within the block.

    Raises
    ------
    RuntimeError
        If a process of the load does not start, or ends within the block.
    """
    n_processes = max(2, n_cores())
    kinds = [list(WORK)[number % len(WORK)] for number in range(n_processes)]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        processes += map(_started, kinds)
        _check(processes, [process.stdout.readline() for process in processes])
        yield processes
        _check(processes)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.communicate()


def n_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _started(kind: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, __file__, kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | ONE_THREAD,
    )


def _check(
    processes: list[subprocess.Popen[bytes]], said: list[bytes] | None = None
) -> None:
    ended = [process.poll() for process in processes if process.poll() is not None]
    if ended or (said is not None and not all(said)):
        raise RuntimeError(
            f"{len(ended) or 'Some'} of the {len(processes)} processes of the load "
            f"ended, with codes {ended}: what was measured beside them is not busy. "
            "Run the job again."
        )


def _python_loop() -> Callable[[], object]:
    return lambda: sum(i * i % 7 for i in range(100_000))


def _products() -> Callable[[], object]:
    import numpy as np

    matrix = np.random.default_rng(0).random((400, 400))
    return lambda: matrix @ matrix


WORK = {"Python": _python_loop, "products": _products}


def _end_with_parent() -> None:
    # The pipe has an end when the parent has one, however that comes.
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    step = WORK[sys.argv[1]]()
    step()
    print("at work", flush=True)
    while True:
        step()


if __name__ == "__main__":
    main()
