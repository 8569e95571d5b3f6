"""The command line."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import moe_keras.demo
from moe_keras import __version__
from moe_keras.cli import app, quiet_start

runner = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"})


def test_version():
    result = runner.invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.strip() == f"moe-keras {__version__}"


def test_help_names_the_commands():
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    assert "demo" in result.output
    assert "--version" in result.output


def test_help_does_not_wait_for_tensorflow():
    program = (
        "import sys, moe_keras.cli\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_demo_gets_its_options(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(
        moe_keras.demo,
        "run_demo",
        lambda out, seeds, epochs, console: calls.append(
            (out, list(seeds), epochs)
        ),
    )
    arguments = [
        "demo",
        "--out",
        str(tmp_path),
        "--seeds",
        "2",
        "--epochs",
        "3",
    ]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert calls == [(tmp_path, [0, 1], 3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dmeo"], "No such command 'dmeo'"),
        (["demo", "--epochs", "0"], "--epochs"),
        (["demo", "--seeds", "many"], "--seeds"),
    ],
)
def test_what_is_wrong_is_named(arguments, message):
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_a_failing_start_is_not_kept_quiet(monkeypatch, capfd):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)

    def fail():
        with quiet_start():
            os.write(2, b"the reason\n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert "the reason" in capfd.readouterr().err


def test_a_good_start_is_quiet(monkeypatch, capfd):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    with quiet_start():
        os.write(2, b"chatter\n")
    assert "chatter" not in capfd.readouterr().err
