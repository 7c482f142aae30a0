"""What ranks agree on before they train: samples, parameters, errors and followers."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from torch import Tensor

from skdigits._arrays import take_samples, to_numpy, training_device
from skdigits._gpus import name_of_gpu
from skdigits._input_checks import (
    InFile,
    Samples,
    check_samples,
    warn_of_targets,
    warn_user,
)
from skdigits._memory_maps import rows_in_file
from skdigits._targets import weights_by_class
from skdigits.augmentation import is_users
from skdigits.distributed import refuse_search
from skdigits.engine.ranks import Ranks
from skdigits.engine.types import Epoch, Observer, Params, Run, Score
from skdigits.training.checkpoint import (
    Fingerprint,
    Saved,
    described,
    differences,
    digest,
)
from skdigits.training.observers import is_part_of_more, is_within

if TYPE_CHECKING:
    from skdigits._base import TorchClassifier
    from skdigits._gradient import GradientClassifier
    from skdigits.training.observers import FitCallbacks

Value = TypeVar("Value")
# What is compared of X: a few pages of a file, and a message of 100 kB.
FEW_ROWS = 16
FEW_FEATURES = 1000


@contextmanager
def together(ranks: Ranks) -> Iterator[None]:
    """Raise an error on all ranks if a block raises one on any of them.

    The block must not exchange anything with other ranks.
    """
    error = None
    try:
        yield
    except Exception as found:
        error = found

    texts = ranks.gathered("" if error is None else _told(error))
    if error is not None:
        raise error
    for rank, text in enumerate(texts):
        if text:
            raise RuntimeError(f"Rank {rank} of {ranks.world} failed: {text}")


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def from_first(ranks: Ranks, call: Callable[[], Value]) -> Value:
    """Return what a call returns on rank 0; its error there is one on all ranks."""
    if ranks.rank:
        text, found = ranks.first(("", None))
        if text:
            raise RuntimeError(f"Rank 0 of {ranks.world} failed: {text}")
        return found  # type: ignore[return-value]

    try:
        value = call()
    except BaseException as error:
        ranks.first((_told(error), None))
        raise
    ranks.first(("", value))
    return value


def of_first(ranks: Ranks, observer: Observer | None) -> Observer | None:
    """Return an observer for all ranks, which is that of rank 0."""
    if not ranks.first(observer is not None):
        return None

    def observe(
        models: list[int],
        epochs: list[Epoch],
        params: Params,
        runs: Callable[[], list[Run]],
    ) -> Collection[int]:
        def call() -> list[int]:
            assert observer is not None
            return list(observer(models, epochs, params, runs))

        return from_first(ranks, call)

    return observe


def score_of_first(ranks: Ranks, score: Score) -> Score:
    """Return a validation score for all ranks, which users' code computes on rank 0."""

    def scored(
        params: Params, finite: Tensor, runs: Callable[[], list[Run]] | None
    ) -> Tensor:
        return from_first(ranks, lambda: score(params, finite, runs))

    return scored


def refuse_indivisible(ranks: Ranks, model: "GradientClassifier") -> None:
    """Raise an error about a fit that ranks cannot share.

    Raises
    ------
    RuntimeError
        If it is one of several fits, as in a search; or if steps before it in a
        Pipeline, or a user's distortions, would see a shard each.
    """
    if is_part_of_more(model):
        refuse_search("A search or a meta-estimator")
    if ranks.shards and is_within(model):
        raise RuntimeError(
            "With shards=True, the steps of a Pipeline before the model would learn "
            "from a shard each, and bring the shards to different scales: transform "
            "the samples before the block, and fit the model alone."
        )
    if ranks.shards and model.augment is not None and is_users(model.augment):
        raise RuntimeError(
            f"augment={model.augment!r} may look at all images of a batch, but with "
            "shards=True no process has them: use a distortion of "
            "skdigits.augmentation, or pass the same samples on all ranks."
        )


def agree_on_validation(
    ranks: Ranks, model: "GradientClassifier", validation: Samples | None
) -> None:
    """Check that ranks have the same validation samples, where they need them.

    Raises
    ------
    ValueError
        If they have not, or if a user's score would need samples of other shards.
    """
    found = {"whether there are validation samples": ("", str(validation is None))}
    if validation is not None:
        rest = [validation.X.shape, validation.codes, validation.weight]
        found["the validation samples"] = ("", digest(rest))
    agree(ranks, found)

    scores = model.early_stopping and model.scoring not in (None, "loss")
    if ranks.shards and scores and validation is None:
        raise ValueError(
            f"scoring={model.scoring!r} needs all validation samples in one process, "
            "but early_stopping=True sets a part of each shard aside: pass X_val and "
            "y_val, or scoring=None."
        )


def saved_for_ranks(
    ranks: Ranks,
    callbacks: "FitCallbacks | None",
    samples: Samples,
    validation: Samples | None,
) -> Saved | None:
    """Return what a checkpoint of rank 0 holds of this fit; None if it begins."""
    if not ranks.first(callbacks is not None and bool(callbacks.checkpoints)):
        return None
    if ranks.shards:
        # Those of all ranks: each has to continue with its own.
        digests: Any = ranks.gathered(digest(samples.X))
        samples = samples._replace(X=digests)

    def call() -> Saved | None:
        assert callbacks is not None
        return callbacks.saved(samples, validation)

    return from_first(ranks, call)


def agree(ranks: Ranks, found: Fingerprint) -> None:
    """Check that ranks have found the same.

    Raises
    ------
    ValueError
        If they have not, on all ranks.
    """
    _refuse_differences(ranks.gathered(found))


def _refuse_differences(every: list[Fingerprint]) -> None:
    """Raise an error if what ranks have found differs."""
    for rank, other in enumerate(every):
        names = differences(every[0], other)
        if names:
            texts = [
                f"{name}{_of_two(every[0].get(name), other.get(name), rank)}"
                for name in names
            ]
            raise ValueError(
                f"Ranks that fit one model need the same, but rank {rank} differs from "
                f"rank 0 in {'; '.join(texts)}. Pass the same on all ranks."
            )


def _of_two(
    first: tuple[str, str] | None, other: tuple[str, str] | None, rank: int
) -> str:
    """Return what two ranks have found, if there are words for it."""
    texts = [one[0] if one else "missing" for one in (first, other)]
    if texts[0] == texts[1]:
        return ""
    return f" ({texts[0]} on rank 0, {texts[1]} on rank {rank})"


def agree_on_model(
    ranks: Ranks, model: "TorchClassifier", state: object, draws: bool
) -> None:
    """Check that ranks fit the same model, from the same state.

    ``draws`` tells whether the fit draws numbers by ``random_state``.

    Raises
    ------
    ValueError
        If a parameter or the state differs, or ``random_state`` is None.
    """
    # Each process may have a GPU of its own.
    params = model.get_params(deep=False)
    params.pop("device")
    found = described(params)
    found["the class of the model"] = (type(model).__name__,) * 2
    found["the fitted model, from which training continues"] = ("", digest(state))
    agree(ranks, found)
    if draws and model.random_state is None:
        raise ValueError(
            "random_state=None draws other numbers on every rank: pass the same "
            "integer on all of them, such as random_state=0."
        )


def samples_of_ranks(
    ranks: Ranks,
    model: "TorchClassifier",
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    *,
    reset: bool,
    classes: np.ndarray | None = None,
    class_weight: dict[Any, float] | str | None = None,
    takes_labels: bool = False,
) -> tuple[Samples, int | None]:
    """Check the samples of a fit, and that those of all ranks belong together.

    Returns
    -------
    Samples
        X is that of this rank. With shards, codes and weights are those of all ranks,
        one after the other.
    first : int or None
        Position of the first sample of X among them; None if X has all samples.

    Raises
    ------
    ValueError
        If the samples of a rank are not as they should be, or differ where they must
        not.
    """
    with together(ranks):
        samples = check_samples(
            model,
            X,
            y,
            sample_weight,
            reset=reset,
            classes=classes,
            class_weight=None if ranks.shards else class_weight,
            takes_labels=takes_labels,
            is_part=ranks.shards,
        )
        device = training_device(model.device, samples.X)
        own = _describe(model, samples, device, ranks.shards)

    every = ranks.gathered(own)
    _compare(ranks, every)
    in_files = [one.in_file for one in every]
    first = None
    if ranks.shards:
        if reset:
            model._learnt = _learnt_by_all(ranks, model._learnt)
        samples, first = _joined(ranks, samples)
        single = classes is None and len(samples.classes) == 1
        with together(ranks):
            if ranks.rank == 0 and reset and (samples.multilabel or single):
                warn_of_targets(samples.codes, samples.classes)
        if class_weight is not None:
            weight = weights_by_class(samples, class_weight)
            samples, first = _weighted(samples, first, weight)
            in_files = ranks.gathered(_in_file(samples, device))

    # Ranks have more and less free memory, but draw their samples in the same order.
    in_file = None
    if None not in in_files:
        in_file = InFile(any(one.exceed_memory for one in in_files if one is not None))
    return samples._replace(in_file=in_file), first


class _Description(NamedTuple):
    """What the other ranks learn of a rank's samples and of its device.

    ``rows`` are a few of X, if ranks are to have the same ones. ``shard`` stands for a
    few rows and all labels. ``gpu`` is the name of its GPU.
    """

    found: Fingerprint
    rows: np.ndarray | None
    shard: str
    gpu: str | None
    in_file: InFile | None


def _describe(
    model: "TorchClassifier", samples: Samples, device: torch.device, is_part: bool
) -> _Description:
    """Return what the other ranks learn of this one."""
    rows = _few_rows(samples.X)
    return _Description(
        _found_in(model, samples, is_part),
        None if is_part else rows,
        digest([rows, samples.classes, samples.codes]),
        name_of_gpu(device) if device.type == "cuda" else None,
        _in_file(samples, device),
    )


def _in_file(samples: Samples, device: torch.device) -> InFile | None:
    """Return what is known of the file in which samples lie; None if in none."""
    stays = device.type == "cpu" and rows_in_file(samples.X) is not None
    return samples.in_file if stays else None


def _compare(ranks: Ranks, every: list[_Description]) -> None:
    """Compare the samples and the devices of ranks.

    Raises
    ------
    ValueError
        If their samples do not belong together.
    """
    _refuse_differences([one.found for one in every])
    for rank, one in enumerate(every):
        if not _has_same_rows(one, every[0]):
            raise ValueError(
                f"X has other values on rank {rank} than on rank 0. Pass the same X on "
                "all ranks, and random_state to the steps of a Pipeline. If each rank "
                "has samples of its own, fit within data_parallel(shards=True)."
            )

    texts = [shared_gpu([one.gpu for one in every])]
    if ranks.shards:
        texts.append(same_shards([one.shard for one in every]))
    if any(texts):
        with together(ranks):
            for text in filter(None, texts if ranks.rank == 0 else []):
                warn_user(text, UserWarning)


def _has_same_rows(one: _Description, other: _Description) -> bool:
    if one.rows is None or other.rows is None:
        return True
    # Steps of a Pipeline may round differently on other processors.
    rounding = 1e-3 * np.abs(other.rows).max(initial=0)
    return bool((np.abs(one.rows - other.rows) <= rounding).all())


def same_shards(shards: list[str]) -> str:
    """Return a warning about ranks with the same samples; empty if there are none."""
    for rank, shard in enumerate(shards):
        first = shards.index(shard)
        if first < rank:
            return (
                f"Ranks {first} and {rank} seem to pass the same samples with "
                "shards=True, which makes the model learn them twice: fit within "
                "data_parallel(), without shards."
            )
    return ""


def _found_in(model: "TorchClassifier", samples: Samples, is_part: bool) -> Fingerprint:
    """Return what ranks have to agree on of their samples."""
    dtype = str(samples.X.dtype)
    n_features = str(samples.X.shape[1])
    names = [*map(str, getattr(model, "feature_names_in_", []))]
    pixels = str(model.pixels_)
    found = {
        "the number of features of X": (n_features, n_features),
        "the names of the features": ("", digest(names)),
        "the dtype of X": (dtype, dtype),
        "whether integers in X are pixels, so set pixels": (pixels, pixels),
        "the form of y": ("", str(samples.codes.shape[1:])),
    }
    if not is_part:
        n_samples = str(len(samples.codes))
        found["the number of samples"] = (n_samples, n_samples)
        found["y"] = ("", digest([samples.classes, samples.codes]))
        found["the weights of samples"] = ("", digest(samples.weight))
    return found


def _few_rows(X: Any) -> np.ndarray:
    """Return rows from all over X, and of many features some."""
    n_samples, n_features = X.shape
    rows = np.unique(np.linspace(0, n_samples - 1, min(FEW_ROWS, n_samples)).round())
    found: Any = take_samples(X, rows.astype(int))
    step = -(-n_features // FEW_FEATURES)
    dense = found.toarray() if issparse(found) else to_numpy(found)
    return dense[:, ::step].astype(float)


def _learnt_by_all(
    ranks: Ranks, learnt: tuple[float, float, bool]
) -> tuple[float, float, bool]:
    """Return the range of the numbers in all shards, as `as_read` keeps it."""
    smallest, largest, are_fractions = zip(*ranks.gathered(learnt), strict=True)
    return min(smallest), max(largest), all(are_fractions)


def _joined(ranks: Ranks, samples: Samples) -> tuple[Samples, int]:
    """Return samples with the codes and weights of all shards; where X begins.

    Raises
    ------
    ValueError
        If the classes of some shards are words, and those of others are numbers.
    """
    every = ranks.gathered((samples.classes, samples.codes, samples.weight))
    kinds = {classes.dtype.kind in "OSUT" for classes, _, _ in every}
    if len(kinds) > 1:
        raise ValueError(
            "y has words on some ranks and numbers on others: pass y.astype(str), or "
            "numbers, on all of them."
        )
    union = np.unique(np.concatenate([classes for classes, _, _ in every]))
    codes = [
        own if own.ndim == 2 else np.searchsorted(union, classes)[own]
        for classes, own, _ in every
    ]

    weight = None
    if any(own is not None for _, _, own in every):
        weights = [np.ones(len(part)) if own is None else own for _, part, own in every]
        weight = np.concatenate(weights)
    first = sum(map(len, codes[: ranks.rank]))
    joined = Samples(
        samples.X, np.concatenate(codes), weight, union, in_file=samples.in_file
    )
    return joined, first


def _weighted(samples: Samples, first: int, weight: np.ndarray) -> tuple[Samples, int]:
    """Return samples in shards with these weights, those of weight 0 left out."""
    own = weight[first : first + len(samples.X)]
    part = Samples(samples.X, own, None, samples.classes).weighted(own)
    kept = np.flatnonzero(weight)
    whole = samples._replace(X=part.X, codes=samples.codes[kept], weight=weight[kept])
    return whole, int(np.searchsorted(kept, first))


def shared_gpu(gpus: list[str | None]) -> str:
    """Return a warning about ranks with the same GPU; empty if there are none."""
    for rank, gpu in enumerate(gpus):
        first = gpus.index(gpu)
        if gpu is not None and first < rank:
            return (
                f"Ranks {first} and {rank} compute on the same GPU: call "
                "torch.cuda.set_device(int(os.environ['LOCAL_RANK'])) first, which "
                "gives each process that torchrun starts a GPU of its own."
            )
    return ""
