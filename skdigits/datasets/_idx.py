"""Reader of IDX, the file format of MNIST."""

import gzip
import math
import os
import struct
import zlib
from io import BufferedReader
from pathlib import Path
from typing import TypeAlias

import numpy as np

from skdigits.datasets._files import check_regular, expanded

PIECE = 2**20
"""Bytes to read at once."""

Stream: TypeAlias = BufferedReader | gzip.GzipFile

# Type codes of the format, whose values are big-endian.
DTYPES: dict[int, np.dtype] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an IDX file, gzipped or not.

    IDX is the format of MNIST and of data sets modelled on MNIST, such as
    Fashion-MNIST.

    Parameters
    ----------
    path : str or path-like
        Path of the file; ``~`` stands for the home folder. The first bytes of the file,
        not its name, decide whether it is gzipped.

    Returns
    -------
    ndarray
        Array with the shape and dtype that the file states, in native byte order.

    Raises
    ------
    ValueError
        If the path is not a regular file (but a pipe or a device, for example), or if
        the file does not begin like an IDX file, has fewer or more bytes than its shape
        requires, or cannot be decompressed. The message names the file, what was
        expected and what was found.
    OSError
        If the file does not exist (FileNotFoundError) or may not be read
        (PermissionError).

    See Also
    --------
    load_mnist : Reads the four files of MNIST and checks their contents.
    read_image_folder : Reads image files.

    Notes
    -----
    An IDX file consists of two zero bytes, one byte for the type, one byte for the
    number of dimensions, the dimensions as big-endian 32-bit integers, and the values
    in C order [1]_.

    At most one byte more than the shape requires is read, however long the decompressed
    file is. So the size of the array limits the memory.

    References
    ----------
    .. [1] Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten
       digits", 1998.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from skdigits.datasets import read_idx
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "tiny-idx1-ubyte"
    >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    >>> read_idx(path)
    array([7, 8, 9], dtype=uint8)
    """
    path = expanded(path)
    check_regular(path)
    try:
        with open(path, "rb") as file:
            return _array(path, file)
    except (EOFError, struct.error, zlib.error) as error:
        raise ValueError(_unreadable(path, error)) from error
    except OSError as error:
        # The system's own errors, such as a missing permission, name the file already.
        if error.filename is not None:
            raise
        raise ValueError(_unreadable(path, error)) from error


def _array(path: Path, file: BufferedReader) -> np.ndarray:
    """Return the array in an open file."""
    zipped = file.peek(2)[:2] == b"\x1f\x8b"
    stream = gzip.GzipFile(fileobj=file) if zipped else file
    dtype, shape = _header(path, stream)
    native = dtype.newbyteorder("=")

    # One byte beyond the stated size tells whether there is more: a byte or gigabytes.
    size = math.prod(shape) * dtype.itemsize
    content = _read(path, stream, size + 1)
    if len(content) != size:
        found = "more" if len(content) > size else len(content)
        raise ValueError(
            f"{path}: expected {size} bytes of data, for {native} of shape {shape}, "
            f"but found {found}. The file is damaged: fetch it again."
        )

    # A bytearray, unlike bytes, makes a writeable array.
    values = np.frombuffer(content, dtype)
    if not dtype.isnative:
        values = values.byteswap(inplace=True).view(native)
    try:
        return values.reshape(shape)
    except ValueError as error:
        raise ValueError(
            f"{path}: expected a shape that NumPy can make, but found {shape} "
            f"({error}). The file is damaged: fetch it again."
        ) from error


def _header(path: Path, stream: Stream) -> tuple[np.dtype, tuple[int, ...]]:
    """Return the dtype and shape that the first bytes state."""
    found = stream.peek(8)[:8].hex() or "(nothing)"
    start = stream.read(4)
    known = len(start) == 4 and start[:2] == b"\0\0" and start[2] in DTYPES
    n_dims = start[3] if known else 0

    sizes = stream.read(4 * n_dims)
    if not known or len(sizes) < 4 * n_dims:
        codes = ", ".join(f"0x{code:02x}" for code in DTYPES)
        raise ValueError(
            f"{path}: expected an IDX file, with two zero bytes, a type code (one of "
            f"{codes}), a number of dimensions and their sizes, but found it to begin "
            f"with 0x{found}. Pass the path of an IDX file."
        )
    return DTYPES[start[2]], struct.unpack(f">{n_dims}I", sizes)


def _read(path: Path, stream: Stream, size: int) -> bytearray:
    """Read up to ``size`` bytes, in pieces: memory grows with what is really there."""
    content = bytearray()
    try:
        while piece := stream.read(min(PIECE, size - len(content))):
            content += piece
    except MemoryError as error:
        raise MemoryError(
            f"{path}: its {size - 1} bytes of data do not fit into memory."
        ) from error
    return content


def _unreadable(path: Path, error: Exception) -> str:
    """Return the message that names the file, for an error that does not."""
    return (
        f"{path}: expected a file that can be read and unpacked to its end, but found: "
        f"{error}. The file is damaged: fetch it again."
    )
