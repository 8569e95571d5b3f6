"""A way to see the gates of any model while it runs.

Gating happens inside layers, so a model's outputs do not show it. Every layer
that computes gates hands them to the record that is open, if one is: this works
for functional, nested and subclassed models, eagerly and inside a traced
function, and costs nothing when no record is open.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_open_record: ContextVar[dict[str, Any] | None] = ContextVar(
    "gates", default=None
)

_open_picks: ContextVar[list[Any] | None] = ContextVar("picks", default=None)

_open_scores: ContextVar[tuple[Any, list[Any]]] = ContextVar(
    "scores", default=(None, [])
)

_open_outputs: ContextVar["ExpertOutputs | None"] = ContextVar(
    "outputs", default=None
)


@contextmanager
def record_gates() -> Iterator[dict[str, Any]]:
    """Collect the gates `(..., E)` of every gating layer that runs inside.

    But for those inside the experts of a mixture, which see only the rows that
    they were given; call such an expert by itself to see them.

    Yields:
        A dict from the layer's name to its gates, in the order of the calls; a
        layer that runs again gets `_1`, `_2`, ... behind its name.

    Example:
    >>> with record_gates() as gates:
    ...     model(images)
    >>> gates["moe"].shape
    """
    record: dict[str, Any] = {}
    token = _open_record.set(record)
    try:
        yield record
    finally:
        _open_record.reset(token)


def note_gates(name: str, gates: Any) -> None:
    """Hand `gates` to the open record, if there is one."""
    record = _open_record.get()
    if record is None:
        return
    key, calls = name, 0
    while key in record:
        calls += 1
        key = f"{name}_{calls}"
    record[key] = gates


@contextmanager
def record_picks() -> Iterator[list[Any]]:
    """Collect the `Picks` of the gates that run inside.

    A gate that has sorted the scores once saves its mixture doing it again.

    Yields:
        A list, empty where no gate knows.
    """
    record: list[Any] = []
    token = _open_picks.set(record)
    try:
        yield record
    finally:
        _open_picks.reset(token)


def note_picks(picks: Any) -> None:
    """Hand `Picks` to the open record, if there is one."""
    record = _open_picks.get()
    if record is not None:
        record.append(picks)


@contextmanager
def record_scores(router: Any) -> Iterator[list[Any]]:
    """Collect a router's logits `(..., E)`, before experts are chosen.

    Args:
        router: the gate that is watched; others that run inside are not.

    Yields:
        A list with an item for each of its calls.
    """
    record: list[Any] = []
    token = _open_scores.set((router, record))
    try:
        yield record
    finally:
        _open_scores.reset(token)


def note_scores(router: Any, logits: Any) -> None:
    """Hand `logits` to the record that is open for this router, if one is."""
    watched, record = _open_scores.get()
    if watched is router:
        record.append(logits)


class ExpertOutputs:
    """What every expert of one mixture returned, for rows as its gate saw them.

    Attributes:
        mixture: the `MixtureOfExperts` that is watched.
        outputs: float `(N, E, *R)`, also where the gate is 0; None before the
            mixture has run.
        gates: float `(N, E)`, or None.
    """

    def __init__(self, mixture: Any) -> None:
        self.mixture = mixture
        self.outputs: Any = None
        self.gates: Any = None


@contextmanager
def record_outputs(mixture: Any) -> Iterator[ExpertOutputs]:
    """Make a mixture run every expert on every row, and keep what they return.

    Its result is that of `dispatch="dense"`.

    Args:
        mixture: the `MixtureOfExperts` to watch; others that run inside, such
            as one within an expert, go their usual way.

    Yields:
        `ExpertOutputs`, filled in when the mixture has run.
    """
    record = ExpertOutputs(mixture)
    token = _open_outputs.set(record)
    try:
        yield record
    finally:
        _open_outputs.reset(token)


def outputs_record(mixture: Any) -> ExpertOutputs | None:
    """The record that is open for this mixture, if one is."""
    record = _open_outputs.get()
    return record if record and record.mixture is mixture else None
