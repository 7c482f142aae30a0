"""What scikit-learn's tests expect of their suite."""

import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "thread_unsafe: used by scikit-learn's tests")


@pytest.fixture
def global_random_seed():
    """What it is in scikit-learn's suite, unless set to more."""
    return 42
