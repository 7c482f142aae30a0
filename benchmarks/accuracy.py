"""Accuracy on MNIST, from the average image to the convolutional network.

    python benchmarks/accuracy.py                    # about an hour on two cores
    python benchmarks/accuracy.py --rows mlp_plain   # some rows

Every model is trained on the 60,000 training digits (pixels as uint8) through the
public estimators, and scored on the 10,000 test digits: mean ± standard deviation over
seeds. The test digits chose nothing: settings were tried on 10,000 of the 60,000. The
goal of each row is an accuracy on the test digits and, for some rows, a time.

The last columns show how the same models do on digits unlike those they were trained
on: the test digits shifted by up to 4 pixels and rotated by up to 20°, at random, and
scikit-learn's 1,797 digits of 8 × 8 pixels, made 28 × 28 by DigitNormalizer. Below the
table stand the accuracy on normalised renderings of the test digits and the time of a
plain ResNet-18. The script stores its figures in benchmarks/accuracy.json and writes a
section of RESULTS.md from them.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from peers import resnet18
from PIL import Image
from report import HERE, enter
from sklearn.base import ClassifierMixin
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

RESNET_STEPS = 100
RESNET_BATCH = 128


class Row(NamedTuple):
    """A row of the table: a model for every seed, and its goal.

    The goal is an accuracy in per cent, to be reached within so many seconds.
    """

    name: str
    make: Callable[[int], ClassifierMixin]
    goal: float
    published: str
    seconds: float = float("inf")


def softmax(seed: int) -> ClassifierMixin:
    return SoftmaxRegression(
        learning_rate="one_cycle", learning_rate_init=0.1, batch_size=64, max_iter=15,
        tol=None, random_state=seed,
    )  # fmt: skip


def templates(seed: int) -> ClassifierMixin:
    model = TemplateMatchingClassifier("cosine", n_templates=128, random_state=seed)
    return make_pipeline(Deskew(), model)


def perceptron(
    size: int, epochs: int, **settings: object
) -> Callable[[int], ClassifierMixin]:
    common = {"solver": "adamw", "learning_rate": "one_cycle", "alpha": 0, "tol": None}
    return lambda seed: MLPClassifierTorch(
        size, weight_init="he", max_iter=epochs, random_state=seed, **common | settings
    )


def convolutional(epochs: int, **settings: object) -> Callable[[int], ClassifierMixin]:
    return lambda seed: ConvNetClassifier(
        max_iter=epochs, random_state=seed, **settings
    )


LARGE_BATCHES = {"batch_size": 256, "learning_rate_init": 0.003}
ROWS = {
    "average": Row(
        "average image", lambda seed: TemplateMatchingClassifier(), 82.0, "82 %"
    ),
    "average_deskew": Row(
        "average image, Deskew",
        lambda seed: make_pipeline(Deskew(), TemplateMatchingClassifier()), 86.5, "",
    ),
    "templates_deskew": Row(
        "128 templates a class, Deskew", templates, 97.4, "k-NN on raw pixels 96.9 %"
    ),
    "softmax": Row("SoftmaxRegression", softmax, 92.5, "88.0 % (LeCun 1998)"),
    "softmax_deskew": Row(
        "SoftmaxRegression, Deskew",
        lambda seed: make_pipeline(Deskew(), softmax(seed)),
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
        "MLP 800, elastic", perceptron(800, 50, **LARGE_BATCHES, augment="elastic"),
        99.3, "99.3 % (Simard 2003)",
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
    """Training digits, and the test sets by name."""

    X: np.ndarray
    y: np.ndarray
    tests: dict[str, tuple[np.ndarray, np.ndarray]]


def load() -> Digits:
    mnist = load_mnist()
    X = mnist.data[mnist.test]
    y = mnist.target[mnist.test]
    # Rotation alone, so that its column is comparable with the column of shifts.
    rotate = RandomAffine(rotation=20, scale=0, shear=0, shift=0)
    small, labels = load_digits(return_X_y=True)

    # scikit-learn's pixels go up to 16, which times 15.9 still fits into a byte.
    tests = {
        "test": (X, y),
        "shifted": (RandomShift(4).distort(X, random_state=0), y),
        "rotated": (rotate.distort(X, random_state=0), y),
        "8 × 8": (DigitNormalizer().transform((small * 15.9).astype(np.uint8)), labels),
    }
    return Digits(mnist.data[mnist.train], mnist.target[mnist.train], tests)


def measure(
    row: Row, seeds: range, digits: Digits
) -> tuple[dict[str, Any], ClassifierMixin]:
    """Return the figures of a row, and the model of its last seed."""
    accuracies: dict[str, list[float]] = {name: [] for name in digits.tests}
    seconds = []
    for seed in seeds:
        start = time.perf_counter()
        model = row.make(seed).fit(digits.X, digits.y)
        seconds.append(time.perf_counter() - start)

        for name, (X, y) in digits.tests.items():
            accuracies[name].append(100 * model.score(X, y))
        accuracy = accuracies["test"][-1]
        print(f"{row.name}, {seed}: {accuracy:.2f} %, {seconds[-1]:.1f} s", flush=True)

    figures = {
        "accuracies": accuracies,
        "seconds": seconds,
        "parameters": count_parameters(model),
        "where": where(),
    }
    return figures, model


def count_parameters(model: ClassifierMixin) -> int:
    # Deskew, the first step of a pipeline, has none.
    last = model[-1] if hasattr(model, "steps") else model
    if isinstance(last, TemplateMatchingClassifier):
        return int(last.templates_.size)
    return sum(array.size for array in (*last._weights(), *last._biases()))


def where() -> str:
    """Return the date, the hardware and the version of PyTorch."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    version = torch.__version__.partition("+")[0]
    return (
        f"{date.today()}, {platform.machine()}, {gpu}, {torch.get_num_threads()} "
        f"threads, torch {version}"
    )


def renderings(X: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the digits X (n, 784), uint8, as users may have them: (n, h, w)."""
    images = X.reshape(-1, 28, 28)
    yield "as they are", images
    yield "black on white", 255 - images

    filters = {
        "nearest": Image.Resampling.NEAREST,
        "anti-aliased": Image.Resampling.LANCZOS,
    }
    for name, resampling in filters.items():
        for size, made in resized_versions(images, resampling).items():
            yield f"{size}, {name}", made
            yield f"{size}, {name}, black on white", 255 - made


def resized_versions(
    images: np.ndarray, resampling: Image.Resampling
) -> dict[str, np.ndarray]:
    square = resized(images, (48, 48), resampling)
    return {
        "200 × 200": resized(images, (200, 200), resampling),
        "64 × 48": np.pad(square, ((0, 0), (8, 8), (0, 0))),
        "64 × 48, stretched to that": resized(images, (64, 48), resampling),
    }


def resized(
    images: np.ndarray, shape: tuple[int, int], resampling: Image.Resampling
) -> np.ndarray:
    # Pillow's sizes are (width, height).
    height, width = shape
    made = [Image.fromarray(one).resize((width, height), resampling) for one in images]
    return np.stack([np.asarray(one) for one in made])


def normalised(model: ClassifierMixin, digits: Digits) -> dict[str, float]:
    """Return a model's accuracy, in %, on normalised renderings of the test digits."""
    X, y = digits.tests["test"]
    # Renderings are clean: there is nothing to take off.
    normalizer = DigitNormalizer(clean_up=False)

    found = {"the originals, not normalised": 100 * model.score(X, y)}
    for name, images in renderings(X):
        found[name] = 100 * model.score(normalizer.transform(images), y)
        print(f"{name}: {found[name]:.2f} %", flush=True)
    return found


def seconds_of_resnet(digits: Digits) -> float:
    """Return the time of 4 epochs of a plain ResNet-18 by its first steps."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = resnet18(n_channels=1, n_outputs=10).to(device)
    optimizer = torch.optim.AdamW(network.parameters())
    pixels = torch.from_numpy(digits.X[: RESNET_STEPS * RESNET_BATCH])
    X = pixels.to(device).float() / 255
    y = torch.from_numpy(digits.y[: len(X)]).to(device)

    start = time.perf_counter()
    batches = zip(X.split(RESNET_BATCH), y.split(RESNET_BATCH), strict=True)
    for X_batch, y_batch in batches:
        optimizer.zero_grad()
        logits = network(X_batch.view(-1, 1, 28, 28))
        loss = torch.nn.functional.cross_entropy(logits, y_batch)
        loss.backward()
        optimizer.step()

    # Steps on a GPU are queued: reading the loss waits for the last of them.
    loss.item()
    return (time.perf_counter() - start) * 4 * len(digits.X) / len(X)


def seconds_to(digits: Digits) -> dict[str, Any]:
    """Return when the ConvNet of 6 epochs first reaches 99 and 99.4 % of accuracy."""
    X, y = digits.tests["test"]
    model = ROWS["conv_6"].make(0).fit(digits.X, digits.y, X_val=X, y_val=y)
    scores = model.history_["validation_score"]
    seconds = model.history_["seconds"]

    times = {f"{goal}": first_above(scores, seconds, goal) for goal in (99.0, 99.4)}
    return times | {"where": where()}


def first_above(
    scores: Iterable[float], seconds: Iterable[float], percent: float
) -> float | None:
    """Return the seconds of the first epoch whose score is at least a percentage."""
    for score, when in zip(scores, seconds, strict=True):
        if round(100 * score, 2) >= percent:
            return when
    return None


def line(row: Row, figures: dict[str, Any]) -> str:
    """Return a row of the table in Markdown."""
    each = figures["accuracies"]
    means = {name: statistics.mean(values) for name, values in each.items()}
    accuracy = means["test"]
    spread = statistics.pstdev(each["test"])
    seconds = statistics.median(figures["seconds"])

    reached = round(accuracy, 2) >= row.goal and seconds <= row.seconds
    mark = "✓" if reached else "not reached"
    within = f" in {row.seconds:.0f} s" if row.seconds < float("inf") else ""
    others = " | ".join(f"{means[name]:.1f}" for name in list(means)[1:])
    return (
        f"| {row.name} | **{accuracy:.2f}** ± {spread:.2f} | {100 - accuracy:.2f} | "
        f"{row.goal}{within} {mark} | {row.published} | {seconds:.1f} | "
        f"{figures['parameters']:,} | {others} |"
    )


def write(kept: dict[str, Any]) -> None:
    """Write the section of RESULTS.md from all stored figures."""
    rows = kept["rows"]
    seeds = {len(figures["seconds"]) for figures in rows.values()} or {0}
    places = sorted({figures["where"] for figures in rows.values()})

    text = [
        "# Accuracy on MNIST", "",
        f"Made by `python benchmarks/accuracy.py`, {min(seeds)} seeds or more a row.",
        "",
        __doc__.split("\n\n", 2)[2].strip(), "",
        "| | test digits, % | error, % | goal | published by others | seconds | "
        "parameters | shifted ±4 | rotated ±20° | 8 × 8 |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    text += [line(ROWS[name], rows[name]) for name in ROWS if name in rows]
    text += ["", f"Seconds are the median of a fit. {'; '.join(places)}."]

    enter([*text, *resnet_lines(kept), *clock_lines(kept), *rendering_lines(kept)])


def resnet_lines(kept: dict[str, Any]) -> list[str]:
    if "resnet" not in kept or "conv_4" not in kept["rows"]:
        return []

    own = statistics.median(kept["rows"]["conv_4"]["seconds"])
    return [
        "",
        f"A plain ResNet-18 would need {kept['resnet']:.0f} s for 4 epochs, by its "
        f"first {RESNET_STEPS} steps of {RESNET_BATCH}: {kept['resnet'] / own:.1f} "
        "times the ConvNet's 4 epochs.",
    ]


def clock_lines(kept: dict[str, Any]) -> list[str]:
    text = []
    for name, found in kept.get("clock", {}).items():
        times = " and ".join(
            f"{goal} % after {found[goal]:.1f} s" if found[goal] else f"{goal} % never"
            for goal in ("99.0", "99.4")
        )
        text += [
            "",
            f"On {name}, the ConvNet of 6 epochs reaches {times} ({found['where']}).",
        ]
    return text


def rendering_lines(kept: dict[str, Any]) -> list[str]:
    if "renderings" not in kept:
        return []

    text = [
        "", "## Digits that are not MNIST", "",
        "Renderings of the test digits, made like MNIST's by "
        "DigitNormalizer(clean_up=False) and "
        "classified by the ConvNet of 6 epochs, which is trained on MNIST as it is.",
        "",
        "| | accuracy, % |", "|---|---|",
    ]  # fmt: skip
    values = kept["renderings"].items()
    return text + [f"| {name} | {value:.2f} |" for name, value in values]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--seeds", type=int, default=3, help="runs of each row (default: 3)"
    )
    names = [*ROWS, "resnet", "clock"]
    parser.add_argument(
        "--rows", nargs="+", choices=names, default=names, metavar="ROW"
    )
    return parser.parse_args()


def store(path: Path, known: dict[str, Any]) -> None:
    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    write(known)


def main() -> None:
    options = parsed()
    path = HERE / "accuracy.json"
    known: dict[str, Any] = {"rows": {}}
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
    digits = load()

    for name in options.rows:
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
        # A mean of fewer than three seeds is too uncertain to be stored. Every row is
        # stored at once, as the next one may take half an hour.
        if options.seeds >= 3:
            store(path, known)

    if options.seeds >= 3 or not set(options.rows) & set(ROWS):
        store(path, known)


if __name__ == "__main__":
    main()
