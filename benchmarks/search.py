"""What a search of twelve trials finds, beside the default of each builder.

Of each task a part of a real data set: Fashion-MNIST, IMDB reviews, Taiwan's
credit cards. The budget is what the default costs. The default is trained in
the same way as the trials, with three learning rates, and the best of them
counts. As the best of many looks better than it is, both are then trained with
two new seeds. All scores are of validation rows; the test rows are not read.

With `--workers`, instead: how long eight trials take one process and two, each
of one thread.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks import machine, page
from moe_keras.data import Dataset, load_dataset
from moe_keras.search import Budget, SearchResult, tune
from moe_keras.search.hypermodels import (
    ImageMoEHyperModel,
    MoEHyperModel,
    RiskMoEHyperModel,
    SentimentMoEHyperModel,
)
from moe_keras.search.subset import limit_training_rows
from moe_keras.training import Recipe, load_recipe

PAGE = page.ROOT / "docs" / "search.md"
RESULTS = page.RESULTS.with_name("search.json")
HYPERMODELS: dict[str, type[MoEHyperModel]] = {
    "image": ImageMoEHyperModel,
    "sentiment": SentimentMoEHyperModel,
    "risk": RiskMoEHyperModel,
}
# By task: training rows and epochs of each training.
SIZES = {"image": (6_000, 4), "sentiment": (4_000, 3), "risk": (10_000, 4)}
RATES = (2**-10, 2**-9, 2**-8)
TRIALS, NEW_SEEDS = 12, (1, 2)
PARALLEL_TRIALS = 8
DATA_DIR = "MOE_KERAS_DATA_DIR"
MADE_UP = {
    "image": "digits",
    "sentiment": "synthetic_reviews",
    "risk": "synthetic_credit",
}


def load(task: str, folders: dict[str, str | None]) -> tuple[Dataset, Any]:
    """The data of a task, and the recipe that tells its columns, if any."""
    if task != "risk":
        name = {"image": "fashion_mnist", "sentiment": "imdb_reviews"}[task]
        return load_dataset(f"tfds:{name}", folders["tfds"]), None
    published = load_recipe(page.ROOT / "zoo" / "risk" / "taiwan_default")
    schema = published.builder.arguments["schema"]
    builder = published.builder.model_copy(
        update={"arguments": {"schema": schema}}
    )
    base = Recipe.model_validate(
        {
            **published.model_dump(exclude={"baselines", "out_of_fold"}),
            "builder": builder.model_dump(),
            "folds": None,
            "seeds": [0],
        }
    )
    data = load_dataset(base.data.name, folders["csv"], **base.data.options)
    return data, base


def default_of(kind: type[MoEHyperModel]) -> type[MoEHyperModel]:
    """The hypermodel whose every configuration is the default builder's."""

    class Default(kind):  # type: ignore[valid-type, misc]
        def arguments(self, values: Any) -> dict[str, Any]:
            first = {name: options[0] for name, options in self.space.items()}
            given = super().arguments(first)
            return {key: given[key] for key in ("schema",) if key in given}

    return Default


def compare(
    task: str, data: Dataset, base: Any, quick: bool, out: Path
) -> tuple[dict[str, Any], SearchResult]:
    """Search, train the default, and train both anew."""
    rows, epochs = (200, 1) if quick else SIZES[task]
    trials, seeds = (2, NEW_SEEDS[:1]) if quick else (TRIALS, NEW_SEEDS)
    small = limit_training_rows(replace(data, test=None), rows)
    usual = default_of(HYPERMODELS[task])(small, base=base, epochs=epochs)
    tried = {
        rate: usual.train({"learning_rate": rate}, out / f"default_{rate}")
        for rate in (RATES[:1] if quick else RATES)
    }
    rate = min(tried, key=lambda one: tried[one]["log_loss"])
    limit = tried[rate]["active_multiply_adds"]
    found = tune(
        base or task,
        small,
        Budget(max_multiply_adds=limit),
        method="bayesian",
        trials=trials,
        epochs=epochs,
        out=out / "search",
    )
    best = found.best
    space = HYPERMODELS[task](small, base=base, epochs=epochs)
    again = {
        "default": [
            usual.train({"learning_rate": rate}, out / "again", seed)
            for seed in seeds
        ],
        "found": [
            space.train(best.values, out / "again_found", seed)
            for seed in seeds
        ],
    }
    defaults = usual.recipe({"learning_rate": rate}).builder.arguments
    return {
        "task": task,
        "data": data.name,
        "rows": len(small.train),
        "validation_rows": len(small.validation),
        "epochs": epochs,
        "trials": len(found.trials),
        "rejected": found.rejected,
        "default_tried": any(
            trial.arguments == defaults for trial in found.trials
        ),
        "longest_trial_s": round(max(t.seconds for t in found.trials)),
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


def _entry(
    first: dict[str, Any], again: list[dict[str, Any]], rate: float
) -> dict[str, Any]:
    return {
        "log_loss": round(first["log_loss"], 4),
        "accuracy": round(first["accuracy"], 4),
        "multiply_adds": first["active_multiply_adds"],
        "parameters": first["parameters"],
        "learning_rate": rate,
        "new_log_loss": round(fmean(one["log_loss"] for one in again), 4),
        "new_accuracy": round(fmean(one["accuracy"] for one in again), 4),
    }


def time_workers(folder: str | None, out: Path) -> dict[str, Any]:
    """Seconds of the same search with one process and with two."""
    rows, epochs = SIZES["image"]
    seconds = {}
    for workers in (1, 2):
        command = [
            *(sys.executable, "-m", "moe_keras", "tune", "image"),
            *("--data", "tfds:fashion_mnist", "--data-dir", str(folder)),
            *("--limit", str(rows), "--epochs", str(epochs)),
            *("--trials", str(PARALLEL_TRIALS), "--method", "random"),
            *("--max-multiply-adds", "2e6", "--threads", "1", "--fresh"),
            *("--workers", str(workers), "--out", str(out / str(workers))),
        ]
        start = time.perf_counter()
        subprocess.run(command, check=True, cwd=page.ROOT)
        seconds[str(workers)] = round(time.perf_counter() - start, 1)
    return {"trials": PARALLEL_TRIALS, "seconds": seconds}


def workers_line(found: dict[str, Any]) -> str:
    """The seconds as a sentence."""
    one, two = (found["seconds"][key] for key in ("1", "2"))
    return (
        f"{found['trials']} trials on images took one process {one:.0f} s and "
        f"two {two:.0f} s, so {one / two:.2f} times as long; one thread each, "
        "starting included."
    )


def table(results: dict[str, Any]) -> str:
    """The results as markdown."""
    head = (
        *("task", "model", "multiply-adds", "parameters", "log-loss, seed 0"),
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
        f"rows; {entry['rejected']} models were above the budget; the longest "
        f"trial took {entry['longest_trial_s']} s. Found: "
        + ", ".join(f"{k} {v}" for k, v in entry["found"]["values"].items())
        + f". The default's rate: {entry['default']['learning_rate']}."
        for entry in results["entries"]
    ]
    where = results["machine"]
    return "\n\n".join(
        [
            page.table(head, lines),
            "\n".join(notes),
            *([workers_line(results["workers"])] * ("workers" in results)),
            f"{where['device']}, {where['cores']} cores, one thread; commit "
            f"{where['commit']}.",
        ]
    )


def main() -> None:
    """Search for each task, print, and write results, page and pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", default=os.environ.get(DATA_DIR))
    parser.add_argument("--csv-dir", help="folder of the table")
    parser.add_argument("--out", type=Path, help="to go on from")
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
    entries = []
    for task in HYPERMODELS:
        if options.quick:
            data, base = load_dataset(MADE_UP[task]), None
        else:
            data, base = load(task, folders)
        entry, found = compare(task, data, base, options.quick, out / task)
        entries.append(entry)
        if not options.quick:
            found.plot().savefig(picture_of(task), dpi=110)
    results = {"machine": machine.describe(), "entries": entries}
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
