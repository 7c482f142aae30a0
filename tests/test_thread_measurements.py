"""benchmarks/threads.py: its arithmetic, and what it concludes."""

import importlib
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def threads():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("threads")


@pytest.mark.slow
def test_the_arithmetic_of_a_step(threads):
    """Against torch's own counter, which counts operations of products."""
    from torch.utils.flop_counter import FlopCounterMode

    for sizes, batch, n_models in (([784, 10], 32, 1), ([20, 30, 7], 8, 5)):
        step = threads.dense_step(sizes, batch, n_models)
        with FlopCounterMode(display=False) as counter:
            step()
        expected = counter.get_total_flops() / 1e6
        mflop = threads.step_mflop(sizes, batch, n_models)
        assert mflop == pytest.approx(expected)
    with FlopCounterMode(display=False) as counter:
        threads.convolution_step(4)()
    expected = counter.get_total_flops() / 1e6
    assert threads.convolution_mflop(4) == pytest.approx(expected)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        threads.dense_prediction([784, 128, 10], 100)()
    expected = counter.get_total_flops() / 1e6
    mflop = threads.prediction_mflop([784, 128, 10], 100)
    assert mflop == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ratios", "words"),
    [
        ([0.5, 1.3, 1.2], "from 2 Mflop on"),
        ([1.5, 1.1, 1.2], "from 3 Mflop on"),
        ([1.5, 1.3, 1.1], "at no size"),
    ],
)
def test_where_more_threads_win(threads, ratios, words):
    cases = [threads.Case("any", n, None) for n in (1, 2, 3)]
    times = [threads.Times(ratio, 1.0) for ratio in ratios]
    assert threads.wins_from(cases, times) == words
