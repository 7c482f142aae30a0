"""The code in the documentation runs, and its figures are the measured ones."""

import re
import sys
from pathlib import Path
from types import ModuleType

import matplotlib
import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).parent.parent
MADE = {"_build", "api", "auto_examples", "gen_modules"}  # by Sphinx
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if not MADE & set(path.relative_to(ROOT).parts)
)
ASSERTION = r"^\s*(assert |np\.testing\.assert_|with pytest\.)"
FIGURE = r"(\d+\.\d+) ± (\d+\.\d+)"


def code_blocks(path):
    """Return the code blocks of a page.

    Blank lines pad each of them, so that errors name its lines in the page.
    """
    text = (ROOT / path).read_text(encoding="utf-8")
    found = re.finditer(
        r"^( *)```python\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL
    )
    return [
        "\n" * text.count("\n", 0, each.start(2))
        + re.sub(f"^{each[1]}", "", each[2], flags=re.MULTILINE)
        for each in found
    ]


PAGES = [path for path in DOCUMENTS if path != "CONTRIBUTING.md" and code_blocks(path)]


@pytest.fixture
def without_a_screen(monkeypatch):
    """Let matplotlib draw off screen, and close its figures."""
    with matplotlib.rc_context({"backend": "agg"}):
        monkeypatch.setattr(plt, "show", lambda: None)
        yield
        plt.close("all")


@pytest.mark.usefixtures("without_a_screen")
@pytest.mark.parametrize("path", PAGES)
def test_code_of_a_page_runs_and_says_what_it_shows(path, monkeypatch, capsys):
    """Run the blocks of a page in order, in one module, which pickle needs."""
    blocks, module = code_blocks(path), ModuleType("page")
    asserted = [bool(re.search(ASSERTION, block, re.MULTILINE)) for block in blocks]
    assert sum(asserted) >= max(1, len(blocks) // 2)
    monkeypatch.setitem(sys.modules, "page", module)
    for block in blocks:
        exec(compile(block, path, "exec"), vars(module))
        if block is blocks[0]:
            first_printed = capsys.readouterr().out
    if path in ("README.md", "docs/index.md"):  # what a reader sees first
        assert all(asserted[1:])
        assert 0.9 < float(first_printed.split()[-1]) < 1


def test_every_page_with_code_is_run():
    """Only CONTRIBUTING.md is left out, as its code needs its surroundings."""
    written = {
        path for path in DOCUMENTS if "```python" in (ROOT / path).read_text("utf-8")
    }
    assert written - {"CONTRIBUTING.md"} == set(PAGES)
    assert len(PAGES) >= 15


def test_what_scikit_learn_has_is_found_again():
    """The blocks of the page compare the results with scikit-learn's."""
    compared = [
        block.count("np.testing.assert_")
        for block in code_blocks("docs/coming_from_scikit_learn.md")
    ]
    assert len(compared) >= 4
    assert all(compared)


def measured(path, scale):
    """Return the means and spreads, in %, that a script has written."""
    text = (ROOT / "benchmarks" / path).read_text(encoding="utf-8").replace("**", "")
    pairs = re.findall(FIGURE, text)
    return {tuple(f"{scale * float(number):.2f}" for number in pair) for pair in pairs}


@pytest.mark.parametrize(
    "path", [path for path in DOCUMENTS if path.startswith("docs/")]
)
def test_figures_with_a_spread_are_those_that_were_measured(path):
    quoted = set(re.findall(FIGURE, (ROOT / path).read_text(encoding="utf-8")))
    assert quoted <= measured("RESULTS.md", 1) | measured("PUBLISHED.md", 100)


def test_the_road_is_told_with_figures():
    guide = (ROOT / "docs/user_guide/index.md").read_text(encoding="utf-8")
    assert len(re.findall(FIGURE, guide)) >= 8


@pytest.mark.parametrize("path", PAGES)
def test_links_to_files_lead_somewhere(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    missing = [to for to in targets if not ((ROOT / path).parent / to).exists()]
    assert missing == []
