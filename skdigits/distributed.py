"""One model on many processes, which ``torchrun`` or another launcher starts.

Processes form a group of `torch.distributed`, and every one calls the same fits, within
`data_parallel`. The group's backend carries the messages: ``"gloo"`` between CPUs,
``"nccl"`` between GPUs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NoReturn

import torch.distributed as dist

from skdigits.engine.ranks import Ranks

__all__ = ["data_parallel"]

RANKS: ContextVar[Ranks | None] = ContextVar("ranks of skdigits", default=None)
"""The processes that fit together, as long as a block of `data_parallel` lasts."""


@contextmanager
def data_parallel(
    group: "dist.ProcessGroup | None" = None, *, shards: bool = False
) -> Iterator[None]:
    """Let all processes of a group fit each model together, within a block.

    Every process (rank) runs the same script, and calls the same ``fit`` or
    ``partial_fit`` within the block. Each computes its part of every batch, and the
    gradients are added up. The fitted model is that of a fit in one process but for
    rounding, and all ranks have the same one, to the last bit.

    The messages of a step take a millisecond between CPUs, so this is for large
    batches of large models, for L-BFGS on many samples, and for GPUs. A small batch, or
    a small model, takes longer than in one process.

    Parameters
    ----------
    group : torch.distributed.ProcessGroup, default=None
        The processes. None stands for all that ``init_process_group`` has joined.
    shards : bool, default=False
        Whether each rank passes samples of its own, of the same features. The model is
        then that of all samples, one rank's after the other's. If False, every rank
        passes the same samples, such as those of a memory map on a shared disk.
        Validation samples are the same on all ranks in either case.

    Yields
    ------
    None
        The context belongs to the thread that enters it.

    Raises
    ------
    RuntimeError
        If there is no process group, if this process is not in it, if the block is
        within another one, or if a message between ranks fails.
    ValueError
        If ``shards`` differs between ranks.

    See Also
    --------
    skdigits.model_selection.BatchedGridSearchCV : Searches on many machines, by the
        backends of joblib.

    Notes
    -----
    All ranks need the same parameters, and a ``random_state`` that is an integer or a
    generator in the same state; fits raise an error on all ranks if they differ, or if
    a few rows of X do. The device may differ: with ``device="auto"``, it is the one of
    ``torch.cuda.set_device``.

    An error of a rank before training is one on all ranks. With gloo, a rank that dies
    while it trains is an error on the others, at the latest after the ``timeout`` of
    the group. So is a rank that does not enter the block, or fits less often.

    ``verbose`` prints, warnings about training come, and callbacks and checkpoints
    work on rank 0 alone. A stop asked for by a callback there stops all ranks. Ctrl-C
    writes the checkpoint, and raises KeyboardInterrupt.

    Searches, and scikit-learn's steps before a model in a Pipeline, are not divided.

    Examples
    --------
    A group of one process, where ``torchrun`` would start several:

    >>> import tempfile
    >>> import torch.distributed as dist
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.distributed import data_parallel
    >>> X, y = load_digits(return_X_y=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = dist.FileStore(f"{folder}/store", 1)
    ...     dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    ...     with data_parallel():
    ...         model = SoftmaxRegression(random_state=0).fit(X / 16, y)
    ...     dist.destroy_process_group()
    >>> model.score(X / 16, y) > 0.95
    True
    """
    if RANKS.get() is not None:
        raise RuntimeError(
            "data_parallel is within another data_parallel: leave that one first."
        )
    ranks = _ranks_of(group, shards)
    told = ranks.gathered(shards)
    if len(set(told)) > 1:
        raise ValueError(
            f"shards is {told} on ranks 0 to {ranks.world - 1}: pass the same value on "
            "all of them."
        )

    token = RANKS.set(ranks)
    try:
        yield
    finally:
        RANKS.reset(token)


def _ranks_of(group: "dist.ProcessGroup | None", shards: bool) -> Ranks:
    """Return the ranks of a group, of which this process is one."""
    if not dist.is_available() or not dist.is_initialized():
        raise RuntimeError(
            "data_parallel found no process group: call "
            "torch.distributed.init_process_group('gloo') before it, in a script that "
            "torchrun starts, as in torchrun --nproc-per-node=2 script.py."
        )

    found = dist.group.WORLD if group is None else group
    rank = dist.get_rank(found)
    if rank < 0:
        raise RuntimeError(
            "This process is not in group: enter data_parallel on the ranks of the "
            "group only."
        )
    return Ranks(rank, dist.get_world_size(found), found, shards)


def refuse_search(name: str) -> NoReturn:
    """Raise the error about a search, or another set of fits, within the block.

    Raises
    ------
    RuntimeError
        Always.
    """
    raise RuntimeError(
        f"{name} fits many models, which data_parallel does not divide: call it in one "
        "process, outside the block. To search on many machines, call it within "
        "joblib.parallel_config('dask')."
    )
