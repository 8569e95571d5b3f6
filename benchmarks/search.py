"""What a search of twelve trials finds, beside the default of each builder.

Of each task a part of a real data set: Fashion-MNIST, IMDB reviews, Taiwan's
credit cards. The budget is what the default costs. The default is trained in
the same way as the trials, with four learning rates, and the best of them
counts. As the best of many looks better than it is, both are then trained with
two new seeds. All scores are of validation rows; the test rows are not read.

With `--workers`, instead: how long one process takes, and two.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks import machine, page
from benchmarks.search_setups import (
    HYPERMODELS,
    MADE_UP,
    QUICK,
    RATES,
    SETUPS,
    default_of,
    load,
)
from benchmarks.search_workers import time_workers, workers_line
from moe_keras.data import Dataset, load_dataset
from moe_keras.search import Budget, SearchResult, Trial, tune
from moe_keras.search.subset import limit_training_rows

PAGE = page.ROOT / "docs" / "tuning.md"
RESULTS = page.RESULTS.with_name("search.json")
TRIALS, NEW_SEEDS = 12, (2, 3)
DATA_DIR = "MOE_KERAS_DATA_DIR"


def compare(
    task: str, data: Dataset, base: Any, quick: bool, out: Path
) -> tuple[dict[str, Any], SearchResult]:
    """Search, train the default, and train both anew."""
    setup = QUICK if quick else SETUPS[task]
    small = limit_training_rows(replace(data, test=None), setup.rows)
    usual = default_of(HYPERMODELS[task])(small, base=base, epochs=setup.epochs)
    tried = {
        rate: _mean(
            usual.train({"learning_rate": rate}, out / f"default_{rate}", seed)
            for seed in range(setup.seeds)
        )
        for rate in (RATES[:1] if quick else RATES)
    }
    rate = min(tried, key=lambda one: tried[one]["log_loss"])
    found = tune(
        base or task,
        small,
        Budget(max_multiply_adds=tried[rate]["active_multiply_adds"]),
        only=setup.only,
        method="bayesian",
        trials=2 if quick else TRIALS,
        epochs=setup.epochs,
        seeds=setup.seeds,
        out=out / "search",
    )
    best = found.best
    space = HYPERMODELS[task](small, base=base, epochs=setup.epochs)
    seeds = NEW_SEEDS[:1] if quick else NEW_SEEDS
    again = {
        "default": _mean(
            usual.train({"learning_rate": rate}, out / "again", seed)
            for seed in seeds
        ),
        "found": _mean(
            space.train(best.values, out / "again_found", seed)
            for seed in seeds
        ),
    }
    defaults = usual.recipe({"learning_rate": rate}).builder.arguments
    return {
        "task": task,
        "data": data.name,
        "rows": len(small.train),
        "validation_rows": len(small.validation),
        "epochs": setup.epochs,
        "seeds": setup.seeds,
        "only": setup.only,
        "trials": len(found.trials),
        "rejected": found.rejected,
        "default_tried": any(
            trial.arguments == defaults for trial in found.trials
        ),
        "longest_trial_s": round(max(map(_cpu_seconds, found.trials))),
        "default": _entry(tried[rate], again["default"], rate),
        "found": {
            **_entry(
                {
                    **best.scores,
                    "active_multiply_adds": best.multiply_adds,
                    "parameters": best.parameters,
                },
                again["found"],
                best.values["learning_rate"],
            ),
            "values": dict(best.values),
        },
    }, found


def _cpu_seconds(trial: Trial) -> float:
    """Of its trainings on one thread: other people's jobs do not count."""
    runs = trial.folder.glob("*/result.json")
    return sum(json.loads(run.read_text())["cpu_seconds"] for run in runs)


def _mean(scores: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The first one's, with the means of what differs between seeds."""
    scores = list(scores)
    means = {
        name: fmean(one[name] for one in scores)
        for name in ("log_loss", "accuracy")
    }
    return {**scores[0], **means}


def _entry(
    first: dict[str, Any], again: dict[str, Any], rate: float
) -> dict[str, Any]:
    return {
        "log_loss": round(first["log_loss"], 4),
        "accuracy": round(first["accuracy"], 4),
        "multiply_adds": first["active_multiply_adds"],
        "parameters": first["parameters"],
        "learning_rate": rate,
        "new_log_loss": round(again["log_loss"], 4),
        "new_accuracy": round(again["accuracy"], 4),
    }


def table(results: dict[str, Any]) -> str:
    """The results as markdown."""
    head = (
        *("task", "model", "multiply-adds", "parameters", "log-loss, search"),
        *("log-loss, new seeds", "accuracy, new seeds"),
    )
    lines = [
        (
            entry["task"],
            name,
            f"{entry[name]['multiply_adds']:,.0f}",
            f"{entry[name]['parameters']:,}",
            f"{entry[name]['log_loss']:.4f}",
            f"{entry[name]['new_log_loss']:.4f}",
            f"{entry[name]['new_accuracy']:.2%}",
        )
        for entry in results["entries"]
        for name in ("default", "found")
    ]
    notes = [
        f"- {entry['task']}: {entry['rows']:,} rows of {entry['data']}, "
        f"{entry['epochs']} epochs, {entry['validation_rows']:,} validation "
        f"rows, trainings of a trial: {entry['seeds']}; refused for their "
        f"cost: {entry['rejected']}; the longest trial took "
        f"{entry['longest_trial_s']} CPU s. Found: {named(found['values'])}. "
        f"The default's rate: {entry['default']['learning_rate']}."
        for entry in results["entries"]
        for found in [entry["found"]]
    ]
    if "workers" in results:
        notes.append(f"- {workers_line(results['workers'])}")
    where = results["machine"]
    return "\n\n".join(
        [
            page.table(head, lines),
            "\n".join(notes),
            f"{where['device']}, {where['cores']} cores, one thread; commit "
            f"{where['commit']}.",
        ]
    )


def named(values: dict[str, Any]) -> str:
    """Names with their values."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


def main() -> None:
    """Search for each task, print, and write results, page and pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", default=os.environ.get(DATA_DIR))
    parser.add_argument("--csv-dir", help="folder of the table")
    parser.add_argument("--out", type=Path, help="to go on from")
    parser.add_argument(
        "--task",
        action="append",
        choices=HYPERMODELS,
        help="may be repeated; all of them without it",
    )
    parser.add_argument(
        "--quick", action="store_true", help="on made-up data, not written"
    )
    parser.add_argument(
        "--workers", action="store_true", help="time one process and two"
    )
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp(prefix="search_"))
    if options.workers:
        results = json.loads(RESULTS.read_text())
        results["workers"] = time_workers(options.data_dir, out)
        write(results)
        return
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    folders = {"tfds": options.data_dir, "csv": options.csv_dir}
    known = RESULTS.exists() and not options.quick
    results = json.loads(RESULTS.read_text()) if known else {}
    entries = {entry["task"]: entry for entry in results.get("entries", ())}
    for task in options.task or HYPERMODELS:
        if options.quick:
            data, base = load_dataset(MADE_UP[task]), None
        else:
            data, base = load(task, folders)
        entries[task], found = compare(
            task, data, base, options.quick, out / task
        )
        if not options.quick:
            found.plot().savefig(picture_of(task), dpi=110)
    in_order = [entries[task] for task in HYPERMODELS if task in entries]
    results |= {"machine": machine.describe(), "entries": in_order}
    if options.quick:
        print(table(results))
    else:
        write(results)


def write(results: dict[str, Any]) -> None:
    """Print the results, and put them into their file and the page."""
    print(table(results))
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    PAGE.write_text(page.put(PAGE.read_text(), table(results)))


def picture_of(task: str) -> Path:
    """The front's picture, beside the page."""
    return page.ROOT / "docs" / f"search_{task}.png"


if __name__ == "__main__":
    main()
