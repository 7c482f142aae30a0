"""Sphinx configuration."""

import skdigits

project = "skdigits"
author = "the skdigits developers"
copyright = "2026, the skdigits developers"  # noqa: A001
version = release = skdigits.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_toc_level": 2}

autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
# Methods inherited from scikit-learn refer to terms of its glossary.
suppress_warnings = ["ref.term"]
