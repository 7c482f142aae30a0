"""Tensors and generators in the host's memory that say they are on CUDA."""

import zlib
from functools import cache

import torch
from torch import Tensor

CPU = torch.device("cpu")
HOST_GENERATOR = torch.Generator
CANNOT_CONVERT = (
    "can't convert {} device type tensor to numpy. Use Tensor.cpu() to copy the tensor "
    "to host memory first."
)


class CudaTensor(Tensor):
    """A tensor on a fake CUDA device; each device has a class of its own."""

    number = 0
    handler = None  # the `FakeCuda` in use, in whatever thread
    device = property(lambda self: torch.device("cuda", self.number))
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        """Compute as `FakeCuda` does; its mode is on in threads that it knows only."""
        if cls.handler is None:
            raise RuntimeError("CUDA error: the fake device is gone")
        return cls.handler.__torch_function__(func, types, args, kwargs)

    def get_device(self):
        """Return the number of the device."""
        return self.number

    def numpy(self, *args, **kwargs):
        """Refuse, as tensors on CUDA do."""
        raise TypeError(CANNOT_CONVERT.format(self.device))

    __array__ = numpy

    def __dlpack_device__(self):
        return 2, self.number

    def __reduce_ex__(self, protocol):
        return _loaded, (on_host(self).numpy().copy(), self.number)

    def __deepcopy__(self, memo):
        return put_on(on_host(self).clone(), self.device)


class CudaGenerator(torch.Generator):
    """A generator by device: of CUDA, it draws other numbers than the host's."""

    def __new__(cls, device="cpu"):
        """Return a generator of the host if that is the device."""
        found = torch.device(device)
        if found.type != "cuda":
            return HOST_GENERATOR(found)
        generator = super().__new__(cls, "cpu")
        generator.number = found.index or 0
        return generator

    def __init__(self, device="cpu"):
        """Do nothing: the generator has been made."""

    device = property(lambda self: torch.device("cuda", self.number))

    def manual_seed(self, seed):
        """Seed with another number than is given."""
        super().manual_seed((seed ^ 0x5DEECE66D) % 2**63)
        return self


@cache
def _class_of(number):
    """Return the class of the tensors on a CUDA device."""
    return type(f"CudaTensor{number}", (CudaTensor,), {"number": number})


def put_on(tensor, device):
    """Say of a plain tensor, in place, that it is on a device."""
    if device.type == "cuda" and type(tensor) is Tensor:
        tensor.__class__ = _class_of(device.index)
    return tensor


def on_host(tensor):
    """Return a tensor of the host that shares the memory of another one."""
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.detach().as_subclass(Tensor)


def _loaded(array, number):
    """Return a tensor that was pickled."""
    if CudaTensor.handler is None:
        raise RuntimeError(
            "Attempting to deserialize object on a CUDA device but "
            "torch.cuda.is_available() is False."
        )
    return put_on(torch.from_numpy(array), torch.device("cuda", number))


def tensors_in(value):
    """Yield the tensors in arguments or results."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors_in(each)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))


def share_memory(one, other):
    """Return whether two tensors have the same memory, of at least a number."""
    with torch._C.DisableTorchFunctionSubclass():
        pointers = {each.untyped_storage().data_ptr() for each in (one, other)}
    return one is other or (one.numel() > 0 and len(pointers) == 1)


def round_last_bits(tensor, name, operands):
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
