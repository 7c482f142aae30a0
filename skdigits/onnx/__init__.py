"""Conversion to ONNX: importing this module registers converters with skl2onnx.

skl2onnx then converts the classifiers of skdigits: alone, at the end of a Pipeline, as
the best estimator of a search, and in `sklearn.frozen.FrozenEstimator`,
`CalibratedClassifierCV` (also with ``method="temperature"``), `StackingClassifier`,
`VotingClassifier`, `BaggingClassifier`, `AdaBoostClassifier`, `OneVsRestClassifier`,
`OneVsOneClassifier`, `TunedThresholdClassifierCV`, `FixedThresholdClassifier` and
`MultiOutputClassifier`.

Converted classifiers have the outputs and options of scikit-learn's classifiers. The
outputs are labels, and probabilities as a list of dictionaries, or as an array with
``zipmap=False``. The options ``zipmap="columns"``, ``nocl`` and ``output_class_labels``
also work. With ``raw_scores=True``, the second output is the decision function; for two
classes, it has two columns, ``−d`` and ``d``. After a multilabel fit, the labels are an
indicator matrix. Labels that do not fit into int64 raise an error.

`DigitNormalizer`, `Deskew` and `CenterByMass` convert as steps of a Pipeline, which is
then one graph from raw images on. Declare its input as rows, or as images of any size,
by ``initial_types=[("X", UInt8TensorType([None, None, None]))]``. Graphs cannot clean
pages: images of which both sides exceed 40 pixels, or may do so, need
``DigitNormalizer(clean_up=False)``. ``set_params(clean_up=False)`` needs no new fit.
Smaller images are not cleaned, and convert as they are. For uint8 images, the
graphs of the transformers return the same pixels as Python, to the last bit. A
parameter that they cannot express is an error. Graphs do not check images: NaN, and
values below 0 in front of `Deskew` and `CenterByMass`, are no errors there.

A graph computes in the wider dtype of the samples and of the model. Pixels, and models
fitted to pixels, count as float32. The graph reads integers as the model does (see
``pixels_``): as pixels or as plain numbers. A `ConvNetClassifier` fitted with
``precision="float32"`` or ``"bfloat16"`` computes in float32 for samples of any dtype.
onnxruntime convolves only in float32. Convolutions in float64 are therefore written as
products and sums, which take several times as long.

Examples
--------
>>> import numpy as np
>>> import onnxruntime
>>> import skdigits.onnx
>>> from skl2onnx import to_onnx
>>> from sklearn.datasets import load_digits
>>> from skdigits import SoftmaxRegression
>>> X, y = load_digits(return_X_y=True)
>>> X = (X / 16).astype(np.float32)
>>> model = SoftmaxRegression(max_iter=30, tol=None, random_state=0).fit(X, y)
>>> graph = to_onnx(model, X[:1], options={"zipmap": False})
>>> session = onnxruntime.InferenceSession(graph.SerializeToString())
>>> labels, proba = session.run(None, {"X": X})
>>> bool((labels == model.predict(X)).all()), proba.shape
(True, (1797, 10))
"""

try:
    import skl2onnx  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"skdigits.onnx needs skl2onnx ({error}): pip install skl2onnx onnxruntime"
    ) from error

from skdigits.onnx._classifiers import register_classifiers
from skdigits.onnx._ensembles import register_ensembles
from skdigits.onnx._members import register_wrappers
from skdigits.onnx._transformers import register_transformers

register_classifiers()
register_transformers()
register_wrappers()
register_ensembles()
