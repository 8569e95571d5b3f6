"""The folder of `train_table`: whose it is, and the recipe that is in it."""

import hashlib
import os
from pathlib import Path
from typing import Any

from moe_keras._version import __version__
from moe_keras.errors import require
from moe_keras.runner.files import TABLE_RUN
from moe_keras.storage import DamagedFile, read_json, write_json, write_text
from moe_keras.training import Recipe, load_recipe
from moe_keras.training.identity import require_same
from moe_keras.training.recipe_file import FILE_NAME, RecipeError

OWNER = "train_table"
RUNS = "runs"
RULE = (
    "the folder holds the training of another table, or of other options; take "
    "another folder, or remove this one."
)


def default_folder(path: Path, name: str) -> Path:
    """Where a table's training goes: another folder for each name of a file.

    Args:
        path: of the table.
        name: of its recipe, which several files may have in common.
    """
    plain = Path("runs", name)
    if path.name == f"{name}.csv" or _is_of_an_earlier_version(plain, path):
        return plain
    mark = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
    return Path("runs", f"{name}_{mark}")


def claim_folder(
    folder: Path, path: Path, asked: Recipe, epochs: int | None
) -> Recipe:
    """Write down whose a folder is, or compare what is there.

    The request, `run.json`, is written first, and then the recipe that was made
    for it, where its reader may change it.

    Args:
        folder: to train in.
        path: of the table.
        asked: the recipe that was made for it now.
        epochs: as given.

    Returns:
        The recipe of the folder.

    Raises:
        ValueError: with what differs, when the folder holds another training.
    """
    request = {
        "data": {"sha256": file_digest(path), **asked.data.options},
        "folds": asked.folds,
        "epochs": epochs,
    }
    file, place = folder / TABLE_RUN, folder / FILE_NAME
    recipe = _read_recipe(place, asked)
    if file.exists():
        require_same(OWNER, folder, _read_request(file), request, RULE)
    elif recipe is not None:
        # Of an earlier version, which did not write the request down.
        known = {"data": recipe.data.options, "folds": recipe.folds}
        new = {"data": asked.data.options, "folds": asked.folds}
        require_same(OWNER, folder, known, new, RULE)
    if recipe is not None:
        _check_table(recipe, path, request["data"]["sha256"], folder)
    kept = {"version": __version__, "request": request}
    write_json(file, kept, sealed=True)
    if recipe is None:
        write_text(place, asked.to_yaml())
        return asked
    return recipe


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_request(file: Path) -> Any:
    found = read_json(file)
    if not isinstance(found, dict) or "request" not in found:
        raise DamagedFile(f"{file} does not say what was asked for")
    return found["request"]


def _read_recipe(place: Path, asked: Recipe) -> Recipe | None:
    """The recipe in the folder, where the table is now; None without one."""
    # A kill or a full disk left it empty, in earlier versions.
    if not place.exists() or not place.read_bytes().strip():
        return None
    try:
        recipe = load_recipe(place)
    except RecipeError as error:
        raise RecipeError(
            f"{error}\nmend it, or remove it to have it made anew"
        ) from None
    if _table_of(recipe).is_file():
        return recipe
    # The file was moved: what is in it is compared below.
    query = recipe.data.name.partition("?")[2]
    name = asked.data.name + (f"?{query}" if query else "")
    data = recipe.data.model_copy(update={"name": name})
    return recipe.model_copy(update={"data": data})


def _table_of(recipe: Recipe) -> Path:
    return Path(recipe.data.name.partition(":")[2].partition("?")[0])


def _check_table(recipe: Recipe, path: Path, digest: str, folder: Path) -> None:
    table = _table_of(recipe)
    require(
        table.is_file() and file_digest(table) == digest,
        OWNER,
        f"{FILE_NAME} in the folder names a table with other rows; take "
        "another folder, or remove this one.",
        folder=str(folder),
        there=recipe.data.name,
        asked=str(path),
    )


def _is_of_an_earlier_version(folder: Path, path: Path) -> bool:
    """Whether the table was trained there when all names led to one folder."""
    if (folder / TABLE_RUN).exists() or not (folder / FILE_NAME).is_file():
        return False
    try:
        return _table_of(load_recipe(folder / FILE_NAME)) == path.resolve()
    except RecipeError:
        return False
