"""The worked examples of CONTRIBUTING.md, followed in a copy of the package."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SECTION = re.compile(r"^### (.+?)\n(.*?)(?=^##)", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(
    r"`([\w/]+\.py)`[^`]*(?:`ORACLES`[^`]*)?```python\n(.*?)```", re.DOTALL
)
COMMAND = re.compile(r"^`pytest (.+)`$", re.MULTILINE)
NAMES = ["A loss", "An activation", "A solver", "A network", "An estimator"]


def sections():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return dict(SECTION.findall(text))


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package and of the engine's tests, with all examples added."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "skdigits", folder / "skdigits")
    shutil.copytree(ROOT / "tests/engine", folder / "tests/engine")
    for name in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(ROOT / name, folder / name)

    for text in sections().values():
        for path, code in BLOCK.findall(text):
            with (folder / path).open("a", encoding="utf-8") as file:
                file.write(f"\n\n{code}")
    return folder


def test_there_is_an_example_of_each_kind():
    found = sections()
    assert list(found) == NAMES
    places = [path for text in found.values() for path, _ in BLOCK.findall(text)]
    # One place in the package for each, beside its test.
    assert len([path for path in places if path.startswith("skdigits")]) == len(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != "A network"])
def test_the_example_passes_its_test(name, copy):
    """That of a network is tested with the estimator that has it."""
    (arguments,) = COMMAND.findall(sections()[name])
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:xdist",
        *arguments.split(),
    ]
    done = subprocess.run(
        command, cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert re.search(r"[1-9]\d* passed", done.stdout)
    assert "skipped" not in done.stdout.splitlines()[-1]
