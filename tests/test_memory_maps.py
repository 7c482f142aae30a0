"""Rows in a file: shuffled by blocks, and checked when they are first read."""

import mmap
import pickle
import sys
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV, KFold

from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits import _memory_maps as memory_maps
from skdigits._memory_maps import MappedRows
from skdigits.callbacks import Checkpoint
from skdigits.engine import batches as engine
from skdigits.engine.batches import blocks_mixed
from skdigits.engine.ranks import Ranks, own_batches, own_part
from skdigits.model_selection import BatchedGridSearchCV, learning_rate_range_test

BLOCK = 16
MIXED = 8
N = 1003  # 63 blocks in 8 windows; the last block has 11 samples
QUICK = {"max_iter": 3, "tol": None, "random_state": 0, "batch_size": 20}
PLAIN = {"solver": "sgd", "learning_rate_init": 0.05, **QUICK}


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(engine, "CONSECUTIVE", BLOCK)
    monkeypatch.setattr(engine, "MIXED", MIXED)


@pytest.fixture(scope="module")
def digits_of_noise():
    rng = np.random.RandomState(3)
    y = np.sort(rng.randint(3, size=N))
    X = rng.normal(size=(N, 6)) + y[:, None] * [1, 0, -1, 0, 1, 0]
    return X.astype(np.float32), y


@pytest.fixture
def rows(digits_of_noise, tmp_path):
    """Return samples in a file, sorted by class, and their classes."""
    X, y = digits_of_noise
    np.save(tmp_path / "rows.npy", X)
    return np.load(tmp_path / "rows.npy", mmap_mode="r"), y


def with_value(tmp_path, X, place, value):
    changed = np.array(X)
    changed[place, -1] = value
    np.save(tmp_path / "changed.npy", changed)
    return np.load(tmp_path / "changed.npy", mmap_mode="r")


def documented_order(seed, n_samples, block, mixed):
    """Restate the rule of the user guide: parts of the file, dealt out to windows."""
    rng = np.random.RandomState(seed)
    blocks = [list(range(n_samples))[i : i + block] for i in range(0, n_samples, block)]
    n_windows = -(-len(blocks) // mixed)
    windows = [[] for _ in range(n_windows)]
    for start in range(0, len(blocks), n_windows):
        part = blocks[start : start + n_windows]
        for window, number in zip(windows, rng.permutation(n_windows), strict=True):
            if number < len(part):
                window += part[number]
    return [sample for window in windows for sample in rng.permutation(window)]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("n_samples", [1, 15, 16, 17, 128, 129, 144, N, 1024])
def test_the_order_is_the_documented_one(n_samples):
    drawn = blocks_mixed(np.random.RandomState(7), n_samples)
    assert drawn.tolist() == documented_order(7, n_samples, BLOCK, MIXED)
    assert sorted(drawn) == list(range(n_samples))  # each of them exactly once


@pytest.mark.usefixtures("small_blocks")
def test_a_window_has_samples_from_all_over_the_file():
    drawn = blocks_mixed(np.random.RandomState(0), N)
    for window in np.split(drawn, range(MIXED * BLOCK, N, MIXED * BLOCK))[:-1]:
        # Of the eighths of the file, none is left out and none has twice its share.
        counts = np.bincount(window * MIXED // N, minlength=MIXED)
        assert counts.min() > 0
        assert counts.max() <= 2 * BLOCK
    # Single rows are nowhere in order: a window is mixed, not only its blocks.
    assert np.mean(np.diff(drawn) == 1) < 0.05


@pytest.mark.parametrize(
    "model", [SoftmaxRegression(**PLAIN), MLPClassifierTorch(8, **PLAIN)]
)
def test_few_samples_are_shuffled_as_ever(model, digits_of_noise):
    X, y = digits_of_noise
    blocks = model.set_params(shuffle="blocks").fit(X, y).predict_proba(X)
    whole = model.set_params(shuffle=True).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(blocks, whole)


@pytest.mark.usefixtures("small_blocks")
def test_training_follows_the_order(digits_of_noise):
    """Fit in the documented order by hand, one unshuffled call after the other."""
    X, y = digits_of_noise
    model = SoftmaxRegression(shuffle="blocks", **{**PLAIN, "max_iter": 1}).fit(X, y)
    # Weights begin at zero, so the order is the first that is drawn.
    order = documented_order(0, N, BLOCK, MIXED)
    by_hand = SoftmaxRegression(shuffle=False, **{**PLAIN, "max_iter": 1})
    by_hand.fit(X[order], y[order])
    np.testing.assert_array_equal(model.coef_, by_hand.coef_)
    assert model.score(X, y) > 0.5


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.filterwarnings("ignore:SoftmaxRegression did not learn")
def test_an_epoch_reads_each_row_once(rows, monkeypatch):
    X, y = rows
    seen = []
    take = engine.Data.take

    def counting(data, positions, memory=None):
        n = len(data.codes)
        seen.append(
            np.arange(n)[
                positions if isinstance(positions, slice) else positions.numpy()
            ]
        )
        return take(data, positions, memory)

    monkeypatch.setattr(engine.Data, "take", counting)
    for shuffle in ("blocks", False):
        seen.clear()
        model = SoftmaxRegression(shuffle=shuffle, **{**PLAIN, "max_iter": 2})
        model.set_params(early_stopping=shuffle == "blocks").fit(X, y)
        counts = np.bincount(np.concatenate(seen), minlength=N)
        assert (counts == 2).all()


@pytest.mark.usefixtures("small_blocks")
def test_whole_blocks_are_announced_before_they_are_read(rows, monkeypatch, resize):
    X, y = rows
    told = []
    n_told = []
    take = engine.Data.take

    def noting(data, positions, memory=None):
        n_told.append((len(told), positions.tolist()))
        return take(data, positions, memory)

    resize(block_samples=20)  # gathered at once
    monkeypatch.setattr(engine.Data, "take", noting)
    monkeypatch.setattr(
        memory_maps.MappedRows,
        "announce",
        lambda _, first, last: told.append((first, last)),
    )
    early = SoftmaxRegression(shuffle="blocks", early_stopping=True, **PLAIN)
    early.set_params(max_iter=1).fit(X, y)
    # Not all samples of a block are learnt, and a window lies in more of them.
    assert {first for first, _ in told} == set(range(0, N, BLOCK))

    told.clear()
    n_told.clear()
    SoftmaxRegression(shuffle="blocks", **{**PLAIN, "max_iter": 1}).fit(X, y)
    assert {last - first for first, last in told} == {BLOCK}
    read = [sample for _, some in n_told for sample in some]
    assert read == documented_order(0, N, BLOCK, MIXED)
    for number, samples in n_told:
        known = {first for first, _ in told[:number]}
        assert {sample - sample % BLOCK for sample in samples} <= known
    # Not the whole file at once: at most two windows more than what was read.
    ahead = [number - 20 * place / BLOCK for place, (number, _) in enumerate(n_told)]
    assert max(ahead) <= 2 * MIXED + 4


class Recorder:
    """A reader of X, of which each row holds its number."""

    shuffle = "blocks"

    def __init__(self):
        self.told = []

    def announce(self, first, last):
        self.told += range(first, last)

    def check(self, X):
        pass


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("bounds", [None, [0, 400, N], [0, 9, N]])
def test_each_process_announces_what_it_reads(bounds):
    """Of two that train together, with the same rows or with shards of them."""
    everything = torch.arange(N, dtype=torch.float32)[:, None]
    order = torch.tensor(documented_order(7, N, BLOCK, MIXED))[None]
    targets = engine.Targets(torch.tensor([0.0, 1.0]), 1, False)
    codes = torch.zeros(N, 1, dtype=torch.int64)
    read = []
    for rank in range(2):
        first, last = (0, N) if bounds is None else bounds[rank : rank + 2]
        X = everything[first:last]
        reader = Recorder()
        place = None if bounds is None else first
        data = engine.Data(X, codes, first=place, reader=reader)
        ahead = []
        for number, batch in enumerate(
            own_batches(Ranks(rank, 2), data, targets, 20, order)
        ):
            rows = batch.X[0, :, 0].int().tolist()
            assert {row - first for row in rows} <= set(reader.told)
            ahead.append(len(reader.told) - 20 * number)
            read += rows
        # Each row once, but for blocks where a part of the file ends; none of others.
        assert set(range(last - first)) <= set(reader.told)
        assert min(reader.told) >= 0
        assert len(reader.told) < last - first + 3 * BLOCK
        assert max(ahead) <= (2 * MIXED + 4) * BLOCK
    assert sorted(read) == list(range(N))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("first", [None, 100])
def test_a_process_evaluates_rows_where_they_lie(first):
    n_own = N if first is None else 300
    X = torch.arange(N, dtype=torch.float32)[:, None]
    if first is not None:
        X = X[first : first + n_own]
    held_out = torch.arange(5, N, 7)
    codes = torch.arange(N)[:, None]
    reader = Recorder()
    data = engine.Data(X, codes, torch.arange(N), held_out[None], first, reader)
    own = own_part(Ranks(1, 2), data)
    assert own.X.data_ptr() == X.data_ptr()
    found = own.take(own.samples[0])
    expected = held_out[len(held_out) // 2 + len(held_out) % 2 :]
    if first is not None:
        inside = (held_out >= first) & (held_out < first + n_own)
        expected = held_out[inside]
    for numbers in (found.X[:, 0], found.codes[:, 0], found.weight):
        assert numbers.tolist() == expected.tolist()

    targets = engine.Targets(torch.tensor([0.0, 1.0]), 1, False)
    own = own._replace(codes=torch.zeros_like(own.codes))
    assert [batch.X.shape[1] for batch in engine.batches(own, targets, N)]
    told = {row + (first or 0) for row in reader.told}
    assert set(expected.tolist()) <= told
    # Neither the part of the other process nor its shard.
    assert min(told) >= expected[0] - BLOCK


@pytest.mark.skipif(sys.platform != "linux", reason="the hint of Linux")
def test_what_is_announced_is_the_place_in_the_file(tmp_path):
    """Compare with the bytes of the file, behind a header and an offset of rows."""
    X = np.arange(100_000, dtype=np.float32).reshape(1000, 100)
    np.save(tmp_path / "rows.npy", X)
    part = np.load(tmp_path / "rows.npy", mmap_mode="r")[300:]
    found = memory_maps.rows_in_file(np.asarray(part))
    assert (found.number, found.size) == (700, 400)
    content = (tmp_path / "rows.npy").read_bytes()
    assert content[found.start : found.start + 400] == X[300].tobytes()

    hints = []

    class File:
        closed = False

        def madvise(self, option, start, length):
            assert start % mmap.PAGESIZE == 0
            hints.append((option, start, start + length))

    will_need = mmap.MADV_WILLNEED
    cold = 20  # of Linux's mman.h; the other destructive hints have other numbers
    for tell, option in ((MappedRows.announce, will_need), (MappedRows.release, cold)):
        hints.clear()
        tell(found._replace(file=File()), 100, 2000)
        assert hints[0][1] <= found.start + 100 * 400 < hints[0][1] + mmap.PAGESIZE
        assert hints[-1][2] == len(content)
        assert all(stop == start for (_, _, stop), (_, start, _) in pairwise(hints))
        assert {one for one, _, _ in hints} == {option}

    # The system takes both, and a file that is open for changes keeps them.
    changed = np.load(tmp_path / "rows.npy", mmap_mode="c")
    changed[:] = 7
    own = memory_maps.rows_in_file(changed)
    for rows in (own, found):
        rows.announce(0, 700)
        rows.release(0, 700)
    assert (changed == 7).all()
    np.testing.assert_array_equal(part, X[300:])


def test_what_lies_in_a_file(tmp_path):
    np.save(tmp_path / "rows.npy", np.ones((20, 5)))
    X = np.load(tmp_path / "rows.npy", mmap_mode="r")
    mapped = [X, X[3:], X[::2], X[:, 1:], np.asarray(X), X.view(np.int64)]
    # The rows of X.T are columns of the file, which lie all over it.
    copies = [
        X.T,
        np.ones((20, 5)),
        X.copy(),
        X + 1,
        X[[1, 2]],
        X[::-1],
        X[:0],
        X[0],
        "X",
    ]
    assert all(memory_maps.rows_in_file(one) is not None for one in mapped)
    assert all(memory_maps.rows_in_file(one) is None for one in copies)
    assert memory_maps.rows_in_file(X[::2]).size == 80


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, N // 2, N - 1])
@pytest.mark.parametrize("shuffle", [False, "blocks", True])
def test_nan_in_any_row_is_found(shuffle, place, value, rows, tmp_path):
    X, y = rows
    bad = with_value(tmp_path, X, place, value)
    model = MLPClassifierTorch(4, shuffle=shuffle, **PLAIN)
    with pytest.raises(
        ValueError, match=r"Input X contains (NaN|infinity)"
    ) as in_memory:
        model.fit(np.array(bad), y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="Input X contains") as in_file:
            model.fit(bad, y)
    assert str(in_file.value) == str(in_memory.value)
    assert not hasattr(model, "classes_")
    assert not hasattr(model, "coefs_")

    before = pickle.dumps(model.fit(X, y))
    with pytest.raises(ValueError, match="Input X contains"):
        model.fit(bad, y)
    assert pickle.dumps(model) == before


@pytest.mark.parametrize(
    "settings",
    [
        {"early_stopping": True, "shuffle": "blocks"},
        {"early_stopping": True, "shuffle": False},
        {"early_stopping": True, "shuffle": "blocks", "scoring": "balanced_accuracy"},
        {"class_weight": {0: 0, 1: 1, 2: 1}, "shuffle": "blocks"},
        {"class_weight": "balanced", "shuffle": "blocks"},
        {"shuffle": False, "batch_size": 5000},
        {"shuffle": False, "solver": "lbfgs"},
        {"shuffle": "blocks", "pixels": False},
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.filterwarnings("ignore:Got batch_size")
def test_every_sample_is_checked(settings, weighted, rows, tmp_path):
    """Also those that are held out, and those without weight."""
    X, y = rows
    weight = None
    if weighted:
        weight = np.ones(N)
        weight[::2] = 0
    model = SoftmaxRegression(**{**PLAIN, **settings})
    for place in (0, 1, 502, 503, N - 2, N - 1):
        bad = with_value(tmp_path, X, place, np.nan)
        with pytest.raises(ValueError, match="Input X contains NaN"):
            model.fit(bad, y, weight)
        assert not hasattr(model, "classes_")


@pytest.mark.parametrize("shuffle", [False, "blocks", True])
@pytest.mark.parametrize("scale", [0.1, 3])
def test_a_model_of_a_file_equals_one_of_memory(shuffle, scale, rows, tmp_path):
    X, y = rows
    np.save(tmp_path / "scaled.npy", scale * X)
    X = np.load(tmp_path / "scaled.npy", mmap_mode="r")
    model = MLPClassifierTorch(4, shuffle=shuffle, early_stopping=True, **PLAIN)
    assert pickle.dumps(_numbers(model.fit(X, y))) == pickle.dumps(
        _numbers(model.fit(np.array(X), y))
    )
    assert model._learnt[:2] == (X.min(), X.max())


def _numbers(model):
    """What a fit has set, but for times."""
    skipped = {"_history", "_checkpoint"}
    return {name: v for name, v in vars(model).items() if name not in skipped}


def test_integers_in_a_file_are_read_as_ever(tmp_path):
    rng = np.random.RandomState(0)
    y = np.arange(300) % 2
    for dtype, high in (("uint8", 255), ("int64", 255), ("int64", 9)):
        X = (rng.randint(1, high, size=(300, 64)) * (1 + y[:, None]) // 2).astype(dtype)
        np.save(tmp_path / "integers.npy", X)
        mapped = np.load(tmp_path / "integers.npy", mmap_mode="r")
        model = SoftmaxRegression(shuffle="blocks", **PLAIN)
        found = model.fit(mapped, y).pixels_, model._learnt, model.predict_proba(X)
        expected = model.fit(X, y).pixels_, model._learnt, model.predict_proba(X)
        assert found[:2] == expected[:2]
        assert found[0] == (high == 255)
        np.testing.assert_array_equal(found[2], expected[2])


def test_a_file_that_exceeds_memory_is_shuffled_by_blocks(rows, monkeypatch):
    X, y = rows
    model = SoftmaxRegression(**PLAIN)
    monkeypatch.setattr(memory_maps, "free_memory", lambda: X.nbytes)
    monkeypatch.setattr(engine, "CONSECUTIVE", BLOCK)
    monkeypatch.setattr(engine, "MIXED", MIXED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "SoftmaxRegression did not learn")
        whole = model.fit(X, y).coef_
        blocks = model.set_params(shuffle="blocks").fit(X, y).coef_
        assert not np.array_equal(whole, blocks)

        monkeypatch.setattr(memory_maps, "free_memory", lambda: X.nbytes - 1)
        model.set_params(shuffle=True).fit(np.array(X), y)
        np.testing.assert_array_equal(model.coef_, whole)
        model.set_params(shuffle=False).fit(X, y)
        model.set_params(shuffle="blocks").fit(X, y)
        assert model.shuffle == "blocks"

    model.set_params(shuffle=True)
    with pytest.warns(UserWarning, match="exceed the memory .* Set shuffle='blocks'"):
        model.fit(X, y)
    np.testing.assert_array_equal(model.coef_, blocks)
    assert model.shuffle is True


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, np.inf),
        ({"meminfo": "MemTotal: 9 kB\nMemAvailable: 7 kB\n"}, 7 * 1024),
        # Version 2, the limit of the group around ours, and its cache.
        (
            {
                "meminfo": "MemAvailable: 7000 kB\n",
                "cgroup": "0::/a/b\n",
                "groups/a/b/memory.max": "max\n",
                "groups/a/b/memory.current": "50\n",
                "groups/a/b/memory.stat": "anon 50\n",
                "groups/a/memory.max": "1000\n",
                "groups/a/memory.current": "600\n",
                "groups/a/memory.stat": "anon 1\ninactive_file 100\nactive_file 20\n",
            },
            520,
        ),
        # Version 1, in a container that sees the path of its host.
        (
            {
                "meminfo": "MemAvailable: 7000 kB\n",
                "cgroup": "5:cpu,cpuacct:/x\n4:memory:/docker/x\n0::/\n",
                "groups/memory/memory.limit_in_bytes": "1000\n",
                "groups/memory/memory.usage_in_bytes": "900\n",
                "groups/memory/memory.stat": "cache 9\ntotal_inactive_file 300\n",
            },
            400,
        ),
    ],
)
def test_free_memory_is_what_the_system_and_its_groups_leave(
    files, expected, tmp_path, monkeypatch
):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(memory_maps, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(memory_maps, "PROCESS", tmp_path / "cgroup")
    monkeypatch.setattr(memory_maps, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(memory_maps.os, "sysconf_names", {})
    assert memory_maps.free_memory() == expected


@pytest.mark.usefixtures("small_blocks")
def test_training_goes_on_where_it_was_left(digits_of_noise, tmp_path):
    X, y = digits_of_noise
    model = MLPClassifierTorch(4, shuffle="blocks", **{**PLAIN, "max_iter": 6})
    whole = model.fit(X, y).coefs_
    half = MLPClassifierTorch(4, shuffle="blocks", warm_start=True, **PLAIN).fit(X, y)
    half = pickle.loads(pickle.dumps(half)).fit(X, y)
    by_call = MLPClassifierTorch(4, shuffle="blocks", **PLAIN)
    for _ in range(6):
        by_call.partial_fit(X, y, np.unique(y))
    for found in (half.coefs_, by_call.coefs_):
        for own, expected in zip(found, whole, strict=True):
            np.testing.assert_array_equal(own, expected)


@pytest.mark.usefixtures("small_blocks")
def test_a_checkpoint_goes_on_with_blocks(rows, tmp_path, monkeypatch, resize):
    """Where the file exceeds memory, and where it does not any more."""
    X, y = rows
    path = tmp_path / "fit.skdigits"
    model = SoftmaxRegression(**{**PLAIN, "max_iter": 6})
    expected = SoftmaxRegression(**{**PLAIN, "max_iter": 6}, shuffle="blocks")
    expected.fit(X, y)

    stopped = model.set_callbacks(Checkpoint(path, every_n_epochs=1))
    monkeypatch.setattr(memory_maps, "free_memory", lambda: 0)
    real = engine.Data.take
    calls = []

    def interrupted(data, positions, memory=None):
        calls.append(1)
        if len(calls) > 4 * 51:
            raise OSError("the disk is gone")
        return real(data, positions, memory)

    monkeypatch.setattr(engine.Data, "take", interrupted)
    resize(block_samples=20)
    with (
        pytest.warns(UserWarning, match="shuffled by blocks"),
        pytest.raises(OSError, match="the disk is gone"),
    ):
        stopped.fit(X, y)
    monkeypatch.setattr(engine.Data, "take", real)
    monkeypatch.setattr(memory_maps, "free_memory", lambda: np.inf)
    with pytest.raises(ValueError, match="shuffle was 'blocks' and is True"):
        model.fit(X, y)
    model.set_params(shuffle="blocks").fit(X, y)
    assert model.n_iter_ == 6
    np.testing.assert_array_equal(model.coef_, expected.coef_)


@pytest.mark.usefixtures("small_blocks")
def test_a_search_over_shuffle_is_that_of_scikit_learn(rows):
    X, y = rows
    # All of a fold's classes are in the others.
    order = np.random.RandomState(1).permutation(N)
    X, y = X[order], y[order]
    grid = {"shuffle": [True, "blocks", False], "learning_rate_init": [0.01, 0.1]}
    model = SoftmaxRegression(**{**PLAIN, "early_stopping": True})
    folds = KFold(3, shuffle=True, random_state=0)
    found = BatchedGridSearchCV(model, grid, cv=folds).fit(X, y)
    expected = GridSearchCV(model, grid, cv=folds).fit(X, y)
    assert found.batched_.all()
    np.testing.assert_allclose(
        found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )
    shuffled = found.cv_results_["param_shuffle"]
    assert {str(one) for one in shuffled} == {"True", "blocks", "False"}


@pytest.mark.usefixtures("small_blocks")
def test_a_search_in_a_file_warns_once(rows, monkeypatch):
    X, y = rows
    grid = {"learning_rate_init": [0.01, 0.1]}
    folds = KFold(3, shuffle=True, random_state=0)
    blocks = SoftmaxRegression(**PLAIN, shuffle="blocks")
    expected = BatchedGridSearchCV(blocks, grid, cv=folds).fit(X, y)
    monkeypatch.setattr(memory_maps, "free_memory", lambda: 0)
    search = BatchedGridSearchCV(SoftmaxRegression(**PLAIN), grid, cv=folds)
    with pytest.warns(UserWarning, match="exceed the memory") as told:
        search.fit(X, y)
    assert len(told) == 1
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )


@pytest.mark.usefixtures("small_blocks")
def test_other_samples_are_shuffled_by_blocks_too(digits_of_noise):
    from scipy.sparse import csr_array

    X, y = digits_of_noise
    weight = 1.0 + np.arange(N) % 3
    model = SoftmaxRegression(shuffle="blocks", **PLAIN)
    dense = model.fit(X, y, weight).coef_
    np.testing.assert_array_equal(model.fit(csr_array(X), y, weight).coef_, dense)
    repeated = SoftmaxRegression(**{**PLAIN, "batch_size": 4000}, shuffle="blocks")
    with pytest.warns(UserWarning, match="Got batch_size"):
        one = repeated.fit(X, y, weight).coef_
    with pytest.warns(UserWarning, match="Got batch_size"):
        two = repeated.fit(
            X.repeat(1 + np.arange(N) % 3, 0), y.repeat(1 + np.arange(N) % 3)
        )
    np.testing.assert_allclose(one, two.coef_, rtol=1e-3, atol=1e-6)

    images = ConvNetClassifier(1, image_shape=(2, 3), shuffle="blocks", **QUICK)
    assert images.fit(X, y).n_iter_ == 3


@pytest.mark.usefixtures("small_blocks")
def test_a_range_test_takes_blocks(digits_of_noise):
    X, y = digits_of_noise
    model = SoftmaxRegression(shuffle="blocks", batch_size=20)
    found = learning_rate_range_test(model, X, y, n_steps=40, random_state=0)
    whole = model.set_params(shuffle=True)
    other = learning_rate_range_test(whole, X, y, n_steps=40, random_state=0)
    assert len(found.losses) > 20
    assert not np.array_equal(found.losses[:20], other.losses[:20])


@pytest.mark.parametrize("wrong", ["block", "Blocks", "auto", None, 1.5])
def test_an_unknown_value_names_blocks(wrong, digits_of_noise):
    X, y = digits_of_noise
    for kind in (SoftmaxRegression, MLPClassifierTorch):
        with pytest.raises(ValueError, match=r"'shuffle' parameter.*'blocks'"):
            kind(shuffle=wrong).fit(X, y)


@pytest.mark.slow
@pytest.mark.usefixtures("small_blocks")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_finds_no_fault(assert_checks_pass):
    model = SoftmaxRegression(shuffle="blocks", max_iter=40, tol=None)
    expected = "ConvergenceWarning|SkipTestWarning|needs it near 1|has one class"
    names = assert_checks_pass(model, expected)
    assert "check_readonly_memmap_input" in names


@pytest.mark.mnist
def test_samples_sorted_by_class_are_learnt_as_if_shuffled(monkeypatch):
    """Blocks are as long in relation to MNIST as in a file of 2.5 million digits.

    Two models that differ only in their orders agree within 0.1 points on average; in
    order, the last class is all that the model knows.
    """
    from skdigits.datasets import load_mnist

    mnist = load_mnist()
    X, y = mnist.data[mnist.train], mnist.target[mnist.train]
    order = np.argsort(y, kind="stable")
    X, y = X[order], y[order]
    # 60 windows of 1,024 samples.
    monkeypatch.setattr(engine, "CONSECUTIVE", 16)
    monkeypatch.setattr(engine, "MIXED", 64)

    def accuracy(shuffle):
        found = []
        for seed in range(3):
            model = SoftmaxRegression(
                shuffle=shuffle, max_iter=5, tol=None, random_state=seed
            ).fit(X, y)
            found.append(model.score(mnist.data[mnist.test], mnist.target[mnist.test]))
        return 100 * np.mean(found)

    whole = accuracy(True)
    assert whole > 91
    assert abs(accuracy("blocks") - whole) <= 0.2
    assert accuracy(False) < whole - 5
