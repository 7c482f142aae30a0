"""The page as a file: what is in it, and which models it refuses."""

import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.draw import DrawDisplay, page
from skdigits.engine.activations import ACTIVATIONS
from skdigits.preprocessing import DigitNormalizer


@pytest.fixture(scope="module")
def templates(digits):
    X, y = digits
    return TemplateMatchingClassifier().fit((X * 255).astype(np.uint8), y)


class Elements(HTMLParser):
    """Elements of a page: name, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        self.found.append([f"/{tag}", {}, ""])

    def handle_data(self, data):
        if self.found:
            self.found[-1][2] += data

    def all(self, tag):
        return [one[1:] for one in self.found if one[0] == tag]


def data_of(text):
    return json.loads(re.search('id="data">(.*?)</script>', text)[1])


def test_a_page_is_one_file_that_allows_its_own_script_and_style_alone(templates):
    elements = Elements(page(templates))
    policy = next(
        attrs["content"]
        for attrs, _ in elements.all("meta")
        if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.split(maxsplit=1) for rule in policy.split("; "))

    for rule, tag in {"script-src": "script", "style-src": "style"}.items():
        texts = [text for attrs, text in elements.all(tag) if "type" not in attrs]
        digests = [hashlib.sha256(text.encode()).digest() for text in texts]
        allowed = [f"'sha256-{base64.b64encode(one).decode()}'" for one in digests]
        assert rules[rule].split() == allowed
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert rules.keys() <= {
        "default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"
    }  # fmt: skip

    loaded = [attrs.get("src") or attrs.get("href") for _, attrs, _ in elements.found]
    assert [one for one in loaded if one] == ["data:,"]
    assert not any("style" in attrs for _, attrs, _ in elements.found)


def test_a_page_of_the_default_convnet_has_at_most_400_kib(rng):
    X = rng.integers(0, 256, (40, 784)).astype(np.uint8)
    y = np.arange(40) % 10
    model = ConvNetClassifier(max_iter=1, random_state=0).fit(X, y)
    text = page(make_pipeline(DigitNormalizer(), model).fit(X, y))
    n_weights = sum(one.size for one in [*model.coefs_, *model.intercepts_])
    assert n_weights == 61_258
    assert n_weights * 4 * 4 / 3 < len(text.encode()) <= 400 * 1024


def test_hostile_labels_and_titles_stay_text(digits):
    X, y = digits
    hostile = "</script><img src=x onerror=alert(1)><!--"
    labels = np.where(y[:60] == 0, hostile, "{{script}}")
    model = TemplateMatchingClassifier().fit(X[:60], labels)
    text = page(model, title=f"{hostile}{{{{data}}}}")

    elements = Elements(text)
    assert not elements.all("img")
    assert len(elements.all("script")) == 2
    assert elements.all("title")[0][1] == f"{hostile}{{{{data}}}}"
    # HTML knows states of script that "<!--" begins.
    assert "<" not in re.search('id="data">(.*?)</script>', text)[1]
    assert set(data_of(text)["models"][0]["classes"]) == {hostile, "{{script}}"}


def test_a_page_is_written(templates, tmp_path):
    text = page(templates, tmp_path / "digits.html", title="Ziffern")
    assert (tmp_path / "digits.html").read_bytes() == text.encode()
    assert "<h1>Ziffern</h1>" in text


PATHS = {
    "none/a.html": (FileNotFoundError, r"path='.*a.html' cannot .* folder '.*none'\."),
    "file/a.html": (NotADirectoryError, r"path='.*a.html' .* file' is a file, and not"),
    "": (IsADirectoryError, r"path='.*' is a folder: name a file in it, such as '"),
    300 * "a": (
        OSError,
        r"path='.*aaa' cannot be written: File name too long\. Choose",
    ),
}


@pytest.mark.parametrize("name", PATHS)
def test_what_cannot_be_written_is_named(templates, tmp_path, name):
    (tmp_path / "file").write_bytes(b"")
    error, message = PATHS[name]
    with pytest.raises(error, match=message.replace(" file'", r".*file'")):
        page(templates, tmp_path / name)
    assert (tmp_path / "file").read_bytes() == b""


def test_a_path_is_a_string_or_path_like(templates):
    with pytest.raises(TypeError, match="path=5 must be a str or path-like"):
        page(templates, 5)


def test_models_that_are_compared_have_titles_of_their_own(templates, digits):
    softmax = SoftmaxRegression(max_iter=1, tol=None).fit(*digits)
    text = page(templates, compare=[softmax, templates])
    assert [model["title"] for model in data_of(text)["models"]] == [
        "TemplateMatchingClassifier 1",
        "SoftmaxRegression",
        "TemplateMatchingClassifier 2",
    ]
    assert len(data_of(page(templates, compare=softmax))["models"]) == 2


def test_wrappers_are_looked_into(digits):
    X, y = digits
    model = make_pipeline(DigitNormalizer(), SoftmaxRegression(max_iter=1, tol=None))
    search = GridSearchCV(model, {"softmaxregression__alpha": [0.0]}, cv=2)
    outer = make_pipeline("passthrough", FrozenEstimator(search.fit(X, y)))
    (found,) = data_of(page(outer.fit(X, y)))["models"]
    assert found["name"] == "DigitNormalizer → SoftmaxRegression"
    assert [step["kind"] for step in found["steps"]] == ["normalise"]


SOFTMAX = SoftmaxRegression(max_iter=1, tol=None)
SERVER = r"python -m skdigits\.draw model\.joblib"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LogisticRegression(max_iter=5000), f"LogisticRegression: .* {SERVER}"),
        (make_pipeline(StandardScaler(), SOFTMAX), f"StandardScaler: .* {SERVER}"),
    ],
)
def test_other_models_are_referred_to_the_server(digits, model, message):
    with pytest.raises(TypeError, match=f"A page cannot compute {message}"):
        page(model.fit(*digits))


def test_a_clean_up_is_left_out(digits):
    X, y = digits
    normaliser = DigitNormalizer(clean_up=True)
    model = make_pipeline(normaliser, SOFTMAX).fit(X, y)
    (found,) = data_of(page(model))["models"]
    normaliser.set_params(clean_up=False)
    (plain,) = data_of(page(model))["models"]
    assert found == plain
    assert [step["kind"] for step in found["steps"]] == ["normalise"]


def test_a_subclass_may_compute_something_else(digits):
    class Other(SoftmaxRegression):
        pass

    with pytest.raises(TypeError, match="A page cannot compute Other"):
        page(Other(max_iter=1, tol=None).fit(*digits))


def test_no_models_are_refused(digits):
    X, y = digits
    with pytest.raises(NotFittedError, match="model=SoftmaxRegression is not fitted"):
        page(SoftmaxRegression())
    with pytest.raises(ValueError, match="model=Pipeline has no steps"):
        page(Pipeline([]))
    with pytest.raises(TypeError, match=r"must be a fitted classifier .* got <class"):
        page(SoftmaxRegression)
    with pytest.raises(TypeError, match=r"must be a fitted classifier .* got str"):
        page("model.skops")
    with pytest.raises(TypeError, match="StandardScaler has no classes_"):
        page(StandardScaler().fit(X))
    search = GridSearchCV(SOFTMAX, {"alpha": [0.0]}, cv=2, refit=False).fit(X, y)
    with pytest.raises(ValueError, match="refit=False, and so no best_estimator_"):
        page(search)


@pytest.mark.parametrize("draw", [page, DrawDisplay])
def test_what_is_compared_is_named(templates, digits, draw):
    X, y = digits
    search = GridSearchCV(SOFTMAX, {"alpha": [0.0]}, cv=2, refit=False).fit(X, y)
    with pytest.raises(TypeError, match=r"compare must be a fitted .* got str"):
        draw(templates, compare="x")
    with pytest.raises(TypeError, match=r"compare\[1\] must be a fitted .* got None"):
        draw(templates, compare=[templates, None])
    with pytest.raises(NotFittedError, match="compare=SoftmaxRegression is not fitted"):
        draw(templates, compare=SoftmaxRegression())
    with pytest.raises(ValueError, match=r"compare\[0\]=GridSearchCV has refit=False"):
        draw(templates, compare=[search])
    with pytest.raises(TypeError, match="compare: StandardScaler has no classes_"):
        draw(templates, compare=StandardScaler().fit(X))


def test_models_of_no_grey_digit_are_refused(digits, rng):
    X, y = digits
    several = MLPClassifierTorch(4, max_iter=1, tol=None)
    with pytest.raises(ValueError, match=r"several labels a sample, .* fit it to one"):
        page(several.fit(X, np.stack([y > 3, y % 2], 1).astype(int)))

    colours = ConvNetClassifier(4, image_shape=(4, 4, 3), max_iter=1)
    with pytest.raises(ValueError, match=r"has 3 channels, but drawings are grey"):
        page(colours.fit(rng.random((20, 48)), np.arange(20) % 2))
    with pytest.raises(ValueError, match=r"to numbers from -1 to 1, .* fit it to pix"):
        page(SoftmaxRegression(max_iter=1, tol=None).fit(2 * X - 1, y))
    flat = TemplateMatchingClassifier().fit(X[:, :60], y)
    with pytest.raises(ValueError, match=r"60 features are none: pass image_shape="):
        page(flat)
    assert data_of(page(flat, image_shape=(6, 10)))["models"][0]["shape"] == [6, 10]
    with pytest.raises(ValueError, match=r"image_shape=\(6, 9\) is that of 54"):
        page(flat, image_shape=(6, 9))
    with pytest.raises(ValueError, match="title=3 must be a str"):
        page(flat, image_shape=(6, 10), title=3)


def test_an_activation_that_pages_do_not_know_is_refused(digits, monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "new", ACTIVATIONS["relu"])
    model = MLPClassifierTorch(4, max_iter=1, tol=None).fit(*digits)
    settings = [(k, "new" if k == "activation" else v) for k, v in model._settings]
    model._settings = tuple(settings)
    with pytest.raises(TypeError, match=r"activation='new': it knows identity, log"):
        page(model)


def test_a_notebook_shows_the_page_in_a_frame(templates):
    display = DrawDisplay(templates, title='"<b>', compare=templates, height=500)
    ((attributes, _),) = Elements(display._repr_html_()).all("iframe")
    assert attributes["srcdoc"] == page(templates, title='"<b>', compare=templates)
    assert html.escape('"<b>') in attributes["srcdoc"]
    assert attributes["sandbox"] == "allow-scripts"
    assert attributes["height"] == "500"
    with pytest.raises(ValueError, match="height=0 must be a whole number, 1 or more"):
        DrawDisplay(templates, height=0)
