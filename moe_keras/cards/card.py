"""The card of a preset, from its recipe and its results alone."""

import importlib.resources
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml

from moe_keras.runner.files import digest
from moe_keras.runner.metrics import mean_and_sd, metrics_of
from moe_keras.storage import DamagedFile, read_json, write_text
from moe_keras.training import Recipe, load_recipe
from moe_keras.training.identity import require_same
from moe_keras.zoo.presets.info import INFO_FILE

OWNER = "write_card"
RECIPE, RESULTS, CARD = "recipe.yaml", "results.json", "card.md"
# A difference that chance alone would show in one comparison of twenty.
SIGNIFICANT = 0.05
# Of an even load: what an expert must take not to be called dead.
ALIVE = 1 / 4


def write_card(folder: Path | str) -> str:
    """Write `card.md` from `recipe.yaml` and `results.json`.

    Args:
        folder: of the preset.

    Returns:
        The card's text.

    Raises:
        ValueError: when the results are of another recipe, or damaged.
    """
    text = make_card(Path(folder))
    write_text(Path(folder) / CARD, text)
    return text


def make_card(folder: Path) -> str:
    """The card's text, Markdown."""
    recipe = load_recipe(folder / RECIPE)
    results = read_json(folder / RESULTS)
    _check_results(folder, recipe, results)
    source = importlib.resources.files("moe_keras.cards") / "card.md.jinja"
    environment = jinja2.Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Markdown, of our own making.
    )
    template = environment.from_string(source.read_text(encoding="utf-8"))
    return template.render(
        recipe=recipe,
        recipe_text=yaml.safe_dump(
            recipe.model_dump(mode="json", exclude_defaults=True),
            sort_keys=False,
        ),
        outsiders=[one.name for one in recipe.baselines if one.outside],
        results=results,
        metrics=metrics_of(results["shipped"]),
        table=score_table(results),
        verdicts=verdicts(results, recipe.name),
        routing=routing_tables(results),
        latencies=latencies(results),
        machine=machine_of(results),
    )


def _check_results(folder: Path, recipe: Recipe, results: Any) -> None:
    """Refuse results of another recipe, or of another preset.

    Those of earlier versions do not say whose they are.
    """
    if not isinstance(results, dict) or "test" not in results:
        raise DamagedFile(f"{folder / RESULTS} holds no results")
    rule = "the results are not of what is there: publish it again."
    if "training" in results:
        now = recipe.training_facts()
        require_same(OWNER, folder, results["training"], now, rule)
    preset = folder / INFO_FILE
    if "preset_sha256" in results and preset.is_file():
        there = {"preset.json": results["preset_sha256"]}
        now = {"preset.json": digest(preset.read_bytes())}
        require_same(OWNER, folder, there, now, rule)


def score_table(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A line for each contestant: scores over its seeds, and cost.

    Fitted trees differ in size from fold to fold: the size is that at the seed
    whose weights are shipped, as `preset.json` has it, where there is one.
    """
    lines = []
    rows, shipped = results["test"], results["shipped"]["seed"]
    for name in dict.fromkeys(row["contestant"] for row in rows):
        own = [row for row in rows if row["contestant"] == name]
        sized = next((row for row in own if row["seed"] == shipped), own[0])
        lines.append(
            {
                "name": name,
                "seeds": str(len(own)),
                "scores": [
                    metric.mean_and_sd(own) for metric in metrics_of(sized)
                ],
                "parameters": thousands(sized["parameters"]),
                "active": millions(sized["active_multiply_adds"]),
                "total": millions(sized["total_multiply_adds"]),
                "minutes": "-"
                if sized["cpu_seconds"] is None
                else mean_and_sd([r["cpu_seconds"] / 60 for r in own], 1),
            }
        )
    return lines


def latencies(results: dict[str, Any]) -> list[dict[str, Any]]:
    """For each model that was timed with one row: name, p50 and p99 in ms."""
    served = [{"name": "the SavedModel", **results["latency_ms"]}]
    others = {
        # Of several folds, the last one's.
        row["contestant"]: {
            "name": f"`{row['contestant']}`",
            **row["latency_ms"],
        }
        for row in results["test"]
        if row.get("latency_ms")
    }
    return [*served, *others.values()]


def thousands(count: int | None) -> str:
    """`1,234`; a dash where nothing was counted."""
    return "-" if count is None else f"{count:,}"


def millions(count: float | None) -> str:
    """`1.23 M`; a dash where nothing was counted."""
    return "-" if count is None else f"{count / 1e6:.2f} M"


def verdicts(results: dict[str, Any], name: str) -> list[str]:
    """One sentence for each rival: ahead, behind, or neither."""
    sentences = []
    for rival, gap in results["differences"].items():
        if gap["p_value"] is None or gap["p_value"] >= SIGNIFICANT:
            word = "is not told apart from"
        else:
            word = "is ahead of" if gap["mean"] > 0 else "loses to"
        how = _by_fold(gap) if "folds" in gap else _by_row(gap)
        sentences.append(f"`{name}` {word} `{rival}`: {how}.")
    return sentences


def _by_row(gap: dict[str, float]) -> str:
    points, low, high = (100 * gap[key] for key in ("mean", "low", "high"))
    return (
        f"{points:+.2f} points ({low:+.2f} to {high:+.2f}, "
        f"p = {gap['p_value']:.4f})"
    )


def _by_fold(gap: dict[str, float]) -> str:
    if gap["p_value"] is None:
        return f"{gap['mean']:+.4f} of AUC, in one fold"
    return (
        f"{gap['mean']:+.4f} ± {gap['sd']:.4f} of AUC (p = "
        f"{gap['p_value']:.3f})"
    )


def routing_tables(results: dict[str, Any]) -> list[dict[str, Any]]:
    """For each gate: load of each expert, and whether one is dead."""
    tables = []
    for gate, found in results["routing"].items():
        load = found["load"]
        least = least_load(load)
        tables.append(
            {
                "gate": gate,
                "sparse": found.get("sparse", True),
                "experts": found["experts"],
                "load": [f"{share:.3f}" for share in load],
                "by_class": [
                    [f"{share:.2f}" for share in row]
                    for row in found["by_class"]
                ],
                "least": f"{least:.2f}",
            }
        )
    return tables


def least_load(load: Sequence[float]) -> float:
    """What the least used expert takes, over an even share: in 0..1."""
    return min(load) * len(load)


def machine_of(results: dict[str, Any]) -> str:
    """Versions, commits and device of the runs."""
    rows = results["test"]
    commits = sorted({str(row["commit"]) for row in rows})
    first = rows[0]
    versions = ", ".join(
        f"{name} {version}" for name, version in first["versions"].items()
    )
    return f"{first['device']}; {versions}; commits {', '.join(commits)}"
