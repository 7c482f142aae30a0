"""Rows larger than memory: an epoch of a file of 8 GB, with 2 GB of memory.

The file holds MNIST's 60,000 training digits 43 times, as float32, sorted by class:
each class is a run of its digits, in 43 random orders. A SoftmaxRegression learns from
it for one epoch (batch size 256) in a new process, which has 2 GB in a memory cgroup,
the cache of files included. Before each fit, the file is dropped from the cache of the
system. *in order* is `shuffle=False`, *by blocks* `shuffle="blocks"`; *all shuffled*
is `shuffle=True`, with memory for the whole file, and from the cache. *read* is what
the process has had read from the disk, in files; *own memory* the peak of what it holds
beside mapped files, libraries included; *accuracy* that on the 10,000 test digits. The
figures are medians of several runs that take turns. The script deletes its file, stores
its figures in benchmarks/memmap.json and writes a section of RESULTS.md.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from accuracy import where
from report import HERE, enter

from skdigits import SoftmaxRegression
from skdigits.datasets import load_mnist

N_FEATURES = 784
SPARE = 1.2e9  # bytes that stay free on the disk
WAYS = {"in order": False, "by blocks": "blocks", "all shuffled": True}
LIMITS = {"memory.max": "2", "memory.limit_in_bytes": "1"}
GOALS = {"time": 1.5, "read": 1.1, "own memory": 400.0, "accuracy": 0.2}


def labels(n_copies: int) -> np.ndarray:
    """Return the label of each row of the file."""
    mnist = load_mnist()
    return np.repeat(np.sort(mnist.target[mnist.train]), n_copies)


def write_file(path: Path, n_copies: int) -> None:
    """Write the rows, class by class."""
    mnist = load_mnist()
    X = mnist.data[mnist.train]
    y = mnist.target[mnist.train]
    rng = np.random.RandomState(0)
    shape = (len(X) * n_copies, N_FEATURES)
    if shutil.disk_usage(path.parent).free < 4 * shape[0] * shape[1] + SPARE:
        raise SystemExit(f"{path.parent} has no room: pass --folder, or --copies.")

    with open(path, "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for label in np.unique(y):
            own = np.flatnonzero(y == label)
            for _ in range(n_copies):
                rows = X[rng.permutation(own)]
                (rows / np.float32(255)).astype("<f4").tofile(file)
        file.flush()
        os.fsync(file.fileno())


def drop_from_cache(path: Path) -> None:
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def bring_into_cache(path: Path) -> None:
    with open(path, "rb") as file:
        while file.read(2**24):
            pass


def counted(name: str, of: str) -> int:
    """Return a number that Linux counts for this process, in bytes."""
    lines = Path(f"/proc/self/{of}").read_text().splitlines()
    (words,) = (line.split() for line in lines if line.startswith(name + ":"))
    return int(words[1]) * (1024 if of == "status" else 1)


@contextmanager
def peak_of_own_memory() -> Iterator[Callable[[], float]]:
    """Follow the memory of this process beside files, and yield its peak so far."""
    over = threading.Event()
    peak = [0]

    def follow() -> None:
        while not over.wait(0.05):
            peak[0] = max(peak[0], counted("RssAnon", "status"))

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield lambda: peak[0]
    finally:
        over.set()
        thread.join()


def fit_once(path: Path, way: str, n_copies: int) -> dict[str, float]:
    """Return the figures of a fit in this process."""
    mnist = load_mnist()
    X_test = (mnist.data[mnist.test] / np.float32(255)).astype(np.float32)
    y_test = mnist.target[mnist.test]
    del mnist
    X = np.load(path, mmap_mode="r")
    y = labels(n_copies)
    model = SoftmaxRegression(
        shuffle=WAYS[way], batch_size=256, max_iter=1, tol=None, random_state=0
    )
    # A first fit loads libraries, which are not to count.
    model.fit(X_test[:500], y_test[:500])

    with peak_of_own_memory() as peak:
        before = counted("read_bytes", "io")
        start = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - start
        read = counted("read_bytes", "io") - before
        memory = peak()
    return {
        "seconds": seconds,
        "read": read / path.stat().st_size,
        "own memory": memory / 1e6,
        "accuracy": 100 * model.score(X_test, y_test),
    }


def own_group() -> tuple[Path, str] | None:
    """Return the folder of this process's memory cgroup, and its limit's name."""
    root = Path("/sys/fs/cgroup")
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own = (root / "memory" if controllers else root) / path.lstrip("/")
        for limit, version in LIMITS.items():
            suits = "memory" in controllers.split(",") or version == "2"
            if suits and (own / limit).exists():
                return own, limit
    return None


@contextmanager
def limited(n_bytes: float) -> Iterator[list[str] | None]:
    """Yield a command that begins another within a memory cgroup, None if none can be.

    The group is removed at the end.
    """
    found = own_group()
    if found is None:
        yield None
        return
    group = found[0] / f"skdigits-{os.getpid()}"
    try:
        group.mkdir()
        (group / found[1]).write_text(str(int(n_bytes)))
    except OSError:
        group.exists() and group.rmdir()
        yield None
        return
    try:
        enters = f'echo $$ > {group / "cgroup.procs"} && exec "$@"'
        yield ["sh", "-c", enters, "sh"]
    finally:
        group.rmdir()


def in_new_process(
    prefix: list[str], path: Path, way: str, n_copies: int
) -> dict[str, float]:
    """Return the figures of a fit in a new process."""
    command = [*prefix, sys.executable, __file__, "--fit", way, "--file", str(path)]
    command += ["--copies", str(n_copies)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(
    path: Path, prefix: list[str], n_copies: int, repeats: int
) -> dict[str, dict[str, float]]:
    """Return the median figures of each way."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for number in range(repeats):
        for way in WAYS:
            whole = way == "all shuffled"
            if whole and number:
                continue
            drop_from_cache(path)
            if whole:
                bring_into_cache(path)
            one = in_new_process([] if whole else prefix, path, way, n_copies)
            print(way, {name: round(value, 2) for name, value in one.items()})
            found[way].append(one)
    return {
        way: {name: median(one[name] for one in some) for name in some[0]}
        for way, some in found.items()
    }


def section(known: dict[str, Any]) -> list[str]:
    """Return the section of RESULTS.md."""
    ways = known["ways"]
    rows = [
        f"| {way} | {one['seconds']:.1f} | {one['read']:.2f} | "
        f"{one['own memory']:.0f} | {one['accuracy']:.2f} |"
        for way, one in ways.items()
    ]
    blocks = ways["by blocks"]
    order = ways["in order"]
    found = {
        "time": blocks["seconds"] / order["seconds"],
        "read": order["read"],
        "own memory": blocks["own memory"],
        "accuracy": ways["all shuffled"]["accuracy"] - blocks["accuracy"],
    }
    texts = {
        "time": "an epoch by blocks, in epochs in order",
        "read": "how often an epoch in order reads the file",
        "own memory": "own memory by blocks, MB",
        "accuracy": "points of accuracy that blocks lose",
    }
    goals = [
        f"| {texts[name]} | {value:.2f} | {GOALS[name]:g} "
        f"{'✓' if value <= GOALS[name] else 'not reached'} |"
        for name, value in found.items()
    ]
    return [
        "# Rows larger than memory", "",
        "Made by `python benchmarks/memmap.py`.", "",
        (__doc__ or "").split("\n\n", 1)[1].strip(), "",
        f"The file has {known['gigabytes']:.1f} GB. {known['limit']}", "",
        "| | seconds | read | own memory, MB | accuracy, % |",
        "|---|---|---|---|---|", *rows, "",
        "| | found | at most |", "|---|---|---|", *goals, "",
        f"{known['where']}.",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--folder", type=Path, help="where the file is made")
    parser.add_argument("--copies", type=int, default=43, help="of the training digits")
    parser.add_argument("--memory", type=float, default=2, help="GB of a process")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--fit", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fit:
        print(json.dumps(fit_once(options.file, options.fit, options.copies)))
        return

    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        limited(options.memory * 1e9) as prefix,
    ):
        path = Path(folder) / "rows.npy"
        write_file(path, options.copies)
        limit = f"Each process has {options.memory:g} GB in a memory cgroup."
        if prefix is None:
            limit = (
                "No memory cgroup could be made here: the memory is NOT limited, and "
                "the file was only dropped from the cache before each fit."
            )
        known = {
            "gigabytes": path.stat().st_size / 1e9,
            "limit": limit,
            "ways": measure(path, prefix or [], options.copies, options.repeats),
            "where": where(),
        }
    text = json.dumps(known, indent=1) + "\n"
    (HERE / "memmap.json").write_text(text, encoding="utf-8")
    enter(section(known))


if __name__ == "__main__":
    main()
