"""Versions in every saved estimator, and what a file of another version lacks."""

import sys
from functools import cache
from inspect import Parameter, signature
from typing import Any

import sklearn
import torch
from sklearn import exceptions

from skdigits._input_checks import warn_user

OF_A_FIT = {"_callback_fit_ctx", "_skl_callbacks_to_teardown", "_parent_callback_ctx"}
"""Attributes that scikit-learn sets while an estimator is fitted."""


class InconsistentVersionWarning(exceptions.InconsistentVersionWarning):  # type: ignore[misc]
    """Says that an estimator was saved by other versions than those that load it.

    Parameters
    ----------
    estimator_name : str
        Class of the estimator.
    before, now : dict of str to str
        Versions by package, where they differ, of the file and of this process.
    """

    def __init__(
        self, estimator_name: str, before: dict[str, str], now: dict[str, str]
    ) -> None:
        super().__init__(
            estimator_name=estimator_name,
            current_sklearn_version=sklearn.__version__,
            original_sklearn_version=before.get("scikit-learn", sklearn.__version__),
        )
        self.before = before
        self.now = now

    def __str__(self) -> str:
        was, now = (
            ", ".join(f"{name} {version}" for name, version in versions.items())
            for versions in (self.before, self.now)
        )
        return (
            f"The {self.estimator_name} was saved by {was}, and is loaded by {now}: it "
            "may predict or train differently. Fit it again, or install the versions "
            "that saved it."
        )


class Versioned:
    """An estimator that is saved with versions, and completed when it is loaded.

    A parameter that is newer than the file gets its default.
    """

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[assignment]
        kept = {name: state[name] for name in state if name not in OF_A_FIT}
        return {**kept, "_versions": versions()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        rest = dict(state)
        now = versions()
        before = dict.fromkeys(now, "of an unknown version")
        before |= rest.pop("_versions", {})
        others = [name for name in now if _public(before[name]) != _public(now[name])]
        if others:
            told = ({name: each[name] for name in others} for each in (before, now))
            warn_user(InconsistentVersionWarning(type(self).__name__, *told))
        defaults = _defaults(type(self))  # type: ignore[arg-type]
        super().__setstate__(defaults | rest)  # type: ignore[misc]


def versions() -> dict[str, str]:
    """Return the versions that an estimator depends on."""
    return {
        "skdigits": sys.modules[__package__].__version__,
        "scikit-learn": sklearn.__version__,
        "torch": str(torch.__version__),
    }


def _public(version: str) -> str:
    """Return a version without what tells builds for CPU and GPU apart."""
    return version.partition("+")[0]


@cache
def _defaults(kind: type) -> dict[str, Any]:
    """Return the parameters of a class that have defaults, with these."""
    parameters = signature(kind).parameters.values()
    return {
        one.name: one.default
        for one in parameters
        if one.default is not Parameter.empty
    }
