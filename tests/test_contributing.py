"""The worked examples of CONTRIBUTING.md, followed in a copy of the package."""

import os
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
    for name in ("tests/engine", "tests/cuda"):
        shutil.copytree(ROOT / name, folder / name)
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


# Imports take longer than the tests, so the examples share them.
RUNS = """
import os, sys
import pytest, sklearn.neural_network, torch
import skdigits.model_selection

for command in sys.argv[1:]:
    child = os.fork()
    if not child:
        arguments = ["-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
        code = pytest.main([*arguments, *command.split()])
        print("exit code", int(code), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print("end of", command, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a fork for each example")
def test_the_examples_pass_their_tests(copy):
    """That of a network is tested with the estimator that has it."""
    commands = [one for text in sections().values() for one in COMMAND.findall(text)]
    assert len(commands) == len(NAMES) - 1

    done = subprocess.run(
        [sys.executable, "-c", RUNS, *commands],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    rest = done.stdout
    for command in commands:
        output, _, rest = rest.partition(f"end of {command}\n")
        *_, summary, code = output.splitlines()
        assert code == "exit code 0", output[-3000:] + done.stderr[-1000:]
        assert re.match(r"[1-9]\d* passed", summary)
        assert "skipped" not in summary
