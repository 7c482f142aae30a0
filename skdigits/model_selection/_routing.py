"""Parameters of fit: which of them a batched run understands."""

from typing import Any

from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import process_routing

NOT_BATCHED = "not batched"


def model_weight(estimator: Any, fit_params: dict[str, Any]) -> Any:
    """The sample weights that ``estimator.fit(X, y, **fit_params)`` gives its model.

    None where there are none, and `NOT_BATCHED` where something else is passed, or to other
    steps of a Pipeline.
    """
    params = {name: value for name, value in fit_params.items() if value is not None}
    if isinstance(estimator, Pipeline):
        last = estimator.steps[-1][0]
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(estimator, "fit", **params) if params else {}
            elsewhere = [n for n, m in routed.items() if n != last and any(m.values())]
            params = (
                {"elsewhere": True}
                if elsewhere
                else dict(routed[last].fit)
                if params
                else {}
            )
        else:
            addressed = {
                name.removeprefix(f"{last}__"): params[name] for name in params
            }
            params = (
                {"elsewhere": True} if addressed.keys() & params.keys() else addressed
            )
    if not params.keys() <= {"sample_weight"}:
        return NOT_BATCHED
    return params.get("sample_weight")
