"""Candidates that GridSearchCV's own code fits, each by itself, and why."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sklearn.base import BaseEstimator, clone
from sklearn.callback import CallbackContext

from skdigits._input_checks import warn_user
from skdigits.engine.solvers import listed
from skdigits.model_selection._folds import Split
from skdigits.model_selection._grouping import names_of_steps
from skdigits.model_selection._handing_out import results
from skdigits.model_selection._jobs import Failure
from skdigits.model_selection._saved import Pair, Store
from skdigits.model_selection._scoring import Outcome, Outcomes, fit_and_score
from skdigits.model_selection._workers import Work, is_local
from skdigits.training.messages import Message, noted

if TYPE_CHECKING:
    from skdigits.model_selection._search import Task


def one_by_one(
    task: "Task",
    missing: Sequence[tuple[int, Split]],
    context: CallbackContext,
) -> Outcomes:
    """Evaluate pairs of a candidate and a fold as GridSearchCV does."""
    search = task.search
    scoring = task.scoring
    context = context.subcontext(
        task_name="one-by-one", task_id=-1, max_subtasks=len(missing)
    ).call_on_fit_task_begin(estimator=search)

    contexts = [
        context.subcontext(task_name="candidate-split-evaluation") for _ in missing
    ]
    # Other processes fill copies of these.
    lists: list[list[Message]] = [[] for _ in missing]
    task.heard.extend(lists)
    local = is_local()
    work = []
    for (candidate, split), own, notes in zip(missing, contexts, lists, strict=True):
        options = {
            "train": split.train,
            "test": split.test,
            "parameters": task.settings[candidate],
            "fit_params": task.routed.estimator.fit,
            "scorer": scoring.scorer,
            "score_params": scoring.params,
            "return_train_score": scoring.return_train_score,
            "error_score": scoring.error_score,
            "return_n_test_samples": True,
            "return_times": True,
            "verbose": search.verbose,
            "split_progress": (split.number, search.n_splits_),
            "candidate_progress": (candidate, len(task.settings)),
            "caller": search if local else None,
            "callback_ctx": own if local else None,
        }
        place = (candidate, split.number)
        own_store = task.store if local else None
        args = (place, own_store, notes, clone(task.estimator), task.X, task.y)
        name = f"candidate {candidate} in fold {split.number}"
        work.append(Work(_evaluate, args, options, name))
    candidates = dict.fromkeys(candidate for candidate, _ in missing)
    found = results(task, candidates, work, contexts, search.pre_dispatch)

    context.call_on_fit_task_end(estimator=search)
    return {(one.candidate, one.split): one for some, _ in found for one in some}


def _evaluate(
    pair: Pair, store: Store | None, *args: Any, **params: Any
) -> tuple[list[Outcome], list[Failure]]:
    """Evaluate a candidate in a fold, unless a file has the outcome."""
    if store is None:
        return _noting_warnings(pair, *args, **params), []
    return store.once(_noting_warnings, [pair], pair, *args, **params), []


def _noting_warnings(
    pair: Pair,
    messages: list[Message],
    estimator: BaseEstimator,
    *args: Any,
    **params: Any,
) -> list[Outcome]:
    """Fit and score as scikit-learn does; return the outcome with distinct warnings.

    The warnings are in ``messages``, too, for a fit that raises an error.
    """
    with noted(messages):
        try:
            result = fit_and_score(estimator, *args, **params)
        except ValueError as error:
            steps = names_of_steps(estimator, params["parameters"])
            if not steps or not str(error).startswith("Invalid parameter"):
                raise
            raise ValueError(
                f"{error} A parameter of a step has the step's name before it: "
                f"{listed(steps)}."
            ) from error
    return [Outcome(*pair, result, None, True, messages=tuple(messages))]


def warn_of_unexplained(
    failures: Sequence[Failure], outcomes: Outcomes, error_score: Any
) -> None:
    """Warn if a batched run failed although each of its candidates succeeds alone.

    An error in the settings of a candidate is reported with its fit or its scores. Any
    other error is a bug of this package, and the user must see it, as a lack of memory.
    """
    failed = {
        candidate
        for (candidate, _), outcome in outcomes.items()
        if _has_failed(outcome, error_score)
    }
    unexplained: defaultdict[str, set[int]] = defaultdict(set)
    for failure in failures:
        if failure.out_of_memory or failed.isdisjoint(failure.candidates):
            unexplained[failure.error].update(failure.candidates)

    for error, candidates in unexplained.items():
        warn_user(
            f"Batched runs of {len(candidates)} candidates failed, which were then "
            f"fitted one by one. {error}. If memory was short, lower working_memory; "
            "otherwise, please report this as a bug.",
            RuntimeWarning,
        )


def _has_failed(outcome: Outcome, error_score: Any) -> bool:
    """Return whether a fit failed, or a score equals ``error_score``."""
    if outcome.result["fit_error"] is not None:
        return True
    scores = outcome.result["test_scores"]
    values = scores.values() if isinstance(scores, dict) else [scores]
    return any(not math.isfinite(value) or value == error_score for value in values)
