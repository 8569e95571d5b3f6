"""Keep a known line of another package's log away from the terminal."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_log(logger: str, text: str) -> Iterator[None]:
    """Drop what a logger says that holds this text, and nothing else.

    Args:
        logger: its name.
        text: part of the message.
    """

    def tells_more(record: logging.LogRecord) -> bool:
        return text not in record.getMessage()

    target = logging.getLogger(logger)
    target.addFilter(tells_more)
    try:
        yield
    finally:
        target.removeFilter(tells_more)
