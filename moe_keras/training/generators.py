"""One training at a time, of those that seed what all threads draw from.

Keras draws the seeds of weights and of random layers from Python's generator,
and the order of rows from its backend's. Both are the process's, not a
thread's: two trainings at once would draw each other's numbers.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_HELD = threading.RLock()


@contextmanager
def held_generators() -> Iterator[None]:
    """Keep other threads' trainings waiting; also a decorator.

    What draws from the generators by itself, such as a layer that is built in
    another thread, does not wait.
    """
    with _HELD:
        yield
