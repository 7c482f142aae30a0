"""Parameters that are searched, and that no score depends on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from skdigits._gradient import GradientClassifier
from skdigits.engine.solvers import SOLVERS, listed
from skdigits.model_selection._grouping import (
    fresh,
    is_batchable,
    same_setting,
    split_pipeline,
)
from skdigits.training.messages import Message


class Need(NamedTuple):
    """The values of another parameter without which a parameter has no effect.

    ``cure`` is such a value, as a user writes it.
    """

    parameter: str
    is_met: Callable[[Any], bool]
    cure: str


NEEDS = {
    "power_t": Need("learning_rate", lambda one: one == "invscaling", "'invscaling'"),
    "validation_fraction": Need("early_stopping", bool, "True"),
    "n_iter_no_change": Need("tol", lambda one: one is not None, "0.0001"),
    "nesterovs_momentum": Need("momentum", lambda one: one > 0, "0.9"),
}
IN_QUESTION = {*NEEDS}.union(*(solver.ignores for solver in SOLVERS.values()))


def without_effect(
    estimator: BaseEstimator,
    settings: Sequence[Mapping[str, Any]],
    solvers: Sequence[str | None],
) -> list[Message]:
    """Return a warning of each parameter that varies, but has no effect anywhere.

    Candidates that differ in nothing else have equal scores. ``solvers`` have trained
    the candidates; None stands for the one that is their parameter.
    """
    step = f"{estimator.steps[-1][0]}__" if isinstance(estimator, Pipeline) else ""
    found = []
    for name in dict.fromkeys(name for setting in settings for name in setting):
        own = name.removeprefix(step)
        varied = [
            (setting, solver)
            for setting, solver in zip(settings, solvers, strict=True)
            if name in setting
        ]
        first = varied[0][0][name]
        same = all(same_setting(setting[name], first) for setting, _ in varied)
        if own in IN_QUESTION and name == step + own and not same:
            found += _of_parameter(estimator, varied, step, own)
    return found


def _of_parameter(
    estimator: BaseEstimator,
    trained: Sequence[tuple[Mapping[str, Any], str | None]],
    step: str,
    name: str,
) -> list[Message]:
    """Return a warning if a parameter of the model has no effect in any setting."""
    causes: dict[str, None] = {}
    cures: dict[str, None] = {}
    for setting, solver in trained:
        try:
            _, model = split_pipeline(fresh(estimator, dict(setting)))
            known = solver or model.solver
            lacking = _lacking(model, name, known) if is_batchable(model) else {}
        except Exception:
            return []  # a bad setting, or a solver that nobody knows
        if not lacking:
            return []
        causes[" and ".join(step + cause for cause in lacking)] = None
        cures.update(dict.fromkeys(step + cure for cure in lacking.values()))

    text = (
        f"{step}{name} was searched, but has no effect with {' or '.join(causes)}: "
        "candidates that differ in nothing else have equal scores. Set "
        f"{' and '.join(cures)}."
    )
    return [Message(text, UserWarning)]


def _lacking(model: GradientClassifier, name: str, solver: str) -> dict[str, str]:
    """Return why a parameter of a model has no effect, with a cure; empty if it has."""
    found = {}
    if name in SOLVERS[solver].ignores:
        chosen = "" if solver == model.solver else f", here {solver!r},"
        heeding = [one for one in SOLVERS if name not in SOLVERS[one].ignores]
        found[f"solver={model.solver!r}{chosen}"] = f"solver to {listed(heeding)}"

    need = NEEDS.get(name)
    if need is not None:
        value = getattr(model, need.parameter)
        if not need.is_met(value):
            found[f"{need.parameter}={value!r}"] = f"{need.parameter} to {need.cure}"
    return found
