"""The commands `compare`, `publish` and `cards`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from moe_keras.cli_options import Context, DataDir, RecipePath, Runs


def add_commands(app: typer.Typer, start: Context, errors: Context) -> None:
    """Add the commands.

    Args:
        app: what they are commands of.
        start: a context in which Keras is imported.
        errors: a context in which errors are said in a sentence.
    """

    @app.command()
    def compare(
        recipe: RecipePath,
        out: Runs = None,
        split: Annotated[
            str, typer.Option(help="validation, or, at the end, test.")
        ] = "validation",
        data_dir: DataDir = None,
    ) -> None:
        """Compare the trained model of a recipe with its trained baselines."""
        with errors():
            with start():
                from moe_keras.cards import compare_recipe
                from moe_keras.cards.tables import comparison_table
                from moe_keras.training import load_recipe
            found = compare_recipe(load_recipe(recipe), out, split, data_dir)
            # Wide enough for the differences, also where nobody looks.
            Console(width=160).print(comparison_table(found))

    @app.command()
    def publish(
        recipe: RecipePath,
        out: Runs = None,
        data_dir: DataDir = None,
        only: Annotated[
            list[str] | None,
            typer.Option(
                help="Measure this model of others anew, and leave all else "
                "as it was published; again for more."
            ),
        ] = None,
    ) -> None:
        """Score on the test split; write weights, results and the card.

        They go beside the recipe.
        """
        with errors():
            with start():
                from moe_keras.cards import publish_outside, publish_recipe
                from moe_keras.training import load_recipe
            folder = recipe if recipe.is_dir() else recipe.parent
            read = load_recipe(recipe)
            if only and out:
                raise ValueError("--only needs no runs, and so no --out")
            if only:
                publish_outside(read, folder, only, data_dir)
            else:
                publish_recipe(read, folder, out, data_dir)
            Console().print(f"Read [bold]{folder / 'card.md'}[/bold]")

    @app.command()
    def cards(
        zoo: Annotated[Path, typer.Argument(help="Folder of presets.")],
        readme: Annotated[
            list[Path] | None,
            typer.Option(help="A page with the marks of the zoo's table."),
        ] = None,
    ) -> None:
        """Make the cards of all presets, and the table of the zoo, anew."""
        with errors():
            with start():
                from moe_keras.cards import write_cards
            for file in write_cards(zoo, readme or ()):
                typer.echo(f"wrote {file}")
