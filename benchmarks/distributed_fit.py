"""One model on two processes, beside one process: from which sizes on it is faster.

    python benchmarks/distributed_fit.py             # four minutes on two cores
    python benchmarks/distributed_fit.py --turns 1   # ninety seconds

torchrun starts this script as two ranks of one thread each, which fit the same models
to training digits of MNIST as float32: all 60,000 of them in batches of 8,192, by Adam
and by L-BFGS, else 16,384. In each turn, rank 0 first fits alone while rank 1 waits.
Then each rank fits a model of its own to half of the samples, in batches of half the
size, and exchanges nothing: *limit* is how much faster this is, and what the machine
allows. Then both fit one model within `data_parallel`. Times are medians of turns, of a
whole ``fit``, its checks included, divided by its steps. *Score* is the accuracy on the
10,000 test digits, of one process and of two.

The last table is computed, not measured: steps of ``batch / ranks`` samples by a line
through the measured ones, and an all-reduce of the gradient in a ring, by the latency
and the bandwidth between two processes of one machine. Other networks have others. The
script stores its figures in benchmarks/distributed_fit.json and writes a section of
RESULTS.md.
"""

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from accuracy import where
from report import HERE, enter
from sklearn.base import ClassifierMixin, clone
from speed_table import head, line

from skdigits import MLPClassifierTorch, SoftmaxRegression
from skdigits.datasets import load_mnist
from skdigits.distributed import data_parallel

FILE = HERE / "distributed_fit.json"
N_SAMPLES = 16_384
BATCHES = (64, 256, 1024, 2048, 8192)
EPOCHS = {10: 8, 64: 4, 256: 2, 1024: 1}  # by the width: a fit takes long enough
RANKS = (8, 64, 512)
LARGE_BATCHES = (8192, 65_536)
GOAL = 1.5  # times as fast, with the largest batch and by L-BFGS
PIXELS = 784
CLASSES = 10


class Case(NamedTuple):
    """A model to fit to some samples, and the size of its gradient."""

    name: str
    width: int
    batch: int
    model: ClassifierMixin
    n_samples: int
    n_parameters: int


def n_parameters(width: int) -> int:
    """Return the numbers of a linear model, 784-10, or of a network 784-width-10."""
    if width == CLASSES:
        return (PIXELS + 1) * CLASSES
    return (PIXELS + 1) * width + (width + 1) * CLASSES


def cases() -> Iterator[Case]:
    """Yield softmax regression and networks by batch size, and L-BFGS."""
    for width, epochs in EPOCHS.items():
        for batch in BATCHES:
            common = {
                "solver": "sgd",
                "learning_rate_init": 0.1,
                "batch_size": batch,
                "max_iter": epochs,
                "tol": None,
                "random_state": 0,
            }
            model = MLPClassifierTorch(width, **common)
            name = f"784-{width}-10"
            # Before the first step, ranks exchange what a fit is about. It takes 50 ms,
            # which a fit of a few steps would be about.
            n_samples = 60_000 if batch == max(BATCHES) else N_SAMPLES
            if width == CLASSES:
                model = SoftmaxRegression(**common)
                name = "784-10"
            yield Case(name, width, batch, model, n_samples, n_parameters(width))

    common = {"batch_size": 2048, "max_iter": 1, "tol": None, "random_state": 0}
    deep = MLPClassifierTorch((512, 512), solver="adam", **common)
    numbers = 785 * 512 + 513 * 512 + 513 * 10
    yield Case("784-512-512-10, Adam", 0, 2048, deep, 60_000, numbers)
    linear = SoftmaxRegression(solver="lbfgs", max_iter=50, tol=None, random_state=0)
    yield Case("784-10, L-BFGS", 0, 60_000, linear, 60_000, n_parameters(CLASSES))


def measured(case: Case, data: dict[str, np.ndarray], n_turns: int) -> dict[str, Any]:
    """Return seconds of a step and scores: of rank 0 alone, halves, and both ranks."""
    X = data["X"][: case.n_samples]
    y = data["y"][: case.n_samples]
    ways = {"alone": fit_alone, "halves": fit_half, "both": fit_together}
    found: dict[str, list[float]] = {way: [] for way in ways}
    scores = {}
    for _ in range(n_turns):
        for way, fit in ways.items():
            dist.barrier()
            began = time.perf_counter()
            model = fit(case.model, X, y)
            if way == "halves":
                dist.barrier()
            if model is not None:
                seconds = time.perf_counter() - began
                found[way].append(seconds / n_steps(case, model))
                scores[way] = 100 * model.score(data["X_test"], data["y_test"])

    return {
        **{way: median(some) for way, some in found.items() if some},
        "scores": scores,
        "name": case.name,
        "width": case.width,
        "batch": case.batch,
        "n_parameters": case.n_parameters,
    }


def fit_alone(
    model: ClassifierMixin, X: np.ndarray, y: np.ndarray
) -> ClassifierMixin | None:
    """Return a model that rank 0 has fitted, while the others wait."""
    return clone(model).fit(X, y) if dist.get_rank() == 0 else None


def fit_half(model: ClassifierMixin, X: np.ndarray, y: np.ndarray) -> ClassifierMixin:
    """Return a model of this rank's own, of half of the samples of each batch."""
    half = clone(model)
    batch_size = half.batch_size
    if not isinstance(batch_size, str):
        half.set_params(batch_size=batch_size // 2)
    size = len(X) // 2
    own = slice(dist.get_rank() * size, (dist.get_rank() + 1) * size)
    return half.fit(X[own], y[own])


def fit_together(
    model: ClassifierMixin, X: np.ndarray, y: np.ndarray
) -> ClassifierMixin:
    """Return the model that the ranks have fitted together."""
    with data_parallel():
        return clone(model).fit(X, y)


def n_steps(case: Case, model: ClassifierMixin) -> int:
    """Return the number of steps of a fit, or of iterations of L-BFGS."""
    return int(model.n_iter_) * -(-case.n_samples // case.batch)


def all_reduce_seconds(numbers: int, repeats: int = 50) -> float:
    """Return the median seconds of an all-reduce of float32 numbers."""
    message = torch.ones(numbers)
    seconds = []
    for _ in range(repeats):
        dist.barrier()
        began = time.perf_counter()
        dist.all_reduce(message)
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def run_rank(n_turns: int) -> None:
    """Measure as one of the ranks; rank 0 stores the figures."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # these fits are short on purpose
    dist.init_process_group("gloo", timeout=timedelta(minutes=10))
    mnist = load_mnist()
    data = {
        "X": mnist.data[mnist.train].astype(np.float32) / 255,
        "y": mnist.target[mnist.train],
        "X_test": mnist.data[mnist.test].astype(np.float32) / 255,
        "y_test": mnist.target[mnist.test],
    }
    sizes = sorted({case.n_parameters for case in cases()})
    messages = {str(size): all_reduce_seconds(size) for size in sizes}

    rows = []
    for case in cases():
        rows.append(measured(case, data, n_turns))
        if dist.get_rank() == 0:
            print(json.dumps(rows[-1]), flush=True)
    if dist.get_rank() == 0:
        found = {"rows": rows, "all_reduce": messages, "where": where()}
        FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    dist.destroy_process_group()


def fitted_line(x: list[float], y: list[float]) -> tuple[float, float]:
    """Return intercept and slope of the line with the least relative errors."""
    points = np.array(y)
    design = np.stack([np.ones(len(x)), np.array(x)], 1) / points[:, None]
    intercept, slope = np.linalg.lstsq(design, np.ones(len(x)), rcond=None)[0]
    return max(float(intercept), 0.0), float(slope)


def step_seconds(rows: list[dict[str, Any]], width: int) -> Callable[[float], float]:
    """Return the seconds of a step in one process, by the samples of its batch."""
    own = [row for row in rows if row["width"] == width]
    base, slope = fitted_line([r["batch"] for r in own], [r["alone"] for r in own])
    return lambda batch: base + slope * batch


def ring_seconds(messages: dict[str, float]) -> Callable[[int, int], float]:
    """Return the seconds of an all-reduce, by its numbers and the number of ranks.

    A ring of P ranks passes on a P-th of the message 2 (P - 1) times.
    """
    sizes = [float(size) for size in messages]
    latency, each = fitted_line(sizes, list(messages.values()))

    def seconds(numbers: int, ranks: int) -> float:
        passes = 2 * (ranks - 1)
        return passes * (latency / 2 + each * numbers / ranks)

    return seconds


def table(rows: list[dict[str, Any]], messages: dict[str, float]) -> list[str]:
    """Return what was measured."""
    times = ("batch", "1 process, ms", "2 ranks, ms")
    lines = head(*times, "ratio", "goal", "limit", "score", "all-reduce")
    for row in rows:
        scores = [f"{row['scores'][kind]:.2f}" for kind in ("alone", "both")]
        ratio = row["alone"] / row["both"]
        verdict = ""
        if row["batch"] == BATCHES[-1] or "L-BFGS" in row["name"]:
            verdict = f"{GOAL} {'✓' if ratio >= GOAL else 'not reached'}"
        cells = (
            f"{row['batch']:,}",
            f"{1e3 * row['alone']:.2f}",
            f"{1e3 * row['both']:.2f}",
            f"{ratio:.2f}×",
            verdict,
            f"{row['alone'] / row['halves']:.2f}×",
            " / ".join(scores),
            f"{1e3 * messages[str(row['n_parameters'])]:.2f}",
        )
        lines.append(line(row["name"], *cells))
    return lines


def predicted(rows: list[dict[str, Any]], messages: dict[str, float]) -> list[str]:
    """Return speed-ups by the formula."""
    ring = ring_seconds(messages)
    lines = head("batch", *(f"{ranks} ranks" for ranks in RANKS))
    for width in EPOCHS:
        step = step_seconds(rows, width)
        name = next(row["name"] for row in rows if row["width"] == width)
        for batch in LARGE_BATCHES:
            cells = [
                f"{step(batch) / (step(batch / p) + ring(n_parameters(width), p)):.1f}×"
                for p in RANKS
            ]
            lines.append(line(name, f"{batch:,}", *cells))
    return lines


def write(found: dict[str, Any]) -> None:
    """Write the section of RESULTS.md."""
    rows = found["rows"]
    messages = found["all_reduce"]
    _, *about = (__doc__ or "").strip().split("\n\n")
    described = [part for part in about if not part.startswith("    ")]
    text = ["# One model on two processes", ""]
    text += ["Made by `python benchmarks/distributed_fit.py`.", ""]
    for part in described:
        text += [*part.split("\n"), ""]
    text += [*table(rows, messages), ""]
    text += [
        "**Computed, not measured: speed-up over one process of one thread**, "
        "t(batch) / (t(batch / P) + 2 (P − 1) (latency / 2 + time of a number · "
        "numbers / P)):",
        "",
        *predicted(rows, messages),
        "",
        f"({found['where']})",
    ]
    enter(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        run_rank(options.turns)
        return

    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launcher += ["--nproc-per-node=2", str(Path(__file__)), "--rank"]
    subprocess.run([*launcher, f"--turns={options.turns}"], check=True)
    write(json.loads(FILE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
