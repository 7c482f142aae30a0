"""What the site of the documentation is built from."""

import ast
import importlib
import re
from pathlib import Path

import pytest
from docutils.utils.math.latex2mathml import tex2mathml
from page_figures import show
from sklearn.experimental import enable_halving_search_cv  # noqa: F401

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md")) + sorted((DOCS / "user_guide").glob("*.md"))
LISTED = dict(
    line.split(maxsplit=2)[:2]
    for line in (DOCS / "scikit_learn.inv").read_text("utf-8").splitlines()[3:]
)


def prose(path):
    """Return a page without code."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


@pytest.mark.parametrize("name", LISTED)
def test_names_of_scikit_learn_exist(name):
    module, _, attribute = name.rpartition(".")
    thing = getattr(importlib.import_module(module), attribute)
    kind = "class" if isinstance(thing, type) else "function"
    kind = "exception" if kind == "class" and issubclass(thing, Exception) else kind
    assert LISTED[name] == kind


def test_names_of_scikit_learn_that_pages_link_to_are_listed():
    referred = {
        name
        for path in PAGES
        for name in re.findall(
            r"\{py:\w+\}`~?(sklearn\.[\w.]+)`", path.read_text("utf-8")
        )
    }
    assert referred <= set(LISTED)
    assert len(referred) > 10


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_formulas_become_mathml(path):
    for display, inline in re.findall(
        r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", prose(path), re.S
    ):
        assert "<math" in tex2mathml(display or inline, as_block=bool(display))


def docstrings():
    """Yield the docstrings of the package, as Python reads them."""
    for path in sorted((DOCS.parent / "skdigits").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                yield ast.get_docstring(node) or ""


def test_formulas_of_docstrings_become_mathml():
    pattern = r":math:`([^`]+)`|\.\. math::\s+(.+?)(?:\n\n|$)"
    found = re.findall(pattern, "\n\n".join(docstrings()), re.DOTALL)
    assert len(found) > 30
    for inline, display in found:
        assert "<math" in tex2mathml(inline or display)


def test_the_site_needs_no_network():
    """Scripts, styles and fonts come with the packages that the site is built by."""
    conf = (DOCS / "conf.py").read_text("utf-8")
    styles = (DOCS / "_static/skdigits.css").read_text("utf-8")
    assert "mathjax" not in conf
    assert "url(" not in styles
    assert re.findall(r"https?://[^\"]+", conf) == ["https://scikit-learn.org/stable/"]


def test_the_repository_has_no_picture_of_a_page():
    """The build draws them; only the picture of the README is committed."""
    ignored = (DOCS.parent / ".gitignore").read_text("utf-8").splitlines()
    assert "docs/auto_figures/" in ignored
    assert [path.name for path in (DOCS / "_static").glob("*.png")] == ["overview.png"]


def test_a_figure_goes_below_its_block_and_output(tmp_path):
    page = '```python alt="a line"\nx\n```\n\n```text\n1\n```\n\nwords\n'
    folder = tmp_path / "auto_figures/page"
    folder.mkdir(parents=True)
    png = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (800).to_bytes(4, "big")
    (folder / "0_0.png").write_bytes(png)
    source = [page]
    show(type("App", (), {"srcdir": tmp_path}), "page", source)
    image = "```{image} /auto_figures/page/0_0.png\n:alt: a line\n:width: 400px\n"
    before, _, after = source[0].partition(image)
    assert before.endswith("```text\n1\n```\n\n")
    assert after.endswith("```\n\nwords\n")
