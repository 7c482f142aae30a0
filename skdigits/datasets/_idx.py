"""Reader of IDX, the file format of MNIST."""

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np

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

    MNIST comes in this format, and so do data sets modelled on it, such as
    Fashion-MNIST.

    Parameters
    ----------
    path : str or path-like
        The file. Its first bytes, not its name, tell whether it is gzipped.

    Returns
    -------
    ndarray
        The whole array, in the shape and dtype that the file states and in native byte
        order.

    Raises
    ------
    ValueError
        If the file does not begin like an IDX file, holds fewer or more bytes than its
        shape requires, or cannot be unpacked. The message names the file and says what
        was expected and found.

    See Also
    --------
    load_mnist : Reads the four files of MNIST and checks their contents.
    read_image_folder : Reads image files.

    Notes
    -----
    An IDX file consists of two zero bytes, one byte for the type, one for the number of
    dimensions, the dimensions as big-endian 32-bit integers, and the values in C order
    [1]_.

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
    path = Path(path)
    content = _decompressed(path)
    dtype, shape = _header(path, content)
    native = dtype.newbyteorder("=")

    start = 4 + 4 * len(shape)
    size = math.prod(shape) * dtype.itemsize
    found = len(content) - start
    if found != size:
        raise ValueError(
            f"{path}: expected {size} bytes of data, for {native} of shape {shape}, "
            f"but found {found}. The file is damaged: fetch it again."
        )

    # The copy is also writeable, unlike an array of the bytes.
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(native)


def _decompressed(path: Path) -> bytes:
    """Return the contents of a file, unpacked if it is gzipped."""
    content = path.read_bytes()
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"{path}: expected a whole gzip file, but it cannot be unpacked ({error}). "
            "The file is damaged: fetch it again."
        ) from error


def _header(path: Path, content: bytes) -> tuple[np.dtype, tuple[int, ...]]:
    """Return the dtype and shape that the first bytes state."""
    known = len(content) >= 4 and content[:2] == b"\0\0" and content[2] in DTYPES
    n_dims = content[3] if known else 0
    if not known or len(content) < 4 + 4 * n_dims:
        codes = ", ".join(f"0x{code:02x}" for code in DTYPES)
        beginning = content[:8].hex() or "(nothing)"
        raise ValueError(
            f"{path}: expected an IDX file, with two zero bytes, a type code (one of "
            f"{codes}), a number of dimensions and their sizes, but found it to begin "
            f"with 0x{beginning}. Pass the path of an IDX file."
        )

    shape = np.frombuffer(content, ">u4", count=n_dims, offset=4)
    return DTYPES[content[2]], tuple(int(size) for size in shape)
