"""Options and arguments that several commands take."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

Context = Callable[[], AbstractContextManager[None]]
DataDir = Annotated[Path | None, typer.Option(help="Folder of the data sets.")]
RecipePath = Annotated[
    Path, typer.Argument(help="A recipe, or a folder with recipe.yaml.")
]
OptionalRecipe = Annotated[
    Path | None, typer.Argument(help="A recipe, or a folder with recipe.yaml.")
]
Runs = Annotated[
    Path | None, typer.Option(help="Folder of the runs; runs/NAME if none.")
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Of TensorFlow; 1 repeats to the bit."),
]

# How a CSV file is written.
Separator = Annotated[
    str | None,
    typer.Option(help="Of a CSV file; found in its header if none."),
]
Decimal = Annotated[str | None, typer.Option(help="Of a CSV file: . or ,")]
Thousands = Annotated[
    str | None,
    typer.Option(help="Of a CSV file: what stands between thousands."),
]
Encoding = Annotated[
    str | None, typer.Option(help="Of a CSV file; UTF-8 if none.")
]
Missing = Annotated[
    list[str] | None,
    typer.Option(
        help="Of a CSV file: what stands for a missing value; may be given "
        "again."
    ),
]


def limit_threads(count: int) -> None:
    """Before TensorFlow is imported, which reads it once."""
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(count)
    os.environ["TF_NUM_INTEROP_THREADS"] = str(count)
