"""read_idx returns the array that was written, and refuses damaged files."""

import gzip
import os
import re
import runpy
import struct
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from skdigits.datasets import read_idx

FUZZ = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "fuzz.py"))
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
            "expected 12 bytes of data, for int16 of shape (2, 3), but found more",
        ),
        (WHOLE[:10], "expected an IDX file"),
        (b"", "found it to begin with 0x(nothing)"),
        (b"\0\1" + WHOLE[2:], "found it to begin with 0x00010b02"),
        (b"\0\0\7\1" + WHOLE[4:], "a type code (one of 0x08, 0x09"),
        (b"\x89PNG\r\n\x1a\n", "found it to begin with 0x89504e470d0a1a0a"),
        (
            zipped(WHOLE)[:-9],
            "expected a file that can be read and unpacked to its end",
        ),
        (zipped(WHOLE)[:-8] + b"\0" * 8, "but found: CRC check failed"),
        (zipped(WHOLE)[:3] + b"\4" + zipped(WHOLE)[4:11], "but found: Compressed file"),
        (zipped(WHOLE)[:10] + b"\7" + zipped(WHOLE)[11:], "but found: Error -3"),
        (zipped(WHOLE) + b"junk", "but found: Not a gzipped file"),
        (zipped(WHOLE[:-2]), "but found 10"),
        (zipped(WHOLE + b"\0"), "but found more"),
        (zipped(WHOLE[:9]), "found it to begin with 0x00000b0200000002"),
        (b"\0\0\x08\3" + b"\0" * 4 + b"\xff" * 8, "a shape that NumPy can make"),
        (b"\0\0\x08\x41" + b"\0\0\0\1" * 65 + b"7", "a shape that NumPy can make"),
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


def refusal(path):
    """The message of the error, and the most memory that was allocated before it."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=re.escape(str(path))) as error:
            read_idx(path)
        return str(error.value), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_bomb_is_not_inflated(tmp_path):
    """30 MB out of 30 kB, where 28 bytes are stated."""
    path = tmp_path / "bomb.gz"
    path.write_bytes(zipped(encode(np.zeros(28, "u1")) + bytes(30_000_000)))
    message, peak = refusal(path)
    assert "expected 28 bytes of data" in message
    assert peak < 1_000_000


@pytest.mark.parametrize("compress", [zipped, bytes], ids=["gzip", "plain"])
def test_a_stated_size_is_not_allocated(compress, tmp_path):
    path = tmp_path / "short"
    path.write_bytes(compress(struct.pack(">HBBI", 0, 8, 1, 2**32 - 1) + bytes(9)))
    message, peak = refusal(path)
    assert "expected 4294967295 bytes of data" in message
    assert "but found 9" in message
    assert peak < 3_000_000


def test_what_may_never_end_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in (("pipe", "a named pipe"), (".", "a folder")):
        with pytest.raises(ValueError, match=f"{path}: expected a regular .* {kind}"):
            read_idx(tmp_path / path if path == "pipe" else path)
    with pytest.raises(ValueError, match=f"{os.devnull}: .* but found a device"):
        read_idx(os.devnull)
    with pytest.raises(FileNotFoundError, match="nothing-there"):
        read_idx(tmp_path / "nothing-there")


def test_errors_while_reading_name_the_file(tmp_path, monkeypatch):
    def failing(*_):
        raise OSError(5, "Input/output error")

    path = tmp_path / "on-a-bad-disk"
    path.write_bytes(zipped(WHOLE))
    monkeypatch.setattr(gzip.GzipFile, "read", failing)
    with pytest.raises(ValueError, match=r"on-a-bad-disk: .*Input/output error"):
        read_idx(path)


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "whole").write_bytes(WHOLE)
    assert read_idx("~/whole").tolist() == [[0, 1, 2], [3, 4, 5]]


def test_mutated_files_give_what_is_in_them_or_are_named(tmp_path, rng):
    """``benchmarks/fuzz.py`` reads 100,000 of them."""
    files = FUZZ["idx_files"](2000, rng)
    check = FUZZ["check_idx"]
    counts = Counter(check(tmp_path / "mutated", content) for content in files)
    assert counts["arrays"] > 300
    assert counts["errors"] > 1000
