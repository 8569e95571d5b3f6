"""The commands `list` and `predict`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from moe_keras.cli_options import (
    Context,
    Decimal,
    Encoding,
    Missing,
    Separator,
    Thousands,
)


def add_commands(app: typer.Typer, start: Context, errors: Context) -> None:
    """Add the commands.

    Args:
        app: what they are commands of.
        start: a context in which Keras is imported.
        errors: a context in which errors are said in a sentence.
    """

    @app.command("list")
    def list_command(
        task: Annotated[
            str | None, typer.Option(help="Only this task, such as image.")
        ] = None,
        as_json: Annotated[
            bool, typer.Option("--json", help="All that is known, as JSON.")
        ] = False,
    ) -> None:
        """List the trained models that come with the package."""
        with errors():
            with start():
                from moe_keras.prediction import report
                from moe_keras.zoo import list_presets
            infos = list_presets(task)
            if as_json:
                typer.echo(report.presets_json(infos))
            elif infos:
                Console().print(report.presets_table(infos))
            else:
                typer.echo("no presets" + (f" for {task}" if task else ""))

    @app.command("predict")
    def predict_command(
        model: Annotated[
            str,
            typer.Argument(
                help="A preset (see list), a .keras file or a run's folder."
            ),
        ],
        files: Annotated[
            list[Path] | None,
            typer.Argument(
                help="Images (png, jpg), arrays (npy), texts (txt, one a "
                "line), or one table (csv, parquet)."
            ),
        ] = None,
        text: Annotated[
            list[str] | None,
            typer.Option(help="A text to ask about; may be given again."),
        ] = None,
        top: Annotated[
            int, typer.Option(min=1, help="How many classes to name.")
        ] = 3,
        classes: Annotated[
            str | None,
            typer.Option(
                help="Names of the classes, as cat,dog or a file with one a "
                "line, where the model does not know them."
            ),
        ] = None,
        as_json: Annotated[
            bool, typer.Option("--json", help="Print JSON, not a table.")
        ] = False,
        out: Annotated[
            Path | None,
            typer.Option(help="Write them to this file, .csv or .json."),
        ] = None,
        id_column: Annotated[
            str | None,
            typer.Option("--id", help="Of a table: the column of row names."),
        ] = None,
        schema: Annotated[
            Path | None,
            typer.Option(
                help="Of a table: a schema (yaml) whose rules its values must "
                "keep."
            ),
        ] = None,
        separator: Separator = None,
        decimal: Decimal = None,
        thousands: Thousands = None,
        encoding: Encoding = None,
        missing: Missing = None,
    ) -> None:
        """Say what a model sees in files or texts, and which expert decided.

        Of a model of tables: the probability of each class for each row. The
        table may be larger than the memory.
        """
        with errors(), _stopped():
            if out is not None and out.suffix not in (".csv", ".json"):
                raise ValueError(f"--out must end in .csv or .json, not {out}")
            if not files and not text:
                raise ValueError("name a FILE, or give a --text")
            with start():
                from moe_keras import prediction
                from moe_keras.prediction import report
                from moe_keras.storage import write_file
            names = None if classes is None else _class_names(classes)
            trained = prediction.load_trained(model, "predict")
            trained = prediction.as_trained(trained, names, "predict")
            options = {
                "id_column": id_column,
                "schema": schema,
                "separator": separator,
                "decimal": decimal,
                "thousands": thousands,
                "encoding": encoding,
                "missing": missing,
            }
            given = {key: one for key, one in options.items() if one}
            if prediction.reads_tables(trained):
                _score(trained, files or [], text, top, as_json, out, given)
                return
            if given:
                raise ValueError(
                    f"{trained.name} reads no tables, and so takes no "
                    + ", ".join(
                        f"--{key.removesuffix('_column')}" for key in given
                    )
                )
            found = prediction.predict_files(trained, files or [], top)
            if text:
                found += prediction.predict_texts(trained, text, top)
            as_text = report.predictions_json(found, model)
            if out is not None:
                csv = report.predictions_csv(found)
                content = csv if out.suffix == ".csv" else as_text + "\n"
                write_file(out, content.encode())
            if as_json:
                typer.echo(as_text)
            elif out is None:
                Console().print(report.predictions_table(found))
            else:
                typer.echo(f"wrote {out}")


def _class_names(given: str) -> list[str]:
    """Those of `cat,dog`, or the lines of a file of that name."""
    if Path(given).is_file():
        try:
            lines = Path(given).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"--classes {given}: {error}") from None
    else:
        lines = given.split(",")
    return [line.strip() for line in lines if line.strip()]


@contextmanager
def _stopped() -> Iterator[None]:
    """Say what is left when the command is stopped by hand."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("stopped; no file was written", err=True)
        raise typer.Exit(130) from None


def _score(
    trained: Any,
    files: list[Path],
    text: list[str] | None,
    top: int,
    as_json: bool,
    out: Path | None,
    options: dict[str, Any],
) -> None:
    """What a model says of the rows of a table."""
    from moe_keras.prediction import score_report, score_rows, score_table

    if text or len(files) != 1:
        raise ValueError(f"{trained.name} reads tables: name one of them")
    (file,) = files
    notes = Console(stderr=True)
    if out is not None:
        done = score_table(
            trained, file, out, top=top, console=notes, **options
        )
        if as_json:
            typer.echo(score_report.scores_json(done))
        else:
            Console().print(score_report.scores_table(done))
            typer.echo(f"wrote {out}")
    elif as_json:
        rows = score_rows(trained, file, **options)
        for part in score_report.json_parts(rows, trained.name, str(file), top):
            typer.echo(part, nl=False)
    else:
        shown = score_report.SHOWN
        # One more, to know whether there are more.
        found = score_rows(trained, file, max_rows=shown + 1, **options)
        rows = next(found)
        Console().print(score_report.rows_table(rows))
        if len(rows) > shown:
            typer.echo(
                f"the first {shown} rows; --out SCORES.csv writes them all"
            )
