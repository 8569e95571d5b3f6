"""Lines where no bar moves, and the first of them before anything is slow."""

import io
import time
from contextlib import contextmanager

import pytest
import typer
from rich.console import Console

from moe_keras import cli
from moe_keras.still_busy import still_busy
from moe_keras.training.progress import ProgressBar, StepBar


def _console(terminal=False):
    return Console(
        file=io.StringIO(),
        width=100,
        force_terminal=terminal,
        color_system=None,
    )


def _lines(console):
    return console.file.getvalue().splitlines()


def _wait_for(console, count):
    end = time.monotonic() + 20
    while len(_lines(console)) < count and time.monotonic() < end:
        time.sleep(0.01)


def test_it_says_again_what_goes_on():
    console = _console()
    with still_busy(console, "[a] reading", silence=0.05) as busy:
        assert _lines(console) == ["[a] reading"]
        _wait_for(console, 2)
        busy.say("fitting")
        _wait_for(console, 4)
    said = _lines(console)
    assert said[1] == "[a] reading ... 0 s"
    assert "fitting" in said
    assert said[-1].startswith("fitting ... ")
    time.sleep(0.15)
    assert _lines(console) == said


def test_not_where_something_was_said_just_now():
    console = _console()
    with still_busy(console, "reading", silence=30) as busy:
        assert 29 < busy.say_again(30) <= 30
    assert _lines(console) == ["reading"]


def test_on_a_terminal_it_is_said_once():
    console = _console(terminal=True)
    with still_busy(console, "reading", silence=0.01):
        time.sleep(0.1)
    assert _lines(console) == ["reading"]


def test_the_thread_ends_with_an_error():
    console = _console()
    with (
        pytest.raises(ValueError, match="broken"),
        still_busy(console, "reading", silence=0.01),
    ):
        raise ValueError("broken")
    said = _lines(console)
    time.sleep(0.1)
    assert _lines(console) == said


def test_bars_have_lines_beside_them():
    console = _console()
    with StepBar("loans #0", 2, console) as bar:
        bar.begin("the experts")
        assert _lines(console) == ["loans #0: begins", "loans #0: the experts"]
        bar.begin("the gate")
    assert "2/2 steps" in _lines(console)[-1]
    console = _console()
    bar = ProgressBar("digits #1", console)
    bar.set_params({"epochs": 3})
    bar.on_train_begin()
    bar.on_epoch_end(0, {"loss": 0.5})
    assert bar._busy.text == "digits #1: 1/3 epochs  loss 0.5000"
    bar.on_train_end()
    assert _lines(console)[0] == "digits #1: begins"
    # On a terminal there is the bar.
    console = _console(terminal=True)
    with StepBar("loans #0", 2, console) as bar:
        bar.begin("the experts")
    assert not any("begins" in line for line in _lines(console))


@pytest.mark.parametrize(
    "given", [{"csv": "loans.csv", "target": "risk"}, {"recipe": "my.yaml"}]
)
def test_the_first_line_comes_before_tensorflow(given, monkeypatch, capsys):
    seen = []

    @contextmanager
    def start():
        seen.append(capsys.readouterr().out)
        raise ValueError("stopped here")
        yield

    monkeypatch.setattr(cli, "quiet_start", start)
    with pytest.raises(typer.Exit):
        cli.train(**given)
    file, *_ = given.values()
    assert seen == [f"{file}: starting\n"]
