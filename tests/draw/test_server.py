"""The server: whom it answers, what it predicts, and where it writes."""

import contextlib
import http.client
import json
import socket
import threading

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from skdigits import SoftmaxRegression, TemplateMatchingClassifier
from skdigits.datasets import read_image_folder
from skdigits.draw._drawings import Drawings, png
from skdigits.draw._reader import SIDE, Reader
from skdigits.draw._server import DrawServer
from skdigits.preprocessing import Deskew, DigitNormalizer


@pytest.fixture(scope="module")
def pixels(digits):
    X, y = digits
    return (X * 255).astype(np.uint8), y


@pytest.fixture(scope="module")
def model(pixels):
    X, y = pixels
    normalised = make_pipeline(DigitNormalizer(), TemplateMatchingClassifier())
    return normalised.fit(X.reshape(-1, 8, 8), y)


@pytest.fixture(scope="module")
def drawing():
    """A thick seven, bright on black."""
    found = np.zeros((SIDE, SIDE), np.uint8)
    found[80:110, 120:300] = 255
    for n in range(260):
        found[100 + n, 270 - n // 2 : 300 - n // 2] = 255
    return found


@pytest.fixture
def serve(tmp_path):
    """Start a server of models; all that is written is in a folder of its own."""
    running = []

    def start(*models, save=False):
        readers = [Reader(one) for one in models]
        drawings = None
        if save:
            drawings = Drawings(tmp_path / "drawings", readers[0].classes)
        server = DrawServer(readers, drawings=drawings)
        thread = threading.Thread(target=server.serve)
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.stop()
        thread.join()
        server.server_close()


def ask(server, method, place, body=None, **headers):
    """Return status, type and content of an answer."""
    path = place if place.startswith("/") else f"/{server.token}/{place}"
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, names)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers["Content-Type"], content


def test_the_page_comes_from_the_address_that_is_printed(serve, model):
    server = serve(model)
    assert server.url.startswith(f"http://127.0.0.1:{server.server_port}/")
    assert server.socket.getsockname()[0] == "127.0.0.1"
    status, kind, content = ask(server, "GET", "")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert b"connect-src 'self'" in content
    assert len({serve(model).token for _ in range(3)}) == 3
    assert len(server.token) >= 20


def test_predictions_are_the_model_s(serve, model, pixels, drawing):
    X, y = pixels
    forest = RandomForestClassifier(5, random_state=0)
    behind = make_pipeline(DigitNormalizer(), Deskew(), PCA(9), forest)
    behind.fit(X.reshape(-1, 8, 8), y)
    server = serve(model)
    server.readers.append(Reader(behind, ink=255))
    status, _, content = ask(server, "POST", "predict", drawing.tobytes())
    assert status == 200
    for one, found in zip([model, behind], json.loads(content), strict=True):
        expected = one.predict_proba(drawing[np.newaxis])[0]
        np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
        assert one.classes_[found["label"]] == one.predict(drawing[np.newaxis])[0]


REFUSED = {
    "a foreign Host": ("GET", "", {"Host": "evil.example"}, 403),
    "a foreign Host with the port": ("POST", "predict", {"Host": "a:{port}"}, 403),
    "a foreign Origin": ("POST", "predict", {"Origin": "http://evil.example"}, 403),
    "no Origin": ("POST", "predict", {"Origin": "null"}, 403),
    "a wrong token": ("GET", "/x/", {}, 404),
    "a token that is too long": ("GET", "/{token}x/", {}, 404),
    "no token": ("GET", "/", {}, 404),
    "signs that are no ASCII": ("GET", "/%ff\u00e9/", {}, 404),
    "another place": ("GET", "page.js", {}, 404),
    "a way out": ("GET", "/{token}/../etc/passwd", {}, 404),
    "another method": ("PUT", "predict", {}, 501),
    "no length": ("POST", "predict", {"Transfer-Encoding": "chunked"}, 411),
    "a length of words": ("POST", "predict", {"Content-Length": "+12"}, 400),
    "a negative length": ("POST", "predict", {"Content-Length": "-1"}, 400),
    "an endless length": ("POST", "predict", {"Content-Length": "9" * 5000}, 413),
}


def raw(server, text, more=b""):
    """Send bytes as they are; return the whole answer."""
    address = ("127.0.0.1", server.server_port)
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(text.encode("latin-1") + more)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        # The rest of what was refused may reset the connection.
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)


@pytest.mark.parametrize("name", REFUSED)
def test_a_plain_error_for(serve, model, name):
    server = serve(model, save=True)
    method, place, headers, status = REFUSED[name]
    place = place if place.startswith("/") else f"/{{token}}/{place}"
    known = {"token": server.token, "port": server.server_port}
    headers = {"Host": server.hosts[0]} | headers
    lines = [f"{method} {place} HTTP/1.1", *map(": ".join, headers.items()), "", ""]
    answer = raw(server, "\r\n".join(lines).format(**known))

    head, _, reason = answer.decode().partition("\r\n\r\n")
    assert int(head.split()[1]) == status
    assert "text/plain" in head
    assert 5 < len(reason) < 200
    assert "<" not in reason
    assert server.token not in answer.decode()
    assert not server.drawings.folder.exists()


@pytest.mark.parametrize("port", ["127.0.0.1", "localhost"])
def test_both_names_of_this_machine_are_known(serve, model, port):
    server = serve(model)
    host = f"{port}:{server.server_port}"
    assert ask(server, "GET", "", Host=host, Origin=f"http://{host}")[0] == 200


@pytest.mark.parametrize("content", [b"", b"x" * 99, b"\0" * SIDE**2])
@pytest.mark.parametrize("place", ["predict", "save?class=0"])
def test_bodies_that_are_no_drawing(serve, model, place, content):
    server = serve(model, save=True)
    status, kind, reason = ask(server, "POST", place, content)
    assert (status, kind) == (400, "text/plain; charset=utf-8")
    assert b"A drawing has 420 x 420 bytes" in reason or b"is empty" in reason
    assert not server.drawings.folder.exists()


def test_a_body_that_is_too_long_is_not_kept(serve, model):
    server = serve(model)
    for length in (SIDE**2 + 1, 5_000_000):
        status, _, reason = ask(server, "POST", "predict", b"x" * length)
        assert status == 413
        assert reason == b"The body is longer than 176400 bytes.\n"


@pytest.mark.parametrize(
    "garbage", ["\x16\x03\x01\x02", "GET\r\n\r\n", "\r\n" * 9, "x" * 70_000]
)
def test_garbage_does_not_stop_the_server(serve, model, garbage):
    server = serve(model)
    answer = raw(server, garbage)
    assert b"<" not in answer
    assert ask(server, "GET", "")[0] == 200


def test_a_silent_connection_keeps_nobody_waiting(serve, model):
    """As browsers open them in advance; the first one is older than the request."""
    server = serve(model)
    address = ("127.0.0.1", server.server_port)
    silent = [socket.create_connection(address) for _ in range(40)]
    assert ask(server, "GET", "")[0] == 200
    silent[-1].sendall(f"GET /{server.token}/ HTTP/1.0\r\n".encode())
    silent[-1].sendall(f"Host: {server.hosts[0]}\r\n\r\n".encode())
    assert silent[-1].recv(12) == b"HTTP/1.0 200"
    for one in silent:
        one.close()


def test_errors_of_the_model_are_told(serve, pixels, drawing):
    X, y = pixels
    model = TemplateMatchingClassifier().fit(X, y)
    server = serve(model)
    model.temperature_ = 1e-300
    status, kind, reason = ask(server, "POST", "predict", drawing.tobytes())
    assert (status, kind) == (400, "text/plain; charset=utf-8")
    assert b"is too small" in reason
    del model.templates_
    status, _, reason = ask(server, "POST", "predict", drawing.tobytes())
    assert status == 500
    assert b"AttributeError" in reason


# Drawings.

QUERIES = ["", "?class=10", "?class=-1", "?class=../0", "?class=7&class=7"]
QUERIES += ["?class=0000000000", "?class=%D9%A3", "?class=7%00"]
LABELS = ["../x", "a/b", "a\\b", ".", "..", "", ".hidden", "a ", "a.", "\0", "a\n"]
LABELS += ["con", "LPT1.txt", "COM¹", "con .a", "CONIN$", "x" * 256, "C:", "\ud800"]


def test_drawings_are_filed_for_training(serve, model, drawing, tmp_path):
    server = serve(model, save=True)
    other = np.roll(drawing, 20, axis=1)
    for place, one in [(7, drawing), (7, other), (0, drawing)]:
        answer = ask(server, "POST", f"save?class={place}", one.tobytes())
        assert answer[:2] == (200, "application/json")
    found = read_image_folder(tmp_path / "drawings")
    assert found.target.tolist() == [0, 7, 7]
    assert found.image_shape == (SIDE, SIDE)
    np.testing.assert_array_equal(found.data[1].reshape(SIDE, SIDE), drawing)
    np.testing.assert_array_equal(found.data[2].reshape(SIDE, SIDE), other)
    written = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    names = [str(path.relative_to(tmp_path / "drawings")) for path in written]
    assert names == ["0/1.png", "7/1.png", "7/2.png"]


def test_a_model_of_rows_gets_rows_to_learn_from(serve, pixels, drawing, tmp_path):
    X, y = pixels
    model = SoftmaxRegression(max_iter=2, tol=None, random_state=0).fit(X, y)
    server = serve(model, save=True)
    assert ask(server, "POST", "save?class=7", drawing.tobytes())[0] == 200
    found = read_image_folder(tmp_path / "drawings")
    expected = DigitNormalizer(size=8, digit_size=6).transform(drawing[np.newaxis])
    np.testing.assert_array_equal(found.data, expected)
    before = model.predict_proba(found.data)[0, 7]
    model.partial_fit(found.data, found.target)
    assert model.predict_proba(found.data)[0, 7] > before


@pytest.mark.parametrize("query", QUERIES)
def test_nothing_is_written_for_another_class(serve, model, drawing, tmp_path, query):
    server = serve(model, save=True)
    status, _, reason = ask(server, "POST", f"save{query}", drawing.tobytes())
    assert status == 400
    assert reason.startswith(b"class")
    assert list(tmp_path.rglob("*.png")) == []


def test_nothing_is_written_without_save(serve, model, drawing):
    status, _, reason = ask(serve(model), "POST", "save?class=1", drawing.tobytes())
    assert status == 404
    assert b"without --save" in reason


def test_nothing_is_written_outside_the_folder(serve, model, drawing, tmp_path):
    server = serve(model, save=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "drawings").mkdir()
    (tmp_path / "drawings/3").symlink_to(elsewhere)
    (tmp_path / "drawings/4").mkdir()
    (tmp_path / "drawings/4/1.png").symlink_to(elsewhere / "made.png")
    status, _, reason = ask(server, "POST", "save?class=3", drawing.tobytes())
    assert status == 400
    assert b"leads out of" in reason
    assert ask(server, "POST", "save?class=4", drawing.tobytes())[0] == 200
    assert list(elsewhere.iterdir()) == []
    assert (tmp_path / "drawings/4/2.png").is_file()


def test_a_drawing_is_filed_as_a_whole_or_not_at_all(tmp_path, drawing):
    """On a full disc, or beyond the largest size that the system allows."""
    resource = pytest.importorskip("resource")
    drawings = Drawings(tmp_path, ["seven"])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (99, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            drawings.add(0, drawing)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.rglob("*.png")) == []
    assert drawings.add(0, drawing).name == "1.png"
    assert read_image_folder(tmp_path).target.tolist() == ["seven"]


def test_a_file_is_no_folder_for_drawings(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match=r"--save .*file is no folder: pass another"):
        Drawings(tmp_path / "file", ["a"])


@pytest.mark.parametrize("label", LABELS)
def test_labels_that_name_no_folder_are_refused(tmp_path, label):
    with pytest.raises(ValueError, match="cannot name one: fit the model to other"):
        Drawings(tmp_path, ["fine", label])
    assert list(tmp_path.iterdir()) == []


def test_labels_that_differ_by_case_are_refused(tmp_path):
    with pytest.raises(ValueError, match="are the same to some file systems"):
        Drawings(tmp_path, ["a", "A"])
    # One letter with an accent, and a letter that an accent follows.
    with pytest.raises(ValueError, match="are the same to some file systems"):
        Drawings(tmp_path, ["\u00e9", "e\u0301"])


def test_other_alphabets_name_folders(tmp_path, drawing):
    file = Drawings(tmp_path, ["٣", "drei ½"]).add(0, drawing)
    assert file == tmp_path / "٣" / "1.png"
    assert read_image_folder(tmp_path).target.tolist() in (["٣"], [3])


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (28, 28)])
def test_png_files_hold_the_pixels(rng, tmp_path, shape):
    from PIL import Image

    picture = rng.integers(0, 256, shape).astype(np.uint8)
    (tmp_path / "a.png").write_bytes(png(picture))
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "L"
        image.verify()
    np.testing.assert_array_equal(Image.open(tmp_path / "a.png"), picture)


# Models of any kind.


@pytest.mark.parametrize("ink", [255, 16, 1])
def test_any_classifier_of_rows(pixels, drawing, ink):
    X, y = pixels
    rows = X if ink == 255 else X * (ink / 255)
    model = LogisticRegression(solver="newton-cholesky").fit(rows, y)
    found = Reader(model, ink=ink).read(drawing)
    row = DigitNormalizer(size=8, digit_size=6).transform(drawing[np.newaxis])
    expected = model.predict_proba(row if ink == 255 else row * (ink / 255))[0]
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-9)
    assert np.ptp(expected) > 0.01


def test_a_classifier_without_probabilities(pixels, drawing):
    X, y = pixels
    model = LinearSVC(max_iter=50, tol=10, random_state=0).fit(X / 255, y)
    found = Reader(model, ink=1).read(drawing)
    row = DigitNormalizer(size=8, digit_size=6).transform(drawing[np.newaxis]) / 255
    assert found["probabilities"] is None
    np.testing.assert_allclose(found["logits"], model.decision_function(row)[0])
    assert found["label"] == model.predict(row)[0]


def test_ink_has_to_be_known(pixels):
    X, y = pixels
    model = LogisticRegression(max_iter=20, tol=10).fit(X, y)
    for ink in (None, 0, np.nan):
        with pytest.raises(ValueError, match=r"number of full ink .* pass --ink 255"):
            Reader(model, ink=ink)
    behind = make_pipeline(DigitNormalizer(), model).fit(X, y)
    with pytest.raises(ValueError, match="ink=16 cannot come from a DigitNormalizer"):
        Reader(behind, ink=16)


def test_a_clean_up_is_the_model_s_own(pixels, drawing):
    """The server asks the model as it is; a line across the canvas is taken off."""
    X, y = pixels
    normaliser = DigitNormalizer(clean_up=True)
    model = make_pipeline(normaliser, TemplateMatchingClassifier())
    model.fit(X.reshape(-1, 8, 8), y)
    ruled = drawing.copy()
    ruled[380:384] = 255
    found = Reader(model).read(ruled)
    expected = model.predict_proba(drawing[np.newaxis])[0]
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-2)
    plain = make_pipeline(clone(normaliser).set_params(clean_up=False), model[-1])
    assert np.abs(plain.predict_proba(ruled[np.newaxis]) - expected).max() > 0.1


class Strange(LogisticRegression):
    """A classifier that fails when it predicts."""

    def predict(self, X):
        raise RuntimeError("no network")


def test_a_model_that_reads_no_drawing_is_refused(pixels):
    X, y = pixels
    model = Strange(solver="newton-cholesky").fit(X / 255, y)
    message = r"Strange cannot read a drawing \(RuntimeError: no network\)"
    with pytest.raises(ValueError, match=message):
        Reader(model, ink=1)


def test_several_answers_are_refused(pixels):
    X, y = pixels
    one_each = OneVsRestClassifier(LogisticRegression(max_iter=20, tol=10))
    one_each.fit(X, np.stack([y > 3, y % 2], 1).astype(int))
    with pytest.raises(ValueError, match="answers with several labels"):
        Reader(one_each, ink=255)
    model = MultiOutputClassifier(LogisticRegression(max_iter=20, tol=10))
    model.fit(X, np.stack([y > 3, y % 2], 1).astype(int))
    with pytest.raises(ValueError, match="answers with several labels"):
        Reader(model, ink=255)
