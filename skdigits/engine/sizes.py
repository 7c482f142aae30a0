"""How much is computed at once: what a CPU's cache holds, or enough to keep a GPU busy.

These sizes decide about speed and memory only, and about the last bits of sums.
"""

import math
from typing import NamedTuple


class Sizes(NamedTuple):
    """Sizes of what is computed together on a device.

    Samples of several batches are gathered as a *block*: at most ``block_samples``,
    with at most so many targets, numbers and steps. Samples are evaluated in *chunks*
    of at most ``chunk_samples``, with at most so many logits and numbers. All layers of
    at most ``joint_models`` with ``joint_numbers`` are one parameter for a step.
    """

    block_samples: int
    block_targets: int
    block_numbers: int
    block_steps: int
    chunk_samples: int
    chunk_logits: int
    chunk_numbers: int
    joint_models: float
    joint_numbers: float


# Samples and targets of a block stay in the cache, as do products of a chunk. Beyond a
# size, passes over the numbers of a model take longer than calls.
CPU = Sizes(
    block_samples=2**10,
    block_targets=2**18,
    block_numbers=2**20,
    block_steps=2**10,
    chunk_samples=2**11,
    chunk_logits=2**20,
    chunk_numbers=2**21,
    joint_models=1,
    joint_numbers=2**15,
)
# Every call launches a kernel, which takes as long as some millions of numbers.
GPU = Sizes(
    block_samples=2**16,
    block_targets=2**22,
    block_numbers=2**26,
    block_steps=2**6,
    chunk_samples=2**14,
    chunk_logits=2**24,
    chunk_numbers=2**24,
    joint_models=math.inf,
    joint_numbers=math.inf,
)
SIZES = {"cpu": CPU, "cuda": GPU}
"""Sizes by the type of a device."""
