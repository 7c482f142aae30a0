"""Where training begins, and what a fitted estimator keeps in order to go on with it."""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from skdigits._arrays import to_numpy, to_tensor
from skdigits._validation import Rows, private_random_state
from skdigits.augmentation import name_of
from skdigits.engine import train
from skdigits.engine.networks import LayeredNetwork
from skdigits.engine.types import Network, Params, Progress, Run, State, Stopping


class Start(NamedTuple):
    """Where a run begins: its state, and the generators of each of its streams.

    ``rngs`` shuffle the rows; ``split_rngs`` are what chooses those to validate on, the same
    whenever training goes on, so that it never learns from them.
    """

    state: State
    rngs: list[np.random.RandomState]
    split_rngs: list[np.random.RandomState]
    noise_seeds: list[int]

    def of(self, stream: int) -> "Start":
        """What the models of one stream would have begun with alone."""
        one = slice(stream, stream + 1)
        return Start(
            self.state, self.rngs[one], self.split_rngs[one], self.noise_seeds[one]
        )


class Memory(NamedTuple):
    """What an estimator keeps beside its parameters, as NumPy arrays and numbers.

    ``solver`` gives the moments their meaning, ``merit`` the bookkeeping: under others they
    have none. ``seen``, ``epochs``, ``steps`` and ``cycle`` are the progress; the rest is as
    in `State` and `Start`.
    """

    solver: str
    merit: tuple[object, ...]
    moments: list[list[np.ndarray]]
    stopping: list[float]
    seen: float
    epochs: int
    steps: int
    cycle: int
    rng: np.random.RandomState
    split_rng: np.random.RandomState
    noise_seed: int


def begin(
    estimators: Sequence[Any], network: Network, like: Tensor, n_streams: int
) -> Start:
    """Untrained models, in the dtype and on the device of ``like``.

    Those of a stream have one ``random_state``. The seed of dropout is drawn from a copy of
    the generator: weights and row orders are to be the same with and without dropout.
    """
    leads = estimators[:: len(estimators) // n_streams]
    rngs = [private_random_state(lead.random_state) for lead in leads]
    seeds = [copy.deepcopy(rng).randint(2**31 - 1) for rng in rngs]
    state = train.initial_state(network, leads[0].solver, rngs, len(estimators), like)
    return Start(state, rngs, rngs, seeds)


def remember(estimator: Any, run: Run, start: Start) -> Memory:
    """What to keep of the run of one stream that began at ``start`` and left one model."""
    state, (_, epochs, steps, cycle) = run.state, run.state.progress
    return Memory(
        solver=estimator.solver,
        merit=_merit(estimator),
        moments=[[to_numpy(tensor[0]) for tensor in group] for group in state.moments],
        stopping=[values.item() for values in state.stopping],
        seen=state.progress.seen.item(),
        epochs=epochs,
        steps=steps,
        cycle=cycle,
        rng=run.rng,
        split_rng=start.split_rngs[0],
        noise_seed=start.noise_seeds[0],
    )


def resume(estimators: Sequence[Any], like: Tensor, restart_cycle: bool) -> Start:
    """The estimators as they were left, but for what other settings have made void."""
    memories = [estimator._memory for estimator in estimators]
    lead, solver = memories[0], estimators[0].solver
    params = _stack(
        [fitted_params(estimator, like.device) for estimator in estimators], like
    )
    state = train.fresh_state(params, solver)
    progress = Progress(_host([memory.seen for memory in memories]), lead.epochs)
    if lead.solver == solver:
        state = state._replace(moments=_moments(memories, like))
        progress = progress._replace(steps=lead.steps)
    if not restart_cycle:
        progress = progress._replace(cycle=lead.cycle)
    state = state._replace(
        progress=progress, stopping=_stopping(estimators, state.stopping)
    )
    rng, split_rng = copy.deepcopy((lead.rng, lead.split_rng))
    return Start(state, [rng], [split_rng], [lead.noise_seed])


def check_resumable(
    estimators: Sequence[Any], rows: Rows, network: LayeredNetwork
) -> None:
    """Check that what was fitted before is what is to be trained further.

    Raises
    ------
    ValueError
        If classes or layers are others, or models of a run were not left together.
    """
    lead = estimators[0]
    if lead._multilabel != rows.multilabel:
        kinds = {
            True: "labels, of which a row may have several",
            False: "one class per row",
        }
        raise ValueError(
            f"The model was fitted to {kinds[lead._multilabel]}, but y now has "
            f"{kinds[rows.multilabel]}: clone it to begin anew."
        )
    if not np.array_equal(lead.classes_, rows.classes):
        raise ValueError(
            "warm_start can only be used where `y` has the same classes as in the previous "
            f"call to fit. Previously got {lead.classes_}, `y` has {rows.classes}: set "
            "warm_start=False to begin anew."
        )
    fitted, wanted = lead._layout(), network.layout
    if fitted != wanted:
        raise ValueError(
            f"The fitted model has shapes {list(fitted)}, its parameters now ask for "
            f"{list(wanted)}: clone it to begin anew."
        )
    if not all(_left_together(lead, other) for other in estimators[1:]):
        raise ValueError(
            "Models of one run must have been left after the same epoch of one run: go on "
            "with these in runs of their own."
        )


def fitted_params(estimator: Any, device: torch.device) -> Params:
    """The fitted weights (H, D) and biases (H, 1), alternating, as tensors."""
    pairs = zip(estimator._weights(), estimator._biases(), strict=True)
    return tuple(
        tensor
        for weight, bias in pairs
        for tensor in (
            to_tensor(weight, device).flatten(1),
            to_tensor(bias, device)[:, None],
        )
    )


def _merit(estimator: Any) -> tuple[object, ...]:
    """All that an epoch's loss or score depends on, beside the rows."""
    names = ("solver", "early_stopping", "scoring", "loss", "label_smoothing", "alpha")
    settings = estimator.get_params(deep=False)
    noise = (
        settings.get("dropout"),
        name_of(estimator.augment),
        str(estimator.image_shape),
    )
    return (*(settings[name] for name in names), *noise)


def _left_together(one: Any, other: Any) -> bool:
    if not other.__sklearn_is_fitted__():
        return False
    a, b = one._memory, other._memory
    orders = [memory.rng.get_state()[1:3] for memory in (a, b)]
    same_orders = all(map(np.array_equal, *orders))
    same_classes = np.array_equal(one.classes_, other.classes_)
    same_shapes = [w.shape for w in one._weights()] == [
        w.shape for w in other._weights()
    ]
    pasts = [(m.solver, m.epochs, m.steps, m.cycle, m.noise_seed) for m in (a, b)]
    return same_orders and same_classes and same_shapes and pasts[0] == pasts[1]


def _moments(memories: Sequence[Memory], like: Tensor) -> tuple[Params, ...]:
    groups = zip(*(memory.moments for memory in memories), strict=True)
    return tuple(
        _stack(
            [tuple(to_tensor(array, like.device) for array in one) for one in many],
            like,
        )
        for many in groups
    )


def _stopping(estimators: Sequence[Any], fresh: Stopping) -> Stopping:
    """What each has kept, or what it begins with where that was about something else."""
    memories = [estimator._memory for estimator in estimators]
    pairs = zip(memories, estimators, strict=True)
    same = [memory.merit == _merit(model) for memory, model in pairs]
    holds = torch.tensor(same, device="cpu")
    kept = _host([memory.stopping for memory in memories]).T
    return Stopping(*map(torch.where, [holds] * 3, kept, fresh))


def _host(values: Any) -> Tensor:
    """Numbers in float64 on the host, whatever torch's defaults are."""
    return torch.tensor(values, dtype=torch.float64, device="cpu")


def _stack(models: Sequence[Params], like: Tensor) -> Params:
    """Parameters of single models as those of one run, in the dtype and place of ``like``."""
    columns = zip(*models, strict=True)
    return tuple(torch.stack([p.to(like) for p in column]) for column in columns)
