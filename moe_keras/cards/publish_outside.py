"""Models of others measured anew, beside what has been published."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from moe_keras.cards.card import RESULTS, write_card
from moe_keras.cards.comparison import differences_by_fold, judged_row
from moe_keras.cards.judging import Judge
from moe_keras.cards.publish import difference_facts
from moe_keras.errors import require
from moe_keras.runner.files import read_json, write_json
from moe_keras.training import Recipe

OWNER = "publish_outside"


def publish_outside(
    recipe: Recipe,
    folder: Path | str,
    names: Collection[str],
    data_dir: Path | str | None = None,
) -> dict[str, Any]:
    """Measure some models of others anew on every fold of a published recipe.

    They are fitted when models are compared, so that no run of the mixture is
    needed: their rows and differences take the place of those in
    `results.json`, all else stays as it is, and the card is made anew. As it
    reads what was held out, it counts as a reading of the test split.

    Args:
        recipe: see `load_recipe`; with `folds`.
        folder: of the preset, with its `results.json`.
        names: of baselines of the recipe that are models of others.
        data_dir: folder of the data sets; see `load_dataset`.

    Returns:
        What `results.json` then holds.

    Raises:
        FileNotFoundError: when nothing has been published in the folder.
        ValueError: for a recipe without folds, whose differences need what the
            mixture says of each row, and for other names.
    """
    folder = Path(folder)
    known = [one.name for one in recipe.baselines if one.outside is not None]
    require(
        bool(names) and set(names) <= set(known),
        OWNER,
        f"`names` must be of the recipe's models of others, {known}.",
        names=sorted(names),
    )
    require(
        recipe.folds is not None,
        OWNER,
        "only of a recipe with `folds` can one model be measured alone: the "
        "differences of others are of rows, and need all runs.",
        recipe=recipe.name,
        folds=recipe.folds,
    )
    if not (folder / RESULTS).is_file():
        raise FileNotFoundError(f"{folder}: nothing has been published there")
    results: dict[str, Any] = read_json(folder / RESULTS)
    judge = Judge(recipe, folder, "test", data_dir)
    found = [
        judged_row(recipe, "test", one) for one in judge.outside(set(names))
    ]
    rows = _in_place(results["test"], found)
    gaps = difference_facts(
        differences_by_fold(rows, recipe.name, recipe.folds or 0)
    )
    results = {
        **results,
        "test_readings": results["test_readings"] + 1,
        "test": rows,
        # Those of the others are what they were.
        "differences": {
            name: gap if name in names else results["differences"][name]
            for name, gap in gaps.items()
        },
    }
    write_json(folder / RESULTS, results)
    write_card(folder)
    return results


def _in_place(
    rows: list[dict[str, Any]], found: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Rows with those of some contestants replaced; new ones come last."""
    again = {row["contestant"] for row in found}
    new = {(row["contestant"], row["seed"]): row for row in found}
    merged = [
        new.pop(key, row)
        for row in rows
        if (key := (row["contestant"], row["seed"])) in new
        or row["contestant"] not in again
    ]
    return [*merged, *new.values()]
