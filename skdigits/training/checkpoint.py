"""Checkpoints: everything that an estimator keeps in order to continue training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from skdigits._arrays import to_tensor
from skdigits._input_checks import Samples
from skdigits.engine.network import Network
from skdigits.engine.train import fresh_state
from skdigits.engine.types import Params, Progress, RngState, State, Stopping
from skdigits.training.settings import monitored_settings

if TYPE_CHECKING:
    from skdigits._gradient import GradientClassifier
    from skdigits.training.session import Trainable


class Start(NamedTuple):
    """The start of a run: its state, and the generators of each of its replicas.

    ``rngs`` shuffle the samples. ``split_states`` are those of the generators before
    they choose the validation samples, the same ones whenever training continues, so
    that it never learns from them. ``noise_seeds`` are for dropout and distortions.
    """

    state: State
    rngs: list[np.random.RandomState]
    split_states: Sequence[RngState]
    noise_seeds: list[int]


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
