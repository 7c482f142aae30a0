"""The gallery is complete. The build of the documentation runs its examples."""

import ast
import re
import runpy
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("plot_[0-9]*.py"))


def test_examples_are_numbered_without_a_gap():
    numbers = [int(path.name.split("_")[1]) for path in EXAMPLES]
    assert len(numbers) >= 8
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_a_title_and_shows_figures(path):
    """Each figure is shown, so that the script is useful outside the gallery, too."""
    source = path.read_text(encoding="utf-8")
    title, line, blank, text = ast.get_docstring(ast.parse(source)).splitlines()[:4]
    assert title
    assert line == "=" * len(title)
    assert (blank, bool(text)) == ("", True)
    assert "\n# %%\n" in source
    assert "\nplt.show()\n" in source
    assert source.count("plt.subplots(") <= source.count("plt.show()")
    assert not re.search(r"assert .*(perf_counter|seconds)", source)


def test_the_build_runs_these_and_no_others():
    with warnings.catch_warnings():
        gallery = runpy.run_path(str(ROOT / "docs/conf.py"))["sphinx_gallery_conf"]
    names = [path.name for path in sorted((ROOT / "examples").glob("*.py"))]
    taken = [
        name for name in names if not re.search(gallery["ignore_pattern"], f"/{name}")
    ]
    assert taken == [path.name for path in EXAMPLES]
    assert all(re.search(gallery["filename_pattern"], f"/{name}") for name in taken)
    assert gallery["abort_on_example_error"] is True
