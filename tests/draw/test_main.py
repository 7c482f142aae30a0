"""``python -m skdigits.draw``: files, options and the demo."""

import re
import socket
import subprocess
import sys
import urllib.request
import zipfile

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline

from skdigits import SoftmaxRegression, TemplateMatchingClassifier
from skdigits.draw import _demo, page
from skdigits.draw.__main__ import load, main
from skdigits.preprocessing import DigitNormalizer


@pytest.fixture(scope="module")
def model(digits):
    X, y = digits
    softmax = SoftmaxRegression(max_iter=1, tol=None)
    return make_pipeline(DigitNormalizer(), softmax).fit(X, y)


@pytest.fixture(scope="module")
def folder(model, digits, tmp_path_factory):
    found = tmp_path_factory.mktemp("models")
    joblib.dump(model, found / "model.joblib")
    skops.io.dump(model, found / "model.skops")
    X, y = digits
    forest = RandomForestClassifier(3, random_state=0).fit(X, y)
    joblib.dump(forest, found / "forest.joblib")
    skops.io.dump(TemplateMatchingClassifier().fit(X, y), found / "templates.skops")
    (found / "damaged.joblib").write_bytes(b"\x80\x04damaged")
    (found / "damaged.skops").write_bytes(b"damaged")
    # Its types are known, but not what they are made of.
    with zipfile.ZipFile(found / "model.skops") as whole:
        files = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(found / "half.skops", "w") as half:
        half.writestr("schema.json", files["schema.json"])
    (found / "model.pkl").write_bytes(b"")
    (found / "empty.joblib").write_bytes(b"")
    joblib.dump({"a": 1}, found / "dict.joblib")
    joblib.dump(SoftmaxRegression(), found / "unfitted.joblib")
    return found


@pytest.mark.parametrize("name", ["model.joblib", "model.skops"])
def test_a_file_becomes_a_page(folder, model, tmp_path, capsys, name):
    file = tmp_path / "page.html"
    main([str(folder / name), "--html", str(file), "--title", "Ziffern"])
    assert file.read_text(encoding="utf-8") == page(model, title="Ziffern")
    assert capsys.readouterr().out == f"The page is {file}\n"


def test_models_are_compared(folder, model, digits, tmp_path):
    file = tmp_path / "page.html"
    other = str(folder / "templates.skops")
    main([str(folder / "model.skops"), "--compare", other, "--html", str(file)])
    templates = TemplateMatchingClassifier().fit(*digits)
    assert file.read_text(encoding="utf-8") == page(model, compare=templates)


ERRORS = {
    "pass either the file of a model or --demo": [],
    "pass either the file of a model": ["--demo", "{}/model.skops"],
    "--save needs the server": ["{}/model.skops", "--html", "{}/a", "--save", "b"],
    "--port needs the server": ["{}/model.skops", "--html", "{}/a", "--port", "0"],
    "--ink needs the server": ["{}/model.skops", "--html", "{}/a", "--ink", "1"],
    "--html is empty: pass the path of a file": ["{}/model.skops", "--html", ""],
    "--save is empty: pass the path of a folder": ["{}/model.skops", "--save", ""],
    "--html=.*/none/a' cannot be written: create the folder '.*/none'": [
        "--demo",
        "--html",
        "{}/none/a",
    ],
    "--html=.* is a folder: name a file in it": ["--demo", "--html", "{}"],
    "--html=.*pkl' is a file, and not a f": ["--demo", "--html", "{}/model.pkl/a"],
    "--save .*/a cannot be written: .*pkl' is": [
        "{}/model.skops",
        "--save",
        "{}/model.pkl/a",
    ],
    "error: .* is a folder: pass a file .skops or .joblib in it": ["{}"],
    "none.onnx: there is no such file": ["{}/none.onnx"],
    "The name of a model's file is empty": [""],
    r"empty.joblib: joblib cannot read it \(EOFError\). Save .*'empty.joblib'\)": [
        "{}/empty.joblib"
    ],
    "model must be a fitted classifier .* got dict": ["{}/dict.joblib"],
    "model=SoftmaxRegression is not fitted": ["{}/unfitted.joblib"],
    r"compare\[0\]=SoftmaxRegression is not fitted": [
        "{}/model.joblib",
        "--compare",
        "{}/unfitted.joblib",
    ],
    r"--save .*/model.pkl is no folder": ["{}/model.skops", "--save", "{}/model.pkl"],
    "--port: '65536' is none: expected a number from 1": ["--demo", "--port", "65536"],
    "--port: '-1' is none: expected a number from 1": ["--demo", "--port=-1"],
    "--port: '٣' is none: expected a number from 1": ["--demo", "--port", "٣"],
    r"title='\\udcff' has a character that UTF-8 cannot express": [
        "{}/model.skops",
        "--html",
        "{}/a",
        "--title",
        "\udcff",
    ],
    r"model\.pkl: expected a file \.skops or \.joblib": ["{}/model.pkl"],
    "none.skops: there is no such file": ["{}/none.skops"],
    "damaged.joblib: joblib cannot read it": ["{}/damaged.joblib"],
    "damaged.skops: skops cannot read it": ["{}/damaged.skops"],
    r"half.skops: skops cannot read it \(KeyError": ["{}/half.skops"],
    "A page cannot compute RandomForest": ["{}/forest.joblib", "--html", "{}/a"],
    "ink=None must be the number of full ink": ["{}/forest.joblib"],
    "--image-shape 3: expected HEIGHTxWIDTH": ["{}/model.skops", "--image-shape", "3"],
    "is that of 6 features": ["{}/templates.skops", "--image-shape", "2x3"],
}


@pytest.mark.parametrize("message", ERRORS)
def test_mistakes_end_with_a_message(folder, capsys, message):
    with pytest.raises(SystemExit, match="2"):
        main([one.format(folder) for one in ERRORS[message]])
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.search(message, last)
    assert not (folder / "a").exists()


def test_a_port_that_is_taken(folder, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(SystemExit, match="2"):
            main([str(folder / "model.skops"), "--port", port])
    message = f"--port {port}: .*in use.* Leave it out for a free port"
    assert re.search(message, capsys.readouterr().err)


def test_types_of_others_have_to_be_trusted(tmp_path, digits):
    X, y = digits
    forest = RandomForestClassifier(2, max_depth=2, random_state=0).fit(X, y)
    path = tmp_path / "forest.skops"
    skops.io.dump(make_pipeline(DigitNormalizer(), forest), path)
    others = [
        one for one in skops.io.get_untrusted_types(file=path) if "skd" not in one
    ]
    if others:
        with pytest.raises(ValueError, match=f"add --trust {re.escape(others[0])}"):
            load(str(path))
    loaded = load(str(path), others)
    np.testing.assert_array_equal(loaded[-1].predict(X), forest.predict(X))


def test_the_server_runs_until_it_is_told_to_stop(folder, tmp_path):
    command = [sys.executable, "-m", "skdigits.draw", str(folder / "model.skops")]
    command += ["--save", str(tmp_path / "drawings")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        url = re.search("http://127.0.0.1:.*/", process.stdout.readline())[0]
        with urllib.request.urlopen(url, timeout=60) as answer:
            content = answer.read().decode()
        process.terminate()
    assert '"save": true' in content
    assert '"server": true' in content
    assert list(tmp_path.iterdir()) == []


def test_the_demo_learns_without_mnist(monkeypatch, digits):
    """From the digits of scikit-learn; a few epochs are enough to see that it does."""
    monkeypatch.setattr(_demo, "has_mnist", lambda: False)
    monkeypatch.setitem(_demo.EPOCHS, "scikit-learn", 3)
    said = []
    convnet, templates = _demo.demo_models(said.append)
    assert said == [
        "Training a ConvNet on 1,797 digits of scikit-learn, for some seconds …"
    ]
    X, y = digits
    pages = 255 - (X * 255).astype(np.uint8).reshape(-1, 8, 8)
    assert convnet.score(pages[:300], y[:300]) > 0.9
    assert templates.score(pages[:300], y[:300]) > 0.8
    assert len(page(convnet, compare=templates)) < 400 * 1024


@pytest.mark.mnist
def test_the_demo_prefers_mnist(monkeypatch):
    monkeypatch.setattr(_demo, "N_DIGITS", 600)
    monkeypatch.setitem(_demo.EPOCHS, "MNIST", 1)
    said = []
    convnet, _ = _demo.demo_models(said.append)
    assert "600 digits of MNIST" in said[0]
    assert convnet[-1].image_shape_ == (28, 28, 1)


def test_without_a_browser_the_address_is_enough(folder, tmp_path, capsys, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    file = tmp_path / "page.html"
    main([str(folder / "model.skops"), "--html", str(file), "--open"])
    assert f"No browser was found: open {file.as_uri()}" in capsys.readouterr().out
