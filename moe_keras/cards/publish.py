"""From finished runs to a folder of the zoo: weights, results, pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from moe_keras.cards.card import (
    ALIVE,
    CARD,
    RECIPE,
    RESULTS,
    least_load,
    write_card,
)
from moe_keras.cards.comparison import Comparison, compare_recipe
from moe_keras.cards.groups import group_scores
from moe_keras.cards.judging import finished_runs
from moe_keras.data import Dataset, Split
from moe_keras.errors import require
from moe_keras.insight import (
    Difference,
    FoldDifference,
    collect_gates,
    expert_by_class,
    expert_names,
    plot_calibration,
    plot_routing,
    reliability,
)
from moe_keras.one_writer import one_writer
from moe_keras.runner.data import data_at, load_data
from moe_keras.runner.files import MODEL, read_model, read_result
from moe_keras.runner.latency import served_speed
from moe_keras.runner.metrics import metrics_of
from moe_keras.runner.scoring import predict, scores_of
from moe_keras.storage import read_json, write_json, write_picture
from moe_keras.training import Recipe, load_recipe
from moe_keras.training.builders import describe_build, read_schema
from moe_keras.training.identity import require_same
from moe_keras.zoo import from_preset, save_preset

OWNER = "publish_recipe"
CALIBRATION, ROUTING = "calibration.png", "routing.png"


def publish_recipe(
    recipe: Recipe,
    folder: Path | str,
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
) -> dict[str, Any]:
    """Score all runs on the test split, and write the preset's folder.

    The weights that are shipped are those of the seed that is best on the
    validation split, or out of fold, in float16; they are scored as they are
    shipped. The test split is read here and nowhere else, once nothing is left
    to refuse; each reading is counted in the results.

    Args:
        recipe: see `load_recipe`.
        folder: of the preset, `zoo/<task>/<preset>`.
        out: folder of the runs, as for `train_recipe`.
        data_dir: folder of the data sets; see `load_dataset`.

    Returns:
        What `results.json` holds.

    Raises:
        FileNotFoundError: when the model has not been trained.
        FolderInUse: when another process writes into the folder.
        ValueError: when an expert of it is dead: see `ALIVE`; when the folder,
            or the runs, are of another recipe.
    """
    with one_writer(Path(folder), OWNER):
        return publish_compared(recipe, folder, out, data_dir)[0]


def publish_compared(
    recipe: Recipe,
    folder: Path | str,
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
    command: str | None = None,
    served: Path | None = None,
) -> tuple[dict[str, Any], Comparison]:
    """`publish_recipe`, and the comparison on the test split that it made.

    With a command, the card is that of what this command has made, not of a
    preset of the zoo; `served` is the SavedModel that it made, to be timed.
    """
    folder = Path(folder)
    runs = Path(out or Path("runs", recipe.name))
    facts = recipe.training_facts()
    there = load_recipe(folder / RECIPE).training_facts()
    require_same(OWNER, folder, there, facts, "the folder is another recipe's.")
    before = read_json(folder / RESULTS) if (folder / RESULTS).exists() else {}
    validation = validation_rows(recipe, runs, data_dir)
    seed = _best_seed(recipe, validation)
    data = data_at(recipe, load_data(recipe, data_dir), seed)
    held_out = data.validation if len(data.validation) else data.train
    model = read_model(runs / str(seed) / MODEL)
    # Before the test split is read.
    _refuse_dead_experts(recipe, routing_of(model, held_out, len(data.classes)))
    test = compare_recipe(recipe, runs, "test", data_dir)
    # A card is the last to be written: what it says is of this preset.
    (folder / CARD).unlink(missing_ok=True)
    saved = save_preset(model, folder, _metadata(recipe, data, test, seed))
    shipped = from_preset(str(folder))
    probabilities = predict(shipped, data.test, len(data.classes))
    shown = reliability(
        data.test.labels, probabilities, 1 if recipe.out_of_fold else None
    )
    results = {
        "preset": f"{recipe.task}/{recipe.name}",
        "command": command,
        "training": facts,
        "preset_sha256": saved.sha256,
        "data": {
            "name": data.name,
            "licence": data.licence,
            "citation": data.citation,
            "classes": list(data.classes),
            "rows": {
                "train": len(data.train),
                "validation": len(data.validation),
                "test": len(data.test),
            },
        },
        "test_readings": before.get("test_readings", 0) + 1,
        "validation": validation,
        "test": test.rows,
        "differences": difference_facts(test.differences),
        "shipped": {
            "seed": seed,
            **scores_of(recipe, data.test.labels, probabilities),
        },
        "calibration": {
            name: np.nan_to_num(values).round(4).tolist()
            for name, values in shown._asdict().items()
        },
        "routing": routing_of(shipped, data.test, len(data.classes)),
        **served_speed(shipped, data.test, served),
        "groups": _groups(recipe, test),
        "words": _words_of(shipped),
    }
    write_json(folder / RESULTS, results)
    names = ("confidence", "right")
    if recipe.out_of_fold is not None:
        positive = data.classes[1] if command else "bad"
        names = (f"P({positive})", positive)
    _draw(folder, results, shown, names)
    write_card(folder)
    return results, test


def validation_rows(
    recipe: Recipe, runs: Path, data_dir: Path | str | None
) -> list[dict[str, Any]]:
    """Scores on rows that choices are made on, one dict per contestant and run.

    With `out_of_fold`, what each run has written of itself.
    """
    if recipe.out_of_fold is None:
        return compare_recipe(recipe, runs, "validation", data_dir).rows
    left = {"training", "versions", "recipe", "classes"}
    found = (read_result(run) for _, _, run in finished_runs(recipe, runs))
    return [
        {key: value for key, value in result.items() if key not in left}
        for result in found
    ]


def difference_facts(
    differences: Mapping[str, Difference | FoldDifference],
) -> dict[str, dict[str, Any]]:
    """Differences as JSON has them: what one fold does not say is null."""
    return {
        name: {
            key: None if value != value else value
            for key, value in difference._asdict().items()
        }
        for name, difference in differences.items()
    }


def _best_seed(recipe: Recipe, rows: list[dict[str, Any]]) -> int:
    own = [row for row in rows if row["contestant"] == recipe.name]
    if not own:
        raise FileNotFoundError(f"{recipe.name} has not been trained")
    first = metrics_of(own[0])[0].key
    best: int = max(own, key=lambda row: (row[first], -row["log_loss"]))["seed"]
    return best


def _groups(recipe: Recipe, test: Comparison) -> list[dict[str, Any]]:
    if recipe.out_of_fold is None:
        return []
    schema = read_schema(recipe.builder.arguments)
    own = [one for one in test.judged if one.contestant == recipe.name]
    # Every row once: the folds of the first repeat, or the first seed.
    own = [one for one in own if one.seed < (recipe.folds or 0)] or own[:1]
    # A column that is hidden from the model is not among its rows.
    known = own[0].rows.columns()
    return group_scores(
        own, [name for name in schema.protected if name in known]
    )


def _refuse_dead_experts(recipe: Recipe, routing: dict[str, Any]) -> None:
    for gate, found in routing.items():
        require(
            least_load(found["load"]) >= ALIVE,
            OWNER,
            f"every expert must take at least {ALIVE} of an even load on the "
            "rows that choices are made on; more balance loss may help.",
            recipe=recipe.name,
            gate=gate,
            load=found["load"],
        )


def _metadata(
    recipe: Recipe, data: Dataset, test: Comparison, seed: int
) -> dict[str, Any]:
    (own,) = (
        row
        for row in test.rows
        if (row["contestant"], row["seed"]) == (recipe.name, seed)
    )
    return {
        "task": recipe.task,
        "classes": list(data.classes),
        "preprocessing": "none: the model takes the data as they come",
        "data": {"name": data.name, "licence": data.licence},
        "licence": "Apache-2.0",
        "scores": {
            key: {"mean": float(np.mean(test.scores(recipe.name, key)))}
            for key in (metric.key for metric in metrics_of(own))
        },
        "builder": describe_build(
            recipe.builder.name, recipe.builder.arguments, data
        ),
        "multiply_adds": {
            "active": own["active_multiply_adds"],
            "total": own["total_multiply_adds"],
        },
    }


def routing_of(
    model: keras.Model, split: Split, num_classes: int
) -> dict[str, dict[str, Any]]:
    """Load and mean gates by class of every gate of a model.

    Args:
        model: `keras.Model`.
        split: the rows.
        num_classes: int > 0. C.

    Returns:
        By gate: `experts`, their names; `sparse`, whether some gates are 0;
        `load`, the share of all choices that each expert takes; and `by_class`,
        `(C, E)`, the mean gate; gates by position are averaged over the
        positions of a row.
    """
    routing, names = {}, expert_names(model)
    for name, gates in collect_gates(model, split.inputs).items():
        by_row = gates.reshape(len(gates), -1, gates.shape[-1])
        chosen = (by_row != 0).sum(axis=(0, 1))
        routing[name] = {
            "experts": names.get(name) or list(map(str, range(len(chosen)))),
            "sparse": bool((by_row == 0).any()),
            "load": (chosen / chosen.sum()).round(4).tolist(),
            "by_class": expert_by_class(
                by_row.mean(axis=1), split.labels, num_classes
            )
            .round(4)
            .tolist(),
        }
    return routing


def _words_of(model: keras.Model) -> int | None:
    """Of a model of texts: the most words that it reads of one."""
    lengths = (
        getattr(layer, "declared_length", None) for layer in model.layers
    )
    return next((length for length in lengths if length is not None), None)


def _draw(
    folder: Path, results: dict[str, Any], shown: Any, names: tuple[str, str]
) -> None:
    def save(figure: Figure, name: str) -> None:
        write_picture(folder / name, figure, 80)

    save(plot_calibration(shown, *names), CALIBRATION)
    last = list(results["routing"].values())[-1] if results["routing"] else None
    if last is not None:
        experts = [
            f"expert {name}" if name.isdigit() else name
            for name in last["experts"]
        ]
        table, classes = last["by_class"], results["data"]["classes"]
        save(plot_routing(table, experts, classes), ROUTING)
