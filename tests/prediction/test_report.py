"""Tables, JSON and CSV of presets and predictions."""

import csv
import io
import json

import pytest
from rich.console import Console

from moe_keras.prediction import ClassScore, ExpertShare, Prediction
from moe_keras.prediction.report import (
    predictions_csv,
    predictions_json,
    predictions_table,
    presets_json,
    presets_table,
)
from moe_keras.zoo import FileInfo, PresetInfo

PREDICTIONS = [
    Prediction(
        "a.png",
        None,
        (ClassScore("coat, long", 0.75), ClassScore("bag", 0.25)),
        (ExpertShare("moe", "conv 1", 0.6),),
    ),
    Prediction(
        "b.npy",
        7,
        (ClassScore("bag", 0.9), ClassScore("coat, long", 0.1)),
        (ExpertShare("moe", "conv 0", 1.0),),
    ),
]


def preset(**changes):
    values = {
        "name": "toy_moe",
        "task": "image",
        "classes": ("a", "b"),
        "preprocessing": "",
        "data": {"name": "toy", "licence": "CC0"},
        "licence": "CC0",
        "scores": {"accuracy": {"mean": 0.9123, "sd": 0.0031, "seeds": 3}},
        "builder": None,
        "parameters": 1234567,
        "multiply_adds": {"active": 2345.6, "total": 9999},
        "versions": {},
        "files": {"weights.npz": FileInfo("0" * 64, 2_469_000)},
    }
    return PresetInfo(**values | changes)


def text_of(table):
    console = Console(width=200, file=io.StringIO())
    console.print(table)
    return " ".join(console.file.getvalue().split())


def test_the_table_of_presets():
    text = text_of(presets_table([preset()]))
    assert (
        "image/toy_moe toy accuracy 0.9123 ± 0.0031 (3 seeds) "
        "1,234,567 2,346 2.47" in text
    )


def test_handles_and_numbers_are_whole_in_a_narrow_terminal():
    infos = [
        preset(
            name="fashion_mnist_small",
            data={"name": "csv:taiwan_credit_default.csv", "licence": "-"},
            multiply_adds={"active": 158_984_123.0, "total": 1},
        ),
        preset(name="a", task="risk"),
    ]
    console = Console(width=80, file=io.StringIO())
    console.print(presets_table(infos))
    text = console.file.getvalue()
    for word in ("image/fashion_mnist_small", "1,234,567", "158,984,123"):
        assert word in text.split()
    assert "accuracy" in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("scores", "shown"),
    [
        ({"accuracy": 0.5, "ece": 0.1}, " toy accuracy 0.5 1,234,567"),
        ({"accuracy": {"mean": 0.5}}, " toy accuracy 0.5 1,234,567"),
        ({}, " toy - 1,234,567"),
    ],
)
def test_the_first_score_is_the_headline(scores, shown):
    assert shown in text_of(presets_table([preset(scores=scores)]))


def test_presets_as_json():
    (row,) = json.loads(presets_json([preset()]))
    assert row["handle"] == "image/toy_moe"
    assert row["files"]["weights.npz"]["num_bytes"] == 2_469_000


def test_the_table_of_predictions():
    text = text_of(predictions_table(PREDICTIONS))
    assert (
        "a.png │ coat, long │ 75.0 % │ bag 25.0 % │ moe: conv 1 (60.0 %)"
        in (text)
    )
    assert "b.npy [7] │ bag │ 90.0 %" in text


def test_predictions_as_json():
    found = json.loads(predictions_json(PREDICTIONS, "image/toy_moe"))
    assert found["model"] == "image/toy_moe"
    assert found["predictions"][1] == {
        "file": "b.npy",
        "row": 7,
        "classes": [
            {"name": "bag", "probability": 0.9},
            {"name": "coat, long", "probability": 0.1},
        ],
        "experts": [{"layer": "moe", "expert": "conv 0", "share": 1.0}],
    }


def test_predictions_as_csv():
    rows = list(csv.DictReader(io.StringIO(predictions_csv(PREDICTIONS))))
    assert rows[0] == {
        "file": "a.png",
        "row": "",
        "class_1": "coat, long",
        "probability_1": "0.75",
        "class_2": "bag",
        "probability_2": "0.25",
        "expert_moe": "conv 1",
        "share_moe": "0.6",
    }
    assert rows[1]["row"] == "7"
    assert predictions_csv([]).strip() == ""
