"""The results by backend, in a file, and the page that is made of them."""

import json
from pathlib import Path

from tests.backends.registry import GROUPS, YES, in_order

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parents[2] / "docs" / "backends.md"
BEGIN = "<!-- made of tests/backends/results.json; do not edit -->"
END = "<!-- end of what is made -->"
TITLES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


def read():
    """From a backend's name to its versions and to its outcomes."""
    if not RESULTS.exists():
        return {}
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def write(backend, versions, outcomes):
    """Store one backend's column, and make the page anew."""
    results = read()
    results[backend] = {"versions": versions, "outcomes": outcomes}
    ordered = {name: results[name] for name in TITLES if name in results}
    text = json.dumps(ordered, indent=1) + "\n"
    RESULTS.write_text(text, encoding="utf-8")
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), ordered))


def with_tables(page, results):
    """The page with everything between the two marks made anew."""
    head, rest = page.split(BEGIN)
    _, tail = rest.split(END)
    return "\n".join([head + BEGIN, "", *_lines(results), END + tail])


def _lines(results):
    runs = [
        " with ".join(f"{name} {version}" for name, version in pairs)
        for pairs in (one["versions"].items() for one in results.values())
    ]
    yield "Run on " + ", ".join(runs) + "."
    yield ""
    reasons = {}
    for group in GROUPS:
        yield f"### {group}"
        yield ""
        yield "| feature | " + " | ".join(TITLES.values()) + " |"
        yield "|---" * (len(TITLES) + 1) + "|"
        for probe in in_order():
            if probe.group == group:
                cells = [
                    _cell(results.get(backend), probe.feature, reasons)
                    for backend in TITLES
                ]
                yield f"| {probe.feature} | " + " | ".join(cells) + " |"
        yield ""
    if reasons:
        yield "Reasons:"
        yield ""
        for reason, number in reasons.items():
            yield f"{number}. {reason}"
        yield ""


def _cell(column, feature, reasons):
    """The outcome; reasons are numbered in the order of their first use."""
    outcome = (
        column["outcomes"].get(feature, "not run") if column else "not run"
    )
    if not outcome.startswith("no: "):
        assert outcome in (YES, "not run"), outcome
        return outcome
    reason = outcome.removeprefix("no: ")
    return f"no ({reasons.setdefault(reason, len(reasons) + 1)})"
