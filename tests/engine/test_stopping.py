"""Stopping rules, epoch by epoch, against the sequence that scikit-learn would make."""

import torch

from skdigits.engine.train import fresh_state, update_stopping


def follow(scores, plan, rate=0.1):
    """In which epochs (n, K) each model improves, and in which it is to stop."""
    params = (torch.zeros(scores.shape[1], 1, 1),)
    state = fresh_state(params, "sgd").stopping
    improved, stops = [], []
    for score in scores:
        state, better, stop = update_stopping(
            state, score, torch.full_like(score, rate), plan
        )
        improved.append(better)
        stops.append(stop)
    return state, torch.stack(improved), torch.stack(stops)


def test_a_model_stops_after_more_epochs_without_progress_than_allowed(make_plan):
    plan = make_plan(tol=0.1, n_iter_no_change=2)
    losses = torch.tensor(
        [[3.0, 3.0], [2.0, 2.95], [1.99, 2.0], [1.98, 1.0], [1.97, 0.0]]
    )
    _, _, stops = follow(-losses.double(), plan)
    assert stops.tolist() == [[False, False]] * 4 + [[True, False]]


def test_progress_of_just_tol_is_progress(make_plan):
    plan = make_plan(tol=0.5, n_iter_no_change=1)
    state, _, stops = follow(torch.tensor([[0.0], [0.5], [1.0], [1.5]]).double(), plan)
    assert not stops.any()
    assert state.n_no_improvement.item() == 0


def test_small_steps_up_improve_and_are_no_progress_all_the_same(make_plan):
    plan = make_plan(tol=0.1, n_iter_no_change=1)
    state, improved, stops = follow(
        torch.tensor([[1.0], [1.01], [1.02]], dtype=torch.float64), plan
    )
    assert improved.all()
    assert stops.tolist() == [[False], [False], [True]]
    assert state.best.item() == 1.02


def test_the_adaptive_schedule_divides_until_the_rate_is_small(make_plan):
    plan = make_plan(tol=0.1, n_iter_no_change=1, learning_rate="adaptive")
    flat = torch.zeros(5, 1, dtype=torch.float64)
    state, _, stops = follow(flat, plan)
    assert not stops.any()
    assert state.n_lr_reductions.item() == 2  # in epochs 3 and 5
    _, _, stops = follow(flat, plan, rate=1e-6)
    assert stops.tolist() == [[False], [False], [True], [False], [True]]


def test_without_tol_nothing_ever_stops(make_plan):
    _, _, stops = follow(
        torch.zeros(50, 1, dtype=torch.float64), make_plan(n_iter_no_change=1)
    )
    assert not stops.any()
