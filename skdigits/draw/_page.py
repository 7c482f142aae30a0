"""One HTML file with models inside, which needs no network."""

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from sklearn.base import BaseEstimator

from skdigits._files import file_to_write, write_text
from skdigits.draw._export import exported
from skdigits.draw._steps import Shape

TITLE = "Draw a digit"


def page(
    model: BaseEstimator,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = TITLE,
    compare: BaseEstimator | Sequence[BaseEstimator] | None = None,
    image_shape: Shape | None = None,
) -> str:
    """Write a page on which one draws a digit, and sees what models make of it.

    The page is one HTML file with the weights inside. It asks no network for anything,
    and runs in any browser, on phones, too. It shows the stroke, the picture that the
    model gets, the logit and the probability of each class, and the answer; of
    templates also the distance to each.

    Parameters
    ----------
    model : estimator
        Fitted `TemplateMatchingClassifier`, `SoftmaxRegression`, `MLPClassifierTorch`
        or `ConvNetClassifier` of grey images, alone or in a Pipeline behind
        `DigitNormalizer`, `Deskew` and `CenterByMass`. The best estimator of a search
        and what a FrozenEstimator holds count as well.
    path : str or path-like, default=None
        File to write. None writes none.
    title : str, default="Draw a digit"
        Title of the page.
    compare : estimator or list of estimators, default=None
        More models, which see the same stroke.
    image_shape : tuple (height, width), default=None
        Shape of the images that a model without a `DigitNormalizer` was fitted to. None
        is the model's own ``image_shape``, or a square.

    Returns
    -------
    str
        The page.

    Raises
    ------
    TypeError
        If a model is of another kind. The message says how to draw for it all the same:
        by ``python -m skdigits.draw``.
    ValueError
        If a model has several labels a sample, images with colours or of an unknown
        shape, or was fitted to numbers below 0; or if ``title`` is no text.
    sklearn.exceptions.NotFittedError
        If a model is not fitted.
    OSError
        If ``path`` is a folder, its folder is missing, or it cannot be written.

    See Also
    --------
    DrawDisplay : The page in a notebook.
    skdigits.preprocessing.DigitNormalizer : What makes drawings like MNIST's digits.

    Notes
    -----
    The weights are float32, so that probabilities are Python's to 1e-6. A page with a
    `ConvNetClassifier` of default size has 358 KiB. Its policy forbids the browser to
    load anything, and to run any other script.

    ``clean_up=True`` of a `DigitNormalizer` is left out: a drawing has no shadows,
    printed lines or specks. A line across the canvas, or a dot far from the digit, is
    ink of the drawing, which Python would take off.

    Drawings of a model without a `DigitNormalizer` are scaled and centred by the page,
    as `DigitNormalizer` does, to 20/28 of the image as in MNIST. If digits fill more
    of the images, or less, put a `DigitNormalizer` in front of the classifier before
    it is fitted.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from skdigits import SoftmaxRegression, TemplateMatchingClassifier
    >>> from skdigits.draw import page
    >>> from skdigits.preprocessing import DigitNormalizer
    >>> X, y = load_digits(return_X_y=True)
    >>> softmax = SoftmaxRegression(max_iter=5, tol=None)
    >>> model = make_pipeline(DigitNormalizer(), softmax).fit(X, y)
    >>> mean = make_pipeline(DigitNormalizer(), TemplateMatchingClassifier()).fit(X, y)
    >>> file = pathlib.Path(tempfile.mkdtemp(), "digits.html")
    >>> html = page(model, file, compare=mean)
    >>> file.read_text(encoding="utf-8") == html
    True
    """
    file = None if path is None else file_to_write(path)
    models = [exported(model, image_shape)]
    for name, other in several(compare).items():
        models.append(exported(other, image_shape, name))
    made = composed(title, {"models": named(models)})

    if file is not None:
        write_text(file, made)
    return made


def several(
    compare: BaseEstimator | Sequence[BaseEstimator] | None,
) -> dict[str, BaseEstimator]:
    """Return what a model is compared with, by what an error calls each."""
    if compare is None:
        return {}
    if not isinstance(compare, list | tuple):
        return {"compare": compare}
    return {f"compare[{place}]": one for place, one in enumerate(compare)}


def named(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return models with a title each, no two the same, and a note on their pixels."""
    titles = [model["name"].split(" → ")[-1] for model in models]
    for place, model in enumerate(models):
        title = titles[place]
        number = titles[:place].count(title) + 1
        model["title"] = title if titles.count(title) == 1 else f"{title} {number}"
        model["note"] = _note(model)
    return models


def _note(model: dict[str, Any]) -> str:
    if not model["own"]:
        return str(model["name"])
    return (
        f"{model['name']}. The page itself scales and centres the drawing, as "
        "DigitNormalizer does."
    )


def composed(title: str, data: dict[str, Any], *, asks: bool = False) -> str:
    """Return the HTML of a page; with ``asks``, it may talk to its server.

    Raises
    ------
    ValueError
        If ``title`` is no text.
    """
    _check_title(title)
    folder = files("skdigits.draw")
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    script = folder.joinpath("page.js").read_text(encoding="utf-8")
    filled = {
        "policy": _policy(style, script, asks),
        "title": html.escape(title),
        "style": style,
        "script": script,
        "data": _inert(data),
    }
    whole = folder.joinpath("page.html").read_text(encoding="utf-8")
    # In one pass: what is filled in is not searched for places to fill.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: filled[found[1]], whole)


def _check_title(title: str) -> None:
    if not isinstance(title, str):
        raise ValueError(f"title={title!r} must be a str.")
    # Half of a surrogate pair, as of a byte on the command line that is no UTF-8.
    try:
        title.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"title={title!r} has a character that UTF-8 cannot express: write it anew."
        ) from error


def _policy(style: str, script: str, asks: bool) -> str:
    """Return the policy that lets the page's own script and style be, and no more."""
    rules = [
        "default-src 'none'",
        f"script-src '{_hash(script)}'",
        f"style-src '{_hash(style)}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join([*rules, "connect-src 'self'"] if asks else rules)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _inert(data: dict[str, Any]) -> str:
    """Return JSON that cannot end its element, whatever the labels are."""
    text = json.dumps(data, allow_nan=False)
    return re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", text)
