"""Code in the documents runs."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from skdigits.engine import losses

ROOT = Path(__file__).parent.parent


def code_blocks(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    blocks = re.findall(r"^( *)```python\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
    return [re.sub(f"^{indent}", "", block, flags=re.MULTILINE) for indent, block in blocks]


@pytest.mark.parametrize("path", ["README.md", "docs/index.md"])
def test_examples_run_and_classify(path, capsys):
    (code,) = code_blocks(path)
    exec(compile(code, path, "exec"), {})
    score = float(capsys.readouterr().out.split()[-1])
    assert 0.9 < score < 1


def test_the_worked_example_of_a_loss_is_right(monkeypatch, rng):
    value_and_gradient, oracle = code_blocks("CONTRIBUTING.md")
    monkeypatch.setattr(losses, "LOSSES", dict(losses.LOSSES))
    namespace = vars(losses).copy()
    exec(value_and_gradient, namespace)
    theirs = runpy.run_path(str(ROOT / "tests/engine/test_losses.py"))
    exec(oracle, theirs)
    logits, y = theirs["make_logits"](rng)
    targets = losses.target_table(5, 0.0, logits).T[:, y]
    loss = namespace["LOSSES"]["squared_hinge"]
    value, gradient = loss.value(logits, targets), loss.gradient(logits, targets)
    rows = logits[0].T.clone().requires_grad_()
    expected = theirs["ORACLES"]["squared_hinge"](rows, y, 0.0)
    expected.sum().backward()
    np.testing.assert_allclose(value[0], expected.detach(), rtol=1e-12)
    np.testing.assert_allclose(gradient[0].T, rows.grad, rtol=1e-10)
