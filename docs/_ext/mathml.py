"""Formulas as MathML, which browsers show by themselves, offline too."""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

THIN = '<mspace width="0.1667em"></mspace>'
# A factor before the name of a function, and a name without a parenthesis behind it.
FACTOR = re.compile(r"(</m(?!o)\w+>)(?=\s*<mi>\w+</mi>\s*<mo>&ApplyFunction;)")
FUNCTION = re.compile(r"(<mo>&ApplyFunction;</mo>)(?!\s*(?:<mrow>\s*)?<mo[^>]*>\()")
BAR = '<mo stretchy="false">|</mo>'


def spaced(formula: str) -> str:
    """Return MathML with the spaces of TeX: thin ones around log x, none within |x|."""
    formula = FACTOR.sub(rf"\1{THIN}", formula)
    formula = FUNCTION.sub(rf"\1{THIN}", formula)
    return formula.replace(BAR, BAR.replace(">", ' lspace="0" rspace="0">', 1))


def _mathml(node: nodes.Element, *, as_block: bool) -> str:
    try:
        return spaced(tex2mathml(node.astext(), as_block=as_block))
    except MathError as error:
        logging.getLogger(__name__).warning("%s", error, location=node)
        return f"<code>{node.astext()}</code>"


def inline(translator: nodes.NodeVisitor, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def block(translator: nodes.NodeVisitor, node: nodes.math_block) -> None:
    """Write a formula on lines of its own."""
    formula = _mathml(node, as_block=True)
    translator.body.append(f'<div class="formula">{formula}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict:
    """Offer the renderer ``html_math_renderer = "mathml"``."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
