"""The command `tune`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from moe_keras.cli_options import Context, DataDir, Threads, limit_threads

TASKS = ("image", "sentiment", "risk")
# Wide enough for a configuration, also where nobody looks.
WIDTH = 120

What = Annotated[
    str, typer.Argument(help="image, sentiment, risk; or a recipe.")
]
DataName = Annotated[
    str | None,
    typer.Option("--data", help="Data set; that of the recipe if none."),
]
MaxExperts = Annotated[int, typer.Option(help="Experts at most.")]
Limit = Annotated[float | None, typer.Option(help="Of the budget.")]
Method = Annotated[
    str, typer.Option(help="hyperband, random, bayesian or grid.")
]
Only = Annotated[
    list[str] | None,
    typer.Option(help="NAME=VALUE,...: these values of the space; again."),
]


def add_commands(app: typer.Typer, start: Context, errors: Context) -> None:
    """Add the command.

    Args:
        app: what it is a command of.
        start: a context in which Keras is imported.
        errors: a context in which errors are said in a sentence.
    """

    @app.command()
    def tune(
        task_or_recipe: What,
        data: DataName = None,
        max_experts: MaxExperts = 8,
        max_multiply_adds: Limit = None,
        max_parameters: Limit = None,
        max_latency_ms: Limit = None,
        only: Only = None,
        method: Method = "hyperband",
        trials: Annotated[int, typer.Option(help="At most.")] = 12,
        epochs: Annotated[
            int | None, typer.Option(help="Of a trial, at most.")
        ] = None,
        seeds: Annotated[
            int, typer.Option(help="Trainings of each trial.")
        ] = 1,
        objective: Annotated[
            str, typer.Option(help="log_loss or accuracy.")
        ] = "log_loss",
        limit: Annotated[
            int | None, typer.Option(help="Training rows; all if none.")
        ] = None,
        out: Annotated[
            Path | None, typer.Option(help="Folder; runs/tune_TASK if none.")
        ] = None,
        workers: Annotated[int, typer.Option(help="Processes that train.")] = 1,
        threads: Threads = None,
        pin: Annotated[
            bool, typer.Option("--pin", help="Workers to own processors.")
        ] = False,
        seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
        data_dir: DataDir = None,
        fresh: Annotated[
            bool, typer.Option("--fresh", help="Begin again.")
        ] = False,
    ) -> None:
        """Search for a mixture within a budget, and write it as a recipe.

        Interrupted, the same command goes on after the last finished epoch.
        The test split is not read.
        """
        with errors():
            if threads is not None:
                limit_threads(threads)
            with start():
                from moe_keras.search import tune as search
            limits = {
                "max_multiply_adds": max_multiply_adds,
                "max_parameters": max_parameters,
                "max_latency_ms": max_latency_ms,
            }
            result = search(
                read_task(task_or_recipe),
                data,
                read_budget(limits),
                max_experts=max_experts,
                only=read_only(only or ()),
                method=method,
                trials=trials,
                epochs=epochs,
                seeds=seeds,
                objective=objective,
                limit=limit,
                out=out,
                workers=workers,
                threads=threads if workers > 1 else None,
                pin=pin,
                seed=seed,
                overwrite=fresh,
                data_dir=data_dir,
            )
            show(result)


def read_task(text: str) -> Any:
    """A task's name as it is, anything else as the path of a recipe."""
    from moe_keras.training import load_recipe

    return text if text in TASKS else load_recipe(text)


def read_budget(limits: dict[str, float | None]) -> Any:
    """A `Budget` of the limits that are given; None of none."""
    from moe_keras.search import Budget

    given = any(limit is not None for limit in limits.values())
    return Budget(**limits) if given else None


def read_only(texts: Any) -> dict[str, list[Any]]:
    """`NAME=VALUE,VALUE` as values of the space, by name.

    Raises:
        ValueError: for a text without a name or without values.
    """
    from moe_keras.errors import require

    found: dict[str, list[Any]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        rule = "`--only` must be NAME=VALUE,VALUE."
        require(name and values, "tune", rule, only=text)
        found[name] = [_value(value) for value in values.split(",")]
    return found


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def show(result: Any) -> None:
    """The table of the trials, and where the winner is."""
    from moe_keras.search.tables import trials_table

    console = Console(width=WIDTH)
    console.print(trials_table(result))
    if result.recipe is not None:
        file = result.folder / "recipe.yaml"
        console.print(f"Read [bold]{result.folder}[/bold]; the winner trains:")
        console.print(f"moe-keras train {file}", soft_wrap=True)
    else:
        console.print(f"Read [bold]{result.folder}[/bold]")
