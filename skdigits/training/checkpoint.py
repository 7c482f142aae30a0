"""Checkpoints: everything that an estimator keeps in order to continue training."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import joblib
import numpy as np
import torch
from sklearn.base import BaseEstimator

from skdigits._arrays import to_numpy, to_tensor
from skdigits._input_checks import Samples
from skdigits.engine.network import Network
from skdigits.engine.solvers import SOLVERS
from skdigits.engine.train import fresh_state
from skdigits.engine.types import (
    Going,
    Params,
    Progress,
    RngState,
    Run,
    State,
    Stopping,
)
from skdigits.training.reading import shuffle_of
from skdigits.training.settings import monitored_settings

if TYPE_CHECKING:
    from skdigits._gradient import GradientClassifier
    from skdigits.training.session import Trainable

WITHOUT_EFFECT = {"verbose", "n_jobs", "pre_dispatch", "working_memory"}
"""Parameters that change no result."""

GOES_ON_FROM = "the fitted model, from which warm_start=True goes on"

Fingerprint = dict[str, tuple[str, str]]
"""A text and a hash of everything that a training depends on, by its name."""


class Start(NamedTuple):
    """The start of a run: its state, and the generators of each of its replicas.

    ``rngs`` shuffle the samples. ``split_states`` are those of the generators before
    they choose the validation samples, the same ones whenever training continues, so
    that it never learns from them. ``noise_seeds`` are for dropout and distortions.
    ``past`` is the run so far, of a single model that goes on from a file.
    """

    state: State
    rngs: list[np.random.RandomState]
    split_states: Sequence[RngState]
    noise_seeds: list[int]
    past: Run | None = None


class Saved(NamedTuple):
    """Contents of a checkpoint file: the model so far, and the state to continue from.

    ``latest`` are the parameters of `Going`, None if training has ended with this
    ``status``; ``evaluations`` are those of L-BFGS.
    """

    model: "GradientClassifier"
    status: str
    latest: list[np.ndarray] | None
    evaluations: list[tuple[float, np.ndarray]]


class Checkpoint(NamedTuple):
    """What an estimator keeps beside its parameters, as NumPy arrays and numbers.

    ``moments`` hold for ``solver`` only, ``stopping`` for ``monitored`` settings only.
    ``seen``, ``epochs``, ``steps`` and ``cycle`` are those of `Progress`; states of
    generators, and the seed, are those of `Start`.
    """

    solver: str
    monitored: tuple[object, ...]
    moments: list[list[np.ndarray]]
    stopping: list[float]
    seen: float
    epochs: int
    steps: int
    cycle: int
    rng_state: RngState
    split_state: RngState
    noise_seed: int


def resume(
    model: "GradientClassifier",
    network: Network,
    dtype: torch.dtype,
    device: torch.device,
    solver: str,
    incremental: bool,
) -> Start:
    """Return where a fitted model was left, without what other settings invalidate.

    A cycle of the learning rate goes on if ``incremental``, and else begins again.
    """
    checkpoint = model._checkpoint
    params = _to_params(model, network, dtype, device)
    state = fresh_state(params, solver)
    progress = Progress(_host([checkpoint.seen]), checkpoint.epochs)

    # Moments of another solver mean something else, and so do the steps of Adam's bias
    # correction.
    if checkpoint.solver == solver:
        moments = tuple(
            tuple(to_tensor(array, device).to(dtype)[None] for array in group)
            for group in checkpoint.moments
        )
        state = state._replace(moments=moments)
        progress = progress._replace(steps=checkpoint.steps)
    if incremental:
        progress = progress._replace(cycle=checkpoint.cycle)
    if checkpoint.monitored == monitored_settings(model, solver):
        stopping = Stopping(*(_host([value]) for value in checkpoint.stopping))
        state = state._replace(stopping=stopping)

    state = state._replace(progress=progress)
    rng = generator(checkpoint.rng_state)
    return Start(state, [rng], [checkpoint.split_state], [checkpoint.noise_seed])


def to_save(model: "GradientClassifier", run: Run) -> Saved:
    """Return what to save of a run, and of the model that it has made so far."""
    going = run.going
    if going is None:
        return Saved(model, run.status, None, [])
    latest = [to_numpy(p) for p in going.params]
    return Saved(model, run.status, latest, list(going.evaluations))


def from_saved(
    saved: Saved,
    network: Network,
    dtype: torch.dtype,
    device: torch.device,
    rngs: list[np.random.RandomState],
) -> Start:
    """Return the start of a fit that goes on from a file.

    ``rngs`` are the generators of a fit from scratch: that of a user moves along.
    """
    model = saved.model
    solver = model._checkpoint.solver
    start = resume(model, network, dtype, device, solver, incremental=True)
    rng_state = model._checkpoint.rng_state
    rngs[0].set_state(rng_state)
    state = start.state
    epochs = list(model._history.latest)
    run = Run(state, epochs, saved.status, rng_state)
    if saved.latest is None:
        return start._replace(rngs=rngs, past=run)

    params = tuple(to_tensor(p, device) for p in saved.latest)
    progress = state.progress
    if SOLVERS[solver].full_batch:
        progress = progress._replace(epochs=progress.epochs - len(epochs))
    return start._replace(
        state=state._replace(params=params, progress=progress),
        rngs=rngs,
        past=run._replace(going=Going(params, saved.evaluations)),
    )


def fingerprint(
    model: "GradientClassifier", samples: Samples, validation: Samples | None
) -> Fingerprint:
    """Return a text and a hash of everything that a fit depends on, by its name."""
    found = described(model.get_params(deep=False))
    # A file that exceeds memory here may not do so where the fit goes on.
    file = samples.in_file
    if file is not None:
        shuffle = shuffle_of(model, samples.X, file.exceed_memory)
        found |= described({"shuffle": shuffle})
    found["X"] = ("", digest(samples.X))
    found["y"] = ("", digest([samples.classes, samples.codes]))
    found["sample_weight"] = ("", digest(samples.weight))
    if validation is not None:
        rest = [validation.codes, validation.weight]
        found["X_val or y_val"] = ("", digest([validation.X, *rest]))
    if model.warm_start and hasattr(model, "classes_"):
        found[GOES_ON_FROM] = ("", _digest_of_fitted(model))
    return found


def _digest_of_fitted(model: "GradientClassifier") -> str:
    layers = [tuple(map(to_numpy, pair)) for pair in model._layers]
    return digest([layers, model._checkpoint])


def described(params: dict[str, Any]) -> Fingerprint:
    """Return a text and a hash of each parameter that a result depends on."""
    return {
        name: (repr(value)[:80], digest(value))
        for name, value in params.items()
        if name not in WITHOUT_EFFECT
    }


def digest(value: object) -> str:
    """Return a hash of a value, the same one in another process."""
    try:
        found: str = joblib.hash(_plain(value))
    except Exception:  # of whatever objects users pass, such as a lambda
        found = f"{type(value).__qualname__} {getattr(value, '__qualname__', '')}"
    return found


def _plain(value: Any) -> Any:
    """Return a value with names and parameters in place of estimators."""
    if isinstance(value, BaseEstimator):
        params = value.get_params(deep=False)
        kept = {name: _plain(params[name]) for name in params.keys() - WITHOUT_EFFECT}
        return [type(value).__qualname__, kept]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    # Arrays of any namespace, but no sparse ones, which joblib knows.
    is_array = hasattr(value, "__array_namespace__") or isinstance(value, torch.Tensor)
    return to_numpy(value) if is_array else value


def to_continue(
    path: Path, parts: Sequence[Any], now: Fingerprint
) -> tuple[Fingerprint, Saved] | None:
    """Return the fingerprint of the training in a file, and what it takes to go on.

    None if the file holds another training, which has ended: it may be replaced.

    Raises
    ------
    ValueError
        If the file belongs to another training that has not ended, or to a search.
    """
    if len(parts) != 2:
        raise ValueError(
            f"The checkpoint {str(path)!r} is part of a search, and is left as it is: "
            "choose another path."
        )
    before = parts[1]["fingerprint"]
    saved = Saved(parts[0], *parts[1]["going"])
    names = differences(before, now)
    if not names:
        return before, saved
    if saved.latest is None:
        return None

    # After an interrupt, a warm start has the model of the file: it is the same fit.
    is_interrupted = now.get(GOES_ON_FROM) == ("", _digest_of_fitted(saved.model))
    if is_interrupted and {*names} <= {"warm_start", GOES_ON_FROM}:
        return before, saved
    raise another_training(path, before, now)


def differences(before: Fingerprint, now: Fingerprint) -> list[str]:
    """Return the names of everything in which two trainings differ."""
    nothing = ("", "")
    return [
        name
        for name in dict.fromkeys([*before, *now])
        if before.get(name, nothing)[1] != now.get(name, nothing)[1]
    ]


def another_training(path: Path, before: Fingerprint, now: Fingerprint) -> ValueError:
    """Return the error about a file of another training that has not ended."""
    found = []
    for name in differences(before, now):
        old, new = (one.get(name, ("", ""))[0] for one in (before, now))
        found.append(f"{name} was {old} and is {new}" if old != new else name)
        if old.startswith("RandomState("):
            found[-1] = f"{name}, a generator that moves on: pass an integer"
    return ValueError(
        f"The checkpoint {str(path)!r} belongs to another training, which has not "
        f"ended. It differs in: {'; '.join(found)}. Fit with the same parameters and "
        "samples to continue it; to give it up, delete it or choose another path. "
        "Before, load_checkpoint can save its model, to fit it with warm_start=True."
    )


def generator(state: RngState) -> np.random.RandomState:
    """Return a new generator in a state."""
    rng = np.random.RandomState(0)
    rng.set_state(state)
    return rng


def check_resumable(
    model: "GradientClassifier", samples: Samples, network: Network
) -> None:
    """Check that a fitted model can be trained further on these samples.

    Raises
    ------
    ValueError
        If the kind of targets, the classes or the layers differ.
    """
    if model._multilabel != samples.multilabel:
        kinds = {
            True: "labels, of which a sample may have several",
            False: "one class per sample",
        }
        raise ValueError(
            f"The model was fitted to {kinds[model._multilabel]}, but y now has "
            f"{kinds[samples.multilabel]}: clone it to start from scratch."
        )
    if not np.array_equal(model.classes_, samples.classes):
        raise ValueError(
            "warm_start can only be used where `y` has the same classes as in the "
            f"previous call to fit. Previously got {model.classes_}, `y` has "
            f"{samples.classes}: set warm_start=False to start from scratch."
        )

    fitted = model._fitted.layout
    wanted = network.layout
    if fitted != wanted:
        raise ValueError(
            f"The fitted model has shapes {list(fitted)}, but its parameters now ask "
            f"for {list(wanted)}: clone it to start from scratch."
        )


def fitted_params(model: "Trainable", network: Network, device: torch.device) -> Params:
    """Return the fitted parameters of a model, K = 1, in their own dtype."""
    layers = [
        (to_tensor(weight, device), to_tensor(bias, device))
        for weight, bias in model._layers
    ]
    return network.from_layers(layers)


def _to_params(
    model: "Trainable",
    network: Network,
    dtype: torch.dtype,
    device: torch.device,
) -> Params:
    """Return a copy of the fitted parameters, K = 1, to be trained further."""
    return tuple(p.to(dtype, copy=True) for p in fitted_params(model, network, device))


def _host(values: list[float]) -> torch.Tensor:
    """Return numbers in float64 on the host, whatever torch's defaults are."""
    return torch.tensor(values, dtype=torch.float64, device="cpu")
