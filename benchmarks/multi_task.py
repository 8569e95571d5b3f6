"""Two targets of one loan, over several seeds of the training.

The example's models: one for each target, and one for both, with the experts
shared (MMoE) or some of them each target's own (PLE). The loans are made up,
and their true chances known: the last row is the best that there is.
"""

import argparse
import json
import os
import runpy

import numpy as np

from benchmarks import machine, page

PAGE = page.ROOT / "docs" / "multi_task.md"
RESULTS = page.RESULTS.with_name("multi_task.json")
EXAMPLE = page.ROOT / "examples" / "multi_task.py"
SEEDS = 3
NAMES = {"alone": "a model for each", "mmoe": '`"mmoe"`', "ple": '`"ple"`'}


def measure(seeds: int) -> dict:
    """The example's scores, of each seed."""
    example = runpy.run_path(str(EXAMPLE))
    targets, labels = example["TARGETS"], example["labels"]
    found: dict = {
        "test_rows": len(example["test"]),
        "labels": {
            name: int((labels[name] != example["UNKNOWN"]).sum())
            for name in targets
        },
        "true_chances": _auc(example["rows"]["true chances"], targets),
        "entries": [],
    }
    for seed in range(seeds):
        # The example has trained the first.
        rows = (
            example["rows"]
            if seed == 0
            else {
                name: example["judge"](parts)
                for name, parts in example["train_all"](seed).items()
            }
        )
        for name in NAMES:
            entry = {
                "name": name,
                "seed": seed,
                "auc": _auc(rows[name], targets),
                "multiply_adds": rows[name][("both", "multiply-adds")],
            }
            print(json.dumps(entry), flush=True)
            found["entries"].append(entry)
    return found


def _auc(row: dict, targets: list[str]) -> dict[str, float]:
    return {name: round(float(row[(name, "auc")]), 6) for name in targets}


def table(results: dict) -> str:
    """The results as markdown: mean and standard deviation over the seeds."""
    counts = results["labels"]
    head = (
        "AUC",
        *(f"{name}, {count:,} labels" for name, count in counts.items()),
        "multiply-adds",
    )
    rows = []
    for name, title in NAMES.items():
        entries = [e for e in results["entries"] if e["name"] == name]
        values = {t: [e["auc"][t] for e in entries] for t in counts}
        rows.append(
            (
                title,
                *(
                    f"{np.mean(v):.4f} ({_deviation(v)})"
                    for v in values.values()
                ),
                f"{entries[0]['multiply_adds']:,.0f}",
            )
        )
    best = (f"{value:.4f}" for value in results["true_chances"].values())
    rows.append(("the true chances", *best, ""))
    seeds = len({entry["seed"] for entry in results["entries"]})
    return (
        f"{seeds} seeds, {results['test_rows']:,} test rows, mean (SD).\n\n"
        f"{page.table(head, rows)}"
    )


def _deviation(values: list[float]) -> str:
    return f"{np.std(values, ddof=1):.4f}" if len(values) > 1 else "one seed"


def main() -> None:
    """Train, print, and write the results and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one short run, nothing is written"
    )
    quick = parser.parse_args().quick
    if quick:
        os.environ["QUICK"] = "1"
    results = {"machine": machine.describe(), **measure(1 if quick else SEEDS)}
    print(table(results))
    if not quick:
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
        PAGE.write_text(page.put(PAGE.read_text(), table(results)))


if __name__ == "__main__":
    main()
