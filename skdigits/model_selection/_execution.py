"""Sessions of a search: candidates in folds, trained together, scored separately."""

import time
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import groupby, product
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.callback import CallbackContext
from sklearn.pipeline import Pipeline
from torch import Tensor

from skdigits._arrays import (
    deal_chunks,
    isolated,
    one_thread,
    to_tensor,
    training_device,
)
from skdigits._gpus import memory_for_models
from skdigits._gradient import GradientClassifier
from skdigits._input_checks import check_features, has_callbacks
from skdigits._memory_maps import DECIDED
from skdigits.engine.evaluate import predict_scores
from skdigits.engine.sizes import SIZES
from skdigits.engine.solvers import SOLVERS
from skdigits.engine.sparse import Rows
from skdigits.engine.types import Epoch, Observer, Params, Plan, Run
from skdigits.model_selection._continuing import continued_from, with_runs
from skdigits.model_selection._device_scoring import (
    Answers,
    answers_of,
    read,
    scores_of,
)
from skdigits.model_selection._folds import (
    FoldData,
    merged,
    separate_folds,
    shared_folds,
)
from skdigits.model_selection._grouping import Group
from skdigits.model_selection._jobs import Entry, Failure, Job
from skdigits.model_selection._saved import Store
from skdigits.model_selection._scoring import (
    Known,
    Outcome,
    Scoring,
    ScoringData,
    needs_predictions_only,
    safe_indexing,
    score_models,
    scoring_data,
)
from skdigits.training.fitted import set_fitted_attributes
from skdigits.training.messages import Message, after_training, ending
from skdigits.training.observers import EpochPrinter
from skdigits.training.session import (
    Session,
    can_continue,
    prepare,
    run,
)
from skdigits.training.settings import batch_size_of, solver_of


class FoldLogits(NamedTuple):
    """Logits of the models of a fold, and what else `score_models` takes."""

    scoring: Scoring
    data: ScoringData
    classes: np.ndarray
    logits: Tensor
    as_fitted: Callable[[int], BaseEstimator]
    notes: list[list[Message]]


class CallbackError(Exception):
    """Carries an error of a callback past the code that handles other errors."""


@contextmanager
def callbacks_called() -> Iterator[None]:
    """Wrap errors of this block in a `CallbackError`."""
    try:
        yield
    except Exception as error:
        raise CallbackError from error


@isolated(trains=True)  # a process of joblib may be a forked one
def evaluate(job: Job) -> tuple[list[Outcome], list[Failure]]:
    """Evaluate all candidates of a job in all its folds, as far as they can be batched.

    Where a run raises an error, its candidates and folds have no outcomes. They are
    then fitted one by one, and scikit-learn's own code handles their errors. A run that
    exceeds the memory of a GPU is halved.
    """
    outcomes: list[Outcome] = []
    failures: list[Failure] = []
    told: list[Message] = []
    first = job.groups[0].seeds[0][0]
    given = (first.model, job.X, job.y, job.weight, job.splits, job.scoring, job.heard)
    train = train_and_score if job.store is None else partial(_once, job.store)
    if job.context is not None:
        job.context.call_on_fit_task_begin(estimator=job.search)
    try:
        with _errors_noted(failures, job.groups):
            # Balanced class weights, like a prefix, are computed for each fold.
            if first.prefix is None and first.model.class_weight != "balanced":
                folds = shared_folds(*given)
            else:
                folds = merged(separate_folds(first.prefix, *given), job.memory / 2)
            for fold_data in folds:
                for group in job.groups:
                    with _errors_noted(failures, [group]):
                        waiting = _parts(job, group, fold_data)
                        while waiting:
                            part, some = waiting.pop(0)
                            try:
                                outcomes += train(job, part, some)
                            except torch.cuda.OutOfMemoryError as error:
                                waiting = _halved([(part, some), *waiting], error)
                                told.append(_told_of_memory(part, some, error))
    except CallbackError as error:
        raise error.__cause__ or error from None

    if job.context is not None:
        job.context.call_on_fit_task_end(estimator=job.search)
    if told:
        outcomes = [one._replace(messages=(*one.messages, told[0])) for one in outcomes]
    return outcomes, failures


@isolated()
def evaluate_elsewhere(
    job: Job, X: Any, y: Any, weight: Any, in_one_thread: bool
) -> tuple[list[Outcome], list[Failure]]:
    """Evaluate a job in a worker of joblib, which may have one thread only.

    Backends send arguments that are arrays once to each worker, but not those inside of
    others.
    """
    token = DECIDED.set(True)
    try:
        with one_thread() if in_one_thread else nullcontext():
            return evaluate(job._replace(X=X, y=y, weight=weight))
    finally:
        DECIDED.reset(token)


def _parts(job: Job, group: Group, fold_data: FoldData) -> list[tuple[Group, FoldData]]:
    """Return a group and its folds in parts: seeds, folds and candidates of one run."""
    n_seeds, n_folds, n_columns = _size_of_run(job, group, fold_data)
    starts = (
        range(0, len(group.seeds), n_seeds),
        range(0, len(fold_data.folds), n_folds),
        range(0, len(group.seeds[0]), n_columns),
    )
    parts = []
    for seed, fold, column in product(*starts):
        seeds = group.seeds[seed : seed + n_seeds]
        part = Group([own[column : column + n_columns] for own in seeds])
        folds = fold_data.folds[fold : fold + n_folds]
        parts.append((part, fold_data._replace(folds=folds)))
    return parts


def _halved(
    parts: list[tuple[Group, FoldData]], error: BaseException
) -> list[tuple[Group, FoldData]]:
    """Return parts of which those as large as the first, which failed, are halved."""
    too_many = _n_models(*parts[0])
    found = []
    for part in parts:
        as_large = _n_models(*part) >= too_many
        found += _halves(*part, error) if as_large else [part]
    return found


def _n_models(group: Group, fold_data: FoldData) -> int:
    return len(group.seeds) * len(group.seeds[0]) * len(fold_data.folds)


def _halves(
    group: Group, fold_data: FoldData, error: BaseException
) -> list[tuple[Group, FoldData]]:
    """Return two parts of a run after an error, which is raised for a single model."""
    half = len(group.seeds[0]) // 2
    if half:
        first = Group([own[:half] for own in group.seeds])
        second = Group([own[half:] for own in group.seeds])
        return [(first, fold_data), (second, fold_data)]

    half = len(fold_data.folds) // 2
    if half:
        parts = (fold_data.folds[:half], fold_data.folds[half:])
        return [(group, fold_data._replace(folds=folds)) for folds in parts]

    half = len(group.seeds) // 2
    if not half:
        raise error
    divided = (group.seeds[:half], group.seeds[half:])
    return [(Group(seeds), fold_data) for seeds in divided]


def _told_of_memory(group: Group, fold_data: FoldData, error: BaseException) -> Message:
    """Return what users are told of a run that is halved."""
    n_models = _n_models(group, fold_data)
    text = str(error).split(". ")[0]
    return Message(
        f"A run of {n_models} models needs more memory than the GPU has, and is halved "
        f"({text}). Pass a lower working_memory to divide it beforehand.",
        RuntimeWarning,
        cause="memory of the GPU",
    )


def _once(store: Store, job: Job, group: Group, fold_data: FoldData) -> list[Outcome]:
    """Train and score, unless a file has the outcomes of this run."""
    numbers = [one.number for candidates in group.seeds for one in candidates]
    folds = [fold.split.number for fold in fold_data.folds]
    pairs = list(product(numbers, folds))
    return store.once(train_and_score, pairs, job, group, fold_data)


@contextmanager
def _errors_noted(failures: list[Failure], groups: Sequence[Group]) -> Iterator[None]:
    """Note errors of this block, but for those of callbacks, which must be raised."""
    try:
        yield
    except CallbackError:
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
        numbers = [
            candidate.number
            for group in groups
            for candidates in group.seeds
            for candidate in candidates
        ]
        short = isinstance(error, torch.OutOfMemoryError | MemoryError)
        failures.append(Failure(numbers, text, short))


def _size_of_run(job: Job, group: Group, fold_data: FoldData) -> tuple[int, int, int]:
    """Return how many seeds, folds, and candidates of each, train in one run."""
    model = group.seeds[0][0].model
    samples = fold_data.samples[0]
    n_features = samples.X.shape[1]
    network = model._network(n_features, len(samples.classes), samples.multilabel)
    fold = fold_data.folds[0]
    n_samples = len(fold.samples)
    name = model.solver
    if name == "auto":
        name = solver_of(model, n_samples, n_features)
    solver = SOLVERS[name]
    device = training_device(model.device, samples.X)
    if not network.trains_together(solver.n_moments, device):
        return 1, 1, 1

    batch_size = batch_size_of(model, network, n_samples)
    if solver.full_batch:
        batch_size = min(network.chunk_samples(device), n_samples)
    replica = 16 * batch_size * n_features + 16 * n_samples
    n_scored = len(fold.split.test)
    if job.scoring.return_train_score:
        n_scored = max(n_scored, n_samples)
    each = network.bytes_per_model(
        device, solver.n_moments, batch_size, n_samples, n_scored
    )

    memory = job.memory
    if device.type != "cpu":
        gathered = min(SIZES[device.type].block_samples, n_samples)
        replica += 16 * gathered * n_features
        if job.fills_gpu:
            memory = memory_for_models(device, fold_data.nbytes())

    # Replicas before candidates: every thread then computes products of its own.
    at_once = max(1, int(memory // (replica + each)))
    n_seeds = min(len(group.seeds), at_once)
    n_folds = max(1, min(len(fold_data.folds), at_once // n_seeds))
    n_columns = int((memory / (n_seeds * n_folds) - replica) // each)
    return n_seeds, n_folds, max(1, min(len(group.seeds[0]), n_columns))


def train_and_score(job: Job, group: Group, fold_data: FoldData) -> list[Outcome]:
    """Train in one session, and score the models."""
    began = time.perf_counter()
    entries = _entries(group, fold_data)
    models = [entry.model for entry in entries]
    positions = {entry.replica: entry.fold.samples for entry in entries}
    session = prepare(
        models,
        fold_data.samples,
        template=fold_data.template,
        replicas=list(positions.values()),
    )
    if job.past:
        session, entries = continued_from(job.past, session, entries)
    notes = [[*entry.fold.messages, *session.messages] for entry in entries]
    job.heard.extend(notes)
    scored = _ScoredSession(job, session, entries, notes)
    # The printer first, so that an epoch is printed before a callback reports it.
    observers: list[Observer] = [EpochPrinter(models)] if models[0].verbose else []
    if job.scoring.by_epoch or has_callbacks(job.search):
        observers.append(scored)
    with scored.callbacks() if has_callbacks(job.search) else nullcontext():
        runs = run(session, observers)
    if models[0].verbose:
        _print_endings(models, runs, session.plan)
    runs = [
        one._replace(epochs=entry.epochs + one.epochs)
        for one, entry in zip(runs, entries, strict=True)
    ]
    for number, (entry, one) in enumerate(zip(entries, runs, strict=True)):
        # Halving cuts runs short on purpose.
        notes[number] += after_training(entry.model, one, session, job.past is not None)

    fit_seconds = time.perf_counter() - began - scored.seconds
    results = scored.results(runs, fit_seconds)
    outcomes = [
        Outcome(
            entry.candidate.number,
            entry.fold.split.number,
            result,
            entry.curve,
            len(entries) == 1,
            messages=tuple(dict.fromkeys(notes[number])),
            solver=session.plan.solver,
        )
        for number, (entry, result) in enumerate(zip(entries, results, strict=True))
    ]
    if job.past is not None and can_continue(session.plan):
        return with_runs(outcomes, entries, runs)
    return outcomes


def _entries(group: Group, fold_data: FoldData) -> list[Entry]:
    """Return the models of a session by fold, then by seed, then by candidate."""
    first = group.seeds[0][0].model
    device = training_device(first.device, fold_data.samples[0].X)
    entries = []
    replica = 0
    for fold in fold_data.folds:
        test = to_tensor(fold.checked, device)
        for candidates in group.seeds:
            for candidate in candidates:
                model = candidate.model
                # A generator advances: every fold gets one in the same state.
                if isinstance(model.random_state, np.random.RandomState):
                    model = clone(model)
                entries.append(Entry(candidate, fold, replica, model, test, [], []))
            replica += 1
    return entries


def _print_endings(
    models: Sequence[GradientClassifier], runs: Sequence[Run], plan: Plan
) -> None:
    """Print why verbose models ended."""
    for number, (model, one) in enumerate(zip(models, runs, strict=True)):
        prefix = f"Model {number}, " if len(models) > 1 else ""
        for line in ending(model, one, plan, prefix):
            print(line)


@dataclass(eq=False)
class _ScoredSession:
    """Scores the models of a session; follows its epochs if somebody wants to know.

    ``seconds`` is the time spent on all scores. ``notes`` are the messages on a model,
    by its number; warnings of scorers are added to them.
    """

    job: Job
    session: Session
    entries: list[Entry]
    notes: list[list[Message]]
    seconds: float = 0.0
    context: CallbackContext = None
    answers: dict[tuple[int, bool], Answers] = field(default_factory=dict)

    @contextmanager
    def callbacks(self) -> Iterator[None]:
        """Call the search's callbacks when the run begins and ends."""
        plan = self.session.plan
        # L-BFGS minimises one model after the other, and reports each by itself.
        reports = plan.epochs
        if SOLVERS[plan.solver].full_batch:
            reports = plan.epochs * len(self.entries)
        context = self.job.context.subcontext(
            task_name="batched-run", max_subtasks=reports
        )

        with callbacks_called():
            self.context = context.call_on_fit_task_begin(estimator=self.job.search)
        try:
            yield
        finally:
            with callbacks_called():
                self.context.call_on_fit_task_end(estimator=self.job.search)

    def __call__(
        self,
        models: list[int],
        epochs: list[Epoch],
        params: Params,
        runs: Callable[[], list[Run]],
    ) -> Collection[int]:
        """Score an epoch, if that is wanted, and call back."""
        if self.job.scoring.by_epoch:
            began = time.perf_counter()
            # Few scorers look at the models: they are made for those that do.
            runs_now = cache(lambda: dict(zip(models, runs(), strict=True)))

            def unfinished(number: int, own: Params) -> BaseEstimator:
                run = runs_now()[number]
                state = run.state._replace(params=own)  # not those of its best epoch
                epochs = [*self.entries[number].epochs, *run.epochs]
                now = run._replace(state=state, epochs=epochs)
                return self._finished(number, now)

            # Scorers are users' code, which may compute gradients of its own.
            with torch.inference_mode(False):
                for number, score in self._scores(models, params, unfinished):
                    self.entries[number].curve.append(score)
            self.seconds += time.perf_counter() - began

        if self.context is not None:
            with callbacks_called():
                epoch = self.context.subcontext(task_name="epoch")
                epoch.call_on_fit_task_begin(estimator=self.job.search)
                epoch.call_on_fit_task_end(estimator=self.job.search)
        return ()

    def results(self, runs: Sequence[Run], fit_seconds: float) -> list[dict[str, Any]]:
        """Return scores and times of trained models, in the form of scikit-learn's."""
        began = time.perf_counter()
        params = tuple(
            map(torch.cat, zip(*(r.state.params for r in runs), strict=True))
        )
        numbers = range(len(runs))

        def finished(number: int, own: Params) -> BaseEstimator:
            return self._finished(number, runs[number])

        scoring = self.job.scoring
        plan = self.session.plan
        keeps_best = SOLVERS[plan.solver].full_batch or plan.early_stopping
        known = scoring.by_epoch and needs_predictions_only(scoring.scorer)
        if known and not keeps_best:
            scores = dict(enumerate(entry.curve[-1] for entry in self.entries))
        else:
            # The model may not be the last epoch's, or scorers need a fitted estimator.
            scores = dict(self._scores(numbers, params, finished))

        results = []
        for number, entry in enumerate(self.entries):
            result = {
                "fit_error": None,
                "test_scores": scores[number],
                "n_test_samples": len(entry.fold.split.test),
            }
            results.append(result)
        if scoring.return_train_score:
            for number, score in self._scores(numbers, params, finished, train=True):
                results[number]["train_scores"] = score

        self.seconds += time.perf_counter() - began
        for result in results:
            result["fit_time"] = fit_seconds / len(results)
            result["score_time"] = self.seconds / len(results)
        return results

    def _scores(
        self,
        numbers: Sequence[int],
        params: Params,
        as_fitted: Callable[[int, Params], BaseEstimator],
        train: bool = False,
    ) -> Iterator[tuple[int, Any]]:
        """Yield numbers and scores of models on test or train samples of a fold."""
        classes = self.session.samples.classes
        folds = [self.entries[number].fold.split.number for number in numbers]
        waiting = []
        for _, group in groupby(range(len(numbers)), folds.__getitem__):
            places = list(group)
            entry = self.entries[numbers[places[0]]]
            data = entry.fold.test
            samples = entry.test
            if train:
                data, samples = self._train_samples(entry)

            own = [numbers[place] for place in places]
            some = tuple(p[places[0] : places[-1] + 1] for p in params)
            make = partial(_one_of, as_fitted, own, some)
            logits = self._logits(some, samples)
            notes = [self.notes[number] for number in own]
            fold = FoldLogits(self.job.scoring, data, classes, logits, make, notes)
            if logits.device.type != "cpu":
                waiting.append((own, fold))
                continue
            yield from zip(own, score_models(*fold), strict=True)
        if waiting:
            yield from self._scores_there(waiting, train)

    def _scores_there(
        self, waiting: list[tuple[list[int], FoldLogits]], train: bool
    ) -> Iterator[tuple[int, Any]]:
        """Yield numbers and scores of models of all folds, from logits on a GPU."""
        found = []
        for own, fold in waiting:
            key = (self.entries[own[0]].fold.split.number, train)
            there = partial(self._answers, key, fold.data, fold.logits.device)
            found.append(scores_of(*fold[:4], there))

        known: Sequence[Known | None] = [None] * len(waiting)
        if all(one is not None for one in found):
            known = read([one for one in found if one is not None])
        for (own, fold), one in zip(waiting, known, strict=True):
            yield from zip(own, score_models(*fold, one), strict=True)

    def _answers(
        self, key: tuple[int, bool], data: ScoringData, device: torch.device
    ) -> Answers:
        """Return the answers of a fold on a GPU, where they are copied once."""
        if key not in self.answers:
            self.answers[key] = answers_of(data, device)
        return self.answers[key]

    def _logits(self, params: Params, samples: Rows) -> Tensor:
        """Return logits (K, N, C) of models of one fold."""
        network = self.session.network
        if not SOLVERS[self.session.plan.solver].full_batch:
            with deal_chunks(network, samples, len(params[0])) as workers:
                return predict_scores(network, params, samples, workers)

        # Models that were trained alone are predicted alone: equal ones then have equal
        # scores to the last bit.
        each = zip(*(p.split(1) for p in params), strict=True)
        return torch.cat([predict_scores(network, one, samples) for one in each])

    def _train_samples(self, entry: Entry) -> tuple[ScoringData, Rows]:
        """Return the train samples of a fold, for scorers and for the model."""
        job = self.job
        train = entry.fold.split.train
        seen = None
        if entry.fold.prefix is not None:
            seen = entry.fold.prefix.transform(safe_indexing(job.X, train))

        classes = self.session.samples.classes
        data = scoring_data(job.scoring, job.X, job.y, train, classes, seen)
        checked = check_features(self.session.template, data.samples)
        return data, to_tensor(checked, entry.test.device)

    def _finished(self, number: int, one: Run) -> BaseEstimator:
        """Return the fitted estimator."""
        entry = self.entries[number]
        model = clone(entry.model)
        set_fitted_attributes(model, self.session, one, entry.replica)
        return _in_pipeline(entry, model)


def _one_of(
    as_fitted: Callable[[int, Params], BaseEstimator],
    numbers: Sequence[int],
    params: Params,
    place: int,
) -> BaseEstimator:
    """Return one of several models, made of its number and its parameters."""
    return as_fitted(numbers[place], tuple(p[place : place + 1] for p in params))


def _in_pipeline(entry: Entry, model: GradientClassifier) -> BaseEstimator:
    """Return the model in its Pipeline, if it has one, behind its fold's prefix."""
    if entry.candidate.name is None:
        return model
    prefix = entry.fold.prefix
    steps = [] if prefix is None else prefix.steps
    return Pipeline([*steps, (entry.candidate.name, model)])
