"""The zoo as it is committed: no card and no table is out of date."""

import json
from pathlib import Path

import pytest

from moe_keras.cards.card import CARD, make_card
from moe_keras.cards.zoo_table import fill_table, preset_folders, zoo_table

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = preset_folders(ROOT / "zoo")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_card_is_that_of_the_results(folder):
    assert (folder / CARD).read_text() == make_card(folder)


def test_the_readmes_table_is_that_of_the_zoo():
    text = (ROOT / "README.md").read_text()
    assert text == fill_table(text, zoo_table(ROOT / "zoo"))


def test_cards_say_what_models_of_others_read():
    said = "read the columns of the data as they are"
    assert said in (ROOT / "zoo/risk/taiwan_default/card.md").read_text()
    assert (
        said not in (ROOT / "zoo/image/fashion_mnist_moe/card.md").read_text()
    )


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_table_tells_size_and_score_of_what_is_shipped(folder):
    (line,) = (
        line
        for line in zoo_table(ROOT / "zoo").splitlines()
        if f"/{folder.name}/card.md" in line
    )
    info = json.loads((folder / "preset.json").read_text())
    results = json.loads((folder / "results.json").read_text())
    cells = [cell.strip() for cell in line.split("|")]
    # As `moe-keras list` has it.
    assert cells[6] == f"{info['parameters']:,}"
    assert cells[7] == f"{info['multiply_adds']['active'] / 1e6:.2f} M"
    (card,) = (
        line
        for line in (folder / CARD).read_text().splitlines()
        if line.startswith(f"| {folder.name} |")
    )
    assert cells[6] in card
    key, factor, form = (
        ("auc", 1, "{:.4f}")
        if "auc" in results["shipped"]
        else ("accuracy", 100, "{:.2f} %")
    )
    assert cells[4] == form.format(factor * results["shipped"][key])
    mean = info["scores"][key]["mean"]
    assert f"{factor * mean:.{4 if key == 'auc' else 2}f}" in cells[3]
