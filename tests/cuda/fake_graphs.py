"""Graphs of a fake CUDA device: calls that are noted once, and made again later.

As on CUDA, nothing happens while a graph is captured: what calls have written is put
back at the end. Reads, and copies from or to the host, are errors meanwhile.
"""

from contextlib import contextmanager

import torch
from fake_tensors import share_memory, tensors_in
from torch_functions import is_in_place


class FakeStream:
    """Stands for `torch.cuda.Stream`; there is nothing to wait for."""

    def __init__(self, device=None):
        self.device = torch.device(device)

    def wait_stream(self, other):
        """Do nothing."""


class FakeGraph:
    """Stands for `torch.cuda.CUDAGraph` on a `FakeCuda`."""

    def __init__(self, device):
        self.device = device
        self.calls = []
        self.generators = []
        self.n_replays = 0

    def register_generator_state(self, generator):
        """Let calls draw on a generator."""
        self.generators.append(generator)

    def replay(self):
        """Make all calls again, with the same tensors for operands and results."""
        assert self.calls, "nothing was captured"
        self.n_replays += 1
        with torch._C.DisableTorchFunction():
            for func, args, kwargs, results in self.calls:
                found = self.device.__torch_function__(func, (), args, kwargs)
                for new, old in zip(tensors_in(found), results, strict=True):
                    if not share_memory(new, old):
                        old.copy_(new)


class Capture:
    """Notes the calls of a graph, and what they write over."""

    def __init__(self, graph):
        self.graph = graph
        self.before = {}
        self.made = set()
        self.states = [one.get_state() for one in graph.generators]

    def note(self, func, name, args, kwargs, call):
        """Make a call, and note it."""
        generator = kwargs.get("generator")
        if generator is not None and generator not in self.graph.generators:
            raise RuntimeError("generator is not registered with the graph")
        written = [kwargs.get("out")]
        if is_in_place(name) or name in ("__setitem__", "__set__"):
            written.append(args[0])
        for tensor in tensors_in(written):
            self._keep(tensor)

        found = call()
        # An iterator's parts are views, which hold what they are of.
        results = [] if name == "__iter__" else list(tensors_in(found))
        # Views are of memory that was there before.
        given = {_place(one) for one in tensors_in([args, kwargs])}
        self.made |= {_place(one) for one in results} - given
        self.graph.calls.append((func, args, kwargs, results))
        return found

    def _keep(self, tensor):
        place = _place(tensor)
        if place not in self.before and place not in self.made:
            with torch._C.DisableTorchFunction():
                storage = tensor.untyped_storage()
                self.before[place] = (storage, storage.clone())

    def put_back(self):
        """Undo what the calls have done."""
        for storage, before in self.before.values():
            storage.copy_(before)
        for generator, state in zip(self.graph.generators, self.states, strict=True):
            generator.set_state(state)


def _place(tensor):
    """Return where the memory of a tensor begins."""
    with torch._C.DisableTorchFunction():
        return tensor.untyped_storage().data_ptr()


@contextmanager
def captured_by(graph, stream=None, capture_error_mode="global"):
    """Stand for `torch.cuda.graph`.

    Without a stream of the current device, CUDA would capture nothing on any device but
    the first, and compute at once.
    """
    device = graph.device
    assert stream is not None
    assert stream.device.index == device.current
    assert not device.captures, "another thread captures"
    device.captures.append(stream)
    capture = Capture(graph)
    graph.device.capture = capture
    try:
        yield
    finally:
        graph.device.capture = None
        device.captures.clear()
        with torch._C.DisableTorchFunction():
            capture.put_back()
