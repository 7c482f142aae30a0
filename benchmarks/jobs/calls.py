"""Jobs of short calls: predictions, and updates by a few samples."""

import pickle
from copy import deepcopy

import numpy as np
import torch
from joblib import Parallel, delayed
from peers import plain_convnet
from sklearn.base import ClassifierMixin
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier

from jobs.job import Contender, Contenders, Digits
from skdigits import ConvNetClassifier, MLPClassifierTorch

CALLS_A_TURN = 50
STEPS_AS_LONG = 40_000  # a loop of so many takes about as long as an image


def _predictions(digits: Digits, X: np.ndarray, times: int) -> Contenders:
    settings = {"max_iter": 1, "random_state": 0, "hidden_layer_sizes": 128}

    def contender(model: ClassifierMixin) -> Contender:
        model.fit(digits.X[:10_000], digits.y[:10_000])
        return Contender(
            lambda: [model.predict_proba(X) for _ in range(times)],
            lambda _: digits.score(model),
        )

    return {
        "skdigits": contender(MLPClassifierTorch(**settings)),
        "MLPClassifier": contender(MLPClassifier(**settings)),
    }


def predict_many(digits: Digits) -> Contenders:
    """predict_proba of 10,000 samples, 784-128-10, ten times."""
    return _predictions(digits, digits.X_test, 10)


def predict_one(digits: Digits) -> Contenders:
    """predict_proba of one sample, 784-128-10, a thousand times."""
    return _predictions(digits, digits.X_test[:1], 1000)


def one_image(digits: Digits) -> Contenders:
    """predict_proba of one 28 × 28 image by a ConvNetClassifier, a call a turn."""
    image = digits.X_test[:1]
    own = ConvNetClassifier(max_iter=1, random_state=0)
    own.fit(digits.X[:2000], digits.y[:2000])
    module = plain_convnet()

    def plain() -> np.ndarray:
        with torch.inference_mode():
            logits = module(torch.from_numpy(image).view(1, 1, 28, 28))
            return logits.softmax(1).numpy()

    # The first calls load libraries.
    for _ in range(10):
        own.predict_proba(image)
        plain()
    return {
        "skdigits": Contender(
            lambda: own.predict_proba(image), lambda _: digits.score(own)
        ),
        "plain module": Contender(plain, lambda _: float("nan")),
        # It waits for nothing: its tail is that of the system's time slices.
        "a loop in Python": Contender(
            lambda: sum(range(STEPS_AS_LONG)), lambda _: float("nan")
        ),
    }


def updates(digits: Digits) -> Contenders:
    """50 calls of partial_fit, 200 × 64; the score is the size of the pickle in kB."""
    last = 10_000 if digits.quick else 100_000
    models = {
        "skdigits": MLPClassifierTorch(random_state=0),
        "MLPClassifier": MLPClassifier(random_state=0),
        "SGDClassifier": SGDClassifier(loss="log_loss", random_state=0),
    }
    ages = (1, 1000, last)
    grown = Parallel(n_jobs=2)(delayed(_at_ages)(m, ages) for m in models.values())
    return {
        f"{name}, after {calls:,} call{'s' if calls > 1 else ''}": _update(model)
        for name, copies in zip(models, grown, strict=True)
        for calls, model in zip(ages, copies, strict=True)
    }


def _samples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((200, 64), dtype=np.float32), rng.permutation(np.arange(200) % 10)


def _at_ages(model: ClassifierMixin, ages: tuple[int, ...]) -> list[ClassifierMixin]:
    """Return copies of a model after each number of calls of partial_fit.

    The calls have one sample each: what a model keeps of a call is the same.
    """
    X, y = _samples()
    model.partial_fit(X, y, classes=np.arange(10))
    n_calls = 1
    copies = []
    for age in ages:
        for _ in range(age - n_calls):
            model.partial_fit(X[:1], y[:1])
        n_calls = age
        copies.append(deepcopy(model))
    return copies


def _update(model: ClassifierMixin) -> Contender:
    X, y = _samples()

    def run(copy: ClassifierMixin) -> ClassifierMixin:
        for _ in range(CALLS_A_TURN):
            copy.partial_fit(X, y)
        return copy

    return Contender(
        run, lambda copy: len(pickle.dumps(copy)) / 1000, lambda: deepcopy(model)
    )
