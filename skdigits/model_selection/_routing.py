"""Parameters of fit: which of them a batched run understands."""

from typing import Any

from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import process_routing

NOT_BATCHED = "not batched"
SOMETHING_ELSE = {"something": "else"}


def model_weight(estimator: BaseEstimator, fit_params: dict[str, Any]) -> Any:
    """Return the sample weights that ``estimator.fit(X, y, **fit_params)`` trains with.

    None if there are none, and `NOT_BATCHED` if the model gets anything else, or
    another step of a Pipeline does.
    """
    params = {name: value for name, value in fit_params.items() if value is not None}
    if params and isinstance(estimator, Pipeline):
        params = _params_of_last_step(estimator, params)

    if not params.keys() <= {"sample_weight"}:
        return NOT_BATCHED
    return params.get("sample_weight")


def _params_of_last_step(pipeline: Pipeline, params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of the last step's fit, if no other step has any."""
    last = pipeline.steps[-1][0]
    if get_config()["enable_metadata_routing"]:
        routed = process_routing(pipeline, "fit", **params)
        others = [
            name for name in routed if name != last and any(routed[name].values())
        ]
        return SOMETHING_ELSE if others else dict(routed[last].fit)

    own = {name.removeprefix(f"{last}__"): value for name, value in params.items()}
    # A name that did not begin with the step's belongs to another step.
    return SOMETHING_ELSE if own.keys() & params.keys() else own
