"""Reading IDX, the file format of MNIST."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

DTYPES = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}


def read_idx(path):
    """Read an IDX file, gzipped or not.

    MNIST comes in this format, and so do others made after it, such as Fashion-MNIST.

    Parameters
    ----------
    path : str or path-like
        The file. Whether it is gzipped is seen from its first bytes, not from its name.

    Returns
    -------
    ndarray
        The whole array, of the shape and type that the file states, in native byte order.

    Raises
    ------
    ValueError
        If the file does not begin as an IDX file does, or holds fewer or more bytes than
        its shape asks for, or its compression is damaged. Names the file, what was
        expected and what was found.

    See Also
    --------
    load_mnist : Reads the four files of MNIST, and sees to it that they are whole.
    read_image_folder : Reads image files.

    Notes
    -----
    An IDX file is: two zero bytes, one for the type, one for the number of dimensions,
    the dimensions as big-endian 32-bit integers, the values in C order [1]_.

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
    start, size = 4 + 4 * len(shape), math.prod(shape) * dtype.itemsize
    if len(content) - start != size:
        raise ValueError(
            f"{path}: expected {size} bytes of data, for {dtype.newbyteorder('=')} of shape "
            f"{shape}, but found {len(content) - start}. The file is damaged: fetch it again."
        )
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def _decompressed(path):
    content = path.read_bytes()
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"{path}: expected a whole gzip file, but found one that cannot be unpacked "
            f"({error}). The file is damaged: fetch it again."
        ) from error


def _header(path, content):
    """Type and shape as stated in the first bytes."""
    known = len(content) >= 4 and content[:2] == b"\0\0" and content[2] in DTYPES
    n_dims = content[3] if known else 0
    if not known or len(content) < 4 + 4 * n_dims:
        raise ValueError(
            f"{path}: expected an IDX file, with two zero bytes, a type code (one of "
            f"{', '.join(f'0x{code:02x}' for code in DTYPES)}), a number of dimensions and "
            f"their sizes, but found it to begin with 0x{content[:8].hex() or '(nothing)'}."
        )
    shape = np.frombuffer(content, ">u4", count=n_dims, offset=4)
    return DTYPES[content[2]], tuple(int(size) for size in shape)
