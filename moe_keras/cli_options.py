"""Options and arguments that several commands take."""

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
