"""Which candidates may train in one run: those alike in all but batchable parameters."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skdigits._convnet import ConvNetClassifier
from skdigits._fitting import BATCHABLE
from skdigits._mlp import MLPClassifierTorch
from skdigits._parameters import check_parameters, same_setting
from skdigits._softmax_regression import SoftmaxRegression

BATCHED = (ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression)
RIDING = (*BATCHABLE, "random_state")  # in which the models of a group may differ


class Candidate(NamedTuple):
    """A setting of the search: its number, the steps before the model, and the model.

    ``prefix`` is a Pipeline that is not fitted, or None, and ``name`` what its last step, the
    model, is called; ``moved`` are the parameters that the search sets in the prefix.
    """

    number: int
    prefix: Pipeline | None
    name: str | None
    moved: dict[str, Any]
    model: Any


class Group(NamedTuple):
    """Candidates that may train in one run, a row for each ``random_state``."""

    rows: list[list[Candidate]]

    @property
    def width(self) -> int:
        """Candidates in a row."""
        return len(self.rows[0])

    @property
    def has_prefix(self) -> bool:
        """Whether the model stands behind other steps."""
        return self.rows[0][0].prefix is not None

    def columns(self, start: int, stop: int) -> "Group":
        """Some of the candidates of every row."""
        return Group([row[start:stop] for row in self.rows])


def group_candidates(
    estimator: Any, settings: Sequence[Mapping[str, Any]]
) -> list[list[Group]]:
    """Sort settings of an estimator by what they may share.

    Returns
    -------
    list of list of Group
        Groups by the steps before the model and the weights of the classes, which those of a
        list share. Settings that are to be fitted one by one are in none.
    """
    found = [_as_candidate(estimator, number, s) for number, s in enumerate(settings)]
    candidates = [candidate for candidate in found if candidate is not None]
    prefixes = _alike(candidates, _same_rows)
    return [
        [group for alike in _alike(members, _may_ride) for group in _by_seed(alike)]
        for members in prefixes
    ]


def split_pipeline(estimator: Any) -> tuple[Pipeline | None, Any]:
    """The steps before the model, if any, and the model."""
    if not isinstance(estimator, Pipeline):
        return None, estimator
    return estimator[:-1] if len(estimator) > 1 else None, estimator[-1]


def same_settings(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two sets of parameters have the same names and values."""
    return one.keys() == other.keys() and all(
        same_setting(one[k], other[k]) for k in one
    )


def _as_candidate(
    estimator: Any, number: int, setting: Mapping[str, Any]
) -> Candidate | None:
    """None for what we cannot batch, and for what is wrong, which the loop will report."""
    try:
        whole = clone(estimator).set_params(**clone(dict(setting), safe=False))
        if isinstance(whole, Pipeline) and not _is_plain(whole):
            return None
        prefix, model = split_pipeline(whole)
        if type(model) not in BATCHED or not _can_ride(whole, model):
            return None
        check_parameters(model)
    except Exception:
        return None
    last = whole.steps[-1][0] if isinstance(whole, Pipeline) else None
    moved = {k: v for k, v in setting.items() if last and k.split("__")[0] != last}
    return Candidate(number, prefix, last, moved, model)


def _can_ride(whole: Any, model: Any) -> bool:
    """Whether nobody wants to look at the model, or its Pipeline, while it trains."""
    told = any(getattr(each, "_skl_callbacks", ()) for each in (whole, model))
    return model.scoring in (None, "loss") and not told


def _is_plain(pipeline: Pipeline) -> bool:
    """Whether what the steps do one after the other is all there is to it."""
    return type(pipeline) is Pipeline and pipeline.transform_input is None


def _alike(candidates: Sequence[Candidate], same: Any) -> list[list[Candidate]]:
    """Sort into lists of those that are the same, in the order they came in."""
    lists: list[list[Candidate]] = []
    for candidate in candidates:
        for members in lists:
            if same(members[0], candidate):
                members.append(candidate)
                break
        else:
            lists.append([candidate])
    return lists


def _same_rows(one: Candidate, other: Candidate) -> bool:
    """Whether both learn from rows of the same features and weights."""
    same_weights = same_setting(one.model.class_weight, other.model.class_weight)
    return same_weights and same_settings(one.moved, other.moved)


def _may_ride(one: Candidate, other: Candidate) -> bool:
    if type(one.model) is not type(other.model):
        return False
    ours, theirs = (
        {k: v for k, v in c.model.get_params(deep=False).items() if k not in RIDING}
        for c in (one, other)
    )
    return same_settings(ours, theirs)


def _by_seed(candidates: Sequence[Candidate]) -> list[Group]:
    """Rows of one seed each; those of the same length are a group."""
    rows = _alike(
        candidates,
        lambda a, b: same_setting(a.model.random_state, b.model.random_state),
    )
    lengths = dict.fromkeys(map(len, rows))
    return [Group([row for row in rows if len(row) == length]) for length in lengths]
