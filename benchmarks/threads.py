"""From which size on a second thread pays, for products and for whole fits.

    python benchmarks/threads.py              # two minutes on two cores
    python benchmarks/threads.py --no-busy    # on idle cores alone
    python benchmarks/threads.py --threads 4  # 4 threads beside 1

The first tables are products of torch alone, in the shapes of skdigits' steps and
predictions. The others are fits of an epoch and predictions through the public
estimators, with ``torch.set_num_threads`` around them; should an estimator choose its
number of threads itself, its two columns are the same. *Mflop* is the arithmetic of a
step, or of a prediction. Times are medians of turns, 1 thread and all in alternation;
*ratio* is the time with 1 thread divided by that with all. Below each table stands the
arithmetic from which on all ratios are 1.2 or more.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from busy import load, n_cores
from speed_table import head, line
from torch import Tensor
from torch.nn.functional import conv2d, linear, max_pool2d

from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits.model_selection import BatchedGridSearchCV

WINS = 1.2
N_TURNS = 5
TURN = 0.02  # seconds that a turn lasts, at least
ENOUGH = 0.8  # seconds after which a case has no other turns
BATCHES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
WIDTHS = (32, 64, 128, 256, 512, 1024, 2048)
MODELS = (1, 8, 40)
IMAGES = (16, 32, 64, 128)
PREDICTED = (1, 10, 100, 1000, 10_000)
CHANNELS = (24, 48, 96)
COLUMNS = ("1 thread, µs", "all, µs", "ratio")
PLAIN_SGD = {
    "solver": "sgd", "momentum": 0, "nesterovs_momentum": False, "alpha": 0,
    "tol": None, "max_iter": 1, "random_state": 0,
}  # fmt: skip


class Case(NamedTuple):
    """A call of ``n_steps`` steps, with the arithmetic of one of them."""

    name: str
    mflop: float
    call: Callable[[], object]
    n_steps: int = 1


class Times(NamedTuple):
    """Seconds of a step with one thread, and with all."""

    one: float
    all: float

    @property
    def ratio(self) -> float:
        return self.one / self.all


def step_mflop(sizes: list[int], batch: int, n_models: int = 1) -> float:
    """Return the arithmetic of a step: forward, and gradients by weights and inputs."""
    layers = [2 * batch * n_in * n_out for n_in, n_out in pairwise(sizes)]
    return n_models * (3 * sum(layers) - layers[0]) / 1e6


def prediction_mflop(sizes: list[int], n_samples: int) -> float:
    return sum(2 * n_samples * n_in * n_out for n_in, n_out in pairwise(sizes)) / 1e6


def convolution_mflop(n_images: int) -> float:
    """Return the arithmetic of a step of a ConvNet on 28 × 28 images."""
    shapes = ((1, 24, 5, 24), (24, 48, 3, 10), (48, 96, 3, 3))
    layers = [
        2 * n_in * n_out * kernel**2 * side**2 for n_in, n_out, kernel, side in shapes
    ]
    return n_images * (3 * sum(layers) - layers[0]) / 1e6


def dense_step(sizes: list[int], batch: int, n_models: int = 1) -> Callable[[], None]:
    """Return the products of a step of K models that see the same samples.

    Those of the first layer are one product with the units of all models, as in
    `skdigits.engine.dense`; the others are one product a model.
    """
    groups = [1] + [n_models] * (len(sizes) - 2)
    inputs = [torch.rand(1, sizes[0], batch)]
    inputs += [torch.rand(n_models, n_out, batch) for n_out in sizes[1:-1]]
    weights = [torch.rand(n_models, b, a) for a, b in pairwise(sizes)]
    biases = [torch.rand(n_models, b, 1) for b in sizes[1:]]
    deltas = [torch.rand(n_models, b, batch) for b in sizes[1:]]

    def step() -> None:
        for number, group in enumerate(groups):
            weight = weights[number].view(group, -1, sizes[number])
            bias = biases[number].view(group, -1, 1)
            torch.baddbmm(bias, weight, inputs[number])
        for number, group in reversed(list(enumerate(groups))):
            weight = weights[number].view(group, -1, sizes[number])
            delta = deltas[number].view(group, -1, batch)
            torch.baddbmm(weight, delta, inputs[number].mT, alpha=-1e-6)
            if number:
                torch.bmm(weights[number].mT, deltas[number])

    return step


def convolution_step(n_images: int) -> Callable[[], None]:
    """Return forward and backward pass of a ConvNet's convolutions, by autograd."""
    images = torch.rand(n_images, 1, 28, 28)
    shapes = ((24, 1, 5, 5), (48, 24, 3, 3), (96, 48, 3, 3))
    weights = [torch.rand(shape).div_(100).requires_grad_() for shape in shapes]

    def step() -> None:
        values = max_pool2d(conv2d(images, weights[0]).relu(), 2)
        values = max_pool2d(conv2d(values, weights[1]).relu(), 2)
        torch.autograd.grad(conv2d(values, weights[2]).relu().sum(), weights)

    return step


def dense_prediction(sizes: list[int], n_samples: int) -> Callable[[], Tensor]:
    """Return the forward products of samples, by ``linear``."""
    samples = torch.rand(n_samples, sizes[0])
    weights = [torch.rand(n_out, n_in) for n_in, n_out in pairwise(sizes)]

    def predict() -> Tensor:
        values = samples
        for weight in weights:
            values = linear(values, weight)
        return values

    return predict


def products() -> Iterator[tuple[str, list[Case]]]:
    """Products of torch alone, by family and growing in size."""
    yield (
        "Products: a step of softmax regression 784-10, by batch size",
        [
            Case(f"batch {n}", step_mflop([784, 10], n), dense_step([784, 10], n))
            for n in BATCHES
        ],
    )
    sizes = {h: [784, h, 10] for h in WIDTHS}
    yield (
        "Products: a step of an MLP 784-H-10, batch 64",
        [
            Case(f"H = {h}", step_mflop(s, 64), dense_step(s, 64))
            for h, s in sizes.items()
        ],
    )
    for name, shape in (("784-10", [784, 10]), ("784-64-10", [784, 64, 10])):
        yield (
            f"Products: a step of K models {name} together, batch 64",
            [
                Case(f"K = {k}", step_mflop(shape, 64, k), dense_step(shape, 64, k))
                for k in MODELS
            ],
        )
    yield (
        "Products: a step of a ConvNet 24-48-96, by batch size",
        [Case(f"batch {n}", convolution_mflop(n), convolution_step(n)) for n in IMAGES],
    )
    shape = [784, 128, 10]
    yield (
        "Products: a prediction of an MLP 784-128-10",
        [
            Case(
                f"{n:,} samples", prediction_mflop(shape, n), dense_prediction(shape, n)
            )
            for n in PREDICTED
        ],
    )


def estimators() -> Iterator[tuple[str, list[Case]]]:
    """Fits of an epoch and predictions, by family and growing in size."""
    rng = np.random.default_rng(0)
    X = rng.random((10_000, 784), dtype=np.float32)
    y = rng.integers(10, size=len(X))

    def epoch(name: str, mflop: float, model: object, n: int, batch: int) -> Case:
        n_steps = -(-n // batch)
        return Case(name, mflop, lambda: model.fit(X[:n], y[:n]), n_steps)

    yield "SoftmaxRegression.fit, a step of an epoch of 4,096 samples", [
        epoch(f"batch {n}", step_mflop([784, 10], n),
              SoftmaxRegression(batch_size=n, **PLAIN_SGD), 4096, n)
        for n in BATCHES
    ]  # fmt: skip
    yield "MLPClassifierTorch.fit, a step of an epoch of 512 samples, batch 64", [
        epoch(f"H = {h}", step_mflop([784, h, 10], 64),
              MLPClassifierTorch(h, batch_size=64, **PLAIN_SGD), 512, 64)
        for h in WIDTHS
    ]  # fmt: skip
    yield (
        "BatchedGridSearchCV.fit, K rates of softmax regression, batch 64",
        [
            epoch(f"K = {k}", step_mflop([784, 10], 64, k), rates(k), 2048, 64)
            for k in MODELS
        ],
    )
    yield "ConvNetClassifier.fit, a step of an epoch of 128 images", [
        epoch(f"batch {n}", convolution_mflop(n),
              ConvNetClassifier(CHANNELS, batch_size=n, max_iter=1, random_state=0),
              128, n)
        for n in IMAGES
    ]  # fmt: skip
    fitted = MLPClassifierTorch(128, **PLAIN_SGD).fit(X[:256], y[:256])
    yield "MLPClassifierTorch.predict_proba, 784-128-10", [
        Case(f"{n:,} samples", prediction_mflop([784, 128, 10], n),
             lambda n=n: fitted.predict_proba(X[:n]))
        for n in PREDICTED
    ]  # fmt: skip


def rates(n_models: int) -> BatchedGridSearchCV:
    """Return a search of K rates; with one split that trains on all samples."""
    model = SoftmaxRegression(batch_size=64, **PLAIN_SGD)
    grid = {"learning_rate_init": np.geomspace(0.001, 0.1, n_models)}
    everything = np.arange(2048)
    splits = [(everything, everything[:10])]
    return BatchedGridSearchCV(model, grid, cv=splits, refit=False)


def measure(case: Case, n_threads: int) -> Times:
    """Return the median seconds of a step, with 1 thread and all in alternation."""
    seconds: dict[int, list[float]] = {1: [], n_threads: []}
    start = time.perf_counter()
    for _ in range(N_TURNS):
        # Threads that wait for each other on busy cores may take a hundred times as
        # long: that much needs no median.
        if time.perf_counter() - start > ENOUGH:
            break
        for number, turns in seconds.items():
            torch.set_num_threads(number)
            case.call()  # threads start, and find their data
            turns.append(turn(case.call) / case.n_steps)
    return Times(*map(statistics.median, seconds.values()))


def turn(call: Callable[[], object]) -> float:
    """Return the mean seconds of the calls of a turn."""
    n_calls = 0
    start = time.perf_counter()
    while (passed := time.perf_counter() - start) < TURN or not n_calls:
        call()
        n_calls += 1
    return passed / n_calls


def wins_from(cases: Iterable[Case], times: Iterable[Times]) -> str:
    """Say from which arithmetic on more threads are faster by the factor `WINS`."""
    least = None
    for case, found in reversed(list(zip(cases, times, strict=True))):
        if found.ratio < WINS:
            break
        least = case.mflop
    return "at no size" if least is None else f"from {least:.3g} Mflop on"


def table(name: str, cases: list[Case], found: dict[str, list[Times]]) -> list[str]:
    """Return the table of a family, and where more threads win."""
    columns = [f"{kind}: {column}" for kind in found for column in COLUMNS]
    lines = ["", f"**{name}**", "", *head("Mflop", *columns)]
    for number, case in enumerate(cases):
        cells = [cell for times in found.values() for cell in shown(times[number])]
        lines.append(line(case.name, f"{case.mflop:.3g}", *cells))

    wins = [f"{kind}, {wins_from(cases, times)}" for kind, times in found.items()]
    return [*lines, "", f"More threads win by {WINS}×: {'; '.join(wins)}."]


def shown(times: Times) -> list[str]:
    return [f"{1e6 * times.one:.0f}", f"{1e6 * times.all:.0f}", f"{times.ratio:.2f}"]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    option = parser.add_argument
    option("--threads", type=int, default=n_cores(), help="all (default: the cores)")
    both = argparse.BooleanOptionalAction
    option("--busy", action=both, default=True, help="also on busy cores (default)")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    kinds = {"idle": nullcontext, "busy": load}
    if not options.busy:
        del kinds["busy"]
    print(f"All threads are {options.threads}, torch {torch.__version__}.")

    for name, cases in (*products(), *estimators()):
        found = {}
        for kind, surroundings in kinds.items():
            with surroundings():
                found[kind] = [measure(case, options.threads) for case in cases]
        print("\n".join(table(name, cases, found)), flush=True)


if __name__ == "__main__":
    main()
