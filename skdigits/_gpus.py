"""The GPUs of this machine: which thread computes on which, and their free memory."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

# What models may fill of the memory that is free: a graph keeps what its steps take,
# while the steps after it, and scores, take about as much; libraries take some, too.
SHARE = 0.5

OWN: ContextVar[int | None] = ContextVar("number of this thread's GPU", default=None)
"""The GPU of the models of this thread, unless their ``device`` names another one."""

_lock = threading.Lock()
_in_use: Counter[int] = Counter()


@contextmanager
def own_gpu() -> Iterator[None]:
    """Let models of this thread compute on the GPU that fewest other threads use."""
    n_gpus = torch.cuda.device_count()
    if n_gpus < 2 or OWN.get() is not None:
        yield
        return

    with _lock:
        number = min(range(n_gpus), key=_in_use.__getitem__)
        _in_use[number] += 1
    token = OWN.set(number)
    try:
        yield
    finally:
        OWN.reset(token)
        with _lock:
            _in_use[number] -= 1


def memory_for_models(device: torch.device, n_bytes: int) -> float:
    """Return the bytes of a GPU that models may take beside samples of ``n_bytes``.

    Samples are there twice, to train on and to score.
    """
    free, _ = torch.cuda.mem_get_info(device)
    # torch keeps freed memory, which it uses again.
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return SHARE * (free + kept) - 2 * n_bytes


def name_of_gpu(device: torch.device | int) -> str | None:
    """Return the name of a GPU that all processes know it by; None without one."""
    return str(getattr(torch.cuda.get_device_properties(device), "uuid", "")) or None


def allocations() -> Counter[str]:
    """Return how often this process has taken memory of each GPU, by its name."""
    found: Counter[str] = Counter()
    if torch.cuda.is_initialized():
        for number in range(torch.cuda.device_count()):
            stats = torch.cuda.memory_stats(number)
            name = name_of_gpu(number)
            if name is not None:
                found[name] = stats.get("allocation.all.allocated", 0)
    return found
