"""CUDA devices that are none: tensors in the host's memory that say they are there.

What mixes devices, or draws on one with the generator of another, raises the error that
CUDA would. Numbers are the CPU's. With ``rounding``, sums, products and exponentials
differ in their last bits, always in the same way for the same shapes, as they would on
another device. What the host reads and copies is counted by the line that asks for it.
"""

import sys
import threading
import zlib
from collections import Counter
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import torch
from fake_graphs import FakeGraph, captured_by
from fake_tensors import (
    CPU,
    HOST_GENERATOR,
    CudaGenerator,
    CudaTensor,
    on_host,
    put_on,
    share_memory,
    tensors_in,
)
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch_functions import MAKE, READ, ROUNDED, TAKE_A_NUMBER, bare, is_in_place

import skdigits

PACKAGE = str(Path(skdigits.__file__).parent)
INDEXING = ("__getitem__", "__setitem__")
PLACES_DIFFER = (
    "indices should be either on cpu or on the same device as the indexed tensor ({})"
)


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


class FakeCuda(TorchFunctionMode):
    """Fake CUDA devices while the mode is on.

    Attributes
    ----------
    reads : Counter
        What the host has waited for: numbers, masks, copies to the host. The key is the
        line of the package that asks for it, and how: ``"engine/train.py:9 cpu"``.
    copies : Counter
        Copies to a device, from the host or from another device, in the same form.
    problems : Counter
        Errors about devices, whether or not they were caught.
    graphs : list of FakeGraph
        Graphs that were captured.
    """

    def __init__(self, n_devices, rounding, capability, memory):
        super().__init__()
        self.n_devices = n_devices
        self.rounding = rounding
        self.capability = capability
        self.memory = memory
        self.current = 0
        self.reads = Counter()
        self.copies = Counter()
        self.problems = Counter()
        self.graphs = []
        self.capture = None

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

    def place(self, device):
        """Return a device with its number."""
        found = torch.device("cuda", device) if isinstance(device, int) else device
        found = torch.device(found)
        if found.type == "cuda" and found.index is None:
            found = torch.device("cuda", self.current)
        if found.type == "cuda" and found.index >= self.n_devices:
            raise RuntimeError("CUDA error: invalid device ordinal")
        return found

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Call a function of torch on tensors of fake devices."""
        name = getattr(func, "__name__", str(func))
        if self.capture is None:
            return self._asked(func, name, args, kwargs)
        call = partial(self._asked, func, name, args, kwargs)
        return self.capture.note(func, name, args, kwargs or {}, call)

    def _asked(self, func, name, args, kwargs):
        with torch._C.DisableTorchFunctionSubclass():
            if name in ("to", "cpu", "cuda", "type_as") and isinstance(args[0], Tensor):
                return self._to(name, args, dict(kwargs or {}))
            if name in MAKE:
                return self._make(func, name, args, dict(kwargs or {}))
            return self._call(func, name, args, dict(kwargs or {}))

    def _call(self, func, name, args, kwargs):
        """Call a function that computes where its operands are."""
        if name == "__set__":
            return func(*args, **kwargs)
        operands = [*tensors_in(args), *tensors_in(kwargs)]
        target = self._target(name, args, kwargs, operands)
        self._check_generator(kwargs.get("generator"), target, name)
        self._check_devices(name, args, kwargs, operands, target)
        if name == "__iter__":
            return iter([put_on(part, target) for part in args[0].unbind(0)])

        result = func(*args, **kwargs)
        for tensor in tensors_in(result):
            if not any(tensor is operand for operand in operands):
                self._allocate(put_on(tensor, target))
        if self.rounding and target.type == "cuda" and bare(name) in ROUNDED:
            for tensor in tensors_in(result):
                _round(tensor, name, operands)
        return result

    def _target(self, name, args, kwargs, operands):
        """Return the device of the result, and let the CPU compute it."""
        if kwargs.get("device") is not None:
            target = self.place(kwargs["device"])
            kwargs["device"] = target if target.type not in ("cpu", "cuda") else CPU
            return target
        if operands and (is_in_place(name) or name in INDEXING):
            return operands[0].device
        there = [tensor.device for tensor in operands if tensor.is_cuda]
        return there[0] if there else CPU

    def _check_generator(self, generator, target, name):
        if generator is not None and generator.device.type != target.type:
            self._refuse(
                name,
                f"Expected a '{target.type}' device type for generator but found "
                f"'{generator.device.type}'",
            )

    def _check_devices(self, name, args, kwargs, operands, target):
        """Count reads, and refuse operands on several devices as CUDA does."""
        there = [one for one in operands if one.is_cuda]
        if not there:
            return
        if name in READ or _depends_on_mask(name, args):
            self._read(name)
        elsewhere = [one for one in operands if one.device != target]
        # Functions that name a device take no more of their operands than the shape.
        if not elsewhere or name == "__get__" or kwargs.get("device") is not None:
            return
        if name == "copy_":
            self._copy(name, args[1].device, target)
        elif name in INDEXING:
            self._check_indexing(name, args, target)
        else:
            self._check_numbers(name, kwargs, operands, elsewhere)

    def _check_indexing(self, name, args, target):
        """Refuse indices on other devices; those on the host are copied."""
        for index in tensors_in(args[1]):
            if index.device not in (target, CPU):
                self._refuse(name, PLACES_DIFFER.format(target))
            if index.device != target:
                self._copy(name, CPU, target)
        for value in tensors_in(args[2:]):
            if value.device != target and value.dim() and any(tensors_in(args[1])):
                self._refuse(name, _mixed([target, value.device], name))
            if value.device != target:
                self._copy(name, value.device, target)

    def _check_numbers(self, name, kwargs, operands, elsewhere):
        """Refuse operands elsewhere, other than numbers on the host."""
        numbers = all(one.device == CPU and not one.dim() for one in elsewhere)
        into_host = is_in_place(name) and operands[0].device == CPU
        out = kwargs.get("out")
        out_on_host = isinstance(out, Tensor) and out.device == CPU
        taken = numbers and bare(name) in TAKE_A_NUMBER
        if not taken or into_host or out_on_host:
            self._refuse(name, _mixed([one.device for one in operands], name))

    def _to(self, name, args, kwargs):
        """Move a tensor to another device or dtype, and count copies."""
        source = args[0]
        args, target = self._destination(name, args, kwargs)
        result = Tensor.to(*args, **kwargs)
        if target == source.device:
            return result if result is source else put_on(result, target)

        self._copy(name, source.device, target)
        if share_memory(result, source):
            result = result.clone()
        return self._allocate(put_on(result, target))

    def _destination(self, name, args, kwargs):
        """Return arguments of `Tensor.to` for the CPU, and the device that is meant."""
        source, *rest = args
        target = source.device
        if name in ("cpu", "cuda"):
            number = next(iter(rest), kwargs.pop("device", None))
            target = CPU if name == "cpu" else self.place(number or "cuda")
            return [source], target
        for place, value in enumerate(rest):
            if isinstance(value, torch.device | str | int):
                target = self.place(value)
                rest[place] = CPU
            elif isinstance(value, Tensor):
                target = value.device
        if kwargs.get("device") is not None:
            target = self.place(kwargs["device"])
            kwargs["device"] = CPU
        return [source, *rest], target

    def _make(self, func, name, args, kwargs):
        """Make a tensor of data, and count the copy where it lies elsewhere."""
        data = args[:1] if args and name != "new_tensor" else args[1:2]
        source = data[0] if data and isinstance(data[0], Tensor) else None
        before = CPU if source is None else source.device
        target = before if name != "new_tensor" else args[0].device
        if kwargs.get("device") is not None:
            target = self.place(kwargs["device"])
            kwargs["device"] = CPU if target.type == "cuda" else target
        for tensor in tensors_in(data if source is None else ()):
            if tensor.is_cuda:
                self._read(name)  # a list of tensors is read one by one

        result = func(*args, **kwargs)
        if target == before:
            return result if result is source else put_on(result, target)
        self._copy(name, before, target)
        if source is not None and share_memory(result, source):
            result = result.clone()
        return self._allocate(put_on(result, target))

    def _allocate(self, tensor):
        """Refuse a tensor that exceeds the memory of a device."""
        size = tensor.untyped_storage().nbytes()
        if tensor.is_cuda and size > self.memory:
            raise torch.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {size / 2**20:.2f} MiB."
            )
        return tensor

    def _read(self, name):
        self._refuse_in_capture(name)
        self.reads[_asked_for(name)] += 1

    def _copy(self, name, source, target):
        if CPU in (source, target):
            self._refuse_in_capture(name)
        counter = self.reads if target == CPU else self.copies
        counter[_asked_for(f"{name} from {source} to {target}")] += 1

    def _refuse_in_capture(self, name):
        if self.capture is not None:
            self._refuse(name, "operation not permitted when stream is capturing")

    def _refuse(self, name, text):
        self.problems[_asked_for(name)] += 1
        raise RuntimeError(text)


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


def _asked_for(what):
    """Return the line of the package that is at work, and what it asks for."""
    frame = sys._getframe(2)
    while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    if frame is None:
        return f"elsewhere {what}"
    file = frame.f_code.co_filename.removeprefix(PACKAGE).lstrip("/\\")
    return f"{file}:{frame.f_lineno} {frame.f_code.co_name}: {what}"


def _depends_on_mask(name, args):
    """Return whether the size of a part is known once the host has read an index."""
    if name not in INDEXING:
        return False
    indices = [one for one in tensors_in(args[1]) if one.is_cuda]
    # A number for all places of a mask needs no places.
    if name == "__setitem__" and not any(one.dim() for one in tensors_in(args[2:])):
        return False
    return any(one.dtype == torch.bool or not one.dim() for one in indices)


def _mixed(devices, name):
    found = " and ".join(sorted({str(device) for device in devices}, reverse=True))
    return (
        "Expected all tensors to be on the same device, but found at least two "
        f"devices, {found}! (in {name})"
    )


def _round(tensor, name, operands):
    """Change the last bits of a tensor, but for whole numbers, exact everywhere."""
    if not tensor.is_floating_point() or tensor.requires_grad or not tensor.numel():
        return
    seed = zlib.crc32(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
    generator = HOST_GENERATOR().manual_seed(seed)
    steps = torch.randint(-1, 2, tensor.shape, generator=generator)

    # A mean of whole numbers is their exact sum, divided once.
    n_summed = operands[0].numel() / tensor.numel() if name == "mean" else 1
    sums = on_host(tensor).double() * n_summed
    steps = steps.where((sums - sums.round()).abs() > 1e-12 * sums.abs(), 0)
    tensor.mul_(1 + steps.to(tensor.dtype) * torch.finfo(tensor.dtype).eps)
