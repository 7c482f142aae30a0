"""The guide's page on Kaggle's tables, with real digits in them."""

import re
from pathlib import Path

import pandas as pd
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "user_guide" / "kaggle.md"


@pytest.mark.mnist
def test_from_csv_to_submission(mnist, tmp_path):
    """The first block of the page makes tables of small digits; the rest is for all."""
    X_train, X_test, y_train, y_test = mnist
    names = [f"pixel{n}" for n in range(784)]
    train = pd.DataFrame(X_train[:1200], columns=names)
    train.insert(0, "label", y_train[:1200])
    train.to_csv(tmp_path / "train.csv", index=False)
    test = pd.DataFrame(X_test[:300], columns=names)
    test.to_csv(tmp_path / "test.csv", index=False)

    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    variables = {"folder": tmp_path}
    for block in blocks[1:]:
        exec(compile(block, str(PAGE), "exec"), variables)

    submission = pd.read_csv(tmp_path / "submission.csv")
    assert submission.columns.tolist() == ["ImageId", "Label"]
    assert submission["ImageId"].tolist() == list(range(1, 301))
    assert (submission["Label"] == y_test[:300]).mean() > 0.9
