"""Blocks of steps over fixed memory, which a GPU replays without being called again.

A step launches some dozens of kernels, and each takes the host longer than it takes a
GPU. A *graph* of CUDA holds all launches of a block of steps: it is captured once, and
launched as one. All that the steps read and write lies in the same places then: the
positions of samples, rates, sizes, parameters, moments and the objective.
"""

import math
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from skdigits.engine.batches import Batch, Data
from skdigits.engine.solvers import Moving, Steps, take_steps

REPLAYED = {"cuda"}
"""Types of devices that replay blocks; elsewhere, steps are taken one by one."""

LEAST_BLOCKS = 8  # in a run: the first is not replayed, the second is captured


def blocks_of(n_samples: int, batch_size: int, most: int) -> tuple[int, int]:
    """Return how many blocks a pass has, and how many steps each of them has.

    At most ``most``, and so many that few steps are left over at the end of the pass.
    """
    n_steps = n_samples // batch_size
    n_blocks = max(1, math.ceil(n_steps / most))
    return n_blocks, n_steps // n_blocks


class Rest(NamedTuple):
    """What is left of a pass: samples in their order, rates and sizes of its steps.

    They are those of `skdigits.engine.batches.batches` and of `take_steps`.
    """

    data: Data
    order: Tensor | None
    rates: Tensor
    sizes: Tensor

    def after(self, n_steps: int, n_samples: int) -> "Rest":
        """Return what is left after so many steps, and samples of each replica."""
        assert self.order is not None
        order = self.order[:, n_samples:]
        rates = self.rates if len(self.rates) == 1 else self.rates[n_steps:]
        sizes = self.sizes if len(self.sizes) == 1 else self.sizes[n_steps:]
        return Rest(self.data._replace(samples=order), order, rates, sizes)


@dataclass(eq=False)
class StepBlock:
    """A block of steps, taken over and over.

    ``draw`` yields the batches of samples. ``generators`` are those of all noise.
    ``numbers``, ``samples`` at their positions, ``rates`` and ``sizes`` (n_steps, K),
    or (1, K), and the ``objective`` (K,) are the memory that the steps read and write.
    """

    steps: Steps
    draw: Callable[[Data], Iterator[Batch]]
    generators: Sequence[Generator]
    n_steps: int
    numbers: Moving
    samples: Data
    rates: Tensor
    sizes: Tensor
    objective: Tensor
    replay: Callable[[], None] | None = None
    is_warm: bool = False

    def pass_over(self, numbers: Moving, whole: Rest, objective: Tensor) -> Rest:
        """Take the steps of all whole blocks of a pass; return the rest of it.

        The numbers and the objective are updated in place.
        """
        self.numbers.copy_from(numbers)
        self.objective.copy_(objective)
        positions = self.samples.samples
        assert positions is not None
        size = positions.shape[1]
        whole = in_order(whole, self.rates)
        assert whole.order is not None
        n_blocks = whole.order.shape[1] // size

        for number in range(n_blocks):
            positions.copy_(whole.order[:, number * size : (number + 1) * size])
            own = slice(number * self.n_steps, (number + 1) * self.n_steps)
            pairs = ((self.rates, whole.rates), (self.sizes, whole.sizes))
            for target, source in pairs:
                target.copy_(source if len(source) == 1 else source[own])
            self._run()

        numbers.copy_from(self.numbers)
        objective.copy_(self.objective)
        return whole.after(n_blocks * self.n_steps, n_blocks * size)

    def _run(self) -> None:
        if not self.is_warm:
            # A first run, which is not captured, lets libraries get ready.
            on_stream_of(self.rates.device, self.take)
            self.is_warm = True
            return

        if self.replay is None:
            self.replay = captured(self.take, self.rates.device, self.generators)
        self.replay()

    def release(self) -> None:
        """Free all memory of a block that is not needed any more."""
        vars(self).clear()

    def take(self) -> None:
        """Take the steps of the block, one by one."""
        drawn = self.draw(self.samples)
        given = (self.rates, self.sizes, self.n_steps, self.objective)
        take_steps(self.steps, self.numbers, drawn, *given)


def in_order(whole: Rest, like: Tensor) -> Rest:
    """Return a pass with the positions of samples, and all else on their device."""
    order = whole.order
    if order is None:
        order = torch.arange(whole.data.n_samples, device=like.device)[None]
    # At once: a step must not wait for a number from the host.
    return Rest(whole.data, order, whole.rates.to(like), whole.sizes.to(like))


def step_block(
    steps: Steps,
    draw: Callable[[Data], Iterator[Batch]],
    generators: Sequence[Generator],
    numbers: Moving,
    whole: Rest,
    n_steps: int,
    n_samples: int,
) -> StepBlock:
    """Return a block of a pass, with memory of its own.

    It has ``n_steps`` steps, and ``n_samples`` of each replica. ``numbers`` become part
    of it.
    """
    like = numbers.params[0]
    rates, sizes = (
        like.new_empty(min(len(values), n_steps), values.shape[1])
        for values in (whole.rates, whole.sizes)
    )
    shape = (whole.data.n_replicas, n_samples)
    positions = torch.zeros(shape, dtype=torch.int64, device=like.device)
    samples = whole.data._replace(samples=positions)
    objective = like.new_empty(len(like), dtype=torch.float64)
    fixed = (numbers, samples, rates, sizes, objective)
    return StepBlock(steps, draw, generators, n_steps, *fixed)


def on_stream_of(device: torch.device, call: Callable[[], None]) -> None:
    """Make a call on the stream of a device on which steps are captured.

    Libraries keep memory for each stream: it has to be there before the capture.
    """
    if device.type != "cuda":
        call()
        return

    with torch.cuda.device(device):
        stream = _stream_of(device)
        current = torch.cuda.current_stream(device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            call()
        current.wait_stream(stream)


def captured(
    call: Callable[[], None], device: torch.device, generators: Sequence[Generator]
) -> Callable[[], None]:
    """Capture a call, which is not made, and return a function that replays it.

    On a CPU, this is the call itself. So it is where a GPU cannot capture the call:
    nothing is captured on this GPU any more, and a warning says so.

    Raises
    ------
    RuntimeError
        If the call draws numbers, and cannot be captured: its generators are lost.
    """
    if device.type != "cuda" or device in _refused:
        return call

    with torch.cuda.device(device):
        before = torch.cuda.current_stream(device)
        stream = _stream_of(device)
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        try:
            # CUDA captures one graph of a process at a time; other threads may train
            # meanwhile. A stream of torch's own would be that of the first device.
            with (
                _capturing,
                torch.cuda.graph(
                    graph, stream=stream, capture_error_mode="thread_local"
                ),
            ):
                call()
        except torch.cuda.OutOfMemoryError:
            torch.cuda.set_stream(before)
            raise
        except RuntimeError as error:
            torch.cuda.set_stream(before)
            _refused.add(device)
            _tell_of_refusal(device, error, generators)
            return call

    def replay() -> None:
        with torch.cuda.device(device):
            graph.replay()

    return replay


# cuBLAS keeps memory for each stream for ever: there is one for each device.
_streams: dict[torch.device, torch.cuda.Stream] = {}
_capturing = threading.Lock()
_refused: set[torch.device] = set()


def _stream_of(device: torch.device) -> torch.cuda.Stream:
    if device not in _streams:
        _streams[device] = torch.cuda.Stream(device)
    return _streams[device]


def _tell_of_refusal(
    device: torch.device, error: RuntimeError, generators: Sequence[Generator]
) -> None:
    """Warn of steps that could not be captured, or raise an error if they draw."""
    cause = error.__context__ or error  # the end of a failed capture fails, too
    text = f"{device} could not capture the steps of a fit as a graph ({cause})."
    if generators:
        raise RuntimeError(
            f"{text} Fit again: from now on, steps are launched one by one."
        ) from error
    warnings.warn(
        f"{text} From now on, steps are launched one by one.",
        RuntimeWarning,
        stacklevel=2,
    )
