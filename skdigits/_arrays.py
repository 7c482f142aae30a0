"""The one crossing between arrays and tensors: device, dtype and namespace.

Arrays are NumPy's; under scikit-learn's array API dispatch they are those of X's own
namespace, on X's own device. Tensors are what the engine computes with.
"""

import math
import os
import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils._array_api import (
    _is_numpy_namespace,
    get_namespace_and_device,
    move_to,
    supported_float_dtypes,
)
from torch import Tensor

from skdigits.engine.types import Data

if hasattr(os, "register_at_fork"):
    # torch's threads do not come along into a forked child, which would wait for them.
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def input_dtypes(X: Any) -> list[Any]:
    """The dtypes in which X may stay, in the namespace of X; others become the first."""
    if isinstance(X, np.ndarray):  # told at once, as one row's prediction is soon made
        return [np.float64, np.float32, np.uint8]
    if isinstance(X, Tensor):
        _check_tensor(X)
    xp, _, device = get_namespace_and_device(X)
    floats = supported_float_dtypes(xp, device)
    dtypes = [dtype for dtype in (xp.float64, xp.float32) if dtype in floats] + [
        xp.uint8
    ]
    own = None  # where scikit-learn does not see it
    if hasattr(X, "columns"):
        own = _dtype_of_frame(X)
    elif isinstance(X, Tensor) and xp.float64 is not torch.float64:  # read as NumPy's
        own = getattr(np, str(X.dtype).removeprefix("torch."), None)
    if own is not None:
        dtypes.sort(key=lambda dtype: dtype != own)
    return dtypes


def _check_tensor(X: Tensor) -> None:
    """What scikit-learn sees to for arrays only."""
    if X.layout != torch.strided:
        raise TypeError(
            "Sparse data was passed for X, but dense data is required. Use '.to_dense()' to "
            "convert to a dense tensor."
        )
    if X.is_complex():
        raise ValueError(
            f"Complex data not supported: X is of dtype {X.dtype}. Pass X.real, say."
        )


def _dtype_of_frame(frame: Any) -> Any:
    """That of all columns, where scikit-learn does not see it, or None.

    It knows NumPy's dtypes only: not those of polars, nor those of pandas with room for NA.
    """
    names = {str(dtype).lower() for dtype in frame.dtypes}
    if names == {"float32"}:
        return np.float32
    if names == {"uint8"} and not pd.isna(np.asarray(frame)).any():
        return np.uint8  # which has no room for what is missing
    return None


def is_pixels(X: Any) -> bool:
    """Whether an array of any namespace is of dtype uint8."""
    return str(X.dtype).endswith("uint8")


def surely_finite(X: Any) -> bool:
    """Whether X is a NumPy array in one of `input_dtypes` that has a finite sum.

    Then all of it is. All threads take part, in a quarter of the time of scikit-learn's check.
    """
    if type(X) is not np.ndarray or X.dtype not in input_dtypes(X):
        return False
    return X.dtype == np.uint8 or math.isfinite(to_tensor(X, torch.device("cpu")).sum())


def training_device(device: str, X: Any) -> torch.device:
    """The device that the parameter ``device`` asks for.

    ``"auto"`` is that of a tensor X, else CUDA where there is one, else the CPU.

    Raises
    ------
    ValueError
        If ``device`` names none that torch has here.
    """
    if device == "auto":
        if isinstance(X, Tensor):
            return X.device
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = torch.cuda.device_count()
    try:
        wanted = torch.device(device)
    except RuntimeError:
        wanted = None
    if wanted is None or wanted.type not in ("cpu", "cuda"):
        raise ValueError(
            f"device={device!r} is none of 'auto', 'cpu', 'cuda', 'cuda:0', …"
        )
    if wanted.type == "cuda" and found <= (wanted.index or 0):
        raise ValueError(
            f"device={device!r}, but torch finds {found} CUDA devices here. Use "
            "device='auto', which takes a GPU where there is one and the CPU elsewhere."
        )
    return wanted


def prediction_device(device: str, X: Any) -> torch.device:
    """As `training_device`, but a device that is gone is replaced by the CPU.

    So a model that was fitted on a GPU still predicts where there is none.
    """
    try:
        return training_device(device, X)
    except ValueError as error:
        if not device.startswith("cuda"):
            raise
        warnings.warn(f"Computing on the CPU: {error}", UserWarning, stacklevel=4)
        return torch.device("cpu")


def to_numpy(array: Any) -> np.ndarray:
    """An array of any namespace, or a tensor, as NumPy's."""
    if isinstance(array, Tensor):
        return array.detach().cpu().numpy()
    if isinstance(array, np.ndarray):
        return array
    values: np.ndarray = move_to(array, xp=np, device="cpu")
    return values


def take_rows(array: Any, rows: np.ndarray) -> Any:
    """Some rows of an array, in its own namespace."""
    xp, _, device = get_namespace_and_device(array)
    return xp.take(array, xp.asarray(rows, device=device), axis=0)


def to_tensor(array: Any, device: torch.device) -> Tensor:
    """An array of any namespace on a device, sharing its memory where that is possible."""
    if isinstance(array, Tensor):
        return array.detach().to(device)
    array = to_numpy(array)
    if min(array.strides, default=0) < 0 or not array.flags.aligned:
        array = array.copy()  # as torch has neither steps back nor between two numbers
    if not array.flags.writeable:
        array = np.asarray(_WriteableView(array))
    tensor = torch.from_numpy(array)
    return tensor if device.type == "cpu" else tensor.to(device)


def to_data(X: Any, codes: Any, weight: Any | None, device: torch.device) -> Data:
    """Rows, their classes and weights on a device; weights in float64, whatever X is."""
    weights = None if weight is None else to_tensor(weight, device).double()
    return Data(to_tensor(X, device), to_tensor(codes, device), weights)


def compute_dtype(X: Tensor) -> torch.dtype:
    """The dtype to compute in: that of X, and float32 for pixels."""
    return X.dtype if X.is_floating_point() else torch.float32


def from_tensor(tensor: Tensor, like: Any) -> Any:
    """A tensor as an array of the namespace and on the device of ``like``."""
    if isinstance(like, np.ndarray):
        return to_numpy(tensor)
    xp, _, _ = get_namespace_and_device(like)
    if isinstance(like, Tensor) and not _is_numpy_namespace(xp):
        # A clone, as the engine's own tensors could not take part in anybody's autograd.
        return tensor.clone().to(like.device)
    return from_numpy(to_numpy(tensor), like)


def from_numpy(array: np.ndarray, like: Any) -> Any:
    """A NumPy array in the namespace and on the device of ``like``.

    Strings and objects, which no other namespace knows, stay NumPy's.
    """
    xp, _, device = get_namespace_and_device(like)
    if _is_numpy_namespace(xp) or array.dtype.kind not in "biuf":
        return array
    return xp.asarray(array, device=device)


class _WriteableView:
    """Read-only memory declared writeable, as torch warns of any other.

    No tensor made of it is ever written to.
    """

    def __init__(self, array: np.ndarray):
        self.owner = array
        self.__array_interface__ = {
            **array.__array_interface__,
            "data": (array.__array_interface__["data"][0], False),
        }
