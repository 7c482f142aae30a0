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
# With this role, `SoftmaxRegression` in a docstring becomes a link.
default_role = "py:obj"
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_toc_level": 2}

autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
# Methods inherited from scikit-learn refer to terms of its glossary.
suppress_warnings = ["ref.term"]

# The build runs the numbered examples, and fails if one of them fails. The folder also
# holds scikit-learn's examples, which tests/test_examples.py runs, and the demo.
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
# A warning in an example is an error.
warnings.filterwarnings("error", module="__main__")
