"""Checks of the files that users want to have written."""

import os
import tempfile
from pathlib import Path


def check_folder(folder: Path, subject: str) -> None:
    """Raise an error if there is no folder that ``subject`` could be written into.

    Raises
    ------
    FileNotFoundError
        If there is nothing of this name.
    NotADirectoryError
        If it is a file.
    """
    name = os.fspath(folder)
    if not os.path.exists(folder):
        raise FileNotFoundError(
            f"{subject} cannot be written: create the folder {name!r}."
        )
    if not os.path.isdir(folder):
        raise NotADirectoryError(
            f"{subject} cannot be written: {name!r} is a file, and not a folder. "
            "Choose another path."
        )


def check_writable(folder: Path, subject: str) -> None:
    """Raise an error if there is no such folder, or nobody may write into it."""
    check_folder(folder, subject)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise type(error)(
            f"{subject} cannot be written: {error.strerror} in the folder "
            f"{os.fspath(folder)!r}. Choose another path."
        ) from error


def file_to_write(path: str | os.PathLike[str], name: str = "path") -> Path:
    """Return where a file is to be written, given as a parameter of this name.

    Raises
    ------
    TypeError
        If this is no path.
    OSError
        If it is a folder, or its parent folder does not exist.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name}={path!r} must be a str or path-like.")
    file = Path(path).expanduser()
    # Unlike Path.is_dir, this takes names that are too long.
    if os.path.isdir(file):
        inside = os.fspath(file / "page.html")
        raise IsADirectoryError(
            f"{name}={os.fspath(path)!r} is a folder: name a file in it, such as "
            f"{inside!r}."
        )
    check_folder(file.parent, f"{name}={os.fspath(path)!r}")
    return file


def write_text(file: Path, text: str, name: str = "path") -> None:
    """Write a file in UTF-8, or raise an error that names the parameter."""
    try:
        file.write_text(text, encoding="utf-8", newline="\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise type(error)(
            f"{name}={os.fspath(file)!r} cannot be written: {reason}. Choose another "
            "path."
        ) from error
