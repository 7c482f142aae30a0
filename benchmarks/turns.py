"""Contenders that take turns, on idle cores and on busy ones."""

import time
from contextlib import nullcontext
from functools import partial
from typing import Any

from busy import load
from jobs.job import Contenders, Job

Seconds = dict[str, list[float]]
LONG = 60  # seconds of a turn after which a contender has no other


def take_turns(contenders: Contenders, n_turns: int) -> tuple[Seconds, dict[str, Any]]:
    """Return the seconds of the turns, and the result of each contender's last."""
    seconds: Seconds = {label: [] for label in contenders}
    outcomes: dict[str, Any] = {}
    for _ in range(n_turns):
        for label, contender in contenders.items():
            if max(seconds[label], default=0) > LONG:
                continue
            run = contender.run
            if contender.prepare is not None:
                run = partial(run, contender.prepare())

            start = time.perf_counter()
            outcomes[label] = run()
            seconds[label].append(time.perf_counter() - start)
    return seconds, outcomes


def measure(
    job: Job, contenders: Contenders, n_turns: int, busy: bool
) -> dict[str, Any]:
    """Return seconds and scores of the contenders, and what their comparison says."""
    n_turns = job.turns or n_turns
    seconds, outcomes = take_turns(contenders, n_turns)
    scores = {
        label: contender.score(outcomes[label])
        for label, contender in contenders.items()
    }
    note = "" if job.compare is None else job.compare(outcomes, scores)

    with load() if busy else nullcontext():
        busy_seconds, _ = take_turns(contenders, n_turns if busy else 0)
    return {
        "contenders": {
            label: {
                "seconds": seconds[label],
                "busy": busy_seconds[label],
                "score": scores[label],
            }
            for label in contenders
        },
        "note": note,
    }
