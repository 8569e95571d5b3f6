"""Lines that say what goes on, where nobody would see a bar move.

A log or a pipe shows a bar once it is done. Nothing here imports Keras: the
first line comes before that.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

# Seconds without a line, at most.
SILENCE = 9.0


class Busy:
    """What a command is at.

    Args:
        console: `rich.console.Console` to print on.
        text: what goes on, in a few words.
    """

    def __init__(self, console: Console, text: str):
        self.text = text
        self._console = console
        self._begun = self._said = time.monotonic()

    def say(self, text: str | None = None) -> None:
        """Print what goes on; from now on, if it is given."""
        self.text = text or self.text
        self._said = time.monotonic()
        self._console.print(self.text, markup=False, highlight=False)

    def say_again(self, silence: float) -> float:
        """Print it with the time, if nothing was said for some seconds.

        Returns:
            Seconds until it has to be said again.
        """
        left = self._said + silence - time.monotonic()
        if left > 0:
            return left
        self._said = time.monotonic()
        self._console.print(
            f"{self.text} ... {self._said - self._begun:.0f} s",
            markup=False,
            highlight=False,
        )
        return silence


@contextmanager
def still_busy(
    console: Console, text: str, silence: float = SILENCE
) -> Iterator[Busy]:
    """Say what goes on, and, where there is no terminal, that it still does.

    Args:
        console: `rich.console.Console` to print on.
        text: what goes on, in a few words.
        silence: float > 0, seconds without a line, at most.

    Yields:
        `Busy`, to be told what comes next.
    """
    busy = Busy(console, text)
    busy.say()
    if console.is_terminal:
        yield busy
        return
    done = threading.Event()

    def watch() -> None:
        left = silence
        while not done.wait(left):
            left = busy.say_again(silence)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield busy
    finally:
        done.set()
        thread.join()
