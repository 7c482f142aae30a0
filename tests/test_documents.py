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
    code, *others = code_blocks(path)
    exec(compile(code, path, "exec"), {})
    score = float(capsys.readouterr().out.split()[-1])
    assert 0.9 < score < 1
    for block in others:
        assert "\nassert " in block  # which says itself what it is to show
        exec(compile(block, path, "exec"), {})


def test_what_scikit_learn_has_is_found_again():
    """The blocks of the page compare with scikit-learn themselves."""
    blocks, namespace = code_blocks("docs/coming_from_scikit_learn.md"), {}
    compared = [block.count("np.testing.assert_") for block in blocks]
    assert len(compared) >= 4
    assert all(compared)
    for block in blocks:
        exec(compile(block, "docs/coming_from_scikit_learn.md", "exec"), namespace)


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
