"""Run the pages that draw, in processes of their own, and show each figure.

The processes start before the gallery's examples run, and end before pages are read. A
page whose code has not changed is not run again; `make clean` forgets all figures.
"""

import hashlib
import multiprocessing
import os
import struct
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

from page_code import code_blocks, draw
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

FOLDER = "auto_figures"
RUNNING: dict[str, Future] = {}


def docname(page: Path, source: Path) -> str:
    """Return Sphinx's name of a page."""
    return page.relative_to(source).with_suffix("").as_posix()


def start(app: Sphinx) -> None:
    """Start to draw the figures of each page whose code has changed."""
    # The processes and the gallery share the cores: threads would only wait.
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(os.cpu_count(), mp_context=context)
    for page in sorted(Path(app.srcdir).rglob("*.md")):
        blocks = code_blocks(page.read_text(encoding="utf-8"))
        name = docname(page, Path(app.srcdir))
        folder = Path(app.srcdir, FOLDER, name)
        if any(block.alts for block in blocks) and not _mark(folder, blocks).exists():
            RUNNING[name] = pool.submit(draw, page, folder)
    pool.shutdown(wait=False)
    os.environ.pop("OMP_NUM_THREADS")
    os.environ |= {} if before is None else {"OMP_NUM_THREADS": before}


def _mark(folder: Path, blocks: list) -> Path:
    code = repr([(block.code.strip(), block.alts) for block in blocks])
    return folder / f"{hashlib.sha256(code.encode()).hexdigest()[:16]}.done"


def finish(app: Sphinx, env: object, docnames: list[str]) -> None:
    """Wait for the figures, and fail where the code of a page does."""
    for name, drawing in RUNNING.items():
        if error := drawing.exception():
            raise ExtensionError(f"the code of {name} fails: {error!r}", error)
        page = Path(app.srcdir, f"{name}.md")
        blocks = code_blocks(page.read_text(encoding="utf-8"))
        _mark(Path(app.srcdir, FOLDER, name), blocks).touch()
    RUNNING.clear()


def show(app: Sphinx, name: str, source: list[str]) -> None:
    """Put the figures of each block below it, and below what it prints."""
    text = source[0]
    blocks = list(enumerate(code_blocks(text)))
    for n_block, block in reversed(blocks):
        shown = ""
        for n_figure, alt in enumerate(block.alts):
            path = f"{FOLDER}/{name}/{n_block}_{n_figure}.png"
            width = _width(Path(app.srcdir, path)) // 2
            options = f":alt: {alt}\n:width: {width}px\n:class: page-figure"
            shown += f"\n```{{image}} /{path}\n{options}\n```\n"
        text = text[: block.end] + shown + text[block.end :]
    source[0] = text


def _width(png: Path) -> int:
    return struct.unpack(">I", png.read_bytes()[16:20])[0]


def setup(app: Sphinx) -> dict:
    """Connect to the stages of a build."""
    app.connect("builder-inited", start, priority=100)  # the gallery's is 500
    app.connect("env-before-read-docs", finish)
    app.connect("source-read", show)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
