"""The tables of docs/benchmarks.md, written from the results."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results" / "routing.json"
START, END = "<!-- results: start -->", "<!-- results: end -->"


def write(results: dict, page: Path = PAGE) -> None:
    """Put the tables between the page's markers."""
    page.write_text(fill(page.read_text(), results))


def fill(text: str, results: dict) -> str:
    """The page's text with its tables as the results have them."""
    return put(text, tables(results))


def put(text: str, content: str) -> str:
    """A page's text with other content between its markers."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n\n{content}\n\n{END}{after}"


def tables(results: dict) -> str:
    """All tables, as markdown."""
    parts = []
    for backend, found in results.items():
        parts += [f"## {backend.capitalize()}", _where(found["machine"])]
        for title, make, key in (
            ("Over the limit", _limit, "limit"),
            ("Reading the kernels", _reading, "reading"),
            ("Growth with the number of experts", _growth, "growth"),
            ("Beside others", _peers, "peers"),
        ):
            entries = found.get(key, [])
            if entries:
                parts += [f"### {title} ({backend})", make(entries)]
                parts += _skipped(entries)
    return "\n\n".join(parts)


def _where(machine: dict) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    return (
        f"{machine['device']}, {machine['cores']} cores, load "
        f"{machine['load']} at the start; Python {machine['python']}, "
        f"{versions}; commit {machine['commit']}."
    )


def _limit(entries: list[dict]) -> str:
    rows = [
        (
            _size(entry),
            entry["activation"],
            entry["dispatch"],
            _pass(entry),
            entry["limit"]["ms"],
            entry["ours"]["ms"],
            _ratio(entry["ours"]["ratio"]),
        )
        for entry in _measured(entries)
    ]
    head = (
        "rows, E, k",
        "activation",
        "dispatch",
        "pass",
        "limit ms",
        "ours ms",
        "ours / limit",
    )
    return table(head, rows)


def _reading(entries: list[dict]) -> str:
    names = ("reading", "products", "cached")
    rows = [
        (
            _size(entry),
            entry["megabytes"],
            entry["limit"]["ms"],
            *(_ratio(entry[name]["ratio"]) for name in names),
        )
        for entry in _measured(entries)
    ]
    head = ("rows, E, k", "MB", "limit ms", *(f"{n} / limit" for n in names))
    return table(head, rows)


def _growth(entries: list[dict]) -> str:
    rows = [
        (
            _size(entry),
            _pass(entry),
            _ratio(entry["over_fewest"]),
            _ratio(entry["over_limit"]),
        )
        for entry in _measured(entries)
    ]
    return table(
        ("rows, E, k", "pass", "over the fewest experts", "over the limit"),
        rows,
    )


def _peers(entries: list[dict]) -> str:
    measured = _measured(entries)
    rows = [
        (
            entry["peer"],
            _size(entry),
            _pass(entry),
            _ratio(entry["ours"]["ratio"]),
            _ratio(entry["theirs"]["ratio"]),
            _ratio(entry["theirs_over_ours"]),
            _distance(entry["difference"]),
        )
        for entry in measured
    ]
    head = (
        "peer",
        "rows, E, k",
        "pass",
        "ours / limit",
        "peer / limit",
        "peer / ours",
        "difference",
    )
    notes = {entry["peer"]: entry["note"] for entry in measured}
    lines = [f"- {name}: {note}." for name, note in notes.items()]
    return "\n\n".join([table(head, rows), "\n".join(lines)])


def _measured(entries: list[dict]) -> list[dict]:
    return [entry for entry in entries if "skipped" not in entry]


def _skipped(entries: list[dict]) -> list[str]:
    lines = [
        f"- {entry.get('peer', 'this layer')} at {_size(entry)}: "
        f"{entry['skipped']}."
        for entry in entries
        if "skipped" in entry
    ]
    return ["Not measured:", "\n".join(lines)] if lines else []


def _size(entry: dict) -> str:
    return f"{entry['rows']}, {entry['experts']}, {entry['top_k']}"


def _pass(entry: dict) -> str:
    return "forward + backward" if entry["backward"] else "forward"


def _ratio(found: dict) -> str:
    low, high = found["quartiles"]
    return f"{found['median']:.2f} ({low:.2f} to {high:.2f})"


def _distance(value: float | None) -> str:
    return "not the same formula" if value is None else f"{value:.0e}"


def table(head: tuple, rows: list[tuple]) -> str:
    """A markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell) for cell in line) + " |" for line in lines
    )


if __name__ == "__main__":
    write(json.loads(RESULTS.read_text()))
