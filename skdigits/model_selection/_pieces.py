"""Parts of jobs: what is left to do of a search, and pieces for its workers."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product
from typing import TypeVar

import numpy as np

from skdigits.model_selection._grouping import Group
from skdigits.model_selection._jobs import Job
from skdigits.model_selection._scoring import Outcomes

Item = TypeVar("Item")

# Two pieces or more for each worker: one that is slow, or lost, holds up little.
PIECES = 2
# Models of a piece differ in more than their folds: narrower ones cost more each.
NARROWEST = 8
# What all models of a run share takes as long as training so many of them.
SHARED = 5


def left(
    jobs: Sequence[Job], known: Outcomes, past: Outcomes | None = None
) -> list[Job]:
    """Return jobs of all candidates and folds that are not known.

    A job has all its candidates in all its folds. With ``past`` outcomes, models that
    continue from them are not in one job with models that start.
    """
    found = []
    for job in jobs:
        for (continues, places), candidates in _alike(job, known, past or {}).items():
            groups = [one for group in job.groups for one in _part(group, candidates)]
            splits = [job.splits[place] for place in places]
            part = job._replace(groups=groups, splits=splits)
            if past is not None:
                # It may go to another process: it gets no other outcomes.
                pairs = product(*part.numbers()) if continues else ()
                part = part._replace(past={pair: past[pair] for pair in pairs})
            found.append(part)
    return found


def _alike(
    job: Job, known: Outcomes, past: Outcomes
) -> dict[tuple[bool, tuple[int, ...]], list[int]]:
    """Return candidates by whether they continue, and by the folds that are left."""
    found = defaultdict(list)
    candidates, folds = job.numbers()
    for candidate in candidates:
        pairs = [(candidate, fold) for fold in folds]
        for continues in (False, True):
            places = tuple(
                place
                for place, pair in enumerate(pairs)
                if pair not in known and (pair in past) is continues
            )
            if places:
                found[continues, places].append(candidate)
    return found


def _part(group: Group, candidates: Sequence[int]) -> list[Group]:
    """Return some candidates of a group, in groups with as many for each seed."""
    wanted = set(candidates)
    seeds = [[one for one in some if one.number in wanted] for some in group.seeds]
    widths = dict.fromkeys(len(some) for some in seeds if some)
    return [Group([some for some in seeds if len(some) == width]) for width in widths]


def pieces(jobs: Sequence[Job], n_workers: int) -> list[Job]:
    """Divide jobs into pieces, each a rectangle of seeds, folds and candidates.

    Models behind steps are divided by folds only, as the steps are fitted once for each
    fold.
    """
    total = sum(
        _n_models(group) * len(job.splits) for job in jobs for group in job.groups
    )
    found = []
    for job in jobs:
        if job.groups[0].seeds[0][0].prefix is not None:
            n_parts = min(len(job.splits), PIECES * n_workers)
            parts = _parts(job.splits, n_parts)
            found += [job._replace(splits=splits) for splits in parts]
            continue
        for group in job.groups:
            part = _n_models(group) * len(job.splits) / total
            share = max(1, math.ceil(part * n_workers))
            found += _rectangles(job, group, share)
    return found


def _n_models(group: Group) -> int:
    return len(group.seeds) * len(group.seeds[0])


def _rectangles(job: Job, group: Group, n_workers: int) -> Iterator[Job]:
    """Yield the pieces of one group."""
    columns = list(range(len(group.seeds[0])))
    given = (len(group.seeds), len(job.splits), len(columns))
    n_seeds, n_folds, n_columns = division(*given, n_workers)
    for seeds in _parts(group.seeds, n_seeds):
        for splits in _parts(job.splits, n_folds):
            for some in _parts(columns, n_columns):
                own = [[candidates[place] for place in some] for candidates in seeds]
                yield job._replace(groups=[Group(own)], splits=splits)


def division(
    n_seeds: int, n_folds: int, n_columns: int, n_workers: int
) -> tuple[int, int, int]:
    """Return into how many parts seeds, folds and columns of candidates are cut.

    Of all ways to cut, takes the one that ends first if the pieces go to workers one
    after the other. Columns stay `NARROWEST` wide if that leaves `PIECES` for each
    worker; if it does not, there is one at least.
    """
    wide = max(1, n_columns // NARROWEST)
    least = PIECES * n_workers
    if n_seeds * n_folds * wide < least:
        least = min(n_workers, n_seeds * n_folds * n_columns)
        wide = n_columns

    whole = (n_seeds, n_folds)
    cuts = product(_sizes(n_seeds), _sizes(n_folds), _sizes(n_columns, wide))
    # Columns are cut last: candidates of a run share more than its folds do.
    sensible = [cut for cut in cuts if cut[2] == 1 or cut[:2] == whole]
    enough = [cut for cut in sensible if math.prod(cut) >= least]

    def duration(cut: tuple[int, int, int]) -> tuple[int, int]:
        n_pieces = math.prod(cut)
        pairs = zip((*whole, n_columns), cut, strict=True)
        largest = math.prod(math.ceil(size / parts) for size, parts in pairs)
        rounds = math.ceil(n_pieces / n_workers)
        return rounds * (SHARED + largest), n_pieces

    return min(enough, key=duration)


def _sizes(size: int, most: int | None = None) -> list[int]:
    """Return numbers of parts, without those whose largest part is no smaller.

    The last number is there in any case.
    """
    most = size if most is None else most
    numbers = range(most, 0, -1)
    smallest = {math.ceil(size / number): number for number in numbers}
    return sorted({*smallest.values(), most})


def _parts(items: Sequence[Item], number: int) -> list[list[Item]]:
    """Divide items into parts of about the same length."""
    places = np.array_split(np.arange(len(items)), number)
    return [[items[place] for place in part] for part in places]
