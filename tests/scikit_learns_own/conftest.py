"""Fixtures and markers that scikit-learn's tests expect."""

import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "thread_unsafe: used by scikit-learn's tests")


@pytest.fixture
def global_random_seed():
    """Return the seed that scikit-learn's suite uses by default."""
    return 42
