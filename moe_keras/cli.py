"""The command line: `moe-keras --help`."""

import importlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from moe_keras import cli_cards, cli_presets, cli_tune
from moe_keras._version import __version__
from moe_keras.cli_options import (
    DataDir,
    Decimal,
    Encoding,
    Missing,
    OptionalRecipe,
    Runs,
    Separator,
    Thousands,
    Threads,
    limit_threads,
)
from moe_keras.still_busy import still_busy

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


@contextmanager
def plain_errors() -> Iterator[None]:
    """Say what a user can mend in a sentence, and leave with code 2.

    With `MOE_KERAS_TRACEBACK` set, the traceback is shown instead.
    """
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        if "MOE_KERAS_TRACEBACK" in os.environ:
            raise
        typer.echo(f"error: {_sentence(error)}", err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt:
        typer.echo("stopped; train goes on from its last checkpoint", err=True)
        raise typer.Exit(130) from None


def _sentence(error: Exception) -> str:
    """What an error says; of the system's own, what was being done."""
    if isinstance(error, OSError) and str(error).startswith("[Errno "):
        # Files have names: without one, it is what is printed.
        if error.filename is None:
            return f"cannot write the output: {error.strerror}"
    return str(error)


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


Seeds = Annotated[
    list[int] | None,
    typer.Option(min=0, help="Again for more; all of the recipe's if none."),
]
BaselineName = Annotated[
    str | None,
    typer.Option(help="Train this baseline of the recipe instead."),
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Begin again, whatever is there.")
]


TableFile = Annotated[
    Path | None,
    typer.Option(help="A CSV or Parquet table, instead of a recipe."),
]
Target = Annotated[
    str | None, typer.Option(help="Of a table: the column to predict.")
]
Positive = Annotated[
    str | None,
    typer.Option(
        "--positive",
        "--bad",
        help="Of a table: the target's value whose probability is wanted.",
    ),
]
Drop = Annotated[
    list[str] | None,
    typer.Option(help="Of a table: a column not to read; again for more."),
]
Text = Annotated[
    list[str] | None,
    typer.Option(
        help="Of a table: a column of texts, whatever they look like; again "
        "for more."
    ),
]
Folds = Annotated[
    int, typer.Option(min=2, help="Of a table: of the cross-validation.")
]


@app.command()
def train(
    recipe: OptionalRecipe = None,
    csv: TableFile = None,
    target: Target = None,
    positive: Positive = None,
    drop: Drop = None,
    folds: Folds = 5,
    text: Text = None,
    separator: Separator = None,
    decimal: Decimal = None,
    thousands: Thousands = None,
    encoding: Encoding = None,
    missing: Missing = None,
    seed: Seeds = None,
    out: Runs = None,
    data_dir: DataDir = None,
    baseline: BaselineName = None,
    fresh: Fresh = False,
    threads: Threads = None,
) -> None:
    """Train the model of a recipe, and score it on the validation split.

    Interrupted, the same command goes on after the last finished epoch. Seeds
    that are done are not trained again.

    With --csv and --target, train a risk mixture on a table of two classes,
    compare it with other models on the same folds, and write a report and a
    SavedModel.
    """
    with plain_errors():
        if threads is not None:
            limit_threads(threads)
        if csv is not None or target is not None:
            if seed or baseline or fresh or data_dir:
                raise ValueError(
                    "--seed, --baseline, --fresh and --data-dir are for recipes"
                )
            reading = {
                "text": text,
                "separator": separator,
                "decimal": decimal,
                "thousands": thousands,
                "encoding": encoding,
                "missing": missing,
            }
            given = {key: one for key, one in reading.items() if one}
            _train_table(
                *(recipe, csv, target, positive, drop or [], folds, out, given)
            )
            return
        if recipe is None:
            raise ValueError(
                "name a recipe, or a table with --csv and --target"
            )
        console = Console()
        with still_busy(console, f"{recipe}: starting"), quiet_start():
            from moe_keras.runner import train_recipe
            from moe_keras.runner.tables import results_table
            from moe_keras.training import load_recipe

        read = load_recipe(recipe)
        results = [
            train_recipe(
                *(read, one, out, data_dir),
                resume=not fresh,
                console=console,
                baseline=baseline,
            )
            for one in seed or read.seeds
        ]
        title = f"{baseline or read.name} on the validation split"
        rows = [trained.result for trained in results]
        console.print(results_table(rows, title))
        console.print(f"Read [bold]{results[0].folder.parent}[/bold]")


def _train_table(
    recipe: Path | None,
    csv: Path | None,
    target: str | None,
    positive: str | None,
    drop: list[str],
    folds: int,
    out: Path | None,
    reading: dict[str, Any],
) -> None:
    if recipe is not None or csv is None or target is None:
        raise ValueError("--csv and --target go together, without a recipe")
    console = Console()
    # TensorFlow alone may take longer than anybody waits for a first line.
    with still_busy(console, f"{csv}: starting"), quiet_start():
        from moe_keras.cards import train_table
        from moe_keras.cards.tables import comparison_table
    done = train_table(
        *(csv, target, positive, out, drop, folds),
        console=console,
        reading=reading,
    )
    Console(width=160).print(comparison_table(done.comparison))
    console.print(f"Read [bold]{done.folder / 'card.md'}[/bold]")


@app.command()
def evaluate(
    model: Annotated[
        Path,
        typer.Argument(help="A .keras file, or a folder that train wrote."),
    ],
    data: Annotated[
        str | None,
        typer.Option(help="Data set; that of the training if none."),
    ] = None,
    split: Annotated[str, typer.Option(help="test or validation.")] = "test",
    data_dir: DataDir = None,
) -> None:
    """Score trained models on the test split, or on the validation split."""
    with plain_errors():
        with quiet_start():
            from moe_keras.runner import evaluate_run
            from moe_keras.runner.tables import results_table

        found = evaluate_run(model, data, split, data_dir)
        rows = [evaluation.result for evaluation in found]
        console = Console()
        title = f"{rows[0]['data']}, {split} split, {rows[0]['rows']:,} rows"
        console.print(results_table(rows, title))
        for evaluation in found:
            console.print(f"Read [bold]{evaluation.file}[/bold]")


for commands in (cli_presets, cli_cards, cli_tune):
    commands.add_commands(app, quiet_start, plain_errors)


def main() -> None:
    """Entry point of the `moe-keras` command."""
    app()
