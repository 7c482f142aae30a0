"""Solvers: how parameters move, for K models with K sets of hyper-parameters.

A stochastic solver is a function that takes one step,
``step(params, moments, gradients, hyper, rate, size)``. It updates parameters and
moments in place. ``rate`` is the learning rate; ``size`` is the learning rate times
Adam's bias correction, and equal to ``rate`` for solvers without one. Both have shape
(K, 1, 1), like every hyper-parameter, to go with parameters (K, ·, ·). A step treats
every number of a parameter alike: for a single small model, all layers are one
parameter (1, n, 1).

To add a solver, write such a function and enter it in `SOLVERS`: estimators offer it,
and the tests check K models of it against single ones, from then on.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, cycle, islice
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Generator, Tensor

from skdigits.engine import lbfgs
from skdigits.engine.batches import Batch
from skdigits.engine.dense import subtract
from skdigits.engine.network import Gradients, Network
from skdigits.engine.types import Hyper, Moments, Params, Run, State, StepHyper

# Numbers of a model from which passes over them take longer than calls.
JOINT_NUMBERS = 2**15
Step: TypeAlias = Callable[
    [Params, Moments, Gradients, StepHyper, Tensor, Tensor], None
]


class Solver(NamedTuple):
    """A way to minimise the objective.

    ``n_moments`` is the number of tensors kept of every parameter. A stochastic solver
    takes a ``step`` for each batch; ``bias_correction`` asks for Adam's, and
    ``decoupled_decay`` lets the weights decay before each step. A ``full_batch`` solver
    has no learning rate; its ``minimise`` is called like `skdigits.engine.train.train`.
    ``ignores`` names parameters of estimators whose values change nothing.
    """

    n_moments: int
    step: Step | None = None
    bias_correction: bool = False
    decoupled_decay: bool = False
    minimise: Callable[..., list[Run]] | None = None
    full_batch: bool = False
    ignores: tuple[str, ...] = ()


class Moving(NamedTuple):
    """Parameters and moments that steps update in place.

    ``joint`` are the same numbers as one parameter (1, n, 1) and its moments, or None:
    a step of a single small model then takes a few calls, and not a few a layer.
    ``memory`` are the tensors that hold all numbers.
    """

    params: Params
    moments: Moments
    joint: tuple[Params, Moments] | None
    memory: tuple[Tensor, ...]


def moving(
    state: State,
    hyper: StepHyper,
    current: Moving | None = None,
    spare: Moving | None = None,
) -> Moving:
    """Return a copy of a state's parameters and moments.

    If they are those of ``current``, the copy can take the memory of a ``spare`` one.
    """
    if current is not None and spare is not None:
        for target, source in zip(spare.memory, current.memory, strict=True):
            target.copy_(source)
        return spare

    params = state.params
    groups = (params, *state.moments)
    sizes = [p.numel() for p in params]
    # A step without any momentum subtracts the gradients of layers within a product.
    with_moments = len(groups) > 2 or hyper.momentum is not None
    if len(params[0]) > 1 or sum(sizes) > JOINT_NUMBERS or not with_moments:
        copies = [tuple(p.clone() for p in group) for group in groups]
        return Moving(copies[0], tuple(copies[1:]), None, tuple(chain(*copies)))

    memory = tuple(torch.cat([p.flatten() for p in group]) for group in groups)
    parts = [tuple(map(Tensor.view_as, whole.split(sizes), params)) for whole in memory]
    wholes = [(whole.view(1, -1, 1),) for whole in memory]
    joint = (wholes[0], tuple(wholes[1:]))
    return Moving(parts[0], tuple(parts[1:]), joint, memory)


def _sgd(
    params: Params,
    moments: Moments,
    gradients: Gradients,
    hyper: StepHyper,
    rate: Tensor,
    size: Tensor,
) -> None:
    """Gradient descent: ``p ← p − rate · g``; with momentum, as in scikit-learn.

    ``v ← m v − rate · g``, then ``p ← p + v``; by Nesterov, ``p ← p + m v − rate · g``.
    The rate is part of the velocity: a change of the rate acts on new gradients only.
    """
    if hyper.momentum is None:
        for p, g in zip(params, gradients, strict=True):
            subtract(p, g, rate)
    elif hyper.nesterovs_momentum:
        for p, gradient, v in zip(params, gradients, *moments, strict=True):
            g = gradient.to_dense()
            v.mul_(hyper.momentum).addcmul_(g, rate, value=-1)
            p.addcmul_(v, hyper.momentum).addcmul_(g, rate, value=-1)
    else:
        for p, g, v in zip(params, gradients, *moments, strict=True):
            subtract(v.mul_(hyper.momentum), g, rate)
            p.add_(v)


def _adam(
    params: Params,
    moments: Moments,
    gradients: Gradients,
    hyper: StepHyper,
    rate: Tensor,
    size: Tensor,
) -> None:
    """Adam (Kingma & Ba 2015).

    Epsilon is added to ``√s`` before the bias correction, as in scikit-learn.
    """
    for p, gradient, m, s in zip(params, gradients, *moments, strict=True):
        g = gradient.to_dense()
        m.lerp_(g, hyper.new_1)
        s.lerp_(g * g, hyper.new_2)
        p.addcdiv_(m, s.sqrt().add_(hyper.epsilon).div_(size), value=-1)


OF_SGD = ("momentum", "nesterovs_momentum")
OF_ADAM = ("beta_1", "beta_2", "epsilon")
OF_STEPS = (
    "learning_rate_init",
    "learning_rate",
    "power_t",
    "batch_size",
    "shuffle",
    "early_stopping",
    "validation_fraction",
    "n_iter_no_change",
    "dropout",
    *OF_SGD,
    *OF_ADAM,
    "weight_decay",
)

SOLVERS = {
    "sgd": Solver(1, _sgd, ignores=(*OF_ADAM, "weight_decay", "max_fun")),
    "adam": Solver(
        2, _adam, bias_correction=True, ignores=(*OF_SGD, "weight_decay", "max_fun")
    ),
    # Adam after decoupled weight decay (Loshchilov & Hutter 2019).
    "adamw": Solver(
        2,
        _adam,
        bias_correction=True,
        decoupled_decay=True,
        ignores=(*OF_SGD, "max_fun"),
    ),
    "lbfgs": Solver(0, minimise=lbfgs.minimise, full_batch=True, ignores=OF_STEPS),
}


def listed(names: Sequence[str]) -> str:
    """Return names as messages list them."""
    *others, last = map(repr, names)
    return f"{', '.join(others)} or {last}" if others else last


def stochastic_solvers() -> str:
    """Return the names of the stochastic solvers, as messages list them."""
    return listed([name for name, one in SOLVERS.items() if not one.full_batch])


def bias_corrections(solver: Solver, hyper: Hyper, first: int, steps: int) -> Tensor:
    """Return Adam's ``√(1 − β₂ᵗ) / (1 − β₁ᵗ)`` (steps, K), from ``t = first`` on.

    For solvers without a correction: ones, of shape (1, K).
    """
    if not solver.bias_correction:
        return torch.ones_like(hyper.beta_2)[None]

    # All at once and in float64: in float32, 1 − 0.999 keeps four digits.
    t = np.arange(first, first + steps, dtype=np.float64)[:, None]
    numerator = np.sqrt(1 - hyper.beta_2.numpy() ** t)
    return torch.from_numpy(numerator / (1 - hyper.beta_1.numpy() ** t))


def take_steps(
    network: Network,
    solver: Solver,
    numbers: Moving,
    hyper: StepHyper,
    generators: Sequence[Generator],
    batches: Iterable[Batch],
    rates: Tensor,
    sizes: Tensor,
    block: int,
    reduce: Callable[[Gradients], Gradients] | None = None,
) -> Tensor:
    """Take a step for each batch; return the objective (K,), summed over all samples.

    The objective of a batch is that of the parameters before its step. A step needs the
    gradients alone: losses and penalties are computed for ``block`` steps at once.

    Parameters
    ----------
    network, solver : Network, Solver
        Determine gradients and steps.
    numbers : Moving
        Parameters and moments, which are updated in place.
    hyper : StepHyper
        Hyper-parameters of the K models.
    generators : sequence of Generator
        One generator per replica, for dropout; empty without dropout.
    batches : iterable of Batch
        Batch of each step.
    rates, sizes : Tensor of shape (steps, K) or (1, K)
        Learning rate and size of each step, in float64 on the host; one row if they
        are constant.
    block : int
        Number of steps whose losses are computed at once.
    reduce : callable, optional
        Turns the gradients of a part of the batch into those of all of it.
    """
    assert solver.step is not None  # a full-batch solver takes no such steps
    params = numbers.params
    stepped = numbers.joint or (params, numbers.moments)
    n_models = len(params[0])
    weights = params[network.penalised] if hyper.alpha is not None else ()
    # Norms of each step, weight and model, written in place and added up once a block.
    norms = params[0].new_empty(block, len(weights), n_models)
    norms_of_steps = [one.unbind() for one in norms.unbind()]
    objective = torch.zeros(n_models, dtype=torch.float64, device=params[0].device)

    # To the device all at once: a step must not wait for a number from the host.
    # Constant rates and sizes have one row, taken over and over.
    reference = params[0]
    rates_of_steps = cycle(rates.to(reference)[..., None, None].unbind())
    sizes_of_steps = cycle(sizes.to(reference)[..., None, None].unbind())
    remaining = zip(batches, rates_of_steps, sizes_of_steps, strict=False)
    while steps := list(islice(remaining, block)):
        logits = []
        for (batch, rate, size), out in zip(steps, norms_of_steps, strict=False):
            found, gradients = network.gradients(params, batch, hyper, generators)
            logits.append(found)
            for weight, norm in zip(weights, out, strict=True):
                torch.linalg.vector_norm(weight, dim=(1, 2), out=norm)

            if reduce is not None:
                gradients = reduce(gradients)
            if solver.decoupled_decay:
                # An `Outer` reads the weights for its penalty: its numbers are computed
                # before the decay changes the weights.
                gradients = tuple(gradient.to_dense() for gradient in gradients)
                for weight in params[network.decayed]:
                    weight.mul_(1 - rate * hyper.weight_decay)
            if numbers.joint:
                flat = [gradient.to_dense().flatten() for gradient in gradients]
                gradients = (torch.cat(flat).view(1, -1, 1),)
            solver.step(*stepped, gradients, hyper, rate, size)

        # Added up once a block: a small tensor kept of each step would break up the
        # heap, by 100 MB.
        compared = [batch for batch, _, _ in steps]
        objective += network.total_loss(logits, compared)
        if hyper.alpha is not None:
            objective += network.total_penalty(
                norms[: len(steps)], hyper.alpha, compared
            )

        # Freed before the next batches are gathered, which then take the same memory.
        del steps, compared, logits, batch, found, gradients
    return objective.cpu()
