"""The speed benchmark: its load, its turns, its goals and its tables."""

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def scripts():
    """The modules of the benchmark."""
    names = ("busy", "fresh", "jobs", "speed", "speed_table", "turns")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_the_load_computes(scripts):
    with scripts.busy.load() as processes:
        assert len(processes) >= 2
        for process in processes:
            before = processor_seconds(process.pid)
            assert wait_for(lambda p=process, b=before: processor_seconds(p.pid) > b)


def test_the_load_ends_with_an_error(scripts):
    with pytest.raises(KeyError, match="of the block"), scripts.busy.load() as started:
        raise KeyError("of the block")
    assert [process.returncode is not None for process in started] == [True, True]


def test_a_load_that_ended_is_an_error(scripts):
    block = scripts.busy.load()
    started = block.__enter__()
    started[0].kill()
    started[0].wait()
    with pytest.raises(RuntimeError, match="ended, with codes"):
        block.__exit__(None, None, None)
    assert all(process.returncode is not None for process in started)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_the_load_ends_with_a_killed_parent():
    code = (
        "import time\nfrom busy import load\nwith load() as started:\n"
        "    print(*[p.pid for p in started], flush=True)\n    time.sleep(100)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=BENCHMARKS, stdout=subprocess.PIPE
    )
    with parent:
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert all(map(alive, pids))
        parent.kill()
    assert wait_for(lambda: not any(map(alive, pids)))


def fake(scripts, events, clock, name, duration):
    """A contender that notes its turns, and takes as long as the fake clock says."""

    def run():
        events.append(name)
        clock[0] += duration
        return name

    return scripts.jobs.job.Contender(run, lambda outcome: float(len(outcome)))


def test_contenders_take_turns_idle_and_busy(scripts, monkeypatch):
    events, clock = [], [0.0]
    monkeypatch.setattr(scripts.turns.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(scripts.turns, "load", lambda: Loaded(events))
    contenders = {
        "own": fake(scripts, events, clock, "own", 2.0),
        "slow": fake(scripts, events, clock, "slow", 61.0),
    }
    job = scripts.jobs.Job(None, compare=lambda outcomes, scores: f"{scores}")
    found = scripts.turns.measure(job, contenders, 2, busy=True)
    idle = ["own", "slow", "own"]
    assert events == [*idle, "load", *idle, "end"]
    assert found["contenders"]["own"]["seconds"] == [2.0, 2.0]
    assert found["contenders"]["slow"] == {
        "seconds": [61.0],
        "busy": [61.0],
        "score": 4.0,
    }
    assert found["note"] == "{'own': 3.0, 'slow': 4.0}"

    events.clear()
    found = scripts.turns.measure(job, contenders, 2, busy=False)
    assert events == idle
    assert found["contenders"]["own"]["busy"] == []


class Loaded:
    """A load that only notes when it begins and ends."""

    def __init__(self, events):
        self.events = events

    def __enter__(self):
        self.events.append("load")

    def __exit__(self, *error):
        self.events.append("end")


def test_what_is_prepared_is_not_timed(scripts, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(scripts.turns.time, "perf_counter", lambda: clock[0])

    def prepare():
        clock[0] += 10
        return 3.0

    def run(duration):
        clock[0] += duration

    contender = scripts.jobs.job.Contender(run, float, prepare)
    seconds, _ = scripts.turns.take_turns({"any": contender}, 2)
    assert seconds == {"any": [3.0, 3.0]}


def cells(text):
    return [cell.strip() for cell in text.split("|")[1:-1]]


def test_the_table_is_computed_from_the_turns(scripts):
    own = {"seconds": [1.0, 2.0, 8.0], "busy": [4.0, 5.0, 20.0], "score": 0.5}
    peer = {"seconds": [4.2, 4.0, 4.1], "busy": [5.0, 6.0, 5.5], "score": float("nan")}
    job = scripts.jobs.Job(None, {"peer": 2.0}, title="A job.", tail_goal=3.9)
    result = {"contenders": {"own": own, "peer": peer}, "machine": "here"}
    head, _, first, second = (
        line for line in scripts.speed_table.table(job, result) if "|" in line
    )
    assert cells(head)[4:] == [
        "score", "speed-up", "goal", "busy, median s", "busy speed-up", "busy / idle",
        "slowest turn",
    ]  # fmt: skip
    assert cells(first) == [
        "own", "2.000", "1.000–8.000", "3", "0.5000", "1.00×", "", "5.000", "1.00×",
        "1.00×", "4.00×, busy 4.00×, goal ≤ 3.9×: not reached, 4×",
    ]  # fmt: skip
    assert cells(second) == [
        "peer", "4.100", "4.000–4.200", "3", "", "2.05×", "goal 2×: reached", "5.500",
        "1.10×", "0.54×, goal 0.7×: not reached, 0.54×", "1.02×, busy 1.09×",
    ]  # fmt: skip


def test_results_without_busy_turns_have_a_table(scripts):
    found = {"seconds": [1.0, 1.5], "score": 0.5}
    job = scripts.jobs.Job(None, title="A job.")
    lines = scripts.speed_table.table(
        job, {"contenders": {"own": found}, "machine": "here"}
    )
    assert cells(lines[-3])[7:] == ["", "", "", "1.20×, goal ≤ 5×: reached"]


def test_a_share_of_the_turns_can_be_judged(scripts):
    found = {"seconds": [1.0] * 190 + [9.0] * 10, "score": 0.5}
    job = scripts.jobs.Job(None, title="A job.", tail=0.95, tail_goal=3)
    lines = scripts.speed_table.table(
        job, {"contenders": {"own": found}, "machine": "here"}
    )
    expected = np.quantile(found["seconds"], 0.95)
    assert cells(lines[-3])[-1] == f"{expected:.2f}×, goal ≤ 3×: reached"


@pytest.mark.parametrize(
    ("found", "goal", "words"),
    [
        (2.0, 2, "goal 2×: reached"),
        (1.996, 2, "goal 2×: reached"),
        (1.6, 2, "goal 2×: not reached, 1.60×"),
        (0.67, 1 / 1.5, "goal 0.667×: reached"),
    ],
)
def test_goals_are_stated_as_goals(scripts, found, goal, words):
    assert scripts.speed_table.at_least(found, goal) == words


def small_digits(scripts):
    rng = np.random.default_rng(0)
    X = rng.random((60, 784), dtype=np.float32)
    y = np.arange(60) % 10
    return scripts.jobs.Digits(X, y, X[:20], y[:20], quick=True)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_every_goal_has_its_contender(scripts, monkeypatch):
    """Every job builds its contenders; "updates" has no goal, and takes a minute."""
    module = scripts.jobs.searches.skdigits.model_selection
    monkeypatch.setattr(
        module, "BatchedHalvingGridSearchCV", lambda *a, **k: None, raising=False
    )
    for part in (scripts.jobs.training, scripts.jobs.searches):
        monkeypatch.setattr(part, "skorch_classifier", lambda *a: MLPClassifier())

    digits = small_digits(scripts)
    built = {
        name: list(job.build(digits))
        for name, job in scripts.jobs.JOBS.items()
        if name != "updates"
    }
    assert len(built) >= 27
    for name, labels in built.items():
        job = scripts.jobs.JOBS[name]
        assert set(job.goals) <= set(labels[1:]), name
        assert job.heading.endswith("."), name


@pytest.mark.parametrize(("rate", "verdict"), [(0.2, "reached"), (0.1, "not reached")])
def test_the_winner_by_halving_is_judged_by_the_grid(scripts, rate, verdict):
    results = {
        "param_learning_rate_init": np.ma.array([0.1, 0.2, 0.3]),
        "mean_test_score": np.array([0.7, 0.89, 0.9]),
        "std_test_score": np.array([0.0, 0.0, 0.06]),
    }
    grid = SimpleNamespace(cv_results_=results, best_index_=2, n_splits_=9)
    best = {"learning_rate_init": rate, "max_iter": 27}
    halved = SimpleNamespace(best_params_=best)
    line = scripts.jobs.searches.same_winner({"halved": halved, "grid": grid}, {})
    assert line.endswith(f"its standard error 0.0200: {verdict}.")


def test_updates_start_after_the_calls_they_are_named_for(scripts):
    class Counter:
        n_calls = 0

        def partial_fit(self, X, y, classes=None):
            self.n_calls += 1

    copies = scripts.jobs.calls._at_ages(Counter(), (1, 10, 50))
    assert [copy.n_calls for copy in copies] == [1, 10, 50]
