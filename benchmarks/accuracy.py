"""Accuracy on MNIST, from the average image to the convolutional network.

    python benchmarks/accuracy.py                    # about an hour on two cores
    python benchmarks/accuracy.py --rows mlp_plain   # some rows

Every row trains on the 60,000 training digits, pixels as uint8, through the public
estimators, and is scored on the 10,000 test digits: mean ± standard deviation over seeds.
Nothing was chosen by the test digits: settings were tried on 10,000 of the 60,000.

Beside it is what the same models make of digits that they were not made for: the test digits
shifted by up to 4 pixels and turned by up to 20°, at random, and scikit-learn's 1,797 digits
of 8 × 8 pixels, made 28 × 28 by DigitNormalizer. Then, what DigitNormalizer makes of
renderings of the test digits, and the time of a plain ResNet-18. Enters what it has measured
in benchmarks/accuracy.json, and makes a section of RESULTS.md of that.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import torch
from peers import resnet18
from PIL import Image
from report import HERE, enter
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.augmentation import RandomAffine, RandomShift
from skdigits.datasets import load_mnist
from skdigits.preprocessing import Deskew, DigitNormalizer

RESNET_STEPS, RESNET_BATCH = 100, 128


class Row(NamedTuple):
    """A line of the table: what to fit, given a seed, and what is asked of it."""

    name: str
    make: Callable[[int], Any]
    asked: float
    published: str
    seconds: float = float("inf")


def softmax(seed: int) -> Any:
    return SoftmaxRegression(
        learning_rate="one_cycle", learning_rate_init=0.1, batch_size=64, max_iter=15,
        tol=None, random_state=seed,
    )  # fmt: skip


def templates(seed: int) -> Any:
    model = TemplateMatchingClassifier("cosine", n_templates=128, random_state=seed)
    return make_pipeline(Deskew(), model)


def perceptron(sizes: Any, epochs: int, **settings: Any) -> Callable[[int], Any]:
    common = {"solver": "adamw", "learning_rate": "one_cycle", "alpha": 0, "tol": None}
    return lambda seed: MLPClassifierTorch(
        sizes, weight_init="he", max_iter=epochs, random_state=seed, **common | settings
    )


def convolutional(epochs: int, **settings: Any) -> Callable[[int], Any]:
    return lambda seed: ConvNetClassifier(
        max_iter=epochs, random_state=seed, **settings
    )


LARGE_BATCHES = {"batch_size": 256, "learning_rate_init": 0.003}
ROWS = {
    "average": Row("average image", lambda seed: TemplateMatchingClassifier(), 82.0, "82 %"),
    "average_deskew": Row(
        "average image, Deskew",
        lambda seed: make_pipeline(Deskew(), TemplateMatchingClassifier()), 86.5, "",
    ),
    "templates_deskew": Row(
        "128 templates a class, Deskew", templates, 97.4, "k-NN on raw pixels 96.9 %"
    ),
    "softmax": Row("SoftmaxRegression", softmax, 92.5, "88.0 % (LeCun 1998)"),
    "softmax_deskew": Row(
        "SoftmaxRegression, Deskew", lambda seed: make_pipeline(Deskew(), softmax(seed)),
        95.6, "91.6 % (LeCun 1998)",
    ),
    "mlp_plain": Row(
        "MLP 512",
        perceptron(512, 8, batch_size=256, learning_rate_init=0.008, dropout=0.3,
                   label_smoothing=0.1),
        98.5, "98.4 % (Simard 2003)", 15,
    ),
    "mlp_affine": Row(
        "MLP 800, affine", perceptron(800, 20, **LARGE_BATCHES, augment="affine"), 98.9,
        "98.9 % (Simard 2003)",
    ),
    "mlp_elastic": Row(
        "MLP 800, elastic", perceptron(800, 50, **LARGE_BATCHES, augment="elastic"), 99.3,
        "99.3 % (Simard 2003)",
    ),
    "conv_4": Row(
        "ConvNet, shift, 4 epochs", convolutional(4, augment="shift"), 99.4,
        "ResNet-18, 4 epochs: 99.41 %", 60,
    ),
    "conv_6": Row(
        "ConvNet, affine, 6 epochs", convolutional(6, augment="affine"), 99.55, "", 120
    ),
    "conv_best": Row(
        "ConvNet 32-64-128, affine, 20 epochs",
        convolutional(20, channels=(32, 64, 128), dropout=0.3, label_smoothing=0.1,
                      augment="affine"),
        99.65, "99.6 % (Simard 2003)",
    ),
}  # fmt: skip


class Digits(NamedTuple):
    """Digits to learn from, and sets of others to be tested by."""

    X: np.ndarray
    y: np.ndarray
    tests: dict[str, tuple[np.ndarray, np.ndarray]]


def load() -> Digits:
    mnist = load_mnist()
    X, y = mnist.data[mnist.test], mnist.target[mnist.test]
    turn = RandomAffine(rotation=20, scale=0, shear=0, shift=0)
    small, labels = load_digits(return_X_y=True)
    tests = {
        "test": (X, y),
        "shifted": (RandomShift(4).distort(X, random_state=0), y),
        "rotated": (turn.distort(X, random_state=0), y),
        "8 × 8": (DigitNormalizer().transform((small * 15.9).astype(np.uint8)), labels),
    }
    return Digits(mnist.data[mnist.train], mnist.target[mnist.train], tests)


def measure(row: Row, seeds: range, digits: Digits) -> tuple[dict[str, Any], Any]:
    """The figures of a row, and the model of its last seed."""
    accuracies: dict[str, list[float]] = {name: [] for name in digits.tests}
    seconds = []
    for seed in seeds:
        start = time.perf_counter()
        model = row.make(seed).fit(digits.X, digits.y)
        seconds.append(time.perf_counter() - start)
        for name, (X, y) in digits.tests.items():
            accuracies[name].append(100 * model.score(X, y))
        print(
            f"{row.name}, {seed}: {accuracies['test'][-1]:.2f} %, {seconds[-1]:.1f} s",
            flush=True,
        )
    figures = {
        "accuracies": accuracies,
        "seconds": seconds,
        "parameters": count_parameters(model),
        "where": where(),
    }
    return figures, model


def count_parameters(model: Any) -> int:
    last = model[-1] if hasattr(model, "steps") else model
    if isinstance(last, TemplateMatchingClassifier):
        return last.templates_.size
    return sum(array.size for array in (*last._weights(), *last._biases()))


def where() -> str:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{date.today()}, {platform.machine()}, {gpu}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__.partition('+')[0]}"
    )


def renderings(X: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The digits X (n, 784) of uint8 as people have theirs, (n, h, w)."""
    images = X.reshape(-1, 28, 28)
    yield "as they are", images
    yield "black on white", 255 - images
    filters = {
        "nearest": Image.Resampling.NEAREST,
        "anti-aliased": Image.Resampling.LANCZOS,
    }
    for name, resampling in filters.items():
        large = resized(images, (200, 200), resampling)
        tall = np.pad(resized(images, (48, 48), resampling), ((0, 0), (8, 8), (0, 0)))
        stretched = resized(images, (64, 48), resampling)
        for size, made in (
            ("200 × 200", large),
            ("64 × 48", tall),
            ("64 × 48, stretched to that", stretched),
        ):
            yield f"{size}, {name}", made
            yield f"{size}, {name}, black on white", 255 - made


def resized(images: np.ndarray, shape: tuple[int, int], resampling: Any) -> np.ndarray:
    size = shape[::-1]  # PIL's is (width, height)
    return np.stack(
        [np.asarray(Image.fromarray(i).resize(size, resampling)) for i in images]
    )


def normalised(model: Any, digits: Digits) -> dict[str, float]:
    """Accuracy of a model of MNIST's digits on renderings of the test digits."""
    X, y = digits.tests["test"]
    normalizer = DigitNormalizer()
    found = {"the originals, not normalised": 100 * model.score(X, y)}
    for name, images in renderings(X):
        found[name] = 100 * model.score(normalizer.transform(images), y)
        print(f"{name}: {found[name]:.2f} %", flush=True)
    return found


def seconds_of_resnet(digits: Digits) -> float:
    """What 4 epochs of a plain ResNet-18 take, by its first steps."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = resnet18(n_channels=1, n_outputs=10).to(device)
    optimizer = torch.optim.AdamW(network.parameters())
    X = (
        torch.from_numpy(digits.X[: RESNET_STEPS * RESNET_BATCH]).to(device).float()
        / 255
    )
    y = torch.from_numpy(digits.y[: len(X)]).to(device)
    start = time.perf_counter()
    for rows, labels in zip(X.split(RESNET_BATCH), y.split(RESNET_BATCH), strict=True):
        optimizer.zero_grad()
        logits = network(rows.view(-1, 1, 28, 28))
        loss = torch.nn.functional.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
    loss.item()  # which waits for a GPU
    return (time.perf_counter() - start) * 4 * len(digits.X) / len(X)


def seconds_to(digits: Digits) -> dict[str, Any]:
    """When the ConvNet's 6 epochs first get past 99 and 99.4 % of the test digits."""
    X, y = digits.tests["test"]
    model = ROWS["conv_6"].make(0).fit(digits.X, digits.y, X_val=X, y_val=y)
    epochs = model.history_["validation_score"], model.history_["seconds"]
    return {f"{aim}": first_above(*epochs, aim) for aim in (99.0, 99.4)} | {
        "where": where()
    }


def first_above(scores: Iterable[float], seconds: Iterable[float], aim: float) -> Any:
    """The seconds of the first epoch whose score is at least so many per cent, or None."""
    pairs = zip(scores, seconds, strict=True)
    return next((when for score, when in pairs if round(100 * score, 2) >= aim), None)


def line(row: Row, figures: dict[str, Any]) -> str:
    """A row of the table."""
    each = figures["accuracies"]
    means = {name: statistics.mean(values) for name, values in each.items()}
    spread, seconds = (
        statistics.pstdev(each["test"]),
        statistics.median(figures["seconds"]),
    )
    met = round(means["test"], 2) >= row.asked and seconds <= row.seconds
    within = f" in {row.seconds:.0f} s" if row.seconds < float("inf") else ""
    others = " | ".join(f"{means[name]:.1f}" for name in list(means)[1:])
    return (
        f"| {row.name} | **{means['test']:.2f}** ± {spread:.2f} | {100 - means['test']:.2f} | "
        f"{row.asked}{within} {'✓' if met else 'MISSED'} | {row.published} | {seconds:.1f} | "
        f"{figures['parameters']:,} | {others} |"
    )


def write(kept: dict[str, Any]) -> None:
    """Write the section of RESULTS.md from all that is known."""
    seeds = {len(figures["seconds"]) for figures in kept["rows"].values()} or {0}
    text = [
        "# Accuracy on MNIST", "",
        f"Made by `python benchmarks/accuracy.py`, {min(seeds)} seeds or more a row.", "",
        __doc__.split("\n\n", 2)[2].strip(), "",
        "| | test digits, % | error, % | asked | published by others | seconds | parameters | "
        "shifted ±4 | turned ±20° | 8 × 8 |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    text += [
        line(ROWS[name], kept["rows"][name]) for name in ROWS if name in kept["rows"]
    ]
    text += ["", "Seconds are the median of a fit. " + "; ".join(sorted(
        {figures["where"] for figures in kept["rows"].values()})) + "."]  # fmt: skip
    if "resnet" in kept and "conv_4" in kept["rows"]:
        ours = statistics.median(kept["rows"]["conv_4"]["seconds"])
        text += ["", (
            f"A plain ResNet-18 would need {kept['resnet']:.0f} s for 4 epochs, by its first "
            f"{RESNET_STEPS} steps of {RESNET_BATCH}: {kept['resnet'] / ours:.1f} times the "
            "ConvNet's 4 epochs."
        )]  # fmt: skip
    for name, found in kept.get("clock", {}).items():
        times = " and ".join(
            f"{aim} % after {found[aim]:.1f} s" if found[aim] else f"{aim} % never"
            for aim in ("99.0", "99.4")
        )
        text += [
            "",
            f"On {name}, the ConvNet's 6 epochs are at {times} ({found['where']}).",
        ]
    if "renderings" in kept:
        text += [
            "", "## Digits that are not MNIST", "",
            "The ConvNet of 6 epochs, trained on MNIST as it is, behind DigitNormalizer, on "
            "renderings of the test digits.", "", "| | accuracy, % |", "|---|---|",
        ]  # fmt: skip
        text += [
            f"| {name} | {value:.2f} |" for name, value in kept["renderings"].items()
        ]
    enter(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--seeds", type=int, default=3, help="runs of each row (default: 3)"
    )
    parser.add_argument(
        "--rows", nargs="+", choices=[*ROWS, "resnet", "clock"], metavar="ROW"
    )
    options = parser.parse_args()
    rows = options.rows or [*ROWS, "resnet", "clock"]
    path = HERE / "accuracy.json"
    known = (
        json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": {}}
    )
    digits = load()
    for name in rows:
        if name == "resnet":
            known["resnet"] = seconds_of_resnet(digits)
            continue
        if name == "clock":
            device = "CUDA" if torch.cuda.is_available() else "the CPU"
            known["clock"] = known.get("clock", {}) | {device: seconds_to(digits)}
            continue
        known["rows"][name], model = measure(ROWS[name], range(options.seeds), digits)
        print(line(ROWS[name], known["rows"][name]), flush=True)
        if name == "conv_6":
            known["renderings"] = normalised(model, digits)
        if options.seeds >= 3:  # fewer tell too little to be kept
            path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
            write(known)
    if options.seeds >= 3 or not set(rows) & set(ROWS):
        path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        write(known)


if __name__ == "__main__":
    main()
