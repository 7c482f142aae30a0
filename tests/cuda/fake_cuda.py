"""CUDA devices that are none: tensors in the host's memory that say they are there.

What mixes devices, or draws on one with the generator of another, raises the error that
CUDA would. Numbers are the CPU's. With ``rounding``, sums, products and exponentials
differ in their last bits, always in the same way for the same shapes, as they would on
another device. What the host reads and copies is counted by the line that asks for it.
"""

import sys
import threading
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from unittest.mock import patch

import torch
from fake_graphs import FakeGraph, FakeStream, captured_by
from fake_mode import FakeMode
from fake_tensors import HOST_GENERATOR, CudaGenerator, CudaTensor

import skdigits.augmentation
import skdigits.model_selection  # noqa: F401 as all that make generators are patched


@contextmanager
def fake_cuda(n_devices=1, rounding=False, capability=(9, 0), memory=2**34):
    """Let torch find CUDA devices within a block, and yield a `FakeCuda`.

    Parameters
    ----------
    n_devices : int
        Number of devices: cuda:0, cuda:1, ….
    rounding : bool
        Whether results differ from the CPU's in their last bits.
    capability : tuple of int
        Compute capability of the devices.
    memory : int
        Bytes of each device, which no single tensor may exceed.
    """
    device = FakeCuda(n_devices, rounding, capability, memory)
    with device.present():
        yield device


class FakeCuda(FakeMode):
    """Fake CUDA devices while they are ``present``; `FakeMode` has what is counted."""

    @contextmanager
    def present(self):
        """Let torch and the package find the devices."""
        before = CudaTensor.handler
        patches = [
            patch.multiple(torch.cuda, **self._found_by_torch()),
            *(patch.object(module, "Generator", CudaGenerator) for module in drawing()),
            patch.object(threading.Thread, "run", self._run_of_threads()),
        ]
        for one in patches:
            one.start()
        CudaTensor.handler = self
        forget_devices()
        try:
            with self:
                yield
        finally:
            forget_devices()
            CudaTensor.handler = before
            for one in reversed(patches):
                one.stop()

    def _found_by_torch(self):
        return {
            "is_available": lambda: True,
            "is_initialized": lambda: True,
            "device_count": lambda: self.n_devices,
            "current_device": lambda: self.current,
            "set_device": self._set_device,
            "get_device_capability": lambda device=None: self.capability,
            "get_device_name": lambda device=None: "Fake",
            "get_device_properties": self._properties,
            "mem_get_info": lambda device=None: (self.memory, self.memory),
            "memory_reserved": lambda device=None: 0,
            "memory_allocated": lambda device=None: 0,
            "device": self._within,
            "CUDAGraph": self._new_graph,
            "graph": captured_by,
            "Stream": FakeStream,
            "stream": lambda stream: nullcontext(),
            "current_stream": FakeStream,
            "set_stream": lambda stream: None,
            "synchronize": lambda device=None: None,
            "empty_cache": lambda: None,
        }

    def _new_graph(self):
        self.graphs.append(FakeGraph(self))
        return self.graphs[-1]

    @contextmanager
    def _within(self, device):
        before = self.current
        self._set_device(device)
        try:
            yield
        finally:
            self.current = before

    def _set_device(self, device):
        self.current = self.place(device).index

    def _properties(self, device=None):
        uuid = str(self.place("cuda" if device is None else device))
        return SimpleNamespace(name="Fake", total_memory=self.memory, uuid=uuid)

    def _run_of_threads(self):
        """Return a ``run`` of threads that has the mode on, as it belongs to one."""
        run = threading.Thread.run

        def run_on_device(thread):
            with self:
                run(thread)

        return run_on_device


def drawing():
    """Return torch and the modules of the package that make generators."""
    own = [
        module for name, module in sys.modules.items() if name.startswith("skdigits")
    ]
    return [
        module
        for module in (torch, *own)
        if getattr(module, "Generator", None) is HOST_GENERATOR
    ]


def forget_devices():
    """Clear what the engine keeps for a device, which is another one from now on."""
    for name, module in list(sys.modules.items()):
        if name.startswith("skdigits.engine"):
            for kept in vars(module).values():
                getattr(kept, "cache_clear", lambda: None)()
