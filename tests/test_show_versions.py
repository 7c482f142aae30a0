"""The report for bugs states the facts, even on a machine with broken packages."""

import importlib.metadata
import platform
import sys
from types import SimpleNamespace

import joblib
import pytest
import sklearn
import torch
from sklearn import config_context
from threadpoolctl import threadpool_info, threadpool_limits

import skdigits


@pytest.fixture
def report(capsys):
    """Function that prints a report and returns its facts and its headings."""

    def make():
        assert skdigits.show_versions() is None
        lines = [line for line in capsys.readouterr().out.splitlines() if line]
        headings = [line for line in lines if line.endswith(":") and line[0] != " "]

        facts = {}
        for line in lines:
            if line not in headings:
                name, value = line.strip().split(": ", 1)
                facts[name] = value
        return facts, headings

    return make


def test_versions_are_those_of_the_modules(report):
    facts, headings = report()
    assert headings[0] == "System:"
    assert len(headings) == 6

    assert facts["skdigits"] == skdigits.__version__
    assert facts["scikit-learn"] == sklearn.__version__
    assert facts["torch"] == torch.__version__
    assert facts["joblib"] == joblib.__version__
    assert facts["python"].startswith(platform.python_version())
    assert facts["machine"] == platform.platform()


@pytest.mark.parametrize(
    ("error", "reported"),
    [
        (importlib.metadata.PackageNotFoundError("rich"), "not installed"),
        (KeyError("Version"), "KeyError: 'Version'"),
        (OSError("two\nlines"), "OSError: two lines"),
    ],
    ids=["missing", "broken", "unreadable"],
)
def test_a_missing_or_broken_package_is_reported(error, reported, report, monkeypatch):
    def distribution(name):
        raise error

    whole, _ = report()
    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    facts, headings = report()

    assert facts["rich"] == facts["numpy"] == reported
    assert facts["skdigits"] == skdigits.__version__
    assert facts.keys() == whole.keys()
    assert len(headings) == 6


def test_threads_are_torchs_and_the_pools(report):
    before = torch.get_num_threads()
    try:
        with threadpool_limits(1, user_api="blas"):
            torch.set_num_threads(3)
            facts, _ = report()
            pools = threadpool_info()
    finally:
        torch.set_num_threads(before)

    assert facts["within an op"] == "3"
    assert facts["between ops"] == str(torch.get_num_interop_threads())
    reported = [
        line for name, line in facts.items() if name.split()[-1] in {"blas", "openmp"}
    ]
    assert len(reported) == len(pools) > 0
    for pool in pools:
        assert any(
            pool["filepath"] in line and f"num_threads={pool['num_threads']}," in line
            for line in reported
        )


@pytest.mark.parametrize("value", ["1", "not set"])
def test_settings_are_the_current_ones(value, report, monkeypatch):
    monkeypatch.delenv("SCIPY_ARRAY_API", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    if value != "not set":
        monkeypatch.setenv("SCIPY_ARRAY_API", value)
    facts, _ = report()
    assert facts["SCIPY_ARRAY_API"] == value
    assert facts["array_api_dispatch"] == "False"
    assert facts["OMP_NUM_THREADS"] == "7"
    assert facts["default dtype"] == "torch.float32"


def test_array_api_dispatch_is_reported_if_enabled(report):
    with config_context(array_api_dispatch=True):
        assert report()[0]["array_api_dispatch"] == "True"


def test_gpus_are_named(report, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    def properties(number):
        if number == 1:
            raise RuntimeError("CUDA error: device is lost")
        return SimpleNamespace(name="Good card", total_memory=8 * 2**30)

    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)

    facts, _ = report()
    assert facts["CUDA"] == "available"
    assert facts["cuda:0"] == "Good card, 8.0 GiB"
    assert facts["cuda:1"] == "RuntimeError: CUDA error: device is lost"


def test_a_failing_driver_affects_only_its_section(report, monkeypatch):
    def fails():
        raise RuntimeError("the driver is too old")

    monkeypatch.setattr(torch.cuda, "is_available", fails)

    facts, headings = report()
    assert facts["error"] == "RuntimeError: the driver is too old"
    assert "CUDA" not in facts
    assert facts["within an op"] == str(torch.get_num_threads())
    assert len(headings) == 6


def test_packages_that_cannot_be_imported_are_listed(report, monkeypatch):
    # None makes an import fail.
    for name in ("matplotlib", "rich", "PIL", "skorch", "array_api_strict"):
        monkeypatch.setitem(sys.modules, name, None)
    facts, _ = report()
    assert facts["pillow"] == importlib.metadata.version("pillow")
    assert facts["matplotlib"] == importlib.metadata.version("matplotlib")
