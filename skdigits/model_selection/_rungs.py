"""The iterations of a halving search, in which training continues."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from sklearn.base import BaseEstimator
from sklearn.callback import CallbackContext
from sklearn.model_selection import BaseCrossValidator
from sklearn.pipeline import Pipeline

from skdigits.model_selection._scoring import Outcome
from skdigits.model_selection._search import (
    Task,
    checked_splits,
    evaluate_all,
    report,
)

Setting: TypeAlias = dict[str, Any]
AT_NO_COST = {"fit_time": 0.0, "score_time": 0.0}


def epochs_parameter(estimator: BaseEstimator) -> str:
    """Return the name of the model's number of epochs for ``set_params``."""
    if isinstance(estimator, Pipeline):
        return f"{estimator.steps[-1][0]}__max_iter"
    return "max_iter"


def evaluate_iterations(task: Task, iterate: Callable[..., None]) -> list[Outcome]:
    """Evaluate the candidates of all iterations of a halving search.

    ``iterate`` is scikit-learn's loop. It calls a function with the candidates of each
    iteration, and chooses those of the next one from the results so far.
    """
    iterations = _Iterations(task)
    iterate(iterations.evaluate)
    return iterations.outcomes


class _Iterations:
    """Evaluates the iterations of a halving search.

    ``settings``, ``outcomes`` and ``columns`` are those of all iterations so far.
    ``latest`` are the last iteration's outcomes, by setting, if training can continue.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.settings: list[Setting] = []
        self.outcomes: list[Outcome] = []
        self.columns: defaultdict[str, list[Any]] = defaultdict(list)
        self.latest: dict[frozenset[tuple[str, int]], list[Outcome]] = {}

    def evaluate(
        self,
        candidate_params: Sequence[Setting],
        cv: BaseCrossValidator,
        *,
        more_results: dict[str, list[Any]],
        callback_ctx: CallbackContext,
    ) -> Setting:
        """Evaluate the candidates of an iteration; return all results so far."""
        given = self.task
        search = given.search
        # The folds stay the same, unless samples are what an iteration adds.
        splits = given.splits
        if search.resource == "n_samples":
            params = given.routed.splitter.split
            splits = checked_splits(search, given.X, given.y, params, cv)
        settings = list(candidate_params)
        store = given.store
        if store is not None:
            number = more_results["iter"][0]
            store = store.of_iteration(number, settings, splits)
        task = given._replace(settings=settings, splits=splits, store=store)

        if search.resource == epochs_parameter(given.estimator):
            outcomes = self._train_on(task, callback_ctx, more_results["n_resources"])
        else:
            outcomes = evaluate_all(task, callback_ctx)

        n_before = len(self.settings)
        n_reported = len(self.outcomes)
        self.settings += task.settings
        self.outcomes += [
            outcome._replace(candidate=outcome.candidate + n_before, kept=None)
            for outcome in outcomes
        ]
        for name, values in more_results.items():
            self.columns[name] += values
        whole = task._replace(settings=self.settings)
        report(whole, self.outcomes, n_reported, self.columns)
        results: Setting = search.cv_results_
        return results

    def _train_on(
        self, task: Task, context: CallbackContext, n_epochs: Sequence[int]
    ) -> list[Outcome]:
        """Return outcomes after so many epochs in all, continuing where possible."""
        past = {
            (number, outcome.split): outcome._replace(candidate=number)
            for number, setting in enumerate(task.settings)
            for outcome in self.latest.get(self._identity(setting), [])
            if outcome.kept is not None
        }
        # The states of those that are out need no memory any more.
        self.latest = {}

        known = {
            pair: outcome._replace(result=outcome.result | AT_NO_COST, messages=())
            for pair, outcome in past.items()
            if _has_ended(outcome, n_epochs[pair[0]])
        }
        outcomes = evaluate_all(task, context, known, past)
        for outcome in outcomes:
            setting = self._identity(task.settings[outcome.candidate])
            self.latest.setdefault(setting, []).append(outcome)
        return outcomes

    def _identity(self, setting: Setting) -> frozenset[tuple[str, int]]:
        """Return a key for a candidate, the same in every iteration.

        scikit-learn copies settings, but not their values, which need not be hashable.
        """
        resource = self.task.search.resource
        return frozenset(
            (name, id(value)) for name, value in setting.items() if name != resource
        )


def _has_ended(outcome: Outcome, n_epochs: int) -> bool:
    """Return whether training has stopped by itself, or after as many epochs."""
    if outcome.kept is None:
        return False
    run = outcome.kept.run
    return run.status != "max_iter" or len(run.epochs) >= n_epochs
