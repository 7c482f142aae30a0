"""What the site of the documentation is built from."""

import ast
import html
import importlib
import re
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from long_names import breakable
from mathml import spaced
from page_figures import show
from quantities import keep_together, unbroken
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
    """The build draws them; only the pictures of the README are committed."""
    ignored = (DOCS.parent / ".gitignore").read_text("utf-8").splitlines()
    assert "docs/auto_figures/" in ignored
    pictures = sorted(path.name for path in (DOCS / "_static").glob("*.png"))
    assert pictures == ["draw.png", "overview.png"]


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


@pytest.mark.parametrize(
    ("formula", "spaces"),
    [
        (r"-\log p", 1),
        (r"x = \log p", 1),
        (r"t_c \log p_c", 2),
        (r"\log\sum_k e^{z_k}", 1),
        (r"\log(p)", 0),
        (r"\log\left(p\right)", 0),
        (r"x + y", 0),
    ],
)
def test_the_space_around_functions_is_that_of_tex(formula, spaces):
    """A thin one beside factors, none beside parentheses or signs with their own."""
    mathml = spaced(tex2mathml(formula))
    assert mathml.count("<mspace") == spaces
    assert ElementTree.fromstring(html.unescape(mathml)).tag.endswith("math")


def test_there_is_no_space_within_bars():
    bars = re.findall(r"<mo[^>]*>\|</mo>", spaced(tex2mathml("|x| y")))
    assert len(bars) == 2
    assert all('lspace="0" rspace="0"' in bar for bar in bars)


def test_quantities_stay_on_one_line():
    text = "98.6 ± 0.1 or 58 % or 1.8 × (64 ×) of 28 × 28; 4 → 9, 3 / 5 and a / b"
    lines = unbroken(text).replace("\N{NO-BREAK SPACE}", "_").split(" ")
    assert {
        "98.6_±_0.1",
        "58_%",
        "1.8_×",
        "(64_×)",
        "28_×_28;",
        "4_→_9,",
        "3_/_5",
    } <= set(lines)
    assert {"a", "/", "b"} <= set(lines)


def test_code_and_formulas_keep_their_spaces():
    page = nodes.document(None, None)
    page += nodes.paragraph(
        "", "5 %", nodes.literal("", "5 % 3"), nodes.math("", "5 / 3")
    )
    page += nodes.literal_block("", "5 % 3")
    keep_together(None, page)
    assert [str(text) for text in page.findall(nodes.Text)] == [
        "5\N{NO-BREAK SPACE}%",
        "5 % 3",
        "5 / 3",
        "5 % 3",
    ]


def test_names_break_in_cells_and_titles_alone():
    name = '<span class="pre">optim.SGD(weight_decay=RandomAffine)</span>'
    broken = "optim.<wbr>SGD(<wbr>weight_<wbr>decay=<wbr>Random<wbr>Affine)"
    found = breakable(
        f'<p>{name}</p><td class="x">{name}</td><dt class="sig">{name}</dt>'
    )
    assert found == (
        f'<p>{name}</p><td class="x"><span class="pre">{broken}</span></td>'
        f'<dt class="sig">{name}</dt>'
    )
    private = '<td><span class="pre">_plotting, module__n</span></td>'
    assert breakable(private) == private.replace("__n", "__<wbr>n")
    assert breakable("<h1>top_losses<a>") == "<h1>top_<wbr>losses<a>"
    assert breakable("<h1>No-break titles<a>") == "<h1>No-break titles<a>"


def test_tables_of_pandas_keep_their_heads():
    """Empty heads are hidden, but pandas writes its names without a paragraph."""
    styles = (DOCS / "_static/skdigits.css").read_text("utf-8")
    (hiding,) = re.findall(r"^(.*thead.*) \{", styles, re.M)
    assert (
        pd.DataFrame({"a": [1]})
        .to_html()
        .startswith('<table border="1" class="dataframe">')
    )
    assert "table:not(.dataframe) thead" in hiding


def test_code_in_text_blocks_is_what_is_printed():
    """Code has colours and a button to copy it, also code that nobody runs."""
    for path in PAGES:
        text = path.read_text("utf-8")
        for printed in re.findall(r"^```text\n(.*?)^```", text, re.M | re.S):
            assert not re.search(r"^(import|from) ", printed, re.M), path.name
