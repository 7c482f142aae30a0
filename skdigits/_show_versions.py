"""Report of the machine and of installed packages, for bug reports."""

import os
import platform
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import joblib
import sklearn
import torch
from threadpoolctl import threadpool_info

from skdigits.engine.process import onednn_linear

# Required packages first, then optional ones. Only their metadata is read, because
# importing them takes seconds, and fails if a package is broken.
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
# Columns, enough for the longest name, OPENBLAS_NUM_THREADS.
NAME_WIDTH = 20
POOL = ("internal_api", "version", "num_threads", "threading_layer", "architecture")

Facts = dict[str, Callable[[], object]]
"""A function for each value, by the name to print."""


def show_versions(as_dict: bool = False) -> dict[str, dict[str, str]] | None:
    """Print versions, devices and settings for a bug report.

    The report lists the versions of Python and of relevant packages, the devices and
    numbers of threads that torch uses, the settings of the array API, and the libraries
    for linear algebra and OpenMP, as `sklearn.show_versions` does. If a value cannot be
    determined, the report shows the error instead.

    Parameters
    ----------
    as_dict : bool, default=False
        Whether to return the report instead of printing it.

    Returns
    -------
    dict of str to dict, or None
        With ``as_dict=True``, a dict for each section, with values as str by name.

    See Also
    --------
    sklearn.show_versions : The same report by scikit-learn.

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

    report = {
        title: {
            name: str(_value_or_error(find)) for name, find in _facts(section).items()
        }
        for title, section in sections.items()
    }
    if as_dict:
        return report

    for number, (title, values) in enumerate(report.items()):
        if number:
            print()
        print(f"{title}:")
        for name, value in values.items():
            print(f"{name:>{NAME_WIDTH}}: {value}")
    return None


def _facts(section: Callable[[], Facts]) -> Facts:
    """Return the facts of a section, or a single one, the error that it raises."""
    facts = _value_or_error(section)
    if isinstance(facts, dict):
        return facts
    return {"error": partial(str, facts)}


def _value_or_error(find: Callable[[], object]) -> object:
    """Return a function's value, or a description of the error that it raises."""
    # Any error is caught: a report is most needed when an installation is broken.
    try:
        return find()
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
    # The metadata of skdigits may belong to another, installed version.
    skdigits = sys.modules[__package__]
    facts: Facts = {"skdigits": lambda: skdigits.__version__}
    for name in PACKAGES:
        facts[name] = partial(version, name)
    return facts


def _devices() -> Facts:
    facts: Facts = {
        "torch's CUDA": lambda: torch.version.cuda or "none: torch is built without it",
        "CUDA": lambda: _availability(torch.cuda.is_available()),
        "MPS": lambda: _availability(torch.backends.mps.is_available()),
    }
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            facts[f"cuda:{number}"] = partial(_gpu, number)
    return facts


def _availability(available: bool) -> str:
    return "available" if available else "not available"


def _gpu(number: int) -> str:
    properties = torch.cuda.get_device_properties(number)
    return f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB"


def _threads() -> Facts:
    facts: Facts = {
        "within an op": torch.get_num_threads,
        "between ops": torch.get_num_interop_threads,
    }
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        facts[name] = partial(os.environ.get, name, "not set")
    return facts


def _settings() -> Facts:
    return {
        "SCIPY_ARRAY_API": partial(os.environ.get, "SCIPY_ARRAY_API", "not set"),
        "array_api_dispatch": lambda: sklearn.get_config()["array_api_dispatch"],
        "default dtype": torch.get_default_dtype,
        "default device": torch.get_default_device,
        "large products": lambda: "oneDNN" if onednn_linear else "torch's BLAS",
    }


def _pools() -> Facts:
    """Return the libraries for BLAS and OpenMP that are loaded."""
    # Names are numbered, because the same library may be loaded more than once.
    facts: Facts = {}
    for number, pool in enumerate(threadpool_info()):
        settings = [f"{key}={pool[key]}" for key in POOL if pool.get(key) is not None]
        text = ", ".join([*settings, pool["filepath"]])
        facts[f"{number} {pool['user_api']}"] = partial(str, text)
    return facts
