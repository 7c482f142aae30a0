"""``python -m skdigits.draw``: a page to draw on, as a file or from a server."""

import argparse
import os
import re
import sys
import webbrowser
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import joblib

from skdigits._files import file_to_write
from skdigits.draw._demo import demo_models
from skdigits.draw._drawings import Drawings
from skdigits.draw._page import TITLE, page, several
from skdigits.draw._reader import Reader
from skdigits.draw._server import DrawServer
from skdigits.draw._steps import Shape

LARGEST_PORT = 2**16 - 1
PATHS = {"html": "file", "save": "folder"}
OF_SERVER = ("save", "port", "ink")
EPILOG = """\
A joblib file is a pickle, which runs code when it is opened: open files that you trust.
"""


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    found = argparse.ArgumentParser(
        prog="python -m skdigits.draw",
        description="Draw digits, and see what a classifier makes of them.",
        epilog=EPILOG,
    )
    add = found.add_argument
    add("model", nargs="?", help="fitted classifier, saved by skops or joblib")
    add("--demo", action="store_true", help="train a small model at once")
    add("--compare", metavar="MODEL", action="append", default=[], help="another model")
    add("--html", metavar="FILE", help="write the page into a file, without a server")
    add("--port", type=_port, help="port of the server (default: a free one)")
    add("--save", metavar="FOLDER", help="file labelled drawings as FOLDER/label/n.png")
    add("--title", default=TITLE, help="title of the page")
    add("--image-shape", metavar="HxW", help="shape of the images in the model's rows")
    add("--ink", type=float, help="full ink in the images of a model's fit, if needed")
    add("--trust", metavar="TYPE", action="append", default=[], help="type in a skops")
    add("--open", action="store_true", help="open the page in a browser")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says; exit with 2 and a message if that cannot be."""
    options = parser()
    given = options.parse_args(arguments)
    try:
        _check(given)
        if given.html is None:
            _serve(given)
        else:
            _write(given)
    except (ImportError, OSError, TypeError, ValueError) as error:
        # Messages of other libraries may have several lines.
        options.error(" ".join(str(error).split()))


def _check(given: argparse.Namespace) -> None:
    """Refuse options that do not go together, and paths that are none."""
    if (given.model is None) == (not given.demo):
        raise ValueError("pass either the file of a model or --demo")
    for name, kind in PATHS.items():
        if getattr(given, name) == "":
            raise ValueError(f"--{name} is empty: pass the path of a {kind}")

    used = [name for name in OF_SERVER if getattr(given, name) is not None]
    if given.html is not None and used:
        raise ValueError(f"--{used[0]} needs the server: leave --html out")


def _write(given: argparse.Namespace) -> None:
    # What cannot be written is better said before a demo is trained.
    file = file_to_write(given.html, "--html").resolve()
    shape = _shape(given.image_shape)
    model, *others = _models(given)
    page(model, file, title=given.title, compare=others, image_shape=shape)
    print(f"The page is {file}", flush=True)
    if given.open:
        _open(file.as_uri())


def _serve(given: argparse.Namespace) -> None:
    with _server(given) as server:
        print(f"Open {server.url}\nCtrl-C ends the server.", flush=True)
        if given.open:
            _open(server.url)
        try:
            server.serve()
        except KeyboardInterrupt:
            print()


def _server(given: argparse.Namespace) -> DrawServer:
    shape = _shape(given.image_shape)
    model, *others = _models(given)
    readers = [Reader(model, shape, given.ink)]
    for name, other in several(others).items():
        readers.append(Reader(other, shape, given.ink, name))
    save = given.save is not None
    drawings = Drawings(given.save, readers[0].classes) if save else None

    port = given.port or 0
    try:
        return DrawServer(readers, port, title=given.title, drawings=drawings)
    except OSError as error:
        raise ValueError(
            f"--port {port}: {error.strerror or error}. Leave it out for a free port."
        ) from error


def _open(url: str) -> None:
    """Open a page in a browser with windows; without one, the printed line must do."""
    # Browsers of terminals run no scripts, and would take this one.
    window = sys.platform in ("win32", "darwin") or "DISPLAY" in os.environ
    if (window or "WAYLAND_DISPLAY" in os.environ) and webbrowser.open(url):
        return
    print(f"No browser was found: open {url} in one.", flush=True)


def _models(given: argparse.Namespace) -> list[Any]:
    models = demo_models() if given.demo else [load(given.model, given.trust)]
    return models + [load(file, given.trust) for file in given.compare]


def load(file: str, trusted: Sequence[str] = ()) -> Any:
    """Return the model in a file of skops or joblib.

    Raises
    ------
    ImportError
        If skops is needed and missing.
    ValueError
        If the file has another suffix, cannot be read, or holds types that nobody said
        to trust.
    """
    path = Path(file).expanduser()
    if not file:
        raise ValueError("The name of a model's file is empty: pass its path.")
    if path.is_dir():
        raise ValueError(f"{file} is a folder: pass a file .skops or .joblib in it.")
    if not path.is_file():
        raise ValueError(f"{file}: there is no such file.")
    if path.suffix not in (".skops", ".joblib"):
        raise ValueError(
            f"{file}: expected a file .skops or .joblib. Save the model with "
            "joblib.dump(model, 'model.joblib')."
        )
    if path.suffix == ".skops":
        return _from_skops(path, trusted)
    return _read(path, "joblib", partial(joblib.load, path))


def _from_skops(path: Path, trusted: Sequence[str]) -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise ImportError(f"{path} needs skops: pip install skops") from error

    types = _read(path, "skops", partial(skops.io.get_untrusted_types, file=path))
    ours = [one for one in types if one.startswith("skdigits.")]
    others = sorted(set(types) - set(ours) - set(trusted))
    if others:
        options = " ".join(f"--trust {one}" for one in others)
        raise ValueError(f"{path}: if you trust all that is in it, add {options}")
    trust = [*ours, *trusted]
    return _read(path, "skops", partial(skops.io.load, path, trusted=trust))


def _read(path: Path, library: str, reader: Callable[[], Any]) -> Any:
    # Damaged files, and those of other versions, raise errors of all kinds.
    try:
        return reader()
    except Exception as error:
        dump = "skops.io.dump" if library == "skops" else "joblib.dump"
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise ValueError(
            f"{path}: {library} cannot read it ({reason}). Save the model again, by "
            f"{dump}(model, {path.name!r})."
        ) from error


def _port(text: str) -> int:
    # int() would take signs, blanks and underscores as well.
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > LARGEST_PORT:
        raise argparse.ArgumentTypeError(
            f"{text!r} is none: expected a number from 1 to {LARGEST_PORT}, or 0 for a "
            "free port"
        )
    return int(text)


def _shape(text: str | None) -> Shape | None:
    """Return (height, width) of a text such as 28x20."""
    if text is None:
        return None
    sizes = text.lower().split("x")
    if len(sizes) != 2 or not all(one.isdecimal() and int(one) for one in sizes):
        raise ValueError(f"--image-shape {text}: expected HEIGHTxWIDTH, such as 28x28.")
    height, width = map(int, sizes)
    return height, width


if __name__ == "__main__":
    main(sys.argv[1:])
