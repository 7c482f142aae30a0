"""Solvers against torch.optim, one learning rate at a time, and scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from skdigits.engine.network import Network, step_hyper
from skdigits.engine.solvers import (
    SOLVERS,
    Steps,
    bias_corrections,
    moving,
    take_steps,
)
from skdigits.engine.train import fresh_state

RATES = [0.3, 0.01, 0.001]


def make_gradients(rng, steps=12):
    """A weight (3, 4, 2) and a bias (3, 4, 1), three models, for each step."""
    return [
        tuple(torch.from_numpy(rng.normal(size=(3, 4, n))) for n in (2, 1))
        for _ in range(steps)
    ]


class Given:
    """Stands for a network: its gradients are given, one tuple a step."""

    decayed = Network.decayed

    def __init__(self, gradients):
        self.remaining = iter(gradients)

    def gradients(self, params, batch, hyper, generators):
        return params[0].new_zeros(3), next(self.remaining)

    def total_loss(self, logits, compared):
        return sum(logits)


def ours(plan, hyper, gradients, start):
    solver = SOLVERS[plan.solver]
    state = fresh_state(start, plan.solver)
    corrections = bias_corrections(solver, hyper, 1, len(gradients))
    corrections = corrections.expand(len(gradients), -1)

    local = step_hyper(hyper, plan, start)
    moved = moving(state, local)
    rates = hyper.learning_rate_init.expand(len(gradients), -1)
    steps = [None] * len(gradients)
    before = [[g.clone() for g in gradient] for gradient in gradients]
    objective = torch.zeros(3, dtype=torch.float64)
    own = Steps(Given(gradients), solver, local)
    take_steps(own, moved, steps, rates, rates * corrections, 5, objective)
    for gradient, unchanged in zip(gradients, before, strict=True):
        assert all(map(torch.equal, unchanged, gradient))
    return moved.params


def torchs(make, gradients, start):
    """The same by torch.optim, one model after the other."""
    columns = []
    for k, rate in enumerate(RATES):
        weight, bias = (p[k].clone().requires_grad_() for p in start)
        optimizer = make(weight, bias, rate)
        for gradient in gradients:
            weight.grad, bias.grad = gradient[0][k], gradient[1][k]
            optimizer.step()
        columns.append((weight.detach(), bias.detach()))
    return [torch.stack(column) for column in zip(*columns, strict=True)]


@pytest.mark.parametrize(
    ("solver", "nesterov", "settings", "make"),
    [
        (
            "sgd", False, {"momentum": 0.0},
            lambda w, b, lr: torch.optim.SGD([w, b], lr),
        ),
        (
            "sgd", False, {"momentum": 0.8},
            lambda w, b, lr: torch.optim.SGD([w, b], lr, momentum=0.8),
        ),
        (
            "sgd", True, {"momentum": 0.8},
            lambda w, b, lr: torch.optim.SGD(
                [w, b], lr, momentum=0.8, nesterov=True
            ),
        ),
        # torch adds epsilon after the bias correction, scikit-learn before: it is tiny.
        (
            "adam", False, {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-16},
            lambda w, b, lr: torch.optim.Adam([w, b], lr, betas=(0.8, 0.99), eps=1e-16),
        ),
        (
            "adamw", False, {"weight_decay": 0.3, "epsilon": 1e-16},
            lambda w, b, lr: torch.optim.AdamW(
                [
                    {"params": [w], "weight_decay": 0.3},
                    {"params": [b], "weight_decay": 0.0},
                ],
                lr, eps=1e-16,
            ),
        ),
    ],
)  # fmt: skip
def test_equals_torch_optim(
    solver, nesterov, settings, make, rng, make_hyper, make_plan
):
    gradients, start = make_gradients(rng), make_gradients(rng, 1)[0]
    plan = make_plan(solver=solver, nesterovs_momentum=nesterov)
    found = ours(
        plan, make_hyper(3, learning_rate_init=RATES, **settings), gradients, start
    )
    for ours_, theirs in zip(found, torchs(make, gradients, start), strict=True):
        np.testing.assert_allclose(ours_, theirs, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("solver", ["sgd", "nesterov", "adam"])
def test_equals_scikit_learn(solver, rng, make_hyper, make_plan):
    gradients, start = make_gradients(rng), make_gradients(rng, 1)[0]
    plan = make_plan(
        solver="adam" if solver == "adam" else "sgd",
        nesterovs_momentum=solver == "nesterov",
    )
    found = ours(
        plan, make_hyper(3, learning_rate_init=RATES, epsilon=0.1), gradients, start
    )
    for k, rate in enumerate(RATES):
        params = [p[k].numpy().copy() for p in start]
        theirs = (
            AdamOptimizer(params, rate, epsilon=0.1)
            if solver == "adam"
            else SGDOptimizer(params, rate, nesterov=solver == "nesterov")
        )
        for gradient in gradients:
            theirs.update_params(params, [g[k].numpy() for g in gradient])
        for ours_, expected in zip(found, params, strict=True):
            np.testing.assert_allclose(ours_[k], expected, rtol=1e-10, atol=1e-13)


def test_bias_corrections_go_on_from_any_step(make_hyper):
    adam = SOLVERS["adam"]
    hyper = make_hyper(2, beta_2=[0.999, 0.9])
    whole = bias_corrections(adam, hyper, 1, 10)
    np.testing.assert_array_equal(whole[6:], bias_corrections(adam, hyper, 7, 4))
    expected = np.sqrt(1 - 0.9**7) / (1 - 0.9**7)
    assert whole[6, 1].item() == pytest.approx(expected, rel=1e-14)
