"""Graphs from raw images on: transformers, and Pipelines that begin with them."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from onnxruntime import InferenceSession
from scipy import ndimage
from skl2onnx import get_latest_tested_opset_version, to_onnx
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    UInt8TensorType,
)
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import skdigits.onnx  # noqa: F401
from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.model_selection import BatchedGridSearchCV
from skdigits.onnx._transformers import check_expressible
from skdigits.preprocessing import CenterByMass, Deskew, DigitNormalizer

TYPES = {
    "uint8": UInt8TensorType,
    "float32": FloatTensorType,
    "float64": DoubleTensorType,
    "int64": Int64TensorType,
}
SIZES = [(1, 1), (1, 6), (5, 3), (8, 8), (28, 28), (28, 40), (33, 21), (120, 90)]
SIZES += [(64, 64), (150, 200)]
OPSETS = range(15, get_latest_tested_opset_version() + 1)
TRAINED = {"max_iter": 15, "tol": None, "random_state": 0, "learning_rate_init": 0.01}
MODELS = [
    TemplateMatchingClassifier(),
    SoftmaxRegression(**TRAINED),
    MLPClassifierTorch((16, 8), **TRAINED),
    ConvNetClassifier((3, 5), max_iter=1, learning_rate_init=0.05, random_state=0),
]


def normaliser(**parameters):
    """A DigitNormalizer without the clean-up, which no graph expresses."""
    return DigitNormalizer(clean_up=False, **parameters)


TRANSFORMERS = [
    normaliser(),
    normaliser(invert=True, threshold=0.0, size=12, digit_size=9),
    normaliser(invert=False, threshold=0.6, size=21, digit_size=21),
    Deskew(),
    CenterByMass(),
]


def as_dtype(images, dtype):
    """Fractions in a dtype; integers are pixels."""
    return (images * (255 if "int" in dtype else 1)).astype(dtype)


def enlarged(digits, shape, rng):
    """Digits of scikit-learn in a size, each on paper of its own, some of it noisy."""
    factors = np.array(shape) / 8
    images = np.stack(
        [ndimage.zoom(d, factors, order=1, grid_mode=True, mode="grid-constant")
         for d in digits.reshape(-1, 8, 8)]
    )  # fmt: skip
    n = len(images)
    paper = rng.uniform(0, 1, (n, 1, 1))
    ink = np.where(paper < 0.5, rng.uniform(0.7, 1, (n, 1, 1)), 0.1)
    noise = rng.normal(0, 0.02, images.shape) * (rng.random((n, 1, 1)) < 0.5)
    made = (paper + (ink - paper) * images + noise).clip(0, 1)
    made[0] = 0
    made[1] = 0.3
    made[2] = 1
    return made


@pytest.fixture(scope="module")
def raw(digits):
    """Ten arrays of images, each of a size of its own, with three blank ones."""
    rng = np.random.default_rng(0)
    return [
        enlarged(digits[0][100 * n : 100 * n + 100], size, rng)
        for n, size in enumerate(SIZES)
    ]


@pytest.fixture(scope="module")
def small(digits):
    """1,000 digits (8, 8) as fractions, and their labels."""
    return digits[0][:1000].reshape(-1, 8, 8), digits[1][:1000]


def session(model, dtype, shape=(None, None, None), **settings):
    """A graph for images of any size, by default."""
    types = [("X", TYPES[dtype](list(shape)))]
    graph = to_onnx(model, initial_types=types, **settings)
    return InferenceSession(graph.SerializeToString())


def responses(model, dtype, images):
    options = {id(model): {"zipmap": False}}
    return session(model, dtype, options=options).run(None, {"X": images})


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=str)
@pytest.mark.parametrize("dtype", TYPES)
def test_transformers_agree(transformer, dtype, raw):
    """In uint8 to the last bit, blank images and single pixels included."""
    graph = session(transformer, dtype)
    tolerance = {"uint8": 0, "float32": 1e-6, "float64": 1e-11, "int64": 255e-11}
    for images in raw:
        X = as_dtype(images, dtype)
        if dtype == "int64":  # a fit decides whether they are pixels
            transformer = clone(transformer).fit(X)
            graph = session(transformer, dtype)
        (found,) = graph.run(None, {"X": X})
        expected = transformer.transform(X)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(
            found.astype(float), expected.astype(float), rtol=0, atol=tolerance[dtype]
        )
        assert expected[3:].any() or not expected.any()
    assert np.ptp(expected.astype(float), 0).max() > 0.5


@pytest.mark.parametrize("transformer", TRANSFORMERS[::3], ids=str)
@pytest.mark.parametrize("target_opset", OPSETS)
def test_opsets(transformer, target_opset, raw):
    for dtype in ("uint8", "float32"):
        graph = session(transformer, dtype, target_opset=target_opset)
        for images in raw[:6]:
            X = as_dtype(images[:10], dtype)
            (found,) = graph.run(None, {"X": X})
            expected = transformer.transform(X).astype(float)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_halves_of_grey_levels():
    """By whole numbers: means of four pixels, a quarter of them between two levels."""
    rng = np.random.default_rng(0)
    box = rng.integers(60, 256, (50, 40, 40))
    box[:, :2, :2] = 255
    images = np.pad(box, ((0, 0), (9, 11), (10, 12))).astype(np.uint8)
    sums = box.reshape(50, 20, 2, 20, 2).sum((2, 4))
    halves_up = (sums + 2) // 4
    assert (sums % 4 == 2).mean() > 0.2

    normalizer = normaliser(size=20)
    (found,) = session(normalizer, "uint8").run(None, {"X": images})
    for made in (found, normalizer.transform(images)):
        np.testing.assert_array_equal(made.reshape(50, 20, 20), halves_up)


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_floats_of_any_scale(scale, raw):
    X = (scale * (raw[4] - 0.5)).astype(np.float32)
    (found,) = session(normaliser(), "float32").run(None, {"X": X})
    np.testing.assert_allclose(found, normaliser().transform(X), atol=1e-6)


def test_a_photograph(digits):
    rng = np.random.default_rng(0)
    page = np.zeros((1, 3000, 2000))
    page[0, 700:2300, 300:1500] = enlarged(digits[0][20:24], (1600, 1200), rng)[3]
    X = (220 - 150 * page + rng.normal(0, 3, page.shape)).clip(0, 255).astype(np.uint8)
    (found,) = session(normaliser(), "uint8").run(None, {"X": X})
    np.testing.assert_array_equal(found, normaliser().transform(X))
    assert found.max() == 255


WITHOUT_PYTHON = """
import sys
import numpy as np
import onnxruntime

stored = np.load("expected.npz")
worst = 0.0
for name in sorted({key.split("/")[0] for key in stored.files}):
    session = onnxruntime.InferenceSession(name + ".onnx")
    for n in range(10):
        labels, proba = session.run(None, {"X": stored[f"{name}/X{n}"]})
        assert (labels == stored[f"{name}/labels{n}"]).all(), (name, n)
        worst = max(worst, float(abs(proba - stored[f"{name}/proba{n}"]).max()))
for module in ("torch", "skdigits", "sklearn"):
    assert module not in sys.modules, module
print(worst)
"""


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_one_graph_reads_raw_images_without_torch(model, raw, small, tmp_path):
    """1,000 images of ten sizes, by three Pipelines, in a process of its own."""
    behind = {
        "normalizer": make_pipeline(normaliser(), clone(model)),
        "several": make_pipeline(
            normaliser(size=16, digit_size=14), Deskew(), CenterByMass(),
            clone(model),
        ),
        "inverted": make_pipeline(
            normaliser(size=9, digit_size=8, invert=True), clone(model)
        ),
    }  # fmt: skip
    arrays = {}
    for name, dtype in zip(behind, ["uint8", "float32", "uint8"], strict=True):
        pipeline = behind[name].fit(as_dtype(small[0], dtype), small[1])
        options = {id(pipeline): {"zipmap": False}}
        types = [("X", TYPES[dtype]([None, None, None]))]
        graph = to_onnx(pipeline, initial_types=types, options=options)
        (tmp_path / f"{name}.onnx").write_bytes(graph.SerializeToString())
        for n, images in enumerate(raw):
            X = as_dtype(images, dtype)
            arrays[f"{name}/X{n}"] = X
            arrays[f"{name}/labels{n}"] = pipeline.predict(X)
            arrays[f"{name}/proba{n}"] = pipeline.predict_proba(X)
        assert np.ptp(arrays[f"{name}/proba4"], 0).max() > 0.05

    np.savez(tmp_path / "expected.npz", **arrays)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYTHON],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) <= 1e-5


def test_raw_images_are_read_as_what_they_are(raw, digits):
    """The graph is right where the labels are known: on enlarged digits."""
    X, y = digits
    model = SoftmaxRegression(random_state=0)
    pipeline = make_pipeline(normaliser(size=12, digit_size=9), model)
    pages = enlarged(X[1000:], (30, 30), np.random.default_rng(1))
    pipeline.fit(as_dtype(pages[3:], "uint8"), y[1003:])
    for n in (4, 7, 9):
        labels, _ = responses(pipeline, "uint8", as_dtype(raw[n], "uint8"))
        right = labels == y[100 * n : 100 * n + 100]
        assert right[3:].mean() > 0.75


def normalised(*steps):
    return make_pipeline(normaliser(size=12, digit_size=9), *steps)


SOFTMAX = SoftmaxRegression(**TRAINED)
TEMPLATES = TemplateMatchingClassifier()
TWO = [("a", normalised(SOFTMAX)), ("b", normalised(Deskew(), TEMPLATES))]
AROUND = {
    "nested": make_pipeline(normalised(Deskew()), "passthrough", SOFTMAX),
    "scaled": normalised(MinMaxScaler(), SOFTMAX),
    "standardised": normalised(Deskew(), StandardScaler(), SOFTMAX),
    "components": normalised(PCA(10, random_state=0), StandardScaler(), SOFTMAX),
    "union": normalised(
        FeatureUnion([("a", Deskew()), ("b", CenterByMass())]), SOFTMAX
    ),
    "scikit-learn's": normalised(LogisticRegression()),
    "searched": BatchedGridSearchCV(
        normalised(SOFTMAX), {"softmaxregression__alpha": [0.001, 0.1]}, cv=2
    ),
    "calibrated": CalibratedClassifierCV(normalised(SOFTMAX), cv=2),
    "temperature": CalibratedClassifierCV(
        normalised(LogisticRegression()), method="temperature", cv=2, ensemble=False
    ),
    "voting": VotingClassifier(TWO, voting="soft"),
    "mixed": VotingClassifier(
        [*TWO, ("c", normalised(StandardScaler(), LogisticRegression()))], voting="soft"
    ),
    "stacked": StackingClassifier(TWO, cv=2),
    "in front": normalised(
        VotingClassifier([("a", SOFTMAX), ("b", TEMPLATES)], voting="soft")
    ),
}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64"])
def test_pixels_stay_pixels_in_whatever_stands_around(around, dtype, small, raw):
    model = clone(AROUND[around])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "lbfgs failed to converge")
        model.fit(as_dtype(small[0][:500], dtype), small[1][:500])
    for images in (raw[4], raw[6]):
        X = as_dtype(images, dtype)
        labels, proba = responses(model, dtype, X)
        expected = model.predict_proba(X)
        assert np.ptp(expected, 0).max() > 0.05
        np.testing.assert_allclose(proba, expected, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(labels, model.predict(X))


def test_a_frozen_pipeline(small, raw):
    model = normalised(SOFTMAX).fit(as_dtype(small[0], "uint8"), small[1])
    X = as_dtype(raw[5], "uint8")
    labels, _ = responses(FrozenEstimator(model), "uint8", X)
    np.testing.assert_array_equal(labels, model.predict(X))


@pytest.mark.parametrize("transformer", TRANSFORMERS[::3], ids=str)
def test_rows(transformer, raw):
    """Square, and of a shape that is given."""
    for n, image_shape in ((4, None), (6, (33, 21))):
        rows = raw[n].astype(np.float32).reshape(100, -1)
        one = clone(transformer).set_params(image_shape=image_shape).fit(rows)
        expected = one.transform(rows)
        for columns in (rows.shape[1], None):
            graph = session(one, "float32", [None, columns])
            (found,) = graph.run(None, {"X": rows})
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)

    graph = to_onnx(one, rows[:1])
    assert graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value == 33 * 21


def test_inputs_that_have_no_graph():
    fitted = Deskew().fit(np.ones((2, 5, 5)))
    with pytest.raises(ValueError, match=r"has 36 pixels an image, but Deskew is expe"):
        session(fitted, "float32", [None, 6, 6])
    with pytest.raises(ValueError, match=r"has 36 pixels an image, but Deskew is expe"):
        session(fitted, "float32", [None, 36])
    with pytest.raises(
        ValueError, match=r"CenterByMass reads rows \(n, h \* w\) or im"
    ):
        session(CenterByMass(), "float32", [None, 6, 6, 3])
    with pytest.raises(ValueError, match=r"with the number of pixels, such as"):
        session(normaliser(), "uint8", [None, None])
    with pytest.raises(ValueError, match="digit_size=29 is more than size=28"):
        session(normaliser(digit_size=29), "uint8")
    with pytest.raises(ValueError, match="The 'threshold' parameter"):
        session(normaliser(threshold=2.0), "uint8")


class Cleaned(DigitNormalizer):
    """A transformer with one more step, which no graph expresses."""

    def __init__(self, *, size=28, clean="ruled"):
        super().__init__(size=size)
        self.clean = clean


def test_steps_that_a_graph_cannot_express_are_refused():
    message = r"Cleaned has clean='ruled', .* call set_params\(clean=False\) of it"
    with pytest.raises(NotImplementedError, match=message):
        check_expressible(Cleaned(), [None, None])
    check_expressible(Cleaned(clean=False), [None, None])


@pytest.mark.parametrize("transformer", TRANSFORMERS[2:], ids=str)
def test_every_parameter_is_expressed_or_refused(transformer, monkeypatch):
    """A transformer's graph does not leave out what a new parameter does."""
    names = transformer.get_params() | {"new": 1}
    monkeypatch.setattr(type(transformer), "get_params", lambda _, deep: names)
    with pytest.raises(NotImplementedError, match="has new=1, a step that ONNX cannot"):
        session(transformer, "uint8")


def test_the_graph_is_small():
    model = normaliser()
    graph = to_onnx(model, initial_types=[("X", FloatTensorType([None, None, None]))])
    operators = [node.op_type for node in graph.graph.node]
    assert len(operators) < 200
    assert operators.count("TopK") == 1
    assert operators.count("ArgMax") == 4
    assert "GridSample" not in operators


def test_a_clean_up_is_refused(small):
    X = as_dtype(small[0], "uint8")
    model = make_pipeline(DigitNormalizer(), TEMPLATES).fit(X, small[1])
    message = r"=True.* shape \(None, None\): call set_params\(clean_up=False\) of it"
    with pytest.raises(NotImplementedError, match=message):
        session(model, "uint8")
    with pytest.raises(NotImplementedError, match=r"clean_up=True.* \(41, 60\)"):
        session(model, "uint8", [None, 41, 60])

    model[0].set_params(clean_up=False)
    (found, *_) = session(model, "uint8").run(None, {"X": X})
    np.testing.assert_array_equal(found, model.predict(X))


@pytest.mark.parametrize("shape", [(None, 64), (None, 8, 8), (None, 40, None)])
def test_a_clean_up_leaves_cut_outs_alone(shape, small):
    X = as_dtype(small[0], "uint8")
    model = make_pipeline(DigitNormalizer(), TEMPLATES).fit(X.reshape(-1, 64), small[1])
    images = np.kron(X, np.ones((5, 6), np.uint8)) if None in shape[1:] else X
    images = images.reshape(-1, 64) if len(shape) == 2 else images
    found = session(model, "uint8", shape).run(None, {"X": images})
    np.testing.assert_array_equal(found[0], model.predict(images))
