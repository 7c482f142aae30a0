"""What a job of the speed benchmark consists of."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from peers import Loop, Products
from sklearn.base import ClassifierMixin

from skdigits.datasets import load_mnist

SGD = {
    "solver": "sgd", "momentum": 0, "nesterovs_momentum": False, "alpha": 0,
    "batch_size": 64, "tol": None, "random_state": 0,
}  # fmt: skip


class Digits(NamedTuple):
    """MNIST as float32 in [0, 1].

    ``quick`` stands for a try with few samples: jobs that make samples of their own
    make few of them.
    """

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    quick: bool = False

    def score(self, model: ClassifierMixin) -> float:
        return float(model.score(self.X_test, self.y_test))


class Contender(NamedTuple):
    """A call to time, and the score of its result, which is not timed.

    What ``prepare`` returns, before the time starts, is passed to ``run``.
    """

    run: Callable[..., Any]
    score: Callable[[Any], float]
    prepare: Callable[[], Any] | None = None


Contenders = dict[str, Contender]


class Job(NamedTuple):
    """Contenders, the first of which is skdigits, and the goals of their comparison.

    Parameters
    ----------
    build : callable
        Function of the digits that returns the contenders by their labels.
    goals : mapping of str to float
        Speed-up to reach beside a contender.
    title : str, default=""
        Heading of the table; "" stands for the docstring of ``build``.
    turns : int or None, default=None
        Number of turns, if not that of the command line.
    tail : float, default=1.0
        Quantile of the turns that is compared with their median; 1 is the slowest.
    tail_goal : float, default=5.0
        How many times the median it may be.
    decimals : int, default=4
        Decimals of the score.
    compare : callable or None, default=None
        Function of the contenders' results and scores that returns a line about them.
    """

    build: Callable[[Digits], Contenders]
    goals: Mapping[str, float] = {}
    title: str = ""
    turns: int | None = None
    tail: float = 1.0
    tail_goal: float = 5.0
    decimals: int = 4
    compare: Callable[[dict[str, Any], dict[str, float]], str] | None = None

    @property
    def heading(self) -> str:
        return self.title or str(self.build.__doc__)


def fits(digits: Digits, model: ClassifierMixin | Loop | Products) -> Contender:
    """Return the contender that fits a model to the training digits."""
    return Contender(lambda: model.fit(digits.X, digits.y), digits.score)


def load_digits(quick: bool = False) -> Digits:
    """Return MNIST; of a quick try, 2,000 digits to train with and 500 to test with."""
    mnist = load_mnist()
    train = mnist.train
    test = mnist.test
    if quick:
        train = slice(train.start, train.start + 2000)
        test = slice(test.start, test.start + 500)

    def pixels(some: slice) -> np.ndarray:
        return mnist.data[some].astype(np.float32) / 255

    return Digits(
        pixels(train), mnist.target[train], pixels(test), mnist.target[test], quick
    )
