"""Training and scoring candidates: as many at once as pays and as fit into memory."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from torch import Tensor

from skdigits._arrays import to_tensor
from skdigits._fitting import (
    SOLVERS,
    crossing,
    install,
    install_params,
    split,
    train_models,
)
from skdigits._memory import Start, begin
from skdigits._reporting import epoch_printer, warn_beforehand, warn_of_outcomes
from skdigits._validation import check_more
from skdigits.engine.networks import DenseNetwork
from skdigits.engine.optimizers import N_MOMENTS
from skdigits.engine.predict import predict_scores
from skdigits.engine.types import Data, Epoch, Params, Run
from skdigits.model_selection._folds import (
    Fold,
    Material,
    Split,
    joined,
    shared_material,
    transformed_material,
)
from skdigits.model_selection._grouping import Candidate, Group
from skdigits.model_selection._private import needs_responses_only
from skdigits.model_selection._scoring import (
    Questions,
    Scoring,
    Stopwatch,
    questions,
    score_model,
)

# Beyond so many parameters a model on a CPU fills the cores and their caches by itself, and
# is trained alone; see benchmarks/crossover.py.
LARGEST_BATCHED = 100_000


class Job(NamedTuple):
    """Groups of candidates that share the steps before the model, and the folds to do.

    ``memory`` bounds the bytes of one run; ``context`` and ``search`` are for callbacks.
    """

    groups: list[Group]
    splits: list[Split]
    X: Any
    y: Any
    weight: Any
    scoring: Scoring
    memory: float
    search: Any
    context: Any = None


class Outcome(NamedTuple):
    """What came of one candidate in one fold.

    ``result`` is what scikit-learn's ``_fit_and_score`` returns; ``by_epoch`` are the test
    scores after every epoch; ``alone`` says that its run held no other model.
    """

    candidate: int
    split: int
    result: dict[str, Any]
    by_epoch: list[Any]
    alone: bool


def evaluate(job: Job) -> list[Outcome]:
    """Evaluate all candidates of a job in all its folds, as far as they can be batched.

    What raises an error is left to be evaluated one by one, where scikit-learn's own code
    decides what becomes of it.
    """
    outcomes: list[Outcome] = []
    try:
        for material in _materials(job):
            for group in job.groups:
                for part, some in _parts(job, group, material):
                    outcomes += _train_and_score(job, part, some)
    except Exception:
        return outcomes
    return outcomes


def _materials(job: Job) -> Iterator[Material]:
    first = job.groups[0].rows[0][0]
    rows = job.X, job.y, job.weight, job.splits, job.scoring
    if first.prefix is None:
        yield from shared_material(first.model, *rows)
    else:
        alone = transformed_material(first.prefix, first.model, *rows)
        yield from joined(alone, job.memory / 2)


def _parts(job: Job, group: Group, material: Material) -> Iterator[tuple[Group, Material]]:
    """A group and its folds in pieces, each the work of one run."""
    most = _most_models(job, group.rows[0][0].model, material)
    seeds, width = len(group.rows), len(group.rows[0])
    folds_at_once = max(1, min(len(material.folds), most // seeds))
    columns_at_once = max(1, min(width, most // (seeds * folds_at_once)))
    rows = [group] if most >= seeds else [Group([row]) for row in group.rows]
    for first in range(0, len(material.folds), folds_at_once):
        folds = material.folds[first : first + folds_at_once]
        for some in rows:
            for start in range(0, width, columns_at_once):
                part = some.columns(start, start + columns_at_once)
                yield part, material._replace(folds=folds)


def _most_models(job: Job, model: Any, material: Material) -> int:
    """How many models one run may hold."""
    rows = material.rows[0]
    network, data, like = crossing(model, rows)
    sizes = network.layer_sizes
    n_params = sum((a + 1) * b for a, b in pairwise(sizes))
    if like.device.type == "cpu" and n_params > LARGEST_BATCHED:
        return 1
    batch = 200 if model.batch_size == "auto" else model.batch_size
    tested = len(material.folds[0].test.y)
    numbers = n_params * (3 + 2 * N_MOMENTS[model.solver])
    numbers += 3 * min(batch, data.n_rows) * sum(sizes[1:]) + 2 * tested * sizes[-1]
    return max(1, int(job.memory // (numbers * like.element_size())))


class _Entry(NamedTuple):
    """One model of a run: which candidate in which fold, and the fold's test rows."""

    candidate: Candidate
    fold: Fold
    stream: int
    model: Any
    tested: Tensor


class _Together(NamedTuple):
    """What the models of one run have in common."""

    job: Job
    material: Material
    network: DenseNetwork
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
        for _, places in groupby(
            range(len(numbers)), lambda place: self.entries[numbers[place]].fold.split.number
        ):
            chosen = list(places)
            some = tuple(p[chosen] for p in params)
            tested = self.entries[numbers[chosen[0]]].tested
            logits = predict_scores(self.network, some, tested)
            for k, place in enumerate(chosen):
                yield numbers[place], logits[k], tuple(p[k : k + 1] for p in some)

    def score(self, asked: Questions, logits: Tensor, fitted: Any) -> Any:
        """The score of one model."""
        classes = self.material.rows[0].classes
        return score_model(self.job.scoring, asked, classes, logits, fitted)

    def snapshot(self, entry: _Entry, params: Params) -> Any:
        """The estimator as it is while it trains, for a scorer that wants to see it."""
        model = clone(entry.model)
        install_params(model, self.material.lead, params, self.material.rows[0])
        return _whole(entry, model)

    def finished(self, entry: _Entry, run: Run, start: Start) -> Any:
        """The fitted estimator."""
        rows, lead = self.material.rows[0], self.material.lead
        install(entry.model, lead, run, rows, start.of(entry.stream))
        return _whole(entry, entry.model)


def _whole(entry: _Entry, model: Any) -> Any:
    """The model behind its fold's fitted prefix."""
    if entry.fold.prefix is None:
        return model
    return Pipeline([*entry.fold.prefix.steps, (entry.candidate.name, model)])


def _train_and_score(job: Job, group: Group, material: Material) -> list[Outcome]:
    """One run: its models are scored after every epoch and when they are done."""
    began, scoring_time = time.perf_counter(), Stopwatch()
    lead = group.rows[0][0].model
    network, data, like = _crossing(lead, material)
    entries = _entries(group, material, like)
    models = [entry.model for entry in entries]
    data, n_streams = _in_streams(data, entries)
    together = _Together(job, material, network, entries)
    start = begin(models, network, like, n_streams)
    data, validation = split(lead, data, start.split_rngs)
    warn_beforehand(lead, data, incremental=False)
    curves: list[list[Any]] = [[] for _ in entries]
    print_epochs = epoch_printer(models)

    def after_epoch(numbers: list[int], epochs: list[Epoch], params: Params) -> None:
        if print_epochs is not None:
            print_epochs(numbers, epochs, params)
        with scoring_time:
            for number, score in zip(numbers, together.scores(numbers, params), strict=True):
                curves[number].append(score)
        epoch_is_over()

    with _told(job, lead, len(models)) as epoch_is_over:
        runs = train_models(models, network, data, start, validation, after_epoch)
    warn_of_outcomes(models, runs, quiet=False)
    fitted_at = time.perf_counter()
    results = _results(together, runs, curves, start)
    scored = time.perf_counter() - fitted_at + scoring_time.seconds
    fitted = fitted_at - began - scoring_time.seconds
    times = {"fit_time": fitted / len(models), "score_time": scored / len(models)}
    return [
        Outcome(
            entry.candidate.number,
            entry.fold.split.number,
            result | times,
            curve,
            len(entries) == 1,
        )
        for entry, result, curve in zip(entries, results, curves, strict=True)
    ]


def _crossing(lead: Any, material: Material) -> tuple[DenseNetwork, Data, Tensor]:
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
                entries.append(_Entry(candidate, fold, stream, model, tested))
            stream += 1
    return entries


def _in_streams(data: Data, entries: Sequence[_Entry]) -> tuple[Data, int]:
    """Let each stream of models learn from the train rows of its fold."""
    rows = {entry.stream: entry.fold.rows for entry in entries}
    stacked = to_tensor(np.stack(list(rows.values())), data.X.device)
    return data._replace(rows=stacked), len(rows)


@contextmanager
def _told(job: Job, model: Any, n_models: int) -> Iterator[Callable[[], None]]:
    """Tell the search's callbacks of a run; what is yielded tells them of an epoch."""
    reports = model.max_iter * (n_models if model.solver in SOLVERS else 1)
    run = job.context.subcontext(task_name="batched-run", max_subtasks=reports)
    run.call_on_fit_task_begin(estimator=job.search)

    def epoch_is_over() -> None:
        epoch = run.subcontext(task_name="epoch")
        epoch.call_on_fit_task_begin(estimator=job.search)
        epoch.call_on_fit_task_end(estimator=job.search)

    yield epoch_is_over
    run.call_on_fit_task_end(estimator=job.search)


def _results(
    together: _Together, runs: Sequence[Run], curves: Sequence[list[Any]], start: Start
) -> list[dict[str, Any]]:
    """What training left of every model, scored, in the form that scikit-learn gives it."""
    scoring, results = together.job.scoring, []
    seen = needs_responses_only(scoring.scorer) and _ends_at_its_last_epoch(together)
    params = tuple(map(torch.cat, zip(*(run.state.params for run in runs), strict=True)))
    numbers = range(len(runs))
    for (number, logits, _), run in zip(
        together.responses(numbers, params), runs, strict=True
    ):
        entry = together.entries[number]
        fitted = partial(together.finished, entry, run, start)
        test = entry.fold.test
        score = curves[number][-1] if seen else together.score(test, logits, fitted)
        result = {"fit_error": None, "test_scores": score, "n_test_samples": len(test.y)}
        if scoring.return_train_score:
            result["train_scores"] = _train_score(together, entry, run, fitted)
        results.append(result)
    return results


def _ends_at_its_last_epoch(together: _Together) -> bool:
    """Whether the models are those that were scored after their last epoch."""
    model = together.entries[0].model
    return model.solver not in SOLVERS and not model.early_stopping


def _train_score(together: _Together, entry: _Entry, run: Run, fitted: Any) -> Any:
    job, fold = together.job, entry.fold
    asked = questions(job.scoring, job.X, job.y, fold.split.train, fold.seen)
    rows = to_tensor(check_more(together.material.lead, asked.rows), entry.tested.device)
    logits = predict_scores(together.network, run.state.params, rows)[0]
    return together.score(asked, logits, fitted)
