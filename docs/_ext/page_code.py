"""The code of a page: its blocks, what they print, and the figures they draw.

A block is fenced by ```` ```python ````. A ```` ```text ```` block right below it shows
what it prints. A block that draws describes its figures for readers who cannot see
them: ```` ```python alt="one figure | the next" ````. The tests run the pages and
compare what is printed. The build of the documentation puts figures below their blocks.

    python docs/_ext/page_code.py docs/quick_start.md    # write what its blocks print
"""

import contextlib
import io
import os
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

BLOCK = re.compile(
    r'^( *)```python(?: alt="([^"\n]+)")?\n(.*?)^ *```\n'
    r"(?:\s*?^ *```text\n(.*?)^ *```\n)?",
    flags=re.MULTILINE | re.DOTALL,
)
# What new users do with the pages of the guide, from one to the next.
STORIES = {
    "tables": ("tables.md",),
    "Kaggle": ("kaggle.md",),
    "a reader that is trained every night": (
        "early_stopping.md",
        "retraining.md",
        "interruptions.md",
        "saving.md",
    ),
}
NUMBER = r"-?\d+\.\d+(?:e[-+]?\d+)?"


@dataclass(frozen=True)
class Block:
    """A block of code: ``end`` is the place in the page below it and its output."""

    code: str
    alts: tuple[str, ...]
    expected: str | None
    end: int


def code_blocks(text: str) -> list[Block]:
    """Return the blocks of a page.

    Blank lines pad the code of each, so that errors name its lines in the page.
    """
    return [
        Block(
            "\n" * text.count("\n", 0, found.start(3)) + _dedented(found[3], found[1]),
            tuple(found[2].split(" | ")) if found[2] else (),
            _dedented(found[4], found[1]) if found[4] is not None else None,
            found.end(),
        )
        for found in BLOCK.finditer(text)
    ]


def _dedented(text: str, indent: str) -> str:
    return re.sub(f"^{indent}", "", text, flags=re.MULTILINE)


def run(
    blocks: list[Block], path: str, module: ModuleType
) -> Iterator[tuple[Block, str, list[Figure]]]:
    """Run blocks in order, in one module; yield what each prints and draws."""
    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block.code, path, "exec"), vars(module))
        yield block, printed.getvalue(), [plt.figure(n) for n in plt.get_fignums()]
        plt.close("all")


def agrees(expected: str, printed: str) -> bool:
    """Whether a page shows what its code prints.

    ``...`` stands for anything. Numbers with a decimal point may differ by 1 %, or by 2
    in the last place, as processors add up sums in different orders.
    """
    parts = re.split(rf"({NUMBER}|\.\.\.)", expected.strip())
    found = re.fullmatch("".join(map(_pattern, parts)), printed.strip(), re.DOTALL)
    written = [part for part in parts if re.fullmatch(NUMBER, part)]
    return found is not None and all(map(_close, written, found.groups()))


def _pattern(part: str) -> str:
    if part == "...":
        return ".*?"
    if re.fullmatch(NUMBER, part):
        return f"({NUMBER})"
    return re.sub(r"(?:\\\s)+", r"\\s+", re.escape(part))


def _close(written: str, computed: str) -> bool:
    mantissa, _, exponent = written.partition("e")
    last_place = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    allowed = max(2 * last_place, 0.01 * abs(float(written)))
    return abs(float(written) - float(computed)) <= 1.0001 * allowed


def run_page(page: Path) -> Iterator[tuple[Block, str, list[Figure]]]:
    """Run a page off screen, in a process that has nothing else to do."""
    plt.switch_backend("agg")
    plt.show = lambda *args, **kwargs: None
    sys.modules["page"] = ModuleType("page")  # pickle looks for functions there
    blocks = code_blocks(page.read_text(encoding="utf-8"))
    return run(blocks, str(page), sys.modules["page"])


def read_story(pages: list[Path], folder: Path) -> list[str]:
    """Run pages in an empty folder, warnings as errors; return what disagrees."""
    os.chdir(folder)
    warnings.simplefilter("error")
    return [
        f"{page.name} shows\n{block.expected}\nand prints\n{printed}"
        for page in pages
        for block, printed, _ in run_page(page)
        if not agrees(block.expected or "", printed)
    ]


def draw(page: Path, folder: Path) -> None:
    """Run a page; save its figures as ``<block>_<figure>.png``, at twice their size."""
    folder.mkdir(parents=True, exist_ok=True)
    for n_block, (block, _, figures) in enumerate(run_page(page)):
        if len(figures) != len(block.alts):
            raise ValueError(
                f"{page}: block {n_block} draws {len(figures)} figures and describes "
                f'{len(block.alts)}: expected ```python alt="…" with as many'
            )
        for n_figure, figure in enumerate(figures):
            figure.savefig(folder / f"{n_block}_{n_figure}.png", dpi=192)


def with_output(page: Path) -> str:
    """Return a page with what its blocks print now, where that disagrees."""
    text = page.read_text(encoding="utf-8")
    results = [(block, printed) for block, printed, _ in run_page(page)]
    for block, printed in reversed(results):
        if not agrees(block.expected or "", printed):
            before = text[: block.end].removesuffix("```\n")
            if block.expected is None:
                before = text[: block.end] + "\n```text\n"
            text = (
                f"{before.removesuffix(block.expected or '')}{printed}```\n"
                + (text[block.end :])
            )
    return text


if __name__ == "__main__":
    for name in sys.argv[1:]:
        Path(name).write_text(with_output(Path(name)), encoding="utf-8")
