"""The commands `list` and `predict`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from moe_keras.cli_options import Context


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
                help="Images (png, jpg), arrays (npy), or texts (txt, one a "
                "line)."
            ),
        ] = None,
        text: Annotated[
            list[str] | None,
            typer.Option(help="A text to ask about; may be given again."),
        ] = None,
        top: Annotated[
            int, typer.Option(min=1, help="How many classes to name.")
        ] = 3,
        as_json: Annotated[
            bool, typer.Option("--json", help="Print JSON, not a table.")
        ] = False,
        out: Annotated[
            Path | None,
            typer.Option(help="Write them to this file, .csv or .json."),
        ] = None,
    ) -> None:
        """Say what a model sees in files or texts, and which expert decided."""
        with errors():
            if out is not None and out.suffix not in (".csv", ".json"):
                raise ValueError(f"--out must end in .csv or .json, not {out}")
            if not files and not text:
                raise ValueError("name a FILE, or give a --text")
            with start():
                from moe_keras import prediction
                from moe_keras.prediction import report
            trained = prediction.load_trained(model)
            found = prediction.predict_files(trained, files or [], top)
            if text:
                found += prediction.predict_texts(trained, text, top)
            as_text = report.predictions_json(found, model)
            if out is not None:
                csv = report.predictions_csv(found)
                text = csv if out.suffix == ".csv" else as_text + "\n"
                out.write_text(text, encoding="utf-8")
            if as_json:
                typer.echo(as_text)
            elif out is None:
                Console().print(report.predictions_table(found))
            else:
                typer.echo(f"wrote {out}")
