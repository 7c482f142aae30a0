"""Jobs that fit one model."""

from typing import Any

import numpy as np
from peers import Loop, Products, skorch_classifier
from sklearn.base import ClassifierMixin, clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neighbors import NearestCentroid
from sklearn.neural_network import MLPClassifier

from jobs.job import SGD, Contender, Contenders, Digits, fits
from skdigits import MLPClassifierTorch, SoftmaxRegression, TemplateMatchingClassifier

LINEAR = [784, 10]
HIDDEN = [784, 128, 10]
FIVE_EPOCHS = {"max_iter": 5, "tol": None, "random_state": 0}
N_CLASSES = 3755  # the Chinese characters of level 1 of GB 2312


def mlp(digits: Digits) -> Contenders:
    """MLP 784-128-10, SGD at 0.1, batch 64, 5 epochs."""
    own = MLPClassifierTorch(128, **SGD, learning_rate_init=0.1, max_iter=5)
    theirs = MLPClassifier(
        128, solver="sgd", momentum=0, alpha=0, batch_size=64, learning_rate_init=0.1,
        max_iter=5, random_state=0,
    )  # fmt: skip
    return {
        "skdigits": fits(digits, own),
        "bare products": fits(digits, Products(HIDDEN, 5)),
        "MLPClassifier": fits(digits, theirs),
        "plain loop": fits(digits, Loop(HIDDEN, 0.1, 5, loader=False)),
        "DataLoader loop": fits(digits, Loop(HIDDEN, 0.1, 5, loader=True)),
        "skorch": fits(digits, skorch_classifier(HIDDEN, 0.1, 5)),
    }


def softmax(digits: Digits) -> Contenders:
    """SoftmaxRegression, SGD at 0.1, batch 64, 5 epochs."""
    # SGDClassifier takes a step for each sample: 1/64 of the rate goes as far.
    theirs = SGDClassifier(
        loss="log_loss", penalty=None, learning_rate="constant", eta0=0.1 / 64,
        max_iter=5, tol=None, random_state=0,
    )  # fmt: skip
    on_both = clone(theirs).set_params(n_jobs=2)
    return {
        "skdigits": fits(digits, SoftmaxRegression(0.1, **SGD, max_iter=5)),
        "bare products": fits(digits, Products(LINEAR, 5)),
        "plain loop": fits(digits, Loop(LINEAR, 0.1, 5, loader=False)),
        "DataLoader loop": fits(digits, Loop(LINEAR, 0.1, 5, loader=True)),
        "SGDClassifier": fits(digits, theirs),
        "SGDClassifier, n_jobs=2": fits(digits, on_both),
    }


def mlp_defaults(digits: Digits) -> Contenders:
    """MLP with default settings, 5 epochs."""
    theirs = MLPClassifier(max_iter=5, random_state=0)
    return {
        "skdigits": fits(digits, MLPClassifierTorch(**FIVE_EPOCHS)),
        "skdigits, alpha=0": fits(digits, MLPClassifierTorch(alpha=0, **FIVE_EPOCHS)),
        "MLPClassifier": fits(digits, theirs),
    }


def softmax_defaults(digits: Digits) -> Contenders:
    """SoftmaxRegression with default settings, 5 epochs."""
    own = SoftmaxRegression(**FIVE_EPOCHS)
    no_penalty = clone(own).set_params(alpha=0)
    plain = clone(no_penalty).set_params(momentum=0, nesterovs_momentum=False)
    theirs = SGDClassifier(loss="log_loss", **FIVE_EPOCHS)
    return {
        "skdigits": fits(digits, own),
        "skdigits, alpha=0": fits(digits, no_penalty),
        "skdigits, plain SGD": fits(digits, plain),
        "SGDClassifier": fits(digits, theirs),
    }


def lbfgs(digits: Digits) -> Contenders:
    """SoftmaxRegression by L-BFGS; the score is the objective, equal within 1e-6."""
    alpha = 1e-3
    X = digits.X
    y = digits.y

    def objective(model: ClassifierMixin) -> float:
        proba = model.predict_proba(X)[np.arange(len(y)), y].astype(np.float64)
        penalty = alpha / 2 * (model.coef_.astype(float) ** 2).sum()
        return float(-np.log(proba).mean() + penalty)

    # With these tolerances, both reach the same objective.
    own = SoftmaxRegression(solver="lbfgs", alpha=alpha, tol=2e-5, max_iter=1000)
    theirs = LogisticRegression(C=1 / (alpha * len(y)), tol=2e-5, max_iter=1000)
    return {
        "skdigits": Contender(lambda: own.fit(X, y), objective),
        "LogisticRegression": Contender(lambda: theirs.fit(X, y), objective),
    }


def same_objective(outcomes: dict[str, Any], scores: dict[str, float]) -> str:
    """Say how far apart objectives are: times to different ones have no ratio."""
    apart = max(scores.values()) - min(scores.values())
    verdict = "reached" if apart <= 1e-6 else "not reached, so times do not compare"
    return f"The objectives are {apart:.1e} apart, goal ≤ 1e-6: {verdict}."


def templates(digits: Digits) -> Contenders:
    """Average images: fit on 60,000 and predict 10,000."""

    def contender(model: ClassifierMixin) -> Contender:
        return Contender(
            lambda: model.fit(digits.X, digits.y).predict(digits.X_test),
            lambda predicted: float((predicted == digits.y_test).mean()),
        )

    return {
        "skdigits": contender(TemplateMatchingClassifier("mse")),
        "NearestCentroid": contender(NearestCentroid()),
    }


def iris(digits: Digits) -> Contenders:
    """Ten fits on iris (150 × 4): 100 epochs, 100 hidden units, Adam."""
    X, y = load_iris(return_X_y=True)

    def ten(model: ClassifierMixin) -> Contender:
        return Contender(
            lambda: [model.fit(X, y) for _ in range(10)][-1], lambda m: m.score(X, y)
        )

    settings = {"max_iter": 100, "n_iter_no_change": 1000, "random_state": 0}
    return {
        "skdigits": ten(MLPClassifierTorch(**settings)),
        "MLPClassifier": ten(MLPClassifier(**settings)),
    }


def many_classes(digits: Digits) -> Contenders:
    """SoftmaxRegression on 3,755 classes, 20,000 × 64, SGD, batch 64, 3 epochs."""
    epochs = 1 if digits.quick else 3
    some = characters()
    own = SoftmaxRegression(1.0, **SGD, max_iter=epochs)
    return {
        "skdigits": fits(some, own),
        "plain loop": fits(some, Loop([64, N_CLASSES], 1.0, epochs, loader=False)),
    }


def characters() -> Digits:
    """Return 20,000 samples of 64 features around the centres of 3,755 classes."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((N_CLASSES, 64))
    y = rng.permutation(np.arange(20_000) % N_CLASSES)
    X = (centres[y] + 0.5 * rng.standard_normal((len(y), 64))).astype(np.float32)
    return Digits(X, y, X[:2000], y[:2000])
