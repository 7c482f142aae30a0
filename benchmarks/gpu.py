"""What a GPU has to do for a step, counted anywhere; and how fast one is, if any is.

    python benchmarks/gpu.py                        # a minute; with CUDA, five
    python benchmarks/gpu.py --device cpu --quick   # tries the timings on a CPU

*Launches* are the kernels that torch would start for a step on CUDA, counted on the
CPU: of one model, and of 200 in a search over 40 learning rates and 5 folds. *Reads*
are how often the host waits for the GPU in an epoch, counted on a fake CUDA device, of
a fit and of such a search with its scores after every epoch. *Expected* is the time of
an epoch of MNIST's 60,000 training digits if every launch took 4.5 µs and nothing else
took longer: computed, not measured.

On a machine with CUDA, the script also measures, on MNIST and as pixels: the median
epoch of each model on the GPU and on the CPU, beside scikit-learn's MLPClassifier;
a search over 40 learning rates in 5 folds in fits of one model; seconds until 99 and
99.4 % of the test digits are right; the peak of memory; and the gain by replaying
blocks of steps as graphs. Scores are the accuracy on the test digits. The script stores
its figures in benchmarks/gpu.json and writes a section of RESULTS.md.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from accuracy import where
from report import HERE, enter
from sklearn.base import ClassifierMixin, clone
from sklearn.neural_network import MLPClassifier
from speed_table import head, line

from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits.datasets import load_mnist
from skdigits.engine import convnet, train
from skdigits.engine.sizes import GPU, SIZES
from skdigits.model_selection import BatchedGridSearchCV

TESTS = Path(__file__).parent.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "cuda")]
from fake_cuda import fake_cuda  # noqa: E402
from launches import launches_per_step  # noqa: E402

FILE = HERE / "gpu.json"
LAUNCH = 4.5e-6  # seconds
N_DIGITS = 60_000
Q: dict[str, Any] = {"tol": None, "random_state": 0}
MODELS = {
    "softmax, batch 64": (SoftmaxRegression(batch_size=64, **Q), 64),
    "784-128-10, Adam": (MLPClassifierTorch(128, **Q), 200),
    "784-128-10, Adam, dropout, elastic": (
        MLPClassifierTorch(128, dropout=0.2, augment="elastic", **Q),
        200,
    ),
    "ConvNet": (ConvNetClassifier(precision="float32", **Q), 128),
}
RATES = {"learning_rate_init": np.geomspace(1e-4, 1e-2, 40).tolist()}


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Let the CPU compute as much at once as a GPU does, in blocks of steps."""
    with (
        patch.dict(SIZES, cpu=GPU),
        patch.object(train, "REPLAYED", {"cpu"}),
        patch.object(convnet, "grouped", lambda device: True),
    ):
        yield


def noise(n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return small images, and as many of each class."""
    rng = np.random.RandomState(0)
    X = rng.uniform(size=(n_samples, 64)).astype(np.float32)
    return X, np.arange(n_samples) % 10


def searched(model: ClassifierMixin) -> BatchedGridSearchCV:
    """Return a search over 40 learning rates and 5 folds, in one run."""
    return BatchedGridSearchCV(model, RATES, cv=5, refit=False, working_memory=1e5)


def launches(model: ClassifierMixin, together: bool) -> float:
    """Return the launches of a step."""
    # Narrow layers and few channels: launches do not depend on their sizes.
    small = {"hidden_layer_sizes": 4, "channels": (2, 3, 4), "batch_size": 8}
    small = {name: v for name, v in small.items() if name in model.get_params()}
    model = clone(model).set_params(max_iter=1, **small)
    whole = searched(model) if together else model
    in_training = 5 / 4 if together else 1

    def run(n_steps: int) -> None:
        whole.fit(*noise(int(n_steps * 8 * in_training)))

    with as_on_a_gpu():
        return launches_per_step(run, 64).total


def reads(model: ClassifierMixin, together: bool) -> float:
    """Return the reads of an epoch."""
    counts = []
    for max_iter in (2, 4):
        few = clone(model).set_params(max_iter=max_iter, batch_size=8)
        whole = searched(few).set_params(return_epoch_scores=True)
        if together:
            whole.set_params(param_grid={"learning_rate_init": [0.001, 0.01]})
        with fake_cuda() as device:
            (whole if together else few).fit(*noise(100))
        counts.append(device.reads.total())
    return (counts[1] - counts[0]) / 2


def counted() -> dict[str, dict[str, float]]:
    """Return launches and reads of all models."""
    found = {}
    for name, (model, batch_size) in MODELS.items():
        found[name] = {
            "one": launches(model, together=False),
            "many": launches(model, together=True),
            "reads": reads(model, together=False),
            "reads of a search": reads(model, together=True),
            "expected": LAUNCH * N_DIGITS / batch_size,
        }
        found[name]["expected"] *= found[name]["one"]
        print(name, found[name], flush=True)
    return found


def epoch_seconds(model: ClassifierMixin, X: np.ndarray, y: np.ndarray) -> float:
    """Return the median seconds of an epoch but the first, which warms up."""
    model.fit(X, y)
    each = np.diff(model.history_["seconds"], prepend=0)
    return float(np.median(each[1:]))


def timed(run: Callable[[], object], repeats: int = 3) -> float:
    """Return the median seconds of a call; the first one, which warms up, is left."""
    run()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def seconds_to(
    model: ClassifierMixin, data: dict[str, np.ndarray], accuracy: float
) -> float | None:
    """Return the seconds of the shortest fit that reaches an accuracy, if one does.

    The number of epochs is chosen on held-out training digits.
    """
    X, y = data["X"], data["y"]
    n_held_out = len(X) // 6
    for max_iter in (1, 2, 3, 4, 6, 8, 12, 16, 24):
        one = clone(model).set_params(max_iter=max_iter)
        if (
            one.fit(X[n_held_out:], y[n_held_out:]).score(
                X[:n_held_out], y[:n_held_out]
            )
            >= accuracy
        ):
            return timed(lambda one=one: one.fit(X, y), 1)
    return None


def measured(device: str, data: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return what takes how long on a device."""
    X, y = data["X"], data["y"]
    found: dict[str, Any] = {"epochs": {}, "searches": {}}
    for name, (model, _) in MODELS.items():
        own = clone(model).set_params(max_iter=4, device=device)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        row = {"gpu": epoch_seconds(own, X, y)}
        row["score"] = 100 * own.score(data["X_test"], data["y_test"])
        if device == "cuda":
            row["MB"] = torch.cuda.max_memory_allocated() / 1e6
        replayed = train.REPLAYED
        train.REPLAYED = set()
        row["one by one"] = epoch_seconds(own, X, y)
        train.REPLAYED = replayed
        cpu = clone(own).set_params(device="cpu", max_iter=2)
        some = slice(len(X) // 10)
        row["cpu"] = 10 * epoch_seconds(cpu, X[some], y[some])
        found["epochs"][name] = row
        print(name, row, flush=True)

    peer = MLPClassifier(128, max_iter=1, tol=0, random_state=0)
    floats = (X / np.float32(255)).astype(np.float32)
    found["MLPClassifier"] = timed(lambda: peer.fit(floats, y), 1)
    for name in list(MODELS)[:2]:
        one = clone(MODELS[name][0]).set_params(max_iter=3, device=device)
        search = searched(one).set_params(working_memory=None)
        alone = timed(lambda one=one: one.fit(X, y), 1)
        found["searches"][name] = timed(lambda s=search: s.fit(X, y), 1) / alone
    convnet = ConvNetClassifier(learning_rate="one_cycle", device=device, **Q)
    for accuracy in (0.99, 0.994):
        found[f"{100 * accuracy:g} %"] = seconds_to(convnet, data, accuracy)
    return found


def counted_table(found: dict[str, dict[str, float]]) -> list[str]:
    """Return what was counted."""
    columns = (
        "launches of a step",
        "of 200 models",
        "reads of an epoch",
        "of a search",
    )
    lines = head(*columns, "expected epoch, s")
    for name, row in found.items():
        cells = [f"{row[key]:.1f}" for key in ("one", "many")]
        cells += [f"{row[key]:.0f}" for key in ("reads", "reads of a search")]
        lines.append(line(name, *cells, f"{row['expected']:.2f}"))
    return lines


def measured_table(found: dict[str, Any]) -> list[str]:
    """Return what was measured."""
    columns = ("GPU, s an epoch", "steps one by one", "CPU", "accuracy, %", "MB")
    lines = head(*columns)
    for name, row in found["epochs"].items():
        cells = [f"{row[key]:.3f}" for key in ("gpu", "one by one", "cpu")]
        lines.append(
            line(name, *cells, f"{row['score']:.2f}", f"{row.get('MB', 0):.0f}")
        )
    lines += ["", f"MLPClassifier(128): {found['MLPClassifier']:.2f} s an epoch.", ""]
    for name, ratio in found["searches"].items():
        lines.append(f"- 40 rates × 5 folds of {name}: {ratio:.2f} fits of one model")
    for accuracy in ("99 %", "99.4 %"):
        seconds = found[accuracy]
        text = "not reached" if seconds is None else f"{seconds:.2f} s"
        lines.append(f"- {accuracy} with a ConvNet: {text}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--device", default="cuda", help="what to measure on")
    parser.add_argument("--quick", action="store_true", help="measure on 3,000 digits")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # these fits are short on purpose

    known = {"counted": counted(), "where": where()}
    wanted = options.device != "cuda" or torch.cuda.is_available()
    if wanted:
        mnist = load_mnist()
        n = 3000 if options.quick else None
        data = {
            "X": mnist.data[mnist.train][:n],
            "y": mnist.target[mnist.train][:n],
            "X_test": mnist.data[mnist.test],
            "y_test": mnist.target[mnist.test],
        }
        known["measured"] = measured(options.device, data)
    if options.device != "cuda":
        return  # a trial

    FILE.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    about = (__doc__ or "").split("\n\n")[2:]
    text = ["# GPU", "", "Made by `python benchmarks/gpu.py`.", ""]
    text += [*about[0].split("\n"), "", *counted_table(known["counted"]), ""]
    text += ["**Measured**: no machine with CUDA has run this script yet."]
    if "measured" in known:
        text[-1] = f"**Measured** on {torch.cuda.get_device_name()}:"
        text += ["", *about[1].split("\n"), "", *measured_table(known["measured"])]
    enter([*text, "", f"({known['where']})"])


if __name__ == "__main__":
    main()
