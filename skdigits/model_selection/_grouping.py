"""Candidates that may share a run: those that differ in batchable parameters only."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from skdigits._gradient import GradientClassifier
from skdigits._input_checks import check_parameters, has_callbacks
from skdigits.training.settings import BATCHABLE, is_stochastic

OWN_METHODS = (
    "fit",
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "score",
)


class Candidate(NamedTuple):
    """A setting of the search: its number, the steps before the model, and the model.

    ``prefix`` is an unfitted Pipeline or None, ``name`` that of the last step, the
    model. Candidates with equal ``data_settings`` train on the same features and
    weights. Those with equal ``run_settings`` may share a run, and those of one
    ``seed`` a replica.
    """

    number: int
    prefix: Pipeline | None
    name: str | None
    model: GradientClassifier
    data_settings: dict[str, Any]
    run_settings: dict[str, Any]
    seed: dict[str, Any]


class Group(NamedTuple):
    """Candidates that may train in one run.

    Each seed has a list of candidates, and all lists have the same length.
    """

    seeds: list[list[Candidate]]


def group_candidates(
    estimator: BaseEstimator, settings: Sequence[Mapping[str, Any]]
) -> list[list[Group]]:
    """Sort settings of an estimator by what their models may share.

    Returns
    -------
    list of list of Group
        The groups of a list have the same steps before the model and the same class
        weights. Settings that must be fitted one by one are in none of them.
    """
    found = [
        _as_candidate(estimator, number, one) for number, one in enumerate(settings)
    ]
    candidates = [candidate for candidate in found if candidate is not None]

    prefixes = []
    for same_data in _alike(candidates, "data_settings"):
        groups = []
        for same_run in _alike(same_data, "run_settings"):
            seeds = _alike(same_run, "seed")
            # Seeds with other learning rates than the rest make a group of their own.
            for width in dict.fromkeys(map(len, seeds)):
                groups.append(Group([one for one in seeds if len(one) == width]))
        prefixes.append(groups)
    return prefixes


def split_pipeline(estimator: BaseEstimator) -> tuple[Pipeline | None, BaseEstimator]:
    """Return the steps before the model, if there are any, and the model."""
    if not isinstance(estimator, Pipeline):
        return None, estimator
    return estimator[:-1] if len(estimator) > 1 else None, estimator[-1]


def fresh(estimator: BaseEstimator, setting: dict[str, Any]) -> BaseEstimator:
    """Return an unfitted estimator with a setting of the search."""
    # Settings are cloned as well: they may be estimators themselves.
    return clone(estimator).set_params(**clone(setting, safe=False))


def names_of_steps(estimator: BaseEstimator, names: Iterable[str]) -> list[str]:
    """Return names that a Pipeline lacks, with that of a step which has them before."""
    if not isinstance(estimator, Pipeline):
        return []
    own = estimator.get_params(deep=False)
    return [
        f"{step}__{name}"
        for name in names
        for step, one in estimator.steps
        if name not in own and hasattr(one, "get_params") and name in one.get_params()
    ]


def same_setting(one: Any, other: Any) -> bool:
    """Return whether two values of a parameter mean the same.

    Estimators do if their parameters do and they have nothing else, such as fitted
    attributes; generators if they are in the same state. Values that cannot be compared
    are taken to differ.
    """
    if one is other:
        return True
    if isinstance(one, BaseEstimator) and type(one) is type(other):
        ours = one.get_params(deep=False)
        theirs = other.get_params(deep=False)
        # A frozen estimator, for example, means what it was fitted to.
        plain = type(one).__sklearn_clone__ is BaseEstimator.__sklearn_clone__
        return (
            plain
            and vars(one).keys() | vars(other).keys() <= ours.keys()
            and all(same_setting(ours[name], theirs[name]) for name in ours)
        )
    if isinstance(one, np.random.RandomState) and isinstance(
        other, np.random.RandomState
    ):
        states = zip(one.get_state(), other.get_state(), strict=True)
        return all(np.array_equal(a, b) for a, b in states)

    try:
        return bool(np.array_equal(one, other))
    except Exception:  # of whatever objects users search over
        return False


def is_batchable(model: object) -> bool:
    """Return whether a model fits and predicts as the classifiers of skdigits do."""
    if not isinstance(model, GradientClassifier):
        return False
    return all(
        getattr(type(model), name) is getattr(GradientClassifier, name)
        for name in OWN_METHODS
    )


def _as_candidate(
    estimator: BaseEstimator, number: int, setting: Mapping[str, Any]
) -> Candidate | None:
    """Return a candidate; None if it cannot be batched, or not be fitted at all."""
    try:
        whole = fresh(estimator, dict(setting))
        prefix, model = split_pipeline(whole)
        if not is_batchable(model):
            return None
        check_parameters(model)
    except Exception:
        return None  # the setting's own fault, which its fit will report

    # Scorers and callbacks look at a model while it trains: it trains by itself.
    if has_callbacks(whole) or has_callbacks(model):
        return None
    if model.scoring not in (None, "loss"):
        return None

    name = None
    # A given shape decides, too, on whether integers are pixels.
    data_settings = {
        "class_weight": model.class_weight,
        "pixels": model.pixels,
        "shaped": model.image_shape is not None,
    }
    if isinstance(whole, Pipeline):
        if type(whole) is not Pipeline or whole.transform_input is not None:
            return None
        name = whole.steps[-1][0]
        for key, value in setting.items():
            if key.split("__")[0] != name:
                data_settings[key] = value

    run_settings = model.get_params(deep=False) | {"class": type(model)}
    for key in BATCHABLE:
        run_settings.pop(key, None)
    if model.solver == "auto":
        # Learning rates may differ in a run, but not in whether there is one.
        run_settings["stochastic"] = is_stochastic(model)
    seed = {"random_state": run_settings.pop("random_state")}
    return Candidate(number, prefix, name, model, data_settings, run_settings, seed)


def _alike(candidates: Sequence[Candidate], field: str) -> list[list[Candidate]]:
    """Sort candidates into lists with equal settings, in the order of candidates."""
    lists: list[list[Candidate]] = []
    for candidate in candidates:
        own = getattr(candidate, field)
        for members in lists:
            other = getattr(members[0], field)
            if own.keys() == other.keys() and all(
                same_setting(own[name], other[name]) for name in own
            ):
                members.append(candidate)
                break
        else:
            lists.append([candidate])
    return lists
