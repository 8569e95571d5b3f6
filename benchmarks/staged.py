"""Training in stages beside training together: the sentiment preset's scores.

The table of docs/staged_training.md, written from the results of
`sentiment/imdb_moe`: the same mixture, the same seeds. Choices were made on the
validation rows, on which the gate of the staged training has learned; the test
rows are new to both.
"""

import json
from statistics import fmean, stdev
from typing import Any

from benchmarks import page

PAGE = page.ROOT / "docs" / "staged_training.md"
RESULTS = page.ROOT / "zoo" / "sentiment" / "imdb_moe" / "results.json"
TRAININGS = {"imdb_moe": "in stages", "joint": "together"}
SPLITS = ("validation", "test")


def table(results: dict[str, Any]) -> str:
    """The results as markdown."""
    head = ["training", "seeds"]
    for split in SPLITS:
        head += [f"{split} accuracy %", f"{split} log-loss"]
    return page.table(
        (*head, "CPU minutes"),
        [
            _line(results, contestant, name)
            for contestant, name in TRAININGS.items()
        ],
    )


def _line(results: dict[str, Any], contestant: str, name: str) -> tuple:
    found = {
        split: [
            row for row in results[split] if row["contestant"] == contestant
        ]
        for split in SPLITS
    }
    cells: list[str] = [name, str(len(found["test"]))]
    for split in SPLITS:
        accuracy = [100 * row["accuracy"] for row in found[split]]
        cells.append(f"{fmean(accuracy):.2f} ± {stdev(accuracy):.2f}")
        losses = [row["log_loss"] for row in found[split]]
        cells.append(f"{fmean(losses):.4f} ± {stdev(losses):.4f}")
    minutes = fmean(row["cpu_seconds"] for row in found["test"]) / 60
    return (*cells, f"{minutes:.1f}")


def main() -> None:
    """Print the table, and put it into the page."""
    results = json.loads(RESULTS.read_text())
    print(table(results))
    PAGE.write_text(page.put(PAGE.read_text(), table(results)))


if __name__ == "__main__":
    main()
