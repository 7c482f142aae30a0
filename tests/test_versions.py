"""Saved estimators know the versions that have saved them."""

import copy
import pickle
import warnings

import joblib
import numpy as np
import pytest
import sklearn
import skops.io
import torch
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import skdigits
from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.augmentation import RandomAffine
from skdigits.model_selection import (
    BatchedGridSearchCV,
    BatchedHalvingGridSearchCV,
    BatchedHalvingRandomSearchCV,
    BatchedRandomizedSearchCV,
)
from skdigits.preprocessing import CenterByMass, Deskew, DigitNormalizer

ALL = [
    TemplateMatchingClassifier(),
    SoftmaxRegression(max_iter=2, tol=None),
    MLPClassifierTorch(3, max_iter=2, tol=None),
    ConvNetClassifier(1, max_iter=1, tol=None),
    Deskew(),
    CenterByMass(),
    DigitNormalizer(),
    RandomAffine(),
    BatchedGridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2),
    BatchedRandomizedSearchCV(LogisticRegression(), {"C": [1.0]}),
    BatchedHalvingGridSearchCV(LogisticRegression(), {"C": [1.0]}),
    BatchedHalvingRandomSearchCV(LogisticRegression(), {"C": [1.0]}),
]
each = pytest.mark.parametrize("estimator", ALL, ids=lambda one: type(one).__name__)


@pytest.fixture
def others(monkeypatch):
    """Let the process have other versions than the files that were written in it."""

    def change(module, version):
        monkeypatch.setattr(module, "__version__", version)

    return change


@each
def test_every_estimator_of_the_package_is_saved_with_versions(estimator, others):
    state = estimator.__getstate__()
    expected = (skdigits.__version__, sklearn.__version__, torch.__version__)
    assert tuple(state["_versions"].values()) == expected

    data = pickle.dumps(estimator)
    assert "_versions" not in vars(pickle.loads(data))  # and without a warning
    others(skdigits, "0.0.1")
    name = type(estimator).__name__
    text = f"{name} was saved by skdigits .*, and is loaded by skdigits 0.0.1: "
    with pytest.warns(InconsistentVersionWarning, match=text) as caught:
        loaded = pickle.loads(data)
    assert caught[0].filename == __file__
    assert repr(loaded) == repr(estimator)
    warnings.simplefilter("error")  # a copy has the versions of this process
    copy.deepcopy(loaded)
    pickle.loads(pickle.dumps(loaded))


@pytest.mark.parametrize(
    ("module", "version", "name"),
    [(sklearn, "1.99", "scikit-learn"), (torch, "9.1.0+cpu", "torch")],
)
def test_other_packages_count_as_well(module, version, name, digits, others):
    model = SoftmaxRegression(max_iter=2, tol=None).fit(*digits)
    data = pickle.dumps(model)
    before = module.__version__
    others(module, version)
    with pytest.warns(InconsistentVersionWarning) as caught:
        loaded = pickle.loads(data)
    (warning,) = [one.message for one in caught]
    assert warning.before == {name: before}
    assert warning.now == {name: version}
    assert f"saved by {name} {before}, and is loaded by {name} {version}" in str(
        warning
    )
    assert warning.estimator_name == "SoftmaxRegression"
    if module is sklearn:
        assert warning.current_sklearn_version == version
        assert warning.original_sklearn_version == before
    np.testing.assert_array_equal(loaded.coef_, model.coef_)


def test_builds_of_one_torch_are_the_same(others):
    public = torch.__version__.partition("+")[0]
    others(torch, f"{public}+cu999")
    data = pickle.dumps(SoftmaxRegression())
    others(torch, f"{public}+cpu")
    assert repr(pickle.loads(data)) == "SoftmaxRegression()"


def test_whatever_the_file(digits, others, tmp_path):
    """In a pipeline, by joblib and by skops, and at the user's line."""
    model = make_pipeline(Deskew(), SoftmaxRegression(max_iter=2, tol=None))
    model.fit(*digits)
    joblib.dump(model, tmp_path / "model.joblib")
    data = skops.io.dumps(model)
    trusted = skops.io.get_untrusted_types(data=data)
    others(skdigits, "0.0.1")
    for load in (
        lambda: joblib.load(tmp_path / "model.joblib"),
        lambda: skops.io.loads(data, trusted=trusted),
    ):
        with pytest.warns(InconsistentVersionWarning) as caught:
            loaded = load()
        names = {one.message.estimator_name for one in caught}
        assert names == {"Deskew", "SoftmaxRegression"}
        assert {one.filename for one in caught} == {__file__}
        np.testing.assert_array_equal(
            loaded.predict(digits[0]), model.predict(digits[0])
        )


@pytest.mark.parametrize("through_skops", [False, True])
def test_parameters_newer_than_the_file_get_their_defaults(
    through_skops, digits, monkeypatch
):
    def saved_before(model):
        original = SoftmaxRegression.__getstate__

        def older(self):
            state = original(self)
            for name in ("label_smoothing", "image_shape", "_precision"):
                state.pop(name, None)
            state["_history"]["columns"].pop("learning_rate")
            return state

        with monkeypatch.context() as patch:
            patch.setattr(SoftmaxRegression, "__getstate__", older)
            if through_skops:
                return skops.io.dumps(model)
            return pickle.dumps(model)

    model = SoftmaxRegression(solver="sgd", max_iter=2, tol=None, random_state=0)
    model.fit(*digits)
    data = saved_before(model)
    if through_skops:
        loaded = skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
    else:
        loaded = pickle.loads(data)
    assert loaded.get_params() == model.get_params()
    np.testing.assert_array_equal(loaded.predict(digits[0]), model.predict(digits[0]))
    assert loaded.history_["learning_rate"].isna().all()
    loaded.partial_fit(*digits)
    np.testing.assert_array_equal(loaded.coef_, model.partial_fit(*digits).coef_)


def test_files_without_versions_are_warned_of():
    state = SoftmaxRegression().__getstate__()
    del state["_versions"]
    loaded = SoftmaxRegression.__new__(SoftmaxRegression)
    with pytest.warns(
        InconsistentVersionWarning, match="skdigits of an unknown version"
    ):
        loaded.__setstate__(state)


def test_a_model_is_saved_without_its_surroundings(digits):
    """By a callback, while it is fitted."""
    sizes = []

    class Saver:
        def setup(self, estimator, context):
            pass

        teardown = setup

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            if context.task_name == "epoch":
                sizes.append(vars(pickle.loads(pickle.dumps(fitted_estimator))).keys())

    model = SoftmaxRegression(solver="sgd", max_iter=2, tol=None)
    model.set_callbacks(Saver()).fit(*digits)
    model.set_callbacks()
    assert sizes == [vars(model).keys() | {"_skl_callbacks"}] * 2
