"""Places where long names may break, in tables, lists of names and titles.

In running text, a name that does not fit goes to the next line as a whole.
"""

import re

from sphinx.application import Sphinx

NARROW = re.compile(r"<(t[dh])\b[^>]*>.*?</\1>|<dt>.*?</dt>|<h1>\w+(?=<)", re.DOTALL)
NAME = re.compile(r'(?<=<span class="pre">)[^<]+|(?<=<h1>)\w+')
# Behind a dot or a stroke within a name, and before a capital.
JOINT = re.compile(r"(?<=\w[._=(/])(?=[^\W_])|(?<=[a-z])(?=[A-Z])")
# Unlike a space of no width, this is not copied.
BREAK = "<wbr>"


def breakable(html: str) -> str:
    """Return HTML in which names may break where there is little room."""
    return NARROW.sub(lambda part: NAME.sub(_with_breaks, part[0]), html)


def _with_breaks(name: re.Match) -> str:
    return JOINT.sub(BREAK, name[0])


def mark(app: Sphinx, name: str, template: str, context: dict, page: object) -> None:
    """Mark the places of a page where its names may break."""
    if "body" in context:
        context["body"] = breakable(context["body"])


def setup(app: Sphinx) -> dict:
    """Connect to the writing of a page."""
    app.connect("html-page-context", mark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
