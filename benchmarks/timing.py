"""Times of competing callables, taken in turns so that whatever slows the machine slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["CLOCKS", "Clock", "Times", "interleave", "one_query_at_a_time"]

Clock = Callable[[], float]

# "cpu" counts only what the calling thread itself ran: for a machine that others use too, and for one thread only.
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.thread_time}


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds: one row a round, one column a subject, in the order of `names`."""

    names: tuple[str, ...]
    seconds: npt.NDArray[np.float64]

    def of(self, name: str) -> npt.NDArray[np.float64]:
        return self.seconds[:, self.names.index(name)]

    def median(self, name: str) -> float:
        return float(np.median(self.of(name)))

    def ratio(self, name: str, over: str) -> float:
        """How many times as fast `name` is: the median over rounds of the ratio within a round."""
        return float(np.median(self.of(over) / self.of(name)))

    def slow_ratio(self, name: str, over: str) -> float:
        """The median time of `over` by what the slowest tenth of the calls of `name` take at least."""
        return float(np.median(self.of(over)) / np.quantile(self.of(name), 0.9))


def interleave(subjects: Mapping[str, Callable[[int], object]], rounds: Sequence[int], clock: Clock) -> Times:
    """Calls every subject with each of `rounds`, in turns. A first round is not counted.

    The order is drawn anew for each round: else one subject would always find what the same other left in the caches.
    """
    rng = np.random.default_rng(0)
    names = tuple(subjects)
    seconds = np.empty((len(rounds), len(names)))
    for name in names:
        subjects[name](rounds[0])
    for row, argument in enumerate(rounds):
        for column in rng.permutation(len(names)):
            start = clock()
            subjects[names[column]](argument)
            seconds[row, column] = clock() - start
    return Times(names, seconds)


def one_query_at_a_time(calls: dict, queries: np.ndarray, rounds: int, clock: Clock = time.perf_counter) -> dict:
    """Median milliseconds of each call, one query at a time, in turn."""
    times: dict = {name: [] for name in calls}
    for _ in range(rounds):
        for query in queries:
            for name, call in calls.items():
                begin = clock()
                call(query)
                times[name].append(clock() - begin)
    return {name: float(np.median(values)) * 1e3 for name, values in times.items()}
