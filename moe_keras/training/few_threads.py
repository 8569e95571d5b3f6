"""Libraries of other people, on as many threads as a table is worth."""

from contextlib import AbstractContextManager

from threadpoolctl import threadpool_limits

# With fewer rows, threads wait for each other rather than work: 200 rounds of
# boosting on 690 rows take 0.15 s of one, and up to 12 s of two on a machine
# that is busy with something else.
MANY_ROWS = 10_000


def threads_for(rows: int) -> AbstractContextManager[object]:
    """A context in which OpenMP and BLAS have one thread for few rows.

    Args:
        rows: int, of the table that is read or fitted to.
    """
    return threadpool_limits(1 if rows < MANY_ROWS else None)
