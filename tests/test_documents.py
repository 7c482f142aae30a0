"""The code in the documentation runs, and its figures are the measured ones."""

import re
import sys
from pathlib import Path
from types import ModuleType

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from page_code import STORIES, agrees, code_blocks, run
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).parent.parent
MADE = {"_build", "api", "auto_examples", "auto_figures", "gen_modules"}  # by Sphinx
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if not MADE & set(path.relative_to(ROOT).parts)
)
ASSERTION = r"^\s*(assert |np\.testing\.assert_|with pytest\.)"
FIGURE = r"(\d+\.\d+) ± (\d+\.\d+)"


def text_of(path):
    return (ROOT / path).read_text(encoding="utf-8")


BLOCKS = {path: code_blocks(text_of(path)) for path in DOCUMENTS}
PAGES = [path for path in DOCUMENTS if path != "CONTRIBUTING.md" and BLOCKS[path]]
# tests/test_stories.py runs the others.
RUN_HERE = [
    path
    for path in PAGES
    if path.removeprefix("docs/user_guide/") not in sum(STORIES.values(), ())
]


def marked(path):
    reads_mnist = any("load_mnist(" in block.code for block in BLOCKS[path])
    return pytest.param(path, marks=pytest.mark.mnist if reads_mnist else ())


@pytest.fixture
def without_a_screen(monkeypatch):
    """Let matplotlib draw off screen, and close its figures; k-means takes one core."""
    with matplotlib.rc_context({"backend": "agg"}), threadpool_limits(1):
        monkeypatch.setattr(plt, "show", lambda: None)
        yield
        plt.close("all")


@pytest.mark.usefixtures("without_a_screen")
@pytest.mark.parametrize("path", [marked(path) for path in RUN_HERE])
def test_code_of_a_page_does_what_the_page_shows(path, monkeypatch):
    """Run the blocks of a page in order, in one module, which pickle needs."""
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    for block, printed, figures in run(BLOCKS[path], path, module):
        shown = block.expected or ""
        assert agrees(shown, printed), f"shown:\n{shown}\nprinted:\n{printed}"
        assert len(figures) == len(block.alts), block.code.strip()


@pytest.mark.parametrize("path", PAGES)
def test_most_blocks_show_or_assert_something(path):
    blocks = BLOCKS[path]
    telling = [
        block
        for block in blocks
        if block.alts or block.expected or re.search(ASSERTION, block.code, re.M)
    ]
    assert len(telling) >= max(1, len(blocks) // 2)
    if path in ("README.md", "docs/index.md"):  # what a reader sees first
        assert blocks[0].expected


@pytest.mark.parametrize("path", PAGES)
def test_lines_of_code_fit_the_column(path):
    most = 76 if path.startswith("docs/") else 88
    found = re.findall(r"^ *```.*?\n(.*?)^ *```$", text_of(path), re.M | re.S)
    assert [line for line in "\n".join(found).splitlines() if len(line) > most] == []


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("0.97", "0.96", True),
        ("0.97", "0.93", False),
        ("12.50", "12.41", True),
        ("1.2e-05", "1.3e-05", True),
        ("1.2e-05", "1.5e-05", False),
        ("a  b\n c", "a b c\n", True),
        ("ten of 12", "ten of 13", False),
        ("took ... s", "took 3.7 s", True),
        ("took ... s", "took", False),
        ("", "words", False),
    ],
)
def test_what_is_printed_is_compared(expected, printed, same):
    assert agrees(expected, printed) is same


def test_blocks_are_found_with_what_they_print_and_draw():
    page = '```python alt="a | b"\nx\n```\n\n```text\n1\n```\n\n```python\ny\n```\n'
    drawn, plain = code_blocks(page)
    assert (drawn.code, drawn.alts, drawn.expected) == ("\nx\n", ("a", "b"), "1\n")
    assert page[drawn.end :] == "\n```python\ny\n```\n"
    assert (plain.code.strip(), plain.alts, plain.expected) == ("y", (), None)


def test_every_page_with_code_is_run():
    """Only CONTRIBUTING.md is left out, as its code needs its surroundings."""
    written = {path for path in DOCUMENTS if "```python" in text_of(path)}
    assert written - {"CONTRIBUTING.md"} == set(PAGES)
    assert len(PAGES) >= 15
    n_blocks = sum(text_of(path).count("```python") for path in PAGES)
    assert n_blocks == sum(len(BLOCKS[path]) for path in PAGES)


@pytest.mark.usefixtures("without_a_screen")
def test_what_scikit_learn_has_is_found_again(monkeypatch):
    """To more digits than the page prints."""
    path = "docs/coming_from_scikit_learn.md"
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    compared = []
    for block, _, _ in run(BLOCKS[path], path, module):
        names = vars(module)
        code = block.code
        if "reference.loss_curve_" in code:
            pair = names["model"].loss_curve_, names["reference"].loss_curve_
            compared.append((*pair, 1e-7))
        if "theirs.predict_proba" in code:
            X = names["X"] * names["units"]
            pair = names["ours"].predict_proba(X), names["theirs"].predict_proba(X)
            compared.append((*pair, 0.01))
        if "model.coef_[0]" in code:
            compared.append((names["model"].coef_, names["reference"].coef_, 1e-3))
            X = names["X"]
            pair = names["model"].predict_proba(X), names["reference"].predict_proba(X)
            compared.append((*pair, 1e-3))
        if "np.diff" in code:
            compared.append((names["difference"], names["reference"].coef_, 1e-3))
        if "reference.centroids_" in code:
            pair = names["model"].templates_, names["reference"].centroids_
            compared.append((*pair, 1e-12))

    assert len(compared) == 6
    for ours, theirs, tolerance in compared:
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
        assert np.ptp(theirs) > 0.1


def measured(path, scale):
    """Return the means and spreads, in %, that a script has written."""
    text = text_of(f"benchmarks/{path}").replace("**", "")
    pairs = re.findall(FIGURE, text)
    return {tuple(f"{scale * float(number):.2f}" for number in pair) for pair in pairs}


@pytest.mark.parametrize(
    "path", [path for path in DOCUMENTS if path.startswith("docs/")]
)
def test_figures_with_a_spread_are_those_that_were_measured(path):
    quoted = set(re.findall(FIGURE, text_of(path)))
    assert quoted <= measured("RESULTS.md", 1) | measured("PUBLISHED.md", 100)


def test_the_guide_has_measured_figures():
    assert len(re.findall(FIGURE, text_of("docs/user_guide/index.md"))) >= 8


@pytest.mark.parametrize("path", PAGES)
def test_links_to_files_lead_somewhere(path):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text_of(path))
    written = [to for to in targets if to.split("/")[0] not in MADE]
    missing = [to for to in written if not ((ROOT / path).parent / to).exists()]
    assert missing == []
