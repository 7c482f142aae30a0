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
    """Raise an error unless the path is a regular file; a pipe may never end.

    Raises
    ------
    ValueError
        If the path leads to something else. The message names the kind.
    OSError
        If the path does not exist or may not be read.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "something else")
        raise ValueError(
            f"{path}: expected a regular file, but found {kind}. Pass the path of a "
            "file; what comes out of a pipe must be written to one first."
        )
