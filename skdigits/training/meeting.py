"""Where the threads that train parts of a session meet after every epoch."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, wait
from itertools import chain
from queue import SimpleQueue
from threading import Event
from typing import NamedTuple

import torch

from skdigits.engine.types import Epoch, Observer, Params, Run

LOOK_UP = 0.1  # seconds after which who waits looks whether the others have ended


class Arrival(NamedTuple):
    """A part that has come to the meeting after an epoch; it waits for an answer.

    ``models`` are numbered as in the whole session.
    """

    models: list[int]
    epochs: list[Epoch]
    params: Params
    runs: Callable[[], list[Run]]
    answer: "Future[set[int]]"


class Meeting:
    """Where all parts wait after an epoch until an observer has seen it.

    The observer is users' code, and is called in their thread, for all models at once.
    Once ``is_over`` is set, whoever waits or still comes leaves as if interrupted.
    """

    def __init__(self, observer: Observer, is_over: Event) -> None:
        self.observer = observer
        self.is_over = is_over
        self.arrivals: SimpleQueue[Arrival | Future[list[Run]]] = SimpleQueue()

    def observe(
        self,
        numbers: list[int],
        models: list[int],
        epochs: list[Epoch],
        params: Params,
        runs: Callable[[], list[Run]],
    ) -> Collection[int]:
        """Wait, as part of the session with these models, for the observer's answer."""
        own = [numbers[model] for model in models]
        answer: Future[set[int]] = Future()
        self.arrivals.put(Arrival(own, epochs, params, runs, answer))

        # An interrupt may strike anywhere, also while answers are given.
        while not wait([answer], LOOK_UP).done:
            if self.is_over.is_set():
                raise KeyboardInterrupt("The others have ended.")
        to_stop = answer.result()
        return [model for model in models if numbers[model] in to_stop]

    @torch.inference_mode()
    def hold(self, n_parts: int) -> None:
        """Answer all parts after every epoch, until all of them have ended."""
        waiting: list[Arrival] = []
        while n_parts:
            arrival = self.arrivals.get()
            if isinstance(arrival, Future):
                arrival.result()  # raises the error that has ended a part
                n_parts -= 1
            else:
                waiting.append(arrival)

            if waiting and len(waiting) == n_parts:
                to_stop = set(self.observer(*_together(waiting)))
                for one in waiting:
                    one.answer.set_result(to_stop)
                waiting = []


def _together(
    waiting: Sequence[Arrival],
) -> tuple[list[int], list[Epoch], Params, Callable[[], list[Run]]]:
    """Return an epoch of all parts, in the order of the models."""
    numbers = list(chain(*(one.models for one in waiting)))
    records = list(chain(*(one.epochs for one in waiting)))
    params = tuple(map(torch.cat, zip(*(one.params for one in waiting), strict=True)))
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    if order != list(range(len(numbers))):
        params = tuple(p[order] for p in params)

    def runs() -> list[Run]:
        # The parts wait meanwhile, and nothing of theirs changes.
        found = list(chain(*(one.runs() for one in waiting)))
        return [found[k] for k in order]

    return [numbers[k] for k in order], [records[k] for k in order], params, runs
