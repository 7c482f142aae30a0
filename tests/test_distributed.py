"""One model on two and three processes, beside the same fit in one process.

torchrun runs this file as a script: its ranks fit all `CASES`, with the same samples
and with shards, note what errors say, and leave that in a folder for the tests.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import warnings
from contextlib import redirect_stdout
from datetime import timedelta
from functools import partial
from io import StringIO
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import joblib
import numpy as np
import pytest
import torch
import torch.distributed as dist
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits import _memory_maps as memory_maps
from skdigits.callbacks import Checkpoint
from skdigits.distributed import data_parallel
from skdigits.engine import batches as engine
from skdigits.model_selection import BatchedGridSearchCV, learning_rate_range_test
from skdigits.training.ranks import same_shards, shared_gpu

X, y = load_digits(return_X_y=True)
X = X / 16
pixels = (255 * X).astype(np.uint8)
rng = np.random.RandomState(0)
weight = rng.randint(0, 4, len(X)).astype(float)
labels = np.stack([y % 2, y // 5, y % 3 == 0], 1)
words = np.array([f"digit {k}" for k in range(10)])[y]

N = 321  # two batches of 160, and one sample that a single rank has
BOUNDS = {2: [0, 100, N], 3: [0, 2, 170, N]}
SHORT = {"max_iter": 3, "tol": None, "random_state": 0}
softmax = partial(SoftmaxRegression, solver="sgd", batch_size=160, **SHORT)
mlp = partial(MLPClassifierTorch, (20, 9), batch_size=160, **SHORT)
convnet = partial(ConvNetClassifier, (3, 5), batch_size=160, **SHORT)
templates = partial(TemplateMatchingClassifier, random_state=0)


class Follower:
    """A callback of scikit-learn that stops a fit after some epochs, or fails."""

    def __init__(self, at, error=None):
        self.at = at
        self.error = error

    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator, context):
        if context.task_name != "epoch":
            return None
        self.at -= 1
        if self.at == 0 and self.error is not None:
            raise self.error
        return self.at <= 0


def fitted(model, own, X=X[:N], y=y[:N], weight=None, **validation):
    """Fit to the rows that ``own`` takes of all samples."""
    weight = None if weight is None else own(weight)
    return model.fit(own(X), own(y), weight, **validation)


def fitted_in_parts(model, own, X=X[:N], **classes):
    """Fit by chunks of samples, one of them smaller than a batch."""
    ends = np.linspace(0, N, 4).astype(int)
    classes = {"classes": np.unique(y)} | classes
    for start, end in pairwise(ends):
        model.partial_fit(own(X[start:end]), own(y[start:end]), **classes)
        classes = {}
    return model


def warm_started(model, own):
    fitted(model, own)
    return fitted(model.set_params(warm_start=True, learning_rate_init=0.01), own)


def own_score(model, X, y):
    return np.round(model.score(X, y), 2)


def vertically_mirrored(images, generator):
    turned = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return torch.where(turned, images.flip(2), images) - images.mean((0, 1), True) / 9


VALIDATION = {"X_val": X[N:500], "y_val": y[N:500]}
WEIGHTED = {**VALIDATION, "sample_weight_val": weight[N:500] + 0.5}
LONG = {"tol": 1e-4, "max_iter": 60, "n_iter_no_change": 3, "learning_rate_init": 0.3}
CASES = {
    "softmax": (softmax(), fitted),
    "softmax, plain steps": (softmax(momentum=0, shuffle=False, alpha=0.3), fitted),
    "softmax, one batch": (softmax(batch_size=N), fitted),
    "softmax, words": (softmax(), partial(fitted, y=words[:N])),
    "softmax, weights": (softmax(), partial(fitted, weight=weight[:N])),
    "softmax, balanced": (
        softmax(class_weight="balanced"),
        partial(fitted, weight=weight[:N]),
    ),
    "softmax, no class 0": (softmax(class_weight={0: 0.0, 3: 2.0}), fitted),
    "softmax, parts": (softmax(), fitted_in_parts),
    "softmax, sparse": (softmax(), partial(fitted, X=csr_array(X[:N]))),
    "softmax, pixels": (softmax(), partial(fitted, X=pixels[:N])),
    "softmax, stops early": (softmax(early_stopping=True).set_params(**LONG), fitted),
    "softmax, stops by loss": (
        softmax(early_stopping=True, scoring="loss").set_params(**LONG),
        partial(fitted, **WEIGHTED),
    ),
    "softmax, own score": (
        softmax(early_stopping=True, scoring=own_score).set_params(**LONG),
        partial(fitted, **VALIDATION),
    ),
    "softmax, converges": (softmax().set_params(tol=0.05, max_iter=99), fitted),
    "softmax, diverges": (
        softmax(alpha=0).set_params(learning_rate_init=1e300),
        fitted,
    ),
    "softmax, warm": (softmax(), warm_started),
    "softmax, two samples": (softmax(), partial(fitted, X=X[:3], y=y[:3])),
    "softmax, L-BFGS": (
        SoftmaxRegression(random_state=0),
        partial(fitted, weight=weight[:N]),
    ),
    "softmax, L-BFGS, sparse": (
        SoftmaxRegression(max_iter=9, tol=None, solver="lbfgs", random_state=0),
        partial(fitted, X=csr_array(X[:N]), **WEIGHTED),
    ),
    "softmax, L-BFGS, three samples": (
        SoftmaxRegression(random_state=0),
        partial(fitted, X=X[:3], y=y[:3]),
    ),
    "softmax, L-BFGS, raw": (
        SoftmaxRegression(random_state=0, max_iter=15),
        partial(fitted, X=100 * X[:N]),
    ),
    "mlp, adam, dropout": (mlp(dropout=0.3), fitted),
    "mlp, adamw, affine": (
        mlp(solver="adamw", weight_decay=0.1, augment="affine", dropout=0.2),
        partial(fitted, weight=weight[:N]),
    ),
    "mlp, shift, one batch": (mlp(augment="shift", batch_size=N), fitted),
    "mlp, one cycle": (mlp(solver="sgd", learning_rate="one_cycle"), fitted),
    "mlp, large": (mlp(solver="sgd").set_params(hidden_layer_sizes=600), fitted),
    "mlp, two classes": (mlp(), partial(fitted, y=y[:N] > 4)),
    "mlp, labels": (mlp(), partial(fitted, y=labels[:N])),
    "mlp, parts": (mlp(dropout=0.1), fitted_in_parts),
    "mlp, L-BFGS": (
        mlp(solver="lbfgs").set_params(max_iter=20),
        partial(fitted, weight=weight[:N]),
    ),
    "convnet": (convnet(dropout=0.3), fitted),
    "convnet, elastic": (convnet(augment="elastic"), fitted),
    "templates": (templates(), partial(fitted, weight=weight[:N])),
    "templates, sparse, cosine": (
        templates("cosine"),
        partial(fitted, X=csr_array(X[:N])),
    ),
    "templates, parts": (templates("mae"), fitted_in_parts),
    "templates, k-means": (templates(n_templates=3), fitted),
    "templates, k-means, sparse": (
        templates(n_templates=2),
        partial(fitted, X=csr_array(X[:N]), weight=weight[:N]),
    ),
}
SAME_ONLY = {
    "mlp, own distortion": (mlp(augment=vertically_mirrored), fitted),
    # On three ranks, one has no sample.
    "softmax, fewer samples": (softmax(), partial(fitted, X=X[:2], y=y[:2])),
    "templates, fewer samples": (templates(), partial(fitted, X=X[:2], y=y[:2])),
    "templates, k-means, fewer samples": (
        templates(n_templates=2),
        partial(fitted, X=X[[0, 10, 20, 1]], y=np.array([0, 0, 0, 1])),
    ),
}
FLOAT32 = {"softmax, pixels"}
# Each rank opens the file of its rows by itself.
FILES = {
    "file, softmax": (softmax(shuffle="blocks"), fitted),
    "file, weights": (softmax(shuffle="blocks"), partial(fitted, weight=weight[:N])),
    "file, stops early": (
        mlp(shuffle="blocks", early_stopping=True, dropout=0.3),
        fitted,
    ),
    "file, in order": (mlp(shuffle=False), fitted),
    "file, L-BFGS": (mlp(solver="lbfgs").set_params(max_iter=20), fitted),
    "file, templates": (templates(), fitted),
}
BLOCK = 16


def fit_in(name, own, **rows):
    model, fit = (CASES | SAME_ONLY | FILES)[name]
    with (
        warnings.catch_warnings(),
        patch.multiple(engine, CONSECUTIVE=BLOCK, MIXED=4),
    ):
        warnings.simplefilter("ignore")
        return fit(clone(model), own, **rows)


def everything(rows):
    return rows


def shard_of(rows, rank, world):
    """Return a rank's rows; of fewer rows than there are in all, its share."""
    bounds = BOUNDS[world]
    if rows.shape[0] != N:
        bounds = np.linspace(0, rows.shape[0], world + 1).astype(int)
    return rows[bounds[rank] : bounds[rank + 1]]


def numbers_of(model):
    """Return all fitted attributes, and what training continues from, as arrays."""
    state = {k: v for k, v in vars(model).items() if k.endswith("_")}
    state |= {k: vars(model).get(k) for k in ("_class_sums", "_learnt")}
    found = {"state": state}
    if hasattr(model, "_checkpoint"):
        found["checkpoint"] = model._checkpoint._asdict()
        found["history"] = model.history_.to_numpy()
    return dict(flat(found))


def flat(value, name=""):
    """Yield all arrays of nested dicts and sequences, with names."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from flat(one, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for place, one in enumerate(value):
            yield from flat(one, f"{name}.{place}")
    elif callable(value):
        yield name, np.asarray(value.__name__)
    else:
        yield name, np.asarray(value)


# What the ranks run.


def told(call, *arguments, **keywords):
    """Return the text of the error that a call raises."""
    try:
        call(*arguments, **keywords)
    except (Exception, KeyboardInterrupt) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def errors_of(rank, world):
    """Return what errors say on a rank."""
    own = partial(shard_of, rank=rank, world=world)
    zeros = np.zeros(len(X))
    spoilt = X[:N].copy()
    spoilt[5] = np.nan
    group = dist.new_group([0])
    found = {}
    with data_parallel():
        fit = partial(told, lambda m, X=X, y=y, *w, **v: m.fit(X, y, *w, **v))
        found |= {
            "seed": fit(softmax(random_state=rank)),
            "generator": fit(mlp(random_state=np.random.RandomState(rank))),
            "no seed": fit(softmax(random_state=None)),
            "parameter": fit(softmax(alpha=0.1 + rank)),
            "invalid": fit(softmax(alpha="much" if rank else 0.1)),
            "class": fit(mlp() if rank else softmax()),
            "rows": fit(softmax(), X[N * rank : N * rank + N], y[:N]),
            "sparse rows": fit(softmax(), csr_array(X[rank : N + rank]), y[:N]),
            "length": fit(softmax(), X[: N + rank], y[: N + rank]),
            "labels": fit(softmax(), X, y if rank else y[::-1]),
            "weights": fit(softmax(), X, y, weight + rank + 1),
            "validation": fit(softmax(), X_val=X[: 9 + rank], y_val=y[: 9 + rank]),
            "NaN": fit(softmax(), spoilt if rank else X[:N], y[:N]),
            "search": fit(BatchedGridSearchCV(softmax(), {"alpha": [0, 1]})),
            "their search": fit(
                GridSearchCV(softmax(), {"alpha": [0, 1]}, error_score="raise")
            ),
            "range test": told(learning_rate_range_test, softmax(), X, y),
            "nested": told(lambda: data_parallel().__enter__()),
            "state": told(differing_partial_fit, rank),
            "callback": fit(mlp().set_callbacks(Follower(2, OSError("no disk")))),
            "warning before": told(strict_fit, rank, softmax(), X[:60], y[:60]),
            "warning after": told(strict_fit, rank, softmax().set_params(tol=0), X, y),
        }
        # Afterwards, the ranks are in step again.
        found["fine"] = fit(softmax())
    with data_parallel(shards=True):
        found |= {
            "NaN in a shard": fit(softmax(), own(spoilt[::-1]), own(y[:N])),
            "Pipeline": fit(make_pipeline(StandardScaler(), softmax())),
            "own distortion": fit(mlp(augment=vertically_mirrored)),
            "own score": fit(softmax(early_stopping=True, scoring=own_score)),
            "words": fit(softmax(), X, y if rank else y.astype(str)),
            "features": fit(softmax(), X[:, : 40 + rank]),
            "dtype": fit(softmax(), X.astype([np.float32, np.float64][rank > 0])),
            "warning of y": told(strict_fit, rank, softmax(), own(X), own(zeros)),
            "same shards": told(strict_fit, rank, softmax(), X, y),
            "other labels": told(strict_fit, rank, softmax(), X, np.roll(y, rank)),
            "fine shards": fit(softmax(), X[rank::2], y[rank::2]),
        }
    found["shards"] = told(lambda: data_parallel(shards=bool(rank)).__enter__())
    found["group"] = told(lambda: data_parallel(group).__enter__())
    if rank == 0:
        with data_parallel(group):
            found["of a group"] = numbers_of(fit_in("softmax", everything))
    return found


def strict_fit(rank, model, X, y):
    """Fit where a warning is an error, on rank 0 alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if rank else "error")
        model.fit(X, y)


def differing_partial_fit(rank):
    model = softmax().partial_fit(X[:N], y[:N], classes=np.unique(y))
    model.coef_[0, 0] += rank
    model.partial_fit(X[:N], y[:N])


def followed(rank, folder):
    """Return what a rank prints and warns, and fits that rank 0 alone follows."""
    output = StringIO()
    checkpoint = Checkpoint(folder / "checkpoint", every_n_epochs=1)
    callbacks = {
        "stopped": [Follower(2)],
        "interrupted": [checkpoint, Follower(2, KeyboardInterrupt())],
        "continued": [checkpoint],
    }
    found = {}
    with (
        redirect_stdout(output),
        warnings.catch_warnings(record=True) as caught,
        data_parallel(),
    ):
        warnings.simplefilter("always")
        softmax(verbose=True).set_params(tol=0.0).fit(X[:N], y[:N])
        for name, some in callbacks.items():
            model = mlp(dropout=0.3)
            if rank == 0:
                model.set_callbacks(*some)
            found[name] = told(model.fit, X[:N], y[:N])
            if name != "interrupted":
                found[name] = numbers_of(model.set_callbacks())
    texts = [str(one.message)[:20] for one in caught]
    return found | {"printed": output.getvalue(), "warned": texts}


def fitted_to_files(path, own):
    """Return models of rows in a file, and which rows the system was told of."""
    announce = memory_maps.MappedRows.announce
    noted = set()

    def note(rows, first, last):
        noted.update(range(first, min(last, rows.number)))
        announce(rows, first, last)

    found = {}
    with patch.object(memory_maps.MappedRows, "announce", note):
        for name in FILES:
            noted.clear()
            rows = np.load(path, mmap_mode="r")
            found[name] = numbers_of(fit_in(name, own, X=rows)), sorted(noted)
    return found


def without_memory(rank, path):
    """Fit to a file that exceeds the memory of rank 1, but not that of rank 0."""
    free = 0 if rank else np.inf
    rows = np.load(path, mmap_mode="r")
    model = softmax()
    with (
        patch.multiple(engine, CONSECUTIVE=BLOCK, MIXED=4),
        patch.object(memory_maps, "free_memory", lambda: free),
        warnings.catch_warnings(record=True) as caught,
        data_parallel(),
    ):
        warnings.simplefilter("always")
        model.fit(rows, y[:N])
    return numbers_of(model), [str(one.message) for one in caught]


def killed(rank, folder, how):
    """Fit until another rank dies, and write what the error says, and when it came."""
    if rank == 1:
        module = sys.modules["skdigits.engine.ranks"]
        original = module.dist.all_reduce
        calls = iter(range(20))

        def dies(*arguments, **keywords):
            if next(calls) == 9:
                os.kill(os.getpid(), getattr(signal, how))
            return original(*arguments, **keywords)

        module.dist.all_reduce = dies
    began = time.monotonic()
    with data_parallel():
        text = told(mlp(solver="sgd").set_params(max_iter=99).fit, X, y)
    seconds = time.monotonic() - began
    (folder / f"told {rank}").write_text(f"{seconds:.1f} {text}")


def run_rank(folder, task):
    """Do a task, as one of the ranks that a launcher starts."""
    torch.set_num_threads(1)
    short = timedelta(seconds=5 if task.startswith("SIG") else 60)
    dist.init_process_group("gloo", timeout=short)
    rank = dist.get_rank()
    world = dist.get_world_size()
    if task.startswith("SIG"):
        killed(rank, folder, task)
        os._exit(0)  # the group cannot be left in order

    found = {}
    path = folder / "rows.npy"
    for shards in (False, True):
        own = partial(shard_of, rank=rank, world=world) if shards else everything
        with data_parallel(shards=shards):
            for name in CASES if shards else CASES | SAME_ONLY:
                found[name, shards] = numbers_of(fit_in(name, own))
            for name, (numbers, noted) in fitted_to_files(path, own).items():
                found[name, shards] = numbers
                found[f"announced of {name}", shards] = noted
    if world == 2:
        found["without memory"] = without_memory(rank, path)
        found["errors"] = errors_of(rank, world)
        found["followed"] = followed(rank, folder)
    (folder / f"rank {rank}").write_bytes(pickle.dumps(found))
    dist.destroy_process_group()


# What the tests compare.


def run_ranks(world, folder):
    """Return what each of some ranks has found."""
    np.save(folder / "rows.npy", X[:N])
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launcher += ["--nproc-per-node", str(world)]
    subprocess.run([*launcher, __file__, str(folder), "fit"], check=True, timeout=300)
    paths = sorted(folder.glob("rank *"))
    assert len(paths) == world
    return [pickle.loads(path.read_bytes()) for path in paths]


@pytest.fixture(scope="module")
def one_process():
    names = CASES | SAME_ONLY | FILES
    return {name: numbers_of(fit_in(name, everything)) for name in names}


def assert_close(found, expected, tolerance):
    """Compare arrays by their largest number, and everything else as it is."""
    assert found.keys() == expected.keys()
    for name, right in expected.items():
        got = found[name]
        if name.startswith(".history"):  # the last column is a time
            got = got[:, :-1]
            right = right[:, :-1]
        if right.dtype.kind == "U":  # a function of this module has two names
            assert str(got).rpartition(".")[2] == str(right).rpartition(".")[2]
            continue
        if right.dtype.kind != "f":
            np.testing.assert_array_equal(got, right, err_msg=name)
            continue
        largest = np.abs(right[np.isfinite(right)]).max(initial=1)
        np.testing.assert_allclose(
            got, right, rtol=0, atol=tolerance * largest, err_msg=name
        )


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
def test_ranks_fit_what_one_process_fits(world, one_process, tmp_path):
    """In one test, as processes take seconds to start."""
    ranks = run_ranks(world, tmp_path)
    compared = [name for name in ranks[0] if name[0] in one_process]
    assert len(compared) == 2 * len(CASES | FILES) + len(SAME_ONLY)
    for name, shards in compared:
        tolerance = 1e-5 if name in FLOAT32 else 1e-12
        assert_close(ranks[0][name, shards], one_process[name], tolerance)
        hashes = {joblib.hash(found[name, shards]) for found in ranks}
        assert len(hashes) == 1, (name, shards)

    assert_files_are_announced(ranks)
    if world == 2:
        assert_errors_come_on_all_ranks(ranks, one_process)
        assert_rank_0_alone_speaks_and_is_followed(ranks)
        assert_all_ranks_read_by_blocks(ranks, one_process)


def assert_files_are_announced(ranks):
    """All rows of a rank, if they are read by blocks, and none otherwise."""
    for name, (model, _) in FILES.items():
        # Rows without weight are left out of a copy in memory.
        by_blocks = model.get_params().get("shuffle") == "blocks"
        by_blocks &= name != "file, weights"
        for shards in (False, True):
            noted = [found[f"announced of {name}", shards] for found in ranks]
            for rank, some in enumerate(noted):
                rows = shard_of(X[:N], rank, len(ranks)) if shards else X[:N]
                expected = list(range(len(rows))) if by_blocks else []
                if name == "file, stops early" and not shards:
                    # Another rank evaluates the only row of the last block.
                    some = sorted({*some}.union(*noted))
                assert some == expected, (name, shards, rank)


def assert_all_ranks_read_by_blocks(ranks, one_process):
    """Where the file exceeds the memory of one of them; rank 0 warns."""
    blocks = one_process["file, softmax"][".state.coef_"]
    assert np.abs(blocks - one_process["softmax"][".state.coef_"]).max() > 1e-3
    for found in ranks:
        numbers, _ = found["without memory"]
        assert_close(numbers, one_process["file, softmax"], 1e-12)
    told, silent = (found["without memory"][1] for found in ranks)
    assert [text for text in told if "Set shuffle='blocks'" in text]
    assert silent == []


def test_the_cases_train(one_process):
    """So that equal results are none of models that have learnt nothing."""
    for name, found in one_process.items():
        if ".history" not in found or "parts" in name or "diverges" in name:
            continue
        losses = found[".history"][:, 2]
        assert losses[-1] < losses[0], name


ERRORS = {
    "seed": "random_state (0 on rank 0, 1 on rank 1)",
    "generator": "in random_state",
    "no seed": "random_state=None draws other numbers on every rank",
    "parameter": "alpha (0.1 on rank 0, 1.1 on rank 1)",
    "invalid": ("Rank 1 of 2 failed: InvalidParameterError", "InvalidParameterError"),
    "class": "the class of the model (SoftmaxRegression on rank 0",
    "rows": "X has other values on rank 1 than on rank 0. Pass the same X",
    "sparse rows": "X has other values on rank 1 than on rank 0. Pass the same X",
    "length": "the number of samples (321 on rank 0, 322 on rank 1)",
    "labels": "in y. Pass",
    "weights": "in the weights of samples",
    "validation": "in the validation samples",
    "NaN": ("Rank 1 of 2 failed: ValueError: Input X contains NaN", "Input X contains"),
    "search": "BatchedGridSearchCV fits many models",
    "their search": "A search or a meta-estimator fits many models",
    "range test": "learning_rate_range_test fits many models",
    "nested": "within another data_parallel",
    "state": "in the fitted model, from which training continues",
    "callback": ("OSError: no disk", "Rank 0 of 2 failed: OSError: no disk"),
    "warning before": (
        "UserWarning: Got batch_size=160",
        "Rank 0 of 2 failed: UserWarning: Got batch_size=160",
    ),
    "warning after": (
        "ConvergenceWarning: Stochastic Optimizer",
        "Rank 0 of 2 failed: ConvergenceWarning: Stochastic Optimizer",
    ),
    "fine": "no error",
    "NaN in a shard": ("Rank 1 of 2 failed: ValueError", "Input X contains NaN"),
    "Pipeline": "would learn from a shard each",
    "own distortion": "may look at all images of a batch",
    "own score": "needs all validation samples in one process",
    "words": "y has words on some ranks and numbers on others",
    "features": "the number of features of X (40 on rank 0, 41 on rank 1)",
    "dtype": "the dtype of X (float32 on rank 0, float64 on rank 1)",
    "warning of y": (
        "UserWarning: y has one class only",
        "Rank 0 of 2 failed: UserWarning: y has one class only",
    ),
    "same shards": (
        "UserWarning: Ranks 0 and 1 seem to pass the same samples with shards=True",
        "Rank 0 of 2 failed: UserWarning: Ranks 0 and 1 seem to pass the same samples",
    ),
    "other labels": "no error",
    "fine shards": "no error",
    "shards": "shards is [False, True] on ranks 0 to 1",
    "group": ("no error", "This process is not in group"),
}


def assert_errors_come_on_all_ranks(ranks, one_process):
    of_group = ranks[0]["errors"].pop("of a group")
    assert_close(of_group, one_process["softmax"], 1e-12)
    for rank, found in enumerate(ranks):
        assert found["errors"].keys() == ERRORS.keys()
        for name, text in found["errors"].items():
            expected = ERRORS[name]
            expected = expected if isinstance(expected, str) else expected[rank]
            assert expected in text, (name, rank)


def assert_rank_0_alone_speaks_and_is_followed(ranks):
    first, second = (found["followed"] for found in ranks)
    assert first["printed"].count("Iteration") == 3
    assert second["printed"] == ""
    assert [text for text in first["warned"] if text.startswith("Stochastic")]
    assert second["warned"] == []

    assert joblib.hash(first["stopped"]) == joblib.hash(second["stopped"])
    assert first["stopped"][".state.n_iter_"] == 2
    text = "KeyboardInterrupt: A fit of MLPClassifierTorch was interrupted."
    assert first["interrupted"] == text
    assert "Rank 0 of 2 failed: KeyboardInterrupt" in second["interrupted"]

    assert joblib.hash(first["continued"]) == joblib.hash(second["continued"])
    whole = mlp(dropout=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole.fit(X[:N], y[:N])
    assert_close(first["continued"], numbers_of(whole), 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "world"), [("SIGKILL", 3), ("SIGSTOP", 2)])
def test_a_rank_that_dies_is_an_error_on_the_others(how, world, tmp_path):
    """At once if its connections close, else after the timeout of 5 seconds."""
    environment = os.environ | {"WORLD_SIZE": str(world), "MASTER_ADDR": "localhost"}
    environment |= {"MASTER_PORT": str(free_port())}
    ranks = [
        subprocess.Popen(
            [sys.executable, __file__, str(tmp_path), how],
            env=environment | {"RANK": str(rank)},
        )
        for rank in range(world)
    ]
    try:
        for rank in {*range(world)} - {1}:
            # A busy machine takes a minute to start a process.
            assert ranks[rank].wait(300) == 0
            seconds, text = (tmp_path / f"told {rank}").read_text().split(" ", 1)
            words = f"RuntimeError: A message between ranks failed, on rank {rank} of"
            assert text.startswith(words), text
            assert "Another rank may have ended" in text
            assert float(seconds) < 30
    finally:
        for one in ranks:
            one.kill()
            one.wait()


def free_port():
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


def test_without_a_group():
    with pytest.raises(RuntimeError, match="found no process group"):
        data_parallel().__enter__()


def test_shared_gpus_are_told():
    assert shared_gpu([None, None]) == ""
    assert shared_gpu(["a", "b", None, None]) == ""
    assert shared_gpu(["a", "b", "a"]).startswith("Ranks 0 and 2 compute on the same")


def test_equal_shards_are_told():
    assert same_shards(["a", "b", "c"]) == ""
    assert same_shards(["a", "b", "b"]).startswith(
        "Ranks 1 and 2 seem to pass the same"
    )


if __name__ == "__main__":
    run_rank(Path(sys.argv[1]), sys.argv[2])
