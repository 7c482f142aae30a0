"""Runs that exceed the memory of a device are told, whatever their candidates do."""

import numpy as np
import pytest
from fake_cuda import fake_cuda

from skdigits import MLPClassifierTorch
from skdigits.model_selection import BatchedGridSearchCV

RATES = np.geomspace(1e-3, 1e-1, 39).tolist()


def search():
    model = MLPClassifierTorch(64, solver="sgd", max_iter=1, tol=None, random_state=0)
    return BatchedGridSearchCV(
        model,
        {"learning_rate_init": [*RATES, 1e300]},
        cv=2,
        scoring="neg_log_loss",
        refit=False,
    )


@pytest.mark.parametrize("last", [0.2, 1e300], ids=["sound", "diverges"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_a_lack_of_memory_is_told_once_and_the_scores_are_whole(last, digits):
    """The weights of 80 models take 2.6 MB, those of one 33 kB."""
    X, y = (array[:240] for array in digits)
    tried = search().set_params(param_grid={"learning_rate_init": [*RATES, last]})
    words = (
        "Memory is too short for batched runs of 40 candidates, which are fitted one "
        "by one: OutOfMemoryError: CUDA out of memory"
    )
    with (
        fake_cuda(memory=2**19),
        pytest.warns(RuntimeWarning, match=words) as caught,
    ):
        tried.fit(X, y)
    assert len([one for one in caught if one.category is RuntimeWarning]) == 1
    assert not tried.batched_.any()
    expected = tried.cv_results_["mean_test_score"]

    # The cure: as many at once as fit.
    cured = tried.set_params(working_memory=2)
    with fake_cuda(memory=2**19):
        cured.fit(X, y)
    assert cured.batched_.any()
    np.testing.assert_allclose(cured.cv_results_["mean_test_score"], expected, 1e-9)


def test_where_warnings_are_errors_so_is_a_lack_of_memory(digits):
    X, y = (array[:240] for array in digits)
    tried = search().set_params(param_grid={"learning_rate_init": RATES})
    # As the suite has it.
    with (
        fake_cuda(memory=2**19),
        pytest.raises(RuntimeWarning, match="Memory is too short"),
    ):
        tried.fit(X, y)
