"""The only place where arrays become tensors, and tensors arrays.

Arrays are NumPy's; under scikit-learn's array API dispatch, they belong to the
namespace of X, on its device. Tensors are what the engine computes with. X may also be
a sparse matrix or array of SciPy, in CSR form, and sparse samples in the engine.
"""

import math
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, overload

import joblib
import numpy as np
import pandas as pd
import torch
from scipy.sparse import issparse
from sklearn import get_config
from sklearn.utils._array_api import (
    _is_numpy_namespace,
    get_namespace_and_device,
    move_to,
    supported_float_dtypes,
)
from torch import Tensor

from skdigits._allocator import is_trimmed, kept_memory
from skdigits._gpus import OWN
from skdigits.engine.batches import Data
from skdigits.engine.exactness import EXACT_PRECISIONS, exact_onednn, onednn
from skdigits.engine.network import Network
from skdigits.engine.sparse import Rows, SparseRows, join_rows
from skdigits.engine.types import Workers

if TYPE_CHECKING:
    from skdigits._input_checks import Samples


class Array(Protocol):
    """An array of NumPy or of the array API namespace of X, or sparse rows of SciPy."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> Any:
        """Data type, in the words of the array's own namespace."""

    def __len__(self) -> int:
        """Return the length of the first axis."""

    def __getitem__(self, key: Any) -> Any:
        """Return part of the array."""


class CompressedRows(Protocol):
    """A sparse matrix or array of SciPy in CSR form."""

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    shape: tuple[int, int]


# Multiplications until threads meet from which they gain; see benchmarks/threads.py.
# Threads of torch meet after each operation, which on a busy machine takes longer than
# a small step: only a step of milliseconds is large.
DEALT = 1e8
LARGE = 1e8  # in a step of a few operations
AHEAD = 2**18  # numbers of samples that another thread gathers ahead of steps
INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
UNSIGNED = INTEGERS - {"uint8", "int8", "int16", "int32", "int64"}
n_cores = cache(joblib.cpu_count)  # it knows the quota of a container
_users: dict[object, int] = {}  # the user's number of threads for each block in use
_lock = threading.Lock()


class _Here(threading.local):
    """How many threads large work may take in a block of this thread."""

    most = 0


_here = _Here()
_forked = False


def _remember_fork() -> None:
    """Leave what other threads of the parent hold, and what torch cannot do here."""
    global _forked, _lock
    _forked = True
    _lock = threading.Lock()
    _here.most = min(_here.most, 1)
    _users.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_remember_fork)


@contextmanager
def isolated(trains: bool = False) -> Iterator[None]:
    """Compute in one thread, without autocast and with an exact oneDNN.

    A context manager, and a decorator of methods. Results then depend on nothing that
    users have set in torch, and small operations do not wait for other threads, which
    takes milliseconds on a busy machine. `within_operations` allows more threads, and
    `side_by_side` yields threads that seldom wait. A block that ``trains`` keeps freed
    memory; to give it back would take half as long as the prediction of a sample.
    """
    outer = _here.most
    number = None
    block = object()
    try:
        try:
            with _lock:
                number = torch.get_num_threads()
                if not outer:
                    # A thread that first uses torch beside another block starts with 1.
                    if number == 1 and _users:
                        number = next(iter(_users.values()))
                    _users[block] = number
                    # The threads of torch do not come along into a forked child.
                    _here.most = 1 if _forked else min(number, n_cores())
                torch.set_num_threads(1)

            autocast = torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled(
                "cuda"
            )
            precisions = {onednn.matmul.fp32_precision, onednn.conv.fp32_precision}
            exact = not autocast and onednn.enabled and precisions <= EXACT_PRECISIONS
            with (
                nullcontext() if exact else _exact_settings(),
                kept_memory() if trains and is_trimmed else nullcontext(),
            ):
                yield
        finally:
            with _lock:
                torch.set_num_threads(number or torch.get_num_threads())
                _users.pop(block, None)
            _here.most = outer
    except KeyboardInterrupt:
        # It may have struck while the settings were put back.
        with _lock:
            torch.set_num_threads(number or torch.get_num_threads())
            _users.pop(block, None)
        _here.most = outer
        raise


@contextmanager
def one_thread() -> Iterator[None]:
    """Let large work in this block take no more threads than small work."""
    outer = _here.most
    _here.most = 1
    try:
        yield
    finally:
        _here.most = outer


@contextmanager
def _exact_settings() -> Iterator[None]:
    """Switch autocast off, and let oneDNN compute exactly."""
    with (
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
        exact_onednn(),
    ):
        yield


@contextmanager
def within_operations(work: float) -> Iterator[None]:
    """Let torch take all cores if its operations are large.

    Parameters
    ----------
    work : float
        Number of multiplications in a step of a few operations.
    """
    if work < LARGE or _here.most <= 1:
        yield
        return

    n_threads = torch.get_num_threads()
    torch.set_num_threads(_here.most)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _compute_alone() -> None:
    """Let torch compute in the calling thread alone."""
    # A thread takes the number of the process at its first use of torch, not later.
    torch.get_num_threads()
    torch.set_num_threads(1)


@contextmanager
def side_by_side(work: float, n_items: int) -> Iterator[Workers | None]:
    """Yield threads to deal work out to, each with one of torch; None if it is small.

    They wait for each other without spinning, and once for many operations: on a busy
    machine they lose little, other than those of torch.

    Parameters
    ----------
    work : float
        Number of multiplications between two meetings of the threads.
    n_items : int
        Most threads that find something to do.
    """
    number = min(_here.most, n_items)
    if work < DEALT or number <= 1:
        yield None
        return

    with ThreadPoolExecutor(number, initializer=_compute_alone) as pool:
        yield Workers(number, pool)


def deal_chunks(
    network: Network, X: Rows, n_models: int = 1
) -> AbstractContextManager[Workers | None]:
    """Return a context with threads that share the chunks of samples to evaluate."""
    n_chunks = 1
    size = network.chunk_samples(X.device)
    if X.device.type == "cpu" and len(X) > size:
        n_chunks = 4 * math.ceil(len(X) / size / 4)
    return side_by_side(n_models * network.n_products * len(X), n_chunks)


@contextmanager
def one_ahead() -> Iterator[Workers | None]:
    """Yield a thread that prepares what the calling one needs next, on another core."""
    if _here.most <= 1:
        yield None
        return

    with ThreadPoolExecutor(1, initializer=_compute_alone) as pool:
        yield Workers(1, pool)


def input_dtypes(X: Any, integers: bool = False) -> list[Any]:
    """Return the dtypes in which X may stay; any other becomes the first of them.

    With ``integers``, integers stay so, in a dtype that torch has arithmetic for.
    """
    # Most X are NumPy's: a single sample's prediction has no time to look further.
    if isinstance(X, np.ndarray) or issparse(X):
        if integers and X.dtype.kind in "iu" and X.dtype != np.uint8:
            return [_signed(X.dtype, X)]
        return [np.float64, np.float32, np.uint8]

    if isinstance(X, Tensor):
        _check_tensor(X)
    xp, _, device = get_namespace_and_device(X)
    floats = supported_float_dtypes(xp, device)
    dtypes = [dtype for dtype in (xp.float64, xp.float32) if dtype in floats]
    dtypes.append(xp.uint8)
    if integers:
        dtypes += [xp.int8, xp.int16, xp.int32, xp.int64]

    name = str(getattr(X, "dtype", "")).rpartition(".")[2]
    if hasattr(X, "columns"):
        name = _dtype_of_frame(X)
    if integers and name in UNSIGNED:
        name = _signed(np.dtype(name), X).name
    # scikit-learn would take the common dtype of int64 and uint64, which is float64.
    own = getattr(xp, name, None)
    return [own] if own is not None and own in dtypes else dtypes


def _signed(dtype: np.dtype, X: Any) -> np.dtype:
    """Return a signed dtype of NumPy for X of integers; float64 if none holds them.

    torch has no minimum of unsigned integers other than uint8.
    """
    if dtype.kind == "u" and dtype.itemsize == 8 and not _exceeds_int64(X):
        return np.dtype(np.int64)
    signed: np.dtype = np.promote_types(dtype, np.int8)
    return signed


def _exceeds_int64(X: Any) -> bool:
    """Return whether X of uint64, or a frame with columns of it, exceeds int64."""
    if isinstance(X, Tensor):
        # torch has no maximum of uint64; in int64, what exceeds it is negative.
        return bool((X.view(torch.int64) < 0).any())
    values = X
    if issparse(X):
        values = X.tocoo().data
    elif hasattr(X, "columns"):
        values = np.asarray(X.max())  # of each column, as rows may have no copy

    xp, _, _ = get_namespace_and_device(values)
    return 0 not in values.shape and bool(xp.max(values) >= 2**63)


def _check_tensor(X: Tensor) -> None:
    """Refuse tensors as scikit-learn refuses arrays of the same kind."""
    if X.layout != torch.strided:
        raise TypeError(
            f"X is a sparse tensor, of layout {X.layout}, which scikit-learn does not "
            "take: pass X.to_dense(), or a sparse array of SciPy."
        )
    if X.is_complex():
        raise ValueError(
            f"Complex data not supported: X is of dtype {X.dtype}. Pass X.real, for "
            "example."
        )


def refuse_cuda_tensors(**arguments: Any) -> None:
    """Raise an error for a tensor on a GPU that NumPy would be asked to read.

    Under array API dispatch, tensors stay on their device; lists of them never do.

    Raises
    ------
    TypeError
        If there is one; it is named as in ``arguments``.
    """
    dispatch = get_config()["array_api_dispatch"]
    for name, value in arguments.items():
        several = isinstance(value, list | tuple) and len(value) > 0
        first = value[0] if several else value
        if not isinstance(first, Tensor) or first.device.type == "cpu":
            continue

        if several:
            raise TypeError(
                f"{name} is a list of tensors on {first.device}, but arrays or "
                "tensors in the host's memory are expected: pass "
                f"torch.stack(tuple({name})).cpu()."
            )
        if not dispatch:
            raise TypeError(
                f"{name} is a tensor on {first.device}, but arrays or tensors in the "
                "host's memory are expected without array API dispatch: pass "
                f"{name}.cpu(). Or start Python with SCIPY_ARRAY_API=1 in its "
                "environment, and fit and predict within "
                "sklearn.config_context(array_api_dispatch=True)."
            )


def _dtype_of_frame(frame: Any) -> str:
    """Return the common dtype of all columns if scikit-learn overlooks it, else "".

    scikit-learn knows the dtypes of NumPy only, neither those of polars nor the
    nullable ones of pandas.
    """
    sparse = hasattr(frame, "sparse")  # a frame of pandas, with sparse columns only
    dtypes = [dtype.subtype if sparse else dtype for dtype in frame.dtypes]
    of_numpy = all(isinstance(dtype, np.dtype) for dtype in dtypes)
    names = {
        str(dtype.newbyteorder("=") if isinstance(dtype, np.dtype) else dtype).lower()
        for dtype in dtypes
    }
    if names == {"float32"}:
        return "float32"
    # NumPy's integers have no value for missing entries.
    if not names or not names <= INTEGERS or (not of_numpy and _has_missing(frame)):
        return ""
    return "uint64" if "uint64" in names else str(np.result_type(*names))


def _has_missing(frame: Any) -> bool:
    return bool(pd.isna(np.asarray(frame)).any())


def cast(X: Array, dtype: str) -> Array:
    """Return an array of any namespace in another dtype, with rows in one piece."""
    if isinstance(X, np.ndarray):
        # Frames give columns in one piece, of which rows are slow to gather.
        return X.astype(dtype, order="C")
    if issparse(X):
        values: Any = X
        converted: Array = values.astype(dtype)
        return converted

    xp: Any
    xp, _, _ = get_namespace_and_device(X)
    changed: Array = xp.astype(X, getattr(xp, dtype))
    return changed


def surely_finite(X: object) -> bool:
    """Return whether X is a NumPy array in one of `input_dtypes` with a finite sum.

    A sum by all threads takes a quarter of the time of scikit-learn's check.
    """
    if type(X) is not np.ndarray or X.dtype not in input_dtypes(X):
        return False
    if X.dtype == np.uint8:
        return True
    # Memory bounds a sum, and not arithmetic: a number counts for several.
    with within_operations(4 * X.size):
        return math.isfinite(to_tensor(X, torch.device("cpu")).sum())


def training_device(device: str | torch.device, X: object) -> torch.device:
    """Return the device for the parameter ``device``; one of CUDA has its number.

    ``"auto"`` is the device of a tensor X, else CUDA if there is any, else the CPU.

    Raises
    ------
    ValueError
        If torch has no such device here.
    """
    if device == "auto":
        if isinstance(X, Tensor):
            return X.device
        device = "cuda" if torch.cuda.is_available() else "cpu"

    try:
        wanted = torch.device(device)
    except RuntimeError:
        wanted = None
    if wanted is None or wanted.type not in ("cpu", "cuda"):
        raise ValueError(
            f"device={device!r} is none of 'auto', 'cpu', 'cuda', 'cuda:0', …"
        )

    found = torch.cuda.device_count()
    if wanted.type == "cuda" and found <= (wanted.index or 0):
        raise ValueError(
            f"device={device!r}, but torch finds {found} CUDA devices here. Use "
            "device='auto', which takes a GPU if there is one and the CPU otherwise."
        )
    if wanted.type == "cuda" and wanted.index is None:
        number = OWN.get()
        # Asking torch would start CUDA, which then fails in forked children.
        if number is None and torch.cuda.is_initialized():
            number = torch.cuda.current_device()
        return torch.device("cuda", number or 0)
    return wanted


def to_numpy(array: Any) -> np.ndarray:
    """Return an array of any namespace, or a tensor, as NumPy's."""
    if isinstance(array, Tensor):
        return array.detach().cpu().numpy()
    if isinstance(array, np.ndarray):
        return array

    values: np.ndarray = move_to(array, xp=np, device="cpu")
    return values


def take_samples(array: Array, samples: np.ndarray) -> Array:
    """Return some samples of an array, in its own namespace; sparse ones stay so."""
    if issparse(array):
        rows: Array = array[samples]
        return rows
    xp, _, device = get_namespace_and_device(array)
    taken: Array = xp.take(array, xp.asarray(samples, device=device), axis=0)
    return taken


def take_features(array: Array, features: np.ndarray) -> Array:
    """Return some features of samples, in their own namespace; sparse ones stay so."""
    if issparse(array):
        columns: Array = array[:, features]
        return columns
    xp, _, device = get_namespace_and_device(array)
    taken: Array = xp.take(array, xp.asarray(features, device=device), axis=1)
    return taken


@overload
def to_tensor(array: CompressedRows, device: torch.device) -> SparseRows: ...


@overload
def to_tensor(array: Any, device: torch.device) -> Tensor: ...


def to_tensor(array: Any, device: torch.device) -> Rows:
    """Return an array of any namespace as a tensor, sharing its memory if possible.

    Sparse rows of SciPy become those of the engine, which take the place of a tensor.
    """
    if isinstance(array, Tensor):
        return array.detach().to(device)

    if not isinstance(array, np.ndarray):
        if issparse(array):
            parts = (array.indptr, array.indices, array.data)
            bounds, columns, values = (to_tensor(part, device) for part in parts)
            return SparseRows(bounds.long(), columns, values, array.shape[1])
        array = to_numpy(array)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if min(array.strides, default=0) < 0 or not array.flags.aligned:
        array = array.copy()  # torch has neither negative strides nor odd addresses
    if not array.flags.writeable:
        array = np.asarray(_WriteableView(array))
    tensor = torch.from_numpy(array)
    return tensor if device.type == "cpu" else tensor.to(device)


def to_torch(samples: "Sequence[Samples]", device: torch.device) -> Data:
    """Return samples as tensors on a device, one after the other.

    Weights are float64, whatever X is: float32 has no room for weights of any size.
    """
    X = [to_tensor(one.X, device) for one in samples]
    codes = [to_tensor(one.codes, device) for one in samples]
    weights = [
        to_tensor(one.weight, device).double()
        for one in samples
        if one.weight is not None
    ]
    # torch.cat would copy a single one.
    if len(samples) == 1:
        return Data(X[0], codes[0], weights[0] if weights else None)
    return Data(join_rows(X), torch.cat(codes), torch.cat(weights) if weights else None)


def compute_dtype(X: Rows) -> torch.dtype:
    """Return the dtype to compute in: that of X, and float32 for pixels."""
    return X.dtype if X.is_floating_point() else torch.float32


def from_tensor(tensor: Tensor, X: Array) -> Array:
    """Return a tensor as an array of the namespace and on the device of X."""
    if isinstance(X, np.ndarray):
        return to_numpy(tensor)

    xp, _, _ = get_namespace_and_device(X)
    if isinstance(X, Tensor) and not _is_numpy_namespace(xp):
        # A clone, as the engine's own tensors could not take part in autograd.
        cloned: Array = tensor.clone().to(X.device)
        return cloned
    return from_numpy(to_numpy(tensor), X)


def from_numpy(array: np.ndarray, X: Array) -> Array:
    """Return a NumPy array in the namespace and on the device of X.

    Strings and objects, which no other namespace has, stay NumPy's.
    """
    xp, _, device = get_namespace_and_device(X)
    if _is_numpy_namespace(xp) or array.dtype.kind not in "biuf":
        return array

    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    moved: Array = xp.asarray(native, device=device)
    return moved


class _WriteableView:
    """Read-only memory declared writeable, as torch warns of any other.

    No tensor made of it is ever written to.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.owner = array
        self.__array_interface__ = {
            **array.__array_interface__,
            "data": (array.__array_interface__["data"][0], False),
        }
