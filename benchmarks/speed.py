"""The speed of skdigits and its peers, in the same run, with scores beside the times.

    python benchmarks/speed.py                      # all jobs: hours on two cores
    python benchmarks/speed.py --no-busy            # on idle cores alone
    python benchmarks/speed.py --jobs softmax iris  # some of them
    python benchmarks/speed.py --repeats 2          # a look, nothing is stored
    python benchmarks/speed.py --quick              # few samples: does it all run?

Each job is a process of its own, in which skdigits and its peers take turns, first on
cores that are idle but for them, then on *busy* ones: beside as many other processes as
there are cores, which never rest. The table holds the median of the turns and, for idle
cores, their range; a contender whose turn takes more than a minute has one turn of its
kind. Scores are accuracies on MNIST's test digits; for searches, they are the best mean
score over the folds. *Speed-up* says how many times faster than this row skdigits is,
and its goal is the least speed-up. *Busy / idle* divides the speed-up on busy cores by
that on idle ones; the goal is 0.7 beside every peer whose speed-up has one. *Slowest
turn* is the longest one as a multiple of the median of its kind, idle and busy; the
goal for skdigits is 5. The script stores its figures in benchmarks/results.json and
writes a section of RESULTS.md from them. The goals are listed in benchmarks/jobs.
"""

import argparse
import json
import platform
import subprocess
import sys
import warnings
from datetime import date
from typing import Any

import fresh
import numpy as np
import sklearn
import torch
from jobs import JOBS, load_digits
from peers import Loop
from report import HERE, enter
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from speed_table import figures, table
from turns import measure

from skdigits import SoftmaxRegression

PROCESSES = "processes"
NAMES = [*JOBS, PROCESSES]
STORED_FROM = 5  # medians of fewer turns are too uncertain to be stored


def run_job(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return seconds, scores and machine of a job."""
    if name == PROCESSES:
        return {"machine": machine(), "values": fresh.measure(options.repeats)}

    job = JOBS[name]
    contenders = job.build(load_digits(options.quick))
    _warm_up()
    found = measure(job, contenders, options.repeats, options.busy)
    return {"job": job.heading, "machine": machine(), **found}


def _warm_up() -> None:
    """Start joblib's two processes, and load libraries, before anything is timed."""
    X, y = load_iris(return_X_y=True)
    model = SoftmaxRegression(max_iter=1, tol=None)
    GridSearchCV(model, {"alpha": [0.0, 0.1]}, n_jobs=2).fit(X, y)

    # The first step of torch.optim takes a second of imports.
    Loop([4, 3], 0.1, 1, loader=True).fit(X.astype(np.float32), y)


def in_process(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run a job in a process of its own.

    Raises
    ------
    subprocess.CalledProcessError
        If the job ends with an error.
    """
    command = [sys.executable, __file__, "--worker", "--jobs", name]
    command += ["--repeats", str(options.repeats)]
    command += ["--busy" if options.busy else "--no-busy"]
    command += ["--quick"] * options.quick
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


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


def shown(name: str, result: dict[str, Any]) -> list[str]:
    """Return the table of a job, by the headings and the goals of today."""
    if name == PROCESSES:
        return figures(result["machine"], result["values"], fresh.UNITS)
    return table(JOBS[name], result)


def keep(results: dict[str, Any]) -> None:
    """Store new results in results.json, and write all stored ones to RESULTS.md."""
    path = HERE / "results.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known = stored.get("jobs", {}) | results
    kept = {name: known[name] for name in NAMES if name in known}
    path.write_text(json.dumps({"jobs": kept}, indent=1) + "\n", encoding="utf-8")

    lines = ["# Speed, beside that of others", ""]
    lines += ["Made by `python benchmarks/speed.py`.", ""]
    lines.append(__doc__.split("\n\n", 2)[2].rstrip())
    for name, result in kept.items():
        lines += shown(name, result)
    enter(lines)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], epilog=f"Jobs: {', '.join(NAMES)}."
    )
    option = parser.add_argument
    option("--jobs", nargs="+", choices=NAMES, default=NAMES, metavar="JOB")
    option("--repeats", type=int, default=5, help="turns (default: 5)")
    both = argparse.BooleanOptionalAction
    option("--busy", action=both, default=True, help="also on busy cores (default)")
    option("--quick", action="store_true", help="few samples; nothing is stored")
    option("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parsed()
    if options.worker:
        warnings.simplefilter("ignore")
        print(json.dumps(run_job(options.jobs[0], options)))
        return

    failed = [name for name in options.jobs if not run_and_show(name, options)]
    if failed:
        sys.exit(f"These jobs ended with an error, see above: {', '.join(failed)}")


def run_and_show(name: str, options: argparse.Namespace) -> bool:
    """Run a job, print its table and store its figures; return whether it ran."""
    try:
        result = in_process(name, options)
    except subprocess.CalledProcessError:
        return False

    print("\n".join(shown(name, result)), flush=True)
    # Stored at once: an interrupted run of hours keeps what it has found.
    if options.repeats >= STORED_FROM and not options.quick:
        keep({name: result})
    return True


if __name__ == "__main__":
    main()
