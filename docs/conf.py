"""Sphinx configuration."""

import sys
import warnings
from pathlib import Path

from sklearn.exceptions import FitFailedWarning

import skdigits

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "skdigits"
author = "the skdigits developers"
copyright = "2026, the skdigits developers"  # noqa: A001
version = release = skdigits.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "long_names",  # this and all that follow are in _ext
    "mathml",
    "page_figures",
    "quantities",
    "draw_page",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"
# Names of scikit-learn become links, without a look into the network.
intersphinx_mapping = {
    "sklearn": (
        "https://scikit-learn.org/stable/",
        str(HERE / "scikit_learn.inv"),
    )
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
# What a block prints is not copied. Examples are written in "Python", docstrings in the
# default, and code of pages that nobody runs in "py".
COPIED = ("python", "Python", "py", "default", "sh")
copybutton_selector = ", ".join(
    f"div.highlight-{name} pre" for name in COPIED
)
# With this role, `SoftmaxRegression` in a docstring becomes a link.
default_role = "py:obj"
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_title = "skdigits"
html_static_path = ["_static"]
html_css_files = ["skdigits.css"]
html_sidebars = {"index": [], "install": [], "quick_start": []}
html_show_sourcelink = False
# The contents of a class name its methods without the class, which has no room there.
toc_object_entries_show_parents = "hide"
html_theme_options = {
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "navbar_persistent": [],
    "navbar_end": ["search-button-field", "theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

autosummary_generate = True
autodoc_typehints = "none"  # the parameters are described in words
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
    "ignore_pattern": r"(demo|torchrun_fit|distributed_search|plot_[a-z]\w*)\.py$",
    "within_subsection_order": "FileNameSortKey",
    # The pages of the reference list the examples that use what they describe.
    "backreferences_dir": "gen_modules/backreferences",
    "doc_module": ("skdigits",),
    "abort_on_example_error": True,
    "image_srcset": ["2x"],
    "show_signature": False,
    "download_all_examples": False,
    "write_computation_times": False,
    "min_reported_time": float(
        "inf"
    ),  # the seconds of whichever machine has built it
}
# A warning in an example is an error, also one that a search has caught.
warnings.filterwarnings("error", module="__main__")
warnings.filterwarnings("error", category=FitFailedWarning)
