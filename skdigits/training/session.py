"""The training session: the only way from estimators and samples to trained models.

`prepare` turns K estimators and their samples into a `Session`, and `run` trains the
session. A fit prepares one model. A search prepares many models, in one replica for
each fold and seed. A range test runs single steps. Observers follow a run.
"""

import copy
import itertools
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from skdigits._arrays import (
    AHEAD,
    LARGE,
    Array,
    one_ahead,
    side_by_side,
    to_tensor,
    to_torch,
    training_device,
    within_operations,
)
from skdigits._input_checks import Samples, private_random_state
from skdigits.engine.batches import Data
from skdigits.engine.network import Network, join, select
from skdigits.engine.ranks import Ranks
from skdigits.engine.sizes import SIZES
from skdigits.engine.solvers import SOLVERS
from skdigits.engine.train import fresh_state, train
from skdigits.engine.types import (
    Epoch,
    Hyper,
    Latest,
    Observer,
    Params,
    Plan,
    Run,
    Score,
    State,
    Workers,
)
from skdigits.training.checkpoint import (
    Saved,
    Start,
    check_resumable,
    from_saved,
    generator,
    resume,
)
from skdigits.training.data import held_out_samples, split
from skdigits.training.fitted import snapshot
from skdigits.training.meeting import Meeting
from skdigits.training.messages import Message, before_training
from skdigits.training.observers import all_of, validation_scorer
from skdigits.training.ranks import of_first
from skdigits.training.reading import reader_of
from skdigits.training.settings import hyper_of, plan_of, solver_of, working_dtype

if TYPE_CHECKING:
    from skdigits._gradient import GradientClassifier


class Trainable(Protocol):
    """The members that a session needs of an estimator, in addition to its parameters.

    `skdigits._gradient.GradientClassifier` implements all of them except ``_network``
    and ``_network_type``.
    """

    _ftol: float
    _network_type: type[Network]

    @property
    def _layers(self) -> list[tuple[Array, Array]]:
        """Return the fitted weights and biases of each layer."""

    def _network(self, n_features: int, n_classes: int, multilabel: bool) -> Network:
        """Return the network that the parameters describe."""

    def _set_layers(self, layers: list[tuple[Array, Array]], network: Network) -> None:
        """Set the fitted attributes of the layers' weights and biases."""


class Session(NamedTuple):
    """K models in R replicas, ready to train.

    The models of a replica see the same samples in the same order. ``models`` are K
    estimators, replica by replica. ``template`` is the estimator that checked the
    samples, so it has ``n_features_in_`` and the feature names. ``samples`` are the
    first of the samples passed to `prepare`; the others have the same classes and
    dtype. The caller emits ``messages`` before training. An ``incremental`` session is
    that of a ``partial_fit``. ``ranks`` are the processes that train the only model.
    """

    models: "Sequence[GradientClassifier]"
    template: "GradientClassifier"
    samples: Samples
    network: Network
    data: Data
    validation: Data | None
    score: Score | None
    plan: Plan
    hyper: Hyper
    start: Start
    messages: list[Message]
    incremental: bool = False
    ranks: Ranks | None = None


def prepare(
    models: "Sequence[GradientClassifier]",
    samples: Sequence[Samples],
    *,
    template: "GradientClassifier | None" = None,
    replicas: Sequence[np.ndarray] | None = None,
    validation_samples: Samples | None = None,
    resuming: bool = False,
    incremental: bool = False,
    saved: Saved | None = None,
    first_position: int | None = None,
) -> Session:
    """Prepare the training of models that differ only in batchable parameters.

    Parameters
    ----------
    models : sequence of GradientClassifier
        K models with valid parameters, the same number in each replica. The models of a
        replica have the same ``random_state``.
    samples : sequence of Samples
        Samples with the same features, classes and dtype; they are concatenated.
    template : GradientClassifier, optional
        Estimator that checked the samples. By default, the first model.
    replicas : sequence of ndarray, optional
        Positions of the samples of each replica. By default, one replica has all
        samples.
    validation_samples : Samples, optional
        Validation samples, for a single replica. By default, early stopping holds out a
        part of each replica's samples.
    resuming : bool
        Whether the only model continues its previous training.
    incremental : bool
        Whether to add an epoch to the current cycle of the schedule, as in
        ``partial_fit``.
    saved : Saved, optional
        State of this training in a checkpoint file, from which to continue.
    first_position : int, optional
        Position of the first sample of X, if X is the shard of one process.

    Raises
    ------
    ValueError
        If a setting or the state to continue from does not match the samples.
    """
    first = models[0]
    first_samples = samples[0]
    device = training_device(first.device, first_samples.X)
    data = to_torch(samples, device)._replace(first=first_position)
    if first_samples.in_file is not None and len(samples) == 1:
        data = data._replace(reader=reader_of(first, first_samples))
    n_replicas = 1 if replicas is None else len(replicas)
    if replicas is not None:
        data = data._replace(samples=to_tensor(np.stack(replicas), device))
    dtype = working_dtype(getattr(first, "precision", "auto"), data.X)
    network = first._network(
        first_samples.X.shape[1], len(first_samples.classes), first_samples.multilabel
    )
    solver = first.solver
    if solver == "auto":
        solver = solver_of(first, data.n_samples, data.X.shape[1], incremental)

    if resuming:
        check_resumable(first, first_samples, network)
        start = resume(first, network, dtype, device, solver, incremental)
    else:
        start = begin(models, network, dtype, device, n_replicas, solver)
    if saved is not None:
        start = from_saved(saved, network, dtype, device, start.rngs)
    validation = None
    if validation_samples is not None:
        validation = to_torch([validation_samples], device)
    elif first.early_stopping and not SOLVERS[solver].full_batch:
        rngs = _split_rngs(start, resuming or saved is not None)
        data, validation = split(first, data, first_samples.classes, rngs)

    session = Session(
        models=models,
        template=first if template is None else template,
        samples=first_samples,
        network=network,
        data=data,
        validation=validation,
        score=None,
        plan=plan_of(first, network, solver, data, start.noise_seeds),
        hyper=hyper_of(models, data, network, solver),
        start=start,
        messages=[],
    )
    session = session._replace(messages=before_training(session, incremental))
    if first.scoring in (None, "loss"):
        return session
    held_out = validation_samples or held_out_samples(first_samples, validation)
    score = validation_scorer(first.scoring, held_out, partial(snapshot, session))
    return session._replace(score=score)


def run(
    session: Session,
    observers: Sequence[Observer] = (),
    epochs: int | None = None,
    latest: Latest | None = None,
) -> list[Run]:
    """Train the models of a session.

    Parameters
    ----------
    session : Session
        Session from `prepare`.
    observers : sequence of Observer
        Observers, called in this order after every epoch.
    epochs : int, optional
        Number of the planned epochs to run now. By default, all of them.
    latest : Latest, optional
        Holder of the last complete epoch of a single model.

    Returns
    -------
    list of Run
        One run per model.
    """
    past = session.start.past
    if past is not None and past.going is None:
        return [past]

    ranks = session.ranks
    observer = observers[0] if observers else None
    if len(observers) > 1:
        observer = all_of(observers)
    if ranks is not None:
        observer = of_first(ranks, observer)

    plan = session.plan if epochs is None else session.plan._replace(epochs=epochs)
    network = session.network
    n_models = len(session.models)
    n_samples = session.data.n_samples
    work = 3 * network.n_products * n_samples
    solver = SOLVERS[plan.solver]
    step = work * min(plan.batch_size, n_samples) / n_samples
    device = session.data.X.device
    in_block = SIZES[device.type].block_samples
    gathered = 0
    if plan.shuffle and plan.batch_size < n_samples and not solver.full_batch:
        gathered = in_block * session.data.X.shape[1]
    threads: AbstractContextManager[Workers | None] = within_operations(step)
    if device.type == "cpu":
        in_chunk = network.chunk_samples(device)
        if solver.full_batch and n_samples > in_chunk:
            threads = side_by_side(work, math.ceil(n_samples / in_chunk))
        elif n_models > 1 and not solver.full_batch:
            # A user's own code runs in the calling thread.
            own = plan.runs_users_code or session.score is not None
            n_epochs = plan.epochs if observer is None else 1
            threads = side_by_side(work * n_models * n_epochs, 1 if own else n_models)
        elif ranks is not None and not solver.full_batch:
            threads = within_operations(step / ranks.world)
        elif step < LARGE and gathered >= AHEAD and n_samples > in_block:
            threads = one_ahead()

    with (
        threads as workers,
        _one_scipy_thread() if solver.full_batch else nullcontext(),
    ):
        if workers is not None and n_models > 1 and not solver.full_batch:
            return _run_parts(session, workers, observer, epochs)
        minimise = solver.minimise or train
        start = session.start
        given = (network, session.data, plan, session.hyper, start.state, start.rngs)
        rest = (session.validation, observer, session.score, workers, past, latest)
        return minimise(*given, *rest, ranks)


def _run_parts(
    session: Session, workers: Workers, observer: Observer | None, epochs: int | None
) -> list[Run]:
    """Run independent parts of a session in several threads.

    The observer follows all models in the calling thread.
    """
    interrupted = threading.Event()
    meeting = None if observer is None else Meeting(observer, interrupted)

    def stop(
        models: list[int],
        epochs: list[Epoch],
        params: Params,
        runs: Callable[[], list[Run]],
    ) -> tuple[()]:
        if interrupted.is_set():
            raise KeyboardInterrupt
        return ()

    futures = []
    parts = _parts(session, workers.number)
    try:
        for models, part in parts:
            observers: list[Observer] = [stop]
            if meeting is not None:
                observers.append(partial(meeting.observe, models.tolist()))
            future = workers.pool.submit(run, part, observers, epochs)
            if meeting is not None:
                future.add_done_callback(meeting.arrivals.put)
            futures.append(future)

        if meeting is not None:
            meeting.hold(len(parts))
        found = [future.result() for future in futures]
    except BaseException:
        interrupted.set()
        raise

    numbers = torch.cat([models for models, _ in parts]).tolist()
    runs = dict(zip(numbers, itertools.chain(*found), strict=True))
    return [runs[number] for number in sorted(runs)]


def _parts(session: Session, n_parts: int) -> list[tuple[Tensor, Session]]:
    """Divide a session; return the numbers of the models and the session of each part.

    If the replicas can be divided equally, each part has whole replicas. Otherwise,
    each part has some models of every replica. Every part has its own generators.
    """
    start = session.start
    samples = session.data.samples
    assert samples is not None  # several models are always those of a search
    n_replicas = len(start.rngs)
    numbers = torch.arange(len(session.models), device="cpu").view(n_replicas, -1)
    replicas = torch.arange(n_replicas, device="cpu")
    if n_replicas % n_parts == 0 or numbers.shape[1] < n_parts:
        n_parts = min(n_parts, n_replicas)
        divided = [(some, numbers[some]) for some in replicas.tensor_split(n_parts)]
    else:
        divided = [(replicas, some) for some in numbers.tensor_split(n_parts, 1)]

    parts = []
    for own, models in divided:
        seeds = [start.noise_seeds[place] for place in own]
        validation = session.validation
        part = session._replace(
            models=[session.models[number] for number in models.flatten()],
            data=session.data._replace(samples=samples[own]),
            validation=None if validation is None else validation.replicas(own),
            plan=session.plan._replace(noise_seeds=tuple(seeds)),
            hyper=select(session.hyper, models.flatten()),
            start=Start(
                select(start.state, models.flatten()),
                [copy.deepcopy(start.rngs[place]) for place in own],
                [start.split_states[place] for place in own],
                seeds,
            ),
        )
        parts.append((models.flatten(), part))
    return parts


def can_continue(plan: Plan) -> bool:
    """Return whether training in two parts equals training at once.

    It does not with the one-cycle schedule, which depends on the number of planned
    epochs, with early stopping, which restores the best epoch, and with full-batch
    solvers, which keep their own memory.
    """
    if plan.early_stopping or SOLVERS[plan.solver].full_batch:
        return False
    return plan.learning_rate != "one_cycle"


def continued(session: Session, runs: Sequence[Run]) -> Session:
    """Return a session whose models continue from the ends of their runs.

    There is one run per model, and all runs have the same number of epochs. The session
    plans the remaining epochs up to ``max_iter``. It has no messages, because they were
    already emitted.
    """
    device = session.data.X.device
    state = join([_on_device(one.state, device) for one in runs])
    n_left = session.plan.max_iter - state.progress.epochs

    # The models of a replica have seen the same orders.
    width = len(runs) // len(session.start.rngs)
    rngs = [generator(one.rng_state) for one in runs[::width]]
    return session._replace(
        start=session.start._replace(state=state, rngs=rngs),
        plan=session.plan._replace(epochs=n_left),
        messages=[],
    )


def _on_device(state: State, device: torch.device) -> State:
    """Return a state whose numbers are on a device: another GPU may have trained it."""
    params = tuple(p.to(device) for p in state.params)
    moments = tuple(tuple(m.to(device) for m in group) for group in state.moments)
    return state._replace(params=params, moments=moments)


def begin(
    models: "Sequence[GradientClassifier]",
    network: Network,
    dtype: torch.dtype,
    device: torch.device,
    n_replicas: int,
    solver: str,
) -> Start:
    """Return the initial state of models, the same number in each replica."""
    width = len(models) // n_replicas
    rngs = [private_random_state(model.random_state) for model in models[::width]]
    states = [rng.get_state() for rng in rngs]
    seeds = [rng.randint(2**31 - 1) for rng in rngs]
    # Restore the states: weights and sample orders do not depend on the noise seeds.
    for rng, state in zip(rngs, states, strict=True):
        rng.set_state(state)

    # As in scikit-learn, one generator draws weights, validation split and orders.
    drawn = [network.initial(rng, width, dtype, device) for rng in rngs]
    params = tuple(torch.cat(parts) for parts in zip(*drawn, strict=True))
    states = [rng.get_state() for rng in rngs]
    return Start(fresh_state(params, solver), rngs, states, seeds)


def _split_rngs(start: Start, resuming: bool) -> Sequence[np.random.RandomState]:
    """Return the generators that choose the validation samples of each replica."""
    if resuming:
        return [generator(state) for state in start.split_states]

    # A first split advances the generators that later shuffle the samples.
    return start.rngs


def _one_scipy_thread() -> AbstractContextManager[Any]:
    """Let the OpenBLAS of SciPy and NumPy compute in one thread.

    The threads of OpenBLAS spin while they wait for work, so they would take cores from
    torch, which uses another BLAS.
    """
    # The whole process shares this number of threads, and threadpoolctl restores it
    # without regard to other threads. So only the main thread changes it.
    if threading.current_thread() is not threading.main_thread():
        return nullcontext()

    limit: AbstractContextManager[Any] = _scipy_blas().limit(limits=1)
    return limit


@cache
def _scipy_blas() -> ThreadpoolController:
    return ThreadpoolController().select(prefix="libscipy_openblas")
