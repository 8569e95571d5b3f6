"""Presets and predictions as tables, JSON and CSV."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from moe_keras.prediction.prediction import Prediction
from moe_keras.zoo import PresetInfo

# Characters of a text in a table.
_SHOWN = 60


def presets_table(infos: Sequence[PresetInfo]) -> Table:
    """A row for each preset.

    Handles and numbers are whole in a terminal of 80 columns, so that they can
    be copied; data and scores are folded there.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    scores = [_headline(info) for info in infos]
    words = [word for score in scores for word in score.split()]
    table.add_column("preset", no_wrap=True, min_width=_widest(infos))
    table.add_column("data", overflow="fold")
    table.add_column("score", min_width=max(map(len, words), default=0))
    for heading in ("parameters", "active\nmultiply-adds", "MB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for info, score in zip(infos, scores, strict=True):
        table.add_row(
            info.handle,
            info.data["name"],
            score,
            f"{info.parameters:,}",
            f"{info.multiply_adds['active']:,.0f}",
            f"{info.num_bytes / 1e6:.2f}",
        )
    return table


def _widest(infos: Sequence[PresetInfo]) -> int:
    return max((len(info.handle) for info in infos), default=0)


def presets_json(infos: Sequence[PresetInfo]) -> str:
    """The same and all else that is known, as JSON."""
    rows = [{"handle": info.handle, **asdict(info)} for info in infos]
    return json.dumps(rows, indent=2)


def _headline(info: PresetInfo) -> str:
    """The first score: accuracy 0.912 ± 0.003 (3 seeds)."""
    for metric, score in info.scores.items():
        if not isinstance(score, dict):
            return f"{metric} {score:.4g}"
        text = f"{metric} {score['mean']:.4g}"
        if "sd" in score:
            text += f" ± {score['sd']:.2g}"
        if "seeds" in score:
            text += f" ({score['seeds']} seeds)"
        return text
    return "-"


def predictions_table(predictions: Sequence[Prediction]) -> Table:
    """A row for each prediction."""
    table = Table()
    table.add_column("input", overflow="fold")
    table.add_column("class")
    table.add_column("probability", justify="right")
    table.add_column("next")
    table.add_column("expert that counted most", overflow="fold")
    for one in predictions:
        first, *others = one.classes
        table.add_row(
            # As text: brackets in it are no markup.
            Text(_input(one)),
            first.name,
            _percent(first.probability),
            ", ".join(f"{c.name} {_percent(c.probability)}" for c in others),
            ", ".join(
                f"{e.layer}: {e.expert} ({_percent(e.share)})"
                for e in one.experts
            ),
        )
    return table


def _input(one: Prediction) -> str:
    """A file with the row in brackets, or the beginning of a text."""
    if one.file is not None:
        return one.file if one.row is None else f"{one.file} [{one.row}]"
    shown = "".join(c if c.isprintable() else " " for c in one.text or "")
    shown = " ".join(shown.split())
    if len(shown) > _SHOWN:
        shown = shown[: _SHOWN - 1] + "…"
    return f'"{shown}"'


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def predictions_json(predictions: Sequence[Prediction], model: str) -> str:
    """`{"model": ..., "predictions": [...]}`, with `text` for texts."""
    rows = [asdict(one) for one in predictions]
    for row in rows:
        if row["text"] is None:
            del row["text"]
    return json.dumps({"model": model, "predictions": rows}, indent=2)


def predictions_csv(predictions: Sequence[Prediction]) -> str:
    """A line for each prediction, a heading above.

    Columns: `file`, `row`, for texts `text`, then `class_1`, `probability_1`,
    ..., then for each layer that gates `expert_<layer>` and `share_<layer>`.
    """
    text = io.StringIO()
    rows = [_flat(one) for one in predictions]
    # All have the same columns: they come from one model.
    names = list(rows[0]) if rows else []
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _flat(one: Prediction) -> dict[str, Any]:
    row: dict[str, Any] = {"file": one.file, "row": one.row}
    if one.text is not None:
        row["text"] = one.text
    for rank, score in enumerate(one.classes, 1):
        row[f"class_{rank}"] = score.name
        row[f"probability_{rank}"] = score.probability
    for expert in one.experts:
        row[f"expert_{expert.layer}"] = expert.expert
        row[f"share_{expert.layer}"] = expert.share
    return row
