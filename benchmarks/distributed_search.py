"""A search on two workers, beside one process: Dask, loky, and GridSearchCV on Dask.

    python benchmarks/distributed_search.py              # ten minutes on two cores
    python benchmarks/distributed_search.py --turns 1 --peer 0   # three minutes

A `BatchedGridSearchCV` of softmax regression has 32 learning rates in 5 folds, batches
of 64 and 5 epochs of MNIST's first 12,000 or all 60,000 training digits, as uint8. One
process has one thread. Two workers have one thread each: of a Dask cluster on this
machine as it starts by default, and of loky. In each turn, all search one after the
other. *Seconds* are medians of turns; *gain* is the time of one process divided by it.
*CPU* are the seconds that all workers compute, beside those of one process. *Faults*
are the minor page faults of a worker on Dask, for each fit of a candidate to a fold. A
search is cut into *pieces*; the largest *task* has so many MB without X and y. The
*score* is the best mean accuracy of the folds, and all scores of a row are equal to the
last bit, or the script fails. GridSearchCV of scikit-learn has the same models on the
same Dask cluster, and 8 rates only. The script stores its figures in
benchmarks/distributed_search.json and writes a section of RESULTS.md.
"""

import argparse
import json
import pickle
import resource
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from statistics import median
from typing import Any
from unittest.mock import patch

import joblib
import numpy as np
import torch
from accuracy import where
from distributed import Client, LocalCluster
from report import HERE, enter
from sklearn.model_selection import GridSearchCV

from skdigits import SoftmaxRegression
from skdigits.datasets import load_mnist
from skdigits.model_selection import BatchedGridSearchCV, _search

FILE = HERE / "distributed_search.json"
GOALS = {12_000: 1.6, 60_000: 1.5}
GOAL_OF_CPU = 1.15
GOAL_OF_FAULTS = 5_000  # of a fit
GOAL_OF_TASKS = 3.0  # MB
N_WORKERS = 2


def search(n_rates: int, kind: type = BatchedGridSearchCV) -> Any:
    """Return a search that is not fitted."""
    model = SoftmaxRegression(
        batch_size=64, max_iter=5, tol=None, random_state=0, learning_rate="constant"
    )
    rates = list(np.geomspace(0.001, 1, n_rates))
    return kind(model, {"learning_rate_init": rates}, cv=5, refit=False)


def usage() -> tuple[float, int]:
    """Return the CPU seconds and the minor page faults of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_minflt


def on_dask(client: Client, run: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Run a search on Dask; return it, and what the workers have used."""
    before = client.run(usage)
    began = time.perf_counter()
    with joblib.parallel_config("dask"):
        found = run()
    seconds = time.perf_counter() - began
    after = client.run(usage)
    used = np.array([np.subtract(after[one], before[one]) for one in after])
    return found, {
        "seconds": seconds,
        "cpu": used[:, 0].sum(),
        "faults": used[:, 1].max(),
    }


def alone(run: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Run a search in this process; return it, and what it has used."""
    before = usage()
    began = time.perf_counter()
    found = run()
    seconds = time.perf_counter() - began
    cpu, faults = np.subtract(usage(), before)
    return found, {"seconds": seconds, "cpu": float(cpu), "faults": float(faults)}


def on_loky(run: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Run a search on loky; return it, and its time."""
    began = time.perf_counter()
    with joblib.parallel_config("loky", n_jobs=N_WORKERS):
        found = run()
    return found, {"seconds": time.perf_counter() - began}


class HandedOutError(Exception):
    """Ends a search when its pieces are known."""


def pieces(n_rates: int, X: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return the number of pieces on all workers, and the MB of the largest task."""
    sizes: list[int] = []

    def measure(work: Any, *args: Any, **options: Any) -> None:
        for one in work:
            # Workers on other machines get neither the search nor its callbacks.
            job = one.args[0]._replace(search=None, store=None, context=None)
            sizes.append(len(pickle.dumps(job)))
        raise HandedOutError

    with (
        patch.object(_search, "hand_out", measure),
        joblib.parallel_config("threading", n_jobs=N_WORKERS),
        suppress(HandedOutError),
    ):
        search(n_rates).fit(X, y)
    return {"pieces": len(sizes), "task": max(sizes) / 1e6}


def check_same(one: Any, other: Any) -> None:
    """Fail if two searches have other scores."""
    for name, column in one.cv_results_.items():
        if "test_" in name and not np.array_equal(column, other.cv_results_[name]):
            raise RuntimeError(f"{name} differs between backends")


def measured(
    client: Client, X: np.ndarray, y: np.ndarray, n_rates: int, n_turns: int
) -> dict[str, Any]:
    """Return medians of turns, each of one process, Dask and loky."""
    turns: dict[str, list[dict[str, float]]] = {"one": [], "dask": [], "loky": []}

    def run() -> Any:
        return search(n_rates).fit(X, y)

    # Workers import, and loky's start, before the clock does.
    on_dask(client, run)
    on_loky(run)
    for _ in range(n_turns):
        known, used = alone(run)
        turns["one"].append(used)
        for name, way in (
            ("dask", lambda: on_dask(client, run)),
            ("loky", lambda: on_loky(run)),
        ):
            found, used = way()
            check_same(known, found)
            turns[name].append(used)
    medians = {
        name: {key: median(turn[key] for turn in some) for key in some[0]}
        for name, some in turns.items()
    }
    score = 100 * float(known.cv_results_["mean_test_score"].max())
    found = {"rates": n_rates, "samples": len(X), "score": score, **medians}
    return found | pieces(n_rates, X, y)


def peer(client: Client, X: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Return the time of GridSearchCV on Dask, beside ours on it."""
    ours, mine = on_dask(client, lambda: search(8).fit(X, y))
    theirs, used = on_dask(client, lambda: search(8, GridSearchCV).fit(X, y))
    scores = [float(one.cv_results_["mean_test_score"].max()) for one in (ours, theirs)]
    return {"ours": mine["seconds"], "theirs": used["seconds"], "scores": scores}


def told(reached: bool) -> str:
    """Return whether a goal was reached, in words."""
    return "✓" if reached else "not reached"


def write(known: dict[str, Any]) -> None:
    """Write the section of RESULTS.md."""
    text = [
        "# Searches on two workers", "",
        "Made by `python benchmarks/distributed_search.py`.", "",
        *(__doc__ or "").split("\n\n", 2)[2].rsplit(" The script", 1)[0].splitlines(),
        "",
        "| rates × folds, samples | one process, s | Dask, s | gain | goal | "
        f"CPU, goal {GOAL_OF_CPU} | faults, goal {GOAL_OF_FAULTS:,} | pieces | "
        f"task, goal {GOAL_OF_TASKS:.0f} MB | loky, s | gain | score, % |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in known["rows"]:
        goal = GOALS[row["samples"]]
        faults = row["dask"]["faults"] / (row["rates"] * 5 / N_WORKERS)
        one = row["one"]["seconds"]
        gain = one / row["dask"]["seconds"]
        cpu = row["dask"]["cpu"] / row["one"]["cpu"]
        verdict = "" if row["rates"] < 32 else f"{goal} {told(gain >= goal)}"
        cells = [
            f"{row['rates']} × 5, {row['samples']:,}",
            f"{one:.1f}",
            f"{row['dask']['seconds']:.1f}",
            f"{gain:.2f}",
            verdict,
            f"{cpu:.2f} {told(cpu <= GOAL_OF_CPU)}",
            f"{faults:,.0f} {told(faults < GOAL_OF_FAULTS)}",
            f"{row['pieces']}",
            f"{row['task']:.2f} {told(row['task'] < GOAL_OF_TASKS)}",
            f"{row['loky']['seconds']:.1f}",
            f"{one / row['loky']['seconds']:.2f}",
            f"{row['score']:.2f}",
        ]
        text.append(f"| {' | '.join(cells)} |")
    if known["peer"]:
        ours, theirs = known["peer"]["ours"], known["peer"]["theirs"]
        scores = [f"{100 * score:.2f} %" for score in known["peer"]["scores"]]
        text += [
            "",
            f"8 rates × 5 folds of 12,000 samples on Dask: {ours:.1f} s and "
            f"{scores[0]}, GridSearchCV {theirs:.1f} s and {scores[1]}.",
        ]
    text += ["", f"{known['where']}, 2 workers."]
    enter(text)


def main() -> None:
    """Measure, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--turns", type=int, default=3, help="turns (default: 3)")
    parser.add_argument("--peer", type=int, default=1, help="0 leaves GridSearchCV out")
    options = parser.parse_args()

    warnings.simplefilter("ignore")  # these fits are short on purpose
    torch.set_num_threads(1)
    mnist = load_mnist()
    X = mnist.data[mnist.train]
    y = mnist.target[mnist.train]
    cluster = LocalCluster(
        n_workers=N_WORKERS,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",
    )
    rows = []
    with cluster, Client(cluster) as client:
        for n_samples, n_rates in ((12_000, 8), (12_000, 32), (60_000, 32)):
            given = (X[:n_samples], y[:n_samples], n_rates)
            rows.append(measured(client, *given, options.turns))
            print(rows[-1], flush=True)
        other = peer(client, X[:12_000], y[:12_000]) if options.peer else None
    known = {"rows": rows, "peer": other, "where": where()}
    FILE.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    write(known)


if __name__ == "__main__":
    main()
