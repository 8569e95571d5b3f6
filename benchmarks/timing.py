"""Fair times on a machine that is busy with other things.

Contestants run in turn, so that a machine that speeds up or slows down does so
for all of them; what counts is the ratio of neighbouring runs. Every second
round goes backwards, so that nobody always runs behind the same neighbour.
"""

import statistics
import time
from collections.abc import Callable, Mapping


def time_in_turn(
    runs: Mapping[str, Callable[[], object]], repeats: int, warm_up: int = 2
) -> dict[str, list[float]]:
    """Seconds of each call, by contestant, `repeats` of them in turn.

    Args:
        runs: for each contestant a function that returns when it is done.
        repeats: int > 0, rounds that count.
        warm_up: int, rounds in front of them that do not.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_number in range(warm_up + repeats):
        order = list(runs) if round_number % 2 else list(runs)[::-1]
        for name in order:
            start = time.perf_counter()
            runs[name]()
            elapsed = time.perf_counter() - start
            if round_number >= warm_up:
                times[name].append(elapsed)
    return times


def ratio(times: Mapping[str, list[float]], name: str, base: str) -> dict:
    """Quartiles of the ratios of one contestant to another, round by round."""
    ratios = [a / b for a, b in zip(times[name], times[base], strict=True)]
    low, median, high = (
        statistics.quantiles(ratios, n=4, method="inclusive")
        if len(ratios) > 1
        else ratios * 3
    )
    return {
        "median": round(median, 3),
        "quartiles": [round(low, 3), round(high, 3)],
    }


def summary(times: Mapping[str, list[float]], base: str) -> dict[str, dict]:
    """Milliseconds (median) and the ratio to `base`, for each contestant."""
    return {
        name: {
            "ms": round(1e3 * statistics.median(values), 3),
            "ratio": ratio(times, name, base),
        }
        for name, values in times.items()
    }
