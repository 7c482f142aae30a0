"""One run of the engine: candidates in folds, trained together, each scored by itself."""

import copy
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from torch import Tensor

from skdigits._arrays import to_tensor
from skdigits._fitting import (
    SOLVERS,
    Watch,
    crossing,
    install,
    install_records,
    snapshot,
    train_models,
)
from skdigits._held_out import split
from skdigits._memory import Start, begin
from skdigits._reporting import epoch_printer, warn_beforehand, warn_of_outcomes
from skdigits._validation import check_more
from skdigits.engine.networks import LayeredNetwork
from skdigits.engine.predict import predict_scores
from skdigits.engine.types import Data, Epoch, Params, Run
from skdigits.model_selection._folds import Fold, Material
from skdigits.model_selection._grouping import Candidate, Group
from skdigits.model_selection._jobs import Job, Outcome, callbacks_called
from skdigits.model_selection._private import needs_responses_only, safe_indexing
from skdigits.model_selection._scoring import Questions, questions, score_model


class _Entry(NamedTuple):
    """One model of a run: which candidate in which fold, the test rows, epochs so far."""

    candidate: Candidate
    fold: Fold
    stream: int
    model: Any
    tested: Tensor
    epochs: list[Epoch]


class _Together(NamedTuple):
    """What the models of one run have in common."""

    job: Job
    material: Material
    network: LayeredNetwork
    entries: list[_Entry]

    def scores(self, numbers: Sequence[int], params: Params) -> Iterator[Any]:
        """Test scores of some models by these parameters, as training goes on."""
        for number, logits, own in self.responses(numbers, params):
            entry = self.entries[number]
            fitted = partial(self.snapshot, entry, own)
            yield self.score(entry.fold.test, logits, fitted)

    def responses(
        self, numbers: Sequence[int], params: Params
    ) -> Iterator[tuple[int, Tensor, Params]]:
        """Each model's number, its logits for its fold's test rows, and its parameters."""
        for places in self.asked_together(numbers):
            some = tuple(p[places] for p in params)
            tested = self.entries[numbers[places[0]]].tested
            logits = predict_scores(self.network, some, tested)
            for k, place in enumerate(places):
                yield numbers[place], logits[k], tuple(p[k : k + 1] for p in some)

    def asked_together(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        """Places in ``numbers`` of models whose logits are computed in one product.

        Those of a fold; alone, models that were trained alone, so that equal ones score the
        same to the last bit.
        """
        alone = self.entries[0].model.solver in SOLVERS

        def key(place: int) -> tuple[int, int]:
            fold = self.entries[numbers[place]].fold.split.number
            return fold, place if alone else 0

        for _, places in groupby(range(len(numbers)), key):
            yield list(places)

    def score(self, asked: Questions, logits: Tensor, fitted: Any) -> Any:
        """The score of one model."""
        classes = self.material.rows[0].classes
        return score_model(self.job.scoring, asked, classes, logits, fitted)

    def snapshot(self, entry: _Entry, params: Params) -> Any:
        """The estimator as it is while it trains, for a scorer that wants to see it."""
        model = snapshot(
            self.material.lead, params, self.material.rows[0], self.network
        )
        model.set_params(**entry.model.get_params())
        install_records(model, pd.DataFrame(entry.epochs, columns=Epoch._fields))
        return _whole(entry, model)

    def finished(self, entry: _Entry, run: Run, start: Start) -> Any:
        """The fitted estimator."""
        rows, lead = self.material.rows[0], self.material.lead
        install(entry.model, lead, run, rows, self.network, start.of(entry.stream))
        return _whole(entry, entry.model)


def _whole(entry: _Entry, model: Any) -> Any:
    """The model in its Pipeline, if it has one, behind its fold's fitted prefix."""
    if entry.candidate.name is None:
        return model
    prefix = entry.fold.prefix
    steps = [] if prefix is None else prefix.steps
    return Pipeline([*steps, (entry.candidate.name, model)])


def train_and_score(job: Job, group: Group, material: Material) -> list[Outcome]:
    """Outcomes of one run: its models are scored after every epoch and when they are done."""
    began, lead = time.perf_counter(), group.rows[0][0].model
    network, data, like = _crossing(lead, material)
    entries = _entries(group, material, like)
    together = _Together(job, material, network, entries)
    models = [entry.model for entry in entries]
    data, n_streams = _in_streams(data, entries)
    start = begin(models, network, like, n_streams)
    kept = start._replace(split_rngs=copy.deepcopy(start.split_rngs))
    classes = material.rows[0].classes
    data, validation = split(lead, data, classes, start.split_rngs)
    warn_beforehand(lead, data, incremental=False)
    with _Watcher(together).told() as watcher:
        watch = Watch(validation, None, watcher.after_epoch)
        runs = train_models(models, network, data, start, watch)
    if any(run.status == "interrupted" for run in runs):
        raise KeyboardInterrupt(f"A fit of {type(lead).__name__} was interrupted.")
    warn_of_outcomes(models, runs, quiet=False)
    fitted = time.perf_counter() - began - watcher.seconds
    with watcher.scoring():
        results = _results(together, runs, watcher.curves, kept)
    times = {
        "fit_time": fitted / len(models),
        "score_time": watcher.seconds / len(models),
    }
    return [
        Outcome(
            entry.candidate.number,
            entry.fold.split.number,
            result | times,
            curve,
            len(entries) == 1,
        )
        for entry, result, curve in zip(entries, results, watcher.curves, strict=True)
    ]


class _Watcher:
    """Follows a run: scores its models after every epoch, and tells who wants to know.

    ``curves`` are the scores of each model, and ``seconds`` what scoring has taken.
    """

    def __init__(self, together: _Together):
        self.together, self.seconds = together, 0.0
        self.curves: list[list[Any]] = [[] for _ in together.entries]
        self.print_epochs = epoch_printer([entry.model for entry in together.entries])

    @contextmanager
    def told(self) -> Iterator["_Watcher"]:
        """Tell the search's callbacks when the run begins and ends."""
        job, model = self.together.job, self.together.entries[0].model
        one_by_one = model.solver in SOLVERS
        reports = model.max_iter * (len(self.curves) if one_by_one else 1)
        with callbacks_called():
            self.context = job.context.subcontext(
                task_name="batched-run", max_subtasks=reports
            ).call_on_fit_task_begin(estimator=job.search)
        try:
            yield self
        finally:
            with callbacks_called():
                self.context.call_on_fit_task_end(estimator=job.search)

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Count these seconds as spent on scores."""
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began

    def after_epoch(
        self, numbers: list[int], epochs: list[Epoch], params: Params
    ) -> Collection[int]:
        """Score, print and call back."""
        for number, epoch in zip(numbers, epochs, strict=True):
            self.together.entries[number].epochs.append(epoch)
        if self.print_epochs is not None:
            self.print_epochs(numbers, epochs, params)
        # Scorers are users' code, which may want gradients of its own.
        with self.scoring(), torch.inference_mode(False):
            scores = self.together.scores(numbers, params)
            for number, score in zip(numbers, scores, strict=True):
                self.curves[number].append(score)
        with callbacks_called():
            epoch = self.context.subcontext(task_name="epoch")
            epoch.call_on_fit_task_begin(estimator=self.together.job.search)
            epoch.call_on_fit_task_end(estimator=self.together.job.search)
        return ()


def _crossing(lead: Any, material: Material) -> tuple[LayeredNetwork, Data, Tensor]:
    """As `crossing`, the rows of all folds one after the other."""
    parts = [crossing(lead, rows) for rows in material.rows]
    network, data, like = parts[0]
    if len(parts) > 1:
        each = [part[1] for part in parts]
        weights = [one.weight for one in each if one.weight is not None]
        data = Data(
            torch.cat([one.X for one in each]),
            torch.cat([one.codes for one in each]),
            torch.cat(weights) if weights else None,
        )
    return network, data, like


def _entries(group: Group, material: Material, like: Tensor) -> list[_Entry]:
    """The models of a run, those of a stream together, and streams of a fold."""
    entries, stream = [], 0
    for fold in material.folds:
        tested = to_tensor(fold.checked, like.device)
        for row in group.rows:
            for candidate in row:
                model = clone(candidate.model)
                model.classes_ = material.rows[0].classes
                entries.append(_Entry(candidate, fold, stream, model, tested, []))
            stream += 1
    return entries


def _in_streams(data: Data, entries: Sequence[_Entry]) -> tuple[Data, int]:
    """Let each stream of models learn from the train rows of its fold."""
    rows = {entry.stream: entry.fold.rows for entry in entries}
    stacked = to_tensor(np.stack(list(rows.values())), data.X.device)
    return data._replace(rows=stacked), len(rows)


def _results(
    together: _Together, runs: Sequence[Run], curves: Sequence[list[Any]], start: Start
) -> list[dict[str, Any]]:
    """What training left of every model, scored, in the form that scikit-learn gives it."""
    scoring, results = together.job.scoring, []
    seen = needs_responses_only(scoring.scorer) and _ends_at_its_last_epoch(together)
    params = tuple(
        map(torch.cat, zip(*(run.state.params for run in runs), strict=True))
    )
    numbers = range(len(runs))
    for (number, logits, _), run in zip(
        together.responses(numbers, params), runs, strict=True
    ):
        entry = together.entries[number]
        fitted = partial(together.finished, entry, run, start)
        test = entry.fold.test
        score = curves[number][-1] if seen else together.score(test, logits, fitted)
        result = {
            "fit_error": None,
            "test_scores": score,
            "n_test_samples": len(entry.fold.split.test),
        }
        results.append(result)
    if scoring.return_train_score:
        for number, score in _train_scores(together, runs, params, start):
            results[number]["train_scores"] = score
    return results


def _ends_at_its_last_epoch(together: _Together) -> bool:
    """Whether the models are those that were scored after their last epoch."""
    model = together.entries[0].model
    return model.solver not in SOLVERS and not model.early_stopping


def _train_scores(
    together: _Together, runs: Sequence[Run], params: Params, start: Start
) -> Iterator[tuple[int, Any]]:
    """Each model's number and its score on the train rows of its fold."""
    job, lead = together.job, together.material.lead
    numbers = range(len(runs))
    for _, members in groupby(numbers, lambda n: together.entries[n].fold.split.number):
        chosen = list(members)
        entry = together.entries[chosen[0]]
        train, prefix = entry.fold.split.train, entry.fold.prefix
        seen = None if prefix is None else prefix.transform(safe_indexing(job.X, train))
        asked = questions(job.scoring, job.X, job.y, train, seen)
        rows = to_tensor(check_more(lead, asked.rows), entry.tested.device)
        for places in together.asked_together(chosen):
            some = [chosen[place] for place in places]
            logits = predict_scores(
                together.network, tuple(p[some] for p in params), rows
            )
            for number, own in zip(some, logits, strict=True):
                entry = together.entries[number]
                fitted = partial(together.finished, entry, runs[number], start)
                yield number, together.score(asked, own, fitted)
