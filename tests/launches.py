"""Launches of kernels, counted on the CPU: what torch would ask of a GPU.

A GPU takes a few microseconds to start each kernel. A small model's step is as long as
the number of its kernels, so that this number can be tested without a GPU.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skdigits.engine import dense

COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
# They give memory or another shape, which their schemas do not say.
FREE = ("empty", "new_empty", "_unsafe_view")
READS = ("_local_scalar_dense", "equal")


class Launches(TorchDispatchMode):
    """Counts the kernels that a GPU would start for what torch is asked to do.

    Operations of the host alone count, too, as nothing says where they would run: count
    per step, by `launches_per_step`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_name: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """Number of all launches."""
        return self.by_name.total()

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Count an operation and run it."""
        kwargs = kwargs or {}
        # In inference mode, operations arrive that consist of others, such as reshape.
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), COMPOSITE):
            with self:
                return func.decompose(*args, **kwargs)

        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if not _is_free(func, name, result):
            self.by_name[name] += _kernels(name, args)
        return result


def _is_free(func: OpOverload, name: str, result: Any) -> bool:
    """Return whether an operation only makes a view or memory, or asks for a shape."""
    aliases = [returned.alias_info for returned in func._schema.returns]
    is_view = any(alias is not None and not alias.is_write for alias in aliases)
    if is_view or torch.Tag.inplace_view in func.tags or name.startswith(FREE):
        return True

    # What returns nothing writes into its arguments.
    computes = any(isinstance(one, Tensor) for one in tree_leaves(result))
    return bool(aliases) and not computes and name not in READS


def _kernels(name: str, args: Any) -> int:
    """Return the number of kernels of an operation, at least."""
    # cuDNN adds a bias by itself, and computes each gradient by itself.
    if name == "convolution":
        return 1 + (args[2] is not None)
    if name == "convolution_backward":
        return sum(args[-1])
    return 1


@contextmanager
def counted_launches() -> Iterator[Launches]:
    """Count launches: ``launches.total`` and ``launches.by_name``."""
    # Those of other threads, which gather samples ahead, would not be seen.
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # Products by oneDNN are the CPU's own.
        with patch.object(dense, "onednn_linear", None), Launches() as launches:
            yield launches
    finally:
        torch.set_num_threads(n_threads)


def launches_per_step(run: Callable[[int], object], n_steps: int) -> Launches:
    """Return the launches of a step, as the difference of n and 2 n steps.

    ``run(n)`` takes n steps. What it does before and after them counts nothing.
    """
    counts = []
    for n in (n_steps, 2 * n_steps):
        with counted_launches() as launches:
            run(n)
        counts.append(launches.by_name)

    once, twice = counts
    found = Launches()
    for name in twice:
        found.by_name[name] = (twice[name] - once[name]) / n_steps
    return found
