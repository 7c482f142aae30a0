"""Data larger than memory is read from its file in parts.

A process with 70 MB left learns from files of 140 MB, and from sparse rows of which
dense ones would take 240 MB. The limit is one of private memory: a file that is mapped
read-only does not count, but any copy of it does.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux",
        reason="the limit of private memory, RLIMIT_DATA, is Linux's",
    ),
]

SCRIPT = """
import json, pathlib, re, resource, sys, traceback
import numpy as np
from scipy.sparse import csr_array
from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.preprocessing import CenterByMass, DigitNormalizer

QUICK = {"max_iter": 1, "tol": None, "random_state": 0, "learning_rate_init": 1e-3}
SOFTMAX = SoftmaxRegression(batch_size=500, **QUICK)
MLP = MLPClassifierTorch(4, **QUICK)
CONVOLVING = {"precision": "float32", **QUICK}
CONV = ConvNetClassifier(1, image_shape=(16, 64), **CONVOLVING)
STOPPER = MLPClassifierTorch(4, early_stopping=True, **QUICK)
TEMPLATES = TemplateMatchingClassifier()
MODELS = {"softmax": SOFTMAX, "mlp": MLP, "conv": CONV, "templates": TEMPLATES}

def rows(name):
    X = np.load(name, mmap_mode="r")
    return X, np.arange(len(X)) % 2

def sparse_rows():
    columns = np.random.default_rng(0).integers(5000, size=(12_000, 5)).ravel()
    values = np.ones(60_000, dtype=np.float32)
    X = csr_array((values, (np.arange(12_000).repeat(5), columns)), (12_000, 5000))
    return X, np.arange(12_000) % 2

def tasks(pixels, floats, sparse):
    X, y = pixels
    yield "fit softmax", lambda: SOFTMAX.fit(X, y)
    yield "predict softmax", lambda: SOFTMAX.predict(X)
    yield "fit templates", lambda: TEMPLATES.fit(X, y)
    yield "predict_proba templates", lambda: TEMPLATES.predict_proba(X)
    yield "fit mlp", lambda: MLP.fit(X, y)
    yield "predict_proba mlp", lambda: MLP.predict_proba(X)
    yield "fit a transformer", lambda: CenterByMass().fit(X)
    large = X[: len(X) // 1000 * 1000].reshape(-1, 1000, 1024)
    small = DigitNormalizer(size=8, digit_size=6)
    yield "digits of large images", lambda: small.fit(large).transform(large)
    Z, z = floats
    for name, model in MODELS.items():
        yield f"{name} of floats", lambda: model.fit(Z, z).score(Z, z)
    yield "weights", lambda: MLP.fit(Z, z, 1 + np.arange(len(z)) % 3)
    yield "early stopping", lambda: STOPPER.fit(Z, z)
    yield "validation", lambda: SOFTMAX.fit(Z[:99], z[:99], X_val=Z, y_val=z)
    balanced = SoftmaxRegression(class_weight="balanced", **QUICK)
    yield "balanced", lambda: balanced.fit(Z, z)
    distorting = MLPClassifierTorch(4, augment="shift", image_shape=(16, 64), **QUICK)
    yield "augment", lambda: distorting.fit(Z, z)
    yield "partial_fit", lambda: SOFTMAX.partial_fit(Z, z)
    S, s = sparse
    wide = {**MODELS, "stopper": STOPPER}
    wide["conv"] = ConvNetClassifier(1, image_shape=(50, 100), **CONVOLVING)
    for name, model in wide.items():
        yield f"{name} of sparse rows", lambda: model.fit(S, s).score(S, s)

def outcome(task):
    try:
        task()
        return "done"
    except Exception as error:
        return f"{error!r:.200} {traceback.extract_tb(error.__traceback__)[-4:]}"

def private():
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.search("VmData:\\\\s+(\\\\d+)", status)[1])

pixels, floats = map(rows, sys.argv[1:])
sparse = sparse_rows()
for _, task in tasks(*((X[:1000], y[:1000]) for X, y in (pixels, floats, sparse))):
    outcome(task)  # imports count before the limit is set
resource.setrlimit(resource.RLIMIT_DATA, (private() + 70 * 2**20, -1))
found = {"a copy": outcome(lambda: np.array(pixels[0]))}
found |= {"a copy of floats": outcome(lambda: np.array(floats[0]))}
found |= {"a dense copy": outcome(lambda: sparse[0].toarray())}
found |= {name: outcome(task) for name, task in tasks(pixels, floats, sparse)}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Run the script, and return the outcome of each task by name."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "limited.py").write_text(SCRIPT)
    rng = np.random.default_rng(0)
    for dtype, n_rows, scale in (("uint8", 144_000, 255), ("float32", 36_000, 1)):
        X = np.lib.format.open_memmap(
            folder / f"{dtype}.npy", "w+", dtype, (n_rows, 1024)
        )
        # The other samples are holes in the file, which take no space on the disk.
        X[:: n_rows // 50] = rng.uniform(high=scale, size=(50, 1024))
        X.flush()
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            folder / "limited.py",
            "uint8.npy",
            "float32.npy",
        ],
        cwd=folder,
        # By default, glibc keeps freed blocks of some MB in a heap that fragments, more
        # or less from run to run. This threshold makes it return large blocks at once.
        env=os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": str(2**20)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_there_is_no_memory_for_a_copy(outcomes):
    for name in ("a copy", "a copy of floats", "a dense copy"):
        assert "MemoryError" in outcomes[name]


def test_fit_and_predict_on_data_larger_than_memory(outcomes):
    found = {name: v for name, v in outcomes.items() if "copy" not in name}
    assert len(found) >= 23
    assert found == dict.fromkeys(found, "done")
