"""Results on the terminal."""

import io

import pytest
from rich.console import Console

from moe_keras.runner.tables import results_table


def row(seed, accuracy, **changes):
    return {
        "seed": seed,
        "accuracy": accuracy,
        "log_loss": 0.1234,
        "ece": 0.0123,
        "parameters": 170606,
        "active_multiply_adds": 1.6e6,
        "train_seconds": 61.26,
        **changes,
    }


def text_of(*rows):
    console = Console(file=io.StringIO(), width=80)
    console.print(results_table(rows, "digits"))
    return console.file.getvalue()


def test_rows_and_their_mean():
    text = text_of(row(0, 0.9), row(1, 0.8), row(10, 1.0))
    lines = [line.split() for line in text.splitlines() if line.strip()]
    assert lines[0] == ["digits"]
    assert lines[3] == [
        *("0", "90.00", "0.123", "0.012", "171k", "1.6M", "61.3")
    ]
    # SD of 80, 90, 100 with n - 1: 10.
    assert "mean" in text
    assert "90.00 ± 10.00  0.123 ± 0.000  0.012 ± 0.000" in text
    assert max(map(len, text.splitlines())) <= 80


def test_one_row_has_no_mean():
    assert "±" not in text_of(row(0, 0.9))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (12.0, "12"), (1234, "1.23k"), (4.56e9, "4.56G")],
)
def test_numbers_are_short(value, shown):
    found = text_of(row(None, 0.9, active_multiply_adds=value)).split()
    assert shown in found
    assert "-" in found
