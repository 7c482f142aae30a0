"""The tables of the speed benchmark, in Markdown."""

import math
from collections.abc import Mapping
from statistics import median
from typing import Any

import numpy as np
from jobs.job import Job

BUSY_GOAL = 0.7  # of the idle speed-up
Units = Mapping[str, tuple[str, float | None]]
COLUMNS = (
    "median s", "range", "turns", "score", "speed-up", "goal", "busy, median s",
    "busy speed-up", "busy / idle",
)  # fmt: skip


def table(job: Job, result: dict[str, Any]) -> list[str]:
    """Return the table of a job, with skdigits in its first line."""
    contenders = result["contenders"]
    own = next(iter(contenders.values()))
    tail = "slowest turn" if job.tail == 1 else f"{job.tail:.0%} of turns within"
    lines = ["", f"**{job.heading}**", "", *head(*COLUMNS, tail)]
    for label, found in contenders.items():
        score = found["score"]
        shown = "" if math.isnan(score) else f"{score:.{job.decimals}f}"
        cells = [
            *idle_cells(found, own, shown, job.goals.get(label)),
            *busy_cells(found, own, label in job.goals),
            tail_cell(found, job, judged=found is own),
        ]
        lines.append(line(label, *cells))

    note = [result["note"], ""] if result.get("note") else []
    return [*lines, "", *note, f"({result['machine']})"]


def head(*columns: str) -> list[str]:
    """Return the first two lines of a table."""
    return [line("", *columns), "|---" * (len(columns) + 1) + "|"]


def line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def idle_cells(
    found: dict[str, Any], own: dict[str, Any], score: str, goal: float | None
) -> list[str]:
    """Return time, score and speed-up of a contender, with the goal if there is one."""
    seconds = found["seconds"]
    ratio = speed_up(found, own, "seconds")
    return [
        duration(median(seconds)),
        f"{duration(min(seconds))}–{duration(max(seconds))}",
        str(len(seconds)),
        score,
        f"{ratio:.2f}×",
        "" if goal is None else at_least(ratio, goal),
    ]


def busy_cells(found: dict[str, Any], own: dict[str, Any], judged: bool) -> list[str]:
    """Return time and speed-up beside other work, and their share of the idle one."""
    if not found.get("busy"):
        return ["", "", ""]

    ratio = speed_up(found, own, "busy")
    share = ratio / speed_up(found, own, "seconds")
    verdict = f", {at_least(share, BUSY_GOAL)}" if judged else ""
    return [duration(median(found["busy"])), f"{ratio:.2f}×", f"{share:.2f}×{verdict}"]


def duration(seconds: float) -> str:
    return f"{seconds:.3f}" if seconds >= 0.1 else f"{seconds:.3g}"


def speed_up(found: dict[str, Any], own: dict[str, Any], kind: str) -> float:
    return median(found[kind]) / median(own[kind])


def tail_cell(found: dict[str, Any], job: Job, judged: bool) -> str:
    """Return the slowest turns as multiples of the medians, on idle and busy cores."""
    kinds = [found["seconds"], found.get("busy")]
    tails = [np.quantile(turns, job.tail) / median(turns) for turns in kinds if turns]
    words = [f"{tail:.2f}×" for tail in tails]
    if len(words) == 2:
        words[1] = f"busy {words[1]}"
    if judged:
        words.append(at_most(max(tails), job.tail_goal))
    return ", ".join(words)


def figures(machine: str, values: dict[str, float], units: Units) -> list[str]:
    """Return the table of single figures, with their units and goals.

    ``units`` has the unit of each figure, and the most that it may be.
    """
    lines = ["", "**Processes of their own**", "", f"({machine})", ""]
    lines += head("measured", "goal")
    for name, value in values.items():
        unit, goal = units[name]
        shown = f"{value:.2f} {unit}" if unit == "s" else f"{value:.0f} {unit}"
        lines.append(
            line(name, shown, "" if goal is None else at_most(value, goal, f" {unit}"))
        )
    return lines


def at_least(found: float, goal: float) -> str:
    """Say whether a figure reaches its goal; what is judged is what is shown."""
    return _verdict(
        f"goal {goal:.3g}×", round(found, 2) >= round(goal, 2), f"{found:.2f}×"
    )


def at_most(found: float, goal: float, unit: str = "×") -> str:
    """Say whether a figure keeps within its goal."""
    return _verdict(
        f"goal ≤ {goal:.3g}{unit}", round(found, 2) <= goal, f"{found:.3g}{unit}"
    )


def _verdict(goal: str, reached: bool, found: str) -> str:
    return f"{goal}: reached" if reached else f"{goal}: not reached, {found}"
