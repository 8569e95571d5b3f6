"""All cards, and the table of all presets for the README and other pages."""

from collections.abc import Iterable
from pathlib import Path

from moe_keras.cards.card import CARD, RESULTS, score_table, write_card
from moe_keras.one_writer import one_writer
from moe_keras.runner.metrics import metrics_of
from moe_keras.storage import read_json, write_text

BEGIN, END = "<!-- zoo table -->", "<!-- end of zoo table -->"


def write_cards(zoo: Path | str, pages: Iterable[Path] = ()) -> list[Path]:
    """Make every preset's card, and the table on pages that have its marks.

    Args:
        zoo: folder with `<task>/<preset>/results.json`.
        pages: Markdown files with `<!-- zoo table -->` and `<!-- end of zoo
            table -->`.

    Returns:
        The files that were written.

    Raises:
        ValueError: when a page has no marks, and for results of another recipe
            than the one beside them.
        FolderInUse: when another process writes into a preset's folder.
    """
    written = []
    for folder in preset_folders(Path(zoo)):
        with one_writer(folder, "write_cards"):
            write_card(folder)
        written.append(folder / CARD)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        write_text(page, fill_table(text, zoo_table(zoo)))
        written.append(page)
    return written


def preset_folders(zoo: Path) -> list[Path]:
    """Folders with results, in the order of their names."""
    return sorted(file.parent for file in zoo.glob(f"*/*/{RESULTS}"))


def zoo_table(zoo: Path | str) -> str:
    """A Markdown line for each preset with results.

    The test score is of all seeds, or folds; beside it stands that of the
    weights which are shipped, of one of them, in float16.

    Args:
        zoo: folder with `<task>/<preset>/results.json`.
    """
    lines = [
        "| preset | data | test score | shipped weights | active twin "
        "| parameters | active |",
        "|---|---|---|---|---|---|---|",
    ]
    for folder in preset_folders(Path(zoo)):
        results = read_json(folder / RESULTS)
        table = {line["name"]: line for line in score_table(results)}
        own = next(iter(table.values()))
        twin = table.get("active_twin")
        metric = metrics_of(results["shipped"])[0]
        shipped = metric.mean_and_sd([results["shipped"]])
        score = metric.heading.removesuffix(" %")
        percent = metric.heading.endswith(" %")
        unit = " %" if percent else ""
        lines.append(
            f"| [{results['preset']}](zoo/{results['preset']}/card.md) "
            f"| {results['data']['name']} | {score} {own['scores'][0]}{unit} "
            f"| {shipped}{unit} "
            f"| {twin['scores'][0] + unit if twin else '-'} "
            f"| {own['parameters']} | {own['active']} |"
        )
    return "\n".join(lines) + "\n"


def fill_table(text: str, table: str) -> str:
    """Text with what is between the table's marks replaced.

    Raises:
        ValueError: when a mark is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the text has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table}{END}{after}"
