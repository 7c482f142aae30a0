"""load_mnist from files and from OpenML, and with damaged or missing files."""

import gzip
import os
import re
import shutil
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

from skdigits.datasets import _mnist, load_mnist

FIRST_DIGITS = [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]


@pytest.fixture
def home(tmp_path):
    """A folder with copies of the real files in mnist/, for tests to change."""
    shutil.copytree(Path(os.environ["SKDIGITS_DATA"], "mnist"), tmp_path / "mnist")
    for path in [tmp_path / "mnist", *(tmp_path / "mnist").iterdir()]:
        path.chmod(0o755)
    return tmp_path


@pytest.mark.mnist
def test_contents():
    mnist = load_mnist()
    assert mnist.data.shape == (70_000, 784)
    assert mnist.data.dtype == np.uint8
    assert mnist.target[:10].tolist() == FIRST_DIGITS
    assert mnist.target.dtype == np.int64
    assert len(mnist.data[mnist.train]) == 60_000
    assert len(mnist.data[mnist.test]) == 10_000

    # Counts as published with the data set.
    counts = np.bincount(mnist.target[mnist.test])
    assert counts.tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert mnist.data[mnist.train].mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert mnist.frame is None
    assert "writers" in mnist.DESCR


@pytest.mark.mnist
def test_as_frame_and_as_pair():
    X, y = load_mnist(return_X_y=True, as_frame=True)
    frame = load_mnist(as_frame=True).frame
    assert isinstance(X, pd.DataFrame)
    assert X.columns[[0, -1]].tolist() == ["pixel1", "pixel784"]
    assert frame.shape == (70_000, 785)
    assert frame["class"].equals(y)


@pytest.mark.mnist
def test_files_unpacked_or_elsewhere(home, monkeypatch):
    expected = load_mnist(return_X_y=True)
    monkeypatch.delenv("SKDIGITS_DATA")

    for path in list((home / "mnist").glob("*.gz")):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()

    found = load_mnist(home, return_X_y=True)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.mnist
def test_a_wrong_checksum_is_an_error(home):
    path = home / "mnist" / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-1] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(
        ValueError, match="expected MNIST's values, of SHA-256"
    ) as error:
        load_mnist(home)
    assert str(path) in str(error.value)


@pytest.mark.mnist
def test_a_truncated_file_is_an_error(home):
    path = home / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ValueError, match=re.escape(str(path))):
        load_mnist(home)


@pytest.mark.mnist
def test_a_missing_file_is_an_error(home):
    (home / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="t10k-labels-idx1-ubyte"):
        load_mnist(home)


@pytest.mark.mnist
def test_openml_is_used_last_and_checked(tmp_path, monkeypatch):
    X, y = load_mnist(return_X_y=True)
    monkeypatch.delenv("SKDIGITS_DATA")
    calls = []

    def fetch(name, **options):
        calls.append((name, options))
        return Bunch(data=X.astype(np.int64), target=y.astype(str).astype(object))

    monkeypatch.setattr(_mnist, "fetch_openml", fetch)

    found = load_mnist(tmp_path, return_X_y=True)
    assert calls[0][0] == "mnist_784"
    assert calls[0][1]["data_home"] == tmp_path
    np.testing.assert_array_equal(found[0], X)
    np.testing.assert_array_equal(found[1], y)
    assert found[0].dtype == np.uint8

    monkeypatch.setattr(
        _mnist, "fetch_openml", lambda *_, **__: Bunch(data=X[::-1], target=y)
    )
    with pytest.raises(ValueError, match="OpenML, pixels: expected MNIST's values"):
        load_mnist(tmp_path)


def dotted(name):
    return name.replace("-idx", ".idx")


LAYOUTS = {
    "as the archives have it": ("", dotted),
    "MNIST/raw, as torchvision has it": ("MNIST/raw", str),
    "a folder a file": ("", lambda name: f"{name.removesuffix('.gz')}/{name}"),
    "a folder a dotted file": ("mnist", lambda n: f"{dotted(n)[:-3]}/{dotted(n)}"),
    "any names": ("mnist", lambda name: f"download {name[1:8]}.gz"),
}


@pytest.mark.mnist
@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_under_the_names_they_have(layout, home, tmp_path_factory, monkeypatch):
    monkeypatch.delenv("SKDIGITS_DATA")
    below, renamed = LAYOUTS[layout]
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for path in (home / "mnist").glob("*.gz"):
        target = elsewhere / below / renamed(path.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    # Another data set in files of the same sizes, as Fashion-MNIST is.
    (elsewhere / below / "a-labels-idx1-ubyte").write_bytes(
        bytes([0, 0, 8, 1, 0, 0, 39, 16]) + bytes(10_000)
    )
    mnist = load_mnist(elsewhere)
    assert mnist.data.shape == (70_000, 784)
    assert mnist.target[:10].tolist() == FIRST_DIGITS


@pytest.mark.mnist
def test_the_home_folder_is_found(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home.parent))
    monkeypatch.setenv("USERPROFILE", str(home.parent))
    monkeypatch.delenv("SKDIGITS_DATA")
    assert load_mnist(f"~/{home.name}").target[0] == 5
    monkeypatch.setenv("SKDIGITS_DATA", f"~/{home.name}")
    assert load_mnist().target[0] == 5


@pytest.mark.mnist
def test_the_folder_of_the_files_itself_will_do(home, monkeypatch):
    monkeypatch.delenv("SKDIGITS_DATA")
    assert load_mnist(home / "mnist").target[:10].tolist() == FIRST_DIGITS


@pytest.mark.parametrize("error", [URLError("no route"), EOFError("cut off")])
def test_without_files_and_network_the_cure_is_named(error, tmp_path, monkeypatch):
    def unreachable(*_, **__):
        raise error

    monkeypatch.setattr(_mnist, "fetch_openml", unreachable)
    monkeypatch.setenv("SKDIGITS_DATA", str(tmp_path / "mistyped"))
    with pytest.raises(
        OSError, match=r"OpenML cannot be reached .*SKDIGITS_DATA"
    ) as found:
        load_mnist(tmp_path)
    message = str(found.value)
    assert type(error).__name__ in message
    assert str(tmp_path / "mistyped" / "mnist") in message
    for name in _mnist.FILES:
        assert f"{name}.gz" in message
    assert f"into {tmp_path / 'mnist'}, or set" in message
