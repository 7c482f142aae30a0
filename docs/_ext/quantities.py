"""Quantities that stay on one line: 98.6 ± 0.1, 58 %, 1.8 ×, 28 × 28, 4 → 9."""

import re

from docutils import nodes
from sphinx.application import Sphinx

BETWEEN_NUMBERS = re.compile(r"(?<=\d) ([±×/→]) (?=\d)")
BEFORE_A_SIGN = re.compile(r"(?<=\d) (?=[%×])")
CODE = (nodes.FixedTextElement, nodes.literal, nodes.math)
SPACE = "\N{NO-BREAK SPACE}"


def unbroken(text: str) -> str:
    """Return text whose lines do not break within quantities."""
    text = BETWEEN_NUMBERS.sub(rf"{SPACE}\1{SPACE}", text)
    return BEFORE_A_SIGN.sub(SPACE, text)


def keep_together(app: Sphinx, page: nodes.document) -> None:
    """Keep the quantities of a page together, also those of included files.

    Code and formulas stay as they are.
    """
    for node in list(page.findall(nodes.Text)):
        if not isinstance(node.parent, CODE):
            node.parent.replace(node, nodes.Text(unbroken(node)))


def setup(app: Sphinx) -> dict:
    """Connect to the end of reading a page."""
    app.connect("doctree-read", keep_together)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
