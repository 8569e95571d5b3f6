"""The zoo as it is committed: no card and no table is out of date."""

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
