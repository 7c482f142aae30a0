"""The ``fit`` of GridSearchCV, with candidates that share runs.

GridSearchCV has no hook between its candidates and their evaluation. This module calls
the private functions of GridSearchCV in the same order, with its own evaluation.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from itertools import chain, product
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import effective_n_jobs
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import BaseEstimator, _fit_context, clone, is_classifier
from sklearn.callback import CallbackContext
from sklearn.model_selection import BaseCrossValidator, check_cv
from sklearn.model_selection._validation import (
    _insert_error_scores,
    _warn_or_raise_about_fit_failures,
)
from sklearn.utils import Bunch, indexable
from sklearn.utils.validation import _check_method_params, _num_samples

from skdigits._arrays import training_device
from skdigits._input_checks import has_callbacks
from skdigits.distributed import RANKS, refuse_search
from skdigits.engine.network import Network
from skdigits.engine.solvers import SOLVERS
from skdigits.model_selection._execution import evaluate
from skdigits.model_selection._folds import Split
from skdigits.model_selection._grouping import (
    Group,
    fresh,
    group_candidates,
    split_pipeline,
)
from skdigits.model_selection._handing_out import any_gpu_will_do, handed_out
from skdigits.model_selection._jobs import Job
from skdigits.model_selection._no_effect import without_effect
from skdigits.model_selection._one_by_one import one_by_one, warn_of_unexplained
from skdigits.model_selection._pieces import left, pieces
from skdigits.model_selection._refit import (
    best_number_of_epochs,
    check_epochs_can_be_chosen,
    fit_for,
)
from skdigits.model_selection._routing import NOT_BATCHED, model_weight
from skdigits.model_selection._saved import Store, store_of
from skdigits.model_selection._scoring import (
    Outcome,
    Outcomes,
    Scoring,
    Search,
    add_scores_by_epoch,
    print_outcome,
    safe_indexing,
)
from skdigits.model_selection._workers import is_chosen
from skdigits.training.messages import Message, emit, noted
from skdigits.training.settings import solver_of

MIB = 2**20
# As in GridSearchCV, the estimator of a search is checked when it is fitted.
fit_context = _fit_context(prefer_skip_nested_validation=False)


class Task(NamedTuple):
    """The arguments that the steps of a search share.

    ``routed`` has the parameters of the estimator's fit, of the scorer and of the
    splitter. ``weight`` has the model's sample weights among them. ``arguments`` are
    passed to callbacks. ``messages`` are those of all fits. ``heard`` are lists that
    fill while candidates are evaluated, for an evaluation that raises an error.
    ``store`` saves the finished work to files.
    """

    search: Search
    estimator: BaseEstimator
    X: ArrayLike
    y: ArrayLike
    settings: list[dict[str, Any]]
    splits: list[Split]
    routed: Bunch
    weight: Any
    scoring: Scoring
    arguments: dict[str, Any]
    messages: list[Message]
    heard: list[list[Message]]
    store: Store | None = None


def fit_search(
    search: Search,
    X: ArrayLike,
    y: ArrayLike,
    params: dict[str, Any],
    settings: Iterable[dict[str, Any]] = (),
    iterations: Callable[[Task, Callable[..., None]], list[Outcome]] | None = None,
) -> None:
    """Fit a search: evaluate all candidates, select the best one, and refit it.

    A halving search selects its candidates while it runs, so it passes no
    ``settings``. It passes ``iterations`` instead, a function that runs scikit-learn's
    loop over iterations and evaluates the candidates of each.
    """
    scorers, refit_metric = search._get_scorers()
    if any(hasattr(one, "chunks") for one in (X, y, *params.values())):
        X, y, params = _in_memory(X, y, params)
    X, y = indexable(X, y)
    params = _check_method_params(X, params)
    routed = search._get_routed_params_for_fit(params)
    weight = params.get("sample_weight")
    metadata = None if weight is None else {"sample_weight": weight}
    arguments = {"estimator": search, "X": X, "y": y, "metadata": metadata}
    context = search._init_callback_context(
        max_subtasks=1 + (search.refit is not False)
    ).call_on_fit_task_begin(**arguments)

    # Settings before splits, as in scikit-learn: one random generator may draw both.
    listed = [dict(setting) for setting in settings]
    if search.refit_epochs is not None:
        check_epochs_can_be_chosen(search, listed)
    splits = checked_splits(search, X, y, routed.splitter.split)
    estimator = clone(search.estimator)
    fitted_with = routed.estimator.fit
    of_model = model_weight(estimator, fitted_with) if fitted_with else None
    by_epoch = search.return_epoch_scores or search.refit_epochs is not None
    choices = (search.return_train_score, search.error_score, by_epoch)
    scoring = Scoring(scorers, routed.scorer.score, *choices)
    given = (estimator, X, y, listed, splits, routed, of_model, scoring, arguments)
    task = Task(search, *given, messages=[], heard=[])
    if has_callbacks(search):
        task = task._replace(store=store_of(task))

    # Set cv_results_ before the selection: a callable ``refit`` reads it.
    try:
        if iterations is None:
            outcomes = evaluate_all(task, context)
            task.messages.extend(chain.from_iterable(o.messages for o in outcomes))
            report(task, outcomes)
        else:
            loop = partial(search._run_search, callback_ctx=context)
            outcomes = iterations(task, loop)
            task.messages.extend(chain.from_iterable(o.messages for o in outcomes))
        _select(task, outcomes, refit_metric)
        if search.refit:
            _refit(task, context)
        search.scorer_ = getattr(scorers, "_scorers", scorers)  # of several metrics
        context.call_on_fit_task_end(**arguments)
        if task.store is not None:
            task.store.finish(search)
    except BaseException:
        _tell_what_was_heard(task)
        raise
    emit(task.messages)


def _in_memory(
    X: ArrayLike, y: ArrayLike, params: dict[str, Any]
) -> tuple[Any, Any, dict[str, Any]]:
    """Return arrays in memory for those in chunks, as zarr and Dask have them.

    They do not take the positions of the samples in a fold.
    """
    X, y, *values = (
        np.asarray(one) if hasattr(one, "chunks") else one
        for one in (X, y, *params.values())
    )
    return X, y, dict(zip(params, values, strict=True))


def _tell_what_was_heard(task: Task) -> None:
    """Emit the messages of a search that fails."""
    # The user needs its error, also where warnings are errors.
    with suppress(Warning):
        emit(task.messages or dict.fromkeys(chain.from_iterable(task.heard)))


def checked_splits(
    search: Search,
    X: ArrayLike,
    y: ArrayLike,
    params: dict[str, Any],
    cv: BaseCrossValidator | None = None,
) -> list[Split]:
    """Return the folds of a splitter.

    By default, the splitter is that of the search, and the number of its folds becomes
    ``n_splits_``.
    """
    if RANKS.get() is not None:
        refuse_search(type(search).__name__)
    if cv is None:
        cv = check_cv(search.cv, y, classifier=is_classifier(search.estimator))
        search._checked_cv_orig = cv
        search._check_input_parameters(X=X, y=y, split_params=params)
        search.n_splits_ = cv.get_n_splits(X, y, **params)
    pairs = list(cv.split(X, y, **params))
    if len(pairs) != search.n_splits_:
        raise ValueError(
            "cv.split and cv.get_n_splits return inconsistent results. Expected "
            f"{search.n_splits_} splits, got {len(pairs)}"
        )

    # Splitters may yield masks, or negative positions that count from the end.
    samples = np.arange(_num_samples(X))
    return [
        Split(number, samples[train], samples[test])
        for number, (train, test) in enumerate(pairs)
    ]


def evaluate_all(
    task: Task,
    context: CallbackContext,
    known: Outcomes | None = None,
    past: Outcomes | None = None,
) -> list[Outcome]:
    """Return the outcomes of all candidates in all folds, candidate by candidate.

    Outcomes that are ``known``, or in the files of a checkpoint, are not computed
    again. Training continues from ``past`` outcomes, and can continue again, unless
    they are None.
    """
    search = task.search
    n_candidates = len(task.settings)
    if search.verbose > 0:
        print(
            f"Fitting {len(task.splits)} folds for each of {n_candidates} candidates, "
            f"totalling {len(task.splits) * n_candidates} fits"
        )

    outcomes = dict(known or {})
    if task.store is not None:
        outcomes |= task.store.outcomes()
    here, elsewhere = jobs_of(task, outcomes, past)
    context = context.subcontext(
        task_name="search",
        task_id=None if context.sequential_subtasks else 0,
        max_subtasks=len(here) + len(elsewhere) + 1,
        sequential_subtasks=False,
    ).call_on_fit_task_begin(estimator=search)
    contexts = [
        context.subcontext(task_name="batched-runs", task_id=number, max_subtasks=None)
        for number in range(len(here) + len(elsewhere))
    ]

    found = [
        evaluate(job._replace(context=own))
        for job, own in zip(here, contexts, strict=False)
    ]
    if elsewhere:
        found += handed_out(task, elsewhere, contexts[len(here) :])
    outcomes |= {(one.candidate, one.split): one for some, _ in found for one in some}
    pairs = list(product(range(n_candidates), task.splits))
    missing = [pair for pair in pairs if (pair[0], pair[1].number) not in outcomes]
    if missing:
        outcomes |= one_by_one(task, missing, context)
    context.call_on_fit_task_end(estimator=search)

    if not outcomes:
        raise ValueError(
            "No fits were performed. Was the CV iterator empty? Were there no "
            "candidates?"
        )
    failures = [failure for _, some in found for failure in some]
    if failures:
        warn_of_unexplained(failures, outcomes, search.error_score)
    return [outcomes[candidate, split.number] for candidate, split in pairs]


def jobs_of(
    task: Task, known: Outcomes, past: Outcomes | None = None
) -> tuple[list[Job], list[Job]]:
    """Return the jobs to evaluate in this process, and pieces for joblib's workers.

    A run of models that train together uses all cores of a machine, so processes would
    only divide its models: it goes to workers only if the user has chosen a backend, or
    if there are several GPUs.
    """
    if task.weight is NOT_BATCHED or not task.splits:
        return [], []

    search = task.search
    memory = search.working_memory
    memory = MIB * (get_config()["working_memory"] if memory is None else memory)
    samples = (task.X, task.y, task.weight)
    fills_gpu = search.working_memory is None
    rest = (*samples, task.scoring, memory, search, task.heard, task.store, fills_gpu)
    batched = []
    single = []
    for groups in group_candidates(task.estimator, task.settings):
        together = [group for group in groups if _trains_together(task, group)]
        alone = [group for group in groups if group not in together]
        if together:
            batched.append(Job(together, task.splits, *rest))
        if alone:
            single.append(Job(alone, task.splits, *rest))

    if known or past is not None:
        batched = left(batched, known, past)
        single = left(single, known, past)
    n_workers = effective_n_jobs(search.n_jobs)
    n_gpus = torch.cuda.device_count()
    if n_gpus > 1 and any_gpu_will_do(task):
        return [], pieces([*batched, *single], n_gpus)
    if n_workers == 1:
        return [*batched, *single], []
    if is_chosen():
        return [], pieces([*batched, *single], n_workers)
    return batched, pieces(single, n_workers)


def _trains_together(task: Task, group: Group) -> bool:
    """Return whether the models of a group share runs, judged by the shape of X.

    This assumes that steps before the model do not change the number of features.
    """
    model = group.seeds[0][0].model
    try:
        shape: tuple[int, ...] = getattr(task.X, "shape", ())
        if not shape:
            shape = np.shape(safe_indexing(task.X, [0]))
        n_features = math.prod(shape[1:])
        network: Network = model._network(n_features, len(np.unique(task.y)), False)
        device = training_device(model.device, task.X)
        solver = model.solver
        if solver == "auto":
            solver = solver_of(model, len(task.splits[0].train), n_features)
        return network.trains_together(SOLVERS[solver].n_moments, device)
    except Exception:
        return False  # the evaluation of the group raises the error again, and reports


def report(
    task: Task,
    outcomes: Sequence[Outcome],
    n_reported: int = 0,
    columns: dict[str, list[Any]] | None = None,
) -> None:
    """Set ``cv_results_`` and ``batched_`` from outcomes, candidate by candidate.

    The first ``n_reported`` outcomes are not reported again. ``columns`` are added to
    ``cv_results_``.
    """
    search = task.search
    n_splits = search.n_splits_
    results = [outcome.result for outcome in outcomes]
    _warn_or_raise_about_fit_failures(results[n_reported:], search.error_score)
    if callable(search.scoring):
        _insert_error_scores(results[n_reported:], search.error_score)
    if search.verbose > 1:
        for outcome in outcomes[n_reported:]:
            # scikit-learn has already printed the outcomes of its own fits.
            if outcome.by_epoch is not None:
                setting = task.settings[outcome.candidate]
                print_outcome(search.verbose, setting, outcome, n_splits)

    search.cv_results_ = search._format_results(
        task.settings, n_splits, results, columns
    )
    by_candidate = [
        outcomes[start : start + n_splits]
        for start in range(0, len(outcomes), n_splits)
    ]
    if task.scoring.by_epoch:
        add_scores_by_epoch(search.cv_results_, by_candidate)
    alone = [[outcome.alone for outcome in some] for some in by_candidate]
    search.batched_ = ~np.array(alone).any(1)


def _select(task: Task, outcomes: Sequence[Outcome], metric: Any) -> None:
    """Set ``best_index_``, ``best_score_`` and ``best_params_``.

    Selects the best candidate as GridSearchCV does, or with the best number of epochs.
    Adds messages on parameters that have no effect where candidates have equal scores.
    """
    search = task.search
    results = search.cv_results_
    ranks = [results[name] for name in results if name.startswith("rank_test_")]
    if any(len(set(column)) < len(column) for column in ranks):
        solvers = [one.solver for one in outcomes[:: search.n_splits_]]
        task.messages.extend(without_effect(task.estimator, results["params"], solvers))

    scores = outcomes[0].result["test_scores"]
    search.multimetric_ = isinstance(scores, dict)
    if callable(search.scoring) and search.multimetric_:
        search._check_refit_for_multimetric(scores)
        metric = search.refit
    if not search.refit and search.multimetric_:
        return

    if search.refit_epochs is None:
        search.best_index_ = search._select_best_index(search.refit, metric, results)
        best = results.get(f"mean_test_{metric}")
        score = None if best is None else best[search.best_index_]
    else:
        chosen = None
        if callable(search.refit):
            chosen = search._select_best_index(search.refit, metric, results)
        best_pair = best_number_of_epochs(results, metric, chosen)
        search.best_index_, search.best_n_epochs_, score = best_pair

    if not callable(search.refit):
        search.best_score_ = score
    search.best_params_ = results["params"][search.best_index_]


def _refit(task: Task, context: CallbackContext) -> None:
    """Fit the best candidate to all samples, and add its messages."""
    search = task.search
    fit_params = task.routed.estimator.fit
    best = fresh(task.estimator, search.best_params_)
    search.best_estimator_ = best
    context = context.subcontext(task_name="refit-with-best-params")

    # `fit_for` calls the fit of the model itself, so callbacks belong to the model, not
    # to its Pipeline.
    fitted = best if search.refit_epochs is None else split_pipeline(best)[1]
    store = task.store
    followed = nullcontext() if store is None else store.follow(best)
    with context.propagate_callback_context(fitted), followed, noted(task.messages):
        context.call_on_fit_task_begin(**task.arguments)
        began = time.time()
        if search.refit_epochs is not None:
            fit_for(best, task.X, task.y, task.weight, search.best_n_epochs_)
        elif task.y is None:
            best.fit(task.X, **fit_params)
        else:
            best.fit(task.X, task.y, **fit_params)
        search.refit_time_ = time.time() - began

    if hasattr(best, "feature_names_in_"):
        search.feature_names_in_ = best.feature_names_in_
    context.call_on_fit_task_end(**task.arguments)
