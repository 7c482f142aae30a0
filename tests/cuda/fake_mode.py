"""How functions of torch are called where tensors are on fake CUDA devices."""

import sys
import threading
from collections import Counter
from functools import partial
from pathlib import Path

import torch
from fake_tensors import CPU, put_on, round_last_bits, share_memory, tensors_in
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch_functions import (
    INDEXING,
    MAKE,
    READ,
    ROUNDED,
    TAKE_A_NUMBER,
    bare,
    depends_on_mask,
    is_in_place,
    mixed,
)

import skdigits

PACKAGE = str(Path(skdigits.__file__).parent)
PLACES_DIFFER = (
    "indices should be either on cpu or on the same device as the indexed tensor ({})"
)


class FakeMode(TorchFunctionMode):
    """Fake CUDA devices while the mode is on.

    Attributes
    ----------
    reads : Counter
        What the host has waited for: numbers, masks, copies to the host. The key is the
        line of the package that asks for it, and how: for example
        ``"engine/train.py:310 _epoch: cpu from cuda:0 to cpu"``.
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
        self.reads = Counter()
        self.copies = Counter()
        self.problems = Counter()
        self.graphs = []
        self.captures = []
        self.of_thread = threading.local()

    @property
    def current(self):
        """Number of this thread's current device."""
        return getattr(self.of_thread, "current", 0)

    @current.setter
    def current(self, value):
        self.of_thread.current = value

    @property
    def capture(self):
        """What this thread captures, if anything: others may go on meanwhile."""
        return getattr(self.of_thread, "capture", None)

    @capture.setter
    def capture(self, value):
        self.of_thread.capture = value

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
                round_last_bits(tensor, name, operands)
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
        if name in READ or depends_on_mask(name, args):
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
                self._refuse(name, mixed([target, value.device], name))
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
            self._refuse(name, mixed([one.device for one in operands], name))

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
        if not tensor.is_cuda or tensor.layout != torch.strided:
            return tensor
        size = tensor.untyped_storage().nbytes()
        if size > self.memory:
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


def _asked_for(what):
    """Return the line of the package that is at work, and what it asks for."""
    frame = sys._getframe(2)
    while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    if frame is None:
        return f"elsewhere {what}"
    file = frame.f_code.co_filename.removeprefix(PACKAGE).lstrip("/\\")
    return f"{file}:{frame.f_lineno} {frame.f_code.co_name}: {what}"
