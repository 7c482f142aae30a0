"""What a bug report has to say of the machine and of what is installed."""

import os
import platform
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import joblib
import sklearn
import torch
from threadpoolctl import threadpool_info

PACKAGES = (
    "scikit-learn",
    "numpy",
    "scipy",
    "torch",
    "pandas",
    "joblib",
    "threadpoolctl",
    "matplotlib",
    "rich",
    "pillow",
    "skorch",
    "array-api-strict",
    "polars",
    "skops",
    "skl2onnx",
    "onnxruntime",
)
"""Those needed first, then those that are not. Their metadata is read, nothing imported."""

NAME = 20  # columns; the longest is a variable of the environment
POOL = ("internal_api", "version", "num_threads", "threading_layer", "architecture")

Facts = dict[str, Callable[[], Any]]


def show_versions() -> None:
    """Print what a bug report should hold.

    Versions of Python and of the packages that matter; the devices and the numbers of
    threads that torch has; the settings of the array API; the libraries for linear algebra
    and OpenMP, as `sklearn.show_versions` lists them. What cannot be found out is printed
    as the error that prevents it.

    See Also
    --------
    sklearn.show_versions : The same for scikit-learn.

    Examples
    --------
    >>> from skdigits import show_versions
    >>> show_versions()  # doctest: +ELLIPSIS
    System:
                  python: 3...
    """
    sections = {
        "System": _system,
        "Packages": _packages,
        "Devices": _devices,
        "Threads": _threads,
        "Settings": _settings,
        "Thread pools": _pools,
    }
    for number, (title, section) in enumerate(sections.items()):
        print("\n" * bool(number) + f"{title}:")
        facts = _answer(section)
        if not isinstance(facts, dict):  # the section as a whole has failed
            facts = {"error": partial(str, facts)}
        for name, ask in facts.items():
            print(f"{name:>{NAME}}: {_answer(ask)}")


def _answer(ask: Callable[[], Any]) -> Any:
    """What is asked for, or why it cannot be told: what is broken is what gets reported."""
    try:
        return ask()
    except PackageNotFoundError:
        return "not installed"
    except Exception as error:
        return f"{type(error).__name__}: {error}".replace("\n", " ")


def _system() -> Facts:
    return {
        "python": lambda: sys.version.replace("\n", " "),
        "executable": lambda: sys.executable,
        "machine": platform.platform,
        "processors": lambda: (
            f"{os.cpu_count()}, {joblib.cpu_count()} of them to be used"
        ),
    }


def _packages() -> Facts:
    ours = sys.modules[
        __package__
    ]  # whose own metadata may be those of another version
    return {"skdigits": lambda: ours.__version__} | {
        name: partial(version, name) for name in PACKAGES
    }


def _devices() -> Facts:
    facts: Facts = {
        "torch's CUDA": lambda: torch.version.cuda or "none: torch is built without it",
        "CUDA": lambda: "available" if torch.cuda.is_available() else "not available",
        "MPS": lambda: (
            "available" if torch.backends.mps.is_available() else "not available"
        ),
    }
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            facts[f"cuda:{number}"] = partial(_gpu, number)
    return facts


def _gpu(number: int) -> str:
    properties = torch.cuda.get_device_properties(number)
    return f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB"


def _threads() -> Facts:
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {
        "within an op": torch.get_num_threads,
        "between ops": torch.get_num_interop_threads,
    } | {name: partial(os.environ.get, name, "not set") for name in variables}


def _settings() -> Facts:
    return {
        "SCIPY_ARRAY_API": partial(os.environ.get, "SCIPY_ARRAY_API", "not set"),
        "array_api_dispatch": lambda: sklearn.get_config()["array_api_dispatch"],
        "default dtype": torch.get_default_dtype,
        "default device": torch.get_default_device,
    }


def _pools() -> Facts:
    """BLAS and OpenMP as they are loaded; the same library may be there more than once."""
    facts: Facts = {}
    for number, pool in enumerate(threadpool_info()):
        told = ", ".join(
            f"{key}={pool[key]}" for key in POOL if pool.get(key) is not None
        )
        facts[f"{number} {pool['user_api']}"] = partial(
            str, f"{told}, {pool['filepath']}"
        )
    return facts
