"""The tables of docs/tuning.md and docs/commands.md against the code."""

import re
from pathlib import Path

import pytest
import typer

from moe_keras.cli import app
from moe_keras.data import load_dataset
from moe_keras.search.hypermodels import HYPERMODELS
from tests.search.tuning import tiny_digits

DOCS = Path(__file__).resolve().parents[2] / "docs"
DATA = {
    "image": tiny_digits,
    "sentiment": lambda: load_dataset(
        "synthetic_reviews", size=20, test_size=1
    ),
    "risk": lambda: load_dataset("breast_cancer"),
}


def number(text):
    """A value as it stands on the page."""
    power = re.fullmatch(r"2\^(-?\d+)", text)
    if power:
        return 2.0 ** int(power[1])
    return int(text) if text.isdigit() else text


@pytest.mark.parametrize("task", DATA)
def test_spaces(task):
    page = (DOCS / "tuning.md").read_text()
    section = page.split(f"### {task}\n")[1].split("\n#")[0]
    rows = re.findall(r"^\| (\w+) \| (.*) \|$", section, re.MULTILINE)
    found = {
        name: tuple(map(number, values.split(", "))) for name, values in rows
    }
    assert found.pop("name") == ("values",)
    assert found == HYPERMODELS[task](DATA[task](), max_experts=16).space


def test_options_of_the_command():
    page = (DOCS / "commands.md").read_text()
    section = page.split("\n## tune\n")[1].split("\n## ")[0]
    table = re.findall(r"^\| (`--.*?) \|", section, re.MULTILINE)
    shown = set(re.findall(r"--[a-z-]+", " ".join(table)))
    command = typer.main.get_command(app).commands["tune"]
    options = {
        option
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
    }
    assert shown == options - {"--help"}
