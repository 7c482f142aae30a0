"""Checks of what users pass, parameters and samples, and what users are told."""

import math
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from inspect import signature
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, ParamSpec, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_random_state
from sklearn.utils._array_api import check_same_namespace
from sklearn.utils._param_validation import Interval, InvalidParameterError
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)
from torch import Tensor

from skdigits._arrays import (
    Array,
    cast,
    input_dtypes,
    refuse_cuda_tensors,
    take_samples,
    to_numpy,
    to_tensor,
    training_device,
    within_operations,
)
from skdigits._columns import raise_naming_columns
from skdigits._image_lists import as_rows
from skdigits._memory_maps import exceeds_memory, rows_in_file
from skdigits._pictures import is_picture
from skdigits._pixels import (
    BRIGHT,
    Given,
    doubt,
    look_like_pixels,
    read_integers,
)
from skdigits._sparse import without_duplicates
from skdigits._targets import (
    check_targets,
    check_total,
    known_classes,
    plain_targets,
    several_columns,
    weights_by_class,
)
from skdigits._unknown_names import unknown_name, unknown_parameter
from skdigits.engine.types import Latest

if TYPE_CHECKING:
    from skdigits._base import TorchClassifier

P = ParamSpec("P")
R = TypeVar("R")
HALVES = (torch.float16, torch.bfloat16)
ROUNDING = 1e-3  # by which fractions may leave [0, 1]
INSIDE = {
    "skdigits",
    "sklearn",
    "joblib",
    "contextlib",
    "copy",
    "pickle",
    "skl2onnx",
    "skops",
}  # never a user's own code


class Number(Interval):  # type: ignore[misc]
    """An interval of numbers that a float can hold; booleans and fractions are none."""

    def is_satisfied_by(self, val: Any) -> bool:
        """Return whether a value is a number within the interval."""
        if isinstance(val, bool):
            return False
        if not isinstance(val, int | float | np.integer | np.floating):
            return False
        size: Any = abs(val)
        return bool(size <= sys.float_info.max and super().is_satisfied_by(val))


POSITIVE = Number(Real, 0, None, closed="neither")
NOT_NEGATIVE = Number(Real, 0, None, closed="left")
FRACTION = Number(Real, 0, 1, closed="left")
COUNT = Number(Integral, 1, None, closed="left")


class InFile(NamedTuple):
    """What follows for samples from lying in a mapped file.

    The file may ``exceed_memory``. If they are ``unchecked``, whoever reads them first
    looks for NaN.
    """

    exceed_memory: bool
    unchecked: bool = False


class Samples(NamedTuple):
    """Checked samples to learn from.

    ``X`` (N, D) has a dtype that is computed in, or uint8; sparse samples are in CSR
    form, with each entry once. ``codes`` (N,) are positions in the sorted ``classes``
    (C,), or (N, C) for labels: 1 if the sample has the label. ``weight`` (N,) is
    positive, or None. ``kept`` are the positions of these samples among the given ones
    if some had no weight, else None. ``in_file`` is None if X lies in memory.
    """

    X: Array
    codes: np.ndarray
    weight: np.ndarray | None
    classes: np.ndarray
    kept: np.ndarray | None = None
    in_file: InFile | None = None

    @property
    def multilabel(self) -> bool:
        """Whether a sample may have any number of labels, instead of one class."""
        return self.codes.ndim == 2

    @property
    def y(self) -> np.ndarray:
        """Targets in the user's own labels."""
        return self.codes if self.multilabel else self.classes[self.codes]

    def weighted(self, weight: np.ndarray) -> "Samples":
        """Return the samples with these weights, those of weight 0 left out."""
        if weight.all():
            return self._replace(weight=weight)

        kept = np.flatnonzero(weight)
        places = kept if self.kept is None else self.kept[kept]
        X = take_samples(self.X, kept)
        return Samples(X, self.codes[kept], weight[kept], self.classes, places)


def has_callbacks(estimator: BaseEstimator) -> bool:
    """Return whether callbacks of scikit-learn follow the fit of an estimator."""
    return bool(getattr(estimator, "_skl_callbacks", ()))


def check_parameters(estimator: BaseEstimator) -> None:
    """Check all parameters against the estimator's constraints, as scikit-learn does.

    Raises
    ------
    sklearn.utils._param_validation.InvalidParameterError
        A ValueError that names the parameter, its possible values and its value.
    """
    if get_config()["skip_parameter_validation"]:
        return
    try:
        estimator._validate_params()
    except InvalidParameterError as error:
        rate = getattr(estimator, "learning_rate", None)
        if not POSITIVE.is_satisfied_by(rate) or "'learning_rate'" not in str(error):
            raise
        raise InvalidParameterError(
            f"{error} It names the schedule: set the learning rate itself by "
            f"learning_rate_init={rate!r}."
        ) from None


def refuse_unknown(estimator: object, method: str, names: Collection[str]) -> NoReturn:
    """Raise an error about a keyword that a method lacks, naming the one meant."""
    if method == "set_params":
        raise ValueError(unknown_parameter(estimator, min(names)))
    raise TypeError(unknown_name(type(estimator), method, min(names)))


def names_what_is_meant(method: Callable[P, R]) -> Callable[P, R]:
    """Let a constructor or ``set_params`` name what an unknown parameter stands for."""
    known: Collection[str] = ()
    if method.__name__ == "__init__":
        known = signature(method).parameters

    @wraps(method)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        estimator: Any = args[0]
        own = known or estimator.get_params(deep=False)
        # Those of an object, such as augment__scale, are left to the object.
        unknown = {name.partition("__")[0] for name in kwargs}.difference(own)
        if unknown:
            refuse_unknown(estimator, method.__name__, unknown)
        return method(*args, **kwargs)

    return checked


def layer_sizes(name: str, given: object) -> tuple[int, ...]:
    """Return the size of each layer, from one number or a sequence of numbers.

    Raises
    ------
    ValueError
        If one is not a positive integer.
    """
    sizes: Sequence[Any] = [given]
    if not isinstance(given, Integral):
        sizes = np.atleast_1d(np.asarray(given, dtype=object)).tolist()

    if not all(COUNT.is_satisfied_by(size) for size in sizes):
        raise ValueError(
            f"{name} must be > 0, got {given!r}: pass an integer for each layer, such "
            "as (100,)."
        )
    return tuple(int(size) for size in sizes)


def check_samples(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    *,
    reset: bool,
    classes: np.ndarray | None = None,
    class_weight: dict[Any, float] | str | None = None,
    takes_labels: bool = False,
    name: str = "X",
    doubts: list[str] | None = None,
    is_part: bool = False,
    may_wait: Callable[[Array, bool], bool] | None = None,
) -> Samples:
    """Check the arguments of a fit, and leave out samples of weight zero.

    Parameters
    ----------
    estimator : estimator
        Learns the number and names of features if ``reset``, else they are compared
        with its own.
    X, y, sample_weight : array-like
        As passed to fit.
    reset : bool
        Whether the fit starts from scratch.
    classes : ndarray, optional
        All classes, sorted; default: the ones in ``y``.
    class_weight : dict, "balanced" or None
        Multiplies the weights of the samples of each class.
    takes_labels : bool
        Whether a sample may have several labels.
    name : str
        What messages call X.
    doubts : list of str, optional
        Where to leave a warning about the scale of X; default: it is emitted.
    is_part : bool
        Whether other processes have more samples, so that a single class is no mistake.
    may_wait : callable, optional
        Tells whether X in a mapped file may stay unchecked, by X and whether it exceeds
        memory. Then, no sample may have weight 0.

    Raises
    ------
    ValueError
        If X, y or the weights are not as described.
    """
    if not isinstance(X, np.ndarray) or X.ndim == 1:
        X = _as_array(X, estimator, name)
    if isinstance(y, Tensor | list | tuple):
        y = _without_gradient(y, name.replace("X", "y"))
    if len(getattr(X, "shape", ())) > 2:
        raise _not_flat(estimator, np.shape(X))
    columns: tuple[int, ...] = getattr(y, "shape", ())
    if not takes_labels and len(columns) == 2 and columns[1] > 1:
        raise several_columns(y)
    if y is not None and not (isinstance(y, np.ndarray) and y.dtype.kind != "O"):
        y = plain_targets(y)
    try:
        checked, y = validate_data(
            estimator,
            without_duplicates(X) if issparse(X) else X,
            y,
            accept_sparse="csr",
            dtype=input_dtypes(X, integers=True),
            reset=reset,
            ensure_all_finite=False,  # as_read looks for NaN in a fifth of the time
            multi_output=takes_labels,
        )
    except (TypeError, ValueError) as error:
        raise_naming_columns(error, X, name)
    mapped = getattr(checked, "base", None) is not None
    in_file = _in_file(checked, may_wait) if mapped else None
    if in_file is None or not in_file.unchecked:
        checked = as_read(estimator, checked, fresh=reset, name=name, doubts=doubts)
    targets = to_numpy(y)
    if targets.ndim == 1 and targets.dtype.kind in "biu":
        check_classification_targets(targets)  # warns of too many classes
    else:
        targets = check_targets(targets)
    weight = None if sample_weight is None else _weight_of(sample_weight, checked, name)

    # A class whose samples all have no weight is not a class to learn.
    multilabel = targets.ndim == 2
    counted = targets if weight is None else targets[weight > 0]
    found = np.arange(targets.shape[1]) if multilabel else np.unique(counted)
    known = found if classes is None else known_classes(found, classes, multilabel)
    codes = targets.astype(np.int64) if multilabel else np.searchsorted(known, targets)
    if reset and not is_part and (multilabel or (classes is None and len(known) == 1)):
        warn_of_targets(targets, known)

    samples = Samples(checked, codes, None, known, in_file=in_file)
    if weight is not None:
        samples = samples.weighted(weight)
    if class_weight is not None:
        samples = samples.weighted(weights_by_class(samples, class_weight))
    return samples


def _in_file(X: Array, may_wait: Callable[[Array, bool], bool] | None) -> InFile | None:
    """Return what follows for X from lying in a mapped file; None if it does not."""
    rows = rows_in_file(X)
    if rows is None:
        return None
    exceeds = exceeds_memory(rows)
    return InFile(exceeds, may_wait is not None and may_wait(X, exceeds))


def as_read(
    estimator: "TorchClassifier",
    X: Array,
    *,
    fresh: bool = False,
    name: str = "X",
    doubts: list[str] | None = None,
    bounds: tuple[float, float] | None = None,
) -> Array:
    """Return checked samples as a model reads them: pixels as uint8, or floats.

    A ``fresh`` fit decides what integers mean, and later calls follow it. A doubt, in
    which X has a ``name``, is warned of, or added to ``doubts``. ``bounds`` are the
    smallest and the largest number of X, if they are known.

    Raises
    ------
    ValueError
        If X holds NaN or infinity, or integers that contradict ``pixels=True``.
    """
    if not getattr(X.dtype, "isnative", True):
        X = cast(X, X.dtype.name)
    device = X.device if isinstance(X, Tensor) else torch.device("cpu")
    samples = to_tensor(X, device)
    if bounds is None:
        # Memory bounds this pass, and not arithmetic: a number counts for several.
        with within_operations(4 * samples.numel()):
            found = samples.aminmax()
        bounds = (found[0].item(), found[1].item())
    smallest, largest = bounds
    if not math.isfinite(largest - smallest):
        # It has the words.
        check_array(X, accept_sparse=True, input_name="X", estimator=estimator)

    integers = not samples.is_floating_point()
    if fresh:
        auto = isinstance(estimator.pixels, str)
        within = smallest >= -ROUNDING and largest <= 1 + ROUNDING
        estimator._learnt = (smallest, largest, auto and within and not integers)
        estimator.pixels_ = not auto and bool(estimator.pixels)
    if not integers and smallest >= -BRIGHT and largest <= BRIGHT:
        return X

    dtype = str(X.dtype).rpartition(".")[2]
    given = Given(name, dtype, smallest, largest, samples)
    if fresh and auto and integers:
        estimator.pixels_ = look_like_pixels(estimator, given)
    text = doubt(estimator, given, fresh) if estimator._doubts else ""
    if text and doubts is not None:
        doubts.append(text)
    elif text:
        warn_user(text, UserWarning)
    return read_integers(estimator, X, given) if integers else X


def _without_gradient(values: Any, name: str) -> Any:
    """Return a tensor in a form to compute with, and anything else as it is.

    Raises
    ------
    TypeError
        If there is a tensor on a GPU without array API dispatch.
    """
    refuse_cuda_tensors(**{name: values})
    if not isinstance(values, Tensor):
        return values
    tensor = values.detach()
    return tensor.float() if tensor.dtype in HALVES else tensor


def _as_array(X: Any, estimator: BaseEstimator, name: str = "X") -> Any:
    """Return a list as an array, and a tensor in a form to compute with.

    Raises
    ------
    TypeError
        If X is a tensor on a GPU without array API dispatch.
    ValueError
        If X is a picture of Pillow, or a list that makes no rows.
    """
    X = _without_gradient(X, name)
    if isinstance(X, Tensor):
        return X

    several = isinstance(X, list | tuple)
    if is_picture(X[0] if several and X else X):
        rows = "np.asarray(X.convert('L')).reshape(1, -1)"
        if several:
            rows = "np.stack([np.asarray(x.convert('L')).ravel() for x in X])"
        raise ValueError(
            f"X is {'a list of pictures' if several else 'a picture'} of Pillow, but "
            f"one row of pixels for each image is expected: pass {rows}, or put a "
            "DigitNormalizer, which takes a list of pictures, before the model."
        )
    return as_rows(X, type(estimator).__name__, name)


def _weight_of(sample_weight: Any, X: Array, name: str) -> np.ndarray:
    """Return the weights of samples X, which have a ``name``, as float64."""
    if isinstance(sample_weight, Tensor | list | tuple):
        own_name = name.replace("X", "sample_weight")
        sample_weight = _without_gradient(sample_weight, own_name)
    # Not as part of X's check: weights stay float64, whatever X is.
    weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
    weight = to_numpy(weight)
    check_total("sample_weight", weight)
    return weight


def warn_of_targets(targets: np.ndarray, classes: np.ndarray) -> None:
    """Warn of targets of one class, and of labels that look like one-hot classes."""
    if targets.ndim == 1:
        warn_user(
            f"y has one class only, {classes.tolist()[0]!r}, and the model predicts "
            "nothing else. Check how y was made: of labels that are strings, y == 5 is "
            "False for all; compare with y == '5'.",
            UserWarning,
        )
    elif min(targets.shape) > 1 and (targets.sum(1) == 1).all():
        warn_user(
            "y has exactly one 1 in every row, and a column for each label: if these "
            "are classes in one-hot form, pass y.argmax(1), or y.idxmax(axis=1) of a "
            "DataFrame. For multilabel targets, ignore this warning.",
            UserWarning,
        )


def _not_flat(estimator: BaseEstimator, shape: tuple[int, ...]) -> ValueError:
    """Return the error about images that are not flattened, in scikit-learn's words."""
    return ValueError(
        f"Found array with dim {len(shape)}, while dim <= 2 is required by "
        f"{type(estimator).__name__}: X has shape {tuple(shape)}, flatten each image "
        "by X.reshape(len(X), -1)."
    )


def private_random_state(random_state: object) -> np.random.RandomState:
    """Return a generator; None is a fresh one, never NumPy's global one."""
    if random_state is None:
        return np.random.RandomState()
    rng: np.random.RandomState = check_random_state(random_state)
    return rng


@contextmanager
def rollback_on_error(
    estimator: BaseEstimator, latest: Latest | None = None
) -> Iterator[None]:
    """Restore all attributes of an estimator if an error ends this block.

    Fitted attributes may be replaced, but not written into; only lists may grow, or get
    another last item. An interrupt after a whole epoch, the ``latest`` one, restores
    nothing, as the estimator is to become the model of that epoch.
    """
    before = dict(vars(estimator))
    ends = [
        (fitted, max(len(fitted) - 1, 0), fitted[-1:])
        for name, fitted in before.items()
        if name.endswith("_") and isinstance(fitted, list)
    ]
    try:
        yield
    except GeneratorExit:
        # An interrupt has kept the block from being left: this comes at any time later.
        raise
    except BaseException as error:
        whole = latest is not None and latest.runs is not None
        if not (whole and isinstance(error, KeyboardInterrupt)):
            for fitted, last, end in ends:
                fitted[last:] = end
            # At once: whatever strikes now must not leave it without parameters.
            estimator.__dict__ = before
        raise


@contextmanager
def users_code(name: str) -> Iterator[None]:
    """Raise an error instead of a StopIteration, which would only end a loop here."""
    ended = False
    try:
        yield
    except StopIteration:
        ended = True
    # Not above: contextlib takes an error caused by a StopIteration for it.
    if ended:
        raise RuntimeError(
            f"{name} raised StopIteration: give next() a default, or catch the error."
        )


def check_features(estimator: BaseEstimator, X: ArrayLike) -> Array:
    """Check samples against the number and names of features seen in fit.

    Raises
    ------
    ValueError
        If X has other features, is empty or holds NaN or infinity.
    """
    # The full check takes longer than the prediction of a single sample.
    if (
        type(X) is np.ndarray
        and X.dtype in input_dtypes(X)
        and X.ndim == 2
        and len(X)
        and X.shape[1] == estimator.n_features_in_
        and not hasattr(estimator, "feature_names_in_")
    ):
        return as_read(estimator, X)

    if not isinstance(X, np.ndarray) or X.ndim == 1:
        X = _as_array(X, estimator)
    shape: tuple[int, ...] = getattr(X, "shape", ())
    if len(shape) > 2:
        raise _not_flat(estimator, shape)

    if len(shape) == 2 and shape[1] != shape[0] * shape[1] == estimator.n_features_in_:
        raise ValueError(
            f"X has {shape[1]} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input: if X, of shape "
            f"{tuple(shape)}, is one image, pass X.reshape(1, -1)."
        )
    try:
        checked: Array = validate_data(
            estimator,
            without_duplicates(X) if issparse(X) else X,
            accept_sparse="csr",
            dtype=input_dtypes(X, integers=True),
            reset=False,
            ensure_all_finite=False,
        )
    except (TypeError, ValueError) as error:
        raise_naming_columns(error, X)
    return as_read(estimator, checked)


def check_query(
    estimator: BaseEstimator, X: ArrayLike, fitted_array: str, method: str
) -> Array:
    """Check samples to predict against those that the estimator was fitted to.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    ValueError
        If X has other features, is empty or holds NaN or infinity.
    """
    if not estimator.__sklearn_is_fitted__():
        check_is_fitted(estimator)  # slower, and it has the words for the error
    check_same_namespace(X, estimator, attribute=fitted_array, method=method)
    return check_features(estimator, X)


def prediction_device(device: str | torch.device, X: object) -> torch.device:
    """Return the device to predict on: the CPU, with a warning, if the GPU is gone.

    A model that was fitted on a GPU then still predicts on a machine without one.
    """
    try:
        return training_device(device, X)
    except ValueError as error:
        if not str(device).startswith("cuda"):
            raise
        warn_user(f"Computing on the CPU: {error}", UserWarning)
        return torch.device("cpu")


def warn_user(text: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the user's code that led here."""
    warnings.warn_explicit(text, category, *users_place())


def users_place() -> tuple[str, int, str, dict[Any, Any]]:
    """Return where the user's code led here, as `warnings.warn_explicit` takes it.

    These are file, line, module and the module's register of warnings. The number of
    frames in between depends on the way: through a Pipeline or a search, say. Frames of
    this package and of those around it are skipped, whatever their number.
    """
    # warnings.warn can skip files by itself from Python 3.12 on.
    frame = sys._getframe()
    while frame.f_back is not None:
        name = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] not in INSIDE:
            break
        frame = frame.f_back

    register = frame.f_globals.setdefault("__warningregistry__", {})
    module = frame.f_globals.get("__name__", "<string>")
    return frame.f_code.co_filename, frame.f_lineno, module, register
