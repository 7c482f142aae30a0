"""The page in Chromium: strokes, and the numbers that come of them."""

import base64
import math
import re
import threading

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.datasets import read_image_folder
from skdigits.draw import DrawDisplay, page
from skdigits.draw._drawings import Drawings
from skdigits.draw._page import composed
from skdigits.draw._reader import Reader
from skdigits.draw._server import DrawServer
from skdigits.preprocessing import CenterByMass, Deskew, DigitNormalizer

pytestmark = pytest.mark.browser
SHORT = {"max_iter": 3, "tol": None, "random_state": 0}
QUICK = SHORT | {"learning_rate_init": 0.05}
CLASSIFIERS = {
    "templates": TemplateMatchingClassifier(),
    "softmax": SoftmaxRegression(0.1, **SHORT),
    "mlp": MLPClassifierTorch(16, learning_rate_init=0.01, **SHORT),
    "convnet": ConvNetClassifier((4, 8), max_iter=3, random_state=0),
}
TRANSFORMERS = [
    (),
    (Deskew(),),
    (CenterByMass(),),
    (DigitNormalizer(size=12, digit_size=9, threshold=0.4),),
    (DigitNormalizer(size=14, digit_size=10, invert=True), Deskew()),
    (DigitNormalizer(size=9, digit_size=9, invert=False), CenterByMass(), Deskew()),
    (DigitNormalizer(size=40, digit_size=28), DigitNormalizer(size=10, digit_size=7)),
]


def arc(x, y, width, height, start, end):
    """Return points of an arc of an ellipse; degrees count clockwise from the right."""
    angles = np.radians(np.linspace(start, end, 25))
    across = x + width * np.cos(angles)
    down = y + height * np.sin(angles)
    return np.stack([across, down], 1).tolist()


# Of a stroke, in parts of the canvas: an open curve that leans.
SEVEN = [(0.3, 0.25), (0.7, 0.22), (0.72, 0.3), (0.55, 0.55), (0.45, 0.8)]
BAR = [(0.42, 0.55), (0.68, 0.53)]
DRAWINGS = {
    "0": [arc(0.5, 0.5, 0.2, 0.3, -90, 270)],
    "0 as large as the canvas": [arc(0.5, 0.5, 0.5, 0.5, -90, 270)],
    "0 with corners": [
        [(0.25, 0.2), (0.75, 0.2), (0.75, 0.8), (0.25, 0.8), (0.25, 0.2)]
    ],
    "1": [[(0.5, 0.2), (0.5, 0.8)]],
    "1 from edge to edge": [[(0.5, 0), (0.5, 1)]],
    "2": [[*arc(0.5, 0.35, 0.18, 0.17, 180, 370), (0.32, 0.8), (0.7, 0.8)]],
    "3": [arc(0.48, 0.35, 0.17, 0.15, 200, 450) + arc(0.48, 0.65, 0.2, 0.15, -90, 160)],
    "4": [[(0.5, 0.2), (0.3, 0.55), (0.7, 0.55)], [(0.6, 0.35), (0.6, 0.82)]],
    "5 in parts": [
        [(0.35, 0.2), (0.35, 0.48), *arc(0.47, 0.62, 0.19, 0.17, -120, 150)],
        [(0.45, 0.2), (0.8, 0.2)],
    ],
    "6": [[(0.6, 0.18), (0.42, 0.4), *arc(0.5, 0.66, 0.16, 0.15, 180, 540)]],
    "7": [SEVEN, BAR],
    "7 along the edges": [[(0, 0.02), (1, 0.02), (0.6, 1)]],
    "8": [arc(0.5, 0.35, 0.13, 0.13, 90, 450) + arc(0.5, 0.65, 0.17, 0.16, -90, 270)],
    "9": [[*arc(0.5, 0.36, 0.15, 0.15, 0, 360), (0.64, 0.5), (0.58, 0.8)]],
    "a tap": [[(0.5, 0.4)]],
    "a tap in the corner": [[(0.02, 0.02)]],
    "a small triangle": [[(0.02, 0.05), (0.1, 0.05), (0.05, 0.15), (0.02, 0.05)]],
    "two taps": [[(0.3, 0.3)], [(0.7, 0.7)]],
}


@pytest.fixture(scope="module")
def pixels(digits):
    X, y = digits
    return (X * 255).astype(np.uint8), y


@pytest.fixture
def visit(browser, tmp_path):
    """Open a page, of models or given as text; every error on it fails the test."""
    contexts = []

    def visit_page(*models, text=None, **settings):
        file = tmp_path / f"{len(contexts)}.html"
        file.write_text(text or page(models[0], compare=models[1:]), encoding="utf-8")
        settings = {"viewport": {"width": 1000, "height": 800}} | settings
        context = browser.new_context(**settings)
        contexts.append(context)
        tab = context.new_page()
        tab.asked = []
        tab.errors = []
        tab.on("request", lambda request: tab.asked.append(request.url))
        tab.on("pageerror", lambda error: tab.errors.append(str(error)))
        tab.goto(file.as_uri())
        return tab

    yield visit_page
    errors = [error for each in contexts for tab in each.pages for error in tab.errors]
    for context in contexts:
        context.close()
    assert errors == []


def place(tab, point):
    box = tab.locator("#canvas").bounding_box()
    return box["x"] + point[0] * box["width"], box["y"] + point[1] * box["height"]


def settle(tab):
    """Wait until the page has drawn what happened."""
    tab.evaluate(
        "new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))"
    )


def stroke(tab, points=SEVEN):
    first, *others = (place(tab, point) for point in points)
    tab.mouse.move(*first)
    tab.mouse.down()
    for one in others:
        tab.mouse.move(*one, steps=4)
    tab.mouse.up()
    settle(tab)


def draw(tab, strokes):
    """Draw strokes at once, without a mouse."""
    tab.evaluate(
        """strokes => {
        ink.clear();
        for (const stroke of strokes) {
            const [first, ...others] = stroke.map(([x, y]) =>
                ({ x: x * SIDE, y: y * SIDE }));
            ink.begin(first);
            others.forEach((point) => ink.extend(point));
        }
        update();
        }""",
        strokes,
    )


def drawing(tab, dark=False):
    """Return the pixels of the page's own drawing."""
    content = base64.b64decode(tab.evaluate("dark => skdigits.drawing(dark)", dark))
    side = math.isqrt(len(content))
    return np.frombuffer(content, np.uint8).reshape(side, side)


def packed(pixels):
    return base64.b64encode(np.ascontiguousarray(pixels)).decode()


def results(tab):
    """Return the results that the panels show."""
    return tab.evaluate(
        "panels.map(p => p.result && {...p.result, "
        "image: [...p.result.image.values], logits: [...(p.result.logits ?? [])]})"
    )


def shown(tab, panel=0):
    """Return the probabilities as the table has them, in per cent."""
    rows = tab.locator(".panel").nth(panel).locator("tbody tr")
    texts = [row.locator("td").last.text_content() for row in rows.all()]
    return [float(text.removesuffix("\N{NO-BREAK SPACE}%")) for text in texts if text]


# Numbers: the oracle is the model in Python, on the pixels of the page.


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_page_computes_what_python_does(visit, pixels, name):
    """Behind every transformer; without a normaliser, the page has its own."""
    X, y = (array[:600] for array in pixels)
    images = X.reshape(-1, 8, 8)
    models = []
    oracles = []
    for steps in TRANSFORMERS:
        own = not any(isinstance(one, DigitNormalizer) for one in steps)
        model = clone(make_pipeline(*steps, CLASSIFIERS[name]))
        if own:
            to_size = DigitNormalizer()
            model.fit(to_size.fit_transform(images), y)
            oracles.append(
                lambda a, m=model, d=to_size: m.predict_proba(d.transform(a))
            )
        else:
            model.fit(255 - images if steps[0].invert is True else images, y)
            oracles.append(model.predict_proba)
        models.append(model)

    tab = visit(*models)
    for points in (SEVEN, BAR):
        stroke(tab, points)
        found = results(tab)
        for steps, oracle, one in zip(TRANSFORMERS, oracles, found, strict=True):
            dark = bool(steps) and getattr(steps[0], "invert", None) is True
            expected = oracle(drawing(tab, dark)[np.newaxis])[0]
            np.testing.assert_allclose(one["probabilities"], expected, atol=1e-3)
            assert one["label"] == expected.argmax()
            assert np.ptp(expected) > 0.01

    for panel, one in enumerate(found):
        expected = np.round(100 * np.array(one["probabilities"]), 1)
        np.testing.assert_allclose(shown(tab, panel), expected, atol=0.051)


def test_what_a_model_sees_is_what_the_normaliser_makes(visit, pixels):
    X, y = pixels
    normaliser = DigitNormalizer()
    model = make_pipeline(normaliser, TemplateMatchingClassifier())
    tab = visit(model.fit(X.reshape(-1, 8, 8), y))
    stroke(tab)
    expected = normaliser.transform(drawing(tab)[np.newaxis])[0]
    found = 255 * np.array(results(tab)[0]["image"])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert expected.max() == 255


@pytest.mark.parametrize("invert", ["auto", True, False])
def test_a_drawing_is_clean_already(visit, pixels, invert):
    """The page leaves a clean-up out, which in Python leaves a drawing as it is."""
    X, y = (array[:600] for array in pixels)
    dark = invert is True
    images = (255 - X if dark else X).reshape(-1, 8, 8)
    normaliser = DigitNormalizer(clean_up=True, invert=invert)
    rows = normaliser.fit_transform(images)
    classifiers = [clone(one).fit(rows, y) for one in CLASSIFIERS.values()]

    tab = visit(*(make_pipeline(normaliser, one) for one in classifiers))
    labels = set()
    for strokes in DRAWINGS.values():
        draw(tab, strokes)
        row = normaliser.transform(drawing(tab, dark)[np.newaxis])
        for found, classifier in zip(results(tab), classifiers, strict=True):
            expected = classifier.predict_proba(row)[0]
            np.testing.assert_allclose(found["probabilities"], expected, atol=1e-2)
            labels.add(found["label"])
    assert len(labels) > 5


SETTINGS = {
    "two classes, templates": TemplateMatchingClassifier(metric="cosine"),
    "two classes, softmax": SoftmaxRegression(0.1, **SHORT),
    "two classes, mlp": MLPClassifierTorch((12, 7), activation="tanh", **QUICK),
    "two classes, convnet": ConvNetClassifier((3, 6), max_iter=2, random_state=0),
    "medoids": TemplateMatchingClassifier(n_templates=3, metric="mae", random_state=0),
    "sigmoid": MLPClassifierTorch(
        9, activation="logistic", loss="sigmoid_mse", **QUICK | {"max_iter": 30}
    ),
    "squares": SoftmaxRegression(0.1, loss="softmax_mse", **SHORT),
    "linear": MLPClassifierTorch(9, activation="identity", **QUICK),
    "convnet": ConvNetClassifier(
        (3, 5, 5, 9), activation="tanh", max_iter=2, random_state=0
    ),
    "plain numbers": TemplateMatchingClassifier(pixels=False),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_classifiers(visit, pixels, name):
    X, y = pixels
    if name.startswith("two"):
        X = X[y < 2]
        y = np.array(["zero", "one"])[y[y < 2]]
    model = clone(SETTINGS[name]).fit(X[:900], y[:900])
    tab = visit(model)
    found = [
        tab.evaluate("row => skdigits.classify(0, row)", packed(row)) for row in X[-60:]
    ]
    proba = np.array([one["probabilities"] for one in found])
    np.testing.assert_allclose(proba, model.predict_proba(X[-60:]), atol=1e-5)
    labels = [model.classes_[one["label"]] for one in found]
    np.testing.assert_array_equal(labels, model.predict(X[-60:]))
    assert len(set(labels)) > 1

    stroke(tab)
    (one,) = results(tab)
    assert tab.locator(".answer").text_content() == str(model.classes_[one["label"]])
    if len(model.classes_) == 2:
        decision = model.decision_function(X[-1:])[0]
        logits = found[-1]["logits"]
        assert logits[1] - logits[0] == pytest.approx(decision, abs=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("largest", [16, 1])
def test_full_ink_is_the_largest_number_of_the_fit(visit, digits, largest, dtype):
    X, y = digits
    model = MLPClassifierTorch(16, learning_rate_init=0.01, **SHORT)
    model.fit((X * largest).astype(dtype), y)
    tab = visit(model)
    stroke(tab)
    normaliser = DigitNormalizer(size=8, digit_size=6)
    given = drawing(tab)[np.newaxis] / (255 if largest > 1 else 1)
    row = normaliser.transform(given if largest > 1 else given.astype(np.uint8))
    expected = model.predict_proba(row * largest if largest > 1 else row)[0]
    np.testing.assert_allclose(results(tab)[0]["probabilities"], expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(16, 11), (9, 20)])
def test_images_that_are_not_square(visit, pixels, shape):
    """The digit lies in the middle of the image, in a square of the shorter side."""
    X, y = pixels
    side = min(shape)
    normaliser = DigitNormalizer(size=side, digit_size=round(side * 20 / 28))
    down, right = (n // 2 - side // 2 for n in shape)
    margins = [
        (0, 0),
        *((a, n - side - a) for a, n in zip((down, right), shape, strict=True)),
    ]

    def prepare(images):
        square = normaliser.fit_transform(images).reshape(-1, side, side)
        return np.pad(square, margins).reshape(len(images), -1)

    rows = prepare(X.reshape(-1, 8, 8))
    settings = {"max_iter": 2, "image_shape": shape, "random_state": 0}
    convnet = ConvNetClassifier((3, 6), **settings)
    upright = make_pipeline(Deskew(image_shape=shape), convnet)
    models = [convnet.fit(rows, y), upright.fit(rows, y)]
    tab = visit(*models)
    stroke(tab)
    row = prepare(drawing(tab)[np.newaxis])
    for model, found in zip(models, results(tab), strict=True):
        expected = model.predict_proba(row)[0]
        np.testing.assert_allclose(found["probabilities"], expected, atol=1e-3)
        assert len(found["image"]) == math.prod(shape)


@pytest.mark.mnist
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_thousand_digits_of_mnist(visit, mnist, name):
    X_train, X_test, y_train, _ = mnist
    model = make_pipeline(DigitNormalizer(), clone(CLASSIFIERS[name]))
    model.fit(X_train[:2000], y_train[:2000])
    tab = visit(model, model[-1])
    rows = [packed(row) for row in X_test[:1000]]
    found = tab.evaluate(
        "rows => [rows.map(r => skdigits.read(0, r, 28, 28).probabilities),"
        " rows.map(r => skdigits.classify(1, r).probabilities)]",
        rows,
    )
    X = X_test[:1000]
    np.testing.assert_allclose(found[0], model.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(found[1], model[-1].predict_proba(X), atol=1e-5)


# Strokes.


@pytest.fixture(scope="module")
def simple(pixels):
    return TemplateMatchingClassifier().fit(*pixels)


def touch(tab, kind, *points):
    """Send a touch event with all fingers that are down, as a touchscreen does."""
    if not hasattr(tab, "device"):
        tab.device = tab.context.new_cdp_session(tab)
    fingers = []
    for number, point in enumerate(points):
        x, y = place(tab, point)
        fingers.append({"x": x, "y": y, "id": number})
    tab.device.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    settle(tab)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_drawing_does_not_depend_on_the_screen(visit, simple, scale):
    """The ink is within the pen's radius of the stroke, in pixels of the drawing."""
    tab = visit(simple, device_scale_factor=scale)
    stroke(tab, [(0.25, 0.5), (0.75, 0.5)])
    found = drawing(tab)
    assert found.shape == (420, 420)
    assert tab.evaluate("[canvas.width, canvas.height]") == [420, 420]
    rows, columns = np.nonzero(found > 127)
    box = tab.locator("#canvas").bounding_box()
    pixel = 420 / box["width"]  # the mouse has whole places
    np.testing.assert_allclose(
        [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1],
        [210 - 16, 210 + 16, 105 - 16, 315 + 16],
        atol=1 + pixel,
    )


@pytest.mark.parametrize("finger", [False, True])
def test_a_tap_leaves_a_disc(visit, simple, finger):
    tab = visit(simple, has_touch=finger)
    assert not drawing(tab).any()
    if finger:
        touch(tab, "touchStart", (0.5, 0.4))
        touch(tab, "touchEnd")
    else:
        tab.mouse.click(*place(tab, (0.5, 0.4)))
        settle(tab)
    ink = drawing(tab) / 255
    assert ink.sum() == pytest.approx(math.pi * 16**2, rel=0.02)
    rows, columns = np.nonzero(ink)
    assert (rows.mean(), columns.mean()) == pytest.approx((168, 210), abs=2)
    assert shown(tab)


def test_a_finger_draws_a_line_and_the_page_stays(visit, simple):
    tab = visit(simple, has_touch=True, viewport={"width": 390, "height": 400})
    touch(tab, "touchStart", (0.5, 0.8))
    for y in (0.6, 0.4, 0.2):
        touch(tab, "touchMove", (0.5, y))
    touch(tab, "touchEnd")
    rows = np.nonzero(drawing(tab).any(1))[0]
    assert np.ptp(rows) == pytest.approx(0.6 * 420 + 32, abs=6)
    assert tab.evaluate("scrollY") == 0


def test_a_second_finger_is_harmless(visit, simple):
    tab = visit(simple, has_touch=True)
    touch(tab, "touchStart", (0.2, 0.2))
    touch(tab, "touchStart", (0.2, 0.2), (0.8, 0.8))
    touch(tab, "touchMove", (0.4, 0.2), (0.8, 0.6))
    touch(tab, "touchMove", (0.5, 0.2))  # the second finger is lifted
    touch(tab, "touchEnd")
    rows, columns = np.nonzero(drawing(tab))
    assert rows.max() < 0.3 * 420
    assert columns.max() == pytest.approx(0.5 * 420 + 16, abs=4)
    assert tab.evaluate("ink.strokes.length") == 1


def test_a_cancelled_pointer_ends_its_stroke(visit, simple):
    tab = visit(simple, has_touch=True)
    touch(tab, "touchStart", (0.2, 0.2))
    touch(tab, "touchMove", (0.4, 0.2))
    before = drawing(tab)
    touch(tab, "touchCancel")
    np.testing.assert_array_equal(drawing(tab), before)
    assert "TemplateMatchingClassifier" in tab.locator("#live").text_content()

    touch(tab, "touchStart", (0.8, 0.8))
    touch(tab, "touchEnd")
    after = drawing(tab)
    assert (after >= before).all()
    # No line leads from the end of the cancelled stroke to the new one.
    assert not after[210:300, 210:300].any()
    assert after[320:350, 320:350].any()


def test_a_mouse_without_its_button_draws_nothing(visit, simple):
    tab = visit(simple)
    tab.mouse.move(*place(tab, (0.2, 0.2)))
    tab.mouse.move(*place(tab, (0.8, 0.8)))
    tab.mouse.down(button="right")
    tab.mouse.move(*place(tab, (0.2, 0.8)))
    tab.mouse.up(button="right")
    assert not drawing(tab).any()


def test_a_stroke_ends_with_its_button_while_another_is_held(visit, simple):
    """Then no pointerup comes, but a pointermove without the button."""
    tab = visit(simple)
    tab.mouse.move(*place(tab, (0.2, 0.2)))
    tab.mouse.down()
    tab.mouse.move(*place(tab, (0.4, 0.2)))
    tab.evaluate(
        """([x, y]) => {
        const held = {pointerId: active, buttons: 2, clientX: x, clientY: y};
        canvas.dispatchEvent(new PointerEvent("pointermove", held));
        }""",
        place(tab, (0.8, 0.8)),
    )
    tab.mouse.up()
    stroke(tab, [(0.2, 0.6), (0.3, 0.6)])
    found = drawing(tab)
    assert found[84, 84:168].all()
    assert found[252, 84:126].all()
    assert not found[:, 210:].any()


def test_a_pointer_that_is_gone_does_not_block_the_next(visit, simple):
    tab = visit(simple)
    tab.evaluate(
        """() => {
        canvas.setPointerCapture = () => {
            delete canvas.setPointerCapture;
            throw new DOMException("gone", "NotFoundError");
        };
        const place = canvas.getBoundingClientRect();
        const gone = {pointerId: 77, button: 0, buttons: 1, bubbles: true};
        gone.clientX = place.left + place.width / 4;
        gone.clientY = place.top + place.height / 4;
        canvas.dispatchEvent(new PointerEvent("pointerdown", gone));
        }"""
    )
    stroke(tab, [(0.5, 0.7), (0.7, 0.7)])
    found = drawing(tab)
    assert found[105, 105]
    assert found[294, 210:294].all()
    assert tab.evaluate("ink.strokes.length") == 2


def test_no_place_between_two_frames_is_lost(visit, simple):
    """The oracle is the same detour in events of its own."""
    tab = visit(simple)
    detour = [(0.2, 0.5), (0.4, 0.9), (0.6, 0.1), (0.8, 0.5)]
    stroke(tab, detour)
    expected = drawing(tab)
    tab.keyboard.press("Escape")
    places = [dict(zip("xy", place(tab, point), strict=True)) for point in detour]
    tab.evaluate(
        """places => {
        const event = (kind, {x, y}) => new PointerEvent(kind, {
            pointerId: 5, button: 0, buttons: 1, clientX: x, clientY: y});
        const [first, ...others] = places;
        const last = event("pointermove", others.at(-1));
        last.getCoalescedEvents = () => others.map((p) => event("pointermove", p));
        canvas.setPointerCapture = () => {};
        canvas.dispatchEvent(event("pointerdown", first));
        canvas.dispatchEvent(last);
        canvas.dispatchEvent(event("pointerup", others.at(-1)));
        }""",
        places,
    )
    assert tab.evaluate("ink.strokes[0].length") == len(detour)
    # Events of the mouse stop at whole pixels of the screen on the way.
    differs = np.abs(drawing(tab).astype(int) - expected) > 127
    assert differs.sum() < 0.05 * (expected > 127).sum()


def test_a_stroke_goes_on_outside_the_canvas(visit, simple):
    tab = visit(simple)
    stroke(tab, [(0.5, 0.5), (1.3, 0.5), (1.3, 0.7), (0.5, 0.7)])
    columns = drawing(tab).any(0)
    assert columns[-1]
    assert drawing(tab)[280:300, 300].any()


UNDO = {
    "button": lambda tab: tab.locator("#undo").click(),
    "Ctrl-Z": lambda tab: tab.keyboard.press("Control+z"),
    "Cmd-Z": lambda tab: tab.keyboard.press("Meta+z"),
}
CLEAR = {
    "button": lambda tab: tab.locator("#clear").click(),
    "Esc": lambda tab: tab.keyboard.press("Escape"),
}


@pytest.mark.parametrize("way", UNDO)
def test_undo_takes_back_the_last_stroke(visit, simple, way):
    tab = visit(simple)
    stroke(tab)
    first = drawing(tab)
    probabilities = results(tab)[0]["probabilities"]
    stroke(tab, BAR)
    assert (drawing(tab) != first).any()
    UNDO[way](tab)
    settle(tab)
    np.testing.assert_array_equal(drawing(tab), first)
    assert results(tab)[0]["probabilities"] == probabilities
    UNDO[way](tab)
    settle(tab)
    assert not drawing(tab).any()
    UNDO[way](tab)  # there is nothing left
    settle(tab)
    assert results(tab) == [None]


@pytest.mark.parametrize("way", CLEAR)
def test_clear_can_be_taken_back(visit, simple, way):
    tab = visit(simple)
    stroke(tab)
    before = drawing(tab)
    CLEAR[way](tab)
    settle(tab)
    assert not drawing(tab).any()
    assert results(tab) == [None]
    tab.keyboard.press("Control+z")
    settle(tab)
    np.testing.assert_array_equal(drawing(tab), before)


def test_an_empty_canvas_says_nothing(visit, simple):
    tab = visit(simple)
    assert tab.locator(".answer").text_content() == ""
    assert tab.locator("#live").text_content() == ""
    assert shown(tab) == []
    assert tab.locator(".hint").is_visible()
    stroke(tab)
    assert len(shown(tab)) == 10
    assert not tab.locator(".hint").is_visible()
    tab.keyboard.press("Escape")
    settle(tab)
    assert tab.locator("#live").text_content() == ""
    assert shown(tab) == []


def test_keys_reach_every_button(visit, simple):
    tab = visit(simple)
    stroke(tab)
    stroke(tab, BAR)
    reached = []
    for _ in range(2):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("document.activeElement.id"))
    assert reached == ["undo", "clear"]
    tab.keyboard.press("Shift+Tab")
    tab.keyboard.press("Enter")
    settle(tab)
    assert tab.evaluate("ink.strokes.length") == 1
    tab.keyboard.press("Tab")
    tab.keyboard.press("Space")
    settle(tab)
    assert not drawing(tab).any()


def test_screen_readers_hear_the_answer_once_a_stroke_is_done(visit, simple):
    tab = visit(simple)
    live = tab.get_by_role("status")
    assert live.get_attribute("aria-live") == "polite"
    tab.mouse.move(*place(tab, (0.5, 0.2)))
    tab.mouse.down()
    tab.mouse.move(*place(tab, (0.5, 0.8)), steps=5)
    settle(tab)
    assert live.text_content() == ""
    assert tab.locator(".answer").text_content() != ""
    tab.mouse.up()
    settle(tab)
    label = tab.locator(".answer").text_content()
    pattern = rf"TemplateMatchingClassifier: {label} \([\d.]+\s%\)"
    assert re.fullmatch(pattern, live.text_content())
    assert tab.get_by_role("columnheader", name="probability").is_visible()


# What the page looks like, and what it must not do.


def test_templates_show_their_distances_and_pictures(visit, simple, pixels):
    tab = visit(simple)
    stroke(tab)
    row = DigitNormalizer(size=8, digit_size=6).transform(drawing(tab)[np.newaxis])
    expected = ((row / 255 - simple.templates_) ** 2).mean(1)
    rows = tab.locator("tbody tr").all()
    found = [float(one.locator("td").first.text_content()) for one in rows]
    np.testing.assert_allclose(found, expected, rtol=6e-3)

    picture = tab.locator("canvas.shape").nth(4)
    content = picture.evaluate(
        "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    )
    grey = np.array(content).reshape(8, 8, 4)[..., 0]
    shape = simple.templates_[4].reshape(8, 8)
    np.testing.assert_allclose(grey, 255 * shape / shape.max(), atol=1)


def test_many_classes_show_the_likeliest(visit, pixels):
    X, y = pixels
    y = np.where(np.arange(len(y)) % 2, y, y + 10)
    model = SoftmaxRegression(0.1, **SHORT).fit(X, y)
    tab = visit(model)
    stroke(tab)
    probabilities = np.array(results(tab)[0]["probabilities"])
    assert len(probabilities) == 20
    expected = np.sort(probabilities)[::-1][:10]
    np.testing.assert_allclose(shown(tab), 100 * expected, atol=0.051)
    best = tab.locator("tr.best th").text_content()
    assert best == str(model.classes_[probabilities.argmax()])


def server_page(*classes):
    """Return a page of a server with one model, M."""
    record = {"title": "M", "note": "", "classes": classes, "shape": [8, 8]}
    data = {"server": True, "save": False, "models": [record]}
    return composed("Draw", data, asks=True)


def test_an_answer_without_scores_comes_first_of_many_classes(visit):
    tab = visit(text=server_page(*map(str, range(20))))
    tab.evaluate("panels[0].show({label: 3, probabilities: null, logits: null})")
    names = tab.locator("tbody th span").all_text_contents()
    assert names == ["3", "0", "1", "2", "4", "5", "6", "7", "8", "9"]
    assert tab.locator("tr.best th").all_text_contents() == ["3"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_ink_is_legible_in_the_dark_and_the_pixels_stay(visit, simple, scheme):
    tab = visit(simple, color_scheme=scheme)
    stroke(tab)
    colour = tab.evaluate(
        "[...canvas.getContext('2d').getImageData(115, 105, 1, 1).data]"
    )
    x, y = 115, 105
    assert drawing(tab)[y, x] == colour[3]
    ground = tab.evaluate(
        "getComputedStyle(document.querySelector('.sheet')).backgroundColor"
    )
    brightness = float(re.search(r"\d+", ground)[0])
    inked = tab.evaluate("getComputedStyle(canvas).color")
    assert abs(float(re.search(r"\d+", inked)[0]) - brightness) > 150
    assert (brightness < 100) == (scheme == "dark")


@pytest.mark.parametrize("width", [320, 390, 568, 700, 862, 1400])
def test_nothing_is_wider_than_the_screen(visit, simple, pixels, width):
    X, y = pixels
    long = TemplateMatchingClassifier().fit(X, np.char.add("w" * 60, y.astype(str)))
    models = [simple, long, long, simple]
    tab = visit(*models, viewport={"width": width, "height": 800})
    stroke(tab)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    for panel in tab.locator(".panel").all():
        table = panel.locator("table").bounding_box()
        box = panel.bounding_box()
        assert table["x"] + table["width"] <= box["x"] + box["width"]


@pytest.mark.parametrize("size", [(568, 320), (667, 375), (844, 390), (390, 664)])
def test_canvas_and_buttons_fit_on_a_phone(visit, simple, size):
    width, height = size
    tab = visit(simple, viewport={"width": width, "height": height})
    for name in ("canvas", "undo", "clear"):
        box = tab.locator(f"#{name}").bounding_box()
        assert box["y"] + box["height"] <= height
        assert box["x"] + box["width"] <= width
    canvas = tab.locator("#canvas").bounding_box()
    assert canvas["width"] == pytest.approx(canvas["height"], abs=1)
    assert canvas["width"] >= 170


def test_four_panels_fit_into_the_frame_of_the_guide(visit, pixels):
    """Two by two, in the frame's 862 x 894 pixels."""
    X, y = pixels
    models = [
        make_pipeline(DigitNormalizer(), TemplateMatchingClassifier()).fit(X, y)
        for _ in range(4)
    ]
    tab = visit(*models, viewport={"width": 862, "height": 894})
    stroke(tab)
    boxes = [panel.bounding_box() for panel in tab.locator(".panel").all()]
    lefts = [box["x"] for box in boxes]
    tops = [box["y"] for box in boxes]
    assert lefts[0] == lefts[2] < lefts[1] == lefts[3]
    assert tops[0] == tops[1] < tops[2] == tops[3]
    assert max(box["y"] + box["height"] for box in boxes) <= 894


def test_a_bar_of_all_that_there_is_fills_its_column(visit, simple):
    tab = visit(simple)
    tab.evaluate(
        "panels[0].show({label: 0, probabilities: [1, ...Array(9).fill(0)], "
        "logits: null, distances: null})"
    )
    bar = tab.locator("tr.best .bar").bounding_box()
    column = tab.locator("tr.best .bars").bounding_box()
    table = tab.locator("table").bounding_box()
    assert bar["x"] + bar["width"] == pytest.approx(column["x"] + column["width"])
    assert column["width"] > 0.45 * table["width"]


def test_a_page_without_scripts_says_so(visit, simple):
    tab = visit(simple, java_script_enabled=False)
    message = tab.locator("noscript p")
    assert "computes with JavaScript, which is off here" in message.inner_text()
    assert message.is_visible()


def test_the_page_asks_nobody_for_anything(visit, simple):
    tab = visit(simple)
    stroke(tab)
    assert [url for url in tab.asked if not url.startswith("data:")] == [tab.url]


def test_the_policy_stops_whatever_is_smuggled_in(visit, simple):
    tab = visit(simple)
    stopped = tab.evaluate(
        """async () => {
        const stopped = [];
        document.addEventListener("securitypolicyviolation", (event) =>
            stopped.push(event.effectiveDirective));
        const add = (tag, values) =>
            document.body.append(Object.assign(document.createElement(tag), values));
        add("script", {textContent: "globalThis.smuggled = 1"});
        add("style", {textContent: "body { color: red }"});
        add("img", {src: "http://127.0.0.1:9/a.png"});
        add("iframe", {src: "http://127.0.0.1:9/"});
        await fetch("http://127.0.0.1:9/").catch(() => {});
        await new Promise((resolve) => setTimeout(resolve, 200));
        return stopped;
        }"""
    )
    assert {"script-src-elem", "style-src-elem", "img-src", "frame-src"} < set(stopped)
    assert "connect-src" in stopped
    assert tab.evaluate("globalThis.smuggled") is None


def test_hostile_labels_are_text(visit, pixels):
    X, y = pixels
    hostile = "</script><img src=x onerror=globalThis.smuggled=1>"
    labels = np.array([hostile, "<b>one</b>"])[y[y < 2]]
    model = TemplateMatchingClassifier().fit(X[y < 2], labels)
    tab = visit(text=page(model, title=hostile))
    stroke(tab)
    texts = tab.locator("tbody th span").all_text_contents()
    assert texts == [str(one) for one in model.classes_]
    assert tab.title() == hostile
    assert tab.locator("img, b").count() == 0
    assert tab.evaluate("globalThis.smuggled") is None


def test_a_notebook_shows_a_page_that_works(visit, simple):
    cell = DrawDisplay(simple)._repr_html_()
    tab = visit(text=f"<!DOCTYPE html><meta charset=utf-8><body>{cell}")
    frame = tab.frame_locator("iframe")
    frame.locator("#canvas").click()
    answer = frame.locator(".answer")
    answer.filter(has_text=re.compile(r"^\d$")).wait_for(timeout=10_000)
    assert answer.text_content() in set("0123456789")


def test_a_server_answers_the_page_and_files_drawings(browser, pixels, tmp_path):
    X, y = pixels
    forest = RandomForestClassifier(20, random_state=0)
    model = make_pipeline(DigitNormalizer(), forest).fit(X.reshape(-1, 8, 8), y)
    readers = [Reader(model, ink=255), Reader(CLASSIFIERS["templates"].fit(X, y))]
    folder = tmp_path / "drawings"
    server = DrawServer(readers, drawings=Drawings(folder, readers[0].classes))
    thread = threading.Thread(target=server.serve)
    thread.start()
    context = browser.new_context()
    try:
        tab = context.new_page()
        tab.goto(server.url)
        stroke(tab)
        tab.get_by_role("status").filter(has_text="RandomForest").wait_for()
        ink = drawing(tab)
        found = results_of_server(tab)
        expected = model.predict_proba(ink[np.newaxis])[0]
        np.testing.assert_allclose(found[0]["probabilities"], expected, atol=1e-9)
        seen = DigitNormalizer().transform(ink[np.newaxis])[0]
        np.testing.assert_allclose(255 * np.array(found[0]["image"]), seen, atol=1e-4)
        assert tab.locator("canvas.shape").count() == 10

        tab.get_by_role("button", name="7", exact=True).click()
        tab.get_by_role("alert").filter(has_text="Saved as").wait_for()
        assert not drawing(tab).any()
    finally:
        context.close()
        server.stop()
        thread.join()
        server.server_close()

    filed = read_image_folder(folder)
    assert filed.target.tolist() == [7]
    np.testing.assert_array_equal(filed.data[0], ink.ravel())


def results_of_server(tab):
    """Wait for the answer to the latest drawing."""
    tab.wait_for_function("!asking && panels[0].result")
    return results(tab)


def test_a_server_s_page_says_that_its_server_is_gone(visit):
    tab = visit(text=server_page("a", "b"))
    stroke(tab)
    alert = tab.get_by_role("alert")
    alert.filter(has_text="No answer: the server is gone").wait_for(timeout=10_000)
    assert tab.locator(".answer").text_content() == ""


LATE = """() => {
  globalThis.answers = [];
  post = () => new Promise((resolve, reject) => answers.push({resolve, reject}));
}"""
ANSWER = """([number, label]) => {
  const answer = {label, probabilities: [1 - label, label], image: ""};
  answers[number].resolve([answer]);
}"""


def test_an_answer_to_an_earlier_drawing_is_not_read_out(visit):
    tab = visit(text=server_page("a", "b"))
    live = tab.get_by_role("status")
    tab.evaluate(LATE)
    stroke(tab)
    stroke(tab, BAR)
    assert tab.evaluate("answers.length") == 1
    tab.evaluate(ANSWER, [0, 0])
    settle(tab)
    assert live.text_content() == ""
    assert tab.evaluate("answers.length") == 2
    tab.evaluate(ANSWER, [1, 1])
    settle(tab)
    assert re.fullmatch(r"M: b \(100\.0\s%\)", live.text_content())


def test_an_error_of_the_server_goes_with_the_next_answer(visit):
    tab = visit(text=server_page("a", "b"))
    alert = tab.get_by_role("alert")
    tab.evaluate(LATE)
    stroke(tab)
    stroke(tab, BAR)
    tab.evaluate("answers[0].reject(new Error('the model fails'))")
    settle(tab)
    assert alert.text_content() == "No answer: the model fails"
    tab.evaluate(ANSWER, [1, 1])
    settle(tab)
    assert alert.count() == 0
    assert tab.locator(".answer").text_content() == "b"
