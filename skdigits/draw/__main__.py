"""``python -m skdigits.draw``: a page to draw on, as a file or from a server."""

import argparse
import os
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib

from skdigits.draw._demo import demo_models
from skdigits.draw._drawings import Drawings
from skdigits.draw._page import TITLE, page
from skdigits.draw._reader import Reader
from skdigits.draw._server import DrawServer
from skdigits.draw._steps import Shape

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
    add("--port", type=int, default=0, help="port of the server (default: a free one)")
    add("--save", metavar="FOLDER", help="file labelled drawings as FOLDER/label/n.png")
    add("--title", default=TITLE, help="title of the page")
    add("--image-shape", metavar="HxW", help="shape of the images in the model's rows")
    add("--ink", type=float, help="full ink in the images the model was fitted to")
    add("--trust", metavar="TYPE", action="append", default=[], help="type in a skops")
    add("--open", action="store_true", help="open the page in a browser")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says; exit with 2 and a message if that cannot be."""
    options = parser()
    given = options.parse_args(arguments)
    if (given.model is None) == (not given.demo):
        options.error("pass either the file of a model or --demo")
    if given.html and given.save:
        options.error("--save needs the server: leave --html out")

    try:
        if given.html:
            _write(given)
        else:
            _serve(given)
    except (ImportError, OSError, TypeError, ValueError) as error:
        options.error(str(error))


def _write(given: argparse.Namespace) -> None:
    model, *others = _models(given)
    shape = _shape(given.image_shape)
    page(model, given.html, title=given.title, compare=others, image_shape=shape)

    file = Path(given.html).expanduser().resolve()
    print(f"The page is {file}", flush=True)
    if given.open:
        _open(file.as_uri())


def _serve(given: argparse.Namespace) -> None:
    shape = _shape(given.image_shape)
    readers = [Reader(model, shape, given.ink) for model in _models(given)]
    drawings = Drawings(given.save, readers[0].classes) if given.save else None
    with DrawServer(
        readers, given.port, title=given.title, drawings=drawings
    ) as server:
        print(f"Open {server.url}\nCtrl-C ends the server.", flush=True)
        if given.open:
            _open(server.url)
        try:
            server.serve()
        except KeyboardInterrupt:
            print()


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
    if path.suffix not in (".skops", ".joblib"):
        raise ValueError(
            f"{file}: expected a file .skops or .joblib. Save the model with "
            "joblib.dump(model, 'model.joblib')."
        )
    if not path.is_file():
        raise ValueError(f"{file}: there is no such file.")
    if path.suffix == ".skops":
        return _from_skops(path, trusted)

    # A damaged pickle raises errors of all kinds.
    try:
        return joblib.load(path)
    except Exception as error:
        raise ValueError(
            f"{file}: joblib cannot read it ({type(error).__name__}: {error})."
        ) from error


def _from_skops(path: Path, trusted: Sequence[str]) -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise ImportError(f"{path} needs skops: pip install skops") from error
    try:
        types = skops.io.get_untrusted_types(file=path)
    except Exception as error:
        raise ValueError(
            f"{path}: skops cannot read it ({type(error).__name__}: {error})."
        ) from error

    ours = [one for one in types if one.startswith("skdigits.")]
    others = sorted(set(types) - set(ours) - set(trusted))
    if others:
        options = " ".join(f"--trust {one}" for one in others)
        raise ValueError(f"{path}: if you trust all that is in it, add {options}")
    return skops.io.load(path, trusted=[*ours, *trusted])


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
