"""Within fits, float32 is computed as such; afterwards, torch is as users have set it.

What users set later must have the effect that it has without a fit in between: a
precision that follows others still follows them.
"""

import itertools
import os
import subprocess
import sys

import pytest
from torch.backends import cudnn

CURRENT = hasattr(cudnn, "conv")  # torch's newer switches
OLDER = [
    "cudnn.allow_tf32 = False",
    "cudnn.allow_tf32 = True",
    "torch.set_float32_matmul_precision('high')",
    "cudnn.benchmark = True",
    "cudnn.enabled = False",
    "cudnn.deterministic = True",
]
NEWER = [
    f"{owner}.fp32_precision = {value!r}"
    for owner in ("torch.backends", "cudnn", "cudnn.conv", "onednn", "onednn.conv")
    for value in ("ieee", "tf32", "none")
]
SETTINGS = OLDER + NEWER * CURRENT

CHECK = """
import os
import sys
from contextlib import ExitStack, suppress

import torch
from torch.backends import cudnn
from torch.backends import mkldnn as onednn

from skdigits.engine.exactness import exact_convolutions, exact_onednn

CUDA = torch.device("cuda")
GENERAL = [
    f"{owner}.fp32_precision = {value!r}"
    for owner in ("torch.backends", "cudnn", "onednn")
    for value in ("ieee", "tf32", "none")
]
READ = [
    "cudnn.enabled",
    "cudnn.benchmark",
    "cudnn.deterministic",
    "cudnn.allow_tf32",
    "torch.get_float32_matmul_precision()",
    "torch.backends.cuda.matmul.allow_tf32",
    "torch.backends.fp32_precision",
    "torch.backends.cuda.matmul.fp32_precision",
    "cudnn.fp32_precision",
    "cudnn.conv.fp32_precision",
    "cudnn.rnn.fp32_precision",
    "onednn.fp32_precision",
    "onednn.matmul.fp32_precision",
    "onednn.conv.fp32_precision",
]


def value(expression):
    try:
        return eval(expression)
    except (RuntimeError, AttributeError):
        return "cannot be read"  # older and newer switches differ, or are not there


def is_exact():
    flags = (cudnn.enabled, cudnn.benchmark, cudnn.deterministic)
    tf32 = "cudnn.conv", "onednn.conv", "onednn.matmul"
    precisions = {value(f"{name}.fp32_precision") for name in tf32}
    if not hasattr(cudnn, "conv"):
        precisions = {"tf32" if cudnn.allow_tf32 else "ieee"}
    return flags == (True, False, True) and precisions <= {"none", "ieee"}


def compute():
    # Convolutions read the settings, whatever the device.
    kernel = torch.ones(2, 1, 3, 3, requires_grad=True)
    torch.nn.functional.conv2d(torch.ones(1, 1, 5, 5), kernel).sum().backward()


def block():
    stack = ExitStack()
    stack.enter_context(exact_onednn())
    stack.enter_context(exact_convolutions(CUDA))
    return stack


def none():
    with exact_convolutions(torch.device("cpu")):
        pass


def one():
    with block():
        assert is_exact()
        compute()


def overlapping():
    first, second = block(), block()
    assert is_exact()
    first.close()
    assert is_exact()
    second.close()


def interrupted():
    with suppress(KeyboardInterrupt), block():
        assert is_exact()
        raise KeyboardInterrupt


def result(before, users):
    reading, writing = os.pipe()
    if not os.fork():
        exec(before)
        users()
        told = []
        # What follows others shows when these change.
        for after in ["pass", *GENERAL] if hasattr(cudnn, "conv") else ["pass"]:
            exec(after)
            told.append((after, [value(name) for name in READ]))
        os.write(writing, repr(told).encode())
        os._exit(0)
    os.close(writing)
    os.wait()
    with os.fdopen(reading) as pipe:
        return pipe.read()


for before in sys.stdin.read().splitlines():
    expected = result(before, none)
    assert expected
    for users in (one, overlapping, interrupted)[: int(sys.argv[1])]:
        found = result(before, users)
        if found != expected:
            print(f"{before}: {users.__name__}", expected, found, sep="\\n")
print("compared")
"""


def compared(settings, n_users=3):
    """What is printed of settings that were made before a fit."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHECK, str(n_users)],
        input="\n".join(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a fork for each setting")
def test_settings_are_restored_and_later_ones_have_their_effect():
    assert compared(["pass", *SETTINGS]) == "compared\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a fork for each setting")
@pytest.mark.skipif(not CURRENT, reason="torch has its older switches only")
def test_older_and_newer_switches_in_both_orders():
    mixed = [
        "; ".join(pair)
        for one, other in itertools.product(OLDER[:2], NEWER[:9])
        for pair in ((one, other), (other, one))
    ]
    assert compared(mixed, n_users=1) == "compared\n"
