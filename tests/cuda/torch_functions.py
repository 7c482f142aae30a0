"""Names of functions of torch, by what they do between host and device."""

import torch
from fake_tensors import tensors_in

# A CPU tensor without dimensions may be an operand beside one on CUDA.
TAKE_A_NUMBER = {
    *("add", "sub", "mul", "div", "true_divide", "floor_divide", "remainder", "fmod"),
    *("pow", "rsub", "atan2", "maximum", "minimum", "where", "fill", "masked_fill"),
    *("eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or"),
    *("bitwise_and", "bitwise_or"),
    *("radd", "rmul", "rtruediv", "rdiv", "rpow", "iadd", "isub", "imul", "itruediv"),
    *("truediv", "and", "or", "xor", "iand", "ior", "mod", "floordiv"),
}

# The host waits for their result, or for its size.
READ = {
    *("item", "tolist", "__bool__", "__float__", "__int__", "__index__"),
    *("__complex__", "__contains__", "__format__", "__repr__", "is_nonzero"),
    *("equal", "allclose", "nonzero", "argwhere", "masked_select", "bincount"),
    *("unique", "unique_consecutive", "_local_scalar_dense"),
}

# They make tensors of data, which may lie elsewhere.
MAKE = {"tensor", "as_tensor", "asarray", "new_tensor", "scalar_tensor"}

# Sums in another order, and functions that libraries compute differently.
ROUNDED = {
    *("sum", "mean", "std", "var", "norm", "vector_norm", "linalg_vector_norm"),
    *("bmm", "baddbmm", "addmm", "matmul", "mm", "conv2d", "cdist", "grad"),
    *("exp", "log", "sigmoid", "tanh", "logsigmoid", "normalize"),
    *("softmax", "log_softmax", "logsumexp"),
}

INDEXING = ("__getitem__", "__setitem__")


def bare(name):
    """Return the name of a function without what marks operators and "in place"."""
    return name.strip("_")


def is_in_place(name):
    """Return whether a function writes into its first argument."""
    operator = name.startswith("__i") and name not in ("__int__", "__index__")
    return operator or (name.endswith("_") and not name.endswith("__"))


def depends_on_mask(name, args):
    """Return whether the size of a part is known once the host has read an index."""
    if name not in INDEXING:
        return False
    indices = [one for one in tensors_in(args[1]) if one.is_cuda]
    # A number for all places of a mask needs no places.
    if name == "__setitem__" and not any(one.dim() for one in tensors_in(args[2:])):
        return False
    return any(one.dtype == torch.bool or not one.dim() for one in indices)


def mixed(devices, name):
    found = " and ".join(sorted({str(device) for device in devices}, reverse=True))
    return (
        "Expected all tensors to be on the same device, but found at least two "
        f"devices, {found}! (in {name})"
    )
