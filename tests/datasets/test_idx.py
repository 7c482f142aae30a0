"""read_idx returns the array that was written, and refuses damaged files."""

import gzip
import re
import struct

import numpy as np
import pytest

from skdigits.datasets import read_idx

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def encode(array):
    code = CODES[array.dtype.str[1:]]
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + np.asarray(array, array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (0, 5)])
@pytest.mark.parametrize("compress", [gzip.compress, bytes], ids=["gzip", "plain"])
def test_round_trip(dtype, shape, compress, tmp_path, rng):
    array = np.asarray(100 * rng.normal(size=shape)).astype(dtype)
    path = tmp_path / "any-name"
    path.write_bytes(compress(encode(array)))

    found = read_idx(path)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype
    assert found.dtype.isnative
    assert found.flags.writeable


WHOLE = encode(np.arange(6, dtype="i2").reshape(2, 3))


def zipped(content):
    """gzip without the time of day, as test workers must collect equal parameters."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            WHOLE[:-1],
            "expected 12 bytes of data, for int16 of shape (2, 3), but found 11",
        ),
        (
            WHOLE + b"\0",
            "expected 12 bytes of data, for int16 of shape (2, 3), but found 13",
        ),
        (WHOLE[:10], "expected an IDX file"),
        (b"", "found it to begin with 0x(nothing)"),
        (b"\0\1" + WHOLE[2:], "found it to begin with 0x00010b02"),
        (b"\0\0\7\1" + WHOLE[4:], "a type code (one of 0x08, 0x09"),
        (b"\x89PNG\r\n\x1a\n", "found it to begin with 0x89504e470d0a1a0a"),
        (zipped(WHOLE)[:-9], "expected a whole gzip file"),
        (zipped(WHOLE)[:-8] + b"\0" * 8, "expected a whole gzip file"),
        (zipped(WHOLE[:-2]), "but found 10"),
    ],
)
def test_a_damaged_file_is_named_with_what_was_expected_and_found(
    content, message, tmp_path
):
    path = tmp_path / "damaged"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        read_idx(path)
    assert str(path) in str(error.value)
