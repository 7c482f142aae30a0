"""The speed of skdigits and its peers, in the same run, with scores beside the times.

    python benchmarks/speed.py                      # all jobs: an hour on two cores
    python benchmarks/speed.py --jobs softmax iris  # some of them
    python benchmarks/speed.py --repeats 2          # a quick look, nothing is stored

Each job is a process of its own, in which skdigits and its peers take turns. The table
holds the median of the turns and their range; a peer that takes minutes has one turn.
Scores are accuracies on MNIST's test digits; for searches, they are the best mean score
over the folds. *Speed-up* says how many times faster than this row skdigits is, and
*goal* is the least speed-up to reach. The script stores its figures in
benchmarks/results.json and writes a section of RESULTS.md from them.
"""

import argparse
import json
import math
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import sklearn
import torch
from peers import Loop, Products, skorch_classifier
from report import HERE, enter
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.neighbors import NearestCentroid
from sklearn.neural_network import MLPClassifier

from skdigits import MLPClassifierTorch, SoftmaxRegression, TemplateMatchingClassifier
from skdigits.datasets import load_mnist
from skdigits.model_selection import BatchedGridSearchCV

SGD = {
    "solver": "sgd", "momentum": 0, "nesterovs_momentum": False, "alpha": 0,
    "batch_size": 64, "tol": None, "random_state": 0,
}  # fmt: skip
LINEAR = [784, 10]
HIDDEN = [784, 128, 10]
RATES_8 = [0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.8]
RATES_32 = np.geomspace(0.001, 1, 32).round(5).tolist()


class Digits(NamedTuple):
    """MNIST as float32 in [0, 1]."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray

    def score(self, model: ClassifierMixin) -> float:
        return float(model.score(self.X_test, self.y_test))


class Contender(NamedTuple):
    """A call to time, and the score of its result, which is not timed.

    ``least`` is the least speed-up of skdigits to reach; ``slow`` means a single turn.
    """

    run: Callable[[], Any]
    score: Callable[[Any], float]
    least: float | None = None
    slow: bool = False


Job = Callable[[Digits], dict[str, Contender]]


def fits(
    digits: Digits, model: ClassifierMixin | Loop | Products, least: float | None = None
) -> Contender:
    return Contender(lambda: model.fit(digits.X, digits.y), digits.score, least)


def mlp(digits: Digits) -> dict[str, Contender]:
    """MLP 784-128-10, SGD at 0.1, batch 64, 5 epochs."""
    own = MLPClassifierTorch(128, **SGD, learning_rate_init=0.1, max_iter=5)
    theirs = MLPClassifier(
        128, solver="sgd", momentum=0, alpha=0, batch_size=64, learning_rate_init=0.1,
        max_iter=5, random_state=0,
    )  # fmt: skip
    return {
        "skdigits": fits(digits, own),
        "bare products": fits(digits, Products(HIDDEN, 5), 1 / 1.6),
        "MLPClassifier": fits(digits, theirs, 2.2),
        "plain loop": fits(digits, Loop(HIDDEN, 0.1, 5, loader=False)),
        "DataLoader loop": fits(digits, Loop(HIDDEN, 0.1, 5, loader=True), 4),
        "skorch": fits(digits, skorch_classifier(HIDDEN, 0.1, 5), 4),
    }


def softmax(digits: Digits) -> dict[str, Contender]:
    """SoftmaxRegression, SGD at 0.1, batch 64, 5 epochs."""
    # SGDClassifier takes a step for each sample: 1/64 of the rate goes as far.
    theirs = SGDClassifier(
        loss="log_loss", penalty=None, learning_rate="constant", eta0=0.1 / 64,
        max_iter=5, tol=None, random_state=0,
    )  # fmt: skip
    on_both = clone(theirs).set_params(n_jobs=2)
    return {
        "skdigits": fits(digits, SoftmaxRegression(0.1, **SGD, max_iter=5)),
        "bare products": fits(digits, Products(LINEAR, 5)),
        "plain loop": fits(digits, Loop(LINEAR, 0.1, 5, loader=False)),
        "DataLoader loop": fits(digits, Loop(LINEAR, 0.1, 5, loader=True), 6),
        "SGDClassifier": fits(digits, theirs, 10),
        "SGDClassifier, n_jobs=2": fits(digits, on_both),
    }


def mlp_defaults(digits: Digits) -> dict[str, Contender]:
    """MLP with default settings, 5 epochs."""
    five = {"max_iter": 5, "tol": None, "random_state": 0}
    theirs = MLPClassifier(max_iter=5, random_state=0)
    return {
        "skdigits": fits(digits, MLPClassifierTorch(**five)),
        "skdigits, alpha=0": fits(digits, MLPClassifierTorch(alpha=0, **five)),
        "MLPClassifier": fits(digits, theirs),
    }


def softmax_defaults(digits: Digits) -> dict[str, Contender]:
    """SoftmaxRegression with default settings, 5 epochs."""
    five = {"max_iter": 5, "tol": None, "random_state": 0}
    plain = {"alpha": 0, "momentum": 0, "nesterovs_momentum": False}
    theirs = SGDClassifier(loss="log_loss", max_iter=5, tol=None, random_state=0)
    return {
        "skdigits": fits(digits, SoftmaxRegression(**five)),
        "skdigits, alpha=0": fits(digits, SoftmaxRegression(alpha=0, **five)),
        "skdigits, plain SGD": fits(digits, SoftmaxRegression(**plain, **five)),
        "SGDClassifier": fits(digits, theirs),
    }


def lbfgs(digits: Digits) -> dict[str, Contender]:
    """SoftmaxRegression by L-BFGS; the score is the objective, equal within 1e-6."""
    alpha = 1e-3
    X = digits.X
    y = digits.y

    def objective(model: ClassifierMixin) -> float:
        proba = model.predict_proba(X)[np.arange(len(y)), y].astype(np.float64)
        penalty = alpha / 2 * (model.coef_.astype(float) ** 2).sum()
        return float(-np.log(proba).mean() + penalty)

    # With these tolerances, both reach the same objective.
    own = SoftmaxRegression(solver="lbfgs", alpha=alpha, tol=5e-5, max_iter=1000)
    theirs = LogisticRegression(C=1 / (alpha * len(y)), tol=5e-5, max_iter=1000)
    return {
        "skdigits": Contender(lambda: own.fit(X, y), objective),
        "LogisticRegression": Contender(lambda: theirs.fit(X, y), objective, 4),
    }


def templates(digits: Digits) -> dict[str, Contender]:
    """Average images: fit on 60,000 and predict 10,000."""

    def contender(model: ClassifierMixin, least: float | None = None) -> Contender:
        return Contender(
            lambda: model.fit(digits.X, digits.y).predict(digits.X_test),
            lambda predicted: float((predicted == digits.y_test).mean()),
            least,
        )

    return {
        "skdigits": contender(TemplateMatchingClassifier("mse")),
        "NearestCentroid": contender(NearestCentroid(), 10),
    }


def search(
    digits: Digits, model: BaseEstimator, least: float | None, slow: bool = False
) -> Contender:
    def best(found: BaseEstimator) -> float:
        name = type(found.estimator).__name__
        print(f"    {name}: {found.best_params_}", file=sys.stderr)
        return float(found.best_score_)

    return Contender(lambda: model.fit(digits.X, digits.y), best, least, slow)


def searches(
    digits: Digits,
    model: BaseEstimator,
    rates: list[float],
    least: float,
    slow: bool = False,
) -> dict[str, Contender]:
    grid = {"learning_rate_init": rates}
    theirs = GridSearchCV(model, grid, n_jobs=2)
    return {
        "BatchedGridSearchCV": search(digits, BatchedGridSearchCV(model, grid), None),
        "GridSearchCV(n_jobs=2)": search(digits, theirs, least, slow),
    }


def grid_8(digits: Digits) -> dict[str, Contender]:
    """8 learning rates × 5 folds, SoftmaxRegression, batch 64, 5 epochs."""
    skorch = GridSearchCV(skorch_classifier(LINEAR, 0.1, 5), {"lr": RATES_8}, n_jobs=2)
    sgd = SGDClassifier(
        loss="log_loss", penalty=None, learning_rate="constant", max_iter=5, tol=None,
        random_state=0,
    )  # fmt: skip
    theirs = GridSearchCV(sgd, {"eta0": [rate / 64 for rate in RATES_8]}, n_jobs=2)
    return {
        **searches(digits, SoftmaxRegression(**SGD, max_iter=5), RATES_8, 2.5),
        "skorch, n_jobs=2": search(digits, skorch, 10, slow=True),
        "SGDClassifier, n_jobs=2": search(digits, theirs, 20, slow=True),
    }


def grid_32(digits: Digits) -> dict[str, Contender]:
    """32 learning rates × 5 folds, SoftmaxRegression, batch 64, 5 epochs."""
    return searches(
        digits, SoftmaxRegression(**SGD, max_iter=5), RATES_32, 3.5, slow=True
    )


def grid_mlp(digits: Digits) -> dict[str, Contender]:
    """8 learning rates × 5 folds, MLP with 64 hidden units, batch 64, 2 epochs."""
    return searches(digits, MLPClassifierTorch(64, **SGD, max_iter=2), RATES_8, 1.1)


def grid_wide(digits: Digits) -> dict[str, Contender]:
    """8 learning rates × 5 folds, 512 hidden units, 12,000 samples: a wide MLP."""
    some = digits._replace(X=digits.X[:12_000], y=digits.y[:12_000])
    model = MLPClassifierTorch(512, **SGD, max_iter=1)
    grid = {"learning_rate_init": RATES_8}
    batched = BatchedGridSearchCV(model, grid, n_jobs=2)
    return {
        "BatchedGridSearchCV": search(some, batched, None),
        "GridSearchCV": search(some, GridSearchCV(model, grid, n_jobs=2), 0.9),
    }


def price(digits: Digits) -> dict[str, Contender]:
    """8 learning rates on one fold, SoftmaxRegression, against one of them."""
    model = SoftmaxRegression(0.1, **SGD, max_iter=5)
    held_out = ShuffleSplit(1, test_size=10_000, random_state=0)
    grid = BatchedGridSearchCV(
        model, {"learning_rate_init": RATES_8}, cv=held_out, refit=False
    )
    train, test = next(held_out.split(digits.X))

    def one() -> float:
        fitted = model.fit(digits.X[train], digits.y[train])
        return float(fitted.score(digits.X[test], digits.y[test]))

    return {
        "8 rates": Contender(
            lambda: grid.fit(digits.X, digits.y),
            lambda found: float(found.cv_results_["mean_test_score"].max()),
        ),
        "one fit and its score": Contender(one, float, 1 / 2),
    }


def iris(digits: Digits) -> dict[str, Contender]:
    """Ten fits on iris (150 × 4): 100 epochs, 100 hidden units, Adam."""
    X, y = load_iris(return_X_y=True)

    def ten(model: ClassifierMixin, least: float | None = None) -> Contender:
        return Contender(
            lambda: [model.fit(X, y) for _ in range(10)][-1],
            lambda m: m.score(X, y),
            least,
        )

    settings = {"max_iter": 100, "n_iter_no_change": 1000, "random_state": 0}
    return {
        "skdigits": ten(MLPClassifierTorch(**settings)),
        "MLPClassifier": ten(MLPClassifier(**settings), 1),
    }


def _predictions(
    digits: Digits, X: np.ndarray, times: int, least: float
) -> dict[str, Contender]:
    settings = {"max_iter": 1, "random_state": 0, "hidden_layer_sizes": 128}

    def contender(model: ClassifierMixin, least: float | None = None) -> Contender:
        model.fit(digits.X[:10_000], digits.y[:10_000])
        return Contender(
            lambda: [model.predict_proba(X) for _ in range(times)],
            lambda _: digits.score(model),
            least,
        )

    return {
        "skdigits": contender(MLPClassifierTorch(**settings)),
        "MLPClassifier": contender(MLPClassifier(**settings), least),
    }


def predict_many(digits: Digits) -> dict[str, Contender]:
    """predict_proba of 10,000 samples, 784-128-10, ten times."""
    return _predictions(digits, digits.X_test, 10, 1 / 0.7)


def predict_one(digits: Digits) -> dict[str, Contender]:
    """predict_proba of one sample, 784-128-10, a thousand times."""
    return _predictions(digits, digits.X_test[:1], 1000, 1 / 1.2)


JOBS: dict[str, Job] = {
    job.__name__: job
    for job in (
        mlp, softmax, mlp_defaults, softmax_defaults, lbfgs, templates, grid_8,
        grid_32, price, grid_mlp, grid_wide, iris, predict_many, predict_one,
    )
}  # fmt: skip


def load_digits() -> Digits:
    mnist = load_mnist()
    X = mnist.data.astype(np.float32) / 255
    train = mnist.train
    test = mnist.test
    return Digits(X[train], mnist.target[train], X[test], mnist.target[test])


def _start_processes() -> None:
    """Start joblib's two processes, with their imports, before anything is timed."""
    X, y = load_iris(return_X_y=True)
    model = SoftmaxRegression(max_iter=1, tol=None)
    GridSearchCV(model, {"alpha": [0.0, 0.1]}, n_jobs=2).fit(X, y)


def run_job(name: str, repeats: int) -> dict[str, Any]:
    """Run the contenders in turns, and return their seconds and scores."""
    contenders = JOBS[name](load_digits())
    _start_processes()

    seconds: dict[str, list[float]] = {label: [] for label in contenders}
    scores: dict[str, float] = {}
    for turn in range(repeats):
        for label, contender in contenders.items():
            if turn and contender.slow:
                continue
            start = time.perf_counter()
            outcome = contender.run()
            seconds[label].append(time.perf_counter() - start)
            if not turn:
                scores[label] = contender.score(outcome)

    # Times to different objectives could not be compared.
    if name == "lbfgs" and max(scores.values()) - min(scores.values()) > 1e-6:
        sys.exit(f"The objectives differ by more than 1e-6: {scores}")

    return {
        "job": JOBS[name].__doc__,
        "machine": machine(),
        "contenders": {
            label: {"seconds": seconds[label], "score": scores[label], "least": c.least}
            for label, c in contenders.items()
        },
    }


FIRST_FIT = """
import time, torch, sklearn
from sklearn.datasets import load_iris
start = time.perf_counter()
from skdigits import MLPClassifierTorch
X, y = load_iris(return_X_y=True)
MLPClassifierTorch(max_iter=10, tol=None).fit(X, y)
print(time.perf_counter() - start)
"""

PEAK = """
import resource, sys, numpy as np
from skdigits import MLPClassifierTorch, SoftmaxRegression
from skdigits.datasets import load_mnist
X, y = load_mnist(return_X_y=True)
X, y = X[:60000].copy(), y[:60000]
kind, solver = sys.argv[1:]
if kind == "float32":
    X = np.concatenate(
        [part.astype(np.float32) / 255 for part in np.array_split(X, 60)]
    )
Model = SoftmaxRegression if solver == "lbfgs" else MLPClassifierTorch
model = Model(solver=solver, max_iter=3, tol=None, random_state=0)
model.fit(X[:500], y[:500])  # a first fit loads libraries, which are not to count
open("/proc/self/clear_refs", "w").write("5")  # the peak counts from here
def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
before = peak()
model.fit(X, y)
print(peak() - before)
"""


def fresh(code: str, *arguments: str) -> float:
    """Run code in a process of its own, and return the number that it prints."""
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def fresh_process_lines(repeats: int) -> list[str]:
    """Time import and first fit, and measure peak memory, each in fresh processes."""
    first = statistics.median(fresh(FIRST_FIT) for _ in range(repeats))
    lines = [
        "| import and first fit on iris, beyond torch and sklearn | "
        f"{first:.2f} s | 0.4 s |"
    ]

    for kind in ("float32", "uint8"):
        for solver in ("adam", "lbfgs"):
            # PEAK prints MiB.
            most = 1.048576 * max(fresh(PEAK, kind, solver) for _ in range(2))
            lines.append(
                f"| peak memory over {kind} input, {solver} | {most:.0f} MB | 40 MB |"
            )
    return ["| | measured | at most |", "|---|---|---|", *lines]


def table(result: dict[str, Any]) -> list[str]:
    """Return the table of a job in Markdown, with skdigits in its first row."""
    contenders = result["contenders"]
    own = statistics.median(next(iter(contenders.values()))["seconds"])
    decimals = 7 if "objective" in result["job"] else 4

    head = "| | median s | range | turns | score | speed-up | goal |"
    lines = ["", f"**{result['job']}**", "", head, "|---|---|---|---|---|---|---|"]
    for label, found in contenders.items():
        seconds = found["seconds"]
        score = found["score"]
        ratio = statistics.median(seconds) / own
        shown = "" if math.isnan(score) else f"{score:.{decimals}f}"
        lines.append(
            f"| {label} | {statistics.median(seconds):.3f} | {min(seconds):.3f}–"
            f"{max(seconds):.3f} | {len(seconds)} | {shown} | {ratio:.2f}× | "
            f"{verdict(ratio, found['least'])} |"
        )
    return [*lines, "", f"({result['machine']})"]


def verdict(ratio: float, least: float | None) -> str:
    """Return the goal of a speed-up, marked as reached or not."""
    if least is None:
        return ""
    mark = "✓" if ratio >= least else "not reached"
    return f"{least:.2f}× {mark}"


def machine() -> str:
    """Return the date, the commit, the hardware and the versions."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=HERE,
        capture_output=True,
        text=True,
    ).stdout.strip()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"

    return (
        f"{date.today()}, commit {commit or 'unknown'}, {platform.machine()}, {gpu}, "
        f"{torch.get_num_threads()} threads, Python {platform.python_version()}, torch "
        f"{torch.__version__.partition('+')[0]}, scikit-learn {sklearn.__version__}"
    )


def keep(results: dict[str, Any], lines: list[str]) -> None:
    """Store new results in results.json, and write all stored ones to RESULTS.md."""
    path = HERE / "results.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    jobs = known.get("jobs", {}) | results

    # Headings come from the jobs, so that a reworded one needs no new measurement.
    kept: dict[str, Any] = {"jobs": {}}
    for name, job in JOBS.items():
        if name in jobs:
            kept["jobs"][name] = jobs[name] | {"job": job.__doc__}
    kept["processes"] = lines or known.get("processes", [])
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")

    text = [
        "# Speed, beside that of others",
        "",
        "Made by `python benchmarks/speed.py`.",
    ]
    text += ["", __doc__.split("\n\n", 2)[2].rstrip()]
    for result in kept["jobs"].values():
        text += table(result)
    enter([*text, "", "**Processes of their own**", "", *kept["processes"]])


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="turns (default: 5)")
    parser.add_argument(
        "--jobs", nargs="+", choices=JOBS, default=list(JOBS), metavar="JOB"
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parsed()
    if options.worker:
        warnings.simplefilter("ignore")
        print(json.dumps(run_job(options.jobs[0], options.repeats)))
        return

    results = {}
    for job in options.jobs:
        command = [sys.executable, __file__, "--worker", "--jobs", job]
        command += ["--repeats", str(options.repeats)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        results[job] = json.loads(done.stdout.splitlines()[-1])
        print("\n".join(table(results[job])), flush=True)

    lines = []
    if options.jobs == list(JOBS):
        lines = [f"({machine()})", "", *fresh_process_lines(options.repeats)]
        print("\n".join(["", *lines]))
    # Medians of fewer turns are too uncertain to be stored.
    if options.repeats >= 5:
        keep(results, lines)


if __name__ == "__main__":
    main()
