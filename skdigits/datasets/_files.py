"""Files as users name them."""

import os
import stat
from pathlib import Path

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` replaced by the home folder."""
    return Path(os.path.expanduser(path))


def check_regular(path: Path) -> None:
    """Refuse what is no regular file: a pipe, for one, may never come to an end.

    Raises
    ------
    ValueError
        If the path leads to something else. The message says to what.
    OSError
        If it leads nowhere, or may not be followed.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "something else")
        raise ValueError(
            f"{path}: expected a regular file, but found {kind}. Pass the path of a "
            "file; what comes out of a pipe must be written to one first."
        )
