"""The list of probes: small checks, one for each feature, run on a backend."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.tools import BACKEND

YES = "yes"
# The headings of the page, in its order.
GROUPS = (
    "Gates",
    "Losses",
    "Dispatch",
    "Experts",
    "Fusion",
    "Blocks",
    "Precision",
    "Compiled",
    "Models",
)


class Lacking(Exception):
    """Raised by a probe where a backend lacks what the feature needs."""


@dataclass(frozen=True)
class Probe:
    """One line of the table.

    Attributes:
        group: heading of the table.
        feature: what the line is about; unique.
        run: compares with an oracle; raises where it differs.
        refusals: for each backend that refuses the feature, a text that its
            error must hold, and the reason that the table gives.
    """

    group: str
    feature: str
    run: Callable[[], None]
    refusals: dict[str, tuple[str, str]] = field(default_factory=dict)


PROBES: dict[str, Probe] = {}


def probe(group, feature, refusals=None):
    """Enter the function below into the list."""

    def enter(run):
        add(group, feature, run, refusals)
        return run

    return enter


def add(group, feature, run, refusals=None):
    assert feature not in PROBES, feature
    assert group in GROUPS, group
    PROBES[feature] = Probe(group, feature, run, refusals or {})


def in_order():
    """The probes, heading by heading."""
    return sorted(PROBES.values(), key=lambda one: GROUPS.index(one.group))


def outcome_of(probe):
    """`"yes"`, or `"no: "` and the reason; a wrong result is an error."""
    text, reason = probe.refusals.get(BACKEND, (None, None))
    try:
        probe.run()
    except Exception as error:
        refused = text is not None and text in str(error)
        if isinstance(error, AssertionError) or not refused:
            raise
        return f"no: {reason}"
    return YES
