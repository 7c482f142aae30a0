"""What is handed out to Dask's workers, and when Dask may forget it."""

import os
import signal
import time

import joblib
import pytest

from skdigits.model_selection._workers import Work, hand_out

distributed = pytest.importorskip("distributed", reason="distributed is an extra")
dask = pytest.importorskip("dask", reason="distributed is an extra")


def noted(folder, name, waits):
    """Note a call in a file, and return the process that it is made in."""
    (folder / f"{name} {os.urandom(4).hex()}").touch()
    while waits and not (folder / "go on").exists():
        time.sleep(0.05)
    return os.getpid()


def test_what_has_arrived_is_not_computed_again(tmp_path):
    """Even if the worker that computed it, and nothing else since, is killed."""
    names = ["short", "long"]
    work = [Work(noted, (tmp_path, name, name == "long"), {}, name) for name in names]
    with (
        # A machine that is busy may take longer than 15 seconds to start a worker.
        dask.config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        before = client.run(os.getpid)

        def kill(number, process):
            if names[number] == "long":
                return
            os.kill(process, signal.SIGKILL)
            while not {*client.ncores()} - {*before} or len(client.ncores()) < 2:
                time.sleep(0.05)
            # What was lost would be computed before this.
            (new,) = {*client.ncores()} - {*before}
            client.submit(os.getpid, workers=[new], pure=False).result()
            (tmp_path / "go on").touch()

        with joblib.parallel_config("dask"):
            processes = hand_out(work, None, finished=kill)
    assert {*processes} == {*before.values()}
    calls = sorted(path.name.split()[0] for path in tmp_path.iterdir())
    assert calls == ["go", "long", "short"]
