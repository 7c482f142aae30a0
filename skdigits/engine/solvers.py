"""Solvers: how parameters move, for K models with K sets of hyper-parameters.

A stochastic solver is a function that takes one step,
``step(params, moments, gradients, hyper, size)``. It updates parameters and moments in
place. ``size`` is the learning rate, times Adam's bias correction for solvers that ask
for it. It has shape (K, 1, 1), like every hyper-parameter, to go with parameters (K, ·,
·). A step treats every number of a parameter alike: where calls take longer than
numbers, all layers of all models are one parameter (1, n, 1), beside which the
hyper-parameters are (1, n, 1), too, if models differ.

To add a solver, write such a function and enter it in `SOLVERS`: estimators offer it,
and the tests check K models of it against single ones, from then on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, cycle, islice, repeat
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Generator, Tensor

from skdigits.engine import lbfgs
from skdigits.engine.batches import Batch
from skdigits.engine.dense import subtract
from skdigits.engine.network import Gradients, Network
from skdigits.engine.sizes import SIZES
from skdigits.engine.types import Hyper, Moments, Params, Run, State, StepHyper

Step: TypeAlias = Callable[[Params, Moments, Gradients, StepHyper, Tensor], None]


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
    a step then takes a few calls, and not a few a layer. ``memory`` are the tensors
    that hold all numbers. ``owners`` (n,) is the model of each number of ``joint``;
    None if there is one model.
    """

    params: Params
    moments: Moments
    joint: tuple[Params, Moments] | None
    memory: tuple[Tensor, ...]
    owners: Tensor | None = None

    def beside(self, values: Tensor) -> Tensor:
        """Return values (K, 1, 1) of models beside the numbers that steps update."""
        if self.owners is None:
            return values
        return values.flatten().index_select(0, self.owners).view(1, -1, 1)

    def copy_from(self, other: "Moving") -> "Moving":
        """Take over the numbers of another one of the same models; return this one."""
        for target, source in zip(self.memory, other.memory, strict=True):
            target.copy_(source)
        return self


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
        return spare.copy_from(current)

    params = state.params
    groups = (params, *state.moments)
    sizes = [p.numel() for p in params]
    n_models = len(params[0])
    most = SIZES[params[0].device.type]
    too_much = n_models > most.joint_models or sum(sizes) > most.joint_numbers
    # A step without any momentum subtracts the gradients of layers within a product.
    with_moments = len(groups) > 2 or hyper.momentum is not None
    if too_much or not with_moments:
        copies = [tuple(p.clone() for p in group) for group in groups]
        return Moving(copies[0], tuple(copies[1:]), None, tuple(chain(*copies)))

    memory = tuple(torch.cat([p.flatten() for p in group]) for group in groups)
    parts = [tuple(map(Tensor.view_as, whole.split(sizes), params)) for whole in memory]
    wholes = [(whole.view(1, -1, 1),) for whole in memory]
    joint = (wholes[0], tuple(wholes[1:]))
    owners = None if n_models == 1 else _owners(params)
    return Moving(parts[0], tuple(parts[1:]), joint, memory, owners)


def _owners(params: Params) -> Tensor:
    """Return the model of each number of parameters, one parameter after the other."""
    models = torch.arange(len(params[0]), dtype=torch.int32, device=params[0].device)
    return torch.cat([models.repeat_interleave(p[0].numel()) for p in params])


def _sgd(
    params: Params,
    moments: Moments,
    gradients: Gradients,
    hyper: StepHyper,
    size: Tensor,
) -> None:
    """Gradient descent: ``p ← p − size · g``; with momentum, as in scikit-learn.

    ``v ← m v − size · g``, then ``p ← p + v``; by Nesterov, ``p ← p + m v − size · g``.
    The rate is part of the velocity: a change of the rate acts on new gradients only.
    """
    if hyper.momentum is None:
        for p, g in zip(params, gradients, strict=True):
            subtract(p, g, size)
    elif hyper.nesterovs_momentum:
        for p, gradient, v in zip(params, gradients, *moments, strict=True):
            g = gradient.to_dense()
            v.mul_(hyper.momentum).addcmul_(g, size, value=-1)
            p.addcmul_(v, hyper.momentum).addcmul_(g, size, value=-1)
    else:
        for p, g, v in zip(params, gradients, *moments, strict=True):
            subtract(v.mul_(hyper.momentum), g, size)
            p.add_(v)


def _adam(
    params: Params,
    moments: Moments,
    gradients: Gradients,
    hyper: StepHyper,
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


class Steps(NamedTuple):
    """What the steps of an epoch share, beside their numbers and samples.

    ``hyper`` are the hyper-parameters of the K models. ``generators``, one per replica,
    drive dropout; there are none without dropout. ``reduce`` turns the gradients of a
    part of the batch into those of all of it.
    """

    network: Network
    solver: Solver
    hyper: StepHyper
    generators: Sequence[Generator] = ()
    reduce: Callable[[Gradients], Gradients] | None = None


def take_steps(
    steps: Steps,
    numbers: Moving,
    batches: Iterable[Batch],
    rates: Tensor,
    sizes: Tensor,
    block: int,
    objective: Tensor,
) -> None:
    """Take a step for each batch, and add the objective of all samples up.

    The objective of a batch is that of the parameters before its step. A step needs the
    gradients alone: losses and penalties are computed for ``block`` steps at once.

    Parameters
    ----------
    steps : Steps
        Determine gradients and steps.
    numbers : Moving
        Parameters and moments, which are updated in place.
    batches : iterable of Batch
        Batch of each step.
    rates, sizes : Tensor of shape (steps, K) or (1, K)
        Learning rate and size of each step, in float64 on the host, or as steps use
        them; one row if they are constant.
    block : int
        Number of steps whose losses are computed at once.
    objective : Tensor of shape (K,)
        Sum to which the objective of all samples is added in place, in float64.
    """
    network, solver, hyper = steps[:3]
    assert solver.step is not None  # a full-batch solver takes no such steps
    params = numbers.params
    stepped = numbers.joint or (params, numbers.moments)
    alpha = hyper.alpha
    weights = params[network.penalised] if alpha is not None else ()
    # Norms of each step, weight and model, written in place and added up once a block.
    norms = params[0].new_empty(block, len(weights), len(params[0]))
    norms_of_steps = [one.unbind() for one in norms.unbind()]

    # To the device all at once: a step must not wait for a number from the host.
    # Constant rates and sizes have one row, taken over and over.
    beside = hyper
    sizes_of_steps: Iterator[Tensor] = cycle(
        sizes.to(params[0])[..., None, None].unbind()
    )
    if numbers.owners is not None:
        beside, sizes_of_steps = _beside(numbers, hyper, sizes)
    decays = _decays(hyper, rates) if solver.decoupled_decay else repeat(None)
    remaining = zip(batches, decays, sizes_of_steps, strict=False)
    while some := list(islice(remaining, block)):
        logits = []
        for (batch, decay, size), out in zip(some, norms_of_steps, strict=False):
            found, gradients = network.gradients(params, batch, hyper, steps.generators)
            logits.append(found)
            for weight, norm in zip(weights, out, strict=True):
                torch.linalg.vector_norm(weight, dim=(1, 2), out=norm)

            if steps.reduce is not None:
                gradients = steps.reduce(gradients)
            if decay is not None:
                # An `Outer` reads the weights for its penalty: its numbers are computed
                # before the decay changes the weights.
                gradients = tuple(gradient.to_dense() for gradient in gradients)
                for weight in params[network.decayed]:
                    weight.mul_(decay)
            if numbers.joint:
                flat = [gradient.to_dense().flatten() for gradient in gradients]
                gradients = (torch.cat(flat).view(1, -1, 1),)
            solver.step(*stepped, gradients, beside, size)

        # Added up once a block: a small tensor kept of each step would break up the
        # heap, by 100 MB.
        compared = [batch for batch, _, _ in some]
        objective += network.total_loss(logits, compared)
        if alpha is not None:
            objective += network.total_penalty(norms[: len(some)], alpha, compared)

        # Freed before the next batches are gathered, which then take the same memory.
        del some, compared, logits, batch, found, gradients


def _beside(
    numbers: Moving, hyper: StepHyper, sizes: Tensor
) -> tuple[StepHyper, Iterator[Tensor]]:
    """Return hyper-parameters and sizes of steps beside the numbers that they update.

    A value that all models share is read once, and not for every number.
    """
    found: dict[str, Any] = {}
    for name in ("momentum", "new_1", "new_2", "epsilon"):
        values = getattr(hyper, name)
        if values is not None:
            own = name in hyper.differing
            found[name] = numbers.beside(values) if own else values[:1]

    of_steps = sizes.to(numbers.params[0])[..., None, None].unbind()
    wide = map(numbers.beside, of_steps)
    return hyper._replace(**found), cycle(wide) if len(of_steps) == 1 else wide


def _decays(hyper: StepHyper, rates: Tensor) -> Iterator[Tensor]:
    """Return the factor (K, 1, 1) by which each step first shrinks weights."""
    like = hyper.weight_decay
    factors = 1 - rates.to(like)[..., None, None] * like
    return cycle(factors.unbind())
