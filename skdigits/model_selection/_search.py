"""How a search runs: its tasks, its results, its best candidate fitted once more."""

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from sklearn import get_config
from sklearn.base import clone, is_classifier
from sklearn.model_selection import check_cv
from sklearn.utils import indexable
from sklearn.utils.parallel import Parallel, delayed

from skdigits.model_selection._evaluation import evaluate
from skdigits.model_selection._folds import Split
from skdigits.model_selection._grouping import Group, group_candidates, split_pipeline
from skdigits.model_selection._jobs import Job, Outcome
from skdigits.model_selection._private import (
    fit_and_score,
    insert_error_scores,
    n_rows,
    rows_of_params,
    scorers_by_name,
    warn_or_raise_about_fit_failures,
)
from skdigits.model_selection._refit import (
    best_number_of_epochs,
    check_epochs_can_be_chosen,
    fit_for,
    fresh,
)
from skdigits.model_selection._results import add_scores_by_epoch, print_outcome
from skdigits.model_selection._routing import NOT_BATCHED, model_weight
from skdigits.model_selection._scoring import Scoring

MIB = 2**20


class Task(NamedTuple):
    """What the parts of a search are told of it.

    ``fit_params`` are those of the estimator's fit, and ``weight`` what they have for its
    model; ``told`` goes to callbacks.
    """

    search: Any
    estimator: Any
    X: Any
    y: Any
    fit_params: dict[str, Any]
    weight: Any
    scoring: Scoring
    told: dict[str, Any]


def fit_search(
    search: Any, X: Any, y: Any, params: dict[str, Any], settings: Iterable[Any]
) -> None:
    """``GridSearchCV.fit``, with candidates that share runs."""
    scorers, refit_metric = search._get_scorers()
    X, y = indexable(X, y)
    params = rows_of_params(X, params)
    routed = search._get_routed_params_for_fit(params)
    weight = params.get("sample_weight")
    metadata = None if weight is None else {"sample_weight": weight}
    told = {"estimator": search, "X": X, "y": y, "metadata": metadata}
    context = search._init_callback_context(
        max_subtasks=1 + (search.refit is not False)
    )
    context.call_on_fit_task_begin(**told)
    # Settings first, as in scikit-learn: one generator may draw both.
    settings = [dict(setting) for setting in settings]
    check_epochs_can_be_chosen(search, settings)
    splits = _splits(search, X, y, routed.splitter.split)
    scoring = Scoring(
        scorers, routed.scorer.score, search.return_train_score, search.error_score
    )
    base, fit_params = clone(search.estimator), routed.estimator.fit
    weight = model_weight(base, fit_params)
    task = Task(search, base, X, y, fit_params, weight, scoring, told)
    results = _evaluate_all(task, settings, splits, context)
    search.multimetric_ = isinstance(results[0]["test_scores"], dict)
    if callable(search.scoring) and search.multimetric_:
        search._check_refit_for_multimetric(results[0]["test_scores"])
        refit_metric = search.refit
    _select(search, refit_metric)
    if search.refit:
        _refit(task, context)
    search.scorer_ = scorers_by_name(scorers)
    context.call_on_fit_task_end(**told)


def _splits(search: Any, X: Any, y: Any, params: dict[str, Any]) -> list[Split]:
    cv = check_cv(search.cv, y, classifier=is_classifier(search.estimator))
    search.n_splits_ = cv.get_n_splits(X, y, **params)
    pairs = list(cv.split(X, y, **params))
    if len(pairs) != search.n_splits_:
        raise ValueError(
            "cv.split and cv.get_n_splits return inconsistent results. Expected "
            f"{search.n_splits_} splits, got {len(pairs)}"
        )
    rows = np.arange(n_rows(X))  # for masks, and for places counted from the end
    return [
        Split(number, rows[train], rows[test])
        for number, (train, test) in enumerate(pairs)
    ]


def _evaluate_all(
    task: Task,
    settings: Sequence[dict[str, Any]],
    splits: Sequence[Split],
    context: Any,
) -> list[dict[str, Any]]:
    """Results of all candidates in all folds; sets ``cv_results_`` and ``batched_``."""
    search, n_splits = task.search, len(splits)
    if search.verbose > 0:
        print(
            f"Fitting {n_splits} folds for each of {len(settings)} candidates, totalling "
            f"{n_splits * len(settings)} fits"
        )
    jobs = _jobs(task, settings, splits)
    context = context.subcontext(
        task_name="search", max_subtasks=len(jobs) + 1, sequential_subtasks=False
    ).call_on_fit_task_begin(estimator=search)
    with Parallel(n_jobs=search.n_jobs, pre_dispatch=search.pre_dispatch) as parallel:
        outcomes = _run_jobs(jobs, parallel, context)
        pairs = list(product(range(len(settings)), splits))
        left = [pair for pair in pairs if (pair[0], pair[1].number) not in outcomes]
        outcomes |= _one_by_one(task, settings, left, parallel, context)
    context.call_on_fit_task_end(estimator=search)
    if not outcomes:
        raise ValueError(
            "No fits were performed. Was the CV iterator empty? Were there no candidates?"
        )
    ordered = [outcomes[candidate, split.number] for candidate, split in pairs]
    _report(search, settings, ordered)
    return [outcome.result for outcome in ordered]


def _jobs(
    task: Task, settings: Sequence[dict[str, Any]], splits: Sequence[Split]
) -> list[Job]:
    """The work of all runs, in as many pieces as there are processes to do it."""
    if task.weight is NOT_BATCHED or not splits:
        return []
    prefixes = group_candidates(task.estimator, settings)
    memory = task.search.working_memory
    memory = MIB * (get_config()["working_memory"] if memory is None else memory)
    rest = task.X, task.y, task.weight, task.scoring, memory, task.search
    pieces = _pieces(prefixes, splits, effective_n_jobs(task.search.n_jobs))
    return [Job(groups, some, *rest) for groups, some in pieces]


def _pieces(
    prefixes: Sequence[list[Group]], splits: Sequence[Split], n_jobs: int
) -> Iterator[tuple[list[Group], list[Split]]]:
    """Groups and folds of each job.

    Those behind a prefix are divided by folds, so that it is fitted once for each; others
    by candidates, of which there are as many in each piece.
    """
    whole = [p for p in prefixes if p[0].has_prefix]
    loose = [group for p in prefixes if not p[0].has_prefix for group in p]
    parts = -(-n_jobs // max(1, len(whole) + len(loose)))
    for groups in whole:
        for some in np.array_split(np.arange(len(splits)), min(parts, len(splits))):
            yield groups, [splits[number] for number in some]
    for group in loose:
        for columns in np.array_split(np.arange(group.width), min(parts, group.width)):
            yield [group.columns(columns[0], columns[-1] + 1)], list(splits)


def _run_jobs(
    jobs: Sequence[Job], parallel: Parallel, context: Any
) -> dict[tuple[int, int], Outcome]:
    """What came of every candidate and fold that could be batched."""
    contexts = [
        context.subcontext(task_name="batched-runs", task_id=number, max_subtasks=None)
        for number in range(len(jobs))
    ]
    done = parallel(
        delayed(evaluate)(job._replace(context=own))
        for job, own in zip(jobs, contexts, strict=True)
    )
    return {
        (outcome.candidate, outcome.split): outcome for some in done for outcome in some
    }


def _one_by_one(
    task: Task,
    settings: Sequence[dict[str, Any]],
    left: Sequence[tuple[int, Split]],
    parallel: Parallel,
    context: Any,
) -> dict[tuple[int, int], Outcome]:
    """The same for all others, as GridSearchCV does it."""
    search, scoring = task.search, task.scoring
    if not left:
        return {}
    context = context.subcontext(
        task_name="one-by-one", task_id=-1, max_subtasks=len(left)
    ).call_on_fit_task_begin(estimator=search)
    contexts = [
        context.subcontext(task_name="candidate-split-evaluation") for _ in left
    ]
    results = parallel(
        delayed(fit_and_score)(
            clone(task.estimator), task.X, task.y, train=split.train, test=split.test,
            parameters=settings[candidate], fit_params=task.fit_params, scorer=scoring.scorer,
            score_params=scoring.params, return_train_score=scoring.return_train_score,
            error_score=scoring.error_score, return_n_test_samples=True, return_times=True,
            verbose=search.verbose, split_progress=(split.number, search.n_splits_),
            candidate_progress=(candidate, len(settings)), caller=search, callback_ctx=own,
        )
        for (candidate, split), own in zip(left, contexts, strict=True)
    )  # fmt: skip
    context.call_on_fit_task_end(estimator=search)
    return {
        (candidate, split.number): Outcome(candidate, split.number, result, [], True)
        for (candidate, split), result in zip(left, results, strict=True)
    }


def _report(
    search: Any, settings: Sequence[dict[str, Any]], outcomes: Sequence[Outcome]
) -> None:
    """Set ``cv_results_`` and ``batched_`` from outcomes, candidate by candidate."""
    results, n_splits = [outcome.result for outcome in outcomes], search.n_splits_
    warn_or_raise_about_fit_failures(results, search.error_score)
    if callable(search.scoring):
        insert_error_scores(results, search.error_score)
    for outcome in outcomes:
        if outcome.by_epoch:
            print_outcome(
                search.verbose, settings[outcome.candidate], outcome, n_splits
            )
    search.cv_results_ = search._format_results(list(settings), n_splits, results)
    by_candidate = [
        outcomes[i : i + n_splits] for i in range(0, len(outcomes), n_splits)
    ]
    add_scores_by_epoch(search.cv_results_, by_candidate)
    alone = [[outcome.alone for outcome in some] for some in by_candidate]
    search.batched_ = ~np.array(alone).any(1)


def _select(search: Any, metric: Any) -> None:
    """Set ``best_index_`` and its like, as GridSearchCV does, or by the best epoch."""
    if not search.refit and search.multimetric_:
        return
    results = search.cv_results_
    if search.refit_epochs is None:
        search.best_index_ = search._select_best_index(search.refit, metric, results)
        best = results.get(f"mean_test_{metric}")
        score = None if best is None else best[search.best_index_]
    else:
        chosen = None
        if callable(search.refit):
            chosen = search._select_best_index(search.refit, metric, results)
        search.best_index_, search.best_n_epochs_, score = best_number_of_epochs(
            results, metric, chosen
        )
    if not callable(search.refit):
        search.best_score_ = score
    search.best_params_ = results["params"][search.best_index_]


def _refit(task: Task, context: Any) -> None:
    """Fit the best candidate to all rows."""
    search, X, y = task.search, task.X, task.y
    search.best_estimator_ = best = fresh(task.estimator, search.best_params_)
    context = context.subcontext(task_name="refit-with-best-params")
    # For a number of epochs, it is the model in a Pipeline that is fitted.
    fitted = best if search.refit_epochs is None else split_pipeline(best)[1]
    with context.propagate_callback_context(fitted):
        context.call_on_fit_task_begin(**task.told)
        began = time.time()
        if search.refit_epochs is not None:
            fit_for(best, X, y, task.weight, search.best_n_epochs_)
        elif y is None:
            best.fit(X, **task.fit_params)
        else:
            best.fit(X, y, **task.fit_params)
        search.refit_time_ = time.time() - began
    if hasattr(best, "feature_names_in_"):
        search.feature_names_in_ = best.feature_names_in_
    context.call_on_fit_task_end(**task.told)
