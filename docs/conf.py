"""Sphinx configuration."""

import warnings

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
    "sphinx_gallery.gen_gallery",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
default_role = "py:obj"  # `SoftmaxRegression` in a docstring is a link
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_toc_level": 2}

autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
# Methods inherited from scikit-learn refer to terms of its glossary.
suppress_warnings = ["ref.term"]

# The gallery: every plot_01_… is run by the build, which fails where one of them does.
# Beside them lie scikit-learn's examples, run by tests/test_examples.py, and the demo.
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_\d",
    "ignore_pattern": r"(demo|plot_[a-z]\w*)\.py$",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "gen_modules/backreferences",
    "doc_module": ("skdigits",),
    "abort_on_example_error": True,
    "image_srcset": ["2x"],
    "show_signature": False,
    "download_all_examples": False,
    "write_computation_times": False,
}
# An example that warns is one that fails.
warnings.filterwarnings("error", module="__main__")
