"""The command line: `moe-keras --help`."""

import importlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from moe_keras._version import __version__
from moe_keras.cli_presets import add_commands

SUMMARY = "Mixture-of-experts models for Keras: train, measure, ship."

app = typer.Typer(
    name="moe-keras",
    help=SUMMARY,
    no_args_is_help=True,
    add_completion=False,
)


@contextmanager
def quiet_start() -> Iterator[None]:
    """Keep what TensorFlow logs while it starts away from the terminal.

    Its first lines come before any setting of its own counts, so the file
    descriptor itself is turned away; what was said is shown if the start fails.
    A user who sets `TF_CPP_MIN_LOG_LEVEL` sees everything.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
            # The search for GPUs has its say too.
            importlib.import_module("keras").ops.zeros(1)
        except BaseException:
            log.seek(0)
            os.write(terminal, log.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"moe-keras {__version__}")
        raise typer.Exit


@app.callback(help=SUMMARY)
def common(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and leave.",
        ),
    ] = False,
) -> None:
    """Options that come before the command."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path(
        "runs/demo"
    ),
    seeds: Annotated[
        int,
        typer.Option(
            min=1, help="Trainings of each model; from 2 on, SDs are shown."
        ),
    ] = 1,
    epochs: Annotated[
        int, typer.Option(min=1, help="Passes over the training data.")
    ] = 60,
) -> None:
    """Train a mixture and its dense twins on real digits, explain, export.

    Takes a minute or two on two cores and needs no download. The folder then
    holds a report, pictures, the model and a SavedModel.
    """
    # Imported here: `--help` should not wait for TensorFlow.
    with quiet_start():
        from moe_keras.demo import run_demo

    run_demo(out, seeds=range(seeds), epochs=epochs, console=Console())


add_commands(app, quiet_start)


def main() -> None:
    """Entry point of the `moe-keras` command."""
    app()
