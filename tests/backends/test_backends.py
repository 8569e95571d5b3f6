"""What runs on this backend is what the page says; see `CONTRIBUTING.md`."""

import os
from importlib import metadata

import pytest

# Each enters its probes into the list.
from tests.backends import (  # noqa: F401
    blocks,
    dispatches,
    gates,
    losses,
    parts,
    runs,
    table,
)
from tests.backends.registry import (
    PROBES,
    Lacking,
    Probe,
    in_order,
    outcome_of,
)
from tests.tools import BACKEND

FEATURES = [probe.feature for probe in in_order()]
WRITE = bool(os.environ.get("MOE_KERAS_WRITE_BACKENDS"))
PACKAGES = {
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "jax": ("jax",),
    "torch": ("torch",),
}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:keras.*")


def versions():
    """Of the backend and of Keras."""
    found = {d.metadata["Name"]: d.version for d in metadata.distributions()}
    name = next(name for name in PACKAGES[BACKEND] if name in found)
    return {
        table.TITLES[BACKEND]: found[name].split("+")[0],
        "Keras": found["keras"],
    }


@pytest.fixture(scope="module")
def outcomes():
    found = {}
    yield found
    # A column is written whole, or not at all.
    if WRITE and list(found) == FEATURES:
        table.write(BACKEND, versions(), found)


@pytest.mark.parametrize("feature", FEATURES)
def test_the_outcome_is_the_stored_one(feature, outcomes):
    outcome = outcome_of(PROBES[feature])
    outcomes[feature] = outcome
    if not WRITE:
        stored = table.read()[BACKEND]["outcomes"]
        assert outcome == stored.get(feature)


def test_every_backend_has_run_every_probe():
    if WRITE:
        pytest.skip("the results are being written")
    results = table.read()
    assert list(results) == list(table.TITLES)
    for backend in results:
        assert list(results[backend]["outcomes"]) == FEATURES


def test_the_page_is_made_of_the_results():
    if WRITE:
        pytest.skip("the results are being written")
    page = table.PAGE.read_text(encoding="utf-8")
    assert page == table.with_tables(page, table.read())


def wrong():
    assert [1.0] == [2.0], "refused"


def refused():
    raise Lacking("refused, for a reason")


def broken():
    raise ValueError("something else")


def test_a_refusal_is_an_outcome_and_a_mistake_is_not():
    refusals = {BACKEND: ("refused", "It cannot be.")}
    outcomes = [
        outcome_of(Probe("Gates", "one", run, refusals))
        for run in (refused, lambda: None)
    ]
    assert outcomes == ["no: It cannot be.", "yes"]
    with pytest.raises(AssertionError):
        outcome_of(Probe("Gates", "one", wrong, refusals))
    with pytest.raises(ValueError, match="something else"):
        outcome_of(Probe("Gates", "one", broken, refusals))
    with pytest.raises(Lacking):
        outcome_of(Probe("Gates", "one", refused))


def test_a_probe_that_has_not_run_is_no_success():
    page = table.with_tables(f"a\n{table.BEGIN}\nold\n{table.END}\nb\n", {})
    assert page.startswith(f"a\n{table.BEGIN}\n")
    assert page.endswith(f"{table.END}\nb\n")
    assert "old" not in page
    assert "| top-k | not run | not run | not run |" in page
