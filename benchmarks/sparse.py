"""What dense batches of sparse rows cost, beside products of what is stored.

    python benchmarks/sparse.py                      # 20,000 texts of 5,000 words
    python benchmarks/sparse.py --words 20 --scale 2 # denser rows, more of them

Texts are drawn: each has ``--words`` words, 30 % of them by the frequencies of its
subject, the others by those of the language, in Zipf's proportions. Seconds are those
of one core, as one thread computes; they hold for a busy machine as well.
"""

import argparse
import time
import warnings

import numpy as np
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neighbors import NearestCentroid
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from skdigits import MLPClassifierTorch, SoftmaxRegression, TemplateMatchingClassifier

N_TEXTS = 20_000
N_WORDS = 5000
N_SUBJECTS = 20
OF_SUBJECT = 0.3  # of the words of a text
MLP = {"max_iter": 2, "random_state": 0}
SGD = {"max_iter": 5, "tol": None, "random_state": 0}
JOBS = {
    "perceptron, 100 hidden units, 2 epochs": (
        MLPClassifier(**MLP),
        MLPClassifierTorch(**MLP, tol=None),
    ),
    "linear model, SGD, 5 epochs": (
        SGDClassifier(loss="log_loss", **SGD),
        SoftmaxRegression(1.0, alpha=1e-5, **SGD),
    ),
    "linear model, L-BFGS, 10 iterations": (
        LogisticRegression(max_iter=10),
        SoftmaxRegression(solver="lbfgs", alpha=1e-4, max_iter=10, tol=None),
    ),
    "means of classes": (NearestCentroid(), TemplateMatchingClassifier()),
}


def texts(n_texts: int, n_words: int) -> tuple[csr_array, np.ndarray]:
    """Return rows of weighted words, each of norm 1, and subjects."""
    rng = np.random.default_rng(0)
    frequencies = 1 / np.arange(1, N_WORDS + 1)
    words = rng.choice(
        N_WORDS, size=(n_texts, n_words), p=frequencies / frequencies.sum()
    )
    y = rng.integers(N_SUBJECTS, size=n_texts)
    own = rng.random(words.shape) < OF_SUBJECT
    for subject in range(N_SUBJECTS):
        favourites = rng.permutation(N_WORDS)
        chosen = own & (y == subject)[:, None]
        words[chosen] = favourites[words[chosen]]

    # Some of scikit-learn's models take indices of 32 bits only.
    rows = np.arange(n_texts, dtype=np.int32).repeat(n_words)
    places = (rows, words.ravel().astype(np.int32))
    X = csr_array((rng.uniform(size=words.size), places), (n_texts, N_WORDS))
    return normalize(X), y


def measured(model, X: csr_array, y: np.ndarray) -> tuple[float, float]:
    """Return the seconds of a fit on four fifths, and the accuracy on the others."""
    n_train = len(y) * 4 // 5
    began = time.process_time()  # of all threads
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X[:n_train], y[:n_train])
    seconds = time.process_time() - began
    return seconds, model.score(X[n_train:], y[n_train:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--words", type=int, default=50)
    parser.add_argument("--scale", type=float, default=1, help="times 20,000 texts")
    options = parser.parse_args()

    X, y = texts(int(options.scale * N_TEXTS), options.words)
    stored = X.nnz / (X.shape[0] * X.shape[1])
    print(f"{X.shape[0]} x {X.shape[1]}, {100 * stored:.2f} % stored\n")
    print("| fit | dtype | scikit-learn, s | accuracy | skdigits, s | accuracy |")
    print("| --- | --- | --- | --- | --- | --- |")
    for job, (theirs, ours) in JOBS.items():
        for dtype in ("float64", "float32"):
            rows = X.astype(dtype)
            found = [*measured(theirs, rows, y), *measured(ours, rows, y)]
            numbers = " | ".join(
                f"{one:.2f}" if n % 2 == 0 else f"{one:.3f}"
                for n, one in enumerate(found)
            )
            print(f"| {job} | {dtype} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
