"""Recipes of tables: what they let through, and what they name when not."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from sklearn.ensemble import ExtraTreesClassifier

from moe_keras.training import Recipe
from moe_keras.training.builders import make_forests, read_schema
from moe_keras.training.forest_kinds import KINDS, ForestKind
from moe_keras.training.recipe_file import load_recipe
from tests.runner.folds import NETWORKS, make_recipe

PAGE = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"
BLOCK = re.compile(r"^```yaml\n(name: .*?)^```$", re.MULTILINE | re.DOTALL)


def values(tmp_path, **changes):
    found = make_recipe(tmp_path, NETWORKS).model_dump(mode="json")
    found["builder"]["arguments"] |= changes.pop("arguments", {})
    return {**found, **changes}


def faults(given):
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate(given)
    return [
        (".".join(map(str, fault["loc"])), fault["msg"])
        for fault in caught.value.errors()
    ]


def test_the_pages_recipes_can_be_read(tmp_path):
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) == 2
    for block in blocks:
        (tmp_path / "recipe.yaml").write_text(block)
        load_recipe(tmp_path)


def test_it_is_what_was_written(tmp_path):
    recipe = make_recipe(tmp_path, NETWORKS)
    again = Recipe.model_validate(yaml.safe_load(recipe.to_yaml()))
    assert again == recipe
    assert read_schema(recipe.builder.arguments).protected == ["age", "home"]
    trees, _ = make_forests(recipe.builder.arguments)
    assert isinstance(trees, ExtraTreesClassifier)
    assert trees.n_estimators == 4


@pytest.mark.parametrize(
    ("arguments", "place", "message"),
    [
        (
            {"schema": {"numeric": [{"nam": "a"}]}},
            "builder.arguments.schema.numeric.0",
            "",
        ),
        (
            {"forests": [{"kind": "oaks"}]},
            "builder.arguments.forests.0.kind",
            "Input should be",
        ),
        (
            {"forests": [{"kind": "extra_trees", "arguments": {"tree": 1}}]},
            "builder.arguments.forests.0.arguments",
            "ExtraTreesClassifier has no tree",
        ),
        ({"table": []}, "builder.arguments.table", "comes from the data"),
    ],
)
def test_faults_have_a_place(tmp_path, arguments, place, message):
    found = faults(values(tmp_path, arguments=arguments))
    assert any(
        where.startswith(place) and message in what for where, what in found
    ), found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out_of_fold": None}, "folds need out_of_fold"),
        ({"out_of_fold": None, "folds": None}, "forests need out_of_fold"),
        ({"optimizer": {"name": "adam"}}, "needs the optimizer adamw"),
        ({"schedule": {"name": "constant"}}, "needs the optimizer adamw"),
        ({"monitor": {"metric": "val_loss"}}, "goes without stages"),
        ({"loss": {"label_smoothing": 0.1}}, "goes without stages"),
        ({"task": "image"}, "folds are for tables only"),
        ({"task": "image", "folds": None}, "go together"),
    ],
)
def test_what_does_not_go_together(tmp_path, changes, message):
    found = faults(values(tmp_path, **changes))
    assert any(message in what for _, what in found), found


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_made_or_asks_for_its_package(kind):
    module, name, quiet = KINDS[kind]
    wanted = ForestKind(kind=kind)
    if importlib.util.find_spec(module.split(".")[0]) is None:
        with pytest.raises(ImportError, match=f"need the package {module}"):
            wanted.make()
        return
    found = wanted.make()
    assert type(found).__name__ == name
    assert quiet.items() <= found.get_params().items()
    signed = wanted.make(monotone=True).get_params()
    assert {"monotonic_cst", "monotone_constraints"} & set(signed)
